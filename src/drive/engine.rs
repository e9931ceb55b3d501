//! What all calls of one client share: pool, lookups, settings, memory. One mutex each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::drive::lease::{Idle, Memory};
use crate::error::Error;
use crate::event::{ClosedBy, Emitter, ObserverRef, Observers, Redaction};
use crate::flow::action::{Discarded, IdleAnswer};
use crate::flow::call::Settings;
use crate::flow::connection::Connection;
use crate::flow::lookup::Lookup;
use crate::flow::pool::{Key, Pool};
use crate::ids::{CallId, ConnId, DialId};
use crate::message::answer::{Family, Outcome};
use crate::message::close::CloseReason;
use crate::message::url::Url;
use crate::net::clock;
use crate::net::resolver::{Resolve, Ticket};
use crate::net::tls::TlsClient;
use crate::net::transport::{Liveness, Transport};
use crate::net::wait::{Waker, Wakers};

/// Sets of memory that are kept for the next calls.
const MEMORIES: usize = 16;

/// What the calls of one client share.
pub(crate) struct Engine {
    pub(crate) settings: Arc<Settings>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) tls: Result<TlsClient, Error>,
    pub(crate) keep_alive: bool,
    pub(crate) redaction: Arc<Redaction>,
    pub(crate) observers: Vec<ObserverRef>,
    pub(crate) wakers: Wakers,
    pool: Mutex<Pool<Idle>>,
    lookup: Mutex<Lookup<Arc<Mailbox>, Ticket>>,
    memories: Mutex<Vec<Memory>>,
}

/// Where the resolver leaves answers for one call.
#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: Mutex<Vec<(Family, Outcome, bool)>>,
    waker: Arc<Waker>,
}

impl Mailbox {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            letters: Mutex::new(Vec::new()),
            waker,
        }
    }

    fn post(&self, family: Family, outcome: Outcome, coalesced: bool) {
        lock(&self.letters).push((family, outcome, coalesced));
        self.waker.wake();
    }

    pub(crate) fn take(&self) -> Vec<(Family, Outcome, bool)> {
        std::mem::take(&mut *lock(&self.letters))
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.letters).is_empty()
    }

    pub(crate) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Gives the wake-up up; nobody posts any more.
    pub(crate) fn into_waker(self) -> Arc<Waker> {
        self.waker
    }
}

/// A panic in another thread leaves the state consistent, because it changes only between two calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static CALLS: AtomicU64 = AtomicU64::new(1);
static DIALS: AtomicU64 = AtomicU64::new(1);
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

