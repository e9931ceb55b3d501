//! Trailers: of requests, announced before the body and known at its end; of responses whose body goes into a sink.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wirescope::error::FieldError;
use wirescope::message::fields::Fields;
use wirescope::testkit::{Peer, Script};
use wirescope::{Error, ErrorKind, EventLoop, Request};

use crate::harness::{Lab, ok, run, serve};

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(name, value).unwrap();
    }
    fields
}

/// Gives these trailers at the end, whatever was announced.
fn giving(
    lines: &'static [(&'static str, &'static str)],
) -> impl Fn() -> io::Result<Fields> + Send + 'static {
    move || Ok(fields(lines))
}

#[test]
fn rfc_b10_late_trailers_are_announced_and_stand_behind_the_body() {
    let lab = Lab::new([serve(ok(""))]);
    let late = giving(&[("x-sum", "2"), ("X-Sum", "3")]);
    let request = lab.request("POST", "/").body_reader(&b"hello"[..]);
    let request = request.trailer("X-First", "1").unwrap();
    run(request.trailers_from(&["X-Sum", "X-Never"], late).unwrap()).unwrap();
    let bytes = String::from_utf8(lab.peer.received().remove(0)).unwrap();
    assert_eq!(
        bytes.replace(&lab.usual(), "<usual>"),
        "POST / HTTP/1.1\r\n<usual>Trailer: X-First, X-Sum, X-Never\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nX-First: 1\r\nx-sum: 2\r\nX-Sum: 3\r\n\r\n"
    );
    let seen = lab.finish();
    seen.assert_sequence([
        "request_body_done bytes=5 aborted=false",
        "wrote_trailer_field name=X-First value=1",
        "wrote_trailer_field name=x-sum value=2",
        "wrote_trailer_field name=X-Sum value=3",
        "wrote_request error=null",
    ]);
}

#[test]
fn rfc_b10_a_body_in_memory_is_chunked_when_trailers_follow() {
    let lab = Lab::new([serve(ok(""))]);
    let check = |change: fn(Request) -> Request, body: &[u8]| {
        let request = change(lab.request("POST", "/"));
        let request = request.trailer("X-First", "1").unwrap();
        run(request
            .trailers_from(&["X-Sum"], giving(&[("X-Sum", "2")]))
            .unwrap())
        .unwrap();
        let seen = lab.peer.requests().pop().unwrap();
        assert_eq!(seen.field("transfer-encoding"), Some("chunked"));
        assert_eq!(seen.field("content-length"), None);
        assert_eq!(
            (&seen.body[..], &seen.trailers[..]),
            (body, &b"X-First: 1\r\nX-Sum: 2\r\n"[..])
        );
    };
    check(|request| request.body("hello"), b"hello");
    check(|request| request.body_shared(b"hello"[..].into()), b"hello");
    check(|request| request.body(""), b"");
    check(|request| request, b"");
    let request = lab.request("POST", "/").body("hello");
    run(request.trailers_from(&[], giving(&[])).unwrap()).unwrap();
    assert_eq!(
        lab.peer.requests().pop().unwrap().field("content-length"),
        Some("5")
    );
    lab.finish();
}

#[test]
fn rfc_b9_trailers_that_may_not_stand_there_are_refused_before_any_io() {
    let lab = Lab::new([serve(ok(""))]);
    let refused = |request: Request| request.send().unwrap_err().kind();
    for name in [
        "Content-Length",
        "Host",
        "Cookie",
        "Authorization",
        "TE",
        "Range",
    ] {
        let request = lab.request("POST", "/").body_reader(io::empty());
        let request = request
            .trailers_from(&["X-Sum", name], giving(&[]))
            .unwrap();
        let kind = ErrorKind::LocalField(FieldError::NotInTrailers);
        assert_eq!(refused(request), kind, "{name}");
    }
    for name in ["", "a b", "a:", "a\r\nb"] {
        let request = lab.request("POST", "/").body_reader(io::empty());
        assert!(
            request.trailers_from(&[name], giving(&[])).is_err(),
            "{name:?}"
        );
    }
    let sized = lab.request("POST", "/").body_sized_reader(&b"hello"[..], 5);
    let sized = sized.trailers_from(&["X-Sum"], giving(&[])).unwrap();
    assert_eq!(refused(sized), ErrorKind::LocalField(FieldError::Framing));
    assert_eq!(lab.peer.connections(), 0);
    lab.finish();
}

