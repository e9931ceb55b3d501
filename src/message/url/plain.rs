//! Plain URLs, as most are: in their normal form already, with nothing to hide and nothing to judge twice.
//!
//! The rule guarded here: what is read here has the same meaning as by the whole grammar, and what has anything out of
//! the ordinary is left to that. A property test holds the two to each other.

use std::sync::Arc;

use super::authority::kind_of_allowed;
use super::{Front, MAX_URL_BYTES, Parts, Scheme, Url};

/// Reads `scheme://host:port/path?query` in one pass. None if it is not plain: if it has upper
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
    let (host, rest) = split_behind(rest, HOST);
    if host.is_empty() {
        return None;
    }
    let kind = kind_of_allowed(host, 0).ok()?;
    let host_end = text.len().saturating_sub(rest.len());
    let (port, rest) = match rest.strip_prefix(':') {
        Some(rest) => explicit_port(rest, scheme)?,
        None => (scheme.default_port(), rest),
    };
    let authority_end = text.len().saturating_sub(rest.len());
    let (path, query) = split_behind(rest, PATH);
    let is_rooted = matches!(path.as_bytes().first(), Some(b'/'));
    if !is_rooted && !rest.is_empty() {
        return None;
    }
    let is_query = query.is_empty() || query.starts_with('?');
    if !is_query || !split_behind(query, QUERY).1.is_empty() {
        return None;
    }
    let text: Arc<str> = match rest {
        "" => [text, "/"].concat().into(),
        _ => text.into(),
    };
    let end = u32::try_from(text.len()).ok()?;
    let parts = Parts {
        front: Front {
            scheme,
            kind,
            port,
            host: u32::try_from(host_end).ok()?,
            authority: u32::try_from(authority_end).ok()?,
        },
        path: u32::try_from(text.len().saturating_sub(query.len())).ok()?,
        target: end,
        shown: end,
        userinfo: end,
    };
    Some(Url { text, parts })
}

/// Reads a port as it is written in the normal form: without zeros before it, and not the default.
fn explicit_port(text: &str, scheme: Scheme) -> Option<(u16, &str)> {
    let (digits, rest) = split_behind(text, DIGIT);
    let port = digits.parse().ok()?;
    let is_normal = !digits.starts_with('0') && port != scheme.default_port();
    is_normal.then_some((port, rest))
}

/// Splits behind the bytes that are of these kinds.
fn split_behind(text: &str, kinds: u8) -> (&str, &str) {
    let end = text.bytes().position(|byte| !is_of(kinds, byte));
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or((text, ""))
}

/// What a host may have in its normal form: of the grammar of names, all but upper case.
const HOST: u8 = 1;
/// What a path may have (RFC 3986 §3.3), without percent signs.
const PATH: u8 = 2;
/// What a query may have (RFC 3986 §3.4), without percent signs.
const QUERY: u8 = 4;
const DIGIT: u8 = 8;

/// The kinds that each byte is of.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    while byte < 0x7f {
        kinds[byte as usize] = match byte {
            b'0'..=b'9' => HOST | PATH | QUERY | DIGIT,
            b'a'..=b'z' | b'-' | b'.' | b'_' => HOST | PATH | QUERY,
            b'A'..=b'Z' | b'/' | b'~' | b':' | b'@' => PATH | QUERY,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {
                PATH | QUERY
            }
            b'?' => QUERY,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

fn is_of(kinds: u8, byte: u8) -> bool {
    KINDS
        .get(usize::from(byte))
        .is_some_and(|of| of & kinds != 0)
}
