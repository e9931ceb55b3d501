//! The ranges that a request asks for (RFC 9110 §14.2).
//!
//! The rule guarded here: they ascend, none is asked for twice, and what costs less as one is one.

use std::fmt;
use std::ops::{Range, RangeFrom, RangeInclusive, RangeToInclusive};

use crate::error::RequestRule;
use crate::message::fields::list_elements;
use crate::message::range::ContentRange;

/// Ranges that one request asks for at most. Servers refuse many, and nobody needs them.
const RANGES_MAX: usize = 64;

/// Bytes that a part of its own costs at least; a smaller gap between two ranges is fetched along (RFC 9110 §14.2).
const PART_OVERHEAD: u64 = 80;

/// One range of bytes, counted from 0. Made of Rust's ranges too: `0..=499`, `0..500`, `500..`, `..=499`.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteRange {
    /// From one byte to another, that included.
    FromTo(u64, u64),
    /// From one byte to the end.
    From(u64),
    /// So many bytes at the end.
    Last(u64),
}

impl From<RangeInclusive<u64>> for ByteRange {
    fn from(range: RangeInclusive<u64>) -> Self {
        Self::FromTo(*range.start(), *range.end())
    }
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        match range.end.checked_sub(1) {
            Some(last) => Self::FromTo(range.start, last),
            // Backwards, and so refused when it is asked for.
            None => Self::FromTo(1, 0),
        }
    }
}

impl From<RangeFrom<u64>> for ByteRange {
    fn from(range: RangeFrom<u64>) -> Self {
        Self::From(range.start)
    }
}

impl From<RangeToInclusive<u64>> for ByteRange {
    fn from(range: RangeToInclusive<u64>) -> Self {
        Self::FromTo(0, range.end)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromTo(first, last) => write!(f, "{first}-{last}"),
            Self::From(first) => write!(f, "{first}-"),
            Self::Last(bytes) => write!(f, "-{bytes}"),
        }
    }
}

impl ByteRange {
    /// Reads `0-499`, `500-` or `-500`.
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (text.get(..dash)?, text.get(dash + 1..)?);
        match (first.is_empty(), last.is_empty()) {
            (false, false) => Some(Self::FromTo(number(first)?, number(last)?)),
            (false, true) => Some(Self::From(number(first)?)),
            (true, false) => Some(Self::Last(number(last)?)),
            (true, true) => None,
        }
    }

    fn is_empty(self) -> bool {
        match self {
            Self::FromTo(first, last) => last < first,
            Self::From(_) => false,
            Self::Last(bytes) => bytes == 0,
        }
    }

    /// First and last position within a representation, if its length is known or not needed.
    fn within(self, complete: Option<u64>) -> Option<(u64, u64)> {
        let end = complete.map_or(u64::MAX, |complete| complete.saturating_sub(1));
        match (self, complete) {
            (Self::FromTo(first, last), _) => Some((first, last)),
            (Self::From(first), _) => Some((first, end)),
            (Self::Last(bytes), Some(complete)) => Some((complete.saturating_sub(bytes), end)),
            (Self::Last(_), None) => None,
        }
    }
}

/// A decimal number without a sign, of 64 bits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What one request asks for: one range or several, in order.
///
/// Ranges that overlap, touch, or leave a gap of less than 80 bytes are asked for as one, because a part of its own
/// costs more (RFC 9110 §14.2). A server may do the same with those that are left, or answer with fewer, so look at
/// what each part says it is.
///
/// ```
/// # fn main() -> Result<(), wirescope::Error> {
/// use wirescope::message::range::{ByteRange, Ranges};
///
/// let ranges = Ranges::new([1000..=1999, 0..=499, 500..=600])?;
/// assert_eq!(ranges.to_string(), "bytes=0-600,1000-1999");
/// assert_eq!(Ranges::new([ByteRange::Last(500)])?.to_string(), "bytes=-500");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ranges(Vec<ByteRange>);

