//! Attempts that are made again without asking, and those that are not.

use std::io;

use wirescope::event::EventKind;
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, ErrorKind, Request};

use crate::support::watched;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A peer that serves one request and closes its first connection without a word when the second comes; its
/// later connections answer.
fn dying() -> Peer {
    let first = Script::new().expect_request().send(OK);
    Peer::builder()
        .scripts([
            first.expect_request().close(),
            Script::new().respond_with(|_| OK.into()),
        ])
        .start()
        .unwrap()
}

fn used(client: &Client, peer: &Peer) {
    let mut response = client.get(&peer.url("/first")).unwrap().send().unwrap();
    assert_eq!(response.collect(100).unwrap(), b"ok");
}

fn targets(peer: &Peer) -> Vec<String> {
    let requests = peer.requests();
    requests
        .iter()
        .map(|request| request.target().to_owned())
        .collect()
}

/// Sends a request over a connection that dies, and gives its error.
fn refused(make: impl Fn(&Client, &str) -> Request, retries: u16) -> (ErrorKind, usize) {
    let peer = dying();
    let (client, events) = watched(|builder| builder.retries(retries));
    used(&client, &peer);
    let error = make(&client, &peer.url("/second")).send().unwrap_err();
    drop(client);
    check(&events).none(EventKind::Retry);
    (error.kind(), targets(&peer).len())
}

#[test]
fn r01_a_get_on_a_connection_that_dies_is_made_again_once() {
    let peer = dying();
    let (client, events) = watched(|builder| builder);
    used(&client, &peer);
    let mut response = client.get(&peer.url("/second")).unwrap().send().unwrap();
    assert_eq!(response.collect(100).unwrap(), b"ok");
    assert!(!response.is_connection_reused());
    let timings = response.timings();
    assert!(timings.phases().retry.is_some());
    drop((response, client));
    let seen = check(&events);
    seen.assert_sequence([
        "got_conn reused=true",
        "wrote_request error=null",
        "put_idle_conn error=connection_lost",
        "conn_closed reason=connection_lost",
        "attempt_done retry=idle_connection_died",
        "retry rule=idle_connection_died next=1",
        "get_conn",
        "got_conn reused=false",
        "attempt_done retry=null",
        "call_done attempts=2",
    ]);
    assert_eq!(targets(&peer), ["/first", "/second", "/second"]);
}

#[test]
fn r02_a_post_is_not_made_again_and_the_error_says_why() {
    let peer = dying();
    let (client, events) = watched(|builder| builder);
    used(&client, &peer);
    let error = client
        .post(&peer.url("/second"))
        .unwrap()
        .body("x")
        .send()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerClosed);
    assert_eq!(error.connection_reused(), Some(true));
    assert_eq!(
        error.repeat(),
        wirescope::error::Repeat::MayHaveBeenProcessed
    );
    assert!(!error.may_retry());
    drop(client);
    check(&events).none(EventKind::Retry);
    assert_eq!(targets(&peer), ["/first", "/second"]);
}

#[test]
fn r03_a_post_with_an_idempotency_key_is_made_again_with_its_body() {
    let peer = dying();
    let (client, events) = watched(|builder| builder);
    used(&client, &peer);
    let request = client
        .post(&peer.url("/second"))
        .unwrap()
        .header("Idempotency-Key", "1");
    let status = request.unwrap().body("hello").send().unwrap().status();
    assert_eq!(status, 200);
    drop(client);
    assert_eq!(check(&events).only(EventKind::Retry).len(), 1);
    let bodies: Vec<_> = peer
        .requests()
        .iter()
        .map(|request| request.body.clone())
        .collect();
    assert_eq!(bodies, [&b""[..], b"hello", b"hello"]);
}

#[test]
fn r03_an_error_says_by_the_same_rule_whether_a_repeat_is_safe() {
    let peer = Peer::start(Script::new().expect_request().close()).unwrap();
    let (client, events) = watched(|builder| builder);
    let request = client.post(&peer.url("/")).unwrap().body("x");
    let error = request.header("Idempotency-Key", "1").unwrap().send();
    assert!(error.unwrap_err().may_retry());
    drop(client);
    check(&events).none(EventKind::Retry);
}

#[test]
fn r05_r10_a_body_that_is_gone_and_a_policy_that_is_off_are_not_repeated() {
    let streamed =
        |client: &Client, url: &str| client.put(url).unwrap().body_reader(io::Cursor::new("x"));
    assert_eq!(refused(streamed, 1), (ErrorKind::PeerClosed, 2));
    let get = |client: &Client, url: &str| client.get(url).unwrap();
    assert_eq!(refused(get, 0), (ErrorKind::PeerClosed, 2));
}

#[test]
fn r06_a_fresh_connection_is_not_tried_again() {
    let peer = Peer::start(Script::new().expect_request().close()).unwrap();
    let (client, events) = watched(|builder| builder.retries(5));
    let error = client.get(&peer.url("/")).unwrap().send().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerClosed);
    drop(client);
    check(&events).none(EventKind::Retry);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn r07_an_error_behind_the_first_byte_is_not_tried_again() {
    let scripts = Script::new()
        .expect_request()
        .send(OK)
        .expect_request()
        .send("HTTP/1.1 200")
        .close();
    let peer = Peer::start(scripts).unwrap();
    let (client, events) = watched(|builder| builder);
    used(&client, &peer);
    let error = client
        .get(&peer.url("/second"))
        .unwrap()
        .send()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerIncompleteHead { received: 12 });
    drop(client);
    check(&events).none(EventKind::Retry);
}
