//! Events as lines, where `--events` and `--events-file` want them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use wirescope::event::ObserverRef;
use wirescope::export::{EventFormat, EventWriter};

use crate::args::{Args, EventsForm};
use crate::exit::Failure;

/// Where events are written, if they are wanted.
pub(crate) struct EventLines<'a>(Option<(EventWriter<Box<dyn Write + Send>>, &'a Path)>);

impl<'a> EventLines<'a> {
    pub(crate) fn open(args: &'a Args) -> Result<Self, Failure> {
        let format = match args.events_form() {
            None | Some(EventsForm::Off) => return Ok(Self(None)),
            Some(EventsForm::Text) => EventFormat::Text,
            Some(EventsForm::Ndjson) => EventFormat::Ndjson,
        };
        let name = args.events_file.as_deref();
        let name = name.unwrap_or_else(|| Path::new("-"));
        let to: Box<dyn Write + Send> = if name.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            let file = File::create(name).map_err(|error| Failure::write(name, &error))?;
            Box::new(io::LineWriter::new(file))
        };
        Ok(Self(Some((EventWriter::new(format, to), name))))
    }

    /// What writes them.
    pub(crate) fn observer(&self) -> Option<ObserverRef> {
        self.0
            .as_ref()
            .map(|(writer, _)| ObserverRef::new(writer.clone()))
    }

    /// Each URL has one `call_done`, also one that could not be asked for.
    pub(crate) fn refused(&self, failure: &Failure) {
        if let Some((writer, _)) = &self.0 {
            writer.refused_for(failure.tag(), &failure.line());
        }
    }

    /// Why events can no longer be written, if so.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let failed = (self.0.as_ref()).and_then(|(writer, to)| Some((writer.failure()?, to)));
        match failed {
            None => Ok(()),
            Some((error, to)) => Err(Failure::write(to, &error)),
        }
    }
}
