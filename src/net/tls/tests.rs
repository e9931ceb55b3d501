//! A client stage against a server of rustls, in memory.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::stage::{HANDSHAKE_BYTES_MAX, QUIET_BYTES_MAX, WRITE_BATCH};
use super::*;
use crate::error::ErrorKind;
use crate::message::tls::{TlsFacts, TlsHandshake, TlsRole, TlsVersion};

/// An authority of the test, and what it signs.
struct Authority {
    cert: Certificate,
    key: KeyPair,
}

/// A chain and its key, as a server shows it.
type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        Self::named("authority, of the test")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self {
            cert: params.self_signed(&key).unwrap(),
            key,
        }
    }

    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let key = KeyPair::generate().unwrap();
        let params = params(names, change);
        let cert = params.signed_by(&key, &self.cert, &self.key).unwrap();
        (
            vec![cert.der().clone()],
            key.serialize_der().try_into().unwrap(),
        )
    }

    /// A client's settings that trust this authority alone.
    fn config(&self) -> TlsConfig {
        TlsConfig::new()
            .builtin_roots(false)
            .add_ca_pem(self.cert.pem())
            .unwrap()
    }
}

fn params(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    change(&mut params);
    params
}

fn server(shown: Shown) -> ServerConfig {
    server_of(shown, rustls::ALL_VERSIONS)
}

fn server_of(
    (chain, key): Shown,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// A client and a server, joined.
struct Pair {
    client: TlsStage,
    server: ServerConnection,
}

impl Pair {
    fn new(client: &TlsClient, server: &Arc<ServerConfig>, host: &str) -> Self {
        Self {
            client: client.start(&TlsName::new(host).unwrap()).unwrap(),
            server: ServerConnection::new(server.clone()).unwrap(),
        }
    }

    /// With an authority and a certificate for localhost.
    fn plain() -> Self {
        let authority = Authority::new();
        let shown = authority.issue(&["localhost"], |_| {});
        let client = authority.config().client().unwrap();
        let mut pair = Self::new(&client, &Arc::new(server(shown)), "localhost");
        pair.handshake().unwrap();
        pair
    }

    fn deliver(&mut self) {
        let mut wire = Vec::new();
        self.client.write_tls(&mut wire);
        assert!(!self.client.wants_write());
        let mut wire = &wire[..];
        while !wire.is_empty() {
            if self.server.read_tls(&mut wire).unwrap() == 0 {
                return;
            }
            // A server that refuses has an alert for us.
            let _ = self.server.process_new_packets();
        }
    }

    fn flight(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn handshake(&mut self) -> Result<TlsFacts, TlsError> {
        for _ in 0..10 {
            self.deliver();
            let wire = self.flight();
            self.client.read_tls(&wire)?;
            if !self.client.is_handshaking() {
                self.deliver();
                return Ok(self.client.facts().unwrap());
            }
        }
        panic!("the handshake does not end: {:?}", self.client)
    }

    /// Says something in each direction.
    fn converse(&mut self) {
        assert_eq!(self.client.write_plain(b"ping").unwrap(), 4);
        self.deliver();
        let mut text = [0; 4];
        self.server.reader().read_exact(&mut text).unwrap();
        assert_eq!(&text, b"ping");
        self.server.writer().write_all(b"pong").unwrap();
        let wire = self.flight();
        assert_eq!(self.client.read_tls(&wire), Ok(Progress::Plain));
        assert_eq!(self.client.read_plain(&mut text), Ok(PlainRead::Bytes(4)));
        assert_eq!(&text, b"pong");
        assert_eq!(self.client.read_plain(&mut text), Ok(PlainRead::NeedMore));
    }
}

impl TlsStage {
    /// [`advance`](Self::advance) with these bytes received.
    fn read_tls(&mut self, input: &[u8]) -> Result<Progress, TlsError> {
        self.incoming().extend_from_slice(input);
        self.advance()
    }

    /// Moves all that is outgoing to the end of `out`.
    fn write_tls(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.outgoing());
        self.sent(usize::MAX);
    }
}

impl TlsName {
    /// The name sent in the clear as SNI; none for an address (RFC 6066 §3).
    fn sni(&self) -> Option<&str> {
        match &self.0 {
            ServerName::DnsName(name) => Some(name.as_ref()),
            _ => None,
        }
    }
}

fn failure_of(client: &TlsConfig, server: ServerConfig, host: &str) -> TlsFailure {
    let mut pair = Pair::new(&client.client().unwrap(), &Arc::new(server), host);
    let error = pair.handshake().expect_err(host);
    assert!(!error.text.is_empty() && error.text.is_ascii(), "{error:?}");
    // Told again, and nothing more is done.
    assert_eq!(pair.client.advance(), Err(error.clone()));
    assert_eq!(pair.client.read_plain(&mut [0; 9]), Err(error.clone()));
    assert_eq!(pair.client.write_plain(b"x"), Err(error.clone()));
    assert!(pair.client.facts().is_none());
    error.failure
}

#[test]
fn both_versions_agree_and_tell_the_facts() {
    let authority = Authority::new();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let shown = authority.issue(&["localhost"], |params| {
            params.not_before = date_time_ymd(2001, 2, 3);
            params.not_after = date_time_ymd(2101, 2, 3);
        });
        let der = shown.0[0].clone();
        let config = authority.config().min_version(version).max_version(version);
        let mut pair = Pair::new(
            &config.client().unwrap(),
            &Arc::new(server(shown)),
            "localhost",
        );
        assert!(!pair.client.offers_resumption());
        assert!(pair.client.facts().is_none());
        assert_eq!(pair.client.write_plain(b"too early"), Ok(0));
        let facts = pair.handshake().unwrap();
        assert_eq!(facts.version(), version);
        assert_eq!(facts.handshake(), TlsHandshake::Full);
        assert_eq!(facts.alpn(), Some("http/1.1"));
        assert_eq!(facts.key_exchange(), Some("X25519"));
        assert_eq!(
            facts.cipher_suite(),
            match version {
                TlsVersion::V1_2 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                TlsVersion::V1_3 => "TLS_AES_256_GCM_SHA384",
            }
        );
        let [cert] = facts.certificates() else {
            panic!("one certificate")
        };
        assert_eq!(cert.subject(), "CN=localhost");
        assert!(
            cert.issuer().ends_with("CN=authority\\, of the test"),
            "{}",
            cert.issuer()
        );
        assert_eq!(cert.not_before(), Some(981_158_400));
        assert_eq!(cert.not_after(), Some(4_136_832_000));
        assert_eq!(cert.der_len(), der.len());
        let digest = ring_sha256(&der);
        assert_eq!(cert.sha256().unwrap()[..], digest[..]);
        pair.converse();
    }
}

