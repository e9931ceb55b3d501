//! What a response head may look like, byte by byte.

use wirescope::error::{HeadRule, Limit};
use wirescope::{ErrorKind, Phase};

use wirescope::config::Strictness;
use wirescope::event::EventKind;
use wirescope::testkit::{Peer, Script};

use crate::harness::{Got, Lab, answered, answered_with, ok, serve};

/// A head around one status line.
fn with_status_line(line: &str) -> Vec<u8> {
    format!("{line}\r\nContent-Length: 2\r\n\r\nok").into_bytes()
}

/// A head around one field line, given as bytes with its line end.
fn with_field(line: &[u8]) -> Vec<u8> {
    [
        b"HTTP/1.1 200 OK\r\n",
        line,
        b"Content-Length: 2\r\n\r\nok".as_slice(),
    ]
    .concat()
}

#[track_caller]
fn accepted(answer: impl AsRef<[u8]>) -> Got {
    let answer = answer.as_ref();
    let (got, seen) = answered(answer);
    let shown = answer.escape_ascii().to_string();
    match got {
        Ok(got) => {
            assert_eq!(got.body, b"ok", "{shown}");
            seen.assert_sequence(["put_idle_conn error=null"]);
            got
        }
        Err(error) => panic!("{shown}: {error}\n{}", seen.transcript()),
    }
}

/// Asserts that a head is refused by this rule, that the connection is closed for it, and that nothing of the
/// body is told.
#[track_caller]
fn refused(answer: impl AsRef<[u8]>, rule: HeadRule) {
    let answer = answer.as_ref();
    let (got, seen) = answered(answer);
    let shown = answer.escape_ascii().to_string();
    let error = match got {
        Err(error) => error,
        Ok(got) => panic!("{shown}: {}\n{}", got.status, seen.transcript()),
    };
    let told = match error.kind() {
        ErrorKind::PeerHead { rule, .. } => rule,
        other => panic!("{shown}: {other:?}"),
    };
    assert_eq!(told, rule, "{shown}");
    assert_eq!(error.phase(), Phase::Head, "{shown}");
    seen.none(EventKind::GotResponseHead);
    seen.assert_sequence([
        "put_idle_conn error=protocol_error",
        "conn_closed reason=protocol_error",
        "call_done status=null kind=peer_head",
    ]);
}

#[test]
fn rfc_c1_a_head_is_read_as_octets() {
    let got = accepted(with_field(b"X: a\xc2\x85b\xff\xe2\x80\xa8\tc\r\n"));
    assert_eq!(
        got.fields[0],
        ("X".to_owned(), b"a\xc2\x85b\xff\xe2\x80\xa8\tc".to_vec())
    );
}

#[test]
fn rfc_c2_h01_lf_only_lines_are_accepted_and_told() {
    let bare = b"HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\nok";
    let lab = Lab::new([serve(bare)]);
    for round in 0..2 {
        let got = lab.get("/").unwrap();
        assert_eq!((got.text(), got.reused), ("ok", round > 0));
    }
    let seen = lab.finish();
    assert_eq!(
        seen.matching("anomaly anomaly=bare_lf count=4").len(),
        2,
        "{}",
        seen.transcript()
    );
    let (got, _) = answered_with(bare, |client| client.strictness(Strictness::Strict));
    assert!(matches!(
        got.unwrap_err().kind(),
        ErrorKind::PeerHead {
            rule: HeadRule::BareLf,
            ..
        }
    ));
}

#[test]
fn rfc_c3_h02_h21_a_cr_alone_and_controls_are_refused() {
    let (got, _) = answered("HTTP/1.1 200 OK\rContent-Length: 2\r\rok");
    let kind = got.unwrap_err().kind();
    assert_eq!(kind, ErrorKind::PeerIncompleteHead { received: 37 });
    refused("HTTP/1.1 200 OK\rA: b\r\n\r\nok", HeadRule::BareCr);
    refused(with_field(b"A: b\rc\r\n"), HeadRule::BareCr);
    refused(with_field(b"A: b\0c\r\n"), HeadRule::ValueByte);
    refused(with_field(b"A: b\x01c\r\n"), HeadRule::ValueByte);
    refused(with_field(b"A: b\x7fc\r\n"), HeadRule::ValueByte);
}

