//! A dial in a world of its own: a clock, a resolver, and addresses with a fate each.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::config::{EarlyResponse, Limits, Strictness};
use crate::error::{Error, ErrorKind, LookupFailure, TlsFailure};
use crate::event::grammar::check;
use crate::event::{
    Clock, Emitter, Event, EventData, EventKind, Interest, Observer, ObserverRef, Observers,
    Redaction, Telling, Timings, Verdict,
};
use crate::flow::action::{Action, Moved, TlsFault};
use crate::flow::dial::guard::Guard;
use crate::flow::dial::legs::Legs;
use crate::flow::dial::target::{Names, Target};
use crate::flow::dial::{Dial, DialFacts, Step};
use crate::flow::timers::Timers;
use crate::ids::{ConnId, DialId};
use crate::message::answer::{Address, Answer, Family, LookupError, Outcome};
use crate::message::connect_to::ConnectTo;
use crate::message::dial::{ConnectReason, DialProfile};
use crate::message::tls::{TlsFacts, TlsHandshake, TlsVersion};
use crate::message::url::Url;
use crate::message::via::{Destination, Via};
use crate::proto::buffers::Buffers;
use crate::proto::{Rules, Turn};

/// What becomes of a connect; times in milliseconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It connects after one round trip.
    Answers(u64),
    /// It fails with this kind.
    Fails(u64, io::ErrorKind),
    /// It fails before a packet leaves.
    FailsAtOnce(io::ErrorKind),
    /// The first packet to this address is lost, and sent again after a second; the round trip is this long.
    LosesFirst(u64),
    /// Nothing ever comes back.
    Silence,
}

/// What becomes of a handshake; times from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// The first byte comes, and then the end.
    Done(u64, u64),
    /// It fails.
    Fails(u64),
    /// Nothing ever comes back.
    Silence,
}

/// When a family is answered, and how.
pub(super) type Reply = Option<(u64, Outcome)>;

/// The world of one dial.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) profile: DialProfile,
    pub(super) v6: Reply,
    pub(super) v4: Reply,
    pub(super) fates: BTreeMap<IpAddr, Fate>,
    /// With an entry, TLS is spoken.
    pub(super) tls: BTreeMap<IpAddr, Tls>,
    pub(super) no_route: Vec<IpAddr>,
    pub(super) family: Option<Family>,
    pub(super) guard: Guard,
    /// When the question for IPv6 addresses is really asked.
    pub(super) aaaa_asked: Option<u64>,
    /// When the dial is given up.
    pub(super) deadline: Option<u64>,
    /// Whether what happens at one moment is told backwards.
    pub(super) backwards: bool,
    /// By whom the server is reached.
    pub(super) via: Via,
    /// What the proxy says in a record of its own behind its answer.
    pub(super) behind: &'static [u8],
    pub(super) tls_limit: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// The address that won, or the error; and when.
    pub(super) end: Result<IpAddr, Error>,
    pub(super) at: u64,
    pub(super) starts: Vec<(u64, IpAddr, ConnectReason)>,
    pub(super) events: Vec<Event>,
    pub(super) timings: Timings,
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Addresses that are answered after so many milliseconds.
pub(super) fn reply(after: u64, addresses: &[&str]) -> Reply {
    Some((
        after,
        Ok(Answer::new(addresses.iter().map(|text| ip(text)))),
    ))
}

/// A failure that is answered after so many milliseconds.
pub(super) fn refusal(after: u64, failure: LookupFailure) -> Reply {
    Some((after, Err(LookupError::new(failure).into())))
}

impl World {
    /// Both families are answered at once, and nothing is ever heard of any address.
    pub(super) fn new(v6: &[&str], v4: &[&str]) -> Self {
        Self {
            profile: DialProfile::Fast,
            v6: reply(0, v6),
            v4: reply(0, v4),
            fates: BTreeMap::new(),
            tls: BTreeMap::new(),
            no_route: Vec::new(),
            family: None,
            guard: Guard::default(),
            aaaa_asked: Some(0),
            deadline: Some(60_000),
            backwards: false,
            via: Via::Nobody,
            behind: b"",
            tls_limit: None,
        }
    }

    pub(super) fn profile(self, profile: DialProfile) -> Self {
        Self { profile, ..self }
    }

    pub(super) fn v6(self, v6: Reply) -> Self {
        Self { v6, ..self }
    }

    pub(super) fn v4(self, v4: Reply) -> Self {
        Self { v4, ..self }
    }

    pub(super) fn fate(mut self, address: &str, fate: Fate) -> Self {
        self.fates.insert(ip(address), fate);
        self
    }

    pub(super) fn tls(mut self, address: &str, tls: Tls) -> Self {
        self.tls.insert(ip(address), tls);
        self
    }

