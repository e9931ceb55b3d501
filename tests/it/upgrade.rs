//! Another protocol than HTTP on a connection of ours: behind a 101 that was asked for, and behind a CONNECT of the
//! caller's own. Through both doors, plain and over TLS.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirescope::config::EarlyResponse;
use wirescope::error::{FieldError, FramingRule, RequestRule, Timer};
use wirescope::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};
use wirescope::testkit::{Gate, Peer, Relay, RelayBuilder, Script};
use wirescope::{
    ClientBuilder, Error, ErrorKind, EventLoop, Method, Proxy, RedirectPolicy, Request, Upgraded,
};

use crate::harness::{Lab, PATIENCE, SHORT, authority, echo_target, run, took_about, trusting};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";

const TUNNEL: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// By which a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Client,
    Loop,
    Handle,
}

const DOORS: [Door; 3] = [Door::Client, Door::Loop, Door::Handle];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Plain,
    Tls,
}

const WIRES: [Wire; 2] = [Wire::Plain, Wire::Tls];

impl Wire {
    fn lab(self, script: Script) -> Lab {
        self.lab_with([script], |client| client)
    }

    fn lab_with(
        self,
        scripts: impl IntoIterator<Item = Script>,
        change: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Lab {
        let mut peer = Peer::builder().scripts(scripts);
        if self == Self::Tls {
            peer = peer.tls(authority().issue(&["127.0.0.1"]).unwrap());
        }
        Lab::with(peer, |client| change(client.tls(trusting(authority()))))
    }

    /// The peer ends its direction as this wire does.
    fn ends(self, script: Script) -> Script {
        match self {
            Self::Plain => script.half_close(),
            Self::Tls => script.close_notify(),
        }
    }
}

/// Runs a call that is to be upgraded; the loop is gone by then.
fn upgraded(lab: &Lab, door: Door, request: Request) -> Result<Upgraded, Error> {
    match door {
        Door::Client => request.send()?.upgrade(),
        Door::Loop => {
            let mut event_loop = EventLoop::new(&lab.client)?;
            event_loop.submit(request)?;
            event_loop.next()?.unwrap().upgrade()
        }
        Door::Handle => {
            let handle = EventLoop::new(&lab.client)?.spawn()?;
            let done = handle.submit(request)?.wait()?;
            handle.shutdown(PATIENCE)?;
            done.upgrade()
        }
    }
}

fn websocket(lab: &Lab) -> Request {
    lab.request("GET", "/chat").upgrade("websocket").unwrap()
}

fn tunnel(lab: &Lab) -> Request {
    lab.client
        .connect(&lab.peer.url("/"), "db.example:5432")
        .unwrap()
}

fn hear(stream: &mut Upgraded, bytes: usize) -> String {
    let mut heard = vec![0; bytes];
    stream.read_exact(&mut heard).unwrap();
    String::from_utf8(heard).unwrap()
}

fn hear_all(stream: &mut Upgraded) -> String {
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    heard
}

/// Aborts the call at an event of this kind.
struct AbortAt(EventKind);

impl Observer for AbortAt {
    fn interest(&self) -> Interest {
        Interest::NONE.with(self.0)
    }

    fn on_event(&self, _: &Event) -> Verdict {
        Verdict::Abort("enough".into())
    }
}

/// Opens a gate at an event of this kind.
struct OpenAt(EventKind, Gate);

impl Observer for OpenAt {
    fn interest(&self) -> Interest {
        Interest::NONE.with(self.0)
    }

