//! One connection being made: names, then a race of contestants (RFC 8305), then TLS.
//!
//! The rules guarded here: a failure of one contestant never ends the dial by itself, whatever its error; who
//! wins does not depend on the order in which the system reports what happened at one moment; and an error lists
//! everything that was tried.
//!
//! ```text
//!   Asking --> Resolving --IPv6 address, or IPv4 and no more time for IPv6--> Racing --all failed--> failed
//!                 |none to dial: failed                                        |  ^
//!                                        http, connected: won <----------------|  |failed, or silent
//!                                                                       https, |  |for too long
//!                                                                    connected v  |
//!                                        handshake done: won <-------------- Securing
//! ```
//!
//! A unix socket has no names, and one contestant; one that has no room for it is asked again, later each time.
//!
//! Inputs only note what happened; [`Dial::next`] judges, when the driver has told all that it knows. So several
//! completions of one poll are one batch, and the contestant that began first wins.
//!
//! What earlier dials teach (times to an address, addresses that were dead, families that are sick, the family
//! that won last, how many needed a second socket) is not remembered yet. It enters at two places: the family that
//! [`Candidates`] begins with and the order within each, and the delays and hedges of [`Pace::due`].

pub(crate) mod beyond;
mod candidates;
mod contestants;
mod ending;
pub(crate) mod guard;
pub(crate) mod legs;
mod naming;
mod pace;
mod profile;
mod securing;
pub(crate) mod target;
mod tell;
#[cfg(test)]
mod tests;
mod tunneling;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, LookedUp, Phase, Timer, TriedOutcome, Unfit, code_of};
use crate::event::{ConnectOutcome, DialReason, DialStart, Emitter, EventKind, Payload, TlsRole};
use crate::flow::action::Action;
use crate::flow::dial::beyond::Beyond;
use crate::flow::dial::candidates::Candidates;
use crate::flow::dial::contestants::{Contestant, Contestants, Gravest, Reached, Stage};
use crate::flow::dial::ending::End;
use crate::flow::dial::guard::Guard;
use crate::flow::dial::legs::{Come, Legs};
use crate::flow::dial::naming::{Lookup, lookup_error};
use crate::flow::dial::pace::{Due, Pace, Target as Goal};
use crate::flow::dial::profile::Profile;
use crate::flow::dial::target::{Names, Target};
use crate::flow::dial::tell::{tell_connect_done, tell_connect_start};
use crate::flow::dial::tunneling::Tunneling;
use crate::flow::timers::Timers;
use crate::ids::{ConnId, DialId};
use crate::message::answer::{Address, Failure, Family};
use crate::message::dial::DialProfile;
use crate::message::peer_addr::PeerAddr;
use crate::message::tls::TlsFacts;
use crate::proto::Turn;

/// The code of a system that does not speak the family of an address; no kind of [`io::Error`] says it.
const FAMILY_NOT_SUPPORTED: i32 = if cfg!(target_os = "linux") { 97 } else { 47 };

/// What a dial has to know beside its names.
#[derive(Debug, Clone)]
pub(crate) struct DialFacts {
    pub(crate) id: DialId,
    pub(crate) why: DialReason,
    pub(crate) target: Target,
    /// What lies behind it.
    pub(crate) legs: Legs,
    pub(crate) profile: DialProfile,
    /// The only family that is used, if not both.
    pub(crate) family: Option<Family>,
    /// Which addresses may be dialed.
    pub(crate) guard: Guard,
    /// Addresses of one family that are used.
    pub(crate) addresses_max: usize,
    pub(crate) lookup_limit: Option<Duration>,
    pub(crate) tls_limit: Option<Duration>,
}

/// A dial under way.
#[derive(Debug)]
pub(crate) struct Dial {
    facts: DialFacts,
    profile: &'static Profile,
    started: Instant,
    lookup: Lookup,
    names: Vec<LookedUp>,
    candidates: Candidates,
    contestants: Contestants,
    pace: Pace,
    /// What is looked up before whoever is dialed, if something is.
    beyond: Option<Beyond>,
    /// Bytes that were exchanged with a proxy, out and in.
    carried: (u64, u64),
    state: State,
}

