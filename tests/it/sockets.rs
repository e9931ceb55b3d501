//! What the sockets of a client are before they connect: bound, probing, seen by a hook. Every test goes through both
//! doors.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use wirescope::error::{LookupFailure, RequestRule, SocketRule};
use wirescope::event::{EventData, EventKind};
use wirescope::resolver::from_fn;
use wirescope::testkit::check::{Checked, check};
use wirescope::testkit::{Peer, RefusedPort, Script, syscalls};
use wirescope::{Client, ClientBuilder, Error, ErrorKind, EventLoop, Family, Phase, TcpKeepAlive};

use crate::harness::{echo_target, ok, serve};
use crate::support::{Server, read_head, watched};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// For documentation only: no machine has it.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Blocking,
    Loop,
}

const DOORS: [Door; 2] = [Door::Blocking, Door::Loop];

/// Gets a URL through a door, and gives the content.
fn fetch(client: &Client, door: Door, url: &str) -> Result<String, Error> {
    let request = client.get(url).unwrap();
    let content = match door {
        Door::Blocking => request.send()?.collect(1000)?,
        Door::Loop => {
            let mut event_loop = EventLoop::new(client).unwrap();
            event_loop.submit(request).unwrap();
            event_loop
                .next()
                .unwrap()
                .unwrap()
                .into_result()?
                .into_body()
        }
    };
    Ok(String::from_utf8(content).unwrap())
}

/// Gets a URL through each door with a client of its own, and gives what came of it.
fn through_each_door(
    url: &str,
    change: impl Fn(ClientBuilder) -> ClientBuilder,
) -> [(Result<String, Error>, Checked); 2] {
    DOORS.map(|door| {
        let (client, events) = watched(&change);
        let got = fetch(&client, door, url);
        drop(client);
        (got, check(&events))
    })
}

/// A server that answers with the address it was asked from.
fn mirror() -> Server {
    Server::start(|mut stream| {
        let from = stream.peer_addr().unwrap().ip().to_string();
        if read_head(&stream).is_some() {
            stream.write_all(ok(&from).as_bytes()).unwrap();
        }
    })
}

#[track_caller]
fn unfit(result: Result<String, Error>, rule: SocketRule) -> Error {
    let error = result.unwrap_err();
    let kind = ErrorKind::LocalSocket(rule);
    assert_eq!(
        (error.kind(), error.phase()),
        (kind, Phase::Connect),
        "{error}"
    );
    assert!(error.is_connect());
    error
}

