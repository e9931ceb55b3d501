//! The one public error: which rule was broken, in which phase, and what was tried.
//!
//! The text of an error is one line, lower case, without secrets and without a byte of the peer's.

mod proxy;
mod rule;
mod unfit;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use crate::error::proxy::{ProxyFailure, ProxyRefusal, SocksReply};
pub use crate::error::rule::{
    ChunkRule, FieldError, FramingRule, HeadRule, Limit, LookupFailure, ProxyRule, RangeRule,
    RedirectRule, RequestRule, SocketRule, SocksRule, TlsFailure,
};
pub(crate) use crate::error::unfit::{Unfit, code_of};
use crate::ids::{CallId, ConnId};
use crate::message::answer::{Family, LookupError};
use crate::message::dial::ConnectReason;
use crate::message::fields::Fields;
use crate::message::peer_addr::PeerAddr;
use crate::message::proxy::{Proxy, ProxyScheme};
pub use crate::message::url::UrlError;

/// A [`std::result::Result`] with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with a call. One pointer wide.
///
/// Handle it by its predicates ([`Error::is_timeout`] and the like) or its [`ErrorKind`]; report it by its text
/// and its chain of sources.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    phase: Phase,
    report: Report,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The circumstances of an error.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    pub(crate) call: Option<CallId>,
    pub(crate) conn: Option<ConnId>,
    /// `host:port` of what was asked.
    pub(crate) authority: Option<Box<str>>,
    /// What the proxy speaks in whose part of the way it happened, and its `host:port`.
    pub(crate) proxy: Option<(ProxyScheme, Box<str>)>,
    /// What the proxy said instead of opening a tunnel.
    pub(crate) proxy_refusal: Option<ProxyRefusal>,
    /// Name of a field, file or setting the error is about.
    pub(crate) subject: Option<Box<str>>,
    pub(crate) tried: Vec<Tried>,
    pub(crate) looked_up: Vec<LookedUp>,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) reused: Option<bool>,
    pub(crate) repeat: Option<Repeat>,
    pub(crate) elapsed: Option<Duration>,
    /// The response whose redirect could not be followed.
    pub(crate) redirect: Option<Arc<(u16, Fields)>>,
}

/// One address that was tried while connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub(crate) addr: PeerAddr,
    pub(crate) contestant: u16,
    pub(crate) reason: ConnectReason,
    pub(crate) outcome: TriedOutcome,
    pub(crate) elapsed: Duration,
}

impl Tried {
    /// The address.
    #[must_use]
    pub fn addr(&self) -> &PeerAddr {
        &self.addr
    }

    /// Its number within the dial, from 0; the events of the dial have the same.
    #[must_use]
    pub fn contestant(&self) -> u16 {
        self.contestant
    }

    /// Why it was tried when it was.
    #[must_use]
    pub fn reason(&self) -> ConnectReason {
        self.reason
    }

    /// What became of it.
    #[must_use]
    pub fn outcome(&self) -> TriedOutcome {
        self.outcome
    }

    /// Time from the start of this connection attempt to its end.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// What the lookup of one address family came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedUp {
    pub(crate) family: Family,
    pub(crate) result: Result<usize, LookupError>,
    pub(crate) elapsed: Duration,
}

impl LookedUp {
    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// How many addresses there are, or why there are none.
    ///
    /// # Errors
    /// What the resolver said.
    pub fn result(&self) -> Result<usize, LookupError> {
        self.result
    }

    /// Time from the start of the lookup to the answer.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

impl fmt::Display for LookedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = match self.family {
            Family::V4 => "A",
            Family::V6 => "AAAA",
        };
        match self.result {
            Ok(0) => write!(f, "{record}: no address")?,
            Ok(1) => write!(f, "{record}: 1 address")?,
            Ok(count) => write!(f, "{record}: {count} addresses")?,
            Err(error) => write!(f, "{record}: {error}")?,
        }
        write!(f, " in {} ms", self.elapsed.as_millis())
    }
}

