//! Where a response ends, and what becomes of its connection.

use std::io::Read;

use wirescope::config::Strictness;
use wirescope::error::{ChunkRule, FramingRule};
use wirescope::event::EventKind;
use wirescope::message::framing::Framing;
use wirescope::testkit::check::Checked;
use wirescope::testkit::{Gate, Peer, Script};
use wirescope::{ErrorKind, Phase};

use crate::harness::{
    Got, Lab, PATIENCE, answered, answered_with, echo_target, ok, once, run, serve,
};

fn chunked(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[track_caller]
fn accepted(answer: impl AsRef<[u8]>) -> (Got, Checked) {
    let answer = answer.as_ref();
    let (got, seen) = answered(answer);
    match got {
        Ok(got) => (got, seen),
        Err(error) => panic!("{}: {error}\n{}", answer.escape_ascii(), seen.transcript()),
    }
}

/// Asserts that an answer is refused for its framing, before anything of it is handed out.
#[track_caller]
fn refused(answer: impl AsRef<[u8]>, rule: FramingRule) {
    let answer = answer.as_ref();
    let (got, seen) = answered(answer);
    let shown = answer.escape_ascii().to_string();
    let error = got.expect_err(&shown);
    assert_eq!(error.kind(), ErrorKind::PeerFraming(rule), "{shown}");
    seen.none(EventKind::GotResponseHead);
    seen.none(EventKind::ResponseBodyStart);
    seen.assert_sequence([
        "put_idle_conn error=protocol_error",
        "conn_closed reason=protocol_error by=local",
        "call_done kind=peer_framing",
    ]);
}

/// Two GETs, the first answered by these bytes in one segment: the second must get its own answer.
#[track_caller]
fn then_another(first: impl AsRef<[u8]>, close: &str) -> Checked {
    let lab = Lab::new([once(first).expect_gone(), echo_target()]);
    drop(lab.get("/first"));
    let got = lab.get("/second").unwrap();
    assert_eq!((got.text(), got.reused), ("/second", false));
    let seen = lab.finish();
    seen.assert_sequence([
        &format!("put_idle_conn error={close}")[..],
        "conn_closed",
        "got_conn reused=false",
    ]);
    seen
}

#[test]
fn rfc_d1_b21_b22_some_responses_have_no_body_whatever_their_fields_say() {
    for (method, head) in [
        ("HEAD", "200 OK\r\nContent-Length: 100"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked"),
        ("HEAD", "404 No\r\nContent-Length: 7"),
        ("GET", "204 No Content\r\nContent-Length: 5"),
        ("GET", "204 No Content\r\nTransfer-Encoding: chunked"),
        ("GET", "304 Not Modified\r\nContent-Length: 5"),
        ("GET", "304 Not Modified\r\nTransfer-Encoding: chunked"),
        ("DELETE", "204 No Content"),
    ] {
        let lab = Lab::new([serve(format!("HTTP/1.1 {head}\r\n\r\n"))]);
        for round in 0..2 {
            let got = run(lab.request(method, "/")).unwrap();
            assert_eq!((got.body.len(), got.framing), (0, Framing::None), "{head}");
            assert_eq!(got.reused, round > 0, "{method} {head}");
        }
        let seen = lab.finish();
        seen.none(EventKind::ResponseBodyStart);
    }
}

#[test]
fn b21_b22_a_body_where_none_belongs_costs_the_connection() {
    for (method, answer) in [
        ("HEAD", ok("hello")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\nhello".to_owned()),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
    ] {
        let lab = Lab::new([once(&answer).expect_gone(), echo_target()]);
        assert!(run(lab.request(method, "/")).unwrap().body.is_empty());
        assert_eq!(lab.get("/second").unwrap().text(), "/second");
        let seen = lab.finish();
        seen.assert_sequence(["put_idle_conn error=leftover_bytes", "conn_closed"]);
    }
}

#[test]
fn rfc_d3_b16_a_coding_wins_over_a_length_and_the_connection_is_closed() {
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let seen = then_another(both, "length_and_transfer_encoding");
    seen.assert_sequence(["anomaly anomaly=length_and_transfer_encoding"]);
    assert_eq!(accepted(both).0.text(), "hello");
    let (got, _) = answered_with(both, |client| client.strictness(Strictness::Strict));
    assert_eq!(
        got.unwrap_err().kind(),
        ErrorKind::PeerFraming(FramingRule::LengthAndCoding)
    );
    refused(
        both.replace("Length: 3", "Length: x"),
        FramingRule::LengthSyntax,
    );
}

#[test]
fn rfc_d4_rfc_d6_rfc_d19_b18_a_coding_is_exactly_one_chunked() {
    let coded = |coding: &str| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    };
    for coding in ["CHUNKED", "Chunked ", "chunked"] {
        let (got, _) = accepted(coded(coding));
        assert_eq!((got.text(), got.framing), ("hello", Framing::Chunked));
    }
    for coding in [
        "gzip, chunked",
        "chunked, gzip",
        "gzip",
        "identity",
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked;q=1",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "",
    ] {
        refused(coded(coding), FramingRule::TransferCoding);
    }
    let (got, _) = answered(coded("\x0bchunked"));
    assert!(got.is_err());
}

#[test]
fn rfc_d5_b19_a_coding_in_http_1_0_is_ignored_and_costs_the_connection() {
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let (got, seen) = accepted(old);
    assert_eq!(got.framing, Framing::UntilClose);
    assert_eq!(got.text(), "5\r\nhello\r\n0\r\n\r\n");
    seen.assert_sequence([
        "anomaly anomaly=transfer_encoding_in_http10",
        "put_idle_conn error=transfer_encoding_in_http10",
        "conn_closed",
    ]);
    let (got, _) = answered_with(old, |client| client.strictness(Strictness::Strict));
    assert_eq!(
        got.unwrap_err().kind(),
        ErrorKind::PeerFraming(FramingRule::CodingInHttp10)
    );
}

#[test]
fn rfc_d7_rfc_d9_b07_lengths_are_plain_numbers_of_64_bits() {
    let sized = |length: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello");
    for length in ["5", "05", "0000000000000000000000005", " 5 "] {
        assert_eq!(accepted(sized(length)).0.text(), "hello", "{length}");
    }
    for length in ["+5", "-1", "0x5", "5 6", "", "5;", "five", "5.0", "\u{664}"] {
        refused(sized(length), FramingRule::LengthSyntax);
    }
    for length in ["18446744073709551616", "99999999999999999999999"] {
        refused(sized(length), FramingRule::LengthOverflow);
    }
    let (got, _) = answered(sized("18446744073709551615"));
    assert_eq!(
        got.unwrap_err().kind(),
        ErrorKind::PeerIncompleteBody {
            received: 5,
            expected: Some(u64::MAX)
        }
    );
}

#[test]
fn rfc_d8_b05_b06_equal_lengths_count_as_one_and_different_ones_are_refused() {
    for status in ["200 OK", "204 No Content", "304 Not Modified"] {
        for equal in [
            "5, 5",
            "5\r\nContent-Length: 5",
            "5,5\r\nContent-Length: 05",
        ] {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {equal}\r\n\r\n");
            let body = if status == "200 OK" { "hello" } else { "" };
            let (got, seen) = accepted(format!("{answer}{body}"));
            assert_eq!(got.text(), body);
            seen.assert_sequence(["anomaly anomaly=equal_lengths", "put_idle_conn error=null"]);
        }
        for different in ["5, 6", "5\r\nContent-Length: 6", "5, 5, 6"] {
            refused(
                format!("HTTP/1.1 {status}\r\nContent-Length: {different}\r\n\r\nhello"),
                FramingRule::LengthsDiffer,
            );
        }
    }
    let lab = Lab::new([once("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n").close()]);
    assert!(run(lab.request("HEAD", "/")).is_err());
    lab.finish();
}

#[test]
fn rfc_d10_b02_a_body_cut_before_its_length_is_incomplete() {
    let answer = ok("hello");
    let head = answer.len() - 5;
    for cut in 0..5 {
        let (got, seen) = answered(&answer[..head + cut]);
        let error = got.unwrap_err();
        let kind = ErrorKind::PeerIncompleteBody {
            received: cut as u64,
            expected: Some(5),
        };
        assert_eq!((error.kind(), error.phase()), (kind, Phase::Receive));
        seen.assert_sequence([
            "response_body_done how=error",
            "put_idle_conn error=connection_lost",
            "conn_closed reason=connection_lost by=peer",
        ]);
    }
}

#[test]
fn rfc_d10_a_reset_within_a_body_is_an_error_and_told_again_by_each_read() {
    let gate = Gate::new();
    let script = once("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        .wait_for(gate.clone())
        .reset();
    let lab = Lab::new([script]);
    let mut response = lab.request("GET", "/").send().unwrap();
    let mut piece = [0; 100];
    let mut count = 0;
    while count < 5 {
        count += response.read(&mut piece[count..]).unwrap();
    }
    gate.open();
    assert_eq!(&piece[..5], b"hello");
    for _ in 0..3 {
        let error = response.read(&mut piece).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!(response.read(&mut []).unwrap(), 0);
    drop(response);
    lab.finish();
}

#[test]
fn rfc_d11_b08_b10_b11_b12_b13_a_chunked_body_is_read_to_its_last_chunk_or_refused() {
    let whole = chunked("5;a=\"b;c\" \r\nhello\r\n00A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n");
    assert_eq!(accepted(&whole).0.text(), "hello0123456789");
    let head = chunked("").len();
    for cut in head..whole.len() {
        let (got, seen) = answered(&whole[..cut]);
        let error = got.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::PeerIncompleteBody { expected: None, .. }
            ),
            "cut at {cut}: {error:?}"
        );
        seen.assert_sequence(["response_body_done how=error", "conn_closed"]);
    }
    for (body, rule) in [
        ("\r\nhello", ChunkRule::SizeSyntax),
        ("0x5\r\nhello", ChunkRule::SizeSyntax),
        (" 5\r\nhello", ChunkRule::SizeSyntax),
        ("g\r\nhello", ChunkRule::SizeSyntax),
        ("-5\r\nhello", ChunkRule::SizeSyntax),
        ("11111111111111111\r\nhello", ChunkRule::SizeOverflow),
        ("5\nhello\r\n0\r\n\r\n", ChunkRule::SizeLineEnd),
        ("5\r\r\nhello\r\n0\r\n\r\n", ChunkRule::SizeLineEnd),
        ("5;a\nb\r\nhello\r\n0\r\n\r\n", ChunkRule::SizeLineEnd),
        ("5;a\x01b\r\nhello\r\n0\r\n\r\n", ChunkRule::Extension),
        ("5\r\nhello\n0\r\n\r\n", ChunkRule::DataEnd),
        ("5\r\nhelloo\r\n0\r\n\r\n", ChunkRule::DataEnd),
    ] {
        let (got, _) = answered(chunked(body));
        let kind = got.expect_err(body).kind();
        let told = match kind {
            ErrorKind::PeerChunk { rule, .. } => rule,
            other => panic!("{body:?}: {other:?}"),
        };
        let either = [ChunkRule::SizeLineEnd, ChunkRule::Extension];
        assert!(
            told == rule || either.contains(&told) && either.contains(&rule),
            "{body:?}: {told:?}"
        );
    }
}

#[test]
fn b11_the_valid_part_before_a_bad_chunk_is_handed_out_first() {
    let lab = Lab::new([once(chunked("5\r\nhello\r\nzz\r\n")).expect_gone()]);
    let mut response = lab.request("GET", "/").send().unwrap();
    let mut body = Vec::new();
    assert!(response.read_to_end(&mut body).is_err());
    assert_eq!(body, b"hello");
    drop(response);
    lab.finish();
}

#[test]
fn b15_a_part_of_a_chunk_is_handed_out_at_once() {
    let gate = Gate::new();
    let script = once(chunked("a\r\nhello"))
        .wait_for(gate.clone())
        .send("world\r\n0\r\n\r\n");
    let lab = Lab::new([script]);
    let mut response = lab.request("GET", "/").send().unwrap();
    let mut piece = [0; 100];
    assert_eq!(response.read(&mut piece).unwrap(), 5);
    gate.open();
    let mut rest = String::new();
    response.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "world");
    drop(response);
    lab.finish();
}

#[test]
fn b14_the_read_that_takes_the_last_data_ends_the_message() {
    let lab = Lab::new([serve(chunked("5\r\nhello\r\n0\r\n\r\n"))]);
    let mut response = lab.request("GET", "/").send().unwrap();
    let mut piece = [0; 5];
    response.read_exact(&mut piece).unwrap();
    assert!(lab.get("/").unwrap().reused);
    drop(response);
    lab.finish();
}

#[test]
fn b09_one_byte_per_chunk_passes_and_a_flood_of_extensions_does_not() {
    let bytes = "1\r\nx\r\n".repeat(100_000);
    let (got, _) = accepted(chunked(&format!("{bytes}0\r\n\r\n")));
    assert_eq!(got.body.len(), 100_000);
    let flood = format!("1;{}\r\nx\r\n", "e".repeat(100)).repeat(1000);
    let (got, _) = answered(chunked(&format!("{flood}0\r\n\r\n")));
    assert!(matches!(got.unwrap_err().kind(), ErrorKind::Limit { .. }));
}

#[test]
fn rfc_d12_b20_without_length_the_close_is_the_end_and_a_reset_is_an_error() {
    for fields in ["", "Connection: keep-alive\r\n"] {
        let (got, seen) = accepted(format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello"));
        assert_eq!((got.text(), got.framing), ("hello", Framing::UntilClose));
        seen.assert_sequence([
            "got_response_head framing=until_close",
            "response_body_done how=delimited_by_close",
            "put_idle_conn error=delimited_by_close",
            "conn_closed by=peer",
        ]);
    }
    let gate = Gate::new();
    let script = once("HTTP/1.1 200 OK\r\n\r\nhello")
        .wait_for(gate.clone())
        .reset();
    let lab = Lab::new([script]);
    let mut response = lab.request("GET", "/").send().unwrap();
    let mut first = [0; 5];
    response.read_exact(&mut first).unwrap();
    gate.open();
    let error = response.read(&mut first).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    drop(response);
    lab.finish();
}

#[test]
fn rfc_d17_rfc_d18_b23_b24_trailers_are_kept_apart_and_forbidden_ones_not_used() {
    let answer = "HTTP/1.1 200 OK\r\nTrailer: X-T, Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\nHost: evil\r\nSet-Cookie: a=b\r\nAuthorization: x\r\nx-u: 2\r\n\r\n";
    let lab = Lab::new([serve(answer)]);
    let mut response = lab.request("GET", "/").send().unwrap();
    assert!(
        response
            .trailers()
            .is_none_or(|trailers| trailers.is_empty())
    );
    assert_eq!(response.text(100).unwrap(), "hello");
    let trailers = response.trailers().unwrap();
    let names: Vec<_> = trailers.iter().map(|line| line.name().to_owned()).collect();
    assert_eq!(names, ["X-T", "x-u"]);
    assert!(response.header("X-T").is_none() && response.header("Set-Cookie").is_none());
    assert!(lab.get("/").unwrap().reused);
    drop(response);
    let seen = lab.finish();
    seen.assert_sequence([
        "got_trailer_field name=X-T used=true",
        "got_trailer_field name=Content-Length used=false",
        "got_trailer_field name=Set-Cookie used=false",
        "got_trailer_field name=x-u used=true",
        "response_body_done how=complete",
    ]);
    assert!(
        !seen
            .matching("anomaly anomaly=forbidden_trailer")
            .is_empty()
    );
}

#[test]
fn b25_a_trailer_section_is_bounded_and_lf_only_lines_never_hang() {
    let many = "X: y\r\n".repeat(40);
    let (got, _) = answered(chunked(&format!("0\r\n{many}\r\n")));
    assert!(matches!(got.unwrap_err().kind(), ErrorKind::Limit { .. }));
    let (got, _) = accepted(chunked("5\r\nhello\r\n0\r\nX: y\n\n"));
    assert_eq!(got.trailers.len(), 1);
}

#[test]
fn rfc_d20_b03_b04_bytes_behind_a_response_are_never_a_response() {
    let evil = ok("evil!");
    for first in [
        ok("hello"),
        ok(""),
        chunked("5\r\nhello\r\n0\r\n\r\n"),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(),
    ] {
        then_another(format!("{first}{evil}"), "leftover_bytes");
        then_another(format!("{first}\r\n"), "leftover_bytes");
    }
}

#[test]
fn rfc_d21_p12_bytes_on_an_idle_connection_close_it() {
    for junk in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "\r\n",
        "x",
    ] {
        let (gate, sent) = (Gate::new(), Gate::new());
        let script = once(ok("first"))
            .wait_for(gate.clone())
            .send(junk)
            .open_gate(sent.clone())
            .expect_gone();
        let lab = Lab::new([script, echo_target()]);
        assert_eq!(lab.get("/").unwrap().text(), "first");
        gate.open();
        assert!(sent.wait(PATIENCE));
        assert_eq!(lab.get("/second").unwrap().text(), "/second");
        let seen = lab.finish();
        seen.assert_sequence([
            "put_idle_conn error=null",
            "conn_closed reason=unsolicited_bytes by=local",
            "pool_lookup hit=false",
        ]);
    }
}

#[test]
fn rfc_d22_a_request_is_sent_only_when_the_answer_before_is_complete() {
    let (gate, first_in) = (Gate::new(), Gate::new());
    let slow = Script::new()
        .expect_request()
        .open_gate(first_in.clone())
        .wait_for(gate.clone())
        .send(ok("slow"))
        .expect_gone();
    let lab = Lab::new([slow, echo_target()]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| lab.get("/slow"));
        assert!(first_in.wait(PATIENCE));
        assert_eq!(lab.get("/second").unwrap().text(), "/second");
        gate.open();
        assert_eq!(first.join().unwrap().unwrap().text(), "slow");
    });
    assert_eq!(lab.peer.connections(), 2);
    lab.finish();
}