fn ring_sha256(bytes: &[u8]) -> Vec<u8> {
    let suites = rustls::crypto::ring::default_provider().cipher_suites;
    let hash = suites.iter().find_map(|suite| match suite.suite() {
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 => suite.tls13(),
        _ => None,
    });
    hash.unwrap()
        .common
        .hash_provider
        .hash(bytes)
        .as_ref()
        .to_vec()
}

#[test]
fn rfc_e16_nothing_leaves_before_the_handshake_and_the_first_request_leaves_with_its_end() {
    let authority = Authority::new();
    let shown = authority.issue(&["localhost"], |_| {});
    let client = authority.config().client().unwrap();
    let mut pair = Pair::new(&client, &Arc::new(server(shown)), "localhost");
    assert_eq!(pair.client.write_plain(b"request"), Ok(0));
    pair.deliver();
    let wire = pair.flight();
    pair.client.read_tls(&wire).unwrap();
    assert!(!pair.client.is_handshaking() && pair.client.wants_write());
    assert!(pair.server.is_handshaking());
    assert_eq!(pair.client.write_plain(b"request"), Ok(7));
    pair.deliver();
    assert!(!pair.server.is_handshaking());
    let mut request = [0; 7];
    pair.server.reader().read_exact(&mut request).unwrap();
    assert_eq!(&request, b"request");
}

#[test]
fn rfc_g10_sessions_are_resumed_under_their_own_configuration_only() {
    let authority = Authority::new();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let mut server = server(authority.issue(&["localhost", "other.test"], |_| {}));
        server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        let server = Arc::new(server);
        let config = authority.config().max_version(version);
        let client = config.client().unwrap();
        let meet = |client: &TlsClient, host: &str| {
            let mut pair = Pair::new(client, &server, host);
            let offered = pair.client.offers_resumption();
            let facts = pair.handshake().unwrap();
            pair.converse();
            assert_eq!(facts.certificates().len(), 1);
            assert_eq!(offered, facts.handshake() == TlsHandshake::Resumed);
            facts.handshake()
        };
        assert_eq!(meet(&client, "localhost"), TlsHandshake::Full);
        assert_eq!(meet(&client, "localhost"), TlsHandshake::Resumed);
        assert_eq!(
            meet(&config.clone().client().unwrap(), "localhost"),
            TlsHandshake::Resumed
        );
        assert_eq!(meet(&client, "other.test"), TlsHandshake::Full);
        let lax = config
            .clone()
            .danger_accept_invalid_certs(true)
            .client()
            .unwrap();
        assert_eq!(meet(&lax, "localhost"), TlsHandshake::Full);
        assert_eq!(
            meet(&config.build().unwrap(), "localhost"),
            TlsHandshake::Full
        );
        assert_eq!(meet(&client, "localhost"), TlsHandshake::Resumed);
    }
}

#[test]
fn rfc_g10_cve_81_a_proxy_and_an_origin_of_one_name_have_sessions_of_their_own() {
    let authority = Authority::new();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let mut server = server(authority.issue(&["localhost"], |_| {}));
        server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        let server = Arc::new(server);
        let client = authority.config().max_version(version).client().unwrap();
        let met = |role: TlsRole| {
            let mut pair = Pair::new(&client.client(role), &server, "localhost");
            let offered = pair.client.offers_resumption();
            let facts = pair.handshake().unwrap();
            pair.converse();
            assert_eq!(offered, facts.handshake() == TlsHandshake::Resumed);
            offered
        };
        let order = [
            (TlsRole::Proxy, false),
            (TlsRole::Origin, false),
            (TlsRole::Origin, true),
            (TlsRole::Proxy, true),
        ];
        for (role, resumed) in order {
            assert_eq!(met(role), resumed, "{version} {role}");
        }
    }
}

#[test]
fn sessions_of_tls_1_2_without_tickets_are_told_by_their_id() {
    let authority = Authority::new();
    let server = server_of(
        authority.issue(&["localhost"], |_| {}),
        &[&rustls::version::TLS12],
    );
    let server = Arc::new(server);
    for newest in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let client = authority.config().max_version(newest).client().unwrap();
        for resumed in [false, true] {
            let mut pair = Pair::new(&client, &server, "localhost");
            assert_eq!(pair.client.offers_resumption(), resumed, "{newest}");
            let how = pair.handshake().unwrap().handshake();
            assert_eq!(how == TlsHandshake::Resumed, resumed, "{newest}");
        }
        let proxy = client.client(TlsRole::Proxy);
        assert!(
            !Pair::new(&proxy, &server, "localhost")
                .client
                .offers_resumption()
        );
    }
}

#[test]
fn without_resumption_every_handshake_is_full() {
    let authority = Authority::new();
    let server = Arc::new(server(authority.issue(&["localhost"], |_| {})));
    let config = authority.config().session_resumption(false);
    let client = config.client().unwrap();
    for role in [
        TlsRole::Origin,
        TlsRole::Origin,
        TlsRole::Proxy,
        TlsRole::Proxy,
    ] {
        let mut pair = Pair::new(&client.client(role), &server, "localhost");
        assert!(!pair.client.offers_resumption());
        assert_eq!(pair.handshake().unwrap().handshake(), TlsHandshake::Full);
        pair.converse();
    }
}