impl Ranges {
    /// Puts ranges in order.
    ///
    /// # Errors
    /// [`RequestRule::Ranges`] when there is none, one is empty or ends before it begins, or more than 64 are left.
    pub fn new(
        ranges: impl IntoIterator<Item = impl Into<ByteRange>>,
    ) -> Result<Self, RequestRule> {
        let mut open: Vec<(u64, Option<u64>)> = Vec::new();
        let mut suffix = None;
        for range in ranges {
            let range = range.into();
            if range.is_empty() {
                return Err(RequestRule::Ranges);
            }
            match range {
                ByteRange::FromTo(first, last) => open.push((first, Some(last))),
                ByteRange::From(first) => open.push((first, None)),
                ByteRange::Last(bytes) => suffix = suffix.max(Some(bytes)),
            }
        }
        open.sort_unstable();
        let mut ranges: Vec<_> = joined(open).collect();
        ranges.extend(suffix.map(ByteRange::Last));
        if ranges.is_empty() || ranges.len() > RANGES_MAX {
            return Err(RequestRule::Ranges);
        }
        Ok(Self(ranges))
    }

    /// Reads the value of a `Range` field as it was written, in its own order; none for another unit, and for what is
    /// not its syntax.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let equals = value.iter().position(|byte| *byte == b'=')?;
        let is_bytes = value.get(..equals)?.eq_ignore_ascii_case(b"bytes");
        let set = value.get(equals + 1..).filter(|_| is_bytes)?;
        let ranges = list_elements(set).map(ByteRange::parse);
        let ranges: Vec<_> = ranges.collect::<Option<_>>()?;
        let is_set = !ranges.is_empty() && !ranges.iter().any(|range| range.is_empty());
        is_set.then_some(Self(ranges))
    }

    /// The ranges, in the order in which they are asked for.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ByteRange> + '_ {
        self.0.iter().copied()
    }

    /// Says whether a range that came can be an answer: it begins and ends within what was asked for. A server may send
    /// less, and may send what lies between two ranges along (RFC 9110 §15.3.7).
    pub(crate) fn cover(&self, range: &ContentRange) -> bool {
        let spans = || {
            let within = |asked: &ByteRange| asked.within(range.complete());
            self.0.iter().filter_map(within)
        };
        // What was asked for of an end that nobody knows cannot be judged.
        let is_unknown = spans().count() < self.0.len();
        let has = |position: u64| spans().any(|(first, last)| (first..=last).contains(&position));
        is_unknown || (has(range.first()) && has(range.last()))
    }
}

/// Joins what is cheaper as one; in order of their first bytes.
fn joined(sorted: Vec<(u64, Option<u64>)>) -> impl Iterator<Item = ByteRange> {
    let mut joined: Vec<(u64, Option<u64>)> = Vec::new();
    for (first, last) in sorted {
        let is_near = |end: u64| first <= end.saturating_add(PART_OVERHEAD);
        match joined.last_mut() {
            Some((_, end)) if end.is_none_or(is_near) => {
                let both = end.zip(last);
                *end = both.map(|(end, last)| end.max(last));
            }
            _ => joined.push((first, last)),
        }
    }
    joined.into_iter().map(|range| match range {
        (first, Some(last)) => ByteRange::FromTo(first, last),
        (first, None) => ByteRange::From(first),
    })
}

