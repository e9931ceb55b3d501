//! The event loop: many calls on one thread, each as the blocking client has it, and none that holds the others.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirescope::config::Timeouts;
use wirescope::error::{Limit, RequestRule, Timer};
use wirescope::event::{
    Event, EventKind, Interest, Observer, ObserverRef, Overflow, Verdict, channel_with,
};
use wirescope::resolver::from_fn;
use wirescope::testkit::{BlackHole, Gate, Peer, PeerBuilder, RefusedPort, Script};
use wirescope::{
    CancelHandle, Client, ClientBuilder, Completion, Error, ErrorKind, EventLoop, Phase, Request,
    Ticket,
};

use crate::harness::{
    Lab, PATIENCE, SHORT, authority, echo_target, ok, once, serve, took_about, trusting,
};

/// A loop for the client of a lab.
fn looped(
    peer: PeerBuilder,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Lab, EventLoop) {
    let lab = Lab::with(peer, change);
    let event_loop = EventLoop::new(&lab.client).unwrap();
    (lab, event_loop)
}

fn plain(script: Script) -> (Lab, EventLoop) {
    looped(Peer::builder().script(script), |client| client)
}

/// Runs one call to its end.
#[track_caller]
fn run(event_loop: &mut EventLoop, request: Request) -> Completion {
    let ticket = event_loop.submit(request).unwrap();
    let done = event_loop.next().unwrap().unwrap();
    assert_eq!(done.ticket(), ticket);
    done
}

/// Runs all calls to their end.
fn run_all(event_loop: &mut EventLoop) -> Vec<Completion> {
    std::iter::from_fn(|| event_loop.next().unwrap()).collect()
}

/// Turns until something is the case.
#[track_caller]
fn turn_until(event_loop: &mut EventLoop, mut is_so: impl FnMut(&mut EventLoop) -> bool) {
    let begun = Instant::now();
    while !is_so(event_loop) {
        assert!(begun.elapsed() < PATIENCE, "it never came");
        event_loop.turn(Some(Duration::from_millis(5))).unwrap();
    }
}

/// Does something at each event of a kind.
struct At<F>(EventKind, F);

impl<F: Fn() -> Verdict + Send + Sync> Observer for At<F> {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, event: &Event) -> Verdict {
        if event.kind() == self.0 {
            return self.1();
        }
        Verdict::Continue
    }
}

/// Opens a gate at an event of this kind.
fn opens(kind: EventKind, gate: &Gate) -> ObserverRef {
    let gate = gate.clone();
    ObserverRef::new(At(kind, move || {
        gate.open();
        Verdict::Continue
    }))
}

fn error_of(done: Completion) -> Error {
    done.into_result().unwrap_err()
}

#[test]
fn a_get_completes_with_status_fields_body_and_timings() {
    let answer = "HTTP/1.1 200 Fine\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n";
    let (lab, mut event_loop) = plain(serve(answer));
    let done = run(&mut event_loop, lab.request("GET", "/x"));
    assert_eq!((done.status(), done.header("x-a")), (Some(200), Some("1")));
    assert_eq!(done.body(), b"hello");
    assert_eq!(done.trailers().unwrap().get_str("x-sum"), Some("9"));
    assert_eq!(done.url().path(), "/x");
    assert_eq!(done.remote_addr().unwrap(), lab.peer.addr());
    assert!(done.connection().is_some() && done.tls().is_none() && done.history().is_empty());
    assert!(done.timings().total() > Duration::ZERO);
    let call = done.call();
    assert!(done.into_result().is_ok());
    assert!(event_loop.next().unwrap().is_none(), "no call is left");
    drop(event_loop);
    let seen = lab.finish();
    assert_eq!(seen.calls(), [call]);
    seen.assert_sequence(["client_start", "call_start", "put_idle_conn", "call_done"]);
}

#[test]
fn a_connection_is_used_again() {
    let (lab, mut event_loop) = plain(echo_target());
    for (number, target) in ["/a", "/b", "/c"].into_iter().enumerate() {
        let done = run(&mut event_loop, lab.request("GET", target));
        assert_eq!(done.body(), target.as_bytes());
        assert_eq!(done.is_connection_reused(), number > 0);
    }
    assert_eq!(event_loop.pool_stats().total().idle(), 1);
    drop(event_loop);
    assert_eq!(lab.finish().only(EventKind::ConnOpened).len(), 1);
}