/// What became of one address that was tried.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TriedOutcome {
    /// The system reported an error.
    Failed {
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The code of the operating system, if there was one.
        code: Option<i32>,
    },
    /// No answer until the dial ended.
    Unanswered,
    /// It gave way to a newer one, because too many were open.
    Pruned,
    /// Another address was quicker.
    Lost,
    /// It took the connection and did not come to an end with TLS.
    TlsStalled,
    /// It connected, and TLS failed.
    Tls(TlsFailure),
    /// It is a proxy that was reached, and there is no tunnel through it.
    Tunnel,
}

impl fmt::Display for TriedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed {
                kind: io::ErrorKind::ConnectionRefused,
                ..
            } => f.write_str("refused"),
            Self::Failed {
                kind: io::ErrorKind::ConnectionReset,
                ..
            } => f.write_str("reset"),
            Self::Failed {
                kind,
                code: Some(code),
            } => write!(f, "{kind} (os error {code})"),
            Self::Failed { kind, code: None } => write!(f, "{kind}"),
            Self::Unanswered => f.write_str("no answer"),
            Self::Pruned => f.write_str("pruned"),
            Self::Lost => f.write_str("lost"),
            Self::TlsStalled => f.write_str("tls stalled"),
            Self::Tls(failure) => write!(f, "tls: {failure}"),
            Self::Tunnel => f.write_str("no tunnel"),
        }
    }
}

/// The rule that was broken. `Local…` is about what we were asked to do, `Peer…` about what the peer did.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The URL cannot be used.
    LocalUrl(UrlError),
    /// A field of the request cannot be sent.
    LocalField(FieldError),
    /// The request or a setting cannot be used.
    LocalRequest(RequestRule),
    /// A proxy cannot be used.
    LocalProxy(ProxyRule),
    /// The caller's body source ended before the declared length; the connection was closed.
    LocalBodyShort {
        /// Bytes the source gave.
        sent: u64,
        /// Bytes that were declared.
        declared: u64,
    },
    /// The caller's body source had more than the declared length; the excess was not sent.
    LocalBodyLong {
        /// Bytes that were declared.
        declared: u64,
    },
    /// The caller's body source failed; its error is the [`source`](std::error::Error::source).
    LocalBodySource,
    /// The caller's sink for the body of the response failed; its error is the source.
    LocalBodySink,
    /// Code of the caller's panicked, while an event loop ran it: a body source, a body sink, a resolver. What it
    /// panicked with, if that was a text, is the source.
    LocalPanic,
    /// A file of the caller's could not be read; the I/O error is the source.
    LocalFile,
    /// A socket could not be made what the client's settings want before it connects; the I/O error is the source.
    LocalSocket(SocketRule),
    /// The head of the response breaks a rule.
    PeerHead {
        /// The rule.
        rule: HeadRule,
        /// Offset from the first byte of the head.
        offset: u64,
    },
    /// The framing of the response breaks a rule.
    PeerFraming(FramingRule),
    /// The chunked body of the response breaks a rule.
    PeerChunk {
        /// The rule.
        rule: ChunkRule,
        /// Offset from the first byte of the body.
        offset: u64,
    },
    /// The trailer section of the response breaks a rule.
    PeerTrailer {
        /// The rule.
        rule: HeadRule,
        /// Offset from the first byte of the body.
        offset: u64,
    },
    /// The response is not the part that was asked for, or not as it says; its connection is not touched by that.
    PeerRange(RangeRule),
    /// The redirect cannot be followed; [`Error::redirect`] has the status and fields of the response.
    PeerRedirect(RedirectRule),
    /// The peer closed the connection before the first byte of a response.
    PeerClosed,
    /// The peer closed the connection inside the head.
    PeerIncompleteHead {
        /// Bytes of the head that arrived.
        received: u64,
    },
    /// The peer closed the connection inside the body (RFC 9112 §8).
    PeerIncompleteBody {
        /// Bytes of content that arrived.
        received: u64,
        /// Bytes that were announced, if they were.
        expected: Option<u64>,
    },
    /// The peer ended TLS without close_notify where only the end of the connection ends the body
    /// (RFC 9112 §9.8).
    PeerTlsTruncated {
        /// Bytes of content that arrived.
        received: u64,
    },
    /// The name could not be looked up.
    Lookup(LookupFailure),
    /// No address could be connected to; see [`Error::tried`].
    Connect,
    /// TLS could not be established or was broken.
    Tls(TlsFailure),
    /// The proxy made no tunnel; [`Error::proxy_refusal`] has the response that it gave, if it gave one.
    Proxy(ProxyFailure),
    /// The operating system reported an error.
    Io {
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The code of the operating system, if there was one.
        code: Option<i32>,
    },
    /// A deadline passed.
    Timeout(Timer),
    /// A bound was reached; it can be raised in [`Limits`](crate::config::Limits).
    Limit {
        /// Which bound.
        limit: Limit,
        /// Its value.
        max: u64,
    },
    /// The call was canceled through a [`CancelHandle`](crate::CancelHandle).
    Canceled,
    /// An observer aborted the call; its reason is the source.
    Aborted,
    /// A middleware failed the call; its own error is the source.
    Middleware,
    /// Another protocol was to be spoken, and the response with this status does not begin one: it is neither a 101 nor a
    /// 2xx to a CONNECT.
    NotUpgraded(u16),
    /// A status of 400 or above, made an error by `error_for_status`.
    Status(u16),
    /// wirescope itself broke a rule of its own. Please report it.
    Internal,
}

