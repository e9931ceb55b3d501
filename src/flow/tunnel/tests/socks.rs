//! What SOCKS5 looks like, and how its answers are read.

use std::sync::Arc;

use crate::error::{ErrorKind, ProxyFailure, SocksReply, SocksRule};
use crate::event::{EventData, TunnelKind};
use crate::flow::tunnel::tests::rig::{End, Rig, play};
use crate::flow::tunnel::{Goal, Progress};
use crate::message::proxy::Proxy;

const GREETING: &[u8] = b"\x05\x01\0";
const REQUEST: &[u8] = b"\x05\x01\0\x03\x01h\x01\xbb";
const LOGIN: &[u8] = b"\x01\x02me\x02pw";
const V4_REPLY: &[u8] = b"\x05\0\0\x01\x7f\0\0\x01\0\x50";

fn failed(failure: ProxyFailure) -> End {
    End::Failed(ErrorKind::Proxy(failure))
}

#[test]
fn a_tunnel_without_credentials_takes_two_questions() {
    for reply in [
        V4_REPLY,
        b"\x05\0\0\x03\x04name\0\x50",
        b"\x05\0\0\x03\0\0\x50",
        b"\x05\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50",
    ] {
        let answer = [b"\x05\0", reply].concat();
        for piece in 1..=answer.len() {
            let played = play("socks5h://p", &answer, piece);
            assert_eq!(played.end, End::Open, "{piece} of {answer:?}");
            assert_eq!(played.sent, [GREETING, REQUEST].concat());
        }
    }
}

#[test]
fn user_and_password_are_offered_by_those_who_have_them() {
    let offer = b"\x05\x02\0\x02";
    for (answer, sent) in [
        (
            [b"\x05\x02\x01\0", V4_REPLY].concat(),
            [offer, LOGIN, REQUEST].concat(),
        ),
        (
            [b"\x05\0", V4_REPLY].concat(),
            [&offer[..], REQUEST].concat(),
        ),
    ] {
        for piece in 1..=answer.len() {
            let played = play("socks5h://me:pw@p", &answer, piece);
            assert_eq!(played.end, End::Open, "{piece} of {answer:?}");
            assert_eq!(played.sent, sent);
        }
    }
}

#[test]
fn no_question_leaves_before_its_answer() {
    let proxy = Arc::new(Proxy::parse("socks5h://me:pw@p").unwrap());
    let mut rig = Rig::new();
    let mut tunnel = rig.begin_with(&proxy, "h", 443).unwrap();
    assert_eq!(rig.sent(), b"\x05\x02\0\x02");
    for (answer, question) in [(b"\x05\x02", LOGIN), (b"\x01\0", REQUEST)] {
        assert!(matches!(
            rig.feed(&mut tunnel, &answer[..1]),
            Progress::GoesOn
        ));
        assert!(rig.sent().is_empty());
        assert!(matches!(
            rig.feed(&mut tunnel, &answer[1..]),
            Progress::GoesOn
        ));
        assert_eq!(rig.sent(), question);
    }
    let progress = rig.feed(&mut tunnel, V4_REPLY);
    assert!(matches!(progress, Progress::Open), "{progress:?}");
    let events = rig.dial_events(true);
    let EventData::ProxyConnectStart(start) = events[0].data() else {
        panic!("{events:?}");
    };
    assert_eq!((start.proxy(), start.target()), ("p:1080", "h:443"));
    assert_eq!(start.kind(), TunnelKind::Socks5);
}

#[test]
fn the_target_is_a_name_or_an_address() {
    let proxy = Arc::new(Proxy::parse("socks5://p").unwrap());
    let v4 = b"\x05\x01\0\x01\xc0\0\x02\x01\0\x50".to_vec();
    let v6 = b"\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50".to_vec();
    for (host, address, request) in [
        ("h", None, b"\x05\x01\0\x03\x01h\0\x50".to_vec()),
        ("h", Some("192.0.2.1"), v4.clone()),
        ("h", Some("2001:db8::1"), v6.clone()),
        ("192.0.2.1", None, v4),
        ("2001:db8::1%eth0", None, v6),
    ] {
        let goal = Goal {
            host: host.into(),
            port: 80,
            address: address.map(|address| address.parse().unwrap()),
        };
        let mut rig = Rig::new();
        let mut tunnel = rig.begin_to(&proxy, &goal).unwrap();
        rig.sent();
        rig.feed(&mut tunnel, b"\x05\0");
        assert_eq!(rig.sent(), request, "{goal:?}");
    }
}

#[test]
fn every_refusal_has_its_reason() {
    for (proxy, answer, failure) in [
        (
            "socks5://p",
            &b"\x05\xff"[..],
            ProxyFailure::CredentialsWanted,
        ),
        (
            "socks5://u:p@p",
            b"\x05\xff",
            ProxyFailure::CredentialsRefused,
        ),
        (
            "socks5://u:p@p",
            b"\x05\x02\x01\x01",
            ProxyFailure::CredentialsRefused,
        ),
        (
            "socks5://p",
            b"\x04",
            ProxyFailure::SocksAnswer(SocksRule::Version),
        ),
        (
            "socks5://p",
            b"HTTP/1.1 400",
            ProxyFailure::SocksAnswer(SocksRule::Version),
        ),
        (
            "socks5://p",
            b"\x05\x02",
            ProxyFailure::SocksAnswer(SocksRule::Method),
        ),
        (
            "socks5://u:p@p",
            b"\x05\x01",
            ProxyFailure::SocksAnswer(SocksRule::Method),
        ),
        (
            "socks5://u:p@p",
            b"\x05\x02\x05",
            ProxyFailure::SocksAnswer(SocksRule::LoginVersion),
        ),
        (
            "socks5://p",
            b"\x05\0\x04",
            ProxyFailure::SocksAnswer(SocksRule::Version),
        ),
        (
            "socks5://p",
            b"\x05\0\x05\0\x01",
            ProxyFailure::SocksAnswer(SocksRule::Reserved),
        ),
        (
            "socks5://p",
            b"\x05\0\x05\0\0\x02",
            ProxyFailure::SocksAnswer(SocksRule::AddressType),
        ),
    ] {
        for piece in 1..=answer.len() {
            let end = play(proxy, answer, piece).end;
            assert_eq!(end, failed(failure), "{piece} of {answer:?}");
        }
    }
    for code in 1..=255 {
        let reply = SocksReply::of(code).unwrap();
        let answer = [5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0];
        let played = play("socks5://p", &answer, 4);
        assert_eq!(played.end, failed(ProxyFailure::Socks(reply)));
        assert!(played.error.unwrap().proxy_refusal().is_none());
    }
}

#[test]
fn rfc_f21_bytes_behind_the_last_reply_are_an_error() {
    let answer = [b"\x05\0", V4_REPLY, b"\x16"].concat();
    let end = play("socks5://p", &answer, usize::MAX).end;
    assert_eq!(end, failed(ProxyFailure::SpokeEarly));
}

#[test]
fn an_answer_that_is_cut_is_no_tunnel() {
    let answer = [b"\x05\x02\x01\0", V4_REPLY].concat();
    for cut in 0..answer.len() {
        let received = cut as u64;
        for piece in [1, usize::MAX] {
            let end = play("socks5://u:p@p", &answer[..cut], piece).end;
            assert_eq!(end, failed(ProxyFailure::Ended { received }), "{cut}");
        }
    }
}
