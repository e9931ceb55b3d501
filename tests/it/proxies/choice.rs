//! Which hop goes through which proxy.

use wirescope::error::{FieldError, LookupFailure, ProxyRule};
use wirescope::event::EventKind;
use wirescope::testkit::RefusedPort;
use wirescope::{ErrorKind, NoProxy, Phase};

use super::*;
use crate::harness::{echo_target, ok};

/// A script that goes by a table of targets and locations, and else answers with the target.
fn moving(table: Vec<(&'static str, String)>) -> Script {
    Script::new().respond_with(move |request| {
        let target = request.target().to_owned();
        match table.iter().find(|(from, _)| *from == target) {
            Some((_, to)) => {
                format!("HTTP/1.1 307 Go\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
                    .into_bytes()
            }
            None => ok(&target).into_bytes(),
        }
    })
}

/// Through the proxy, past it, and through it again: each hop as its own URL says, and the credentials of the proxy only
/// to the proxy (row F27; TRUST 58: what was left behind does come back, but only where it belongs).
#[test]
fn rfc_f27_rfc_f19_a_redirect_leads_past_the_proxy_and_back() {
    for kind in [Kind::Http, Kind::Socks5h] {
        for door in DOORS {
            // A direct origin whose address is known only when it runs.
            let direct =
                Peer::start(moving(vec![("/past", "http://b.test/back".to_owned())])).unwrap();
            let past = format!("http://{}/past", direct.addr());
            let script = moving(vec![("/go", past)]);
            let list = NoProxy::parse("127.0.0.0/8");
            let mut world = World::with(
                kind,
                true,
                door,
                &script,
                |relay| relay,
                |client| client.no_proxy(list),
            );
            let request = world.get("http://a.test/go").header("X-Mine", "1").unwrap();
            assert_eq!(world.send(request).unwrap().1, "/back");
            let seen = world.finish();
            seen.judge();
            let own = &direct.requests()[0];
            let head = String::from_utf8(own.head.clone()).unwrap();
            assert!(head.starts_with("GET /past HTTP/1.1\r\n"), "{head}");
            assert!(!head.to_ascii_lowercase().contains("proxy-"), "{head}");
            assert_eq!(own.field("host"), Some(&*at(direct.addr())));
            assert_eq!(
                seen.relay
                    .iter()
                    .map(|one| one.targets.len())
                    .sum::<usize>(),
                2
            );
            seen.told.assert_sequence([
                "proxy_selected source=explicit",
                "redirect followed=true",
                "proxy_selected source=no_proxy rule=127.0.0.0/8",
                "redirect followed=true",
                "proxy_selected source=explicit",
                "call_done status=200",
            ]);
        }
    }
}

/// Two proxies with credentials of their own, one for each host: each gets its own and never the other's (TRUST 62).
#[test]
fn rfc_f19_each_proxy_gets_its_own_credentials() {
    for door in DOORS {
        let second = Relay::http().credentials("other", "secret-2");
        let origin = Peer::start(moving(vec![("/on", "http://a.test/end".to_owned())])).unwrap();
        let second = second.lead("b.test", 80, origin.addr()).start().unwrap();
        let other = second
            .proxy()
            .unwrap()
            .with_credentials("other", "secret-2")
            .unwrap();
        let script = moving(vec![("/go", "http://b.test/on".to_owned())]);
        let world = World::with(
            Kind::Http,
            true,
            door,
            &script,
            |relay| relay,
            |client| client,
        );
        let chosen = world
            .relay
            .proxy()
            .unwrap()
            .with_credentials(USER, PASSWORD)
            .unwrap();
        let mut world = world.remade(move |client| {
            client.proxy_with(move |url| {
                let is_other = url.host_str() == "b.test";
                Ok(Some(if is_other {
                    other.clone()
                } else {
                    chosen.clone()
                }))
            })
        });
        let request = world.get("http://a.test/go");
        assert_eq!(world.send(request).unwrap().1, "/end");
        let seen = world.finish();
        seen.judge();
        let text = |asked: &[u8]| String::from_utf8_lossy(asked).into_owned();
        let asked = text(&seen.relay[0].asked);
        assert_eq!(asked.matches(BASIC).count(), 2, "{asked}");
        assert_eq!(asked.matches("Proxy-Authorization").count(), 2);
        let asked = text(&second.seen()[0].asked);
        assert_eq!(
            asked
                .matches("Proxy-Authorization: Basic b3RoZXI6c2VjcmV0LTI=")
                .count(),
            1
        );
        assert_eq!(asked.matches("Proxy-Authorization").count(), 1);
    }
}

/// X14: nothing is dialed, and nothing but the call is told.
#[test]
fn x14_a_choice_that_fails_ends_the_call_before_anything_is_dialed() {
    for door in DOORS {
        let choose = |client: ClientBuilder| {
            client.proxy_with(|url| match url.path() {
                "/fail" => Err("no idea".into()),
                _ => Ok(None),
            })
        };
        let world = World::new(Kind::Http, false, door, &echo_target());
        let direct = Peer::start(moving(vec![("/go", "/fail".to_owned())])).unwrap();
        let mut world = world.remade(choose);
        let error = world.send(world.get("http://a.test/fail")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalProxy(ProxyRule::Choice));
        assert_eq!(error.phase(), Phase::Prepare);
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("no idea"));
        assert!(
            error
                .to_string()
                .contains("the function that chooses it failed"),
            "{error}"
        );
        // The same on a later hop.
        let url = format!("http://{}/go", direct.addr());
        let error = world.send(world.get(&url)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalProxy(ProxyRule::Choice));
        assert_eq!(direct.request_count(), 1);
        let seen = world.finish();
        seen.judge();
        let calls = seen.told.calls();
        seen.told
            .call(calls[0])
            .assert_kinds(&["call_start", "call_done"]);
        assert_eq!(seen.told.only(EventKind::ProxySelected).len(), 1);
    }
}

/// Code of the caller's that chooses a proxy and panics fails its own call, and nobody else learns of it.
#[test]
fn a_choice_that_panics_fails_its_own_call_and_no_other() {
    let choose = |client: ClientBuilder| {
        client.proxy_with(|url| match url.path() {
            "/fail" => panic!("by the test"),
            _ => Ok(None),
        })
    };
    let world = World::new(Kind::Http, false, Door::Loop, &echo_target());
    let direct = Peer::start(echo_target()).unwrap();
    let mut world = world.remade(choose);
    let event_loop = world.looped.as_mut().unwrap();
    for number in 0..6 {
        let path = if number % 2 == 0 { "/fail" } else { "/well" };
        let url = format!("http://{}{path}", direct.addr());
        event_loop.submit(world.client.get(&url).unwrap()).unwrap();
    }
    for _ in 0..6 {
        let done = event_loop.next().unwrap().unwrap();
        match done.url().path() {
            "/fail" => {
                let error = done.into_result().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::LocalPanic);
                assert_eq!(error.phase(), Phase::Prepare);
            }
            path => assert_eq!(done.body(), path.as_bytes()),
        }
    }
    assert_eq!(direct.request_count(), 3);
    let seen = world.finish();
    assert_eq!(seen.told.only(EventKind::CallDone).len(), 6);
}

