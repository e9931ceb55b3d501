//! Why a proxy made no tunnel, and what it said.

use std::fmt;
use std::sync::Arc;

use crate::error::rule::{HeadRule, SocksRule};
use crate::message::fields::Fields;

/// Why a proxy made no tunnel (RFC 9110 §9.3.6, RFC 1928).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyFailure {
    /// The proxy answered CONNECT with a status that is not 2xx; [`Error::proxy_refusal`](crate::Error::proxy_refusal)
    /// has what it said.
    Refused(u16),
    /// The proxy wants credentials, and there are none for it (407, or no SOCKS method without them).
    CredentialsWanted,
    /// The proxy does not take the credentials that it was given.
    CredentialsRefused,
    /// The proxy refused CONNECT of SOCKS5 with this reply (RFC 1928 §6).
    Socks(SocksReply),
    /// The head of the proxy's answer breaks a rule.
    Head {
        /// The rule.
        rule: HeadRule,
        /// Offset from the first byte of the head.
        offset: u64,
    },
    /// The proxy answered CONNECT with 101: it switches to a protocol that nobody asked for.
    Switched,
    /// The proxy's answer breaks a rule of SOCKS5.
    SocksAnswer(SocksRule),
    /// The proxy ended the connection before its answer was complete.
    Ended {
        /// Bytes of the answer that arrived.
        received: u64,
    },
    /// Bytes stood behind the proxy's answer, before anything was sent through the tunnel. They are nobody's answer.
    SpokeEarly,
    /// The call got a connection that came back before the proxy had answered; only in events.
    Overtaken,
    /// The target cannot be named to a proxy: its host is neither a name nor an address, or has more than 255 bytes and
    /// the proxy speaks SOCKS5 (RFC 1928 §5).
    Target,
    /// User name or password have no byte, or more than 255, for a SOCKS5 proxy (RFC 1929 §2).
    CredentialsLength,
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the proxy refused the tunnel with status {status}"),
            Self::CredentialsWanted => f.write_str("the proxy wants credentials"),
            Self::CredentialsRefused => f.write_str("the proxy refused the credentials"),
            Self::Socks(reply) => write!(f, "the proxy made no tunnel: {reply}"),
            Self::Head { rule, offset } => {
                write!(f, "bad answer of the proxy: {rule} at byte {offset}")
            }
            Self::Switched => {
                f.write_str("the proxy switches to a protocol that was not asked for")
            }
            Self::SocksAnswer(rule) => write!(f, "bad answer of the proxy: {rule}"),
            Self::Ended { received } => write!(
                f,
                "the proxy ended the connection after {received} bytes of its answer"
            ),
            Self::Overtaken => f.write_str("a connection that came back was quicker"),
            Self::SpokeEarly => f.write_str("bytes stand behind the answer of the proxy"),
            Self::Target => f.write_str("the target cannot be named to the proxy"),
            Self::CredentialsLength => {
                f.write_str("user name or password do not have 1 to 255 bytes")
            }
        }
    }
}

/// Why a SOCKS5 proxy refused to connect (RFC 1928 §6).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocksReply {
    /// 1: a general failure.
    GeneralFailure,
    /// 2: its rules do not allow the connection.
    NotAllowed,
    /// 3: the network cannot be reached.
    NetworkUnreachable,
    /// 4: the host cannot be reached.
    HostUnreachable,
    /// 5: the target refused the connection.
    ConnectionRefused,
    /// 6: the time to live ran out.
    TtlExpired,
    /// 7: it does not know the command.
    CommandNotSupported,
    /// 8: it does not know the type of the address.
    AddressTypeNotSupported,
    /// A code that has no meaning.
    Unassigned(u8),
}

impl SocksReply {
    /// The refusal of a code; 0 is none.
    pub(crate) fn of(code: u8) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::GeneralFailure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            other => Self::Unassigned(other),
        })
    }
}

impl fmt::Display for SocksReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GeneralFailure => f.write_str("general failure"),
            Self::NotAllowed => f.write_str("not allowed by its rules"),
            Self::NetworkUnreachable => f.write_str("network unreachable"),
            Self::HostUnreachable => f.write_str("host unreachable"),
            Self::ConnectionRefused => f.write_str("connection refused"),
            Self::TtlExpired => f.write_str("time to live expired"),
            Self::CommandNotSupported => f.write_str("command not supported"),
            Self::AddressTypeNotSupported => f.write_str("address type not supported"),
            Self::Unassigned(code) => write!(f, "unknown reply {code}"),
        }
    }
}

/// What a proxy said instead of opening a tunnel: the final response to CONNECT, as far as it was read.
///
/// It comes from the proxy, not from the origin, and is nobody's response but ours (RFC 9110 §9.3.6).
#[derive(Clone)]
pub struct ProxyRefusal(Arc<Said>);

struct Said {
    status: u16,
    fields: Fields,
    body: Box<[u8]>,
}

impl ProxyRefusal {
    pub(crate) fn new(status: u16, fields: Fields, body: &[u8]) -> Self {
        let body = body.into();
        Self(Arc::new(Said {
            status,
            fields,
            body,
        }))
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The field lines, as they came.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.0.fields
    }

    /// The first bytes of the body, without its framing: at most
    /// [`proxy_refusal_bytes`](crate::config::Limits::proxy_refusal_bytes). They are the proxy's, so escape them before
    /// they are shown.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }
}

/// Without a byte of the proxy's but the names of fields.
impl fmt::Debug for ProxyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyRefusal")
            .field("status", &self.0.status)
            .field("fields", &self.0.fields)
            .field("body", &self.0.body.len())
            .finish()
    }
}
