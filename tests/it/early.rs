//! A final response that comes while the request is still being sent is delivered, whatever follows it.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use wirescope::Request;
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};

use crate::support::{trusted, watched};

const UPLOAD: usize = 64 * 1024 * 1024;
const ROUNDS: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Memory,
    Reader,
    Chunked,
}

/// Refuses the k-th upload: at once or after some of it, with or without `Connection: close`, and resets the
/// connection at once or a little later.
fn refusal(round: usize, from: From) -> Script {
    let close = ["", "Connection: close\r\n"][round % 2];
    let answer =
        format!("HTTP/1.1 413 Content Too Large\r\n{close}Content-Length: 9\r\n\r\ntoo large");
    let mut script = Script::new().expect_head();
    if round % 3 == 1 && from != From::Chunked {
        script = script.expect_bytes(vec![b'x'; 300_000]);
    }
    script = script.stop_reading().send(answer);
    if round % 5 == 4 {
        script = script.pause(Duration::from_millis(3));
    }
    script.close()
}

fn uploads(is_tls: bool, from: From) {
    let scripts = (0..ROUNDS).map(|round| refusal(round, from));
    let (identity, tls) = trusted();
    let mut peer = Peer::builder().scripts(scripts).keep_bodies(false);
    if is_tls {
        peer = peer.tls(identity);
    }
    let peer = peer.start().unwrap();
    let (client, events) = watched(|builder| builder.tls(tls));
    let bytes: Arc<[u8]> = match from {
        From::Memory => vec![b'x'; UPLOAD].into(),
        From::Reader | From::Chunked => Arc::from([]),
    };
    let with_body = |request: Request| match from {
        From::Memory => request.body_shared(bytes.clone()),
        From::Reader => {
            request.body_sized_reader(io::repeat(b'x').take(UPLOAD as u64), UPLOAD as u64)
        }
        From::Chunked => request.body_reader(io::repeat(b'x').take(UPLOAD as u64)),
    };
    for round in 0..ROUNDS {
        let request = with_body(client.post(&peer.url("/")).unwrap());
        let mut response = request
            .send()
            .unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        assert_eq!(response.status(), 413, "round {round}");
        let mut body = String::new();
        response
            .read_to_string(&mut body)
            .unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        assert_eq!(body, "too large", "round {round}");
    }
    drop(client);
    let seen = check(&events);
    assert_eq!(
        seen.matching("call_done status=413 error=null").len(),
        ROUNDS
    );
    assert!(seen.matching("put_idle_conn error=null").is_empty());
}

#[test]
fn an_early_413_is_delivered_over_tcp_from_memory() {
    uploads(false, From::Memory);
}

#[test]
fn an_early_413_is_delivered_over_tcp_from_a_reader() {
    uploads(false, From::Reader);
    uploads(false, From::Chunked);
}

#[test]
fn an_early_413_is_delivered_over_tls_from_memory() {
    uploads(true, From::Memory);
}

#[test]
fn an_early_413_is_delivered_over_tls_from_a_reader() {
    uploads(true, From::Reader);
    uploads(true, From::Chunked);
}