#[test]
fn another_round_trip_for_a_key_exchange_is_told() {
    let authority = Authority::new();
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups = vec![rustls::crypto::ring::kx_group::SECP384R1];
    let (chain, key) = authority.issue(&["localhost"], |_| {});
    let server = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let client = authority.config().client().unwrap();
    let mut pair = Pair::new(&client, &Arc::new(server), "localhost");
    let facts = pair.handshake().unwrap();
    assert_eq!(facts.handshake(), TlsHandshake::FullWithHelloRetry);
    assert_eq!(facts.key_exchange(), Some("secp384r1"));
}

#[test]
fn rfc_g9_every_role_has_the_one_verifier() {
    let (authority, stranger) = (Authority::new(), Authority::named("stranger"));
    let client = authority.config().client().unwrap();
    for role in [TlsRole::Origin, TlsRole::Proxy] {
        let client = client.client(role);
        for (names, signer, want) in [
            ("localhost", &authority, None),
            ("other.test", &authority, Some(TlsFailure::NameMismatch)),
            ("localhost", &stranger, Some(TlsFailure::UnknownAuthority)),
        ] {
            let server = Arc::new(server(signer.issue(&[names], |_| {})));
            let mut pair = Pair::new(&client, &server, "localhost");
            let failure = pair.handshake().err().map(|error| error.failure);
            assert_eq!(failure, want, "{role}");
        }
    }
}

#[test]
fn proxies_can_have_a_configuration_of_their_own() {
    let (authority, stranger) = (Authority::new(), Authority::named("stranger"));
    let lax = authority.config().danger_accept_invalid_certs(true);
    let client = lax.client_beside(Some(&stranger.config())).unwrap();
    let meet = |role: TlsRole, signer: &Authority| {
        let server = Arc::new(server(signer.issue(&["localhost"], |_| {})));
        let mut pair = Pair::new(&client.client(role), &server, "localhost");
        pair.handshake().err().map(|error| error.failure)
    };
    let unknown = Some(TlsFailure::UnknownAuthority);
    assert_eq!(meet(TlsRole::Proxy, &authority), unknown);
    assert_eq!(meet(TlsRole::Proxy, &stranger), None);
    assert_eq!(meet(TlsRole::Origin, &authority), None);
    let itself = authority.config();
    let same = itself.client_beside(Some(&itself)).unwrap();
    let server = Arc::new(server(authority.issue(&["localhost"], |_| {})));
    for (role, resumed) in [
        (TlsRole::Origin, false),
        (TlsRole::Proxy, false),
        (TlsRole::Origin, true),
        (TlsRole::Proxy, true),
    ] {
        let mut pair = Pair::new(&same.client(role), &server, "localhost");
        assert_eq!(pair.client.offers_resumption(), resumed, "{role}");
        pair.handshake().unwrap();
        pair.converse();
    }
}

#[test]
fn cve_80_each_change_of_a_setting_is_a_new_identity() {
    let authority = Authority::new();
    let config = authority.config();
    let id = |config: &TlsConfig| config.client().unwrap().id();
    assert_eq!(id(&config), id(&config));
    assert_eq!(id(&config), id(&config.clone()));
    let mut ids = vec![
        id(&config),
        config.build().unwrap().id(),
        id(&config.clone().danger_accept_invalid_certs(true)),
        id(&config.clone().danger_accept_invalid_certs(false)),
        id(&config.clone().builtin_roots(true)),
        id(&config.clone().min_version(TlsVersion::V1_3)),
        id(&config.clone().session_resumption(false)),
        id(&config.clone().session_resumption(true)),
        id(&config.clone().add_ca_pem(authority.cert.pem()).unwrap()),
        id(&TlsConfig::new()),
        id(&TlsConfig::new()),
    ];
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn rfc_g3_cve_85_bad_certificates_end_the_handshake() {
    let authority = Authority::new();
    let stranger = Authority::named("stranger");
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(2999, 1, 1);
    let client_only = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let self_signed = || {
        let key = KeyPair::generate().unwrap();
        let cert = params(&["localhost"], |_| {}).self_signed(&key).unwrap();
        (
            vec![cert.der().clone()],
            key.serialize_der().try_into().unwrap(),
        )
    };
    let authority_itself = || {
        let key = authority.key.serialize_der().try_into().unwrap();
        (vec![authority.cert.der().clone()], key)
    };
    let swapped = || {
        let (mut chain, key) = authority.issue(&["localhost"], |_| {});
        chain[0] = stranger.issue(&["localhost"], |_| {}).0.remove(0);
        (chain, key)
    };
    let bent = || {
        let (chain, key) = authority.issue(&["localhost"], |_| {});
        let mut der = chain[0].to_vec();
        *der.last_mut().unwrap() ^= 1;
        (vec![der.into()], key)
    };
    let ok = |_: &mut CertificateParams| {};
    use TlsFailure::*;
    let cases: Vec<(&str, Shown, &str, Option<TlsFailure>)> = vec![
        (
            "fits",
            authority.issue(&["localhost"], ok),
            "localhost",
            None,
        ),
        (
            "fits in another case",
            authority.issue(&["LocalHost"], ok),
            "LOCALhost",
            None,
        ),
        (
            "fits without dot",
            authority.issue(&["localhost"], ok),
            "localhost.",
            None,
        ),
        (
            "fits v4",
            authority.issue(&["127.0.0.1"], ok),
            "127.0.0.1",
            None,
        ),
        ("fits v6", authority.issue(&["::1"], ok), "[::1]", None),
        (
            "fits wildcard",
            authority.issue(&["*.a.test"], ok),
            "x.a.test",
            None,
        ),
        (
            "wrong name",
            authority.issue(&["localhost"], ok),
            "other.test",
            Some(NameMismatch),
        ),
        (
            "wrong v4",
            authority.issue(&["127.0.0.1"], ok),
            "127.0.0.2",
            Some(NameMismatch),
        ),
        (
            "wrong v6",
            authority.issue(&["::1"], ok),
            "::2",
            Some(NameMismatch),
        ),
        (
            "v4 as v6",
            authority.issue(&["127.0.0.1"], ok),
            "::ffff:127.0.0.1",
            Some(NameMismatch),
        ),
        (
            "name for v4",
            authority.issue(&["localhost"], ok),
            "127.0.0.1",
            Some(NameMismatch),
        ),
        (
            "common name only",
            authority.issue(&[], ok),
            "localhost",
            Some(NameMismatch),
        ),
        (
            "wildcard is one label",
            authority.issue(&["*.a.test"], ok),
            "x.y.a.test",
            Some(NameMismatch),
        ),
        (
            "wildcard is a label",
            authority.issue(&["*.a.test"], ok),
            "a.test",
            Some(NameMismatch),
        ),
        (
            "expired",
            authority.issue(&["localhost"], expired),
            "localhost",
            Some(Expired),
        ),
        (
            "future",
            authority.issue(&["localhost"], future),
            "localhost",
            Some(NotYetValid),
        ),
        (
            "unknown",
            stranger.issue(&["localhost"], ok),
            "localhost",
            Some(UnknownAuthority),
        ),
        (
            "self-signed",
            self_signed(),
            "localhost",
            Some(UnknownAuthority),
        ),
        (
            "authority itself",
            authority_itself(),
            "localhost",
            Some(BadCertificate),
        ),
        (
            "purpose",
            authority.issue(&["localhost"], client_only),
            "localhost",
            Some(WrongPurpose),
        ),
        ("bent signature", bent(), "localhost", Some(BadSignature)),
        (
            "key of another",
            swapped(),
            "localhost",
            Some(UnknownAuthority),
        ),
    ];
    for (case, shown, host, want) in cases {
        let server = unchecked_server(shown);
        let config = authority.config();
        match want {
            Some(want) => assert_eq!(failure_of(&config, server, host), want, "{case}"),
            None => {
                let mut pair = Pair::new(&config.client().unwrap(), &Arc::new(server), host);
                pair.handshake().expect(case);
                pair.converse();
            }
        }
    }
}

/// A server that does not ask whether its key and its certificate belong together.
fn unchecked_server((chain, key): Shown) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(chain, key);
    let resolver = rustls::sign::SingleCertAndKey::from(certified);
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

#[test]
fn the_peer_learns_why_it_was_refused() {
    let (authority, stranger) = (Authority::new(), Authority::named("stranger"));
    let shown = stranger.issue(&["localhost"], |_| {});
    let client = authority.config().client().unwrap();
    let mut pair = Pair::new(&client, &Arc::new(server(shown)), "localhost");
    pair.handshake().unwrap_err();
    let mut wire = Vec::new();
    pair.client.write_tls(&mut wire);
    pair.server.read_tls(&mut &wire[..]).unwrap();
    let error = pair.server.process_new_packets().unwrap_err();
    assert_eq!(
        error,
        rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA)
    );
    // The alert has taken the place of a close_notify.
    pair.client.send_close_notify();
    assert!(!pair.client.wants_write());
}

