//! What a dial tells of its parts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Phase};
use crate::event::{
    ConnectDone, ConnectOutcome, DnsDone, DnsFamilyDone, Emitter, ErrorFacts, EventKind, Payload,
    TlsHandshakeDone, TlsRole,
};
use crate::flow::dial::Contestant;
use crate::message::answer::{Address, AnswerSource, Family, Outcome};
use crate::message::tls::TlsFacts;

pub(super) fn network(addr: SocketAddr) -> &'static str {
    if addr.is_ipv4() { "tcp4" } else { "tcp6" }
}

pub(super) fn tell_connect_done(
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

pub(super) fn tell_tls_done(
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

pub(super) fn tell_dns_done(
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
