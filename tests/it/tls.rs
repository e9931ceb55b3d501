//! HTTP over TLS: who is spoken to, and how a connection ends.

use std::io::Read;

use wirescope::error::TlsFailure;
use wirescope::event::EventKind;
use wirescope::testkit::peer::TlsVersions;
use wirescope::testkit::{Authority, Gate, Peer, PeerBuilder, Script, ServerIdentity, Validity};
use wirescope::{ErrorKind, Phase, TlsConfig};

use crate::harness::{Lab, PATIENCE, authority, echo_target, ok, once, run, serve, trusting};

/// Asserts that no connection is made to this peer, for this reason, and that not a byte of the request leaves.
#[track_caller]
fn refused(peer: PeerBuilder, tls: TlsConfig, failure: TlsFailure) {
    let lab = Lab::with(peer, |client| client.tls(tls));
    let request = lab.client.get(&lab.peer.https_url("/")).unwrap();
    let error = run(request.header("X-Secret", "s").unwrap()).unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Tls(failure), Phase::Tls)
    );
    assert_eq!(lab.peer.request_count(), 0);
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::TlsHandshakeStart).len(), 1);
    assert_eq!(seen.only(EventKind::TlsHandshakeDone).len(), 1);
    seen.none(EventKind::GotConn);
    seen.assert_sequence([
        "tls_handshake_start",
        "tls_handshake_done",
        "dial_done",
        "get_conn_failed kind=tls",
        "call_done kind=tls",
    ]);
}

#[test]
fn rfc_g3_rfc_g4_s01_bad_certificates_end_the_attempt_with_a_typed_error() {
    let authority = authority();
    let tls = |identity: ServerIdentity| Peer::builder().tls(identity).script(serve(ok("x")));
    let names = &["127.0.0.1"];
    let trusted = trusting(authority);
    let other = authority.issue(&["127.0.0.2", "localhost"]).unwrap();
    refused(tls(other), trusted.clone(), TlsFailure::NameMismatch);
    let unknown = Authority::new().unwrap().issue(names).unwrap();
    refused(tls(unknown), trusted.clone(), TlsFailure::UnknownAuthority);
    let own = ServerIdentity::self_signed(names).unwrap();
    let (got, _) = {
        let lab = Lab::with(tls(own), |client| client.tls(trusted.clone()));
        (lab.get("/"), lab.finish_unfollowed())
    };
    assert!(matches!(got.unwrap_err().kind(), ErrorKind::Tls(_)));
    let expired = authority.issue_with(names, Validity::Expired).unwrap();
    refused(tls(expired), trusted.clone(), TlsFailure::Expired);
    let future = authority.issue_with(names, Validity::NotYet).unwrap();
    refused(tls(future), trusted, TlsFailure::NotYetValid);
    let good = authority.issue(names).unwrap();
    refused(tls(good), TlsConfig::new(), TlsFailure::UnknownAuthority);
}

#[test]
fn rfc_g2_a_common_name_is_never_a_match() {
    let (authority, host) = (authority(), "peer.example");
    let peer = |identity: ServerIdentity| {
        let peer = Peer::builder().tls(identity).host(host);
        peer.script(serve(ok("x")))
    };
    let named = |client: wirescope::ClientBuilder| {
        let localhost = std::net::Ipv4Addr::LOCALHOST.into();
        client
            .tls(trusting(authority))
            .resolver(wirescope::resolver::from_fn(move |_| Ok(vec![localhost])))
    };
    for names in [&[][..], &["other.example"], &["127.0.0.1"]] {
        let identity = authority.issue_to(host, names).unwrap();
        let lab = Lab::with(peer(identity), named);
        let error = lab.get("/").unwrap_err();
        let kind = ErrorKind::Tls(TlsFailure::NameMismatch);
        assert_eq!(
            (error.kind(), error.phase()),
            (kind, Phase::Tls),
            "{names:?}"
        );
        assert_eq!(lab.peer.request_count(), 0);
        lab.finish_unfollowed();
    }
    let identity = authority.issue_to("other.example", &[host]).unwrap();
    let lab = Lab::with(peer(identity), named);
    let response = lab.request("GET", "/").send().unwrap();
    let own = response.tls().unwrap().certificates()[0]
        .subject()
        .to_string();
    assert!(
        own.contains("other.example"),
        "the common name is there: {own}"
    );
    drop(response);
    lab.finish();
}

