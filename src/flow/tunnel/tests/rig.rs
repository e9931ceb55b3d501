//! A tunnel and a proxy that answers as it is told, in pieces of any size.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::config::{EarlyResponse, Limits, Strictness};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::grammar::check;
use crate::event::{
    Clock, ConnOpened, ConnectDone, ConnectOutcome, ConnectStart, DialDone, DialReason, DialStart,
    DnsSkipReason, DnsSkipped, Emitter, ErrorFacts, Event, Interest, Observer, ObserverRef,
    Observers, Payload, Redaction, Telling, Verdict,
};
use crate::flow::tunnel::{Goal, Progress, Tunnel};
use crate::ids::{ConnId, DialId};
use crate::message::dial::ConnectReason;
use crate::message::peer_addr::PeerAddr;
use crate::message::proxy::Proxy;
use crate::proto::buffers::Buffers;
use crate::proto::{Rules, Turn};

/// Keeps every event.
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

/// What a tunnel needs around it.
pub(super) struct Rig {
    buffers: Buffers,
    emitter: Emitter,
    kept: Keeper,
    pub(super) rules: Rules,
    now: Instant,
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Failed(ErrorKind),
}

/// What came of an answer.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) end: End,
    pub(super) error: Option<Error>,
    /// All that the proxy was told.
    pub(super) sent: Vec<u8>,
    pub(super) events: Vec<Event>,
}

