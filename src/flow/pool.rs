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
//! Pure and generic over what it holds and how a call is woken: no clock, no lock, no socket. Waking is left to the
//! owner, after unlocking.

mod bounds;
mod counters;
mod detached;
mod key;
mod queue;
mod slots;
#[cfg(test)]
mod tests;
mod versions;

use std::sync::Arc;
use std::time::Instant;

pub(crate) use self::bounds::{Bounds, Life, Lifespan};
use self::counters::Counters;
pub(crate) use self::key::{Key, deciding};
pub(crate) use self::queue::{Cause, Heard, Mail, Scarce, Wish};
use self::queue::{Stage, Want, Wants};
pub(crate) use self::slots::Pooled;
use self::slots::{Counted, Slots};
use self::versions::Versions;
use crate::event::QueueLimit;
use crate::message::close::CloseReason;
use crate::message::framing::Version;
use crate::message::pool::{PoolCounts, PoolStats};
use crate::message::url::Url;

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Pool<T, W> {
    bounds: Bounds,
    slots: Slots<T>,
    wants: Wants<T, W>,
    versions: Versions,
    counters: Counters,
    /// Counts the calls of `close_idle`: a connection that was taken before one is not put back after it.
    generation: u64,
    /// Before this moment the time of no idle connection is over. It may be too early, since connections leave.
    idle_until: Option<Instant>,
}

/// What [`Pool::take`] came to.
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

/// What [`Pool::join`] came to.
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

