use proptest::prelude::*;

use super::*;
use crate::proto::oracle::{BodyEnd, BodyOutcome, chunked_roundtrip, chunked_split, feed_chunked};
use crate::proto::section::tests::work_of;

const ALL: usize = usize::MAX >> 1;

/// Decodes under every segmentation that matters and insists on one outcome.
fn decode_with(input: &[u8], limits: &Limits, strictness: Strictness) -> BodyOutcome {
    let whole = feed_chunked(input, limits, strictness, || ALL, false);
    for size in 1..4 {
        for direct in [false, true] {
            let cut = feed_chunked(input, limits, strictness, || size, direct);
            assert_eq!(whole, cut, "in pieces of {size}: {}", input.escape_ascii());
        }
    }
    whole
}

fn decode(input: &[u8]) -> BodyOutcome {
    decode_with(input, &Limits::default(), Strictness::Normal)
}

/// Checks that the whole input is one body with this content and no trailers.
fn check(input: &str, content: &str) {
    let (decoded, end) = decode(input.as_bytes());
    assert_eq!(decoded, content.as_bytes(), "{input:?}");
    let complete = BodyEnd::Complete(input.len(), Fields::new(), Anomalies::default());
    assert_eq!(end, complete, "{input:?}");
}

/// Checks a fault, and the content that came before it.
fn check_refused(input: impl AsRef<[u8]>, content: &str, rule: ChunkRule, offset: u64) {
    let input = input.as_ref();
    let (decoded, end) = decode(input);
    let fault = BodyEnd::Fault(ChunkFault::Chunk { rule, offset });
    assert_eq!(end, fault, "{}", input.escape_ascii());
    assert_eq!(decoded, content.as_bytes(), "{}", input.escape_ascii());
}

fn trailers_of(input: &[u8], strictness: Strictness) -> Result<(Fields, Anomalies), ChunkFault> {
    match decode_with(input, &Limits::default(), strictness).1 {
        BodyEnd::Complete(_, trailers, anomalies) => Ok((trailers, anomalies)),
        BodyEnd::Fault(fault) => Err(fault),
        BodyEnd::Incomplete => panic!("incomplete: {}", input.escape_ascii()),
    }
}

#[test]
fn rfc_d13_sizes_are_hex_in_either_case() {
    check("5\r\nhello\r\n0\r\n\r\n", "hello");
    check("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
    check(
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        &"0123456789".repeat(2),
    );
    check(
        &format!("1f\r\n{0}\r\n1F\r\n{0}\r\n0\r\n\r\n", "x".repeat(31)),
        &"x".repeat(62),
    );
    check(
        "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n",
        "hello",
    );
    check("5 \t\r\nhello\r\n0 \r\n\r\n", "hello");
    check("0\r\n\r\n", "");
    for (input, offset) in [
        ("\r\nhello", 0),
        (" 5\r\n", 0),
        ("\t5\r\n", 0),
        ("0x5\r\n", 1),
        ("g\r\n", 0),
        ("5g\r\n", 1),
        ("-5\r\n", 0),
        ("5 5\r\n", 2),
        (";a\r\n", 0),
        ("\n", 0),
        ("5\x0b\r\n", 1),
        ("5,\r\n", 1),
        ("٥\r\n", 0),
        ("5 \x00\r\n", 2),
        ("1_0\r\n", 1),
        ("\"5\"\r\n", 0),
    ] {
        check_refused(input, "", ChunkRule::SizeSyntax, offset);
    }
}

#[test]
fn cve_27_sizes_have_no_sign_and_no_prefix() {
    for (input, offset) in [
        ("+5\r\nhello", 0),
        ("0x5\r\nhello", 1),
        ("0X5\r\n", 1),
        ("-0\r\n", 0),
    ] {
        check_refused(input, "", ChunkRule::SizeSyntax, offset);
    }
}

#[test]
fn rfc_d14_a_size_has_at_most_16_digits() {
    check_refused(
        "00000000000000005\r\nhello",
        "",
        ChunkRule::SizeOverflow,
        16,
    );
    check_refused("10000000000000000\r\n", "", ChunkRule::SizeOverflow, 16);
    check_refused("FFFFFFFFFFFFFFFFF\r\n", "", ChunkRule::SizeOverflow, 16);
}

/// hyper let a size overflow (RUSTSEC-2021-0079).
#[test]
fn cve_19_sizes_at_the_edge_are_exact() {
    for size in [
        (1 << 63) - 1,
        1 << 63,
        (1 << 63) + 1,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let mut decoder = ChunkedDecoder::new();
        let head = format!("{size:x}\r\n");
        let (limits, mode) = (Limits::default(), Strictness::Normal);
        let step = decoder.decode(head.as_bytes(), &limits, mode);
        assert_eq!(
            step,
            Ok(Step::Need {
                consumed: head.len()
            })
        );
        assert_eq!(decoder.remaining_in_chunk(), size);
        let input = b"0\r\n\r\n and more";
        let data = Step::Data {
            skip: 0,
            len: input.len(),
        };
        assert_eq!(decoder.decode(input, &limits, mode), Ok(data));
        decoder.advance(size - 1);
        assert_eq!(decoder.remaining_in_chunk(), 1);
        decoder.advance(u64::MAX);
        assert_eq!(decoder.remaining_in_chunk(), 0);
        let offset = size.saturating_add(head.len() as u64);
        let fault = ChunkFault::Chunk {
            rule: ChunkRule::DataEnd,
            offset,
        };
        assert_eq!(decoder.decode(b"0", &limits, mode), Err(fault));
    }
}

#[test]
fn rfc_d15_extensions_are_ignored_bounded_and_have_no_control_byte() {
    check("5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello");
    check("5 ; a = \"b;c\\\"d\"\t;e\r\nhello\r\n0\r\n\r\n", "hello");
    check("5;é\r\nhello\r\n0\r\n\r\n", "hello");
    check_refused("5;a\nhello", "", ChunkRule::SizeLineEnd, 3);
    check_refused("5;a\rb\r\nhello", "", ChunkRule::SizeLineEnd, 4);
    // A quoted string does not hide the end of its line.
    check_refused("3;\"a\r\n\"\r\nxx", "\"\r\n", ChunkRule::DataEnd, 9);
    for byte in (0..=0x1f)
        .chain([0x7f])
        .filter(|byte| !b"\t\r\n".contains(byte))
    {
        check_refused(
            [b"5;a", &[byte][..], b"\r\n"].concat(),
            "",
            ChunkRule::Extension,
            3,
        );
    }
    let line = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(len - 1));
    check(&line(256), "x");
    let limit = ChunkFault::Limit {
        limit: Limit::ChunkExtension,
        max: 256,
    };
    assert_eq!(decode(line(257).as_bytes()).1, BodyEnd::Fault(limit));
    let blanks = format!("1{}\r\nx", " ".repeat(257));
    assert_eq!(decode(blanks.as_bytes()).1, BodyEnd::Fault(limit));
}

