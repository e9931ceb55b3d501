//! What a partial response says it is: `Content-Range` (RFC 9110 §14.4), read.
//!
//! The rule guarded here: a range that contradicts itself is no range, and no number wraps.

use std::fmt;
use std::ops::RangeInclusive;

use crate::error::RangeRule;
use crate::message::range::asked::number;

/// A range of bytes that came, within its representation. It has at least one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentRange {
    first: u64,
    last: u64,
    complete: Option<u64>,
}

impl ContentRange {
    /// Reads the value of a `Content-Range` field that has a range.
    ///
    /// # Errors
    /// The [`RangeRule`] that is broken.
    ///
    /// ```
    /// use wirescope::error::RangeRule;
    /// use wirescope::message::range::ContentRange;
    ///
    /// let range = ContentRange::parse(b"bytes 42-1233/1234").unwrap();
    /// assert_eq!((range.first(), range.bytes(), range.complete()), (42, 1192, Some(1234)));
    /// assert_eq!(ContentRange::parse(b"bytes 9-8/10"), Err(RangeRule::Order));
    /// ```
    pub fn parse(value: &[u8]) -> Result<Self, RangeRule> {
        let (range, complete) = in_bytes(value)?;
        let dash = range.iter().position(|byte| *byte == b'-');
        let dash = dash.ok_or(RangeRule::Syntax)?;
        let position = |digits: Option<&[u8]>| digits.and_then(number).ok_or(RangeRule::Syntax);
        let first = position(range.get(..dash))?;
        let last = position(range.get(dash + 1..))?;
        let complete = match complete {
            b"*" => None,
            digits => Some(number(digits).ok_or(RangeRule::Syntax)?),
        };
        if last < first {
            return Err(RangeRule::Order);
        }
        // Without a complete length, the last of all positions would not leave room for the length.
        if last == u64::MAX || complete.is_some_and(|complete| complete <= last) {
            return Err(RangeRule::CompleteLength);
        }
        Ok(Self {
            first,
            last,
            complete,
        })
    }

    /// Reads the complete length of what is said to have no such range: `bytes */1234`.
    pub(super) fn unsatisfied(value: &[u8]) -> Result<u64, RangeRule> {
        match in_bytes(value)? {
            (b"*", complete) => number(complete).ok_or(RangeRule::Syntax),
            _ => Err(RangeRule::Syntax),
        }
    }

    /// Position of the first byte.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Position of the last byte.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Both positions.
    #[must_use]
    pub fn positions(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// Length of the range in bytes; at least 1.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Length of the whole representation in bytes, if the server knows it.
    #[must_use]
    pub fn complete(&self) -> Option<u64> {
        self.complete
    }
}

/// As a `Content-Range` field has it.
impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.complete {
            Some(complete) => write!(f, "{complete}"),
            None => f.write_str("*"),
        }
    }
}

/// What stands before the slash, and behind it.
fn in_bytes(value: &[u8]) -> Result<(&[u8], &[u8]), RangeRule> {
    let space = value.iter().position(|byte| *byte == b' ');
    let space = space.ok_or(RangeRule::Syntax)?;
    let (unit, rest) = value.split_at(space);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Err(RangeRule::Unit);
    }
    let rest = rest.get(1..).unwrap_or_default();
    let slash = rest.iter().position(|byte| *byte == b'/');
    let (range, complete) = rest.split_at(slash.ok_or(RangeRule::Syntax)?);
    Ok((range, complete.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_d26_rfc_d27_a_range_that_contradicts_itself_is_none() {
        let check = |value: &str, expected: Result<(u64, u64, Option<u64>), RangeRule>| {
            let read = ContentRange::parse(value.as_bytes());
            let read = read.map(|range| (range.first, range.last, range.complete));
            assert_eq!(read, expected, "{value:?}");
        };
        check("bytes 0-499/1234", Ok((0, 499, Some(1234))));
        check("bytes 734-1233/1234", Ok((734, 1233, Some(1234))));
        check("BYTES 42-42/*", Ok((42, 42, None)));
        check("bytes 00-01/02", Ok((0, 1, Some(2))));
        let most = u64::MAX - 1;
        check(
            &format!("bytes 0-{most}/{}", u64::MAX),
            Ok((0, most, Some(u64::MAX))),
        );
        check("bytes 9-8/10", Err(RangeRule::Order));
        check("bytes 0-9/9", Err(RangeRule::CompleteLength));
        check("bytes 0-0/0", Err(RangeRule::CompleteLength));
        check(
            "bytes 0-18446744073709551615/*",
            Err(RangeRule::CompleteLength),
        );
        check("items 0-9/10", Err(RangeRule::Unit));
        check("byte 0-9/10", Err(RangeRule::Unit));
        for bad in [
            "",
            "bytes",
            "bytes ",
            "bytes 0-9",
            "bytes=0-9/10",
            "bytes 0-9/",
            "bytes -9/10",
            "bytes 0-/10",
            "bytes  0-9/10",
            "bytes 0 - 9/10",
            "bytes 0-9/1x",
            "bytes +0-9/10",
            "bytes */10",
            "bytes 0-18446744073709551616/*",
            "bytes 0-9/18446744073709551616",
            "bytes 0-9/10/11",
            "bytes 0--9/10",
        ] {
            check(bad, Err(RangeRule::Syntax));
        }
    }

    #[test]
    fn what_has_no_such_range_may_say_its_length() {
        let check = |value: &str, expected: Result<u64, RangeRule>| {
            assert_eq!(
                ContentRange::unsatisfied(value.as_bytes()),
                expected,
                "{value:?}"
            );
        };
        check("bytes */1234", Ok(1234));
        check("bytes */0", Ok(0));
        check("items */5", Err(RangeRule::Unit));
        for bad in ["bytes */*", "bytes 0-1/2", "bytes */", "bytes */-1", "*/5"] {
            check(bad, Err(RangeRule::Syntax));
        }
    }

    proptest! {
        #[test]
        fn rfc_d26_what_reads_is_written_the_same(first in any::<u64>(), more in 0..1000_u64, beyond in proptest::option::of(1..1000_u64)) {
            let last = first.saturating_add(more);
            let complete = beyond.map_or_else(|| "*".to_owned(), |beyond| (u128::from(last) + u128::from(beyond)).to_string());
            let text = format!("bytes {first}-{last}/{complete}");
            if let Ok(range) = ContentRange::parse(text.as_bytes()) {
                prop_assert_eq!(range.to_string(), text);
                prop_assert_eq!(range.bytes(), last - first + 1);
            } else {
                prop_assert!(u128::from(last) + u128::from(beyond.unwrap_or(1)) > u128::from(u64::MAX));
            }
        }

        #[test]
        fn rfc_d27_any_bytes_are_read_without_harm(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            text in "bytes [0-9*/ -]{0,24}",
        ) {
            for value in [&bytes[..], text.as_bytes()] {
                let _ = ContentRange::unsatisfied(value);
                if let Ok(range) = ContentRange::parse(value) {
                    prop_assert!(range.first() <= range.last());
                    prop_assert!(range.complete().is_none_or(|complete| complete > range.last()));
                }
            }
        }
    }
}
