//! Proxies that refuse, cut, stall, lie and speak too early, at each byte of their answers (TRUST Q22).

use std::io::ErrorKind as IoKind;
use std::thread;
use std::time::Duration;

use wirescope::error::{Limit, ProxyFailure, Timer};
use wirescope::event::EventKind;
use wirescope::testkit::{PeerBuilder, RefusedPort};
use wirescope::{ErrorKind, Phase};

use super::*;
use crate::harness::{SHORT, echo_target, ok};

/// What the relay says to a CONNECT.
const ESTABLISHED: usize = "HTTP/1.1 200 Connection established\r\n\r\n".len();

/// How many bytes a relay answers before a tunnel is open.
fn answer_bytes(kind: Kind, has_credentials: bool) -> usize {
    match kind {
        Kind::Http | Kind::Https => ESTABLISHED,
        Kind::Socks5 | Kind::Socks5h => 2 + 10 + if has_credentials { 2 } else { 0 },
    }
}

/// A request for an https URL through a proxy with this fault: what came of it, and what was seen.
fn through(
    kind: Kind,
    door: Door,
    fault: RelayFault,
    limit: Duration,
) -> (Result<(u16, String, bool), Error>, Seen) {
    let relay = |relay: RelayBuilder| relay.fault(fault);
    let client = |client: ClientBuilder| client.connect_timeout(limit);
    let mut world = World::with(kind, true, door, &echo_target(), relay, client);
    let request = world
        .get("https://a.test/x")
        .header("X-Mine", "own-word")
        .unwrap();
    let got = world.send(request);
    (got, world.finish())
}

/// Says what holds whenever there is no tunnel: the proxy is named, it says where, and no byte of the request left.
#[track_caller]
fn no_tunnel(error: &Error, seen: &Seen) {
    assert_eq!(error.phase(), Phase::Tunnel, "{error}");
    assert!(error.is_connect() && error.proxy().is_some(), "{error}");
    assert_eq!(error.bytes_sent(), 0);
    let text = error.to_string();
    assert!(
        text.contains("proxy") && !text.contains("canary") && !text.contains("own-word"),
        "{text}"
    );
    seen.judge();
    for one in &seen.relay {
        assert!(one.tunneled.is_empty(), "{}", one.tunneled.escape_ascii());
    }
    seen.told.none(EventKind::GotConn);
    let done = seen.told.only(EventKind::ProxyConnectDone);
    assert_eq!(
        done.len(),
        seen.told.only(EventKind::ProxyConnectStart).len()
    );
}

const FAULTY: [Kind; 3] = [Kind::Http, Kind::Https, Kind::Socks5h];

/// Runs something for each byte of the answer, a few at a time.
fn at_each_byte(run: impl Fn(Kind, Door, usize) + Sync) {
    for kind in FAULTY {
        for door in DOORS {
            let all: Vec<usize> = (0..answer_bytes(kind, true)).collect();
            for some in all.chunks(8) {
                thread::scope(|scope| {
                    for at in some {
                        let run = &run;
                        scope.spawn(move || run(kind, door, *at));
                    }
                });
            }
        }
    }
}

#[test]
fn q22_x08_an_answer_that_is_cut_at_any_byte() {
    at_each_byte(|kind, door, at| {
        let (got, seen) = through(kind, door, RelayFault::Cut(at), PATIENCE);
        let error = got.unwrap_err();
        let ended = ErrorKind::Proxy(ProxyFailure::Ended {
            received: at as u64,
        });
        assert_eq!(error.kind(), ended, "{kind:?} {door:?} at {at}");
        no_tunnel(&error, &seen);
    });
}

#[test]
fn q22_an_answer_that_is_reset_at_any_byte() {
    at_each_byte(|kind, door, at| {
        let (got, seen) = through(kind, door, RelayFault::Reset(at), PATIENCE);
        let error = got.unwrap_err();
        let is_reset = matches!(
            error.kind(),
            ErrorKind::Io {
                kind: IoKind::ConnectionReset,
                ..
            } | ErrorKind::Proxy(ProxyFailure::Ended { .. })
        );
        assert!(is_reset, "{kind:?} {door:?} at {at}: {error}");
        no_tunnel(&error, &seen);
    });
}

