//! Sharing and remembering lookups. The rule: **a name is asked for once at a time, and nobody's deadline is
//! anybody else's.**
//!
//! ```text
//!            join                      both families in
//!   nobody ───────▶ flight, 1..n waiters ───────────────▶ nobody, answers in the cache
//!                     │ ▲ join: shared
//!                     │ └──┘
//!                     └─ last waiter leaves ▶ forgotten: the next join starts a new flight,
//!                                             late answers still enter the cache
//! ```
//!
//! One flight per host carries both families. The machine has no clock, no lock and no thread: its owner calls it
//! under a lock, and acts on what it returns after unlocking (dropping a ticket or waking a waiter may call back).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::error::LookupFailure;
use crate::message::answer::{Address, AnswerSource, Failure, Family, LookupError, Outcome};

/// Bounds of a [`Lookup`].
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// How long an answer is remembered at most; zero switches the cache off. Default 10 s: the system tells no
    /// time to live, and a page with its parts is loaded in less.
    pub(crate) ttl: Duration,
    /// Names in the cache. Default 1024: the working set of a crawler.
    pub(crate) names: usize,
    /// Names being looked up at once. Default 16384: all that the calls of a busy event loop ask for; most of them only
    /// wait for the threads of the resolver.
    pub(crate) flights: usize,
    /// Calls waiting for one name. Default 16384: one burst of a busy event loop.
    pub(crate) waiters: usize,
    /// Addresses of one family that are used.
    /// [`Limits::addresses`](crate::config::Limits::addresses), default 64.
    pub(crate) addresses: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            names: 1024,
            flights: 16 * 1024,
            waiters: 16 * 1024,
            addresses: 64,
        }
    }
}

/// Names one flight. Counted up and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlightId(u64);

/// The lookups under way and the answers remembered, of one resolver.
///
/// `W` is what a waiter is reached by; `T` is what keeps the query of a flight alive (its ticket).
#[derive(Debug)]
pub(crate) struct Lookup<W, T = ()> {
    bounds: Bounds,
    flights: BTreeMap<Box<str>, Flight<W, T>>,
    cache: BTreeMap<Box<str>, Entry>,
    /// The hosts in the cache, by the end of their entries.
    ends: BTreeSet<(Instant, Box<str>)>,
    next: u64,
    /// Answers of flights before this one belong to a network that is gone.
    oldest_cacheable: u64,
}

#[derive(Debug)]
struct Flight<W, T> {
    id: FlightId,
    ticket: Option<T>,
    /// By their ids, with the number of calls that had joined before.
    waiters: BTreeMap<u64, (u64, W)>,
    /// How many calls ever joined.
    joined: u64,
    known: Families,
}

#[derive(Debug)]
struct Entry {
    until: Instant,
    known: Families,
}

/// What is known of both families of one name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Families {
    pub(crate) v4: Option<Outcome>,
    pub(crate) v6: Option<Outcome>,
}

impl Families {
    pub(crate) fn get(&self, family: Family) -> Option<&Outcome> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    /// Says whether both families are in.
    pub(crate) fn is_complete(&self) -> bool {
        self.v4.is_some() && self.v6.is_some()
    }

    fn set(&mut self, family: Family, outcome: Outcome) {
        match family {
            Family::V4 => self.v4 = Some(outcome),
            Family::V6 => self.v6 = Some(outcome),
        }
    }
}

/// What a call that wants a name has to do.
#[derive(Debug)]
pub(crate) enum Joined {
    /// Start this flight: ask the resolver, then [`Lookup::hold`] its ticket. What is remembered of one family is its
    /// answer already.
    Start(FlightId, Families),
    /// Wait for a flight of another call; what it already knows is here.
    Shared(Families),
    /// Use what is remembered of both families.
    Cached(Families),
    /// Fail with [`Limit::Lookups`](crate::error::Limit::Lookups) and this value.
    Full(usize),
}

/// What became of a call that stopped waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left<T> {
    /// It was not waiting (any more).
    NotWaiting,
    /// Others still wait for the flight.
    Detached,
    /// It was the last one. The flight is forgotten; drop the ticket after unlocking.
    Forgotten {
        /// Whether the flight was ever shared.
        coalesced: bool,
        ticket: Option<T>,
    },
}