pub(crate) fn next_call() -> CallId {
    CallId::new(CALLS.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn next_dial() -> DialId {
    DialId::new(DIALS.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn next_connection() -> ConnId {
    ConnId::new(CONNECTIONS.fetch_add(1, Ordering::Relaxed))
}

/// What an engine is made of beside the pool and the lookups.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) tls: Result<TlsClient, Error>,
    pub(crate) keep_alive: bool,
    pub(crate) redaction: Redaction,
    pub(crate) observers: Vec<ObserverRef>,
    pub(crate) pool: crate::flow::pool::Bounds,
    pub(crate) lookup: crate::flow::lookup::Bounds,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let engine = Self {
            settings: Arc::new(parts.settings),
            resolver: parts.resolver,
            tls: parts.tls,
            keep_alive: parts.keep_alive,
            redaction: Arc::new(parts.redaction),
            observers: parts.observers,
            wakers: Wakers::default(),
            pool: Mutex::new(Pool::new(parts.pool)),
            lookup: Mutex::new(Lookup::new(parts.lookup)),
            memories: Mutex::new(Vec::new()),
        };
        let mut emitter = engine.own_emitter();
        emitter.client_start(clock::now(), std::process::id());
        emitter.deliver();
        engine
    }

    /// An emitter for what happens outside any call.
    fn own_emitter(&self) -> Emitter {
        Emitter::new(
            clock::process(),
            Observers::of_call(&[], &self.observers),
            self.redaction.clone(),
        )
    }

    pub(crate) fn memory(&self) -> Memory {
        lock(&self.memories).pop().unwrap_or_default()
    }

    pub(crate) fn keep_memory(&self, mut memory: Memory) {
        memory.buffers.reset();
        memory.cipher.clear();
        let mut memories = lock(&self.memories);
        if memories.len() < MEMORIES {
            memories.push(memory);
        }
    }

    /// Takes the newest idle connection that can be used; what cannot is closed on the way.
    pub(crate) fn take_idle(
        &self,
        url: &Url,
        now: Instant,
    ) -> (Option<Transport>, IdleAnswer, u64) {
        let mut discarded = Vec::new();
        let mut answer = IdleAnswer {
            found: None,
            dial: next_dial(),
            idle: 0,
            active: 0,
            discarded: Vec::new(),
        };
        loop {
            let (taken, generation) = {
                let mut pool = lock(&self.pool);
                (pool.take(url, now), pool.generation())
            };
            if answer.idle == 0 {
                (answer.idle, answer.active) = (taken.idle, taken.active);
            }
            discarded.extend(
                taken
                    .expired
                    .into_iter()
                    .map(|idle| discard(idle, CloseReason::IdleTimeout, ClosedBy::Local)),
            );
            let Some(Idle {
                mut transport,
                connection,
            }) = taken.found
            else {
                return (
                    None,
                    IdleAnswer {
                        discarded,
                        ..answer
                    },
                    generation,
                );
            };
            let (reason, by) = match transport.liveness() {
                Liveness::Alive => {
                    return (
                        Some(transport),
                        IdleAnswer {
                            found: Some(connection),
                            discarded,
                            ..answer
                        },
                        generation,
                    );
                }
                Liveness::Closed => (CloseReason::PeerClosedIdle, ClosedBy::Peer),
                Liveness::Spoke => (CloseReason::UnsolicitedBytes, ClosedBy::Local),
            };
            self.closed(&connection);
            discarded.push(discard(
                Idle {
                    transport,
                    connection,
                },
                reason,
                by,
            ));
        }
    }

    /// Counts a connection that was made.
    pub(crate) fn opened(&self, key: &Key) -> u64 {
        let mut pool = lock(&self.pool);
        pool.opened(key);
        pool.generation()
    }

    /// Counts a connection on loan that was closed.
    pub(crate) fn closed(&self, connection: &Connection) {
        let mut pool = lock(&self.pool);
        if let Some(version) = connection.version {
            pool.answered(&connection.key, version);
        }
        pool.closed(&connection.key);
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

    pub(crate) fn put(&self, idle: Idle, now: Instant) {
        let key = idle.connection.key.clone();
        let evicted = {
            let mut pool = lock(&self.pool);
            if let Some(version) = idle.connection.version {
                pool.answered(&key, version);
            }
            pool.put(&key, idle)
        };
        self.close_all(evicted, CloseReason::Evicted, ClosedBy::Local, now);
    }

    /// Closes what was idle for too long, and what the peer closed or spoke on.
    pub(crate) fn close_expired(&self) {
        let now = clock::now();
        let expired = lock(&self.pool).take_expired(now);
        self.close_all(expired, CloseReason::IdleTimeout, ClosedBy::Local, now);
        let mut found = Vec::new();
        let dead = lock(&self.pool).take_if(|idle| {
            let liveness = idle.transport.liveness();
            found.extend((liveness != Liveness::Alive).then_some(liveness));
            liveness != Liveness::Alive
        });
        let (spoke, closed): (Vec<_>, Vec<_>) = dead
            .into_iter()
            .zip(found)
            .partition(|(_, liveness)| *liveness == Liveness::Spoke);
        let idle = |(idle, _)| idle;
        self.close_all(
            closed.into_iter().map(idle),
            CloseReason::PeerClosedIdle,
            ClosedBy::Peer,
            now,
        );
        self.close_all(
            spoke.into_iter().map(idle),
            CloseReason::UnsolicitedBytes,
            ClosedBy::Local,
            now,
        );
    }

    /// Closes all idle connections; those on loan now will not be put back.
    pub(crate) fn close_idle(&self, reason: CloseReason) {
        let all = lock(&self.pool).take_all();
        self.close_all(all, reason, ClosedBy::Local, clock::now());
    }

    /// Counts idle connections and connections on loan.
    pub(crate) fn pool_counts(&self) -> (usize, usize) {
        lock(&self.pool).counts()
    }

    fn close_all(
        &self,
        idle: impl IntoIterator<Item = Idle>,
        reason: CloseReason,
        by: ClosedBy,
        now: Instant,
    ) {
        let mut emitter = None;
        for Idle {
            transport,
            connection,
        } in idle
        {
            transport.close();
            let emitter = emitter.get_or_insert_with(|| self.own_emitter());
            emitter.of_connection(connection.id, connection.last_event, |emitter| {
                connection.tell_closed(reason, by, now, emitter);
            });
        }
        if let Some(mut emitter) = emitter {
            emitter.deliver();
        }
    }

    /// The bounds of pool and lookups, for an interpreter that has its own.
    #[cfg(feature = "testkit")]
    pub(crate) fn bounds(&self) -> (crate::flow::pool::Bounds, crate::flow::lookup::Bounds) {
        (lock(&self.pool).bounds(), self.lookup().bounds().clone())
    }

    pub(crate) fn lookup(&self) -> MutexGuard<'_, Lookup<Arc<Mailbox>, Ticket>> {
        lock(&self.lookup)
    }

    /// Forgets all addresses.
    pub(crate) fn forget_addresses(&self) {
        self.lookup().clear();
    }

    /// What the resolver calls when a family is in: everybody who waits gets the answer in the mailbox.
    pub(crate) fn deliver_answer(
        engine: &Weak<Self>,
        host: &str,
        flight: crate::flow::lookup::FlightId,
        family: Family,
        outcome: Outcome,
    ) {
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let delivery = engine
            .lookup()
            .family_done(host, flight, family, outcome, clock::now());
        for (_, mailbox) in &delivery.to {
            mailbox.post(family, delivery.outcome.clone(), delivery.coalesced);
        }
        drop(delivery.ticket);
    }
}

fn discard(idle: Idle, reason: CloseReason, by: ClosedBy) -> Discarded {
    idle.transport.close();
    Discarded {
        connection: idle.connection,
        reason,
        by,
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close_idle(CloseReason::ClientDropped);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
