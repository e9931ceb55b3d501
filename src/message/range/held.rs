//! What is held of one representation, and what it may be joined with (RFC 9110 §15.3.7.3).

use crate::error::RangeRule;
use crate::message::fields::Fields;
use crate::message::range::{ByteRange, ContentRange, Ranges, Validator};

/// Which bytes of one representation are held. It has no bytes itself, only their positions.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use wirescope::error::RangeRule;
/// use wirescope::message::fields::Fields;
/// use wirescope::message::range::{ContentRange, Held, Validator};
///
/// let mut fields = Fields::new();
/// fields.append("ETag", "\"v1\"")?;
/// let mut held = Held::new(Validator::of(&fields).ok_or("no strong validator")?);
/// held.add(&ContentRange::parse(b"bytes 0-499/1000")?, &fields)?;
/// assert_eq!(held.missing().map(|ranges| ranges.to_string()), Some("bytes=500-".into()));
///
/// fields.set("ETag", "\"v2\"")?;
/// let other = held.add(&ContentRange::parse(b"bytes 500-999/1000")?, &fields);
/// assert_eq!(other, Err(RangeRule::Validator));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    validator: Validator,
    complete: Option<u64>,
    /// First and last positions, apart from each other and in order.
    spans: Vec<(u64, u64)>,
}

impl Held {
    /// Nothing is held of what has this validator.
    #[must_use]
    pub fn new(validator: Validator) -> Self {
        Self {
            validator,
            complete: None,
            spans: Vec::new(),
        }
    }

    /// The validator of what is held, for `If-Range`.
    #[must_use]
    pub fn validator(&self) -> &Validator {
        &self.validator
    }

    /// Takes a range of a response, if it is a part of the same representation. The fields are those of the head, also
    /// for a part of several. What is refused changes nothing.
    ///
    /// # Errors
    /// [`RangeRule::Validator`] if the response has another strong validator, or none;
    /// [`RangeRule::CompleteLength`] if it says another length, or a shorter one than is held.
    pub fn add(&mut self, range: &ContentRange, fields: &Fields) -> Result<(), RangeRule> {
        if !self.validator.is_of(fields) {
            return Err(RangeRule::Validator);
        }
        let complete = self.complete.or_else(|| range.complete());
        let is_other = range
            .complete()
            .is_some_and(|length| complete != Some(length));
        let last = self.spans.last().map_or(0, |(_, last)| *last);
        let is_beyond = complete.is_some_and(|complete| last.max(range.last()) >= complete);
        if is_other || is_beyond {
            return Err(RangeRule::CompleteLength);
        }
        self.complete = complete;
        self.spans.push((range.first(), range.last()));
        self.spans.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.spans.len());
        for (first, last) in self.spans.drain(..) {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        self.spans = joined;
        Ok(())
    }

    /// Says whether every byte is held. False while the complete length is not known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let end = self.complete.and_then(|complete| complete.checked_sub(1));
        matches!((&self.spans[..], end), ([(0, last)], Some(end)) if *last == end)
    }

    /// What is to be asked for next; none if every byte is held. Gaps of less than 80 bytes come along with what is
    /// around them, and of very many gaps all is asked for from the first one on.
    #[must_use]
    pub fn missing(&self) -> Option<Ranges> {
        if self.is_complete() {
            return None;
        }
        let mut missing = Vec::new();
        let mut next = 0;
        for (first, last) in &self.spans {
            if next < *first {
                missing.push(ByteRange::FromTo(next, first - 1));
            }
            next = last.saturating_add(1);
        }
        if self.complete.is_none_or(|complete| next < complete) {
            missing.push(ByteRange::From(next));
        }
        let from_the_first = match missing.first()? {
            ByteRange::FromTo(first, _) | ByteRange::From(first) => ByteRange::From(*first),
            ByteRange::Last(_) => return None,
        };
        Ranges::new(missing)
            .or_else(|_| Ranges::new([from_the_first]))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tagged(tag: &str) -> Fields {
        let mut fields = Fields::new();
        fields.append("ETag", tag).unwrap();
        fields
    }

    fn held() -> Held {
        Held::new(Validator::of(&tagged("\"a\"")).unwrap())
    }

    fn range(text: &str) -> ContentRange {
        ContentRange::parse(format!("bytes {text}").as_bytes()).unwrap()
    }

    fn missing(held: &Held) -> Option<String> {
        held.missing().map(|ranges| ranges.to_string())
    }

    #[test]
    fn rfc_d28_parts_are_joined_only_with_the_same_strong_validator() {
        let mut held = held();
        assert_eq!(missing(&held).as_deref(), Some("bytes=0-"));
        held.add(&range("0-499/1000"), &tagged("\"a\"")).unwrap();
        for other in ["\"b\"", "W/\"a\"", "a"] {
            let result = held.add(&range("500-999/1000"), &tagged(other));
            assert_eq!(result, Err(RangeRule::Validator), "{other}");
        }
        let result = held.add(&range("500-999/1000"), &Fields::new());
        assert_eq!(result, Err(RangeRule::Validator));
        assert_eq!(missing(&held).as_deref(), Some("bytes=500-"));
        held.add(&range("500-999/*"), &tagged("\"a\"")).unwrap();
        assert!(held.is_complete());
        assert_eq!(held.missing(), None);
    }

    #[test]
    fn rfc_d27_parts_of_another_length_are_not_joined() {
        let mut held = held();
        held.add(&range("900-999/*"), &tagged("\"a\"")).unwrap();
        for (text, rule) in [
            ("0-9/999", Err(RangeRule::CompleteLength)),
            ("0-9/1000", Ok(())),
            ("0-9/1001", Err(RangeRule::CompleteLength)),
            ("0-1000/*", Err(RangeRule::CompleteLength)),
        ] {
            let before = held.clone();
            assert_eq!(held.add(&range(text), &tagged("\"a\"")), rule, "{text}");
            assert_eq!(rule.is_err(), held == before, "{text}");
        }
        assert_eq!(missing(&held).as_deref(), Some("bytes=10-899"));
    }

    #[test]
    fn rfc_a39_many_gaps_are_asked_for_as_one() {
        let mut held = held();
        for place in 0..100 {
            let first = place * 1000;
            held.add(&range(&format!("{first}-{first}/*")), &tagged("\"a\""))
                .unwrap();
        }
        assert_eq!(missing(&held).as_deref(), Some("bytes=1-"));
    }

    proptest! {
        #[test]
        fn rfc_d28_what_is_missing_and_what_is_held_make_the_whole(
            spans in proptest::collection::vec((0..1000_u64, 1..300_u64), 0..8)
        ) {
            let mut held = held();
            let mut model = [false; 1300];
            for (first, bytes) in spans {
                let text = format!("{first}-{}/1300", first + bytes - 1);
                held.add(&range(&text), &tagged("\"a\"")).unwrap();
                (first..first + bytes).for_each(|place| model[place as usize] = true);
            }
            prop_assert_eq!(held.is_complete(), model.iter().all(|is_held| *is_held));
            let wanted = |place: u64| held.missing().is_some_and(|ranges| ranges.iter().any(|range| match range {
                ByteRange::FromTo(first, last) => (first..=last).contains(&place),
                ByteRange::From(first) => place >= first,
                ByteRange::Last(_) => false,
            }));
            for (place, is_held) in (0_u64..).zip(model) {
                prop_assert!(is_held || wanted(place), "{}", place);
            }
        }
    }
}