#[test]
fn rfc_g5_invalid_certificates_are_accepted_only_when_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::named("stranger"));
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let shown = || stranger.issue(&["other.test"], expired);
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let strict = authority.config().max_version(version);
        assert_eq!(
            failure_of(&strict, server(shown()), "localhost"),
            TlsFailure::Expired
        );
        let lax = strict.danger_accept_invalid_certs(true);
        let mut pair = Pair::new(
            &lax.client().unwrap(),
            &Arc::new(server(shown())),
            "localhost",
        );
        pair.handshake().unwrap();
        pair.converse();
        // Who has no key of the certificate is refused all the same.
        let (chain, _) = shown();
        let key = KeyPair::generate()
            .unwrap()
            .serialize_der()
            .try_into()
            .unwrap();
        assert_eq!(
            failure_of(&lax, unchecked_server((chain, key)), "localhost"),
            TlsFailure::BadSignature
        );
        let strict = lax.danger_accept_invalid_certs(false);
        assert_eq!(
            failure_of(&strict, server(shown()), "localhost"),
            TlsFailure::Expired
        );
    }
}

#[test]
fn rfc_g7_another_protocol_is_no_agreement() {
    let authority = Authority::new();
    let shown = || authority.issue(&["localhost"], |_| {});
    let config = authority.config();
    let mut only_h2 = server(shown());
    only_h2.alpn_protocols = vec![b"h2".to_vec()];
    assert_eq!(
        failure_of(&config, only_h2, "localhost"),
        TlsFailure::NoAgreement
    );
    let mut silent = server(shown());
    silent.alpn_protocols.clear();
    let mut pair = Pair::new(&config.client().unwrap(), &Arc::new(silent), "localhost");
    assert_eq!(pair.handshake().unwrap().alpn(), None);
    let hello = {
        let stage = config
            .client()
            .unwrap()
            .start(&TlsName::new("localhost").unwrap())
            .unwrap();
        stage.outgoing().to_vec()
    };
    let offer = b"\x00\x10\x00\x0b\x00\x09\x08http/1.1";
    assert!(hello.windows(offer.len()).any(|window| window == offer));
}

#[test]
fn versions_without_overlap_are_no_agreement() {
    let authority = Authority::new();
    let shown = authority.issue(&["localhost"], |_| {});
    let config = authority.config().min_version(TlsVersion::V1_3);
    let old = server_of(shown, &[&rustls::version::TLS12]);
    assert_eq!(
        failure_of(&config, old, "localhost"),
        TlsFailure::NoAgreement
    );
}

#[test]
fn rfc_g1_rfc_g6_names() {
    let check = |host: &str, want: Option<Option<&str>>| {
        let name = TlsName::new(host);
        assert_eq!(name.as_ref().ok().map(TlsName::sni), want, "{host}");
    };
    check("localhost", Some(Some("localhost")));
    check("Example.COM.", Some(Some("example.com")));
    check("xn--mller-kva.example", Some(Some("xn--mller-kva.example")));
    check("a_b.example", Some(Some("a_b.example")));
    check("127.0.0.1", Some(None));
    check("::1", Some(None));
    check("[::1]", Some(None));
    check("fe80::1%eth0", Some(None));
    check("[fe80::1%25eth0]", Some(None));
    for host in [
        "",
        ".",
        "..",
        "a..",
        "a..b",
        ".a",
        "-a",
        "a b",
        "m\u{fc}ller.example",
        "a/b",
        "a:1",
    ] {
        check(host, None);
    }
    check("*.example", None);
    check("1.2.3.4.5", None);
    check("[localhost]", None);
    check(&format!("{}.example", "x".repeat(64)), None);
    check(&"x.".repeat(130), None);
    let address: IpAddr = "::1".parse().unwrap();
    assert_eq!(TlsName::ip(address), TlsName::new("[::1]"));
}

