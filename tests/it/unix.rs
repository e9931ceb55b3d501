//! Unix sockets: a connection to a path, through both doors. The peers are those of the test kit, behind a relay.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use wirescope::error::{RequestRule, Timer, TlsFailure, TriedOutcome};
use wirescope::event::{DnsSkipReason, EventData, EventKind, Interest, Overflow, channel_with};
use wirescope::resolver::from_fn;
use wirescope::testkit::check::{Checked, check};
use wirescope::testkit::sim::Sim;
use wirescope::testkit::{Peer, Script, syscalls};
use wirescope::{
    Client, ClientBuilder, Error, ErrorKind, EventLoop, PeerAddr, Phase, Proxy, Request,
    TcpKeepAlive, UnixAddr,
};

use crate::harness::{PATIENCE, SHORT, authority, echo_target, ok, once, serve, trusting};
use crate::support::watched;

/// A folder for sockets, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wirescope-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A socket that leads to a peer.
    pub(crate) fn relay(&self, name: &str, peer: &Peer) -> PathBuf {
        let path = self.path(name);
        relay(UnixListener::bind(&path).unwrap(), peer.addr());
        path
    }

    /// An abstract name, of no other folder, that leads to a peer.
    #[cfg(target_os = "linux")]
    pub(crate) fn relay_abstract(&self, name: &str, peer: &Peer) -> String {
        let name = format!("{}-{name}", self.0.display());
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        relay(UnixListener::bind_addr(&addr).unwrap(), peer.addr());
        name
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Passes the bytes of every connection on to a peer, both ways. Its threads end with the test run.
fn relay(listener: UnixListener, to: SocketAddr) {
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, Ok(server)) = (client.unwrap(), TcpStream::connect(to)) else {
                continue;
            };
            server.set_nodelay(true).unwrap();
            let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = io::copy(&mut &up, &mut &server);
                let _ = server.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = io::copy(&mut &down, &mut &client);
                let _ = client.shutdown(Shutdown::Write);
            });
        }
    });
}

#[derive(Debug)]
struct Got {
    content: String,
    reused: bool,
    remote: PeerAddr,
}

/// One client behind one of the doors.
struct Door {
    client: Client,
    event_loop: Option<EventLoop>,
}

impl Door {
    fn run(&mut self, request: Request) -> Result<Got, Error> {
        let Some(event_loop) = &mut self.event_loop else {
            let mut response = request.send()?;
            return Ok(Got {
                content: response.text(1000)?,
                reused: response.is_connection_reused(),
                remote: response.remote_addr().unwrap().clone(),
            });
        };
        event_loop.submit(request).unwrap();
        let done = event_loop.next().unwrap().unwrap().into_result()?;
        Ok(Got {
            content: String::from_utf8(done.body().to_vec()).unwrap(),
            reused: done.is_connection_reused(),
            remote: done.remote_addr().unwrap().clone(),
        })
    }

    fn get(&mut self, url: &str) -> Result<Got, Error> {
        let request = self.client.get(url).unwrap();
        self.run(request)
    }

    fn content(&mut self, url: &str) -> String {
        self.get(url).unwrap().content
    }
}

/// Tries the same through each door, and gives the events of both.
#[track_caller]
fn through_both(
    change: impl Fn(ClientBuilder) -> ClientBuilder,
    test: impl Fn(&mut Door),
) -> [Checked; 2] {
    [false, true].map(|looped| {
        let (client, events) = watched(&change);
        let mut door = Door {
            event_loop: looped.then(|| EventLoop::new(&client).unwrap()),
            client,
        };
        test(&mut door);
        drop(door);
        check(&events)
    })
}

/// Goes to a socket, and may look nothing up.
fn to(path: &Path) -> impl Fn(ClientBuilder) -> ClientBuilder {
    let path = path.to_owned();
    move |client| {
        let asked = from_fn(|host| panic!("asked for {host}"));
        client.resolver(asked).unix_socket(&path).unwrap()
    }
}