/// As a `Range` field has it.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes=")?;
        for (index, range) in self.0.iter().enumerate() {
            write!(f, "{}{range}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(ranges: &[ByteRange]) -> Result<String, RequestRule> {
        Ranges::new(ranges.iter().copied()).map(|ranges| ranges.to_string())
    }

    #[test]
    fn rfc_a39_ranges_ascend_and_what_costs_less_as_one_is_one() {
        use ByteRange::{From, FromTo, Last};
        let check = |ranges: &[ByteRange], expected: &str| {
            assert_eq!(written(ranges).as_deref(), Ok(expected), "{ranges:?}");
        };
        check(&[FromTo(0, 499)], "bytes=0-499");
        check(&[FromTo(0, 0)], "bytes=0-0");
        check(&[From(500)], "bytes=500-");
        check(&[Last(500)], "bytes=-500");
        check(
            &[FromTo(9000, 9999), FromTo(0, 499)],
            "bytes=0-499,9000-9999",
        );
        check(&[FromTo(0, 499), FromTo(500, 600)], "bytes=0-600");
        check(&[FromTo(0, 499), FromTo(200, 300)], "bytes=0-499");
        check(&[FromTo(0, 9), FromTo(89, 99)], "bytes=0-99");
        check(&[FromTo(0, 9), FromTo(90, 99)], "bytes=0-9,90-99");
        check(
            &[From(500), FromTo(600, 700), FromTo(0, 9)],
            "bytes=0-9,500-",
        );
        check(&[FromTo(0, 499), From(300)], "bytes=0-");
        check(&[Last(5), FromTo(0, 9), Last(50)], "bytes=0-9,-50");
        check(
            &[FromTo(0, u64::MAX), FromTo(u64::MAX, u64::MAX)],
            "bytes=0-18446744073709551615",
        );
    }

    #[test]
    fn rfc_a39_what_cannot_be_asked_for_is_refused() {
        use ByteRange::{FromTo, Last};
        let many: Vec<_> = (0..65_u64)
            .map(|place| FromTo(place * 100, place * 100))
            .collect();
        for ranges in [
            &[][..],
            &[FromTo(1, 0)],
            &[Last(0)],
            &[FromTo(0, 9), FromTo(9, 8)],
            &many,
        ] {
            assert_eq!(written(ranges), Err(RequestRule::Ranges), "{ranges:?}");
        }
        assert!(written(&many[1..]).is_ok());
        assert_eq!(Ranges::new(std::iter::once(0..0)), Err(RequestRule::Ranges));
        assert_eq!(Ranges::new(std::iter::once(5..5)), Err(RequestRule::Ranges));
        assert_eq!(
            Ranges::new(std::iter::once(0..1)).unwrap().to_string(),
            "bytes=0-0"
        );
        assert_eq!(Ranges::new([..=9]).unwrap().to_string(), "bytes=0-9");
    }

    #[test]
    fn a_field_is_read_in_its_own_order() {
        let check = |value: &str, expected: Option<&str>| {
            let read = Ranges::parse(value.as_bytes()).map(|ranges| ranges.to_string());
            assert_eq!(read.as_deref(), expected, "{value:?}");
        };
        check("bytes=0-499", Some("bytes=0-499"));
        check("Bytes=9-, 0-1 ,,-5", Some("bytes=9-,0-1,-5"));
        for bad in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-0",
            "bytes=-0",
            "items=0-1",
            "0-1",
            "bytes=0--1",
            "bytes=0-1 2",
            "bytes=18446744073709551616-",
        ] {
            check(bad, None);
        }
    }

    /// The bytes of a small representation that ranges name.
    fn bytes(ranges: &[ByteRange], complete: u64) -> Vec<bool> {
        let within = |position: u64| {
            ranges.iter().any(|range| match *range {
                ByteRange::FromTo(first, last) => (first..=last).contains(&position),
                ByteRange::From(first) => position >= first,
                ByteRange::Last(bytes) => position + bytes >= complete,
            })
        };
        (0..complete).map(within).collect()
    }

    fn some_range() -> impl Strategy<Value = ByteRange> {
        prop_oneof![
            (0..900_u64, 0..300_u64)
                .prop_map(|(first, more)| ByteRange::FromTo(first, first + more)),
            (0..900_u64).prop_map(ByteRange::From),
            (1..300_u64).prop_map(ByteRange::Last),
        ]
    }

    proptest! {
        #[test]
        fn rfc_a39_all_that_was_wished_for_is_asked_for_and_little_else(
            wished in proptest::collection::vec(some_range(), 1..8)
        ) {
            let asked = Ranges::new(wished.iter().copied()).unwrap();
            prop_assert_eq!(Ranges::parse(asked.to_string().as_bytes()), Some(asked.clone()));
            let firsts: Vec<_> = asked.iter().filter_map(|range| range.within(None)).collect();
            prop_assert!(firsts.windows(2).all(|two| two[0].1.saturating_add(PART_OVERHEAD) < two[1].0));
            let (wished, asked) = (bytes(&wished, 1200), bytes(&asked.0, 1200));
            prop_assert!(wished.iter().zip(&asked).all(|(wished, asked)| *asked || !wished));
            let extra = wished.iter().zip(&asked).filter(|(wished, asked)| **asked && !**wished).count() as u64;
            prop_assert!(extra < 8 * PART_OVERHEAD);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in "bytes=[0-9, -]{0,24}") {
            let _ = Ranges::parse(&bytes);
            if let Some(ranges) = Ranges::parse(text.as_bytes()) {
                prop_assert_eq!(Ranges::parse(ranges.to_string().as_bytes()), Some(ranges));
            }
        }
    }
}
