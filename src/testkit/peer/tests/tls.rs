//! The peer under TLS, with a rustls client.

#![expect(
    clippy::disallowed_methods,
    reason = "a test has threads, sockets and times of its own"
)]

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::testkit::{Authority, ServerIdentity, Validity};

type Client = StreamOwned<ClientConnection, TcpStream>;

fn trusting(authority: &Authority, identity: Option<&ServerIdentity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().to_vec().into()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from(identity.certificate_der().to_vec())];
            let key = PrivateKeyDer::try_from(identity.key_der().to_vec()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    Arc::new(config)
}

fn client(config: &Arc<ClientConfig>, stream: TcpStream, name: &'static str) -> Client {
    let name = name.try_into().unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::clone(config), name).unwrap(),
        stream,
    )
}

/// A peer for "localhost" that plays `script`, and a client that trusts it.
fn pair(script: Script) -> (Peer, Client) {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
    let peer = Peer::builder()
        .tls(identity)
        .script(script)
        .start()
        .unwrap();
    let client = client(&trusting(&authority, None), connect(&peer), "localhost");
    (peer, client)
}

#[test]
fn scripts_act_on_plaintext() {
    let ok = "HTTP/1.1 200 OK\r\n\r\nhello";
    let (peer, mut client) = pair(Script::new().expect_request().send_each(ok, 1));
    client.write_all(b"GET /tls HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_all(&mut client), ok.as_bytes());
    assert!(peer.url("/").starts_with("https://127.0.0.1:"));
    assert_eq!(peer.requests()[0].target(), "/tls");
    let handshake = &peer.handshakes()[0];
    assert_eq!(handshake.server_name.as_deref(), Some("localhost"));
    assert_eq!(handshake.version.as_deref(), Some("TLSv1_3"));
    assert_eq!(handshake.error, None);
    peer.finish();
}

/// Keeps the bytes that are read through it.
struct Recorder(TcpStream, Vec<u8>);

impl Read for Recorder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many TLS records of application data (type 23) these bytes hold.
fn data_records(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        count += usize::from(*kind == 23);
        bytes = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    count
}

/// A plain TCP stream hides where one write ended; TLS 1.2 shows it as a record.
#[test]
fn each_segment_is_a_write_of_its_own() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["localhost"]).unwrap();
    for (segment_bytes, expected) in [(1, 5), (2, 3), (5, 1), (9, 1)] {
        let peer = Peer::builder()
            .tls(identity.clone())
            .tls_versions(TlsVersions::Only12);
        let peer = peer
            .script(Script::new().send_each("abcde", segment_bytes))
            .start()
            .unwrap();
        let name = "localhost".try_into().unwrap();
        let session = ClientConnection::new(trusting(&authority, None), name).unwrap();
        let mut client = StreamOwned::new(session, Recorder(connect(&peer), Vec::new()));
        assert_eq!(read_all(&mut client), b"abcde");
        assert_eq!(data_records(&client.sock.1), expected, "{segment_bytes}");
        peer.finish();
    }
}

#[test]
fn a_close_without_close_notify_is_an_incomplete_stream() {
    let (peer, mut client) = pair(Script::new().send("x").close());
    assert_eq!(read_some(&mut client), b"x");
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    peer.finish();

    let (peer, mut client) = pair(Script::new().send("x").close_notify().close());
    assert_eq!(read_all(&mut client), b"x");
    peer.finish();
}

#[test]
fn a_close_notify_leaves_the_transport_open() {
    let script = Script::new()
        .close_notify()
        .expect_bytes("x")
        .expect_close_notify();
    let (peer, mut client) = pair(script);
    assert_eq!(read_all(&mut client), b"");
    client.write_all(b"x").unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert!(peer.wait_until_closed(SOON));
    peer.finish();
}

#[test]
fn a_reset_is_seen_under_tls_too() {
    let (peer, mut client) = pair(Script::new().expect_bytes("x").reset());
    client.write_all(b"x").unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    peer.finish();
}

#[test]
fn versions_and_protocols_are_chosen() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["localhost"]).unwrap();
    for (versions, expected) in [
        (TlsVersions::Both, "TLSv1_3"),
        (TlsVersions::Only12, "TLSv1_2"),
        (TlsVersions::Only13, "TLSv1_3"),
    ] {
        let peer = Peer::builder().tls(identity.clone()).tls_versions(versions);
        let peer = peer.alpn(&["x", "y"]).start().unwrap();
        let mut config = ClientConfig::clone(&trusting(&authority, None));
        config.alpn_protocols = vec![b"y".to_vec()];
        let mut client = client(&Arc::new(config), connect(&peer), "localhost");
        assert_eq!(read_all(&mut client), b"");
        let handshake = &peer.handshakes()[0];
        assert_eq!(handshake.version.as_deref(), Some(expected));
        assert_eq!(handshake.protocol.as_deref(), Some(&b"y"[..]));
    }
}

