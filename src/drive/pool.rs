//! The pool of a client as its calls use it: under one lock, with the waking and the closing done outside of it, and
//! the looking at a connection that a call takes. Only [`Engine::close_expired`] looks under the lock, at all that are
//! idle: that is one system call each, and never waits.

use std::sync::Arc;
use std::time::Instant;

use crate::drive::apply::Running;
use crate::drive::engine::{Engine, lock, next_dial};
use crate::drive::lease::Idle;
use crate::drive::outlook::News;
use crate::event::ClosedBy;
use crate::flow::action::{self, Cause, Discarded, IdleAnswer, Offer, Scarce, Wish};
use crate::flow::connection::Connection;
use crate::flow::pool::{self, Found, Heard, Joined, Key, Mail, Pooled, Served};
use crate::ids::CallId;
use crate::message::close::CloseReason;
use crate::message::framing::Version;
use crate::message::pool::PoolStats;
use crate::message::url::Url;
use crate::message::via::Destination;
use crate::net::cancel::Alarm;
use crate::net::clock;
use crate::net::transport::{Liveness, Transport};

/// A connection taken out of the pool: its byte stream, its facts, and its generation.
pub(crate) struct Loan {
    pub(crate) transport: Transport,
    pub(crate) connection: Box<Connection>,
    pub(crate) generation: u64,
}

/// What the pool has to know of a connection on loan that was closed.
pub(crate) struct Gone {
    key: Arc<Key>,
    version: Option<Version>,
    reason: CloseReason,
}

impl Gone {
    pub(crate) fn of(connection: &Connection, reason: CloseReason) -> Self {
        Self {
            key: connection.key.clone(),
            version: connection.version,
            reason,
        }
    }
}

impl Engine {
    /// Takes the newest idle connection that can be used, if one is wished for, else a permit; what cannot be used is
    /// closed on the way.
    pub(crate) fn take_idle(
        &self,
        to: Destination<'_>,
        call: CallId,
        wish: Wish,
        news: News,
        now: Instant,
    ) -> (Option<(Transport, u64)>, IdleAnswer) {
        let mut discarded = Vec::new();
        let (mut idle, mut active) = (0, 0);
        loop {
            let (taken, generation) = {
                let mut pool = lock(&self.pool);
                (pool.take(to, call.get(), wish, now), pool.generation())
            };
            if idle == 0 {
                (idle, active) = (taken.idle, taken.active);
            }
            discarded.extend(
                taken
                    .expired
                    .into_iter()
                    .map(|(idle, reason)| discard(idle, reason)),
            );
            if let Some(idle) = taken.evicted {
                self.close_all([(idle, CloseReason::Evicted)], now);
            }
            let (transport, found) = match taken.found {
                Found::Idle(mut found) => match self.look(&mut found.stream, news, now) {
                    None => {
                        let loan = Some((found.stream, generation));
                        (loan, Offer::Connection(found.connection))
                    }
                    Some(reason) => {
                        let gone = Gone::of(&found.connection, reason);
                        discarded.push(discard(found, reason));
                        self.closed(gone, now);
                        continue;
                    }
                },
                Found::MayDial => (None, Offer::MayDial(next_dial())),
                Found::MustWait(_) => (None, Offer::MustWait),
            };
            let answer = IdleAnswer {
                found,
                idle,
                active,
                discarded,
            };
            return (transport, answer);
        }
    }

    /// Why the idle connection that a call is to have cannot be used, if it cannot.
    fn look(&self, transport: &mut Transport, news: News, now: Instant) -> Option<CloseReason> {
        match news {
            News::Told if self.outlook.is_new(now) => death_if_reported(transport),
            News::Told | News::Unknown => death_of(transport),
        }
    }

