//! One dial: names, contestants, handshakes, in any interleaving.

use crate::event::grammar::group::Group;
use crate::event::grammar::rule::{Fault, Rule, ensure};
use crate::event::grammar::table::{
    ANSWERED, CONNECTED, CONTESTANT, DIAL, Machine, NAMED, NAMES, RACING, SECURED, SECURED_INSIDE,
};
use crate::event::{
    ConnectDone, ConnectOutcome, ConnectStart, DialDone, DnsSource, Event, EventData, EventKind,
    ProxyConnectDone, TlsHandshakeDone, TlsHandshakeStart, TlsRole,
};
use crate::ids::ConnId;
use crate::message::anomaly::Anomaly;
use crate::message::answer::Family;
use crate::message::peer_addr::PeerAddr;

/// Events of one dial beside those of its contestants.
const DIAL_MAX: usize = 16;
/// Events of one contestant: of its connect, and of TLS with whom it reached.
const CONTESTANT_MAX: usize = 4;
/// Events of what lies behind a proxy, which one contestant alone comes to: a tunnel that is asked for twice, and TLS.
const BEYOND_MAX: usize = 6;

/// A dial, as far as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    machine: Machine,
    names: Machine,
    families: Vec<Family>,
    /// The caller gave the addresses in advance, so they are known before `dns_done`.
    told: bool,
    contestants: Vec<Contestant>,
    opened: Option<ConnId>,
    anomalies: Vec<Anomaly>,
    count: usize,
}

#[derive(Debug, Clone)]
struct Contestant {
    machine: Machine,
    addr: PeerAddr,
    connected: bool,
    /// Whether its proxy made the tunnel.
    tunneled: bool,
    /// Whom its last handshake is with.
    peer: TlsRole,
    secured: bool,
}

impl Contestant {
    fn new(addr: PeerAddr) -> Self {
        Self {
            machine: Machine::new(&CONTESTANT),
            addr,
            connected: false,
            tunneled: false,
            peer: TlsRole::Origin,
            secured: false,
        }
    }

    /// Says whether it can be the connection of the dial, with TLS to the origin or without.
    fn is_ready(&self, tls: bool) -> bool {
        let with_origin = self.peer == TlsRole::Origin;
        match self.machine.state() {
            CONNECTED => self.connected && !tls,
            SECURED => self.secured && tls == with_origin,
            ANSWERED => self.tunneled && !tls,
            SECURED_INSIDE => self.secured && with_origin && tls,
            _ => false,
        }
    }

    /// Says whether its proxy was asked for a tunnel.
    fn has_asked(&self) -> bool {
        !matches!(
            self.machine.state(),
            "connecting" | CONNECTED | "handshaking" | SECURED
        )
    }

    /// Says whether the bytes of the next handshake or question can reach whom they are for.
    fn is_open(&self) -> bool {
        match self.machine.state() {
            SECURED => self.secured && self.peer == TlsRole::Proxy,
            ANSWERED => self.tunneled,
            _ => self.connected,
        }
    }
}

impl Dial {
    pub(super) fn new() -> Self {
        Self {
            machine: Machine::new(&DIAL),
            names: Machine::new(&NAMES),
            families: Vec::new(),
            told: false,
            contestants: Vec::new(),
            opened: None,
            anomalies: Vec::new(),
            count: 0,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.machine.is_ended()
    }

    pub(super) fn ended(&self) -> Result<(), Fault> {
        self.machine.ended()
    }

    /// Takes an event that carries the id of the dial.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Fault> {
        if Group::of(event.kind()) != Group::Dial {
            return self.guest(event);
        }
        ensure(
            !self.is_ended(),
            Rule::NothingAfterEnd,
            "the dial has ended",
        )?;
        ensure(
            event.kind() == EventKind::DialStart || !self.machine.is("unknown"),
            Rule::Dial,
            "dial_start comes first",
        )?;
        self.names.step_if_known(event.kind())?;
        self.payload(event)?;
        self.machine.step_if_known(event.kind())?;
        self.count += 1;
        ensure(
            self.count <= self.max(),
            Rule::Bounded,
            "too many events for one dial",
        )
    }

    /// How many events it may have by now.
    fn max(&self) -> usize {
        let beyond = match self.contestants.iter().any(Contestant::has_asked) {
            true => BEYOND_MAX,
            false => 0,
        };
        DIAL_MAX + CONTESTANT_MAX * self.contestants.len() + beyond
    }

    /// Checks an event that is not of the dial and carries its id: the attempt still waits for it.
    fn guest(&mut self, event: &Event) -> Result<(), Fault> {
        let kind = event.kind();
        let welcome = matches!(kind, EventKind::GetConnFailed)
            || Group::of(kind) == Group::Floating && !self.is_ended();
        ensure(welcome, Rule::Dial, "this is not an event of a dial")?;
        let EventData::Anomaly(seen) = event.data() else {
            return Ok(());
        };
        let fresh = !self.anomalies.contains(&seen.anomaly());
        self.anomalies.push(seen.anomaly());
        ensure(
            fresh && seen.count() > 0,
            Rule::Bounded,
            "one anomaly per kind and dial, with its count",
        )
    }

    fn payload(&mut self, event: &Event) -> Result<(), Fault> {
        match event.data() {
            EventData::DnsStart(start) => {
                self.told = start.source() == DnsSource::Override;
                self.names_begin()
            }
            EventData::DnsSkipped(_) => self.names_begin(),
            EventData::DnsFamilyDone(done) => self.family(done.family()),
            EventData::DialPlan(_) => self.has_addresses(),
            EventData::ConnectStart(start) => self.connect_start(start),
            EventData::ConnectDone(done) => self.connect_done(done),
            EventData::ProxyConnectStart(start) => self.proxy_asked(start.contestant()),
            EventData::ProxyConnectDone(done) => self.answered(done),
            EventData::TlsHandshakeStart(start) => self.tls_start(start),
            EventData::TlsHandshakeDone(done) => self.tls_done(done),
            EventData::ConnOpened(opened) => self.conn_opened(event.connection(), opened.tls()),
            EventData::DialDone(done) => self.done(done),
            _ => Ok(()),
        }
    }