    fn on_event(&self, _: &Event) -> Verdict {
        self.1.open();
        Verdict::Continue
    }
}

/// The steps of the peer behind its head: says something at once, sends everything back, and ends its direction when the
/// client has ended its own.
fn echoes(wire: Wire, head: &str, piece: usize) -> Script {
    let answer = format!("{head}first");
    let script = Script::new().expect_head().send_each(answer, piece).echo();
    wire.ends(script).expect_gone()
}

#[test]
fn rfc_a29_rfc_a32_rfc_c25_e12_a_101_that_was_asked_for_gives_a_stream() {
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        for piece in [usize::MAX, SWITCH.len(), 1] {
            let lab = wire.lab(echoes(wire, SWITCH, piece));
            let request = websocket(&lab).upgrade("h2c/2").unwrap();
            let mut stream = upgraded(&lab, door, request).unwrap();
            assert_eq!(stream.protocol(), Some("WebSocket"));
            assert_eq!(stream.remote_addr(), lab.peer.addr());
            assert_eq!(stream.tls().is_some(), wire == Wire::Tls);
            assert_eq!(hear(&mut stream, 5), "first");
            stream.write_all(b"hello").unwrap();
            assert_eq!(hear(&mut stream, 5), "hello", "{door:?} {wire:?}");
            stream.write_all(b" world").unwrap();
            stream.shutdown_write().unwrap();
            stream.shutdown_write().unwrap();
            let late = stream.write(b"x").unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(hear_all(&mut stream), " world", "{door:?} {wire:?}");
            assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "the end stays");
            let conn = stream.connection();
            drop(stream);
            let request = &lab.peer.requests()[0];
            assert_eq!(request.field("connection"), Some("Upgrade"));
            assert_eq!(request.field("upgrade"), Some("websocket, h2c/2"));
            let seen = lab.finish();
            seen.assert_sequence([
                "wrote_request error=null",
                "got_response_head status=101",
                "upgraded protocol=WebSocket",
                "put_idle_conn error=upgraded",
                "attempt_done status=101 error=null",
                "call_done status=101 error=null",
                "conn_closed reason=upgraded by=local requests=1",
            ]);
            seen.none(EventKind::ResponseBodyDone);
            let closed = seen.one(EventKind::ConnClosed);
            assert_eq!((closed.connection(), closed.call()), (Some(conn), None));
        }
    }
}

