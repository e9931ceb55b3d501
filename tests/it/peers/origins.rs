//! Origins that others wrote: nginx, apache, and haproxy before nginx.
//!
//! Each serves the same files, leads `/echo` and `/chat` to peers of the test kit, refuses large content at `/small`,
//! and has listeners for plain HTTP, for TLS, and for TLS with a certificate of the client's.

mod configs;

use std::fs::File;
use std::io::Cursor;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use wirescope::error::TlsFailure;
use wirescope::event::EventKind;
use wirescope::message::range::{ByteRange, Partial, Ranges};
use wirescope::message::tls::TlsVersion;
use wirescope::testkit::{Authority, Peer, Script};
use wirescope::{ClientBuilder, ErrorKind, TlsConfig};

use super::proxied::{continuing, echo};
use super::*;
use crate::harness::{authority, trusting};
use crate::nginx::{assert_same, content};
use configs::Listens;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nginx,
    Haproxy,
    Apache,
}

const KINDS: [Kind; 3] = [Kind::Nginx, Kind::Haproxy, Kind::Apache];

fn tool(kind: Kind) -> Tool {
    match kind {
        Kind::Nginx => Tool::Nginx,
        Kind::Haproxy => Tool::Haproxy,
        Kind::Apache => Tool::Apache,
    }
}

/// The size of the file that ranges are asked of.
const FILE: usize = 1_000_003;

/// An origin, and the peers behind it.
struct World {
    kind: Kind,
    listens: Listens,
    folder: Folder,
    echo: Peer,
    _others: [Peer; 2],
    _programs: Vec<Program>,
}

impl World {
    fn start(kind: Kind) -> Self {
        let folder = Folder::new();
        let identity = authority().issue(&["localhost", "127.0.0.1"]).unwrap();
        folder.write("cert.pem", identity.certificate_pem());
        folder.write("key.pem", identity.key_pem());
        let both = [identity.certificate_pem(), identity.key_pem()].concat();
        folder.write("both.pem", both);
        folder.write("ca.pem", authority().pem());
        std::fs::create_dir(folder.join("files")).unwrap();
        let file = folder.write("files/file", content(FILE));
        // The tag of a file that is new is a weak one.
        let file = File::options().append(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600))
            .unwrap();
        let peer = |script: Script| Peer::builder().script(script).start().unwrap();
        let echo = peer(Script::new().respond_with(echo));
        let asking = peer(continuing());
        let chat = peer(websocket());
        let listens = Listens::new([&echo, &asking, &chat].map(Peer::addr));
        let programs = configs::start(kind, &folder, &listens);
        Self {
            kind,
            listens,
            folder,
            echo,
            _others: [asking, chat],
            _programs: programs,
        }
    }

    fn urls(&self, target: &str) -> [String; 2] {
        urls([self.listens.plain, self.listens.secure], target)
    }
}

/// Without and with TLS.
fn urls([plain, secure]: [SocketAddr; 2], target: &str) -> [String; 2] {
    [
        format!("http://{plain}{target}"),
        format!("https://{secure}{target}"),
    ]
}

/// Tries something with each origin and both doors.
fn with_origins(kinds: &[Kind], what: &'static str, run: impl Fn(&World, Door) -> String) {
    with_each(kinds, tool, what, |kind| {
        let world = World::start(kind);
        let results = DOORS.map(|door| run(&world, door));
        assert_eq!(results[0], results[1], "{kind:?}: both doors");
        results[0].clone()
    });
}

fn caller(door: Door) -> Caller {
    Caller::new(door, |client| client)
}