#[test]
fn rfc_c4_h17_white_space_before_the_first_field_is_refused() {
    for line in [" A: b\r\n", "\tA: b\r\n", " \r\n"] {
        refused(with_field(line.as_bytes()), HeadRule::FoldFirst);
    }
}

#[test]
fn rfc_c5_h04_h05_h06_h07_h10_h11_status_lines() {
    for (line, status, reason) in [
        ("HTTP/1.1 200", 200, ""),
        ("HTTP/1.1 200 ", 200, ""),
        ("HTTP/1.1 200 O\u{e4}K  x", 200, "O\u{e4}K  x"),
        ("HTTP/1.1 999 What", 999, "What"),
        ("HTTP/1.1 600 ", 600, ""),
    ] {
        let got = accepted(with_status_line(line));
        assert_eq!(
            (got.status, &got.reason[..]),
            (status, reason.as_bytes()),
            "{line}"
        );
    }
    for (line, rule) in [
        ("HTTP/1.1  200 OK", HeadRule::StatusLine),
        ("HTTP/1.1\t200 OK", HeadRule::StatusLine),
        ("HTTP/1.1 200\tOK", HeadRule::StatusLine),
        ("HTTP/1.1 20X OK", HeadRule::StatusCode),
        ("HTTP/1.1 abcd OK", HeadRule::StatusCode),
        ("HTTP/1.1 +20 OK", HeadRule::StatusCode),
        ("HTTP/1.1 -10 OK", HeadRule::StatusCode),
        ("HTTP/1.1 20 OK", HeadRule::StatusCode),
        ("HTTP/1.1 000 OK", HeadRule::StatusCode),
        ("HTTP/1.1 099 OK", HeadRule::StatusCode),
    ] {
        let (got, _) = answered(with_status_line(line));
        let kind = got.expect_err(line).kind();
        assert!(
            matches!(kind, ErrorKind::PeerHead { rule: told, .. } if told == rule || told == HeadRule::StatusLine),
            "{line}: {kind:?}"
        );
    }
    for line in ["HTTP/1.1 2000 OK", "HTTP/1.1 0x12 OK", "HTTP/1.1"] {
        let (got, _) = answered(with_status_line(line));
        let kind = got.expect_err(line).kind();
        assert!(
            matches!(kind, ErrorKind::PeerHead { .. }),
            "{line}: {kind:?}"
        );
    }
}

#[test]
fn rfc_c6_the_reason_decides_nothing_and_is_shown_escaped() {
    let (got, seen) =
        answered(b"HTTP/1.1 404 200 \x80\xfe OK\r\nContent-Length: 0\r\n\r\n".as_slice());
    let got = got.unwrap();
    assert_eq!(
        (got.status, &got.reason[..]),
        (404, b"200 \x80\xfe OK".as_slice())
    );
    let shown = seen.one(EventKind::GotResponseHead).to_string();
    assert!(shown.contains(r"\\x80\\xfe"), "{shown}");
}

#[test]
fn rfc_c7_h08_a_higher_minor_is_read_as_1_1() {
    let lab = Lab::new([serve("HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok")]);
    assert!(!lab.get("/").unwrap().reused);
    assert!(lab.get("/").unwrap().reused);
    let seen = lab.finish();
    seen.assert_sequence(["anomaly anomaly=version"]);
}

#[test]
fn rfc_c8_h08_h09_h14_what_is_not_http_1_is_refused() {
    for line in [
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "HTTP/A.B 200 OK",
        "HTTP/1.-1 200 OK",
        "HTTP/1.100 200 OK",
        "HTTP/1 200 OK",
        "hello world, this is no http",
        "220 mail.example.com ESMTP",
    ] {
        let (got, seen) = answered(with_status_line(line));
        let kind = got.expect_err(line).kind();
        assert!(
            matches!(
                kind,
                ErrorKind::PeerHead {
                    rule: HeadRule::Version | HeadRule::NotHttp | HeadRule::StatusLine,
                    ..
                }
            ),
            "{line}: {kind:?}"
        );
        seen.none(EventKind::GotResponseHead);
    }
}

