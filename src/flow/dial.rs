//! One connection being made: names, then one contestant after the other.
//!
//! The rule guarded here: a failure of one contestant never ends the dial by itself, whatever its error, and an
//! error lists everything that was tried.
//!
//! ```text
//!   Naming --address usable--> Connecting --connected--> (Securing) --> won
//!     |                          ^      |failed, share of time over
//!     |                          \------/ next address
//!     \--no address, deadline, cancel--> failed
//! ```
//!
//! Addresses are tried in turn, the families alternating, each with its share of the time that is left.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Phase, Timer, Tried, TriedOutcome};
use crate::event::{
    ConnOpened, ConnectDone, ConnectOutcome, ConnectReason, ConnectStart, DialDone, DialPlan,
    DialProfile, DialReason, DialStart, DnsDone, DnsFamilyDone, DnsSkipReason, DnsSkipped,
    DnsSource, DnsStart, Emitter, ErrorFacts, EventKind, Payload, TlsHandshakeDone,
    TlsHandshakeStart, TlsRole,
};
use crate::flow::action::{Action, Names, TlsFault};
use crate::flow::lookup::{Merged, merge};
use crate::flow::timers::Timers;
use crate::ids::{ConnId, DialId};
use crate::message::answer::{Address, AnswerSource, Family, Outcome};
use crate::message::tls::TlsFacts;

/// How long the second family may take once the first has an address.
const SECOND_FAMILY_WAIT: Duration = Duration::from_millis(20);

/// Least share of the time that one address gets, if there is as much.
const LEAST_SHARE: Duration = Duration::from_secs(2);

/// What a dial has to know beside its names.
#[derive(Debug, Clone)]
pub(crate) struct DialPlanFacts {
    pub(crate) id: DialId,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    pub(crate) lookup_limit: Option<Duration>,
    pub(crate) tls_limit: Option<Duration>,
    /// When the whole dial has to be over.
    pub(crate) deadline: Option<Instant>,
}

/// A dial under way.
#[derive(Debug)]
pub(crate) struct Dial {
    facts: DialPlanFacts,
    started: Instant,
    lookup: Lookup,
    /// Addresses not yet tried, per family; the next family to be tried.
    v6: Vec<Address>,
    v4: Vec<Address>,
    next_family: Family,
    tried: Vec<Tried>,
    contestants: u16,
    state: State,
}

/// Where the addresses come from.
#[derive(Debug)]
enum Lookup {
    /// They are all known, and the events of the lookup are told.
    Told,
    /// The resolver was asked.
    Asked {
        since: Instant,
        v4: Option<Outcome>,
        v6: Option<Outcome>,
        shared: bool,
        usable_since: Option<Instant>,
    },
}

#[derive(Debug)]
enum State {
    /// The resolver is to be asked.
    Asking,
    /// No address can be tried yet.
    Naming,
    /// A contestant is to be started.
    Starting,
    /// A contestant connects.
    Connecting(Contestant),
    /// A contestant connected; TLS is to be begun.
    Connected(Contestant, Reached),
    /// A contestant is in its TLS handshake.
    Securing(Contestant, Reached, Instant),
}