fn by_tls(tls: TlsConfig) -> impl FnOnce(ClientBuilder) -> ClientBuilder {
    |client| client.tls(tls)
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn tls_1_2_and_1_3() {
    with_origins(&KINDS, "TLS 1.2 and TLS 1.3", |world, door| {
        let mut seen = Vec::new();
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let tls = trusting(authority())
                .min_version(version)
                .max_version(version);
            let mut caller = Caller::new(door, |client| client.tls(tls).keep_alive(false));
            let mut handshakes = Vec::new();
            for _ in 0..2 {
                // A connection for each, so that the second one takes the session of the first.
                let url = format!("https://{}/files/file", world.listens.secure);
                let got = caller.send(caller.get(&url)).unwrap();
                assert_same(&got.body, content(FILE), &url);
                let facts = got.tls.unwrap();
                assert_eq!(facts.version(), version);
                handshakes.push(facts.handshake().tag());
            }
            assert_eq!(caller.finish().only(EventKind::ConnOpened).len(), 2);
            assert_eq!(handshakes[0], "full");
            seen.push(handshakes[1]);
        }
        format!(
            "200; the second handshake is {} (1.2) and {} (1.3)",
            seen[0], seen[1]
        )
    });
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn certificates_of_the_client() {
    with_origins(
        &KINDS,
        "a certificate of the client's that the server wants",
        |world, door| {
            let url = format!("https://{}/files/file", world.listens.guarded);
            let mut results = Vec::new();
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                let base = || {
                    trusting(authority())
                        .min_version(version)
                        .max_version(version)
                };
                let own = authority().issue(&["client"]).unwrap();
                let strange = Authority::new().unwrap().issue(&["client"]).unwrap();
                let with = |identity: &wirescope::testkit::ServerIdentity| {
                    base()
                        .client_certificate_pem(identity.certificate_pem(), identity.key_pem())
                        .unwrap()
                };
                let mut caller = Caller::new(door, by_tls(with(&own)));
                let got = caller.send(caller.get(&url)).unwrap();
                assert_eq!(got.status, 200);
                assert_same(&got.body, content(FILE), &url);
                caller.finish();
                for tls in [base(), with(&strange)] {
                    let mut caller = Caller::new(door, by_tls(tls));
                    results.push(match caller.send(caller.get(&url)) {
                        Ok(got) => {
                            assert!(got.status == 400 && !got.body.is_empty());
                            "400".to_owned()
                        }
                        Err(error) => match error.kind() {
                            ErrorKind::Tls(TlsFailure::Alert) => "an alert".to_owned(),
                            kind => panic!("{kind:?}: {error}"),
                        },
                    });
                    caller.finish();
                }
            }
            let [none12, strange12, none13, strange13] = &results[..] else {
                panic!("{results:?}");
            };
            format!(
                "200 with it; without: {none12} (1.2), {none13} (1.3); one of a stranger: {strange12} (1.2), {strange13} (1.3)"
            )
        },
    );
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn connections_that_end() {
    with_origins(&KINDS, "keep-alive, and its end", |world, door| {
        let mut opened = Vec::new();
        for url in urls(world.listens.brief, "/files/file") {
            let mut caller = caller(door);
            until_another(&mut caller, &url);
            caller.finish();
        }
        for url in urls(world.listens.brief, "/files/file") {
            let mut caller = caller(door);
            for _ in 0..7 {
                let got = caller.send(caller.get(&url)).unwrap();
                assert_same(&got.body, content(FILE), &url);
            }
            opened.push(caller.finish().only(EventKind::ConnOpened).len());
        }
        let expected = match world.kind {
            Kind::Nginx => 3,
            // It counts those after the first.
            Kind::Apache => 2,
            Kind::Haproxy => 1,
        };
        assert_eq!(opened, [expected; 2]);
        format!(
            "7 requests over {expected} connections; after an idle close the next request has a new one, and no error"
        )
    });
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn content_of_64_mib() {
    with_origins(
        &KINDS,
        "64 MiB up and down again, by length and chunked",
        |world, door| {
            let bytes = content(LARGE);
            // Each door takes each way of framing over one of the two schemes.
            let is_even = door == Door::Client;
            for (url, is_chunked) in world.urls("/echo").iter().zip([is_even, !is_even]) {
                let mut caller = caller(door);
                let request = caller.post(url);
                let request = match is_chunked {
                    true => request.body_reader(Cursor::new(bytes)),
                    false => request.body(bytes),
                };
                let got = caller.send(request).unwrap();
                assert_eq!(got.status, 200);
                assert_same(&got.body, bytes, url);
                caller.finish();
            }
            assert!(world.echo.request_count() > 0);
            "whole".to_owned()
        },
    );
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn uploads_that_are_refused() {
    with_origins(
        &KINDS,
        "64 MiB where the server takes 1 KiB, by length and chunked",
        |world, door| {
            for url in world.urls("/small") {
                let mut caller = caller(door);
                for is_chunked in [false, true] {
                    let request = caller.post(&url);
                    let request = match is_chunked {
                        true => request.body_reader(Cursor::new(content(LARGE))),
                        false => request.body(content(LARGE)),
                    };
                    let got = caller.send(request).unwrap();
                    assert_eq!(got.status, 413);
                    assert!(!got.body.is_empty());
                }
                let told = caller.finish();
                assert!(!told.matching("request_body_done aborted=true").is_empty());
            }
            "413 with its page; the rest of the upload is given up".to_owned()
        },
    );
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn content_that_waits_to_be_asked_for() {
    with_origins(
        &KINDS,
        "Expect: 100-continue, granted and refused",
        |world, door| {
            let bytes = content(1 << 20);
            let mut asked = 0;
            for (granted, refused) in world.urls("/expect").iter().zip(&world.urls("/small")) {
                let mut caller = caller(door);
                let request = caller.post(granted).body(bytes).expect_continue();
                let got = caller.send(request).unwrap();
                assert_eq!(got.status, 200);
                assert_same(&got.body, bytes, granted);
                let request = caller.post(refused).body(bytes).expect_continue();
                let got = caller.send(request).unwrap();
                assert_eq!(got.status, 413);
                let told = caller.finish();
                asked += told.only(EventKind::Got100Continue).len();
            }
            assert_eq!(asked, 2);
            "100, then the content; 413 without it".to_owned()
        },
    );
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn ranges() {
    with_origins(
        &KINDS,
        "one range, several, and one beyond the end",
        |world, door| {
            let whole = content(FILE);
            for url in world.urls("/files/file") {
                let mut caller = caller(door);
                for wished in [
                    vec![ByteRange::FromTo(500_000, 999_999)],
                    vec![ByteRange::Last(7)],
                    vec![
                        ByteRange::FromTo(0, 9),
                        ByteRange::FromTo(400_000, 700_000),
                        ByteRange::Last(3),
                    ],
                ] {
                    let ranges = Ranges::new(wished.iter().copied()).unwrap();
                    let request = caller.get(&url).ranges(&ranges).unwrap();
                    let (partial, got) = caller.parts(request);
                    assert_eq!(matches!(partial, Partial::One(_)), wished.len() == 1);
                    assert_eq!(got.len(), wished.len());
                    for (range, (first, bytes)) in wished.iter().zip(got) {
                        let (from, to) = match *range {
                            ByteRange::FromTo(from, to) => (from as usize, to as usize),
                            ByteRange::Last(bytes) => (FILE - bytes as usize, FILE - 1),
                            _ => unreachable!(),
                        };
                        assert_eq!(first as usize, from);
                        assert_same(&bytes, &whole[from..=to], "a part");
                    }
                }
                let request = caller.get(&url).range(2_000_000..).unwrap();
                let got = caller.send(request).unwrap();
                assert_eq!(got.status, 416);
                assert_eq!(caller.finish().only(EventKind::ConnOpened).len(), 1);
            }
            "206 with its bytes; multipart/byteranges taken apart; 416; all over one connection"
                .to_owned()
        },
    );
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn conditions() {
    with_origins(&KINDS, "conditional requests", |world, door| {
        for url in world.urls("/files/file") {
            let mut caller = caller(door);
            let first = caller.send(caller.get(&url)).unwrap();
            let tag = first.fields.get_str("etag").unwrap().to_owned();
            let date = first.fields.get_str("last-modified").unwrap().to_owned();
            for (name, value, status) in [
                ("If-None-Match", &*tag, 304),
                ("If-Modified-Since", &*date, 304),
                ("If-None-Match", "\"other\"", 200),
                ("If-Match", &*tag, 200),
                // The last one: nginx ends the connection behind it, without saying so.
                ("If-Match", "\"other\"", 412),
            ] {
                let request = caller.get(&url).header(name, value).unwrap();
                let got = caller.send(request).unwrap();
                assert_eq!(got.status, status, "{name}: {value}");
                assert_eq!(got.body.len() == FILE, status == 200, "{name}: {value}");
            }
            let told = caller.finish();
            assert_eq!(
                told.only(EventKind::ConnOpened).len(),
                1,
                "{}",
                told.transcript()
            );
        }
        "304, 412 and 200, over one connection".to_owned()
    });
}

#[test]
#[ignore = "needs nginx, haproxy: .ci/run"]
fn trailers() {
    with_origins(
        &[Kind::Nginx, Kind::Haproxy],
        "trailers of a response",
        |world, door| {
            for url in world.urls("/trailers/file") {
                let mut caller = caller(door);
                for _ in 0..2 {
                    let request = caller.get(&url).te_trailers().unwrap();
                    let got = caller.send(request).unwrap();
                    assert_same(&got.body, content(FILE), &url);
                    let trailers = got.trailers.unwrap();
                    assert_eq!(trailers.get_str("x-sum"), Some("200"));
                }
                assert_eq!(caller.finish().only(EventKind::ConnOpened).len(), 1);
            }
            "there, and the connection is kept".to_owned()
        },
    );
}

#[test]
#[ignore = "needs nginx, haproxy, apache2: .ci/run"]
fn another_protocol() {
    with_origins(&KINDS, "websocket, to a peer behind it", |world, door| {
        for url in world.urls("/chat") {
            let mut caller = caller(door);
            speak(&mut caller, &url);
            caller.finish();
        }
        "101, and bytes both ways".to_owned()
    });
}

#[test]
#[ignore = "needs nginx, haproxy: .ci/run"]
fn unix_sockets() {
    with_origins(
        &[Kind::Nginx, Kind::Haproxy],
        "a unix socket, plain and with TLS",
        |world, door| {
            for (name, scheme) in [("plain.sock", "http"), ("secure.sock", "https")] {
                let path = world.folder.join(name);
                let mut caller = Caller::new(door, |client| client.unix_socket(&path).unwrap());
                for round in 0..2 {
                    let got = caller
                        .send(caller.get(&format!("{scheme}://localhost/files/file")))
                        .unwrap();
                    assert_same(&got.body, content(FILE), name);
                    assert_eq!(got.reused, round > 0);
                }
                caller.finish();
            }
            "200, over one connection each".to_owned()
        },
    );
}
