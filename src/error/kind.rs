//! Which rule was broken, with its name in exports and its sentence.

use std::fmt;
use std::io;

use crate::error::proxy::ProxyFailure;
use crate::error::rule::{
    ChunkRule, FieldError, FramingRule, HeadRule, Limit, LookupFailure, ProxyRule, RangeRule,
    RedirectRule, RequestRule, SocketRule, TlsFailure,
};
use crate::error::timer::Timer;
use crate::message::url::UrlError;

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
    /// The redirect cannot be followed; [`Error::redirect`](crate::Error::redirect) has the status and fields of the
    /// response.
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
    /// No address could be connected to; see [`Error::tried`](crate::Error::tried).
    Connect,
    /// TLS could not be established or was broken.
    Tls(TlsFailure),
    /// The proxy made no tunnel; [`Error::proxy_refusal`](crate::Error::proxy_refusal) has the response that it gave,
    /// if it gave one.
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
