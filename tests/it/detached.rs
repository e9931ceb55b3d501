//! Dials of an event loop whose calls do not need them any more: they end in the pool, and are bounded.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use wirescope::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};
use wirescope::resolver::from_fn;
use wirescope::testkit::{BlackHole, Gate, Peer, PeerBuilder, Script};
use wirescope::{ClientBuilder, Completion, EventLoop, Ticket};

use crate::harness::{Lab, PATIENCE, SHORT, authority, ok, trusting};

/// Opens a gate at an event of a kind.
struct Opens(EventKind, Gate);

impl Observer for Opens {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, event: &Event) -> Verdict {
        if event.kind() == self.0 {
            self.1.open();
        }
        Verdict::Continue
    }
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

/// Begins a call and turns until it has told of this.
fn begin_until(event_loop: &mut EventLoop, lab: &Lab, url: &str, kind: EventKind) -> Ticket {
    let gate = Gate::new();
    let observer = ObserverRef::new(Opens(kind, gate.clone()));
    let request = lab.client.get(url).unwrap().observe(observer);
    let ticket = event_loop.submit(request).unwrap();
    turn_until(event_loop, |_| gate.is_open());
    ticket
}

fn complete(event_loop: &mut EventLoop) -> Completion {
    event_loop.next().unwrap().unwrap().into_result().unwrap()
}

/// Cancels a call and takes its completion.
fn cancel(event_loop: &mut EventLoop, ticket: Ticket) {
    assert!(event_loop.cancel(ticket));
    let done = event_loop.next().unwrap().unwrap();
    assert_eq!(done.ticket(), ticket);
    assert!(done.into_result().unwrap_err().is_canceled());
}

fn hello() -> Script {
    Script::new().respond_with(|_| ok("hello").into())
}

/// A peer over TLS whose connections after `quick` ones shake hands when the gate is open.
fn slow_tls(
    quick: Option<Script>,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Lab, EventLoop, Gate) {
    let gate = Gate::new();
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    let slow = Script::new()
        .wait_for(gate.clone())
        .start_tls()
        .respond_with(|_| ok("hello").into());
    let peer = Peer::builder()
        .tls_on_demand(identity)
        .scripts(quick.into_iter().chain([slow]));
    let (lab, event_loop) = looped(peer, |client| change(client.tls(trusting(authority()))));
    (lab, event_loop, gate)
}

fn looped(
    peer: PeerBuilder,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Lab, EventLoop) {
    let lab = Lab::with(peer, change);
    let event_loop = EventLoop::new(&lab.client).unwrap();
    (lab, event_loop)
}

#[test]
fn a_dial_whose_call_got_a_connection_that_came_back_ends_in_the_pool() {
    let answer = Gate::new();
    let held = answer.clone();
    let quick = Script::new().start_tls().respond_with(move |_| {
        assert!(held.wait(PATIENCE));
        ok("hello").into()
    });
    let (lab, mut event_loop, gate) =
        slow_tls(Some(quick), |client| client.max_connections_per_origin(2));
    let url = lab.peer.https_url("/");
    let first = begin_until(&mut event_loop, &lab, &url, EventKind::WroteRequest);
    let second = begin_until(&mut event_loop, &lab, &url, EventKind::TlsHandshakeStart);
    answer.open();
    let done = complete(&mut event_loop);
    assert_eq!(done.ticket(), first);
    let done = complete(&mut event_loop);
    assert_eq!(done.ticket(), second);
    assert!(done.is_connection_reused());
    assert!(event_loop.next().unwrap().is_none(), "no call is left");
    let stats = event_loop.pool_stats();
    assert_eq!((stats.total().idle(), stats.total().dialing()), (1, 1));
    gate.open();
    turn_until(&mut event_loop, |event_loop| {
        event_loop.pool_stats().total().idle() == 2
    });
    assert_eq!(event_loop.pool_stats().total().dialing(), 0);
    event_loop.submit(lab.client.get(&url).unwrap()).unwrap();
    let third = complete(&mut event_loop);
    assert!(third.connection() != done.connection() && !third.is_connection_reused());
    assert_eq!(event_loop.pool_stats().opened(), 2);
    drop(event_loop);
    let seen = lab.finish();
    seen.assert_sequence([
        "tls_handshake_start",
        "put_idle_conn error=null",
        "got_conn reused=true was_idle=true",
        "call_done error=null",
        "tls_handshake_done error=null",
        "conn_opened",
        "dial_done abandoned=false error=null",
        "put_idle_conn error=null",
        "got_conn reused=false was_idle=true",
        "conn_closed reason=client_dropped",
    ]);
    let outside = |event: &&Event| event.call().is_none() && event.attempt().is_none();
    let put = seen.only(EventKind::PutIdleConn);
    assert_eq!(put.into_iter().filter(outside).count(), 1);
    let ends = seen.only(EventKind::DialDone);
    assert_eq!(ends.into_iter().filter(outside).count(), 1);
}

