//! What calls of one client share: lookups, addresses, connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wirescope::error::{Timer, TriedOutcome};
use wirescope::event::{Event, EventKind};
use wirescope::message::overrides::Overrides;
use wirescope::resolver::from_fn;
use wirescope::testkit::check::check;
use wirescope::testkit::{BlackHole, Gate, Peer, Script};
use wirescope::{Client, Error, ErrorKind, Phase, Response};

use crate::support::{in_time, watched};

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn hello() -> Script {
    Script::new().respond_with(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec())
}

fn get(client: &Client, url: &str) -> Result<String, Error> {
    let mut response = client.get(url)?.send()?;
    Response::text(&mut response, 1000)
}

#[test]
fn twenty_threads_share_one_lookup() {
    const THREADS: usize = 20;
    let peer = Peer::start(hello()).unwrap();
    let (asked, all_wait) = (Arc::new(AtomicUsize::new(0)), Gate::new());
    let (count, gate) = (asked.clone(), all_wait.clone());
    let resolver = from_fn(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(gate.wait(Duration::from_secs(10)));
        Ok(vec![LOCAL])
    });
    let (client, events) = watched(|builder| builder.resolver(resolver));
    let url = format!("http://one.example:{}/", peer.addr().port());
    let mut told: Vec<Event> = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| assert_eq!(get(&client, &url).unwrap(), "hello"));
        }
        let is_start = |event: &&Event| event.kind() == EventKind::DnsStart;
        while told.iter().filter(is_start).count() < THREADS {
            told.push(events.recv_timeout(Duration::from_secs(10)).unwrap());
        }
        // The start of a lookup is told a moment before it is joined.
        std::thread::sleep(Duration::from_millis(100));
        all_wait.open();
    });
    drop(client);
    told.extend(events.try_iter());
    let seen = check(told);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(seen.matching("dns_done").len(), THREADS);
    assert_eq!(seen.matching("dns_done coalesced=true").len(), THREADS);
    peer.finish();
}

#[test]
fn addresses_are_remembered_for_a_while() {
    for (ttl, expected) in [(Duration::from_secs(60), 1), (Duration::ZERO, 3)] {
        let peer = Peer::start(hello()).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let resolver = from_fn(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(vec![LOCAL])
        });
        let (client, events) =
            watched(|builder| builder.resolver(resolver).dns_cache(ttl).keep_alive(false));
        let url = format!("http://one.example:{}/", peer.addr().port());
        for _ in 0..3 {
            assert_eq!(get(&client, &url).unwrap(), "hello");
        }
        drop(client);
        assert_eq!(asked.load(Ordering::Relaxed), expected);
        let seen = check(&events);
        let cached = seen.matching("dns_done source=cache").len();
        assert_eq!(cached, 3 - expected);
        peer.finish();
    }
}

#[test]
fn overrides_replace_the_lookup() {
    let peer = Peer::start(hello()).unwrap();
    let port = peer.addr().port();
    let resolver = from_fn(|_| panic!("nobody asks"));
    let mut overrides = Overrides::new();
    overrides.set("one.example", port, [LOCAL]).unwrap();
    let (client, events) = watched(|builder| builder.resolver(resolver).overrides(overrides));
    assert_eq!(
        get(&client, &format!("http://ONE.example:{port}/")).unwrap(),
        "hello"
    );
    drop(client);
    check(&events).assert_sequence([
        "dns_start source=override",
        "dns_done source=override",
        "dial_plan",
        "connect_done outcome=connected",
    ]);
    peer.finish();
}

#[test]
fn a_black_hole_takes_the_connect_timeout_and_no_longer() {
    let hole = BlackHole::start().unwrap();
    let limit = Duration::from_millis(120);
    let (client, events) = watched(|builder| builder.connect_timeout(limit));
    for with_handle in [false, true] {
        in_time("connect", limit, || {
            let mut request = client.get(&format!("http://{}/", hole.addr())).unwrap();
            if with_handle {
                request.cancel_handle();
            }
            let begun = Instant::now();
            let error = request.send().unwrap_err();
            let took = begun.elapsed();
            assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Connect));
            assert_eq!(error.phase(), Phase::Connect);
            let [tried] = error.tried() else {
                panic!("{error:?}");
            };
            assert_eq!(tried.addr(), hole.addr());
            assert_eq!(tried.outcome(), TriedOutcome::Unanswered);
            took
        });
    }
    drop(client);
    check(&events);
}

