//! When a connection serves another request, and when it is closed.

use std::io::Read;
use std::time::Duration;

use wirescope::ErrorKind;
use wirescope::config::EarlyResponse;
use wirescope::error::Repeat;
use wirescope::event::EventKind;
use wirescope::testkit::{Gate, Peer, Script};

use crate::harness::{Lab, PATIENCE, echo_target, ok, once, run, serve};

/// Answers every request with these field lines and the content `ok`.
fn with_fields(status: &str, fields: &str) -> Script {
    serve(format!("{status}\r\n{fields}Content-Length: 2\r\n\r\nok"))
}

/// Whether a second GET reuses the connection of the first, and what the first one was put back with.
#[track_caller]
fn second_reuses(script: Script) -> (bool, String) {
    let lab = Lab::new([script]);
    assert_eq!(lab.get("/").unwrap().text(), "ok");
    let got = lab.get("/").unwrap();
    assert_eq!(lab.peer.connections(), if got.reused { 1 } else { 2 });
    let seen = lab.finish();
    let put = seen.only(EventKind::PutIdleConn)[0].payload_json();
    (got.reused, put)
}

#[test]
fn rfc_e1_p01_p04_connections_are_kept_by_default() {
    let chunked =
        serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    for script in [with_fields("HTTP/1.1 200 OK", ""), chunked] {
        assert!(second_reuses(script).0);
    }
    let lab = Lab::new([echo_target()]);
    for round in 0..20 {
        let method = ["GET", "POST", "DELETE", "PUT"][round % 4];
        let got = run(lab.request(method, "/x")).unwrap();
        assert_eq!((got.text(), got.reused), ("/x", round > 0));
    }
    assert_eq!(lab.client.connections(), (1, 0));
    lab.finish();
}

#[test]
fn rfc_e2_rfc_e6_p01_without_keep_alive_every_request_says_close_once() {
    let peer = Peer::builder().script(echo_target());
    let lab = Lab::with(peer, |client| client.keep_alive(false));
    for _ in 0..3 {
        assert!(!lab.get("/").unwrap().reused);
    }
    for request in lab.peer.requests() {
        let said: Vec<_> = request.fields("connection").collect();
        assert_eq!(said, ["close"]);
    }
    let seen = lab.finish();
    assert_eq!(
        seen.matching("put_idle_conn error=close_requested").len(),
        3
    );
}

#[test]
fn rfc_e6_a_request_that_means_to_close_says_so() {
    let lab = Lab::new([echo_target()]);
    let request = lab.request("GET", "/").header("Connection", "close");
    run(request.unwrap()).unwrap();
    assert!(!lab.get("/").unwrap().reused);
    let said: Vec<_> = lab.peer.requests()[0]
        .fields("connection")
        .map(str::to_owned)
        .collect();
    assert_eq!(said, ["close"]);
    lab.finish();
}

#[test]
fn rfc_e3_rfc_e5_p02_p03_close_in_any_case_list_and_line_ends_the_connection() {
    for fields in [
        "Connection: close\r\n",
        "Connection: CLOSE\r\n",
        "connection: foo , close\r\n",
        "Connection: keep-alive, close\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
        "Connection: close\r\nConnection: keep-alive\r\n",
    ] {
        let (reused, put) = second_reuses(with_fields("HTTP/1.1 200 OK", fields));
        assert!(!reused && put.contains("peer_close"), "{fields}: {put}");
    }
    for fields in [
        "Connection: keep-alive\r\n",
        "Connection: closed\r\n",
        "Connection: x-close\r\n",
    ] {
        assert!(
            second_reuses(with_fields("HTTP/1.1 200 OK", fields)).0,
            "{fields}"
        );
    }
    let (reused, put) = second_reuses(with_fields("HTTP/1.0 200 OK", ""));
    assert!(!reused && put.contains("http10"), "{put}");
    for fields in ["Connection: keep-alive\r\n", "Connection: Keep-Alive\r\n"] {
        assert!(
            second_reuses(with_fields("HTTP/1.0 200 OK", fields)).0,
            "{fields}"
        );
    }
    let both = "Connection: keep-alive, close\r\n";
    assert!(!second_reuses(with_fields("HTTP/1.0 200 OK", both)).0);
}

