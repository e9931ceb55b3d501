//! The connections by key: those that are idle, and how many are on loan and being dialed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::flow::pool::key::Key;
use crate::flow::pool::queue::Wish;
use crate::message::close::CloseReason;
use crate::message::pool::{KeyStats, PoolCounts};
use crate::message::url::Url;

/// Something that can be idle.
pub(crate) trait Pooled {
    /// The moment after which it is not used again, within the pool's own limit, and why.
    fn good_until(&self, idle_timeout: Duration) -> Option<(Instant, CloseReason)>;

    /// Since when it is idle.
    fn idle_since(&self) -> Option<Instant>;

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
    list: Vec<Slot<T>>,
    total: PoolCounts,
}

/// The connections of one key.
#[derive(Debug)]
struct Slot<T> {
    key: Arc<Key>,
    /// The newest last.
    idle: Vec<T>,
    /// Before this moment the time of none of them is over; without one they are looked at each time. It may be too
    /// early, since connections leave.
    idle_until: Option<Instant>,
    counts: PoolCounts,
}

/// Connections that the pool counts and does not hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    Active,
    Dialing,
}

/// What is there for a URL.
#[derive(Debug)]
pub(super) struct Looked<T> {
    /// Its key, if there is any connection of it.
    pub(super) key: Option<Arc<Key>>,
    /// The newest idle connection; it is on loan from now on.
    pub(super) newest: Option<T>,
    pub(super) expired: Vec<(T, CloseReason)>,
    /// Idle connections and connections on loan before.
    pub(super) idle: usize,
    pub(super) active: usize,
}

impl<T> Slot<T> {
    fn connections(&self) -> usize {
        let PoolCounts {
            idle: _,
            active,
            dialing,
            waiting: _,
        } = self.counts;
        self.idle
            .len()
            .saturating_add(active)
            .saturating_add(dialing)
    }
}

impl<T: Pooled> Slot<T> {
    /// Takes out the idle connections whose time is over. While none can be, they are not looked at.
    fn take_expired(&mut self, timeout: Duration, now: Instant) -> Vec<(T, CloseReason)> {
        if self.idle_until.is_some_and(|until| until > now) {
            return Vec::new();
        }
        let expired = split_off(&mut self.idle, &mut |conn: &mut T| {
            conn.expired(timeout, now)
        });
        let good_until = |conn: &T| conn.good_until(timeout).map(|(until, _)| until);
        let each = self.idle.iter().map(good_until);
        self.idle_until = each.reduce(earlier).flatten();
        expired
    }
}