    /// Names are known, or asked for, before somebody is dialed.
    fn names_begin(&mut self) -> Result<(), Fault> {
        self.families.clear();
        ensure(
            self.contestants.is_empty(),
            Rule::Names,
            "the dial has begun",
        )
    }

    fn family(&mut self, family: Family) -> Result<(), Fault> {
        let fresh = !self.families.contains(&family);
        self.families.push(family);
        ensure(fresh, Rule::Names, "the family is in already")
    }

    fn has_addresses(&self) -> Result<(), Fault> {
        ensure(
            self.told || NAMED.contains(&self.names.state()),
            Rule::Dial,
            "no address is known yet",
        )
    }

    fn connect_start(&mut self, start: &ConnectStart) -> Result<(), Fault> {
        self.has_addresses()?;
        ensure(
            self.machine.is(RACING),
            Rule::Order,
            "the dial has its connection",
        )?;
        ensure(
            usize::from(start.contestant()) == self.contestants.len(),
            Rule::Contestant,
            "contestants are numbered from 0 without a gap",
        )?;
        self.contestants.push(Contestant::new(start.addr().clone()));
        self.step(start.contestant(), EventKind::ConnectStart)
            .map(drop)
    }

    fn connect_done(&mut self, done: &ConnectDone) -> Result<(), Fault> {
        let contestant = self.step(done.contestant(), EventKind::ConnectDone)?;
        contestant.connected = done.outcome() == ConnectOutcome::Connected;
        ensure(
            contestant.addr == *done.addr(),
            Rule::OneEnd,
            "the contestant began with another address",
        )
    }

    fn proxy_asked(&mut self, number: u16) -> Result<(), Fault> {
        let contestant = self.contestant(number)?;
        // A proxy that wants credentials is asked again.
        let may = match contestant.machine.is(ANSWERED) {
            true => !contestant.tunneled,
            false => contestant.is_open(),
        };
        self.step(number, EventKind::ProxyConnectStart)?;
        ensure(
            may,
            Rule::Contestant,
            "the contestant is not connected with a proxy",
        )
    }

    fn answered(&mut self, done: &ProxyConnectDone) -> Result<(), Fault> {
        let contestant = self.step(done.contestant(), EventKind::ProxyConnectDone)?;
        contestant.tunneled = done.error().is_none();
        let success = done.status().is_none_or(|status| status / 100 == 2);
        ensure(
            success || !contestant.tunneled,
            Rule::OneEnd,
            "only 2xx opens a tunnel",
        )
    }

    fn tls_start(&mut self, start: &TlsHandshakeStart) -> Result<(), Fault> {
        let open = self.contestant(start.contestant())?.is_open();
        let contestant = self.step(start.contestant(), EventKind::TlsHandshakeStart)?;
        ensure(
            open,
            Rule::Contestant,
            "the contestant is not connected with whom this is for",
        )?;
        contestant.peer = start.to();
        contestant.secured = false;
        ensure(
            !(contestant.tunneled && start.to() == TlsRole::Proxy),
            Rule::Contestant,
            "behind the tunnel is the origin",
        )
    }

    fn tls_done(&mut self, done: &TlsHandshakeDone) -> Result<(), Fault> {
        let contestant = self.step(done.contestant(), EventKind::TlsHandshakeDone)?;
        contestant.secured = done.error().is_none();
        ensure(
            contestant.peer == done.to(),
            Rule::OneEnd,
            "the handshake began with another peer",
        )?;
        ensure(
            done.facts().is_some() != done.error().is_some(),
            Rule::OneEnd,
            "a handshake ends with facts or with an error",
        )
    }

    fn contestant(&mut self, number: u16) -> Result<&mut Contestant, Fault> {
        self.contestants
            .get_mut(usize::from(number))
            .ok_or_else(|| Fault::new(Rule::Contestant, "the contestant has not begun"))
    }

    fn step(&mut self, number: u16, kind: EventKind) -> Result<&mut Contestant, Fault> {
        let contestant = self.contestant(number)?;
        contestant.machine.step(kind)?;
        Ok(contestant)
    }

    fn conn_opened(&mut self, conn: Option<ConnId>, tls: bool) -> Result<(), Fault> {
        self.opened = conn;
        ensure(
            self.contestants.iter().any(|one| one.is_ready(tls)),
            Rule::Order,
            "no contestant is ready",
        )
    }

    fn done(&self, done: &DialDone) -> Result<(), Fault> {
        self.names.ended()?;
        self.contestants
            .iter()
            .try_for_each(|contestant| contestant.machine.ended())?;
        ensure(
            done.connection() == self.opened,
            Rule::Order,
            "the connection is not the one of conn_opened",
        )?;
        let winner = done
            .winner()
            .and_then(|winner| self.contestants.get(usize::from(winner)));
        ensure(
            winner.is_some_and(|one| one.connected) == self.opened.is_some(),
            Rule::OneEnd,
            "the winner is the contestant that gave the connection",
        )?;
        let failed = done.error().is_some() || done.abandoned();
        let both = done.error().is_some() && self.opened.is_some();
        ensure(
            (failed || self.opened.is_some()) && !both,
            Rule::OneEnd,
            "a dial ends with a connection, an error, or abandoned",
        )
    }
}
