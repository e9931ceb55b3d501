//! Bugs that were, each by its name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use wirescope::error::Timer;
use wirescope::testkit::check::check;
use wirescope::testkit::{Gate, Peer, Script};
use wirescope::{ErrorKind, Phase};

use crate::support::{Server, trusted, watched};

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
    assert!(shown.contains("first: None, others: []"), "{shown}");
    drop(client);
    check(&events);
}

#[test]
fn the_end_of_the_wait_for_a_100_is_told_as_a_timeout_first() {
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 204 No Content\r\n\r\n"),
    )
    .unwrap();
    let (client, events) = watched(|builder| builder);
    let request = client.post(&peer.url("/")).unwrap().body("x");
    let request = request.timeouts(|timeouts| timeouts.expect = Duration::from_millis(5));
    let response = request.expect_continue().send().unwrap();
    assert_eq!(response.status(), 204);
    drop((response, client));
    check(&events).assert_sequence([
        "wait_100_continue",
        "timeout_fired timer=expect",
        "expect_done outcome=timed_out",
        "request_body_start",
    ]);
    peer.finish();
}

#[test]
fn a_reset_that_a_send_was_told_of_is_no_end_of_a_close_delimited_body() {
    let peer = Peer::builder()
        .script(
            Script::new()
                .expect_head()
                .stop_reading()
                .send("HTTP/1.1 413 Content Too Large\r\n\r\ncut off he")
                .reset(),
        )
        .start()
        .unwrap();
    let (client, events) = watched(|builder| builder);
    let request = client.post(&peer.url("/")).unwrap();
    let mut response = request.body(vec![0; 8 * 1024 * 1024]).send().unwrap();
    assert_eq!(response.status(), 413);
    let error = response.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::ConnectionReset,
        "{error:?}"
    );
    drop((response, client));
    check(&events);
}

#[test]
fn a_dropped_response_that_is_complete_in_its_buffer_ends_its_call() {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let peer = Peer::start(Script::new().respond_with(|_| answer.into())).unwrap();
    let (client, events) = watched(|builder| builder);
    drop(client.get(&peer.url("/")).unwrap().send().unwrap());
    assert_eq!(client.connections(), (1, 0));
    drop(client);
    check(&events).assert_sequence([
        "response_body_done how=complete",
        "put_idle_conn error=null",
        "call_done error=null",
    ]);
    peer.finish();
}

#[test]
fn an_abort_at_the_end_of_the_body_counts() {
    use wirescope::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};

    struct Aborts;
    impl Observer for Aborts {
        fn interest(&self) -> Interest {
            Interest::NONE.with(EventKind::ResponseBodyDone)
        }
        fn on_event(&self, _: &Event) -> Verdict {
            Verdict::Abort("enough".into())
        }
    }

    let gate = Gate::new();
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            .wait_for(gate.clone())
            .send("hello")
            .expect_gone(),
    )
    .unwrap();
    let (client, events) = watched(|builder| builder.observe(ObserverRef::new(Aborts)));
    let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
    gate.open();
    let mut body = Vec::new();
    let error = response.read_to_end(&mut body).unwrap_err();
    assert_eq!(body, b"hello");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    drop((response, client));
    check(&events).assert_sequence([
        "response_body_done how=complete",
        "call_canceled by=observer",
        "put_idle_conn error=canceled",
        "call_done kind=aborted",
    ]);
    peer.finish();
}

#[test]
fn an_abort_at_the_head_makes_send_fail() {
    use wirescope::ErrorKind;
    use wirescope::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};

    struct Aborts;
    impl Observer for Aborts {
        fn interest(&self) -> Interest {
            Interest::NONE.with(EventKind::GotResponseHead)
        }
        fn on_event(&self, _: &Event) -> Verdict {
            Verdict::Abort("enough".into())
        }
    }

    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let peer = Peer::start(Script::new().expect_request().send(answer).expect_gone()).unwrap();
    let (client, events) = watched(|builder| builder.observe(ObserverRef::new(Aborts)));
    let error = client.get(&peer.url("/")).unwrap().send().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted);
    drop(client);
    check(&events);
    peer.finish();
}