    pub(super) fn allowing(self, judge: fn(&SocketAddr) -> bool) -> Self {
        let guard = Guard::new(judge);
        Self { guard, ..self }
    }

    /// Runs the dial to its end, and checks its events.
    pub(super) fn run(&self) -> Outcomes {
        let outcomes = Run::new(self).run();
        if let Err(violation) = check(&outcomes.events) {
            panic!("{violation}\n{:#?}\n{self:#?}", outcomes.events);
        }
        outcomes
    }
}

/// Keeps events.
#[derive(Debug, Clone, Default)]
struct Keeper(Arc<Mutex<Vec<Event>>>);

impl Observer for Keeper {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, event: &Event) -> Verdict {
        self.0.lock().unwrap().push(event.clone());
        Verdict::Continue
    }
}

#[derive(Debug)]
enum Happening {
    Asked,
    Reply(Family),
    Connect(u16, Result<(), io::ErrorKind>),
    TlsByte(u16),
    TlsEnd(u16, bool),
}

struct Run<'a> {
    world: &'a World,
    dial: Dial,
    origin: Instant,
    now: u64,
    emitter: Emitter,
    timers: Timers,
    kept: Keeper,
    /// What will happen, with the moment.
    coming: Vec<(u64, Happening)>,
    open: BTreeMap<u16, SocketAddr>,
    /// How often each address was tried.
    tried: BTreeMap<IpAddr, u32>,
    starts: Vec<(u64, IpAddr, ConnectReason)>,
    buffers: Buffers,
    rules: Rules,
}

