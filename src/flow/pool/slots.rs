//! The connections by key: those that are idle, and how many are on loan and being dialed; and the calls that one of
//! them can be left for.
//!
//! The rule guarded here: what one operation costs does not grow with the keys, the connections or the calls, except
//! by a logarithm. A key has a slot while it has a connection or a call that waits for a permit; who takes the last of
//! them away releases it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::flow::pool::idle::{Ends, Idles};
use crate::flow::pool::key::{Key, Ordered, Placed, Sought};
use crate::flow::pool::line::{Arrival, Claims, Line, Need, Room};
use crate::flow::pool::queue::Wish;
use crate::flow::pool::slab::{Id, Slab};
use crate::message::close::CloseReason;
use crate::message::pool::{KeyStats, PoolCounts};
use crate::message::via::Destination;

/// Something that can be idle.
pub(crate) trait Pooled {
    /// The moment after which it is not used again, within the pool's own limit, and why.
    fn good_until(&self, idle_timeout: Duration) -> Option<(Instant, CloseReason)>;

    /// Why it is not used again now, if its time is over.
    fn expired(&self, idle_timeout: Duration, now: Instant) -> Option<CloseReason> {
        match self.good_until(idle_timeout) {
            Some((until, reason)) => (until <= now).then_some(reason),
            None => Some(CloseReason::IdleTimeout),
        }
    }
}

/// The connections of all keys.
#[derive(Debug)]
pub(super) struct Slots<T> {
    index: BTreeMap<Ordered, Id>,
    slots: Slab<Slot>,
    /// The slot that was found last. It is looked at first: many calls in a row are for one key.
    last: Option<Id>,
    idle: Idles<T>,
    line: Line,
    total: PoolCounts,
    /// The most connections of one key.
    per_key: Option<usize>,
}

/// What there is of one key.
#[derive(Debug)]
struct Slot {
    key: Arc<Key>,
    idle: Ends,
    counts: Counts,
    /// Before this moment the time of none of the idle connections is over; none if that is not known.
    until: Option<Instant>,
}

/// The numbers of a slot: small, since there may be many thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    idle: u32,
    active: u32,
    dialing: u32,
    waiting: u32,
}

/// What is counted of each key and of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Idle,
    Active,
    Dialing,
    /// Calls that wait for a permit.
    Waiting,
}

/// What is there for a URL.
#[derive(Debug)]
pub(super) struct Looked<T> {
    /// The slot of its key, if it has one.
    pub(super) slot: Option<Id>,
    /// The newest idle connection; it is on loan from now on.
    pub(super) newest: Option<T>,
    pub(super) expired: Vec<(T, CloseReason)>,
    /// Idle connections and connections on loan before.
    pub(super) idle: usize,
    pub(super) active: usize,
}

impl Slot {
    fn room(&self, per_key: Option<usize>) -> Room {
        match per_key {
            Some(max) if self.counts.connections() >= max => Room::Full,
            Some(_) | None => Room::Left,
        }
    }
}

impl Counts {
    fn connections(self) -> usize {
        let connections = self.idle.saturating_add(self.active);
        connections.saturating_add(self.dialing) as usize
    }

    fn of(&mut self, what: Counted) -> &mut u32 {
        match what {
            Counted::Idle => &mut self.idle,
            Counted::Active => &mut self.active,
            Counted::Dialing => &mut self.dialing,
            Counted::Waiting => &mut self.waiting,
        }
    }
}

impl<T: Pooled> Slots<T> {
    pub(super) fn new(per_key: Option<usize>) -> Self {
        Self {
            index: BTreeMap::new(),
            slots: Slab::new(),
            last: None,
            idle: Idles::new(),
            line: Line::default(),
            total: PoolCounts::default(),
            per_key,
        }
    }

    /// The counts of all keys.
    pub(super) fn total(&self) -> PoolCounts {
        self.total
    }

    pub(super) fn connections(&self) -> usize {
        let PoolCounts {
            idle,
            active,
            dialing,
            waiting: _,
        } = self.total;
        idle.saturating_add(active).saturating_add(dialing)
    }

    pub(super) fn key(&self, slot: Id) -> Option<Arc<Key>> {
        Some(self.slots.get(slot)?.key.clone())
    }

    pub(super) fn connections_of(&self, slot: Id) -> usize {
        let slot = self.slots.get(slot);
        slot.map_or(0, |slot| slot.counts.connections())
    }

    pub(super) fn idle_of(&self, slot: Id) -> usize {
        let slot = self.slots.get(slot);
        slot.map_or(0, |slot| slot.counts.idle as usize)
    }

    /// Says whether one connection more of this slot is within the limit of its key.
    pub(super) fn room(&self, slot: Id) -> Room {
        let slot = self.slots.get(slot);
        slot.map_or(Room::Left, |slot| slot.room(self.per_key))
    }

