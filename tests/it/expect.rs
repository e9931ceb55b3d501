//! Interim responses, and waiting for 100 (Continue).

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wirescope::error::{FramingRule, Limit, Timer};
use wirescope::event::EventKind;
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, ErrorKind, Phase, Request};

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

/// How the body of an upload is given.
#[derive(Debug, Clone, Copy)]
enum Upload {
    Memory,
    Sized,
    Chunked,
}

/// Gives that many bytes, and counts how often it was asked.
struct Counted {
    left: usize,
    reads: Arc<AtomicUsize>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let count = into.len().min(self.left);
        into[..count].fill(b'x');
        self.left -= count;
        Ok(count)
    }
}

impl Upload {
    fn attach(self, request: Request, bytes: usize) -> (Request, Arc<AtomicUsize>) {
        let reads = Arc::default();
        let source = Counted {
            left: bytes,
            reads: Arc::clone(&reads),
        };
        let request = match self {
            Self::Memory => request.body(vec![b'x'; bytes]),
            Self::Sized => request.body_sized_reader(source, bytes as u64),
            Self::Chunked => request.body_reader(source),
        };
        (request, reads)
    }
}

/// What stands between the head of the request and a final status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A 102, which ends no wait.
    Processing,
}

#[test]
fn rfc_b21_cve_28_after_any_final_status_the_next_request_gets_its_own_answer() {
    let mut points = 0;
    for status in [200, 204, 302, 304, 401, 413, 500, 503] {
        for fields in ["", "Connection: close\r\n"] {
            for bytes in [0, 1, 64 << 10, 4 << 20] {
                for upload in [Upload::Memory, Upload::Sized, Upload::Chunked] {
                    for before in [Before::Nothing, Before::Processing] {
                        instead_of_100(status, fields, bytes, upload, before);
                        points += 1;
                    }
                }
            }
        }
    }
    println!("{points} points");
}

fn instead_of_100(status: u16, fields: &str, bytes: usize, upload: Upload, before: Before) {
    let point = format!("{status} {fields:?}, {bytes} bytes, {upload:?}, {before:?}");
    let content = match status {
        204 | 304 => "",
        _ => "first",
    };
    let length = match status {
        204 => String::new(),
        _ => format!("Content-Length: {}\r\n", content.len()),
    };
    let interim = match before {
        Before::Nothing => "",
        Before::Processing => "HTTP/1.1 102 Processing\r\n\r\n",
    };
    let answer = format!("{interim}HTTP/1.1 {status} X\r\n{fields}{length}\r\n{content}");
    // A chunked body has its end still to send, also without content.
    let is_empty = bytes == 0 && !matches!(upload, Upload::Chunked);
    let is_kept = is_empty && fields.is_empty();
    let script = match (is_empty, is_kept) {
        (true, true) => once(answer).followed_by(echo_target()),
        (true, false) => once(answer).expect_eof(),
        (false, _) => Script::new().expect_head().send(answer).expect_eof(),
    };
    let lab = Lab::new([script, echo_target()]);
    let request = lab.request("POST", "/first").expect_continue();
    let (request, reads) = upload.attach(request, bytes);
    let got = run(request).unwrap_or_else(|error| panic!("{point}: {error:?}"));
    assert_eq!((got.status, got.text()), (status, content), "{point}");
    for target in ["/second", "/third"] {
        let next = lab.get(target).unwrap();
        assert_eq!(next.text(), target, "{point}");
    }
    assert_eq!(
        lab.peer.connections(),
        if is_kept { 1 } else { 2 },
        "{point}"
    );
    assert!(lab.peer.received()[0].starts_with(b"POST /first "));
    if !is_empty {
        assert!(lab.peer.received()[0].ends_with(b"\r\n\r\n"), "{point}");
        assert_eq!(reads.load(Ordering::SeqCst), 0, "{point}");
    }
    let seen = lab.finish();
    if is_empty {
        seen.none(EventKind::Wait100Continue);
        return;
    }
    seen.none(EventKind::Got100Continue);
    seen.none(EventKind::RequestBodyStart);
    seen.assert_sequence([
        "wait_100_continue",
        "expect_done outcome=final_response",
        "wrote_request error=body_skipped body_bytes=0",
        "put_idle_conn error=body_skipped",
        "conn_closed reason=body_skipped by=local",
        "call_done error=null",
    ]);
}

