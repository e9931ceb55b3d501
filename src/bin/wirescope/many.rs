//! `-Z N`: all URLs over one event loop, at most N calls at a time.
//!
//! The rule here: **what is held is N calls, not all URLs.** A URL is read when there is room for its call; one that is
//! to be tried again keeps its room while it waits.
//!
//! ```text
//!   urls ──► under way (N at the most) ──► done ──► board, output, summary
//!                 ▲                          │
//!                 └────── later (--retry) ◄──┘
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use wirescope::event::{Interest, Overflow, Redaction, channel_with};
use wirescope::export::{Style, waterfall};
use wirescope::{Client, Completion, Error, ErrorKind, EventLoop, Request, Ticket};

use crate::again::{Again, Due};
use crate::args::Args;
use crate::board::Board;
use crate::content::{Content, Goes};
use crate::exit::{self, Failure};
use crate::lines::EventLines;
use crate::order::{self, Order};
use crate::output;
use crate::progress::shown;
use crate::room;
use crate::run::{now, wall_clock};
use crate::show::{Screen, has_connection, print_timings};
use crate::summary::{Summary, Whole, size};
use crate::told::Told;
use crate::urls::{Asked, Next, Urls};
use crate::verbose::wire;

/// By how many the calls under way become more in one turn at the most, so that those that are go on in between.
const MORE: usize = 64;

/// Bytes at the most of a body that is in memory until it is whole.
const BODY_MAX: usize = 1 << 30;

/// Does what the command line says and gives the exit code: that of the last URL, in their order, that failed.
pub(crate) fn all(args: &Args, at_once: usize) -> u8 {
    let screen = Screen::of(args);
    let mut many = match Many::prepare(args, at_once, screen) {
        Ok(many) => many,
        Err(failure) => {
            screen.fail(&failure);
            return failure.code();
        }
    };
    let begun = now();
    let ended = many.run();
    let ended = ended.and_then(|()| many.end(now().duration_since(begun)));
    match ended {
        Ok(()) => many.failed.map_or(exit::OK, |(_, code)| code),
        Err(failure) => {
            // What is held may be what cannot be written.
            let _ = many.board.give_way();
            screen.fail(&failure);
            failure.code()
        }
    }
}

struct Many<'a> {
    args: &'a Args,
    at_once: usize,
    order: Order<'a>,
    client: Client,
    calls: EventLoop,
    urls: Urls<'a>,
    lines: EventLines<'a>,
    /// What is told of each call, for `-v`.
    told: Option<Told>,
    redaction: Redaction,
    under_way: BTreeMap<Ticket, Call>,
    /// How many calls there were when the last turn began.
    were: usize,
    /// Calls to be tried again, by when and by number.
    later: BTreeMap<(Instant, u64), Call>,
    /// When the next URL may begin.
    next_begin: Instant,
    board: Board,
    summary: Summary,
    /// The last URL that failed, and its code.
    failed: Option<(u64, u8)>,
}

/// A URL that is being fetched.
struct Call {
    asked: Asked,
    again: Again,
}

/// Why no more calls begin in this turn.
enum Filled {
    /// Others go first.
    Spent,
    /// There are as many as may be.
    Full,
    /// Not before then.
    Pause(Instant),
    /// The next URL has not come yet.
    NotYet,
    /// There is none.
    End,
}

impl<'a> Many<'a> {
    fn prepare(args: &'a Args, at_once: usize, screen: Screen) -> Result<Self, Failure> {
        let order = Order::read(args)?;
        let lines = EventLines::open(args)?;
        let urls = Urls::open(args)?.repeated(args.repeat);
        let mut observers = Vec::from_iter(lines.observer());
        let told = args.verbose.then(|| {
            let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
            observers.push(observer);
            Told::new(events)
        });
        let client = order::client(args, observers)?;
        let mut board = Board::new(args, screen, urls.count());
        if let Some(most) = room::make(args, at_once) {
            let text = format!(
                "{most} descriptors at the most (ulimit -n) are few for -Z {at_once}: calls will wait"
            );
            board.error("", &text);
        }
        let mut calls = EventLoop::new(&client)?;
        calls.set_body_max(BODY_MAX);
        Ok(Self {
            args,
            at_once,
            order,
            client,
            calls,
            urls,
            lines,
            told,
            redaction: order::redaction(args),
            under_way: BTreeMap::new(),
            were: 0,
            later: BTreeMap::new(),
            next_begin: now(),
            board,
            summary: Summary::default(),
            failed: None,
        })
    }