#[test]
fn rfc_e16_s07_all_data_goes_through_tls_behind_the_handshake() {
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let identity = authority().issue(&["127.0.0.1"]).unwrap();
        let peer = Peer::builder()
            .script(echo_target())
            .tls(identity)
            .tls_versions(versions);
        let lab = Lab::with(peer, |client| client.tls(trusting(authority())));
        for round in 0..3 {
            let got = lab.get("/x").unwrap();
            assert_eq!((got.text(), got.reused), ("/x", round > 0));
        }
        let response = lab.request("GET", "/").send().unwrap();
        assert!(response.tls().is_some());
        drop(response);
        let handshake = lab.peer.handshakes().remove(0);
        assert_eq!(handshake.error, None);
        assert_eq!(handshake.protocol.as_deref(), Some(b"http/1.1".as_slice()));
        let seen = lab.finish();
        seen.assert_sequence([
            "connect_done outcome=connected",
            "tls_handshake_start",
            "tls_handshake_done",
            "conn_opened tls=true",
            "dial_done",
            "got_conn reused=false",
            "wrote_header_field",
            "put_idle_conn error=null",
            "got_conn reused=true",
        ]);
    }
}

#[test]
fn rfc_g6_s05_a_name_is_sent_and_an_address_is_not() {
    let lab = Lab::tls([serve(ok("x"))]);
    let request = lab.request("GET", "/").header("Host", "other.example");
    run(request.unwrap()).unwrap();
    assert_eq!(lab.peer.handshakes()[0].server_name, None);
    lab.finish();
    let identity = authority().issue(&["peer.example"]).unwrap();
    let peer = Peer::builder()
        .script(serve(ok("x")))
        .tls(identity)
        .host("peer.example");
    let peer_client = |client: wirescope::ClientBuilder| {
        let localhost = [std::net::Ipv4Addr::LOCALHOST.into()];
        let client = client.tls(trusting(authority()));
        client.resolver(wirescope::resolver::from_fn(
            move |_| Ok(localhost.to_vec()),
        ))
    };
    let lab = Lab::with(peer, peer_client);
    let request = lab.request("GET", "/").header("Host", "other.example");
    run(request.unwrap()).unwrap();
    assert_eq!(
        lab.peer.handshakes()[0].server_name.as_deref(),
        Some("peer.example")
    );
    lab.finish();
}

#[test]
fn rfc_e17_close_notify_goes_before_the_end_of_the_connection() {
    for close in [true, false] {
        let script = once(ok("x")).expect_close_notify();
        let lab = Lab::tls([script]);
        let mut request = lab.request("GET", "/");
        if close {
            request = request.header("Connection", "close").unwrap();
        }
        run(request).unwrap();
        lab.client.close_idle();
        assert!(lab.peer.wait_until_closed(PATIENCE));
        lab.finish();
    }
    let script = once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx").expect_close_notify();
    let lab = Lab::tls([script]);
    drop(lab.request("GET", "/").send().unwrap());
    lab.finish();
}

#[test]
fn rfc_e18_rfc_d12_s08_without_close_notify_only_a_known_end_is_an_end() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for complete in [ok("ok"), chunked.to_owned()] {
        let lab = Lab::tls([once(complete).close(), echo_target()]);
        assert_eq!(lab.get("/").unwrap().text(), "ok");
        assert!(lab.peer.wait_until_closed(PATIENCE));
        assert_eq!(lab.get("/second").unwrap().text(), "/second");
        lab.finish();
    }
    let open = "HTTP/1.1 200 OK\r\n\r\nhello";
    let lab = Lab::tls([once(open).close()]);
    let mut response = lab.request("GET", "/").send().unwrap();
    let mut body = Vec::new();
    assert!(response.read_to_end(&mut body).is_err());
    assert_eq!(body, b"hello");
    drop(response);
    let seen = lab.finish();
    seen.assert_sequence([
        "response_body_done how=error",
        "call_done kind=peer_tls_truncated",
    ]);
    let lab = Lab::tls([once(open).close_notify().close()]);
    assert_eq!(lab.get("/").unwrap().text(), "hello");
    let seen = lab.finish();
    seen.assert_sequence(["response_body_done how=delimited_by_close"]);
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        for script in [once(cut).close(), once(cut).close_notify().close()] {
            let lab = Lab::tls([script]);
            let kind = lab.get("/").unwrap_err().kind();
            assert!(
                matches!(kind, ErrorKind::PeerIncompleteBody { received: 5, .. }),
                "{kind:?}"
            );
            lab.finish();
        }
    }
}