impl<T: Pooled> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            list: Vec::new(),
            total: PoolCounts::default(),
        }
    }

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

    pub(super) fn connections_of(&self, key: &Key) -> usize {
        self.find(key).map_or(0, Slot::connections)
    }

    pub(super) fn idle_of(&self, key: &Key) -> usize {
        self.find(key).map_or(0, |slot| slot.idle.len())
    }

    fn find(&self, key: &Key) -> Option<&Slot<T>> {
        self.list.iter().find(|slot| *slot.key == *key)
    }

    fn find_mut(&mut self, key: &Key) -> Option<&mut Slot<T>> {
        self.list.iter_mut().find(|slot| *slot.key == *key)
    }

    /// Lends the newest idle connection, if any will do, and takes out those whose time is over.
    pub(super) fn look_for(
        &mut self,
        url: &Url,
        wish: Wish,
        timeout: Duration,
        now: Instant,
    ) -> Looked<T> {
        let slot = self.list.iter_mut().find(|slot| slot.key.is_for(url));
        let Some(slot) = slot else {
            return Looked {
                key: None,
                newest: None,
                expired: Vec::new(),
                idle: 0,
                active: 0,
            };
        };
        let (idle, active) = (slot.idle.len(), slot.counts.active);
        let expired = slot.take_expired(timeout, now);
        let newest = match wish {
            Wish::Any => slot.idle.pop(),
            Wish::Fresh => None,
        };
        let key = newest.is_none().then(|| slot.key.clone());
        if newest.is_some() {
            slot.counts.active = active.saturating_add(1);
            self.total.active = self.total.active.saturating_add(1);
        }
        let gone = expired.len().saturating_add(usize::from(newest.is_some()));
        self.total.idle = self.total.idle.saturating_sub(gone);
        Looked {
            key,
            newest,
            expired,
            idle,
            active,
        }
    }

    /// Lends the newest idle connection of a key.
    pub(super) fn take_newest(&mut self, key: &Key) -> Option<T> {
        let slot = self.find_mut(key)?;
        let conn = slot.idle.pop()?;
        slot.counts.active = slot.counts.active.saturating_add(1);
        self.total.idle = self.total.idle.saturating_sub(1);
        self.total.active = self.total.active.saturating_add(1);
        Some(conn)
    }

    /// Takes out the connection that was idle for the longest time.
    pub(super) fn take_oldest(&mut self) -> Option<T> {
        let since = |slot: &Slot<T>| slot.idle.first().and_then(Pooled::idle_since);
        let slot = self
            .list
            .iter_mut()
            .filter(|slot| !slot.idle.is_empty())
            .min_by_key(|slot| since(slot))?;
        let oldest = slot.idle.remove(0);
        self.total.idle = self.total.idle.saturating_sub(1);
        self.prune();
        Some(oldest)
    }

    /// Takes out the connection of a key that was idle for the longest time.
    pub(super) fn take_oldest_of(&mut self, key: &Key) -> Option<T> {
        let slot = self.find_mut(key).filter(|slot| !slot.idle.is_empty())?;
        let oldest = slot.idle.remove(0);
        self.total.idle = self.total.idle.saturating_sub(1);
        Some(oldest)
    }

    /// Makes a connection idle, which is good until then; the oldest of its key gives way beyond that many.
    pub(super) fn put(
        &mut self,
        key: &Key,
        conn: T,
        until: Option<Instant>,
        most: usize,
    ) -> Option<T> {
        let Some(slot) = self.find_mut(key) else {
            return Some(conn);
        };
        slot.idle_until = if slot.idle.is_empty() {
            until
        } else {
            earlier(slot.idle_until, until)
        };
        slot.idle.push(conn);
        if slot.idle.len() > most {
            return Some(slot.idle.remove(0));
        }
        self.total.idle = self.total.idle.saturating_add(1);
        None
    }

    /// Takes out the idle connections for which there is a reason.
    pub(super) fn take_if(
        &mut self,
        mut why: impl FnMut(&mut T) -> Option<CloseReason>,
    ) -> Vec<(T, CloseReason)> {
        let mut taken = Vec::new();
        for slot in &mut self.list {
            taken.extend(split_off(&mut slot.idle, &mut why));
        }
        self.total.idle = self.total.idle.saturating_sub(taken.len());
        self.prune();
        taken
    }

    pub(super) fn count(&mut self, what: Counted, key: &Arc<Key>) {
        *what.of(&mut self.total) = what.of(&mut self.total).saturating_add(1);
        let place = self.list.iter().position(|slot| slot.key == *key);
        let place = place.unwrap_or_else(|| {
            self.list.push(Slot {
                key: key.clone(),
                idle: Vec::new(),
                idle_until: None,
                counts: PoolCounts::default(),
            });
            self.list.len().saturating_sub(1)
        });
        if let Some(slot) = self.list.get_mut(place) {
            *what.of(&mut slot.counts) = what.of(&mut slot.counts).saturating_add(1);
        }
    }

    pub(super) fn uncount(&mut self, what: Counted, key: &Key) {
        *what.of(&mut self.total) = what.of(&mut self.total).saturating_sub(1);
        if let Some(slot) = self.find_mut(key) {
            *what.of(&mut slot.counts) = what.of(&mut slot.counts).saturating_sub(1);
        }
    }

    /// Forgets the keys without a connection.
    pub(super) fn prune(&mut self) {
        self.list.retain(|slot| slot.connections() > 0);
    }

    /// The counts of each key that has a connection, in the order of their names.
    pub(super) fn stats(&self, waiting: impl Fn(&Key) -> usize) -> Vec<KeyStats> {
        let mut keys: Vec<_> = self
            .list
            .iter()
            .map(|slot| KeyStats {
                key: slot.key.to_string().into(),
                counts: PoolCounts {
                    idle: slot.idle.len(),
                    waiting: waiting(&slot.key),
                    ..slot.counts
                },
            })
            .collect();
        keys.sort_by(|one, other| one.key.cmp(&other.key));
        keys
    }
}

impl Counted {
    fn of(self, counts: &mut PoolCounts) -> &mut usize {
        match self {
            Self::Active => &mut counts.active,
            Self::Dialing => &mut counts.dialing,
        }
    }
}

/// The earlier moment, if both are known.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.zip(other).map(|(one, other)| one.min(other))
}

/// Takes out the elements for which there is a reason; both parts keep their order. Without any, nothing is
/// allocated.
fn split_off<T>(
    list: &mut Vec<T>,
    why: &mut impl FnMut(&mut T) -> Option<CloseReason>,
) -> Vec<(T, CloseReason)> {
    let mut each = list.iter_mut().enumerate();
    let first = each.find_map(|(place, element)| Some((place, why(element)?)));
    let Some((place, reason)) = first else {
        return Vec::new();
    };
    let mut rest = list.split_off(place).into_iter();
    let first = rest.next().map(|element| (element, reason));
    let mut taken: Vec<_> = first.into_iter().collect();
    for mut element in rest {
        match why(&mut element) {
            Some(reason) => taken.push((element, reason)),
            None => list.push(element),
        }
    }
    taken
}