#[test]
fn e01_a_100_lets_any_body_go() {
    for is_tls in [false, true] {
        for bytes in [1, 64 << 10, 4 << 20] {
            for upload in [Upload::Memory, Upload::Sized, Upload::Chunked] {
                let script = Script::new()
                    .expect_head()
                    .send("HTTP/1.1 100 Continue\r\n\r\n")
                    .expect_body()
                    .send(ok("done"))
                    .followed_by(echo_target());
                let lab = match is_tls {
                    true => Lab::tls([script]),
                    false => Lab::new([script]),
                };
                let request = lab.request("POST", "/first").expect_continue();
                let (request, _) = upload.attach(request, bytes);
                assert_eq!(run(request).unwrap().text(), "done");
                assert_eq!(lab.peer.requests()[0].body_bytes, bytes as u64);
                assert!(lab.get("/").unwrap().reused);
                let body = format!("request_body_done bytes={bytes} aborted=false");
                lab.finish().assert_sequence([
                    "got_100_continue",
                    "expect_done outcome=continue",
                    "request_body_start",
                    &body,
                    "wrote_request error=null",
                ]);
            }
        }
    }
}

#[test]
fn e06_a_417_is_handed_out() {
    let refused = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno";
    let lab = Lab::new([expecting().send(refused).expect_eof(), echo_target()]);
    let got = run(post(&lab)).unwrap();
    assert_eq!((got.status, got.text()), (417, "no"));
    assert_eq!(lab.get("/second").unwrap().text(), "/second");
    lab.finish()
        .assert_sequence(["expect_done outcome=final_response", "put_idle_conn"]);
}

#[test]
fn e04_a_102_alone_does_not_end_the_wait() {
    let script = expecting()
        .send("HTTP/1.1 102 Processing\r\n\r\n")
        .expect_bytes("hello")
        .send(ok("done"));
    let lab = Lab::with(Peer::builder().script(script), |client| {
        client.timeouts(|timeouts| timeouts.expect = SHORT)
    });
    assert_eq!(run(post(&lab)).unwrap().text(), "done");
    let seen = lab.finish();
    seen.none(EventKind::Got100Continue);
    seen.assert_sequence([
        "got_1xx_response status=102",
        "timeout_fired timer=expect",
        "expect_done outcome=timed_out",
        "request_body_start",
    ]);
}

#[test]
fn rfc_c24_e08_e09_a_100_that_is_late_repeated_or_unasked_is_told_and_no_more() {
    let again = "HTTP/1.1 100 Continue\r\n\r\n";
    let late = expecting().expect_bytes("hello").send(again).send(ok("a"));
    let inside = expecting().send(again).expect_bytes("he");
    let repeated = inside.send(again).expect_bytes("llo").send(ok("a"));
    let unasked = Script::new()
        .expect_contains("\r\n\r\nhe")
        .send(again)
        .expect_bytes("llo")
        .send(ok("a"));
    for (script, is_expected, limit, got, told) in [
        (late, true, SHORT, 0, 1),
        (repeated, true, PATIENCE, 1, 2),
        (unasked, false, PATIENCE, 0, 1),
    ] {
        let peer = Peer::builder().scripts([script.followed_by(echo_target())]);
        let lab = Lab::with(peer, |client| {
            client.timeouts(|timeouts| timeouts.expect = limit)
        });
        let mut request = lab.request("POST", "/").body("hello");
        if is_expected {
            request = request.expect_continue();
        }
        assert_eq!(run(request).unwrap().text(), "a");
        let next = lab.get("/second").unwrap();
        assert!(next.reused && next.text() == "/second");
        let seen = lab.finish();
        assert_eq!(seen.only(EventKind::Got100Continue).len(), got);
        assert_eq!(seen.only(EventKind::Got1xxResponse).len(), told);
        assert_eq!(
            seen.only(EventKind::ExpectDone).len(),
            usize::from(is_expected)
        );
    }
}

#[test]
fn e05_with_a_limit_of_zero_a_100_is_told_and_no_more() {
    let script = expecting()
        .expect_bytes("hello")
        .send("HTTP/1.1 100 Continue\r\n\r\n")
        .send(ok("done"));
    let lab = Lab::with(Peer::builder().script(script), |client| {
        client.timeouts(|timeouts| timeouts.expect = Duration::ZERO)
    });
    assert_eq!(run(post(&lab)).unwrap().text(), "done");
    let seen = lab.finish();
    seen.none(EventKind::Wait100Continue);
    seen.none(EventKind::Got100Continue);
    assert_eq!(seen.only(EventKind::Got1xxResponse).len(), 1);
}

