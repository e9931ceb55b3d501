use proptest::prelude::*;

use super::*;
use crate::config::Limits;
use crate::proto::decode::HeadDecoder;

const GET: RequestFacts<'static> = RequestFacts {
    is_head: false,
    is_connect: false,
    said_close: false,
    upgrade: None,
};
const HEAD: RequestFacts<'static> = RequestFacts {
    is_head: true,
    ..GET
};
const CONNECT: RequestFacts<'static> = RequestFacts {
    is_connect: true,
    ..GET
};
const UPGRADE: RequestFacts<'static> = RequestFacts {
    upgrade: Some(b"websocket, h2c"),
    ..GET
};
const PERSISTENT: Persistence = Persistence::Persistent;

fn close(reason: CloseReason) -> Persistence {
    Persistence::Close(reason)
}

fn head_of(text: &str) -> Head {
    let text = format!("HTTP/{text}\r\n\r\n");
    let mut decoder = HeadDecoder::new();
    match decoder.decode(text.as_bytes(), &Limits::default(), Strictness::Normal) {
        Ok(Some(head)) => head,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn verdict_in(
    strictness: Strictness,
    request: RequestFacts<'_>,
    text: &str,
) -> Result<Verdict, FramingRule> {
    response_framing(request, &head_of(text), strictness)
}

fn verdict(request: RequestFacts<'_>, text: &str) -> Result<Verdict, FramingRule> {
    verdict_in(Strictness::Normal, request, text)
}

/// Checks framing and persistence of a head, given without `HTTP/` and the last line ends.
fn check(request: RequestFacts<'_>, text: &str, framing: Framing, persistence: Persistence) {
    let verdict = verdict(request, text).map(|verdict| (verdict.framing, verdict.persistence));
    assert_eq!(verdict, Ok((framing, persistence)), "{text:?}");
}

fn check_refused(request: RequestFacts<'_>, text: &str, rule: FramingRule) {
    assert_eq!(verdict(request, text), Err(rule), "{text:?}");
}

/// Checks that an anomaly is noted by default and what a strict reader says instead.
fn check_anomaly(text: &str, anomaly: Anomaly, count: u32, strict: FramingRule) {
    let seen = verdict(GET, text).map(|verdict| verdict.anomalies.count(anomaly));
    assert_eq!(seen, Ok(count), "{text:?}");
    assert_eq!(
        verdict_in(Strictness::Strict, GET, text),
        Err(strict),
        "{text:?}"
    );
}

#[test]
fn rfc_d1_some_responses_have_no_body_whatever_their_fields_say() {
    for fields in ["", "Content-Length: 100", "Transfer-Encoding: chunked"] {
        for status in [204, 304] {
            let text = format!("1.1 {status} X\r\n{fields}");
            check(GET, text.trim_end(), Framing::None, PERSISTENT);
        }
        let text = format!("1.1 200 OK\r\n{fields}");
        check(HEAD, text.trim_end(), Framing::None, PERSISTENT);
    }
}

#[test]
fn rfc_c26_interim_responses_never_have_a_body() {
    for fields in [
        "Content-Length: x",
        "Transfer-Encoding: gzip",
        "Connection: close",
    ] {
        for status in [100, 102, 103, 199] {
            check(
                GET,
                &format!("1.1 {status} X\r\n{fields}"),
                Framing::None,
                PERSISTENT,
            );
        }
    }
}

#[test]
fn rfc_d2_a_tunnel_starts_behind_the_head_of_any_2xx_to_connect() {
    for fields in ["Content-Length: 5", "Transfer-Encoding: gzip", "A: 1"] {
        for status in [200, 204, 299] {
            let text = format!("1.1 {status} X\r\n{fields}");
            check(CONNECT, &text, Framing::None, Persistence::Switched);
        }
    }
    check(
        CONNECT,
        "1.1 407 No\r\nContent-Length: 5",
        Framing::Length(5),
        close(CloseReason::ConnectRefused),
    );
}

#[test]
fn rfc_d3_the_coding_wins_over_a_length_and_the_connection_is_not_used_again() {
    let text = "1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked";
    let reason = close(CloseReason::LengthAndTransferEncoding);
    check(GET, text, Framing::Chunked, reason);
    check(HEAD, text, Framing::None, reason);
    let strict = FramingRule::LengthAndCoding;
    check_anomaly(text, Anomaly::LengthAndTransferEncoding, 1, strict);
    let bad = "1.1 200 OK\r\nContent-Length: x\r\nTransfer-Encoding: chunked";
    check_refused(GET, bad, FramingRule::LengthSyntax);
}

#[test]
fn cve_25_length_and_coding_never_leave_a_reusable_connection() {
    for (first, second) in [("Content-Length: 5", "Transfer-Encoding: chunked")]
        .iter()
        .flat_map(|(a, b)| [(a, b), (b, a)])
    {
        let text = format!("1.1 200 OK\r\n{first}\r\n{second}\r\nConnection: keep-alive");
        let persistence = verdict(GET, &text).map(|verdict| verdict.persistence);
        assert_eq!(
            persistence,
            Ok(close(CloseReason::LengthAndTransferEncoding))
        );
    }
}

/// Twisted took the first of two lengths (CVE-2020-10108) and a length over a coding (CVE-2020-10109).
#[test]
fn cve_26_two_lengths_and_a_length_over_a_coding() {
    let two = "1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6";
    check_refused(GET, two, FramingRule::LengthsDiffer);
    let both = "1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 6";
    let reason = close(CloseReason::LengthAndTransferEncoding);
    check(GET, both, Framing::Chunked, reason);
}

#[test]
fn rfc_d4_chunked_that_is_not_last_is_refused() {
    check_refused(
        GET,
        "1.1 200 OK\r\nTransfer-Encoding: chunked, gzip",
        FramingRule::TransferCoding,
    );
}

#[test]
fn rfc_d5_a_coding_in_http_1_0_is_ignored_and_the_body_read_to_the_close() {
    let reason = close(CloseReason::TransferEncodingInHttp10);
    for fields in [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nConnection: keep-alive",
    ] {
        let text = format!("1.0 200 OK\r\n{fields}");
        check(GET, &text, Framing::UntilClose, reason);
        let strict = FramingRule::CodingInHttp10;
        check_anomaly(&text, Anomaly::TransferEncodingInHttp10, 1, strict);
    }
}

/// Every spelling but the exact one, as value of one line or (joined by `|`) of several.
const CODINGS: &[&str] = &[
    "",
    ",",
    " ,",
    "chunked,",
    ",chunked",
    ", chunked",
    "chunked, ",
    "chunked,,",
    "chunked, chunked",
    "chunked,chunked",
    "chunked chunked",
    "chunked;",
    "chunked;a=b",
    "chunked; q=1",
    "chunked;q=0",
    "\"chunked\"",
    "'chunked'",
    "<chunked>",
    "(chunked)",
    "xchunked",
    "x-chunked",
    "chunkedx",
    "chunke",
    "hunked",
    "chunked1",
    "chunk",
    "chunks",
    "chun ked",
    "chunk\ted",
    "chunked=1",
    "chunked:",
    ":chunked",
    "chunked/1",
    "identity",
    "identity, chunked",
    "chunked, identity",
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "gzip,chunked",
    "x-gzip, chunked",
    "deflate",
    "deflate, chunked",
    "compress, chunked",
    "br, chunked",
    "trailers",
    "trailers, chunked",
    "*",
    "none",
    "close",
    "keep-alive",
    "cow",
    "cow, chunked",
    "chunKed, CHUNKED",
    "0",
    "5",
    "ſhunked",
    "\u{212a}",
    "chun\u{212a}ed",
    "chunked\u{a0}",
    "\u{a0}chunked",
    "chunked|chunked",
    "chunked|",
    "|chunked",
    "gzip|chunked",
    "chunked|gzip",
    "identity|chunked",
    "chunked|identity",
    "chunked|CHUNKED|Chunked",
];

fn with_codings(lines: &str) -> String {
    let lines: String = lines
        .split('|')
        .map(|value| format!("\r\nTransfer-Encoding: {value}"))
        .collect();
    format!("1.1 200 OK{lines}")
}

#[test]
fn rfc_d6_a_coding_is_exactly_one_chunked() {
    assert!(CODINGS.len() >= 60);
    for coding in CODINGS {
        check_refused(GET, &with_codings(coding), FramingRule::TransferCoding);
    }
    for coding in [
        "chunked",
        "CHUNKED",
        "Chunked",
        "cHuNkEd",
        "chunked \t",
        "\t chunked",
    ] {
        check(GET, &with_codings(coding), Framing::Chunked, PERSISTENT);
    }
}

/// Go took wrong spellings for chunked (CVE-2022-1705). VT and FF do not get past the head.
#[test]
fn cve_16_only_chunked_is_chunked() {
    for coding in CODINGS.iter().filter(|coding| !coding.contains('|')) {
        check_refused(GET, &with_codings(coding), FramingRule::TransferCoding);
        check_refused(HEAD, &with_codings(coding), FramingRule::TransferCoding);
    }
    for byte in ["\x0b", "\x0c"] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {byte}chunked\r\n\r\n");
        let (limits, mode) = (Limits::default(), Strictness::Normal);
        assert!(
            HeadDecoder::new()
                .decode(text.as_bytes(), &limits, mode)
                .is_err()
        );
    }
}

/// hyper misread a coding on several lines (RUSTSEC-2021-0020).
#[test]
fn cve_17_a_coding_on_several_lines_is_refused() {
    for coding in CODINGS.iter().filter(|coding| coding.contains('|')) {
        check_refused(GET, &with_codings(coding), FramingRule::TransferCoding);
    }
}

#[test]
fn rfc_d19_codings_that_are_not_supported_are_a_typed_error() {
    for coding in ["gzip", "deflate", "compress", "x-gzip", "identity"] {
        check_refused(GET, &with_codings(coding), FramingRule::TransferCoding);
    }
}

const BAD_LENGTHS: &[&str] = &[
    "", "+5", "-1", "-0", "0x5", "5 6", "5;", "5.", "5.0", "1e3", "five", "٥", "5,", ",5", ",",
    "5,,5", "5, ", "\"5\"", "5_0", "5\t6", "0b1", "05h", "5, +5", "5, 5x", "5\u{a0}",
];

#[test]
fn rfc_d7_a_length_that_is_not_a_plain_number_is_refused() {
    for length in BAD_LENGTHS {
        for (request, status) in [(GET, 200), (GET, 204), (GET, 304), (HEAD, 200), (GET, 404)] {
            let text = format!("1.1 {status} X\r\nContent-Length: {length}");
            check_refused(request, &text, FramingRule::LengthSyntax);
        }
    }
}

/// hyper took `+` (RUSTSEC-2021-0078).
#[test]
fn cve_18_a_length_has_no_sign() {
    for length in ["+5", "+0", "-5", "+", "-"] {
        let text = format!("1.1 200 OK\r\nContent-Length: {length}");
        check_refused(GET, &text, FramingRule::LengthSyntax);
    }
}

#[test]
fn rfc_d8_equal_lengths_count_as_one_and_different_ones_are_refused() {
    for (fields, count) in [
        ("Content-Length: 5, 5", 1),
        ("Content-Length: 5,5 ,\t5", 2),
        ("Content-Length: 5\r\ncontent-length: 5", 1),
        ("Content-Length: 5\r\nContent-Length: 05", 1),
        ("Content-Length: 5, 5\r\nContent-Length: 5", 2),
    ] {
        let text = format!("1.1 200 OK\r\n{fields}");
        check(GET, &text, Framing::Length(5), PERSISTENT);
        let strict = FramingRule::LengthSyntax;
        check_anomaly(&text, Anomaly::EqualLengths, count, strict);
    }
    for fields in [
        "Content-Length: 5, 6",
        "Content-Length: 5\r\nCONTENT-LENGTH: 6",
    ] {
        for (request, status) in [(GET, 200), (GET, 204), (GET, 304), (HEAD, 200)] {
            let text = format!("1.1 {status} X\r\n{fields}");
            check_refused(request, &text, FramingRule::LengthsDiffer);
        }
    }
}

#[test]
fn rfc_d9_lengths_go_to_64_bits_and_never_wrap() {
    for (length, value) in [
        ("0", 0),
        ("00", 0),
        ("02", 2),
        ("9223372036854775807", i64::MAX as u64),
        ("9223372036854775808", 1 << 63),
        ("18446744073709551615", u64::MAX),
        ("000000000000000000000000018446744073709551615", u64::MAX),
    ] {
        let text = format!("1.1 200 OK\r\nContent-Length: {length}");
        check(GET, &text, Framing::Length(value), PERSISTENT);
    }
    for length in [
        "18446744073709551616",
        "18446744073709551617",
        "36893488147419103232",
        &"9".repeat(99),
    ] {
        let text = format!("1.1 200 OK\r\nContent-Length: {length}");
        check_refused(GET, &text, FramingRule::LengthOverflow);
    }
}

#[test]
fn a_body_without_length_and_coding_goes_to_the_close() {
    let reason = close(CloseReason::DelimitedByClose);
    check(GET, "1.1 200 OK", Framing::UntilClose, reason);
    check(
        GET,
        "1.1 200 OK\r\nConnection: keep-alive",
        Framing::UntilClose,
        reason,
    );
    check(GET, "1.0 200 OK", Framing::UntilClose, reason);
    check(
        GET,
        "1.1 205 X\r\nContent-Length: 3",
        Framing::Length(3),
        PERSISTENT,
    );
}

#[test]
fn rfc_c25_rfc_e22_a_switch_has_to_name_what_was_offered_in_any_case() {
    check(
        UPGRADE,
        "1.1 101 X\r\nUpgrade: WebSocket",
        Framing::None,
        Persistence::Switched,
    );
    check(
        UPGRADE,
        "1.1 101 X\r\nUpgrade: H2C",
        Framing::None,
        Persistence::Switched,
    );
    let rule = FramingRule::SwitchNotAsked;
    check_refused(GET, "1.1 101 X\r\nUpgrade: websocket", rule);
    check_refused(UPGRADE, "1.1 101 X", rule);
    check_refused(UPGRADE, "1.1 101 X\r\nUpgrade:", rule);
    check_refused(UPGRADE, "1.1 101 X\r\nUpgrade: tls", rule);
    check_refused(UPGRADE, "1.1 101 X\r\nUpgrade: websocket, tls", rule);
    check_refused(UPGRADE, "1.0 101 X\r\nUpgrade: websocket", rule);
}

#[test]
fn rfc_e3_a_connection_persists_only_when_neither_side_said_close() {
    let length = Framing::Length(0);
    let of = |version: &str, fields: &str| format!("{version} 200 OK\r\nContent-Length: 0{fields}");
    check(GET, &of("1.1", ""), length, PERSISTENT);
    check(GET, &of("1.0", ""), length, close(CloseReason::Http10));
    check(
        GET,
        &of("1.0", "\r\nConnection: Keep-Alive"),
        length,
        PERSISTENT,
    );
    check(
        GET,
        &of("1.0", "\r\nConnection: x, keep-alive"),
        length,
        PERSISTENT,
    );
    check(
        GET,
        &of("1.0", "\r\nProxy-Connection: keep-alive"),
        length,
        close(CloseReason::Http10),
    );
    let both = of("1.0", "\r\nConnection: keep-alive, close");
    check(GET, &both, length, close(CloseReason::PeerClose));
    let ours = RequestFacts {
        said_close: true,
        ..GET
    };
    check(
        ours,
        &of("1.1", ""),
        length,
        close(CloseReason::CloseRequested),
    );
    check(HEAD, "1.1 200 OK", Framing::None, PERSISTENT);
    check(
        HEAD,
        "1.0 200 OK",
        Framing::None,
        close(CloseReason::Http10),
    );
}

#[test]
fn rfc_e5_close_is_found_in_any_line_list_and_case() {
    for fields in [
        "Connection: close",
        "connection: CLOSE",
        "Connection: keep-alive, Close",
        "Connection: a ,, close\t, b",
        "Connection: keep-alive\r\nConnection: close",
    ] {
        let text = format!("1.1 200 OK\r\nContent-Length: 3\r\n{fields}");
        check(
            GET,
            &text,
            Framing::Length(3),
            close(CloseReason::PeerClose),
        );
    }
    for fields in [
        "Connection: closed",
        "Connection: \"close\"",
        "X-Connection: close",
        "Connection:",
    ] {
        let text = format!("1.1 200 OK\r\nContent-Length: 3\r\n{fields}");
        check(GET, &text, Framing::Length(3), PERSISTENT);
    }
}

#[test]
fn rfc_e21_the_keep_alive_hint_is_read_and_the_least_value_counts() {
    let check = |value: &str, timeout: Option<u64>, max: Option<u64>| {
        let head = head_of(&format!("1.1 200 OK\r\nKeep-Alive: {value}"));
        let timeout = timeout.map(Duration::from_secs);
        assert_eq!(
            KeepAliveHint::parse(&head.fields),
            KeepAliveHint { timeout, max },
            "{value:?}"
        );
    };
    check("timeout=5, max=100", Some(5), Some(100));
    check("TIMEOUT = 5 ,Max=0", Some(5), Some(0));
    check(
        "timeout=5, timeout=3\r\nKeep-Alive: timeout=4",
        Some(3),
        None,
    );
    check("timeout=-1, max=x", None, None);
    check("timeout, max=", None, None);
    check("timeout=99999999999999999999, max=1", None, Some(1));
    check("x=1, timeoutx=2", None, None);
    check("", None, None);
}

#[test]
fn forbidden_trailers_are_known_by_name_without_case() {
    for name in [
        "Content-Length",
        "TRANSFER-encoding",
        "host",
        "Authorization",
        "Set-Cookie",
        "cookie",
        "Content-Type",
        "Content-Encoding",
        "content-whatever",
        "Trailer",
        "TE",
        "Connection",
        "Proxy-Authenticate",
        "Cache-Control",
        "Location",
    ] {
        assert!(is_forbidden_trailer(name), "{name}");
    }
    for name in [
        "ETag",
        "Server-Timing",
        "X-Checksum",
        "Content-Digest",
        "grpc-status",
        "content",
        "é-content-",
    ] {
        assert!(!is_forbidden_trailer(name), "{name}");
    }
}

proptest! {
    /// Whatever the fields say, a verdict keeps the rules that everything else relies on.
    #[test]
    fn verdicts_keep_the_rules(
        version in 0..2,
        status in prop::sample::select(vec![100, 101, 200, 204, 205, 304, 404, 999]),
        is_head in any::<bool>(),
        is_connect in any::<bool>(),
        fields in prop::collection::vec(prop::sample::select(vec![
            "Content-Length: 5", "Content-Length: 6", "Content-Length: 5, 5", "Content-Length: +5",
            "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Connection: close",
            "Connection: keep-alive", "Upgrade: h2c",
        ]), 0..4),
    ) {
        let lines: String = fields.iter().map(|field| format!("\r\n{field}")).collect();
        let request = RequestFacts { is_head, is_connect, ..GET };
        let head = head_of(&format!("1.{version} {status} X{lines}"));
        let strict = response_framing(request, &head, Strictness::Strict);
        let normal = response_framing(request, &head, Strictness::Normal);
        if let Ok(strict) = strict {
            prop_assert!(strict.anomalies.is_empty());
            prop_assert_eq!(normal.as_ref(), Ok(&strict));
        }
        if let Ok(verdict) = normal {
            let ends_itself = verdict.framing != Framing::UntilClose;
            prop_assert!(ends_itself || verdict.persistence != PERSISTENT);
            let bodiless = is_head || matches!(status, 100 | 204 | 304);
            prop_assert!(!bodiless || verdict.framing == Framing::None);
            let both = head.fields.contains("content-length") && head.fields.contains("transfer-encoding");
            prop_assert!(!both || status == 100 || verdict.persistence != PERSISTENT);
        }
    }
}