#[test]
fn a_dial_whose_call_was_canceled_serves_the_call_that_waits() {
    let (lab, mut event_loop, gate) = slow_tls(None, |client| client.max_connections_per_origin(1));
    let url = lab.peer.https_url("/");
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::TlsHandshakeStart);
    cancel(&mut event_loop, ticket);
    let total = event_loop.pool_stats();
    assert_eq!((event_loop.calls(), total.total().dialing()), (0, 1));
    let waits = begin_until(&mut event_loop, &lab, &url, EventKind::QueueStart);
    gate.open();
    let done = complete(&mut event_loop);
    assert_eq!((done.ticket(), done.body()), (waits, &b"hello"[..]));
    assert_eq!(event_loop.pool_stats().opened(), 1);
    drop(event_loop);
    let seen = lab.finish();
    seen.assert_sequence([
        "call_canceled by=caller",
        "get_conn_failed",
        "call_done",
        "queue_start",
        "conn_opened",
        "dial_done abandoned=false error=null",
        "put_idle_conn error=null",
        "queue_done outcome=handed",
        "got_conn reused=false was_idle=true",
    ]);
}

#[test]
fn a_lookup_whose_call_was_canceled_goes_on() {
    let gate = Gate::new();
    let held = gate.clone();
    let resolver = from_fn(move |_| {
        assert!(held.wait(PATIENCE));
        Ok(vec![IpAddr::from(Ipv4Addr::LOCALHOST)])
    });
    let (lab, mut event_loop) = looped(Peer::builder().script(hello()), |client| {
        client.resolver(resolver)
    });
    let url = format!("http://one.example:{}/", lab.peer.addr().port());
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::DnsStart);
    cancel(&mut event_loop, ticket);
    gate.open();
    turn_until(&mut event_loop, |event_loop| {
        event_loop.pool_stats().total().idle() == 1
    });
    event_loop.submit(lab.client.get(&url).unwrap()).unwrap();
    assert_eq!(complete(&mut event_loop).body(), b"hello");
    assert_eq!(event_loop.pool_stats().opened(), 1);
    drop(event_loop);
    let seen = lab.finish();
    seen.assert_sequence([
        "dns_start",
        "call_canceled",
        "call_done",
        "dns_done",
        "connect_start",
        "dial_done abandoned=false",
        "put_idle_conn error=null",
        "got_conn reused=false was_idle=true",
    ]);
}

#[test]
fn a_call_that_asks_for_the_name_of_its_own_canceled_lookup_shares_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let resolver = from_fn(move |_| {
        assert!(held.wait(PATIENCE));
        Ok(vec![IpAddr::from(Ipv4Addr::LOCALHOST)])
    });
    let (lab, mut event_loop) = looped(Peer::builder().script(hello()), |client| {
        client.resolver(resolver)
    });
    let url = format!("http://one.example:{}/", lab.peer.addr().port());
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::DnsStart);
    cancel(&mut event_loop, ticket);
    let second = begin_until(&mut event_loop, &lab, &url, EventKind::DnsStart);
    gate.open();
    let done = complete(&mut event_loop);
    assert_eq!((done.ticket(), done.body()), (second, &b"hello"[..]));
    turn_until(&mut event_loop, |event_loop| {
        event_loop.pool_stats().total().dialing() == 0
    });
    drop(event_loop);
    lab.finish();
}

#[test]
fn a_detached_dial_ends_at_its_own_deadline() {
    let hole = BlackHole::start().unwrap();
    let (lab, mut event_loop) = looped(Peer::builder().script(hello()), |client| {
        client.connect_timeout(SHORT * 4)
    });
    let url = format!("http://{}/", hole.addr());
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::ConnectStart);
    cancel(&mut event_loop, ticket);
    assert_eq!(event_loop.pool_stats().total().dialing(), 1);
    turn_until(&mut event_loop, |event_loop| {
        event_loop.pool_stats().total().connections() == 0
    });
    drop(event_loop);
    let seen = lab.finish();
    seen.assert_sequence([
        "call_done",
        "timeout_fired timer=connect",
        "connect_done outcome=canceled",
        "dial_done abandoned=true",
    ]);
}

#[test]
fn dropping_the_loop_gives_a_detached_dial_up() {
    let (lab, mut event_loop, gate) = slow_tls(None, |client| client);
    let url = lab.peer.https_url("/");
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::TlsHandshakeStart);
    cancel(&mut event_loop, ticket);
    assert_eq!(event_loop.pool_stats().total().dialing(), 1);
    drop(event_loop);
    gate.open();
    assert!(lab.peer.wait_until_closed(PATIENCE));
    let seen = lab.finish_unfollowed();
    seen.assert_sequence([
        "call_done",
        "tls_handshake_done facts=null",
        "dial_done abandoned=true",
    ]);
    seen.none(EventKind::ConnOpened);
}