impl Rig {
    pub(super) fn new() -> Self {
        let now = crate::testing::origin();
        let kept = Keeper::default();
        let observers = Observers::of_call(&[ObserverRef::new(kept.clone())], &[]);
        let clock = Clock::new(now, SystemTime::UNIX_EPOCH);
        let telling = Telling::new(clock, Redaction::default());
        let emitter = Emitter::new(telling.into(), observers);
        Self {
            buffers: Buffers::default(),
            emitter,
            kept,
            rules: Rules {
                limits: Limits::default(),
                strictness: Strictness::Normal,
                early_response: EarlyResponse::Finish,
                expect_limit: Duration::ZERO,
            },
            now,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn emitter(&mut self) -> &mut Emitter {
        &mut self.emitter
    }

    fn turn(&mut self) -> Turn<'_> {
        Turn {
            buffers: &mut self.buffers,
            now: self.now,
            emitter: &mut self.emitter,
            rules: &self.rules,
        }
    }

    pub(super) fn begin(&mut self, proxy: &str, host: &str, port: u16) -> Result<Tunnel, Error> {
        let proxy = Arc::new(Proxy::parse(proxy).unwrap());
        self.begin_with(&proxy, host, port)
    }

    pub(super) fn begin_with(
        &mut self,
        proxy: &Arc<Proxy>,
        host: &str,
        port: u16,
    ) -> Result<Tunnel, Error> {
        let goal = Goal {
            host: host.into(),
            port,
            address: None,
        };
        self.begin_to(proxy, &goal)
    }

    pub(super) fn begin_to(&mut self, proxy: &Arc<Proxy>, goal: &Goal) -> Result<Tunnel, Error> {
        Tunnel::begin(proxy, goal, 0, &mut self.turn())
    }

    pub(super) fn feed(&mut self, tunnel: &mut Tunnel, bytes: &[u8]) -> Progress {
        self.buffers.inbound.append(bytes);
        tunnel.received(&mut self.turn())
    }

    pub(super) fn end(&mut self, tunnel: &mut Tunnel) -> Progress {
        tunnel.ended(&mut self.turn())
    }

    pub(super) fn reset(&mut self, tunnel: &mut Tunnel) -> Progress {
        let kind = ErrorKind::io(&std::io::ErrorKind::ConnectionReset.into());
        tunnel.broke(Error::new(kind, Phase::Tunnel), &mut self.turn())
    }

    /// What a driver would send now.
    pub(super) fn sent(&mut self) -> Vec<u8> {
        let sent = self.buffers.outbound.filled().to_vec();
        self.buffers.outbound.consume(sent.len());
        sent
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        self.emitter.deliver();
        std::mem::take(&mut *self.kept.0.lock().unwrap())
    }

    /// The events between those of a dial that leads through a proxy, checked.
    pub(super) fn dial_events(mut self, opened: bool) -> Vec<Event> {
        let events = self.events();
        let mut dial = Self::new();
        let now = dial.now;
        dial.emitter.set_dial(Some(DialId::new(1)));
        for payload in before() {
            dial.emitter.emit(payload.kind(), now, |_| payload);
        }
        for event in &events {
            let payload = event.payload().clone();
            dial.emitter.emit(event.kind(), now, |_| payload);
        }
        if opened {
            dial.emitter.join_connection(ConnId::new(1), 0);
        }
        for payload in after(opened) {
            dial.emitter.emit(payload.kind(), now, |_| payload);
        }
        check(&dial.events()).unwrap();
        events
    }
}

fn before() -> [Payload; 4] {
    let addr = PeerAddr::from(SocketAddr::from(([127, 0, 0, 1], 3128)));
    [
        Payload::DialStart(DialStart {
            why: DialReason::NoIdle,
        }),
        Payload::DnsSkipped(DnsSkipped {
            reason: DnsSkipReason::Literal,
        }),
        Payload::ConnectStart(Arc::new(ConnectStart {
            network: "tcp4",
            addr: addr.clone(),
            contestant: 0,
            reason: ConnectReason::First,
        })),
        Payload::ConnectDone(Arc::new(ConnectDone {
            network: "tcp4",
            addr,
            contestant: 0,
            outcome: ConnectOutcome::Connected,
            code: None,
            local: None,
            elapsed: Duration::ZERO,
        })),
    ]
}

fn after(opened: bool) -> Vec<Payload> {
    let failed = || ErrorFacts::of(&Error::new(ErrorKind::Connect, Phase::Connect));
    let conn = Payload::ConnOpened(Arc::new(ConnOpened {
        local: None,
        remote: SocketAddr::from(([127, 0, 0, 1], 3128)).into(),
        proxied: true,
        tls: false,
        setup: Duration::ZERO,
    }));
    let done = Payload::DialDone(Arc::new(DialDone {
        winner: opened.then_some(0),
        connection: opened.then_some(ConnId::new(1)),
        error: (!opened).then(failed),
        abandoned: false,
        tried: Vec::new(),
        elapsed: Duration::ZERO,
    }));
    if opened { vec![conn, done] } else { vec![done] }
}

/// Asks a proxy for `h:443`; it answers in pieces of that size, a new one behind each question, and ends the stream.
pub(super) fn play(proxy: &str, answer: &[u8], piece: usize) -> Played {
    play_with(Rig::new(), proxy, answer, || piece)
}

/// The same in a rig of one's own, and in pieces of the sizes that are given.
pub(super) fn play_with(
    mut rig: Rig,
    proxy: &str,
    answer: &[u8],
    mut piece: impl FnMut() -> usize,
) -> Played {
    let mut tunnel = rig.begin(proxy, "h", 443).unwrap();
    let mut sent = rig.sent();
    let mut rest = answer;
    let (end, error) = loop {
        let until_question = asked_again(proxy, answer)
            .into_iter()
            .map(|at| (at + rest.len()).saturating_sub(answer.len()))
            .find(|left| *left > 0)
            .unwrap_or(usize::MAX);
        let (now, later) = rest.split_at(piece().min(until_question).min(rest.len()));
        rest = later;
        let progress = if now.is_empty() {
            rig.end(&mut tunnel)
        } else {
            rig.feed(&mut tunnel, now)
        };
        sent.extend(rig.sent());
        match progress {
            Progress::GoesOn => {}
            Progress::Open => break (End::Open, None),
            Progress::Failed(error) => break (End::Failed(error.kind()), Some(error)),
        }
    };
    let events = rig.dial_events(end == End::Open);
    Played {
        end,
        error,
        sent,
        events,
    }
}

/// Behind which bytes of its answer a SOCKS proxy waits for the next question.
fn asked_again(proxy: &str, answer: &[u8]) -> Vec<usize> {
    match (proxy.starts_with("socks"), answer) {
        (true, [5, 2, ..]) => vec![2, 4],
        (true, _) => vec![2],
        (false, _) => Vec::new(),
    }
}
