//! One channel for the completions of many calls.

use std::fmt;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::body::BodySink;
use crate::error::Result;
use crate::event_loop::handle::Lifeline;
use crate::event_loop::{Completion, Takes, Ticket};
use crate::request::Request;

/// Calls of a [`Handle`](crate::Handle) whose completions come into one channel.
///
/// The channel holds as many as have completed and were not taken; there is no other bound than the calls that are
/// submitted. **Drop** detaches: the calls go on, and their completions go to nobody.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "testkit")] {
/// # use wirescope::testkit::{Peer, Script};
/// # let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// # let peer = Peer::start(Script::new().respond_with(move |_| answer.to_vec()))?;
/// let client = wirescope::Client::new()?;
/// let inbox = wirescope::EventLoop::new(&client)?.spawn()?.inbox();
/// for number in 0..10 {
///     inbox.submit(client.get(&peer.url(&format!("/{number}")))?)?;
/// }
/// for done in inbox.receiver().iter().take(10) {
///     println!("{} {:?}", done.url(), done.status());
/// }
/// # }
/// # Ok(())
/// # }
/// ```
pub struct Inbox {
    lifeline: Arc<Lifeline>,
    to: Sender<Completion>,
    completions: Receiver<Completion>,
}

impl Inbox {
    pub(super) fn new(lifeline: Arc<Lifeline>) -> Self {
        let (to, completions) = unbounded();
        Self {
            lifeline,
            to,
            completions,
        }
    }

    /// Begins a call, whose completion comes into this inbox.
    ///
    /// # Errors
    /// As [`Handle::submit`](crate::Handle::submit).
    pub fn submit(&self, request: Request) -> Result<Ticket> {
        let takes = self.lifeline.shared.collected();
        self.lifeline.submit(request, takes, self.to.clone())
    }

    /// Begins a call whose body goes into a sink, on the thread of the loop.
    ///
    /// # Errors
    /// As [`Handle::submit_to`](crate::Handle::submit_to).
    pub fn submit_to(&self, request: Request, sink: impl BodySink + 'static) -> Result<Ticket> {
        self.lifeline
            .submit(request, Takes::sink(sink), self.to.clone())
    }

    /// The receiver of the completions, for `select!`. Each call gives exactly one, also when the loop ends; with no
    /// call under way it waits for ever.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<Completion> {
        &self.completions
    }

    /// Cancels a call; as [`Handle::cancel`](crate::Handle::cancel).
    pub fn cancel(&self, ticket: Ticket) {
        self.lifeline.shared.cancel(ticket);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("completed", &self.completions.len())
            .finish_non_exhaustive()
    }
}
