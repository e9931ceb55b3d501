//! Dials that go on without their calls. They count against the limits, are bounded as idle connections are, and give way
//! to a call that waits for their place and could not use what comes of them.

use std::sync::Arc;

use crate::event::QueueLimit;
use crate::flow::pool::key::Key;
use crate::flow::pool::queue::{Mail, Stage, Want, Wish};
use crate::flow::pool::{Pool, Pooled, Served};

impl<T: Pooled, W> Pool<T, W> {
    /// A dial goes on without its call, as `alone`; it counts as before. What was left for the call goes to the next.
    ///
    /// Says whether there is a point in it: of such dials and idle connections there are no more than may be idle, of one
    /// key and of all; and nobody of another key waits for the place.
    pub(crate) fn detach(&mut self, id: u64, alone: u64) -> (bool, Served<T, W>) {
        let Some(want) = self.wants.find(id) else {
            return (false, Served::nothing());
        };
        let (key, mail) = (want.key.clone(), want.mail.take());
        (want.id, want.stage, want.wish) = (alone, Stage::Detached, Wish::Fresh);
        want.waker = None;
        let is_kept = self.keeps_detached(&key);
        let served = match mail {
            Some(Mail::Handed(conn, generation)) => self.put(&key, conn, generation),
            Some(Mail::MayDial) | None => Served::nothing(),
        };
        (is_kept, served)
    }

    fn keeps_detached(&self, key: &Key) -> bool {
        let is_detached = |stage| stage == Stage::Detached;
        let count = |of: Option<&Key>| {
            let wants = self.wants.iter().filter(|want| is_detached(want.stage));
            wants
                .filter(|want| of.is_none_or(|key| *want.key == *key))
                .count()
        };
        let is_in_the_way = self.wants.iter().any(|want| {
            let is_other = want.takes_permits() && *want.key != *key;
            is_other && self.blocked(&want.key) == Some(QueueLimit::Total)
        });
        let of_key = count(Some(key)).saturating_add(self.slots.idle_of(key));
        let of_all = count(None).saturating_add(self.slots.total().idle);
        of_key <= self.bounds.idle_per_key && of_all <= self.bounds.idle_total && !is_in_the_way
    }

    /// A call of this key has to wait because of this limit: the oldest dial without a call that keeps it out, and would
    /// be of no use to it, has to end. Gives what wakes that, if it waits.
    pub(super) fn unwanted(&mut self, key: &Arc<Key>, limit: QueueLimit) -> Option<W> {
        match limit {
            QueueLimit::Total => {}
            QueueLimit::PerOrigin | QueueLimit::Descriptors => return None,
        }
        let is_in_the_way = |want: &&Want<T, W>| want.stage == Stage::Detached && want.key != *key;
        let id = self.wants.iter().find(is_in_the_way)?.id;
        let want = self.wants.find(id)?;
        want.stage = Stage::Unwanted;
        want.waker.take()
    }
}
