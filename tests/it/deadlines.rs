//! Every phase has a deadline, and its error names it.

use std::io::Read;
use std::time::{Duration, Instant};

use wirescope::config::Timeouts;
use wirescope::error::Timer;
use wirescope::event::EventKind;
use wirescope::testkit::{BlackHole, Gate, Peer, Script};
use wirescope::{ErrorKind, Phase};

use crate::harness::{
    Lab, PATIENCE, SHORT, authority, echo_target, ok, once, run, serve, took_about, trusting,
};

/// A call that runs into one deadline: its timer and phase, and what its events say.
#[track_caller]
fn runs_out(
    script: Script,
    body: usize,
    limit: impl FnOnce(&mut Timeouts),
    timer: Timer,
    phase: Phase,
) {
    let peer = Peer::builder()
        .script(script)
        .receive_buffer_bytes(16 * 1024);
    let lab = Lab::with(peer, |client| client.timeouts(limit));
    let since = Instant::now();
    let request = match body {
        0 => lab.request("GET", "/"),
        body => lab.request("POST", "/").body(vec![b'x'; body]),
    };
    let error = run(request).unwrap_err();
    took_about(since, SHORT);
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout(timer), phase)
    );
    assert!(error.is_timeout() && !error.is_canceled());
    let seen = lab.finish_unfollowed();
    seen.assert_sequence([
        &format!("timeout_fired timer={}", timer.tag())[..],
        "put_idle_conn error=timeout",
        "conn_closed reason=timeout by=local",
        "call_done kind=timeout",
    ]);
}

#[test]
fn t01_the_first_byte_of_a_response_has_a_deadline() {
    let silent = Script::new().expect_request().stall();
    runs_out(
        silent,
        0,
        |timeouts| timeouts.first_byte = Some(SHORT),
        Timer::FirstByte,
        Phase::FirstByte,
    );
}

#[test]
fn t01_a_fast_request_beside_a_slow_one_is_not_touched() {
    let (in_hand, gate) = (Gate::new(), Gate::new());
    let slow = Script::new()
        .expect_request()
        .open_gate(in_hand.clone())
        .wait_for(gate.clone());
    let peer = Peer::builder().scripts([slow, echo_target()]);
    let lab = Lab::with(peer, |client| {
        client.timeouts(|timeouts| timeouts.first_byte = Some(4 * SHORT))
    });
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| lab.get("/slow"));
        assert!(in_hand.wait(PATIENCE));
        assert_eq!(lab.get("/fast").unwrap().text(), "/fast");
        let error = slow.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Timer::FirstByte));
        gate.open();
    });
    lab.finish();
}

#[test]
fn t02_a_head_has_a_deadline_from_its_first_byte_and_dripping_does_not_renew_it() {
    let drip = Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\n")
        .forever(
            Script::new()
                .send("A: b\r\n")
                .pause(Duration::from_millis(10)),
        );
    runs_out(
        drip,
        0,
        |timeouts| timeouts.head = Some(SHORT),
        Timer::Head,
        Phase::Head,
    );
}

#[test]
fn t11_a_stalled_body_and_a_stalled_upload_have_deadlines() {
    let stalled = once("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello").stall();
    runs_out(
        stalled,
        0,
        |timeouts| timeouts.body_idle = Some(SHORT),
        Timer::BodyIdle,
        Phase::Receive,
    );
    let deaf = Script::new().expect_head().stop_reading().stall();
    runs_out(
        deaf,
        24 << 20,
        |timeouts| timeouts.write_stall = Some(SHORT),
        Timer::WriteStall,
        Phase::Send,
    );
}

#[test]
fn t11_a_body_that_drips_is_not_idle() {
    let drip = Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        .repeat(8, Script::new().pause(SHORT / 3).send("x"));
    let lab = Lab::with(Peer::builder().script(drip), |client| {
        client.timeouts(|timeouts| timeouts.body_idle = Some(2 * SHORT))
    });
    assert_eq!(lab.get("/").unwrap().text(), "xxxxxxxx");
    lab.finish();
}

