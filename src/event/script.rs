//! Streams of events written as lines, for tests. One line is the ids, the tag and what differs from the
//! ordinary:
//!
//! ```text
//! c1 a0 n1  put_idle_conn error=peer_close     call 1, attempt 0 (hop 0), connection 1; d1 is dial 1
//! ```
//!
//! `at` is one millisecond per line, `seq` counts as the real ones do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind, LookupFailure, Phase, ProxyFailure, Timer};
use crate::event::kind::Payload;
use crate::event::timings::Marks;
use crate::event::*;
use crate::event::{Attempt, Scope};
use crate::ids::{CallId, ConnId, DialId};
use crate::message::anomaly::Anomaly as AnomalyKind;
use crate::message::answer::{AnswerSource, Family};
use crate::message::close::CloseReason;
use crate::message::fields::Fields;
use crate::message::framing::Framing;
use crate::message::peer_addr::{PeerAddr, UnixAddr};
use crate::message::proxy::ProxyScheme;
use crate::message::tls::{TlsFacts, TlsHandshake, TlsVersion};

/// Builds the events of a script; empty lines and what follows `#` count for nothing.
pub(crate) fn events(script: &str) -> Vec<Event> {
    let lines = script
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    events_of(lines.filter(|line| !line.is_empty()))
}

/// Builds the events of those lines.
pub(crate) fn events_of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Event> {
    let mut counts: BTreeMap<[u64; 3], u32> = BTreeMap::new();
    let build = |(index, line)| {
        let mut event = event(line);
        event.at = 1_000_000 * (1 + u64::try_from(index).unwrap_or(0));
        let count = counts.entry(stream(&event)).or_default();
        event.seq = *count;
        *count += 1;
        event
    };
    lines.into_iter().enumerate().map(build).collect()
}

fn stream(event: &Event) -> [u64; 3] {
    match (event.call(), event.dial(), event.connection()) {
        (Some(call), _, _) => [call.get(), 0, 0],
        (None, Some(dial), _) => [0, dial.get(), 0],
        (None, None, conn) => [0, 0, conn.map_or(0, ConnId::get)],
    }
}

/// Builds the event of one line, with `at` and `seq` 0.
fn event(line: &str) -> Event {
    let mut words = line.split_whitespace().peekable();
    let mut scope = Scope::default();
    let mut attempt = None;
    while let Some(word) = words.next_if(|word| word.len() < 5 && !word.contains('_')) {
        let id = |digits: &str| digits.parse().unwrap_or_else(|_| panic!("id in {line}"));
        match word.split_at(1) {
            ("c", digits) => scope.call = Some(CallId::new(id(digits))),
            ("d", digits) => scope.dial = Some(DialId::new(id(digits))),
            ("n", digits) => scope.conn = Some(ConnId::new(id(digits))),
            ("a", digits) => {
                let number = u8::try_from(id(digits)).unwrap_or(u8::MAX);
                attempt = Some(Attempt { hop: 0, number });
            }
            _ => panic!("{word} in {line}"),
        }
    }
    let tag = words.next().unwrap_or_default();
    let kind = EventKind::ALL.iter().find(|kind| kind.tag() == tag);
    let kind = *kind.unwrap_or_else(|| panic!("no kind {tag}: {line}"));
    let values = words.map(|word| word.split_once('=').unwrap_or((word, "true")));
    Event {
        at: 0,
        scope,
        attempt,
        seq: 0,
        payload: payload(kind, &Values(values.collect())),
    }
}

/// The values of a line, by key.
struct Values<'a>(BTreeMap<&'a str, &'a str>);