#[test]
fn requests_share_a_connection_to_a_socket() {
    let folder = Folder::new();
    for _ in 0..2 {
        let peer = Peer::start(echo_target()).unwrap();
        let path = folder.relay(&format!("{}", peer.addr().port()), &peer);
        let both = through_both(to(&path), |door| {
            for (target, reused) in [("/a", false), ("/b", true), ("/c", true)] {
                let got = door.get(&format!("http://engine.test{target}")).unwrap();
                assert_eq!((&*got.content, got.reused), (target, reused));
                assert_eq!(got.remote.unix().unwrap().path(), Some(&*path));
            }
        });
        assert_eq!(peer.connections(), 2, "one for each door");
        let hosts = peer.requests();
        assert!(
            hosts
                .iter()
                .all(|seen| seen.field("host") == Some("engine.test"))
        );
        for seen in both {
            seen.assert_sequence([
                "dns_skipped reason=unix",
                "connect_start network=unix",
                "connect_done network=unix outcome=connected",
                "conn_opened",
                "got_conn",
                "call_done",
            ]);
            seen.none(EventKind::DialPlan);
            seen.none(EventKind::ProxySelected);
            let EventData::DnsSkipped(skipped) = seen.one(EventKind::DnsSkipped).data() else {
                unreachable!()
            };
            assert_eq!(skipped.reason(), DnsSkipReason::Unix);
            let EventData::ConnectDone(done) = seen.one(EventKind::ConnectDone).data() else {
                unreachable!()
            };
            assert_eq!(done.addr().unix().unwrap().path(), Some(&*path));
            assert_eq!((done.network(), done.local()), ("unix", None));
            let EventData::ConnOpened(opened) = seen.one(EventKind::ConnOpened).data() else {
                unreachable!()
            };
            assert_eq!(opened.remote().to_string(), path.to_str().unwrap());
        }
    }
}

#[test]
fn connections_to_two_sockets_or_to_the_network_are_not_shared() {
    let folder = Folder::new();
    let [one, two, net] = [(); 3].map(|()| Peer::start(echo_target()).unwrap());
    let (first, second) = (folder.relay("one", &one), folder.relay("two", &two));
    through_both(
        |client| client,
        |door| {
            let url = net.url("/x");
            let over = |door: &mut Door, path: Option<&Path>, reused: bool| {
                let mut request = door.client.get(&url).unwrap();
                if let Some(path) = path {
                    request = request.unix_socket(path).unwrap();
                }
                let got = door.run(request).unwrap();
                assert_eq!((&*got.content, got.reused), ("/x", reused));
                assert_eq!(got.remote.tcp().is_some(), path.is_none());
            };
            for reused in [false, true] {
                over(door, Some(&first), reused);
                over(door, Some(&second), reused);
                over(door, None, reused);
            }
        },
    );
    for peer in [one, two, net] {
        assert_eq!((peer.connections(), peer.request_count()), (2, 4));
    }
}

#[test]
fn a_request_names_another_socket_than_its_client_and_no_proxy_counts() {
    let folder = Folder::new();
    let [one, two] = [(); 2].map(|()| Peer::start(echo_target()).unwrap());
    let (first, second) = (folder.relay("one", &one), folder.relay("two", &two));
    let proxied = |client: ClientBuilder| {
        let proxy = Proxy::parse("http://127.0.0.1:1").unwrap();
        to(&first)(client).proxy(proxy)
    };
    through_both(proxied, |door| {
        assert_eq!(door.content("http://a.test/1"), "/1");
        let request = door.client.get("http://a.test/2").unwrap();
        let proxy = Proxy::parse("http://127.0.0.1:1").unwrap();
        let request = request.unix_socket(&second).unwrap().proxy(proxy);
        assert_eq!(door.run(request).unwrap().content, "/2");
    });
    assert_eq!((one.request_count(), two.request_count()), (2, 2));
}

