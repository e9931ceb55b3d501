//! What people see while many calls run: a line per call, errors, and below them the line about all.
//!
//! ```text
//!   held: lines, errors ──── tick ────► standard output, standard error
//!   progress ─── ten times a second ──► the last line of a terminal, rewritten in place
//! ```
//!
//! Without a terminal nothing is held longer than a turn, and nothing is rewritten.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::again::Due;
use crate::args::Args;
use crate::exit::Failure;
use crate::progress::{EVERY, Progress};
use crate::run::now;
use crate::show::Screen;

/// The width of a terminal that does not tell it.
const COLUMNS: usize = 80;

/// Bytes of text that are held until the next drawing at the most.
const HELD: usize = 64 * 1024;

/// Erases the line that the cursor is on.
const ERASE: &str = "\r\x1b[K";

pub(crate) struct Board {
    screen: Screen,
    bottom: Bottom,
    held: Vec<(To, String)>,
}

/// The last line of the terminal.
enum Bottom {
    /// Standard error is no terminal, or nothing may be said there.
    None,
    /// It does not show the progress now.
    Free(Progress),
    Taken(Progress),
}

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    /// Where drawings go.
    Drawing,
    /// Standard error.
    Error,
}

impl Board {
    /// A board for so many calls, if that is known.
    pub(crate) fn new(args: &Args, screen: Screen, of: Option<u64>) -> Self {
        let is_in_the_way = (args.prints_events() && io::stdout().is_terminal())
            || (args.types_urls() && io::stdin().is_terminal());
        let bottom = if args.silent || is_in_the_way || !io::stderr().is_terminal() {
            Bottom::None
        } else {
            Bottom::Free(Progress::new(of, now()))
        };
        Self {
            screen,
            bottom,
            held: Vec::new(),
        }
    }

    /// Shows a call that went well.
    pub(crate) fn well(&mut self, total: Duration, drawing: &str) {
        if let Some(progress) = self.bottom.progress() {
            progress.well(total);
        }
        if !self.screen.is_silent() {
            self.hold(To::Drawing, drawing);
        }
    }

    /// Shows a call that failed.
    pub(crate) fn failed(&mut self, label: &str, failure: &Failure) {
        if let Some(progress) = self.bottom.progress() {
            progress.failed();
        }
        self.error(label, &failure.line());
    }

    /// Says that a call is tried again.
    pub(crate) fn again(&mut self, label: &str, due: &Due) {
        self.error(label, &due.to_string());
    }

    /// Writes an error, unless silence was asked for.
    pub(crate) fn error(&mut self, label: &str, line: &str) {
        if !self.screen.is_silent() {
            self.hold(To::Error, &Screen::error(label, line));
        }
    }

    /// Writes a drawing, unless silence was asked for.
    pub(crate) fn draw(&mut self, drawing: &str) {
        if !self.screen.is_silent() {
            self.hold(To::Drawing, drawing);
        }
    }

    /// Writes the wire, which silence does not hide.
    pub(crate) fn wire(&mut self, text: &str) {
        self.hold(To::Error, text);
    }

    fn hold(&mut self, to: To, text: &str) {
        match self.held.last_mut() {
            Some((last, held)) if *last == to => held.push_str(text),
            _ => self.held.push((to, text.to_owned())),
        }
    }

    /// How long a wait may be so that the next drawing is in time.
    pub(crate) fn wait_max(&self) -> Option<Duration> {
        match self.bottom {
            Bottom::None => None,
            Bottom::Free(_) | Bottom::Taken(_) => Some(EVERY),
        }
    }

    /// Writes what is held, and draws the progress, when it is time to.
    pub(crate) fn tick(&mut self, in_flight: usize, now: Instant) -> Result<(), Failure> {
        let is_due = match self.bottom.progress() {
            None => return self.flush(),
            Some(progress) => progress.is_due(now),
        };
        if is_due {
            self.flush()?;
            self.bottom.draw(in_flight, now);
        } else if self.held.iter().map(|(_, text)| text.len()).sum::<usize>() > HELD {
            self.flush()?;
        }
        Ok(())
    }

    /// Makes place for something else on the terminal: what is held is written, the progress is gone.
    pub(crate) fn give_way(&mut self) -> Result<(), Failure> {
        self.flush()?;
        self.bottom.erase();
        Ok(())
    }

    /// Writes the last text, in spite of any silence.
    pub(crate) fn end(&mut self, text: &str) -> Result<(), Failure> {
        self.give_way()?;
        self.screen.show(text)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.bottom.erase();
        for (to, text) in std::mem::take(&mut self.held) {
            match to {
                To::Drawing => self.screen.show(&text)?,
                To::Error => self.screen.tell(&text),
            }
        }
        Ok(())
    }
}

/// Where standard error cannot be written, nobody can be told.
impl Bottom {
    fn progress(&mut self) -> Option<&mut Progress> {
        match self {
            Self::None => None,
            Self::Free(progress) | Self::Taken(progress) => Some(progress),
        }
    }

    fn draw(&mut self, in_flight: usize, now: Instant) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::None,
            Self::Free(mut progress) | Self::Taken(mut progress) => {
                let line = progress.draw(in_flight, columns(), now);
                let _ = write!(io::stderr().lock(), "{ERASE}{line}");
                Self::Taken(progress)
            }
        };
    }

    fn erase(&mut self) {
        *self = match std::mem::replace(self, Self::None) {
            Self::Taken(progress) => {
                let _ = io::stderr().lock().write_all(ERASE.as_bytes());
                Self::Free(progress)
            }
            other => other,
        };
    }
}

/// The width of the terminal.
fn columns() -> usize {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => COLUMNS,
    }
}