/// Which deadline passed. The order is the order in which ties are reported.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The whole call.
    Total,
    /// From the wish for a connection until there is one: lookup, connects, TLS. Stands still in the queue.
    Connect,
    /// Waiting because a limit of connections is reached.
    Queue,
    /// The lookup of a name.
    Lookup,
    /// The TLS handshake.
    Tls,
    /// Waiting for a 100 (Continue); its end is not an error.
    Expect,
    /// The peer takes no byte of the request.
    WriteStall,
    /// From the end of the request to the first byte of a response.
    FirstByte,
    /// From the first byte of a head to its last.
    Head,
    /// Between two reads of the body.
    BodyIdle,
    /// The rest of a body that is read only to keep its connection. Its end is not an error; it costs the
    /// connection.
    Drain,
}

impl Timer {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Connect => "connect",
            Self::Queue => "queue",
            Self::Lookup => "lookup",
            Self::Tls => "tls",
            Self::Expect => "expect",
            Self::WriteStall => "write_stall",
            Self::FirstByte => "first_byte",
            Self::Head => "head",
            Self::BodyIdle => "body_idle",
            Self::Drain => "drain",
        }
    }
}

/// Where in a call something happened.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before any I/O.
    Prepare,
    /// Waiting because a limit of connections is reached.
    Queue,
    /// Looking a name up.
    Lookup,
    /// Connecting.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Asking the proxy for a tunnel (RFC 9110 §9.3.6).
    Tunnel,
    /// Sending the request.
    Send,
    /// Waiting for a 100 (Continue).
    Expect,
    /// Waiting for the first byte of a response.
    FirstByte,
    /// Receiving a head.
    Head,
    /// Receiving the body.
    Receive,
    /// After the message was complete.
    Done,
}

impl Phase {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Queue => "queue",
            Self::Lookup => "lookup",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Tunnel => "tunnel",
            Self::Send => "send",
            Self::Expect => "expect",
            Self::FirstByte => "first_byte",
            Self::Head => "head",
            Self::Receive => "receive",
            Self::Done => "done",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Prepare => "before any i/o",
            Self::Queue => "while waiting for a connection",
            Self::Lookup => "while looking the name up",
            Self::Connect => "while connecting",
            Self::Tls => "in the tls handshake",
            Self::Tunnel => "while asking the proxy for a tunnel",
            Self::Send => "while sending the request",
            Self::Expect => "while waiting for 100 (continue)",
            Self::FirstByte => "while waiting for the response",
            Self::Head => "while receiving the response head",
            Self::Receive => "while receiving the response body",
            Self::Done => "after the response was complete",
        }
    }
}

/// Whether the same request may be sent again without risk, and why.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// Safe: no byte of the request left.
    NothingSent,
    /// Safe: the method is idempotent (RFC 9110 §9.2.2).
    Idempotent,
    /// Not safe: bytes left and the method is not idempotent, so the peer may have acted on it.
    MayHaveBeenProcessed,
    /// Not possible: the body cannot be given a second time.
    BodyNotReplayable,
    /// Of no use: a repeat would fail the same way.
    Pointless,
}

