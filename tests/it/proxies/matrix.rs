//! The matrix: proxy kind × target scheme × with and without credentials × direct, redirect, retry × both doors. What
//! proxy and origin saw is compared byte by byte.

use super::*;
use wirescope::event::EventKind;

use crate::harness::{echo_target, ok};

/// What is expected of one tunnel or request, in the proxy's words.
fn asked(world: &Kind, has_credentials: bool, is_https: bool, host: &str, target: &str) -> Vec<u8> {
    let own = |line: &str| match has_credentials {
        true => format!("{line}: {BASIC}\r\n"),
        false => String::new(),
    };
    let agent = format!("User-Agent: wirescope/{}\r\n", env!("CARGO_PKG_VERSION"));
    let authorization = own("Proxy-Authorization");
    match (world, is_https) {
        (Kind::Http | Kind::Https, false) => format!(
            "GET http://{host}{target} HTTP/1.1\r\nHost: {host}\r\n{agent}Accept: */*\r\n{authorization}\r\n"
        )
        .into_bytes(),
        (Kind::Http | Kind::Https, true) => {
            format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{agent}{authorization}\r\n")
                .into_bytes()
        }
        (Kind::Socks5 | Kind::Socks5h, _) => socks(*world, has_credentials, host, is_https),
    }
}

fn socks(kind: Kind, has_credentials: bool, host: &str, is_https: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if has_credentials {
        bytes.extend_from_slice(&[5, 2, 0, 2, 1, USER.len() as u8]);
        bytes.extend_from_slice(USER.as_bytes());
        bytes.push(PASSWORD.len() as u8);
        bytes.extend_from_slice(PASSWORD.as_bytes());
    } else {
        bytes.extend_from_slice(&[5, 1, 0]);
    }
    bytes.extend_from_slice(&[5, 1, 0]);
    match (kind, host) {
        (Kind::Socks5, "a.test") => bytes.extend_from_slice(&[1, 192, 0, 2, 1]),
        (Kind::Socks5, _) => bytes.extend_from_slice(&[1, 192, 0, 2, 2]),
        (_, host) => {
            bytes.extend_from_slice(&[3, host.len() as u8]);
            bytes.extend_from_slice(host.as_bytes());
        }
    }
    let port: u16 = if is_https { 443 } else { 80 };
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes
}