impl Values<'_> {
    fn word(&self, key: &str) -> Option<&str> {
        self.0.get(key).copied()
    }

    fn is(&self, key: &str) -> bool {
        self.word(key) == Some("true")
    }

    fn number<T: TryFrom<u64>>(&self, key: &str, default: u64) -> T {
        let number = self.word(key).map_or(default, |word| {
            word.parse().unwrap_or_else(|_| panic!("{key}={word}"))
        });
        T::try_from(number).unwrap_or_else(|_| panic!("{key}={number}"))
    }

    fn some<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        self.word(key).map(|_| self.number(key, 0))
    }

    /// The value whose tag stands there, or the first one.
    fn tag<T: Copy>(&self, key: &str, all: &[T], tag: impl Fn(T) -> &'static str) -> T {
        match self.word(key) {
            None => all[0],
            Some(word) => *all
                .iter()
                .find(|value| tag(**value) == word)
                .unwrap_or_else(|| panic!("{key}={word}")),
        }
    }

    fn text(&self, key: &str, default: &str) -> Arc<str> {
        self.word(key).unwrap_or(default).into()
    }

    fn address(&self) -> SocketAddr {
        let word = self.word("addr").unwrap_or("127.0.0.1:80");
        word.parse().unwrap_or_else(|_| panic!("addr={word}"))
    }

    /// Where a connection leads: to an address, or to a unix socket if it begins with a slash.
    fn remote(&self) -> PeerAddr {
        let path = self.word("addr").filter(|word| word.starts_with('/'));
        match path.and_then(UnixAddr::new) {
            Some(addr) => PeerAddr::Unix(addr),
            None => self.address().into(),
        }
    }

    /// Our own address, which there is none of on a unix socket.
    fn local(&self) -> Option<SocketAddr> {
        matches!(self.remote(), PeerAddr::Tcp(_)).then(|| self.address())
    }

    fn network(&self) -> &'static str {
        match self.remote() {
            PeerAddr::Tcp(_) => "tcp4",
            PeerAddr::Unix(_) => "unix",
        }
    }

    fn framing(&self) -> Framing {
        match self.word("framing") {
            None | Some("none") => Framing::None,
            Some("chunked") => Framing::Chunked,
            Some("until_close") => Framing::UntilClose,
            Some(length) => Framing::Length(length.parse().unwrap_or_default()),
        }
    }

    fn error(&self) -> Option<ErrorFacts> {
        self.word("error")
            .map(|word| ErrorFacts::of(&Error::new(error_kind(word), Phase::Prepare)))
    }

    fn close(&self, key: &str) -> Option<CloseReason> {
        use CloseReason as R;
        let all = [
            R::PeerClose,
            R::Canceled,
            R::Timeout,
            R::UploadUnfinished,
            R::BodySkipped,
            R::ConnectionLost,
            R::IdleTimeout,
            R::PoolFull,
            R::BodyNotRead,
            R::Upgraded,
        ];
        self.word(key).map(|_| self.tag(key, &all, R::tag))
    }
}

fn error_kind(word: &str) -> ErrorKind {
    match word {
        "connect" => ErrorKind::Connect,
        "proxy" => ErrorKind::Proxy(ProxyFailure::Refused(403)),
        "lookup" => ErrorKind::Lookup(LookupFailure::NoSuchHost),
        "canceled" => ErrorKind::Canceled,
        "aborted" => ErrorKind::Aborted,
        "peer_closed" => ErrorKind::PeerClosed,
        "total" => ErrorKind::Timeout(Timer::Total),
        "first_byte" => ErrorKind::Timeout(Timer::FirstByte),
        "queue" => ErrorKind::Timeout(Timer::Queue),
        other => panic!("error={other}"),
    }
}

fn lines(count: u16) -> Fields {
    let mut fields = Fields::new();
    for _ in 0..count {
        fields.push_unchecked("X", b"1");
    }
    fields
}

fn record(count: u16) -> Arc<FieldRecord> {
    Arc::new(FieldRecord::of(lines(count)))
}

const ZERO: Duration = Duration::ZERO;

const RULES: [RetryRule; 5] = [
    RetryRule::IdleConnectionDied,
    RetryRule::NothingWritten,
    RetryRule::ExpectationFailed,
    RetryRule::RequestTimeout,
    RetryRule::MisdirectedRequest,
];

const REFUSALS: [RedirectRefusal; 2] = [RedirectRefusal::SwitchedOff, RedirectRefusal::TooMany];
const LIMITS: [QueueLimit; 3] = [
    QueueLimit::PerOrigin,
    QueueLimit::Total,
    QueueLimit::Descriptors,
];

