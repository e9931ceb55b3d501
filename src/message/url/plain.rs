//! Plain URLs, as most are: in their normal form already, with nothing to hide and nothing to judge twice.
//!
//! The rule guarded here: what is read here has the same meaning as by the whole grammar, and what has anything out of
//! the ordinary is left to that. A property test holds the two to each other.

use super::authority::host_kind;
use super::{Front, MAX_URL_BYTES, Scheme, Url};

/// Reads `scheme://host:port/path?query` in one pass and with one allocation. None if it is not plain: if it has upper
/// case before the path, user information, brackets, a default port, a percent sign, a fragment, or a fault.
pub(super) fn parse(text: &str) -> Option<Url> {
    let (scheme, rest) = match text.strip_prefix("http://") {
        Some(rest) => (Scheme::Http, rest),
        None => (Scheme::Https, text.strip_prefix("https://")?),
    };
    // The normal form may have one byte more, the slash of an empty path.
    if text.len() >= MAX_URL_BYTES {
        return None;
    }
    let (host, rest) = split_while(rest, is_host_byte);
    let kind = host_kind(host, 0).ok()?;
    let host_end = text.len().saturating_sub(rest.len());
    let (port, rest) = match rest.strip_prefix(':') {
        Some(rest) => explicit_port(rest, scheme)?,
        None => (scheme.default_port(), rest),
    };
    let authority_end = text.len().saturating_sub(rest.len());
    let (path, query) = split_while(rest, is_path_byte);
    let is_rooted = matches!(path.as_bytes().first(), Some(b'/'));
    if !is_rooted && !rest.is_empty() {
        return None;
    }
    let is_query = |byte: &u8| *byte == b'?' || is_path_byte(*byte);
    if !(query.is_empty() || query.starts_with('?')) || !query.as_bytes().iter().all(is_query) {
        return None;
    }
    let mut kept = String::with_capacity(text.len().saturating_add(1));
    kept.push_str(text);
    if rest.is_empty() {
        kept.push('/');
    }
    let end = u32::try_from(kept.len()).ok()?;
    Some(Url {
        front: Front {
            scheme,
            kind,
            port,
            host: u32::try_from(host_end).ok()?,
            authority: u32::try_from(authority_end).ok()?,
        },
        path: u32::try_from(kept.len().saturating_sub(query.len())).ok()?,
        target: end,
        shown: end,
        userinfo: end,
        text: kept,
    })
}

/// Reads a port as it is written in the normal form: without zeros before it, and not the default.
fn explicit_port(text: &str, scheme: Scheme) -> Option<(u16, &str)> {
    let (digits, rest) = split_while(text, |byte| byte.is_ascii_digit());
    let port = digits.parse().ok()?;
    let is_normal = !digits.starts_with('0') && port != scheme.default_port();
    is_normal.then_some((port, rest))
}

/// Splits behind the bytes that are of a kind.
fn split_while(text: &str, is_of_kind: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !is_of_kind(byte));
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or((text, ""))
}

/// What a host may have in its normal form; of the grammar of names, without upper case.
fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_')
}

/// What a path may have (RFC 3986 §3.3), without percent signs.
fn is_path_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/' | b'-' | b'.' | b'_' | b'~'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
            | b':' | b'@'
    )
}
