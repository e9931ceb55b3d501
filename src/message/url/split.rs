//! The outer grammar: where the parts of a URL begin and end, and which bytes may stand in them.

use iri_string::spec::UriSpec;
use iri_string::validate;

use super::{MAX_URL_BYTES, Scheme, UrlError};

/// A URL or a reference cut at its delimiters (RFC 3986 appendix B), all but the authority checked.
pub(super) struct Split<'a> {
    pub(super) scheme: Option<Scheme>,
    /// What stands between `//` and the path, and its offset.
    pub(super) authority: Option<(&'a str, usize)>,
    pub(super) path: &'a str,
    pub(super) path_at: usize,
    pub(super) query: Option<&'a str>,
    pub(super) fragment: Option<&'a str>,
}

impl<'a> Split<'a> {
    /// Cuts from the right, so that the authority ends at the first of `/`, `?` and `#` (RFC 3986 §3.2).
    pub(super) fn new(text: &'a str) -> Result<Self, UrlError> {
        check_bytes(text)?;
        let (before, fragment) = cut(text, '#');
        let (hierarchy, query) = cut(before, '?');
        let (scheme, rest) = split_scheme(hierarchy)?;
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let slash = rest.find('/').unwrap_or(rest.len());
                let (authority, path) = rest.split_at(slash);
                (Some((authority, hierarchy.len() - rest.len())), path)
            }
            None => (None, rest),
        };
        let path_at = hierarchy.len() - path.len();
        check_part(path, path_at, validate::path::<UriSpec>)?;
        let query_at = hierarchy.len() + 1;
        check_part(
            query.unwrap_or_default(),
            query_at,
            validate::query::<UriSpec>,
        )?;
        let fragment_at = before.len() + 1;
        check_part(
            fragment.unwrap_or_default(),
            fragment_at,
            validate::fragment::<UriSpec>,
        )?;
        Ok(Self {
            scheme,
            authority,
            path,
            path_at,
            query,
            fragment,
        })
    }
}

fn cut(text: &str, delimiter: char) -> (&str, Option<&str>) {
    match text.split_once(delimiter) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Splits off the scheme and its colon. Without a scheme the first segment of a path may have no colon
/// (RFC 3986 §4.2), so one there belongs to a scheme that is not ours.
fn split_scheme(text: &str) -> Result<(Option<Scheme>, &str), UrlError> {
    match text.split_once(':') {
        Some((before, rest)) if !before.contains('/') => match Scheme::parse(before) {
            Some(scheme) => Ok((Some(scheme), rest)),
            None => Err(UrlError::Scheme),
        },
        _ => Ok((None, text)),
    }
}

/// Refuses what may stand nowhere in a URL.
fn check_bytes(text: &str) -> Result<(), UrlError> {
    if text.len() > MAX_URL_BYTES {
        return Err(UrlError::TooLong);
    }
    let refused = |byte: u8| byte <= b' ' || byte == b'\\' || byte >= 0x7f;
    let Some(offset) = text.bytes().position(refused) else {
        return Ok(());
    };
    Err(match text.as_bytes().get(offset) {
        Some(b'\\') => UrlError::Backslash { offset },
        Some(0x80..) if in_authority(text, offset) => UrlError::NonAsciiHost { offset },
        Some(0x80..) => UrlError::NonAscii { offset },
        _ => UrlError::Control { offset },
    })
}

/// Says whether the offset lies in the authority of a text that has not been cut yet.
fn in_authority(text: &str, offset: usize) -> bool {
    let before = text.get(..offset).unwrap_or_default();
    let open = |part: &str| !part.contains(['/', '?', '#']);
    before.split_once("//").is_some_and(|(scheme, authority)| {
        (scheme.is_empty() || scheme.ends_with(':')) && open(scheme) && open(authority)
    })
}

/// Checks a part by its grammar, and finds what is wrong only when something is.
pub(super) fn check_part(
    part: &str,
    at: usize,
    grammar: fn(&str) -> Result<(), validate::Error>,
) -> Result<(), UrlError> {
    if grammar(part).is_ok() {
        return Ok(());
    }
    let encodes = |index: usize| {
        let digits = part.as_bytes().get(index + 1..index + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let broken = |(index, character): &(usize, char)| match character {
        '%' => !encodes(*index),
        _ => grammar(character.encode_utf8(&mut [0; 4])).is_err(),
    };
    Err(match part.char_indices().find(broken) {
        Some((index, '%')) => UrlError::PercentEncoding { offset: at + index },
        found => UrlError::Character {
            offset: at + found.map_or(0, |(index, _)| index),
        },
    })
}