#[test]
fn q22_x06_an_answer_that_stalls_at_any_byte() {
    at_each_byte(|kind, door, at| {
        let (got, seen) = through(kind, door, RelayFault::Stall(at), SHORT);
        let error = got.unwrap_err();
        let timeout = ErrorKind::Timeout(Timer::Connect);
        assert_eq!(error.kind(), timeout, "{kind:?} {door:?} at {at}: {error}");
        // On a slow machine the proxy may not have been reached by then.
        if error.phase() == Phase::Tunnel {
            no_tunnel(&error, &seen);
        }
    });
}

/// Whatever is changed in an answer, there is a tunnel to the right server or an error that names the proxy.
#[test]
fn q22_an_answer_that_lies_at_any_byte() {
    at_each_byte(|kind, door, at| {
        for mask in [0x01, 0x02, 0x20, 0x80] {
            let limit = Duration::from_millis(300);
            let (got, seen) = through(kind, door, RelayFault::Lie(at, mask), limit);
            match got {
                Ok(got) => {
                    assert_eq!(got, (200, "/x".to_owned(), false));
                    seen.judge();
                }
                Err(error) if error.phase() == Phase::Tunnel => no_tunnel(&error, &seen),
                // What an origin says to a tunnel that begins one byte too early or too late is not TLS.
                Err(error) => assert!(error.is_timeout(), "{kind:?} at {at} mask {mask}: {error}"),
            }
        }
    });
}

/// A response through a proxy that is given whole requests is cut as one from an origin is.
#[test]
fn q22_a_response_in_absolute_form_that_is_cut_at_any_byte() {
    let answer = ok("hello");
    let head = answer.len() - 5;
    for door in DOORS {
        for at in 0..answer.len() {
            let relay = |relay: RelayBuilder| relay.fault(RelayFault::Cut(at));
            let script = Script::new().respond_with({
                let answer = answer.clone();
                move |_| answer.clone().into_bytes()
            });
            let mut world = World::with(Kind::Http, false, door, &script, relay, |client| client);
            let error = world.send(world.get("http://a.test/")).unwrap_err();
            let (received, expected) = (at.saturating_sub(head) as u64, Some(5));
            let kind = match at {
                0 => ErrorKind::PeerClosed,
                at if at < head => ErrorKind::PeerIncompleteHead {
                    received: at as u64,
                },
                _ => ErrorKind::PeerIncompleteBody { received, expected },
            };
            assert_eq!(error.kind(), kind, "{door:?} at {at}");
            world.finish().judge();
        }
    }
}

/// A client of a peer that plays the proxy, and one request for an https URL.
fn asked_of(
    door: Door,
    proxy: PeerBuilder,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Error, Peer) {
    let proxy = proxy.start().unwrap();
    let world = World::new(Kind::Http, false, door, &echo_target());
    let url = proxy.url("");
    let mut world = world.remade(|client| change(client.proxy(Proxy::parse(&url).unwrap())));
    let error = world.send(world.get("https://a.test/")).unwrap_err();
    world.finish();
    (error, proxy)
}

fn answers(answer: impl AsRef<[u8]>) -> PeerBuilder {
    Peer::builder().script(Script::new().expect_request().send(answer).expect_gone())
}

