//! Partial responses taken apart: tables, and that it makes no difference how the bytes come.

use proptest::prelude::*;

use super::*;
use crate::message::oracle::take_apart;

/// The parts as they were read, and how it ended.
type Read = (Vec<(String, String)>, Result<(), RangeRule>);

/// Reads content that comes in pieces of so many bytes.
fn read(partial: &Partial, asked: &str, content: &[u8], piece: usize) -> Read {
    let asked = Ranges::parse(asked.as_bytes()).unwrap();
    let (parts, ended) = take_apart(partial, &asked, content, || piece);
    let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
    let parts = parts.iter();
    let parts = parts.map(|(range, content)| (range.to_string(), text(content)));
    (parts.collect(), ended)
}

fn several(boundary: &str) -> Partial {
    let mut fields = Fields::new();
    let media = format!("multipart/byteranges; boundary=\"{boundary}\"");
    fields.append("Content-Type", &media).unwrap();
    let any = Ranges::parse(b"bytes=0-");
    Partial::judge(any.as_ref(), 206, &fields).unwrap()
}

fn one(range: &str) -> Partial {
    Partial::One(ContentRange::parse(range.as_bytes()).unwrap())
}

/// The example of RFC 9110 §15.3.7.2, with ranges that fit.
const TWO: &str = "--SEP\r\nContent-Type: application/pdf\r\nContent-Range: bytes 0-4/1000\r\n\r\nfirst\r\n\
    --SEP\r\ncontent-range: bytes 500-505/1000\r\n\r\nsecond\r\n--SEP--\r\n";

const ASKED: &str = "bytes=0-4,500-505";

#[test]
fn rfc_d26_each_part_says_its_range() {
    let parts = vec![
        ("bytes 0-4/1000".to_owned(), "first".to_owned()),
        ("bytes 500-505/1000".to_owned(), "second".to_owned()),
    ];
    for content in [
        TWO.to_owned(),
        format!("\r\n{TWO}"),
        format!("\r\n\r\n{TWO}"),
        format!("This is a preamble.\r\n{TWO}an epilogue\r\n"),
        TWO.replace("SEP\r\n", "SEP \t\r\n"),
        TWO.trim_end().to_owned(),
        format!("--SE\r\n--SEx{TWO}").replacen("--SEx--SEP", "--SEx\r\n--SEP", 1),
    ] {
        for piece in 1..=content.len() {
            let read = read(&several("SEP"), ASKED, content.as_bytes(), piece);
            assert_eq!(read, (parts.clone(), Ok(())), "{piece} {content:?}");
        }
    }
}

#[test]
fn rfc_d26_parts_that_lie_are_refused() {
    let check = |from: &str, to: &str, expected: RangeRule| {
        let content = TWO.replacen(from, to, 1);
        assert_ne!(content, TWO, "{from}");
        for piece in [1, 2, 7, 64, 1000] {
            let (_, ended) = read(&several("SEP"), ASKED, content.as_bytes(), piece);
            assert_eq!(ended, Err(expected), "{piece} {content:?}");
        }
    };
    check("first", "firs", RangeRule::Length);
    check("first", "first!", RangeRule::Length);
    check("first", "first\r\n--SEP", RangeRule::PartFields);
    check("first", "\r\n--SEP--", RangeRule::Length);
    check("0-4/1000", "0-3/1000", RangeRule::Length);
    check("0-4/1000", "0-5/1000", RangeRule::NotAsked);
    check("0-4/1000", "4-0/1000", RangeRule::Order);
    check("0-4/1000", "0-4/4", RangeRule::CompleteLength);
    check("500-505/1000", "500-505/1001", RangeRule::CompleteLength);
    check("bytes 0-4", "items 0-4", RangeRule::Unit);
    check("bytes 0-4", "bytes=0-4", RangeRule::Syntax);
    check("Content-Range", "Content-Rang", RangeRule::Missing);
    check(
        "Content-Type: application/pdf",
        "Content-Range: bytes 0-4/1000",
        RangeRule::Several,
    );
    check(
        "Content-Type: application/pdf",
        "Content-Type",
        RangeRule::PartFields,
    );
    check(
        "Content-Type: application/pdf",
        " folded: x",
        RangeRule::PartFields,
    );
    check(
        "Content-Type: application/pdf",
        "a b: c",
        RangeRule::PartFields,
    );
    check(
        "Content-Type: application/pdf",
        "a: b\nc: d",
        RangeRule::PartFields,
    );
    check("--SEP\r\nContent", "--SEPContent", RangeRule::Delimiter);
    check("--SEP\r\nContent", "--SEP\nContent", RangeRule::Delimiter);
    check("--SEP\r\nContent", "--SEP--\r\nContent", RangeRule::Missing);
    check("--SEP--", "--SEP-x", RangeRule::Delimiter);
    check("--SEP--", "--SEP", RangeRule::Cut);
    check(
        "--SEP--",
        "--SEP\r\nContent-Range: bytes 0-0/1000\r\n\r\nx\r\n--SEP--",
        RangeRule::TooManyParts,
    );
    check("\r\n--SEP--\r\n", "", RangeRule::Cut);
}