    /// The calls that something can be left for.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// The slot of a key, if it has one.
    pub(super) fn find(&mut self, key: &Key) -> Option<Id> {
        if !self.is_last(|last| std::ptr::eq(last, key)) {
            self.last = self.index.get(key as &dyn Placed).copied();
        }
        self.last
    }

    fn find_for(&mut self, to: Destination<'_>) -> Option<Id> {
        if !self.is_last(|last| last.is_to(to)) {
            self.last = self.index.get(&Sought::new(to) as &dyn Placed).copied();
        }
        self.last
    }

    /// Says whether the slot that was found last is still there and has the right key.
    fn is_last(&self, is_right: impl FnOnce(&Key) -> bool) -> bool {
        let last = self.last.and_then(|last| self.slots.get(last));
        last.is_some_and(|slot| is_right(&slot.key))
    }

    /// The slot of a key, made if need be.
    pub(super) fn open(&mut self, key: &Arc<Key>) -> Id {
        self.find(key).unwrap_or_else(|| self.make(key.clone()))
    }

    /// The slot of the key of a URL, made if need be.
    pub(super) fn open_for(&mut self, to: Destination<'_>) -> Id {
        let found = self.find_for(to);
        found.unwrap_or_else(|| self.make(Arc::new(Key::of(to))))
    }

    fn make(&mut self, key: Arc<Key>) -> Id {
        let slot = self.slots.insert(Slot {
            key: key.clone(),
            idle: Ends::default(),
            counts: Counts::default(),
            until: None,
        });
        self.index.insert(Ordered::new(key), slot);
        slot
    }

    /// Forgets a slot in which nothing is left.
    pub(super) fn release(&mut self, slot: Id) {
        let is_empty = |of: &Slot| of.counts == Counts::default();
        if self.slots.get(slot).is_some_and(is_empty) {
            if let Some(Slot { key, .. }) = self.slots.remove(slot) {
                self.index.remove(&*key as &dyn Placed);
            }
        }
    }

    /// Lends the newest idle connection, if any will do, and takes out those whose time is over.
    pub(super) fn look_for(
        &mut self,
        to: Destination<'_>,
        wish: Wish,
        timeout: Duration,
        now: Instant,
    ) -> Looked<T> {
        let slot = self.find_for(to);
        let counts = slot.and_then(|slot| self.slots.get(slot));
        let counts = counts.map_or_else(Counts::default, |slot| slot.counts);
        let mut looked = Looked {
            slot,
            newest: None,
            expired: Vec::new(),
            idle: counts.idle as usize,
            active: counts.active as usize,
        };
        if let Some(slot) = slot {
            looked.expired = self.take_expired_of(slot, timeout, now);
            looked.newest = match wish {
                Wish::Any => self.take_newest(slot),
                Wish::Fresh => None,
            };
        }
        looked
    }

    /// Takes out the connections of a slot whose time is over, the oldest first. They are looked at only if there may
    /// be one.
    fn take_expired_of(
        &mut self,
        slot: Id,
        timeout: Duration,
        now: Instant,
    ) -> Vec<(T, CloseReason)> {
        let mut expired = Vec::new();
        let Some(of) = self.slots.get(slot) else {
            return expired;
        };
        if of.until.is_some_and(|until| until > now) {
            return expired;
        }
        let (mut next, mut until) = (of.idle.oldest(), None);
        while let Some(id) = next {
            next = self.idle.after_in_key(id);
            let Some(conn) = self.idle.conn(id) else {
                break;
            };
            let own = conn.good_until(timeout);
            match conn.expired(timeout, now) {
                Some(reason) => {
                    expired.extend(self.take(id, slot).map(|conn| (conn, reason)));
                }
                None => until = until.into_iter().chain(own.map(|(own, _)| own)).min(),
            }
        }
        if let Some(of) = self.slots.get_mut(slot) {
            of.until = until;
        }
        expired
    }

    /// Lends the newest idle connection of a slot. Its key has as many connections as before, so that its room is the same.
    pub(super) fn take_newest(&mut self, slot: Id) -> Option<T> {
        let of = self.slots.get_mut(slot)?;
        let conn = self.idle.remove(of.idle.newest()?, &mut of.idle)?;
        of.counts.idle = of.counts.idle.saturating_sub(1);
        of.counts.active = of.counts.active.saturating_add(1);
        self.total.idle = self.total.idle.saturating_sub(1);
        self.total.active = self.total.active.saturating_add(1);
        Some(conn)
    }

    /// Takes out the connection that was idle for the longest time.
    pub(super) fn take_oldest(&mut self) -> Option<T> {
        let (id, slot) = self.idle.oldest()?;
        let oldest = self.take(id, slot);
        self.release(slot);
        oldest
    }

    /// Takes out the connection of a slot that was idle for the longest time.
    pub(super) fn take_oldest_of(&mut self, slot: Id) -> Option<T> {
        let oldest = self.slots.get(slot)?.idle.oldest()?;
        self.take(oldest, slot)
    }

