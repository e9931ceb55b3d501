//! A final response that comes while the request is still being sent is delivered, whatever follows it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wirescope::config::EarlyResponse;
use wirescope::event::EventKind;
use wirescope::testkit::check::check;
use wirescope::testkit::{Gate, Peer, Script};
use wirescope::{ErrorKind, Request};

use crate::harness::{Lab, PATIENCE, SHORT, authority, echo_target, ok, run, trusting};
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

/// Bytes that no pair of socket buffers holds.
const BIG: usize = 24 << 20;

/// A peer that takes the head, then reads nothing until it is told to.
fn deaf_peer(script: Script) -> wirescope::testkit::PeerBuilder {
    Peer::builder()
        .scripts([script, echo_target()])
        .receive_buffer_bytes(16 * 1024)
}

#[test]
fn rfc_b22_rfc_b23_an_early_response_that_closes_stops_the_upload_at_once() {
    let answer = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let script = Script::new().expect_head().send(answer).expect_gone();
    for source in [false, true] {
        let lab = Lab::with(deaf_peer(script.clone()), |client| client);
        let request = lab.request("POST", "/");
        let request = if source {
            request.body_reader(io::repeat(b'x'))
        } else {
            request.body(vec![b'x'; BIG])
        };
        let got = run(request).unwrap();
        assert_eq!((got.status, got.text()), (413, "no"));
        assert!(!lab.get("/").unwrap().reused);
        assert!(lab.peer.received()[0].len() < BIG);
        let seen = lab.finish();
        seen.assert_sequence([
            "got_first_response_byte",
            "final_response_start early=true",
            "got_response_head status=413 close=peer_close",
            "request_body_done aborted=true",
            "wrote_request error=response_ended",
            "response_body_done how=complete",
            "put_idle_conn error=peer_close",
            "conn_closed by=local",
            "call_done status=413 error=null",
        ]);
    }
}

#[test]
fn rfc_b24_p19_an_upload_goes_on_behind_an_early_response_while_it_is_read() {
    let script = Script::new()
        .expect_head()
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        .expect_body()
        .send("ok")
        .followed_by(echo_target());
    let lab = Lab::with(deaf_peer(script), |client| client);
    let got = run(lab.request("POST", "/").body(vec![b'x'; BIG])).unwrap();
    assert_eq!(got.text(), "ok");
    assert_eq!(lab.peer.requests()[0].body_bytes, BIG as u64);
    assert!(lab.get("/").unwrap().reused);
    let seen = lab.finish();
    seen.assert_sequence([
        "final_response_start early=true",
        "wrote_request error=null",
        "response_body_done how=complete",
        "put_idle_conn error=null",
    ]);
}

#[test]
fn rfc_b24_p19_the_end_of_an_early_response_does_not_wait_for_the_upload() {
    for early in [EarlyResponse::Finish, EarlyResponse::Abort] {
        let gate = Gate::new();
        let script = Script::new()
            .expect_head()
            .send(ok("early"))
            .wait_for(gate.clone())
            .expect_gone();
        let lab = Lab::with(deaf_peer(script), |client| client.early_response(early));
        let got = run(lab.request("POST", "/").body(vec![b'x'; BIG])).unwrap();
        assert_eq!(got.text(), "early");
        gate.open();
        let seen = lab.finish();
        seen.assert_sequence([
            "final_response_start early=true",
            "put_idle_conn error=upload_unfinished",
            "conn_closed reason=upload_unfinished by=local",
            "call_done status=200 error=null",
        ]);
        seen.assert_sequence([
            "request_body_done aborted=true",
            "wrote_request error=response_ended",
        ]);
    }
}

#[test]
fn rfc_b24_a_source_is_not_asked_again_behind_an_early_response() {
    struct Counted(Arc<AtomicU64>);
    impl Read for Counted {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::SeqCst);
            into.fill(b'x');
            Ok(into.len())
        }
    }
    let reads = Arc::default();
    let gate = Gate::new();
    let script = Script::new()
        .expect_head()
        .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        .wait_for(gate.clone())
        .expect_contains("xxx")
        .send("early")
        .expect_gone();
    let lab = Lab::with(deaf_peer(script), |client| client);
    let source = Counted(Arc::clone(&reads));
    let mut response = lab.request("POST", "/").body_reader(source).send().unwrap();
    let before = reads.load(Ordering::SeqCst);
    gate.open();
    assert_eq!(response.text(10).unwrap(), "early");
    assert_eq!(reads.load(Ordering::SeqCst), before);
    drop(response);
    let seen = lab.finish();
    seen.assert_sequence(["put_idle_conn error=upload_unfinished"]);
}

