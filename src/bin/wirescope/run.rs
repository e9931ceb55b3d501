//! Fetches all URLs in order, over one pool.

use std::fs::File;
use std::io::{self, Write};
use std::thread;
use std::time::SystemTime;

use wirescope::event::{
    Event, EventKind, Events, Interest, ObserverRef, Overflow, Timings, channel_with,
};
use wirescope::export::{EventFormat, EventWriter};
use wirescope::{Client, Response};

use crate::again::{Again, Due};
use crate::args::{Args, EventsForm};
use crate::exit::{self, Failure};
use crate::order::{self, Order};
use crate::output::{self, Heads};
use crate::show::{Screen, print_timings, timings_of};

/// Where events are written.
type Lines = EventWriter<Box<dyn Write + Send>>;

/// Does what the command line says and gives the exit code: that of the last URL that failed.
pub(crate) fn all(args: &Args) -> u8 {
    let screen = Screen::of(args);
    match prepare(args, screen) {
        Ok(run) => run.urls(),
        Err(failure) => {
            screen.fail(&failure);
            failure.code()
        }
    }
}

fn prepare(args: &Args, screen: Screen) -> Result<Run<'_>, Failure> {
    let order = Order::read(args)?;
    let lines = lines(args)?;
    let (all, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
    let mut observers = vec![all];
    observers.extend(lines.clone().map(ObserverRef::new));
    let heads = Heads::default();
    let client = order::client(args, observers, &heads)?;
    Ok(Run {
        args,
        heads,
        order,
        client,
        events,
        lines,
        screen,
    })
}

/// The writer of events, if they are wanted.
fn lines(args: &Args) -> Result<Option<Lines>, Failure> {
    let format = match args.events_form() {
        None | Some(EventsForm::Off) => return Ok(None),
        Some(EventsForm::Text) => EventFormat::Text,
        Some(EventsForm::Ndjson) => EventFormat::Ndjson,
    };
    let to: Box<dyn Write + Send> = match &args.events_file {
        Some(file) if file.as_os_str() != "-" => {
            let file = File::create(file).map_err(|error| Failure::write(file, &error))?;
            Box::new(io::LineWriter::new(file))
        }
        _ => Box::new(io::stdout()),
    };
    Ok(Some(EventWriter::new(format, to)))
}

/// One run of the command.
struct Run<'a> {
    args: &'a Args,
    heads: Heads,
    order: Order<'a>,
    client: Client,
    events: Events,
    lines: Option<Lines>,
    screen: Screen,
}

impl Run<'_> {
    fn urls(&self) -> u8 {
        let mut code = exit::OK;
        for (index, url) in self.args.urls.iter().enumerate() {
            let mut calls = Vec::new();
            for round in 0..self.args.repeat {
                if (index, round) != (0, 0) {
                    thread::sleep(self.args.interval.unwrap_or_default());
                }
                if let Err(failure) = self.url(index, url, round, &mut calls) {
                    self.screen.fail_one(index, self.args.urls.len(), &failure);
                    code = failure.code();
                    if matches!(failure, Failure::Gone(_)) {
                        return code;
                    }
                }
            }
            if let Err(failure) = self.spread(&calls) {
                return failure.code();
            }
        }
        code
    }

    /// Fetches one URL, and again as long as `--retry` says so.
    fn url(
        &self,
        index: usize,
        url: &str,
        round: u32,
        calls: &mut Vec<Timings>,
    ) -> Result<(), Failure> {
        let mut again = Again::new(self.args.retry);
        loop {
            let due = match self.once(index, url, round, calls, &mut again) {
                Ok(None) => return Ok(()),
                Ok(Some(due)) => due,
                Err(failure) => match again.after_failure(&failure) {
                    Some(due) => due,
                    None => return Err(failure),
                },
            };
            self.screen.wait(&due);
            thread::sleep(due.after);
        }
    }

    /// Fetches one URL once, shows it, and keeps its timings; says whether it is to be fetched again.
    fn once(
        &self,
        index: usize,
        url: &str,
        round: u32,
        calls: &mut Vec<Timings>,
        again: &mut Again,
    ) -> Result<Option<Due>, Failure> {
        let outcome = self.fetch(index, url, again);
        let events = self.events_of_call();
        let drawn = self.draw(round, &events, outcome.is_ok());
        if let Some(timings) = timings_of(&events) {
            calls.extend(outcome.is_ok().then(|| timings.clone()));
            if let Some(form) = self.args.timings {
                print_timings(form, timings)?;
            }
        }
        self.lines_failure()?;
        outcome.and_then(|due| drawn.map(|()| due))
    }

    /// The call itself. Each URL has one `call_done`, also one that could not be asked for.
    fn fetch(&self, index: usize, url: &str, again: &mut Again) -> Result<Option<Due>, Failure> {
        let request = self
            .order
            .request(&self.client, url)
            .inspect_err(|failure| {
                if let Some(lines) = &self.lines {
                    lines.refused_for(failure.tag(), &failure.line());
                }
            })?;
        let mut response = request.send()?;
        if let Some(due) = again.after_response(&response, wall_clock()) {
            response.drain()?;
            return Ok(Some(due));
        }
        if self.args.fail && response.status() >= 400 {
            return refuse(response).map(|()| None);
        }
        output::write(self.args, index, &mut response, &self.heads).map(|()| None)
    }

    fn events_of_call(&self) -> Vec<Event> {
        let events = self.events.try_iter();
        events.filter(|event| event.call().is_some()).collect()
    }

    /// Draws a call; one that was refused before any I/O has nothing to be drawn.
    fn draw(&self, round: u32, events: &[Event], is_well: bool) -> Result<(), Failure> {
        if !(events.iter()).any(|event| event.kind() == EventKind::GetConn) {
            return Ok(());
        }
        if self.args.repeat > 1 && is_well {
            self.screen.repetition(round + 1, events)
        } else {
            self.screen.draw(events)
        }
    }

    fn spread(&self, calls: &[Timings]) -> Result<(), Failure> {
        if self.args.repeat > 1 && !calls.is_empty() {
            self.screen.spread(calls)
        } else {
            Ok(())
        }
    }

    /// Why events can no longer be written, if so.
    fn lines_failure(&self) -> Result<(), Failure> {
        match self.lines.as_ref().and_then(EventWriter::failure) {
            None => Ok(()),
            Some(error) => {
                let to = self
                    .args
                    .events_file
                    .as_deref()
                    .unwrap_or_else(|| "-".as_ref());
                Err(Failure::write(to, &error))
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command is where the time comes in"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// A response that `-f` makes an error: its body is not written, its connection kept if that costs little.
fn refuse(response: Response) -> Result<(), Failure> {
    let status = response.status();
    response.drain()?;
    Err(Failure::Status(status))
}