#[test]
fn rfc_d23_an_unread_body_costs_the_connection_and_a_drained_one_does_not() {
    let long = "x".repeat(40_000);
    let lab = Lab::new([serve(ok(&long))]);
    drop(lab.request("GET", "/").send().unwrap());
    let again = lab.request("GET", "/").send().unwrap();
    assert!(!again.is_connection_reused());
    again.drain().unwrap();
    assert!(lab.get("/").unwrap().reused);
    let seen = lab.finish_unfollowed();
    seen.assert_sequence([
        "response_body_done how=closed_early",
        "put_idle_conn error=body_not_read",
        "conn_closed",
        "response_body_done how=drained",
        "put_idle_conn error=null",
    ]);
}

#[test]
fn rfc_d24_every_answer_reaches_its_own_request() {
    let lab = Lab::new([echo_target()]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let lab = &lab;
            scope.spawn(move || {
                for round in 0..50 {
                    let target = format!("/{thread}/{round}");
                    if round % 7 == 3 {
                        drop(lab.request("GET", &target).send().unwrap());
                    } else {
                        assert_eq!(lab.get(&target).unwrap().text(), target);
                    }
                }
            });
        }
    });
    lab.finish_unfollowed();
}

#[test]
fn rfc_d25_a_205_is_read_by_its_framing() {
    let lab = Lab::new([serve(
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello",
    )]);
    assert_eq!(lab.get("/").unwrap().text(), "hello");
    assert!(lab.get("/").unwrap().reused);
    lab.finish();
}