#[test]
fn rfc_d20_a_100_behind_the_final_response_is_no_answer_to_anything() {
    let late = format!("{}HTTP/1.1 100 Continue\r\n\r\n", ok("no"));
    let lab = Lab::new([
        expecting().send(&late).expect_eof(),
        once(late),
        echo_target(),
    ]);
    assert_eq!(run(post(&lab)).unwrap().text(), "no");
    assert_eq!(lab.get("/second").unwrap().text(), "no");
    let next = lab.get("/third").unwrap();
    assert!(!next.reused && next.text() == "/third");
    let seen = lab.finish();
    seen.none(EventKind::Got1xxResponse);
    seen.assert_sequence([
        "put_idle_conn error=body_skipped",
        "put_idle_conn error=leftover_bytes",
    ]);
}

#[test]
fn rfc_b21_a_100_and_the_final_response_at_once_leave_the_next_request_its_own_answer() {
    for bytes in [1, 64 << 10, 4 << 20] {
        for upload in [Upload::Memory, Upload::Sized, Upload::Chunked] {
            let both = format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("first"));
            let script = Script::new().expect_head().send(both).expect_gone();
            let lab = Lab::new([script, echo_target()]);
            let request = lab.request("POST", "/first").expect_continue();
            let (request, _) = upload.attach(request, bytes);
            assert_eq!(run(request).unwrap().text(), "first");
            let next = lab.get("/second").unwrap();
            assert!(next.text() == "/second" && !next.reused);
            lab.finish().assert_sequence([
                "got_100_continue",
                "expect_done outcome=continue",
                "request_body_done aborted=true",
                "wrote_request error=response_ended",
                "put_idle_conn error=upload_unfinished",
            ]);
        }
    }
}

#[test]
fn a_total_or_a_cancel_ends_the_wait_and_says_so() {
    let silent = || expecting().expect_gone();
    let lab = Lab::with(Peer::builder().script(silent()), |client| {
        client
            .timeout(SHORT)
            .timeouts(|timeouts| timeouts.expect = PATIENCE)
    });
    let error = run(post(&lab)).unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout(Timer::Total), Phase::Expect)
    );
    lab.finish().assert_sequence([
        "timeout_fired timer=total",
        "expect_done outcome=deadline",
        "wrote_request error=timeout body_bytes=0",
    ]);

    let lab = Lab::with(Peer::builder().script(silent()), |client| {
        client.timeouts(|timeouts| timeouts.expect = PATIENCE)
    });
    let mut request = post(&lab);
    let handle = request.cancel_handle();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| run(request));
        assert!(lab.peer.wait_for_connection(1, PATIENCE));
        handle.cancel();
        assert!(call.join().unwrap().unwrap_err().is_canceled());
    });
    lab.finish_unfollowed();
}

/// A 1xx stream without end is bounded whether or not anybody listens (Go lets a hook lift the bound).
#[test]
fn rfc_c24_e10_cve_40_interim_responses_without_end_are_bounded_with_and_without_observers() {
    let flood = |pause| {
        let one = Script::new().send("HTTP/1.1 100 Continue\r\n\r\n");
        Script::new().expect_head().forever(match pause {
            true => one.pause(Duration::from_millis(1)),
            false => one,
        })
    };
    for pause in [false, true] {
        for expect in [false, true] {
            let lab = Lab::new([flood(pause)]);
            let quiet = Client::new().unwrap();
            let loud = lab.client.clone();
            for client in [quiet, loud] {
                let request = client.post(&lab.peer.url("/")).unwrap().body("hello");
                let request = match expect {
                    true => request.expect_continue(),
                    false => request,
                };
                let error = run(request).unwrap_err();
                let limit = ErrorKind::Limit {
                    limit: Limit::InterimCount,
                    max: 16,
                };
                assert_eq!((error.kind(), error.phase()), (limit, Phase::Head));
            }
            let seen = lab.finish_unfollowed();
            assert_eq!(seen.only(EventKind::Got1xxResponse).len(), 16);
            assert_eq!(
                seen.only(EventKind::Got100Continue).len(),
                usize::from(expect)
            );
        }
    }
}
