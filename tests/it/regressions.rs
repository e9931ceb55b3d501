//! Bugs that were, each by its name.

use std::io::Read;

use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};

use crate::support::watched;

#[test]
fn trailers_in_the_first_segment_come_behind_the_start_of_the_body() {
    let peer = Peer::start(Script::new().expect_request().send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n",
    ))
    .unwrap();
    let (client, events) = watched(|builder| builder);
    let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
    let mut body = String::new();
    response.read_to_string(&mut body).unwrap();
    assert_eq!(body, "hello");
    drop((response, client));
    check(&events).assert_sequence([
        "response_body_start",
        "got_trailer_field name=X-End",
        "response_body_done bytes=5",
    ]);
    peer.finish();
}

#[test]
fn a_response_behind_a_failed_upload_is_not_early() {
    let peer = Peer::builder()
        .script(
            Script::new()
                .expect_head()
                .stop_reading()
                .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
                .close(),
        )
        .start()
        .unwrap();
    let (client, events) = watched(|builder| builder);
    let request = client.post(&peer.url("/")).unwrap();
    let response = request.body(vec![0; 8 * 1024 * 1024]).send().unwrap();
    assert_eq!(response.status(), 413);
    drop((response, client));
    check(&events);
}

#[test]
fn a_failed_connect_leaves_no_socket_in_the_cancel_handle() {
    use wirescope::testkit::RefusedPort;
    let refused = RefusedPort::reserve().unwrap();
    let (client, events) = watched(|builder| builder);
    let mut request = client.get(&format!("http://{}/", refused.addr())).unwrap();
    let handle = request.cancel_handle();
    assert!(request.send().unwrap_err().is_connect());
    let shown = format!("{handle:?}");
    assert!(shown.contains("Nothing"), "{shown}");
    drop(client);
    check(&events);
}