/// The addresses that contestants began with.
fn tried(seen: &Checked) -> Vec<SocketAddr> {
    let starts = seen.only(EventKind::ConnectStart);
    starts
        .into_iter()
        .map(|event| match event.data() {
            EventData::ConnectStart(start) => start.addr().tcp().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn the_peer_sees_the_local_address() {
    let server = mirror();
    for (got, seen) in through_each_door(&server.url("/"), |client| client.local_address(OTHER)) {
        assert_eq!(got.unwrap(), OTHER.to_string());
        let EventData::ConnectDone(done) = seen.one(EventKind::ConnectDone).data() else {
            unreachable!()
        };
        assert_eq!(done.local().unwrap().ip(), OTHER);
    }
    let mapped = IpAddr::V6(Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped());
    for (got, _) in through_each_door(&server.url("/"), |client| client.local_address(mapped)) {
        assert_eq!(got.unwrap(), OTHER.to_string());
    }
}

#[test]
fn each_contestant_of_a_race_is_bound() {
    let server = mirror();
    let port = server.addr().port();
    let dead = RefusedPort::bind((OTHER, port).into()).unwrap();
    let race = |client: ClientBuilder| {
        let client = client.local_address(IpAddr::from([127, 0, 0, 9]));
        client
            .resolve_override("race.test", port, &[OTHER, HOME])
            .unwrap()
    };
    for (got, seen) in through_each_door(&format!("http://race.test:{port}/"), race) {
        assert_eq!(got.unwrap(), "127.0.0.9");
        assert_eq!(tried(&seen), [dead.addr(), server.addr()]);
    }
}

#[test]
fn a_local_address_leaves_only_its_family() {
    let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let other_family = ErrorKind::Lookup(LookupFailure::OtherFamily);
    for (got, seen) in through_each_door("http://[::1]:9/", |client| client.local_address(HOME)) {
        let error = got.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (other_family, Phase::Lookup));
        seen.none(EventKind::ConnectStart);
    }
    for (got, seen) in through_each_door("http://127.0.0.1:9/", |client| client.local_address(six))
    {
        assert_eq!(got.unwrap_err().kind(), other_family);
        seen.none(EventKind::ConnectStart);
    }
    let server = mirror();
    let port = server.addr().port();
    let both = |client: ClientBuilder| {
        let resolver = from_fn(move |_| Ok(vec![six, HOME]));
        client.resolver(resolver).local_address(OTHER)
    };
    for (got, seen) in through_each_door(&format!("http://both.test:{port}/"), both) {
        assert_eq!(got.unwrap(), OTHER.to_string());
        assert_eq!(tried(&seen), [server.addr()]);
    }
    for (family, is_fit) in [(Family::V4, true), (Family::V6, false)] {
        let client = Client::builder().address_family(Some(family));
        let built = client.local_address(OTHER).build();
        assert_eq!(built.is_ok(), is_fit);
        if let Err(error) = built {
            assert_eq!(error.kind(), ErrorKind::LocalRequest(RequestRule::Setting));
            assert!(error.to_string().contains("local_address"), "{error}");
        }
    }
}

#[test]
fn a_local_address_that_the_machine_does_not_have_is_named() {
    let server = mirror();
    for (got, seen) in through_each_door(&server.url("/"), |client| client.local_address(NOBODY)) {
        let error = unfit(got, SocketRule::LocalAddress);
        assert!(error.to_string().contains("(192.0.2.1)"), "{error}");
        assert_eq!(error.tried().len(), 1);
        seen.assert_sequence([
            "connect_start",
            "connect_done outcome=failed",
            "dial_done kind=local_socket",
            "call_done kind=local_socket",
        ]);
        let EventData::ConnectDone(done) = seen.one(EventKind::ConnectDone).data() else {
            unreachable!()
        };
        let code = rustix::io::Errno::ADDRNOTAVAIL.raw_os_error();
        assert_eq!(done.code(), Some(code));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn connections_are_bound_to_an_interface() {
    let server = mirror();
    let url = server.url("/");
    for (got, _) in through_each_door(&url, |client| client.interface("lo").unwrap()) {
        assert_eq!(got.unwrap(), HOME.to_string());
    }
    for (got, _) in through_each_door(&url, |client| client.interface("nowhere0").unwrap()) {
        let error = unfit(got, SocketRule::Interface);
        assert!(error.to_string().contains("(nowhere0)"), "{error}");
        let cause = std::error::Error::source(&error).unwrap();
        let cause = cause.downcast_ref::<io::Error>().unwrap();
        let code = rustix::io::Errno::NODEV.raw_os_error();
        assert_eq!(cause.raw_os_error(), Some(code));
    }
    let hooked = |client: ClientBuilder| {
        let client = client.interface("lo").unwrap();
        client.socket_hook(|socket, _| {
            let device = SockRef::from(&socket).device()?;
            assert_eq!(device.as_deref(), Some(&b"lo"[..]));
            Ok(())
        })
    };
    for (got, _) in through_each_door(&url, hooked) {
        assert_eq!(got.unwrap(), HOME.to_string());
    }
}

#[test]
fn a_name_that_no_interface_has_is_refused_at_once() {
    for name in ["", "a/b", "sixteen-letters-"] {
        let error = Client::builder().interface(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalRequest(RequestRule::Setting));
        assert!(error.to_string().contains("(interface)"), "{error}");
    }
}

#[test]
fn the_hook_sees_each_contestant_and_fails_only_its_own() {
    let server = mirror();
    let port = server.addr().port();
    let url = format!("http://race.test:{port}/");
    let refused: SocketAddr = (OTHER, port).into();
    for door in DOORS {
        let called = Arc::new(Mutex::new(Vec::new()));
        let calls = called.clone();
        let (client, events) = watched(|client| {
            let client = client.resolve_override("race.test", port, &[OTHER, HOME]);
            client.unwrap().socket_hook(move |socket, to| {
                let is_bound = SockRef::from(&socket).peer_addr().is_ok();
                calls.lock().unwrap().push((to, is_bound));
                if to == refused {
                    return Err(io::Error::other("not this one"));
                }
                Ok(())
            })
        });
        assert_eq!(fetch(&client, door, &url).unwrap(), HOME.to_string());
        drop(client);
        let called = std::mem::take(&mut *called.lock().unwrap());
        assert_eq!(called, [(refused, false), (server.addr(), false)]);
        check(&events).assert_sequence([
            "connect_start",
            "connect_done outcome=failed",
            "connect_start",
            "connect_done outcome=connected",
            "call_done",
        ]);
    }
}

#[test]
fn what_the_hook_says_is_the_source() {
    let server = mirror();
    let refusing = |client: ClientBuilder| {
        client.socket_hook(|_, _| Err(io::Error::new(io::ErrorKind::QuotaExceeded, "enough")))
    };
    for (got, seen) in through_each_door(&server.url("/"), refusing) {
        let error = unfit(got, SocketRule::Hook);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "enough");
        assert_eq!(tried(&seen), [server.addr()]);
    }
    // It does not mean that the client has no descriptor, and nobody waits for one.
    let scarce = |client: ClientBuilder| {
        let code = rustix::io::Errno::MFILE.raw_os_error();
        client.socket_hook(move |_, _| Err(io::Error::from_raw_os_error(code)))
    };
    for (got, _) in through_each_door(&server.url("/"), scarce) {
        unfit(got, SocketRule::Hook);
    }
}

#[test]
fn a_panic_of_the_hook_fails_only_its_call() {
    let peer = Peer::start(echo_target()).unwrap();
    let bad = RefusedPort::reserve().unwrap();
    let bad_addr = bad.addr();
    let (client, events) = watched(|client| {
        client.socket_hook(move |_, to| {
            assert_ne!(to, bad_addr, "boom on purpose");
            Ok(())
        })
    });
    let bad_url = format!("http://{bad_addr}/");
    let blocking = catch_unwind(AssertUnwindSafe(|| {
        fetch(&client, Door::Blocking, &bad_url)
    }));
    assert!(blocking.is_err());
    assert_eq!(
        fetch(&client, Door::Blocking, &peer.url("/a")).unwrap(),
        "/a"
    );
    let mut event_loop = EventLoop::new(&client).unwrap();
    let failing = event_loop.submit(client.get(&bad_url).unwrap()).unwrap();
    for target in ["/1", "/2"] {
        let request = client.get(&peer.url(target)).unwrap();
        event_loop.submit(request).unwrap();
    }
    for _ in 0..3 {
        let done = event_loop.next().unwrap().unwrap();
        if done.ticket() != failing {
            assert_eq!(done.status(), Some(200));
            continue;
        }
        let error = done.error().unwrap();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::LocalPanic, Phase::Connect)
        );
        let cause = std::error::Error::source(error).unwrap().to_string();
        assert!(cause.contains("boom on purpose"), "{cause}");
    }
    drop((event_loop, client));
    let seen = check(&events);
    assert_eq!(seen.matching("connect_done outcome=canceled").len(), 2);
}

#[test]
fn probes_are_really_set() {
    let server = mirror();
    let read = |socket: SockRef<'_>| {
        io::Result::Ok((
            socket.tcp_keepalive_time()?,
            socket.tcp_keepalive_interval()?,
            socket.tcp_keepalive_retries()?,
        ))
    };
    let seconds = Duration::from_secs;
    let probes = TcpKeepAlive::new().idle(seconds(40)).count(3);
    for (set, wanted) in [
        (None, None),
        (
            Some(TcpKeepAlive::new()),
            Some((seconds(15), seconds(15), 9)),
        ),
        (Some(probes), Some((seconds(40), seconds(15), 3))),
    ] {
        let hooked = |client: ClientBuilder| {
            client.tcp_keep_alive(set).socket_hook(move |socket, _| {
                let socket = SockRef::from(&socket);
                assert_eq!(socket.keepalive()?, wanted.is_some());
                if let Some(wanted) = wanted {
                    assert_eq!(read(socket)?, wanted);
                }
                Ok(())
            })
        };
        for (got, _) in through_each_door(&server.url("/"), hooked) {
            assert_eq!(got.unwrap(), HOME.to_string());
        }
    }
}

