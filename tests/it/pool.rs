//! The pool under limits: who waits, who is served next, and what is closed for whom.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use wirescope::error::Timer;
use wirescope::event::{Event, EventKind, Events};
use wirescope::message::close::CloseReason;
use wirescope::testkit::check::check;
use wirescope::testkit::{BlackHole, Peer, Script};
use wirescope::{Client, Error, ErrorKind, Phase};

use crate::support::{in_time, watched};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn answering() -> Script {
    Script::new().respond_with(|_| OK.into())
}

fn get(client: &Client, url: &str) -> Result<Vec<u8>, Error> {
    client.get(url)?.send()?.collect(100)
}

/// Takes events until one of that kind came, and keeps all of them.
fn wait_for(events: &Events, kind: EventKind, told: &mut Vec<Event>) -> Event {
    loop {
        let event = events
            .recv_timeout(Duration::from_secs(30))
            .unwrap_or_else(|_| panic!("no {kind} came"));
        told.push(event.clone());
        if event.kind() == kind {
            return event;
        }
    }
}

/// A peer that answers each request when it is told to.
fn on_demand() -> (Peer, Sender<()>) {
    let (go, asked): (Sender<()>, Receiver<()>) = channel();
    let asked = Mutex::new(asked);
    let script = Script::new().respond_with(move |_| {
        let asked = asked.lock().unwrap();
        let _ = asked.recv_timeout(Duration::from_secs(30));
        OK.into()
    });
    (Peer::start(script).unwrap(), go)
}

#[test]
fn rfc_e19_p13_three_hundred_threads_on_two_connections_are_served_in_their_order() {
    const THREADS: usize = 300;
    let (peer, go) = on_demand();
    let (client, events) = watched(|builder| {
        builder
            .max_connections_per_origin(2)
            .timeouts(|timeouts| timeouts.queue = Some(Duration::from_secs(60)))
    });
    let (url, mut told) = (peer.url("/"), Vec::new());
    let (mut queued, mut served) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(|| assert_eq!(get(&client, &url).unwrap(), b"ok"));
            let kind = match number {
                0 | 1 => EventKind::WroteRequest,
                _ => EventKind::QueueStart,
            };
            let event = wait_for(&events, kind, &mut told);
            if kind == EventKind::QueueStart {
                queued.push(event.call());
            }
        }
        let waiting = client.pool_stats().total();
        assert_eq!((waiting.waiting(), waiting.active()), (THREADS - 2, 2));
        for _ in 2..THREADS {
            go.send(()).unwrap();
            served.push(wait_for(&events, EventKind::QueueDone, &mut told).call());
        }
        go.send(()).unwrap();
        go.send(()).unwrap();
    });
    assert_eq!(queued, served);
    assert_eq!(peer.connections(), 2);
    let stats = client.pool_stats();
    assert_eq!((stats.handed(), stats.opened()), (THREADS as u64 - 2, 2));
    assert_eq!((stats.hits(), stats.misses()), (0, THREADS as u64));
    assert_eq!(client.connections(), (2, 0));
    drop(client);
    told.extend(events.try_iter());
    let seen = check(told);
    assert_eq!(
        seen.matching("queue_done outcome=handed").len(),
        THREADS - 2
    );
    peer.finish();
}