impl Repeat {
    /// Says whether a repeat is safe.
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Self::NothingSent | Self::Idempotent)
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, phase: Phase) -> Self {
        Self(Box::new(Inner {
            kind,
            phase,
            report: Report::default(),
            source: None,
        }))
    }

    pub(crate) fn local(kind: ErrorKind) -> Self {
        Self::new(kind, Phase::Prepare)
    }

    pub(crate) fn middleware(cause: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::local(ErrorKind::Middleware).with_source(cause)
    }

    pub(crate) fn setting(name: &str) -> Self {
        Self::local(ErrorKind::LocalRequest(RequestRule::Setting)).about(name)
    }

    #[must_use]
    pub(crate) fn about(mut self, subject: &str) -> Self {
        self.0.report.subject = Some(printable(subject).into_boxed_str());
        self
    }

    #[must_use]
    pub(crate) fn with_report(mut self, report: Report) -> Self {
        let own = std::mem::take(&mut self.0.report);
        self.0.report = Report {
            subject: own.subject.or(report.subject),
            proxy: own.proxy.or(report.proxy),
            proxy_refusal: own.proxy_refusal.or(report.proxy_refusal),
            ..report
        };
        self
    }

    /// Says that it happened on the way to the proxy, or with it.
    #[must_use]
    pub(crate) fn with_proxy(mut self, proxy: &Proxy) -> Self {
        let at = printable(proxy.authority()).into_boxed_str();
        self.0.report.proxy = Some((proxy.scheme(), at));
        self
    }

    #[must_use]
    pub(crate) fn with_proxy_refusal(mut self, refusal: ProxyRefusal) -> Self {
        self.0.report.proxy_refusal = Some(refusal);
        self
    }

    #[must_use]
    pub(crate) fn with_tried(mut self, tried: Vec<Tried>, looked_up: Vec<LookedUp>) -> Self {
        self.0.report.tried = tried;
        self.0.report.looked_up = looked_up;
        self
    }

    #[must_use]
    pub(crate) fn with_source(mut self, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        self.0.source = Some(source);
        self
    }

    /// The rule that was broken.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where in the call it happened.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The call it happened in; none for a request that was refused while it was built.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        self.0.report.call
    }

    /// The connection it happened on, if there was one.
    #[must_use]
    pub fn connection(&self) -> Option<ConnId> {
        self.0.report.conn
    }

    /// What the lookup came to, for each family whose answer came before the error. Empty when nothing was asked.
    #[must_use]
    pub fn looked_up(&self) -> &[LookedUp] {
        &self.0.report.looked_up
    }

    /// Every address that was tried, in order.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        &self.0.report.tried
    }

    /// Bytes of the request that the kernel had accepted.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.0.report.bytes_out
    }

    /// Bytes of the response that had arrived.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.0.report.bytes_in
    }

    /// Whether the connection had served an earlier request; none when there was no connection.
    #[must_use]
    pub fn connection_reused(&self) -> Option<bool> {
        self.0.report.reused
    }

    /// The status and the fields of the response whose redirect could not be followed, if that is the error.
    #[must_use]
    pub fn redirect(&self) -> Option<(u16, &Fields)> {
        let redirect = self.0.report.redirect.as_deref();
        redirect.map(|(status, fields)| (*status, fields))
    }

    /// `host:port` of the proxy, if the error happened on the way to it or with it: before there was a tunnel to the
    /// origin, or anywhere if the proxy itself passes the request on.
    #[must_use]
    pub fn proxy(&self) -> Option<&str> {
        let proxy = self.0.report.proxy.as_ref();
        proxy.map(|(_, at)| &**at)
    }

    /// What that [`proxy`](Self::proxy) speaks.
    #[must_use]
    pub fn proxy_scheme(&self) -> Option<ProxyScheme> {
        let proxy = self.0.report.proxy.as_ref();
        proxy.map(|(scheme, _)| *scheme)
    }

    /// The response of a proxy that did not open the tunnel, if that is the error.
    #[must_use]
    pub fn proxy_refusal(&self) -> Option<&ProxyRefusal> {
        self.0.report.proxy_refusal.as_ref()
    }

    /// Whether the same request may be sent again, and why.
    #[must_use]
    pub fn repeat(&self) -> Repeat {
        self.0.report.repeat.unwrap_or(Repeat::Pointless)
    }

    /// Says whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout(_))
    }

    /// Why TLS failed, if it did.
    #[must_use]
    pub fn tls_failure(&self) -> Option<TlsFailure> {
        match self.0.kind {
            ErrorKind::Tls(failure) => Some(failure),
            _ => None,
        }
    }

    /// Says whether the caller canceled the call.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Canceled)
    }

    /// Why the proxy made no tunnel, if that is the error.
    #[must_use]
    pub fn proxy_failure(&self) -> Option<ProxyFailure> {
        match self.0.kind {
            ErrorKind::Proxy(failure) => Some(failure),
            _ => None,
        }
    }

    /// Says whether no connection was obtained (queue, lookup, connect, TLS handshake or tunnel).
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(
            self.0.phase,
            Phase::Queue | Phase::Lookup | Phase::Connect | Phase::Tls | Phase::Tunnel
        )
    }

    /// Says whether the request was refused before any I/O.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.0.phase, Phase::Prepare)
    }

    /// Says whether the same request may be sent again without risk.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.repeat().is_safe()
    }

    /// A second error that tells the same, for a reader who asks again after a failure. The source stays
    /// with the first.
    pub(crate) fn again(&self) -> Self {
        Self(Box::new(Inner {
            kind: self.0.kind,
            phase: self.0.phase,
            report: self.0.report.clone(),
            source: None,
        }))
    }

    /// Wraps this error for [`std::io::Read`]: a timeout has the kind `TimedOut`, an incomplete message
    /// `UnexpectedEof`.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self.0.kind {
            ErrorKind::Timeout(_) => io::ErrorKind::TimedOut,
            ErrorKind::PeerClosed
            | ErrorKind::PeerIncompleteHead { .. }
            | ErrorKind::PeerIncompleteBody { .. }
            | ErrorKind::PeerTlsTruncated { .. }
            | ErrorKind::PeerRange(RangeRule::Cut) => io::ErrorKind::UnexpectedEof,
            ErrorKind::PeerChunk { .. }
            | ErrorKind::PeerTrailer { .. }
            | ErrorKind::PeerRange(_) => io::ErrorKind::InvalidData,
            ErrorKind::Canceled | ErrorKind::Aborted => io::ErrorKind::ConnectionAborted,
            ErrorKind::Io { kind, .. } => kind,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("phase", &self.0.phase)
            .field("report", &self.0.report)
            .field("source", &self.0.source)
            .finish()
    }
}

