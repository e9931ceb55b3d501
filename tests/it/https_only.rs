//! A client that is for https only.

use wirescope::error::RequestRule;
use wirescope::event::RedirectRefusal;
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};
use wirescope::{ErrorKind, Phase, RedirectPolicy};

use crate::support::{trusted, watched};

#[test]
fn an_http_url_is_refused_before_any_io() {
    let peer = Peer::start(Script::new().expect_request()).unwrap();
    let (client, events) = watched(|builder| builder.https_only(true));
    let error = client.get(&peer.url("/")).unwrap().send().unwrap_err();
    let kind = ErrorKind::LocalRequest(RequestRule::HttpsOnly);
    assert_eq!((error.kind(), error.phase()), (kind, Phase::Prepare));
    drop(client);
    let seen = check(&events);
    seen.assert_sequence(["call_start", "call_done hops=0"]);
    assert_eq!(peer.request_count(), 0);
}

#[test]
fn a_redirect_to_http_is_handed_out_whatever_the_policy_says() {
    let plain = Peer::start(Script::new().expect_request()).unwrap();
    let (identity, tls) = trusted();
    let to = plain.url("/down");
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let secure = Peer::builder()
        .tls(identity)
        .script(Script::new().respond_with(move |_| answer.clone().into_bytes()))
        .start()
        .unwrap();
    let allowing = RedirectPolicy::new().allow_downgrade(true);
    let (client, events) = watched(|builder| {
        let builder = builder.https_only(true).redirects(allowing.clone());
        builder.tls(tls)
    });
    for request in [
        client.get(&secure.url("/")).unwrap(),
        client.get(&secure.url("/")).unwrap().redirects(allowing),
    ] {
        let response = request.send().unwrap();
        assert_eq!(response.status(), 302);
        let refusal = Some(RedirectRefusal::HttpsOnly);
        assert_eq!(response.redirect_refusal(), refusal);
    }
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("redirect refusal=https_only").len(), 2);
    assert_eq!(plain.request_count(), 0);
}