impl<T: Pooled, W> Pool<T, W> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            slots: Slots::new(),
            wants: Wants::new(),
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

    /// Takes the newest idle connection for this URL, and throws out those whose time is over. Without one, or if none
    /// is wished for, the call gets a permit to dial, or has to wait.
    pub(crate) fn take(&mut self, url: &Url, id: u64, wish: Wish, now: Instant) -> Taken<T> {
        let timeout = self.bounds.idle_timeout;
        let looked = self.slots.look_for(url, wish, timeout, now);
        self.counters.closed_all(&looked.expired);
        self.counters.looked_up(looked.newest.is_some());
        let (found, evicted) = match looked.newest {
            Some(conn) => (Found::Idle(conn), None),
            None => {
                let key = looked.key.unwrap_or_else(|| Arc::new(Key::of(url)));
                self.permit(&key, id, wish)
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
    fn permit(&mut self, key: &Arc<Key>, id: u64, wish: Wish) -> (Found<T>, Option<T>) {
        let evicted = match self.blocked(key) {
            Some(QueueLimit::PerOrigin) if self.slots.idle_of(key) > 0 => {
                self.counters.closed(CloseReason::Evicted);
                self.slots.take_oldest_of(key)
            }
            None if self.has_starved() => {
                return (Found::MustWait(QueueLimit::Descriptors), None);
            }
            None => None,
            Some(QueueLimit::Total) if self.slots.total().idle > 0 => self.evict_oldest(),
            Some(limit) => return (Found::MustWait(limit), None),
        };
        self.dialing(key, id, wish);
        (Found::MayDial, evicted)
    }

    /// Says whether somebody waits for a descriptor and for nothing else.
    fn has_starved(&self) -> bool {
        let is_starved = |stage| matches!(stage, Stage::Queued(Cause::Descriptors { .. }));
        self.wants
            .waiting(|want| is_starved(want.stage) && self.blocked(&want.key).is_none())
            > 0
    }

    fn dialing(&mut self, key: &Arc<Key>, id: u64, wish: Wish) {
        self.slots.count(Counted::Dialing, key);
        self.wants.push(Want {
            id,
            key: key.clone(),
            wish,
            stage: Stage::Dialing,
            waker: None,
            mail: None,
        });
    }

    /// The limit that forbids one connection more of this key.
    fn blocked(&self, key: &Key) -> Option<QueueLimit> {
        let is_full = |max: Option<usize>, count: usize| max.is_some_and(|max| count >= max);
        let of_key = self.slots.connections_of(key);
        if is_full(self.bounds.per_key, of_key) {
            Some(QueueLimit::PerOrigin)
        } else if is_full(self.bounds.total, self.slots.connections()) {
            Some(QueueLimit::Total)
        } else {
            None
        }
    }

    /// Joins the queue, unless there is something for the call by now.
    pub(crate) fn join(
        &mut self,
        url: &Url,
        id: u64,
        (cause, wish): (Cause, Wish),
        waker: W,
    ) -> Joined<T, W> {
        let key = Arc::new(Key::of(url));
        let newest = match wish {
            Wish::Any => self.slots.take_newest(&key),
            Wish::Fresh => None,
        };
        let (found, evicted) = match (newest, cause) {
            (Some(conn), _) => (Found::Idle(conn), None),
            (None, Cause::Limits) => self.permit(&key, id, wish),
            (None, Cause::Descriptors { freed }) => self.scarce_permit(&key, id, wish, freed),
        };
        let mut gives_way = None;
        if let Found::MustWait(limit) = found {
            gives_way = self.unwanted(&key, limit);
            let cause = match limit {
                QueueLimit::Descriptors => Cause::Descriptors {
                    freed: self.counters.freed(),
                },
                QueueLimit::PerOrigin | QueueLimit::Total => Cause::Limits,
            };
            self.wants.push(Want {
                id,
                key,
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
            depth: self.wants.waiting(|_| true),
        }
    }

    /// A permit for a call that got no descriptor: for an idle connection that gives way, for a descriptor that was
    /// given back since, when nobody waited for it, or if nothing of this client can ever give way.
    fn scarce_permit(
        &mut self,
        key: &Arc<Key>,
        id: u64,
        wish: Wish,
        freed: u64,
    ) -> (Found<T>, Option<T>) {
        let blocked = self.blocked(key);
        let has_freed = blocked.is_none() && self.counters.freed() != freed;
        let is_full = blocked == Some(QueueLimit::PerOrigin);
        let evicted = if is_full { None } else { self.evict_oldest() };
        if evicted.is_none() && !has_freed && self.slots.connections() > 0 {
            return (Found::MustWait(QueueLimit::Descriptors), None);
        }
        self.dialing(key, id, wish);
        (Found::MayDial, evicted)
    }

    /// Says how a call is woken from now on, and what there is for it by now: mail, or an idle connection.
    pub(crate) fn listen(&mut self, id: u64, waker: W) -> Heard<T> {
        if let Some(mail) = self.read(id) {
            return Heard::Mail(mail);
        }
        let Some(want) = self.wants.find(id) else {
            return Heard::Nobody;
        };
        if want.stage == Stage::Unwanted {
            return Heard::GiveUp;
        }
        if want.stage == Stage::Dialing {
            let key = want.key.clone();
            if want.wish == Wish::Fresh || self.slots.connections_of(&key) <= 1 {
                return Heard::Nobody;
            }
            if let Some(conn) = self.slots.take_newest(&key) {
                self.counters.handed();
                return Heard::Mail(Mail::Handed(conn, self.generation));
            }
        }
        if let Some(want) = self.wants.find(id) {
            want.waker = Some(waker);
        }
        Heard::Nothing
    }

    /// Takes what is left for a call; it is not woken any more until it listens again.
    pub(crate) fn read(&mut self, id: u64) -> Option<Mail<T>> {
        let want = self.wants.find(id)?;
        want.waker = None;
        let mail = want.mail.take();
        let is_over = matches!(want.stage, Stage::Queued(_)) && mail.is_some();
        if is_over {
            self.wants.remove(id);
        }
        mail
    }

    /// A connection that was handed to a call is dead. For one that waited its place becomes the permit to dial; one
    /// that dials has its own.
    pub(crate) fn died(&mut self, key: &Arc<Key>, id: u64, reason: CloseReason) -> Served<T, W> {
        if self.wants.find(id).is_some() {
            return self.closed(key, reason);
        }
        self.slots.uncount(Counted::Active, key);
        self.counters.closed(reason);
        self.dialing(key, id, Wish::Any);
        Served::nothing()
    }

    /// A call waits no longer. What was left for it goes to the next.
    pub(crate) fn leave(&mut self, id: u64) -> Served<T, W> {
        let Some(want) = self.wants.remove(id) else {
            return Served::nothing();
        };
        match want.stage {
            Stage::Queued(_) => {}
            Stage::Dialing | Stage::Starved | Stage::Detached | Stage::Unwanted => {
                self.slots.uncount(Counted::Dialing, &want.key);
            }
        }
        match want.mail {
            Some(Mail::Handed(conn, generation)) => self.put(&want.key, conn, generation),
            Some(Mail::MayDial) => self.serve(1),
            None => self.serve(0),
        }
    }

    /// A dial is over, with a connection or without. What was left for its call goes to the next.
    pub(crate) fn dialed(&mut self, id: u64, is_won: bool) -> Served<T, W> {
        let Some(want) = self.wants.remove(id) else {
            return Served::nothing();
        };
        self.slots.uncount(Counted::Dialing, &want.key);
        if is_won {
            self.counters.opened();
            self.slots.count(Counted::Active, &want.key);
        }
        let mut served = match want.mail {
            Some(Mail::Handed(conn, generation)) => self.put(&want.key, conn, generation),
            Some(Mail::MayDial) | None => Served::nothing(),
        };
        let freed = usize::from(!is_won && want.stage != Stage::Starved);
        if freed > 0 {
            self.counters.gave_up();
        }
        served.join(self.serve(freed));
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
        if let (Some(want), Scarce::GivesUp) = (self.wants.find(id), otherwise) {
            want.stage = Stage::Starved;
        }
        Room::InUse {
            freed: self.counters.freed(),
        }
    }

    /// Counts a connection on loan that was closed.
    pub(crate) fn closed(&mut self, key: &Key, reason: CloseReason) -> Served<T, W> {
        self.slots.uncount(Counted::Active, key);
        self.counters.closed(reason);
        self.serve(1)
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
    pub(crate) fn place(&self, key: &Key, generation: u64) -> Result<u32, CloseReason> {
        if self.bounds.idle_per_key == 0 || self.bounds.idle_total == 0 {
            return Err(CloseReason::KeepAlivesDisabled);
        }
        if generation != self.generation {
            return Err(CloseReason::CloseIdleCalled);
        }
        let idle = self.slots.idle_of(key);
        let with_it = idle.saturating_add(1).min(self.bounds.idle_per_key);
        Ok(u32::try_from(with_it).unwrap_or(u32::MAX))
    }

    /// Puts a connection on loan back: to the oldest call that can use it, else it is idle. The oldest idle one of
    /// its key, or of all, gives way when there is no place.
    pub(crate) fn put(&mut self, key: &Key, conn: T, generation: u64) -> Served<T, W> {
        self.slots.uncount(Counted::Active, key);
        if generation != self.generation {
            self.counters.closed(CloseReason::CloseIdleCalled);
            let mut served = Served::closing(Some((conn, CloseReason::CloseIdleCalled)));
            served.join(self.serve(1));
            return served;
        }
        match self.oldest_user(key) {
            Some(User::Same(id)) => self.hand(id, conn),
            Some(User::Other(id)) => {
                self.counters.closed(CloseReason::Evicted);
                let mut served = Served::closing(Some((conn, CloseReason::Evicted)));
                served.wake.extend(self.grant(id));
                // The place in its own key is free for others.
                served.join(self.serve(0));
                served
            }
            None => self.idle(key, conn),
        }
    }

    /// The oldest call that can use a connection of this key, as it is or for its place.
    fn oldest_user(&self, key: &Key) -> Option<User> {
        self.wants.iter().find_map(|want| {
            if *want.key == *key && want.takes_connections() {
                return Some(User::Same(want.id));
            }
            let has_room = self
                .blocked(&want.key)
                .is_none_or(|limit| limit != QueueLimit::PerOrigin);
            (want.takes_permits() && has_room).then_some(User::Other(want.id))
        })
    }

    fn hand(&mut self, id: u64, conn: T) -> Served<T, W> {
        let generation = self.generation;
        let Some(want) = self.wants.find(id) else {
            return Served::nothing();
        };
        want.mail = Some(Mail::Handed(conn, generation));
        let (key, wake) = (want.key.clone(), want.waker.take());
        self.slots.count(Counted::Active, &key);
        self.counters.handed();
        Served {
            wake: wake.into_iter().collect(),
            closed: Vec::new(),
        }
    }

    fn grant(&mut self, id: u64) -> Option<W> {
        let want = self.wants.find(id)?;
        want.stage = Stage::Dialing;
        want.mail = Some(Mail::MayDial);
        let (key, wake) = (want.key.clone(), want.waker.take());
        self.slots.count(Counted::Dialing, &key);
        wake
    }

    fn idle(&mut self, key: &Key, conn: T) -> Served<T, W> {
        let until = conn.good_until(self.bounds.idle_timeout);
        let until = until.map(|(until, _)| until);
        self.idle_until = self.idle_until.into_iter().chain(until).min();
        let evicted = match self.slots.put(key, conn, self.bounds.idle_per_key) {
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
        while let Some((id, cause)) = self.next_permit(freed) {
            match cause {
                Cause::Limits => {}
                Cause::Descriptors { .. } if freed > 0 => freed = freed.saturating_sub(1),
                Cause::Descriptors { .. } => {
                    let evicted = self.evict_oldest();
                    served
                        .closed
                        .extend(evicted.map(|conn| (conn, CloseReason::Evicted)));
                }
            }
            served.wake.extend(self.grant(id));
        }
        self.slots.prune();
        served
    }

    fn next_permit(&self, freed: usize) -> Option<(u64, Cause)> {
        self.wants.iter().find_map(|want| match want.stage {
            Stage::Queued(cause) if want.mail.is_none() && self.blocked(&want.key).is_none() => {
                let may = match cause {
                    Cause::Limits => true,
                    Cause::Descriptors { .. } => {
                        freed > 0 || self.slots.total().idle > 0 || self.slots.connections() == 0
                    }
                };
                may.then_some((want.id, cause))
            }
            Stage::Queued(_)
            | Stage::Dialing
            | Stage::Starved
            | Stage::Detached
            | Stage::Unwanted => None,
        })
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
        let total = PoolCounts {
            waiting: self.wants.waiting(|_| true),
            ..self.slots.total()
        };
        let waiting = |key: &Key| self.wants.waiting(|want| *want.key == *key);
        self.counters.stats(total, self.slots.stats(waiting))
    }
}

/// A call that can use a connection: as it is, or for its place.
#[derive(Debug, Clone, Copy)]
enum User {
    Same(u64),
    Other(u64),
}

impl<T, W> Served<T, W> {
    fn nothing() -> Self {
        Self {
            wake: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn closing(closed: Option<(T, CloseReason)>) -> Self {
        Self {
            wake: Vec::new(),
            closed: closed.into_iter().collect(),
        }
    }

    fn join(&mut self, other: Self) {
        self.wake.extend(other.wake);
        self.closed.extend(other.closed);
    }
}