/// The head that an origin sees: in origin-form, with its own Host and nothing of the proxy's.
fn reached(host: &str, target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: wirescope/{}\r\nAccept: */*\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Runs something in each cell of the matrix.
fn in_each_cell(run: impl Fn(Kind, bool, bool, Door)) {
    for kind in KINDS {
        for is_https in [false, true] {
            for has_credentials in [false, true] {
                for door in DOORS {
                    println!("{kind:?} https={is_https} credentials={has_credentials} {door:?}");
                    run(kind, is_https, has_credentials, door);
                }
            }
        }
    }
}

fn url(is_https: bool, rest: &str) -> String {
    format!("{}://{rest}", if is_https { "https" } else { "http" })
}

/// The bytes of all connections to the proxy, in their order.
fn asked_of(seen: &Seen) -> Vec<Vec<u8>> {
    seen.relay.iter().map(|one| one.asked.clone()).collect()
}

#[track_caller]
fn same(found: &[Vec<u8>], expected: &[Vec<u8>]) {
    let text = |all: &[Vec<u8>]| -> Vec<String> {
        all.iter()
            .map(|one| one.escape_ascii().to_string())
            .collect()
    };
    assert_eq!(text(found), text(expected));
}

#[test]
fn rfc_a8_rfc_a9_rfc_f19_rfc_f23_x01_x02_x03_x10_a_request_through_each_proxy() {
    in_each_cell(|kind, is_https, has_credentials, door| {
        let mut world = World::new(kind, has_credentials, door, &echo_target());
        let request = world.get(&url(is_https, "a.test/x?y"));
        let (status, body, _) = world.send(request).unwrap();
        assert_eq!((status, &*body), (200, "/x?y"));
        // The same once more, over the same connection.
        let request = world.get(&url(is_https, "a.test/z"));
        assert_eq!(world.send(request).unwrap(), (200, "/z".to_owned(), true));
        let seen = world.finish();
        seen.judge();
        let is_forwarded = !kind.is_socks() && !is_https;
        let mut expected = asked(&kind, has_credentials, is_https, "a.test", "/x?y");
        if is_forwarded {
            expected.extend(asked(&kind, has_credentials, is_https, "a.test", "/z"));
        }
        same(&asked_of(&seen), &[expected]);
        let heads = [reached("a.test", "/x?y"), reached("a.test", "/z")];
        let origins = seen.origins.concat();
        assert_eq!(String::from_utf8_lossy(&origins), heads.concat());
        seen.told.assert_sequence([
            "call_start",
            "proxy_selected source=explicit",
            "get_conn",
            "got_conn reused=false",
            "call_done",
            "proxy_selected source=explicit",
            "got_conn reused=true",
        ]);
        let handshakes = usize::from(is_https) + usize::from(kind == Kind::Https);
        assert_eq!(
            seen.told.only(EventKind::TlsHandshakeStart).len(),
            handshakes
        );
        let tunnels = usize::from(!is_forwarded);
        assert_eq!(seen.told.only(EventKind::ProxyConnectStart).len(), tunnels);
        assert_eq!(seen.told.only(EventKind::ProxyConnectDone).len(), tunnels);
    });
}

/// A chain from one host to another and back: each hop is a request of its own to the same proxy (TRUST 58, 59, 62).
#[test]
fn rfc_f19_rfc_f27_x12_a_redirect_through_each_proxy() {
    in_each_cell(|kind, is_https, has_credentials, door| {
        let moved = move |to: &str| {
            let to = url(is_https, to);
            format!("HTTP/1.1 302 Go\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
        };
        let script = Script::new().respond_with(move |request| match request.target() {
            "/go" => moved("b.test/on"),
            "/on" => moved("a.test/end"),
            _ => ok("end").into_bytes(),
        });
        let mut world = World::new(kind, has_credentials, door, &script);
        let request = world.get(&url(is_https, "a.test/go"));
        let (status, body, _) = world.send(request).unwrap();
        assert_eq!((status, &*body), (200, "end"));
        let seen = world.finish();
        seen.judge();
        let part = |host, target| asked(&kind, has_credentials, is_https, host, target);
        let expected = match !kind.is_socks() && !is_https {
            // All over one connection to the proxy.
            true => vec![
                [
                    part("a.test", "/go"),
                    part("b.test", "/on"),
                    part("a.test", "/end"),
                ]
                .concat(),
            ],
            // A tunnel for each of the two, and the first one serves again.
            false => vec![part("a.test", ""), part("b.test", "")],
        };
        same(&asked_of(&seen), &expected);
        let mut heads: Vec<String> = seen
            .origins
            .iter()
            .flat_map(|bytes| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                text.split_inclusive("\r\n\r\n")
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        heads.sort();
        let mut all = [
            reached("a.test", "/go"),
            reached("b.test", "/on"),
            reached("a.test", "/end"),
        ];
        all.sort();
        assert_eq!(heads, all);
        assert_eq!(seen.told.only(EventKind::ProxySelected).len(), 3);
    });
}

/// A connection that served before and dies is made again through the same proxy, and the proxy is told again who asks.
#[test]
fn rfc_f19_rfc_e9_a_retry_through_each_proxy() {
    in_each_cell(|kind, is_https, has_credentials, door| {
        let is_forwarded = !kind.is_socks() && !is_https;
        let answer = ok("one");
        let script = match is_forwarded {
            true => echo_target_as(&answer),
            false => Script::new()
                .expect_request()
                .send(&answer)
                .expect_request()
                .close(),
        };
        let length = answer.len();
        let mut world = World::with(
            kind,
            has_credentials,
            door,
            &script,
            |relay| match is_forwarded {
                true => relay.fault(RelayFault::Cut(length)),
                false => relay,
            },
            |client| client,
        );
        for is_first in [true, false] {
            let request = world.get(&url(is_https, "a.test/"));
            let (status, body, is_reused) = world.send(request).unwrap();
            assert_eq!(
                (status, &*body, is_reused),
                (200, "one", false),
                "{is_first}"
            );
        }
        let seen = world.finish();
        seen.judge();
        let one = asked(&kind, has_credentials, is_https, "a.test", "/");
        let expected = match is_forwarded {
            true => vec![[one.clone(), one.clone()].concat(), one],
            false => vec![one.clone(), one],
        };
        same(&asked_of(&seen), &expected);
        assert_eq!(seen.told.only(EventKind::Retry).len(), 1);
        // A repeat belongs to the hop, whose proxy is chosen.
        assert_eq!(seen.told.only(EventKind::ProxySelected).len(), 2);
    });
}

fn echo_target_as(answer: &str) -> Script {
    let answer = answer.to_owned();
    Script::new().respond_with(move |_| answer.clone().into_bytes())
}