#[test]
fn two_hundred_calls_run_at_once_on_this_thread() {
    const CALLS: usize = 200;
    let gate = Gate::new();
    let answers = Script::new()
        .expect_request()
        .wait_for(gate.clone())
        .send(ok("there"));
    let (lab, mut event_loop) = looped(
        Peer::builder().script(answers).max_connections(CALLS),
        |client| client.max_idle_per_origin(CALLS).max_idle(CALLS),
    );
    let tickets: Vec<Ticket> = (0..CALLS)
        .map(|number| {
            let request = lab.request("GET", &format!("/{number}"));
            event_loop.submit(request).unwrap()
        })
        .collect();
    turn_until(&mut event_loop, |_| lab.peer.request_count() == CALLS);
    assert_eq!(event_loop.calls(), CALLS);
    gate.open();
    let done = run_all(&mut event_loop);
    assert_eq!(done.len(), CALLS);
    let mut completed: Vec<Ticket> = done.iter().map(Completion::ticket).collect();
    completed.sort_unstable();
    assert_eq!(completed, tickets);
    assert!(done.iter().all(|done| done.body() == b"there"));
    drop(event_loop);
    assert_eq!(lab.finish().only(EventKind::CallDone).len(), CALLS);
}

#[test]
fn answers_are_not_mixed_up_over_few_connections() {
    const CALLS: usize = 300;
    let (lab, mut event_loop) = looped(Peer::builder().script(echo_target()), |client| {
        client.max_connections_per_origin(7)
    });
    for number in 0..CALLS {
        event_loop
            .submit(lab.request("GET", &format!("/{number}")))
            .unwrap();
    }
    let done = run_all(&mut event_loop);
    assert_eq!(done.len(), CALLS);
    for done in &done {
        assert_eq!(done.body(), done.url().path().as_bytes());
    }
    drop(event_loop);
    let seen = lab.finish();
    assert!(seen.only(EventKind::ConnOpened).len() <= 7);
    assert_eq!(seen.only(EventKind::CallDone).len(), CALLS);
}

#[test]
fn calls_that_wait_get_the_one_connection_in_turn() {
    let (lab, mut event_loop) = looped(Peer::builder().script(echo_target()), |client| {
        client.max_connections(1)
    });
    for target in ["/a", "/b", "/c"] {
        event_loop.submit(lab.request("GET", target)).unwrap();
    }
    let done = run_all(&mut event_loop);
    let order: Vec<&str> = done.iter().map(|done| done.url().path()).collect();
    assert_eq!(order, ["/a", "/b", "/c"]);
    drop(event_loop);
    let seen = lab.finish();
    assert_eq!(seen.only(EventKind::ConnOpened).len(), 1);
    assert_eq!(seen.matching("got_conn reused=true").len(), 2);
}

#[test]
fn bodies_go_up_from_memory_and_from_readers_past_a_full_buffer() {
    const BYTES: usize = 4 << 20;
    let script = Script::new().respond_with(|request| ok(&request.body.len().to_string()).into());
    let peer = Peer::builder().script(script).receive_buffer_bytes(4096);
    let (lab, mut event_loop) = looped(peer, |client| client);
    let memory = lab.request("POST", "/").body(vec![b'x'; BYTES]);
    let reader = lab
        .request("PUT", "/")
        .body_reader(io::repeat(b'y').take(BYTES as u64));
    event_loop.submit(memory).unwrap();
    event_loop.submit(reader).unwrap();
    for done in run_all(&mut event_loop) {
        assert_eq!(done.body(), BYTES.to_string().as_bytes());
    }
    drop(event_loop);
    lab.finish();
}

#[test]
fn redirects_are_followed() {
    let script = Script::new().respond_with(|request| match request.target() {
        "/" => b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n".to_vec(),
        other => ok(other).into(),
    });
    let (lab, mut event_loop) = plain(script);
    let done = run(&mut event_loop, lab.request("GET", "/"));
    assert_eq!((done.status(), done.body()), (Some(200), &b"/there"[..]));
    assert_eq!((done.url().path(), done.history().len()), ("/there", 1));
    drop(event_loop);
    lab.finish();
}

