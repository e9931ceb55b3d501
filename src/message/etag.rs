//! Entity tags (RFC 9110 §8.8.3), read, written and compared.
//!
//! The rule guarded here: what is compared strongly is the same to the octet. A weak tag is never strongly equal, not
//! even to itself.

use std::fmt;

use crate::error::FieldError;

/// An entity tag: a name that a server gave to one state of a representation.
///
/// `==` asks whether two tags are written alike; what a tag says of content is asked by
/// [`matches_strongly`](EntityTag::matches_strongly) and [`matches_weakly`](EntityTag::matches_weakly).
///
/// ```
/// use wirescope::message::etag::EntityTag;
///
/// let strong = EntityTag::parse(b"\"v1\"").unwrap();
/// let weak = EntityTag::parse(b"W/\"v1\"").unwrap();
/// assert!(strong.matches_weakly(&weak) && !strong.matches_strongly(&weak));
/// assert_eq!(EntityTag::parse(b"v1"), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntityTag(Box<[u8]>);

/// What stands before the tag of content that may differ a little (RFC 9110 §8.8.3).
const WEAK: &[u8] = b"W/";

impl EntityTag {
    /// Makes a tag of content that is the same to the octet, from what stands between the quotes.
    ///
    /// # Errors
    /// [`FieldError::ValueByte`] for a quote, a space, a control byte, or one that is not ASCII.
    pub fn strong(opaque: &str) -> Result<Self, FieldError> {
        match opaque
            .bytes()
            .position(|byte| !is_tag_byte(byte) || byte >= 0x80)
        {
            Some(offset) => Err(FieldError::ValueByte { offset }),
            None => Ok(Self(format!("\"{opaque}\"").into_bytes().into())),
        }
    }

    /// Makes a tag of content that means the same, from what stands between the quotes.
    ///
    /// # Errors
    /// As [`EntityTag::strong`].
    pub fn weak(opaque: &str) -> Result<Self, FieldError> {
        let strong = Self::strong(opaque)?;
        Ok(Self([WEAK, &strong.0].concat().into()))
    }

    /// Reads a tag as a field has it. None for what is no tag, to the letter: `W/` is in upper case.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let quoted = value.strip_prefix(WEAK).unwrap_or(value);
        let opaque = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let is_tag = opaque.iter().all(|byte| is_tag_byte(*byte));
        is_tag.then(|| Self(value.into()))
    }

    /// The tag as a field has it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stands between the quotes.
    #[must_use]
    pub fn opaque(&self) -> &[u8] {
        let quoted = self.0.strip_prefix(WEAK).unwrap_or(&self.0);
        quoted.get(1..quoted.len() - 1).unwrap_or_default()
    }

    /// Says whether the tag is weak: content with the same weak tag means the same, and may differ in its octets.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.0.starts_with(WEAK)
    }

    /// Says whether both tags are strong and the same (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn matches_strongly(&self, other: &Self) -> bool {
        !self.is_weak() && self.0 == other.0
    }

    /// Says whether both tags are the same, weak or not (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn matches_weakly(&self, other: &Self) -> bool {
        self.opaque() == other.opaque()
    }
}

/// As a field has it, bytes from 0x80 escaped.
impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            0x80.. => write!(f, "{}", byte.escape_ascii()),
            _ => write!(f, "{}", char::from(*byte)),
        })
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says whether a byte may stand between the quotes; no byte is escaped there.
const fn is_tag_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_is_read_to_the_letter() {
        let check = |value: &[u8], expected: Option<(&[u8], bool)>| {
            let tag = EntityTag::parse(value);
            let read = tag.as_ref().map(|tag| (tag.opaque(), tag.is_weak()));
            assert_eq!(read, expected, "{}", value.escape_ascii());
        };
        check(b"\"\"", Some((b"", false)));
        check(b"\"a\\b\"", Some((b"a\\b", false)));
        check(b"W/\"a,b\"", Some((b"a,b", true)));
        check(b"\"\xff\"", Some((b"\xff", false)));
        for bad in [
            &b""[..],
            b"\"",
            b"a",
            b"w/\"a\"",
            b"W/a",
            b"W/",
            b"\"a\"b\"",
            b"\"a b\"",
            b"\"a\tb\"",
            b"\"a\x7f\"",
            b" \"a\"",
            b"\"a\" ",
            b"W/ \"a\"",
            b"*",
        ] {
            check(bad, None);
        }
    }

    /// The table of RFC 9110 §8.8.3.2.
    #[test]
    fn tags_compare_strongly_and_weakly() {
        let check = |one: &str, other: &str, strongly: bool, weakly: bool| {
            let [one, other] = [one, other].map(|text| EntityTag::parse(text.as_bytes()).unwrap());
            assert_eq!(one.matches_strongly(&other), strongly, "{one} {other}");
            assert_eq!(other.matches_strongly(&one), strongly, "{other} {one}");
            assert_eq!(one.matches_weakly(&other), weakly, "{one} {other}");
            assert_eq!(other.matches_weakly(&one), weakly, "{other} {one}");
        };
        check("W/\"1\"", "W/\"1\"", false, true);
        check("W/\"1\"", "W/\"2\"", false, false);
        check("W/\"1\"", "\"1\"", false, true);
        check("\"1\"", "\"1\"", true, true);
        check("\"a\"", "\"A\"", false, false);
    }

    proptest! {
        #[test]
        fn what_is_made_reads_back(opaque in ".{0,12}") {
            match (EntityTag::strong(&opaque), EntityTag::weak(&opaque)) {
                (Ok(strong), Ok(weak)) => {
                    prop_assert_eq!(EntityTag::parse(strong.as_bytes()), Some(strong.clone()));
                    prop_assert_eq!(EntityTag::parse(weak.as_bytes()), Some(weak.clone()));
                    prop_assert_eq!(strong.opaque(), opaque.as_bytes());
                    prop_assert_eq!(weak.opaque(), opaque.as_bytes());
                    prop_assert!(weak.is_weak() && !strong.is_weak());
                }
                (Err(_), Err(_)) => prop_assert!(opaque.bytes().any(|byte| byte >= 0x80 || !is_tag_byte(byte))),
                _ => prop_assert!(false, "one of two"),
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Some(tag) = EntityTag::parse(&bytes) {
                prop_assert_eq!(tag.as_bytes(), &bytes[..]);
                prop_assert!(tag.opaque().len() <= bytes.len());
            }
        }
    }
}
