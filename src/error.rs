//! The one public error: which rule was broken, in which phase, and what was tried.
//!
//! The text of an error is one line, lower case, without secrets and without a byte of the peer's.

mod kind;
mod looked_up;
mod phase;
mod proxy;
mod repeat;
mod report;
mod rule;
mod timer;
mod tried;
mod unfit;

use std::convert::Infallible;
use std::fmt;
use std::io;

pub use crate::error::kind::ErrorKind;
pub use crate::error::looked_up::LookedUp;
pub use crate::error::phase::Phase;
pub use crate::error::proxy::{ProxyFailure, ProxyRefusal, SocksReply};
pub use crate::error::repeat::Repeat;
pub(crate) use crate::error::report::Report;
pub use crate::error::rule::{
    ChunkRule, FieldError, FramingRule, HeadRule, Limit, LookupFailure, ProxyRule, RangeRule,
    RedirectRule, RequestRule, SocketRule, SocksRule, TlsFailure,
};
pub use crate::error::timer::Timer;
pub use crate::error::tried::{Tried, TriedOutcome};
pub(crate) use crate::error::unfit::{Unfit, code_of};
use crate::ids::{CallId, ConnId};
use crate::message::fields::Fields;
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

/// Escapes everything that is not printable ASCII.
pub(crate) fn printable(text: &str) -> String {
    text.escape_default().collect()
}
