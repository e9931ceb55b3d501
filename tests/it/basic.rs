//! The main job.

use std::io::Read;

use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, event};

#[test]
fn a_get_is_answered_and_the_connection_used_again() {
    let peer = Peer::start(
        Script::new()
            .respond_with(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
    )
    .unwrap();
    let (observer, events) = event::channel(1024);
    let client = Client::builder().observe(observer).build().unwrap();
    for round in 0..3 {
        let mut response = client.get(&peer.url("/x?y")).unwrap().send().unwrap();
        let mut body = String::new();
        response.read_to_string(&mut body).unwrap();
        assert_eq!((response.status(), body.as_str()), (200, "hello"));
        assert_eq!(response.is_connection_reused(), round > 0);
    }
    assert_eq!(peer.connections(), 1);
    drop(client);
    let seen = check(&events);
    seen.assert_sequence([
        "got_conn reused=false",
        "put_idle_conn error=null",
        "got_conn reused=true",
    ]);
    peer.finish();
}

#[test]
fn a_request_refused_before_any_io_has_its_start_and_its_end() {
    let (observer, events) = event::channel(16);
    let client = Client::builder().observe(observer).build().unwrap();
    let request = client.get("http://example.com/").unwrap().body("content");
    let error = request.send().unwrap_err();
    assert!(error.is_local(), "{error}");
    drop(client);
    let seen = check(&events);
    seen.assert_kinds(&["client_start", "call_start", "call_done"]);
    let done = seen.one(event::EventKind::CallDone);
    assert!(
        done.payload_json()
            .contains(r#""error":{"kind":"local_request","phase":"prepare""#),
        "{done}"
    );
}