/// One line: what, where, with whom, and what was tried.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0.report;
        if let (ErrorKind::Connect, Some(authority)) = (self.0.kind, &report.authority) {
            match &report.proxy {
                Some((_, proxy)) => write!(f, "cannot connect to proxy {proxy} for {authority}")?,
                None => write!(f, "cannot connect to {authority}")?,
            }
            return report.fmt_dial(f);
        }
        write!(f, "{}", self.0.kind)?;
        if let Some(subject) = &report.subject {
            write!(f, " ({subject})")?;
        }
        if self.0.phase != Phase::Prepare {
            write!(f, ", {}", self.0.phase.sentence())?;
        }
        if let Some((_, proxy)) = &report.proxy {
            write!(f, ", proxy {proxy}")?;
        }
        if let Some(authority) = &report.authority {
            write!(f, ", {authority}")?;
        }
        if let Some(elapsed) = report.elapsed {
            write!(f, ", after {} ms", elapsed.as_millis())?;
        }
        report.fmt_tried(f)?;
        if matches!(self.0.kind, ErrorKind::Lookup(_)) {
            report.fmt_looked_up(f)?;
        }
        Ok(())
    }
}

impl Report {
    /// The rest of a line about a dial of which every contestant failed.
    fn fmt_dial(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addrs: Vec<_> = self.tried.iter().map(|tried| &tried.addr).collect();
        addrs.sort_unstable();
        addrs.dedup();
        match addrs.len() {
            1 => f.write_str(": 1 address tried")?,
            count => write!(f, ": {count} addresses tried")?,
        }
        if let Some(elapsed) = self.elapsed {
            write!(f, " in {} ms", elapsed.as_millis())?;
        }
        self.fmt_tried(f)?;
        if self
            .looked_up
            .iter()
            .any(|one| !matches!(one.result, Ok(1..)))
        {
            self.fmt_looked_up(f)?;
        }
        match self.only_unreachable() {
            Some(Family::V4) => f.write_str("; ipv4 only and no ipv4 route"),
            Some(Family::V6) => f.write_str("; ipv6 only and no ipv6 route"),
            None => Ok(()),
        }
    }