#[test]
fn rfc_b22_e13_a_response_wins_over_the_error_of_the_upload() {
    let answer = "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let script = Script::new()
        .stop_reading()
        .expect_head()
        .send(answer)
        .close();
    for _ in 0..20 {
        let lab = Lab::with(deaf_peer(script.clone()), |client| client);
        let got = run(lab.request("POST", "/").body(vec![b'x'; BIG]));
        match got {
            Ok(got) => assert_eq!((got.status, got.text()), (401, "no")),
            // The reset may overtake the answer in the kernel, which then has thrown it away.
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error:?}"),
        }
        lab.finish();
    }
}

/// A source that is slower than the network: the kernel always has room for what it gives.
struct Slow {
    answered: Gate,
    reads: Arc<AtomicU64>,
}

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.reads.fetch_add(1, Ordering::SeqCst) == 1 {
            assert!(self.answered.wait(PATIENCE));
        }
        into[0] = b'x';
        Ok(1)
    }
}

/// The peer was looked at only when the kernel took no more, which a slow source never brings about.
#[test]
fn rfc_b22_an_early_response_is_seen_between_the_pieces_of_a_slow_source() {
    const LENGTH: u64 = 1 << 16;
    for (is_tls, length) in [(false, None), (false, Some(LENGTH)), (true, None)] {
        let answered = Gate::new();
        let script = Script::new()
            .expect_head()
            .send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            .open_gate(answered.clone())
            .expect_gone();
        let lab = match is_tls {
            true => Lab::tls([script, echo_target()]),
            false => Lab::new([script, echo_target()]),
        };
        let reads = Arc::default();
        let source = Slow {
            answered,
            reads: Arc::clone(&reads),
        };
        let request = lab.request("POST", "/");
        let request = match length {
            Some(length) => request.body_sized_reader(source, length),
            None => request.body_reader(source.take(LENGTH)),
        };
        let got = run(request).unwrap();
        assert_eq!((got.status, got.text()), (413, "no"));
        // The second piece may have been begun before the answer came.
        assert!(reads.load(Ordering::SeqCst) <= 2);
        assert_eq!(lab.get("/second").unwrap().text(), "/second");
        let seen = lab.finish();
        seen.assert_sequence([
            "final_response_start early=true",
            "request_body_done aborted=true",
            "put_idle_conn error=upload_unfinished",
        ]);
    }
}

/// The limit of a write that got stuck went on while the response came, and ended it.
#[test]
fn a_write_stall_does_not_end_a_response_that_comes_early() {
    let drip = Script::new().pause(SHORT / 3).send("x");
    for (fields, is_source) in [("", false), ("", true), ("Connection: close\r\n", false)] {
        let head = format!("HTTP/1.1 413 Too Large\r\n{fields}Content-Length: 9\r\n\r\n");
        let script = Script::new()
            .expect_head()
            .stop_reading()
            .send(head)
            .repeat(9, drip.clone())
            .stall();
        let lab = Lab::with(deaf_peer(script), |client| {
            client.timeouts(|timeouts| timeouts.write_stall = Some(SHORT))
        });
        let request = lab.request("POST", "/");
        let request = match is_source {
            true => request.body_reader(io::repeat(b'x')),
            false => request.body(vec![b'x'; BIG]),
        };
        let got = run(request).unwrap();
        assert_eq!((got.status, got.text()), (413, "xxxxxxxxx"));
        let seen = lab.finish_unfollowed();
        seen.none(EventKind::TimeoutFired);
        seen.assert_sequence(["wrote_request error=response_ended"]);
    }
}

impl From {
    fn attach(self, request: Request, length: u64) -> Request {
        let source = io::repeat(b'x').take(length);
        match self {
            Self::Memory => request.body(vec![b'x'; length as usize]),
            Self::Reader => request.body_sized_reader(source, length),
            Self::Chunked => request.body_reader(source),
        }
    }
}

/// What a peer does that answers before it has read the upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It ends its side behind the answer and reads on.
    HalfCloses,
    /// The end of its side is the end of the answer.
    Delimits,
    /// It says that it closes, and reads on.
    SaysClose,
    /// It reads the upload to its end, then sends the rest of the answer.
    ReadsOn,
}

