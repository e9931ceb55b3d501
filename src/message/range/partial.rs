//! What a response to a request for ranges is (RFC 9110 §15.3.7).

use crate::error::RangeRule;
use crate::message::fields::Fields;
use crate::message::range::boundary::MediaType;
use crate::message::range::{Boundary, ContentRange, Ranges};

/// What a response is to whoever asked for ranges.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partial {
    /// 206: the content is this range.
    One(ContentRange),
    /// 206: the content is several parts, each of which says its range.
    Several(Boundary),
    /// 200: the content is the whole representation. The server heeds no ranges, or `If-Range` said that it changed.
    Whole,
    /// 416: there is nothing at any of the ranges.
    Unsatisfied {
        /// Length of the whole representation in bytes, if the server says it.
        complete: Option<u64>,
    },
    /// Another status, which has nothing to do with ranges.
    Other,
}

impl Partial {
    /// Judges a response by its status and its fields. Without ranges that were asked for, none is right.
    ///
    /// # Errors
    /// The [`RangeRule`] that a 206 breaks. A 416 with a malformed `Content-Range` is one that does not say the length.
    pub fn judge(asked: Option<&Ranges>, status: u16, fields: &Fields) -> Result<Self, RangeRule> {
        match status {
            200 => Ok(Self::Whole),
            206 => partial(asked.ok_or(RangeRule::NotAsked)?, fields),
            416 => Ok(Self::Unsatisfied {
                complete: complete(fields),
            }),
            _ => Ok(Self::Other),
        }
    }
}

fn partial(asked: &Ranges, fields: &Fields) -> Result<Partial, RangeRule> {
    let media = fields
        .get("content-type")
        .map_or(MediaType::Other, MediaType::parse);
    match (media, fields.contains("content-range")) {
        (MediaType::ByteRanges(_), true) => Err(RangeRule::Several),
        (MediaType::ByteRanges(None), false) => Err(RangeRule::Boundary),
        (MediaType::ByteRanges(Some(boundary)), false) => Ok(Partial::Several(boundary)),
        (MediaType::Other, _) => {
            let range = range_of(asked, fields)?;
            match length(fields) {
                Some(length) if length != range.bytes() => Err(RangeRule::Length),
                _ => Ok(Partial::One(range)),
            }
        }
    }
}

/// The range that fields say, if it was asked for.
pub(super) fn range_of(asked: &Ranges, fields: &Fields) -> Result<ContentRange, RangeRule> {
    let mut values = fields.get_all("content-range");
    let value = values.next().ok_or(RangeRule::Missing)?;
    if values.next().is_some() {
        return Err(RangeRule::Several);
    }
    let range = ContentRange::parse(value)?;
    if asked.cover(&range) {
        Ok(range)
    } else {
        Err(RangeRule::NotAsked)
    }
}

/// The length of the content, where `Content-Length` decides on it.
fn length(fields: &Fields) -> Option<u64> {
    if fields.contains("transfer-encoding") {
        return None;
    }
    fields.get_str("content-length")?.parse().ok()
}