#[test]
fn rfc_b9_what_was_not_announced_fails_the_call_through_both_doors() {
    let lab = Lab::new([serve(ok(""))]);
    let request = || {
        let request = lab.request("POST", "/").body_reader(&b"hello"[..]);
        let late = giving(&[("X-Sum", "2"), ("Content-Length", "7")]);
        request.trailers_from(&["X-Sum"], late).unwrap()
    };
    let check = |error: &Error| {
        assert_eq!(error.kind(), ErrorKind::LocalBodySource);
        let source = std::error::Error::source(error).unwrap();
        assert!(source.to_string().contains("Content-Length"), "{source}");
    };
    check(&request().send().unwrap_err());
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    event_loop.submit(request()).unwrap();
    check(event_loop.next().unwrap().unwrap().error().unwrap());
    drop(event_loop);
    for bytes in lab.peer.received() {
        assert!(!String::from_utf8(bytes).unwrap().contains("X-Sum: "));
    }
    drop(lab.finish_unfollowed());
}

#[test]
fn rfc_f2_late_trailers_are_asked_for_each_time_the_body_is_sent() {
    let moved = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";
    let script = Script::new().respond_with(move |request| match request.target() {
        "/" => moved.into(),
        _ => ok("").into(),
    });
    let lab = Lab::new([script]);
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let request = lab.request("POST", "/").body("hello");
    let late = move || {
        let number = count.fetch_add(1, Ordering::Relaxed).to_string();
        Ok(fields(&[("X-Number", &number)]))
    };
    run(request.trailers_from(&["X-Number"], late).unwrap()).unwrap();
    let seen = lab.peer.requests();
    let trailers: Vec<_> = seen.iter().map(|request| &request.trailers[..]).collect();
    assert_eq!(trailers, [b"X-Number: 0\r\n", b"X-Number: 1\r\n"]);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    lab.finish();
}

#[test]
fn rfc_f5_secret_late_trailers_stay_with_their_origin() {
    let other = Peer::start(serve(ok(""))).unwrap();
    let location = other.url("/there");
    let moved = move |_: &_| {
        format!(
            "HTTP/1.1 308 Permanent Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        )
        .into()
    };
    let lab = Lab::new([Script::new().respond_with(moved)]);
    let request = lab.request("POST", "/").body("hello");
    let late = giving(&[("X-Api-Key", "canary"), ("X-Sum", "1")]);
    run(request
        .trailers_from(&["X-Api-Key", "X-Sum"], late)
        .unwrap())
    .unwrap();
    assert_eq!(
        lab.peer.requests()[0].trailers,
        b"X-Api-Key: canary\r\nX-Sum: 1\r\n"
    );
    let seen = other.requests();
    assert_eq!(seen[0].field("trailer"), Some("X-Sum"));
    assert_eq!(seen[0].trailers, b"X-Sum: 1\r\n");
    lab.finish();
}

#[test]
fn rfc_d17_a_completion_has_the_trailers_of_a_body_that_a_sink_took() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\nX-Sum: 532\r\nContent-Length: 9\r\n\r\n";
    let peer = Peer::start(Script::new().expect_request().send(answer)).unwrap();
    let client = wirescope::Client::new().unwrap();
    let mut event_loop = EventLoop::new(&client).unwrap();
    let request = client.get(&peer.url("/")).unwrap().te_trailers().unwrap();
    let sink = wirescope::body::ToWriter::new(io::sink());
    event_loop.submit_to(request, sink).unwrap();
    let done = event_loop.next().unwrap().unwrap();
    let trailers = done.trailers().unwrap();
    let told = (done.body_bytes(), trailers.get_str("x-sum"), trailers.len());
    assert_eq!(told, (5, Some("532"), 1));
}