#[test]
fn tls_calls_run_at_once_and_their_connections_are_used_again() {
    const BYTES: usize = 300_000;
    let body = "x".repeat(BYTES);
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    let peer = Peer::builder().script(serve(ok(&body))).tls(identity);
    let (lab, mut event_loop) = looped(peer, |client| client.tls(trusting(authority())));
    for round in 0..2 {
        for _ in 0..5 {
            event_loop.submit(lab.request("GET", "/")).unwrap();
        }
        let done = run_all(&mut event_loop);
        let reused = done.iter().any(Completion::is_connection_reused);
        assert!(reused || round == 0);
        for done in done {
            assert_eq!((done.body().len(), done.tls().is_some()), (BYTES, true));
        }
    }
    drop(event_loop);
    lab.finish();
}

#[test]
fn many_thousand_names_are_looked_up_at_once() {
    const NAMES: usize = 3_000;
    let refused = RefusedPort::reserve().unwrap();
    let gate = Gate::new();
    let all_asked = gate.clone();
    let resolver = from_fn(move |_| {
        assert!(all_asked.wait(PATIENCE));
        Ok(vec![[127, 0, 0, 1].into()])
    });
    let (lab, mut event_loop) = looped(Peer::builder().script(Script::new()), |client| {
        client.resolver(resolver)
    });
    let port = refused.addr().port();
    for number in 0..NAMES {
        let url = format!("http://host-{number}.example:{port}/");
        event_loop.submit(lab.client.get(&url).unwrap()).unwrap();
    }
    gate.open();
    let kinds: Vec<_> = run_all(&mut event_loop)
        .into_iter()
        .map(|done| error_of(done).kind())
        .collect();
    assert_eq!(kinds, vec![ErrorKind::Connect; NAMES]);
    drop(event_loop);
    lab.finish_unfollowed();
}

#[test]
fn names_are_looked_up_without_holding_the_loop() {
    let gate = Gate::new();
    let asked = gate.clone();
    let resolver = from_fn(move |host: &str| {
        if host == "slow.test" {
            assert!(asked.wait(PATIENCE));
        }
        Ok(vec![[127, 0, 0, 1].into()])
    });
    let (lab, mut event_loop) = looped(Peer::builder().script(echo_target()), |client| {
        client.resolver(resolver)
    });
    let url = |host: &str| format!("http://{host}:{}/{host}", lab.peer.addr().port());
    let slow = lab.client.get(&url("slow.test")).unwrap();
    event_loop.submit(slow).unwrap();
    let quick = lab.client.get(&url("quick.test")).unwrap();
    event_loop.submit(quick).unwrap();
    let first = event_loop.next().unwrap().unwrap();
    assert_eq!(first.body(), b"/quick.test");
    gate.open();
    let second = event_loop.next().unwrap().unwrap();
    assert_eq!(second.body(), b"/slow.test");
    drop(event_loop);
    lab.finish();
}

#[test]
fn a_refused_connect_completes_with_its_error() {
    let refused = RefusedPort::reserve().unwrap();
    let (lab, mut event_loop) = plain(Script::new());
    let url = format!("http://{}/", refused.addr());
    let done = run(&mut event_loop, lab.client.get(&url).unwrap());
    assert_eq!((done.status(), done.body().len()), (None, 0));
    assert_eq!(error_of(done).kind(), ErrorKind::Connect);
    drop(event_loop);
    lab.finish_unfollowed();
}

#[test]
fn what_contradicts_itself_is_refused_at_once() {
    let (lab, mut event_loop) = plain(Script::new());
    let error = event_loop
        .submit(lab.request("GET", "/").body("not with GET"))
        .unwrap_err();
    assert_eq!(error.phase(), Phase::Prepare);
    let stranger = Client::new().unwrap().get(&lab.peer.url("/")).unwrap();
    let error = event_loop.submit(stranger).unwrap_err();
    assert!(error.to_string().contains("client"), "{error}");
    assert_eq!(event_loop.calls(), 0);
    drop(event_loop);
    lab.finish_unfollowed();
}

#[test]
fn middleware_is_refused() {
    let client = Client::builder().wrap(|next| next).build().unwrap();
    let error = EventLoop::new(&client).unwrap_err();
    assert!(error.to_string().contains("wrap"), "{error}");
}