impl<'a> Run<'a> {
    fn new(world: &'a World) -> Self {
        let origin = crate::testing::origin();
        let kept = Keeper::default();
        let observers = Observers::of_call(&[ObserverRef::new(kept.clone())], &[]);
        let clock = Clock::new(origin, SystemTime::UNIX_EPOCH);
        let telling = Telling::new(clock, Redaction::default());
        let mut emitter = Emitter::new(telling.into(), observers);
        let mut timers = Timers::default();
        let scheme = if world.tls.is_empty() {
            "http"
        } else {
            "https"
        };
        let url = Url::parse(&format!("{scheme}://name.test:80/")).unwrap();
        let (url, via) = (&url, &world.via);
        let destination = Destination { url, via };
        let facts = DialFacts {
            why: crate::event::DialReason::NoIdle,
            id: DialId::new(1),
            target: Target::of(url, &ConnectTo::new()),
            legs: Legs::of(destination, &ConnectTo::new()),
            profile: world.profile,
            family: world.family,
            guard: world.guard.clone(),
            addresses_max: 64,
            lookup_limit: None,
            tls_limit: world.tls_limit,
        };
        let names = Names::Ask { custom: false };
        emitter.marks().note(EventKind::CallStart, origin);
        emitter.marks().note(EventKind::GetConn, origin);
        let dial = Dial::begin(facts, names, None, origin, &mut emitter, &mut timers);
        Self {
            world,
            dial,
            origin,
            now: 0,
            emitter,
            timers,
            kept,
            coming: Vec::new(),
            open: BTreeMap::new(),
            tried: BTreeMap::new(),
            starts: Vec::new(),
            buffers: Buffers::default(),
            rules: Rules {
                limits: Limits::default(),
                strictness: Strictness::default(),
                early_response: EarlyResponse::default(),
                expect_limit: Duration::ZERO,
            },
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.origin + Duration::from_millis(ms)
    }

    fn run(mut self) -> Outcomes {
        for _ in 0..100_000 {
            let now = self.at(self.now);
            let is_complete = self.dial.is_complete();
            let mut turn = Turn {
                buffers: &mut self.buffers,
                now,
                emitter: &mut self.emitter,
                rules: &self.rules,
            };
            let step = self.dial.next(&mut turn, &mut self.timers);
            assert_eq!(is_complete, matches!(step, Step::Won(_)));
            match step {
                Step::Do(action) => self.act(action),
                Step::Wait(until) => {
                    if let Some(error) = self.wait(until) {
                        return self.over(Err(error));
                    }
                }
                Step::Won(won) => return self.over(Ok(won.remote.tcp().unwrap().ip())),
                Step::Failed(error) => {
                    let looked_up = self.dial.take_names();
                    let error = error.with_tried(self.dial.tried(), looked_up);
                    return self.over(Err(error));
                }
            }
        }
        panic!("no end: {:#?}", self.world);
    }

    fn over(mut self, end: Result<IpAddr, Error>) -> Outcomes {
        self.emitter.deliver();
        let now = self.at(self.now);
        let last = match end {
            Ok(_) => EventKind::GotConn,
            Err(_) => EventKind::GetConnFailed,
        };
        self.emitter.marks().note(last, now);
        let timings = self.emitter.timings(now);
        Outcomes {
            end,
            at: self.now,
            timings,
            starts: self.starts,
            events: std::mem::take(&mut *self.kept.0.lock().unwrap()),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Resolve => {
                self.dial.asked(false, self.at(self.now));
                let asked = self.world.aaaa_asked.map(|at| (at, Happening::Asked));
                self.coming.extend(asked);
                for (family, reply) in [(Family::V6, &self.world.v6), (Family::V4, &self.world.v4)]
                {
                    if let Some((after, _)) = reply {
                        self.coming.push((*after, Happening::Reply(family)));
                    }
                }
            }
            Action::ProbeRoute { addr } => {
                let reachable = !self.world.no_route.contains(&addr.ip());
                self.dial.routed(addr, reachable);
            }
            Action::Connect { contestant, addr } => {
                self.connect(contestant, addr.tcp().unwrap());
            }
            Action::AbortConnect { contestant } => self.close(contestant),
            Action::StartTls { contestant, .. } => self.start_tls(contestant),
            Action::Speak { contestant } => self.speak(contestant),
            other => panic!("{other:?}"),
        }
    }

    fn connect(&mut self, contestant: u16, addr: SocketAddr) {
        self.emitter.deliver();
        let kept = self.kept.0.lock().unwrap();
        let reason = kept.iter().rev().find_map(|event| match event.data() {
            EventData::ConnectStart(start) => Some(start.reason()),
            _ => None,
        });
        drop(kept);
        self.starts.push((self.now, addr.ip(), reason.unwrap()));
        let times = self.tried.entry(addr.ip()).or_default();
        *times += 1;
        let fate = self.world.fates.get(&addr.ip());
        let (after, result) = match fate.copied().unwrap_or(Fate::Silence) {
            Fate::Answers(rtt) => (rtt, Ok(())),
            Fate::Fails(rtt, kind) => (rtt, Err(kind)),
            Fate::LosesFirst(rtt) if *times == 1 => (1000 + rtt, Ok(())),
            Fate::LosesFirst(rtt) => (rtt, Ok(())),
            Fate::Silence => (u64::MAX, Ok(())),
            Fate::FailsAtOnce(kind) => return self.connected(contestant, Err(kind)),
        };
        self.open.insert(contestant, addr);
        if after < u64::MAX {
            let happening = Happening::Connect(contestant, result);
            self.coming.push((self.now + after, happening));
        }
    }

    fn connected(&mut self, contestant: u16, result: Result<(), io::ErrorKind>) {
        let conn = ConnId::new(100 + u64::from(contestant));
        let result = result.map(|()| (conn, None)).map_err(io::Error::from);
        if result.is_err() {
            self.close(contestant);
        }
        let now = self.at(self.now);
        self.dial
            .connected(contestant, result, now, &mut self.emitter);
    }

    fn close(&mut self, contestant: u16) {
        self.open.remove(&contestant);
        self.coming.retain(|(_, happening)| match happening {
            Happening::Asked | Happening::Reply(_) => true,
            Happening::Connect(of, _) | Happening::TlsByte(of) | Happening::TlsEnd(of, _) => {
                *of != contestant
            }
        });
    }

    fn start_tls(&mut self, contestant: u16) {
        let (ip, now) = (self.open[&contestant].ip(), self.at(self.now));
        (self.dial).tls_started(contestant, false, now, &mut self.emitter);
        match self.world.tls.get(&ip).copied().unwrap_or(Tls::Silence) {
            Tls::Silence => {}
            Tls::Fails(after) => {
                let end = Happening::TlsEnd(contestant, false);
                self.coming.push((self.now + after, end));
            }
            Tls::Done(byte, end) => {
                let first = Happening::TlsByte(contestant);
                self.coming.push((self.now + byte, first));
                let end = (self.now + byte + end, Happening::TlsEnd(contestant, true));
                self.coming.push(end);
            }
        }
    }

    /// The proxy answers at once, and nothing but its answer is waited for.
    fn speak(&mut self, contestant: u16) {
        assert_eq!(self.timers.next(), None, "whose handshake is that?");
        self.moved(contestant, Moved::Sent(self.buffers.outbound.len()));
        for said in [b"HTTP/1.1 200 OK\r\n\r\n", self.world.behind] {
            if !said.is_empty() {
                self.buffers.inbound.append(said);
                self.moved(contestant, Moved::Received(said.len()));
            }
        }
        assert!(self.buffers.is_empty(), "that is nobody's");
    }

    fn moved(&mut self, contestant: u16, moved: Moved) {
        assert!(self.dial.hears_proxy(contestant));
        let mut turn = Turn {
            buffers: &mut self.buffers,
            now: self.origin + Duration::from_millis(self.now),
            emitter: &mut self.emitter,
            rules: &self.rules,
        };
        self.dial.tunneled(contestant, moved, &mut turn);
    }

    /// Goes to the next moment at which something happens. An error: the dial was given up.
    fn wait(&mut self, until: Option<Instant>) -> Option<Error> {
        let until = until.map(|until| {
            let left = until.saturating_duration_since(self.origin);
            u64::try_from(left.as_micros().div_ceil(1000)).unwrap()
        });
        let first = self.coming.iter().map(|(at, _)| *at).min();
        let next = [first, until, self.world.deadline]
            .into_iter()
            .flatten()
            .min();
        let next = next.unwrap_or_else(|| panic!("it waits for nothing: {:#?}", self.world));
        assert!(next >= self.now && Some(next) != until.filter(|at| *at <= self.now));
        self.now = next;
        if self.world.deadline == Some(next) {
            let now = self.at(next);
            let error = Error::new(ErrorKind::Canceled, self.dial.phase());
            self.dial.abandon(&error, now, &mut self.emitter);
            let looked_up = self.dial.take_names();
            return Some(error.with_tried(self.dial.tried(), looked_up));
        }
        let due = |(at, _): &mut (u64, Happening)| *at == next;
        let mut happened: Vec<_> = self.coming.extract(due);
        if self.world.backwards {
            happened.reverse();
        }
        for (_, happening) in happened {
            self.happen(happening);
        }
        None
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.at(self.now);
        let (emitter, timers) = (&mut self.emitter, &mut self.timers);
        match happening {
            Happening::Asked => self.dial.query_began(Family::V6, now),
            Happening::Reply(family) => {
                let reply = match family {
                    Family::V6 => &self.world.v6,
                    Family::V4 => &self.world.v4,
                };
                let (_, outcome) = reply.clone().unwrap();
                let outcome = outcome.map(|answer| answer.tidy(family, 64));
                self.dial
                    .resolved(family, outcome, false, now, emitter, timers);
            }
            Happening::Connect(contestant, result) => self.connected(contestant, result),
            Happening::TlsByte(contestant) => self.dial.tls_progress(contestant),
            Happening::TlsEnd(contestant, is_done) => {
                let result = if is_done {
                    Ok(facts())
                } else {
                    Err(TlsFault {
                        failure: TlsFailure::Expired,
                        alert: None,
                        source: "expired".into(),
                    })
                };
                if result.is_err() {
                    self.close(contestant);
                }
                let (emitter, timers) = (&mut self.emitter, &mut self.timers);
                self.dial.secured(contestant, result, now, emitter, timers);
            }
        }
    }
}

/// Takes what fits out of a vector, in order.
trait Extract<T> {
    fn extract(&mut self, fits: impl FnMut(&mut T) -> bool) -> Vec<T>;
}

impl<T> Extract<T> for Vec<T> {
    fn extract(&mut self, mut fits: impl FnMut(&mut T) -> bool) -> Self {
        let (taken, kept) = std::mem::take(self)
            .into_iter()
            .map(|mut one| (fits(&mut one), one))
            .partition::<Vec<_>, _>(|(fits, _)| *fits);
        *self = kept.into_iter().map(|(_, one)| one).collect();
        taken.into_iter().map(|(_, one)| one).collect()
    }
}

fn facts() -> Arc<TlsFacts> {
    Arc::new(TlsFacts {
        version: TlsVersion::V1_3,
        cipher_suite: "TLS_AES_128_GCM_SHA256",
        key_exchange: None,
        alpn: None,
        handshake: TlsHandshake::Full,
        certificates: Vec::new(),
    })
}

impl Outcomes {
    /// The events of a kind.
    pub(super) fn of(&self, kind: EventKind) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.kind() == kind)
    }

    /// Who won, and when.
    #[track_caller]
    pub(super) fn won(&self) -> (String, u64) {
        match &self.end {
            Ok(ip) => (ip.to_string(), self.at),
            Err(error) => panic!("{error}\n{:#?}", self.events),
        }
    }

    #[track_caller]
    pub(super) fn error(&self) -> &Error {
        match &self.end {
            Ok(ip) => panic!("{ip} won\n{:#?}", self.events),
            Err(error) => error,
        }
    }

    /// Who started when, and why.
    pub(super) fn started(&self) -> Vec<(u64, String, &'static str)> {
        let shown = |(at, ip, why): &(u64, IpAddr, ConnectReason)| (*at, ip.to_string(), why.tag());
        self.starts.iter().map(shown).collect()
    }
}

/// A link-local address in a zone.
pub(super) fn zoned(text: &str, zone: u32) -> Address {
    match ip(text) {
        IpAddr::V6(ip) => Address::in_zone(ip, zone),
        IpAddr::V4(_) => panic!("{text} has no zone"),
    }
}
