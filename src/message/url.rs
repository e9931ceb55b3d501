//! URLs of the schemes `http` and `https`, with the bytes of path and query kept as they were given.
//!
//! The rule guarded here: a [`Url`] has one meaning only, and every part of it can be written to the wire
//! as it stands. What two parsers could read in two ways is refused, not repaired; nothing is decoded and
//! encoded again, nothing is stripped.
//!
//! All text lives in one buffer. Its front is what may be shown and sent; what may not, user information
//! and the zone of an address, is kept behind its end:
//!
//! ```text
//! https://host:port/path?query#fragmentuser:password@%25zone
//!         |-------| authority
//!                  |---------| request target
//! |--------------------------| absolute-form
//! |-----------------------------------| as_str
//! ```

pub(crate) mod authority;
mod error;
mod given;
mod origin;
mod plain;
mod split;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use self::authority::{Authority, HostKind};
pub use self::error::UrlError;
pub use self::given::GivenUrl;
pub use self::origin::{Host, Origin, Scheme};
use self::split::Split;

/// Bytes a URL or a reference may have: 64 KiB, eight times what RFC 9110 §4.1 asks for, and little enough
/// that a peer cannot make us hold much by a Location field.
pub const MAX_URL_BYTES: usize = 64 * 1024;

/// A URL of the scheme `http` or `https` (RFC 9110 §4.2), by the grammar of RFC 3986.
///
/// Scheme and host are put in lower case, a port that is the default is left out, and an empty path
/// becomes `/`; path, query and fragment are otherwise kept byte by byte, dot segments and
/// percent-encoding among them. A character that the grammar does not allow there, like `[` in a query, a
/// stray `%` or one outside ASCII, is refused: it may not be sent as it is, and encoding it would rewrite
/// what was asked for. [`encode_stray`] does that for text that people type.
///
/// User information is kept for whoever asks for it by name and shown by neither `Display` nor `Debug`
/// (RFC 9110 §4.2.4). Equality compares everything that is kept, user information too. Cloning allocates
/// nothing: the text is shared.
///
/// ```
/// use wirescope::message::url::{Host, Scheme, Url};
///
/// let url = Url::parse("https://Example.com:8443?q=%7e#top")?;
/// assert_eq!(url.scheme(), Scheme::Https);
/// assert_eq!(url.host(), Host::Name("example.com"));
/// assert_eq!(url.authority(), "example.com:8443");
/// assert_eq!(url.request_target(), "/?q=%7e");
/// assert_eq!(url.fragment(), Some("top"));
/// # Ok::<_, wirescope::message::url::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    text: Arc<str>,
    parts: Parts,
}

/// Where the parts of a URL end in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Parts {
    front: Front,
    /// Ends of the path, of the query, and of the fragment.
    path: u32,
    target: u32,
    shown: u32,
    /// End of the user information and its `@`; the rest of the text is the zone and its `%25`.
    userinfo: u32,
}

/// What is known of the text before the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Front {
    scheme: Scheme,
    kind: HostKind,
    port: u16,
    /// Ends of the host and of the authority.
    host: u32,
    authority: u32,
}