#[derive(Debug, Clone, Copy)]
struct Contestant {
    number: u16,
    addr: SocketAddr,
    since: Instant,
    until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Reached {
    conn: ConnId,
    local: Option<SocketAddr>,
}

/// What a dial came to.
#[derive(Debug)]
pub(crate) enum Outcomes {
    /// It goes on.
    Going,
    /// A contestant is done with and its socket has to be closed; the dial goes on.
    Drop(u16),
    /// It has a connection.
    Won(Won),
    /// It failed.
    Failed(Error),
}

/// The connection that a dial made.
#[derive(Debug)]
pub(crate) struct Won {
    pub(crate) contestant: u16,
    pub(crate) conn: ConnId,
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: Option<Arc<TlsFacts>>,
}

impl Dial {
    pub(crate) fn begin(
        facts: DialPlanFacts,
        names: Names,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Self {
        emitter.set_dial(Some(facts.id));
        emitter.emit(EventKind::DialStart, now, |_| {
            Payload::DialStart(DialStart {
                why: DialReason::NoIdle,
            })
        });
        let mut dial = Self {
            facts,
            started: now,
            lookup: Lookup::Told,
            v6: Vec::new(),
            v4: Vec::new(),
            next_family: Family::V6,
            tried: Vec::new(),
            contestants: 0,
            state: State::Naming,
        };
        dial.name(names, now, emitter, timers);
        dial
    }

    fn name(&mut self, names: Names, now: Instant, emitter: &mut Emitter, timers: &mut Timers) {
        let skipped = |reason| move |_: &_| Payload::DnsSkipped(DnsSkipped { reason });
        match names {
            Names::Literal(address) => {
                emitter.emit(EventKind::DnsSkipped, now, skipped(DnsSkipReason::Literal));
                self.add(&[address], now, emitter);
            }
            Names::Localhost(addresses) => {
                emitter.emit(
                    EventKind::DnsSkipped,
                    now,
                    skipped(DnsSkipReason::Localhost),
                );
                self.add(&addresses, now, emitter);
            }
            Names::Override(addresses) => {
                self.tell_dns_start(DnsSource::Override, now, emitter);
                tell_dns_done(
                    addresses.clone(),
                    None,
                    false,
                    true,
                    AnswerSource::Override,
                    Duration::ZERO,
                    now,
                    emitter,
                );
                self.add(&addresses, now, emitter);
            }
            Names::Ask { custom } => {
                let source = if custom {
                    DnsSource::Custom
                } else {
                    DnsSource::System
                };
                self.tell_dns_start(source, now, emitter);
                timers.arm(Timer::Lookup, now, self.facts.lookup_limit);
                self.lookup = Lookup::Asked {
                    since: now,
                    v4: None,
                    v6: None,
                    shared: false,
                    usable_since: None,
                };
                self.state = State::Asking;
            }
        }
    }

    /// What is to be done now, if anything; asking the resolver and starting a contestant are done once.
    pub(crate) fn next(&mut self, now: Instant, emitter: &mut Emitter) -> Option<Action> {
        match std::mem::replace(&mut self.state, State::Naming) {
            State::Asking => Some(Action::Resolve),
            State::Starting => self.start_next(now, emitter),
            other => {
                self.state = other;
                None
            }
        }
    }

    pub(crate) fn asked(&mut self, was_shared: bool) {
        if let Lookup::Asked { shared, .. } = &mut self.lookup {
            *shared = was_shared;
        }
    }

    /// Takes one family of the lookup.
    pub(crate) fn resolved(
        &mut self,
        family: Family,
        outcome: Outcome,
        coalesced: bool,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Outcomes {
        let Lookup::Asked {
            since,
            v4,
            v6,
            shared,
            ..
        } = &mut self.lookup
        else {
            return Outcomes::Going;
        };
        let place = if family == Family::V4 { v4 } else { v6 };
        if place.is_some() {
            return Outcomes::Going;
        }
        *shared = *shared || coalesced;
        tell_family(
            family,
            &outcome,
            now.saturating_duration_since(*since),
            now,
            emitter,
        );
        let addresses: Vec<Address> = outcome
            .as_ref()
            .map(|answer| answer.addrs().to_vec())
            .unwrap_or_default();
        *place = Some(outcome);
        self.add(&addresses, now, emitter);
        self.lookup_moved(now, emitter, timers)
    }

    /// Looks whether the lookup is over, and whether a contestant may start.
    fn lookup_moved(
        &mut self,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Outcomes {
        let Lookup::Asked { v4, v6, .. } = &self.lookup else {
            return Outcomes::Going;
        };
        let merged = merge(v4.as_ref(), v6.as_ref());
        let is_complete = v4.is_some() && v6.is_some();
        if is_complete {
            timers.disarm(Timer::Lookup);
            self.end_lookup(None, now, emitter);
        }
        match merged {
            Merged::Failed(failure) if is_complete => {
                let kind = ErrorKind::Lookup(failure.rule());
                let error = Error::new(kind, Phase::Lookup).with_source(Box::new(failure));
                self.fail(error, now, emitter)
            }
            _ if is_complete
                && matches!(self.state, State::Naming)
                && self.is_out_of_addresses() =>
            {
                self.fail(Error::new(ErrorKind::Connect, Phase::Connect), now, emitter)
            }
            _ if matches!(self.state, State::Naming) && self.may_start(now) => {
                timers.disarm(Timer::Lookup);
                self.state = State::Starting;
                Outcomes::Going
            }
            _ => Outcomes::Going,
        }
    }

    /// An IPv6 address may be tried at once; an IPv4 address waits a moment for the other family.
    fn may_start(&mut self, now: Instant) -> bool {
        let Lookup::Asked {
            v6,
            v4,
            usable_since,
            ..
        } = &mut self.lookup
        else {
            return !self.is_out_of_addresses();
        };
        if self.v6.is_empty() && self.v4.is_empty() {
            return false;
        }
        let since = *usable_since.get_or_insert(now);
        !self.v6.is_empty()
            || (v4.is_some() && v6.is_some())
            || now.saturating_duration_since(since) >= SECOND_FAMILY_WAIT
    }

    fn is_out_of_addresses(&self) -> bool {
        self.v6.is_empty() && self.v4.is_empty()
    }

    fn add(&mut self, addresses: &[Address], now: Instant, emitter: &mut Emitter) {
        for address in addresses {
            match address.family() {
                Family::V6 => self.v6.push(*address),
                Family::V4 => self.v4.push(*address),
            }
        }
        if addresses.is_empty() {
            return;
        }
        if matches!(self.lookup, Lookup::Told) {
            self.state = State::Starting;
        }
        emitter.emit(EventKind::DialPlan, now, |_| {
            let order = self
                .order()
                .map(|address| address.with_port(self.facts.port))
                .collect();
            Payload::DialPlan(Arc::new(DialPlan {
                order,
                profile: DialProfile::InOrder,
            }))
        });
    }

    /// The addresses in the order in which they will be tried: the families in turn.
    fn order(&self) -> impl Iterator<Item = Address> {
        let (first, second) = match self.next_family {
            Family::V6 => (&self.v6, &self.v4),
            Family::V4 => (&self.v4, &self.v6),
        };
        let longest = first.len().max(second.len());
        (0..longest).flat_map(move |index| {
            first
                .get(index)
                .into_iter()
                .chain(second.get(index))
                .copied()
        })
    }

    fn take_next(&mut self) -> Option<Address> {
        let address = self.order().next()?;
        let queue = match address.family() {
            Family::V6 => &mut self.v6,
            Family::V4 => &mut self.v4,
        };
        queue.remove(0);
        self.next_family = match address.family() {
            Family::V6 => Family::V4,
            Family::V4 => Family::V6,
        };
        Some(address)
    }

    fn start_next(&mut self, now: Instant, emitter: &mut Emitter) -> Option<Action> {
        let left = self.v6.len().saturating_add(self.v4.len());
        let addr = self.take_next()?.with_port(self.facts.port);
        let number = self.contestants;
        self.contestants = number.saturating_add(1);
        let until = self.facts.deadline.and_then(|deadline| {
            now.checked_add(share(deadline.saturating_duration_since(now), left))
        });
        let until = if left > 1 || self.awaits_lookup() {
            until
        } else {
            None
        };
        let reason = if number == 0 {
            ConnectReason::First
        } else {
            ConnectReason::Next
        };
        emitter.emit(EventKind::ConnectStart, now, |_| {
            Payload::ConnectStart(Arc::new(ConnectStart {
                network: network(addr),
                addr,
                contestant: number,
                reason,
            }))
        });
        self.state = State::Connecting(Contestant {
            number,
            addr,
            since: now,
            until,
        });
        Some(Action::Connect {
            contestant: number,
            addr,
        })
    }

    fn awaits_lookup(&self) -> bool {
        matches!(self.lookup, Lookup::Asked { .. })
    }

    /// Takes what became of a contestant.
    pub(crate) fn connected(
        &mut self,
        contestant: u16,
        result: Result<(ConnId, Option<SocketAddr>), std::io::Error>,
        now: Instant,
        emitter: &mut Emitter,
    ) -> Outcomes {
        let State::Connecting(current) = self.state else {
            return Outcomes::Going;
        };
        if current.number != contestant {
            return Outcomes::Going;
        }
        match result {
            Ok((conn, local)) => {
                tell_connect_done(
                    current,
                    ConnectOutcome::Connected,
                    None,
                    local,
                    now,
                    emitter,
                );
                emitter.marks().connected(current.since, now);
                let reached = Reached { conn, local };
                if self.facts.is_tls {
                    self.state = State::Connected(current, reached);
                    return Outcomes::Going;
                }
                self.win(current, reached, None, now, emitter)
            }
            Err(error) => {
                tell_connect_done(
                    current,
                    ConnectOutcome::Failed,
                    error.raw_os_error(),
                    None,
                    now,
                    emitter,
                );
                let outcome = TriedOutcome::Failed {
                    kind: error.kind(),
                    code: error.raw_os_error(),
                };
                self.tried.push(current.tried(outcome, now));
                self.go_on(Some(error), now, emitter)
            }
        }
    }

    /// Says which contestant TLS is to be begun on, once.
    pub(crate) fn start_tls(
        &mut self,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Option<u16> {
        let State::Connected(current, reached) = self.state else {
            return None;
        };
        let server_name = self.facts.host.clone();
        emitter.emit(EventKind::TlsHandshakeStart, now, |_| {
            Payload::TlsHandshakeStart(Arc::new(TlsHandshakeStart {
                contestant: current.number,
                server_name,
                alpn: "http/1.1",
                to: TlsRole::Origin,
            }))
        });
        timers.arm(Timer::Tls, now, self.facts.tls_limit);
        self.state = State::Securing(current, reached, now);
        Some(current.number)
    }

    /// Takes what became of a TLS handshake. Its failure ends the dial: another address would say the same.
    pub(crate) fn secured(
        &mut self,
        contestant: u16,
        result: Result<Arc<TlsFacts>, TlsFault>,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Outcomes {
        let State::Securing(current, reached, since) = self.state else {
            return Outcomes::Going;
        };
        if current.number != contestant {
            return Outcomes::Going;
        }
        timers.disarm(Timer::Tls);
        match result {
            Ok(facts) => {
                tell_tls_done(
                    current,
                    Some(facts.clone()),
                    None,
                    None,
                    since,
                    now,
                    emitter,
                );
                self.win(current, reached, Some(facts), now, emitter)
            }
            Err(fault) => {
                let error =
                    Error::new(ErrorKind::Tls(fault.failure), Phase::Tls).with_source(fault.source);
                tell_tls_done(
                    current,
                    None,
                    Some(ErrorFacts::of(&error)),
                    fault.alert,
                    since,
                    now,
                    emitter,
                );
                self.state = State::Naming;
                self.fail(error, now, emitter)
            }
        }
    }

    /// When the dial wants to be told the time, beside the timers of the call.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match (&self.state, &self.lookup) {
            (State::Connecting(current), _) => current.until,
            (
                State::Naming,
                Lookup::Asked {
                    usable_since: Some(since),
                    ..
                },
            ) => since.checked_add(SECOND_FAMILY_WAIT),
            _ => None,
        }
    }

    /// Takes that time passed.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Outcomes {
        match self.state {
            State::Connecting(current) if current.until.is_some_and(|until| until <= now) => {
                tell_connect_done(current, ConnectOutcome::Pruned, None, None, now, emitter);
                self.tried
                    .push(current.tried(TriedOutcome::Unanswered, now));
                match self.go_on(None, now, emitter) {
                    Outcomes::Going => Outcomes::Drop(current.number),
                    other => other,
                }
            }
            State::Naming => self.lookup_moved(now, emitter, timers),
            _ => Outcomes::Going,
        }
    }

    /// Goes on after a contestant that did not win.
    fn go_on(
        &mut self,
        error: Option<std::io::Error>,
        now: Instant,
        emitter: &mut Emitter,
    ) -> Outcomes {
        if !self.is_out_of_addresses() {
            self.state = State::Starting;
            return Outcomes::Going;
        }
        if self.awaits_lookup() {
            self.state = State::Naming;
            return Outcomes::Going;
        }
        let mut failure = Error::new(ErrorKind::Connect, Phase::Connect);
        if let Some(error) = error {
            failure = failure.with_source(Box::new(error));
        }
        self.fail(failure, now, emitter)
    }

    fn win(
        &mut self,
        current: Contestant,
        reached: Reached,
        tls: Option<Arc<TlsFacts>>,
        now: Instant,
        emitter: &mut Emitter,
    ) -> Outcomes {
        self.end_lookup(None, now, emitter);
        emitter.join_connection(reached.conn, 0);
        let elapsed = now.saturating_duration_since(self.started);
        let is_tls = tls.is_some();
        emitter.emit(EventKind::ConnOpened, now, |_| {
            Payload::ConnOpened(Arc::new(ConnOpened {
                local: reached.local,
                remote: current.addr,
                tls: is_tls,
                setup: elapsed,
            }))
        });
        let won = (Some(current.number), Some(reached.conn));
        self.tell_done(won, None, false, now, emitter);
        emitter.set_dial(None);
        Outcomes::Won(Won {
            contestant: current.number,
            conn: reached.conn,
            remote: current.addr,
            local: reached.local,
            tls,
        })
    }

    fn fail(&mut self, error: Error, now: Instant, emitter: &mut Emitter) -> Outcomes {
        self.end_lookup(None, now, emitter);
        self.tell_done(
            (None, None),
            Some(ErrorFacts::of(&error)),
            false,
            now,
            emitter,
        );
        emitter.set_dial(None);
        Outcomes::Failed(error)
    }

    /// Gives the dial up: everything that began gets its end.
    pub(crate) fn abandon(&mut self, error: &Error, now: Instant, emitter: &mut Emitter) {
        match self.state {
            State::Connecting(current) => {
                tell_connect_done(current, ConnectOutcome::Canceled, None, None, now, emitter);
                self.tried
                    .push(current.tried(TriedOutcome::Unanswered, now));
            }
            State::Securing(current, _, since) => {
                tell_tls_done(
                    current,
                    None,
                    Some(ErrorFacts::of(error)),
                    None,
                    since,
                    now,
                    emitter,
                );
            }
            State::Connected(..) | State::Asking | State::Naming | State::Starting => {}
        }
        self.end_lookup(Some(error), now, emitter);
        self.tell_done(
            (None, None),
            Some(ErrorFacts::of(error)),
            true,
            now,
            emitter,
        );
        emitter.set_dial(None);
    }

    /// Where the dial is, for errors.
    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Asking | State::Naming => Phase::Lookup,
            State::Starting | State::Connecting(_) => Phase::Connect,
            State::Connected(..) | State::Securing(..) => Phase::Tls,
        }
    }

