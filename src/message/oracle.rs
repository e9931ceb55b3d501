//! The laws that fuzz targets check about values. Each function panics when its law is broken.

use crate::error::RangeRule;
use crate::message::etag::EntityTag;
use crate::message::fields::{Fields, list_elements};
use crate::message::range::{ContentRange, Partial, Ranges, Splitter, Step, Validator};
use crate::message::weight::{preferences, read_preferences};
use crate::message::{date, quoted};

/// The parts of a response, each with its range, and how they ended.
pub(crate) type PartsRead = (Vec<(ContentRange, Vec<u8>)>, Result<(), RangeRule>);

/// Takes content apart that comes in pieces of the given lengths.
pub(crate) fn take_apart(
    partial: &Partial,
    asked: &Ranges,
    content: &[u8],
    mut piece: impl FnMut() -> usize,
) -> PartsRead {
    let mut splitter = Splitter::new(partial, asked.clone()).expect("it is partial");
    let mut there = splitter.seed().to_vec();
    let (mut rest, mut is_end) = (content, false);
    let mut parts: Vec<(ContentRange, Vec<u8>)> = Vec::new();
    let ended = loop {
        let taken = match splitter.step(&there, is_end) {
            Err(rule) => break Err(rule),
            Ok(Step::End) => break Ok(()),
            Ok(Step::More) => {
                assert!(!is_end, "more than all is wanted");
                let (next, behind) = rest.split_at(piece().min(rest.len()));
                there.extend_from_slice(next);
                (is_end, rest) = (next.is_empty(), behind);
                0
            }
            Ok(Step::Skip(count)) => {
                assert!(count > 0, "nothing is done");
                count
            }
            Ok(Step::PartEnd(count)) => count,
            Ok(Step::Part(count, range, _)) => {
                parts.push((range, Vec::new()));
                count
            }
            Ok(Step::Content(count)) => {
                assert!(count > 0 && splitter.is_inside());
                let part = parts.last_mut().expect("a part has begun");
                part.1.extend_from_slice(&there[..count]);
                splitter.took(count);
                count
            }
        };
        there.drain(..taken);
    };
    (parts, ended)
}

/// Parts come the same in whatever pieces, none is longer than its range, and one that is not the last is as long.
pub fn parts_split(data: &[u8]) {
    let Some((seed, content)) = data.split_first() else {
        return;
    };
    let asked = Ranges::parse(b"bytes=0-9,20-29,1000-").expect("ranges");
    let mut fields = Fields::new();
    fields
        .append("Content-Type", "multipart/byteranges; boundary=x")
        .expect("a field");
    let partial = Partial::judge(Some(&asked), 206, &fields).expect("it is partial");
    let whole = take_apart(&partial, &asked, content, || usize::MAX);
    let mut next = usize::from(*seed);
    let mut some = || {
        next = next.wrapping_mul(167).wrapping_add(13) % 4093;
        1 + next % 7
    };
    for cut in [
        take_apart(&partial, &asked, content, || 1),
        take_apart(&partial, &asked, content, &mut some),
    ] {
        assert_eq!(whole.1, cut.1, "it ends in another way");
        assert!(whole.1.is_err() || whole.0 == cut.0, "other parts");
    }
    let (parts, ended) = whole;
    let is_whole =
        |(range, content): &(ContentRange, Vec<u8>)| range.bytes() == content.len() as u64;
    let complete = parts.len() - usize::from(ended.is_err() && !parts.is_empty());
    assert!(
        parts[..complete].iter().all(is_whole),
        "a part is not whole"
    );
    let total: usize = parts.iter().map(|(_, content)| content.len()).sum();
    assert!(total <= content.len());
}

/// What is read of a field value is written as what reads the same.
pub fn field_values(data: &[u8]) {
    for now in [0, 1_767_225_600] {
        if let Some(moment) = date::parse(data, now) {
            let again = date::write(moment).map(|text| date::parse(text.as_bytes(), now));
            assert!(again.is_none_or(|again| again == Some(moment)));
        }
    }
    if let Some(tag) = EntityTag::parse(data) {
        assert_eq!(tag.as_bytes(), data);
        assert!(tag.matches_weakly(&tag) && tag.matches_strongly(&tag) != tag.is_weak());
    }
    if let Some(validator) = Validator::parse(data) {
        assert_eq!(validator.to_value(), data);
    }
    if let Ok(range) = ContentRange::parse(data) {
        assert_eq!(ContentRange::parse(range.to_string().as_bytes()), Ok(range));
        assert!(range.first() <= range.last());
        assert!(
            range
                .complete()
                .is_none_or(|complete| range.last() < complete)
        );
    }
    if let Some(ranges) = Ranges::parse(data) {
        assert_eq!(
            Ranges::parse(ranges.to_string().as_bytes()),
            Some(ranges.clone())
        );
        if let Ok(ordered) = Ranges::new(ranges.iter()) {
            assert_eq!(Ranges::new(ordered.iter()), Ok(ordered));
        }
    }
    let read: Vec<_> = read_preferences(data).collect();
    assert!(read.len() <= list_elements(data).count());
    if let Ok(text) = std::str::from_utf8(data) {
        let parts = read
            .iter()
            .map(|(part, weight)| (std::str::from_utf8(part), *weight));
        let parts: Option<Vec<_>> = parts
            .map(|(part, weight)| Some((part.ok()?, weight)))
            .collect();
        let parts = parts.expect("what is cut at ASCII stays UTF-8");
        assert!(preferences(parts).len() <= text.len() * 8 + 16);
    }
    if let Some(plain) = quoted::unquote(data) {
        let again = quoted::quote(&plain).expect("no control came through");
        assert_eq!(quoted::unquote(&again).as_deref(), Some(&*plain));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// Replays every file of the seeds of one target.
    fn replay(target: &str, law: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            law(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 10, "{count} seeds in {}", folder.display());
    }

    #[test]
    fn seeds_of_parts_split_hold() {
        replay("parts_split", parts_split);
    }

    #[test]
    fn seeds_of_field_values_hold() {
        replay("field_values", field_values);
    }

    proptest! {
        #[test]
        fn values_hold_for_any_text(text in "(bytes|W/)?[ =\"]?[0-9a,;q.*/=\" -]{0,30}") {
            field_values(text.as_bytes());
        }

        #[test]
        fn values_hold_for_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            field_values(&bytes);
        }

        #[test]
        fn parts_hold_for_any_words(words in proptest::collection::vec(prop_oneof![
            Just("\r\n--x"), Just("--x"), Just("--"), Just("\r\n"), Just("\r"), Just("-"), Just(" "), Just("y"),
            Just("Content-Range: bytes 0-1/2000\r\n\r\n"), Just("Content-Range: bytes 20-20/*\r\n\r\n"),
            Just("a: b\r\n"), Just("zz\r\n--x\r\n"),
        ], 0..14)) {
            parts_split(words.concat().as_bytes());
        }
    }
}