const OUTCOMES: [QueueOutcome; 4] = [
    QueueOutcome::Handed,
    QueueOutcome::MayDial,
    QueueOutcome::TimedOut,
    QueueOutcome::Canceled,
];

fn payload(kind: EventKind, v: &Values<'_>) -> Payload {
    match kind {
        EventKind::WroteHeaderField
        | EventKind::WroteHeaders
        | EventKind::Wait100Continue
        | EventKind::Got100Continue
        | EventKind::ExpectDone
        | EventKind::RequestBodyStart
        | EventKind::RequestBodyChunk
        | EventKind::RequestBodyDone
        | EventKind::WroteTrailerField
        | EventKind::WroteRequest => written(kind, v),
        EventKind::GotFirstResponseByte
        | EventKind::Got1xxResponse
        | EventKind::FinalResponseStart
        | EventKind::GotHeaderField
        | EventKind::GotResponseHead
        | EventKind::Upgraded
        | EventKind::ResponseBodyStart
        | EventKind::ResponseBodyChunk
        | EventKind::GotTrailerField
        | EventKind::ResponseBodyDone => received(kind, v),
        EventKind::DialStart
        | EventKind::DialDone
        | EventKind::DnsStart
        | EventKind::DnsSkipped
        | EventKind::DnsFamilyDone
        | EventKind::DnsDone
        | EventKind::DialPlan
        | EventKind::ConnectStart
        | EventKind::ConnectDone
        | EventKind::ProxyConnectStart
        | EventKind::ProxyConnectDone
        | EventKind::TlsHandshakeStart
        | EventKind::TlsHandshakeDone
        | EventKind::ConnOpened => dialed(kind, v),
        _ => around(kind, v),
    }
}

