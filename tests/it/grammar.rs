//! Real exchanges, each judged by the grammar: whatever happens, the events are a legal stream.

use std::io::Read;
use std::time::Duration;

use wirescope::event::grammar::Grammar;
use wirescope::event::{EventKind, Interest, Overflow, channel_with};
use wirescope::testkit::check::{Checked, check_with};
use wirescope::testkit::{Peer, RefusedPort, Script};
use wirescope::{Client, ErrorKind};

/// Runs calls of a new client and checks what its observer of everything was told.
fn told(calls: impl FnOnce(&Client)) -> Checked {
    let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
    let client = Client::builder().observe(observer).build().unwrap();
    calls(&client);
    drop(client);
    let mut all = Grammar::new().strict_seq();
    let seen = check_with(all.clone(), &events);
    for event in seen.iter() {
        all.event(event).unwrap();
    }
    if let Err(violation) = all.finish_all() {
        panic!("{violation}\n{}", seen.transcript());
    }
    seen
}

fn answering(answer: &'static str) -> Peer {
    Peer::start(Script::new().respond_with(move |_| answer.as_bytes().to_vec())).unwrap()
}

#[test]
fn get_chunked_with_trailer_and_interim_response() {
    let peer = answering(
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    );
    let seen = told(|client| {
        for _ in 0..2 {
            let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
            assert_eq!(response.text(100).unwrap(), "abc");
        }
    });
    seen.assert_sequence([
        "got_conn reused=false",
        "got_1xx_response status=103",
        "got_trailer_field name=X-T",
        "put_idle_conn error=null",
        "got_conn reused=true was_idle=true",
        "call_done status=200",
        "conn_closed reason=client_dropped",
    ]);
}

#[test]
fn head_and_a_close() {
    let peer = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
    let seen = told(|client| drop(client.head(&peer.url("/")).unwrap().send().unwrap()));
    seen.assert_sequence([
        "put_idle_conn error=peer_close",
        "conn_closed",
        "attempt_done",
    ]);
}

#[test]
fn body_until_close() {
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\n\r\nhello")
            .close(),
    )
    .unwrap();
    let seen = told(|client| {
        let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
        assert_eq!(response.text(100).unwrap(), "hello");
    });
    seen.assert_sequence(["response_body_done how=delimited_by_close", "put_idle_conn"]);
}

#[test]
fn posts_with_and_without_expect() {
    let peer = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let seen = told(|client| {
        let post = |body: Vec<u8>| client.post(&peer.url("/")).unwrap().body(body);
        post(vec![b'x'; 100_000]).send().unwrap();
        let chunked = client.post(&peer.url("/")).unwrap();
        chunked.body_reader(&b"some bytes"[..]).send().unwrap();
    });
    assert_eq!(seen.matching("wrote_request error=null").len(), 2);
}

#[test]
fn expect_continue_answered_timed_out_and_refused() {
    let answered = Peer::start(
        Script::new()
            .expect_head()
            .send("HTTP/1.1 100 Continue\r\n\r\n")
            .expect_body()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    );
    let silent = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    );
    let refusing = Peer::start(
        Script::new()
            .expect_head()
            .send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
    );
    let peers = [answered, silent, refusing].map(|peer| peer.unwrap());
    let seen = told(|client| {
        for peer in &peers {
            let post = client.post(&peer.url("/")).unwrap().body(*b"body");
            post.expect_continue().send().unwrap();
        }
    });
    seen.assert_sequence([
        "got_100_continue",
        "expect_done outcome=continue",
        "timeout_fired timer=expect",
        "expect_done outcome=timed_out",
        "expect_done outcome=final_response",
        "wrote_request error=body_skipped",
        "call_done status=413",
    ]);
}

#[test]
fn early_response_and_unfinished_upload() {
    let peer = Peer::start(
        Script::new()
            .expect_head()
            .send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            .stall(),
    )
    .unwrap();
    let seen = told(|client| {
        let post = client.post(&peer.url("/")).unwrap();
        if let Ok(mut response) = post.body(vec![b'x'; 30_000_000]).send() {
            let _ = response.text(100);
        }
    });
    seen.assert_sequence(["request_body_done aborted=true", "call_done"]);
}

#[test]
fn failures_on_every_phase() {
    let refused = RefusedPort::reserve().unwrap();
    let scripts = [
        Script::new().expect_request().close(),
        Script::new().expect_request().reset(),
        Script::new().expect_request().send("HTTP/1.1 200").close(),
        Script::new().expect_request().send("nonsense\r\n\r\n"),
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
            .close(),
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"),
    ];
    let peers = scripts.map(|script| Peer::start(script).unwrap());
    let seen = told(|client| {
        let url = format!("http://{}/", refused.addr());
        assert!(client.get(&url).unwrap().send().is_err());
        for peer in &peers {
            let get = client.get(&peer.url("/")).unwrap();
            let mut text = String::new();
            let result = get
                .send()
                .map(|mut response| response.read_to_string(&mut text));
            assert!(matches!(result, Err(_) | Ok(Err(_))));
        }
    });
    assert_eq!(seen.calls().len(), 7);
    seen.assert_sequence(["get_conn_failed kind=connect", "call_done kind=connect"]);
}

#[test]
fn timeouts_and_drops() {
    let stalled = Peer::start(Script::new().expect_request().stall()).unwrap();
    let in_body = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
            .stall(),
    )
    .unwrap();
    let limit = Duration::from_millis(50);
    let seen = told(|client| {
        let get = client.get(&stalled.url("/")).unwrap().timeout(limit);
        let error = get.send().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout(_)), "{error}");
        let get = client.get(&in_body.url("/")).unwrap();
        drop(get.send().unwrap());
    });
    seen.assert_sequence([
        "timeout_fired timer=total",
        "call_done kind=timeout",
        "response_body_done how=closed_early",
        "put_idle_conn error=body_not_read",
    ]);
}

#[test]
fn a_canceled_call() {
    let peer = Peer::start(Script::new().expect_request().stall()).unwrap();
    let seen = told(|client| {
        let mut get = client.get(&peer.url("/")).unwrap();
        let handle = get.cancel_handle();
        let canceler = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            handle.cancel();
        });
        assert!(get.send().unwrap_err().is_canceled());
        canceler.join().unwrap();
    });
    seen.assert_sequence(["call_canceled by=caller", "put_idle_conn error=canceled"]);
}

#[test]
fn pieces_of_a_chunked_upload_count_content_and_not_its_framing() {
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 204 No Content\r\n\r\n"),
    )
    .unwrap();
    let seen = told(|client| {
        let body = std::io::repeat(b'x').take(16_383);
        let request = client.put(&peer.url("/")).unwrap().body_reader(body);
        assert_eq!(request.send().unwrap().status(), 204);
    });
    // With its framing the only chunk has more than the 16 KiB that are worth an event.
    seen.none(EventKind::RequestBodyChunk);
    peer.finish();
}