#[test]
fn observers_that_may_wait_are_refused() {
    let waiting = || {
        channel_with(
            2,
            Overflow::Block(Duration::from_millis(1)),
            Interest::DEFAULT,
        )
    };
    let (observer, events) = waiting();
    let client = Client::builder().observe(observer).build().unwrap();
    let error = EventLoop::new(&client).unwrap_err();
    let setting = ErrorKind::LocalRequest(RequestRule::Setting);
    assert_eq!(error.kind(), setting);
    assert!(error.to_string().contains("observe"), "{error}");
    drop(events);

    let (lab, mut event_loop) = plain(serve(ok("a")));
    let (observer, events) = waiting();
    let request = || lab.request("GET", "/").observe(observer.clone());
    let error = event_loop.submit(request()).unwrap_err();
    assert_eq!(error.kind(), setting);
    assert_eq!(event_loop.calls(), 0);
    let handle = event_loop.spawn().unwrap();
    let error = handle.submit(request()).unwrap_err();
    assert_eq!((error.kind(), handle.calls()), (setting, 0));
    assert!(events.try_recv().is_err(), "nothing was told");
    assert_eq!(
        request().send().unwrap().status(),
        200,
        "on a thread it may"
    );
    handle.shutdown(PATIENCE).unwrap();
    drop((handle, observer));
    lab.finish();
}

#[test]
fn a_body_that_is_too_long_keeps_what_is_wanted() {
    let (lab, mut event_loop) = plain(serve(ok("0123456789")));
    event_loop.set_body_max(10);
    let done = run(&mut event_loop, lab.request("GET", "/"));
    assert_eq!(done.into_result().unwrap().body(), b"0123456789");
    event_loop.set_body_max(4);
    let done = run(&mut event_loop, lab.request("GET", "/"));
    assert_eq!((done.status(), done.body()), (Some(200), &b"0123"[..]));
    let too_long = ErrorKind::Limit {
        limit: Limit::BodyBytes,
        max: 4,
    };
    assert_eq!(error_of(done).kind(), too_long);
    drop(event_loop);
    lab.finish();
}

/// A peer that stops somewhere, the deadline of that place, and how it is set.
type Stall = (Timer, fn() -> Script, fn(&mut Timeouts));

const STALLS: [Stall; 5] = [
    (
        Timer::FirstByte,
        || Script::new().expect_request().stall(),
        |timeouts| timeouts.first_byte = Some(SHORT),
    ),
    (
        Timer::Head,
        || once("HTTP/1.1 200 OK\r\nX:").stall(),
        |timeouts| timeouts.head = Some(SHORT),
    ),
    (
        Timer::BodyIdle,
        || once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").stall(),
        |timeouts| timeouts.body_idle = Some(SHORT),
    ),
    (
        Timer::Total,
        || {
            let drip = Script::new().send("x").pause(Duration::from_millis(7));
            once("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n").forever(drip)
        },
        |timeouts| timeouts.total = Some(SHORT),
    ),
    (
        Timer::WriteStall,
        || Script::new().expect_head().stop_reading().stall(),
        |timeouts| timeouts.write_stall = Some(SHORT),
    ),
];

#[test]
fn each_deadline_fires_in_time_and_never_early() {
    for (timer, script, set) in STALLS {
        let peer = Peer::builder()
            .script(script())
            .receive_buffer_bytes(4096)
            .keep_bodies(false);
        let (lab, mut event_loop) = looped(peer, |client| client.timeouts(set));
        let request = match timer {
            Timer::WriteStall => lab.request("POST", "/").body(vec![b'x'; 32 << 20]),
            _ => lab.request("GET", "/"),
        };
        let begun = Instant::now();
        let error = error_of(run(&mut event_loop, request));
        assert_eq!(error.kind(), ErrorKind::Timeout(timer));
        took_about(begun, SHORT);
        drop(event_loop);
        let seen = lab.finish_unfollowed();
        assert_eq!(seen.only(EventKind::TimeoutFired).len(), 1, "{timer:?}");
    }
}