#[test]
fn rfc_g6_sni_is_the_name_and_never_an_address() {
    let authority = Authority::new();
    let client = authority.config().client().unwrap();
    for (host, want) in [
        ("localhost.", Some("localhost")),
        ("127.0.0.1", None),
        ("[::1]", None),
    ] {
        let shown = authority.issue(&["localhost", "127.0.0.1", "::1"], |_| {});
        let mut pair = Pair::new(&client, &Arc::new(server(shown)), host);
        pair.handshake().unwrap();
        assert_eq!(pair.server.server_name(), want);
    }
}

#[test]
fn a_mebibyte_each_way_in_batches() {
    let data: Vec<u8> = (0..1u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut pair = Pair::plain();
    let (mut sent, mut got) = (0, Vec::new());
    while sent < data.len() {
        let taken = pair.client.write_plain(&data[sent..]).unwrap();
        assert!(taken == WRITE_BATCH, "each batch is whole: {taken}");
        sent += taken;
        // What waits is bounded even if nobody sends it.
        if pair.client.write_plain(&data[sent..]).unwrap() > 0 {
            sent += WRITE_BATCH.min(data.len() - sent);
            assert_eq!(pair.client.write_plain(b"x"), Ok(0));
        }
        let mut wire = Vec::new();
        pair.client.write_tls(&mut wire);
        let mut wire = &wire[..];
        while !wire.is_empty() {
            pair.server.read_tls(&mut wire).unwrap();
            pair.server.process_new_packets().unwrap();
            let _ = pair.server.reader().read_to_end(&mut got);
        }
    }
    assert!(got == data);

    let (mut sent, mut got) = (0, Vec::new());
    let mut room = vec![0; 40_000];
    while got.len() < data.len() {
        sent += pair.server.writer().write(&data[sent..]).unwrap();
        let wire = pair.flight();
        pair.client.incoming().extend_from_slice(&wire);
        while let PlainRead::Bytes(bytes) = pair.client.read_plain(&mut room).unwrap() {
            got.extend_from_slice(&room[..bytes]);
        }
    }
    assert!(got == data);
    let buffer = pair.client.give_up();
    assert!(buffer.is_empty() && buffer.capacity() > 0);
    assert_eq!(pair.client.incoming().capacity(), 0);
    pair.converse();
}

#[test]
fn unread_data_does_not_stop_writing() {
    let mut pair = Pair::plain();
    pair.server.writer().write_all(&[7; 30_000]).unwrap();
    let wire = pair.flight();
    pair.client.incoming().extend_from_slice(&wire);
    assert_eq!(pair.client.write_plain(b"upload"), Ok(6));
    pair.deliver();
    let mut text = [0; 6];
    pair.server.reader().read_exact(&mut text).unwrap();
    let mut got = Vec::new();
    let mut room = [0; 999];
    while let Ok(PlainRead::Bytes(bytes)) = pair.client.read_plain(&mut room) {
        got.extend_from_slice(&room[..bytes]);
    }
    assert_eq!(got, [7; 30_000]);
}

#[test]
fn rfc_e17_close_notify_is_sent_once() {
    let mut pair = Pair::plain();
    pair.client.send_close_notify();
    pair.client.send_close_notify();
    let mut wire = Vec::new();
    pair.client.write_tls(&mut wire);
    assert!(wire.len() < 64, "{}", wire.len());
    pair.server.read_tls(&mut &wire[..]).unwrap();
    assert!(pair.server.process_new_packets().unwrap().peer_has_closed());
    // The other direction still works.
    pair.server.writer().write_all(b"late").unwrap();
    let wire = pair.flight();
    pair.client.read_tls(&wire).unwrap();
    assert_eq!(pair.client.read_plain(&mut [0; 9]), Ok(PlainRead::Bytes(4)));
}

#[test]
fn rfc_e18_cve_49_close_notify_is_told_from_truncation() {
    let mut pair = Pair::plain();
    pair.server.writer().write_all(b"all").unwrap();
    pair.server.send_close_notify();
    let mut wire = pair.flight();
    wire.extend_from_slice(b"whatever follows is ignored");
    assert_eq!(pair.client.read_tls(&wire), Ok(Progress::Plain));
    assert!(!pair.client.eof_is_clean());
    assert_eq!(pair.client.read_plain(&mut [0; 9]), Ok(PlainRead::Bytes(3)));
    for _ in 0..3 {
        assert_eq!(pair.client.read_plain(&mut [0; 9]), Ok(PlainRead::Closed));
        assert_eq!(pair.client.read_tls(b"still ignored"), Ok(Progress::Closed));
        assert!(pair.client.eof_is_clean());
    }
    pair.client.send_close_notify();
    assert_eq!(pair.client.read_plain(&mut [0; 9]), Ok(PlainRead::Closed));
    assert!(pair.client.wants_write());

    let mut pair = Pair::plain();
    pair.server.writer().write_all(b"some").unwrap();
    let wire = pair.flight();
    pair.client.read_tls(&wire[..wire.len() - 1]).unwrap();
    assert_eq!(pair.client.advance(), Ok(Progress::Partial));
    assert_eq!(pair.client.read_plain(&mut [0; 9]), Ok(PlainRead::NeedMore));
    assert!(!pair.client.eof_is_clean());
}

#[test]
fn an_idle_connection_tells_tickets_from_data() {
    let authority = Authority::new();
    let mut config = server(authority.issue(&["localhost"], |_| {}));
    config.send_tls13_tickets = 4;
    let client = authority.config().client().unwrap();
    let mut pair = Pair::new(&client, &Arc::new(config), "localhost");
    pair.handshake().unwrap();
    let tickets = pair.flight();
    assert!(tickets.len() > 200);
    assert_eq!(pair.client.read_tls(&tickets), Ok(Progress::Quiet));
    pair.server.refresh_traffic_keys().unwrap();
    pair.server.writer().write_all(b"unasked").unwrap();
    let wire = pair.flight();
    assert_eq!(pair.client.read_tls(&wire), Ok(Progress::Plain));
}

#[test]
fn what_is_not_tls_is_told() {
    let authority = Authority::new();
    let client = authority.config().client().unwrap();
    let cases: &[(&[u8], TlsFailure, Option<u8>)] = &[
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            TlsFailure::NotTls,
            None,
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", TlsFailure::NotTls, None),
        (&[0; 64], TlsFailure::NotTls, None),
        (&[0xff; 64], TlsFailure::NotTls, None),
        (b"\x16junk and more junk", TlsFailure::NotTls, None),
        (b"\x16\x03\x03\xff\xff........", TlsFailure::Protocol, None),
        (
            b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
            TlsFailure::Protocol,
            None,
        ),
        (b"\x17\x03\x03\x00\x01x", TlsFailure::Protocol, None),
        (b"\x15\x03\x01\x00\x02\x02\x28", TlsFailure::Alert, Some(40)),
        (
            b"\x15\x03\x01\x00\x02\x02\x70",
            TlsFailure::Alert,
            Some(112),
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x46",
            TlsFailure::NoAgreement,
            Some(70),
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x78",
            TlsFailure::NoAgreement,
            Some(120),
        ),
    ];
    for (bytes, want, alert) in cases {
        let mut stage = client.start(&TlsName::new("localhost").unwrap()).unwrap();
        let error = stage.read_tls(bytes).unwrap_err();
        assert_eq!(
            (error.failure, error.alert),
            (*want, *alert),
            "{bytes:?} {error}"
        );
        let mut stage = client.start(&TlsName::new("localhost").unwrap()).unwrap();
        let by_byte = bytes
            .iter()
            .find_map(|byte| stage.read_tls(&[*byte]).err())
            .unwrap();
        assert_eq!(by_byte.failure, *want, "{bytes:?}");
    }
}

/// Splits a flight into its records.
fn records(mut wire: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while wire.len() >= 5 {
        let len = 5 + usize::from(u16::from_be_bytes([wire[3], wire[4]]));
        records.push(&wire[..len]);
        wire = &wire[len..];
    }
    records
}

#[test]
fn rfc_e18_a_handshake_cut_anywhere_is_not_complete() {
    let authority = Authority::new();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let shown = authority.issue(&["localhost"], |_| {});
        let client = authority.config().max_version(version).client().unwrap();
        let server = Arc::new(server(shown));
        let mut pair = Pair::new(&client, &server, "localhost");
        pair.deliver();
        let flight = pair.flight();
        let records = records(&flight);
        assert!(!records.is_empty());
        for cut in 0..records.len() {
            let mut stage = Pair::new(&client, &server, "localhost").client;
            // The hello differs, so only what is in the clear can be read; it must never be taken as an end.
            let _ = stage.read_tls(&records[..cut].concat());
            assert!(stage.is_handshaking() && !stage.eof_is_clean());
            assert!(stage.facts().is_none());
            assert!(matches!(stage.write_plain(b"x"), Ok(0) | Err(_)));
        }
        for (index, record) in records.iter().enumerate() {
            let progress = pair.client.read_tls(record).unwrap();
            let last = index + 1 == records.len() && version == TlsVersion::V1_3;
            assert_eq!(progress == Progress::Handshaking, !last, "{index}");
            assert!(!pair.client.eof_is_clean());
        }
    }
}