#[derive(Debug)]
enum State {
    /// The resolver is to be asked.
    Asking,
    /// No address can be tried yet.
    Resolving,
    /// There is none.
    Nameless(Failure),
    /// Contestants start and connect.
    Racing,
    /// This contestant connected and is in its TLS handshake; nobody else starts.
    Securing(u16),
    /// The contestant that won the race has its proxy make a tunnel.
    Tunneling(Box<Tunneling>),
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Step {
    /// This.
    Do(Action),
    /// Wait, until then at the latest.
    Wait(Option<Instant>),
    /// Use this connection.
    Won(Won),
    /// Fail.
    Failed(Error),
}

/// The connection that a dial made.
#[derive(Debug)]
pub(crate) struct Won {
    pub(crate) contestant: u16,
    pub(crate) conn: ConnId,
    pub(crate) remote: PeerAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: Option<Arc<TlsFacts>>,
    /// Bytes that were exchanged with a proxy, out and in.
    pub(crate) carried: (u64, u64),
}

impl Dial {
    pub(crate) fn begin(
        facts: DialFacts,
        names: Names,
        beyond: Option<(Target, Names)>,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Self {
        emitter.set_dial(Some(facts.id));
        emitter.emit(EventKind::DialStart, now, |_| {
            Payload::DialStart(DialStart { why: facts.why })
        });
        let mut dial = Self {
            profile: Profile::of(facts.profile),
            facts,
            started: now,
            lookup: Lookup::Told,
            names: Vec::new(),
            candidates: Candidates::new(Family::V6),
            contestants: Contestants::default(),
            pace: Pace::default(),
            beyond: None,
            carried: (0, 0),
            state: State::Resolving,
        };
        match beyond {
            None => dial.name(names, now, emitter, timers),
            Some((target, first)) => {
                let then = names;
                dial.beyond = Some(Beyond { target, then });
                dial.name(first, now, emitter, timers);
            }
        }
        dial
    }

    /// Judges what has happened, and says what is to be done.
    pub(crate) fn next(&mut self, turn: &mut Turn<'_>, timers: &mut Timers) -> Step {
        self.contestants.under_way();
        if let Some(won) = self.win(turn.now, turn.emitter) {
            return Step::Won(won);
        }
        if let Some(step) = self.look_beyond(turn, timers) {
            return step;
        }
        if let Some(step) = self.tunnel(turn, timers) {
            return step;
        }
        let (now, emitter) = (turn.now, &mut *turn.emitter);
        self.tell_plan(now, emitter);
        match &self.state {
            State::Asking => {
                self.state = State::Resolving;
                Step::Do(Action::Resolve)
            }
            State::Nameless(failure) => {
                let error = lookup_error(failure.clone());
                Step::Failed(self.failed_for(error, now, emitter))
            }
            State::Resolving if self.may_race(now) => {
                if !self.candidates.has(Family::V6) && self.awaits_names() {
                    self.pace.missed(Family::V6);
                }
                self.state = State::Racing;
                timers.disarm(Timer::Lookup);
                self.race(now, emitter, timers)
            }
            State::Resolving => Step::Wait(self.asked_v6_until()),
            State::Racing => self.race(now, emitter, timers),
            State::Securing(number) => self.secure(*number, now, emitter, timers),
            State::Tunneling(_) => Step::Wait(None),
        }
    }

    /// Contestants start as the pace says.
    fn race(&mut self, now: Instant, emitter: &mut Emitter, timers: &mut Timers) -> Step {
        if let Some((number, to)) = self.before_tls() {
            return self.begin_tls(number, to, now, timers);
        }
        let has_candidate = !self.candidates.is_empty();
        if self.contestants.is_empty() && !has_candidate {
            if !self.awaits_names() {
                return Step::Failed(self.fail(now, emitter));
            }
            emitter.marks().blocked_on_names(now);
            self.limit_lookup(timers);
            return Step::Wait(None);
        }
        match self
            .pace
            .due(&self.contestants, has_candidate, self.profile, now)
        {
            Some(due) if due.at <= now => self.start(due, now, emitter, timers),
            due => Step::Wait(due.map(|due| due.at)),
        }
    }

    /// The first contestant that TLS is next for, and with whom.
    fn before_tls(&self) -> Option<(u16, TlsRole)> {
        let is_next = |one: &Contestant| match self.facts.legs.come(&one.stage) {
            Come::BeforeTls(to) => Some((one.number, to)),
            Come::Nowhere | Come::BeforeTunnel | Come::There => None,
        };
        self.contestants.iter().find_map(is_next)
    }

    /// Starts a contestant, or does first what has to be done before.
    fn start(
        &mut self,
        due: Due,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Step {
        let port = self.facts.target.port;
        if let Some(address) = self.candidates.to_probe() {
            let addr = address.with_port(port);
            return Step::Do(Action::ProbeRoute { addr });
        }
        if self.contestants.len() >= self.profile.open_max {
            return self.prune(now, emitter);
        }
        let addr = match due.to {
            Goal::Next => self.next_addr(),
            Goal::Again(addr) => Some(addr.into()),
        };
        let Some(addr) = addr else {
            return Step::Wait(None);
        };
        let contestant = self.contestants.begin(addr.clone(), due.reason, now);
        self.pace.started(&due, self.profile, now);
        timers.disarm(Timer::Lookup);
        tell_connect_start(contestant, addr.clone(), due.reason, now, emitter);
        Step::Do(Action::Connect { contestant, addr })
    }

    fn next_addr(&mut self) -> Option<PeerAddr> {
        let socket = self.candidates.take_socket().map(PeerAddr::Unix);
        let port = self.facts.target.port;
        socket.or_else(|| Some(self.candidates.take_next()?.with_port(port).into()))
    }

    /// The oldest gives way, one that connects and was not hedged before the others.
    fn prune(&mut self, now: Instant, emitter: &mut Emitter) -> Step {
        let is_hedged = |addr| self.pace.is_hedged(addr);
        let is_plain =
            |one: &Contestant| one.is_connecting() && !one.addr.tcp().is_some_and(is_hedged);
        let oldest = self
            .contestants
            .first(is_plain)
            .or_else(|| self.contestants.first(|_| true));
        let Some(contestant) = oldest else {
            return Step::Wait(None);
        };
        self.end_one(contestant, End::Pruned, now, emitter);
        Step::Do(Action::AbortConnect { contestant })
    }

    /// Takes the verdict of a probe.
    pub(crate) fn routed(&mut self, addr: SocketAddr, reachable: bool) {
        self.candidates.probed(Address::from(addr), reachable);
    }

    /// Takes what became of a contestant that was to connect.
    pub(crate) fn connected(
        &mut self,
        contestant: u16,
        result: Result<(ConnId, Option<SocketAddr>), io::Error>,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        let Some(one) = self.contestants.get_mut(contestant) else {
            return;
        };
        if !one.is_connecting() {
            return;
        }
        match result {
            Ok((conn, local)) => {
                tell_connect_done(one, ConnectOutcome::Connected, None, local, now, emitter);
                emitter.marks().connected(one.since, now);
                one.stage = Stage::Reached(Reached {
                    conn,
                    local,
                    at: now,
                });
            }
            Err(error) => {
                let code = code_of(&error);
                tell_connect_done(one, ConnectOutcome::Failed, code, None, now, emitter);
                self.failed(contestant, error, now);
            }
        }
    }

    fn failed(&mut self, contestant: u16, error: io::Error, now: Instant) {
        let outcome = TriedOutcome::Failed {
            kind: error.kind(),
            code: code_of(&error),
        };
        let Some(one) = self.contestants.end(contestant, outcome, now) else {
            return;
        };
        self.pace.failed(one.reason, self.profile);
        if matches!(one.stage, Stage::Opening) {
            self.pace.sent_nothing();
            self.sent_nothing(one.addr, &error, now);
        }
        self.contestants.blame(Gravest {
            weight: weight(&error),
            number: contestant,
            error: connect_error(error),
        });
    }

    /// What a contestant that sent no packet tells about others.
    fn sent_nothing(&mut self, addr: PeerAddr, error: &io::Error, now: Instant) {
        match addr {
            PeerAddr::Tcp(addr) if has_no_route(error) => {
                self.candidates.strand(Family::of(addr.ip()));
            }
            PeerAddr::Unix(addr) if error.kind() == io::ErrorKind::WouldBlock => {
                self.candidates.put_socket(addr);
                self.pace.found_no_room(now);
            }
            PeerAddr::Tcp(_) | PeerAddr::Unix(_) => {}
        }
    }

    /// Where the dial is, for errors.
    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Asking | State::Resolving | State::Nameless(_) => Phase::Lookup,
            State::Racing if self.contestants.is_empty() && self.awaits_names() => Phase::Lookup,
            State::Racing => Phase::Connect,
            State::Securing(_) => Phase::Tls,
            State::Tunneling(_) => Phase::Tunnel,
        }
    }