fn complete(fields: &Fields) -> Option<u64> {
    let value = fields.get("content-range")?;
    ContentRange::unsatisfied(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fields;

    fn judged(asked: &str, status: u16, lines: &[(&str, &str)]) -> Result<Partial, RangeRule> {
        let asked = Ranges::parse(asked.as_bytes());
        Partial::judge(asked.as_ref(), status, &fields(lines))
    }

    fn range(value: &str) -> Result<Partial, RangeRule> {
        ContentRange::parse(value.as_bytes()).map(Partial::One)
    }

    #[test]
    fn rfc_d26_rfc_d27_a_206_is_a_range_that_was_asked_for() {
        let check = |asked: &str, value: &str, expected: Result<(), RangeRule>| {
            let judged = judged(asked, 206, &[("Content-Range", value)]);
            assert_eq!(
                judged,
                expected.and_then(|()| range(value)),
                "{asked} {value}"
            );
        };
        check("bytes=0-499", "bytes 0-499/1000", Ok(()));
        check("bytes=0-499", "bytes 0-9/10", Ok(()));
        check("bytes=0-499", "bytes 100-199/1000", Ok(()));
        check("bytes=500-", "bytes 500-999/1000", Ok(()));
        check("bytes=500-", "bytes 500-999/*", Ok(()));
        check("bytes=-500", "bytes 500-999/1000", Ok(()));
        check("bytes=-500", "bytes 0-99/100", Ok(()));
        check("bytes=-500", "bytes 5-9/*", Ok(()));
        check("bytes=0-9,100-109", "bytes 0-109/1000", Ok(()));
        check("bytes=0-9,100-109", "bytes 100-109/1000", Ok(()));
        check("bytes=0-499", "bytes 0-500/1000", Err(RangeRule::NotAsked));
        check("bytes=500-", "bytes 0-999/1000", Err(RangeRule::NotAsked));
        check("bytes=500-", "bytes 499-999/1000", Err(RangeRule::NotAsked));
        check("bytes=-500", "bytes 499-999/1000", Err(RangeRule::NotAsked));
        check(
            "bytes=0-9,100-109",
            "bytes 50-109/1000",
            Err(RangeRule::NotAsked),
        );
        check("items=0-9", "bytes 0-9/10", Err(RangeRule::NotAsked));
        check("bytes=0-9", "items 0-9/10", Err(RangeRule::Unit));
        check("bytes=0-9", "bytes 9-0/10", Err(RangeRule::Order));
        check("bytes=0-9", "bytes 0-9/5", Err(RangeRule::CompleteLength));
        check("bytes=0-9", "bytes */5", Err(RangeRule::Syntax));
    }

    #[test]
    fn rfc_d26_one_field_says_which_part_it_is() {
        let check = |lines: &[(&str, &str)], expected: RangeRule| {
            assert_eq!(judged("bytes=0-9", 206, lines), Err(expected), "{lines:?}");
        };
        let range = ("Content-Range", "bytes 0-9/10");
        let parts = ("Content-Type", "multipart/byteranges; boundary=x");
        check(&[], RangeRule::Missing);
        check(&[("Content-Type", "text/plain")], RangeRule::Missing);
        check(&[range, range], RangeRule::Several);
        check(&[range, parts], RangeRule::Several);
        check(
            &[("Content-Type", "multipart/byteranges")],
            RangeRule::Boundary,
        );
        assert!(matches!(
            judged("bytes=0-9", 206, &[parts]),
            Ok(Partial::Several(_))
        ));
    }

    #[test]
    fn rfc_d26_the_length_of_the_content_is_that_of_the_range() {
        let check = |name: &str, value: &str, is_right: bool| {
            let judged = judged(
                "bytes=0-9",
                206,
                &[("Content-Range", "bytes 0-9/10"), (name, value)],
            );
            assert_eq!(judged.is_ok(), is_right, "{name}: {value}");
        };
        check("Content-Length", "10", true);
        check("Content-Length", "9", false);
        check("Content-Length", "11", false);
        check("Transfer-Encoding", "chunked", true);
    }

    #[test]
    fn rfc_d26_other_statuses_are_no_parts() {
        assert_eq!(judged("bytes=0-9", 200, &[]), Ok(Partial::Whole));
        assert_eq!(judged("bytes=0-9", 404, &[]), Ok(Partial::Other));
        let check = |value: &str, complete: Option<u64>| {
            let judged = judged("bytes=0-9", 416, &[("Content-Range", value)]);
            assert_eq!(judged, Ok(Partial::Unsatisfied { complete }), "{value}");
        };
        check("bytes */1234", Some(1234));
        check("bytes */*", None);
        check("items */1234", None);
        check("bytes 0-9/10", None);
    }
}