    fn run(&mut self) -> Result<(), Failure> {
        loop {
            let filled = self.fill(now());
            self.were = self.len();
            self.take_done()?;
            if matches!(filled, Filled::End) && self.len() == 0 {
                return Ok(());
            }
            self.board.tick(self.under_way.len(), now())?;
            self.wait(&filled)?;
            self.take_done()?;
        }
    }

    /// The calls that room was given.
    fn len(&self) -> usize {
        self.under_way.len() + self.later.len()
    }

    /// Begins calls as long as there is room for them.
    fn fill(&mut self, now: Instant) -> Filled {
        let most = self.at_once.min(self.were + MORE);
        for _ in 0..most {
            if let Some(call) = self.take_due(now) {
                self.begin(call);
                continue;
            }
            if self.len() >= self.at_once {
                return Filled::Full;
            }
            if self.len() >= most {
                return Filled::Spent;
            }
            if now < self.next_begin {
                return Filled::Pause(self.next_begin);
            }
            match self.urls.try_next() {
                Ok(Next::Url(asked)) => {
                    self.next_begin = now + self.args.interval.unwrap_or_default();
                    let again = Again::new(self.args.retry);
                    self.begin(Call { asked, again });
                }
                Ok(Next::NotYet) => return Filled::NotYet,
                Ok(Next::End) => return Filled::End,
                Err(failure) => {
                    self.urls.end();
                    self.board.error("", &failure.line());
                    self.failed = Some((u64::MAX, failure.code()));
                }
            }
        }
        Filled::Spent
    }