#[test]
fn p13_hundreds_of_threads_without_order_all_finish() {
    let peer = Peer::start(answering()).unwrap();
    let (client, events) = watched(|builder| builder.max_connections(2));
    let url = peer.url("/");
    std::thread::scope(|scope| {
        for _ in 0..300 {
            scope.spawn(|| assert_eq!(get(&client, &url).unwrap(), b"ok"));
        }
    });
    assert_eq!(client.pool_stats().total().waiting(), 0);
    drop(client);
    let (mut open, mut most) = (0, 0);
    for event in check(&events).events() {
        match event.kind() {
            EventKind::ConnOpened => open += 1,
            EventKind::ConnClosed => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    assert!(open == 0 && most <= 2, "{most} at once");
    peer.finish();
}

#[test]
fn p13_a_canceled_call_leaves_the_queue_and_the_next_is_served() {
    let (peer, go) = on_demand();
    let (client, events) = watched(|builder| builder.max_connections_per_origin(1));
    let (url, mut told) = (peer.url("/"), Vec::new());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&client, &url));
        wait_for(&events, EventKind::WroteRequest, &mut told);
        let mut request = client.get(&url).unwrap();
        let handle = request.cancel_handle();
        let second = scope.spawn(|| request.send().map(drop));
        wait_for(&events, EventKind::QueueStart, &mut told);
        let third = scope.spawn(|| get(&client, &url));
        wait_for(&events, EventKind::QueueStart, &mut told);
        handle.cancel();
        let error = second.join().unwrap().unwrap_err();
        assert!(error.is_canceled());
        assert_eq!(error.phase(), Phase::Queue);
        assert_eq!(client.pool_stats().total().waiting(), 1);
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap().unwrap(), b"ok");
        assert_eq!(third.join().unwrap().unwrap(), b"ok");
    });
    drop(client);
    told.extend(events.try_iter());
    check(told).assert_sequence([
        "queue_start depth=1",
        "queue_start depth=2",
        "call_canceled by=caller phase=queue",
        "queue_done outcome=canceled",
        "get_conn_failed kind=canceled",
        "call_done kind=canceled",
        "queue_done outcome=handed",
        "got_conn reused=true was_idle=true",
    ]);
    peer.finish();
}

#[test]
fn a_call_that_waits_for_too_long_fails_with_a_typed_error() {
    let (peer, go) = on_demand();
    let limit = Duration::from_millis(60);
    let (client, events) = watched(|builder| {
        builder
            .max_connections_per_origin(1)
            .connect_timeout(Duration::from_millis(20))
            .timeouts(|timeouts| timeouts.queue = Some(limit))
    });
    let (url, mut told) = (peer.url("/"), Vec::new());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&client, &url));
        wait_for(&events, EventKind::WroteRequest, &mut told);
        in_time("the queue", limit, || {
            let begun = std::time::Instant::now();
            let error = get(&client, &url).unwrap_err();
            let took = begun.elapsed();
            assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Queue));
            assert_eq!(error.phase(), Phase::Queue);
            assert!(error.is_timeout() && error.is_connect());
            took
        });
        assert_eq!(client.pool_stats().total().waiting(), 0);
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap().unwrap(), b"ok");
    });
    drop(client);
    told.extend(events.try_iter());
    check(told).assert_sequence([
        "queue_start limit=per_origin depth=1",
        "timeout_fired timer=queue",
        "queue_done outcome=timed_out",
        "get_conn_failed kind=timeout",
        "attempt_done",
        "call_done kind=timeout",
    ]);
    peer.finish();
}

#[test]
fn rfc_e19_the_total_limit_moves_a_connection_from_one_origin_to_another() {
    let (one, other) = (answering(), answering());
    let (one, other) = (Peer::start(one).unwrap(), Peer::start(other).unwrap());
    let (client, events) = watched(|builder| builder.max_connections(1));
    for peer in [&one, &other, &one] {
        assert_eq!(get(&client, &peer.url("/")).unwrap(), b"ok");
        assert_eq!(client.pool_stats().total().connections(), 1);
    }
    // Whoever waits for the other origin gets the place of a connection that comes back.
    let (slow, go) = on_demand();
    let mut told = Vec::new();
    std::thread::scope(|scope| {
        let using = scope.spawn(|| get(&client, &slow.url("/")));
        while client.pool_stats().total().active() == 0 {
            std::thread::yield_now();
        }
        let waiting = scope.spawn(|| get(&client, &other.url("/")));
        wait_for(&events, EventKind::QueueStart, &mut told);
        go.send(()).unwrap();
        assert_eq!(using.join().unwrap().unwrap(), b"ok");
        assert_eq!(waiting.join().unwrap().unwrap(), b"ok");
    });
    let stats = client.pool_stats();
    assert_eq!(stats.closed(CloseReason::Evicted), 4);
    drop(client);
    told.extend(events.try_iter());
    check(told).assert_sequence([
        "queue_start limit=total",
        "queue_done outcome=may_dial",
        "dial_start why=queued",
        "got_conn reused=false",
    ]);
    for peer in [one, other, slow] {
        peer.finish();
    }
}