#[test]
fn rfc_c11_h25_unknown_fields_are_handed_out_in_order_and_case() {
    let got = accepted(with_field(
        b"X-uNkNoWn: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nSET-COOKIE: c=3\r\nX-Empty:\r\n",
    ));
    let names: Vec<_> = got.fields.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(
        names,
        [
            "X-uNkNoWn",
            "Set-Cookie",
            "set-cookie",
            "SET-COOKIE",
            "X-Empty",
            "Content-Length"
        ]
    );
    assert_eq!(got.fields[3].1, b"c=3");
    assert_eq!(got.fields[4].1, b"");
}

#[test]
fn rfc_c14_h19_h20_field_lines_without_a_proper_name_are_refused() {
    refused(with_field(b"no colon here\r\n"), HeadRule::NoColon);
    refused(with_field(b": value\r\n"), HeadRule::EmptyName);
    refused(with_field(b"A(b): c\r\n"), HeadRule::NameByte);
    refused(
        with_field("Gr\u{fc}n: c\r\n".as_bytes()),
        HeadRule::NameByte,
    );
    for name in ["Foo ", "Content-Length ", "Transfer-Encoding\t"] {
        refused(
            with_field(format!("{name}: 5\r\n").as_bytes()),
            HeadRule::SpaceBeforeColon,
        );
    }
}

#[test]
fn rfc_c15_h18_folds_become_one_space_each() {
    let folded = with_field(b"A: b\r\n  c\r\n\t d\r\nE: f\r\n");
    let got = accepted(&folded);
    assert_eq!(got.fields[0], ("A".to_owned(), b"b c d".to_vec()));
    assert_eq!(got.fields[1], ("E".to_owned(), b"f".to_vec()));
    let (_, seen) = answered(&folded);
    seen.assert_sequence(["anomaly anomaly=obs_fold count=2"]);
    let (got, _) = answered_with(&folded, |client| client.strictness(Strictness::Strict));
    assert!(matches!(
        got.unwrap_err().kind(),
        ErrorKind::PeerHead {
            rule: HeadRule::Fold,
            ..
        }
    ));
}

#[test]
fn rfc_c17_rfc_c19_h22_h23_heads_are_bounded() {
    let long = |bytes: usize| format!("X: {}\r\n", "a".repeat(bytes));
    let limit = |answer: Vec<u8>, limit: Limit| {
        let (got, seen) = answered_with(answer, |client| {
            client.limits(|limits| {
                limits.line_bytes = 1000;
                limits.head_bytes = 4000;
                limits.field_lines = 10;
            })
        });
        let kind = got.expect_err("over the limit").kind();
        assert!(
            matches!(kind, ErrorKind::Limit { limit: told, .. } if told == limit),
            "{kind:?}"
        );
        seen.none(EventKind::GotResponseHead);
        seen.assert_sequence(["conn_closed reason=protocol_error", "call_done kind=limit"]);
    };
    limit(with_field(long(2000).as_bytes()), Limit::LineBytes);
    limit(with_field(long(900).repeat(6).as_bytes()), Limit::HeadBytes);
    limit(
        with_field("A: b\r\n".repeat(11).as_bytes()),
        Limit::FieldLines,
    );
    limit(
        with_status_line(&format!("HTTP/1.1 200 {}", "r".repeat(2000))),
        Limit::LineBytes,
    );
}

#[test]
fn rfc_c19_an_endless_line_is_given_up_at_its_limit() {
    let script = Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\nX: ")
        .send_repeated(b'a', 64 * 1024 * 1024);
    let lab = Lab::new([script]);
    let error = lab.get("/").unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Limit {
            limit: Limit::LineBytes,
            max: 16_384
        }
    ));
    assert!(error.bytes_received() < 256 * 1024, "{error:?}");
    lab.finish();
}