#[test]
fn rfc_c23_the_same_answer_is_read_as_its_request_asks() {
    let answer = ok("hello");
    let lab = Lab::new([once(&answer).expect_gone(), once(&answer).expect_gone()]);
    let head = run(lab.request("HEAD", "/")).unwrap();
    assert_eq!((head.body.len(), head.framing), (0, Framing::None));
    assert!(
        head.fields
            .contains(&("Content-Length".to_owned(), b"5".to_vec()))
    );
    assert_eq!(lab.get("/").unwrap().text(), "hello");
    lab.finish();
}

#[test]
fn b27_b30_limits_of_collected_bodies_and_reads_behind_the_end() {
    let lab = Lab::with(
        Peer::builder().script(serve(chunked(&format!(
            "{}0\r\n\r\n",
            "5\r\nhello\r\n".repeat(100)
        )))),
        |client| client,
    );
    let mut response = lab.request("GET", "/").send().unwrap();
    let error = response.text(100).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit { max: 100, .. }));
    drop(response);
    let mut response = lab.request("GET", "/").send().unwrap();
    assert_eq!(response.text(500).unwrap().len(), 500);
    for _ in 0..3 {
        assert_eq!(response.read(&mut [0; 10]).unwrap(), 0);
    }
    drop(response);
    lab.finish_unfollowed();
}
