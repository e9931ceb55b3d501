#![expect(
    clippy::disallowed_methods,
    reason = "a test has threads, sockets and times of its own"
)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::*;
use crate::testkit::{BlackHole, Gate, RefusedPort};

/// Long enough for a loaded machine, and never waited for if all is well.
const SOON: Duration = Duration::from_secs(10);
/// What "at once" may take on a loaded machine; far below the hard timeout.
const AT_ONCE: Duration = Duration::from_secs(5);

fn connect(peer: &Peer) -> TcpStream {
    let stream = TcpStream::connect(peer.addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

fn read_some(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).unwrap();
    bytes[..count].to_vec()
}

/// What `finish` panics with.
fn finish_panic(peer: Peer) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| peer.finish())).unwrap_err();
    *panic.downcast::<String>().unwrap()
}

/// Plays `script` against a client that sends `bytes` and closes its side; gives the failures.
fn failures(script: Script, bytes: &[u8]) -> Vec<String> {
    let peer = Peer::start(script).unwrap();
    let mut stream = connect(&peer);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    drop(read_all(stream));
    assert!(peer.wait_until_closed(SOON));
    peer.failures()
}

#[test]
fn requests_are_read_by_their_framing() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let peer = Peer::start(Script::new().repeat(3, Script::new().expect_request().send(ok)));
    let peer = peer.unwrap();
    let mut stream = connect(&peer);
    let sent: &[&[u8]] = &[
        b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
        b"PUT /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\n",
    ];
    stream.write_all(&sent.concat()).unwrap();
    assert_eq!(read_all(&stream), ok.repeat(3).as_bytes());

    let seen = peer.requests();
    let told: Vec<_> = seen
        .iter()
        .map(|seen| {
            (
                seen.method(),
                seen.target(),
                &seen.body[..],
                seen.is_complete,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("GET", "/a", &b""[..], true),
            ("POST", "/b", b"abc", true),
            ("PUT", "/c", b"de", true)
        ]
    );
    assert_eq!(seen[2].trailers, b"t: 1\r\n");
    assert_eq!(peer.received(), [sent.concat()]);
    peer.finish();
}

#[test]
fn expectations_that_hold_are_silent() {
    let table: &[(Script, &[u8])] = &[
        (Script::new().expect_bytes("abc").expect_eof(), b"abc"),
        (
            Script::new()
                .expect_contains("c")
                .expect_bytes("d")
                .expect_eof(),
            b"abcd",
        ),
        (
            Script::new().expect_head().expect_bytes("x").expect_eof(),
            b"G / H\r\n\r\nx",
        ),
        (Script::new().expect_gone(), b"whatever"),
        (
            Script::new().forever(Script::new().expect_request()),
            b"G / H\r\n\r\n",
        ),
        (
            Script::new()
                .forever(Script::new().expect_bytes("a"))
                .expect_eof(),
            b"aaa",
        ),
    ];
    for (script, bytes) in table {
        let told = failures(script.clone(), bytes);
        assert!(told.is_empty(), "{script:?}: {told:?}");
    }
}

#[test]
fn mismatches_say_what_and_where() {
    let table: &[(Script, &[u8], &str)] = &[
        (
            Script::new().expect_bytes("abd"),
            b"abc",
            "connection 0, step 0 (expect_bytes): expected \"abd\"; unread: \"abc\"",
        ),
        (
            Script::new().pause(Duration::ZERO).expect_request(),
            b"GET /",
            "connection 0, step 1 (expect_head): the client closed the connection; \
             unread: \"GET /\"",
        ),
        (
            Script::new().expect_eof(),
            b"x",
            "connection 0, step 0 (expect_eof): expected no more bytes; unread: \"x\"",
        ),
        (
            Script::new().forever(Script::new().expect_request()),
            b"G / H\r\n\r\nG",
            "connection 0, step 0 (expect_head): the client closed the connection; unread: \"G\"",
        ),
        (
            Script::new().repeat(2, Script::new().expect_bytes("a")),
            b"a",
            "connection 0, step 0 (expect_bytes): the client closed the connection",
        ),
        (
            Script::new().expect_request(),
            b"P / H\r\ncontent-length: x\r\n\r\n",
            "connection 0, step 1 (expect_body): content-length \"x\"",
        ),
        (
            Script::new()
                .expect_request()
                .reply_with(|_| panic!("no answer")),
            b"G / H\r\n\r\n",
            "connection 0, step 2 (reply_with): panicked: no answer",
        ),
        (
            Script::new().close_notify(),
            b"",
            "connection 0, step 0 (close_notify): needs TLS",
        ),
        (
            Script::new().start_tls(),
            b"",
            "connection 0, step 0 (start_tls): the peer has no TLS identity",
        ),
    ];
    for (script, bytes, expected) in table {
        assert_eq!(failures(script.clone(), bytes), [*expected], "{script:?}");
    }
}

