//! What a proxy speaks.

use std::fmt;

/// What a proxy speaks, and who looks names up.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyScheme {
    /// HTTP over TCP: absolute-form and CONNECT.
    Http,
    /// HTTP over TLS: absolute-form and CONNECT.
    Https,
    /// SOCKS5 (RFC 1928); names are looked up here, and the proxy gets addresses.
    Socks5,
    /// SOCKS5 (RFC 1928); the proxy gets names, and looks them up.
    Socks5h,
}

impl ProxyScheme {
    const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Socks5, Self::Socks5h];

    /// Returns the scheme in lower case, without the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    /// The name in exports.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        self.as_str()
    }

    /// Returns the port that is meant when none is given: 80, 443 or 1080.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }

    /// Says whether it is one of the two kinds of SOCKS5.
    #[must_use]
    pub const fn is_socks(self) -> bool {
        matches!(self, Self::Socks5 | Self::Socks5h)
    }

    /// Reads a scheme without regard to case (RFC 3986 §3.1).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for ProxyScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