    pub(crate) fn id(&self) -> DialId {
        self.facts.id
    }

    /// Says whether names were asked for, or are known and of use, and nothing stands in the buffers of the call.
    pub(crate) fn is_under_way(&self) -> bool {
        match self.state {
            State::Asking | State::Nameless(_) | State::Tunneling(_) => false,
            State::Resolving | State::Racing | State::Securing(_) => true,
        }
    }

    /// The name that a certificate has to speak for.
    pub(crate) fn server_name(&self, role: TlsRole) -> Arc<str> {
        self.facts.legs.name(role).cloned().unwrap_or_default()
    }

    /// The host whose addresses are looked up.
    pub(crate) fn host(&self) -> &str {
        &self.named().host
    }

    /// Where a contestant that is not connected goes.
    pub(crate) fn addr_of(&self, contestant: u16) -> Option<PeerAddr> {
        let one = self.contestants.get(contestant)?;
        matches!(one.stage, Stage::Opening | Stage::Connecting).then(|| one.addr.clone())
    }

    /// Says whether no other contestant is open than this one.
    pub(crate) fn has_only(&self, contestant: u16) -> bool {
        self.contestants.len() == 1 && self.contestants.get(contestant).is_some()
    }

    /// Says whether at most one contestant is open, and nobody else can start but a second socket to its address.
    pub(crate) fn is_alone(&self) -> bool {
        self.contestants.len() <= 1 && self.candidates.is_empty() && !self.awaits_names()
    }
}

/// Says whether an error means that the system knows no way to the address.
fn has_no_route(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::AddrNotAvailable
    ) || error.raw_os_error() == Some(FAMILY_NOT_SUPPORTED)
}

/// The error of a contestant that did not connect; what its socket could not be made to be has a kind of its own.
fn connect_error(error: io::Error) -> Error {
    let of = |kind| Error::new(kind, Phase::Connect);
    match error.downcast::<Unfit>() {
        Ok(unfit) => {
            let error = of(ErrorKind::LocalSocket(unfit.rule)).with_source(Box::new(unfit.cause));
            match unfit.subject {
                Some(subject) => error.about(&subject),
                None => error,
            }
        }
        Err(error) => of(ErrorKind::Connect).with_source(Box::new(error)),
    }
}

/// How much a failure to connect tells; see [`Gravest`].
fn weight(error: &io::Error) -> u8 {
    use io::ErrorKind as K;
    if Unfit::of(error).is_some() {
        4
    } else if matches!(error.kind(), K::ConnectionRefused | K::ConnectionReset) {
        3
    } else if has_no_route(error) {
        2
    } else {
        u8::from(error.kind() != K::TimedOut)
    }
}