#[test]
fn p23_a_connection_ends_behind_as_many_requests_as_it_may_carry() {
    let peer = Peer::start(answering()).unwrap();
    let (client, events) = watched(|builder| builder.max_requests(3));
    for _ in 0..7 {
        get(&client, &peer.url("/")).unwrap();
    }
    assert_eq!(peer.connections(), 3);
    let said: Vec<_> = peer
        .requests()
        .iter()
        .map(|request| request.field("connection") == Some("close"))
        .collect();
    assert_eq!(said, [false, false, true, false, false, true, false]);
    let stats = client.pool_stats();
    assert_eq!(stats.closed(CloseReason::MaxRequests), 2);
    assert_eq!((stats.opened(), stats.closed_total()), (3, 2));
    drop(client);
    let seen = check(&events);
    let closed = seen.matching("conn_closed reason=max_requests requests=3");
    assert_eq!(closed.len(), 2);
    peer.finish();
}

#[test]
fn p23_a_connection_ends_when_it_is_too_old_whether_idle_or_in_use() {
    let (peer, go) = on_demand();
    let age = Duration::from_millis(40);
    let (client, events) = watched(|builder| builder.max_age(age));
    let url = peer.url("/");
    go.send(()).unwrap();
    get(&client, &url).unwrap();
    std::thread::sleep(age);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| get(&client, &url));
        assert!(peer.wait_for_request(2, Duration::from_secs(10)));
        std::thread::sleep(age);
        go.send(()).unwrap();
        assert_eq!(second.join().unwrap().unwrap(), b"ok");
    });
    assert_eq!(client.connections(), (0, 0));
    assert_eq!(peer.connections(), 2);
    drop(client);
    check(&events).assert_sequence([
        "put_idle_conn error=null",
        "conn_closed reason=max_age",
        "pool_lookup hit=false",
        "put_idle_conn error=max_age",
        "conn_closed reason=max_age",
    ]);
    peer.finish();
}

#[test]
fn p16_p18_a_connection_in_use_is_shared_with_nobody_and_closed_after_close_idle() {
    let (peer, go) = on_demand();
    let (client, events) = watched(|builder| builder.max_connections_per_origin(1));
    let (url, mut told) = (peer.url("/"), Vec::new());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&client, &url));
        wait_for(&events, EventKind::WroteRequest, &mut told);
        let second = scope.spawn(|| get(&client, &url));
        wait_for(&events, EventKind::QueueStart, &mut told);
        // What is in use now is not handed over but closed, and its place becomes a permit.
        client.close_idle();
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap().unwrap(), b"ok");
        assert_eq!(second.join().unwrap().unwrap(), b"ok");
    });
    assert_eq!(peer.connections(), 2);
    drop(client);
    told.extend(events.try_iter());
    // It is told to be closed before its place is given on.
    check(told).assert_sequence([
        "put_idle_conn error=close_idle_called",
        "conn_closed reason=close_idle_called",
        "queue_done outcome=may_dial",
        "dial_start why=queued",
        "got_conn reused=false",
    ]);
    peer.finish();
}

