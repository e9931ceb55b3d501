//! A connection that comes back serves a call that dials or waits.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use wirescope::event::{Event, EventKind, Events, Trace};
use wirescope::resolver::from_fn;
use wirescope::testkit::check::{Checked, check};
use wirescope::testkit::{Authority, BlackHole, Gate, Peer, Script};
use wirescope::{Client, ClientBuilder, TlsConfig};

use crate::support::{Server, read_head, trusted, watched};
use crate::ways::Way;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Answers each request when it is told to.
fn on_demand() -> (Script, Sender<()>) {
    let (go, asked) = channel();
    let asked = Mutex::new(asked);
    let script = Script::new().respond_with(move |_| {
        let asked = asked.lock().unwrap();
        let _ = asked.recv_timeout(Duration::from_secs(30));
        OK.into()
    });
    (script, go)
}

fn wait_for(events: &Events, kind: EventKind, told: &mut Vec<Event>) {
    loop {
        let event = events.recv_timeout(Duration::from_secs(30)).unwrap();
        told.push(event.clone());
        if event.kind() == kind {
            return;
        }
    }
}

fn ask(client: &Client, url: &str) -> Vec<u8> {
    let mut response = client.get(url).unwrap().send().unwrap();
    response.collect(100).unwrap()
}

/// A first call uses the only connection there is; a second one is stuck in its dial, as far as `stuck`, until that
/// connection comes back.
fn second_call_is_served(
    url: &str,
    go: &Sender<()>,
    stuck: EventKind,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Checked {
    let (client, events) = watched(|builder| change(builder.dns_cache(Duration::ZERO)));
    let mut told = Vec::new();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(&client, url));
        wait_for(&events, EventKind::WroteRequest, &mut told);
        let second = scope.spawn(|| ask(&client, url));
        wait_for(&events, stuck, &mut told);
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap(), b"ok");
        go.send(()).unwrap();
        assert_eq!(second.join().unwrap(), b"ok");
    });
    let stats = client.pool_stats();
    assert_eq!((stats.opened(), stats.handed()), (1, 1));
    assert_eq!(stats.total().dialing(), 0);
    assert_eq!(client.connections(), (1, 0));
    drop(client);
    told.extend(events.try_iter());
    check(told)
}

/// A resolver that knows one address at first, and then another.
fn first_then(
    second: impl Fn() -> IpAddr + Send + Sync + 'static,
) -> impl wirescope::resolver::Resolve + 'static {
    let asked = AtomicUsize::new(0);
    from_fn(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
        _ => Ok(vec![second()]),
    })
}

#[test]
fn p14_a_call_that_looks_a_name_up_takes_a_connection_that_comes_back() {
    let (script, go) = on_demand();
    let peer = Peer::start(script).unwrap();
    let gate = Gate::new();
    let held = gate.clone();
    let resolver = first_then(move || {
        assert!(held.wait(Duration::from_secs(30)));
        Ipv4Addr::LOCALHOST.into()
    });
    let url = format!("http://one.example:{}/", peer.addr().port());
    let seen = second_call_is_served(&url, &go, EventKind::DnsStart, |builder| {
        builder.resolver(resolver)
    });
    gate.open();
    seen.assert_sequence([
        "dns_start",
        "put_idle_conn error=null",
        "dns_done complete=false",
        "dial_done abandoned=true error=null",
        "got_conn reused=true was_idle=true",
    ]);
    peer.finish();
}

#[test]
fn p14_a_call_that_connects_takes_a_connection_that_comes_back() {
    let (script, go) = on_demand();
    let peer = Peer::start(script).unwrap();
    let port = peer.addr().port();
    let hole = BlackHole::bind(SocketAddr::from((SECOND, port))).unwrap();
    let url = format!("http://one.example:{port}/");
    let seen = second_call_is_served(&url, &go, EventKind::ConnectStart, |builder| {
        builder.resolver(first_then(|| SECOND.into()))
    });
    seen.assert_sequence([
        "put_idle_conn error=null",
        "connect_done outcome=lost",
        "dial_done abandoned=true error=null",
        "got_conn reused=true was_idle=true",
        "call_done error=null",
    ]);
    drop(hole);
    peer.finish();
}

#[test]
fn p14_a_call_in_its_handshake_takes_a_connection_that_comes_back() {
    let authority = Authority::new().unwrap();
    let (script, go) = on_demand();
    let peer = Peer::builder()
        .tls(authority.issue(&["one.example"]).unwrap())
        .script(script)
        .start()
        .unwrap();
    let port = peer.addr().port();
    let silent = Peer::builder()
        .bind(SocketAddr::from((SECOND, port)))
        .script(Script::new().stall())
        .start()
        .unwrap();
    let tls = TlsConfig::new()
        .builtin_roots(false)
        .add_ca_pem(authority.pem())
        .unwrap();
    let url = format!("https://one.example:{port}/");
    let seen = second_call_is_served(&url, &go, EventKind::TlsHandshakeStart, |builder| {
        builder.tls(tls).resolver(first_then(|| SECOND.into()))
    });
    seen.assert_sequence([
        "put_idle_conn error=null",
        "tls_handshake_done facts=null",
        "dial_done abandoned=true error=null",
        "got_conn reused=true was_idle=true",
    ]);
    drop(silent);
    peer.finish();
}

