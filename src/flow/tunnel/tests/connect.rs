//! What CONNECT looks like, and how answers to it are read.

use std::sync::Arc;

use crate::config::Strictness;
use crate::error::{ErrorKind, HeadRule, Limit, ProxyFailure};
use crate::event::{EventData, EventKind};
use crate::flow::tunnel::Progress;
use crate::flow::tunnel::tests::REFUSED;
use crate::flow::tunnel::tests::rig::{End, Played, Rig, play, play_with};
use crate::message::anomaly::Anomaly;
use crate::message::proxy::Proxy;
use crate::proto::encode::USER_AGENT;

fn asked(proxy: &Arc<Proxy>, host: &str, port: u16) -> String {
    let mut rig = Rig::new();
    rig.begin_with(proxy, host, port).unwrap();
    String::from_utf8(rig.sent()).unwrap()
}

fn proxy(text: &str) -> Arc<Proxy> {
    Arc::new(Proxy::parse(text).unwrap())
}

#[test]
fn rfc_a9_the_target_is_host_and_port_an_address_in_brackets() {
    for (host, port, target) in [
        ("example.com", 443, "example.com:443"),
        ("example.com", 80, "example.com:80"),
        ("example.com.", 8443, "example.com.:8443"),
        ("192.0.2.1", 80, "192.0.2.1:80"),
        ("2001:db8::1", 443, "[2001:db8::1]:443"),
        ("2001:DB8:0::1", 443, "[2001:db8::1]:443"),
        ("fe80::1%eth0", 443, "[fe80::1]:443"),
        ("fe80::1%25eth0", 1, "[fe80::1]:1"),
    ] {
        let head = asked(&proxy("http://p"), host, port);
        let line = format!("CONNECT {target} HTTP/1.1\r\n");
        assert!(head.starts_with(&line), "{head}");
    }
}

#[test]
fn rfc_a11_rfc_a16_one_host_that_is_the_target_and_nothing_of_the_call() {
    for scheme in ["http", "https"] {
        let head = asked(&proxy(&format!("{scheme}://p:1")), "h", 443);
        let expected =
            format!("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nUser-Agent: {USER_AGENT}\r\n\r\n");
        assert_eq!(head, expected);
    }
    let head = asked(&proxy("http://user:pass@p"), "2001:db8::1", 443);
    assert_eq!(head.matches("Host: [2001:db8::1]:443\r\n").count(), 1);
    assert!(!head.contains('@') && !head.contains("user:"), "{head}");
}

#[test]
fn cve_69_fields_are_those_of_the_proxy_alone() {
    let own = Proxy::parse("http://me:pw@p").unwrap();
    let own = own.connect_field("X-Team", "a").unwrap();
    let own = own.connect_field("User-Agent", "mine/1").unwrap();
    assert_eq!(
        asked(&Arc::new(own), "h", 443),
        "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nProxy-Authorization: Basic bWU6cHc=\r\n\
         X-Team: a\r\nUser-Agent: mine/1\r\n\r\n"
    );
}

/// Plays an answer whole and at each cut, and holds them to be the same.
fn at_each_cut(answer: &[u8]) -> Played {
    let whole = play("http://p", answer, usize::MAX);
    for piece in 1..answer.len().clamp(2, 40) {
        let cut = play("http://p", answer, piece);
        assert_eq!(cut.end, whole.end, "{piece}");
        let said = |played: &Played| {
            played
                .events
                .iter()
                .map(|e| e.payload_json())
                .collect::<Vec<_>>()
        };
        assert_eq!(said(&cut), said(&whole), "{piece}");
    }
    whole
}

#[test]
fn rfc_d2_any_2xx_opens_and_its_framing_fields_say_nothing() {
    for answer in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 204 \r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 299 x\r\nConnection: close\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 \r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\n\n",
    ] {
        assert_eq!(at_each_cut(answer.as_bytes()).end, End::Open, "{answer}");
    }
}