#[test]
fn connect_queue_and_lookup_have_deadlines() {
    let hole = BlackHole::start().unwrap();
    let gate = Gate::new();
    let asked = gate.clone();
    let resolver = from_fn(move |_| {
        let _ = asked.wait(PATIENCE);
        Ok(Vec::new())
    });
    let (lab, mut event_loop) = looped(
        Peer::builder().script(Script::new().expect_request().stall()),
        |client| {
            client
                .resolver(resolver)
                .max_connections_per_origin(1)
                .timeouts(|timeouts| {
                    timeouts.connect = Some(SHORT);
                    timeouts.queue = Some(SHORT);
                    timeouts.first_byte = Some(4 * SHORT);
                })
        },
    );
    let begun = Instant::now();
    for url in [
        format!("http://{}/", hole.addr()),
        "http://slow.test/".to_owned(),
        lab.peer.url("/holds"),
        lab.peer.url("/waits"),
    ] {
        event_loop.submit(lab.client.get(&url).unwrap()).unwrap();
    }
    let mut timers: Vec<_> = run_all(&mut event_loop)
        .into_iter()
        .map(|done| (done.url().to_string(), error_of(done).kind()))
        .map(|(url, kind)| (url.replace(|c: char| c.is_ascii_digit(), ""), kind))
        .collect();
    timers.sort_by(|one, other| one.0.cmp(&other.0));
    let timers: Vec<_> = timers.into_iter().map(|(_, kind)| kind).collect();
    let timeout = ErrorKind::Timeout;
    assert_eq!(
        timers,
        [
            timeout(Timer::Connect),
            timeout(Timer::FirstByte),
            timeout(Timer::Queue),
            timeout(Timer::Connect),
        ]
    );
    took_about(begun, 4 * SHORT);
    gate.open();
    drop(event_loop);
    lab.finish_unfollowed();
}

#[test]
fn a_ticket_cancels_in_any_phase_and_only_its_call() {
    let hole = BlackHole::start().unwrap();
    let script = || Script::new().expect_request().stall();
    let half = || once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").stall();
    for phase in ["at once", "connect", "first byte", "body", "queue"] {
        let script = if phase == "body" { half() } else { script() };
        let (lab, mut event_loop) = looped(Peer::builder().script(script), |client| {
            client.max_connections_per_origin(1)
        });
        let gate = Gate::new();
        let (url, reached) = match phase {
            "at once" => (lab.peer.url("/"), EventKind::CallStart),
            "connect" => (format!("http://{}/", hole.addr()), EventKind::ConnectStart),
            "first byte" => (lab.peer.url("/"), EventKind::WroteRequest),
            "body" => (lab.peer.url("/"), EventKind::GotResponseHead),
            _ => (lab.peer.url("/"), EventKind::QueueStart),
        };
        let holder = (phase == "queue").then(|| {
            let holder = event_loop.submit(lab.request("GET", "/holder")).unwrap();
            turn_until(&mut event_loop, |_| lab.peer.request_count() == 1);
            holder
        });
        let request = lab.client.get(&url).unwrap();
        let request = request.observe(opens(reached, &gate));
        let ticket = event_loop.submit(request).unwrap();
        turn_until(&mut event_loop, |_| gate.is_open());
        assert!(event_loop.cancel(ticket), "{phase}");
        let done = event_loop.next().unwrap().unwrap();
        assert_eq!(done.ticket(), ticket, "{phase}");
        assert_eq!(done.status().is_some(), phase == "body");
        assert!(error_of(done).is_canceled(), "{phase}");
        assert!(!event_loop.cancel(ticket), "{phase}: it is over");
        assert_eq!(event_loop.calls(), usize::from(holder.is_some()));
        drop(event_loop);
        lab.finish_unfollowed();
    }
}

#[test]
fn a_ticket_of_another_loop_does_nothing() {
    let (lab, mut event_loop) = plain(Script::new().expect_request().stall());
    let mut other = EventLoop::new(&lab.client).unwrap();
    let ticket = event_loop.submit(lab.request("GET", "/")).unwrap();
    let theirs = other.submit(lab.request("GET", "/")).unwrap();
    assert!(ticket != theirs && !other.cancel(ticket) && !event_loop.cancel(theirs));
    assert_eq!((event_loop.calls(), other.calls()), (1, 1));
    drop((event_loop, other));
    lab.finish_unfollowed();
}

