//! Which addresses may be dialed: the caller's guard.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use wirescope::error::LookupFailure;
use wirescope::event::{EventData, EventKind};
use wirescope::resolver::from_fn;
use wirescope::testkit::check::{Checked, check};
use wirescope::testkit::{Peer, RefusedPort, Relay, Script};
use wirescope::{Error, ErrorKind, Phase, Proxy, Response};

use crate::support::watched;

const ALLOWED: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const REFUSED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn hello() -> Peer {
    let hello = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec();
    Peer::start(Script::new().respond_with(move |_| hello.clone())).unwrap()
}

fn redirecting(to: String) -> Peer {
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    Peer::start(Script::new().respond_with(move |_| answer.clone().into_bytes())).unwrap()
}

/// A peer at an address that the guard refuses.
fn forbidden() -> Peer {
    let peer = Peer::builder().bind(SocketAddr::new(REFUSED, 0));
    peer.script(Script::new().expect_request()).start().unwrap()
}

#[track_caller]
fn not_allowed(result: Result<Response, Error>) {
    let error = result.unwrap_err();
    let kind = ErrorKind::Lookup(LookupFailure::NotAllowed);
    assert_eq!((error.kind(), error.phase()), (kind, Phase::Lookup));
    assert_eq!(error.tried(), []);
}

/// The addresses that the last plan of a dial has, and those that were refused.
fn last_plan(seen: &Checked) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let plans = seen.only(EventKind::DialPlan);
    match plans.last().unwrap().data() {
        EventData::DialPlan(plan) => (plan.order().to_vec(), plan.refused().to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rfc_h24_a_redirect_to_a_refused_literal_gets_no_packet() {
    let (inside, outside) = (forbidden(), hello());
    for (to, is_allowed) in [(&inside, false), (&outside, true)] {
        let first = redirecting(to.url("/secret"));
        let (client, events) =
            watched(|builder| builder.allow_addresses(|addr| addr.ip() == ALLOWED));
        let result = client.get(&first.url("/")).unwrap().send();
        if is_allowed {
            let mut response = result.unwrap();
            assert_eq!(response.text(100).unwrap(), "hello");
            assert_eq!(response.history().len(), 1);
        } else {
            not_allowed(result);
        }
        drop(client);
        let seen = check(&events);
        if !is_allowed {
            assert_eq!(last_plan(&seen), (vec![], vec![inside.addr()]));
            assert_eq!(seen.only(EventKind::ConnectStart).len(), 1);
            seen.assert_sequence([
                "redirect followed=true",
                "dns_skipped",
                "dial_plan",
                "dial_done kind=lookup",
                "call_done kind=lookup",
            ]);
        }
    }
    assert_eq!((inside.connections(), outside.request_count()), (0, 1));
}

#[test]
fn rfc_h24_of_a_name_only_the_allowed_addresses_are_dialed() {
    let peer = hello();
    let port = peer.addr().port();
    let (client, events) = watched(|builder| {
        builder
            .resolver(from_fn(|_| Ok(vec![REFUSED, ALLOWED])))
            .allow_addresses(|addr| addr.ip() == ALLOWED)
    });
    let url = format!("http://mixed.test:{port}/");
    let mut response = client.get(&url).unwrap().send().unwrap();
    assert_eq!(response.text(100).unwrap(), "hello");
    drop((response, client));
    let seen = check(&events);
    let at = |ip| SocketAddr::new(ip, port);
    assert_eq!(last_plan(&seen), (vec![at(ALLOWED)], vec![at(REFUSED)]));
    assert_eq!(seen.only(EventKind::ConnectStart).len(), 1);
}

#[test]
fn rfc_h24_a_name_that_changes_its_address_gains_nothing() {
    let (inside, outside) = (forbidden(), hello());
    let asked = AtomicUsize::new(0);
    let (client, events) = watched(|builder| {
        builder
            .dns_cache(std::time::Duration::ZERO)
            .resolver(from_fn(move |_| {
                let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
                Ok(vec![if first { ALLOWED } else { REFUSED }])
            }))
            .allow_addresses(|addr| addr.ip() == ALLOWED)
    });
    let url = format!("http://rebinding.test:{}/", outside.addr().port());
    drop(client.get(&url).unwrap().send().unwrap());
    let url = format!("http://rebinding.test:{}/", inside.addr().port());
    not_allowed(client.get(&url).unwrap().send());
    drop(client);
    check(&events);
    assert_eq!(inside.connections(), 0);
}

#[test]
fn rfc_h24_every_source_of_addresses_is_judged() {
    let closed = RefusedPort::reserve().unwrap();
    let port = closed.addr().port();
    let judged = Arc::new(Mutex::new(Vec::new()));
    let judging = judged.clone();
    let (client, events) = watched(|builder| {
        let builder = builder.resolve_override("table.test", port, &[ALLOWED]);
        let builder = builder
            .unwrap()
            .connect_to("other.test", 0, "127.0.0.1", port);
        builder.unwrap().allow_addresses(move |addr| {
            judging.lock().unwrap().push(*addr);
            false
        })
    });
    let v4 = SocketAddr::new(ALLOWED, port);
    let v6 = SocketAddr::new(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), port);
    for (url, expected) in [
        (format!("http://127.0.0.1:{port}/"), vec![v4]),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), vec![v4]),
        (format!("http://[::1]:{port}/"), vec![v6]),
        (format!("http://localhost:{port}/"), vec![v6, v4]),
        (format!("http://table.test:{port}/"), vec![v4]),
        ("http://other.test/".to_owned(), vec![v4]),
    ] {
        not_allowed(client.get(&url).unwrap().send());
        let judged = std::mem::take(&mut *judged.lock().unwrap());
        assert_eq!(judged, expected, "{url}");
    }
    drop(client);
    check(&events).none(EventKind::ConnectStart);
}

#[test]
fn rfc_h24_what_a_url_says_itself_is_judged_behind_every_proxy() {
    for relay in [Relay::http(), Relay::socks5()] {
        let origin = hello();
        let relay = relay.lead("name.test", 80, origin.addr());
        let relay = relay.lead("127.0.0.2", 80, origin.addr()).start().unwrap();
        let proxy = relay.url().replace("socks5:", "socks5h:");
        let proxy = Proxy::parse(&proxy).unwrap();
        let port = relay.addr().port();
        let (client, events) = watched(|builder| {
            let builder = builder.proxy(proxy);
            builder.allow_addresses(move |addr| addr.port() == port || addr.ip() == REFUSED)
        });
        // A connection to the proxy is there when the next target is judged.
        let first = client.get("http://name.test/").unwrap().send().unwrap();
        assert_eq!(first.status(), 200);
        for url in [
            "http://127.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "https://[::1]/",
            "http://localhost/",
            "https://a.localhost/",
        ] {
            not_allowed(client.get(url).unwrap().send());
        }
        let allowed = client.get("http://127.0.0.2/").unwrap().send().unwrap();
        assert_eq!(allowed.status(), 200);
        drop((first, allowed, client));
        check(&events);
        let asked: Vec<_> = relay.seen().into_iter().map(|seen| seen.asked).collect();
        let asked = String::from_utf8_lossy(&asked.concat()).into_owned();
        for host in ["127.0.0.1/", "::", "localhost"] {
            assert!(!asked.contains(host), "{asked}");
        }
    }
}
