//! What a dial tells of its parts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Phase};
use crate::event::{
    Anomaly, ConnectDone, ConnectOutcome, ConnectStart, DialPlan, DnsDone, DnsFamilyDone, DnsStart,
    Emitter, ErrorFacts, EventKind, Payload, TlsHandshakeDone, TlsHandshakeStart, TlsRole,
};
use crate::flow::dial::Dial;
use crate::flow::dial::contestants::Contestant;
use crate::message::anomaly::Anomaly as AnomalyKind;
use crate::message::answer::{Address, Family, Outcome};
use crate::message::dial::ConnectReason;
use crate::message::peer_addr::PeerAddr;
use crate::message::tls::TlsFacts;

impl Dial {
    /// Tells the order of the addresses, and which may not be dialed, if it is not what was told before.
    pub(super) fn tell_plan(&mut self, now: Instant, emitter: &mut Emitter) {
        if !self.candidates.take_news() {
            return;
        }
        let (candidates, target) = (&self.candidates, &self.facts.target);
        let profile = self.profile.name;
        emitter.emit(EventKind::DialPlan, now, |_| {
            let full = |address: Address| address.with_port(target.port);
            let refused = candidates.refused().iter().copied();
            Payload::DialPlan(Arc::new(DialPlan {
                order: candidates.order().map(full).collect(),
                refused: refused.map(full).collect(),
                profile,
            }))
        });
    }

    pub(super) fn tell_dns_start(
        &self,
        source: crate::event::DnsSource,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        let (host, port) = (self.named().host.clone(), self.named().port);
        emitter.emit(EventKind::DnsStart, now, |_| {
            Payload::DnsStart(Arc::new(DnsStart { host, port, source }))
        });
    }

    pub(super) fn tell_tls_start(
        &self,
        number: u16,
        to: TlsRole,
        resumption: bool,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        emitter.marks().tls_began(to, now);
        let server_name = self.server_name(to);
        emitter.emit(EventKind::TlsHandshakeStart, now, |_| {
            Payload::TlsHandshakeStart(Arc::new(TlsHandshakeStart {
                contestant: number,
                server_name,
                alpn: "http/1.1",
                resumption,
                to,
            }))
        });
    }
}

pub(super) fn tell_connect_start(
    contestant: u16,
    addr: PeerAddr,
    reason: ConnectReason,
    now: Instant,
    emitter: &mut Emitter,
) {
    emitter.emit(EventKind::ConnectStart, now, |_| {
        Payload::ConnectStart(Arc::new(ConnectStart {
            network: addr.network(),
            addr,
            contestant,
            reason,
        }))
    });
}

pub(super) fn tell_connect_done(
    one: &Contestant,
    outcome: ConnectOutcome,
    code: Option<i32>,
    local: Option<SocketAddr>,
    now: Instant,
    emitter: &mut Emitter,
) {
    emitter.emit(EventKind::ConnectDone, now, |_| {
        Payload::ConnectDone(Arc::new(ConnectDone {
            network: one.addr.network(),
            addr: one.addr.clone(),
            contestant: one.number,
            outcome,
            code,
            local,
            elapsed: now.saturating_duration_since(one.since),
        }))
    });
}

pub(super) fn tell_tls_done(
    contestant: u16,
    result: Result<Arc<TlsFacts>, ErrorFacts>,
    alert: Option<u8>,
    (to, since): (TlsRole, Instant),
    now: Instant,
    emitter: &mut Emitter,
) {
    emitter.marks().tls_ended(to, now);
    emitter.emit(EventKind::TlsHandshakeDone, now, |_| {
        let (facts, error) = match result {
            Ok(facts) => (Some(facts), None),
            Err(error) => (None, Some(error)),
        };
        Payload::TlsHandshakeDone(Arc::new(TlsHandshakeDone {
            contestant,
            facts,
            error,
            alert: alert.map(u16::from),
            elapsed: now.saturating_duration_since(since),
            to,
        }))
    });
}

pub(super) fn tell_family(
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

/// Tells the end of a lookup, and before it that not all addresses are used.
pub(super) fn tell_dns_done(done: DnsDone, surplus: usize, now: Instant, emitter: &mut Emitter) {
    if surplus > 0 {
        emitter.emit(EventKind::Anomaly, now, |_| {
            Payload::Anomaly(Anomaly {
                anomaly: AnomalyKind::TooManyAddresses,
                offset: 0,
                count: u32::try_from(surplus).unwrap_or(u32::MAX),
            })
        });
    }
    emitter.emit(EventKind::DnsDone, now, |_| {
        Payload::DnsDone(Arc::new(done))
    });
}
