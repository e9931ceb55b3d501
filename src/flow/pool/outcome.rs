//! What the operations of the pool come to.

use crate::event::QueueLimit;
use crate::message::close::CloseReason;

/// What [`Pool::take`](super::Pool::take) came to.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) found: Found<T>,
    /// Idle connections of the key whose time was over.
    pub(crate) expired: Vec<(T, CloseReason)>,
    /// An idle connection of another key that gave its place.
    pub(crate) evicted: Option<T>,
    /// Idle connections of the key before, and connections on loan.
    pub(crate) idle: usize,
    pub(crate) active: usize,
}

/// What there is for a call.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// The connection that was idle for the shortest time; it is on loan from now on.
    Idle(T),
    /// A permit to dial.
    MayDial,
    /// Nothing: this limit is reached, and the call waits if it joins the queue.
    MustWait(QueueLimit),
}

/// What [`Pool::join`](super::Pool::join) came to.
#[derive(Debug)]
pub(crate) struct Joined<T, W> {
    pub(crate) found: Found<T>,
    pub(crate) evicted: Option<T>,
    /// Wakes the dial without a call that has to give up its place for this one.
    pub(crate) gives_way: Option<W>,
    /// Calls of the client that wait, with this one if it does.
    pub(crate) depth: usize,
}

/// What has to be done after unlocking.
#[derive(Debug)]
pub(crate) struct Served<T, W> {
    /// The calls that have mail.
    pub(crate) wake: Vec<W>,
    /// The connections that gave way or had no place.
    pub(crate) closed: Vec<(T, CloseReason)>,
}

/// What is left to a dial that the system gave no descriptor.
#[derive(Debug)]
pub(crate) enum Room<T> {
    /// This connection was idle; when it is closed, there is a descriptor.
    Made(T),
    /// Nothing is idle, but connections of this client are in use; that many descriptors were given back so far.
    InUse { freed: u64 },
    /// This client has no connection.
    Nothing,
}

impl<T, W> Served<T, W> {
    pub(super) fn nothing() -> Self {
        Self {
            wake: Vec::new(),
            closed: Vec::new(),
        }
    }

    pub(super) fn closing(closed: Option<(T, CloseReason)>) -> Self {
        Self {
            wake: Vec::new(),
            closed: closed.into_iter().collect(),
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.wake.extend(other.wake);
        self.closed.extend(other.closed);
    }
}