impl Url {
    /// Reads an absolute URL. Costs one allocation if the URL is in its normal form and has nothing but scheme, host,
    /// port, path and query, else two.
    ///
    /// # Errors
    /// The [`UrlError`] of the first rule found broken. A text without a scheme is [`UrlError::Scheme`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        match plain::parse(text) {
            Some(url) => Ok(url),
            None => parse_any(text).map(Self::of),
        }
    }

    fn of((text, parts): (String, Parts)) -> Self {
        Self {
            text: text.into(),
            parts,
        }
    }

    /// Resolves a reference, such as the value of a Location field, against this URL as the target URI
    /// (RFC 3986 §5.2, RFC 9110 §10.2.2).
    ///
    /// A reference without a fragment inherits this URL's. One without an authority keeps this URL's user
    /// information, having the same origin. Dot segments are removed wherever RFC 3986 says so; `%2e` is
    /// not one. Takes linear time.
    ///
    /// # Errors
    /// As [`Url::parse`], with offsets into the reference; and [`UrlError::Userinfo`] when the reference has
    /// user information: whoever wrote it may not choose our credentials (RFC 9110 §4.2.4).
    ///
    /// ```
    /// use wirescope::message::url::Url;
    ///
    /// let target = Url::parse("http://example.com/a/b?c#d")?;
    /// assert_eq!(target.join("../e")?.as_str(), "http://example.com/e#d");
    /// assert_eq!(target.join("//example.org")?.as_str(), "http://example.org/#d");
    /// # Ok::<_, wirescope::message::url::UrlError>(())
    /// ```
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        self.resolve(reference).map(Self::of)
    }

    fn resolve(&self, reference: &str) -> Result<(String, Parts), UrlError> {
        let split = Split::new(reference)?;
        let fragment = split.fragment.or_else(|| self.fragment());
        let mut buffer = String::with_capacity(self.text.len() + reference.len() + 1);
        if let Some((authority, at)) = split.authority {
            let authority = Authority::parse(authority, at)?;
            if authority.userinfo.is_some() {
                return Err(UrlError::Userinfo { offset: at });
            }
            let scheme = split.scheme.unwrap_or_else(|| self.scheme());
            let front = Front::write(&mut buffer, scheme, &authority)?;
            push_resolved(&mut buffer, split.path.split('/').skip(1));
            return finish(buffer, front, split.query, fragment, (None, authority.zone));
        }
        if split.scheme.is_some() {
            return Err(UrlError::EmptyHost {
                offset: split.path_at,
            });
        }
        buffer.push_str(self.span(0, self.parts.front.authority));
        let query = self.push_relative(&mut buffer, &split);
        let hidden = (self.userinfo(), self.zone());
        finish(buffer, self.parts.front, query, fragment, hidden)
    }

    /// Writes the path of a reference that has no authority, and returns the query that goes with it
    /// (RFC 3986 §5.2.2).
    fn push_relative<'a>(&'a self, buffer: &mut String, split: &Split<'a>) -> Option<&'a str> {
        if split.path.is_empty() {
            buffer.push_str(self.path());
            return split.query.or_else(|| self.query());
        }
        if split.path.starts_with('/') {
            push_resolved(buffer, split.path.split('/').skip(1));
        } else {
            let folder = self.path().rsplit_once('/').unwrap_or_default().0;
            let segments = folder.split('/').skip(1).chain(split.path.split('/'));
            push_resolved(buffer, segments);
        }
        split.query
    }

    /// Returns the scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.parts.front.scheme
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> Host<'_> {
        match self.parts.front.kind {
            HostKind::Name => Host::Name(self.host_str()),
            HostKind::V4(addr) => Host::V4(addr),
            HostKind::V6(addr) => Host::V6(addr, self.zone()),
        }
    }

    /// Returns the host as text: a name in lower case or an address, an IPv6 one in brackets and without
    /// its zone.
    #[must_use]
    pub fn host_str(&self) -> &str {
        self.span(self.parts.front.host_start(), self.parts.front.host)
    }

    /// Returns the port, the default of the scheme if none was given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.parts.front.port
    }

    /// Returns the port unless it is the default of the scheme.
    #[must_use]
    pub fn explicit_port(&self) -> Option<u16> {
        Some(self.port()).filter(|port| *port != self.scheme().default_port())
    }

    /// Returns what the Host field holds: the host, and the port unless it is the default. Neither user
    /// information nor a zone is part of it (RFC 9110 §7.2, RFC 9112 §3.2).
    #[must_use]
    pub fn authority(&self) -> &str {
        self.span(self.parts.front.host_start(), self.parts.front.authority)
    }

    /// Returns path and query, which is the request target in origin-form (RFC 9112 §3.2.1).
    #[must_use]
    pub fn request_target(&self) -> &str {
        self.span(self.parts.front.authority, self.parts.target)
    }

    /// Returns scheme, authority, path and query, which is the request target in absolute-form
    /// (RFC 9112 §3.2.2).
    #[must_use]
    pub fn absolute_form(&self) -> &str {
        self.span(0, self.parts.target)
    }

    /// Returns scheme and authority, which is what asks a proxy about a whole server (RFC 9112 §3.2.4).
    pub(crate) fn without_path(&self) -> &str {
        self.span(0, self.parts.front.authority)
    }

    /// Returns the path, which begins with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.span(self.parts.front.authority, self.parts.path)
    }

    /// Returns the query without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.span(self.parts.path, self.parts.target)
            .strip_prefix('?')
    }

    /// Returns the fragment without its hash sign. It is never sent (RFC 9110 §4.2.5).
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.span(self.parts.target, self.parts.shown)
            .strip_prefix('#')
    }

    /// Says whether the URL has user information, be it empty.
    #[must_use]
    pub fn has_userinfo(&self) -> bool {
        self.userinfo().is_some()
    }

    /// Returns the user name, still percent-encoded; see [`percent_decode`].
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        let userinfo = self.userinfo()?;
        Some(userinfo.split_once(':').map_or(userinfo, |(name, _)| name))
    }

    /// Returns the password, still percent-encoded; see [`percent_decode`]. A secret.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        let (_, password) = self.userinfo()?.split_once(':')?;
        Some(password)
    }

    /// Returns scheme, host and port as a value of its own. Costs an allocation if the host is a name.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin::new(self.scheme(), self.host(), self.port())
    }

    /// Says whether both URLs have the same scheme, host and port (RFC 9110 §4.3.1), without allocating.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.scheme(), self.host(), self.port()) == (other.scheme(), other.host(), other.port())
    }

    /// Returns the URL as text, without user information and without the zone of an address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.span(0, self.parts.shown)
    }

    fn userinfo(&self) -> Option<&str> {
        self.span(self.parts.shown, self.parts.userinfo)
            .strip_suffix('@')
    }

    fn zone(&self) -> Option<&str> {
        let hidden = self
            .text
            .get(self.parts.userinfo as usize..)
            .unwrap_or_default();
        hidden.strip_prefix("%25")
    }

    fn span(&self, start: u32, end: u32) -> &str {
        let span = self.text.get(start as usize..end as usize);
        span.unwrap_or_default()
    }
}