#[test]
fn a_failed_dial_leaves_its_permit_to_the_call_that_waits() {
    let hole = BlackHole::start().unwrap();
    let peer = Peer::start(answering()).unwrap();
    let (client, events) = watched(|builder| builder.max_connections(1));
    let mut told = Vec::new();
    std::thread::scope(|scope| {
        let mut request = client.get(&format!("http://{}/", hole.addr())).unwrap();
        let handle = request.cancel_handle();
        let first = scope.spawn(|| request.send().map(drop));
        wait_for(&events, EventKind::ConnectStart, &mut told);
        let second = scope.spawn(|| get(&client, &peer.url("/")));
        wait_for(&events, EventKind::QueueStart, &mut told);
        handle.cancel();
        assert!(first.join().unwrap().unwrap_err().is_canceled());
        assert_eq!(second.join().unwrap().unwrap(), b"ok");
    });
    drop(client);
    told.extend(events.try_iter());
    check(told).assert_sequence([
        "queue_start limit=total",
        "dial_done kind=canceled",
        "queue_done outcome=may_dial",
        "got_conn reused=false",
    ]);
    peer.finish();
}

#[test]
fn the_time_in_the_queue_is_the_queue_phase() {
    let (peer, go) = on_demand();
    let (client, events) = watched(|builder| builder.max_connections_per_origin(1));
    let (url, mut told) = (peer.url("/"), Vec::new());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&client, &url));
        wait_for(&events, EventKind::WroteRequest, &mut told);
        let second = scope.spawn(|| client.get(&url).unwrap().send().unwrap());
        wait_for(&events, EventKind::QueueStart, &mut told);
        let wait = Duration::from_millis(20);
        std::thread::sleep(wait);
        go.send(()).unwrap();
        go.send(()).unwrap();
        first.join().unwrap().unwrap();
        let timings = second.join().unwrap().timings();
        assert!(timings.phases().queue >= Some(wait), "{timings:?}");
        assert!(timings.conn_reused());
    });
    drop(client);
    told.extend(events.try_iter());
    check(told);
    peer.finish();
}

/// Random numbers of a seed: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn q18_cancels_drops_and_closings_at_random_moments_lose_no_permit() {
    const BODY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let script = || {
        Script::new().respond_with(|request| match request.target() {
            "/long" => [BODY.as_bytes(), &[b'x'; 100_000]].concat(),
            "/last" => b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into(),
            _ => OK.into(),
        })
    };
    let peers: Vec<_> = (0..3).map(|_| Peer::start(script()).unwrap()).collect();
    let (client, events) =
        watched(|builder| builder.max_connections(3).max_connections_per_origin(2));
    let (canceler, orders) = channel::<(wirescope::CancelHandle, Duration)>();
    let canceling = std::thread::spawn(move || {
        for (handle, delay) in orders {
            std::thread::sleep(delay);
            handle.cancel();
        }
    });
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (client, peers, canceler) = (&client, &peers, canceler.clone());
            scope.spawn(move || {
                let mut random = Random(0xcafe + thread);
                for _ in 0..150 {
                    let target = ["/", "/", "/long", "/last"][random.below(4) as usize];
                    let url = peers[random.below(3) as usize].url(target);
                    let mut request = client.get(&url).unwrap();
                    if random.below(3) == 0 {
                        let delay = Duration::from_micros(random.below(1000));
                        canceler.send((request.cancel_handle(), delay)).unwrap();
                    }
                    match request.send() {
                        // Sometimes the body is dropped unread.
                        Ok(mut response) if random.below(4) > 0 => drop(response.collect(200_000)),
                        Ok(_) => {}
                        Err(error) => assert!(error.is_canceled(), "{error:?}"),
                    }
                    assert!(client.pool_stats().total().connections() <= 3);
                }
            });
        }
    });
    drop(canceler);
    canceling.join().unwrap();
    let total = client.pool_stats().total();
    assert_eq!(
        (total.active(), total.dialing(), total.waiting()),
        (0, 0, 0)
    );
    drop(client);
    let seen = check(&events);
    println!(
        "{} waits, {} of them canceled",
        seen.matching("queue_start").len(),
        seen.matching("queue_done outcome=canceled").len()
    );
    assert!(!seen.matching("queue_done outcome=canceled").is_empty());
}