#[test]
fn a_redirect_does_not_leave_the_socket() {
    let folder = Folder::new();
    let peer = Peer::start(Script::new().respond_with(|request| {
        if request.field("host") == Some("first.test") {
            let head = "HTTP/1.1 302 Found\r\nLocation: http://second.test/there\r\n";
            return format!("{head}Content-Length: 0\r\n\r\n").into_bytes();
        }
        ok(request.target()).into_bytes()
    }))
    .unwrap();
    let path = folder.relay("s", &peer);
    for seen in through_both(to(&path), |door| {
        assert_eq!(door.content("http://first.test/here"), "/there");
    }) {
        assert_eq!(seen.matching("connect_start network=unix").len(), 2);
        assert_eq!(seen.only(EventKind::ConnectStart).len(), 2);
    }
}

#[test]
fn rfc_g9_tls_over_a_socket_is_verified_like_any_other() {
    let folder = Folder::new();
    let identity = authority().issue(&["engine.test"]).unwrap();
    let peer = Peer::builder().tls(identity).script(echo_target());
    let peer = peer.start().unwrap();
    let path = folder.relay("s", &peer);
    let trusted = |client: ClientBuilder| to(&path)(client).tls(trusting(authority()));
    for seen in through_both(trusted, |door| {
        assert_eq!(door.content("https://engine.test/a"), "/a");
        assert!(door.get("https://engine.test/b").unwrap().reused);
        let error = door.get("https://other.test/").unwrap_err();
        let mismatch = ErrorKind::Tls(TlsFailure::NameMismatch);
        assert_eq!((error.kind(), error.phase()), (mismatch, Phase::Tls));
        let tried = error.tried();
        assert_eq!(tried.len(), 1);
        assert_eq!(
            tried[0].outcome(),
            TriedOutcome::Tls(TlsFailure::NameMismatch)
        );
        assert_eq!(tried[0].addr().to_string(), path.to_str().unwrap());
    }) {
        assert_eq!(
            seen.matching("tls_handshake_start server_name=engine.test")
                .len(),
            1
        );
    }
    through_both(to(&path), |door| {
        let error = door.get("https://engine.test/").unwrap_err();
        let kind = ErrorKind::Tls(TlsFailure::UnknownAuthority);
        assert_eq!(error.kind(), kind);
    });
}

#[test]
fn a_path_where_nobody_listens_is_named() {
    let folder = Folder::new();
    let (missing, left) = (folder.path("missing"), folder.path("left"));
    drop(UnixListener::bind(&left).unwrap());
    for (path, kind) in [
        (&missing, io::ErrorKind::NotFound),
        (&left, io::ErrorKind::ConnectionRefused),
    ] {
        for seen in through_both(to(path), |door| {
            let error = door.get("http://engine.test/").unwrap_err();
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Connect, Phase::Connect)
            );
            let cause = std::error::Error::source(&error).unwrap();
            assert_eq!(cause.downcast_ref::<io::Error>().unwrap().kind(), kind);
            let text = error.to_string();
            assert!(text.contains("engine.test"), "{text}");
            assert!(text.contains(path.to_str().unwrap()), "{text}");
            assert_eq!(error.tried().len(), 1);
        }) {
            seen.assert_sequence([
                "connect_start network=unix",
                "connect_done outcome=failed",
                "dial_done kind=connect",
                "call_done kind=connect",
            ]);
        }
    }
}

#[test]
fn only_a_path_that_the_system_takes_is_set() {
    for path in ["", "a\0b", &"x".repeat(108)] {
        let error = Client::builder().unix_socket(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalRequest(RequestRule::Setting));
        assert!(error.to_string().contains("(unix_socket)"), "{error}");
        let request = Client::new().unwrap().get("http://a/").unwrap();
        assert!(request.unix_socket(path).is_err());
    }
}

/// A listener whose queue is full, and the connection that fills it.
fn full(path: &Path) -> (Socket, UnixStream) {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let filling = UnixStream::connect(path).unwrap();
    (listener, filling)
}

