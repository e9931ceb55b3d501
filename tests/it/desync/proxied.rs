//! The same behind proxies, by both doors. Where nothing stands behind an answer the connection is kept, and a proxy that
//! is given whole requests serves all origins by it (X12): no tag crosses to another request or origin.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustls::ServerConfig;
use rustls::version::TLS13;
use wirescope::event::EventKind;
use wirescope::testkit::Relay;
use wirescope::{EventLoop, Proxy, Request};

use super::{POISON, VARIANTS, answer};
use crate::cuts::wire::{Over, Wire, config};
use crate::harness::{authority, trusting};
use crate::support::{Server, target, watched};
use crate::ways::Way;
use wirescope::testkit::check::check;

const ROUNDS: usize = 840;

/// By which door the calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Client,
    Loop,
}

/// When the poison comes.
const WHENS: [&str; 4] = ["kept", "glued", "kept", "idle"];

/// What tells the server that a connection is idle, and the test that something was said on it.
struct Signals {
    idle: Receiver<()>,
    said: Sender<()>,
}

/// Answers what it is asked, on one connection.
fn serve(wire: &mut Wire, is_forwarded: bool, signals: &Signals) -> Result<(), Over> {
    wire.shake_hands(|_| ())?;
    loop {
        let head = wire.head()?;
        let target = target(&head);
        // Only a proxy is told the host in the target.
        assert_eq!(target.starts_with("http://"), is_forwarded, "{head}");
        let words: Vec<&str> = target.rsplit('/').take(4).collect();
        let [tag, poison, when, variant] = words[..] else {
            panic!("{head}");
        };
        let poison = POISON[poison.parse::<usize>().unwrap()];
        let mut bytes = answer(variant, tag);
        if when == "glued" {
            bytes.push_str(poison);
        }
        // The test counts answers to the byte, and a client that has enough may be gone by now.
        wire.send(bytes.as_bytes(), |_| ())?;
        if when == "idle" {
            if signals.idle.recv().is_err() {
                return Err(Over);
            }
            let sent = wire.send(poison.as_bytes(), |_| ());
            signals.said.send(()).unwrap();
            sent?;
        }
    }
}

/// A server that is its own proxy.
fn server(way: Way, tls: Option<Arc<ServerConfig>>) -> (Server, Sender<()>, Receiver<()>) {
    let (idle, is_idle) = channel();
    let (has_said, said) = channel();
    let signals = Signals {
        idle: is_idle,
        said: has_said,
    };
    let server = Server::start(move |mut stream| {
        if way.open(&mut stream).is_err() {
            return;
        }
        let mut wire = match &tls {
            Some(config) => Wire::sealed(stream, config, usize::MAX),
            None => Wire::plain(stream),
        };
        let _ = serve(&mut wire, way == Way::Forward, &signals);
    });
    (server, idle, said)
}

/// What a call came to: its tag, and its content.
type Got = (Option<String>, String);

fn sent(request: Request, event_loop: &mut Option<EventLoop>) -> Got {
    let text = |body: Vec<u8>| String::from_utf8(body).unwrap();
    match event_loop {
        None => {
            let mut response = request.send().unwrap();
            let tag = response.header("x-tag").map(str::to_owned);
            (tag, text(response.collect(100).unwrap()))
        }
        Some(event_loop) => {
            event_loop.submit(request).unwrap();
            let done = event_loop.next().unwrap().unwrap().into_result().unwrap();
            let tag = done.header("x-tag").map(str::to_owned);
            (tag, text(done.into_body()))
        }
    }
}

/// Plays all rounds: the answer to each request is its own. `whens` says when poison comes.
fn rounds(way: Way, is_tls: bool, door: Door, relay: Option<&dyn Fn() -> Relay>) {
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    let tls = is_tls.then(|| config(&identity, &TLS13));
    let (server, idle, said) = server(way, tls);
    let relay = relay.map(|start| start());
    let (client, events) = watched(|client| {
        let client = client.tls(trusting(authority()));
        match &relay {
            None => way.through(client, server.addr(), is_tls),
            Some(relay) => client.proxy(Proxy::parse(&relay.url()).unwrap()),
        }
    });
    let mut event_loop = (door == Door::Loop).then(|| EventLoop::new(&client).unwrap());
    let rounds = if is_tls { ROUNDS / 2 } else { ROUNDS };
    for round in 0..rounds {
        let variant = VARIANTS[(round / 4) % VARIANTS.len()];
        let when = match WHENS[round % WHENS.len()] {
            // When the relay has passed it on is not known.
            "idle" if relay.is_some() => "glued",
            when => when,
        };
        let poison = (round / 7) % POISON.len();
        let tag = format!("t{round}");
        // Names that only a proxy knows, of two origins.
        let host = match way {
            Way::Forward => ["a.test".to_owned(), "b.test".to_owned()][round % 2].clone(),
            Way::Direct | Way::Connect | Way::Socks => server.addr().to_string(),
        };
        let url = format!(
            "{}://{host}/{variant}/{when}/{poison}/{tag}",
            way.scheme(is_tls)
        );
        let request = match variant {
            "head" => client.head(&url).unwrap(),
            _ => client.get(&url).unwrap(),
        };
        let (found, body) = sent(request, &mut event_loop);
        assert_eq!(found.as_deref(), Some(&*tag), "{url}");
        let has_body = matches!(variant, "get" | "chunked" | "trailer");
        assert_eq!(body, if has_body { &*tag } else { "" }, "{url}");
        if when == "idle" {
            idle.send(()).unwrap();
            said.recv().unwrap();
        }
    }
    drop((event_loop, client, idle));
    let seen = check(&events);
    let reused = seen.matching("got_conn reused=true").len();
    let opened = seen.only(EventKind::ConnOpened).len();
    println!(
        "{way:?} tls={is_tls} {door:?}: {rounds} requests, {opened} connections, {reused} reused"
    );
    // Each poison costs the connection, and nothing else does.
    assert_eq!((reused, opened), (rounds / 2, rounds / 2));
}

fn by_both_doors(way: Way, is_tls: bool) {
    for door in [Door::Client, Door::Loop] {
        rounds(way, is_tls, door, None);
    }
}

#[test]
fn cve_desync_x12_holds_for_a_proxy_that_serves_all_origins_by_one_connection() {
    by_both_doors(Way::Forward, false);
}

#[test]
fn cve_desync_x12_holds_for_an_https_proxy_that_serves_all_origins_by_one_connection() {
    by_both_doors(Way::Forward, true);
}

#[test]
fn cve_desync_holds_in_tunnels_of_socks5() {
    by_both_doors(Way::Socks, false);
}

#[test]
fn cve_desync_holds_under_tls_in_tunnels() {
    by_both_doors(Way::Connect, true);
    by_both_doors(Way::Socks, true);
}

#[test]
fn cve_desync_holds_under_tls_in_tunnels_of_an_https_proxy() {
    let relay = || {
        let identity = authority().issue(&["127.0.0.1"]).unwrap();
        Relay::https(identity).start().unwrap()
    };
    for door in [Door::Client, Door::Loop] {
        rounds(Way::Direct, true, door, Some(&relay));
    }
}
