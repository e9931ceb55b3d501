//! Dials that go on without their calls. They count against the limits, are bounded as idle connections are, and give way
//! to a call that waits for their place and could not use what comes of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::QueueLimit;
use crate::flow::pool::line::Need;
use crate::flow::pool::queue::{Mail, Stage, Want, Wish};
use crate::flow::pool::slab::Id;
use crate::flow::pool::{Pool, Pooled, Served};

/// Which dials go on without their calls.
#[derive(Debug, Default)]
pub(super) struct Detached {
    by_slot: BTreeMap<Id, BTreeSet<u64>>,
    total: usize,
}

impl Detached {
    fn insert(&mut self, slot: Id, id: u64) {
        if self.by_slot.entry(slot).or_default().insert(id) {
            self.total = self.total.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, slot: Id, id: u64) {
        let Some(of_slot) = self.by_slot.get_mut(&slot) else {
            return;
        };
        if of_slot.remove(&id) {
            self.total = self.total.saturating_sub(1);
        }
        if of_slot.is_empty() {
            self.by_slot.remove(&slot);
        }
    }

    fn count(&self, slot: Id) -> usize {
        self.by_slot.get(&slot).map_or(0, BTreeSet::len)
    }

    /// The first of each other slot: the oldest there, since ids only grow.
    fn firsts_beside(&self, slot: Id) -> impl Iterator<Item = (Id, u64)> + '_ {
        let others = self.by_slot.iter().filter(move |(of, _)| **of != slot);
        others.filter_map(|(of, ids)| Some((*of, *ids.first()?)))
    }
}

impl<T: Pooled, W> Pool<T, W> {
    /// A dial goes on without its call, as `alone`; it counts as before. What was left for the call goes to the next.
    ///
    /// Says whether there is a point in it: of such dials and idle connections there are no more than may be idle, of one
    /// key and of all; and nobody of another key waits for the place.
    pub(crate) fn detach(&mut self, id: u64, alone: u64) -> (bool, Served<T, W>) {
        let Some(want) = self.remove(id) else {
            return (false, Served::nothing());
        };
        let slot = want.slot;
        self.push(Want {
            id: alone,
            slot,
            wish: Wish::Fresh,
            stage: Stage::Detached,
            waker: None,
            mail: None,
        });
        self.detached.insert(slot, alone);
        let is_kept = self.keeps_detached(slot);
        let served = match want.mail {
            Some(Mail::Handed(conn, generation)) => self.put_back(slot, conn, generation),
            Some(Mail::MayDial) | None => Served::nothing(),
        };
        (is_kept, served)
    }

    fn keeps_detached(&self, slot: Id) -> bool {
        let of_slot = self.detached.count(slot);
        let of_slot = of_slot.saturating_add(self.slots.idle_of(slot));
        let of_all = self.detached.total;
        let of_all = of_all.saturating_add(self.slots.total().idle);
        let is_in_the_way = self.is_full() && self.waits_for_another(slot);
        of_slot <= self.bounds.idle_per_key && of_all <= self.bounds.idle_total && !is_in_the_way
    }

    /// Says whether a call of another key, which has room, waits for a permit.
    fn waits_for_another(&self, slot: Id) -> bool {
        let line = self.slots.line();
        let needs = [Need::Limits, Need::Descriptors];
        let mut heads = needs.into_iter().flat_map(|need| line.heads(need));
        heads.any(|arrival| {
            let want = self.wants.get(arrival);
            want.is_some_and(|want| want.slot != slot)
        })
    }

    /// A call of this key has to wait because of this limit: the oldest dial without a call that keeps it out, and would
    /// be of no use to it, has to end. Gives what wakes that, if it waits.
    pub(super) fn unwanted(&mut self, slot: Id, limit: QueueLimit) -> Option<W> {
        match limit {
            QueueLimit::Total => {}
            QueueLimit::PerOrigin | QueueLimit::Descriptors => return None,
        }
        let others = self.detached.firsts_beside(slot);
        let arrivals = others.filter_map(|(of, id)| Some((self.wants.arrival(id)?, of, id)));
        let (arrival, of, id) = arrivals.min()?;
        self.detached.remove(of, id);
        self.change(arrival, |want| {
            want.stage = Stage::Unwanted;
            want.waker.take()
        })?
    }
}
