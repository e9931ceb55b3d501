//! What people see: drawings, errors, tables. Everything is written through here or through `output`.

use std::io::{self, Write};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use wirescope::event::{Event, EventData, EventKind, Timings};
use wirescope::export::{Spread, Style, timings, waterfall};

use crate::again::Due;
use crate::args::{Args, ColorWhen, TimingsForm};
use crate::exit::Failure;

/// Where drawings go and how they look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    to_stderr: bool,
    silent: bool,
    color: ColorChoice,
}

impl Screen {
    pub(crate) fn of(args: &Args) -> Self {
        Self {
            to_stderr: args.uses_stdout(),
            silent: args.silent,
            color: match args.color {
                ColorWhen::Auto => ColorChoice::Auto,
                ColorWhen::Always => ColorChoice::Always,
                ColorWhen::Never => ColorChoice::Never,
            },
        }
    }

    /// Draws a call, unless silence was asked for.
    pub(crate) fn draw(&self, events: &[Event]) -> Result<(), Failure> {
        self.say(&waterfall(events, Style::new().color(true)))
    }

    /// Writes text for people, unless silence was asked for.
    pub(crate) fn say(&self, text: &str) -> Result<(), Failure> {
        if self.silent {
            return Ok(());
        }
        self.show(text)
    }

    /// Writes text for people, in spite of any silence.
    pub(crate) fn show(&self, text: &str) -> Result<(), Failure> {
        if self.to_stderr {
            let to = AutoStream::new(io::stderr(), self.color);
            write(to, text, "standard error")
        } else {
            write(AutoStream::new(io::stdout(), self.color), text, "-")
        }
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Tells an error, unless silence was asked for.
    pub(crate) fn fail(&self, failure: &Failure) {
        self.fail_one("", failure);
    }

    /// Tells the error of one URL, and which one it was.
    pub(crate) fn fail_one(&self, label: &str, failure: &Failure) {
        if !self.silent {
            self.tell(&Self::error(label, &failure.line()));
        }
    }

    /// Tells that a transfer is tried again, unless silence was asked for.
    pub(crate) fn wait(&self, due: &Due) {
        if !self.silent {
            self.tell(&Self::error("", &due.to_string()));
        }
    }

    /// An error as it is told: which URL it is about, and what happened.
    pub(crate) fn error(label: &str, line: &str) -> String {
        format!("\x1b[1;31mwirescope\x1b[0m: {label}{line}\n")
    }

    /// Writes to standard error. Where even that cannot be written, the exit code tells.
    pub(crate) fn tell(&self, text: &str) {
        let mut to = AutoStream::new(io::stderr(), self.color);
        let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    }

    /// One line on a repetition, and at the end how the phases spread.
    pub(crate) fn repetition(&self, number: u32, events: &[Event]) -> Result<(), Failure> {
        let drawing = waterfall(events, Style::new().color(true));
        let first = drawing.lines().next().unwrap_or_default();
        let reused = match timings_of(events) {
            Some(timings) if timings.conn_reused() => ", connection reused",
            _ => "",
        };
        self.say(&format!("{number:>4}  {first}{reused}\n"))
    }

    pub(crate) fn spread(&self, calls: &Spread) -> Result<(), Failure> {
        self.say(&calls.to_string())
    }
}

fn write(mut to: impl Write, text: &str, name: &str) -> Result<(), Failure> {
    to.write_all(text.as_bytes())
        .and_then(|()| to.flush())
        .map_err(|error| Failure::write(Path::new(name), &error))
}

/// Says whether a call came as far as to want a connection; if not, there is nothing to be drawn.
pub(crate) fn has_connection(events: &[Event]) -> bool {
    events
        .iter()
        .any(|event| event.kind() == EventKind::GetConn)
}

/// The timings of a call that has ended.
pub(crate) fn timings_of(events: &[Event]) -> Option<&Timings> {
    events.iter().rev().find_map(|event| match event.data() {
        EventData::CallDone(done) => Some(done.timings()),
        _ => None,
    })
}

/// Writes timings to standard output, in the form asked for.
pub(crate) fn print_timings(form: TimingsForm, of: &Timings) -> Result<(), Failure> {
    let text = match form {
        TimingsForm::Table => timings::table(of),
        TimingsForm::Json => timings::json(of) + "\n",
        TimingsForm::Flat => timings::flat(of) + "\n",
    };
    write(io::stdout().lock(), &text, "-")
}