#[test]
fn rfc_f20_x04_x05_a_refusal_says_status_fields_and_the_first_of_its_body() {
    for door in DOORS {
        let answer = "HTTP/1.1 403 Not you\r\nX-Why: policy\r\nContent-Length: 9\r\n\r\nforbidden";
        let (error, _proxy) = asked_of(door, answers(answer), |client| client);
        assert_eq!(error.kind(), ErrorKind::Proxy(ProxyFailure::Refused(403)));
        let refusal = error.proxy_refusal().unwrap();
        assert_eq!((refusal.status(), refusal.body()), (403, &b"forbidden"[..]));
        assert_eq!(refusal.fields().get_str("x-why"), Some("policy"));
        let (error, _proxy) = asked_of(
            door,
            answers("HTTP/1.1 400\r\nContent-Length: 0\r\n\r\n"),
            |client| client,
        );
        assert!(matches!(error.kind(), ErrorKind::Proxy(_)), "{error}");
        let who = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
        let (error, _proxy) = asked_of(door, answers(who), |client| client);
        assert_eq!(
            error.kind(),
            ErrorKind::Proxy(ProxyFailure::CredentialsWanted)
        );
        assert_eq!(
            error.proxy_refusal().map(|refusal| refusal.status()),
            Some(407)
        );
    }
}

/// Row F21 and X13: what stands behind the head was sent by nobody we know.
#[test]
fn rfc_f21_x13_bytes_behind_the_head_are_not_taken_for_the_origins() {
    for door in DOORS {
        for behind in ["\0", "HTTP/1.1 200 OK\r\n\r\n", "\x16\x03\x03"] {
            let answer = format!("HTTP/1.1 200 OK\r\n\r\n{behind}");
            let (error, _proxy) = asked_of(door, answers(answer), |client| client);
            assert_eq!(error.kind(), ErrorKind::Proxy(ProxyFailure::SpokeEarly));
        }
    }
}

/// The same where TLS is spoken with the proxy, and a record ends with the head: what is in the next one, which came with
/// it, would otherwise stand before all that the origin says.
#[test]
fn rfc_f21_x13_a_record_behind_that_of_the_head_is_not_taken_for_the_origins() {
    const RECORD: usize = 16_384;
    for door in DOORS {
        let mut answer = "HTTP/1.1 200 OK\r\n".to_owned();
        while answer.len() < RECORD - 2_000 {
            answer.push_str(&format!("X: {}\r\n", "x".repeat(900)));
        }
        let rest = RECORD - answer.len() - "X: \r\n\r\n".len();
        answer.push_str(&format!("X: {}\r\n\r\n", "x".repeat(rest)));
        assert_eq!(answer.len(), RECORD);
        answer.push_str("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
        let identity = authority().issue(&["127.0.0.1"]).unwrap();
        let (error, _proxy) = asked_of(door, answers(answer).tls(identity), |client| client);
        assert_eq!(
            error.kind(),
            ErrorKind::Proxy(ProxyFailure::SpokeEarly),
            "{error}"
        );
        assert!(error.proxy().is_some(), "{error}");
    }
}

#[test]
fn x06_an_endless_head_ends_at_the_limit() {
    for door in DOORS {
        let script = Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nX: ")
            .send_repeated(b'x', 10_000_000)
            .expect_gone();
        let limits = |client: ClientBuilder| client.limits(|limits| limits.head_bytes = 4096);
        let (error, _proxy) = asked_of(door, Peer::builder().script(script), limits);
        let is_limit = matches!(
            error.kind(),
            ErrorKind::Limit {
                limit: Limit::HeadBytes | Limit::LineBytes,
                ..
            }
        );
        assert!(is_limit && error.proxy().is_some(), "{error}");
    }
}

#[test]
fn x09_a_proxy_that_cannot_be_reached_is_named() {
    for door in DOORS {
        let refused = RefusedPort::reserve().unwrap();
        let world = World::new(Kind::Http, false, door, &echo_target());
        let proxy = Proxy::parse(&refused.addr().to_string()).unwrap();
        let mut world = world.remade(|client| client.proxy(proxy));
        for url in ["http://a.test/", "https://a.test/"] {
            let error = world.send(world.get(url)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert_eq!(error.proxy(), Some(&*refused.addr().to_string()));
            let text = error.to_string();
            let named = format!("cannot connect to proxy {} for a.test", refused.addr());
            assert!(text.starts_with(&named), "{text}");
        }
        world.finish();
    }
}