/// The outcome of one family and whom to tell.
#[derive(Debug)]
pub(crate) struct Delivery<W, T> {
    /// Without duplicates, capped; the same for everybody.
    pub(crate) outcome: Outcome,
    /// Every waiter in the order of joining; nobody when the flight was forgotten.
    pub(crate) to: Vec<(u64, W)>,
    /// Whether the flight had two waiters or more; final when both families are in.
    pub(crate) coalesced: bool,
    /// The ticket of a flight that is over, to be dropped after unlocking.
    pub(crate) ticket: Option<T>,
}

impl<W: Clone, T> Lookup<W, T> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            flights: BTreeMap::new(),
            cache: BTreeMap::new(),
            ends: BTreeSet::new(),
            next: 0,
            oldest_cacheable: 0,
        }
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Counts the names that are being looked up.
    #[cfg(feature = "testkit")]
    pub(crate) fn flights(&self) -> usize {
        self.flights.len()
    }

    /// A call wants the addresses of `host`. `waiter_id` is unique among those waiting for it.
    pub(crate) fn join(&mut self, host: &str, waiter_id: u64, waiter: W, now: Instant) -> Joined {
        let host = folded(host);
        if let Some(flight) = self.flights.get_mut(&host) {
            return flight.share(waiter_id, waiter, self.bounds.waiters);
        }
        let known = self.remembered(&host, now).unwrap_or_default();
        if known.is_complete() {
            return Joined::Cached(known);
        }
        if self.flights.len() >= self.bounds.flights {
            return Joined::Full(self.bounds.flights);
        }
        let id = FlightId(self.next);
        self.next = self.next.saturating_add(1);
        self.flights
            .insert(host, Flight::new(id, waiter_id, waiter, known.clone()));
        Joined::Start(id, known)
    }

    /// Keeps the ticket of a flight that was started. Given back when the flight is over already; drop it after
    /// unlocking.
    pub(crate) fn hold(&mut self, host: &str, flight: FlightId, ticket: T) -> Option<T> {
        match self.live(&folded(host), flight) {
            Some(live) => live.ticket.replace(ticket),
            None => Some(ticket),
        }
    }

    /// A call stops waiting: deadline, cancel, or it has a connection.
    pub(crate) fn leave(&mut self, host: &str, waiter_id: u64) -> Left<T> {
        let host = folded(host);
        let Some(flight) = self.flights.get_mut(&host) else {
            return Left::NotWaiting;
        };
        if flight.waiters.remove(&waiter_id).is_none() {
            return Left::NotWaiting;
        }
        if !flight.waiters.is_empty() {
            return Left::Detached;
        }
        let coalesced = flight.is_shared();
        let ticket = self.flights.remove(&host).and_then(|flight| flight.ticket);
        Left::Forgotten { coalesced, ticket }
    }

    /// A waiter goes on under another id; gives what is told, if it still waits.
    pub(crate) fn rename(&mut self, host: &str, waiter_id: u64, new_id: u64) -> Option<&mut W> {
        let flight = self.flights.get_mut(&folded(host))?;
        let waiter = flight.waiters.remove(&waiter_id)?;
        let (_, waiter) = flight.waiters.entry(new_id).or_insert(waiter);
        Some(waiter)
    }

    /// Who waits for a flight now.
    pub(crate) fn waiting(&self, host: &str, flight: FlightId) -> Vec<W> {
        let live = self.flights.get(&folded(host));
        let live = live.filter(|live| live.id == flight);
        let waiters = live.map(|live| in_order(live.waiters.clone()));
        let waiters = waiters.into_iter().flatten();
        waiters.map(|(_, waiter)| waiter).collect()
    }

    /// The resolver answered for one family. Also for a flight that was forgotten: its answer is remembered. The
    /// first answer of a family counts.
    pub(crate) fn family_done(
        &mut self,
        host: &str,
        flight: FlightId,
        family: Family,
        outcome: Outcome,
        now: Instant,
    ) -> Delivery<W, T> {
        let host = folded(host);
        let max = self.bounds.addresses;
        let outcome = outcome.map(|answer| answer.tidy(family, max));
        let mut other = None;
        if let Some(live) = self.live(&host, flight) {
            if live.known.get(family).is_some() {
                return Delivery::nobody(outcome);
            }
            live.known.set(family, outcome.clone());
            other = live.known.get(opposite(family)).cloned();
        }
        if flight.0 >= self.oldest_cacheable {
            self.remember(&host, family, &outcome, other, now);
        }
        self.deliver(&host, flight, outcome)
    }

    /// Forgets what is remembered of a host, after all of its addresses failed to connect.
    pub(crate) fn evict(&mut self, host: &str) {
        self.forget(&folded(host));
    }

    /// Forgets what is remembered of all hosts, after a change of network. Answers to questions from before are
    /// delivered and not remembered.
    pub(crate) fn clear(&mut self) {
        self.cache.clear();
        self.ends.clear();
        self.oldest_cacheable = self.next;
    }

    fn live(&mut self, host: &str, flight: FlightId) -> Option<&mut Flight<W, T>> {
        self.flights.get_mut(host).filter(|live| live.id == flight)
    }

    fn deliver(&mut self, host: &str, id: FlightId, outcome: Outcome) -> Delivery<W, T> {
        let Some(live) = self.live(host, id) else {
            return Delivery::nobody(outcome);
        };
        let coalesced = live.is_shared();
        let (to, ticket) = if live.known.is_complete() {
            self.flights
                .remove(host)
                .map_or_else(Default::default, |flight| (flight.waiters, flight.ticket))
        } else {
            (live.waiters.clone(), None)
        };
        let to = in_order(to);
        Delivery {
            outcome,
            to,
            coalesced,
            ticket,
        }
    }

    fn remembered(&mut self, host: &str, now: Instant) -> Option<Families> {
        let entry = self.cache.get(host)?;
        if entry.until > now {
            return Some(entry.known.clone());
        }
        self.forget(host);
        None
    }

    /// Only names that have an address are remembered. That the other family has none is remembered beside it;
    /// an entry lives as long as its first answer.
    fn remember(
        &mut self,
        host: &str,
        family: Family,
        outcome: &Outcome,
        other: Option<Outcome>,
        now: Instant,
    ) {
        self.remembered(host, now);
        if is_none_of_family(outcome) {
            if let Some(entry) = self.cache.get_mut(host) {
                entry.known.set(family, as_remembered(outcome));
            }
            return;
        }
        let Ok(answer) = outcome else { return };
        let ttl = answer.ttl().unwrap_or(self.bounds.ttl).min(self.bounds.ttl);
        let Some(until) = now.checked_add(ttl).filter(|until| *until > now) else {
            return;
        };
        let entry = self.entry(host, until);
        entry.known.set(family, as_remembered(outcome));
        if let Some(other) = other.filter(is_none_of_family) {
            entry.known.set(opposite(family), as_remembered(&other));
        }
    }

    /// The entry of a host, made if need be, that lives until `until` at most.
    fn entry(&mut self, host: &str, until: Instant) -> &mut Entry {
        if !self.cache.contains_key(host) {
            self.make_room();
        }
        let entry = self.cache.entry(host.into()).or_insert_with(|| Entry {
            until,
            known: Families::default(),
        });
        if until < entry.until {
            self.ends.remove(&(entry.until, host.into()));
            entry.until = until;
        }
        self.ends.insert((entry.until, host.into()));
        entry
    }

    /// Drops what expires first, or has expired.
    fn make_room(&mut self) {
        while self.cache.len() >= self.bounds.names.max(1) {
            let Some((_, host)) = self.ends.pop_first() else {
                return;
            };
            self.cache.remove(&host);
        }
    }

    fn forget(&mut self, host: &str) {
        if let Some(entry) = self.cache.remove(host) {
            self.ends.remove(&(entry.until, host.into()));
        }
    }
}

