use proptest::prelude::*;

use super::*;
use crate::error::{ErrorKind, Limit};
use crate::proto::oracle::{HeadOutcome, feed_head, head_incremental};
use crate::proto::section::tests::work_of;

const ALL: usize = usize::MAX >> 1;

/// Decodes under every segmentation that matters and insists on one outcome.
fn decode_with(input: &[u8], limits: &Limits, strictness: Strictness) -> HeadOutcome {
    let whole = feed_head(input, limits, strictness, || ALL);
    for size in 1..4 {
        let cut = feed_head(input, limits, strictness, || size);
        assert_eq!(whole, cut, "in pieces of {size}: {}", input.escape_ascii());
    }
    whole
}

fn decode(input: &[u8], strictness: Strictness) -> HeadOutcome {
    decode_with(input, &Limits::default(), strictness)
}

/// Decodes what has to be accepted by default.
fn head(input: impl AsRef<[u8]>) -> Head {
    let input = input.as_ref();
    match decode(input, Strictness::Normal) {
        Ok(Some((head, _))) => head,
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn check_refused_in(strictness: Strictness, input: impl AsRef<[u8]>, rule: HeadRule, offset: u64) {
    let input = input.as_ref();
    let expected = Err(HeadFault::Rule { rule, offset });
    let outcome = decode(input, strictness);
    assert_eq!(outcome, expected, "{}", input.escape_ascii());
}

/// Checks a refusal in every mode.
fn check_refused(input: impl AsRef<[u8]>, rule: HeadRule, offset: u64) {
    let input = input.as_ref();
    for strictness in [Strictness::Normal, Strictness::Strict, Strictness::Lenient] {
        check_refused_in(strictness, input, rule, offset);
    }
}

/// Field lines behind a status line of 17 bytes.
fn with_fields(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
}

fn lines_of(head: &Head) -> Vec<(&str, &[u8])> {
    head.fields
        .iter()
        .map(|line| (line.name(), line.value()))
        .collect()
}

fn anomalies_of(head: &Head) -> Vec<(Anomaly, u32, u64)> {
    let seen = head.anomalies.iter();
    seen.map(|s| (s.anomaly, s.count, s.offset)).collect()
}

#[test]
fn an_ordinary_head_is_read_as_it_stands() {
    let text = "HTTP/1.1 404 Not Found\r\nServer: x\r\nX-A:  b c \r\n\r\n";
    let head = head([text, "body"].concat());
    assert_eq!(
        (head.status, head.version, head.bytes),
        (404, Version::Http11, text.len())
    );
    assert_eq!(head.reason, Reason::Canonical("Not Found"));
    assert_eq!(lines_of(&head), [("Server", &b"x"[..]), ("X-A", b"b c")]);
    assert!(head.anomalies.is_empty());
}

#[test]
fn a_decoder_reads_one_head_after_the_other() {
    let input = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest";
    let mut decoder = HeadDecoder::new();
    let (limits, mode) = (Limits::default(), Strictness::Normal);
    let Ok(Some(first)) = decoder.decode(input, &limits, mode) else {
        panic!("no first head");
    };
    let Ok(Some(second)) = decoder.decode(&input[first.bytes..], &limits, mode) else {
        panic!("no second head");
    };
    assert_eq!(
        (first.status, second.status, second.fields.len()),
        (103, 200, 0)
    );
}

#[test]
fn rfc_c1_heads_are_octets() {
    let head = head(b"HTTP/1.1 200 \xff\xfe\r\nA: \xc3\x28\x80\xff\r\n\r\n");
    assert_eq!(head.reason.as_bytes(), b"\xff\xfe");
    assert_eq!(lines_of(&head), [("A", &b"\xc3\x28\x80\xff"[..])]);
}

#[test]
fn rfc_c2_a_bare_lf_ends_a_line_but_not_in_strict_mode() {
    let text = "HTTP/1.1 200 OK\nA: 1\r\nB: 2\n\n";
    let head = head(text);
    assert_eq!(lines_of(&head), [("A", &b"1"[..]), ("B", b"2")]);
    assert_eq!(anomalies_of(&head), [(Anomaly::BareLf, 3, 15)]);
    check_refused_in(Strictness::Strict, text, HeadRule::BareLf, 15);
    check_refused_in(
        Strictness::Strict,
        with_fields("A: 1\nB: 2\r\n"),
        HeadRule::BareLf,
        21,
    );
    check_refused_in(
        Strictness::Strict,
        "HTTP/1.1 200 OK\r\n\n",
        HeadRule::BareLf,
        17,
    );
}

#[test]
fn rfc_c3_a_cr_without_lf_is_refused() {
    check_refused(with_fields("A: 1\rB: 2\r\n"), HeadRule::BareCr, 21);
    check_refused(with_fields("A\rB: 2\r\n"), HeadRule::BareCr, 18);
    check_refused(with_fields("A: 1\r\r\n"), HeadRule::BareCr, 21);
    check_refused(with_fields("\r\r\n"), HeadRule::BareCr, 17);
    check_refused("HTTP/1.1 200 O\rK\r\n\r\n", HeadRule::BareCr, 14);
    check_refused_in(
        Strictness::Normal,
        "\rHTTP/1.1 200 OK\r\n\r\n",
        HeadRule::BareCr,
        0,
    );
}

#[test]
fn rfc_c4_white_space_before_the_first_field_line_is_refused() {
    for first in [" A: 1\r\n", "\tA: 1\r\n", " \r\n", " \r\nA: 1\r\n"] {
        check_refused(with_fields(first), HeadRule::FoldFirst, 17);
    }
}

#[test]
fn rfc_c5_the_status_line_is_read_strictly() {
    for (line, rule, offset) in [
        ("HTTP/1.1  200 OK", HeadRule::StatusLine, 9),
        ("HTTP/1.1 \t200 OK", HeadRule::StatusLine, 9),
        ("HTTP/1.1\t200 OK", HeadRule::StatusLine, 8),
        ("HTTP/1.1200 OK", HeadRule::Version, 8),
        ("HTTP/1.1", HeadRule::StatusLine, 8),
        ("HTTP/1.1 ", HeadRule::StatusLine, 9),
        ("HTTP/1.1 OK", HeadRule::StatusCode, 9),
        ("HTTP/1.1 20X OK", HeadRule::StatusCode, 11),
        ("HTTP/1.1 20 OK", HeadRule::StatusCode, 11),
        ("HTTP/1.1 20", HeadRule::StatusCode, 11),
        ("HTTP/1.1 2000 OK", HeadRule::StatusCode, 12),
        ("HTTP/1.1 +20 OK", HeadRule::StatusCode, 9),
        ("HTTP/1.1 -10 OK", HeadRule::StatusCode, 9),
        ("HTTP/1.1 0x12 OK", HeadRule::StatusCode, 10),
        ("HTTP/1.1 ٢٠٠ OK", HeadRule::StatusCode, 9),
        ("HTTP/1.1 200\tOK", HeadRule::StatusLine, 12),
        ("HTTP/1.1 200-OK", HeadRule::StatusLine, 12),
        ("HTTP/1.1 200 O\0K", HeadRule::Reason, 14),
        ("HTTP/1.1 200 O\x7f", HeadRule::Reason, 14),
    ] {
        check_refused(format!("{line}\r\n\r\n"), rule, offset);
    }
    let with_space = head("HTTP/1.1 200 \r\n\r\n");
    assert!(with_space.reason.as_bytes().is_empty() && with_space.anomalies.is_empty());
    let without = head("HTTP/1.1 200\r\n\r\n");
    assert_eq!(without.reason.as_bytes(), b"");
    assert_eq!(anomalies_of(&without), [(Anomaly::NoReason, 1, 12)]);
    let strict = "HTTP/1.1 200\r\n\r\n";
    check_refused_in(Strictness::Strict, strict, HeadRule::StatusLine, 12);
}

#[test]
fn rfc_c6_the_reason_is_bytes_and_shown_escaped() {
    let head = head(b"HTTP/1.1 204 OK \t\xff\r\n\r\n");
    assert_eq!(
        (head.status, head.reason.as_bytes()),
        (204, &b"OK \t\xff"[..])
    );
    assert_eq!(head.reason.to_string(), "OK \\t\\xff");
    assert_eq!(format!("{:?}", head.reason), "\"OK \\t\\xff\"");
}

#[test]
fn rfc_c7_higher_minors_are_read_as_1_1() {
    for minor in 2..=9 {
        let head = head(format!("HTTP/1.{minor} 200 OK\r\n\r\n"));
        assert_eq!(head.version, Version::Http11);
        assert_eq!(anomalies_of(&head), [(Anomaly::Version, 1, 7)]);
    }
    assert_eq!(head("HTTP/1.0 200 OK\r\n\r\n").version, Version::Http10);
}

#[test]
fn rfc_c8_other_majors_and_what_is_not_http_are_refused_by_their_first_bytes() {
    for (start, rule, offset) in [
        ("HTTP/2", HeadRule::Version, 5),
        ("HTTP/0", HeadRule::Version, 5),
        ("HTTP/A.B", HeadRule::Version, 5),
        ("HTTP/1,1", HeadRule::Version, 6),
        ("HTTP/1 ", HeadRule::Version, 6),
        ("HTTP/1.-1", HeadRule::Version, 7),
        ("HTTP/1. ", HeadRule::Version, 7),
        ("HTTP/1.100", HeadRule::Version, 8),
        ("http/1.1", HeadRule::NotHttp, 0),
        ("HTTQ", HeadRule::NotHttp, 3),
        ("hello world", HeadRule::NotHttp, 0),
        ("HTTP /1.1", HeadRule::NotHttp, 4),
        ("\n", HeadRule::NotHttp, 0),
        ("\0HTTP/1.1", HeadRule::NotHttp, 0),
        ("\u{feff}HTTP/1.1", HeadRule::NotHttp, 0),
        (" HTTP/1.1", HeadRule::NotHttp, 0),
        ("SSH-2.0", HeadRule::NotHttp, 0),
        ("\x15\x03\x01", HeadRule::NotHttp, 0),
    ] {
        check_refused(start, rule, offset);
    }
}

#[test]
fn rfc_c10_codes_below_100_are_refused_and_those_from_600_handed_out() {
    for code in ["000", "001", "099"] {
        check_refused(
            format!("HTTP/1.1 {code} X\r\n\r\n"),
            HeadRule::StatusCode,
            9,
        );
    }
    for code in [100, 199, 299, 600, 999] {
        assert_eq!(head(format!("HTTP/1.1 {code} X\r\n\r\n")).status, code);
    }
}

#[test]
fn rfc_c11_unknown_fields_are_kept_in_order_and_case() {
    let head = head(with_fields("X-b: 1\r\nx-A: 2\r\nX-B: 3\r\n"));
    assert_eq!(
        lines_of(&head),
        [("X-b", &b"1"[..]), ("x-A", b"2"), ("X-B", b"3")]
    );
}

#[test]
fn rfc_c12_white_space_around_values_is_stripped() {
    let head = head(with_fields(
        "A:1\r\nB: \t 2 \t\r\nC:\r\nD: \t\r\nE: a \t b\r\n",
    ));
    let values: Vec<&[u8]> = head.fields.iter().map(|line| line.value()).collect();
    assert_eq!(values, [&b"1"[..], b"2", b"", b"", b"a \t b"]);
}

#[test]
fn rfc_c13_control_bytes_in_a_value_are_refused_and_others_kept() {
    for byte in (0..=0x1f).chain([0x7f]) {
        let rule = match byte {
            b'\t' | b'\n' => continue,
            b'\r' => HeadRule::BareCr,
            _ => HeadRule::ValueByte,
        };
        let mut text = b"HTTP/1.1 200 OK\r\nA: 12\r\n\r\n".to_vec();
        text.insert(21, byte);
        check_refused(text, rule, 21);
    }
    for byte in 0x80..=0xff {
        let text = [&b"HTTP/1.1 200 OK\r\nA: "[..], &[byte], b"\r\n\r\n"].concat();
        assert_eq!(head(text).fields.get("a"), Some(&[byte][..]));
    }
}

/// As llhttp (CVE-2021-22959) and Go (CVE-2019-16276) once did not.
#[test]
fn rfc_c14_white_space_before_a_colon_is_refused() {
    for mode in [Strictness::Normal, Strictness::Strict] {
        check_refused_in(
            mode,
            with_fields("A : 1\r\n"),
            HeadRule::SpaceBeforeColon,
            18,
        );
        check_refused_in(
            mode,
            with_fields("B: 2\r\nA\t: 1\r\n"),
            HeadRule::SpaceBeforeColon,
            24,
        );
    }
    let text = with_fields("A : 1\r\nBc \t:2\r\n");
    let Ok(Some((head, _))) = decode(text.as_bytes(), Strictness::Lenient) else {
        panic!("refused");
    };
    assert_eq!(lines_of(&head), [("A", &b"1"[..]), ("Bc", b"2")]);
    assert_eq!(anomalies_of(&head), [(Anomaly::SpaceBeforeColon, 2, 18)]);
}

#[test]
fn cve_23_names_are_not_normalised() {
    for name in ["A ", "A\t", "A \t "] {
        let text = with_fields(&format!("{name}: 1\r\n"));
        check_refused_in(Strictness::Normal, text, HeadRule::SpaceBeforeColon, 18);
    }
    for (name, offset) in [
        ("A B", 18),
        ("A/B", 18),
        ("(A)", 17),
        ("Aé", 18),
        ("A\0", 18),
    ] {
        check_refused(
            with_fields(&format!("{name}: 1\r\n")),
            HeadRule::NameByte,
            offset,
        );
    }
    check_refused(with_fields(": 1\r\n"), HeadRule::EmptyName, 17);
    check_refused(with_fields("A\r\n"), HeadRule::NoColon, 17);
    check_refused(with_fields("A: 1\r\nno colon\r\n"), HeadRule::NoColon, 23);
}

#[test]
fn cve_24_white_space_before_a_colon_never_stands_in_a_framing_field() {
    for (name, offset) in [("Content-Length", 31), ("TRANSFER-ENCODING", 34)] {
        let text = with_fields(&format!("{name} : 1\r\n"));
        check_refused(text, HeadRule::SpaceBeforeColon, offset);
    }
}

#[test]
fn rfc_c15_each_fold_becomes_one_space_in_one_field() {
    let text = with_fields("A: 1 \r\n \t2\r\n\t3: x\r\nB: 4\r\n");
    let folded = head(&text);
    assert_eq!(lines_of(&folded), [("A", &b"1 2 3: x"[..]), ("B", b"4")]);
    assert_eq!(anomalies_of(&folded), [(Anomaly::ObsFold, 2, 24)]);
    check_refused_in(Strictness::Strict, text, HeadRule::Fold, 24);
    for (lines, value) in [
        ("A:\r\n b\r\n", "b"),
        ("A: \r\n \r\n b\r\n", "b"),
        ("A: a\r\n \r\n b\r\n", "a  b"),
        ("A: a\r\n \r\n \r\n", "a"),
        ("A:\r\n \r\n", ""),
    ] {
        let head = head(with_fields(lines));
        assert_eq!(lines_of(&head), [("A", value.as_bytes())], "{lines:?}");
    }
    check_refused_in(
        Strictness::Normal,
        with_fields("A: 1\r\n 2\0\r\n"),
        HeadRule::ValueByte,
        25,
    );
}

fn check_limit(input: &[u8], limits: &Limits, expected: Option<(Limit, u64)>) {
    let outcome = decode_with(input, limits, Strictness::Normal);
    match expected {
        Some((limit, max)) => assert_eq!(outcome, Err(HeadFault::Limit { limit, max })),
        None => assert!(matches!(outcome, Ok(Some(_))), "{outcome:?}"),
    }
}

#[test]
fn rfc_c17_an_oversized_line_refuses_the_whole_message() {
    let limits = Limits {
        line_bytes: 40,
        ..Limits::default()
    };
    let line = |len: usize| with_fields(&format!("A: {}\r\nB: 2\r\n", "x".repeat(len - 5)));
    check_limit(line(40).as_bytes(), &limits, None);
    check_limit(line(41).as_bytes(), &limits, Some((Limit::LineBytes, 40)));
    let reason = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(26));
    check_limit(reason.as_bytes(), &limits, Some((Limit::LineBytes, 40)));
    let unbroken = [b"HTTP/1.1 200 ".as_slice(), &[b'x'; 28]].concat();
    check_limit(&unbroken, &limits, Some((Limit::LineBytes, 40)));
}

#[test]
fn rfc_c18_long_values_are_read_by_default() {
    let value = "x".repeat(15_000);
    let head = head(with_fields(&format!("A: {value}\r\n")));
    assert_eq!(head.fields.get("a"), Some(value.as_bytes()));
}

#[test]
fn rfc_c19_line_head_and_count_are_bounded_exactly() {
    let limits = Limits {
        field_lines: 3,
        head_bytes: 60,
        ..Limits::default()
    };
    let fields = |count: usize| with_fields(&"A: 1\r\n".repeat(count));
    check_limit(fields(3).as_bytes(), &limits, None);
    check_limit(fields(4).as_bytes(), &limits, Some((Limit::FieldLines, 3)));
    let exact = with_fields(&format!("A: {}\r\n", "x".repeat(36)));
    assert_eq!(exact.len(), 60);
    check_limit(exact.as_bytes(), &limits, None);
    let over = with_fields(&format!("A: {}\r\n", "x".repeat(37)));
    check_limit(over.as_bytes(), &limits, Some((Limit::HeadBytes, 60)));
    let many = with_fields(&"A: 1\r\n".repeat(128));
    check_limit(many.as_bytes(), &Limits::default(), None);
    let too_many = with_fields(&"A: 1\r\n".repeat(129));
    check_limit(
        too_many.as_bytes(),
        &Limits::default(),
        Some((Limit::FieldLines, 128)),
    );
}

#[test]
fn of_two_faults_the_one_that_is_certain_first_is_told() {
    let limits = Limits {
        field_lines: 1,
        line_bytes: 40,
        ..Limits::default()
    };
    let bad_then_many = with_fields("A B: 1\r\nC: 1\r\nD: 1\r\n");
    let outcome = decode_with(bad_then_many.as_bytes(), &limits, Strictness::Normal);
    assert_eq!(outcome, Err(HeadFault::rule(HeadRule::NameByte, 18)));
    let many_then_bad = with_fields("A: 1\r\nC: 1\r\nD D: 1\r\n");
    check_limit(
        many_then_bad.as_bytes(),
        &limits,
        Some((Limit::FieldLines, 1)),
    );
    let long_and_bad = with_fields(&format!("A B: {}\r\n", "x".repeat(50)));
    check_limit(
        long_and_bad.as_bytes(),
        &limits,
        Some((Limit::LineBytes, 40)),
    );
}

#[test]
fn a_name_longer_than_a_span_holds_is_a_limit_too() {
    let limits = Limits {
        line_bytes: 200_000,
        head_bytes: 400_000,
        ..Limits::default()
    };
    let text = with_fields(&format!("{}: 1\r\nbad\r\n", "n".repeat(70_000)));
    let expected = Err(HeadFault::Limit {
        limit: Limit::LineBytes,
        max: 65_535,
    });
    for size in [ALL, 50_000] {
        let outcome = feed_head(text.as_bytes(), &limits, Strictness::Normal, || size);
        assert_eq!(outcome, expected);
    }
}

#[test]
fn rfc_c27_two_empty_lines_are_skipped_and_no_third() {
    let text = "HTTP/1.1 200 OK\r\nA: 1\r\n\r\n";
    for count in 1..=2 {
        let head = head("\r\n".repeat(count) + text);
        assert_eq!(head.bytes, text.len() + 2 * count);
        assert_eq!(
            anomalies_of(&head),
            [(Anomaly::LeadingEmptyLine, count as u32, 0)]
        );
    }
    check_refused_in(Strictness::Normal, "\r\n\r\n\r\n", HeadRule::EmptyLines, 4);
    check_refused_in(Strictness::Strict, "\r\nHTTP/1.1", HeadRule::EmptyLines, 0);
    check_refused_in(Strictness::Normal, "\r\n  HTTP/1.1", HeadRule::NotHttp, 2);
}

/// Netty skipped control bytes before the start line (CVE-2026-50020).
#[test]
fn cve_22_nothing_but_crlf_is_skipped_before_a_status_line() {
    for byte in (0..=0x20).filter(|byte| *byte != b'\r') {
        check_refused(
            [&[byte], &b"HTTP/1.1 200 OK\r\n\r\n"[..]].concat(),
            HeadRule::NotHttp,
            0,
        );
    }
    check_refused_in(Strictness::Normal, "\r\n\nHTTP/1.1", HeadRule::NotHttp, 2);
    check_refused_in(Strictness::Normal, "\r\r\nHTTP/1.1", HeadRule::BareCr, 0);
}

#[test]
fn rfc_c28_faults_have_an_offset_and_show_no_byte_of_the_peer() {
    let fault = decode(
        b"HTTP/1.1 200 OK\r\nA: \x1b[31m\r\n\r\n",
        Strictness::Normal,
    )
    .unwrap_err();
    let kind = ErrorKind::from(fault);
    let text = "bad response: a field value has a control byte at byte 20";
    assert_eq!(kind.to_string(), text);
    let fault = HeadFault::Limit {
        limit: Limit::HeadBytes,
        max: 65_536,
    };
    let kind = ErrorKind::from(fault);
    assert_eq!(
        kind,
        ErrorKind::Limit {
            limit: Limit::HeadBytes,
            max: 65_536
        }
    );
}

#[test]
fn cve_33_endless_fields_end_at_a_limit() {
    let mut decoder = HeadDecoder::new();
    let mut input = b"HTTP/1.1 200 OK\r\n".to_vec();
    let fault = loop {
        input.extend_from_slice(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
        if let Err(fault) = decoder.decode(&input, &Limits::default(), Strictness::Normal) {
            break fault;
        }
    };
    assert_eq!(
        fault,
        HeadFault::Limit {
            limit: Limit::FieldLines,
            max: 128
        }
    );
}

/// Spans and the copied block together are at most eight times the input.
#[test]
fn cve_34_memory_is_in_proportion_to_the_input() {
    let limits = Limits {
        field_lines: usize::MAX,
        ..Limits::default()
    };
    for line in ["a:\n", "a:\r\n", "Name: value\r\n"] {
        let text = with_fields(&line.repeat(3000));
        let outcome = feed_head(text.as_bytes(), &limits, Strictness::Normal, || ALL);
        let Ok(Some((head, _))) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(head.fields.len(), 3000);
        let held = 16 * head.fields.len() + text.len();
        assert!(held <= 8 * text.len(), "{held} for {}", text.len());
    }
}

#[test]
fn cve_45_short_lines_cost_linear_work() {
    let limits = Limits {
        field_lines: usize::MAX,
        head_bytes: 1 << 24,
        ..Limits::default()
    };
    let work = |lines: usize| {
        let text = with_fields(&"a:\n".repeat(lines));
        work_of(|| {
            let read = feed_head(text.as_bytes(), &limits, Strictness::Normal, || 100);
            assert!(matches!(read, Ok(Some(_))));
        })
    };
    let (once, twice) = (work(50_000), work(100_000));
    assert!(once > 150_000 && twice * 10 <= once * 21, "{once} {twice}");
}

#[test]
fn cve_46_a_head_fed_byte_by_byte_costs_linear_work() {
    let limits = Limits {
        line_bytes: 1 << 20,
        head_bytes: 1 << 20,
        ..Limits::default()
    };
    for (name, filler) in [
        ("long line", "A: xxxx".to_owned()),
        ("folds", "A: 1\r\n ".repeat(9)),
    ] {
        let text = with_fields(&(filler + &"y".repeat(60_000) + "\r\n"));
        let work = work_of(|| {
            let read = feed_head(text.as_bytes(), &limits, Strictness::Normal, || 1);
            assert!(matches!(read, Ok(Some(_))));
        });
        // Every call counts one for its search; then search, check, ordinary way and builder see each byte once.
        assert!(work <= 6 * text.len(), "{name}: {work} for {}", text.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Z1 over heads that are nearly right.
    #[test]
    fn segmentation_makes_no_difference(
        choice in 0_u8..6,
        seed in any::<u8>(),
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..12),
    ) {
        let mut data = vec![choice, seed];
        data.extend_from_slice(parts.concat().as_bytes());
        head_incremental(&data);
        let mut data = vec![choice, seed];
        data.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        data.extend_from_slice(parts.concat().as_bytes());
        data.extend_from_slice(b"\r\n\r\n");
        head_incremental(&data);
    }
}

const PARTS: &[&str] = &[
    "HTTP/1.1 200 OK",
    "HTTP/1.",
    "HTTP/1.0 ",
    "200",
    " ",
    "\t",
    "\r\n",
    "\n",
    "\r",
    ":",
    "A",
    "A: 1",
    "B : 2\r\n",
    "Content-Length",
    "Transfer-Encoding: chunked\r\n",
    "\0",
    "é",
    "\r\n ",
    "\r\n\r\n",
    "Name: a longer value that takes some room\r\n",
    "x: y\r\n",
];
