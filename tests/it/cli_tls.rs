//! The command over TLS: who it is, what it speaks, what it tells of it.

use wirescope::testkit::peer::TlsVersions;
use wirescope::testkit::{Authority, Peer, PeerBuilder, Relay, Script};

use crate::cli::{Ran, command, file, run};

/// A peer for 127.0.0.1 that answers everything.
fn peer(authority: &Authority) -> PeerBuilder {
    let identity = authority.issue(&["127.0.0.1"]).unwrap();
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    let script = Script::new().respond_with(move |_| answer.clone());
    Peer::builder().tls(identity).script(script)
}

#[test]
fn a_certificate_of_ours_is_shown_to_who_asks() {
    let authority = Authority::new().unwrap();
    let own = authority.issue(&["client.example"]).unwrap();
    let peer = peer(&authority)
        .client_authority(&authority)
        .start()
        .unwrap();
    let url = peer.url("/");
    let cert = file("cert.pem", own.certificate_pem().as_bytes());
    let key = file("key.pem", own.key_pem().as_bytes());
    let both = file(
        "both.pem",
        (own.certificate_pem().to_owned() + own.key_pem()).as_bytes(),
    );
    let cert_der = file("cert.der", own.certificate_der());
    let key_der = file("key.der", own.key_der());
    let colon = file(
        "a:b.pem",
        (own.key_pem().to_owned() + own.certificate_pem()).as_bytes(),
    );
    let text = |file: &std::path::Path| file.to_str().unwrap().to_owned();
    let escaped = text(&colon).replace(':', "\\:");
    let runs: &[&[&str]] = &[
        &["--cert", &text(&cert), "--key", &text(&key)],
        &["-E", &text(&both)],
        &["--cert", &text(&cert_der), "--key", &text(&key_der)],
        &["--cert", &escaped],
    ];
    for args in runs {
        let ran = run(&[&["-k", &url], *args].concat());
        assert_eq!(ran.code, 0, "{args:?} {}", ran.err);
    }
    let ran = run(&["-k", &url]);
    assert_eq!(ran.code, 56, "{}", ran.err);
    assert!(ran.err.contains("alert"), "{}", ran.err);
    assert_eq!(peer.request_count(), runs.len());
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_before_any_io() {
    let authority = Authority::new().unwrap();
    let (own, other) = (
        authority.issue(&["a.example"]),
        authority.issue(&["b.example"]),
    );
    let (own, other) = (own.unwrap(), other.unwrap());
    let peer = peer(&authority).start().unwrap();
    let cert = file("own.pem", own.certificate_pem().as_bytes());
    let key = file("other.pem", other.key_pem().as_bytes());
    let label = "ENCRYPTED PRIVATE KEY";
    let secret = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let secret = file("secret.pem", secret.as_bytes());
    let (cert, key, secret) = (
        cert.to_str().unwrap(),
        key.to_str().unwrap(),
        secret.to_str().unwrap(),
    );
    let with_password = format!("{cert}:password");
    let table: &[(&[&str], i32, &[&str])] = &[
        (&["--cert", "/no/such.pem"], 58, &["/no/such.pem"]),
        (&["--cert", cert], 58, &["no private key", cert]),
        (&["--cert", key], 58, &["no certificate", key]),
        (
            &["--cert", cert, "--key", key],
            58,
            &["do not belong together", cert, key],
        ),
        (
            &["--cert", cert, "--key", secret],
            58,
            &["encrypted", secret],
        ),
        (
            &["--cert", cert, "--key", "/no/such.key"],
            58,
            &["/no/such.key"],
        ),
        (
            &["--cert", &with_password],
            1,
            &["a password is not supported"],
        ),
        (&["--key", key], 2, &["--cert"]),
    ];
    for (args, code, parts) in table {
        let ran = run(&[&["-k", &peer.url("/")], *args].concat());
        assert_eq!(ran.code, *code, "{args:?} {}", ran.err);
        for part in *parts {
            assert!(ran.err.contains(part), "{part} {}", ran.err);
        }
        assert!(!ran.err.contains("word\""), "{}", ran.err);
    }
    assert_eq!(peer.connections(), 0);
}

#[test]
fn the_lowest_version_is_chosen() {
    let authority = Authority::new().unwrap();
    let old = peer(&authority).tls_versions(TlsVersions::Only12).start();
    let new = peer(&authority).tls_versions(TlsVersions::Only13).start();
    let (old, new) = (old.unwrap(), new.unwrap());
    let table: &[(&[&str], i32)] = &[
        (&[], 0),
        (&["--tlsv1.2"], 0),
        (&["--tlsv1.3"], 35),
        (&["--tlsv1.2", "--tlsv1.3"], 35),
        (&["--tlsv1.3", "--tlsv1.2"], 0),
    ];
    for (args, code) in table {
        let ran = run(&[&["-k", &old.url("/")], *args].concat());
        assert_eq!(ran.code, *code, "{args:?} {}", ran.err);
        let ran = run(&[&["-k", &new.url("/")], *args].concat());
        assert_eq!(ran.code, 0, "{args:?} {}", ran.err);
    }
}

#[test]
fn verbose_tells_what_tls_agreed_on() {
    let authority = Authority::new().unwrap();
    let peer = peer(&authority).start().unwrap();
    let url = peer.url("/");
    let ran = run(&["-v", "-k", "-H", "Connection: close", &url, &url]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines = [
        "* ALPN: wirescope offers http/1.1\n",
        "* SSL connection using TLSv1.3 / TLS_AES_256_GCM_SHA384 / X25519, full handshake\n\
         * ALPN: server accepted http/1.1\n\
         * Server certificate:\n\
         *  subject: CN=wirescope test peer\n\
         *  start date: Jan  1 00:00:00 1975 GMT\n\
         *  expire date: Jan  1 00:00:00 4096 GMT\n\
         *  issuer: CN=wirescope test authority ",
        "* ALPN: wirescope offers http/1.1, and to resume a session\n",
        ", resumed handshake\n",
    ];
    let mut rest = &*ran.err;
    for line in lines {
        let at = rest
            .find(line)
            .unwrap_or_else(|| panic!("{line} {}", ran.err));
        rest = &rest[at + line.len()..];
    }
    let ran = run(&["-v", &url]);
    assert_eq!(ran.code, 60);
    assert!(ran.err.contains("unknown authority"), "{}", ran.err);
}

#[test]
fn a_proxy_is_verified_whatever_is_accepted_of_servers() {
    let authority = Authority::new().unwrap();
    let relay = Relay::https(authority.issue(&["127.0.0.1"]).unwrap());
    let relay = relay.start().unwrap();
    let ca = file("proxy-ca.pem", authority.pem().as_bytes());
    let ran = |args: &[&str]| {
        let mut command = command(&[args, &["-f", "http://origin.example/"]].concat());
        Ran::from(command.env("http_proxy", relay.url()).output().unwrap())
    };
    let lax = ran(&["-k"]);
    assert_eq!(lax.code, 60, "{}", lax.err);
    assert!(relay.seen().iter().all(|seen| seen.asked.is_empty()));
    let trusting = ran(&["--cacert", ca.to_str().unwrap()]);
    assert_eq!(
        trusting.code, 22,
        "the relay knows no such origin: {}",
        trusting.err
    );
}
