//! Every phase has a deadline: it fires in time, never early, names what was waited for, and dripping does not
//! renew it.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use wirescope::config::Timeouts;
use wirescope::error::Timer;
use wirescope::event::EventKind;
use wirescope::testkit::{BlackHole, Gate, Peer, Script};
use wirescope::{Error, ErrorKind, Phase, Request};

use crate::harness::{
    Lab, PATIENCE, SHORT, authority, echo_target, ok, once, run, serve, took_about, trusting,
};
use crate::support::in_time;

/// Limits of each deadline: one that the kernel keeps to the tick, and one that is armed short.
const LIMITS: [Duration; 2] = [Duration::from_millis(30), Duration::from_millis(110)];

/// More than the buffers between two sockets hold.
const BIG: usize = 32 << 20;

/// What a stalled call sends behind its head.
#[derive(Debug, Clone, Copy)]
enum Upload {
    Nothing,
    Memory,
    Reader,
}

/// A place where the peer stops, the deadline of that place, and the phase that the error names.
struct Stall {
    name: &'static str,
    script: fn() -> Script,
    upload: Upload,
    timer: Timer,
    phase: Phase,
}

const STALLS: [Stall; 7] = [
    Stall {
        name: "first byte",
        script: || Script::new().expect_request().stall(),
        upload: Upload::Nothing,
        timer: Timer::FirstByte,
        phase: Phase::FirstByte,
    },
    Stall {
        name: "head",
        script: || once("HTTP/1.1 200 OK\r\nX:").stall(),
        upload: Upload::Nothing,
        timer: Timer::Head,
        phase: Phase::Head,
    },
    Stall {
        name: "dripping head",
        script: || {
            let drip = Script::new().send("x").pause(Duration::from_millis(7));
            once("HTTP/1.1 200 OK\r\nX:").forever(drip)
        },
        upload: Upload::Nothing,
        timer: Timer::Head,
        phase: Phase::Head,
    },
    Stall {
        name: "body",
        script: || once("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").stall(),
        upload: Upload::Nothing,
        timer: Timer::BodyIdle,
        phase: Phase::Receive,
    },
    Stall {
        name: "close-delimited body",
        script: || once("HTTP/1.1 200 OK\r\n\r\nhello").stall(),
        upload: Upload::Nothing,
        timer: Timer::BodyIdle,
        phase: Phase::Receive,
    },
    Stall {
        name: "write from memory",
        script: || Script::new().expect_head().stop_reading().stall(),
        upload: Upload::Memory,
        timer: Timer::WriteStall,
        phase: Phase::Send,
    },
    Stall {
        name: "write from a reader",
        script: || Script::new().expect_head().stop_reading().stall(),
        upload: Upload::Reader,
        timer: Timer::WriteStall,
        phase: Phase::Send,
    },
];

impl Stall {
    /// Runs into the deadline; says how long that took from the beginning.
    #[track_caller]
    fn run_out(&self, timer: Timer, set: impl FnOnce(&mut Timeouts)) -> Duration {
        let peer = Peer::builder()
            .script((self.script)())
            .receive_buffer_bytes(4096)
            .keep_bodies(false);
        let lab = Lab::with(peer, |client| client.timeouts(set));
        let request = match self.upload {
            Upload::Nothing => lab.request("GET", "/"),
            Upload::Memory => lab.request("POST", "/").body(vec![b'x'; BIG]),
            Upload::Reader => lab.request("POST", "/").body_reader(io::repeat(b'x')),
        };
        let (error, took) = timed(request);
        expect(&error, timer, self.phase);
        let seen = lab.finish_unfollowed();
        assert_eq!(seen.only(EventKind::TimeoutFired).len(), 1, "{}", self.name);
        seen.assert_sequence([
            &format!("timeout_fired timer={}", timer.tag())[..],
            "put_idle_conn error=timeout",
            "conn_closed reason=timeout by=local",
            "call_done kind=timeout",
        ]);
        took
    }
}

