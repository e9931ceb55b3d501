//! Tables of answers, each at every cut, with what the caller, the proxy and an observer get to see.

mod connect;
mod rig;
mod socks;

use std::sync::Arc;

use crate::error::{ErrorKind, Phase, ProxyFailure};
use crate::event::{EventData, EventKind};
use crate::flow::tunnel::Progress;
use crate::flow::tunnel::tests::rig::{End, Rig, play};
use crate::message::proxy::Proxy;

const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nX-Why: rules\r\nSet-Cookie: a=secret\r\nContent-Length: 9\r\n\r\nnot here!";

#[test]
fn cve_101_a_target_that_cannot_be_named_is_refused_before_the_first_byte() {
    let long = "n".repeat(256);
    for (proxy, host, port) in [
        ("socks5h://p", long.as_str(), 443),
        ("socks5h://p", "", 443),
        ("http://p", "", 443),
        ("http://p", "h\r\nX: y", 443),
        ("http://p", "h X", 443),
        ("http://p", "u@h", 443),
        ("http://p", "h/", 443),
        ("http://p", "[::1]", 443),
        ("http://p", "h%41", 443),
        ("https://p", "h\0", 443),
        ("https://p", "é", 443),
        ("socks5h://p", "h\n", 443),
        ("http://p", "h", 0),
    ] {
        let mut rig = Rig::new();
        let error = rig.begin(proxy, host, port).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Proxy(ProxyFailure::Target),
            "{host}"
        );
        assert_eq!(error.phase(), Phase::Tunnel);
        assert!(rig.sent().is_empty());
        assert!(rig.events().is_empty());
    }
}

#[test]
fn what_is_given_up_gets_its_end_once() {
    for (proxy, answer) in [("http://p", "HTTP/1.1 2"), ("socks5://p", "\x05")] {
        let mut rig = Rig::new();
        let mut tunnel = rig.begin(proxy, "h", 443).unwrap();
        rig.feed(&mut tunnel, answer.as_bytes());
        assert!(tunnel.timed_out(rig.now(), rig.emitter()).is_none());
        let error = crate::Error::new(ErrorKind::Canceled, Phase::Tunnel);
        for _ in 0..2 {
            tunnel.abandon(&error, rig.now(), rig.emitter());
        }
        let events = rig.dial_events(false);
        let done = events
            .iter()
            .filter(|event| event.kind() == EventKind::ProxyConnectDone);
        assert_eq!(done.count(), 1, "{events:?}");
    }
}

#[test]
fn rfc_f20_a_refusal_without_an_end_counts_when_time_is_over() {
    let answer = REFUSED.strip_suffix("here!").unwrap();
    let mut rig = Rig::new();
    let mut tunnel = rig.begin("http://p", "h", 443).unwrap();
    rig.feed(&mut tunnel, answer.as_bytes());
    let error = tunnel.timed_out(rig.now(), rig.emitter()).unwrap();
    assert_eq!(error.kind(), ErrorKind::Proxy(ProxyFailure::Refused(403)));
    assert_eq!(error.proxy_refusal().unwrap().body(), b"not ");
    assert!(tunnel.timed_out(rig.now(), rig.emitter()).is_none());
    rig.dial_events(false);
}

#[test]
fn the_end_of_the_stream_says_how_much_came() {
    for (proxy, answer, received) in [
        ("http://p", "", 0),
        ("http://p", "HTTP/1.1 1", 10),
        ("http://p", "HTTP/1.1 100 \r\n\r\nHTTP", 21),
        ("socks5://p", "", 0),
        ("socks5://p", "\x05\0\x05", 3),
        ("socks5://u:p@p", "\x05\x02\x01\0\x05", 5),
    ] {
        let end = play(proxy, answer.as_bytes(), usize::MAX).end;
        let failure = ProxyFailure::Ended { received };
        assert_eq!(end, End::Failed(ErrorKind::Proxy(failure)), "{answer:?}");
    }
}