#[test]
fn the_end_of_a_connection_that_was_upgraded_tells_all_its_bytes() {
    let lab = Wire::Plain.lab(echoes(Wire::Plain, SWITCH, usize::MAX));
    let mut stream = upgraded(&lab, Door::Client, websocket(&lab)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown_write().unwrap();
    assert_eq!(hear_all(&mut stream), "firsthello");
    drop(stream);
    let sent = lab.peer.requests()[0].head.len() + "hello".len();
    let received = SWITCH.len() + "firsthello".len();
    let seen = lab.finish();
    let pattern = format!("conn_closed bytes_out={sent} bytes_in={received}");
    seen.assert_sequence([&pattern[..]]);
}

#[test]
fn rfc_c25_a_101_has_to_name_what_was_offered() {
    let fits = [
        "Upgrade: websocket\r\n",
        "Upgrade: WEBSOCKET\r\n",
        "Upgrade: h2c/2, websocket\r\n",
        "Upgrade: websocket\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ];
    let breaks = [
        "",
        "Upgrade: \r\n",
        "Upgrade: other\r\n",
        "Upgrade: websocket, other\r\n",
        "Upgrade: h2c\r\n",
        "Connection: Upgrade\r\n",
    ];
    let run = |version: &str, fields: &str| {
        let head = format!("HTTP/{version} 101 Switching Protocols\r\n{fields}\r\n");
        let lab = Wire::Plain.lab(echoes(Wire::Plain, &head, usize::MAX));
        let request = websocket(&lab).upgrade("h2c/2").unwrap();
        let result = upgraded(&lab, Door::Client, request);
        let result = result.map(|mut stream| {
            stream.shutdown_write().unwrap();
            assert_eq!(hear_all(&mut stream), "first");
        });
        (result.map_err(|error| error.kind()), lab.finish())
    };
    for fields in fits {
        assert_eq!(run("1.1", fields).0, Ok(()), "{fields}");
    }
    let rule = ErrorKind::PeerFraming(FramingRule::SwitchNotAsked);
    let in_http10 = ("1.0", fits[0]);
    for (version, fields) in breaks
        .map(|fields| ("1.1", fields))
        .into_iter()
        .chain([in_http10])
    {
        let (result, seen) = run(version, fields);
        assert_eq!(result, Err(rule), "{version} {fields}");
        seen.none(EventKind::Upgraded);
        seen.assert_sequence(["put_idle_conn error=protocol_error", "conn_closed"]);
    }
}

#[test]
fn an_offer_that_is_not_taken_is_an_ordinary_exchange() {
    for door in DOORS {
        let lab = Lab::new([echo_target()]);
        let error = upgraded(&lab, door, websocket(&lab)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotUpgraded(200), "{door:?}");
        let response = websocket(&lab).send().unwrap();
        assert!(!response.is_upgraded());
        drop(response);
        let mut response = websocket(&lab).send().unwrap();
        assert_eq!(response.text(99).unwrap(), "/chat");
        drop(response);
        let reused = lab.get("/next").unwrap().reused;
        assert!(reused);
        lab.finish().none(EventKind::Upgraded);
    }
}

#[test]
fn rfc_a32_another_protocol_waits_until_the_request_is_fully_sent() {
    const BODY: usize = 6 * 1024 * 1024;
    type Send = fn(Request) -> Request;
    let bodies: [Send; 3] = [
        |request| request.body(vec![b'x'; BODY]),
        |request| request.body_sized_reader(io::repeat(b'x').take(BODY as u64), BODY as u64),
        |request| request.body_reader(io::repeat(b'x').take(BODY as u64)),
    ];
    for early in [EarlyResponse::Finish, EarlyResponse::Abort] {
        for (door, wire) in DOORS
            .iter()
            .flat_map(|door| WIRES.map(|wire| (*door, wire)))
        {
            for body in bodies {
                let told = Gate::new();
                let script = Script::new()
                    .expect_head()
                    .send(format!("{SWITCH}fir"))
                    .wait_for(told.clone())
                    .expect_body()
                    .send("st")
                    .echo();
                let lab = wire.lab_with([wire.ends(script).expect_gone()], |client| {
                    client.early_response(early)
                });
                let request = lab.request("PUT", "/").upgrade("websocket").unwrap();
                let observer = ObserverRef::new(OpenAt(EventKind::Upgraded, told));
                let request = body(request).observe(observer);
                let mut stream = upgraded(&lab, door, request).unwrap();
                assert_eq!(hear(&mut stream, 5), "first");
                stream.write_all(b"hello").unwrap();
                stream.shutdown_write().unwrap();
                assert_eq!(hear_all(&mut stream), "hello");
                drop(stream);
                let request = &lab.peer.requests()[0];
                assert!(request.is_complete && request.body.len() == BODY);
                let seen = lab.finish();
                seen.assert_sequence([
                    "final_response_start early=true",
                    "got_response_head status=101",
                    "upgraded",
                    "request_body_done aborted=false",
                    "wrote_request error=null",
                    "put_idle_conn error=upgraded",
                    "call_done error=null",
                ]);
            }
        }
    }
}

/// A call with a body that its peer never reads, after a 101.
fn stuck(
    script: Script,
    change: fn(Request) -> Request,
) -> (Error, wirescope::testkit::check::Checked) {
    let script = Script::new()
        .expect_head()
        .stop_reading()
        .followed_by(script);
    let peer = Peer::builder().script(script).receive_buffer_bytes(4096);
    let lab = Lab::with(peer, |client| client);
    let request = lab.request("PUT", "/").upgrade("websocket").unwrap();
    let request = change(request.body(vec![b'x'; 16 * 1024 * 1024]));
    let error = request.send().map(drop).unwrap_err();
    (error, lab.finish_unfollowed())
}

#[test]
fn rfc_a32_a_peer_that_switches_and_never_takes_the_request_fails_the_call() {
    let script = Script::new()
        .send(SWITCH)
        .send_repeated(b'y', 1 << 20)
        .stall();
    let (error, seen) = stuck(script, |request| request);
    let rule = ErrorKind::PeerFraming(FramingRule::SwitchTooSoon);
    assert_eq!(error.kind(), rule);
    seen.assert_sequence([
        "upgraded",
        "request_body_done aborted=true",
        "wrote_request error=protocol_error",
        "put_idle_conn error=protocol_error",
        "conn_closed reason=protocol_error",
        "call_done status=101",
    ]);
    for script in [
        Script::new().send(SWITCH).close(),
        Script::new().send(SWITCH).reset(),
    ] {
        let (error, seen) = stuck(script, |request| request);
        let is_lost = matches!(error.kind(), ErrorKind::PeerClosed | ErrorKind::Io { .. });
        assert!(is_lost, "{error}");
        seen.assert_sequence(["put_idle_conn error=connection_lost", "conn_closed"]);
    }
    let script = Script::new().send(SWITCH).stall();
    let begun = Instant::now();
    let (error, seen) = stuck(script.clone(), |request| {
        request.timeouts(|times| times.write_stall = Some(SHORT))
    });
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::WriteStall));
    took_about(begun, SHORT);
    seen.assert_sequence(["upgraded", "timeout_fired", "put_idle_conn error=timeout"]);
    let (error, seen) = stuck(script, |mut request| {
        let handle = request.cancel_handle();
        let cancel = Mutex::new(Some(handle));
        request.observe(wirescope::event::Trace::new().on_upgraded(move |_| {
            if let Some(handle) = cancel.lock().unwrap().take() {
                std::thread::spawn(move || handle.cancel());
            }
        }))
    });
    assert!(error.is_canceled());
    seen.assert_sequence(["upgraded", "call_canceled", "put_idle_conn error=canceled"]);
}

