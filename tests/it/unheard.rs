//! Calls that nobody listens to. The machine does not stop for observers then, and comes to the same.

use wirescope::event::{Events, Interest, Overflow, channel_with};
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, Error, EventLoop};

use crate::harness::ok;

const BODY_MAX: usize = 1024;

/// What a caller learns of a call: status, content, hops before, and whether its connection had served before.
type Outcome = Result<(u16, Vec<u8>, usize, bool), String>;

/// Two calls of one URL, one after the other.
type Door = fn(&Client, &str) -> Vec<Outcome>;

const DOORS: [Door; 2] = [
    |client, url| {
        let call = || {
            let mut response = client.get(url)?.send()?;
            let body = response.collect(BODY_MAX)?;
            let (hops, reused) = (response.history().len(), response.is_connection_reused());
            Ok((response.status(), body, hops, reused))
        };
        [call(), call()].map(|got| got.map_err(kind_of)).into()
    },
    |client, url| {
        let mut event_loop = EventLoop::new(client).unwrap();
        let mut call = || {
            event_loop.submit(client.get(url)?)?;
            let done = event_loop.next()?.unwrap().into_result()?;
            let (status, hops) = (done.status().unwrap(), done.history().len());
            let reused = done.is_connection_reused();
            Ok((status, done.into_body(), hops, reused))
        };
        [call(), call()].map(|got| got.map_err(kind_of)).into()
    },
];

fn kind_of(error: Error) -> String {
    format!("{:?}", error.kind())
}

/// What the peer answers, by the target.
const ANSWERS: [(&str, &str); 8] = [
    (
        "/hints",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhints",
    ),
    (
        "/moved",
        "HTTP/1.1 302 Found\r\nLocation: /hints\r\nContent-Length: 5\r\n\r\nmoved",
    ),
    (
        "/round",
        "HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "/nowhere",
        "HTTP/1.1 302 Found\r\nContent-Length: 7\r\n\r\nnowhere",
    ),
    (
        "/wrong",
        "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 5\r\n\r\nwrong",
    ),
    ("/bad", "HTTP/1.1 200 OK\r\nContent-Length: no\r\n\r\n"),
    (
        "/chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    ),
    ("/empty", "HTTP/1.1 204 No Content\r\n\r\n"),
];

fn answer(target: &str) -> Vec<u8> {
    if target == "/many" {
        return format!(
            "{}{}",
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17),
            ok("a")
        )
        .into_bytes();
    }
    let known = ANSWERS.iter().find(|(known, _)| *known == target);
    known.unwrap().1.as_bytes().to_vec()
}

/// A client, with somebody who listens to everything or with nobody.
fn client(is_heard: bool) -> (Client, Option<Events>) {
    if !is_heard {
        return (Client::builder().build().unwrap(), None);
    }
    let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
    let client = Client::builder().observe(observer).build().unwrap();
    (client, Some(events))
}

/// The same target twice by one client; and how many requests that took.
fn twice(target: &str, door: Door, is_heard: bool) -> (Vec<Outcome>, usize) {
    let script = Script::new().respond_with(|request| answer(request.target()));
    let peer = Peer::builder().script(script).start().unwrap();
    let (client, _events) = client(is_heard);
    let outcomes = door(&client, &peer.url(target));
    drop(client);
    (outcomes, peer.request_count())
}

#[test]
fn a_call_comes_to_the_same_whether_somebody_listens_or_not() {
    let targets = ANSWERS.iter().map(|(target, _)| *target).chain(["/many"]);
    for target in targets {
        let heard = twice(target, DOORS[0], true);
        for door in DOORS {
            assert_eq!(twice(target, door, false), heard, "{target}");
            assert_eq!(twice(target, door, true), heard, "{target}");
        }
    }
    let (outcomes, requests) = twice("/moved", DOORS[1], false);
    let hints = |reused| Ok((200, b"hints".to_vec(), 1, reused));
    assert_eq!(outcomes, [hints(true), hints(true)]);
    assert_eq!(requests, 4);
}
