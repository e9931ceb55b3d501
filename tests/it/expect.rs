//! Interim responses, and waiting for 100 (Continue).

use std::time::{Duration, Instant};

use wirescope::error::{FramingRule, Limit};
use wirescope::event::EventKind;
use wirescope::testkit::{Peer, Script};
use wirescope::{ErrorKind, Request};

use crate::harness::{
    Lab, PATIENCE, SHORT, answered, echo_target, ok, once, run, serve, took_about,
};

fn post(lab: &Lab) -> Request {
    lab.request("POST", "/first")
        .body("hello")
        .expect_continue()
}

/// Reads a head, which has to expect 100 (Continue).
fn expecting() -> Script {
    Script::new().expect_contains("\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
}

#[test]
fn rfc_b18_e01_a_100_lets_the_body_go() {
    let script = expecting()
        .send("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n")
        .expect_bytes("hello")
        .send(ok("done"))
        .forever(Script::new().expect_request().send(ok("again")));
    let lab = Lab::new([script]);
    assert_eq!(run(post(&lab)).unwrap().text(), "done");
    assert!(lab.get("/").unwrap().reused);
    let seen = lab.finish();
    seen.assert_sequence([
        "wrote_header_field name=Expect value=100-continue",
        "wrote_headers",
        "wait_100_continue limit_ns=1000000000",
        "got_1xx_response status=100 ordinal=0",
        "got_100_continue",
        "expect_done outcome=continue",
        "request_body_start framing=5",
        "request_body_done bytes=5 aborted=false",
        "wrote_request error=null",
        "got_response_head status=200",
    ]);
}

#[test]
fn rfc_b18_nobody_waits_without_saying_expect() {
    let lab = Lab::new([serve(ok("a"))]);
    run(lab.request("POST", "/").body("hello")).unwrap();
    assert_eq!(lab.peer.requests()[0].field("expect"), None);
    lab.finish().none(EventKind::Wait100Continue);
}

#[test]
fn rfc_b19_e04_the_wait_is_bounded_and_the_body_then_sent() {
    let script = expecting().expect_bytes("hello").send(ok("done"));
    let lab = Lab::with(Peer::builder().script(script), |client| {
        client.timeouts(|timeouts| timeouts.expect = SHORT)
    });
    let since = Instant::now();
    assert_eq!(run(post(&lab)).unwrap().text(), "done");
    took_about(since, SHORT);
    let seen = lab.finish();
    seen.none(EventKind::Got100Continue);
    seen.assert_sequence([
        "wait_100_continue",
        "timeout_fired timer=expect",
        "expect_done outcome=timed_out",
        "request_body_done bytes=5",
        "call_done status=200",
    ]);
}

#[test]
fn e05_with_a_limit_of_zero_nothing_is_waited_for() {
    let script = expecting().expect_bytes("hello").send(ok("done"));
    let lab = Lab::with(Peer::builder().script(script), |client| {
        client.timeouts(|timeouts| timeouts.expect = Duration::ZERO)
    });
    run(post(&lab)).unwrap();
    let seen = lab.finish();
    seen.none(EventKind::Wait100Continue);
    seen.none(EventKind::ExpectDone);
}

#[test]
fn rfc_b17_e07_expect_without_a_body_is_not_sent() {
    let lab = Lab::new([serve(ok("a"))]);
    run(lab.request("GET", "/").expect_continue()).unwrap();
    run(lab.request("POST", "/").body("").expect_continue()).unwrap();
    for request in lab.peer.requests() {
        assert_eq!(request.field("expect"), None);
    }
    lab.finish().none(EventKind::Wait100Continue);
}

#[test]
fn rfc_b21_e02_e03_a_final_status_instead_of_100_skips_the_body_and_closes() {
    for status in ["200 OK", "413 Too Large", "500 Oops", "302 Found"] {
        for fields in ["", "Connection: close\r\n", "Connection: keep-alive\r\n"] {
            let answer = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 2\r\n\r\nno");
            let lab = Lab::new([expecting().send(answer).expect_eof(), echo_target()]);
            assert_eq!(run(post(&lab)).unwrap().text(), "no");
            assert_eq!(lab.get("/second").unwrap().text(), "/second");
            assert!(!lab.peer.received()[0].ends_with(b"hello"));
            let seen = lab.finish();
            seen.assert_sequence([
                "wait_100_continue",
                "got_response_head",
                "expect_done outcome=final_response",
                "wrote_request error=body_skipped body_bytes=0",
                "put_idle_conn error=body_skipped",
                "conn_closed reason=body_skipped by=local",
                "call_done error=null",
            ]);
            assert_eq!(seen.matching("request_body_start").len(), 0);
        }
    }
}

#[test]
fn e03_a_lost_connection_ends_the_wait() {
    for script in [expecting().close(), expecting().reset()] {
        let lab = Lab::new([script]);
        let error = run(post(&lab)).unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::PeerClosed | ErrorKind::Io { .. }
        ));
        let seen = lab.finish();
        seen.assert_sequence([
            "expect_done outcome=connection_lost",
            "wrote_request error=connection_lost body_bytes=0",
        ]);
    }
}