#[test]
fn rfc_a32_a_101_instead_of_the_100_that_was_asked_for_is_an_error() {
    let script = Script::new().expect_head().send(SWITCH).expect_gone();
    let lab = Lab::new([script]);
    let request = lab.request("PUT", "/").upgrade("websocket").unwrap();
    let error = request
        .expect_continue()
        .body("x")
        .send()
        .map(drop)
        .unwrap_err();
    let rule = ErrorKind::PeerFraming(FramingRule::SwitchTooSoon);
    assert_eq!(error.kind(), rule);
    let seen = lab.finish();
    seen.none(EventKind::Upgraded);
    seen.assert_sequence(["wait_100_continue", "put_idle_conn error=protocol_error"]);

    let script = Script::new()
        .expect_head()
        .send("HTTP/1.1 100 Continue\r\n\r\n")
        .expect_body()
        .send(SWITCH)
        .echo()
        .close();
    let lab = Lab::new([script]);
    let request = lab.request("PUT", "/").upgrade("websocket").unwrap();
    let response = request.expect_continue().body("x").send().unwrap();
    let mut stream = response.upgrade().unwrap();
    stream.shutdown_write().unwrap();
    assert_eq!(hear_all(&mut stream), "");
    drop(stream);
    lab.finish();
}

#[test]
fn rfc_a9_rfc_a11_rfc_d2_e14_a_connect_of_the_callers_own_gives_a_tunnel() {
    let heads = [
        TUNNEL.to_owned(),
        "HTTP/1.0 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 299 Fine\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: x\r\n\r\n".to_owned(),
        format!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{TUNNEL}"),
    ];
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        for head in &heads {
            for piece in [usize::MAX, 1] {
                let lab = wire.lab(echoes(wire, head, piece));
                let mut stream = upgraded(&lab, door, tunnel(&lab)).unwrap();
                assert_eq!(stream.protocol(), None);
                stream.write_all(b"hello").unwrap();
                stream.shutdown_write().unwrap();
                assert_eq!(hear_all(&mut stream), "firsthello", "{head}");
                drop(stream);
                let request = &lab.peer.requests()[0];
                assert_eq!(request.method(), "CONNECT");
                assert_eq!(request.target(), "db.example:5432");
                assert_eq!(request.field("host"), Some("db.example:5432"));
                let framed = ["content-length", "transfer-encoding", "connection"];
                assert!(framed.iter().all(|name| request.field(name).is_none()));
                let seen = lab.finish();
                seen.assert_sequence([
                    "wrote_headers form=authority",
                    "got_response_head framing=none",
                    "upgraded protocol=null",
                    "put_idle_conn error=upgraded",
                    "call_done error=null",
                    "conn_closed reason=upgraded",
                ]);
            }
        }
    }
}

#[test]
fn rfc_f20_e14_a_refused_connect_is_a_response_whose_connection_is_closed() {
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        for status in ["403 Forbidden", "407 Auth", "302 Found", "502 Bad Gateway"] {
            let refusal =
                format!("HTTP/1.1 {status}\r\nLocation: /there\r\nContent-Length: 4\r\n\r\nnope");
            let refuses = Script::new().expect_request().send(refusal).expect_gone();
            let lab = wire.lab_with([refuses.clone(), refuses, echo_target()], |client| client);
            let code = status[..3].parse().unwrap();
            let error = upgraded(&lab, door, tunnel(&lab)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotUpgraded(code));
            let mut response = tunnel(&lab).send().unwrap();
            assert_eq!((response.status(), response.is_upgraded()), (code, false));
            assert_eq!(response.text(99).unwrap(), "nope");
            drop(response);
            assert!(!lab.get("/next").unwrap().reused);
            let seen = lab.finish();
            seen.none(EventKind::Redirect);
            seen.none(EventKind::Upgraded);
            seen.assert_sequence(["put_idle_conn error=connect_refused", "conn_closed"]);
        }
    }
}

#[test]
fn a_connect_takes_the_credentials_of_its_url_to_the_proxy() {
    let lab = Wire::Plain.lab(echoes(Wire::Plain, TUNNEL, usize::MAX));
    let url = format!("http://user:word@{}/", lab.peer.addr());
    let request = lab.client.connect(&url, "[2001:db8::1]:443").unwrap();
    drop(request.send().unwrap().upgrade().unwrap());
    let request = &lab.peer.requests()[0];
    let sent = request.field("proxy-authorization");
    assert_eq!(sent, Some("Basic dXNlcjp3b3Jk"));
    assert_eq!(request.field("authorization"), None);
    assert_eq!(request.target(), "[2001:db8::1]:443");
    lab.finish();
}

