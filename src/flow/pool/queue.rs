//! The calls that want a connection and have none, in the order of their arrival: those that wait because a limit was
//! reached, and those that dial.
//!
//! The rule guarded here: what is left for a call is kept for it until it reads it or leaves, and the oldest call
//! that can use something gets it.

use std::sync::Arc;

use crate::flow::pool::key::Key;

/// One call that wants a connection.
#[derive(Debug)]
pub(super) struct Want<T, W> {
    pub(super) id: u64,
    pub(super) key: Arc<Key>,
    pub(super) wish: Wish,
    pub(super) stage: Stage,
    /// What wakes the call, while it can be woken. Used up by waking.
    pub(super) waker: Option<W>,
    pub(super) mail: Option<Mail<T>>,
}

/// What a call wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Any connection of its key.
    Any,
    /// A new one: an idle one has just failed it, and the others may be as old.
    Fresh,
}

/// Where a call is that wants a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits; it has no permit.
    Queued(Cause),
    /// It may dial, and counts as a connection.
    Dialing,
    /// It gives its dial up, because the system had no descriptor for it.
    Starved,
    /// It is no call but a dial that goes on without one, and takes nothing.
    Detached,
    /// The same, and it has to give its place up.
    Unwanted,
}

/// Why a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A limit of the client.
    Limits,
    /// The system had no descriptor left when that many had been given back.
    Descriptors { freed: u64 },
}

/// What becomes of a dial for which there is no descriptor, when no idle connection gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scarce {
    /// It is given up, and its call waits.
    GivesUp,
    /// Another contestant goes on.
    GoesOn,
}

/// What is left for a call.
#[derive(Debug)]
pub(crate) enum Mail<T> {
    /// A connection, on loan to the call from now on, and the generation that it belongs to.
    Handed(T, u64),
    /// The permit to dial.
    MayDial,
}

/// What a call hears when it begins to listen.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// Something was left for it.
    Mail(Mail<T>),
    /// There is nothing yet.
    Nothing,
    /// It dials the only connection of its key, so none can come back.
    Nobody,
    /// It is a dial without a call, and its place is wanted.
    GiveUp,
}

/// The calls, the oldest first.
#[derive(Debug)]
pub(super) struct Wants<T, W>(Vec<Want<T, W>>);

impl<T, W> Wants<T, W> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, want: Want<T, W>) {
        self.0.push(want);
    }

    pub(super) fn find(&mut self, id: u64) -> Option<&mut Want<T, W>> {
        self.0.iter_mut().find(|want| want.id == id)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Want<T, W>> {
        let place = self.0.iter().position(|want| want.id == id)?;
        Some(self.0.remove(place))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Want<T, W>> {
        self.0.iter()
    }

    /// How many wait of whom something holds; those that have mail wait no longer.
    pub(super) fn waiting(&self, mut is_one: impl FnMut(&Want<T, W>) -> bool) -> usize {
        self.0
            .iter()
            .filter(|want| want.takes_permits() && is_one(want))
            .count()
    }
}

impl<T, W> Want<T, W> {
    /// Says whether a connection of its key can be left for it: it waits, or it dials and listens.
    pub(super) fn takes_connections(&self) -> bool {
        let is_waiting = matches!(self.stage, Stage::Queued(_));
        self.wish == Wish::Any && self.mail.is_none() && (is_waiting || self.waker.is_some())
    }

    /// Says whether it waits for a permit.
    pub(super) fn takes_permits(&self) -> bool {
        self.mail.is_none() && matches!(self.stage, Stage::Queued(_))
    }
}