#[test]
fn rfc_f20_everything_else_ends_the_attempt_with_what_was_said() {
    for (answer, status, body) in [
        (REFUSED, 403, "not here!"),
        (
            "HTTP/1.1 302 \r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n",
            302,
            "",
        ),
        ("HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", 304, ""),
        ("HTTP/1.1 502 x\r\n\r\nuntil the end", 502, "until the end"),
        (
            "HTTP/1.1 502 x\r\nContent-Length: 99\r\n\r\ncut",
            502,
            "cut",
        ),
        (
            "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n",
            503,
            "abc",
        ),
        (
            "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nbad",
            503,
            "ab",
        ),
        (
            "HTTP/1.1 503 x\r\nTransfer-Encoding: gzip\r\n\r\nzzz",
            503,
            "",
        ),
        ("HTTP/1.1 503 x\r\nContent-Length: 1, 2\r\n\r\nzzz", 503, ""),
        (
            "HTTP/1.1 100 \r\n\r\nHTTP/1.1 999 x\r\nContent-Length: 1\r\n\r\n!",
            999,
            "!",
        ),
        // X05: no reason phrase.
        ("HTTP/1.1 400\r\nContent-Length: 2\r\n\r\nno", 400, "no"),
    ] {
        let played = at_each_cut(answer.as_bytes());
        let failure = ProxyFailure::Refused(status);
        assert_eq!(
            played.end,
            End::Failed(ErrorKind::Proxy(failure)),
            "{answer}"
        );
        let error = played.error.unwrap();
        let refusal = error.proxy_refusal().unwrap();
        assert_eq!(refusal.status(), status);
        assert_eq!(refusal.body(), body.as_bytes(), "{answer}");
        let Some(EventData::ProxyConnectDone(done)) = played.events.last().map(|e| e.data()) else {
            panic!("{:?}", played.events);
        };
        assert_eq!(done.status(), Some(status));
        assert_eq!(done.body(), body.as_bytes());
        assert_eq!(done.error().unwrap().kind(), error.kind());
    }
}

