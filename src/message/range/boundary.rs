//! What parts the parts of `multipart/byteranges` (RFC 9110 §14.6, RFC 2046 §5.1.1).

use std::fmt;

use crate::message::fields::{is_token_byte, parameters};
use crate::message::quoted::unquote;

/// Most bytes of a boundary.
const BOUNDARY_MAX: usize = 70;

/// A boundary between parts: 1 to 70 bytes that may stand there, the last of them no space.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Boundary(Box<[u8]>);

/// A `Content-Type`, as far as parts go.
pub(super) enum MediaType {
    /// It has parts; none for a boundary that is missing or malformed.
    ByteRanges(Option<Boundary>),
    Other,
}

impl MediaType {
    pub(super) fn parse(value: &[u8]) -> Self {
        let mut pieces = parameters(value);
        let is_parts = pieces
            .next()
            .is_some_and(|media| media.eq_ignore_ascii_case(b"multipart/byteranges"));
        if !is_parts {
            return Self::Other;
        }
        let mut boundaries = pieces.filter_map(|parameter| {
            let equals = parameter.iter().position(|byte| *byte == b'=')?;
            let (name, value) = parameter.split_at(equals);
            let is_boundary = name.eq_ignore_ascii_case(b"boundary");
            is_boundary.then(|| value.get(1..).unwrap_or_default())
        });
        Self::ByteRanges(match (boundaries.next(), boundaries.next()) {
            (Some(boundary), None) => Boundary::parse(boundary),
            _ => None,
        })
    }
}

impl Boundary {
    /// Reads a token or a quoted string.
    fn parse(value: &[u8]) -> Option<Self> {
        let is_token = value
            .iter()
            .all(|byte| is_token_byte(*byte) || is_bare(*byte));
        let boundary = match unquote(value) {
            Some(boundary) => boundary.into_owned(),
            None if is_token => value.to_vec(),
            None => return None,
        };
        let is_boundary = (1..=BOUNDARY_MAX).contains(&boundary.len())
            && boundary.iter().all(|byte| is_boundary_byte(*byte))
            && boundary.last() != Some(&b' ');
        is_boundary.then(|| Self(boundary.into()))
    }

    /// The boundary, without the dashes before it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Says whether a byte may stand in a boundary.
const fn is_boundary_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || is_bare(byte)
        || matches!(byte, b'\'' | b'+' | b'_' | b'-' | b'.' | b' ' | b',')
}

/// Bytes of boundaries that need quotes and are sent without by some servers; none of them ends a parameter.
const fn is_bare(byte: u8) -> bool {
    matches!(byte, b'(' | b')' | b'/' | b':' | b'=' | b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_is_a_token_or_quoted() {
        let check = |value: &str, expected: Option<Option<&str>>| {
            let read = match MediaType::parse(value.as_bytes()) {
                MediaType::ByteRanges(boundary) => {
                    Some(boundary.map(|boundary| String::from_utf8(boundary.0.into()).unwrap()))
                }
                MediaType::Other => None,
            };
            assert_eq!(
                read,
                expected.map(|text| text.map(str::to_owned)),
                "{value:?}"
            );
        };
        let long = "x".repeat(70);
        check(
            "multipart/byteranges; boundary=THIS_STRING",
            Some(Some("THIS_STRING")),
        );
        check("Multipart/ByteRanges;BOUNDARY=\"a b\"", Some(Some("a b")));
        check("multipart/byteranges; boundary=\"a\\b\"", Some(Some("ab")));
        check(
            "multipart/byteranges; x=y; boundary=a:b=c",
            Some(Some("a:b=c")),
        );
        check(
            &format!("multipart/byteranges; boundary={long}"),
            Some(Some(&long)),
        );
        check(
            &format!("multipart/byteranges; boundary={long}x"),
            Some(None),
        );
        for bad in [
            "",
            "; boundary=",
            "; boundary=\"\"",
            "; boundary=\"a \"",
            "; boundary=a b",
            "; boundary=\"a",
            "; boundary=a; boundary=b",
            "; boundary=\"a\u{e4}\"",
            "; boundary=a@b",
            "; boundary=\"a\tb\"",
        ] {
            check(&format!("multipart/byteranges{bad}"), Some(None));
        }
        check("multipart/mixed; boundary=a", None);
        check("multipart/byterangesx; boundary=a", None);
        check("text/plain", None);
        check("", None);
    }
}
