//! What names one state of a representation for sure: a strong validator (RFC 9110 §8.8.1).

use std::fmt;

use crate::message::date;
use crate::message::etag::EntityTag;
use crate::message::fields::Fields;

/// Seconds between the last change and the response, from which on the date of the change counts as strong: two changes
/// within one second would have the same (RFC 9110 §8.8.2.2). RFC 9110 asks for one second and clocks that agree.
const SETTLED: i64 = 60;

/// A strong validator: equal ones name the same octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Validator(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Tag(EntityTag),
    /// When it changed last, in seconds from 1970.
    Changed(i64),
}

impl Validator {
    /// The strong validator of a response: its `ETag`, or without any its `Last-Modified`, if that was at least a minute
    /// before its `Date`. None if the tag is weak or the date is not settled.
    #[must_use]
    pub fn of(fields: &Fields) -> Option<Self> {
        if let Some(tag) = fields.get("etag") {
            let tag = EntityTag::parse(tag).filter(|tag| !tag.is_weak());
            return tag.map(|tag| Self(Kind::Tag(tag)));
        }
        let changed = imf_fixdate(fields.get("last-modified")?)?;
        let made = imf_fixdate(fields.get("date")?)?;
        let is_settled = made.checked_sub(changed)? >= SETTLED;
        is_settled.then_some(Self(Kind::Changed(changed)))
    }

    /// Says whether a response has the same strong validator (RFC 9110 §15.3.7.3).
    #[must_use]
    pub fn is_of(&self, fields: &Fields) -> bool {
        Self::of(fields).as_ref() == Some(self)
    }

    /// Reads the value of an `If-Range` field, which has a strong tag or a date in its one form.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        match EntityTag::parse(value) {
            Some(tag) => (!tag.is_weak()).then_some(Self(Kind::Tag(tag))),
            None => imf_fixdate(value).map(|changed| Self(Kind::Changed(changed))),
        }
    }

    /// As an `If-Range` field has it.
    pub(crate) fn to_value(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Tag(tag) => tag.as_bytes().to_vec(),
            Kind::Changed(changed) => date::write(*changed).unwrap_or_default().into_bytes(),
        }
    }
}

/// As an `If-Range` field has it, bytes from 0x80 escaped.
impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tag(tag) => tag.fmt(f),
            Kind::Changed(changed) => f.write_str(&date::write(*changed).unwrap_or_default()),
        }
    }
}

/// Reads a date in the one form that is to be written, so that it is sent back as it came.
fn imf_fixdate(value: &[u8]) -> Option<i64> {
    let moment = date::parse(value, 0)?;
    let is_same = date::write(moment).is_some_and(|text| text.as_bytes() == value);
    is_same.then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fields;

    const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn rfc_a38_a_validator_is_a_strong_tag_or_a_settled_date_without_a_tag() {
        let check = |lines: &[(&str, &str)], expected: Option<&str>| {
            let validator = Validator::of(&fields(lines));
            let text = validator.as_ref().map(ToString::to_string);
            assert_eq!(text.as_deref(), expected, "{lines:?}");
            if let Some(validator) = validator {
                assert_eq!(Validator::parse(&validator.to_value()), Some(validator));
            }
        };
        let changed = ("Last-Modified", CHANGED);
        let late = ("Date", "Sun, 06 Nov 1994 08:50:37 GMT");
        let early = ("Date", "Sun, 06 Nov 1994 08:50:36 GMT");
        check(&[("ETag", "\"a\"")], Some("\"a\""));
        check(&[("ETag", "\"a\""), changed, late], Some("\"a\""));
        check(&[changed, late], Some(CHANGED));
        check(&[changed, early], None);
        check(&[changed], None);
        check(&[("ETag", "W/\"a\"")], None);
        check(&[("ETag", "W/\"a\""), changed, late], None);
        check(&[("ETag", "a"), changed, late], None);
        check(
            &[("Last-Modified", "Sunday, 06-Nov-94 08:49:37 GMT"), late],
            None,
        );
        check(
            &[("Last-Modified", "Mon, 06 Nov 1994 08:49:37 GMT"), late],
            None,
        );
        check(&[], None);
    }

    #[test]
    fn rfc_d28_validators_are_of_a_response_if_they_are_the_same_and_strong() {
        let tag = Validator::of(&fields(&[("ETag", "\"a\"")])).unwrap();
        assert!(tag.is_of(&fields(&[("etag", "\"a\"")])));
        for other in ["\"A\"", "\"b\"", "W/\"a\"", "a"] {
            assert!(!tag.is_of(&fields(&[("ETag", other)])), "{other}");
        }
        assert!(!tag.is_of(&fields(&[("Last-Modified", CHANGED)])));
        assert!(!tag.is_of(&fields(&[])));
    }

    #[test]
    fn rfc_a38_what_is_no_strong_validator_is_not_sent() {
        for bad in [
            "W/\"a\"",
            "a",
            "",
            "Sun Nov  6 08:49:37 1994",
            "*",
            "\"a\", \"b\"",
        ] {
            assert_eq!(Validator::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