    fn take_due(&mut self, now: Instant) -> Option<Call> {
        let first = self.later.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Begins a call; one that is refused is done at once.
    fn begin(&mut self, call: Call) {
        let request = self.order.request(&self.client, &call.asked.url);
        let request = request.inspect_err(|failure| self.lines.refused(failure));
        let begun = request.and_then(|request| {
            self.submit(request, &call).map_err(|error| {
                if let (Some(told), Some(call)) = (&mut self.told, error.call()) {
                    told.take(call);
                }
                Failure::Call(error)
            })
        });
        match begun {
            Ok(ticket) => {
                self.under_way.insert(ticket, call);
            }
            Err(failure) => {
                self.summary.failed(&failure);
                self.fail(&call.asked.label, call.asked.number, &failure);
            }
        }
    }

    fn submit(&mut self, request: Request, call: &Call) -> wirescope::Result<Ticket> {
        let content = match Goes::of(self.args, call.asked.index) {
            Goes::Shared(_) => return self.calls.submit(request),
            Goes::Nowhere => Content::nowhere(),
            Goes::File(path) => Content::to_file(self.args, path, &call.again),
        };
        self.calls.submit_to(request, content)
    }

    /// Waits until something happens that was waited for, and lets the calls go on.
    fn wait(&mut self, filled: &Filled) -> Result<(), Failure> {
        let now = now();
        let begin = match filled {
            Filled::Spent => Some(now),
            Filled::Pause(until) => Some(*until),
            Filled::Full | Filled::NotYet | Filled::End => None,
        };
        let again = self.later.first_key_value().map(|((at, _), _)| *at);
        let wake = begin.into_iter().chain(again).min();
        let wait = wake.map(|at| at.saturating_duration_since(now));
        let wait = wait.into_iter().chain(self.board.wait_max()).min();
        if matches!(filled, Filled::NotYet) {
            self.wait_for_urls(wait)?;
            return Ok(self.calls.turn(Some(Duration::ZERO))?);
        }
        Ok(self.calls.turn(wait)?)
    }

    /// Waits for the calls and for the file of URLs at once.
    fn wait_for_urls(&self, wait: Option<Duration>) -> Result<(), Failure> {
        let Some(source) = self.urls.source() else {
            return Ok(());
        };
        let wait = wait.into_iter().chain(self.calls.next_wait()).min();
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let mut both = [
            PollFd::new(&self.calls, PollFlags::IN),
            PollFd::from_borrowed_fd(source, PollFlags::IN),
        ];
        match poll(&mut both, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(Failure::Read(format!("cannot wait for URLs: {error}"))),
        }
    }

    /// Takes what is done. Where events cannot be written, that is why calls failed, and the end.
    fn take_done(&mut self) -> Result<(), Failure> {
        self.lines.check()?;
        if let Some(told) = &mut self.told {
            told.listen();
        }
        while let Some(done) = self.calls.try_next() {
            if let Some(call) = self.under_way.remove(&done.ticket()) {
                self.done(call, done)?;
            }
        }
        Ok(())
    }

    /// Shows what came of a call, and tries it again if that is wanted.
    fn done(&mut self, mut call: Call, done: Completion) -> Result<(), Failure> {
        self.show(&done)?;
        self.summary.came(&done);
        if let Some(due) = again(&mut call.again, &done) {
            self.summary.again();
            self.board.again(&call.asked.label, &due);
            self.later
                .insert((now() + due.after, call.asked.number), call);
            return Ok(());
        }
        let line = self.line(&done);
        let timings = done.timings();
        match self.take(&call.asked, done) {
            Ok(()) => {
                self.summary.well(&timings);
                self.board.well(timings.total(), &line);
            }
            Err(failure @ Failure::Gone(_)) => return Err(failure),
            Err(failure) => {
                self.summary.failed(&failure);
                self.fail(&call.asked.label, call.asked.number, &failure);
            }
        }
        Ok(())
    }

    /// What `-v` and `--timings` show of a call.
    fn show(&mut self, done: &Completion) -> Result<(), Failure> {
        if let Some(told) = &mut self.told {
            let events = told.take(done.call());
            self.board.wire(&wire(&events));
            if has_connection(&events) {
                self.board
                    .draw(&waterfall(&events, Style::new().color(true)));
            }
        }
        match self.args.timings {
            None => Ok(()),
            Some(form) => {
                self.board.give_way()?;
                print_timings(form, &done.timings())
            }
        }
    }

    /// Takes the response as the command line wants it.
    fn take(&mut self, asked: &Asked, done: Completion) -> Result<(), Failure> {
        let goes = Goes::of(self.args, asked.index);
        let done = done.into_result().map_err(|error| match goes {
            Goes::File(path) => not_written(path, error),
            Goes::Nowhere | Goes::Shared(_) => Failure::Call(error),
        })?;
        let status = done.status().unwrap_or_default();
        self.summary.status(status);
        if self.args.fail && status >= 400 {
            return Err(Failure::Status(status));
        }
        if self.args.uses_stdout() {
            self.board.give_way()?;
        }
        match goes {
            Goes::File(_) => Ok(()),
            Goes::Nowhere | Goes::Shared(_) => output::write_done(self.args, asked.index, &done),
        }
    }

    fn fail(&mut self, label: &str, number: u64, failure: &Failure) {
        self.board.failed(label, failure);
        if self.failed.is_none_or(|(last, _)| last <= number) {
            self.failed = Some((number, failure.code()));
        }
    }

    /// One line about a call: status, total, content, URL; none where its waterfall is drawn.
    fn line(&self, done: &Completion) -> String {
        if self.told.is_some() {
            return String::new();
        }
        let status = done.status().unwrap_or_default();
        let (on, off) = match status {
            400.. => ("\x1b[31m", "\x1b[0m"),
            _ => ("", ""),
        };
        let total = shown(done.timings().total());
        let content = size(done.body_bytes() as f64);
        let first = done.history().first().map(wirescope::Hop::url);
        let mut url = self.redaction.url(first.unwrap_or_else(|| done.url()));
        if first.is_some() {
            url = format!("{url} -> {}", self.redaction.url(done.url()));
        }
        format!("{on}{status}{off} {total:>12} {content:>9}  {url}\n")
    }

    fn end(&mut self, took: Duration) -> Result<(), Failure> {
        let whole = Whole {
            took,
            at_once: self.at_once,
            opened: self.calls.pool_stats().opened(),
        };
        let gap = if self.args.silent { "" } else { "\n" };
        let text = self.summary.text(whole);
        self.board.end(&format!("{gap}{text}"))
    }
}

/// An error of the file is told apart from those of the call.
fn not_written(path: &Path, error: Error) -> Failure {
    let source = std::error::Error::source(&error);
    match source.and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(cause) if error.kind() == ErrorKind::LocalBodySink => Failure::write(path, cause),
        Some(_) | None => Failure::Call(error),
    }
}

/// Says whether a call is to be tried again.
fn again(again: &mut Again, done: &Completion) -> Option<Due> {
    match (done.error(), done.status()) {
        (Some(error), _) => again.after_error(error),
        (None, Some(status)) => again.after_status(status, done.retry_after(wall_clock())),
        (None, None) => None,
    }
}