#[test]
fn rfc_c24_e08_e09_every_interim_response_is_told_once() {
    let script = expecting()
        .send("HTTP/1.1 102 Processing\r\n\r\n")
        .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        .send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        .expect_bytes("hello")
        .send(ok("done"));
    let lab = Lab::new([script]);
    assert_eq!(run(post(&lab)).unwrap().text(), "done");
    let seen = lab.finish();
    let told = seen.only(EventKind::Got1xxResponse);
    let shown: Vec<_> = told.iter().map(|event| event.payload_json()).collect();
    assert_eq!(shown.len(), 4);
    for (ordinal, status) in [102, 100, 100, 103].into_iter().enumerate() {
        let wanted = format!("\"ordinal\":{ordinal}");
        assert!(
            shown[ordinal].contains(&wanted) && shown[ordinal].contains(&status.to_string()),
            "{shown:?}"
        );
    }
    assert_eq!(seen.only(EventKind::Got100Continue).len(), 1);
    assert_eq!(seen.only(EventKind::GotFirstResponseByte).len(), 1);
    assert_eq!(seen.only(EventKind::FinalResponseStart).len(), 1);

    let lab = Lab::new([serve(format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("a")))]);
    for round in 0..5 {
        assert_eq!(lab.get("/").unwrap().reused, round > 0);
    }
    let seen = lab.finish();
    seen.none(EventKind::Got100Continue);
    assert_eq!(seen.only(EventKind::Got1xxResponse).len(), 5);
}

#[test]
fn rfc_c24_e10_interim_responses_are_bounded_in_count_and_bytes() {
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let (got, _) = answered(format!("{}{}", interim.repeat(16), ok("a")));
    assert_eq!(got.unwrap().text(), "a");
    let (got, seen) = answered(format!("{}{}", interim.repeat(17), ok("a")));
    let kind = got.unwrap_err().kind();
    assert_eq!(
        kind,
        ErrorKind::Limit {
            limit: Limit::InterimCount,
            max: 16
        }
    );
    seen.assert_sequence(["conn_closed reason=protocol_error"]);
    let fat = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
        "x".repeat(12_000)
    );
    let (got, _) = answered(format!("{}{}", fat.repeat(6), ok("a")));
    let kind = got.unwrap_err().kind();
    assert!(
        matches!(
            kind,
            ErrorKind::Limit {
                limit: Limit::InterimBytes,
                ..
            }
        ),
        "{kind:?}"
    );
}

#[test]
fn rfc_c25_e12_a_101_that_was_not_asked_for_is_a_protocol_error() {
    for fields in [
        "",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Content-Length: 2\r\n",
    ] {
        let (got, seen) = answered(format!(
            "HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nok"
        ));
        let kind = got.unwrap_err().kind();
        assert_eq!(kind, ErrorKind::PeerFraming(FramingRule::SwitchNotAsked));
        seen.none(EventKind::GotResponseHead);
        seen.assert_sequence([
            "put_idle_conn error=protocol_error",
            "conn_closed reason=protocol_error",
        ]);
    }
}

#[test]
fn rfc_c26_e11_an_interim_response_has_no_body() {
    for fields in [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n",
    ] {
        let interim = format!("HTTP/1.1 103 Early Hints\r\n{fields}\r\n");
        let answer = Script::new()
            .expect_request()
            .send(format!("{interim}{}", ok("a")));
        let lab = Lab::new([Script::new().forever(answer)]);
        assert_eq!(lab.get("/").unwrap().text(), "a");
        assert!(lab.get("/").unwrap().reused, "{fields}");
        lab.finish();
    }
    let (got, _) = answered("HTTP/1.1 103 Early Hints\r\n\r\n");
    let kind = got.unwrap_err().kind();
    assert!(
        matches!(kind, ErrorKind::PeerIncompleteHead { .. }),
        "{kind:?}"
    );
}

#[test]
fn rfc_b25_nothing_is_sent_behind_a_request_that_said_close() {
    let script = once(ok("a")).expect_eof();
    let lab = Lab::new([script.clone(), script]);
    for _ in 0..2 {
        let request = lab.request("POST", "/").body("hello");
        let request = request.header("Connection", "close").unwrap();
        run(request).unwrap();
    }
    assert!(lab.peer.wait_until_closed(PATIENCE));
    for bytes in lab.peer.received() {
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("\r\n\r\nhello"));
    }
    let seen = lab.finish();
    assert_eq!(
        seen.matching("put_idle_conn error=close_requested").len(),
        2
    );
}
