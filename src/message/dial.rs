//! How connections are dialed: the profiles, and why a contestant starts.

/// How the dialer orders and staggers what it tries.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DialProfile {
    /// Never slower to the first byte than the best of other clients: 20 ms for a late IPv6 answer, 150 ms from
    /// the first contestant to the second, then 100 ms, two starts for each failure, a second socket to a lone
    /// address after 250 ms, TLS raced. The default.
    #[default]
    Fast,
    /// The constants of RFC 8305: 50 ms of resolution delay (§3), 250 ms between contestants (§5), never less
    /// than 100 ms apart; no second socket, and TLS is not raced.
    Rfc8305,
}

impl DialProfile {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Rfc8305 => "rfc8305",
        }
    }
}

/// Why a contestant starts.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectReason {
    /// It is the first.
    First,
    /// The Connection Attempt Delay passed since the last start (RFC 8305 §5).
    Delay,
    /// Another one failed; its place is taken at once.
    Credit,
    /// The IPv6 addresses came after an IPv4 contestant had to start without them.
    LateAaaa,
    /// The same address again: the first packet of the contestant before may be lost.
    Hedge,
    /// The peer of another one took the connection and says nothing to TLS.
    TlsStalled,
}

impl ConnectReason {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Delay => "delay",
            Self::Credit => "credit",
            Self::LateAaaa => "late_aaaa",
            Self::Hedge => "hedge",
            Self::TlsStalled => "tls_stalled",
        }
    }
}