    fn fmt_tried(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tried) in self.tried.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { ", " })?;
            match &tried.addr {
                PeerAddr::Tcp(SocketAddr::V4(addr)) => write!(f, "{}", addr.ip())?,
                PeerAddr::Tcp(SocketAddr::V6(addr)) if addr.scope_id() == 0 => {
                    write!(f, "[{}]", addr.ip())?;
                }
                PeerAddr::Tcp(SocketAddr::V6(addr)) => {
                    write!(f, "[{}%{}]", addr.ip(), addr.scope_id())?;
                }
                PeerAddr::Unix(addr) => write!(f, "{addr}")?,
            }
            write!(f, " {} ({} ms)", tried.outcome, tried.elapsed.as_millis())?;
        }
        Ok(())
    }

    fn fmt_looked_up(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.looked_up.iter().enumerate() {
            write!(f, "{}{one}", if index == 0 { " (" } else { "; " })?;
        }
        f.write_str(if self.looked_up.is_empty() { "" } else { ")" })
    }

    /// The family of all that was tried, if none of it can be reached and the other family has no address.
    fn only_unreachable(&self) -> Option<Family> {
        let family_of = |tried: &Tried| tried.addr.tcp().map(|addr| Family::of(addr.ip()));
        let family = family_of(self.tried.first()?)?;
        let is_lost = |tried: &Tried| {
            let unreachable = matches!(
                tried.outcome,
                TriedOutcome::Failed {
                    kind: io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable,
                    ..
                }
            );
            unreachable && family_of(tried) == Some(family)
        };
        let has_other = (self.looked_up.iter())
            .any(|one| one.family != family && matches!(one.result, Ok(1..)));
        (!has_other && self.tried.iter().all(is_lost)).then_some(family)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<UrlError> for Error {
    fn from(rule: UrlError) -> Self {
        Self::local(ErrorKind::LocalUrl(rule))
    }
}

/// For what cannot fail where something of its kind can, like a method or URL that was checked before.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<FieldError> for Error {
    fn from(rule: FieldError) -> Self {
        Self::local(ErrorKind::LocalField(rule))
    }
}

impl From<ProxyRule> for Error {
    fn from(rule: ProxyRule) -> Self {
        Self::local(ErrorKind::LocalProxy(rule))
    }
}

impl From<RequestRule> for Error {
    fn from(rule: RequestRule) -> Self {
        Self::local(ErrorKind::LocalRequest(rule))
    }
}