fn around(kind: EventKind, v: &Values<'_>) -> Payload {
    match kind {
        EventKind::ClientStart => Payload::ClientStart(Arc::new(ClientStart {
            wall_clock: WallClock(SystemTime::UNIX_EPOCH),
            pid: v.number("pid", 77),
            crate_version: "0.0.0",
            schema_version: SCHEMA_VERSION,
        })),
        EventKind::CallStart => Payload::CallStart(Arc::new(CallStart {
            method: v.text("method", "GET"),
            url: v.text("url", "http://h/"),
            body_bytes: v.some("body_bytes"),
            expect: v.is("expect"),
            label: None,
        })),
        EventKind::ProxySelected => Payload::ProxySelected(Arc::new(ProxySelected {
            scheme: Some(ProxyScheme::Http),
            host: Some(v.text("host", "p")),
            port: Some(v.number("port", 3128)),
            source: ProxySource::Explicit,
            rule: None,
        })),
        EventKind::TimeoutFired => Payload::TimeoutFired(Arc::new(TimeoutFired {
            timer: v.tag(
                "timer",
                &[
                    Timer::Total,
                    Timer::Expect,
                    Timer::FirstByte,
                    Timer::Tls,
                    Timer::Queue,
                ],
                Timer::tag,
            ),
            limit: ZERO,
            elapsed: ZERO,
        })),
        EventKind::CallCanceled => Payload::CallCanceled(CallCanceled {
            by: CanceledBy::Caller,
            phase: Phase::Send,
        }),
        EventKind::CallDone => Payload::CallDone(Arc::new(CallDone {
            status: v.some("status"),
            error: v.error(),
            hops: 1,
            attempts: v.number("attempts", 1),
            bytes_out: 0,
            bytes_in: 0,
            timings: Box::new(Marks::default().timings(crate::testing::origin())),
        })),
        EventKind::GetConn => Payload::GetConn(Arc::new(GetConn {
            target: v.text("target", "h:80"),
            url: v.text("url", "http://h/"),
            proxy: None,
        })),
        EventKind::PoolLookup => Payload::PoolLookup(Arc::new(PoolLookup {
            key: v.text("key", "http://h:80"),
            idle: v.number("idle", 0),
            active: 0,
            hit: v.is("hit"),
            discarded: Vec::new(),
        })),
        EventKind::QueueStart => Payload::QueueStart(Arc::new(QueueStart {
            limit: v.tag("limit", &LIMITS, QueueLimit::tag),
            depth: v.number("depth", 1),
            timeout: None,
        })),
        EventKind::QueueDone => Payload::QueueDone(Arc::new(QueueDone {
            limit: v.tag("limit", &LIMITS, QueueLimit::tag),
            outcome: v.tag("outcome", &OUTCOMES, QueueOutcome::tag),
            waited: ZERO,
        })),
        EventKind::GotConn => Payload::GotConn(Arc::new(GotConn {
            reused: v.is("reused"),
            was_idle: v.is("was_idle"),
            idle: v.is("was_idle").then_some(ZERO),
            local: None,
            remote: v.remote(),
            requests: v.number("requests", 0),
            age: ZERO,
        })),
        EventKind::GetConnFailed => Payload::GetConnFailed(Arc::new(GetConnFailed {
            error: v.error().expect("error"),
            elapsed: ZERO,
        })),
        EventKind::Anomaly => Payload::Anomaly(Anomaly {
            anomaly: v.tag("anomaly", &AnomalyKind::ALL, AnomalyKind::tag),
            offset: 0,
            count: v.number("count", 1),
        }),
        EventKind::PutIdleConn => Payload::PutIdleConn(PutIdleConn {
            error: v.close("error"),
            idle_now: v.number("idle_now", 1),
        }),
        EventKind::AttemptDone => Payload::AttemptDone(Arc::new(AttemptDone {
            status: v.some("status"),
            error: v.error(),
            retry: v
                .word("retry")
                .map(|_| v.tag("retry", &RULES, RetryRule::tag)),
        })),
        EventKind::Retry => Payload::Retry(Arc::new(Retry {
            error: v.error(),
            status: v.some("status"),
            rule: v.tag("rule", &RULES, RetryRule::tag),
            next: v.number("next", 1),
            max: 1,
        })),
        EventKind::Redirect => {
            let refusal = v
                .word("refusal")
                .map(|_| v.tag("refusal", &REFUSALS, RedirectRefusal::tag));
            Payload::Redirect(Arc::new(Redirect {
                status: v.number("status", 302),
                from: "http://example.com/".into(),
                to: Some("http://example.com/next".into()),
                method_before: "GET".into(),
                method_after: "GET".into(),
                cross_origin: false,
                stripped: Vec::new(),
                followed: refusal.is_none(),
                refusal,
            }))
        }
        EventKind::ConnClosed => Payload::ConnClosed(Arc::new(ConnClosed {
            reason: v.close("reason").unwrap_or(CloseReason::PeerClose),
            by: ClosedBy::Local,
            requests: 1,
            bytes_out: 0,
            bytes_in: 0,
            age: ZERO,
            idle: None,
        })),
        EventKind::EventsLost => Payload::EventsLost(EventsLost {
            count: v.number("count", 1),
        }),
        other => panic!("no payload for {other}"),
    }
}

