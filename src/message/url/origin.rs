//! Scheme, host and port: what decides where a connection goes and who may see a credential.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// One of the two schemes there are here (RFC 9110 §4.2).
#[expect(
    clippy::exhaustive_enums,
    reason = "a client of HTTP/1.1 has these two schemes and no third"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`, over TCP.
    Http,
    /// `https`, over TLS.
    Https,
}

impl Scheme {
    /// Returns the port that is meant when none is given: 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Returns the scheme in lower case, without the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Reads a scheme without regard to case (RFC 3986 §3.1).
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host of one of the three kinds a URL can have (RFC 3986 §3.2.2).
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 3986 knows no further kind that can be dialed"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// A name in lower case, to be looked up. A dot at its end is kept: it keeps a resolver from trying
    /// its search list, and makes another host of it.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, and the zone it is valid in if one was given. The zone means something on this
    /// machine only and is never sent (RFC 6874 §4).
    V6(Ipv6Addr, Option<&'a str>),
}

/// Writes the host as in a URL: an IPv6 address in brackets, with its zone.
impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(addr) => write!(f, "{addr}"),
            Self::V6(addr, None) => write!(f, "[{addr}]"),
            Self::V6(addr, Some(zone)) => write!(f, "[{addr}%25{zone}]"),
        }
    }
}

/// Scheme, host and port (RFC 9110 §4.3.1), owned: the key under which connections and credentials are
/// kept.
///
/// Two URLs have equal origins when all three are equal. Names compare in lower case, addresses by value,
/// the port after the default is filled in; a dot at the end of a name and the zone of an address make a
/// difference.
///
/// ```
/// use wirescope::message::url::Url;
///
/// let url = Url::parse("HTTP://Example.com:80/a?b")?;
/// assert_eq!(url.origin(), Url::parse("http://example.com")?.origin());
/// assert_eq!(url.origin().to_string(), "http://example.com");
/// # Ok::<_, wirescope::message::url::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: OwnedHost,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum OwnedHost {
    Name(Box<str>),
    V4(Ipv4Addr),
    V6(Ipv6Addr, Option<Box<str>>),
}

impl Origin {
    pub(super) fn new(scheme: Scheme, host: Host<'_>, port: u16) -> Self {
        let host = match host {
            Host::Name(name) => OwnedHost::Name(name.into()),
            Host::V4(addr) => OwnedHost::V4(addr),
            Host::V6(addr, zone) => OwnedHost::V6(addr, zone.map(Into::into)),
        };
        Self { scheme, host, port }
    }

    /// Returns the scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the host, in lower case if it is a name.
    #[must_use]
    pub fn host(&self) -> Host<'_> {
        match &self.host {
            OwnedHost::Name(name) => Host::Name(name),
            OwnedHost::V4(addr) => Host::V4(*addr),
            OwnedHost::V6(addr, zone) => Host::V6(*addr, zone.as_deref()),
        }
    }

    /// Returns the port, the default one if the URL had none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Writes `scheme://host`, and `:port` when it is not the default (RFC 6454 §6.2).
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host())?;
        if self.port == self.scheme.default_port() {
            return Ok(());
        }
        write!(f, ":{}", self.port)
    }
}
