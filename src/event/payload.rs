//! What each event says. Fields are private; every accessor is also a key in exports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind, Phase, Timer, Tried};
use crate::event::show::{self, Key, Object, Show, tagged};
use crate::event::timings::Timings;
use crate::ids::ConnId;
use crate::message::anomaly::Anomaly as AnomalyKind;
use crate::message::answer::{Address, AnswerSource, Family};
use crate::message::close::CloseReason;
pub use crate::message::dial::{ConnectReason, DialProfile};
use crate::message::fields::{FieldLine, Fields};
use crate::message::framing::Framing;
use crate::message::peer_addr::PeerAddr;
use crate::message::proxy::ProxyScheme;
pub use crate::message::proxy::ProxySource;
pub use crate::message::tls::TlsRole;
use crate::message::tls::{CertificateFacts, TlsFacts};

/// Lends a stored value in the form its accessor promises.
trait Lend<'a, R> {
    fn lend(&'a self) -> R;
}

impl<T: Copy> Lend<'_, T> for T {
    fn lend(&self) -> T {
        *self
    }
}

impl<'a> Lend<'a, &'a str> for Box<str> {
    fn lend(&'a self) -> &'a str {
        self
    }
}

impl<'a> Lend<'a, &'a [u8]> for Box<[u8]> {
    fn lend(&'a self) -> &'a [u8] {
        self
    }
}

impl<'a> Lend<'a, &'a str> for Arc<str> {
    fn lend(&'a self) -> &'a str {
        self
    }
}

impl<'a> Lend<'a, &'a Self> for PeerAddr {
    fn lend(&'a self) -> &'a Self {
        self
    }
}

impl<'a> Lend<'a, &'a Self> for Fields {
    fn lend(&'a self) -> &'a Self {
        self
    }
}

impl<'a, T> Lend<'a, &'a [T]> for Vec<T> {
    fn lend(&'a self) -> &'a [T] {
        self
    }
}

impl<'a, T> Lend<'a, Option<&'a T>> for Option<T> {
    fn lend(&'a self) -> Option<&'a T> {
        self.as_ref()
    }
}

impl<'a, T> Lend<'a, &'a T> for Box<T> {
    fn lend(&'a self) -> &'a T {
        self
    }
}

/// Declares payloads: for each field the accessor, the key in exports, how it is stored and how it is lent.
macro_rules! payloads {
    ($($(#[$about:meta])* $payload:ident {
        $($(#[doc = $doc:literal])+ $field:ident $key:literal: $stored:ty => $lent:ty,)*
    })+) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone)]
            pub struct $payload { $(pub(crate) $field: $stored,)* }

            impl $payload {
                pub(crate) const KEYS: &'static [Key] =
                    &[$(Key::of::<$stored>($key, concat!($($doc),+)),)*];

                $(
                    $(#[doc = $doc])+
                    #[must_use]
                    pub fn $field(&self) -> $lent {
                        Lend::lend(&self.$field)
                    }
                )*

                #[allow(unused_variables, reason = "some events have no payload")]
                pub(crate) fn show(&self, object: &mut Object<'_>) {
                    $(object.member($key, &self.$field);)*
                }
            }
        )+
    };
}