/// Go took a bare LF for the end of a size line (CVE-2025-22871).
#[test]
fn cve_20_bare_lf_after_chunk_size() {
    for (input, content, offset) in [
        ("5\nhello\r\n0\r\n\r\n", "", 1),
        ("5 \nhello", "", 2),
        ("5;a=b\nhello", "", 5),
        ("5\r\nhello\r\n0\n\r\n", "hello", 11),
        ("5\r\r\nhello", "", 2),
        ("5\rhello", "", 2),
    ] {
        check_refused(input, content, ChunkRule::SizeLineEnd, offset);
    }
}

#[test]
fn rfc_d16_the_crlf_behind_the_data_is_checked_byte_for_byte() {
    for (input, offset) in [
        ("5\r\nhelloXX0\r\n\r\n", 8),
        ("5\r\nhello\n0\r\n\r\n", 8),
        ("5\r\nhello\rX0\r\n\r\n", 9),
        ("5\r\nhello\r\r\n", 9),
        ("5\r\nhello0\r\n\r\n", 8),
        ("5\r\nhello world\r\n", 8),
    ] {
        check_refused(input, "hello", ChunkRule::DataEnd, offset);
    }
}

/// h11 skipped two bytes behind the data without a look (CVE-2025-43859).
#[test]
fn cve_21_two_bytes_behind_the_data() {
    for pair in ["ab", "\n\n", "\n\r", "\r0", "00", "  "] {
        let offset = if pair.starts_with('\r') { 5 } else { 4 };
        check_refused(
            format!("1\r\nx{pair}0\r\n\r\n"),
            "x",
            ChunkRule::DataEnd,
            offset,
        );
    }
}

#[test]
fn rfc_d11_a_cut_body_is_incomplete_at_every_byte() {
    let text = b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n";
    for cut in 0..text.len() {
        let (_, end) = decode(&text[..cut]);
        assert_eq!(end, BodyEnd::Incomplete, "cut at {cut}");
    }
    assert!(matches!(decode(text).1, BodyEnd::Complete(..)));
}