#[test]
fn the_error_says_where_it_was_and_nothing_that_the_proxy_said() {
    let played = play("http://me:pass@p.test:3128", REFUSED.as_bytes(), 7);
    let error = played.error.unwrap();
    assert_eq!(
        error.to_string(),
        "the proxy refused the tunnel with status 403, while asking the proxy for a tunnel, proxy p.test:3128"
    );
    assert_eq!(error.proxy(), Some("p.test:3128"));
    let refusal = error.proxy_refusal().unwrap();
    assert_eq!((refusal.status(), refusal.body()), (403, &b"not here!"[..]));
    assert_eq!(refusal.fields().get("x-why"), Some(&b"rules"[..]));
    let shown = format!("{error:?}");
    for secret in ["not here", "rules", "secret", "pass"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(error.is_connect());
}

#[test]
fn credentials_that_come_back_are_in_no_event() {
    let answer = "HTTP/1.1 502 x\r\nProxy-Authenticate: Basic bWU6cGFzcw==\r\n\r\nyou said Basic bWU6cGFzcw==";
    let played = play("http://me:pass@p", answer.as_bytes(), 5);
    let text: String = played.events.iter().map(ToString::to_string).collect();
    assert!(!text.contains("bWU6cGFzcw"), "{text}");
    let done = played.events.iter().find_map(|event| match event.data() {
        EventData::ProxyConnectDone(done) => Some(done),
        _ => None,
    });
    assert_eq!(done.unwrap().body(), b"you said Basic [redacted]");
}

#[test]
fn credentials_of_a_field_that_come_back_are_in_no_event() {
    let proxy = Proxy::parse("http://p").unwrap();
    let proxy = proxy.connect_field("Proxy-Authorization", "Bearer t0ken");
    let mut rig = Rig::new();
    let mut tunnel = rig.begin_with(&Arc::new(proxy.unwrap()), "h", 443).unwrap();
    rig.feed(&mut tunnel, b"HTTP/1.1 502 x\r\n\r\nyou said Bearer t0ken");
    rig.end(&mut tunnel);
    let events = rig.dial_events(false);
    let text: String = events.iter().map(ToString::to_string).collect();
    assert!(text.contains("you said Bearer [redacted]"), "{text}");
    assert!(!text.contains("t0ken"), "{text}");
}

#[test]
fn an_answer_before_its_question_left_opens_nothing() {
    let early = |progress: Progress| match progress {
        Progress::Failed(error) => error.proxy_failure() == Some(ProxyFailure::SpokeEarly),
        Progress::GoesOn | Progress::Open => false,
    };
    // The request was not sent yet.
    let mut rig = Rig::new();
    let mut tunnel = rig.begin("http://p", "h", 443).unwrap();
    assert!(early(rig.feed(&mut tunnel, b"HTTP/1.1 200 OK\r\n\r\n")));
    // A refusal needs no request.
    let mut rig = Rig::new();
    let mut tunnel = rig.begin("http://p", "h", 443).unwrap();
    let progress = rig.feed(&mut tunnel, b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(progress, Progress::Failed(error) if error.proxy_refusal().is_some()));
    for answer in [&b"\x05\0\x05"[..], b"\x05\x02\x01"] {
        let mut rig = Rig::new();
        let mut tunnel = rig.begin("socks5://u:p@p", "h", 443).unwrap();
        rig.sent();
        assert!(early(rig.feed(&mut tunnel, answer)), "{answer:?}");
    }
    let mut rig = Rig::new();
    let mut tunnel = rig.begin("socks5://p", "h", 443).unwrap();
    rig.sent();
    assert!(matches!(rig.feed(&mut tunnel, b"\x05\0"), Progress::GoesOn));
    assert!(early(rig.feed(&mut tunnel, b"\x05\0\0\x01\0\0\0\0\0\0")));
}