payloads! {
    /// Payload of [`EventKind::ClientStart`](crate::event::EventKind::ClientStart).
    ClientStart {
        /// The wall clock at this moment.
        wall_clock "wall_clock": WallClock => WallClock,
        /// Process id.
        pid "pid": u32 => u32,
        /// Version of wirescope.
        crate_version "crate_version": &'static str => &'static str,
        /// Version of the event schema.
        schema_version "schema_version": u32 => u32,
    }
    /// Payload of [`EventKind::CallStart`](crate::event::EventKind::CallStart).
    CallStart {
        /// The method.
        method "method": Arc<str> => &str,
        /// The URL, redacted.
        url "url": Arc<str> => &str,
        /// Length of the request body, if it is known.
        body_bytes "body_bytes": Option<u64> => Option<u64>,
        /// Whether the body waits for a 100 (Continue).
        expect "expect": bool => bool,
        /// The label given by the caller.
        label "label": Option<Arc<str>> => Option<&Arc<str>>,
    }
    /// Payload of [`EventKind::ProxySelected`](crate::event::EventKind::ProxySelected).
    ProxySelected {
        /// What the proxy speaks; none without a proxy.
        scheme "scheme": Option<ProxyScheme> => Option<ProxyScheme>,
        /// The host of the proxy, without brackets.
        host "host": Option<Arc<str>> => Option<&Arc<str>>,
        /// The port of the proxy.
        port "port": Option<u16> => Option<u16>,
        /// What decided.
        source "source": ProxySource => ProxySource,
        /// The variable of the environment, or the entry of the list of hosts that need no proxy, that decided.
        rule "rule": Option<Arc<str>> => Option<&Arc<str>>,
    }
    /// Payload of [`EventKind::Redirect`](crate::event::EventKind::Redirect).
    Redirect {
        /// The status code of the response.
        status "status": u16 => u16,
        /// The URL that was asked for, redacted.
        from "from": Arc<str> => &str,
        /// The URL that it leads to, redacted, if it can be told.
        to "to": Option<Arc<str>> => Option<&Arc<str>>,
        /// The method of the request.
        method_before "method_before": Arc<str> => &str,
        /// The method of the next request.
        method_after "method_after": Arc<str> => &str,
        /// Whether scheme, host or port change.
        cross_origin "cross_origin": bool => bool,
        /// Names of the fields that the next request does not have any more.
        stripped "stripped": Vec<Box<str>> => &[Box<str>],
        /// Whether it is followed.
        followed "followed": bool => bool,
        /// Why not, if it is not followed.
        refusal "refusal": Option<RedirectRefusal> => Option<RedirectRefusal>,
    }
    /// Payload of [`EventKind::Retry`](crate::event::EventKind::Retry).
    Retry {
        /// Why the attempt before broke; none if its response asks for the repeat.
        error "error": Option<ErrorFacts> => Option<&ErrorFacts>,
        /// The status that asks for the repeat, if one does.
        status "status": Option<u16> => Option<u16>,
        /// Why it is safe to make it again.
        rule "rule": RetryRule => RetryRule,
        /// Number of the attempt to come.
        next "next": u16 => u16,
        /// How many repeats are allowed.
        max "max": u16 => u16,
    }
    /// Payload of [`EventKind::TimeoutFired`](crate::event::EventKind::TimeoutFired).
    TimeoutFired {
        /// Which deadline.
        timer "timer": Timer => Timer,
        /// Its length.
        limit "limit_ns": Duration => Duration,
        /// Time since it was armed.
        elapsed "elapsed_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::CallCanceled`](crate::event::EventKind::CallCanceled).
    CallCanceled {
        /// Who gave the call up.
        by "by": CanceledBy => CanceledBy,
        /// Where the call was.
        phase "phase": Phase => Phase,
    }
    /// Payload of [`EventKind::CallDone`](crate::event::EventKind::CallDone).
    CallDone {
        /// The final status, if a response was received.
        status "status": Option<u16> => Option<u16>,
        /// The error, if the call failed.
        error "error": Option<ErrorFacts> => Option<&ErrorFacts>,
        /// Hops: 1 without redirects.
        hops "hops": u16 => u16,
        /// Attempts: 1 without retries.
        attempts "attempts": u16 => u16,
        /// Bytes of the requests that the kernel accepted, before TLS.
        bytes_out "bytes_out": u64 => u64,
        /// Bytes of the responses received, after TLS.
        bytes_in "bytes_in": u64 => u64,
        /// The timings of the call.
        timings "timings": Box<Timings> => &Timings,
    }
    /// Payload of [`EventKind::GetConn`](crate::event::EventKind::GetConn).
    GetConn {
        /// `host:port` that is to be reached.
        target "target": Arc<str> => &str,
        /// The URL of the hop, redacted.
        url "url": Arc<str> => &str,
        /// `host:port` of the proxy that it is to be reached through.
        proxy "proxy": Option<Arc<str>> => Option<&Arc<str>>,
    }
    /// Payload of [`EventKind::PoolLookup`](crate::event::EventKind::PoolLookup).
    PoolLookup {
        /// What the pool was asked for: scheme and authority.
        key "key": Arc<str> => &str,
        /// Idle connections of this key before the lookup.
        idle "idle": usize => usize,
        /// Connections of this key on loan.
        active "active": usize => usize,
        /// Whether an idle connection was found that can be used.
        hit "hit": bool => bool,
        /// Why idle connections of this key were discarded on the way.
        discarded "discarded": Vec<CloseReason> => &[CloseReason],
    }
    /// Payload of [`EventKind::QueueStart`](crate::event::EventKind::QueueStart).
    QueueStart {
        /// The limit that is reached.
        limit "limit": QueueLimit => QueueLimit,
        /// Calls of this client that wait, this one included.
        depth "depth": usize => usize,
        /// How long the attempt waits at the most.
        timeout "timeout_ns": Option<Duration> => Option<Duration>,
    }
    /// Payload of [`EventKind::QueueDone`](crate::event::EventKind::QueueDone).
    QueueDone {
        /// The limit that was reached.
        limit "limit": QueueLimit => QueueLimit,
        /// What ended the wait.
        outcome "outcome": QueueOutcome => QueueOutcome,
        /// How long the attempt waited.
        waited "waited_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::DialStart`](crate::event::EventKind::DialStart).
    DialStart {
        /// Why a connection is made.
        why "why": DialReason => DialReason,
    }
    /// Payload of [`EventKind::DialDone`](crate::event::EventKind::DialDone).
    DialDone {
        /// The contestant that won.
        winner "winner": Option<u16> => Option<u16>,
        /// The connection that came of it.
        connection "connection": Option<ConnId> => Option<ConnId>,
        /// The error, if the dial failed.
        error "error": Option<ErrorFacts> => Option<&ErrorFacts>,
        /// Whether the dial was given up by its caller.
        abandoned "abandoned": bool => bool,
        /// Every contestant that did not win.
        tried "tried": Vec<Tried> => &[Tried],
        /// Time since the dial began.
        elapsed "elapsed_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::DnsStart`](crate::event::EventKind::DnsStart).
    DnsStart {
        /// The name.
        host "host": Arc<str> => &str,
        /// The port that will be connected to.
        port "port": u16 => u16,
        /// Who is asked.
        source "source": DnsSource => DnsSource,
    }
    /// Payload of [`EventKind::DnsSkipped`](crate::event::EventKind::DnsSkipped).
    DnsSkipped {
        /// Why no lookup was needed.
        reason "reason": DnsSkipReason => DnsSkipReason,
    }
    /// Payload of [`EventKind::DnsFamilyDone`](crate::event::EventKind::DnsFamilyDone).
    DnsFamilyDone {
        /// The address family.
        family "family": Family => Family,
        /// Its addresses, in the order of the resolver.
        addrs "addrs": Vec<Address> => &[Address],
        /// How long the answer may be kept, if known.
        ttl "ttl_ns": Option<Duration> => Option<Duration>,
        /// Why there is no answer.
        error "error": Option<ErrorFacts> => Option<&ErrorFacts>,
        /// The raw code of the resolver (EAI_…), if there is one.
        code "code": Option<i32> => Option<i32>,
        /// Time since the lookup began.
        elapsed "elapsed_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::DnsDone`](crate::event::EventKind::DnsDone).
    DnsDone {
        /// All addresses, in dialing order.
        addrs "addrs": Vec<Address> => &[Address],
        /// Why there is none.
        error "error": Option<ErrorFacts> => Option<&ErrorFacts>,
        /// Whether the lookup was shared with another call.
        coalesced "coalesced": bool => bool,
        /// Whether both families are in.
        complete "complete": bool => bool,
        /// Where the answer comes from.
        source "source": AnswerSource => AnswerSource,
        /// Time since the lookup began.
        elapsed "elapsed_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::DialPlan`](crate::event::EventKind::DialPlan).
    DialPlan {
        /// The addresses in the order in which they will be tried.
        order "order": Vec<SocketAddr> => &[SocketAddr],
        /// The addresses that the caller's guard refused; they are not tried.
        refused "refused": Vec<SocketAddr> => &[SocketAddr],
        /// The profile of the dialer.
        profile "profile": DialProfile => DialProfile,
    }
    /// Payload of [`EventKind::ConnectStart`](crate::event::EventKind::ConnectStart).
    ConnectStart {
        /// `tcp4`, `tcp6` or `unix`.
        network "network": &'static str => &'static str,
        /// The address.
        addr "addr": PeerAddr => &PeerAddr,
        /// Number of the contestant within the dial, from 0.
        contestant "contestant": u16 => u16,
        /// Why it starts now.
        reason "reason": ConnectReason => ConnectReason,
    }
    /// Payload of [`EventKind::ConnectDone`](crate::event::EventKind::ConnectDone).
    ConnectDone {
        /// `tcp4`, `tcp6` or `unix`.
        network "network": &'static str => &'static str,
        /// The address.
        addr "addr": PeerAddr => &PeerAddr,
        /// Number of the contestant within the dial, from 0.
        contestant "contestant": u16 => u16,
        /// What became of it.
        outcome "outcome": ConnectOutcome => ConnectOutcome,
        /// Code of the operating system, if it failed.
        code "code": Option<i32> => Option<i32>,
        /// Our own address, if connected; none on a unix socket.
        local "local": Option<SocketAddr> => Option<SocketAddr>,
        /// Time since its start.
        elapsed "elapsed_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::ProxyConnectStart`](crate::event::EventKind::ProxyConnectStart).
    ProxyConnectStart {
        /// Number of the contestant within the dial.
        contestant "contestant": u16 => u16,
        /// `host:port` of the proxy.
        proxy "proxy": Arc<str> => &str,
        /// `host:port` where the tunnel is to lead, as the proxy is told.
        target "target": Arc<str> => &str,
        /// How it is asked.
        kind "kind": TunnelKind => TunnelKind,
    }
    /// Payload of [`EventKind::ProxyConnectDone`](crate::event::EventKind::ProxyConnectDone).
    ProxyConnectDone {
        /// Number of the contestant within the dial.
        contestant "contestant": u16 => u16,
        /// The status code of the proxy's final response; none with SOCKS, or if there was none.
        status "status": Option<u16> => Option<u16>,
        /// Its field lines, redacted.
        fields "fields": Fields => &Fields,
        /// The status codes of the interim responses before it.
        interim "interim": Vec<u16> => &[u16],
        /// What was accepted in these heads although it breaks a rule.
        anomalies "anomalies": Vec<AnomalyKind> => &[AnomalyKind],
        /// The first bytes of the body of a refusal, escaped; our own credentials in it are hidden.
        body "body": Box<[u8]> => &[u8],
        /// Why there is no tunnel.
        error "error": Option<ErrorFacts> => Option<&ErrorFacts>,
        /// Time since its start.
        elapsed "elapsed_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::TlsHandshakeStart`](crate::event::EventKind::TlsHandshakeStart).
    TlsHandshakeStart {
        /// Number of the contestant within the dial.
        contestant "contestant": u16 => u16,
        /// The name that the certificate has to speak for.
        server_name "server_name": Arc<str> => &str,
        /// The application protocols offered.
        alpn "alpn": &'static str => &'static str,
        /// Whether the resumption of an earlier session is offered.
        resumption "resumption": bool => bool,
        /// Which peer of the connection.
        to "to": TlsRole => TlsRole,
    }
    /// Payload of [`EventKind::TlsHandshakeDone`](crate::event::EventKind::TlsHandshakeDone).
    TlsHandshakeDone {
        /// Number of the contestant within the dial.
        contestant "contestant": u16 => u16,
        /// What was agreed on, and the certificates of the peer.
        facts "facts": Option<Arc<TlsFacts>> => Option<&Arc<TlsFacts>>,
        /// Why the handshake failed.
        error "error": Option<ErrorFacts> => Option<&ErrorFacts>,
        /// The alert that the peer sent, if it did.
        alert "alert": Option<u16> => Option<u16>,
        /// Time since its start.
        elapsed "elapsed_ns": Duration => Duration,
        /// Which peer of the connection.
        to "to": TlsRole => TlsRole,
    }
    /// Payload of [`EventKind::ConnOpened`](crate::event::EventKind::ConnOpened).
    ConnOpened {
        /// Our address; none on a unix socket.
        local "local": Option<SocketAddr> => Option<SocketAddr>,
        /// The address of the peer.
        remote "remote": PeerAddr => &PeerAddr,
        /// Whether a proxy stands between.
        proxied "proxied": bool => bool,
        /// Whether TLS is spoken with the server.
        tls "tls": bool => bool,
        /// Time since the dial began.
        setup "setup_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::GotConn`](crate::event::EventKind::GotConn).
    GotConn {
        /// Whether an earlier attempt used this connection.
        reused "reused": bool => bool,
        /// Whether it came out of the pool.
        was_idle "was_idle": bool => bool,
        /// How long it was idle, if it came out of the pool.
        idle "idle_ns": Option<Duration> => Option<Duration>,
        /// Our address; none on a unix socket.
        local "local": Option<SocketAddr> => Option<SocketAddr>,
        /// The address of the peer.
        remote "remote": PeerAddr => &PeerAddr,
        /// Requests it served before.
        requests "requests": u64 => u64,
        /// Time since it was opened.
        age "age_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::GetConnFailed`](crate::event::EventKind::GetConnFailed).
    GetConnFailed {
        /// Why.
        error "error": ErrorFacts => &ErrorFacts,
        /// Time since the connection was wanted.
        elapsed "elapsed_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::WroteHeaders`](crate::event::EventKind::WroteHeaders).
    WroteHeaders {
        /// The form of the request target.
        form "form": TargetForm => TargetForm,
        /// Bytes of the head.
        bytes "bytes": u64 => u64,
        /// Field lines.
        count "count": u32 => u32,
    }
    /// Payload of [`EventKind::Wait100Continue`](crate::event::EventKind::Wait100Continue).
    Wait100Continue {
        /// How long the body waits at the most.
        limit "limit_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::Got100Continue`](crate::event::EventKind::Got100Continue).
    Got100Continue {
        /// How long the body waited.
        waited "waited_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::ExpectDone`](crate::event::EventKind::ExpectDone).
    ExpectDone {
        /// What ended the wait, and whether the body is sent.
        outcome "outcome": ExpectOutcome => ExpectOutcome,
        /// How long the body waited.
        waited "waited_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::RequestBodyStart`](crate::event::EventKind::RequestBodyStart).
    RequestBodyStart {
        /// How the body is framed.
        framing "framing": Framing => Framing,
    }
    /// Payload of [`EventKind::RequestBodyChunk`](crate::event::EventKind::RequestBodyChunk).
    RequestBodyChunk {
        /// Bytes of content since the last such event.
        bytes "bytes": u64 => u64,
        /// Bytes of content so far.
        total "total": u64 => u64,
    }
    /// Payload of [`EventKind::RequestBodyDone`](crate::event::EventKind::RequestBodyDone).
    RequestBodyDone {
        /// Bytes of content that the kernel accepted.
        bytes "bytes": u64 => u64,
        /// Whether the sending was given up before the end.
        aborted "aborted": bool => bool,
    }
    /// Payload of [`EventKind::WroteRequest`](crate::event::EventKind::WroteRequest).
    WroteRequest {
        /// Why the request was not sent whole.
        error "error": Option<WriteFailure> => Option<WriteFailure>,
        /// Bytes of the head that the kernel accepted.
        head_bytes "head_bytes": u64 => u64,
        /// Bytes after the head that the kernel accepted, chunk framing included.
        body_bytes "body_bytes": u64 => u64,
        /// Times the request was handed to the kernel.
        write_calls "write_calls": u32 => u32,
        /// Time waited for room in the kernel's buffer; looks at the peer between two writes count as such.
        blocked "blocked_ns": Duration => Duration,
    }
    /// Payload of [`EventKind::GotFirstResponseByte`](crate::event::EventKind::GotFirstResponseByte).
    GotFirstResponseByte {}
    /// Payload of [`EventKind::FinalResponseStart`](crate::event::EventKind::FinalResponseStart).
    FinalResponseStart {
        /// Whether the request was not yet fully written.
        early "early": bool => bool,
    }
    /// Payload of [`EventKind::GotResponseHead`](crate::event::EventKind::GotResponseHead).
    GotResponseHead {
        /// The status code.
        status "status": u16 => u16,
        /// The reason phrase, escaped.
        reason "reason": Box<str> => &str,
        /// `HTTP/1.1` or `HTTP/1.0`.
        version "version": &'static str => &'static str,
        /// The field lines, redacted.
        fields "fields": Fields => &Fields,
        /// Bytes of the head.
        bytes "bytes": u64 => u64,
        /// How the body is framed.
        framing "framing": Framing => Framing,
        /// Why the connection will not be kept, if it will not.
        close "close": Option<CloseReason> => Option<CloseReason>,
        /// The entries of `Server-Timing`.
        server_timing "server_timing": Vec<Box<str>> => &[Box<str>],
    }
    /// Payload of [`EventKind::Upgraded`](crate::event::EventKind::Upgraded).
    Upgraded {
        /// The protocol that the answer names; none in a tunnel.
        protocol "protocol": Option<Arc<str>> => Option<&Arc<str>>,
    }
    /// Payload of [`EventKind::ResponseBodyStart`](crate::event::EventKind::ResponseBodyStart).
    ResponseBodyStart {}
    /// Payload of [`EventKind::ResponseBodyChunk`](crate::event::EventKind::ResponseBodyChunk).
    ResponseBodyChunk {
        /// Bytes of content since the last such event.
        bytes "bytes": u64 => u64,
        /// Bytes of content so far.
        total "total": u64 => u64,
    }
    /// Payload of [`EventKind::ResponseBodyDone`](crate::event::EventKind::ResponseBodyDone).
    ResponseBodyDone {
        /// Bytes of content received.
        bytes "bytes": u64 => u64,
        /// How it ended.
        how "how": BodyEnd => BodyEnd,
    }
    /// Payload of [`EventKind::Anomaly`](crate::event::EventKind::Anomaly).
    Anomaly {
        /// What deviates.
        anomaly "anomaly": AnomalyKind => AnomalyKind,
        /// Where it was seen first, in bytes from the start of its part of the message; 0 in a dial.
        offset "offset": u32 => u32,
        /// How often in this message; in a dial, how many addresses are left out.
        count "count": u32 => u32,
    }
    /// Payload of [`EventKind::PutIdleConn`](crate::event::EventKind::PutIdleConn).
    PutIdleConn {
        /// Why the connection is not put back; none if it is.
        error "error": Option<CloseReason> => Option<CloseReason>,
        /// Idle connections of this key, this one included.
        idle_now "idle_now": u32 => u32,
    }
    /// Payload of [`EventKind::AttemptDone`](crate::event::EventKind::AttemptDone).
    AttemptDone {
        /// The final status, if a response was received.
        status "status": Option<u16> => Option<u16>,
        /// The error, if the attempt failed.
        error "error": Option<ErrorFacts> => Option<&ErrorFacts>,
        /// The rule by which it is made again, if it is.
        retry "retry": Option<RetryRule> => Option<RetryRule>,
    }
    /// Payload of [`EventKind::ConnClosed`](crate::event::EventKind::ConnClosed).
    ConnClosed {
        /// Why.
        reason "reason": CloseReason => CloseReason,
        /// Who.
        by "by": ClosedBy => ClosedBy,
        /// Requests it served.
        requests "requests": u64 => u64,
        /// Bytes sent on it, before TLS.
        bytes_out "bytes_out": u64 => u64,
        /// Bytes received on it, after TLS.
        bytes_in "bytes_in": u64 => u64,
        /// Time since it was opened.
        age "age_ns": Duration => Duration,
        /// How long it was idle, if it was closed while idle.
        idle "idle_ns": Option<Duration> => Option<Duration>,
    }
    /// Payload of [`EventKind::EventsLost`](crate::event::EventKind::EventsLost).
    EventsLost {
        /// How many events the channel lost since the last such event.
        count "count": u64 => u64,
    }
}

/// The field lines of one section as events show them, shared by the events of that section.
#[derive(Debug, Default)]
pub(crate) struct FieldRecord {
    fields: Fields,
    added_by: Vec<AddedBy>,
}

impl FieldRecord {
    /// A section whose values were redacted.
    pub(crate) fn of(redacted: Fields) -> Self {
        Self {
            fields: redacted,
            added_by: Vec::new(),
        }
    }

    /// A section that will have about so many lines, of so many bytes.
    pub(crate) fn with_room(lines: usize, bytes: usize) -> Self {
        Self {
            fields: Fields::with_room(lines, bytes),
            added_by: Vec::with_capacity(lines),
        }
    }

    /// Adds a line whose value was redacted.
    pub(crate) fn push(&mut self, name: &str, redacted: &[u8], added_by: AddedBy) {
        self.fields.push_unchecked(name, redacted);
        self.added_by.push(added_by);
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn added_by(&self, index: u16) -> AddedBy {
        self.added_by
            .get(usize::from(index))
            .copied()
            .unwrap_or(AddedBy::Client)
    }
}

/// Declares the payloads that are one line of a shared record.
macro_rules! lines {
    ($($(#[$about:meta])* $payload:ident { $($(#[doc = $doc:literal])+ $extra:ident $key:literal: $type:ty,)* })+) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone)]
            pub struct $payload {
                pub(crate) record: Arc<FieldRecord>,
                pub(crate) index: u16,
                $(pub(crate) $extra: $type,)*
            }

            impl $payload {
                pub(crate) const KEYS: &'static [Key] = &[
                    Key::of::<Box<str>>("name", " The field name as on the wire."),
                    Key::of::<Box<str>>("value", " The field value, redacted."),
                    Key::of::<u16>("index", " Number of the line within its section, from 0."),
                    $(Key::of::<$type>($key, concat!($($doc),+)),)*
                ];

                /// The field name as on the wire.
                #[must_use]
                pub fn name(&self) -> &str {
                    self.line().name()
                }

                /// The field value, redacted.
                #[must_use]
                pub fn value(&self) -> &[u8] {
                    self.line().value()
                }

                /// Number of the line within its section, from 0.
                #[must_use]
                pub fn index(&self) -> u16 {
                    self.index
                }

                $(
                    $(#[doc = $doc])+
                    #[must_use]
                    pub fn $extra(&self) -> $type {
                        self.$extra
                    }
                )*

                fn line(&self) -> FieldLine<'_> {
                    self.record.fields.line(usize::from(self.index)).unwrap_or(FieldLine::new("", b""))
                }

                pub(crate) fn show(&self, object: &mut Object<'_>) {
                    object.member("name", &Bytes(self.name().as_bytes()));
                    object.member("value", &Bytes(self.value()));
                    object.member("index", &self.index);
                    $(object.member($key, &self.$extra);)*
                }
            }
        )+
    };
}

lines! {
    /// Payload of [`EventKind::WroteHeaderField`](crate::event::EventKind::WroteHeaderField).
    WroteHeaderField {
        /// Who asked for the line.
        added_by "added_by": AddedBy,
    }
    /// Payload of [`EventKind::WroteTrailerField`](crate::event::EventKind::WroteTrailerField).
    WroteTrailerField {}
    /// Payload of [`EventKind::GotHeaderField`](crate::event::EventKind::GotHeaderField).
    GotHeaderField {}
    /// Payload of [`EventKind::GotTrailerField`](crate::event::EventKind::GotTrailerField).
    GotTrailerField {
        /// Whether the field is handed out by `trailers()`; framing, routing, authentication and cookie fields
        /// are not (RFC 9110 §6.5.1).
        used "used": bool,
    }
}

/// Payload of [`EventKind::Got1xxResponse`](crate::event::EventKind::Got1xxResponse).
#[derive(Debug, Clone)]
pub struct Got1xxResponse {
    pub(crate) record: Arc<FieldRecord>,
    pub(crate) status: u16,
    pub(crate) ordinal: u16,
}

impl Got1xxResponse {
    pub(crate) const KEYS: &'static [Key] = &[
        Key::of::<u16>("status", " The status code, 100 to 199."),
        Key::of::<Fields>("fields", " The field lines, redacted."),
        Key::of::<u16>(
            "ordinal",
            " Number of the interim response within the attempt, from 0.",
        ),
    ];

    /// The status code, 100 to 199.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The field lines, redacted.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.record.fields
    }

    /// Number of the interim response within the attempt, from 0.
    #[must_use]
    pub fn ordinal(&self) -> u16 {
        self.ordinal
    }

    pub(crate) fn show(&self, object: &mut Object<'_>) {
        object.member("status", &self.status);
        object.member("fields", &self.record.fields);
        object.member("ordinal", &self.ordinal);
    }
}

/// Bytes that show as escaped text.
struct Bytes<'a>(&'a [u8]);

impl Show for Bytes<'_> {
    const SCHEMA: &'static str = r#"{"type":"string"}"#;
    fn show(&self, text: &mut String) {
        show::bytes(text, self.0);
    }
}

impl Show for Box<[u8]> {
    const SCHEMA: &'static str = Bytes::SCHEMA;
    fn show(&self, text: &mut String) {
        Bytes(self).show(text);
    }
}

/// Declares enums that stand in payloads, with the tag of each variant.
macro_rules! tags {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $tag:literal,)+ })+) => {
        $(
            $(#[$about])*
            #[non_exhaustive]
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum $name { $($(#[$doc])* $variant,)+ }

            impl $name {
                /// The name in exports.
                #[must_use]
                pub const fn tag(self) -> &'static str {
                    match self { $(Self::$variant => $tag,)+ }
                }
            }
        )+

        tagged! { $($name),+ }
    };
}

tags! {
    /// Why an attempt may be made again.
    RetryRule {
        /// The connection had served before, no byte of a response came, and the request may be repeated
        /// (RFC 9110 §9.2.2).
        IdleConnectionDied => "idle_connection_died",
        /// The connection had served before, and no byte of the request left.
        NothingWritten => "nothing_written",
        /// A 417 refused our `Expect`, and the body was not begun: it is made again without (RFC 9110 §10.1.1).
        ExpectationFailed => "expectation_failed",
        /// A 408 on a connection that had served before: the request was not processed (RFC 9110 §15.5.9).
        RequestTimeout => "request_timeout",
        /// A 421 says that the connection is the wrong one; another is made (RFC 9110 §15.5.20).
        MisdirectedRequest => "misdirected_request",
    }
    /// Why a redirect is not followed.
    RedirectRefusal {
        /// Redirects are switched off.
        SwitchedOff => "switched_off",
        /// There is no `Location`.
        NoLocation => "no_location",
        /// The scheme is neither http nor https.
        Scheme => "scheme",
        /// It leads from https to http, which has to be allowed.
        Downgrade => "downgrade",
        /// It leads to http, and the client is for https only.
        HttpsOnly => "https_only",
        /// It keeps the body, which cannot be given again.
        BodyNotReplayable => "body_not_replayable",
        /// It keeps a body without a length, and the peer has answered as HTTP/1.0 (RFC 9112 §6.1).
        ChunkedToHttp10 => "chunked_to_http10",
        /// The caller's own judgement said no.
        Judgement => "judgement",
        /// There are two different `Location` fields; the call fails.
        TwoLocations => "two_locations",
        /// The `Location` cannot be used; the call fails.
        BadLocation => "bad_location",
        /// The limit of redirects is reached; the call fails.
        TooMany => "too_many",
    }
    /// Who gave a call up.
    CanceledBy {
        /// The caller, through a handle.
        Caller => "caller",
        /// The caller, by dropping the response or by a panic in its own code.
        Drop => "drop",
        /// An observer.
        Observer => "observer",
    }
    /// Which limit of connections is reached.
    QueueLimit {
        /// The connections of one origin.
        PerOrigin => "per_origin",
        /// The connections of all origins.
        Total => "total",
        /// The descriptors of the process or of the system.
        Descriptors => "descriptors",
    }
    /// What ended the wait in the queue.
    QueueOutcome {
        /// A connection came back and was handed over.
        Handed => "handed",
        /// A connection may be made.
        MayDial => "may_dial",
        /// A deadline passed.
        TimedOut => "timed_out",
        /// The call was given up.
        Canceled => "canceled",
    }
    /// Why a connection is made.
    DialReason {
        /// No idle connection could be used.
        NoIdle => "no_idle",
        /// The attempt is made again, which an idle connection that had just died would not serve.
        Retry => "retry",
        /// The attempt waited in the queue, and there is no connection but room for one.
        Queued => "queued",
    }
    /// Who is asked for a name.
    DnsSource {
        /// The system.
        System => "system",
        /// The resolver given by the caller.
        Custom => "custom",
        /// The caller's table of overrides.
        Override => "override",
    }
    /// Why no lookup was needed.
    DnsSkipReason {
        /// The host is an IP address.
        Literal => "literal",
        /// The host is `localhost` or below it (RFC 6761 §6.3).
        Localhost => "localhost",
        /// The connection goes to a unix socket.
        Unix => "unix",
    }
    /// What became of a contestant.
    ConnectOutcome {
        /// It is connected.
        Connected => "connected",
        /// The system reported an error.
        Failed => "failed",
        /// Another one is the connection of the dial.
        Lost => "lost",
        /// Too many were open, and it was the oldest.
        Pruned => "pruned",
        /// The dial was given up.
        Canceled => "canceled",
    }
    /// How a proxy is asked for a tunnel.
    TunnelKind {
        /// By CONNECT of HTTP (RFC 9110 §9.3.6).
        HttpConnect => "http_connect",
        /// By SOCKS version 5 (RFC 1928).
        Socks5 => "socks5",
    }
    /// Who asked for a field line.
    AddedBy {
        /// The caller.
        User => "user",
        /// wirescope.
        Client => "client",
    }
    /// The form of a request target (RFC 9112 §3.2).
    TargetForm {
        /// Path and query.
        Origin => "origin",
        /// The whole URL, for a proxy.
        Absolute => "absolute",
        /// `*`, for OPTIONS.
        Asterisk => "asterisk",
        /// `host:port`, for CONNECT.
        Authority => "authority",
    }
    /// What ended the wait for a 100 (Continue).
    ExpectOutcome {
        /// A 100 came; the body is sent.
        Continue => "continue",
        /// Nothing came in time; the body is sent.
        TimedOut => "timed_out",
        /// A final response came; the body is not sent.
        FinalResponse => "final_response",
        /// The connection was lost.
        ConnectionLost => "connection_lost",
        /// The call was given up.
        Canceled => "canceled",
        /// A deadline of the call passed.
        Deadline => "deadline",
    }
    /// Why a request was not sent whole.
    WriteFailure {
        /// A final response came instead of a 100 (Continue); the body was not sent.
        BodySkipped => "body_skipped",
        /// The response ended before the request did.
        ResponseEnded => "response_ended",
        /// The connection was lost.
        ConnectionLost => "connection_lost",
        /// The caller's body source failed, or had another length than declared.
        BodySource => "body_source",
        /// A deadline passed.
        Timeout => "timeout",
        /// The call was given up.
        Canceled => "canceled",
        /// The peer broke a rule.
        ProtocolError => "protocol_error",
    }
    /// How a response body ended.
    BodyEnd {
        /// By its framing.
        Complete => "complete",
        /// By the end of the connection, as its framing says; a cut cannot be told from the end.
        DelimitedByClose => "delimited_by_close",
        /// The caller dropped the response.
        ClosedEarly => "closed_early",
        /// `drain()` read the rest.
        Drained => "drained",
        /// By an error.
        Error => "error",
    }
    /// Who ended a connection.
    ClosedBy {
        /// We did.
        Local => "local",
        /// The peer did.
        Peer => "peer",
    }
}

tagged! { AnomalyKind, CloseReason, Family, AnswerSource, ConnectReason, DialProfile, ProxyScheme, ProxySource, TlsRole }

/// A moment of the wall clock, shown as RFC 3339 with nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock(pub(crate) SystemTime);

impl WallClock {
    /// The moment.
    #[must_use]
    pub fn time(self) -> SystemTime {
        self.0
    }
}

impl Show for WallClock {
    const SCHEMA: &'static str = r#"{"type":"string","format":"date-time"}"#;
    fn show(&self, text: &mut String) {
        show::string(text, &crate::event::wall::rfc3339(self.0));
    }
}

/// An error as events show it: the same kind and text as the [`Error`] that the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorFacts {
    kind: ErrorKind,
    phase: Phase,
    message: Box<str>,
}

impl ErrorFacts {
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            phase: error.phase(),
            message: error.to_string().into(),
        }
    }

    /// Which rule was broken.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where in the call.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The text of the error.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl ClosedBy {
    /// Who ends a connection for that reason.
    pub(crate) fn of(reason: CloseReason) -> Self {
        match reason {
            CloseReason::ConnectionLost
            | CloseReason::DelimitedByClose
            | CloseReason::PeerClosedIdle => Self::Peer,
            _ => Self::Local,
        }
    }
}

impl Show for ErrorFacts {
    const SCHEMA: &'static str = r#"{"type":"object","required":["kind","phase","message"]}"#;
    fn show(&self, text: &mut String) {
        let mut object = Object::open(text);
        object.member("kind", &self.kind.tag());
        object.member("phase", &self.phase);
        object.member("message", &self.message);
        object.close();
    }
}

impl<'a> Lend<'a, &'a Self> for ErrorFacts {
    fn lend(&'a self) -> &'a Self {
        self
    }
}

impl Show for Tried {
    const SCHEMA: &'static str = r#"{"type":"object"}"#;
    fn show(&self, text: &mut String) {
        let mut object = Object::open(text);
        object.member("addr", self.addr());
        object.member("contestant", &self.contestant());
        object.member("reason", &self.reason());
        object.member("outcome", &Box::<str>::from(self.outcome().to_string()));
        object.member("elapsed_ns", &self.elapsed());
        object.close();
    }
}

impl Show for Address {
    const SCHEMA: &'static str = r#"{"type":"object","required":["ip"]}"#;
    fn show(&self, text: &mut String) {
        let mut object = Object::open(text);
        object.member("ip", &Box::<str>::from(self.ip().to_string()));
        if self.zone() != 0 {
            object.member("zone", &self.zone());
        }
        object.close();
    }
}

impl Show for Framing {
    const SCHEMA: &'static str = r#"{"type":["string","integer"]}"#;
    fn show(&self, text: &mut String) {
        match self {
            Self::Length(length) => length.show(text),
            other => show::string(text, other.tag()),
        }
    }
}

impl Show for Arc<TlsFacts> {
    const SCHEMA: &'static str = r#"{"type":"object","required":["version","cipher"]}"#;
    fn show(&self, text: &mut String) {
        let mut object = Object::open(text);
        object.member("version", &self.version().tag());
        object.member("cipher", &self.cipher_suite());
        object.member("group", &self.key_exchange());
        object.member("alpn", &self.alpn());
        object.member("handshake", &self.handshake().tag());
        object.member("certificates", &Certificates(self.certificates()));
        object.close();
    }
}

/// The certificates of a peer as an array.
struct Certificates<'a>(&'a [CertificateFacts]);

impl Show for Certificates<'_> {
    const SCHEMA: &'static str = r#"{"type":"array"}"#;
    fn show(&self, text: &mut String) {
        text.push('[');
        for (index, certificate) in self.0.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            show_certificate(certificate, text);
        }
        text.push(']');
    }
}

fn show_certificate(certificate: &CertificateFacts, text: &mut String) {
    let mut object = Object::open(text);
    object.member("subject", &Box::<str>::from(certificate.subject()));
    object.member("issuer", &Box::<str>::from(certificate.issuer()));
    object.member("not_before", &certificate.not_before());
    object.member("not_after", &certificate.not_after());
    object.member("sha256", &certificate.sha256().map(|hash| hex(hash)));
    object.close();
}

fn hex(bytes: &[u8]) -> Box<str> {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into()
}

impl Show for Box<Timings> {
    const SCHEMA: &'static str = r#"{"type":"object"}"#;
    fn show(&self, text: &mut String) {
        self.as_ref().show(text);
    }
}
