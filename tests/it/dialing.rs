//! Connections being made, over loopback: the race of addresses, what it costs, and how it is given up.

use std::collections::HashSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wirescope::error::{LookupFailure, Timer, TlsFailure, TriedOutcome};
use wirescope::event::{Event, EventData, EventKind, Events};
use wirescope::message::answer::{Answer, Family};
use wirescope::message::dial::DialProfile;
use wirescope::resolver::{Query, Resolve, Sink, Ticket, from_fn};
use wirescope::testkit::check::check;
use wirescope::testkit::{BlackHole, Peer, RefusedPort, Script, syscalls};
use wirescope::{Client, ClientBuilder, Error, ErrorKind, Phase, Response};

use crate::support::{in_time, watched};

const PATIENCE: Duration = Duration::from_secs(10);

fn hello() -> Script {
    Script::new().respond_with(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec())
}

fn get(client: &Client, url: &str) -> Result<String, Error> {
    let mut response = client.get(url)?.send()?;
    Response::text(&mut response, 1000)
}

/// A client for which any name stands for these addresses of this machine.
fn dialing(
    addrs: &[SocketAddr],
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Client, Events) {
    let ips: Vec<IpAddr> = addrs.iter().map(SocketAddr::ip).collect();
    watched(|builder| change(builder.resolver(from_fn(move |_| Ok(ips.clone())))))
}

/// Another address of this machine with the same port.
fn beside(addr: SocketAddr, last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], addr.port()))
}

/// A peer, and something else at another address of this machine with the same port. That port may be taken there
/// by what another test left behind; then it is another one.
fn beside_a_peer<T>(other: impl Fn(SocketAddr) -> std::io::Result<T>) -> (Peer, T) {
    for _ in 0..10 {
        let peer = Peer::start(hello()).unwrap();
        if let Ok(other) = other(beside(peer.addr(), 2)) {
            return (peer, other);
        }
    }
    panic!("no port is free at both addresses");
}

#[test]
fn a_black_holed_address_loses_to_a_live_one() {
    let (peer, hole) = beside_a_peer(BlackHole::bind);
    for (profile, least) in [(DialProfile::Fast, 150), (DialProfile::Rfc8305, 250)] {
        in_time(profile.tag(), Duration::from_millis(least), || {
            let (client, events) = dialing(&[hole.addr(), peer.addr()], |builder| {
                builder.dial_profile(profile)
            });
            let begun = Instant::now();
            let url = format!("http://two.test:{}/", peer.addr().port());
            assert_eq!(get(&client, &url).unwrap(), "hello");
            let took = begun.elapsed();
            drop(client);
            let seen = check(&events);
            seen.assert_sequence([
                "connect_start contestant=0 reason=first",
                "connect_start contestant=1 reason=delay",
                "connect_done contestant=1 outcome=connected",
                "connect_done contestant=0 outcome=lost",
                "conn_opened",
                "dial_done winner=1",
                "got_conn",
            ]);
            let plan = format!("dial_plan profile={}", profile.tag());
            assert_eq!(seen.matching(&plan).len(), 1);
            took
        });
    }
    peer.finish();
}

#[test]
fn a_refused_address_is_overtaken_at_once() {
    let (peer, refused) = beside_a_peer(RefusedPort::bind);
    let (client, events) = dialing(&[refused.addr(), peer.addr()], |builder| builder);
    let url = format!("http://two.test:{}/", peer.addr().port());
    assert_eq!(get(&client, &url).unwrap(), "hello");
    drop(client);
    let seen = check(&events);
    seen.assert_sequence([
        "connect_done contestant=0 outcome=failed",
        "connect_start contestant=1 reason=credit",
        "connect_done contestant=1 outcome=connected",
    ]);
    let at = |contestant| {
        let starts = seen.only(EventKind::ConnectStart);
        starts[contestant as usize].at()
    };
    let apart = at(1) - at(0);
    assert!(
        apart < Duration::from_millis(100),
        "not by delay: {apart:?}"
    );
    peer.finish();
}

