//! What people see: drawings, errors, tables. Everything is written through here or through `output`.

use std::io::{self, Write};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use wirescope::event::Event;
use wirescope::event::{EventData, Timings};
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
        match (self.silent, self.to_stderr) {
            (true, _) => Ok(()),
            (false, true) => write(
                AutoStream::new(io::stderr(), self.color),
                text,
                "standard error",
            ),
            (false, false) => write(AutoStream::new(io::stdout(), self.color), text, "-"),
        }
    }

    /// Tells an error, unless silence was asked for.
    pub(crate) fn fail(&self, failure: &Failure) {
        self.tell("", failure);
    }

    /// Tells the error of one URL, and which one it was if there are several.
    pub(crate) fn fail_one(&self, index: usize, count: usize, failure: &Failure) {
        match count {
            1 => self.tell("", failure),
            _ => self.tell(&format!("URL {} of {count}: ", index + 1), failure),
        }
    }

    /// Tells that a transfer is tried again, unless silence was asked for.
    pub(crate) fn wait(&self, due: &Due) {
        if !self.silent {
            let mut to = AutoStream::new(io::stderr(), self.color);
            let (number, most, after) = (due.number, due.most, due.after.as_secs());
            let _ = writeln!(
                to,
                "wirescope: tried again in {after} s ({number} of {most})"
            );
        }
    }

    /// Where even an error cannot be written, the exit code tells.
    fn tell(&self, which: &str, failure: &Failure) {
        if !self.silent {
            let mut to = AutoStream::new(io::stderr(), self.color);
            let _ = writeln!(to, "\x1b[1;31mwirescope\x1b[0m: {which}{}", failure.line());
        }
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

    pub(crate) fn spread(&self, calls: &[Timings]) -> Result<(), Failure> {
        self.say(&Spread::of(calls).to_string())
    }
}

fn write(mut to: impl Write, text: &str, name: &str) -> Result<(), Failure> {
    to.write_all(text.as_bytes())
        .and_then(|()| to.flush())
        .map_err(|error| Failure::write(Path::new(name), &error))
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
