//! Who we are to a server, what is resumed, and what is told about it: over sockets, through both doors.

use std::sync::Arc;

use wirescope::error::{RequestRule, TlsFailure};
use wirescope::message::tls::{TlsFacts, TlsHandshake, TlsVersion};
use wirescope::message::url::Scheme;
use wirescope::testkit::peer::TlsVersions;
use wirescope::testkit::{Authority, Peer, PeerBuilder};
use wirescope::{Client, Error, ErrorKind, EventLoop, Proxy, Request, TlsConfig, Url};

use crate::harness::{Lab, PATIENCE, authority, ok, serve, trusting};

/// What a call comes to, as far as TLS with the origin has a part in it.
type Met = Result<Option<Arc<TlsFacts>>, Error>;

fn through_the_client(_: &Lab, request: Request) -> Met {
    let response = request.send()?;
    Ok(response.tls().cloned())
}

fn through_the_loop(lab: &Lab, request: Request) -> Met {
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    event_loop.submit(request)?;
    let done = event_loop.next().unwrap().unwrap().into_result()?;
    Ok(done.tls().cloned())
}

const DOORS: &[fn(&Lab, Request) -> Met] = &[through_the_client, through_the_loop];

/// A peer for 127.0.0.1 that answers everything.
fn peer() -> PeerBuilder {
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    Peer::builder().tls(identity).script(serve(ok("x")))
}

/// One call on a connection of its own.
fn alone(lab: &Lab, request: Request, door: fn(&Lab, Request) -> Met) -> Met {
    let met = door(lab, request.header("Connection", "close").unwrap());
    lab.client.close_idle();
    met
}

/// The same with a client of its own, whose events nobody hears.
fn by_another(lab: &Lab, tls: &TlsConfig) -> TlsHandshake {
    let client = Client::builder().tls(tls.clone()).build().unwrap();
    let request = client.get(&lab.peer.url("/")).unwrap();
    let response = request.header("Connection", "close").unwrap().send();
    response.unwrap().tls().unwrap().handshake()
}

#[test]
fn rfc_g10_a_second_connection_resumes_and_both_events_tell() {
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        for door in DOORS {
            let tls = trusting(authority());
            let lab = Lab::with(peer().tls_versions(versions), |client| client.tls(tls));
            let first = alone(&lab, lab.request("GET", "/"), *door)
                .unwrap()
                .unwrap();
            let second = alone(&lab, lab.request("GET", "/"), *door)
                .unwrap()
                .unwrap();
            let handshakes = (first.handshake(), second.handshake());
            assert_eq!(handshakes, (TlsHandshake::Full, TlsHandshake::Resumed));
            assert_eq!(first.certificates(), second.certificates());
            let seen: Vec<_> = lab.peer.handshakes();
            assert_eq!((seen[0].is_resumed, seen[1].is_resumed), (false, true));
            lab.finish().assert_sequence([
                "tls_handshake_start resumption=false to=origin",
                "tls_handshake_done to=origin",
                "tls_handshake_start resumption=true to=origin",
                "tls_handshake_done to=origin",
            ]);
        }
    }
}

#[test]
fn rfc_g5_rfc_g10_cve_80_no_other_configuration_resumes() {
    let tls = trusting(authority());
    let lab = Lab::with(peer(), |client| client.tls(tls.clone()));
    let lax = tls.clone().danger_accept_invalid_certs(true);
    let others = [
        lax.clone(),
        lax.danger_accept_invalid_certs(false),
        tls.clone().max_version(TlsVersion::V1_3),
        tls.clone().add_ca_pem(authority().pem()).unwrap(),
        trusting(authority()),
    ];
    assert_eq!(by_another(&lab, &tls), TlsHandshake::Full);
    for other in &others {
        assert_eq!(by_another(&lab, other), TlsHandshake::Full);
        assert_eq!(by_another(&lab, other), TlsHandshake::Resumed);
        assert_eq!(by_another(&lab, &tls), TlsHandshake::Resumed);
    }
    lab.finish();
}

#[test]
fn cve_81_a_session_with_our_certificate_is_not_resumed_without_it() {
    let clients = Authority::new().unwrap();
    let own = clients.issue(&["client.example"]).unwrap();
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        for door in DOORS {
            let anonymous = trusting(authority());
            let named = anonymous.clone();
            let named = named.client_certificate_pem(own.certificate_pem(), own.key_pem());
            let peer = peer().tls_versions(versions).client_authority(&clients);
            let lab = Lab::with(peer, |client| client.tls(named.unwrap()));
            for resumed in [false, true] {
                let met = alone(&lab, lab.request("GET", "/"), *door)
                    .unwrap()
                    .unwrap();
                assert_eq!(met.handshake() == TlsHandshake::Resumed, resumed);
            }
            let nobody = Client::builder().tls(anonymous).build().unwrap();
            let error = nobody.get(&lab.peer.url("/")).unwrap().send().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tls(TlsFailure::Alert));
            assert_eq!(lab.peer.request_count(), 2);
            assert!(lab.peer.wait_until_closed(PATIENCE));
            assert!(!lab.peer.handshakes()[2].is_resumed);
            lab.finish_unfollowed();
        }
    }
}

