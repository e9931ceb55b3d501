//! What a caller is told when the way ends at the proxy: the text names it, and the phase says where it ended.

use std::time::Duration;

use wirescope::error::{ProxyFailure, Timer, TlsFailure};
use wirescope::event::grammar::Grammar;
use wirescope::event::{Interest, Overflow, channel_with};
use wirescope::resolver::from_fn;
use wirescope::testkit::check::check_with;
use wirescope::testkit::{BlackHole, Peer, RefusedPort, Relay, Script};
use wirescope::{Client, Error, ErrorKind, EventLoop, Phase, Proxy};

use crate::harness::{SHORT, authority, trusting};

/// Sends a request through a proxy by both doors, which have to fail in the same way; the error.
#[track_caller]
fn error_of(proxy: &str, url: &str, limit: Duration) -> Error {
    let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
    let client = Client::builder()
        .observe(observer)
        .tls(trusting(authority()))
        .proxy(Proxy::parse(proxy).unwrap())
        .resolver(from_fn(|_| {
            Err(std::io::Error::other("no name is known here"))
        }))
        .connect_timeout(limit)
        .build()
        .unwrap();
    let mut event_loop = EventLoop::new(&client).unwrap();
    event_loop.submit(client.get(url).unwrap()).unwrap();
    let looped = event_loop
        .next()
        .unwrap()
        .unwrap()
        .into_result()
        .unwrap_err();
    let error = client.get(url).unwrap().send().unwrap_err();
    assert_eq!(
        (looped.kind(), looped.phase()),
        (error.kind(), error.phase())
    );
    assert_eq!(looped.proxy(), error.proxy());
    assert!(error.is_connect(), "{error}");
    drop((client, event_loop));
    check_with(Grammar::new().strict_seq(), &events);
    error
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn x09_a_proxy_that_cannot_be_reached_is_named() {
    let refused = RefusedPort::reserve().unwrap();
    for (scheme, url, target) in [
        ("http", "http://origin.test/", "origin.test:80"),
        ("http", "https://origin.test/", "origin.test:443"),
        ("https", "https://origin.test/", "origin.test:443"),
        ("socks5h", "http://origin.test/", "origin.test:80"),
    ] {
        let proxy = refused.addr();
        let error = error_of(&format!("{scheme}://{proxy}"), url, LONG);
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Connect, Phase::Connect)
        );
        assert_eq!(error.proxy(), Some(proxy.to_string().as_str()));
        let begins = format!("cannot connect to proxy {proxy} for {target}: 1 address tried");
        assert!(error.to_string().starts_with(&begins), "{error}");
    }
    let error = error_of("http://nowhere.test:3128", "http://origin.test/", LONG);
    assert!(matches!(error.kind(), ErrorKind::Lookup(_)), "{error}");
    let named = "while looking the name up, proxy nowhere.test:3128, origin.test:80";
    assert!(error.to_string().contains(named), "{error}");
    // The name behind the proxy is another matter.
    let error = error_of("socks5://127.0.0.1:1080", "http://origin.test/", LONG);
    assert!(matches!(error.kind(), ErrorKind::Lookup(_)), "{error}");
    assert_eq!(error.proxy(), None, "{error}");
}

#[test]
fn x06_x09_a_silent_proxy_ends_with_the_time_for_connections() {
    let hole = BlackHole::start().unwrap();
    let silent = Peer::start(Script::new().stall()).unwrap();
    let timeout = ErrorKind::Timeout(Timer::Connect);
    for (proxy, phase) in [
        (format!("http://{}", hole.addr()), Phase::Connect),
        (format!("http://{}", silent.addr()), Phase::Tunnel),
        (format!("socks5h://{}", silent.addr()), Phase::Tunnel),
        (format!("https://{}", silent.addr()), Phase::Tls),
    ] {
        let error = error_of(&proxy, "https://origin.test/", SHORT);
        assert_eq!((error.kind(), error.phase()), (timeout, phase), "{error}");
        let (_, authority) = proxy.split_once("//").unwrap();
        assert_eq!(error.proxy(), Some(authority), "{error}");
    }
}

#[test]
fn rfc_f20_x04_a_refusal_that_stalls_counts_as_far_as_it_came() {
    let answer = "HTTP/1.1 403 No\r\nX-Why: rules\r\nContent-Length: 9\r\n\r\nnot";
    let peer = Peer::start(Script::new().expect_request().send(answer).stall()).unwrap();
    let error = error_of(
        &format!("http://{}", peer.addr()),
        "https://origin.test/",
        SHORT,
    );
    assert_eq!(error.kind(), ErrorKind::Proxy(ProxyFailure::Refused(403)));
    let refusal = error.proxy_refusal().unwrap();
    assert_eq!((refusal.status(), refusal.body()), (403, &b"not"[..]));
    assert_eq!(refusal.fields().get("x-why"), Some(&b"rules"[..]));
}

#[test]
fn of_two_handshakes_the_error_says_which() {
    let wrong = authority().issue(&["other.test"]).unwrap();
    let proxy = Relay::https(wrong).start().unwrap();
    let named = proxy.url();
    let error = error_of(&named, "https://origin.test/", LONG);
    assert_eq!(error.kind(), ErrorKind::Tls(TlsFailure::NameMismatch));
    assert_eq!(error.proxy(), Some(proxy.addr().to_string().as_str()));

    let origin = Peer::builder()
        .tls(authority().issue(&["other.test"]).unwrap())
        .script(Script::new())
        .start()
        .unwrap();
    let right = authority().issue(&["127.0.0.1"]).unwrap();
    let proxy = Relay::https(right)
        .lead("origin.test", 443, origin.addr())
        .start()
        .unwrap();
    let error = error_of(&proxy.url(), "https://origin.test/", LONG);
    assert_eq!(error.kind(), ErrorKind::Tls(TlsFailure::NameMismatch));
    assert_eq!(error.proxy(), None, "{error}");
}