#[test]
fn rfc_f20_fields_of_a_refusal_are_redacted_in_events() {
    let played = play("http://p", REFUSED.as_bytes(), 3);
    let text = played.events.last().unwrap().payload_json();
    assert!(text.contains(r#"["X-Why","rules"]"#), "{text}");
    assert!(
        text.contains(r#"["Set-Cookie","[redacted 8 B]"]"#),
        "{text}"
    );
    assert!(text.contains(r#""body":"not here!""#), "{text}");
}

#[test]
fn rfc_f20_the_first_8_kib_of_a_body_are_kept() {
    for framing in [
        "Content-Length: 20000",
        "X: until close",
        "Transfer-Encoding: chunked",
    ] {
        let mut answer = format!("HTTP/1.1 500 x\r\n{framing}\r\n\r\n");
        if framing.starts_with('T') {
            answer += "4e20\r\n";
        }
        answer += &"b".repeat(20_000);
        for piece in [usize::MAX, 1000, 8192, 1] {
            let error = play("http://p", answer.as_bytes(), piece).error.unwrap();
            assert_eq!(
                error.proxy_refusal().unwrap().body(),
                "b".repeat(8192).as_bytes()
            );
        }
    }
}

#[test]
fn credentials_are_wanted_or_refused() {
    let answer = b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
    for (proxy, failure) in [
        ("http://p", ProxyFailure::CredentialsWanted),
        ("http://me:pw@p", ProxyFailure::CredentialsRefused),
    ] {
        let played = play(proxy, answer, 11);
        assert_eq!(played.end, End::Failed(ErrorKind::Proxy(failure)));
        assert_eq!(played.error.unwrap().proxy_refusal().unwrap().status(), 407);
    }
}

#[test]
fn rfc_f21_bytes_behind_the_head_are_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n\x16",
        "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let end = play("http://p", answer.as_bytes(), usize::MAX).end;
        assert_eq!(
            end,
            End::Failed(ErrorKind::Proxy(ProxyFailure::SpokeEarly)),
            "{answer}"
        );
    }
}

#[test]
fn what_breaks_a_rule_is_told_with_its_place() {
    for (answer, rule, offset) in [
        ("SSH-2.0-x\r\n", HeadRule::NotHttp, 0),
        ("HTTP/2.0 200 OK\r\n\r\n", HeadRule::Version, 5),
        ("HTTP/1.1 20 OK\r\n\r\n", HeadRule::StatusCode, 11),
        ("HTTP/1.1 200 OK\r\nA b\r\n\r\n", HeadRule::NoColon, 17),
        ("HTTP/1.1 200 O\0K\r\n\r\n", HeadRule::Reason, 14),
    ] {
        let played = at_each_cut(answer.as_bytes());
        let End::Failed(ErrorKind::Proxy(ProxyFailure::Head {
            rule: seen,
            offset: at,
        })) = played.end
        else {
            panic!("{answer}: {:?}", played.end);
        };
        assert_eq!((seen, at), (rule, offset), "{answer}");
    }
    let end = at_each_cut(b"HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n").end;
    assert_eq!(end, End::Failed(ErrorKind::Proxy(ProxyFailure::Switched)));
}

#[test]
fn heads_without_an_end_stop_at_the_limit() {
    let long = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(200));
    let line = format!("HTTP/1.1 200 {}", "x".repeat(40_000));
    let many = "HTTP/1.1 100 \r\n\r\n".repeat(17);
    for (answer, limit) in [
        (long, Limit::FieldLines),
        (line, Limit::LineBytes),
        (many, Limit::InterimCount),
    ] {
        for piece in [usize::MAX, 100] {
            let end = play("http://p", answer.as_bytes(), piece).end;
            assert!(
                matches!(end, End::Failed(ErrorKind::Limit { limit: seen, .. }) if seen == limit),
                "{limit}: {end:?}"
            );
        }
    }
    let mut rig = Rig::new();
    rig.rules.limits.interim_bytes = 40;
    let many = "HTTP/1.1 100 \r\n\r\n".repeat(4);
    let end = play_with(rig, "http://p", many.as_bytes(), || usize::MAX).end;
    let limit = Limit::InterimBytes;
    assert_eq!(end, End::Failed(ErrorKind::Limit { limit, max: 40 }));
}

#[test]
fn interim_responses_and_deviations_are_reported() {
    let answer = "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103\r\n\r\nHTTP/1.1 200\nA: b\n\n";
    let played = play("http://p", answer.as_bytes(), usize::MAX);
    let Some(EventData::ProxyConnectDone(done)) = played.events.last().map(|e| e.data()) else {
        panic!("{:?}", played.events);
    };
    assert_eq!(done.interim(), [100, 103]);
    assert_eq!(done.anomalies(), [Anomaly::NoReason, Anomaly::BareLf]);
    assert_eq!(done.fields().get("a"), Some(&b"b"[..]));
    assert_eq!(
        played.events.first().unwrap().kind(),
        EventKind::ProxyConnectStart
    );

    let mut rig = Rig::new();
    rig.rules.strictness = Strictness::Strict;
    let end = play_with(rig, "http://p", b"HTTP/1.1 200\r\n\r\n", || 4).end;
    let rule = HeadRule::StatusLine;
    let failure = ProxyFailure::Head { rule, offset: 12 };
    assert_eq!(end, End::Failed(ErrorKind::Proxy(failure)));
}

#[test]
fn a_refusal_that_is_reset_inside_its_body_is_a_refusal() {
    let check = |answer: &str, expected: ErrorKind| {
        let mut rig = Rig::new();
        let mut tunnel = rig.begin("http://p", "h", 443).unwrap();
        let fed = rig.feed(&mut tunnel, answer.as_bytes());
        assert!(matches!(fed, Progress::GoesOn), "{fed:?}");
        let Progress::Failed(error) = rig.reset(&mut tunnel) else {
            panic!("{answer:?}");
        };
        assert_eq!(error.kind(), expected);
        let status = error.proxy_refusal().map(|refusal| refusal.status());
        assert_eq!(status.is_some(), answer.contains("403"));
        rig.dial_events(false);
    };
    let reset = ErrorKind::io(&std::io::ErrorKind::ConnectionReset.into());
    check("HTTP/1.1 40", reset);
    let refused = ErrorKind::Proxy(ProxyFailure::Refused(403));
    check("HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nforb", refused);
}
