//! Who can use what comes free: the calls by what they take, the oldest first, so that none is looked at in vain.

use std::collections::BTreeSet;

use crate::flow::pool::slab::Id;

/// When a call came, counted up.
pub(super) type Arrival = u64;

/// What a call waits for, beside a connection of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// A place within the limits.
    Limits,
    /// A descriptor too.
    Descriptors,
}

/// What can be left for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claims {
    /// A connection of its key.
    pub(super) connections: bool,
    /// A permit to dial, and what for.
    pub(super) permits: Option<Need>,
}

impl Claims {
    pub(super) const NONE: Self = Self {
        connections: false,
        permits: None,
    };
}

/// Whether one connection more of a key is within the limit of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Left,
    Full,
}

/// The calls that something can be left for.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Those that take a connection, by slot.
    takers: BTreeSet<(Id, Arrival)>,
    /// Those that take a permit, by slot.
    queued: BTreeSet<(Id, Need, Arrival)>,
    /// The oldest of these for each need in each slot that has room.
    heads: BTreeSet<(Need, Arrival)>,
}

impl Line {
    /// Says whether nothing can be left for anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.takers.is_empty() && self.queued.is_empty()
    }

    /// The oldest call that takes a connection of this slot.
    pub(super) fn taker(&self, slot: Id) -> Option<Arrival> {
        let mut of_slot = self.takers.range((slot, 0)..=(slot, Arrival::MAX));
        of_slot.next().map(|(_, arrival)| *arrival)
    }

    /// The oldest call with this need whose key has room.
    pub(super) fn head(&self, need: Need) -> Option<Arrival> {
        let mut of_need = self.heads.range((need, 0)..=(need, Arrival::MAX));
        of_need.next().map(|(_, arrival)| *arrival)
    }

    /// The oldest call with this need of each key that has room, the oldest first.
    pub(super) fn heads(&self, need: Need) -> impl Iterator<Item = Arrival> + '_ {
        let of_need = self.heads.range((need, 0)..=(need, Arrival::MAX));
        of_need.map(|(_, arrival)| *arrival)
    }

    pub(super) fn take_connections(&mut self, slot: Id, arrival: Arrival) {
        self.takers.insert((slot, arrival));
    }

    pub(super) fn take_no_connections(&mut self, slot: Id, arrival: Arrival) {
        self.takers.remove(&(slot, arrival));
    }

    pub(super) fn queue(&mut self, slot: Id, need: Need, arrival: Arrival, room: Room) {
        let before = self.first(slot, need);
        self.queued.insert((slot, need, arrival));
        self.put_forward(slot, need, before, room);
    }

    pub(super) fn unqueue(&mut self, slot: Id, need: Need, arrival: Arrival, room: Room) {
        let before = self.first(slot, need);
        self.queued.remove(&(slot, need, arrival));
        self.put_forward(slot, need, before, room);
    }

    /// A slot came to have room, or has none any more.
    pub(super) fn room_changed(&mut self, slot: Id, room: Room) {
        for need in [Need::Limits, Need::Descriptors] {
            let Some(first) = self.first(slot, need) else {
                continue;
            };
            match room {
                Room::Left => self.heads.insert((need, first)),
                Room::Full => self.heads.remove(&(need, first)),
            };
        }
    }

    fn put_forward(&mut self, slot: Id, need: Need, before: Option<Arrival>, room: Room) {
        let after = self.first(slot, need);
        if room == Room::Full || before == after {
            return;
        }
        if let Some(before) = before {
            self.heads.remove(&(need, before));
        }
        self.heads.extend(after.map(|after| (need, after)));
    }

    fn first(&self, slot: Id, need: Need) -> Option<Arrival> {
        let range = (slot, need, 0)..=(slot, need, Arrival::MAX);
        let first = self.queued.range(range).next();
        first.map(|(_, _, arrival)| *arrival)
    }
}
