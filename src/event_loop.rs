//! The door for many calls: thousands of them on the thread that turns the loop.

mod completion;
mod handle;
mod inbox;
mod pending;
mod reply;
mod runner;
mod takes;

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

pub use self::completion::Completion;
pub use self::handle::Handle;
pub use self::inbox::Inbox;
pub use self::pending::Pending;
use self::reply::Reply;
use self::takes::Takes;
use crate::body::BodySink;
use crate::client::Client;
use crate::drive::multi::Loop;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::event::ObserverRef;
use crate::ids::CallId;
use crate::message::pool::PoolStats;
use crate::net::clock;
use crate::request::Request;

/// Bytes of a body that are collected unless the loop was told otherwise.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// Runs many calls at once on the thread that owns it, without a thread of its own.
///
/// A call is [submitted](EventLoop::submit) as an ordinary [`Request`]; its [`Completion`] comes out of
/// [`next`](EventLoop::next), with the body collected. The loop is made for a [`Client`] and has its settings, its
/// observers and its resolver, but a pool and remembered addresses of its own. Nothing happens between two turns, and
/// within a turn nothing waits for a single call: each goes on for a bounded number of steps, then the next has its turn.
/// The events of a call say the same as those of the blocking client. An idle connection that the peer closes, or speaks
/// on, or whose time is over, is closed in the next turn.
///
/// Up to 32 calls go on together, but those under TLS: all receive before the first of them goes on, and those that begin
/// send when all have begun, but those that an observer listens to. Events have moments of their own; the moments of the
/// [timings](Completion::timings) of a call that nobody listens to are those at which it was done for all, a fraction of a
/// millisecond late.
///
/// Code of the caller's runs on this thread too, and holds all calls while it does: observers, and what bodies come from
/// and go to. A reader that blocks blocks them all: give the loop a [`BodySource`](crate::body::BodySource) instead,
/// which may say "not now". Code that panics fails its call, and no other.
///
/// **Drop** never waits: calls under way are canceled, which their events say, and idle connections are closed.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "testkit")] {
/// # use wirescope::testkit::{Peer, Script};
/// # let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// # let peer = Peer::start(Script::new().respond_with(move |_| answer.to_vec()))?;
/// let client = wirescope::Client::new()?;
/// let mut event_loop = wirescope::EventLoop::new(&client)?;
/// for number in 0..10 {
///     event_loop.submit(client.get(&peer.url(&format!("/{number}")))?)?;
/// }
/// while let Some(done) = event_loop.next()? {
///     let done = done.into_result()?;
///     println!("{} {:?}", done.url(), done.body());
/// }
/// # }
/// # Ok(())
/// # }
/// ```
pub struct EventLoop {
    client: Client,
    calls: Loop<Takes>,
    body_max: usize,
}

/// Names a call of an event loop: cheap to copy, and never given twice. It holds nothing; dropping it does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(CallId);

impl EventLoop {
    /// Makes a loop for a client.
    ///
    /// # Errors
    /// [`RequestRule::Setting`](crate::error::RequestRule::Setting) for a client that middleware wraps: middleware waits
    /// for the response in its own code, which would hold all other calls; and, named `observe`, for one with an observer
    /// that [may wait](crate::event::Observer::may_wait), as the channel of
    /// [`Overflow::Block`](crate::event::Overflow::Block) does. [`ErrorKind::Io`] when the system has no descriptors left.
    pub fn new(client: &Client) -> Result<Self> {
        if client.is_wrapped() {
            return Err(Error::setting("wrap"));
        }
        refuse_waiting(&client.engine().observers)?;
        let calls = Loop::new(client.engine()).map_err(no_loop)?;
        Ok(Self {
            client: client.clone(),
            calls,
            body_max: BODY_MAX,
        })
    }

    /// Sets how many bytes of a body are collected, for the calls that are submitted from now on. Default 16 MiB: the
    /// bodies of all calls are in memory at once. A longer one costs its connection.
    pub fn set_body_max(&mut self, bytes: usize) {
        self.body_max = bytes;
    }

    /// Takes a call, whose `call_start` is told; everything else happens in the turns of the loop.
    ///
    /// Cancel it by the ticket, or from another thread by the request's own
    /// [`CancelHandle`](crate::CancelHandle). A body that is collected may take 5 minutes in all, unless the call has a
    /// total of its own.
    ///
    /// # Errors
    /// `Local…` when the request contradicts itself, as [`Request::send`] does; and
    /// [`RequestRule::Setting`](crate::error::RequestRule::Setting) when it was begun with another client, whose
    /// settings it would not have here, or has an observer that [may wait](crate::event::Observer::may_wait). Every other
    /// error comes with the completion.
    pub fn submit(&mut self, request: Request) -> Result<Ticket> {
        let takes = Takes::collected(self.body_max);
        self.begin(request, takes)
    }