#[test]
fn what_is_set_costs_what_it_says_and_what_is_not_costs_nothing() {
    let peer = Peer::start(serve(ok("hello"))).unwrap();
    let url = peer.url("/");
    let cost = |change: &dyn Fn(ClientBuilder) -> ClientBuilder| {
        let client = change(Client::builder()).build().unwrap();
        let before = syscalls::on_this_thread();
        fetch(&client, Door::Blocking, &url).unwrap();
        syscalls::on_this_thread() - before
    };
    let plain = cost(&|client| client);
    assert!(plain <= 8, "{plain}");
    assert_eq!(cost(&|client| client.socket_hook(|_, _| Ok(()))), plain);
    assert_eq!(cost(&|client| client.local_address(OTHER)), plain + 1);
    let probes = Some(TcpKeepAlive::new());
    assert_eq!(cost(&|client| client.tcp_keep_alive(probes)), plain + 4);
}

/// The names of this machine, the guard and the limit of connections hold for sockets that are set up.
#[test]
fn rfc_h23_rfc_h24_localhost_is_bound_and_judged() {
    let server = mirror();
    let port = server.addr().port();
    for host in ["localhost", "a.localhost", "LOCALHOST"] {
        let bound = |client: ClientBuilder| {
            let asked = from_fn(|name| panic!("asked for {name}"));
            let client = client.resolver(asked).local_address(OTHER);
            client.allow_addresses(|addr| addr.ip() == HOME)
        };
        for (got, seen) in through_each_door(&format!("http://{host}:{port}/"), bound) {
            assert_eq!(got.unwrap(), OTHER.to_string(), "{host}");
            assert_eq!(seen.only(EventKind::DnsSkipped).len(), 1);
            assert_eq!(tried(&seen), [server.addr()]);
        }
    }
    let refusing = |client: ClientBuilder| {
        let client = client.allow_addresses(|_| false);
        client.socket_hook(|_, to| panic!("{to} was refused"))
    };
    for (got, _) in through_each_door(&server.url("/"), refusing) {
        let kind = ErrorKind::Lookup(LookupFailure::NotAllowed);
        assert_eq!(got.unwrap_err().kind(), kind);
    }
}

#[test]
fn rfc_e19_a_loop_keeps_to_the_limit_of_an_origin() {
    let peer = Peer::start(Script::new().respond_with(|_| ok("hello").into_bytes())).unwrap();
    let (client, events) = watched(|client| {
        let client = client.max_connections_per_origin(2);
        client.local_address(OTHER)
    });
    let mut event_loop = EventLoop::new(&client).unwrap();
    let tickets: Vec<_> = (0..6)
        .map(|_| {
            let request = client.get(&peer.url("/")).unwrap();
            event_loop.submit(request).unwrap()
        })
        .collect();
    let mut done = Vec::new();
    while let Some(completion) = event_loop.next().unwrap() {
        assert_eq!(completion.status(), Some(200));
        done.push(completion.ticket());
    }
    done.sort_unstable();
    assert_eq!(done, tickets);
    assert_eq!(peer.connections(), 2);
    drop((event_loop, client));
    let seen = check(&events);
    assert_eq!(seen.only(EventKind::ConnOpened).len(), 2);
    assert!(seen.only(EventKind::QueueDone).len() >= 4);
    peer.finish();
}