#[test]
fn a_cancel_before_the_socket_is_registered_is_not_lost() {
    use std::time::{Duration, Instant};

    use wirescope::CancelHandle;
    use wirescope::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};
    use wirescope::testkit::BlackHole;

    struct Cancels(CancelHandle, EventKind);
    impl Observer for Cancels {
        fn interest(&self) -> Interest {
            Interest::NONE.with(self.1)
        }
        fn on_event(&self, _: &Event) -> Verdict {
            self.0.cancel();
            Verdict::Continue
        }
    }

    let hole = BlackHole::start().unwrap();
    let open = Gate::new();
    for (at, host) in [
        (EventKind::CallStart, "literal"),
        (EventKind::PoolLookup, "literal"),
        (EventKind::DialStart, "literal"),
        (EventKind::ConnectStart, "literal"),
        (EventKind::DialStart, "slow.example"),
        (EventKind::DnsStart, "slow.example"),
    ] {
        let gate = open.clone();
        let resolver = wirescope::resolver::from_fn(move |_| {
            assert!(gate.wait(Duration::from_secs(10)));
            Ok(Vec::new())
        });
        let (client, events) = watched(|builder| builder.resolver(resolver));
        let url = match host {
            "literal" => format!("http://{}/", hole.addr()),
            name => format!("http://{name}/"),
        };
        let handle = CancelHandle::default();
        let observer = ObserverRef::new(Cancels(handle.clone(), at));
        let request = client.get(&url).unwrap();
        let begun = Instant::now();
        let result = request.cancel_by(&handle).observe(observer).send();
        assert!(result.unwrap_err().is_canceled(), "{at} {host}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{at} {host}");
        drop(client);
        check(&events);
    }
    open.open();
}

#[test]
fn draining_is_bounded_also_when_the_call_has_a_longer_total() {
    use std::time::{Duration, Instant};

    for total in [None, Some(Duration::from_secs(20))] {
        let peer = Peer::start(
            Script::new()
                .expect_request()
                .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
                .expect_gone(),
        )
        .unwrap();
        let (client, events) = watched(|builder| builder);
        let request = client.get(&peer.url("/")).unwrap();
        let response = request.timeouts(|t| t.total = total).send().unwrap();
        let begun = Instant::now();
        response.drain().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{total:?}");
        drop(client);
        check(&events);
        peer.finish();
    }
}

/// Passes TLS on until 64 KiB came from the client; then takes no more, and drips a record that never ends.
fn relay_then_drip(mut client: TcpStream, origin: SocketAddr) {
    let mut origin = TcpStream::connect(origin).unwrap();
    let mut piece = [0; 16 * 1024];
    let mut taken = 0;
    for stream in [&client, &origin] {
        stream
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
    }
    while taken < 64 * 1024 {
        let count = client.read(&mut piece).unwrap_or(0);
        origin.write_all(&piece[..count]).unwrap();
        taken += count;
        let count = origin.read(&mut piece).unwrap_or(0);
        client.write_all(&piece[..count]).unwrap();
    }
    let begun = Instant::now();
    let mut dripped = client.write_all(&[0x17, 3, 3, 0x40, 0]);
    while dripped.is_ok() && begun.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(20));
        dripped = client.write_all(&[0]);
    }
}

#[test]
fn bytes_that_are_no_tls_record_yet_do_not_renew_a_write_stall() {
    let (identity, tls) = trusted();
    let stalls = Script::new().expect_head().stop_reading().stall();
    let peer = Peer::builder()
        .tls(identity)
        .script(stalls)
        .start()
        .unwrap();
    let origin = peer.addr();
    let relay = Server::start(move |client| relay_then_drip(client, origin));
    let (client, events) = watched(|builder| {
        let limit = Some(Duration::from_millis(300));
        builder
            .tls(tls)
            .timeouts(|timeouts| timeouts.write_stall = limit)
    });
    let url = relay.url("/").replace("http:", "https:");
    let begun = Instant::now();
    let error = client
        .put(&url)
        .unwrap()
        .body(vec![0; 32 << 20])
        .send()
        .unwrap_err();
    let took = begun.elapsed();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::WriteStall));
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(client);
    check(&events);
}

