//! What all calls of one client share: pool, lookups, settings, memory. One mutex each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Instant;

use crate::drive::lease::{Idle, Memory};
use crate::drive::outlook::Outlook;
use crate::drive::waits::Alert;
use crate::error::Error;
use crate::event::{Emitter, ObserverRef, Redaction, Telling};
use crate::flow::call::{DetachedDial, Settings};
use crate::flow::lookup::{FlightId, Lookup};
use crate::flow::pool::Pool;
use crate::ids::{CallId, ConnId, DialId};
use crate::message::answer::{Family, Outcome};
use crate::message::close::CloseReason;
use crate::net::cancel::Alarm;
use crate::net::clock;
use crate::net::poll::Bell;
use crate::net::resolver::{Resolve, Ticket};
use crate::net::setup::SocketSetup;
pub(super) use crate::net::sync::lock;
use crate::net::sync::{Mutex, MutexGuard};
use crate::net::tls::TlsClient;
use crate::net::wait::{Waker, Wakers};
use crate::proto::plan::Manners;

/// Sets of memory that are kept for the next calls.
const MEMORIES: usize = 16;

/// What the calls of one client share.
pub(crate) struct Engine {
    pub(crate) settings: Arc<Settings>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) setup: SocketSetup,
    pub(crate) tls: Result<TlsClient, Error>,
    pub(crate) keep_alive: bool,
    pub(crate) telling: Arc<Telling>,
    pub(crate) observers: Vec<ObserverRef>,
    pub(crate) wakers: Wakers,
    pub(super) pool: Mutex<Pool<Idle, Alarm>>,
    lookup: Mutex<Lookup<Arc<Mailbox>, Ticket>>,
    #[expect(clippy::vec_box, reason = "they are lent as they are")]
    memories: Mutex<Vec<Box<Memory>>>,
    /// Whether something was reported of an idle connection, or was when it became idle, that nobody looked at.
    unseen: AtomicBool,
    /// Wakes the event loop whose engine it is, or those it is turned to; without a loop, nobody.
    pub(super) bell: Bell,
    /// Of the connections that an event loop watches.
    pub(super) outlook: Outlook,
}

/// Where the resolver leaves answers for one call.
#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    alert: Mutex<Alert>,
}

/// What the resolver says.
#[derive(Debug)]
pub(crate) enum Letter {
    /// It asks about a family now. This wakes only for IPv6, whose wait begins anew.
    Began(Family, Instant),
    /// The answer for a family, and whether its lookup was shared.
    Answer(Family, Outcome, bool),
}

impl Mailbox {
    pub(crate) fn new(alert: Alert) -> Self {
        Self {
            letters: Mutex::new(Vec::new()),
            alert: Mutex::new(alert),
        }
    }

    fn post(&self, letter: Letter) {
        let wakes = match letter {
            Letter::Began(Family::V4, _) => false,
            Letter::Began(Family::V6, _) | Letter::Answer(..) => true,
        };
        lock(&self.letters).push(letter);
        if wakes {
            lock(&self.alert).wake();
        }
    }

