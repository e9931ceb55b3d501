//! No call of an event loop holds the others, however much it has to do: each goes on for a bounded time per turn.
//!
//! What comes in small pieces shows it without a clock: there are far more of them than one turn may take, and all are
//! there before the turn begins.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wirescope::event::{EventKind, Trace};
use wirescope::testkit::{Gate, Peer, Script};
use wirescope::{EventLoop, Request};

use crate::harness::{Lab, PATIENCE, echo_target, ok};

/// Pieces that one call has to do with.
const PIECES: usize = 8_000;

/// Pieces that one call may do with in one turn at the most: a few times what it does.
const PER_TURN: usize = 400;

/// Turns once, as long as something comes.
fn turn(event_loop: &mut EventLoop, begun: Instant) {
    assert!(begun.elapsed() < PATIENCE, "it never came");
    event_loop.turn(Some(Duration::from_millis(5))).unwrap();
}

/// Opens a gate when the head of the response is there.
fn at_head(request: Request) -> (Request, Gate) {
    let gate = Gate::new();
    let opened = gate.clone();
    let request = request.observe(Trace::new().on_got_response_head(move |_| opened.open()));
    (request, gate)
}

#[test]
fn a_hundred_small_calls_end_beside_a_chunked_firehose() {
    const CALLS: usize = 100;
    let chunk = format!("{:x}\r\n{}\r\n", 32 * 1024, "x".repeat(32 * 1024));
    let flood = Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .forever(Script::new().send(chunk));
    let peer = Peer::builder().scripts([flood, echo_target()]);
    let lab = Lab::with(peer, |client| client.max_connections_per_origin(11));
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    event_loop.set_body_max(usize::MAX);
    let (request, head) = at_head(lab.request("GET", "/flood"));
    let flood = event_loop.submit(request).unwrap();
    let begun = Instant::now();
    while !head.is_open() {
        turn(&mut event_loop, begun);
    }
    for number in 0..CALLS {
        let request = lab.request("GET", &format!("/{number}"));
        event_loop.submit(request).unwrap();
    }
    for _ in 0..CALLS {
        let done = event_loop.next().unwrap().unwrap();
        assert_eq!(done.body(), done.url().path().as_bytes());
    }
    assert_eq!(event_loop.calls(), 1);
    assert!(event_loop.cancel(flood));
    let done = event_loop.next().unwrap().unwrap();
    assert!(done.ticket() == flood && done.body().len() > 32 * 1024);
    drop(event_loop);
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::CallDone).len(), CALLS + 1);
}

#[test]
fn a_body_that_is_there_has_a_bounded_share_of_a_turn() {
    let (asked, sent) = (Gate::new(), Gate::new());
    let flood = Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .wait_for(asked.clone())
        .send("1\r\nx\r\n".repeat(PIECES) + "0\r\n\r\n")
        .open_gate(sent.clone())
        .expect_gone();
    let lab = Lab::new([flood, echo_target()]);
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    let (request, head) = at_head(lab.request("GET", "/pieces"));
    event_loop.submit(request).unwrap();
    let begun = Instant::now();
    while !head.is_open() {
        turn(&mut event_loop, begun);
    }
    asked.open();
    assert!(sent.wait(PATIENCE));
    // In every turn of the long one, a short one ends whose answer is there.
    let (mut turns, mut short) = (0, 0);
    let long = loop {
        turn(&mut event_loop, begun);
        turns += 1;
        match event_loop.try_next() {
            Some(done) if done.url().path() == "/pieces" => break done,
            Some(done) => {
                assert_eq!(done.body(), b"/short");
                short += 1;
            }
            None => {}
        }
        if event_loop.calls() == 1 {
            event_loop.submit(lab.request("GET", "/short")).unwrap();
        }
    };
    assert_eq!(long.body().len(), PIECES);
    println!("{turns} turns, {short} short calls ended meanwhile");
    assert!(turns >= PIECES / PER_TURN, "{turns} turns");
    while event_loop.next().unwrap().is_some() {}
    drop(event_loop);
    lab.finish();
}

#[test]
fn interim_responses_that_are_there_have_a_bounded_share_of_a_turn() {
    let sent = Gate::new();
    let flood = Script::new()
        .expect_request()
        .send("HTTP/1.1 103 \r\n\r\n".repeat(PIECES) + &ok("at last"))
        .open_gate(sent.clone())
        .expect_gone();
    let lab = Lab::with(Peer::builder().script(flood), |client| {
        client.limits(|limits| {
            limits.interim_count = PIECES;
            limits.interim_bytes = usize::MAX;
        })
    });
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    let heads = Arc::new(AtomicUsize::new(0));
    let counted = heads.clone();
    let trace = Trace::new().on_got_1xx_response(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let begun = Instant::now();
    event_loop
        .submit(lab.request("GET", "/").observe(trace))
        .unwrap();
    let (mut most, mut is_sent) = (0, false);
    let done = loop {
        let before = heads.load(Ordering::Relaxed);
        turn(&mut event_loop, begun);
        most = most.max(heads.load(Ordering::Relaxed) - before);
        if let Some(done) = event_loop.try_next() {
            break done;
        }
        is_sent = is_sent || (lab.peer.request_count() == 1 && sent.wait(PATIENCE));
    };
    assert_eq!(done.into_result().unwrap().body(), b"at last");
    assert_eq!(heads.load(Ordering::Relaxed), PIECES);
    println!("{most} interim responses in one turn at the most");
    assert!(most <= PER_TURN, "{most} in one turn");
    drop(event_loop);
    lab.finish();
}

#[test]
fn a_source_that_is_quick_has_a_bounded_share_of_a_turn() {
    /// A byte at a time, which are counted.
    struct Bytes(Arc<AtomicUsize>);
    impl Read for Bytes {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match into {
                [first, ..] if self.0.load(Ordering::Relaxed) < PIECES => {
                    *first = b'x';
                    self.0.fetch_add(1, Ordering::Relaxed);
                    Ok(1)
                }
                _ => Ok(0),
            }
        }
    }
    let lab = Lab::new([Script::new().respond_with(|request| {
        let length = request.body.len();
        ok(&length.to_string()).into()
    })]);
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let request = lab.request("PUT", "/").body_reader(Bytes(read.clone()));
    let begun = Instant::now();
    let (mut before, mut most) = (0, 0);
    event_loop.submit(request).unwrap();
    let done = loop {
        let now = read.load(Ordering::Relaxed);
        most = most.max(now - before);
        before = now;
        turn(&mut event_loop, begun);
        if let Some(done) = event_loop.try_next() {
            break done;
        }
    };
    assert_eq!(done.body(), PIECES.to_string().as_bytes());
    println!("{most} bytes in one turn at the most");
    assert!(most <= PER_TURN, "{most} bytes in one turn");
    drop(event_loop);
    lab.finish();
}