/// The waiters in the order of joining.
fn in_order<W>(waiters: BTreeMap<u64, (u64, W)>) -> Vec<(u64, W)> {
    let mut joined: Vec<_> = waiters.into_iter().collect();
    joined.sort_by_key(|(_, (place, _))| *place);
    let of = |(id, (_, waiter))| (id, waiter);
    joined.into_iter().map(of).collect()
}

impl<W, T> Flight<W, T> {
    fn new(id: FlightId, waiter_id: u64, waiter: W, known: Families) -> Self {
        Self {
            id,
            ticket: None,
            waiters: BTreeMap::from([(waiter_id, (0, waiter))]),
            joined: 1,
            known,
        }
    }

    fn share(&mut self, waiter_id: u64, waiter: W, max: usize) -> Joined {
        if self.waiters.len() >= max {
            return Joined::Full(max);
        }
        self.waiters.insert(waiter_id, (self.joined, waiter));
        self.joined = self.joined.saturating_add(1);
        Joined::Shared(self.known.clone())
    }

    fn is_shared(&self) -> bool {
        self.joined > 1
    }
}

impl<W, T> Delivery<W, T> {
    fn nobody(outcome: Outcome) -> Self {
        Self {
            outcome,
            to: Vec::new(),
            coalesced: false,
            ticket: None,
        }
    }
}