#[test]
fn rfc_d26_parts_that_are_cut_anywhere_are_cut() {
    let whole = TWO.trim_end();
    for end in 0..whole.len() {
        let (parts, ended) = read(&several("SEP"), ASKED, &whole.as_bytes()[..end], 1000);
        assert_eq!(ended, Err(RangeRule::Cut), "{end}");
        assert!(
            parts
                .iter()
                .all(|(_, content)| "first".starts_with(content) || "second".starts_with(content))
        );
    }
}

#[test]
fn rfc_d26_one_range_is_as_long_as_it_says() {
    let check = |content: &str, expected: Result<(), RangeRule>| {
        for piece in [1, 3, 100] {
            let (parts, ended) = read(&one("bytes 5-9/*"), "bytes=5-9", content.as_bytes(), piece);
            let came = content.get(..5).unwrap_or(content);
            assert_eq!(parts, [("bytes 5-9/*".to_owned(), came.to_owned())]);
            assert_eq!(ended, expected, "{content:?}");
        }
    };
    check("hello", Ok(()));
    check("hell", Err(RangeRule::Cut));
    check("", Err(RangeRule::Cut));
    check("hello!", Err(RangeRule::Length));
}

#[test]
fn rfc_d26_what_stands_around_and_between_is_bounded() {
    let ends = |content: String| read(&several("SEP"), ASKED, content.as_bytes(), 4096).1;
    let long = |bytes: usize| "x".repeat(bytes);
    assert_eq!(ends(format!("{}\r\n{TWO}", long(1000))), Ok(()));
    assert_eq!(
        ends(format!("{}\r\n{TWO}", long(1100))),
        Err(RangeRule::Delimiter)
    );
    assert_eq!(ends(format!("{TWO}{}", long(1000))), Ok(()));
    assert_eq!(
        ends(format!("{TWO}{}", long(1100))),
        Err(RangeRule::Delimiter)
    );
    let padded =
        |bytes: usize| TWO.replacen("--SEP\r\n", &format!("--SEP{}\r\n", " ".repeat(bytes)), 1);
    assert_eq!(ends(padded(64)), Ok(()));
    assert_eq!(ends(padded(65)), Err(RangeRule::Delimiter));
    let typed = |bytes: usize| TWO.replacen("application/pdf", &long(bytes), 1);
    assert_eq!(ends(typed(8000)), Ok(()));
    assert_eq!(ends(typed(9000)), Err(RangeRule::PartFields));
    let lined = |lines: usize| {
        TWO.replacen(
            "Content-Type",
            &format!("{}Content-Type", "a: b\r\n".repeat(lines)),
            1,
        )
    };
    assert_eq!(ends(lined(30)), Ok(()));
    assert_eq!(ends(lined(31)), Err(RangeRule::PartFields));
    for forever in ["x", "\r\n", "\r", "--SEP"] {
        assert!(ends(forever.repeat(100_000)).is_err(), "{forever:?}");
        assert!(
            ends(format!("--SEP\r\n{}", forever.repeat(100_000))).is_err(),
            "{forever:?}"
        );
    }
}