    /// Joins the queue, unless there is something for the call.
    pub(crate) fn join_pool(
        &self,
        to: Destination<'_>,
        call: CallId,
        wish: (Cause, Wish),
        alarm: Alarm,
        now: Instant,
    ) -> (Joined<Idle, Alarm>, u64) {
        let (mut joined, generation) = {
            let mut pool = lock(&self.pool);
            (pool.join(to, call.get(), wish, alarm), pool.generation())
        };
        let evicted = joined.evicted.take();
        self.close_all(evicted.map(|idle| (idle, CloseReason::Evicted)), now);
        if let Some(alarm) = joined.gives_way.take() {
            alarm.wake();
        }
        (joined, generation)
    }

    /// Says how the call is woken from now on, and takes what there is for it by now.
    pub(crate) fn listen(&self, call: CallId, alarm: Alarm) -> Heard<Idle> {
        lock(&self.pool).listen(call.get(), alarm)
    }

    /// Takes what is left for the call.
    pub(crate) fn read_mail(&self, call: CallId) -> Option<Mail<Idle>> {
        lock(&self.pool).read(call.get())
    }

    /// Looks at a connection that was handed to a call: the loan, or what is told of a dead one.
    pub(crate) fn inspect(
        &self,
        call: CallId,
        mut handed: Idle,
        generation: u64,
        now: Instant,
    ) -> Result<Loan, IdleAnswer> {
        let Some(reason) = death_of(&mut handed.stream) else {
            return Ok(Loan {
                transport: handed.stream,
                connection: handed.connection,
                generation,
            });
        };
        let key = handed.connection.key.clone();
        let (served, active) = {
            let mut pool = lock(&self.pool);
            (pool.died(&key, call.get(), reason), pool.counts().1)
        };
        let discarded = vec![discard(handed, reason)];
        self.serve(served, now);
        Err(IdleAnswer {
            found: Offer::MayDial(next_dial()),
            idle: 1,
            active,
            discarded,
        })
    }

    /// The call leaves the queue.
    pub(crate) fn leave_pool(&self, call: CallId, now: Instant) {
        let served = lock(&self.pool).leave(call.get());
        self.serve(served, now);
    }

    /// The dial of a call goes on without it, as `alone`; says whether there is a point in it.
    pub(crate) fn detach(&self, call: CallId, alone: CallId, now: Instant) -> bool {
        let (is_kept, served) = lock(&self.pool).detach(call.get(), alone.get());
        self.serve(served, now);
        is_kept && self.keep_alive
    }

    /// The dial of a call is over; says which generation its connection belongs to, and the key that it shares with
    /// others.
    pub(crate) fn dialed(
        &self,
        call: CallId,
        is_won: bool,
        now: Instant,
    ) -> (u64, Option<Arc<Key>>) {
        let (key, served, generation) = {
            let mut pool = lock(&self.pool);
            let key = pool.key_of_dial(call.get()).filter(|_| is_won);
            (key, pool.dialed(call.get(), is_won), pool.generation())
        };
        self.serve(served, now);
        (generation, key)
    }

    /// Closes an idle connection of any key, so that there is a descriptor.
    pub(crate) fn make_room(&self, call: CallId, otherwise: Scarce, now: Instant) -> action::Room {
        let room = lock(&self.pool).make_room(call.get(), otherwise);
        match room {
            pool::Room::Made(idle) => {
                self.close_all([(idle, CloseReason::Evicted)], now);
                action::Room::Made
            }
            pool::Room::InUse { freed } => action::Room::InUse { freed },
            pool::Room::Nothing => action::Room::Nothing,
        }
    }

    /// Counts a connection on loan that was closed.
    pub(crate) fn closed(&self, gone: Gone, now: Instant) {
        let served = {
            let mut pool = lock(&self.pool);
            if let Some(version) = gone.version {
                pool.answered(&gone.key, version);
            }
            pool.closed(&gone.key, gone.reason)
        };
        self.serve(served, now);
    }

    /// Says whether the last response of this origin was HTTP/1.0.
    pub(crate) fn speaks_http10(&self, url: &Url) -> bool {
        lock(&self.pool).speaks_http10(url)
    }

    pub(crate) fn place(&self, key: &Key, generation: u64) -> Result<u32, CloseReason> {
        if !self.keep_alive {
            return Err(CloseReason::KeepAlivesDisabled);
        }
        lock(&self.pool).place(key, generation)
    }