impl Manner {
    /// Its head comes while it reads nothing; the gate lets it go on.
    fn script(self, is_tls: bool, is_upload_whole: bool, gate: &Gate) -> Script {
        let head = match self {
            Self::HalfCloses | Self::ReadsOn => "Content-Length: 2\r\n",
            Self::SaysClose => "Connection: close\r\nContent-Length: 2\r\n",
            Self::Delimits => "",
        };
        let head = format!("HTTP/1.1 413 Too Large\r\n{head}\r\n");
        let script = Script::new()
            .expect_head()
            .send(head)
            .wait_for(gate.clone());
        let script = match self {
            Self::ReadsOn if is_upload_whole => script.expect_body().send("no"),
            _ => script.send("no"),
        };
        let script = match self {
            Self::HalfCloses | Self::Delimits if is_tls => script.close_notify().half_close(),
            Self::HalfCloses | Self::Delimits => script.half_close(),
            Self::SaysClose | Self::ReadsOn => script,
        };
        match self {
            Self::ReadsOn if is_upload_whole => script.followed_by(echo_target()),
            _ => script.expect_gone(),
        }
    }
}

#[test]
fn rfc_b23_rfc_b24_any_early_response_is_whole_and_the_next_request_has_its_own() {
    let manners = [
        Manner::HalfCloses,
        Manner::Delimits,
        Manner::SaysClose,
        Manner::ReadsOn,
    ];
    for manner in manners {
        for from in [From::Memory, From::Reader, From::Chunked] {
            for early in [EarlyResponse::Finish, EarlyResponse::Abort] {
                for is_tls in [false, true] {
                    let point = format!("{manner:?}, {from:?}, {early:?}, tls {is_tls}");
                    let is_whole = manner == Manner::ReadsOn
                        && from == From::Memory
                        && early == EarlyResponse::Finish;
                    let gate = Gate::new();
                    let script = manner.script(is_tls, is_whole, &gate);
                    let mut peer = deaf_peer(script).keep_bodies(false);
                    if is_tls {
                        peer = peer.tls(authority().issue(&["127.0.0.1"]).unwrap());
                    }
                    let lab = Lab::with(peer, |client| {
                        client.early_response(early).tls(trusting(authority()))
                    });
                    let request = from.attach(lab.request("POST", "/first"), BIG as u64);
                    let mut response = request
                        .send()
                        .unwrap_or_else(|error| panic!("{point}: {error:?}"));
                    assert_eq!(response.status(), 413, "{point}");
                    gate.open();
                    assert_eq!(response.text(10).unwrap(), "no", "{point}");
                    drop(response);
                    let next = lab.get("/second").unwrap();
                    assert_eq!(next.text(), "/second", "{point}");
                    assert_eq!(next.reused, is_whole, "{point}");
                    let seen = lab.finish();
                    assert_eq!(seen.matching("final_response_start early=true").len(), 1);
                    let how = match manner {
                        Manner::Delimits => "response_body_done how=delimited_by_close bytes=2",
                        _ => "response_body_done how=complete bytes=2",
                    };
                    assert_eq!(seen.matching(how).len(), 1, "{point}");
                    let ended = seen.matching("wrote_request error=response_ended").len();
                    assert_eq!(ended, usize::from(!is_whole), "{point}");
                }
            }
        }
    }
}

#[test]
fn rfc_b24_cve_28_behind_a_status_that_did_not_wait_the_next_request_gets_its_own() {
    let mut reused = 0;
    for status in [200, 204, 302, 304, 401, 413, 500, 503] {
        for fields in ["", "Connection: close\r\n"] {
            for length in [1, 64 << 10, 4 << 20] {
                for from in [From::Memory, From::Reader, From::Chunked] {
                    let point = format!("{status} {fields:?}, {length} bytes, {from:?}");
                    let (counted, content) = match status {
                        204 => ("", ""),
                        304 => ("Content-Length: 9\r\n", ""),
                        _ => ("Content-Length: 5\r\n", "first"),
                    };
                    let answer = format!("HTTP/1.1 {status} X\r\n{fields}{counted}\r\n{content}");
                    let script = Script::new().expect_head().send(answer).expect_body();
                    let script = script.followed_by(echo_target());
                    let lab = Lab::new([script, echo_target()]);
                    let got = run(from.attach(lab.request("POST", "/first"), length)).unwrap();
                    assert_eq!((got.status, got.text()), (status, content), "{point}");
                    let next = lab.get("/second").unwrap();
                    assert_eq!(next.text(), "/second", "{point}");
                    reused += usize::from(next.reused);
                    assert!(!next.reused || fields.is_empty(), "{point}");
                    // Whether the upload was whole before the answer came is a matter of time.
                    let seen = lab.finish_unfollowed();
                    let kept = seen.matching("wrote_request error=null").len() == 2;
                    assert!(kept || !next.reused, "{point}");
                }
            }
        }
    }
    println!("{reused} connections were used again");
}