    fn take(&mut self, id: Id, slot: Id) -> Option<T> {
        let conn = self.idle.remove(id, &mut self.slots.get_mut(slot)?.idle)?;
        self.uncount(Counted::Idle, slot);
        Some(conn)
    }

    /// Makes a connection idle that is good until then; the oldest of its slot gives way beyond that many.
    pub(super) fn put(
        &mut self,
        slot: Id,
        conn: T,
        until: Option<Instant>,
        most: usize,
    ) -> Option<T> {
        let Some(of) = self.slots.get_mut(slot) else {
            return Some(conn);
        };
        of.until = match of.idle.newest() {
            Some(_) => of.until.min(until),
            None => until,
        };
        self.idle.push(slot, &mut of.idle, conn);
        self.count(Counted::Idle, slot);
        if self.idle_of(slot) > most {
            self.take_oldest_of(slot)
        } else {
            None
        }
    }

    /// Takes out the idle connections for which there is a reason, the oldest first.
    pub(super) fn take_if(
        &mut self,
        mut why: impl FnMut(&mut T) -> Option<CloseReason>,
    ) -> Vec<(T, CloseReason)> {
        let mut taken = Vec::new();
        let mut next = self.idle.oldest().map(|(id, _)| id);
        while let Some(id) = next {
            let Some((after, slot)) = self.idle.after(id) else {
                break;
            };
            next = after;
            let Some(reason) = self.idle.conn(id).and_then(&mut why) else {
                continue;
            };
            taken.extend(self.take(id, slot).map(|conn| (conn, reason)));
            self.release(slot);
        }
        taken
    }

    pub(super) fn count(&mut self, what: Counted, slot: Id) {
        let total = what.of(&mut self.total);
        *total = total.saturating_add(1);
        self.recount(slot, |counts| {
            let count = counts.of(what);
            *count = count.saturating_add(1);
        });
    }

    pub(super) fn uncount(&mut self, what: Counted, slot: Id) {
        let total = what.of(&mut self.total);
        *total = total.saturating_sub(1);
        self.recount(slot, |counts| {
            let count = counts.of(what);
            *count = count.saturating_sub(1);
        });
    }

    fn recount(&mut self, slot: Id, change: impl FnOnce(&mut Counts)) {
        let Some(of) = self.slots.get_mut(slot) else {
            return;
        };
        let before = of.room(self.per_key);
        change(&mut of.counts);
        let after = of.room(self.per_key);
        if before != after {
            self.line.room_changed(slot, after);
        }
    }

    /// What can be left for a call is another now.
    pub(super) fn claim(&mut self, slot: Id, arrival: Arrival, before: Claims, after: Claims) {
        match (before.connections, after.connections) {
            (false, true) => self.line.take_connections(slot, arrival),
            (true, false) => self.line.take_no_connections(slot, arrival),
            (true, true) | (false, false) => {}
        }
        if before.permits == after.permits {
            return;
        }
        if let Some(need) = before.permits {
            self.line.unqueue(slot, need, arrival, self.room(slot));
            self.uncount(Counted::Waiting, slot);
        }
        if let Some(need) = after.permits {
            self.line.queue(slot, need, arrival, self.room(slot));
            self.count(Counted::Waiting, slot);
        }
    }

    /// The oldest call that can use a permit now, if the limits of all keys allow one. Those that need a descriptor
    /// are looked at only if there is one.
    pub(super) fn oldest_queued(&self, has_descriptor: bool) -> Option<(Arrival, Need)> {
        let needs = [
            Some(Need::Limits),
            has_descriptor.then_some(Need::Descriptors),
        ];
        let heads = needs.into_iter().flatten();
        heads
            .filter_map(|need| Some((self.line.head(need)?, need)))
            .min()
    }

    /// The counts of each key that has a connection, in the order of their names.
    pub(super) fn stats(&self) -> Vec<KeyStats> {
        let used = self.slots.iter();
        let used = used.filter(|slot| slot.counts.connections() > 0);
        let mut keys: Vec<_> = used
            .map(|slot| KeyStats {
                key: slot.key.to_string().into(),
                counts: slot.counts.into(),
            })
            .collect();
        keys.sort_by(|one, other| one.key.cmp(&other.key));
        keys
    }
}

impl From<Counts> for PoolCounts {
    fn from(counts: Counts) -> Self {
        Self {
            idle: counts.idle as usize,
            active: counts.active as usize,
            dialing: counts.dialing as usize,
            waiting: counts.waiting as usize,
        }
    }
}

impl Counted {
    fn of(self, counts: &mut PoolCounts) -> &mut usize {
        match self {
            Self::Idle => &mut counts.idle,
            Self::Active => &mut counts.active,
            Self::Dialing => &mut counts.dialing,
            Self::Waiting => &mut counts.waiting,
        }
    }
}
