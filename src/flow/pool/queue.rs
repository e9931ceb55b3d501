//! The calls that want a connection and have none, in the order of their arrival: those that wait because a limit was
//! reached, and those that dial.
//!
//! The rule guarded here: what is left for a call is kept for it until it reads it or leaves, and the oldest call
//! that can use something gets it.

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::pool::line::{Arrival, Claims, Need};
use crate::flow::pool::slab::Id;

/// One call that wants a connection.
#[derive(Debug)]
pub(super) struct Want<T, W> {
    pub(super) id: u64,
    /// The slot of its key.
    pub(super) slot: Id,
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

/// The calls by their arrival.
#[derive(Debug)]
pub(super) struct Wants<T, W> {
    list: BTreeMap<Arrival, Want<T, W>>,
    /// The number of each call, with its arrival.
    numbers: BTreeSet<(u64, Arrival)>,
    next: Arrival,
}

impl<T, W> Wants<T, W> {
    pub(super) fn new() -> Self {
        Self {
            list: BTreeMap::new(),
            numbers: BTreeSet::new(),
            next: 0,
        }
    }

    pub(super) fn push(&mut self, want: Want<T, W>) -> Arrival {
        let arrival = self.next;
        self.next = arrival.saturating_add(1);
        self.numbers.insert((want.id, arrival));
        self.list.insert(arrival, want);
        arrival
    }

    pub(super) fn arrival(&self, id: u64) -> Option<Arrival> {
        let mut numbers = self.numbers.range((id, 0)..=(id, Arrival::MAX));
        numbers.next().map(|(_, arrival)| *arrival)
    }

    pub(super) fn find(&self, id: u64) -> Option<(Arrival, &Want<T, W>)> {
        let arrival = self.arrival(id)?;
        Some((arrival, self.list.get(&arrival)?))
    }

    pub(super) fn get(&self, arrival: Arrival) -> Option<&Want<T, W>> {
        self.list.get(&arrival)
    }

    pub(super) fn get_mut(&mut self, arrival: Arrival) -> Option<&mut Want<T, W>> {
        self.list.get_mut(&arrival)
    }

    pub(super) fn remove(&mut self, arrival: Arrival) -> Option<Want<T, W>> {
        let want = self.list.remove(&arrival)?;
        self.numbers.remove(&(want.id, arrival));
        Some(want)
    }
}

impl<T, W> Want<T, W> {
    /// What can be left for it. A connection of its key, if any will do, while it waits, or while it dials and
    /// listens; a permit while it waits.
    pub(super) fn claims(&self) -> Claims {
        let permits = match self.stage {
            _ if self.mail.is_some() => return Claims::NONE,
            Stage::Queued(Cause::Limits) => Some(Need::Limits),
            Stage::Queued(Cause::Descriptors { .. }) => Some(Need::Descriptors),
            Stage::Dialing | Stage::Starved | Stage::Detached | Stage::Unwanted => None,
        };
        let is_listening = permits.is_some() || self.waker.is_some();
        Claims {
            connections: self.wish == Wish::Any && is_listening,
            permits,
        }
    }
}