#[test]
fn when_all_refuse_the_error_lists_all_on_one_line() {
    let first = RefusedPort::bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let addrs: Vec<_> = (2..=5).map(|last| beside(first.addr(), last)).collect();
    let rest: Vec<_> = (addrs[1..].iter())
        .map(|addr| RefusedPort::bind(*addr).unwrap())
        .collect();
    let (client, events) = dialing(&addrs, |builder| builder);
    let port = first.addr().port();
    let error = get(&client, &format!("http://none.test:{port}/")).unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Connect, Phase::Connect)
    );
    let tried: HashSet<_> = error
        .tried()
        .iter()
        .filter_map(|tried| tried.addr().tcp())
        .collect();
    assert_eq!(tried, addrs.iter().copied().collect());
    let source = std::error::Error::source(&error).unwrap();
    let source = source.downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
    let text = error.to_string();
    let start = format!("cannot connect to none.test:{port}: 4 addresses tried in ");
    assert!(text.starts_with(&start), "{text}");
    for addr in &addrs {
        assert!(text.contains(&format!("{} refused (", addr.ip())), "{text}");
    }
    assert!(text.contains("AAAA: no address in "), "{text}");
    drop((client, rest));
    check(&events);
}

#[test]
fn a_deadline_ends_everybody_and_lists_all() {
    let first = BlackHole::bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let second = BlackHole::bind(beside(first.addr(), 3)).unwrap();
    let addrs = [first.addr(), second.addr()];
    let limit = Duration::from_millis(400);
    let (client, events) = dialing(&addrs, |builder| builder.connect_timeout(limit));
    let begun = Instant::now();
    let error = get(
        &client,
        &format!("http://dead.test:{}/", first.addr().port()),
    )
    .unwrap_err();
    assert!(begun.elapsed() >= limit);
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Connect));
    let tried: HashSet<_> = error
        .tried()
        .iter()
        .filter_map(|tried| tried.addr().tcp())
        .collect();
    assert_eq!(tried, HashSet::from(addrs));
    let is_unanswered = |outcome| outcome == TriedOutcome::Unanswered;
    assert!(
        error
            .tried()
            .iter()
            .all(|tried| is_unanswered(tried.outcome()))
    );
    drop(client);
    let seen = check(&events);
    seen.assert_sequence([
        "timeout_fired timer=connect",
        "connect_done outcome=canceled",
    ]);
    assert_eq!(seen.matching("connect_start reason=hedge").len(), 1);
}

#[test]
fn a_cancel_ends_a_race_at_once() {
    let first = BlackHole::bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let second = BlackHole::bind(beside(first.addr(), 3)).unwrap();
    let port = first.addr().port();
    let ips = [first.addr().ip(), second.addr().ip()];
    for with_lookup in [true, false] {
        let (client, events) = watched(|builder| match with_lookup {
            true => builder.resolver(from_fn(move |_| Ok(ips.to_vec()))),
            false => builder.resolve_override("dead.test", port, &ips).unwrap(),
        });
        let mut request = client.get(&format!("http://dead.test:{port}/")).unwrap();
        let handle = request.cancel_handle();
        let mut seen = Vec::new();
        let late = std::thread::scope(|scope| {
            let call = scope.spawn(move || (request.send().unwrap_err(), Instant::now()));
            let is_start = |event: &&Event| event.kind() == EventKind::ConnectStart;
            while seen.iter().filter(is_start).count() < 2 {
                seen.push(events.recv_timeout(PATIENCE).unwrap());
            }
            let canceled = Instant::now();
            handle.cancel();
            let (error, ended) = call.join().unwrap();
            assert!(error.is_canceled(), "{error}");
            assert_eq!(error.tried().len(), 2);
            ended.saturating_duration_since(canceled)
        });
        assert!(late < Duration::from_millis(50), "{late:?}");
        drop(client);
        seen.extend(events.try_iter());
        check(seen);
    }
}