#[test]
fn one_handle_cancels_many_calls_from_another_thread() {
    const CALLS: usize = 20;
    let (lab, mut event_loop) = plain(Script::new().expect_request().stall());
    let handle = CancelHandle::default();
    for _ in 0..CALLS {
        let request = lab.request("GET", "/").cancel_by(&handle);
        event_loop.submit(request).unwrap();
    }
    turn_until(&mut event_loop, |_| lab.peer.request_count() == CALLS);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| handle.cancel());
        run_all(&mut event_loop)
    });
    assert_eq!(done.len(), CALLS);
    assert!(done.into_iter().all(|done| error_of(done).is_canceled()));
    drop(event_loop);
    lab.finish_unfollowed();
}

#[test]
fn dropping_the_loop_gives_all_calls_up() {
    let hole = BlackHole::start().unwrap();
    let (lab, mut event_loop) = looped(
        Peer::builder().scripts([
            once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").stall(),
            Script::new().expect_request().stall(),
        ]),
        |client| client.max_connections_per_origin(2),
    );
    let gate = Gate::new();
    let head = opens(EventKind::GotResponseHead, &gate);
    event_loop
        .submit(lab.request("GET", "/body").observe(head))
        .unwrap();
    turn_until(&mut event_loop, |_| gate.is_open());
    event_loop.submit(lab.request("GET", "/first")).unwrap();
    turn_until(&mut event_loop, |_| lab.peer.request_count() == 2);
    event_loop.submit(lab.request("GET", "/queued")).unwrap();
    let url = format!("http://{}/", hole.addr());
    event_loop.submit(lab.client.get(&url).unwrap()).unwrap();
    assert_eq!(event_loop.calls(), 4);
    drop(event_loop);
    assert!(lab.peer.wait_until_closed(PATIENCE));
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::CallDone).len(), 4);
    assert_eq!(seen.matching("call_canceled by=drop").len(), 3);
}

#[test]
fn finishing_waits_for_what_is_quick_and_cancels_the_rest() {
    let script = Script::new().respond_with(|request| match request.target() {
        "/quick" => ok("done").into(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec(),
    });
    let (lab, mut event_loop) = plain(script);
    event_loop.submit(lab.request("GET", "/slow")).unwrap();
    let quick = event_loop.submit(lab.request("GET", "/quick")).unwrap();
    let begun = Instant::now();
    let done = event_loop.finish(SHORT).unwrap();
    took_about(begun, SHORT);
    assert_eq!(done.len(), 2);
    for done in done {
        if done.ticket() == quick {
            assert_eq!(done.into_result().unwrap().body(), b"done");
        } else {
            assert_eq!((done.status(), done.body()), (Some(200), &b"abc"[..]));
            assert!(error_of(done).is_canceled());
        }
    }
    lab.finish_unfollowed();
}

#[test]
fn rfc_e7_a_loop_closes_an_idle_connection_when_the_peer_does() {
    let gate = Gate::new();
    let (lab, mut event_loop) = plain(once(ok("a")).wait_for(gate.clone()).close());
    run(&mut event_loop, lab.request("GET", "/"));
    assert_eq!(event_loop.pool_stats().total().idle(), 1);
    gate.open();
    turn_until(&mut event_loop, |event_loop| {
        event_loop.pool_stats().total().idle() == 0
    });
    drop(event_loop);
    let seen = lab.finish();
    assert_eq!(
        seen.matching("conn_closed reason=peer_closed_idle").len(),
        1
    );
}

#[test]
fn rfc_e7_a_loop_closes_an_idle_connection_that_the_peer_speaks_on() {
    let gate = Gate::new();
    let speaks = once(ok("a")).wait_for(gate.clone()).send("x").expect_gone();
    let (lab, mut event_loop) = plain(speaks);
    run(&mut event_loop, lab.request("GET", "/"));
    gate.open();
    turn_until(&mut event_loop, |event_loop| {
        event_loop.pool_stats().total().idle() == 0
    });
    drop(event_loop);
    let seen = lab.finish();
    assert_eq!(
        seen.matching("conn_closed reason=unsolicited_bytes").len(),
        1
    );
}

#[test]
fn an_idle_connection_whose_time_is_over_is_closed() {
    let (lab, mut event_loop) = looped(Peer::builder().script(echo_target()), |client| {
        client.idle_timeout(SHORT)
    });
    run(&mut event_loop, lab.request("GET", "/"));
    let begun = Instant::now();
    while event_loop.pool_stats().total().idle() > 0 {
        event_loop.turn(None).unwrap();
    }
    took_about(begun, SHORT - Duration::from_millis(5));
    assert_eq!(event_loop.next_wait(), None);
    drop(event_loop);
    let seen = lab.finish();
    assert_eq!(seen.matching("conn_closed reason=idle_timeout").len(), 1);
}

#[test]
fn a_firehose_starves_nobody() {
    let flood = Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\n\r\n")
        .forever(Script::new().send(vec![b'x'; 64 * 1024]));
    let (lab, mut event_loop) = looped(Peer::builder().scripts([flood, echo_target()]), |client| {
        client
    });
    event_loop.set_body_max(usize::MAX);
    let gate = Gate::new();
    let head = opens(EventKind::GotResponseHead, &gate);
    let flood = event_loop
        .submit(lab.request("GET", "/flood").observe(head))
        .unwrap();
    turn_until(&mut event_loop, |_| gate.is_open());
    for number in 0..20 {
        let target = format!("/{number}");
        event_loop.submit(lab.request("GET", &target)).unwrap();
        let done = event_loop.next().unwrap().unwrap();
        assert_eq!(done.body(), target.as_bytes());
    }
    assert!(event_loop.cancel(flood));
    assert_eq!(event_loop.next().unwrap().unwrap().ticket(), flood);
    drop(event_loop);
    lab.finish_unfollowed();
}

#[test]
fn an_endless_upload_has_a_bounded_turn() {
    struct Endless(Arc<AtomicUsize>);
    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(into.len())
        }
    }
    let peer = Peer::builder()
        .script(Script::new().expect_request())
        .keep_bodies(false);
    let (lab, mut event_loop) = looped(peer, |client| client);
    let reads = Arc::new(AtomicUsize::new(0));
    let endless = lab.request("PUT", "/").body_reader(Endless(reads.clone()));
    let ticket = event_loop.submit(endless).unwrap();
    turn_until(&mut event_loop, |_| reads.load(Ordering::Relaxed) > 500);
    for _ in 0..100 {
        let before = reads.load(Ordering::Relaxed);
        event_loop.turn(Some(Duration::from_millis(5))).unwrap();
        let read = reads.load(Ordering::Relaxed) - before;
        assert!(read <= 64, "{read} reads in one turn");
    }
    assert!(event_loop.cancel(ticket));
    assert!(error_of(event_loop.next().unwrap().unwrap()).is_canceled());
    drop(event_loop);
    lab.finish_unfollowed();
}