#[test]
fn rfc_a9_rfc_a32_what_cannot_be_asked_for_is_refused_before_any_io() {
    let lab = Lab::new([Script::new().expect_request().send(TUNNEL).stall()]);
    let rule = |result: Result<wirescope::Response, Error>| result.map(drop).unwrap_err().kind();
    let target = ErrorKind::LocalRequest(RequestRule::ConnectTarget);
    for (path, to) in [
        ("/path", "db:1"),
        ("/?q", "db:1"),
        ("/", "db"),
        ("/", "db:1/x"),
    ] {
        let error = lab.client.connect(&lab.peer.url(path), to).unwrap_err();
        assert_eq!(error.kind(), target, "{path} {to}");
    }
    let method = ErrorKind::LocalRequest(RequestRule::ConnectMethod);
    assert_eq!(rule(tunnel(&lab).body("x").send()), method);
    let bare = lab.client.request(Method::CONNECT, &lab.peer.url("/"));
    assert_eq!(rule(bare.unwrap().send()), method);
    let error = lab
        .client
        .request("CONNECT", &lab.peer.url("/"))
        .unwrap_err();
    assert_eq!(error.kind(), method);
    let close = ErrorKind::LocalRequest(RequestRule::CloseBeforeSwitch);
    let closing = |request: Request| request.header("Connection", "close").unwrap().send();
    assert_eq!(rule(closing(tunnel(&lab))), close);
    assert_eq!(rule(closing(websocket(&lab))), close);
    let protocol = ErrorKind::LocalField(FieldError::Protocol);
    let error = websocket(&lab).upgrade("a b").unwrap_err();
    assert_eq!(error.kind(), protocol);
    lab.finish_unfollowed();
}

#[test]
fn rfc_b25_a_client_that_keeps_nothing_does_not_say_close_before_another_protocol() {
    let wires = [
        echoes(Wire::Plain, SWITCH, usize::MAX),
        echoes(Wire::Plain, TUNNEL, usize::MAX),
    ];
    let lab = Wire::Plain.lab_with(wires, |client| client.keep_alive(false).max_requests(1));
    for request in [websocket(&lab), tunnel(&lab)] {
        let mut stream = upgraded(&lab, Door::Client, request).unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(hear_all(&mut stream), "first");
    }
    for request in lab.peer.requests() {
        assert_ne!(request.field("connection"), Some("close"));
    }
    lab.finish();
}

#[test]
fn a_connect_goes_straight_to_its_server_and_an_upgrade_through_a_tunnel() {
    let proxy = Script::new().expect_head().send(TUNNEL);
    let proxy = proxy.followed_by(echoes(Wire::Plain, SWITCH, usize::MAX));
    let proxy = Peer::builder().script(proxy).start().unwrap();
    let by = Proxy::parse(&proxy.url("/")).unwrap();
    for door in DOORS {
        let lab = Wire::Plain.lab_with([echoes(Wire::Plain, TUNNEL, usize::MAX)], |client| {
            client.proxy(by.clone())
        });
        let mut stream = upgraded(&lab, door, tunnel(&lab)).unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(hear_all(&mut stream), "first");
        drop(stream);
        let request = lab.client.get("http://origin.example/chat").unwrap();
        let request = request.upgrade("websocket").unwrap();
        let mut stream = upgraded(&lab, door, request).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(hear_all(&mut stream), "firsthello");
        drop(stream);
        lab.finish();
    }
    let asked: Vec<_> = proxy.requests();
    let asked = asked.iter().map(|seen| (seen.method(), seen.target()));
    let once = [("CONNECT", "origin.example:80"), ("GET", "/chat")];
    assert_eq!(asked.collect::<Vec<_>>(), [once, once, once].concat());
    proxy.finish();
}

#[test]
fn an_upgrade_goes_through_every_proxy_and_through_tls_in_tls() {
    let relays: [fn() -> RelayBuilder; 3] = [
        Relay::http,
        || Relay::https(authority().issue(&["127.0.0.1"]).unwrap()),
        Relay::socks5,
    ];
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        for relay in relays {
            let lab = wire.lab(echoes(wire, SWITCH, usize::MAX));
            let addr = lab.peer.addr();
            let relay = relay()
                .lead("127.0.0.1", addr.port(), addr)
                .start()
                .unwrap();
            let request = websocket(&lab).proxy(relay.proxy().unwrap());
            let stream = upgraded(&lab, door, request).unwrap();
            let said = b"said and heard ".repeat(2_000);
            let mut heard = Vec::new();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    (&stream).write_all(&said).unwrap();
                    stream.shutdown_write().unwrap();
                });
                (&stream).read_to_end(&mut heard).unwrap();
            });
            assert!(heard == [b"first", &said[..]].concat(), "{door:?} {wire:?}");
            drop(stream);
            lab.finish();
            assert!(relay.wait_until_closed(PATIENCE));
        }
    }
}