/// The sockets of this process that are connecting to, or connected with, a port.
fn sockets_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let remote = format!(":{port:04X}");
    let rows = table.lines().skip(1).filter_map(|row| {
        let row: Vec<_> = row.split_whitespace().collect();
        row[2].ends_with(&remote).then(|| row[9].to_owned())
    });
    let found: HashSet<String> = rows.collect();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let mine = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    mine.filter(|link| {
        let link = link.to_string_lossy();
        let inode = link
            .strip_prefix("socket:[")
            .and_then(|link| link.strip_suffix(']'));
        inode.is_some_and(|inode| found.contains(inode))
    })
    .count()
}

/// Says whether there are so many sockets at last: the system's table is not read in one moment, and may show less
/// or more while others come and go.
fn comes_to(port: u16, expected: usize) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if sockets_to(port) == expected {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn a_race_leaves_no_socket_behind() {
    let (peer, hole) = beside_a_peer(BlackHole::bind);
    let port = peer.addr().port();
    // Those that keep the queue of the black hole full.
    let before = (0..3).map(|_| sockets_to(port)).max().unwrap_or(0);
    let addrs = [hole.addr(), beside(peer.addr(), 3), peer.addr()];
    let (client, events) = dialing(&addrs, |builder| builder);
    assert_eq!(
        get(&client, &format!("http://three.test:{port}/")).unwrap(),
        "hello"
    );
    assert!(comes_to(port, before + 1), "the connection that is idle");
    drop(client);
    assert!(comes_to(port, before));
    check(&events);
    peer.finish();
}

/// Connects to a listener whose queue is full, so that the first packet is dropped; then makes room. Says how long
/// the call took, and who won.
fn with_the_first_packet_lost() -> (Duration, u16) {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let fill = || TcpStream::connect_timeout(&addr, Duration::from_millis(25));
    let mut queued = Vec::new();
    while let Ok(stream) = fill() {
        queued.push(stream);
    }
    let (client, events) = watched(|builder| builder);
    let url = format!("http://{addr}/");
    let mut told: Vec<Event> = Vec::new();
    let took = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let begun = Instant::now();
            assert_eq!(get(&client, &url).unwrap(), "hello");
            begun.elapsed()
        });
        while told.last().map(Event::kind) != Some(EventKind::ConnectStart) {
            told.push(events.recv_timeout(PATIENCE).unwrap());
        }
        // The packet leaves a moment after it is told; the second one after 250 ms.
        std::thread::sleep(Duration::from_millis(80));
        for _ in 0..queued.len() {
            drop(listener.accept().unwrap());
        }
        let (stream, _) = listener.accept().unwrap();
        let mut stream = TcpStream::from(stream);
        crate::support::read_head(&stream).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        stream.write_all(answer).unwrap();
        call.join().unwrap()
    });
    drop(client);
    told.extend(events.try_iter());
    let seen = check(told);
    let EventData::DialDone(done) = seen.one(EventKind::DialDone).data() else {
        panic!("dial_done")
    };
    (took, done.winner().unwrap())
}

#[test]
fn a_lost_first_packet_is_not_waited_for() {
    // The kernel sends it again after a second. On a busy machine room may be made too early or too late.
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let (took, winner) = with_the_first_packet_lost();
        rounds.push((took, winner));
        if winner == 1 && took < Duration::from_millis(900) {
            assert!(took >= Duration::from_millis(250), "{took:?}");
            return;
        }
    }
    panic!("{rounds:?}");
}

#[test]
fn a_peer_that_stalls_in_tls_loses_to_another() {
    let (identity, tls) = crate::support::trusted();
    let peer = Peer::builder()
        .tls(identity)
        .script(hello())
        .start()
        .unwrap();
    let port = peer.addr().port();
    let silent = std::net::TcpListener::bind(("127.0.0.2", port)).unwrap();
    let ips = [silent.local_addr().unwrap().ip(), peer.addr().ip()];
    let (client, events) = watched(|builder| {
        builder
            .tls(tls)
            .resolve_override("127.0.0.1", port, &ips)
            .unwrap()
    });
    let begun = Instant::now();
    assert_eq!(get(&client, &peer.https_url("/")).unwrap(), "hello");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(client);
    let seen = check(&events);
    seen.assert_sequence([
        "connect_done contestant=0 outcome=connected",
        "tls_handshake_start contestant=0",
        "connect_start contestant=1 reason=tls_stalled",
        "tls_handshake_start contestant=1",
        "tls_handshake_done contestant=1 error=null",
        "tls_handshake_done contestant=0",
        "conn_opened",
        "dial_done winner=1",
        "got_conn",
    ]);
    peer.finish();
}