#[test]
fn cve_52_a_flood_of_key_updates_ends() {
    let mut pair = Pair::plain();
    let mut error = None;
    for _ in 0..100 {
        pair.server.refresh_traffic_keys().unwrap();
        let wire = pair.flight();
        error = pair.client.read_tls(&wire).err();
        if error.is_some() {
            break;
        }
    }
    assert_eq!(error.unwrap().failure, TlsFailure::Protocol);
}

#[test]
fn cve_52_a_flood_of_tickets_ends() {
    let authority = Authority::new();
    let mut config = server(authority.issue(&["localhost"], |_| {}));
    config.send_tls13_tickets = 2_000;
    let client = authority.config().client().unwrap();
    let mut pair = Pair::new(&client, &Arc::new(config), "localhost");
    pair.handshake().unwrap();
    let wire = pair.flight();
    assert!(wire.len() > 2 * QUIET_BYTES_MAX, "{}", wire.len());
    let mut fed = 0;
    let error = wire.chunks(4096).find_map(|chunk| {
        fed += chunk.len();
        pair.client.read_tls(chunk).err()
    });
    assert_eq!(error.unwrap().failure, TlsFailure::Protocol);
    // A record counts once it is complete.
    assert!(fed <= QUIET_BYTES_MAX + 2 * 17 * 1024, "{fed}");
}

#[test]
fn cve_52_a_handshake_without_an_end_ends() {
    let authority = Authority::new();
    let client = authority.config().client().unwrap();
    // Fragments of one byte of a message that says it is large.
    let mut stage = client.start(&TlsName::new("localhost").unwrap()).unwrap();
    let mut fed = 0;
    let error = loop {
        let record: &[u8] = match fed {
            0 => b"\x16\x03\x03\x00\x04\x02\x00\xff\xf0",
            _ => b"\x16\x03\x03\x00\x01x",
        };
        fed += record.len();
        if let Err(error) = stage.read_tls(record) {
            break error;
        }
        assert!(fed < 2 * HANDSHAKE_BYTES_MAX);
    };
    assert_eq!(error.failure, TlsFailure::Protocol);
}

