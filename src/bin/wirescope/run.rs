//! Fetches all URLs in order, over one pool.

use std::thread;
use std::time::{Instant, SystemTime};

use wirescope::event::{Event, Events, Interest, Overflow, channel_with};
use wirescope::export::Spread;
use wirescope::{Client, Response};

use crate::again::{Again, Due};
use crate::args::Args;
use crate::exit::{self, Failure};
use crate::lines::EventLines;
use crate::order::{self, Order};
use crate::output;
use crate::show::{Screen, has_connection, print_timings, timings_of};
use crate::urls::{Asked, Urls};

/// Does what the command line says and gives the exit code: that of the last URL that failed.
pub(crate) fn all(args: &Args) -> u8 {
    let screen = Screen::of(args);
    match prepare(args, screen) {
        Ok(mut run) => run.urls(),
        Err(failure) => {
            screen.fail(&failure);
            failure.code()
        }
    }
}

fn prepare(args: &Args, screen: Screen) -> Result<Run<'_>, Failure> {
    let order = Order::read(args)?;
    let lines = EventLines::open(args)?;
    let urls = Urls::open(args)?;
    let (all, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
    let mut observers = vec![all];
    observers.extend(lines.observer());
    let client = order::client(args, observers)?;
    Ok(Run {
        args,
        urls,
        order,
        client,
        events,
        lines,
        screen,
    })
}

/// One run of the command.
struct Run<'a> {
    args: &'a Args,
    urls: Urls<'a>,
    order: Order<'a>,
    client: Client,
    events: Events,
    lines: EventLines<'a>,
    screen: Screen,
}

impl Run<'_> {
    fn urls(&mut self) -> u8 {
        let mut code = exit::OK;
        loop {
            let ended = match self.urls.wait() {
                Ok(None) => return code,
                Ok(Some(asked)) => self.rounds(&asked, &mut code),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = ended {
                self.screen.fail(&failure);
                return failure.code();
            }
        }
    }

    /// Fetches one URL as often as it is wanted. It fails where it makes no sense to go on.
    fn rounds(&self, asked: &Asked, code: &mut u8) -> Result<(), Failure> {
        let mut calls = Spread::default();
        for round in 0..self.args.repeat {
            if (asked.index, round) != (0, 0) {
                thread::sleep(self.args.interval.unwrap_or_default());
            }
            match self.url(asked, round, &mut calls) {
                Ok(()) => {}
                Err(failure @ Failure::Gone(_)) => return Err(failure),
                Err(failure) => {
                    self.screen.fail_one(&asked.label, &failure);
                    *code = failure.code();
                }
            }
        }
        self.spread(&calls)
    }

    /// Fetches one URL, and again as long as `--retry` says so.
    fn url(&self, asked: &Asked, round: u32, calls: &mut Spread) -> Result<(), Failure> {
        let mut again = Again::new(self.args.retry);
        loop {
            let due = match self.once(asked, round, calls, &mut again) {
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
        asked: &Asked,
        round: u32,
        calls: &mut Spread,
        again: &mut Again,
    ) -> Result<Option<Due>, Failure> {
        let outcome = self.fetch(asked, again);
        let events = self.events_of_call();
        let drawn = self.draw(round, &events, outcome.is_ok());
        if let Some(timings) = timings_of(&events) {
            if outcome.is_ok() {
                calls.add(timings);
            }
            if let Some(form) = self.args.timings {
                print_timings(form, timings)?;
            }
        }
        self.lines.check()?;
        outcome.and_then(|due| drawn.map(|()| due))
    }

    /// The call itself.
    fn fetch(&self, asked: &Asked, again: &mut Again) -> Result<Option<Due>, Failure> {
        let request = self
            .order
            .request(&self.client, &asked.url)
            .inspect_err(|failure| self.lines.refused(failure))?;
        let mut response = request.send()?;
        let asks_for = response.retry_after(wall_clock());
        if let Some(due) = again.after_status(response.status(), asks_for) {
            response.drain()?;
            return Ok(Some(due));
        }
        if self.args.fail && response.status() >= 400 {
            return refuse(response).map(|()| None);
        }
        output::write(self.args, asked.index, &mut response).map(|()| None)
    }

    fn events_of_call(&self) -> Vec<Event> {
        let events = self.events.try_iter();
        events.filter(|event| event.call().is_some()).collect()
    }

    /// Draws a call; one that was refused before any I/O has nothing to be drawn.
    fn draw(&self, round: u32, events: &[Event], is_well: bool) -> Result<(), Failure> {
        if !has_connection(events) {
            return Ok(());
        }
        if self.args.repeat > 1 && is_well {
            self.screen.repetition(round + 1, events)
        } else {
            self.screen.draw(events)
        }
    }

    fn spread(&self, calls: &Spread) -> Result<(), Failure> {
        if self.args.repeat > 1 && !calls.is_empty() {
            self.screen.spread(calls)
        } else {
            Ok(())
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command is where the time comes in"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command is where the time comes in"
)]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// A response that `-f` makes an error: its body is not written, its connection kept if that costs little.
fn refuse(response: Response) -> Result<(), Failure> {
    let status = response.status();
    response.drain()?;
    Err(Failure::Status(status))
}