#[test]
fn an_upgrade_is_asked_for_again_where_a_redirect_leads() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";
    let script = Script::new()
        .expect_request()
        .send(moved)
        .followed_by(echoes(Wire::Plain, SWITCH, usize::MAX));
    for door in DOORS {
        let lab = Lab::new([script.clone()]);
        let request = websocket(&lab).redirects(RedirectPolicy::new());
        let mut stream = upgraded(&lab, door, request).unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(hear_all(&mut stream), "first");
        drop(stream);
        let requests = lab.peer.requests();
        assert_eq!(requests[1].field("upgrade"), Some("websocket"));
        lab.finish();
    }
}

#[test]
fn e12_the_peer_may_end_its_direction_first() {
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        let script = wire.ends(Script::new().expect_head().send(SWITCH).send("bye"));
        let lab = wire.lab(script.expect_bytes("still here").expect_eof());
        let mut stream = upgraded(&lab, door, websocket(&lab)).unwrap();
        assert_eq!(hear_all(&mut stream), "bye");
        stream.write_all(b"still ").unwrap();
        stream.write_all(b"here").unwrap();
        drop(stream);
        lab.finish();
    }
}

#[test]
fn a_stream_of_tls_that_is_cut_is_no_end() {
    let lab = Wire::Tls.lab(Script::new().expect_head().send(SWITCH).send("by").close());
    let mut stream = upgraded(&lab, Door::Client, websocket(&lab)).unwrap();
    assert_eq!(hear(&mut stream, 2), "by");
    let cut = stream.read(&mut [0; 9]).unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    drop(stream);
    lab.finish();
}

#[test]
fn one_thread_reads_while_another_writes() {
    const MUCH: usize = 4 * 1024 * 1024;
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        let lab = wire.lab(echoes(wire, SWITCH, usize::MAX));
        let stream = upgraded(&lab, door, websocket(&lab)).unwrap();
        let stream = Arc::new(stream);
        let writer = stream.clone();
        let writer = std::thread::spawn(move || {
            let piece: Vec<u8> = (0..=250_u8).cycle().take(30_000).collect();
            let mut left = MUCH;
            while left > 0 {
                let next = piece.len().min(left);
                (&*writer).write_all(&piece[..next]).unwrap();
                left -= next;
            }
            writer.shutdown_write().unwrap();
        });
        let mut heard = Vec::new();
        (&*stream).read_to_end(&mut heard).unwrap();
        writer.join().unwrap();
        let said = (0..=250_u8).cycle().take(30_000).collect::<Vec<_>>();
        let expected = said.iter().cycle().take(MUCH);
        assert_eq!(heard.len(), MUCH + 5);
        assert!(heard[5..].iter().eq(expected), "{door:?} {wire:?}");
        drop(stream);
        lab.finish();
    }
}

#[test]
fn timeouts_of_a_stream_end_one_call_and_not_the_stream() {
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        let spoken = Gate::new();
        let script = Script::new().expect_head().send(SWITCH);
        let script = script.wait_for(spoken.clone()).send("late").echo();
        let lab = wire.lab(wire.ends(script).expect_gone());
        let mut stream = upgraded(&lab, door, websocket(&lab)).unwrap();
        for limit in [Duration::ZERO, SHORT] {
            stream.set_read_timeout(Some(limit));
            let begun = Instant::now();
            let late = stream.read(&mut [0; 8]).unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            took_about(begun, limit);
        }
        stream.set_read_timeout(None);
        spoken.open();
        assert_eq!(hear(&mut stream, 4), "late");
        stream.shutdown_write().unwrap();
        assert_eq!(hear_all(&mut stream), "");
        drop(stream);
        lab.finish();
    }
}

