//! What can be wrong with a URL.

use std::fmt;

use super::MAX_URL_BYTES;

/// The rule that a URL, or a reference given to [`Url::join`](super::Url::join), breaks.
///
/// Its text is one line made of fixed words and a byte offset: nothing of the URL is repeated, so a
/// password in it cannot get into a log this way.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UrlError {
    /// There is no text.
    Empty,
    /// The text, or what a reference resolves to, has more than [`MAX_URL_BYTES`] bytes.
    TooLong,
    /// The scheme is missing, or is neither `http` nor `https` (RFC 9110 §4.2).
    Scheme,
    /// The host is missing or empty (RFC 9110 §4.2.1, RFC 9110 §4.2.2).
    EmptyHost {
        /// Where the host should stand.
        offset: usize,
    },
    /// A byte of the host is none of letter, digit, `-`, `.` and `_`. Percent-encoding is refused too
    /// (RFC 3986 §3.2.2).
    Host {
        /// Where that byte stands.
        offset: usize,
    },
    /// The host has more than 253 bytes, or a label of it more than 63 (RFC 1035 §2.3.4).
    HostLength {
        /// Where the host or the label begins.
        offset: usize,
    },
    /// A label of the host is empty; one dot may end the host.
    Dot {
        /// Where the empty label stands.
        offset: usize,
    },
    /// The last label of the host is a number, and the host is not four decimal numbers with dots.
    ///
    /// `127.1`, `0x7f.1`, `017700000001` and `2130706433` mean an address to some resolvers and a name to
    /// others; a filter that reads them otherwise than the resolver does is bypassed (RFC 3986 §7.4).
    LegacyIpv4 {
        /// Where the host begins.
        offset: usize,
    },
    /// An IPv6 address is malformed, not in brackets, or has text around its brackets (RFC 3986 §3.2.2).
    Ipv6 {
        /// Where the address or the text around it begins.
        offset: usize,
    },
    /// A zone does not begin with `%25`, is empty, or has a byte that is not unreserved (RFC 6874 §2).
    Zone {
        /// Where the percent sign of the zone stands.
        offset: usize,
    },
    /// The port is not a decimal number from 1 to 65535 (RFC 3986 §3.2.3). An empty one is the default.
    Port {
        /// Where the port begins.
        offset: usize,
    },
    /// A space or a control byte stands in the URL. None is stripped.
    Control {
        /// Where it stands.
        offset: usize,
    },
    /// A backslash stands in the URL; some take it for a slash (RFC 3986 §3.2).
    Backslash {
        /// Where it stands.
        offset: usize,
    },
    /// The authority has a character outside ASCII; it must be given in its `xn--` form (RFC 5891 §4.4).
    NonAsciiHost {
        /// Where its first byte stands.
        offset: usize,
    },
    /// The path, query or fragment has a character outside ASCII; it must be percent-encoded
    /// (RFC 3986 §2.1).
    NonAscii {
        /// Where its first byte stands.
        offset: usize,
    },
    /// A character may not stand where it does and must be percent-encoded, like `[` in a query
    /// (RFC 3986 §3.3, RFC 3986 §3.4).
    Character {
        /// Where it stands.
        offset: usize,
    },
    /// A percent sign is not followed by two hexadecimal digits (RFC 3986 §2.1).
    PercentEncoding {
        /// Where the percent sign stands.
        offset: usize,
    },
    /// A reference has user information, which a peer may not set (RFC 9110 §4.2.4).
    Userinfo {
        /// Where it begins.
        offset: usize,
    },
}

impl UrlError {
    /// Returns where the rule is broken, as a byte offset into the text that was given, unless the whole
    /// text is the matter.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        match *self {
            Self::Empty | Self::TooLong | Self::Scheme => None,
            Self::EmptyHost { offset }
            | Self::Host { offset }
            | Self::HostLength { offset }
            | Self::Dot { offset }
            | Self::LegacyIpv4 { offset }
            | Self::Ipv6 { offset }
            | Self::Zone { offset }
            | Self::Port { offset }
            | Self::Control { offset }
            | Self::Backslash { offset }
            | Self::NonAsciiHost { offset }
            | Self::NonAscii { offset }
            | Self::Character { offset }
            | Self::PercentEncoding { offset }
            | Self::Userinfo { offset } => Some(offset),
        }
    }

    fn rule(&self) -> &'static str {
        match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is too long",
            Self::Scheme => "the scheme is not http or https",
            Self::EmptyHost { .. } => "the host is missing",
            Self::Host { .. } => "the host has a character that is not allowed",
            Self::HostLength { .. } => "the host or a label of it is too long",
            Self::Dot { .. } => "the host has an empty label",
            Self::LegacyIpv4 { .. } => "the ipv4 address is not four decimal numbers",
            Self::Ipv6 { .. } => "the ipv6 address is malformed or not alone in brackets",
            Self::Zone { .. } => "the zone of the ipv6 address is malformed",
            Self::Port { .. } => "the port is not a number from 1 to 65535",
            Self::Control { .. } => "there is a space or a control character",
            Self::Backslash { .. } => "there is a backslash",
            Self::NonAsciiHost { .. } => "the host has a character that is not ascii",
            Self::NonAscii { .. } => "a character that is not ascii is not percent-encoded",
            Self::Character { .. } => "a character that is not allowed is not percent-encoded",
            Self::PercentEncoding { .. } => "a percent sign lacks its two hexadecimal digits",
            Self::Userinfo { .. } => "a reference may not set user information",
        }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule())?;
        match (self, self.offset()) {
            (Self::TooLong, _) => write!(f, ": more than {MAX_URL_BYTES} bytes"),
            (_, Some(offset)) => write!(f, ", at byte {offset}"),
            (_, None) => Ok(()),
        }
    }
}

impl std::error::Error for UrlError {}