/// What both families together mean.
#[derive(Debug)]
pub(crate) enum Merged {
    /// No address yet, and a family is missing.
    Waiting,
    /// There is an address.
    Found,
    /// Both families are in and there is no address; the error of the whole lookup.
    Failed(Failure),
}

/// Puts the outcomes of two families together.
///
/// "No such host" needs both families to say so: some systems say it of a name that has only no record of the
/// family asked for. A real failure goes before "nothing there", because with it the truth is not known.
pub(crate) fn merge(v4: Option<&Outcome>, v6: Option<&Outcome>) -> Merged {
    let found =
        |outcome: Option<&Outcome>| matches!(outcome, Some(Ok(answer)) if !answer.is_empty());
    if found(v4) || found(v6) {
        return Merged::Found;
    }
    let (Some(v4), Some(v6)) = (v4, v6) else {
        return Merged::Waiting;
    };
    let (v4, v6) = (failure_of(v4), failure_of(v6));
    Merged::Failed(if weight(&v6) > weight(&v4) { v6 } else { v4 })
}

/// An answer without addresses fails as "no address".
fn failure_of(outcome: &Outcome) -> Failure {
    match outcome {
        Ok(_) => LookupError::new(LookupFailure::NoAddress).into(),
        Err(failure) => failure.clone(),
    }
}

/// Which of two failures tells more; on a tie IPv4's.
fn weight(failure: &Failure) -> u8 {
    match failure.rule() {
        LookupFailure::NoSuchHost => 0,
        LookupFailure::NoAddress | LookupFailure::OtherFamily | LookupFailure::NotAllowed => 1,
        LookupFailure::Temporary => 2,
        LookupFailure::ServerFailure => 3,
        LookupFailure::Custom => 4,
        LookupFailure::System => 5,
    }
}

/// Says whether the resolver knows that this family has no address, as opposed to not knowing.
fn is_none_of_family(outcome: &Outcome) -> bool {
    match outcome {
        Ok(answer) => answer.is_empty(),
        Err(failure) => matches!(
            failure.rule(),
            LookupFailure::NoSuchHost | LookupFailure::NoAddress | LookupFailure::OtherFamily
        ),
    }
}

fn as_remembered(outcome: &Outcome) -> Outcome {
    let answer = outcome.clone()?;
    Ok(answer.with_source(AnswerSource::Cache))
}

fn opposite(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

fn folded(host: &str) -> Box<str> {
    host.to_ascii_lowercase().into()
}

/// Both loopback addresses for `localhost` and every name under it, which are never asked for (RFC 6761 §6.3).
pub(crate) fn localhost(host: &str) -> Option<[Address; 2]> {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost").then(|| {
        [
            Address::in_zone(Ipv6Addr::LOCALHOST, 0),
            IpAddr::V4(Ipv4Addr::LOCALHOST).into(),
        ]
    })
}

#[cfg(test)]
mod tests;