    /// Every address that was tried so far.
    pub(crate) fn take_tried(&mut self) -> Vec<Tried> {
        std::mem::take(&mut self.tried)
    }

    fn tell_dns_start(&self, source: DnsSource, now: Instant, emitter: &mut Emitter) {
        let (host, port) = (self.facts.host.clone(), self.facts.port);
        emitter.emit(EventKind::DnsStart, now, |_| {
            Payload::DnsStart(Arc::new(DnsStart { host, port, source }))
        });
    }

    /// Ends the lookup in events, if it has not ended: both families are in, or the dial is over.
    fn end_lookup(&mut self, cut: Option<&Error>, now: Instant, emitter: &mut Emitter) {
        let Lookup::Asked {
            since,
            v4,
            v6,
            shared,
            ..
        } = std::mem::replace(&mut self.lookup, Lookup::Told)
        else {
            return;
        };
        let complete = v4.is_some() && v6.is_some();
        let answers = [&v6, &v4]
            .into_iter()
            .flatten()
            .filter_map(|outcome| outcome.as_ref().ok());
        let source = answers
            .clone()
            .map(|answer| answer.source())
            .next()
            .unwrap_or(AnswerSource::Query);
        let addrs: Vec<Address> = answers
            .flat_map(|answer| answer.addrs().iter().copied())
            .collect();
        let error = match merge(v4.as_ref(), v6.as_ref()) {
            Merged::Failed(failure) => Some(ErrorFacts::of(&Error::new(
                ErrorKind::Lookup(failure.rule()),
                Phase::Lookup,
            ))),
            Merged::Waiting | Merged::Found => cut.filter(|_| addrs.is_empty()).map(ErrorFacts::of),
        };
        let elapsed = now.saturating_duration_since(since);
        tell_dns_done(
            addrs, error, shared, complete, source, elapsed, now, emitter,
        );
    }