fn dialed(kind: EventKind, v: &Values<'_>) -> Payload {
    let contestant = v.number("contestant", 0);
    let role = v.tag("to", &[TlsRole::Origin, TlsRole::Proxy], TlsRole::tag);
    match kind {
        EventKind::DialStart => Payload::DialStart(DialStart {
            why: DialReason::NoIdle,
        }),
        EventKind::DialDone => Payload::DialDone(Arc::new(DialDone {
            winner: v.some("winner"),
            connection: v.some("connection").map(ConnId::new),
            error: v.error(),
            abandoned: v.is("abandoned"),
            tried: Vec::new(),
            elapsed: ZERO,
        })),
        EventKind::DnsStart => Payload::DnsStart(Arc::new(DnsStart {
            host: v.text("host", "h"),
            port: 80,
            source: DnsSource::System,
        })),
        EventKind::DnsSkipped => Payload::DnsSkipped(DnsSkipped {
            reason: DnsSkipReason::Literal,
        }),
        EventKind::DnsFamilyDone => Payload::DnsFamilyDone(Arc::new(DnsFamilyDone {
            family: v.tag("family", &[Family::V4, Family::V6], Family::tag),
            addrs: Vec::new(),
            ttl: None,
            error: v.error(),
            code: None,
            elapsed: ZERO,
        })),
        EventKind::DnsDone => Payload::DnsDone(Arc::new(DnsDone {
            addrs: Vec::new(),
            error: v.error(),
            coalesced: false,
            complete: true,
            source: AnswerSource::Query,
            elapsed: ZERO,
        })),
        EventKind::DialPlan => Payload::DialPlan(Arc::new(DialPlan {
            order: Vec::new(),
            refused: Vec::new(),
            profile: DialProfile::Fast,
        })),
        EventKind::ConnectStart => Payload::ConnectStart(Arc::new(ConnectStart {
            network: v.network(),
            addr: v.remote(),
            contestant,
            reason: ConnectReason::First,
        })),
        EventKind::ConnectDone => Payload::ConnectDone(Arc::new(ConnectDone {
            network: v.network(),
            addr: v.remote(),
            contestant,
            outcome: v.tag(
                "outcome",
                &[
                    ConnectOutcome::Connected,
                    ConnectOutcome::Failed,
                    ConnectOutcome::Canceled,
                    ConnectOutcome::Lost,
                    ConnectOutcome::Pruned,
                    ConnectOutcome::Lost,
                ],
                ConnectOutcome::tag,
            ),
            code: None,
            local: None,
            elapsed: ZERO,
        })),
        EventKind::ProxyConnectStart => Payload::ProxyConnectStart(Arc::new(ProxyConnectStart {
            contestant,
            proxy: v.text("proxy", "p:3128"),
            target: v.text("target", "h:443"),
            kind: v.tag(
                "kind",
                &[TunnelKind::HttpConnect, TunnelKind::Socks5],
                TunnelKind::tag,
            ),
        })),
        EventKind::ProxyConnectDone => Payload::ProxyConnectDone(Arc::new(ProxyConnectDone {
            contestant,
            status: v.some("status"),
            fields: lines(v.number("fields", 0)),
            interim: Vec::new(),
            anomalies: Vec::new(),
            body: v.text("body", "").as_bytes().into(),
            error: v.error(),
            elapsed: ZERO,
        })),
        EventKind::TlsHandshakeStart => Payload::TlsHandshakeStart(Arc::new(TlsHandshakeStart {
            contestant,
            server_name: v.text("server_name", "h"),
            alpn: "http/1.1",
            resumption: v.is("resumption"),
            to: role,
        })),
        EventKind::TlsHandshakeDone => Payload::TlsHandshakeDone(Arc::new(TlsHandshakeDone {
            contestant,
            facts: v.error().is_none().then(tls_facts),
            error: v.error(),
            alert: None,
            elapsed: ZERO,
            to: role,
        })),
        EventKind::ConnOpened => Payload::ConnOpened(Arc::new(ConnOpened {
            local: v.local(),
            remote: v.remote(),
            proxied: false,
            tls: v.is("tls"),
            setup: ZERO,
        })),
        other => panic!("no payload for {other}"),
    }
}

fn tls_facts() -> Arc<TlsFacts> {
    Arc::new(TlsFacts {
        version: TlsVersion::V1_3,
        cipher_suite: "TLS13_AES_128_GCM_SHA256",
        key_exchange: None,
        alpn: None,
        handshake: TlsHandshake::Full,
        certificates: Vec::new(),
    })
}