#[test]
fn a_listener_without_room_is_asked_again_until_it_has_some() {
    let folder = Folder::new();
    for looped in [false, true] {
        let path = folder.path(&format!("full-{looped}"));
        let (listener, filling) = full(&path);
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
        let builder = to(&path)(Client::builder().observe(observer));
        let client = builder.build().unwrap();
        let call = thread::spawn(move || {
            let mut door = Door {
                event_loop: looped.then(|| EventLoop::new(&client).unwrap()),
                client,
            };
            door.content("http://engine.test/late")
        });
        let mut kept = Vec::new();
        let found_full = |event: &wirescope::event::Event| event.kind() == EventKind::ConnectDone;
        while kept.iter().filter(|event| found_full(event)).count() < 2 {
            kept.push(events.recv_timeout(PATIENCE).unwrap());
        }
        drop(listener.accept().unwrap());
        drop(filling);
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = UnixStream::from(std::os::fd::OwnedFd::from(stream));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            io::Read::read_exact(&mut &stream, &mut byte).unwrap();
            head.push(byte[0]);
        }
        (&stream).write_all(ok("here").as_bytes()).unwrap();
        assert_eq!(call.join().unwrap(), "here");
        kept.extend(events.try_iter());
        let seen = check(&kept);
        let failed = seen.matching("connect_done outcome=failed").len();
        assert!((2..40).contains(&failed), "{failed}");
        assert_eq!(seen.matching("connect_done outcome=connected").len(), 1);
    }
}