    fn tell_done(
        &self,
        won: (Option<u16>, Option<ConnId>),
        error: Option<ErrorFacts>,
        abandoned: bool,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        let (winner, connection) = won;
        emitter.emit(EventKind::DialDone, now, |_| {
            Payload::DialDone(Arc::new(DialDone {
                winner,
                connection,
                error,
                abandoned,
                tried: self.tried.clone(),
                elapsed: now.saturating_duration_since(self.started),
            }))
        });
    }
}

impl Contestant {
    fn tried(self, outcome: TriedOutcome, now: Instant) -> Tried {
        Tried {
            addr: self.addr,
            outcome,
            elapsed: now.saturating_duration_since(self.since),
        }
    }
}

/// The share of the time left that one of `left` addresses gets.
fn share(time: Duration, left: usize) -> Duration {
    let parts = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    time.checked_div(parts)
        .unwrap_or_default()
        .max(LEAST_SHARE.min(time))
}

fn network(addr: SocketAddr) -> &'static str {
    if addr.is_ipv4() { "tcp4" } else { "tcp6" }
}

fn tell_connect_done(
    current: Contestant,
    outcome: ConnectOutcome,
    code: Option<i32>,
    local: Option<SocketAddr>,
    now: Instant,
    emitter: &mut Emitter,
) {
    emitter.emit(EventKind::ConnectDone, now, |_| {
        Payload::ConnectDone(Arc::new(ConnectDone {
            network: network(current.addr),
            addr: current.addr,
            contestant: current.number,
            outcome,
            code,
            local,
            elapsed: now.saturating_duration_since(current.since),
        }))
    });
}