/// A field of the caller's that is for a proxy does not go where the client was told to go without one.
#[test]
fn rfc_f19_credentials_of_the_callers_do_not_go_past_the_proxy() {
    for door in DOORS {
        let world = World::new(Kind::Http, true, door, &echo_target());
        let direct = Peer::start(echo_target()).unwrap();
        let proxy = world.relay.proxy().unwrap();
        let mut world = world.remade(|client| {
            let straight = NoProxy::parse("127.0.0.1");
            client.proxy(proxy).no_proxy(straight)
        });
        let with = |request: Request| request.header("Proxy-Authorization", BASIC).unwrap();
        let request = with(world.get("http://a.test/x"));
        assert_eq!(world.send(request).unwrap().1, "/x");
        let request = with(world.get(&format!("http://{}/", direct.addr())));
        let error = world.send(request).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::LocalField(FieldError::ConnectionOwned)
        );
        assert_eq!(direct.request_count(), 0);
        world.finish().judge();
    }
}

/// A field of the caller's that is for a proxy stays with the origin it was sent for, even if the same proxy is given the
/// next request: a field does not say whose it is. What is the proxy's own goes along (docs/decisions.md).
#[test]
fn credentials_of_the_callers_do_not_go_on_to_another_origin() {
    for door in DOORS {
        let script = moving(vec![("/go", "http://b.test/end".to_owned())]);
        let mut world = World::new(Kind::Http, false, door, &script);
        let proxy = world.relay.proxy().unwrap().field("X-Zone", "7").unwrap();
        let request = world.get("http://a.test/go").proxy(proxy);
        let request = request.header("Proxy-Authorization", BASIC).unwrap();
        assert_eq!(world.send(request).unwrap().1, "/end");
        let seen = world.finish();
        let asked = String::from_utf8_lossy(&seen.relay[0].asked);
        let (first, second) = asked.split_once("GET http://b.test/end ").unwrap();
        assert!(first.contains("Proxy-Authorization"), "{asked}");
        assert!(!second.contains("Proxy-Authorization"), "{asked}");
        for one in [first, second] {
            assert!(one.contains("\r\nX-Zone: 7\r\n"), "{asked}");
        }
    }
}