#[test]
fn a_listener_that_stays_full_ends_at_the_deadline() {
    let folder = Folder::new();
    let path = folder.path("full");
    let (listener, filling) = full(&path);
    let hasty = |client: ClientBuilder| to(&path)(client).connect_timeout(SHORT);
    through_both(hasty, |door| {
        let error = door.get("http://engine.test/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Connect));
        let tried = error.tried();
        assert!((1..8).contains(&tried.len()), "{tried:?}");
        let is_full = |outcome| {
            matches!(
                outcome,
                TriedOutcome::Failed {
                    kind: io::ErrorKind::WouldBlock,
                    ..
                }
            )
        };
        assert!(
            tried.iter().all(|tried| is_full(tried.outcome())),
            "{tried:?}"
        );
    });
    drop((listener, filling));
}

#[test]
fn deadlines_and_ends_are_those_of_any_connection() {
    let folder = Folder::new();
    let silent = Peer::start(Script::new().expect_request().stall()).unwrap();
    let path = folder.relay("silent", &silent);
    let hasty = |client: ClientBuilder| {
        to(&path)(client).timeouts(|timeouts| timeouts.first_byte = Some(SHORT))
    };
    through_both(hasty, |door| {
        let error = door.get("http://engine.test/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Timer::FirstByte));
    });
    let short = Peer::start(once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe").close());
    let short = short.unwrap();
    let path = folder.relay("short", &short);
    through_both(to(&path), |door| {
        let error = door.get("http://engine.test/").unwrap_err();
        assert!(
            format!("{error:?}").contains("PeerIncompleteBody"),
            "{error:?}"
        );
    });
    let large = "x".repeat(900);
    let peer = Peer::start(serve(ok(&large))).unwrap();
    let path = folder.relay("large", &peer);
    through_both(to(&path), |door| {
        let request = door.client.post("http://engine.test/").unwrap();
        let request = request.body(vec![b'y'; 1 << 20]);
        assert_eq!(door.run(request).unwrap().content, large);
    });
    assert!(
        peer.requests()
            .iter()
            .all(|seen| seen.body.len() == 1 << 20)
    );
}

#[test]
fn a_call_over_a_socket_is_canceled_wherever_it_waits() {
    let folder = Folder::new();
    let silent = Peer::start(Script::new().expect_request().stall()).unwrap();
    let stalled = folder.relay("silent", &silent);
    for (looped, is_full) in [(false, false), (true, false), (false, true), (true, true)] {
        let path = folder.path(&format!("full-{looped}"));
        let kept = is_full.then(|| full(&path));
        let path = if is_full { &path } else { &stalled };
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
        let builder = to(path)(Client::builder().observe(observer));
        let client = builder.build().unwrap();
        let mut request = client.get("http://engine.test/").unwrap();
        let handle = request.cancel_handle();
        let call = thread::spawn(move || {
            let mut door = Door {
                event_loop: looped.then(|| EventLoop::new(&client).unwrap()),
                client,
            };
            door.run(request).unwrap_err()
        });
        let waits = if is_full {
            EventKind::ConnectDone
        } else {
            EventKind::WroteRequest
        };
        let mut seen = Vec::new();
        while seen.last().map(wirescope::event::Event::kind) != Some(waits) {
            seen.push(events.recv_timeout(PATIENCE).unwrap());
        }
        handle.cancel();
        assert!(call.join().unwrap().is_canceled());
        seen.extend(events.try_iter());
        assert_eq!(check(&seen).only(EventKind::CallCanceled).len(), 1);
        drop(kept);
    }
}

#[test]
fn what_is_set_for_tcp_is_not_done_to_a_socket() {
    let folder = Folder::new();
    let peer = Peer::start(echo_target()).unwrap();
    let path = folder.relay("s", &peer);
    let all = |client: ClientBuilder| {
        let client = to(&path)(client)
            .local_address([192, 0, 2, 1].into())
            .tcp_keep_alive(Some(TcpKeepAlive::new()))
            .socket_hook(|_, to| panic!("hooked for {to}"))
            .allow_addresses(|_| false);
        if cfg!(target_os = "linux") {
            client.interface("nowhere0").unwrap()
        } else {
            client
        }
    };
    through_both(all, |door| {
        assert_eq!(door.content("http://[::1]:9/x"), "/x");
    });
}

#[test]
fn a_socket_costs_no_more_than_the_network() {
    let folder = Folder::new();
    let peer = Peer::start(serve(ok("hello"))).unwrap();
    let path = folder.relay("s", &peer);
    let client = to(&path)(Client::builder()).build().unwrap();
    let cost = || {
        let before = syscalls::on_this_thread();
        let mut response = client.get("http://engine.test/").unwrap().send().unwrap();
        assert_eq!(response.text(100).unwrap(), "hello");
        syscalls::on_this_thread() - before
    };
    let costs: Vec<_> = (0..3).map(|_| cost()).collect();
    println!("unix socket, from a new connection on: {costs:?}");
    assert!(costs[0] <= 8, "{costs:?}");
    assert_eq!(costs[1..], [3, 3]);
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_is_dialed_too() {
    let folder = Folder::new();
    let peer = Peer::start(echo_target()).unwrap();
    let name = folder.relay_abstract("name", &peer);
    let path = format!("\0{name}");
    for seen in through_both(to(Path::new(&path)), |door| {
        assert_eq!(door.content("http://engine.test/a"), "/a");
    }) {
        let addr = format!("connect_start network=unix addr=@{name}");
        assert_eq!(seen.matching(&addr).len(), 1, "{}", seen.transcript());
    }
    let addr = UnixAddr::of_name(name.as_bytes()).unwrap();
    assert_eq!(addr, UnixAddr::new(&path).unwrap());
    assert_eq!(addr.name().map(<[u8]>::len), Some(name.as_str().len()));
    assert_eq!(Path::new(&path).as_os_str().as_bytes()[0], 0);
}

#[test]
fn a_simulated_socket_serves_as_a_real_one() {
    let path = "/run/engine.sock";
    let client = to(Path::new(path))(Client::builder()).build().unwrap();
    let mut sim = Sim::new(&client);
    sim.listen_unix(UnixAddr::new(path).unwrap(), echo_target());
    for (target, reused) in [("/a", false), ("/b", true)] {
        let request = client.get(&format!("http://engine.test{target}")).unwrap();
        let outcome = sim.run(request).unwrap();
        assert_eq!(outcome.body, target.as_bytes());
        assert_eq!(outcome.is_connection_reused, reused);
    }
    let elsewhere = client.get("http://engine.test/").unwrap();
    let elsewhere = elsewhere.unix_socket("/run/other.sock").unwrap();
    assert_eq!(sim.run(elsewhere).unwrap_err().kind(), ErrorKind::Connect);
    assert!(sim.elapsed() < Duration::from_secs(1));
    let requests: Vec<_> = sim
        .requests()
        .iter()
        .map(|(at, _)| at.to_string())
        .collect();
    assert_eq!(requests, [path, path]);
    let seen = sim.finish();
    assert_eq!(seen.matching("connect_start network=unix").len(), 2);
}