#[test]
fn rfc_c18_values_of_8000_bytes_are_read() {
    let value = "v".repeat(8192);
    let got = accepted(with_field(format!("X: {value}\r\n").as_bytes()));
    assert_eq!(got.fields[0].1.len(), 8192);
}

#[test]
fn rfc_c27_two_empty_lines_before_the_status_line_are_skipped_on_a_fresh_connection_too() {
    let lab = Lab::new([serve(format!("\r\n\r\n{}", ok("ok")))]);
    assert!(!lab.get("/").unwrap().reused);
    assert!(lab.get("/").unwrap().reused);
    let seen = lab.finish();
    assert_eq!(
        seen.matching("anomaly anomaly=leading_empty_line count=2")
            .len(),
        2
    );
    refused(format!("\r\n\r\n\r\n{}", ok("ok")), HeadRule::EmptyLines);
}

#[test]
fn rfc_c28_errors_and_events_show_no_byte_of_a_bad_head() {
    for bad in [
        with_status_line("\x1b[31mEVIL\x1b[0m"),
        with_status_line("HTTP/1.1 200 \x1b[31mEVIL"),
        with_field(b"A: \x1b[31mEVIL\r\n"),
        with_field(b"\x1b[31mEVIL: b\r\n"),
        with_field(b"EVIL\r\n"),
        with_field(b"Content-Length: EVIL\r\n"),
        with_field(b"Transfer-Encoding: EVIL\r\n"),
    ] {
        let (got, seen) = answered(&bad);
        let error = got.unwrap_err();
        let told = format!("{error} {error:?} {}", seen.transcript());
        assert!(!told.contains("EVIL") && !told.contains('\x1b'), "{told}");
        if let ErrorKind::PeerHead { offset, .. } = error.kind() {
            assert!(offset < bad.len() as u64);
        }
    }
}

#[test]
fn h15_h16_a_head_cut_anywhere_is_incomplete() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for end in (0..whole.len()).step_by(5) {
        let (got, seen) = answered(&whole[..end]);
        let kind = got.unwrap_err().kind();
        let expected = match end {
            0 => ErrorKind::PeerClosed,
            received => ErrorKind::PeerIncompleteHead {
                received: received as u64,
            },
        };
        assert_eq!(kind, expected, "cut at {end}");
        seen.assert_sequence(["conn_closed reason=connection_lost by=peer"]);
    }
}

#[test]
fn h24_heads_in_any_segments_give_the_same_response() {
    let whole = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n\r\nok";
    let mut kinds = Vec::new();
    for size in [1, 2, 3, 7, whole.len()] {
        let script = Script::new().forever(Script::new().expect_request().send_each(whole, size));
        let lab = Lab::new([script]);
        for _ in 0..2 {
            let got = lab.get("/").unwrap();
            assert_eq!(
                (got.text(), got.fields.len()),
                ("ok", 2),
                "segments of {size}"
            );
        }
        let seen = lab.finish();
        kinds.push(seen.kinds());
    }
    kinds.dedup();
    assert_eq!(kinds.len(), 1, "{kinds:?}");
}

#[test]
fn h03_an_interim_head_and_a_final_one_in_one_segment() {
    let both = format!("HTTP/1.1 102 Processing\r\n\r\n{}", ok("ok"));
    accepted(both);
}

#[test]
fn strictness_is_a_setting_of_the_client() {
    let peer = Peer::builder().script(serve(with_field(b"Foo : 5\r\n")));
    let lab = Lab::with(peer, |client| client.strictness(Strictness::Lenient));
    let got = lab.get("/").unwrap();
    assert_eq!(got.fields[0], ("Foo".to_owned(), b"5".to_vec()));
    let seen = lab.finish();
    seen.assert_sequence(["anomaly anomaly=space_before_colon"]);
    let (got, _) = answered_with(with_field(b"Content-Length : 2\r\n"), |client| {
        client.strictness(Strictness::Lenient)
    });
    assert!(got.is_err());
}