#[test]
fn rfc_d17_trailers_are_kept_apart_in_order_and_case() {
    let input = b"1\r\nx\r\n0\r\nX-Sum: 1\r\nx-sum:  2 \r\n\r\nHTTP/1.1 200 OK";
    let (content, end) = decode(input);
    let BodyEnd::Complete(end, trailers, anomalies) = end else {
        panic!("{end:?}");
    };
    assert_eq!((content.as_slice(), end), (&b"x"[..], input.len() - 15));
    let lines: Vec<_> = trailers
        .iter()
        .map(|line| (line.name(), line.value()))
        .collect();
    assert_eq!(lines, [("X-Sum", &b"1"[..]), ("x-sum", b"2")]);
    assert!(anomalies.is_empty());
}

#[test]
fn rfc_d18_forbidden_trailers_are_reported() {
    let input = b"0\r\nContent-Length: 5\r\nX-A: 1\r\nSet-Cookie: a\r\n\r\n";
    let (trailers, anomalies) = trailers_of(input, Strictness::Normal).unwrap();
    assert_eq!(trailers.len(), 3);
    assert_eq!(anomalies.count(Anomaly::ForbiddenTrailer), 2);
}

#[test]
fn trailers_obey_the_rules_of_a_head() {
    let lf = b"0\r\nA: 1\nB: 2\n\n";
    let (trailers, anomalies) = trailers_of(lf, Strictness::Normal).unwrap();
    assert_eq!(trailers.len(), 2);
    let seen: Vec<_> = anomalies
        .iter()
        .map(|s| (s.anomaly, s.count, s.offset))
        .collect();
    assert_eq!(seen, [(Anomaly::BareLf, 3, 7)]);
    for (input, mode, rule, offset) in [
        (&lf[..], Strictness::Strict, HeadRule::BareLf, 7),
        (
            b"0\r\n A: 1\r\n\r\n",
            Strictness::Normal,
            HeadRule::FoldFirst,
            3,
        ),
        (
            b"0\r\nA: 1\r\nbad\r\n\r\n",
            Strictness::Normal,
            HeadRule::NoColon,
            9,
        ),
        (
            b"0\r\nA : 1\r\n\r\n",
            Strictness::Normal,
            HeadRule::SpaceBeforeColon,
            4,
        ),
        (
            b"1\r\nx\r\n0\r\nA: \0\r\n\r\n",
            Strictness::Normal,
            HeadRule::ValueByte,
            12,
        ),
        (
            b"0\r\nA: 1\rB\r\n\r\n",
            Strictness::Normal,
            HeadRule::BareCr,
            7,
        ),
    ] {
        let fault = ChunkFault::Trailer { rule, offset };
        assert_eq!(
            trailers_of(input, mode),
            Err(fault),
            "{}",
            input.escape_ascii()
        );
    }
}

/// A peer sends trailers for ever.
#[test]
fn cve_36_trailers_are_bounded_in_bytes_and_lines() {
    let check = |line: &str, count: usize, limit: Limit, max: u64| {
        let input = format!("0\r\n{}", line.repeat(count));
        let fault = BodyEnd::Fault(ChunkFault::Limit { limit, max });
        let outcome = feed_chunked(
            input.as_bytes(),
            &Limits::default(),
            Strictness::Normal,
            || 9,
            true,
        );
        assert_eq!(outcome.1, fault);
    };
    check("A: 1\r\n", 40, Limit::TrailerLines, 32);
    check(
        &format!("A: {}\r\n", "x".repeat(2000)),
        20,
        Limit::TrailerBytes,
        16 * 1024,
    );
    let many = format!("0\r\n{}\r\n", "A: 1\r\n".repeat(32));
    assert_eq!(
        trailers_of(many.as_bytes(), Strictness::Normal)
            .unwrap()
            .0
            .len(),
        32
    );
}

/// Every cut of every mangled trailer section ends in one of the typed ends.
#[test]
fn cve_31_mangled_trailers_end_in_a_typed_way() {
    let section = b"0\r\nX-A: 1\r\n b\r\nX-B:\r\n\r\n";
    for place in 0..section.len() {
        for byte in [0, b'\r', b'\n', b' ', b':', b'x', 0xff] {
            let mut input = section.to_vec();
            input[place] = byte;
            decode(&input);
        }
    }
}