#[test]
fn finish_panics_with_the_list_and_reads_what_was_sent() {
    let peer = Peer::start(Script::new().expect_bytes("a").expect_bytes("b")).unwrap();
    let mut stream = connect(&peer);
    stream.write_all(b"a").unwrap();
    let told = finish_panic(peer);
    assert!(
        told.ends_with(
            "- connection 0, step 1 (expect_bytes): the peer was finished before it came"
        ),
        "{told}"
    );

    let peer = Peer::start(Script::new().expect_bytes("ab").expect_eof()).unwrap();
    let mut stream = connect(&peer);
    stream.write_all(b"ab").unwrap();
    drop(stream);
    peer.finish();
}

#[test]
fn finish_leaves_an_idle_connection_in_peace() {
    let peer = Peer::start(Script::new().respond_with(|_| b"ok".to_vec())).unwrap();
    let mut stream = connect(&peer);
    stream.write_all(b"G / H\r\n\r\n").unwrap();
    assert_eq!(read_some(&stream), b"ok");
    let begun = Instant::now();
    peer.finish();
    assert!(begun.elapsed() < AT_ONCE);
    assert_eq!(read_all(stream), b"");
}

#[test]
fn answers_are_made_from_requests_until_somebody_says_close() {
    let script = Script::new().respond_with(|request| request.target().as_bytes().to_vec());
    let peer = Peer::start(script).unwrap();
    let mut stream = connect(&peer);
    for target in ["/1", "/2"] {
        write!(stream, "GET {target} HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(read_some(&stream), target.as_bytes());
    }
    write!(stream, "GET /3 HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(read_all(stream), b"/3");
    peer.finish();
}

#[test]
fn segments_of_any_size_arrive_whole() {
    for segment_bytes in [0, 1, 2, 3, 100] {
        let script = Script::new()
            .send_each("abc", segment_bytes)
            .send("")
            .send("d");
        let peer = Peer::start(script).unwrap();
        assert_eq!(read_all(connect(&peer)), b"abcd");
        peer.finish();
    }
}

#[test]
fn gates_cut_a_response_where_the_test_says() {
    let (first, second) = (Gate::new(), Gate::new());
    let script = Script::new()
        .send("a")
        .open_gate(first.clone())
        .wait_for(second.clone())
        .send("b")
        .close();
    let peer = Peer::start(script).unwrap();
    let stream = connect(&peer);
    assert!(first.wait(SOON));
    assert_eq!(read_some(&stream), b"a");
    stream.set_nonblocking(true).unwrap();
    assert_eq!(
        (&stream).read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    stream.set_nonblocking(false).unwrap();
    second.open();
    assert_eq!(read_all(stream), b"b");
    peer.finish();
}

#[test]
fn a_reset_is_seen_as_one() {
    let peer = Peer::start(Script::new().expect_bytes("x").reset()).unwrap();
    let mut stream = connect(&peer);
    stream.write_all(b"x").unwrap();
    assert_eq!(
        stream.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    peer.finish();
}

#[test]
fn a_close_is_a_fin_even_with_unread_bytes() {
    let gate = Gate::new();
    let peer = Peer::start(Script::new().wait_for(gate.clone()).send("late").close()).unwrap();
    let mut stream = connect(&peer);
    stream.write_all(b"nobody asked for this").unwrap();
    gate.open();
    assert_eq!(read_all(&stream), b"late");
    assert!(peer.wait_until_closed(SOON));
    assert_eq!(peer.received(), [b"nobody asked for this"]);
}

#[test]
fn a_close_after_reading_stopped_is_a_reset() {
    let gate = Gate::new();
    let peer = Peer::start(Script::new().stop_reading().wait_for(gate.clone()).close()).unwrap();
    let mut stream = connect(&peer);
    stream.write_all(b"unread").unwrap();
    gate.open();
    assert_eq!(
        stream.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_half_close_still_reads() {
    let peer = Peer::start(Script::new().half_close().expect_bytes("x").expect_eof()).unwrap();
    let mut stream = connect(&peer);
    assert_eq!(read_all(&stream), b"");
    stream.write_all(b"x").unwrap();
    drop(stream);
    peer.finish();
}

#[test]
fn an_echo_ends_with_the_client() {
    let script = Script::new().expect_head().send("101\r\n").echo().send("!");
    let peer = Peer::start(script).unwrap();
    let mut stream = connect(&peer);
    stream.write_all(b"G / H\r\n\r\nearly").unwrap();
    stream.write_all(b" late").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(stream), b"101\r\nearly late!");
    peer.finish();
}

#[test]
fn a_peer_that_stops_reading_blocks_the_client() {
    let peer = Peer::builder()
        .receive_buffer_bytes(4096)
        .script(Script::new().stop_reading().stall())
        .start()
        .unwrap();
    let mut stream = connect(&peer);
    stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let error = stream.write_all(&vec![b'x'; 64 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn big_bodies_flow_both_ways() {
    const BYTES: u64 = 64 << 20;
    let shared: Arc<[u8]> = vec![b'y'; 1 << 20].into();
    let script = Script::new()
        .expect_request()
        .send_repeated(b'x', BYTES)
        .repeat(2, Script::new().send_shared(shared));
    let peer = Peer::builder()
        .keep_bodies(false)
        .script(script)
        .start()
        .unwrap();
    let mut stream = connect(&peer);
    write!(stream, "POST / HTTP/1.1\r\ncontent-length: {BYTES}\r\n\r\n").unwrap();
    let block = [b'z'; 1 << 16];
    for _ in 0..BYTES >> 16 {
        stream.write_all(&block).unwrap();
    }
    let count = io::copy(&mut stream, &mut io::sink()).unwrap();
    assert_eq!(count, BYTES + (2 << 20));
    let seen = &peer.requests()[0];
    assert_eq!((seen.body_bytes, seen.body.len()), (BYTES, 0));
    assert_eq!(peer.received(), [b""]);
    peer.finish();
}

#[test]
fn each_connection_has_its_script_and_the_last_one_stays() {
    let scripts = ["a", "b"].map(|text| Script::new().send(text));
    let peer = Peer::builder()
        .scripts(scripts)
        .max_connections(3)
        .start()
        .unwrap();
    for expected in ["a", "b", "b"] {
        assert_eq!(read_all(connect(&peer)), expected.as_bytes());
    }
    assert!(peer.wait_for_connection(3, SOON));
    assert_eq!(peer.connections(), 3);
    // The listener closes right after the third accept; a connection in between is reset.
    let refused = || TcpStream::connect(peer.addr()).is_err();
    let begun = Instant::now();
    while !refused() {
        assert!(begun.elapsed() < SOON);
    }
    peer.finish();
}

#[test]
fn urls_name_the_peer() {
    let peer = Peer::start(Script::new()).unwrap();
    let port = peer.addr().port();
    assert_eq!(peer.url("/a"), format!("http://127.0.0.1:{port}/a"));
    assert_eq!(peer.https_url("/"), format!("https://127.0.0.1:{port}/"));
    let peer = Peer::builder().host("localhost").start().unwrap();
    assert!(peer.url("/").starts_with("http://localhost:"));
    if let Ok(peer) = Peer::builder().bind("[::1]:0".parse().unwrap()).start() {
        assert!(peer.url("/").starts_with("http://[::1]:"));
    }
}

#[test]
fn waits_say_whether_it_came() {
    let peer = Peer::start(Script::new().expect_request().stall()).unwrap();
    assert!(!peer.wait_for_connection(1, Duration::from_millis(1)));
    let mut stream = connect(&peer);
    assert!(peer.wait_for_connection(1, SOON));
    assert!(!peer.wait_for_request(1, Duration::from_millis(1)));
    stream.write_all(b"G / H\r\n\r\n").unwrap();
    assert!(peer.wait_for_request(1, SOON));
    assert_eq!((peer.request_count(), peer.open_connections()), (1, 1));
    assert!(!peer.wait_until_closed(Duration::from_millis(1)));
    drop(stream);
    assert!(peer.wait_until_closed(SOON));
    peer.finish();
}

/// How many threads of this process serve this peer.
fn threads_of(port: u16) -> usize {
    let name = format!("peer-{port}\n");
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| *found == name).count()
}

#[test]
fn dropping_a_peer_interrupts_everything_and_leaves_no_thread() {
    let long = Duration::from_secs(60);
    let scripts = [
        Script::new().expect_head(),
        Script::new().expect_eof(),
        Script::new().stall(),
        Script::new().stop_reading().stall(),
        Script::new().pause(long).pause(long),
        Script::new().wait_for(Gate::new()),
        Script::new().echo(),
        Script::new().send_repeated(0, u64::MAX),
        Script::new().half_close().expect_gone(),
        Script::new().forever(Script::new()),
    ];
    let count = scripts.len();
    let begun = scripts.each_ref().map(|_| Gate::new());
    let scripts = scripts.into_iter().zip(&begun);
    let scripts =
        scripts.map(|(script, gate)| Script::new().open_gate(gate.clone()).followed_by(script));
    let peer = Peer::builder().scripts(scripts).start().unwrap();
    let port = peer.addr().port();
    let streams: Vec<_> = (0..count).map(|_| connect(&peer)).collect();
    assert!(begun.iter().all(|gate| gate.wait(SOON)));
    assert_eq!(threads_of(port), count + 1);
    let begun = Instant::now();
    drop(peer);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    // A joined thread may stand in the list a moment longer.
    while threads_of(port) > 0 {
        assert!(begun.elapsed() < SOON);
    }
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    drop(streams);
}

#[test]
fn threads_of_ended_connections_do_not_pile_up() {
    let peer = Peer::start(Script::new()).unwrap();
    for _ in 0..200 {
        drop(read_all(connect(&peer)));
    }
    assert!(peer.wait_until_closed(SOON));
    assert!(peer.shared.take_threads().len() <= 100);
}

#[test]
fn a_black_hole_does_not_answer() {
    let hole = BlackHole::start().unwrap();
    for _ in 0..2 {
        let error = TcpStream::connect_timeout(&hole.addr(), Duration::from_millis(300));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}

#[test]
fn a_refused_port_refuses_and_stays_taken() {
    let refused = RefusedPort::reserve().unwrap();
    let error = TcpStream::connect(refused.addr()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(Peer::builder().bind(refused.addr()).start().is_err());
}

#[cfg(all(feature = "tls", feature = "ring"))]
mod tls;