#[test]
fn detached_dials_do_not_pile_up() {
    const CALLS: usize = 20;
    let hole = BlackHole::start().unwrap();
    let (lab, mut event_loop) = looped(Peer::builder().script(hello()), |client| {
        client.max_idle_per_origin(3)
    });
    let url = format!("http://{}/", hole.addr());
    for _ in 0..CALLS {
        let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::ConnectStart);
        cancel(&mut event_loop, ticket);
        assert!(event_loop.pool_stats().total().dialing() <= 3);
    }
    assert_eq!(event_loop.pool_stats().total().dialing(), 3);
    drop(event_loop);
    let seen = lab.finish();
    let ends = seen.only(EventKind::DialDone);
    assert_eq!(ends.len(), CALLS);
}

#[test]
fn a_pool_that_keeps_nothing_has_no_detached_dials() {
    let hole = BlackHole::start().unwrap();
    let (lab, mut event_loop) = looped(Peer::builder().script(hello()), |client| {
        client.max_idle_per_origin(0)
    });
    let url = format!("http://{}/", hole.addr());
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::ConnectStart);
    cancel(&mut event_loop, ticket);
    assert_eq!(event_loop.pool_stats().total().connections(), 0);
    drop(event_loop);
    lab.finish();
}

#[test]
fn an_observer_that_aborts_ends_the_dial_too() {
    struct Aborts;
    impl Observer for Aborts {
        fn on_event(&self, event: &Event) -> Verdict {
            match event.kind() {
                EventKind::ConnectStart => Verdict::Abort("not there".into()),
                _ => Verdict::Continue,
            }
        }
    }
    let hole = BlackHole::start().unwrap();
    let (lab, mut event_loop) = looped(Peer::builder().script(hello()), |client| client);
    let url = format!("http://{}/", hole.addr());
    let request = lab.client.get(&url).unwrap().observe(Aborts);
    event_loop.submit(request).unwrap();
    let done = event_loop.next().unwrap().unwrap();
    assert!(done.into_result().is_err());
    assert_eq!(event_loop.pool_stats().total().connections(), 0);
    drop(event_loop);
    lab.finish();
}

#[test]
fn finishing_does_not_wait_for_detached_dials() {
    let hole = BlackHole::start().unwrap();
    let (lab, mut event_loop) = looped(Peer::builder().script(hello()), |client| client);
    let url = format!("http://{}/", hole.addr());
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::ConnectStart);
    cancel(&mut event_loop, ticket);
    event_loop
        .submit(lab.client.get(&lab.peer.url("/")).unwrap())
        .unwrap();
    let begun = Instant::now();
    assert_eq!(event_loop.finish(PATIENCE).unwrap().len(), 1);
    assert!(begun.elapsed() < PATIENCE);
    let seen = lab.finish();
    seen.assert_sequence(["call_done", "dial_done abandoned=true"]);
}

#[test]
fn a_detached_dial_that_fails_is_told_and_gives_its_place_back() {
    let gate = Gate::new();
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    let peer = Peer::builder().tls_on_demand(identity).scripts([
        Script::new().wait_for(gate.clone()).reset(),
        Script::new()
            .start_tls()
            .respond_with(|_| ok("hello").into()),
    ]);
    let (lab, mut event_loop) = looped(peer, |client| {
        let client = client.tls(trusting(authority()));
        client.max_connections_per_origin(1)
    });
    let url = lab.peer.https_url("/");
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::TlsHandshakeStart);
    cancel(&mut event_loop, ticket);
    begin_until(&mut event_loop, &lab, &url, EventKind::QueueStart);
    gate.open();
    assert_eq!(complete(&mut event_loop).body(), b"hello");
    drop(event_loop);
    let seen = lab.finish();
    seen.assert_sequence([
        "queue_start",
        "tls_handshake_done facts=null",
        "dial_done connection=null",
        "queue_done outcome=may_dial",
        "got_conn reused=false was_idle=false",
    ]);
}

#[test]
fn a_detached_dial_gives_way_to_a_call_of_another_origin() {
    let hole = BlackHole::start().unwrap();
    let (lab, mut event_loop) = looped(Peer::builder().script(hello()), |client| {
        client.max_connections(1)
    });
    let url = format!("http://{}/", hole.addr());
    let ticket = begin_until(&mut event_loop, &lab, &url, EventKind::ConnectStart);
    cancel(&mut event_loop, ticket);
    assert_eq!(event_loop.pool_stats().total().dialing(), 1);
    let begun = Instant::now();
    event_loop
        .submit(lab.client.get(&lab.peer.url("/")).unwrap())
        .unwrap();
    assert_eq!(complete(&mut event_loop).body(), b"hello");
    // Its own deadline is 10 seconds.
    assert!(begun.elapsed() < PATIENCE);
    drop(event_loop);
    let seen = lab.finish();
    seen.assert_sequence([
        "call_canceled",
        "queue_start limit=total",
        "dial_done abandoned=true",
        "queue_done outcome=may_dial",
        "got_conn",
    ]);
    seen.none(EventKind::TimeoutFired);
}