#[test]
fn a_write_that_nobody_takes_ends_in_time_and_what_it_counted_arrives() {
    for wire in WIRES {
        let read_on = Gate::new();
        let script = Script::new()
            .expect_head()
            .send(SWITCH)
            .wait_for(read_on.clone());
        let mut peer = Peer::builder()
            .script(wire.ends(script.echo()).expect_gone())
            .receive_buffer_bytes(4096);
        if wire == Wire::Tls {
            peer = peer.tls(authority().issue(&["127.0.0.1"]).unwrap());
        }
        let lab = Lab::with(peer, |client| client.tls(trusting(authority())));
        let stream = upgraded(&lab, Door::Client, websocket(&lab)).unwrap();
        stream.set_write_timeout(Some(SHORT));
        let piece: Vec<u8> = (0..=250_u8).cycle().take(100_000).collect();
        let mut sent: Vec<u8> = Vec::new();
        let late = loop {
            let from = sent.len() % 251;
            match (&stream).write(&piece[from..]) {
                Ok(count) => sent.extend(&piece[from..from + count]),
                Err(late) => break late,
            }
        };
        assert_eq!(late.kind(), io::ErrorKind::TimedOut, "{wire:?}");
        if wire == Wire::Tls {
            let late = (&stream).flush().unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        }
        stream.set_write_timeout(None);
        read_on.open();
        let mut heard = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| stream.shutdown_write().unwrap());
            (&stream).read_to_end(&mut heard).unwrap();
        });
        assert!(heard == sent, "{wire:?}: {} of {}", heard.len(), sent.len());
        drop(stream);
        lab.finish();
    }
}

#[test]
fn a_shutdown_ends_what_waits_in_another_thread() {
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        let lab = wire.lab(Script::new().expect_head().send(SWITCH).expect_gone());
        let stream = upgraded(&lab, door, websocket(&lab)).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| (&stream).read(&mut [0; 8]));
            stream.shutdown().unwrap();
            let ended = reader.join().unwrap();
            match wire {
                Wire::Plain => assert_eq!(ended.unwrap(), 0),
                Wire::Tls => assert!(ended.is_err(), "the peer did not mean to end"),
            }
        });
        stream.shutdown().unwrap();
        drop(stream);
        lab.finish();
    }
}

#[test]
fn the_descriptor_of_a_stream_can_be_polled() {
    for door in DOORS {
        let spoken = Gate::new();
        let script = Script::new().expect_head().send(SWITCH);
        let script = script.wait_for(spoken.clone()).send("late").expect_gone();
        let lab = Wire::Plain.lab(script);
        let mut stream = upgraded(&lab, door, websocket(&lab)).unwrap();
        spoken.open();
        let limit = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        let mut polled = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut polled, Some(&limit)), Ok(1));
        assert_eq!(hear(&mut stream, 4), "late");
        drop(stream);
        lab.finish();
    }
}

#[test]
fn a_cancel_counts_until_the_connection_is_the_callers_and_not_after() {
    for door in DOORS {
        let lab = Wire::Plain.lab(echoes(Wire::Plain, SWITCH, usize::MAX));
        let mut request = websocket(&lab);
        let handle = request.cancel_handle();
        let mut stream = upgraded(&lab, door, request).unwrap();
        handle.cancel();
        stream.write_all(b"hello").unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(hear_all(&mut stream), "firsthello", "{door:?}");
        drop(stream);
        lab.finish().none(EventKind::CallCanceled);

        let lab = Wire::Plain.lab(Script::new().expect_head().send(SWITCH).expect_gone());
        for kind in [EventKind::GotResponseHead, EventKind::Upgraded] {
            let request = websocket(&lab).observe(ObserverRef::new(AbortAt(kind)));
            let error = upgraded(&lab, door, request).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Aborted, "{door:?} {kind}");
            let mut request = websocket(&lab);
            let handle = request.cancel_handle();
            let cancel = wirescope::event::Trace::new();
            let request = match kind {
                EventKind::Upgraded => {
                    request.observe(cancel.on_upgraded(move |_| handle.cancel()))
                }
                _ => request.observe(cancel.on_got_response_head(move |_| handle.cancel())),
            };
            let error = upgraded(&lab, door, request).unwrap_err();
            assert!(error.is_canceled(), "{door:?} {kind}: {error}");
        }
        let seen = lab.finish();
        assert_eq!(seen.matching("put_idle_conn error=canceled").len(), 4);
        assert_eq!(seen.matching("put_idle_conn error=upgraded").len(), 0);
    }
}