#[test]
fn a_certificate_of_another_name_leaves_the_race_going() {
    let (identity, tls) = crate::support::trusted();
    let wrong = wirescope::testkit::Authority::new().unwrap();
    let wrong = wrong.issue(&["127.0.0.1"]).unwrap();
    let peer = Peer::builder()
        .tls(identity)
        .script(hello())
        .start()
        .unwrap();
    let port = peer.addr().port();
    let other = Peer::builder()
        .tls(wrong)
        .bind(beside(peer.addr(), 2))
        .script(Script::new().expect_gone())
        .start();
    let other = other.unwrap();
    let ips = [other.addr().ip(), peer.addr().ip()];
    let (client, events) = watched(|builder| {
        builder
            .tls(tls)
            .resolve_override("127.0.0.1", port, &ips)
            .unwrap()
    });
    assert_eq!(get(&client, &peer.https_url("/")).unwrap(), "hello");
    drop(client);
    let seen = check(&events);
    let EventData::DialDone(done) = seen.one(EventKind::DialDone).data() else {
        panic!("dial_done")
    };
    let outcome = TriedOutcome::Tls(TlsFailure::UnknownAuthority);
    assert_eq!(done.tried()[0].outcome(), outcome);
    peer.finish();
    drop(other);
}

/// Answers one family at once, and the other when told.
struct HalfSilent {
    first: (Family, IpAddr),
    kept: Mutex<Vec<Sink>>,
}

impl Resolve for HalfSilent {
    fn resolve(&self, _query: &Query, sink: Sink) -> Ticket {
        let (family, ip) = self.first;
        sink.family(family, Ok(Answer::new([ip])));
        self.kept.lock().unwrap().push(sink);
        Ticket::done()
    }
}

struct Shared(Arc<HalfSilent>);

impl Resolve for Shared {
    fn resolve(&self, query: &Query, sink: Sink) -> Ticket {
        self.0.resolve(query, sink)
    }
}

#[test]
fn a_family_that_is_never_answered_is_not_waited_for() {
    let peer = Peer::start(hello()).unwrap();
    let resolver = HalfSilent {
        first: (Family::V4, peer.addr().ip()),
        kept: Mutex::default(),
    };
    let (client, events) = watched(|builder| builder.resolver(resolver));
    let begun = Instant::now();
    let url = format!("http://half.test:{}/", peer.addr().port());
    assert_eq!(get(&client, &url).unwrap(), "hello");
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(20),
        "the wait for AAAA: {took:?}"
    );
    assert!(took < Duration::from_millis(300), "{took:?}");
    drop(client);
    let seen = check(&events);
    seen.assert_sequence([
        "dns_family_done family=v4",
        "connect_start reason=first",
        "dns_done complete=false",
        "dial_done winner=0",
    ]);
    peer.finish();
}

#[test]
fn a_late_family_joins_a_race_that_has_nobody_left() {
    let peer = Peer::start(hello()).unwrap();
    let resolver = Arc::new(HalfSilent {
        first: (Family::V6, "::1".parse().unwrap()),
        kept: Mutex::default(),
    });
    let (client, events) = watched(|builder| builder.resolver(Shared(resolver.clone())));
    let url = format!("http://late.test:{}/", peer.addr().port());
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| get(&client, &url));
        while !seen
            .iter()
            .any(|event: &Event| event.kind() == EventKind::ConnectDone)
        {
            seen.push(events.recv_timeout(PATIENCE).unwrap());
        }
        let sink = resolver.kept.lock().unwrap().pop().unwrap();
        sink.family(Family::V4, Ok(Answer::new([peer.addr().ip()])));
        assert_eq!(call.join().unwrap().unwrap(), "hello");
    });
    drop(client);
    seen.extend(events.try_iter());
    check(seen).assert_sequence([
        "connect_done contestant=0 outcome=failed",
        "dns_family_done family=v4",
        "connect_start contestant=1",
        "dial_done winner=1",
    ]);
    peer.finish();
}

