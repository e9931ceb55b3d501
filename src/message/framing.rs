//! How the end of a response is found, and what becomes of its connection.

use std::fmt;

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

/// Why a connection serves no further request although its exchange went well.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Our request said `close` (RFC 9112 §9.6).
    CloseRequested,
    /// The response said `close` (RFC 9112 §9.6).
    PeerClose,
    /// The peer speaks HTTP/1.0 and did not say `keep-alive` (RFC 9112 §9.3).
    Http10,
    /// Only the end of the connection ends the body (RFC 9112 §6.3).
    DelimitedByClose,
    /// A length and a transfer coding stood together (RFC 9112 §6.3).
    LengthAndTransferEncoding,
    /// An HTTP/1.0 response named a transfer coding (RFC 9112 §6.1).
    TransferEncodingInHttp10,
}

impl CloseReason {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::CloseRequested => "close_requested",
            Self::PeerClose => "peer_close",
            Self::Http10 => "http10",
            Self::DelimitedByClose => "delimited_by_close",
            Self::LengthAndTransferEncoding => "length_and_transfer_encoding",
            Self::TransferEncodingInHttp10 => "transfer_encoding_in_http10",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloseRequested => "the request said close",
            Self::PeerClose => "the response said close",
            Self::Http10 => "the peer speaks http/1.0 without keep-alive",
            Self::DelimitedByClose => "the end of the connection ends the body",
            Self::LengthAndTransferEncoding => {
                "content-length and transfer-encoding stood together"
            }
            Self::TransferEncodingInHttp10 => "transfer-encoding stood in an http/1.0 response",
        })
    }
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

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        })
    }
}
