//! A proxy: what it speaks, where it is, and who one is to it.
//!
//! The rule guarded here: what is a secret is never shown. Neither `Debug` nor `Display`, nor the text of an error,
//! has a user name, a password or the value of a field.

mod scheme;
mod source;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

use crate::error::{Error, FieldError, ProxyRule, UrlError};
use crate::message::credentials::basic;
use crate::message::fields::Fields;
pub use crate::message::proxy::scheme::ProxyScheme;
pub use crate::message::proxy::source::ProxySource;
use crate::message::url::authority::{Authority, HostKind};
use crate::message::url::{Host, MAX_URL_BYTES, percent_decode};

/// Bytes of a user name, and of a password, for a SOCKS proxy: its length is one byte (RFC 1929 §2).
const SOCKS_MAX_BYTES: usize = 255;

/// Fields that a CONNECT may not get from a caller: those that frame it, name its target or belong to the connection
/// (RFC 9110 §7.6.1, RFC 9110 §9.3.6).
const OWNED: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "trailer",
    "te",
    "connection",
    "proxy-connection",
    "keep-alive",
    "upgrade",
    "http2-settings",
    "expect",
];

/// A proxy that requests go through.
///
/// To an `http` or `https` proxy, a request for an `http` URL goes in absolute-form (RFC 9112 §3.2.2), and one for an
/// `https` URL through a tunnel that CONNECT makes (RFC 9110 §9.3.6); to a SOCKS5 proxy, both go through a tunnel
/// (RFC 1928). Two proxies are equal if all of it is, credentials and fields too.
///
/// ```
/// use wirescope::Proxy;
///
/// # fn main() -> Result<(), wirescope::Error> {
/// let proxy = Proxy::parse("http://me:p%40ss@proxy.example:3128")?;
/// assert_eq!((proxy.host(), proxy.port()), ("proxy.example", 3128));
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
///
/// let proxy = Proxy::parse("socks5h://[::1]")?.with_credentials("me", "p@ss")?;
/// assert_eq!(proxy.authority(), "[::1]:1080");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Proxy {
    scheme: ProxyScheme,
    kind: HostKind,
    /// The host in lower case, an address without brackets and zone.
    host: Box<str>,
    zone: Option<Box<str>>,
    port: u16,
    authority: Box<str>,
    credentials: Option<ProxyCredentials>,
    connect_fields: Fields,
    /// Those of them that go with whole requests too.
    request_fields: Fields,
}

/// Who one is to a proxy. A secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProxyCredentials {
    user: Box<[u8]>,
    password: Box<[u8]>,
}