#[test]
fn localhost_goes_on_to_ipv4() {
    let peer = Peer::start(hello()).unwrap();
    let (client, events) = watched(|builder| builder);
    let url = format!("http://localhost:{}/", peer.addr().port());
    assert_eq!(get(&client, &url).unwrap(), "hello");
    drop(client);
    check(&events).assert_sequence([
        "dns_skipped reason=localhost",
        "connect_start network=tcp4",
        "connect_done network=tcp4 outcome=connected",
    ]);
    peer.finish();
}

#[test]
fn one_family_only_is_used() {
    let peer = Peer::start(hello()).unwrap();
    let port = peer.addr().port();
    let (client, events) = watched(|builder| builder.address_family(Some(Family::V4)));
    let url = format!("http://localhost:{port}/");
    assert_eq!(get(&client, &url).unwrap(), "hello");
    let error = get(&client, &format!("http://[::1]:{port}/")).unwrap_err();
    let kind = ErrorKind::Lookup(LookupFailure::OtherFamily);
    assert_eq!((error.kind(), error.phase()), (kind, Phase::Lookup));
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("connect_start network=tcp4").len(), 1);
    assert_eq!(seen.matching("connect_start").len(), 1);
    peer.finish();
}

#[test]
fn one_family_only_is_asked_for() {
    struct Strict;
    impl Resolve for Strict {
        fn resolve(&self, query: &Query, sink: Sink) -> Ticket {
            assert!(query.wants(Family::V4) && !query.wants(Family::V6));
            sink.family(Family::V4, Ok(Answer::new([IpAddr::from([127, 0, 0, 1])])));
            Ticket::done()
        }
    }
    let peer = Peer::start(hello()).unwrap();
    let (client, events) =
        watched(|builder| builder.resolver(Strict).address_family(Some(Family::V4)));
    let url = format!("http://one.test:{}/", peer.addr().port());
    assert_eq!(get(&client, &url).unwrap(), "hello");
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("dns_family_done").len(), 1);
    assert_eq!(seen.matching("dns_done complete=true").len(), 1);
    peer.finish();
}

#[test]
fn another_place_is_dialed_and_nothing_else_changes() {
    let peer = Peer::start(Script::new().respond_with(|request| {
        let host = request.field("Host").unwrap_or_default().to_owned();
        let length = host.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{host}").into_bytes()
    }))
    .unwrap();
    let port = peer.addr().port();
    let (client, events) = watched(|builder| {
        builder
            .connect_to("origin.test", 80, "127.0.0.1", port)
            .unwrap()
    });
    for _ in 0..2 {
        assert_eq!(get(&client, "http://origin.test/").unwrap(), "origin.test");
    }
    assert_eq!(peer.connections(), 1, "kept under the key of the URL");
    drop(client);
    check(&events).assert_sequence([
        "get_conn target=origin.test:80",
        "dns_skipped reason=literal",
    ]);
    let refused = Client::builder().connect_to("a b", 0, "c", 0).unwrap_err();
    assert!(refused.is_local());
    peer.finish();
}

#[test]
fn a_raced_connection_with_its_request_costs_14_system_calls_at_most() {
    let (peer, hole) = beside_a_peer(BlackHole::bind);
    let port = peer.addr().port();
    let client = Client::builder()
        .resolve_override("two.test", port, &[hole.addr().ip(), peer.addr().ip()])
        .unwrap()
        .build()
        .unwrap();
    for host in ["two.test", "localhost"] {
        let before = syscalls::on_this_thread();
        let url = format!("http://{host}:{port}/");
        assert_eq!(get(&client, &url).unwrap(), "hello");
        let cost = syscalls::on_this_thread() - before;
        println!("{host}, raced: {cost}");
        assert!(cost <= 14, "{host}: {cost}");
    }
    drop(client);
    peer.finish();
}