    /// Begins a call whose body goes into a sink as it comes, however long it is. While the sink says "not now", nothing
    /// more is received for this call: the peer waits. As long as it does, only the total of the call, if it has one,
    /// ends it. Else as [`EventLoop::submit`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(feature = "testkit")] {
    /// # use wirescope::testkit::{Peer, Script};
    /// use wirescope::body::ToFile;
    /// # let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    /// # let peer = Peer::start(Script::new().respond_with(move |_| answer.to_vec()))?;
    /// # let path = std::env::temp_dir().join(format!("wirescope-{}", std::process::id()));
    /// let client = wirescope::Client::new()?;
    /// let mut event_loop = wirescope::EventLoop::new(&client)?;
    /// event_loop.submit_to(client.get(&peer.url("/"))?, ToFile::new(&path))?;
    /// let done = event_loop.next()?.ok_or("no call")?.into_result()?;
    /// assert_eq!((done.body_bytes(), std::fs::read(&path)?), (2, b"hi".to_vec()));
    /// # std::fs::remove_file(&path)?;
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`EventLoop::submit`]. A sink that fails is told by the completion.
    pub fn submit_to(&mut self, request: Request, sink: impl BodySink + 'static) -> Result<Ticket> {
        self.begin(request, Takes::sink(sink))
    }

    fn begin(&mut self, request: Request, takes: Takes) -> Result<Ticket> {
        admit(&self.client, &request)?;
        self.calls.submit(request.ready(), takes).map(Ticket)
    }

    /// Cancels a call: it completes in the next turn with an error for which
    /// [`is_canceled`](Error::is_canceled) holds. Says whether it was under way; a ticket of a call that has completed,
    /// or of another loop, does nothing.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        self.calls.cancel(ticket.0)
    }

    /// Turns until a call has completed. None: there is no call left.
    ///
    /// Waits as long as the calls do; each has its deadlines.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the system cannot wait; the calls are as they were.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot say that the system failed and go on"
    )]
    pub fn next(&mut self) -> Result<Option<Completion>> {
        while !self.calls.has_ended() && self.calls.len() > 0 {
            self.turn(None)?;
        }
        Ok(self.try_next())
    }

    /// Shuts the loop down gracefully: lets the calls under way go on for `limit` at the most, cancels those that are left
    /// then, and closes the idle connections. Gives every completion that was not taken.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the system cannot wait; all calls are given up then.
    pub fn finish(mut self, limit: Duration) -> Result<Vec<Completion>> {
        let begun = clock::now();
        let mut all = Vec::new();
        loop {
            all.extend(std::iter::from_fn(|| self.try_next()));
            if self.calls.len() == 0 {
                return Ok(all);
            }
            let left = limit.saturating_sub(clock::now().saturating_duration_since(begun));
            if left.is_zero() {
                self.calls.cancel_all();
            }
            self.turn(Some(left))?;
        }
    }

    /// Takes a call that has completed, without a turn.
    pub fn try_next(&mut self) -> Option<Completion> {
        let ended = self.calls.take_ended()?;
        Some(Completion::of(ended))
    }

    /// Waits until something happens, for `timeout` at the most, then lets all calls that are ready go on once, or until 64
    /// have completed: the others stay ready, and [`next_wait`](EventLoop::next_wait) says so. Without a
    /// timeout it waits as long as [`next_wait`](EventLoop::next_wait) says; without a call, it may be for ever.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the system cannot wait; the calls are as they were.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.calls.turn(timeout).map_err(no_loop)
    }

    /// How long another loop may wait for the descriptor of this one before it calls
    /// [`turn`](EventLoop::turn) with a timeout of zero. Zero when there is something to do already, which the
    /// descriptor does not tell; none when nothing has a deadline.
    #[must_use]
    pub fn next_wait(&self) -> Option<Duration> {
        self.calls.next_wait()
    }

    /// Counts the calls under way; those that completed and were not taken are not among them.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Says what the pool of this loop holds now, by origin, and what it has done so far.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        self.calls.engine().pool_stats()
    }
}

/// The descriptor is readable when there may be something to do; it is to be asked beside
/// [`EventLoop::next_wait`], and to be read by nobody else.
impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.calls.as_fd()
    }
}

impl AsRawFd for EventLoop {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

/// Checks a request for a loop of this client.
fn admit(client: &Client, request: &Request) -> Result<()> {
    if !client.is_same(request.client()) {
        return Err(Error::setting("client"));
    }
    refuse_waiting(request.observers())
}

/// Refuses observers that would make all calls of a loop wait.
fn refuse_waiting(observers: &[ObserverRef]) -> Result<()> {
    if observers.iter().any(ObserverRef::may_wait) {
        return Err(Error::setting("observe"));
    }
    Ok(())
}

/// The loop as a whole could not be made, or could not wait.
fn no_loop(error: std::io::Error) -> Error {
    Error::new(ErrorKind::io(&error), Phase::Prepare).with_source(Box::new(error))
}