    pub(crate) fn put(&self, idle: Idle, generation: u64, now: Instant) {
        let key: Arc<Key> = idle.connection.key.clone();
        let served = {
            let mut pool = lock(&self.pool);
            if let Some(version) = idle.connection.version {
                pool.answered(&key, version);
            }
            pool.put(&key, idle, generation)
        };
        self.serve(served, now);
    }

    /// Closes what was idle for too long, and what the peer closed or spoke on.
    pub(crate) fn close_expired(&self) {
        let now = clock::now();
        let expired = lock(&self.pool).take_expired(now);
        self.close_all(expired, now);
        let dead = lock(&self.pool).take_if(|idle| death_of(&mut idle.stream));
        self.close_all(dead, now);
    }

    /// Closes the idle connections that were idle for too long, and those that an event loop has something new of and
    /// that turn out to be of no use.
    pub(crate) fn tend_idle(&self, now: Instant) {
        let useless = {
            let mut pool = lock(&self.pool);
            let timeout = pool.bounds().idle_timeout;
            pool.take_if(|idle| {
                death_if_reported(&mut idle.stream).or_else(|| idle.expired(timeout, now))
            })
        };
        self.close_all(useless, now);
    }

    /// The moment before which the time of no idle connection is over.
    pub(crate) fn idle_until(&self) -> Option<Instant> {
        lock(&self.pool).idle_until()
    }

    /// Closes all idle connections; those on loan now will not be put back.
    pub(crate) fn close_idle(&self, reason: CloseReason) {
        let all = lock(&self.pool).take_all(reason);
        self.close_all(all, clock::now());
    }

    /// Counts idle connections and connections on loan.
    pub(crate) fn pool_counts(&self) -> (usize, usize) {
        lock(&self.pool).counts()
    }

    /// What the pool holds, and what it has done so far.
    pub(crate) fn pool_stats(&self) -> PoolStats {
        lock(&self.pool).stats()
    }

    /// Does what a change of the pool asks for: closes what gave way, and only then wakes the calls that have mail.
    fn serve(&self, served: Served<Idle, Alarm>, now: Instant) {
        if !served.closed.is_empty() {
            self.close_all(served.closed, now);
        }
        for alarm in served.wake {
            alarm.wake();
        }
    }

    fn close_all(&self, idle: impl IntoIterator<Item = (Idle, CloseReason)>, now: Instant) {
        let mut emitter = None;
        for (Idle { stream, connection }, reason) in idle {
            stream.close();
            let emitter = emitter.get_or_insert_with(|| self.own_emitter());
            connection.tell_closed_outside(reason, ClosedBy::of(reason), now, emitter);
        }
        if let Some(mut emitter) = emitter {
            emitter.deliver();
        }
    }
}

impl Running {
    /// Says whether the connection of the call, which nothing was sent on, cannot be used any more.
    pub(crate) fn has_lost_connection(&mut self, news: News) -> bool {
        let death = match news {
            News::Told => death_if_reported,
            News::Unknown => death_of,
        };
        let lease = self.lease.as_mut();
        lease.is_some_and(|lease| death(&mut lease.transport).is_some())
    }
}

/// Why an idle connection cannot be used, if it cannot. Never waits.
fn death_of(transport: &mut Transport) -> Option<CloseReason> {
    match transport.liveness() {
        Liveness::Alive => None,
        Liveness::Closed => Some(CloseReason::PeerClosedIdle),
        Liveness::Spoke => Some(CloseReason::UnsolicitedBytes),
    }
}

/// The same for a connection that an event loop watches: without a report it is as it was.
fn death_if_reported(transport: &mut Transport) -> Option<CloseReason> {
    if transport.is_quiet() {
        return None;
    }
    death_of(transport)
}

fn discard(idle: Idle, reason: CloseReason) -> Discarded {
    idle.stream.close();
    Discarded {
        connection: idle.connection,
        reason,
        by: ClosedBy::of(reason),
    }
}
