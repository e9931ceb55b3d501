//! The loop on a thread of its own, as other threads have it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use crate::body::BodySink;
use crate::client::Client;
use crate::drive::multi::Gate;
use crate::error::{Error, ErrorKind, Phase, RequestRule, Result};
use crate::event_loop::runner::{Order, Runner};
use crate::event_loop::{
    Completion, EventLoop, Inbox, Pending, Reply, Takes, Ticket, admit, no_loop,
};
use crate::message::pool::PoolStats;
use crate::net::clock;
use crate::net::inlet::Inlet;
use crate::net::poll::Bell;
use crate::net::thread::{Joined, Thread};
use crate::request::Request;

/// An [`EventLoop`] that turns on a [thread of its own](EventLoop::spawn). Cloning is cheap; it can be used from many
/// threads at once.
///
/// A call is [submitted](Handle::submit) and gives a [`Pending`]; many calls give their completions into one channel
/// through an [`Inbox`]. Each call completes exactly once, whatever becomes of the loop.
///
/// **Drop** never waits. When the last handle and the last inbox are gone, the calls under way go on to their end, each
/// with its deadlines; then idle connections are closed and the thread ends. [`shutdown`](Handle::shutdown) bounds that,
/// and waits for it. An observer of the client that holds a handle keeps its own loop alive until then.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "testkit")] {
/// # use std::time::Duration;
/// # use wirescope::testkit::{Peer, Script};
/// # let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// # let peer = Peer::start(Script::new().respond_with(move |_| answer.to_vec()))?;
/// let client = wirescope::Client::new()?;
/// let handle = wirescope::EventLoop::new(&client)?.spawn()?;
/// let one = handle.submit(client.get(&peer.url("/one"))?)?;
/// let other = handle.submit(client.get(&peer.url("/other"))?)?;
/// println!("{:?} {:?}", one.wait()?.status(), other.wait()?.status());
/// handle.shutdown(Duration::from_secs(1))?;
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    lifeline: Arc<Lifeline>,
}

/// What keeps the loop taking calls.
pub(super) struct Lifeline {
    pub(super) shared: Arc<Shared>,
    thread: Thread<Result<()>>,
}

/// What the loop and those who use it share.
pub(super) struct Shared {
    client: Client,
    body_max: usize,
    pub(super) gate: Arc<Gate>,
    pub(super) inlet: Inlet<Order, Bell>,
    /// Calls that have not completed.
    pub(super) calls: AtomicUsize,
}

impl EventLoop {
    /// Lets the loop turn on a thread of its own, named `wirescope-loop`. Code of the caller's that runs on the thread of
    /// the loop runs there then.
    ///
    /// Calls that were submitted before go on, but nobody gets their completions.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the system has no thread left; the calls under way are canceled then.
    pub fn spawn(self) -> Result<Handle> {
        let gate = self.calls.gate();
        let shared = Arc::new(Shared {
            client: self.client.clone(),
            body_max: self.body_max,
            inlet: Inlet::new(gate.bell()),
            gate,
            calls: AtomicUsize::new(0),
        });
        let runner = Runner::new(self, shared.clone());
        let thread = Thread::start("wirescope-loop", move || runner.run()).map_err(no_loop)?;
        let lifeline = Arc::new(Lifeline { shared, thread });
        Ok(Handle { lifeline })
    }
}

impl Handle {
    /// Begins a call. It goes on in the loop; dropping the [`Pending`] does not end it.
    ///
    /// The request is checked on this thread; everything else, from `call_start` on, happens on that of the loop. The
    /// timeouts count from now.
    ///
    /// # Errors
    /// As [`EventLoop::submit`], and [`RequestRule::LoopEnded`] when the loop was shut down or its thread has ended.
    pub fn submit(&self, request: Request) -> Result<Pending> {
        let takes = self.lifeline.shared.collected();
        self.begin(request, takes)
    }

    /// Begins a call whose body goes into a sink, on the thread of the loop; as
    /// [`EventLoop::submit_to`] and [`Handle::submit`].
    ///
    /// # Errors
    /// As [`Handle::submit`]. A sink that fails is told by the completion.
    pub fn submit_to(&self, request: Request, sink: impl BodySink + 'static) -> Result<Pending> {
        self.begin(request, Takes::sink(sink))
    }

    fn begin(&self, request: Request, takes: Takes) -> Result<Pending> {
        let (to, completions) = bounded(1);
        let ticket = self.lifeline.submit(request, takes, to)?;
        let shared = self.lifeline.shared.clone();
        Ok(Pending::new(ticket, completions, shared))
    }

    /// Makes a channel that the completions of many calls come into.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        Inbox::new(self.lifeline.clone())
    }

    /// Cancels a call: it completes soon with an error for which [`is_canceled`](Error::is_canceled) holds. A ticket of a
    /// call that has completed, or of another loop, does nothing.
    pub fn cancel(&self, ticket: Ticket) {
        self.lifeline.shared.cancel(ticket);
    }

    /// Counts the calls that have not completed.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lifeline.shared.calls.load(Ordering::Relaxed)
    }

    /// Says what the pool of the loop holds now, by origin, and what it has done so far.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        self.lifeline.shared.gate.engine().pool_stats()
    }

    /// Shuts the loop down gracefully: it takes no call any more, those under way go on for `limit` at the most, those
    /// that are left then are canceled, idle connections are closed, and the thread ends. Every call has completed when
    /// this returns. Of several limits the first to pass counts.
    ///
    /// Waits for the thread, but not on that thread itself: in an observer it only begins.
    ///
    /// # Errors
    /// What the loop ended with, if it was not this; it is told once. [`ErrorKind::Io`] when the system could not wait,
    /// [`ErrorKind::Internal`] after a panic.
    pub fn shutdown(&self, limit: Duration) -> Result<()> {
        let Lifeline { shared, thread } = &*self.lifeline;
        shared.inlet.end(clock::now().checked_add(limit));
        match thread.join() {
            Joined::Ended(result) => result,
            Joined::Panicked => Err(Error::new(ErrorKind::Internal, Phase::Done)),
            Joined::Told | Joined::Itself => Ok(()),
        }
    }
}

impl Lifeline {
    /// Gives a call to the loop, whose completion goes there.
    pub(super) fn submit(
        &self,
        request: Request,
        takes: Takes,
        to: Sender<Completion>,
    ) -> Result<Ticket> {
        let Shared { client, gate, .. } = &*self.shared;
        admit(client, &request)?;
        let prepared = gate.prepare(request.ready())?;
        let ticket = Ticket(prepared.call().id());
        let reply = Reply::new(prepared.call(), to, self.shared.clone());
        let order = Order::Begin(prepared, takes, reply);
        match self.shared.inlet.put(order) {
            Ok(()) => Ok(ticket),
            Err(order) => {
                order.withdraw();
                Err(RequestRule::LoopEnded.into())
            }
        }
    }
}

/// Nobody can submit any more.
impl Drop for Lifeline {
    fn drop(&mut self) {
        self.shared.inlet.end(None);
    }
}

impl Shared {
    /// Content is collected, if nothing else is said.
    pub(super) fn collected(&self) -> Takes {
        Takes::collected(self.body_max)
    }

    pub(super) fn cancel(&self, ticket: Ticket) {
        self.inlet.note(Order::Cancel(ticket.0));
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}