/// What was found to be content stays so: it is not looked at again, or content that is taken byte by byte would be
/// looked at as often as it has bytes.
#[test]
fn content_is_looked_at_once_however_it_is_taken() {
    let asked = Ranges::parse(b"bytes=0-999").unwrap();
    let mut splitter = Splitter::new(&several("SEP"), asked).unwrap();
    let head = b"\r\n--SEP\r\nContent-Range: bytes 0-999/1000\r\n\r\n";
    let mut from = 0;
    while !splitter.is_inside() {
        from += match splitter.step(&head[from..], false).unwrap() {
            Step::Skip(count) | Step::Part(count, ..) => count,
            other => panic!("{other:?}"),
        };
    }
    let mut left = 1000;
    let content = "x".repeat(left);
    assert_eq!(
        splitter.step(content.as_bytes(), false),
        Ok(Step::Content(left))
    );
    // Whoever looked again would find a delimiter.
    let changed = "\r\n--SEP".repeat(left);
    while left > 1 {
        splitter.took(1);
        left -= 1;
        let there = &changed.as_bytes()[..left];
        assert_eq!(splitter.step(there, false), Ok(Step::Content(left)));
    }
    splitter.took(1);
    assert_eq!(
        splitter.step(b"\r\n--SEP--", false),
        Ok(Step::PartEnd(b"\r\n--SEP".len()))
    );
}

#[test]
fn what_is_not_partial_is_not_taken_apart() {
    let asked = || Ranges::parse(b"bytes=0-").unwrap();
    for partial in [
        Partial::Whole,
        Partial::Other,
        Partial::Unsatisfied { complete: None },
    ] {
        let rule = Splitter::new(&partial, asked()).unwrap_err();
        assert_eq!(rule, RangeRule::NotPartial, "{partial:?}");
    }
}

proptest! {
    /// Parts of any bytes read back as they were written, in whatever pieces they come.
    #[test]
    fn rfc_d26_what_is_written_reads_back_in_any_pieces(
        contents in proptest::collection::vec("[x\r\n-]{1,30}", 1..5),
        piece in 1..40_usize,
    ) {
        let (mut written, mut asked, mut expected, mut first) = (String::new(), Vec::new(), Vec::new(), 0);
        for content in contents {
            let last = first + content.len() - 1;
            let range = format!("bytes {first}-{last}/100000");
            written.push_str(&format!("\r\n--SEP\r\nContent-Range: {range}\r\n\r\n{content}"));
            asked.push(format!("{first}-{last}"));
            expected.push((range, content));
            first = last + 200;
        }
        written.push_str("\r\n--SEP--");
        let asked = format!("bytes={}", asked.join(","));
        let read = read(&several("SEP"), &asked, written.as_bytes(), piece);
        prop_assert_eq!(read, (expected, Ok(())));
    }

    /// Whatever comes, it ends the same way in whatever pieces, and what came whole is the same.
    #[test]
    fn rfc_d26_segmentation_makes_no_difference(
        words in proptest::collection::vec(prop_oneof![
            Just("\r\n--a"), Just("--a"), Just("--"), Just("\r\n"), Just("\r"), Just("-"), Just(" "), Just("x"),
            Just("Content-Range: bytes 0-1/9\r\n\r\n"), Just("Content-Range: bytes 4-4/*\r\n\r\n"), Just("a: b\r\n"),
            Just("xy\r\n--a\r\n"),
        ], 0..14),
        piece in 1..30_usize,
    ) {
        let content = words.concat();
        let at_once = read(&several("a"), "bytes=0-1,4-4,6-8", content.as_bytes(), 1 + content.len());
        let pieces = read(&several("a"), "bytes=0-1,4-4,6-8", content.as_bytes(), piece);
        prop_assert_eq!(&at_once.1, &pieces.1, "{:?}", content);
        if at_once.1.is_ok() {
            prop_assert_eq!(at_once, pieces);
        }
    }

    #[test]
    fn rfc_d26_any_bytes_end_in_some_way(content in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..300_usize) {
        read(&several("a"), "bytes=0-", &content, piece).1.unwrap_err();
    }
}