#[test]
fn cve_35_overhead_is_bounded_in_proportion_to_the_content() {
    let limits = Limits {
        chunk_overhead_bytes: 100,
        ..Limits::default()
    };
    let limit = ChunkFault::Limit {
        limit: Limit::ChunkOverhead,
        max: 100,
    };
    // A line of 1 digit, 34 bytes of extension and CRLF is 37 bytes, 20 beyond 16 and one byte of data.
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(33));
    let five = chunk.repeat(5) + "0\r\n\r\n";
    let (content, end) = decode_with(five.as_bytes(), &limits, Strictness::Normal);
    assert!(
        content.len() == 5 && matches!(end, BodyEnd::Complete(..)),
        "{end:?}"
    );
    let six = chunk.repeat(6);
    let (content, end) = decode_with(six.as_bytes(), &limits, Strictness::Normal);
    assert_eq!((content.len(), end), (5, BodyEnd::Fault(limit)));
    let paid = chunk.repeat(5) + "40\r\n" + &"x".repeat(64) + "\r\n" + &chunk.repeat(3);
    let (content, end) = decode_with(paid.as_bytes(), &limits, Strictness::Normal);
    assert_eq!((content.len(), end), (72, BodyEnd::Incomplete));
    let greedy = format!("1;{}\r\nx\r\n", "e".repeat(100)).repeat(1000);
    let (content, _) = decode(greedy.as_bytes());
    assert!(content.len() < 200, "{}", content.len());
}

#[test]
fn cve_37_a_byte_per_chunk_is_fine_and_linear() {
    let body = |count: usize| "1\r\nx\r\n".repeat(count) + "0\r\nA: 1\r\n\r\n";
    let text = body(1 << 20);
    let (limits, mode) = (Limits::default(), Strictness::Normal);
    let (content, end) = feed_chunked(text.as_bytes(), &limits, mode, || 4096, false);
    assert!(content.len() == 1 << 20 && matches!(end, BodyEnd::Complete(..)));
    let section = "0\r\n".to_owned() + &"A: 1\r\n".repeat(30) + "\r\n";
    let work = work_of(|| {
        feed_chunked(section.as_bytes(), &limits, mode, || 1, false);
    });
    assert!(work <= 5 * section.len(), "{work} for {}", section.len());
}

#[test]
fn content_is_lent_as_a_range_and_never_past_the_chunk() {
    let mut decoder = ChunkedDecoder::new();
    let (limits, mode) = (Limits::default(), Strictness::Normal);
    let step = decoder.decode(b"5\r\nhel", &limits, mode);
    assert_eq!(step, Ok(Step::Data { skip: 3, len: 3 }));
    decoder.advance(2);
    assert_eq!(
        decoder.decode(b"l", &limits, mode),
        Ok(Step::Data { skip: 0, len: 1 })
    );
    decoder.advance(1);
    assert_eq!(
        decoder.decode(b"", &limits, mode),
        Ok(Step::Need { consumed: 0 })
    );
    assert_eq!(decoder.remaining_in_chunk(), 2);
    decoder.advance(2);
    let step = decoder.decode(b"\r\n0\r\n\r\nmore", &limits, mode);
    let (trailers, anomalies) = (Fields::new(), Anomalies::default());
    assert_eq!(
        step,
        Ok(Step::End {
            consumed: 7,
            trailers,
            anomalies
        })
    );
    assert!(decoder.is_done());
}

#[test]
fn rfc_b8_chunk_heads_are_right_and_the_last_chunk_ends_the_body() {
    for size in [
        1,
        9,
        10,
        15,
        16,
        255,
        0x1_0000,
        u64::from(u32::MAX),
        1 << 63,
        u64::MAX,
    ] {
        let head = chunk_head(NonZeroU64::new(size).unwrap());
        assert_eq!(head.as_bytes(), format!("{size:x}\r\n").as_bytes());
    }
    let mut out = Vec::new();
    write_last_chunk(&Fields::new(), &mut out);
    assert_eq!(out, b"0\r\n\r\n");
    let mut trailers = Fields::new();
    trailers.append("X-A", "1").unwrap();
    trailers.append("X-B", "").unwrap();
    let mut out = Vec::new();
    write_last_chunk(&trailers, &mut out);
    assert_eq!(out, b"0\r\nX-A: 1\r\nX-B: \r\n\r\n");
}

const PARTS: &[&str] = &[
    "5\r\nhello\r\n",
    "1\r\nx\r\n",
    "0\r\n",
    "\r\n",
    "\n",
    "\r",
    "a",
    "F",
    "10",
    ";",
    ";e=\"v\"",
    " ",
    "\t",
    "\0",
    "x",
    "0\r\n\r\n",
    "A: 1\r\n",
    "A: 1\n",
    " fold\r\n",
    "Host: h\r\n",
    "FFFFFFFFFFFFFFFF\r\n",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Z2 over bodies that are nearly right.
    #[test]
    fn segmentation_makes_no_difference(
        choice in 0_u8..6,
        seed in any::<u8>(),
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..12),
    ) {
        let mut data = vec![choice, seed];
        data.extend_from_slice(parts.concat().as_bytes());
        chunked_split(&data);
    }

    /// Z3.
    #[test]
    fn what_is_encoded_is_decoded(data in prop::collection::vec(any::<u8>(), 0..2000)) {
        chunked_roundtrip(&data);
    }
}