fn timed(request: Request) -> (Error, Duration) {
    let begun = Instant::now();
    let error = run(request).unwrap_err();
    (error, begun.elapsed())
}

#[track_caller]
fn expect(error: &Error, timer: Timer, phase: Phase) {
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout(timer), phase)
    );
    assert!(error.is_timeout() && !error.is_canceled());
}

/// The timeout behind a timer of an exchange.
fn limit_of(timeouts: &mut Timeouts, timer: Timer) -> &mut Option<Duration> {
    match timer {
        Timer::FirstByte => &mut timeouts.first_byte,
        Timer::Head => &mut timeouts.head,
        Timer::BodyIdle => &mut timeouts.body_idle,
        Timer::WriteStall => &mut timeouts.write_stall,
        Timer::Tls => &mut timeouts.tls,
        Timer::Connect => &mut timeouts.connect,
        Timer::Lookup => &mut timeouts.lookup,
        _ => &mut timeouts.total,
    }
}

#[test]
fn t01_t02_t11_a_peer_that_stops_is_waited_for_that_long() {
    for stall in STALLS {
        for limit in LIMITS {
            in_time(stall.name, limit, || {
                stall.run_out(stall.timer, |t| *limit_of(t, stall.timer) = Some(limit))
            });
        }
    }
}

#[test]
fn t02_the_total_names_the_phase_that_it_ended() {
    for stall in STALLS {
        in_time(stall.name, SHORT, || {
            stall.run_out(Timer::Total, |t| t.total = Some(SHORT))
        });
    }
}

#[test]
fn t11_a_body_that_drips_fires_only_the_total() {
    let limit = Duration::from_millis(100);
    let dripping = Stall {
        name: "total of a dripping body",
        script: || {
            let drip = Script::new().send("x").pause(Duration::from_millis(7));
            once("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").forever(drip)
        },
        upload: Upload::Nothing,
        timer: Timer::Total,
        phase: Phase::Receive,
    };
    in_time(dripping.name, limit, || {
        dripping.run_out(Timer::Total, |t| {
            t.body_idle = Some(Duration::from_millis(60));
            t.total = Some(limit);
        })
    });
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
fn t02_s02_a_handshake_is_waited_for_that_long() {
    for (timer, limits) in [(Timer::Tls, &LIMITS[..]), (Timer::Total, &[SHORT])] {
        for limit in limits {
            in_time("handshake", *limit, || {
                let lab = Lab::with(Peer::builder().script(Script::new().stall()), |client| {
                    client
                        .tls(trusting(authority()))
                        .timeouts(|t| *limit_of(t, timer) = Some(*limit))
                });
                let request = lab.client.get(&lab.peer.https_url("/")).unwrap();
                let (error, took) = timed(request);
                expect(&error, timer, Phase::Tls);
                let seen = lab.finish_unfollowed();
                assert_eq!(seen.only(EventKind::TlsHandshakeStart).len(), 1);
                assert_eq!(seen.only(EventKind::TlsHandshakeDone).len(), 1);
                took
            });
        }
    }
}

#[test]
fn t02_a_lookup_is_waited_for_that_long() {
    for timer in [Timer::Lookup, Timer::Connect, Timer::Total] {
        let resolver = wirescope::resolver::from_fn(|_| {
            std::thread::sleep(4 * SHORT);
            Ok(vec![[127, 0, 0, 1].into()])
        });
        let lab = Lab::with(Peer::builder(), |client| {
            client
                .resolver(resolver)
                .timeouts(|t| *limit_of(t, timer) = Some(SHORT))
        });
        let mut names = 0;
        in_time("lookup", SHORT, || {
            names += 1;
            let url = format!("http://slow{names}.example/");
            let (error, took) = timed(lab.client.get(&url).unwrap());
            expect(&error, timer, Phase::Lookup);
            took
        });
        lab.finish();
    }
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