/// The handle knew only what the last call to register was blocked on.
#[test]
fn a_handle_of_two_calls_cancels_both() {
    let handle = wirescope::CancelHandle::default();
    let (client, events) = watched(|builder| builder);
    std::thread::scope(|scope| {
        let calls = [(); 2].map(|()| {
            let asked = Gate::new();
            let script = Script::new().expect_request().open_gate(asked.clone());
            let peer = Peer::start(script.expect_gone()).unwrap();
            let request = client.get(&peer.url("/")).unwrap().cancel_by(&handle);
            (peer, asked, scope.spawn(|| request.send()))
        });
        assert!((calls.iter()).all(|(_, asked, _)| asked.wait(Duration::from_secs(10))));
        let begun = Instant::now();
        handle.cancel();
        for (peer, _, call) in calls {
            assert!(call.join().unwrap().unwrap_err().is_canceled());
            peer.finish();
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
    drop(client);
    check(&events);
}

/// Bytes that keep arriving were each a wait that ended before its deadline was looked at.
#[test]
fn an_endless_body_that_comes_fast_ends_at_the_total() {
    let total = Duration::from_millis(200);
    let server = Server::start(|mut client| {
        let _ = client.read(&mut [0; 4096]);
        let mut sent = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while sent.is_ok() {
            sent = client.write_all(&[b'x'; 64 * 1024]);
        }
    });
    let (client, events) = watched(|builder| builder.timeouts(|t| t.total = Some(total)));
    let begun = Instant::now();
    let mut response = client.get(&server.url("/")).unwrap().send().unwrap();
    let (mut piece, mut read) = ([0; 512], Ok(1));
    while read.is_ok() && begun.elapsed() < 10 * total {
        read = response.read(&mut piece);
    }
    let error = read.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(begun.elapsed() >= total);
    drop((response, client));
    check(&events).assert_sequence(["timeout_fired timer=total", "call_done kind=timeout"]);
}

/// Behind a drip of bytes that are no record yet, the receive was made again without a look at the clock.
#[test]
fn a_drip_of_handshake_bytes_does_not_outlast_the_limit_of_tls() {
    let limit = Duration::from_millis(100);
    let server = Server::start(move |mut client| {
        let begun = Instant::now();
        let mut dripped = client.write_all(&[0x16, 3, 3, 0x40, 0]);
        while dripped.is_ok() && begun.elapsed() < 10 * limit {
            std::thread::sleep(Duration::from_micros(200));
            dripped = client.write_all(&[0]);
        }
    });
    let (_, tls) = trusted();
    let (client, events) = watched(|builder| builder.tls(tls).timeouts(|t| t.tls = Some(limit)));
    let url = server.url("/").replace("http:", "https:");
    let begun = Instant::now();
    let error = client.get(&url).unwrap().send().unwrap_err();
    let took = begun.elapsed();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Tls));
    assert!(took < 5 * limit, "{took:?}");
    drop(client);
    check(&events);
}

/// A FIN was told as of the wait for the first byte, a reset as of where the exchange was.
#[test]
fn a_peer_that_ends_the_stream_ends_it_in_the_phase_of_the_exchange() {
    let interim = "HTTP/1.1 100 Con";
    let waits = || Script::new().expect_head();
    let deaf = || waits().stop_reading();
    let plays = [
        (waits().half_close().expect_gone(), true, Phase::Expect),
        (
            waits().send(interim).half_close().expect_gone(),
            true,
            Phase::Expect,
        ),
        (deaf().half_close().stall(), false, Phase::Send),
    ];
    for (script, waits, phase) in plays {
        let peer = Peer::builder().receive_buffer_bytes(4096).script(script);
        let peer = peer.start().unwrap();
        let (client, events) = watched(|builder| builder);
        let mut request = client.post(&peer.url("/")).unwrap();
        request = request.body(vec![b'x'; 16 << 20]);
        if waits {
            request = request.expect_continue();
        }
        let error = request.send().unwrap_err();
        assert_eq!(error.phase(), phase, "{error:?}");
        assert!(
            matches!(
                error.kind(),
                ErrorKind::PeerClosed | ErrorKind::PeerIncompleteHead { .. }
            ),
            "{error:?}"
        );
        drop(client);
        check(&events).assert_sequence(["conn_closed reason=connection_lost"]);
        drop(peer);
    }
}