/// Reads a URL by the whole grammar.
fn parse_any(text: &str) -> Result<(String, Parts), UrlError> {
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    let split = Split::new(text)?;
    let Some(scheme) = split.scheme else {
        return Err(UrlError::Scheme);
    };
    let Some((authority, at)) = split.authority else {
        return Err(UrlError::EmptyHost {
            offset: split.path_at,
        });
    };
    let authority = Authority::parse(authority, at)?;
    let mut buffer = String::with_capacity(text.len() + 1);
    let front = Front::write(&mut buffer, scheme, &authority)?;
    buffer.push_str(if split.path.is_empty() {
        "/"
    } else {
        split.path
    });
    let hidden = (authority.userinfo, authority.zone);
    finish(buffer, front, split.query, split.fragment, hidden)
}

/// Completes a text that ends with its path.
fn finish(
    mut text: String,
    front: Front,
    query: Option<&str>,
    fragment: Option<&str>,
    (userinfo, zone): (Option<&str>, Option<&str>),
) -> Result<(String, Parts), UrlError> {
    let path = end_of(&text)?;
    push_part(&mut text, "?", query, "");
    let target = end_of(&text)?;
    push_part(&mut text, "#", fragment, "");
    let shown = end_of(&text)?;
    push_part(&mut text, "", userinfo, "@");
    let userinfo = end_of(&text)?;
    push_part(&mut text, "%25", zone, "");
    end_of(&text)?;
    let parts = Parts {
        front,
        path,
        target,
        shown,
        userinfo,
    };
    Ok((text, parts))
}

impl Front {
    /// Writes scheme and authority in their normal form: lower case, no default port.
    fn write(text: &mut String, scheme: Scheme, from: &Authority<'_>) -> Result<Self, UrlError> {
        text.push_str(scheme.as_str());
        text.push_str("://");
        let bracketed = matches!(from.kind, HostKind::V6(_));
        text.push_str(if bracketed { "[" } else { "" });
        text.push_str(from.host);
        text.push_str(if bracketed { "]" } else { "" });
        text.make_ascii_lowercase();
        let host = end_of(text)?;
        let port = from.port.unwrap_or_else(|| scheme.default_port());
        if port != scheme.default_port() {
            // Writing to a String cannot fail.
            let _ = write!(text, ":{port}");
        }
        Ok(Self {
            scheme,
            kind: from.kind,
            port,
            host,
            authority: end_of(text)?,
        })
    }