/// A client that goes to http URLs through a peer which it also visits as an origin, under the same name and port.
fn twice_met(peer: PeerBuilder, tls: TlsConfig, proxy_tls: Option<TlsConfig>) -> Lab {
    let peer = peer.start().unwrap();
    let proxy = Proxy::parse(&peer.https_url("")).unwrap();
    let choose = move |url: &Url| Ok((url.scheme() == Scheme::Http).then(|| proxy.clone()));
    Lab::of(peer, |client| {
        let client = client.tls(tls).proxy_with(choose);
        match proxy_tls {
            Some(tls) => client.proxy_tls(tls),
            None => client,
        }
    })
}

#[test]
fn rfc_g10_cve_81_what_a_proxy_gave_is_not_offered_to_an_origin_of_its_name() {
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let tries = DOORS
            .iter()
            .flat_map(|door| [false, true].map(|is_said_twice| (door, is_said_twice)));
        for (door, is_said_twice) in tries {
            let tls = trusting(authority());
            let proxy_tls = is_said_twice.then(|| tls.clone());
            let lab = twice_met(peer().tls_versions(versions), tls, proxy_tls);
            let origin = lab.peer.url("/");
            for url in [
                "http://other.example/",
                &origin,
                &origin,
                "http://other.example/",
            ] {
                let request = lab.client.get(url).unwrap();
                let met = alone(&lab, request, *door).unwrap();
                assert_eq!(
                    met.is_some(),
                    url == origin,
                    "TLS with a proxy is not that with the origin"
                );
            }
            let seen = lab.peer.handshakes();
            let resumed: Vec<_> = seen.iter().map(|one| one.is_resumed).collect();
            assert_eq!(resumed, [false, false, true, true]);
            lab.finish().assert_sequence([
                "tls_handshake_start resumption=false to=proxy",
                "tls_handshake_start resumption=false to=origin",
                "tls_handshake_start resumption=true to=origin",
                "tls_handshake_start resumption=true to=proxy",
            ]);
        }
    }
}

#[test]
fn cve_81_our_certificate_is_for_origins_unless_it_was_set_for_proxies() {
    let clients = Authority::new().unwrap();
    let own = clients.issue(&["client.example"]).unwrap();
    let named = trusting(authority())
        .client_certificate_pem(own.certificate_pem(), own.key_pem())
        .unwrap();
    for door in DOORS {
        for is_for_proxies in [false, true] {
            let peer = peer().client_authority(&clients);
            let proxy_tls = is_for_proxies.then(|| named.clone());
            let lab = twice_met(peer, named.clone(), proxy_tls);
            alone(&lab, lab.request("GET", "/"), *door).unwrap();
            let request = lab.client.get("http://other.example/").unwrap();
            match alone(&lab, request, *door) {
                Ok(_) => assert!(is_for_proxies),
                Err(error) => {
                    assert!(!is_for_proxies);
                    assert_eq!(error.kind(), ErrorKind::Tls(TlsFailure::Alert));
                }
            }
            lab.finish_unfollowed();
        }
    }
}

#[test]
fn s07_the_response_tells_what_tls_agreed_on_whoever_listens() {
    let own = authority()
        .issue_to("peer of the test", &["127.0.0.1"])
        .unwrap();
    for (versions, version) in [
        (TlsVersions::Only12, TlsVersion::V1_2),
        (TlsVersions::Only13, TlsVersion::V1_3),
    ] {
        let peer = peer().tls(own.clone()).tls_versions(versions).start();
        let peer = peer.unwrap();
        let client = Client::builder().tls(trusting(authority())).build();
        let client = client.unwrap();
        let response = client.get(&peer.url("/")).unwrap().send().unwrap();
        let mut event_loop = EventLoop::new(&client).unwrap();
        event_loop
            .submit(client.get(&peer.url("/")).unwrap())
            .unwrap();
        let done = event_loop.next().unwrap().unwrap();
        for facts in [response.tls().unwrap(), done.tls().unwrap()] {
            assert_eq!(facts.version(), version);
            assert_eq!(facts.alpn(), Some("http/1.1"));
            // A resumption in TLS 1.2 exchanges no keys.
            if facts.handshake() == TlsHandshake::Full {
                assert_eq!(facts.key_exchange(), Some("X25519"));
            }
            assert!(facts.cipher_suite().starts_with("TLS_"), "{facts:?}");
            let [certificate] = facts.certificates() else {
                panic!("one certificate: {facts:?}");
            };
            assert_eq!(certificate.subject(), "CN=peer of the test");
            assert!(
                certificate
                    .issuer()
                    .starts_with("CN=wirescope test authority")
            );
            assert!(certificate.not_before() < certificate.not_after());
            assert_eq!(certificate.der_len(), own.certificate_der().len());
        }
    }
}

#[test]
fn an_event_loop_is_for_https_only_too() {
    let lab = Lab::with(Peer::builder(), |client| client.https_only(true));
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    let request = lab.client.get(&lab.peer.url("/")).unwrap();
    let error = match event_loop.submit(request) {
        Err(error) => error,
        Ok(_) => event_loop
            .next()
            .unwrap()
            .unwrap()
            .into_result()
            .unwrap_err(),
    };
    assert_eq!(
        error.kind(),
        ErrorKind::LocalRequest(RequestRule::HttpsOnly)
    );
    assert_eq!(lab.peer.connections(), 0);
    drop(event_loop);
    lab.finish();
}
