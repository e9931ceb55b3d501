//! Deadlines fire in time, never early, and name what was waited for.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wirescope::config::Timeouts;
use wirescope::error::Timer;
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};
use wirescope::{Error, ErrorKind, Phase, Request, Response};

use crate::support::{in_time, trusted, watched};

/// Runs one request against a peer, and gives its error and how long it took from the beginning.
fn run(
    script: Script,
    set: impl FnOnce(&mut Timeouts),
    with: impl FnOnce(Request) -> Request,
) -> (Error, Duration) {
    let peer = Peer::builder()
        .receive_buffer_bytes(4096)
        .script(script)
        .keep_bodies(false)
        .start()
        .unwrap();
    let (client, events) = watched(|builder| builder.timeouts(set));
    let request = with(client.post(&peer.url("/")).unwrap());
    let begun = Instant::now();
    let result = request.send();
    let error = match result {
        Err(error) => error,
        Ok(mut response) => Response::collect(&mut response, usize::MAX - 1).unwrap_err(),
    };
    let took = begun.elapsed();
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("timeout_fired").len(), 1);
    drop(peer);
    (error, took)
}

fn expect(error: &Error, timer: Timer, phase: Phase) {
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout(timer), phase)
    );
    assert!(error.is_timeout());
}

const LIMITS: [Duration; 2] = [Duration::from_millis(30), Duration::from_millis(110)];

#[test]
fn the_first_byte_is_waited_for_that_long() {
    for limit in LIMITS {
        in_time("first byte", limit, || {
            let script = Script::new().expect_request().stall();
            let (error, took) = run(script, |t| t.first_byte = Some(limit), |request| request);
            expect(&error, Timer::FirstByte, Phase::FirstByte);
            took
        });
    }
}

#[test]
fn a_head_is_waited_for_that_long() {
    for limit in LIMITS {
        in_time("head", limit, || {
            let script = Script::new()
                .expect_request()
                .send("HTTP/1.1 200 OK\r\nX:")
                .stall();
            let (error, took) = run(script, |t| t.head = Some(limit), |request| request);
            expect(&error, Timer::Head, Phase::Head);
            took
        });
    }
}

#[test]
fn a_head_that_drips_is_waited_for_no_longer() {
    let limit = Duration::from_millis(60);
    let drip = Script::new().send("x").pause(Duration::from_millis(7));
    in_time("dripping head", limit, || {
        let drip = drip.clone();
        let script = Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nX:")
            .repeat(40, drip)
            .stall();
        let (error, took) = run(script, |t| t.head = Some(limit), |request| request);
        expect(&error, Timer::Head, Phase::Head);
        took
    });
}

#[test]
fn a_byte_of_the_body_is_waited_for_that_long() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc";
    for limit in LIMITS {
        in_time("body", limit, || {
            let script = Script::new().expect_request().send(head).stall();
            let (error, took) = run(script, |t| t.body_idle = Some(limit), |request| request);
            expect(&error, Timer::BodyIdle, Phase::Receive);
            took
        });
    }
}

#[test]
fn a_body_that_drips_fires_only_the_total() {
    let limit = Duration::from_millis(100);
    let drip = Script::new().send("x").pause(Duration::from_millis(7));
    in_time("total of a dripping body", limit, || {
        let drip = drip.clone();
        let script = Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            .repeat(1000, drip);
        let set = |t: &mut Timeouts| {
            t.body_idle = Some(Duration::from_millis(60));
            t.total = Some(limit);
        };
        let (error, took) = run(script, set, |request| request);
        expect(&error, Timer::Total, Phase::Receive);
        took
    });
}

#[test]
fn a_peer_that_takes_nothing_is_waited_for_that_long() {
    for limit in LIMITS {
        for is_reader in [false, true] {
            in_time("write", limit, || {
                let script = Script::new().expect_head().stop_reading().stall();
                let with = |request: Request| match is_reader {
                    false => request.body(vec![0; 32 << 20]),
                    true => request.body_reader(io::repeat(0).take(32 << 20)),
                };
                let (error, took) = run(script, |t| t.write_stall = Some(limit), with);
                expect(&error, Timer::WriteStall, Phase::Send);
                took
            });
        }
    }
}

#[test]
fn the_total_holds_in_every_phase() {
    let limit = Duration::from_millis(60);
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc";
    let request = || Script::new().expect_request();
    let phases = [
        (request().stall(), Phase::FirstByte),
        (request().send("HTTP").stall(), Phase::Head),
        (request().send(half).stall(), Phase::Receive),
    ];
    for (script, phase) in phases {
        in_time("total", limit, || {
            let set = |t: &mut Timeouts| t.total = Some(limit);
            let (error, took) = run(script.clone(), set, |request| request);
            expect(&error, Timer::Total, phase);
            took
        });
    }
    in_time("total while sending", limit, || {
        let script = Script::new().expect_head().stop_reading().stall();
        let with = |request: Request| request.body(vec![0; 32 << 20]);
        let (error, took) = run(script, |t| t.total = Some(limit), with);
        expect(&error, Timer::Total, Phase::Send);
        took
    });
}

#[test]
fn a_tls_handshake_is_waited_for_that_long() {
    let (_, tls) = trusted();
    let peer = Peer::start(Script::new().stall()).unwrap();
    for limit in LIMITS {
        let (client, events) = watched(|builder| {
            builder
                .tls(tls.clone())
                .timeouts(|timeouts| timeouts.tls = Some(limit))
        });
        in_time("tls", limit, || {
            let begun = Instant::now();
            let request = client.get(&peer.https_url("/")).unwrap();
            let error = request.send().unwrap_err();
            expect(&error, Timer::Tls, Phase::Tls);
            begun.elapsed()
        });
        drop(client);
        check(&events);
    }
}

#[test]
fn a_lookup_is_waited_for_that_long() {
    let limit = Duration::from_millis(50);
    let resolver = wirescope::resolver::from_fn(|_| {
        std::thread::sleep(Duration::from_millis(200));
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1)).ip()])
    });
    let (client, events) = watched(|builder| {
        builder
            .resolver(resolver)
            .timeouts(|timeouts| timeouts.lookup = Some(limit))
    });
    let mut names = 0;
    in_time("lookup", limit, || {
        names += 1;
        let begun = Instant::now();
        let request = client.get(&format!("http://slow{names}.example/")).unwrap();
        let error = request.send().unwrap_err();
        expect(&error, Timer::Lookup, Phase::Lookup);
        begun.elapsed()
    });
    drop(client);
    check(&events);
}