#[test]
fn s03_a_peer_that_leaves_in_the_handshake_is_told() {
    for script in [Script::new().close(), Script::new().reset()] {
        let peer = Peer::builder().script(script);
        refused(peer, trusting(authority()), TlsFailure::Lost);
    }
}

#[test]
fn s04_an_answer_in_plain_text_is_named() {
    let plain = Script::new().send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let peer = Peer::builder().script(plain.expect_gone());
    refused(peer, trusting(authority()), TlsFailure::NotTls);
}

#[test]
fn rfc_g7_a_peer_that_wants_another_protocol_is_refused() {
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    let peer = Peer::builder().tls(identity).alpn(&["h2"]);
    let lab = Lab::with(peer, |client| client.tls(trusting(authority())));
    let kind = lab.get("/").unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Tls(TlsFailure::NoAgreement));
    lab.finish_unfollowed();
}

#[test]
fn rfc_d21_junk_on_an_idle_tls_connection_closes_it_and_a_close_is_noticed() {
    let (gate, sent) = (Gate::new(), Gate::new());
    let script = once(ok("first"))
        .wait_for(gate.clone())
        .send(ok("evil"))
        .open_gate(sent.clone())
        .expect_gone();
    let lab = Lab::tls([script, echo_target()]);
    assert_eq!(lab.get("/").unwrap().text(), "first");
    gate.open();
    assert!(sent.wait(PATIENCE));
    assert_eq!(lab.get("/second").unwrap().text(), "/second");
    let seen = lab.finish();
    seen.assert_sequence(["conn_closed reason=unsolicited_bytes"]);
    let lab = Lab::tls([once(ok("first")), echo_target()]);
    assert_eq!(lab.get("/").unwrap().text(), "first");
    assert!(lab.peer.wait_until_closed(PATIENCE));
    assert_eq!(lab.get("/second").unwrap().text(), "/second");
    let seen = lab.finish();
    seen.assert_sequence(["conn_closed reason=peer_closed_idle by=peer"]);
}

#[test]
fn large_bodies_go_both_ways_through_tls() {
    let body: Vec<u8> = (0..2_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    let script = Script::new().respond_with(|request| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            request.body.len()
        );
        [head.as_bytes(), &request.body].concat()
    });
    let lab = Lab::tls([script]);
    for _ in 0..2 {
        let got = run(lab.request("POST", "/").body(body.clone())).unwrap();
        assert!(got.body == body);
    }
    assert_eq!(lab.peer.connections(), 1);
    lab.finish();
}

#[test]
fn rfc_g8_a_wildcard_stands_for_one_whole_left_label() {
    let localhost = [std::net::Ipv4Addr::LOCALHOST.into()];
    for (names, host, is_good) in [
        (&["*.peer.example"][..], "a.peer.example", true),
        (&["*.peer.example"], "A.Peer.Example", true),
        (&["*.peer.example"], "peer.example", false),
        (&["*.peer.example"], "a.b.peer.example", false),
        (&["a*.peer.example"], "ab.peer.example", false),
        (&["*.0.0.1"], "127.0.0.1", false),
    ] {
        let Ok(identity) = authority().issue(names) else {
            continue;
        };
        let peer = Peer::builder()
            .script(serve(ok("x")))
            .tls(identity)
            .host(host);
        let lab = Lab::with(peer, |client| {
            let resolver = wirescope::resolver::from_fn(move |_| Ok(localhost.to_vec()));
            client.tls(trusting(authority())).resolver(resolver)
        });
        let got = lab.get("/");
        assert_eq!(got.is_ok(), is_good, "{names:?} {host}");
        lab.finish_unfollowed();
    }
}