/// Nobody canceled: what began with the proxy is told to be overtaken.
#[test]
fn p14_a_call_that_asks_a_proxy_takes_a_connection_that_comes_back() {
    let (script, go) = on_demand();
    let scripts = [
        Way::Socks.script("a.test", 80).followed_by(script),
        Script::new().expect_bytes([5, 1, 0]).expect_gone(),
    ];
    let peer = Peer::builder().scripts(scripts).start().unwrap();
    let stuck = EventKind::ProxyConnectStart;
    let seen = second_call_is_served("http://a.test/", &go, stuck, |builder| {
        Way::Socks.through(builder, peer.addr(), false)
    });
    seen.assert_sequence([
        "proxy_connect_start",
        "proxy_connect_done error=null",
        "proxy_connect_start",
        "put_idle_conn error=null",
        "proxy_connect_done kind=proxy",
        "dial_done abandoned=true error=null",
        "got_conn reused=true was_idle=true",
        "call_done error=null",
    ]);
    peer.finish();
}

#[test]
fn a_dead_connection_that_is_handed_over_is_closed_and_its_permit_kept() {
    let (go, asked) = channel::<()>();
    let closed = Gate::new();
    let (is_closed, mut served) = (closed.clone(), 0);
    let server = Server::start(move |mut stream| {
        while read_head(&stream).is_some() {
            served += 1;
            if served == 1 {
                asked.recv().unwrap();
            }
            stream.write_all(OK.as_bytes()).unwrap();
            if served == 1 {
                drop(stream);
                return is_closed.open();
            }
        }
    });
    // The first connection goes back when its end is there.
    let observer = Trace::new().on_put_idle_conn(move |_| {
        assert!(closed.wait(Duration::from_secs(30)));
    });
    let (client, events) =
        watched(|builder| builder.max_connections_per_origin(1).observe(observer));
    let (url, mut told) = (server.url("/"), Vec::new());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(&client, &url));
        wait_for(&events, EventKind::WroteRequest, &mut told);
        let second = scope.spawn(|| ask(&client, &url));
        wait_for(&events, EventKind::QueueStart, &mut told);
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap(), b"ok");
        assert_eq!(second.join().unwrap(), b"ok");
    });
    drop(client);
    told.extend(events.try_iter());
    check(told).assert_sequence([
        "queue_start limit=per_origin",
        "queue_done outcome=handed",
        "conn_closed reason=peer_closed_idle by=peer",
        "pool_lookup hit=false",
        "dial_start why=no_idle",
        "got_conn reused=false",
    ]);
}

/// Many threads that keep few connections: they dial all the time, and what comes back goes to those that dial.
/// Says how many connections were handed over.
fn storm(peer: &Peer, rounds: usize, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> u64 {
    const THREADS: usize = 16;
    let (client, events) = watched(|builder| change(builder.max_idle_per_origin(1)));
    let url = peer.url("/");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..rounds {
                    assert_eq!(ask(&client, &url), b"ok");
                }
            });
        }
    });
    let stats = client.pool_stats();
    let total = stats.total();
    assert_eq!(
        (total.active(), total.dialing(), total.waiting()),
        (0, 0, 0)
    );
    println!(
        "{} calls: {} dials won, {} connections handed over",
        THREADS * rounds,
        stats.opened(),
        stats.handed()
    );
    assert!(stats.opened() > 1);
    drop(client);
    let seen = check(&events);
    seen.none(EventKind::Retry);
    assert_eq!(
        seen.matching("call_done error=null").len(),
        THREADS * rounds
    );
    stats.handed()
}

/// On one core a dial is hardly ever under way when another connection comes back: one storm may have no hand-over.
fn until_handed(storm: impl Fn() -> u64) {
    assert!((0..50).any(|_| storm() > 0));
}

#[test]
fn p14_a_storm_of_dials_and_hand_overs_breaks_no_call() {
    let script = Script::new().respond_with(|_| OK.into());
    let peer = Peer::start(script.clone()).unwrap();
    until_handed(|| storm(&peer, 100, |builder| builder));
    let (identity, tls) = trusted();
    let peer = Peer::builder()
        .tls(identity)
        .script(script)
        .start()
        .unwrap();
    until_handed(|| storm(&peer, 15, |builder| builder.tls(tls.clone())));
}