#[test]
fn rfc_e4_a_response_that_is_dropped_closes_the_upgraded_connection() {
    for (door, wire) in DOORS
        .iter()
        .flat_map(|door| WIRES.map(|wire| (*door, wire)))
    {
        for answer in [SWITCH.to_owned(), format!("{SWITCH}first")] {
            let script = Script::new().expect_head().send(answer).expect_gone();
            let lab = wire.lab_with([script, echo_target()], |client| client);
            match door {
                Door::Client => {
                    let mut response = websocket(&lab).send().unwrap();
                    assert!(response.is_upgraded() && response.status() == 101);
                    assert_eq!(response.collect(9).unwrap(), b"", "there is no body");
                    response.cancel_handle().cancel();
                    drop(response);
                }
                Door::Loop => {
                    let mut event_loop = EventLoop::new(&lab.client).unwrap();
                    event_loop.submit(websocket(&lab)).unwrap();
                    let done = event_loop.next().unwrap().unwrap();
                    assert!(done.is_upgraded() && done.error().is_none());
                    drop(event_loop);
                    drop(done);
                }
                Door::Handle => {
                    let handle = EventLoop::new(&lab.client).unwrap().spawn().unwrap();
                    drop(handle.submit(websocket(&lab)).unwrap().wait().unwrap());
                    handle.shutdown(PATIENCE).unwrap();
                }
            }
            assert!(!lab.get("/next").unwrap().reused, "nothing is reused");
            let seen = lab.finish();
            seen.assert_sequence([
                "put_idle_conn error=upgraded",
                "call_done status=101 error=null",
                "conn_closed reason=upgraded by=local",
            ]);
        }
    }
}

#[test]
fn an_upgraded_connection_counts_as_one_in_use_until_it_is_dropped() {
    let lab = Wire::Plain.lab_with(
        [echoes(Wire::Plain, SWITCH, usize::MAX), echo_target()],
        |client| {
            client
                .max_connections_per_origin(1)
                .timeouts(|times| times.queue = Some(SHORT))
        },
    );
    let stream = upgraded(&lab, Door::Client, websocket(&lab)).unwrap();
    assert_eq!(lab.client.connections(), (0, 1));
    let error = lab.get("/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Queue));
    let waits = lab.request("GET", "/next");
    let waits = waits.timeouts(|times| times.queue = Some(PATIENCE));
    let queued = Gate::new();
    let waits = waits.observe(ObserverRef::new(OpenAt(
        EventKind::QueueStart,
        queued.clone(),
    )));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| run(waits));
        assert!(queued.wait(PATIENCE));
        drop(stream);
        assert_eq!(waits.join().unwrap().unwrap().text(), "/next");
    });
    lab.finish();
}

#[test]
fn a_stream_outlives_its_client() {
    let peer = Peer::start(echoes(Wire::Plain, SWITCH, usize::MAX)).unwrap();
    let client = wirescope::Client::new().unwrap();
    let request = client.get(&peer.url("/")).unwrap().upgrade("websocket");
    let mut stream = request.unwrap().send().unwrap().upgrade().unwrap();
    drop(client);
    stream.shutdown_write().unwrap();
    assert_eq!(hear_all(&mut stream), "first");
    drop(stream);
    peer.finish();
}

#[test]
fn calls_with_sinks_are_upgraded_too() {
    let lab = Wire::Plain.lab(echoes(Wire::Plain, SWITCH, usize::MAX));
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    let sink = wirescope::body::ToWriter::new(io::sink());
    event_loop.submit_to(websocket(&lab), sink).unwrap();
    let done = event_loop.next().unwrap().unwrap();
    assert_eq!((done.status(), done.body_bytes()), (Some(101), 0));
    let mut stream = done.upgrade().unwrap();
    stream.shutdown_write().unwrap();
    assert_eq!(hear_all(&mut stream), "first");
    drop((stream, event_loop));
    lab.finish();
}

#[test]
fn a_loop_hears_no_more_of_a_connection_that_it_gave_up() {
    let lab = Wire::Plain.lab_with(
        [
            echoes(Wire::Plain, SWITCH, usize::MAX),
            Script::new().expect_request().stall(),
        ],
        |client| client,
    );
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    event_loop.submit(websocket(&lab)).unwrap();
    let mut stream = event_loop.next().unwrap().unwrap().upgrade().unwrap();
    let ticket = event_loop.submit(lab.request("GET", "/silent")).unwrap();
    while lab.peer.connections() < 2 {
        event_loop.turn(Some(Duration::from_millis(5))).unwrap();
    }
    event_loop.turn(Some(Duration::from_millis(5))).unwrap();
    stream.write_all(b"hello").unwrap();
    assert_eq!(hear(&mut stream, 10), "firsthello");
    let begun = Instant::now();
    event_loop.turn(Some(SHORT)).unwrap();
    took_about(begun, SHORT);
    event_loop.cancel(ticket);
    drop((stream, event_loop));
    lab.finish_unfollowed();
}

#[test]
fn a_stream_can_move_to_another_thread_and_be_shared() {
    fn is_sent<T: Send + Sync + std::fmt::Debug>() {}
    is_sent::<Upgraded>();
}