#[test]
fn rfc_e4_what_leaves_a_doubt_is_not_used_again() {
    let gate = Gate::new();
    let deaf = Script::new().expect_head().send(ok("early"));
    let deaf = deaf.wait_for(gate.clone()).expect_gone();
    let peer = Peer::builder()
        .scripts([deaf, echo_target()])
        .receive_buffer_bytes(16 * 1024);
    let early = Lab::with(peer, |client| client.early_response(EarlyResponse::Abort));
    let big = early.request("POST", "/").body(vec![0; 24 << 20]);
    run(big).unwrap();
    gate.open();
    assert!(!early.get("/").unwrap().reused);
    let seen = early.finish();
    seen.assert_sequence(["put_idle_conn error=upload_unfinished", "conn_closed"]);
    for (answer, reason) in [
        ("HTTP/1.1 200 OK\r\n\r\nok", "delimited_by_close"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
            "connection_lost",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
            "protocol_error",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "length_and_transfer_encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
            "leftover_bytes",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            "protocol_error",
        ),
    ] {
        let lab = Lab::new([once(answer).close(), echo_target()]);
        drop(lab.get("/first"));
        let got = lab.get("/second").unwrap();
        assert_eq!((got.text(), got.reused), ("/second", false), "{answer}");
        let seen = lab.finish();
        seen.assert_sequence([&format!("put_idle_conn error={reason}")[..], "conn_closed"]);
    }
}

#[test]
fn rfc_e7_p09_p10_a_connection_closed_while_idle_is_noticed_before_the_next_request() {
    let lab = Lab::new([once(ok("first")).close(), echo_target()]);
    assert_eq!(lab.get("/first").unwrap().text(), "first");
    assert!(lab.peer.wait_until_closed(PATIENCE));
    let got = run(lab.request("POST", "/second").body("x")).unwrap();
    assert_eq!((got.text(), got.reused), ("/second", false));
    let seen = lab.finish();
    seen.assert_sequence([
        "put_idle_conn error=null",
        "conn_closed reason=peer_closed_idle by=peer",
        "pool_lookup hit=false",
        "call_done status=200",
    ]);
}

#[test]
fn rfc_e7_close_expired_notices_closed_and_speaking_peers() {
    let (gate, sent) = (Gate::new(), Gate::new());
    let speaks = once(ok("a"))
        .wait_for(gate.clone())
        .send("x")
        .open_gate(sent.clone())
        .expect_gone();
    let lab = Lab::new([speaks]);
    lab.get("/").unwrap();
    gate.open();
    assert!(sent.wait(PATIENCE));
    lab.client.close_expired();
    assert_eq!(lab.client.connections(), (0, 0));
    lab.finish()
        .assert_sequence(["conn_closed reason=unsolicited_bytes"]);
    let lab = Lab::new([once(ok("a")).close()]);
    lab.get("/").unwrap();
    assert!(lab.peer.wait_until_closed(PATIENCE));
    lab.client.close_expired();
    assert_eq!(lab.client.connections(), (0, 0));
    lab.finish()
        .assert_sequence(["conn_closed reason=peer_closed_idle"]);
}

#[test]
fn rfc_e8_a_connection_ends_with_a_fin_and_not_with_a_reset() {
    for close in [true, false] {
        let lab = Lab::new([once(ok("a")).expect_eof()]);
        let mut request = lab.request("GET", "/");
        if close {
            request = request.header("Connection", "close").unwrap();
        }
        run(request).unwrap();
        lab.client.close_idle();
        assert!(lab.peer.wait_until_closed(PATIENCE));
        lab.finish();
    }
}

#[test]
fn rfc_e21_p22_keep_alive_of_the_peer_only_shortens_our_time() {
    for (fields, reused) in [
        ("Keep-Alive: timeout=1\r\n", false),
        ("Keep-Alive: timeout=0, max=100\r\n", false),
        ("Keep-Alive: timeout=60\r\n", true),
        ("Keep-Alive: nonsense\r\n", true),
    ] {
        let (seen, put) = second_reuses(with_fields("HTTP/1.1 200 OK", fields));
        assert!(seen == reused && put.contains("null"), "{fields}");
    }
    let last = with_fields("HTTP/1.1 200 OK", "Keep-Alive: timeout=5, max=0\r\n");
    let (reused, put) = second_reuses(last);
    assert!(!reused && put.contains("max_requests"), "{put}");
    let peer = Peer::builder().script(with_fields("HTTP/1.1 200 OK", "Keep-Alive: timeout=60\r\n"));
    let lab = Lab::with(peer, |client| client.idle_timeout(Duration::ZERO));
    lab.get("/").unwrap();
    assert!(!lab.get("/").unwrap().reused);
    let seen = lab.finish();
    seen.assert_sequence(["conn_closed reason=idle_timeout by=local"]);
}