#[test]
fn settings_are_refused_where_they_are_made() {
    let kind = |result: Result<TlsConfig, crate::error::Error>| result.unwrap_err().kind();
    let config = ErrorKind::Tls(TlsFailure::Config);
    let none = ErrorKind::Tls(TlsFailure::NoCertificate);
    assert_eq!(kind(TlsConfig::new().add_ca_pem(b"")), none);
    let not_a_cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let unusable = ErrorKind::Tls(TlsFailure::UnusableCertificate);
    assert_eq!(kind(TlsConfig::new().add_ca_pem(not_a_cert)), unusable);
    assert_eq!(
        kind(TlsConfig::new().add_ca_file("/nowhere/ca.pem")),
        ErrorKind::LocalFile
    );
    let nobody = TlsConfig::new().builtin_roots(false).client();
    assert_eq!(nobody.unwrap_err().kind(), config);
    let none = TlsConfig::new()
        .min_version(TlsVersion::V1_3)
        .max_version(TlsVersion::V1_2);
    assert_eq!(none.client().unwrap_err().kind(), config);
    TlsConfig::default().client().unwrap();
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    let authority = Authority::new();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.cert.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let (chain, key) = authority.issue(&["localhost"], |_| {});
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let server = Arc::new(server);

    let key = KeyPair::generate().unwrap();
    let cert = params(&["client.test"], |_| {}).signed_by(&key, &authority.cert, &authority.key);
    let cert = cert.unwrap();
    let both = cert.pem() + &key.serialize_pem();
    let config = authority.config();
    let pem = config.clone().client_certificate_pem(&both, &both).unwrap();
    assert!(!format!("{pem:?}").contains("PRIVATE"));
    let der = config.clone();
    let der = der.client_certificate_der(&[cert.der()], &key.serialize_der());
    for config in [&pem, &der.unwrap()] {
        let mut pair = Pair::new(&config.client().unwrap(), &server, "localhost");
        pair.handshake().unwrap();
        pair.converse();
    }

    // Nobody has one to show, or has it for a proxy.
    let (nobody, somebody) = (config.client().unwrap(), pem.client().unwrap());
    for client in [nobody, somebody.client(TlsRole::Proxy)] {
        let mut pair = Pair::new(&client, &server, "localhost");
        pair.handshake().unwrap();
        let wire = pair.flight();
        let error = pair.client.read_tls(&wire).unwrap_err();
        assert_eq!((error.failure, error.alert), (TlsFailure::Alert, Some(116)));
    }
}

#[test]
fn a_client_certificate_that_cannot_be_used_says_why() {
    use TlsFailure::*;
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let cert = params(&["client.test"], |_| {}).signed_by(&key, &authority.cert, &authority.key);
    let cert = cert.unwrap();
    let (pem, key_pem) = (cert.pem(), key.serialize_pem());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let pkcs8 =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                 AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let bent = "-----BEGIN CERTIFICATE-----\n$\n-----END CERTIFICATE-----\n";
    let short = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let (cert_der, key_der) = (&cert.der()[..], &key.serialize_der()[..]);
    let cases: &[(&[u8], &[u8], Option<TlsFailure>)] = &[
        (pem.as_bytes(), key_pem.as_bytes(), None),
        (cert_der, key_der, None),
        (b"", key_pem.as_bytes(), Some(NoCertificate)),
        (b"text", key_pem.as_bytes(), Some(NoCertificate)),
        (key_pem.as_bytes(), key_pem.as_bytes(), Some(NoCertificate)),
        (
            bent.as_bytes(),
            key_pem.as_bytes(),
            Some(UnusableCertificate),
        ),
        (
            short.as_bytes(),
            key_pem.as_bytes(),
            Some(UnusableCertificate),
        ),
        (&cert_der[1..], key_der, Some(NoCertificate)),
        (&cert_der[..99], key_der, Some(UnusableCertificate)),
        (pem.as_bytes(), b"", Some(NoKey)),
        (pem.as_bytes(), pem.as_bytes(), Some(NoKey)),
        (pem.as_bytes(), pkcs8.as_bytes(), Some(EncryptedKey)),
        (pem.as_bytes(), pkcs1.as_bytes(), Some(EncryptedKey)),
        (pem.as_bytes(), junk.as_bytes(), Some(UnusableKey)),
        (pem.as_bytes(), cert_der, Some(UnusableKey)),
        (pem.as_bytes(), &key_der[..40], Some(UnusableKey)),
        (pem.as_bytes(), other.as_bytes(), Some(KeyMismatch)),
    ];
    let dir = std::env::temp_dir().join(format!("wirescope-identity-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (cert_file, key_file) = (dir.join("cert"), dir.join("key"));
    for (index, (chain, key, want)) in cases.iter().enumerate() {
        let want = want.map(ErrorKind::Tls);
        let kind =
            |result: Result<TlsConfig, crate::error::Error>| result.err().map(|error| error.kind());
        let given = TlsConfig::new().client_certificate_pem(chain, key);
        assert_eq!(kind(given), want, "{index}");
        std::fs::write(&cert_file, chain).unwrap();
        std::fs::write(&key_file, key).unwrap();
        let Err(error) = TlsConfig::new().client_certificate_files(&cert_file, &key_file) else {
            assert_eq!(want, None, "{index}");
            continue;
        };
        assert_eq!(Some(error.kind()), want, "{index}");
        let text = error.to_string();
        let is_of = |failures: &[TlsFailure]| failures.contains(&error.tls_failure().unwrap());
        let names = |file: &std::path::Path| text.contains(&*file.to_string_lossy());
        let of_cert = is_of(&[NoCertificate, UnusableCertificate, KeyMismatch]);
        let of_key = is_of(&[NoKey, EncryptedKey, UnusableKey, KeyMismatch]);
        assert_eq!(
            (names(&cert_file), names(&key_file)),
            (of_cert, of_key),
            "{text}"
        );
        assert!(!text.contains("AAAA"), "{text}");
    }
    std::fs::remove_file(&key_file).unwrap();
    let error = TlsConfig::new().client_certificate_files(&cert_file, &key_file);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalFile);
    assert!(error.to_string().contains(&*key_file.to_string_lossy()));
    std::fs::remove_dir_all(&dir).unwrap();
    let empty: &[&[u8]] = &[];
    let error = TlsConfig::new()
        .client_certificate_der(empty, key_der)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls(NoCertificate));
}

