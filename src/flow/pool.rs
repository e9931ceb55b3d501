//! The connections of one client, by what they are good for, and the calls that wait for one.
//!
//! The rules guarded here: a connection serves only requests whose key is equal in every part; there are never more
//! connections than the limits say, counted from the permit to dial; and a newcomer never overtakes a call that waits.
//!
//! ```text
//!   wanted --idle there--> on loan <------------- handed --------------\
//!     |                      |  ^                                      |
//!     |                   back  idle again                             |
//!     |                      v  |                                      |
//!     |                     idle                                       |
//!     |--a permit is free--> dialing --done--> on loan                 |
//!     \--none is-----------> queued --permit--> dialing, or -----------/
//! ```
//!
//! What comes back goes to the oldest call that can use it: as the connection, if its key is equal, else as the permit
//! to dial, and the connection is closed for it. So nothing is idle that a waiting call could use.
//!
//! No operation gets slower with the keys, the connections or the calls, except by a logarithm, but for those that look
//! at all of them: `take_if`, what is made of it, and `stats`.
//!
//! Pure and generic over what it holds and how a call is woken: no clock, no lock, no socket. Waking is left to the
//! owner, after unlocking.

mod bounds;
mod counters;
mod detached;
mod idle;
mod key;
mod line;
#[cfg(test)]
mod naive;
mod outcome;
mod queue;
mod slab;
mod slots;
#[cfg(test)]
mod tests;
mod versions;

use std::sync::Arc;
use std::time::Instant;

pub(crate) use self::bounds::{Bounds, Life, Lifespan};
use self::counters::Counters;
use self::detached::Detached;
pub(crate) use self::key::{Key, deciding};
use self::line::{Arrival, Claims, Need, Room as KeyRoom};
pub(crate) use self::outcome::{Found, Joined, Room, Served, Taken};
pub(crate) use self::queue::{Cause, Heard, Mail, Scarce, Wish};
use self::queue::{Stage, Want, Wants};
use self::slab::Id;
pub(crate) use self::slots::Pooled;
use self::slots::{Counted, Slots};
use self::versions::Versions;
use crate::event::QueueLimit;
use crate::message::close::CloseReason;
use crate::message::framing::Version;
use crate::message::pool::PoolStats;
use crate::message::url::Url;
use crate::message::via::Destination;

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Pool<T, W> {
    bounds: Bounds,
    slots: Slots<T>,
    wants: Wants<T, W>,
    /// Dials that go on without their calls.
    detached: Detached,
    versions: Versions,
    counters: Counters,
    /// Counts the calls of `close_idle`: a connection that was taken before one is not put back after it.
    generation: u64,
    /// Before this moment the time of no idle connection is over. It may be too early, since connections leave.
    idle_until: Option<Instant>,
}