/// A request may have another proxy than its client, or none; connections are not shared between them (TRUST 76).
#[test]
fn cve_76_a_request_has_its_own_proxy_and_its_own_connections() {
    for door in DOORS {
        let mut world = World::new(Kind::Http, true, door, &echo_target());
        let own = world
            .relay
            .proxy()
            .unwrap()
            .with_credentials(USER, PASSWORD)
            .unwrap();
        let other_field = own.clone().connect_field("X-Zone", "1").unwrap();
        let url = "http://a.test/";
        let send = |world: &mut World, change: &dyn Fn(Request) -> Request| {
            let request = change(world.get(url));
            world.send(request)
        };
        assert!(!send(&mut world, &|it| it).unwrap().2);
        assert!(send(&mut world, &|it| it).unwrap().2);
        assert!(send(&mut world, &|it| it.proxy(own.clone())).unwrap().2);
        // Anything else makes another proxy of it.
        assert!(
            !send(&mut world, &|it| it.proxy(other_field.clone()))
                .unwrap()
                .2
        );
        let nobody = world.relay.proxy().unwrap();
        assert_eq!(
            send(&mut world, &|it| it.proxy(nobody.clone())).unwrap().0,
            407
        );
        let wrong = nobody.clone().with_credentials(USER, "wrong").unwrap();
        assert_eq!(
            send(&mut world, &|it| it.proxy(wrong.clone())).unwrap().0,
            407
        );
        // Straight: the name leads nowhere here.
        let refused = RefusedPort::reserve().unwrap();
        let straight = format!("http://{}/", refused.addr());
        let request = world.get(&straight).proxy(None);
        assert_eq!(world.send(request).unwrap_err().kind(), ErrorKind::Connect);
        let seen = world.finish();
        assert_eq!(seen.relay.len(), 4, "one for each proxy that differs");
        assert_eq!(
            seen.relay[0]
                .asked
                .windows(4)
                .filter(|part| part == b"GET ")
                .count(),
            3
        );
    }
}

/// SOCKS5 that is given addresses: the name is looked up here and first, with all that counts for addresses; then the
/// proxy, by its own name.
#[test]
fn x10_socks5_is_given_the_address_that_is_found_here() {
    for door in DOORS {
        let by_name = |world: &World| {
            let url = format!("socks5://proxy.test:{}", world.relay.addr().port());
            let proxy = Proxy::parse(&url).unwrap();
            proxy.with_credentials(USER, PASSWORD).unwrap()
        };
        let mut world = World::with(
            Kind::Socks5,
            true,
            door,
            &echo_target(),
            |relay| relay,
            |client| {
                let c = [IpAddr::from([192, 0, 2, 2])];
                let client = client.resolve_override("c.test", 80, &c).unwrap();
                client.allow_addresses(|addr| addr.ip() != IpAddr::from([192, 0, 2, 1]))
            },
        );
        // A name of the caller's table, and no lookup.
        let proxy = by_name(&world);
        let request = world.get("http://c.test/x").proxy(proxy.clone());
        assert_eq!(world.send(request).unwrap().1, "/x");
        assert_eq!(*world.asked.lock().unwrap(), ["proxy.test"]);
        // An address is given as it is.
        let request = world.get("http://192.0.2.2/y").proxy(proxy.clone());
        assert_eq!(world.send(request).unwrap().1, "/y");
        // What may not be dialed may not be asked for, and the proxy hears nothing of it.
        let before = world.relay.connections();
        let request = world.get("http://a.test/").proxy(proxy);
        let error = world.send(request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lookup(LookupFailure::NotAllowed));
        assert!(error.to_string().contains("a.test"), "{error}");
        let request = world.get("http://192.0.2.1/").proxy(by_name(&world));
        let error = world.send(request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lookup(LookupFailure::NotAllowed));
        assert_eq!(world.relay.connections(), before);
        let names = world.asked.lock().unwrap().clone();
        assert_eq!(
            names,
            ["proxy.test", "a.test"],
            "the proxy is remembered, and comes second"
        );
        let seen = world.finish();
        seen.judge();
        seen.told.assert_sequence([
            "dns_start host=c.test",
            "dns_done",
            "dns_start host=proxy.test",
            "dns_done",
            "connect_start",
            "proxy_connect_start",
            "proxy_connect_done",
        ]);
        for one in &seen.relay {
            assert_eq!(one.targets, ["192.0.2.2:80"]);
        }
    }
}