    fn host_start(self) -> u32 {
        match self.scheme {
            Scheme::Http => 7,
            Scheme::Https => 8,
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Url {
    type Error = UrlError;

    fn try_from(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Url {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        Self::parse(&text)
    }
}

impl TryFrom<&String> for Url {
    type Error = UrlError;

    fn try_from(text: &String) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

/// Shows the URL without user information. A zone is shown, so that two addresses of one machine can be
/// told apart; [`Url::as_str`] is the text without it.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(zone) = self.zone() else {
            return f.write_str(self.as_str());
        };
        let host = self.span(0, self.parts.front.host);
        write!(f, "{}%25{zone}]", host.strip_suffix(']').unwrap_or(host))?;
        f.write_str(self.span(self.parts.front.host, self.parts.shown))
    }
}

/// Shows what `Display` shows: no user information.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url(\"{self}\")")
    }
}

/// Decodes percent-encoding once (RFC 3986 §2.1). The bytes need not be UTF-8; a percent sign that
/// encodes nothing, which no part of a [`Url`] has, stays.
///
/// ```
/// use wirescope::message::url::{Url, percent_decode};
///
/// let url = Url::parse("http://user:p%40ss@example.com/")?;
/// assert_eq!(url.password().map(percent_decode), Some(b"p@ss".to_vec()));
/// # Ok::<_, wirescope::message::url::UrlError>(())
/// ```
#[must_use]
pub fn percent_decode(part: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, after @ ..] = rest {
        let octet = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let octet = octet.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        decoded.push(octet.unwrap_or(*first));
        rest = match octet {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    decoded
}

/// Encodes what people write in a URL and its grammar does not allow, for [`Url::parse`]: behind the
/// authority, characters outside ASCII as UTF-8 (RFC 3987 §3.1), and ``"<>[]^`{|}``. What is encoded already
/// stays, and so does what is refused everywhere: controls, spaces, backslashes.
///
/// ```
/// use wirescope::message::url::{Url, encode_stray};
///
/// let text = encode_stray("http://example.com/é?filter[a]=%7e");
/// assert_eq!(Url::parse(&text)?.request_target(), "/%C3%A9?filter%5Ba%5D=%7e");
/// # Ok::<_, wirescope::message::url::UrlError>(())
/// ```
#[must_use]
pub fn encode_stray(text: &str) -> Cow<'_, str> {
    let is_stray = |byte: u8| byte >= 0x80 || b"\"<>[]^`{|}".contains(&byte);
    let start = authority_end(text);
    let (before, after) = text.split_at_checked(start).unwrap_or((text, ""));
    if !after.bytes().any(is_stray) {
        return Cow::Borrowed(text);
    }
    let mut encoded = before.to_owned();
    for byte in after.bytes() {
        if is_stray(byte) {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        } else {
            encoded.push(char::from(byte));
        }
    }
    Cow::Owned(encoded)
}

/// Where the authority of a reference ends; 0 if it has none.
fn authority_end(reference: &str) -> usize {
    let begins = reference.find("//").filter(|slashes| {
        let scheme = reference.get(..*slashes).unwrap_or_default();
        scheme.is_empty() || (scheme.ends_with(':') && !scheme.contains(['/', '?', '#']))
    });
    begins.map_or(0, |slashes| {
        let authority = slashes + 2;
        let rest = reference.get(authority..).unwrap_or_default();
        authority + rest.find(['/', '?', '#']).unwrap_or(rest.len())
    })
}

/// Appends a path without its dot segments (RFC 3986 §5.2.4).
///
/// A segment is written once and taken back at most once, so the time is linear; the resolver of
/// iri-string takes quadratic time for a long path with a dot segment at its end.
fn push_resolved<'a>(text: &mut String, segments: impl Iterator<Item = &'a str>) {
    let floor = text.len();
    // Whether a slash is due at the end: after a dot segment, and if there is no segment at all.
    let mut open = true;
    for segment in segments {
        open = matches!(segment, "." | "..");
        if !open {
            text.push('/');
            text.push_str(segment);
        } else if segment == ".." {
            let last = text.get(floor..).and_then(|path| path.rfind('/'));
            text.truncate(floor + last.unwrap_or(0));
        }
    }
    if open {
        text.push('/');
    }
}

fn push_part(text: &mut String, before: &str, part: Option<&str>, after: &str) {
    for piece in part.map_or([""; 3], |part| [before, part, after]) {
        text.push_str(piece);
    }
}

/// Returns the length of the text so far, to be remembered as a boundary.
fn end_of(text: &str) -> Result<u32, UrlError> {
    match u32::try_from(text.len()) {
        Ok(end) if text.len() <= MAX_URL_BYTES => Ok(end),
        _ => Err(UrlError::TooLong),
    }
}

#[cfg(test)]
mod tests;