    pub(crate) fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut *lock(&self.letters))
    }

    /// The wake-up that a thread polls for.
    pub(crate) fn waker(&self) -> Option<Arc<Waker>> {
        lock(&self.alert).waker().cloned()
    }

    /// Wakes by something else from now on; gives what it was. What was left before is to be looked for.
    pub(crate) fn wake_by(&self, alert: Alert) -> Alert {
        std::mem::replace(&mut lock(&self.alert), alert)
    }

    /// Gives the wake-up up; nobody posts any more.
    pub(crate) fn into_alert(self) -> Alert {
        self.alert
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
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
    pub(crate) setup: SocketSetup,
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
            setup: parts.setup,
            tls: parts.tls,
            keep_alive: parts.keep_alive,
            telling: Arc::new(Telling::new(clock::process(), parts.redaction)),
            observers: parts.observers,
            wakers: Wakers::default(),
            pool: Mutex::new(Pool::new(parts.pool)),
            lookup: Mutex::new(Lookup::new(parts.lookup)),
            memories: Mutex::new(Vec::new()),
            unseen: AtomicBool::new(false),
            bell: Bell::default(),
            outlook: Outlook::new(clock::now()),
        };
        let mut emitter = engine.own_emitter();
        emitter.client_start(clock::now(), std::process::id());
        emitter.deliver();
        engine
    }

    /// Another engine of the same client, for an event loop: the same settings and observers, with a pool and lookups of
    /// its own. It is there to finish a dial whose call does not need it any more.
    pub(crate) fn beside(&self, bell: Bell) -> Self {
        let (pool, lookup) = self.bounds();
        let settings = Settings {
            detached: DetachedDial::Finish,
            ..(*self.settings).clone()
        };
        Self {
            settings: Arc::new(settings),
            resolver: self.resolver.clone(),
            setup: self.setup.clone(),
            tls: self.tls.as_ref().map(Clone::clone).map_err(Error::again),
            keep_alive: self.keep_alive,
            telling: self.telling.clone(),
            observers: self.observers.clone(),
            wakers: Wakers::default(),
            pool: Mutex::new(Pool::new(pool)),
            lookup: Mutex::new(Lookup::new(lookup)),
            memories: Mutex::new(Vec::new()),
            unseen: AtomicBool::new(false),
            bell,
            outlook: Outlook::new(clock::now()),
        }
    }

    /// What is asked of all requests.
    pub(crate) fn manners(&self) -> Manners {
        Manners {
            keep_alive: self.keep_alive,
            https_only: self.settings.https_only,
        }
    }

    /// Notes that an idle connection has to be looked at.
    pub(crate) fn note_unseen(&self) {
        self.unseen.store(true, Ordering::Relaxed);
    }

    /// Says whether an idle connection has to be looked at.
    pub(crate) fn is_unseen(&self) -> bool {
        self.unseen.load(Ordering::Relaxed)
    }

    /// Notes that idle connections are looked at; says whether one had to be.
    pub(crate) fn see(&self) -> bool {
        self.unseen.swap(false, Ordering::Relaxed)
    }

    /// An emitter for what happens outside any call.
    pub(super) fn own_emitter(&self) -> Emitter {
        self.emitter(&[])
    }

    /// Memory of a call that is over, if there is any.
    pub(crate) fn memory(&self) -> Option<Box<Memory>> {
        lock(&self.memories).pop()
    }

    pub(crate) fn keep_memory(&self, mut memory: Box<Memory>) {
        memory.buffers.reset();
        memory.cipher.clear();
        let mut memories = lock(&self.memories);
        if memories.len() < MEMORIES {
            memories.push(memory);
        }
    }

    /// The bounds of pool and lookups, for an interpreter that has its own.
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
        flight: FlightId,
        family: Family,
        outcome: Outcome,
    ) {
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let delivery = engine
            .lookup()
            .family_done(host, flight, family, outcome, clock::now());
        // Who is told goes on at once, and may be the last to hold the engine.
        drop(engine);
        for (_, mailbox) in &delivery.to {
            let outcome = delivery.outcome.clone();
            mailbox.post(Letter::Answer(family, outcome, delivery.coalesced));
        }
        drop(delivery.ticket);
    }

    /// What the resolver calls when it really asks about a family.
    pub(crate) fn deliver_began(engine: &Weak<Self>, host: &str, flight: FlightId, family: Family) {
        if let Some(engine) = engine.upgrade() {
            let (waiting, now) = (engine.lookup().waiting(host, flight), clock::now());
            for mailbox in waiting {
                mailbox.post(Letter::Began(family, now));
            }
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::wait::for_any;

    #[test]
    fn the_question_for_ipv6_ends_a_wait_that_began_before_it() {
        let waker = Wakers::default().lease().unwrap();
        let mailbox = Mailbox::new(Alert::Waker(waker.clone()));
        let begun = clock::now();
        mailbox.post(Letter::Began(Family::V6, begun));
        let patience = Duration::from_secs(5);
        for_any(&[], Some(&waker), Some(begun + patience)).unwrap();
        assert!(clock::now() < begun + patience);
        assert_eq!(mailbox.take().len(), 1);
    }
}