#[test]
fn another_loop_waits_for_the_descriptor_and_no_longer_than_it_is_told() {
    let (lab, mut event_loop) = plain(echo_target());
    assert_eq!(event_loop.next_wait(), None);
    event_loop.submit(lab.request("GET", "/a")).unwrap();
    let mut done = Vec::new();
    let begun = Instant::now();
    while done.len() < 2 {
        let wait = event_loop.next_wait().unwrap_or(PATIENCE);
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        };
        let descriptor = event_loop.as_fd();
        let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        poll(&mut polled, Some(&timeout)).unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        while let Some(completion) = event_loop.try_next() {
            done.push(completion);
            if done.len() == 1 {
                event_loop.submit(lab.request("GET", "/b")).unwrap();
            }
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(done[0].body(), b"/a");
    assert_eq!(done[1].body(), b"/b");
    drop(event_loop);
    lab.finish();
}

#[test]
fn an_observer_aborts_its_call_alone() {
    let (lab, mut event_loop) = plain(echo_target());
    let abort = ObserverRef::new(At(EventKind::GotResponseHead, || {
        Verdict::Abort("enough".into())
    }));
    event_loop
        .submit(lab.request("GET", "/a").observe(abort))
        .unwrap();
    event_loop.submit(lab.request("GET", "/b")).unwrap();
    for done in run_all(&mut event_loop) {
        match done.url().path() {
            "/a" => assert_eq!(error_of(done).kind(), ErrorKind::Aborted),
            _ => assert_eq!(done.into_result().unwrap().body(), b"/b"),
        }
    }
    drop(event_loop);
    lab.finish();
}

#[test]
fn a_loop_moves_to_another_thread() {
    let (lab, mut event_loop) = plain(echo_target());
    event_loop.submit(lab.request("GET", "/a")).unwrap();
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(move || run_all(&mut event_loop));
        thread.join().unwrap()
    });
    assert_eq!(done[0].body(), b"/a");
    lab.finish();
}
