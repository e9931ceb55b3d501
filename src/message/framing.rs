//! How the end of a response is found, and what becomes of its connection.

use std::fmt;

use crate::message::close::CloseReason;

/// How the body of a response is delimited (RFC 9112 §6.3).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// The body has that many bytes.
    Length(u64),
    /// The body comes in chunks.
    Chunked,
    /// The end of the connection is the end of the body.
    UntilClose,
}

impl Framing {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Length(_) => "length",
            Self::Chunked => "chunked",
            Self::UntilClose => "until_close",
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no body"),
            Self::Length(length) => write!(f, "{length} bytes"),
            Self::Chunked => f.write_str("chunked"),
            Self::UntilClose => f.write_str("until close"),
        }
    }
}

/// What a response head says about the connection after it (RFC 9112 §9.3).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// It can serve another request once the message is complete.
    Persistent,
    /// It serves no further request.
    Close(CloseReason),
    /// It speaks another protocol from the first byte after the head: a 101 that was asked for, or a tunnel
    /// (RFC 9110 §7.8, RFC 9110 §9.3.6).
    Switched,
}

/// The HTTP version of a response (RFC 9110 §2.5).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and higher minors of 1, which are read as 1.1 (RFC 9110 §6.2).
    Http11,
}

impl Version {
    /// The version as it stands on the wire.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}