#[test]
fn an_idle_connection_is_not_used_after_its_time() {
    let peer = Peer::start(hello()).unwrap();
    let (client, events) = watched(|builder| builder.idle_timeout(Duration::from_millis(30)));
    let url = peer.url("/");
    get(&client, &url).unwrap();
    get(&client, &url).unwrap();
    assert_eq!(peer.connections(), 1);
    std::thread::sleep(Duration::from_millis(40));
    get(&client, &url).unwrap();
    assert_eq!(peer.connections(), 2);
    std::thread::sleep(Duration::from_millis(40));
    client.close_expired();
    assert_eq!(client.connections(), (0, 0));
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("conn_closed reason=idle_timeout").len(), 2);
    peer.finish();
}

#[test]
fn a_keep_alive_hint_shortens_the_time() {
    let answer = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n";
    let peer = Peer::start(Script::new().respond_with(|_| answer.into())).unwrap();
    let (client, events) = watched(|builder| builder);
    for _ in 0..2 {
        get(&client, &peer.url("/")).unwrap();
    }
    // One second is what the peer keeps it, and one second is for the way.
    assert_eq!(peer.connections(), 2);
    drop(client);
    check(&events).assert_sequence([
        "put_idle_conn error=null",
        "conn_closed reason=idle_timeout",
    ]);
    peer.finish();
}

#[test]
fn close_idle_closes_and_refuses_what_is_on_loan() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let gate = Gate::new();
    let peer = Peer::builder()
        .scripts([
            hello(),
            Script::new()
                .expect_request()
                .send(answer)
                .wait_for(gate.clone())
                .send("hello")
                .expect_gone(),
        ])
        .start()
        .unwrap();
    let (client, events) = watched(|builder| builder);
    get(&client, &peer.url("/")).unwrap();
    client.close_idle();
    let mut on_loan = client.get(&peer.url("/")).unwrap().send().unwrap();
    assert_eq!(client.connections(), (0, 1));
    client.close_idle();
    gate.open();
    assert_eq!(Response::text(&mut on_loan, 10).unwrap(), "hello");
    assert_eq!(client.connections(), (0, 0));
    drop((on_loan, client));
    check(&events).assert_sequence([
        "conn_closed reason=close_idle_called",
        "put_idle_conn error=close_idle_called",
        "conn_closed reason=close_idle_called",
    ]);
    peer.finish();
}

#[test]
fn too_many_idle_connections_evict_the_oldest() {
    let peers: Vec<_> = (0..3).map(|_| Peer::start(hello()).unwrap()).collect();
    let (client, events) = watched(|builder| builder.max_idle(2));
    for peer in &peers {
        get(&client, &peer.url("/")).unwrap();
    }
    assert_eq!(client.connections(), (2, 0));
    get(&client, &peers[2].url("/")).unwrap();
    get(&client, &peers[1].url("/")).unwrap();
    assert_eq!(peers[1].connections() + peers[2].connections(), 2);
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("conn_closed reason=evicted").len(), 1);
    assert_eq!(seen.matching("conn_closed reason=client_dropped").len(), 2);
    for peer in peers {
        peer.finish();
    }
}

#[test]
fn dropping_the_client_closes_what_is_idle_but_not_what_is_read() {
    let peer = Peer::start(hello()).unwrap();
    let (client, events) = watched(|builder| builder);
    get(&client, &peer.url("/")).unwrap();
    assert_eq!(client.connections(), (1, 0));
    drop(client.clone());
    assert_eq!(client.connections(), (1, 0));
    drop(client);
    assert!(peer.wait_until_closed(Duration::from_secs(5)));
    let seen = check(&events);
    assert_eq!(seen.matching("conn_closed reason=client_dropped").len(), 1);
    peer.finish();
}