/// X07: a field for CONNECT can depend on the target, and one tunnel's does not change another's.
#[test]
fn x07_fields_for_connect_by_target() {
    for door in DOORS {
        let world = World::new(Kind::Http, false, door, &echo_target());
        let proxy = world.relay.proxy().unwrap();
        let mut world = world.remade(move |client| {
            client.proxy_with(move |url| {
                let host = url.host_str().to_owned();
                Ok(Some(proxy.clone().connect_field("X-Target", &host)?))
            })
        });
        for _ in 0..2 {
            for host in ["a.test", "b.test"] {
                let request = world.get(&format!("https://{host}/x"));
                assert_eq!(world.send(request).unwrap().1, "/x");
            }
        }
        let seen = world.finish();
        seen.judge();
        let asked: Vec<String> = (seen.relay.iter())
            .map(|one| String::from_utf8_lossy(&one.asked).into_owned())
            .collect();
        assert_eq!(asked.len(), 2);
        for (asked, host) in asked.iter().zip(["a.test", "b.test"]) {
            assert!(
                asked.contains(&format!("\r\nX-Target: {host}\r\n")),
                "{asked}"
            );
            assert_eq!(asked.matches("X-Target").count(), 1);
        }
    }
}

/// Rows A11 and F23: the Host of absolute-form is that of the URL, default port and user information left out, whatever
/// the caller's own Host is replaced by.
#[test]
fn rfc_a11_rfc_f23_host_goes_with_absolute_form() {
    for door in DOORS {
        let mut world = World::with(
            Kind::Http,
            false,
            door,
            &echo_target(),
            |relay| relay,
            |client| client,
        );
        for (url, host, expected) in [
            (
                "http://A.test:80/x",
                None,
                "GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n",
            ),
            (
                "http://u:p@a.test/#f",
                None,
                "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n",
            ),
            (
                "http://a.test?q",
                None,
                "GET http://a.test/?q HTTP/1.1\r\nHost: a.test\r\n",
            ),
            (
                "http://a.test/",
                Some("c.test"),
                "GET http://a.test/ HTTP/1.1\r\nHost: c.test\r\n",
            ),
        ] {
            let mut request = world.get(url);
            if let Some(host) = host {
                request = request.header("Host", host).unwrap();
            }
            world.send(request).unwrap();
            let asked = world.relay.seen()[0].asked.clone();
            let asked = String::from_utf8(asked).unwrap();
            let last = asked
                .trim_end()
                .rsplit("\r\n\r\n")
                .next()
                .unwrap()
                .to_owned();
            assert!(last.starts_with(expected), "{last}");
        }
        let options = world
            .client
            .request("OPTIONS", "http://a.test/")
            .unwrap()
            .asterisk();
        world.send(options).unwrap();
        assert_eq!(world.plain.requests().last().unwrap().target(), "*");
        let seen = world.finish();
        let asked = String::from_utf8_lossy(&seen.relay[0].asked).into_owned();
        assert!(
            asked.contains("OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n"),
            "{asked}"
        );
    }
}