#[test]
fn t02_the_total_names_the_phase_that_it_ended() {
    let total = |timeouts: &mut Timeouts| timeouts.total = Some(SHORT);
    let silent = Script::new().expect_request().stall();
    runs_out(silent, 0, total, Timer::Total, Phase::FirstByte);
    let in_head = once("HTTP/1.1 200").stall();
    runs_out(in_head, 0, total, Timer::Total, Phase::Head);
    let in_body = once("HTTP/1.1 200 OK\r\n\r\nhello").stall();
    runs_out(in_body, 0, total, Timer::Total, Phase::Receive);
    let deaf = Script::new().expect_head().stop_reading().stall();
    runs_out(deaf, 24 << 20, total, Timer::Total, Phase::Send);
}

#[test]
fn t02_connecting_has_a_deadline() {
    for (limit, timer) in [(true, Timer::Connect), (false, Timer::Total)] {
        let hole = BlackHole::start().unwrap();
        let lab = Lab::with(Peer::builder(), |client| match limit {
            true => client.connect_timeout(SHORT),
            false => client.timeout(SHORT),
        });
        let since = Instant::now();
        let request = lab.client.get(&format!("http://{}/", hole.addr())).unwrap();
        let error = run(request).unwrap_err();
        took_about(since, SHORT);
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Timeout(timer), Phase::Connect)
        );
        assert_eq!(error.tried().len(), 1);
        let seen = lab.finish();
        seen.assert_sequence([
            &format!("timeout_fired timer={}", timer.tag())[..],
            "connect_done",
            "dial_done abandoned=true",
            "get_conn_failed kind=timeout",
            "call_done kind=timeout",
        ]);
    }
}

#[test]
fn t02_s02_a_handshake_has_a_deadline() {
    let silent = Script::new().stall();
    let lab = Lab::with(Peer::builder().script(silent), |client| {
        client
            .tls(trusting(authority()))
            .timeouts(|timeouts| timeouts.tls = Some(SHORT))
    });
    let since = Instant::now();
    let request = lab.client.get(&lab.peer.https_url("/")).unwrap();
    let error = run(request).unwrap_err();
    took_about(since, SHORT);
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout(Timer::Tls), Phase::Tls)
    );
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::TlsHandshakeStart).len(), 1);
    assert_eq!(seen.only(EventKind::TlsHandshakeDone).len(), 1);
}

#[test]
fn t04_a_cancel_is_told_from_a_timeout() {
    let in_hand = Gate::new();
    let silent = Script::new()
        .expect_request()
        .open_gate(in_hand.clone())
        .expect_gone();
    let lab = Lab::new([silent]);
    let mut request = lab.request("GET", "/");
    let handle = request.cancel_handle();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| run(request));
        assert!(in_hand.wait(PATIENCE));
        handle.cancel();
        let error = call.join().unwrap().unwrap_err();
        assert!(error.is_canceled() && !error.is_timeout());
    });
    let seen = lab.finish();
    seen.none(EventKind::TimeoutFired);
    seen.assert_sequence([
        "call_canceled by=caller",
        "put_idle_conn error=canceled",
        "conn_closed reason=canceled",
    ]);
}

#[test]
fn t03_t05_a_cancel_before_and_behind_a_call() {
    let lab = Lab::new([serve(ok("a"))]);
    let mut request = lab.request("GET", "/");
    let handle = request.cancel_handle();
    handle.cancel();
    assert!(run(request).unwrap_err().is_canceled());
    assert_eq!(lab.peer.connections(), 0);
    let mut request = lab.request("GET", "/");
    let handle = request.cancel_handle();
    let mut body = String::new();
    let mut response = request.send().unwrap();
    response.read_to_string(&mut body).unwrap();
    handle.cancel();
    assert!(lab.get("/").unwrap().reused);
    drop(response);
    lab.finish();
}