fn written(kind: EventKind, v: &Values<'_>) -> Payload {
    use ExpectOutcome as O;
    use WriteFailure as F;
    let index = v.number("index", 0);
    match kind {
        EventKind::WroteHeaderField => Payload::WroteHeaderField(WroteHeaderField {
            record: record(index + 1),
            index,
            added_by: AddedBy::Client,
        }),
        EventKind::WroteHeaders => Payload::WroteHeaders(WroteHeaders {
            form: TargetForm::Origin,
            bytes: v.number("bytes", 50),
            count: v.number("count", 1),
        }),
        EventKind::Wait100Continue => Payload::Wait100Continue(Wait100Continue { limit: ZERO }),
        EventKind::Got100Continue => Payload::Got100Continue(Got100Continue { waited: ZERO }),
        EventKind::ExpectDone => Payload::ExpectDone(Arc::new(ExpectDone {
            outcome: v.tag(
                "outcome",
                &[
                    O::Continue,
                    O::TimedOut,
                    O::FinalResponse,
                    O::ConnectionLost,
                    O::Canceled,
                    O::Deadline,
                ],
                O::tag,
            ),
            waited: ZERO,
        })),
        EventKind::RequestBodyStart => Payload::RequestBodyStart(RequestBodyStart {
            framing: v.framing(),
        }),
        EventKind::RequestBodyChunk => Payload::RequestBodyChunk(RequestBodyChunk {
            bytes: v.number("bytes", 1),
            total: v.number("total", 1),
        }),
        EventKind::RequestBodyDone => Payload::RequestBodyDone(RequestBodyDone {
            bytes: v.number("bytes", 0),
            aborted: v.is("aborted"),
        }),
        EventKind::WroteTrailerField => Payload::WroteTrailerField(WroteTrailerField {
            record: record(index + 1),
            index,
        }),
        EventKind::WroteRequest => Payload::WroteRequest(Arc::new(WroteRequest {
            error: v.word("error").map(|_| {
                let all = [
                    F::BodySkipped,
                    F::ResponseEnded,
                    F::ConnectionLost,
                    F::Timeout,
                    F::Canceled,
                ];
                v.tag("error", &all, F::tag)
            }),
            head_bytes: v.number("head", 50),
            body_bytes: v.number("body", 0),
            write_calls: 1,
            blocked: ZERO,
        })),
        other => panic!("no payload for {other}"),
    }
}

fn received(kind: EventKind, v: &Values<'_>) -> Payload {
    let index = v.number("index", 0);
    match kind {
        EventKind::GotFirstResponseByte => Payload::GotFirstResponseByte(GotFirstResponseByte {}),
        EventKind::Got1xxResponse => Payload::Got1xxResponse(Got1xxResponse {
            record: record(0),
            status: v.number("status", 100),
            ordinal: v.number("ordinal", 0),
        }),
        EventKind::FinalResponseStart => Payload::FinalResponseStart(FinalResponseStart {
            early: v.is("early"),
        }),
        EventKind::GotHeaderField => Payload::GotHeaderField(GotHeaderField {
            record: record(index + 1),
            index,
        }),
        EventKind::GotResponseHead => Payload::GotResponseHead(Arc::new(GotResponseHead {
            status: v.number("status", 200),
            reason: "".into(),
            version: "HTTP/1.1",
            fields: lines(v.number("fields", 1)),
            bytes: 40,
            framing: v.framing(),
            close: v.close("close"),
            server_timing: Vec::new(),
        })),
        EventKind::Upgraded => Payload::Upgraded(Arc::new(Upgraded {
            protocol: (!v.is("tunnel")).then(|| v.text("protocol", "websocket")),
        })),
        EventKind::ResponseBodyStart => Payload::ResponseBodyStart(ResponseBodyStart {}),
        EventKind::ResponseBodyChunk => Payload::ResponseBodyChunk(ResponseBodyChunk {
            bytes: v.number("bytes", 1),
            total: v.number("total", 1),
        }),
        EventKind::GotTrailerField => Payload::GotTrailerField(GotTrailerField {
            record: record(index + 1),
            index,
            used: true,
        }),
        EventKind::ResponseBodyDone => Payload::ResponseBodyDone(ResponseBodyDone {
            bytes: v.number("bytes", 0),
            how: v.tag(
                "how",
                &[
                    BodyEnd::Complete,
                    BodyEnd::DelimitedByClose,
                    BodyEnd::ClosedEarly,
                    BodyEnd::Drained,
                    BodyEnd::Error,
                ],
                BodyEnd::tag,
            ),
        }),
        other => panic!("no payload for {other}"),
    }
}