#[test]
fn p18_a_connection_in_use_when_idle_ones_are_closed_is_closed_behind_its_response() {
    let gate = Gate::new();
    let slow = once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        .wait_for(gate.clone())
        .send("ok")
        .expect_eof();
    let lab = Lab::new([slow, echo_target()]);
    let mut response = lab.request("GET", "/").send().unwrap();
    lab.client.close_idle();
    gate.open();
    assert_eq!(response.text(10).unwrap(), "ok");
    drop(response);
    assert!(!lab.get("/").unwrap().reused);
    let seen = lab.finish();
    seen.assert_sequence([
        "put_idle_conn error=close_idle_called",
        "conn_closed reason=close_idle_called",
        "put_idle_conn error=null",
    ]);
}

#[test]
fn p21_many_bodiless_responses_leak_nothing() {
    let lab = Lab::new([serve("HTTP/1.1 204 No Content\r\n\r\n")]);
    for _ in 0..500 {
        drop(lab.request("GET", "/").send().unwrap());
    }
    assert_eq!(lab.peer.connections(), 1);
    assert_eq!(lab.client.connections(), (1, 0));
    lab.finish();
}

#[test]
fn p07_the_pool_keeps_as_many_as_it_may() {
    let gate = Gate::new();
    let slow = Script::new()
        .expect_request()
        .wait_for(gate.clone())
        .send(ok("a"))
        .expect_gone();
    let peer = Peer::builder().script(slow);
    let lab = Lab::with(peer, |client| client.max_idle_per_origin(2));
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(|| lab.get("/"))).collect();
        assert!(lab.peer.wait_for_request(3, PATIENCE));
        gate.open();
        for call in calls {
            call.join().unwrap().unwrap();
        }
    });
    assert_eq!(lab.client.connections(), (2, 0));
    let seen = lab.finish();
    assert_eq!(seen.matching("conn_closed reason=evicted").len(), 1);
}

#[test]
fn a_dropped_body_whose_rest_is_buffered_gives_its_connection_back() {
    let chunks = "5\r\nhello\r\n".repeat(100);
    let lab = Lab::new([serve(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    ))]);
    let mut response = lab.request("GET", "/").send().unwrap();
    let mut some = [0; 7];
    response.read_exact(&mut some).unwrap();
    drop(response);
    assert_eq!(lab.client.connections(), (1, 0));
    assert!(lab.get("/").unwrap().reused);
    lab.finish();
}

#[test]
fn a_204_on_every_method_keeps_the_connection() {
    let lab = Lab::new([serve("HTTP/1.1 204 No Content\r\n\r\n")]);
    for (round, method) in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(run(lab.request(method, "/")).unwrap().reused, round > 0);
    }
    lab.finish();
}

#[test]
fn rfc_e9_r02_a_post_that_may_have_been_processed_is_not_sent_again() {
    for method in ["POST", "PATCH"] {
        let first = Script::new().expect_request().send(ok("first"));
        let script = first.expect_request().close();
        let lab = Lab::new([script, echo_target()]);
        run(lab.request(method, "/")).unwrap();
        let error = run(lab.request(method, "/").body("pay")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PeerClosed);
        assert_eq!(error.repeat(), Repeat::MayHaveBeenProcessed);
        assert!(!error.may_retry());
        assert_eq!(lab.peer.request_count(), 2);
        let seen = lab.finish();
        seen.assert_sequence([
            "got_conn reused=true",
            "put_idle_conn error=connection_lost",
            "call_done kind=peer_closed attempts=1",
        ]);
    }
}

#[test]
fn rfc_e15_a_403_is_handed_out_and_its_request_not_repeated() {
    let lab = Lab::new([serve("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")]);
    let request = lab.request("GET", "/").basic_auth("a", "b");
    assert_eq!(run(request.unwrap()).unwrap().status, 403);
    assert_eq!(lab.peer.request_count(), 1);
    lab.finish();
}

#[test]
fn rfc_h20_nothing_is_stored_and_no_cache_directive_added() {
    let lab = Lab::new([serve(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"a\"\r\nContent-Length: 2\r\n\r\nok",
    )]);
    for _ in 0..2 {
        let got = lab.get("/same").unwrap();
        assert_eq!(got.fields[0].0, "Cache-Control");
    }
    assert_eq!(lab.peer.request_count(), 2);
    for request in lab.peer.requests() {
        for name in ["cache-control", "pragma", "if-none-match"] {
            assert_eq!(request.field(name), None);
        }
    }
    lab.finish();
}

#[test]
fn rfc_h21_the_time_of_receipt_is_told_also_without_a_date() {
    let lab = Lab::new([serve(ok("a"))]);
    lab.get("/").unwrap();
    let seen = lab.finish();
    let at = |kind| seen.one(kind).at();
    let (sent, head, done) = (
        at(EventKind::WroteRequest),
        at(EventKind::GotResponseHead),
        at(EventKind::CallDone),
    );
    assert!(sent <= head && head <= done, "{}", seen.transcript());
}