impl<T: Pooled, W> Pool<T, W> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            slots: Slots::new(bounds.per_key),
            wants: Wants::new(),
            detached: Detached::default(),
            versions: Versions::default(),
            counters: Counters::default(),
            generation: 0,
            idle_until: None,
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Which generation a connection taken or made now belongs to.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes the newest idle connection for this destination, and throws out those whose time is over. Without one, or if none
    /// is wished for, the call gets a permit to dial, or has to wait.
    pub(crate) fn take(
        &mut self,
        to: Destination<'_>,
        id: u64,
        wish: Wish,
        now: Instant,
    ) -> Taken<T> {
        let timeout = self.bounds.idle_timeout;
        let looked = self.slots.look_for(to, wish, timeout, now);
        self.counters.closed_all(&looked.expired);
        self.counters.looked_up(looked.newest.is_some());
        let (found, evicted) = match looked.newest {
            Some(conn) => (Found::Idle(conn), None),
            None => {
                let slot = looked.slot.unwrap_or_else(|| self.slots.open_for(to));
                let permit = self.permit(slot, id, wish);
                self.slots.release(slot);
                permit
            }
        };
        Taken {
            found,
            expired: looked.expired,
            evicted,
            idle: looked.idle,
            active: looked.active,
        }
    }

    /// Gives a newcomer a permit, if no limit forbids it.
    fn permit(&mut self, slot: Id, id: u64, wish: Wish) -> (Found<T>, Option<T>) {
        let limit = self.blocked(slot);
        let may = match limit {
            None => !self.has_starved(),
            Some(QueueLimit::PerOrigin) => self.slots.idle_of(slot) > 0,
            Some(QueueLimit::Total) => self.slots.total().idle > 0,
            Some(QueueLimit::Descriptors) => false,
        };
        if !may {
            let limit = limit.unwrap_or(QueueLimit::Descriptors);
            return (Found::MustWait(limit), None);
        }
        self.dialing(slot, id, wish);
        let evicted = match limit {
            None | Some(QueueLimit::Descriptors) => None,
            Some(QueueLimit::PerOrigin) => {
                self.counters.closed(CloseReason::Evicted);
                self.slots.take_oldest_of(slot)
            }
            Some(QueueLimit::Total) => self.evict_oldest(),
        };
        (Found::MayDial, evicted)
    }

    /// Says whether somebody waits for a descriptor and for nothing else.
    fn has_starved(&self) -> bool {
        self.slots.line().head(Need::Descriptors).is_some() && !self.is_full()
    }

    fn dialing(&mut self, slot: Id, id: u64, wish: Wish) {
        self.slots.count(Counted::Dialing, slot);
        self.push(Want {
            id,
            slot,
            wish,
            stage: Stage::Dialing,
            waker: None,
            mail: None,
        });
    }

    /// The limit that forbids one connection more of this slot.
    fn blocked(&self, slot: Id) -> Option<QueueLimit> {
        match self.slots.room(slot) {
            KeyRoom::Full => Some(QueueLimit::PerOrigin),
            KeyRoom::Left if self.is_full() => Some(QueueLimit::Total),
            KeyRoom::Left => None,
        }
    }

    /// Says whether the limit of all keys is reached.
    fn is_full(&self) -> bool {
        let connections = self.slots.connections();
        self.bounds.total.is_some_and(|max| connections >= max)
    }

    fn push(&mut self, want: Want<T, W>) {
        let (slot, claims) = (want.slot, want.claims());
        let arrival = self.wants.push(want);
        self.slots.claim(slot, arrival, Claims::NONE, claims);
    }

    /// Changes a call, and with it what can be left for it.
    fn change<R>(
        &mut self,
        arrival: Arrival,
        change: impl FnOnce(&mut Want<T, W>) -> R,
    ) -> Option<R> {
        let want = self.wants.get_mut(arrival)?;
        let before = want.claims();
        let changed = change(want);
        let (slot, after) = (want.slot, want.claims());
        self.slots.claim(slot, arrival, before, after);
        Some(changed)
    }

    fn remove(&mut self, id: u64) -> Option<Want<T, W>> {
        let arrival = self.wants.arrival(id)?;
        let want = self.wants.remove(arrival)?;
        let claims = want.claims();
        self.slots.claim(want.slot, arrival, claims, Claims::NONE);
        self.detached.remove(want.slot, id);
        Some(want)
    }

    /// Joins the queue, unless there is something for the call by now.
    pub(crate) fn join(
        &mut self,
        to: Destination<'_>,
        id: u64,
        (cause, wish): (Cause, Wish),
        waker: W,
    ) -> Joined<T, W> {
        let slot = self.slots.open_for(to);
        let newest = match wish {
            Wish::Any => self.slots.take_newest(slot),
            Wish::Fresh => None,
        };
        let (found, evicted) = match (newest, cause) {
            (Some(conn), _) => (Found::Idle(conn), None),
            (None, Cause::Limits) => self.permit(slot, id, wish),
            (None, Cause::Descriptors { freed }) => self.scarce_permit(slot, id, wish, freed),
        };
        let mut gives_way = None;
        if let Found::MustWait(limit) = found {
            gives_way = self.unwanted(slot, limit);
            let cause = match limit {
                QueueLimit::Descriptors => Cause::Descriptors {
                    freed: self.counters.freed(),
                },
                QueueLimit::PerOrigin | QueueLimit::Total => Cause::Limits,
            };
            self.push(Want {
                id,
                slot,
                wish,
                stage: Stage::Queued(cause),
                waker: Some(waker),
                mail: None,
            });
        }
        Joined {
            found,
            evicted,
            gives_way,
            depth: self.slots.total().waiting,
        }
    }

    /// A permit for a call that got no descriptor: for an idle connection that gives way, for a descriptor that was
    /// given back since, when nobody waited for it, or if nothing of this client can ever give way.
    fn scarce_permit(
        &mut self,
        slot: Id,
        id: u64,
        wish: Wish,
        freed: u64,
    ) -> (Found<T>, Option<T>) {
        let blocked = self.blocked(slot);
        let has_freed = blocked.is_none() && self.counters.freed() != freed;
        let is_full = blocked == Some(QueueLimit::PerOrigin);
        let gives_way = !is_full && self.slots.total().idle > 0;
        if !gives_way && !has_freed && self.slots.connections() > 0 {
            return (Found::MustWait(QueueLimit::Descriptors), None);
        }
        self.dialing(slot, id, wish);
        let evicted = if gives_way { self.evict_oldest() } else { None };
        (Found::MayDial, evicted)
    }

    /// Says how a call is woken from now on, and what there is for it by now: mail, or an idle connection.
    pub(crate) fn listen(&mut self, id: u64, waker: W) -> Heard<T> {
        if let Some(mail) = self.read(id) {
            return Heard::Mail(mail);
        }
        let Some((arrival, want)) = self.wants.find(id) else {
            return Heard::Nobody;
        };
        let slot = want.slot;
        if want.stage == Stage::Unwanted {
            return Heard::GiveUp;
        }
        if want.stage == Stage::Dialing {
            if want.wish == Wish::Fresh || self.slots.connections_of(slot) <= 1 {
                return Heard::Nobody;
            }
            if let Some(conn) = self.slots.take_newest(slot) {
                self.counters.handed();
                return Heard::Mail(Mail::Handed(conn, self.generation));
            }
        }
        self.change(arrival, |want| want.waker = Some(waker));
        Heard::Nothing
    }

    /// Takes what is left for a call; it is not woken any more until it listens again.
    pub(crate) fn read(&mut self, id: u64) -> Option<Mail<T>> {
        let (arrival, want) = self.wants.find(id)?;
        if matches!(want.stage, Stage::Queued(_)) && want.mail.is_some() {
            return self.remove(id)?.mail;
        }
        self.change(arrival, |want| {
            want.waker = None;
            want.mail.take()
        })?
    }

    /// A connection that was handed to a call is dead. For one that waited its place becomes the permit to dial; one
    /// that dials has its own.
    pub(crate) fn died(&mut self, key: &Arc<Key>, id: u64, reason: CloseReason) -> Served<T, W> {
        if self.wants.find(id).is_some() {
            return self.closed(key, reason);
        }
        let slot = self.slots.open(key);
        self.slots.uncount(Counted::Active, slot);
        self.counters.closed(reason);
        self.dialing(slot, id, Wish::Any);
        Served::nothing()
    }

    /// A call waits no longer. What was left for it goes to the next.
    pub(crate) fn leave(&mut self, id: u64) -> Served<T, W> {
        let Some(want) = self.remove(id) else {
            return Served::nothing();
        };
        match want.stage {
            Stage::Queued(_) => {}
            Stage::Dialing | Stage::Starved | Stage::Detached | Stage::Unwanted => {
                self.slots.uncount(Counted::Dialing, want.slot);
            }
        }
        let served = match want.mail {
            Some(Mail::Handed(conn, generation)) => self.put_back(want.slot, conn, generation),
            Some(Mail::MayDial) => self.serve(1),
            None => self.serve(0),
        };
        self.slots.release(want.slot);
        served
    }

    /// The key of what a call dials for, as all its connections share it.
    pub(crate) fn key_of_dial(&self, id: u64) -> Option<Arc<Key>> {
        let (_, want) = self.wants.find(id)?;
        self.slots.key(want.slot)
    }

    /// A dial is over, with a connection or without. What was left for its call goes to the next.
    pub(crate) fn dialed(&mut self, id: u64, is_won: bool) -> Served<T, W> {
        let Some(want) = self.remove(id) else {
            return Served::nothing();
        };
        self.slots.uncount(Counted::Dialing, want.slot);
        if is_won {
            self.counters.opened();
            self.slots.count(Counted::Active, want.slot);
        }
        let mut served = match want.mail {
            Some(Mail::Handed(conn, generation)) => self.put_back(want.slot, conn, generation),
            Some(Mail::MayDial) | None => Served::nothing(),
        };
        let freed = usize::from(!is_won && want.stage != Stage::Starved);
        if freed > 0 {
            self.counters.gave_up();
        }
        served.join(self.serve(freed));
        self.slots.release(want.slot);
        served
    }

    /// Looks what is left to a dial that the system gave no descriptor. Of one that is given up then, none comes free.
    pub(crate) fn make_room(&mut self, id: u64, otherwise: Scarce) -> Room<T> {
        if let Some(conn) = self.evict_oldest() {
            return Room::Made(conn);
        }
        if self.slots.connections() <= 1 {
            return Room::Nothing;
        }
        if let (Some((arrival, _)), Scarce::GivesUp) = (self.wants.find(id), otherwise) {
            self.change(arrival, |want| want.stage = Stage::Starved);
        }
        Room::InUse {
            freed: self.counters.freed(),
        }
    }

    /// Counts a connection on loan that was closed.
    pub(crate) fn closed(&mut self, key: &Arc<Key>, reason: CloseReason) -> Served<T, W> {
        let slot = self.slots.open(key);
        self.slots.uncount(Counted::Active, slot);
        self.counters.closed(reason);
        let served = self.serve(1);
        self.slots.release(slot);
        served
    }

    /// Remembers the version that an origin answered in.
    pub(crate) fn answered(&mut self, key: &Key, version: Version) {
        self.versions.answered(key, version);
    }

    /// Says whether the last response of this origin was HTTP/1.0.
    pub(crate) fn speaks_http10(&self, url: &Url) -> bool {
        self.versions.speaks_http10(url)
    }

    /// Says how many idle connections of a key there are with one more, or why that one has no place.
    pub(crate) fn place(&mut self, key: &Key, generation: u64) -> Result<u32, CloseReason> {
        if self.bounds.idle_per_key == 0 || self.bounds.idle_total == 0 {
            return Err(CloseReason::KeepAlivesDisabled);
        }
        if generation != self.generation {
            return Err(CloseReason::CloseIdleCalled);
        }
        let slot = self.slots.find(key);
        let idle = slot.map_or(0, |slot| self.slots.idle_of(slot));
        let with_it = idle.saturating_add(1).min(self.bounds.idle_per_key);
        Ok(u32::try_from(with_it).unwrap_or(u32::MAX))
    }

    /// Puts a connection on loan back: to the oldest call that can use it, else it is idle. The oldest idle one of
    /// its key, or of all, gives way when there is no place.
    pub(crate) fn put(&mut self, key: &Arc<Key>, conn: T, generation: u64) -> Served<T, W> {
        let slot = self.slots.open(key);
        let served = self.put_back(slot, conn, generation);
        self.slots.release(slot);
        served
    }

    fn put_back(&mut self, slot: Id, conn: T, generation: u64) -> Served<T, W> {
        self.slots.uncount(Counted::Active, slot);
        if generation != self.generation {
            self.counters.closed(CloseReason::CloseIdleCalled);
            let mut served = Served::closing(Some((conn, CloseReason::CloseIdleCalled)));
            served.join(self.serve(1));
            return served;
        }
        match self.oldest_user(slot) {
            Some(User::Same(arrival)) => self.hand(arrival, conn),
            Some(User::Other(arrival)) => {
                self.counters.closed(CloseReason::Evicted);
                let mut served = Served::closing(Some((conn, CloseReason::Evicted)));
                served.wake.extend(self.grant(arrival));
                // The place in its own key is free for others.
                served.join(self.serve(0));
                served
            }
            None => self.idle(slot, conn),
        }
    }

    /// The oldest call that can use a connection of this slot, as it is or for its place.
    fn oldest_user(&self, slot: Id) -> Option<User> {
        if self.slots.line().is_empty() {
            return None;
        }
        let same = self.slots.line().taker(slot);
        let other = self.slots.oldest_queued(true).map(|(arrival, _)| arrival);
        match (same, other) {
            (Some(same), Some(other)) if other < same => Some(User::Other(other)),
            (Some(same), Some(_) | None) => Some(User::Same(same)),
            (None, other) => other.map(User::Other),
        }
    }

    fn hand(&mut self, arrival: Arrival, conn: T) -> Served<T, W> {
        let mail = Mail::Handed(conn, self.generation);
        let handed = self.change(arrival, |want| {
            want.mail = Some(mail);
            (want.slot, want.waker.take())
        });
        let Some((slot, wake)) = handed else {
            return Served::nothing();
        };
        self.slots.count(Counted::Active, slot);
        self.counters.handed();
        Served {
            wake: wake.into_iter().collect(),
            closed: Vec::new(),
        }
    }

    fn grant(&mut self, arrival: Arrival) -> Option<W> {
        let (slot, wake) = self.change(arrival, |want| {
            want.stage = Stage::Dialing;
            want.mail = Some(Mail::MayDial);
            (want.slot, want.waker.take())
        })?;
        self.slots.count(Counted::Dialing, slot);
        wake
    }

    fn idle(&mut self, slot: Id, conn: T) -> Served<T, W> {
        let until = conn.good_until(self.bounds.idle_timeout);
        let until = until.map(|(until, _)| until);
        self.idle_until = match (self.idle_until, until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let most = self.bounds.idle_per_key;
        let evicted = match self.slots.put(slot, conn, until, most) {
            None if self.slots.total().idle > self.bounds.idle_total => self.slots.take_oldest(),
            evicted => evicted,
        };
        if evicted.is_some() {
            self.counters.closed(CloseReason::Evicted);
        }
        Served::closing(evicted.map(|conn| (conn, CloseReason::Evicted)))
    }

    /// Gives permits to the calls that can use one now, the oldest first. Those that wait for a descriptor get as
    /// many as were freed or idle connections can free, and one when nothing of this client is left.
    fn serve(&mut self, freed: usize) -> Served<T, W> {
        let (mut freed, mut served) = (freed, Served::nothing());
        while let Some((arrival, need)) = self.next_permit(freed) {
            match need {
                Need::Limits => {}
                Need::Descriptors if freed > 0 => freed = freed.saturating_sub(1),
                Need::Descriptors => {
                    let evicted = self.evict_oldest();
                    served
                        .closed
                        .extend(evicted.map(|conn| (conn, CloseReason::Evicted)));
                }
            }
            served.wake.extend(self.grant(arrival));
        }
        served
    }

    fn next_permit(&self, freed: usize) -> Option<(Arrival, Need)> {
        if self.is_full() {
            return None;
        }
        let is_idle = self.slots.total().idle > 0;
        let has_descriptor = freed > 0 || is_idle || self.slots.connections() == 0;
        self.slots.oldest_queued(has_descriptor)
    }

    fn evict_oldest(&mut self) -> Option<T> {
        let evicted = self.slots.take_oldest();
        if evicted.is_some() {
            self.counters.closed(CloseReason::Evicted);
        }
        evicted
    }

    /// Takes out what was idle for too long, or is too old.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<(T, CloseReason)> {
        let timeout = self.bounds.idle_timeout;
        self.take_if(|conn| conn.expired(timeout, now))
    }

    /// Takes out all idle connections, which are closed for that reason; those on loan now will not be put back.
    pub(crate) fn take_all(&mut self, reason: CloseReason) -> Vec<(T, CloseReason)> {
        self.generation = self.generation.saturating_add(1);
        self.take_if(|_| Some(reason))
    }

    /// Takes out the idle connections for which there is a reason.
    pub(crate) fn take_if(
        &mut self,
        why: impl FnMut(&mut T) -> Option<CloseReason>,
    ) -> Vec<(T, CloseReason)> {
        let (timeout, mut why) = (self.bounds.idle_timeout, why);
        let mut until: Option<Instant> = None;
        let taken = self.slots.take_if(|conn| {
            let reason = why(conn);
            if reason.is_none() {
                let own = conn.good_until(timeout).map(|(until, _)| until);
                until = until.into_iter().chain(own).min();
            }
            reason
        });
        self.idle_until = until;
        self.counters.closed_all(&taken);
        taken
    }

    /// The moment before which the time of no idle connection is over; none if there is no idle connection.
    pub(crate) fn idle_until(&self) -> Option<Instant> {
        self.idle_until.filter(|_| self.slots.total().idle > 0)
    }

    /// Counts idle connections and connections on loan.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let total = self.slots.total();
        (total.idle, total.active)
    }

    /// What the pool holds, and what it has done so far.
    pub(crate) fn stats(&self) -> PoolStats {
        self.counters.stats(self.slots.total(), self.slots.stats())
    }
}

/// A call that can use a connection: as it is, or for its place.
#[derive(Debug, Clone, Copy)]
enum User {
    Same(Arrival),
    Other(Arrival),
}