impl Proxy {
    /// Reads `[scheme://][user[:password]@]host[:port][/]`. Without a scheme it is an `http` proxy; without a port it
    /// is 80, 443 or, for SOCKS, 1080. User name and password are percent-decoded, so that they may hold any character;
    /// an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// [`ErrorKind::LocalProxy`](crate::ErrorKind::LocalProxy) with the rule that is broken. It shows nothing of the text but an offset.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_URL_BYTES {
            return Err(ProxyRule::Url(UrlError::TooLong).into());
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (ProxyScheme::parse(scheme).ok_or(ProxyRule::Scheme)?, rest),
            None => (ProxyScheme::Http, text),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let at = text.len() - rest.len();
        let authority = Authority::parse(authority, at).map_err(ProxyRule::Url)?;
        if !matches!(after, "" | "/") {
            return Err(ProxyRule::Path.into());
        }
        let userinfo = authority.userinfo.filter(|text| !text.is_empty());
        let proxy = Self::at(scheme, &authority);
        match userinfo {
            Some(userinfo) => {
                let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
                proxy.known_as(percent_decode(user), percent_decode(password))
            }
            None => Ok(proxy),
        }
    }

    fn at(scheme: ProxyScheme, authority: &Authority<'_>) -> Self {
        let host: Box<str> = match authority.kind {
            HostKind::Name => authority.host.to_ascii_lowercase().into(),
            HostKind::V4(ip) => ip.to_string().into(),
            HostKind::V6(ip) => ip.to_string().into(),
        };
        let port = authority.port.unwrap_or_else(|| scheme.default_port());
        let text = match authority.kind {
            HostKind::Name | HostKind::V4(_) => format!("{host}:{port}"),
            HostKind::V6(_) => format!("[{host}]:{port}"),
        };
        Self {
            scheme,
            kind: authority.kind,
            host,
            zone: authority.zone.map(Into::into),
            port,
            authority: text.into(),
            credentials: None,
            connect_fields: Fields::new(),
            request_fields: Fields::new(),
        }
    }

    /// Sets user name and password, in place of those that were there: by the Basic scheme for `http` and `https`
    /// (RFC 7617), by RFC 1929 for SOCKS. They go to this proxy and nowhere else.
    ///
    /// # Errors
    /// [`ProxyRule::Credentials`] when the user name for an `http` or `https` proxy has a colon, or either a control
    /// character; [`ProxyRule::SocksCredentials`] when either for a SOCKS proxy has not 1 to 255 bytes;
    /// [`ErrorKind::LocalField`](crate::ErrorKind::LocalField) when there is a `Proxy-Authorization` among the fields for CONNECT.
    pub fn with_credentials(self, user: &str, password: &str) -> Result<Self, Error> {
        self.known_as(user.into(), password.into())
    }

    fn known_as(mut self, user: Vec<u8>, password: Vec<u8>) -> Result<Self, Error> {
        let fits = |part: &[u8]| (1..=SOCKS_MAX_BYTES).contains(&part.len());
        if self.scheme.is_socks() && !(fits(&user) && fits(&password)) {
            return Err(ProxyRule::SocksCredentials.into());
        }
        if !self.scheme.is_socks() && basic(&user, &password).is_none() {
            return Err(ProxyRule::Credentials.into());
        }
        if self.connect_fields.contains("proxy-authorization") {
            return Err(refused("Proxy-Authorization", FieldError::Repeated));
        }
        self.credentials = Some(ProxyCredentials {
            user: user.into(),
            password: password.into(),
        });
        Ok(self)
    }

    /// Adds a field that is sent with each CONNECT to this proxy, and with nothing else: never to an origin, and not
    /// with a request in absolute-form. A SOCKS proxy gets no fields.
    ///
    /// # Errors
    /// [`ErrorKind::LocalField`](crate::ErrorKind::LocalField) when it cannot be sent, when it is one that the client writes (`Host`, those that
    /// frame a message, those of the connection), or when it is a second `Proxy-Authorization`.
    pub fn connect_field(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let is = |other: &str| other.eq_ignore_ascii_case(name);
        if OWNED.iter().any(|owned| is(owned)) {
            return Err(refused(name, FieldError::ConnectionOwned));
        }
        let is_known = self.credentials.is_some() || self.connect_fields.contains(name);
        if is("proxy-authorization") && is_known {
            return Err(refused(name, FieldError::Repeated));
        }
        self.connect_fields
            .append(name, value)
            .map_err(|rule| refused(name, rule))?;
        Ok(self)
    }

    /// Adds a field that is sent with whatever is sent to this proxy itself: with each CONNECT, as
    /// [`connect_field`](Self::connect_field), and with each request in absolute-form. **With such a request the proxy
    /// may pass it on to the origin**, unless it is `Proxy-Authorization`, which is for the proxy alone (RFC 9110 §11.7.2).
    /// What goes through a tunnel does not have it. Where a request has a field of that name itself, that one is sent;
    /// `User-Agent` and `Accept` of the client give way to it. Events show it as they show any field of a request.
    ///
    /// # Errors
    /// As [`connect_field`](Self::connect_field).
    pub fn field(self, name: &str, value: &str) -> Result<Self, Error> {
        let mut proxy = self.connect_field(name, value)?;
        proxy
            .request_fields
            .append(name, value)
            .map_err(|rule| refused(name, rule))?;
        Ok(proxy)
    }

    /// What the proxy speaks.
    #[must_use]
    pub fn scheme(&self) -> ProxyScheme {
        self.scheme
    }

    /// The host: a name in lower case, or an address without brackets and without its zone.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, an IPv6 address in brackets and without its zone.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Says whether there are a user name and a password.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The fields that are sent with CONNECT. Their values may be secrets.
    #[must_use]
    pub fn connect_fields(&self) -> &Fields {
        &self.connect_fields
    }

    /// The fields that are sent with requests in absolute-form. Their values may be secrets.
    #[must_use]
    pub fn request_fields(&self) -> &Fields {
        &self.request_fields
    }

    /// The host to be dialed.
    pub(crate) fn dialed(&self) -> Host<'_> {
        match self.kind {
            HostKind::Name => Host::Name(&self.host),
            HostKind::V4(ip) => Host::V4(ip),
            HostKind::V6(ip) => Host::V6(ip, self.zone.as_deref()),
        }
    }

    /// Who one is to the proxy.
    pub(crate) fn credentials(&self) -> Option<&ProxyCredentials> {
        self.credentials.as_ref()
    }

    /// The value of `Proxy-Authorization`, if there are credentials and the proxy speaks HTTP. A secret.
    pub(crate) fn basic(&self) -> Option<String> {
        let credentials = (self.credentials.as_ref()).filter(|_| !self.scheme.is_socks())?;
        basic(&credentials.user, &credentials.password)
    }
}

impl ProxyCredentials {
    /// The user name.
    pub(crate) fn user(&self) -> &[u8] {
        &self.user
    }

    /// The password.
    pub(crate) fn password(&self) -> &[u8] {
        &self.password
    }
}

fn refused(name: &str, rule: FieldError) -> Error {
    Error::from(rule).about(name)
}

/// The lines of the fields, as they are compared: by bytes, as they are sent.
fn lines(fields: &Fields) -> impl Iterator<Item = (&str, &[u8])> {
    fields.iter().map(|line| (line.name(), line.value()))
}

/// By all of it: proxies that differ in a password or a field share no connection.
impl Ord for Proxy {
    fn cmp(&self, other: &Self) -> Ordering {
        let Self {
            scheme,
            host,
            zone,
            port,
            credentials,
            connect_fields,
            request_fields,
            // Both follow from the other parts.
            kind: _,
            authority: _,
        } = self;
        host.cmp(&other.host)
            .then_with(|| port.cmp(&other.port))
            .then_with(|| scheme.cmp(&other.scheme))
            .then_with(|| zone.cmp(&other.zone))
            .then_with(|| credentials.cmp(&other.credentials))
            .then_with(|| lines(connect_fields).cmp(lines(&other.connect_fields)))
            .then_with(|| lines(request_fields).cmp(lines(&other.request_fields)))
    }
}

impl PartialOrd for Proxy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Proxy {}

/// Writes `scheme://host:port`, without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// Shows no credentials, and of fields their names.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("at", &format_args!("{self}"))
            .field("credentials", &self.credentials)
            .field("connect_fields", &self.connect_fields)
            .field("request_fields", &self.request_fields)
            .finish()
    }
}

/// Shows nothing.
impl fmt::Debug for ProxyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
