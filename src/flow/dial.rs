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

mod candidates;
mod naming;
mod tell;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Phase, Timer, Tried, TriedOutcome};
use crate::event::{
    ConnOpened, ConnectOutcome, ConnectReason, ConnectStart, DialDone, DialPlan, DialProfile,
    DialReason, DialStart, Emitter, ErrorFacts, EventKind, Payload, TlsHandshakeStart, TlsRole,
};
use crate::flow::action::{Action, Names, TlsFault};
use crate::flow::dial::candidates::Candidates;
use crate::flow::dial::tell::{network, tell_connect_done, tell_tls_done};
use crate::flow::timers::Timers;
use crate::ids::{ConnId, DialId};
use crate::message::answer::{Address, Outcome};
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
    candidates: Candidates,
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
            candidates: Candidates::new(),
            tried: Vec::new(),
            contestants: 0,
            state: State::Naming,
        };
        dial.name(names, now, emitter, timers);
        dial
    }

    /// What is to be done now, if anything; asking the resolver and starting a contestant are done once.
    pub(crate) fn next(&mut self, now: Instant, emitter: &mut Emitter) -> Option<Action> {
        match std::mem::replace(&mut self.state, State::Naming) {
            State::Asking => Some(Action::Resolve),
            State::Starting => self.start_next(now, emitter),
            other @ (State::Naming
            | State::Connecting(_)
            | State::Connected(..)
            | State::Securing(..)) => {
                self.state = other;
                None
            }
        }
    }

    fn add(&mut self, addresses: &[Address], now: Instant, emitter: &mut Emitter) {
        self.candidates.add(addresses);
        if addresses.is_empty() {
            return;
        }
        if matches!(self.lookup, Lookup::Told) {
            self.state = State::Starting;
        }
        emitter.emit(EventKind::DialPlan, now, |_| {
            let order = self
                .candidates
                .order()
                .map(|address| address.with_port(self.facts.port))
                .collect();
            Payload::DialPlan(Arc::new(DialPlan {
                order,
                profile: DialProfile::InOrder,
            }))
        });
    }

    fn start_next(&mut self, now: Instant, emitter: &mut Emitter) -> Option<Action> {
        let left = self.candidates.len();
        let addr = self.candidates.take_next()?.with_port(self.facts.port);
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
            ) if !self.candidates.is_empty() => since.checked_add(SECOND_FAMILY_WAIT),
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
                    other @ (Outcomes::Drop(_) | Outcomes::Won(_) | Outcomes::Failed(_)) => other,
                }
            }
            State::Naming => self.lookup_moved(now, emitter, timers),
            State::Asking
            | State::Starting
            | State::Connecting(_)
            | State::Connected(..)
            | State::Securing(..) => Outcomes::Going,
        }
    }

    /// Goes on after a contestant that did not win.
    fn go_on(
        &mut self,
        error: Option<std::io::Error>,
        now: Instant,
        emitter: &mut Emitter,
    ) -> Outcomes {
        if !self.candidates.is_empty() {
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