#[test]
fn sessions_are_resumed_by_the_same_peer() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["localhost"]).unwrap();
    let peer = Peer::builder().tls(identity).start().unwrap();
    let config = trusting(&authority, None);
    for _ in 0..2 {
        assert_eq!(read_all(client(&config, connect(&peer), "localhost")), b"");
    }
    let resumed: Vec<_> = peer
        .handshakes()
        .iter()
        .map(|seen| seen.is_resumed)
        .collect();
    assert_eq!(resumed, [false, true]);
}

#[test]
fn bad_identities_are_refused_by_the_client() {
    let authority = Authority::new().unwrap();
    let config = trusting(&authority, None);
    let table = [
        (
            authority.issue_with(&["localhost"], Validity::Expired),
            "Expired",
        ),
        (
            authority.issue_with(&["localhost"], Validity::NotYet),
            "NotValidYet",
        ),
        (authority.issue(&["example.com"]), "NotValidForName"),
        (ServerIdentity::self_signed(&["localhost"]), "UnknownIssuer"),
        (
            Authority::new().unwrap().issue(&["localhost"]),
            "UnknownIssuer",
        ),
    ];
    for (identity, expected) in table {
        let peer = Peer::builder().tls(identity.unwrap()).start().unwrap();
        let error = client(&config, connect(&peer), "localhost").read(&mut [0]);
        let text = format!("{:?}", error.unwrap_err());
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(peer.wait_until_closed(SOON));
        assert!(
            peer.handshakes()[0].error.is_some(),
            "{:?}",
            peer.handshakes()
        );
        peer.finish();
    }
}

#[test]
fn names_may_be_addresses() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["127.0.0.1"]).unwrap();
    let peer = Peer::builder().tls(identity).start().unwrap();
    let client = client(&trusting(&authority, None), connect(&peer), "127.0.0.1");
    assert_eq!(read_all(client), b"");
}

#[test]
fn clients_without_a_certificate_are_refused_where_one_is_asked() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["localhost"]).unwrap();
    let peer = Peer::builder()
        .tls(identity.clone())
        .client_authority(&authority);
    let peer = peer.start().unwrap();
    let with = trusting(&authority, Some(&identity));
    assert_eq!(read_all(client(&with, connect(&peer), "localhost")), b"");
    let without = trusting(&authority, None);
    assert!(
        client(&without, connect(&peer), "localhost")
            .read(&mut [0])
            .is_err()
    );
    peer.finish();
}

#[test]
fn tls_begins_where_the_script_says() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["localhost"]).unwrap();
    let script = Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\n\r\n")
        .start_tls()
        .expect_bytes("in")
        .send("out");
    let peer = Peer::builder()
        .tls_on_demand(identity)
        .script(script)
        .start()
        .unwrap();
    assert!(peer.url("/").starts_with("http://"));
    let mut stream = connect(&peer);
    stream
        .write_all(b"CONNECT localhost:443 HTTP/1.1\r\n\r\n")
        .unwrap();
    assert_eq!(read_some(&stream), b"HTTP/1.1 200 OK\r\n\r\n");
    let mut client = client(&trusting(&authority, None), stream, "localhost");
    client.write_all(b"in").unwrap();
    assert_eq!(read_all(client), b"out");
    peer.finish();
}

#[test]
fn a_plain_peer_answers_a_client_hello_with_anything() {
    let peer = Peer::start(Script::new().expect_contains("localhost").send("garbage")).unwrap();
    assert!(peer.https_url("/").starts_with("https://"));
    let authority = Authority::new().unwrap();
    let mut client = client(&trusting(&authority, None), connect(&peer), "localhost");
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::InvalidData
    );
    peer.finish();
}

#[test]
fn dropping_a_peer_interrupts_a_handshake() {
    let identity = Authority::new().unwrap().issue(&["localhost"]).unwrap();
    let peer = Peer::builder().tls(identity).start().unwrap();
    let stream = connect(&peer);
    assert!(peer.wait_for_connection(1, SOON));
    let begun = Instant::now();
    drop(peer);
    assert!(begun.elapsed() < AT_ONCE);
    drop(stream);
}

#[test]
fn choices_without_an_identity_are_an_error() {
    assert!(Peer::builder().alpn(&["x"]).start().is_err());
}