impl ErrorKind {
    /// The kind of an I/O error, with its code.
    pub(crate) fn io(error: &io::Error) -> Self {
        Self::Io {
            kind: error.kind(),
            code: error.raw_os_error(),
        }
    }

    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::LocalUrl(_) => "local_url",
            Self::LocalField(_) => "local_field",
            Self::LocalRequest(_) => "local_request",
            Self::LocalProxy(_) => "local_proxy",
            Self::LocalBodyShort { .. } => "local_body_short",
            Self::LocalBodyLong { .. } => "local_body_long",
            Self::LocalBodySource => "local_body_source",
            Self::LocalBodySink => "local_body_sink",
            Self::LocalPanic => "local_panic",
            Self::LocalFile => "local_file",
            Self::LocalSocket(_) => "local_socket",
            Self::PeerHead { .. } => "peer_head",
            Self::PeerFraming(_) => "peer_framing",
            Self::PeerChunk { .. } => "peer_chunk",
            Self::PeerTrailer { .. } => "peer_trailer",
            Self::PeerRange(_) => "peer_range",
            Self::PeerRedirect(_) => "peer_redirect",
            Self::PeerClosed => "peer_closed",
            Self::PeerIncompleteHead { .. } => "peer_incomplete_head",
            Self::PeerIncompleteBody { .. } => "peer_incomplete_body",
            Self::PeerTlsTruncated { .. } => "peer_tls_truncated",
            Self::Lookup(_) => "lookup",
            Self::Connect => "connect",
            Self::Tls(_) => "tls",
            Self::Proxy(_) => "proxy",
            Self::Io { .. } => "io",
            Self::Timeout(_) => "timeout",
            Self::Limit { .. } => "limit",
            Self::Canceled => "canceled",
            Self::Aborted => "aborted",
            Self::Middleware => "middleware",
            Self::NotUpgraded(_) => "not_upgraded",
            Self::Status(_) => "status",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalUrl(rule) => write!(f, "bad url: {rule}"),
            Self::LocalField(rule) => write!(f, "bad field: {rule}"),
            Self::LocalRequest(rule) => write!(f, "bad request: {rule}"),
            Self::LocalProxy(rule) => write!(f, "bad proxy: {rule}"),
            Self::LocalBodyShort { sent, declared } => {
                write!(f, "the body source ended after {sent} of {declared} bytes")
            }
            Self::LocalBodyLong { declared } => {
                write!(
                    f,
                    "the body source has more than the declared {declared} bytes"
                )
            }
            Self::LocalBodySource => f.write_str("the body source failed"),
            Self::LocalBodySink => f.write_str("the body sink failed"),
            Self::LocalPanic => f.write_str("code of the caller panicked"),
            Self::LocalFile => f.write_str("the file cannot be read"),
            Self::LocalSocket(rule) => write!(f, "bad socket: {rule}"),
            Self::PeerHead { rule, offset } => write!(f, "bad response: {rule} at byte {offset}"),
            Self::PeerFraming(rule) => write!(f, "bad response framing: {rule}"),
            Self::PeerChunk { rule, offset } => {
                write!(f, "bad chunked body: {rule} at byte {offset}")
            }
            Self::PeerTrailer { rule, offset } => {
                write!(f, "bad trailer section: {rule} at byte {offset}")
            }
            Self::PeerRange(rule) => write!(f, "bad partial response: {rule}"),
            Self::PeerRedirect(rule) => write!(f, "bad redirect: {rule}"),
            Self::PeerClosed => f.write_str("the peer closed the connection without a response"),
            Self::PeerIncompleteHead { received } => {
                write!(
                    f,
                    "the peer closed the connection after {received} bytes of the head"
                )
            }
            Self::PeerIncompleteBody {
                received,
                expected: Some(expected),
            } => {
                write!(
                    f,
                    "incomplete message: {received} of {expected} bytes of the body"
                )
            }
            Self::PeerIncompleteBody {
                received,
                expected: None,
            } => {
                write!(
                    f,
                    "incomplete message: {received} bytes of the body and no end"
                )
            }
            Self::PeerTlsTruncated { received } => {
                write!(
                    f,
                    "tls ended without close_notify after {received} bytes of the body"
                )
            }
            Self::Lookup(rule) => write!(f, "{rule}"),
            Self::Connect => f.write_str("cannot connect"),
            Self::Tls(rule) => write!(f, "tls: {rule}"),
            Self::Proxy(failure) => write!(f, "{failure}"),
            Self::Io {
                kind,
                code: Some(code),
            } => write!(f, "{kind} (os error {code})"),
            Self::Io { kind, code: None } => write!(f, "{kind}"),
            Self::Timeout(timer) => write!(f, "timeout ({})", timer.tag()),
            Self::Limit { limit, max } => write!(f, "limit reached: {limit}, at most {max}"),
            Self::Canceled => f.write_str("canceled"),
            Self::Aborted => f.write_str("aborted by an observer"),
            Self::Middleware => f.write_str("a middleware failed the call"),
            Self::NotUpgraded(status) => write!(f, "status {status} begins no other protocol"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Internal => f.write_str("internal error"),
        }
    }
}

/// Escapes everything that is not printable ASCII.
pub(crate) fn printable(text: &str) -> String {
    text.escape_default().collect()
}