fn tell_tls_done(
    current: Contestant,
    facts: Option<Arc<TlsFacts>>,
    error: Option<ErrorFacts>,
    alert: Option<u8>,
    since: Instant,
    now: Instant,
    emitter: &mut Emitter,
) {
    emitter.emit(EventKind::TlsHandshakeDone, now, |_| {
        Payload::TlsHandshakeDone(Arc::new(TlsHandshakeDone {
            contestant: current.number,
            facts,
            error,
            alert: alert.map(u16::from),
            elapsed: now.saturating_duration_since(since),
            to: TlsRole::Origin,
        }))
    });
}

fn tell_family(
    family: Family,
    outcome: &Outcome,
    elapsed: Duration,
    now: Instant,
    emitter: &mut Emitter,
) {
    emitter.emit(EventKind::DnsFamilyDone, now, |_| {
        let (addrs, ttl, error, code) = match outcome {
            Ok(answer) => (answer.addrs().to_vec(), answer.ttl(), None, None),
            Err(failure) => {
                let error = Error::new(ErrorKind::Lookup(failure.rule()), Phase::Lookup);
                (
                    Vec::new(),
                    None,
                    Some(ErrorFacts::of(&error)),
                    failure.error().code(),
                )
            }
        };
        Payload::DnsFamilyDone(Arc::new(DnsFamilyDone {
            family,
            addrs,
            ttl,
            error,
            code,
            elapsed,
        }))
    });
}

fn tell_dns_done(
    addrs: Vec<Address>,
    error: Option<ErrorFacts>,
    coalesced: bool,
    complete: bool,
    source: AnswerSource,
    elapsed: Duration,
    now: Instant,
    emitter: &mut Emitter,
) {
    emitter.emit(EventKind::DnsDone, now, |_| {
        Payload::DnsDone(Arc::new(DnsDone {
            addrs,
            error,
            coalesced,
            complete,
            source,
            elapsed,
        }))
    });
}