#[test]
fn secrets_go_to_a_file_only_if_one_is_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let file = std::env::temp_dir().join(format!("wirescope-keys-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let authority = Authority::new();
    let server = Arc::new(server(authority.issue(&["localhost"], |_| {})));
    let meet = |config: &TlsConfig| {
        let mut pair = Pair::new(&config.client().unwrap(), &server, "localhost");
        pair.handshake().unwrap();
        std::fs::read_to_string(&file).unwrap_or_default()
    };
    assert_eq!(meet(&authority.config()), "");
    assert!(!file.exists());
    let new = authority.config().max_version(TlsVersion::V1_3);
    let log = meet(&new.key_log_file(&file).unwrap());
    let labels: Vec<_> = log
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .collect();
    for label in [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
    ] {
        let line = labels.iter().find(|line| line[0] == label).expect(label);
        assert_eq!((line.len(), line[1].len(), line[2].len()), (3, 64, 96));
        assert!(
            line[1..]
                .iter()
                .all(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
        );
    }
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let old = authority.config().max_version(TlsVersion::V1_2);
    let both = meet(&old.key_log_file(&file).unwrap());
    let (before, behind) = both.split_at(log.len());
    assert_eq!(before, log);
    assert!(behind.starts_with("CLIENT_RANDOM ") && behind.lines().count() == 1);
    std::fs::remove_file(&file).unwrap();
    let nowhere = authority
        .config()
        .key_log_file("/nowhere/keys")
        .unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::LocalFile);
    assert!(nowhere.to_string().contains("/nowhere/keys"));
}

#[cfg(feature = "rustls-0_23")]
#[test]
fn a_callers_own_configuration_is_taken_and_kept_safe() {
    let authority = Authority::new();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.cert.der().clone()).unwrap();
    let mut own = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    own.alpn_protocols = vec![b"h2".to_vec()];
    own.enable_early_data = true;
    own.max_fragment_size = Some(100);
    let config = TlsConfig::from_rustls_0_23(Arc::new(own)).crypto_provider(provider);
    let server = Arc::new(server(authority.issue(&["localhost"], |_| {})));
    let mut pair = Pair::new(&config.client().unwrap(), &server, "localhost");
    assert_eq!(pair.handshake().unwrap().alpn(), Some("http/1.1"));
    pair.converse();
    // Records as small as the caller wants them.
    assert_eq!(pair.client.write_plain(&[7; WRITE_BATCH]), Ok(WRITE_BATCH));
    assert!(pair.client.outgoing().len() > WRITE_BATCH / 100 * 120);
    // The caller's store has the session, but not for proxies.
    let client = config.client().unwrap();
    for (role, resumed) in [(TlsRole::Proxy, false), (TlsRole::Origin, true)] {
        let pair = Pair::new(&client.client(role), &server, "localhost");
        assert_eq!(pair.client.offers_resumption(), resumed, "{role}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_segmentation_gives_the_same(sizes in prop::collection::vec(1usize..3000, 1..40), room in 1usize..40_000) {
        let mut sizes = sizes.into_iter().cycle();
        segmented(move || sizes.next().unwrap(), room);
    }

    #[test]
    fn cve_49_bent_bytes_never_loop_nor_panic(at in 0usize..4000, flip in 1u8.., after in any::<Vec<u8>>()) {
        let mut pair = Pair::plain();
        pair.server.writer().write_all(&[1; 3000]).unwrap();
        pair.server.send_close_notify();
        let mut wire = pair.flight();
        let at = at % wire.len();
        wire[at] ^= flip;
        wire.extend(after);
        let _ = pair.client.read_tls(&wire);
        let mut turns = 0;
        while let Ok(PlainRead::Bytes(_)) = pair.client.read_plain(&mut [0; 512]) {
            turns += 1;
            prop_assert!(turns < 100);
        }
        let _ = pair.client.write_plain(b"x");
        pair.client.send_close_notify();
    }

    #[test]
    fn cve_49_random_bytes_never_loop_nor_panic(bytes: Vec<u8>) {
        let client = TlsConfig::new().client().unwrap();
        let mut stage = client.start(&TlsName::new("localhost").unwrap()).unwrap();
        let framed = [b"\x16\x03\x03\x00", &[bytes.len().min(255) as u8][..], &bytes].concat();
        for input in [bytes, framed] {
            let _ = stage.read_tls(&input);
        }
        prop_assert!(stage.is_handshaking());
    }
}

#[test]
fn one_byte_at_a_time_is_enough() {
    segmented(|| 1, 1);
}

/// A handshake and an answer, in pieces of these sizes and read by so much at a time.
fn segmented(mut size: impl FnMut() -> usize, room: usize) {
    let authority = Authority::new();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let shown = authority.issue(&["localhost"], |_| {});
        let client = authority.config().max_version(version).client().unwrap();
        let mut pair = Pair::new(&client, &Arc::new(server(shown)), "localhost");
        while pair.client.is_handshaking() || pair.server.is_handshaking() {
            pair.deliver();
            let wire = pair.flight();
            let mut wire = &wire[..];
            while !wire.is_empty() {
                let (piece, rest) = wire.split_at(size().min(wire.len()));
                wire = rest;
                pair.client.read_tls(piece).unwrap();
            }
        }
        let data: Vec<u8> = (0..20_000u32).map(|i| (i / 7) as u8).collect();
        pair.server.writer().write_all(&data).unwrap();
        pair.server.send_close_notify();
        let wire = pair.flight();
        let (mut wire, mut got) = (&wire[..], Vec::new());
        let mut out = vec![0; room];
        let end = loop {
            let (piece, rest) = wire.split_at(size().min(wire.len()));
            wire = rest;
            pair.client.incoming().extend_from_slice(piece);
            let end = loop {
                match pair.client.read_plain(&mut out).unwrap() {
                    PlainRead::Bytes(bytes) => got.extend_from_slice(&out[..bytes]),
                    end => break end,
                }
            };
            if wire.is_empty() {
                break end;
            }
        };
        assert_eq!(end, PlainRead::Closed);
        assert!(got == data && pair.client.eof_is_clean());
    }
}
