//! The credential law: a secret reaches the origin that it was given for, and no other, on any way there.
//!
//! Judged by the bytes that each server saw: 8 sources of credentials, 12 changes of origin, 1 to 4 hops.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use wirescope::event::Redaction;
use wirescope::message::answer::Address;
use wirescope::message::overrides::Overrides;
use wirescope::testkit::check::check;
use wirescope::testkit::{Authority, Peer, Script};
use wirescope::{Client, ErrorKind, RedirectPolicy, Request, TlsConfig, Url};

use crate::support::watched;

const CANARY: &str = "canary-4711";

/// The canary as Basic credentials show it, for user `canary-4711` with password `canary-4711`.
const ENCODED: &str = "Y2FuYXJ5LTQ3MTE6Y2FuYXJ5LTQ3MTE=";

/// Servers on one machine that answer with the next of a list of locations, and note what they saw.
struct World {
    plain: Peer,
    other: Peer,
    secure: Peer,
    seen: Arc<Mutex<Vec<Seen>>>,
    next: Arc<Mutex<VecDeque<String>>>,
    tls: TlsConfig,
}

/// One request: the port that it came to, its target, and whether the secret was in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    target: String,
    host: String,
    has_secret: bool,
}

impl World {
    fn new() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let next = Arc::new(Mutex::new(VecDeque::<String>::new()));
        let script = || {
            let (seen, next) = (seen.clone(), next.clone());
            Script::new().respond_with(move |request| {
                let head = String::from_utf8_lossy(&request.head).into_owned();
                seen.lock().unwrap().push(Seen {
                    target: request.target().to_owned(),
                    host: request.field("host").unwrap().to_owned(),
                    has_secret: head.contains(CANARY) || head.contains(ENCODED),
                });
                match next.lock().unwrap().pop_front() {
                    Some(location) => format!(
                        "HTTP/1.1 307 Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
                    ),
                    None => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
                }
                .into_bytes()
            })
        };
        let authority = Authority::new().unwrap();
        let names = ["a.test", "b.test", "sub.a.test", "127.0.0.1"];
        let identity = authority.issue(&names).unwrap();
        let tls = TlsConfig::new().builtin_roots(false);
        Self {
            plain: Peer::start(script()).unwrap(),
            other: Peer::start(script()).unwrap(),
            secure: Peer::builder()
                .script(script())
                .tls(identity)
                .start()
                .unwrap(),
            tls: tls.add_ca_pem(authority.pem()).unwrap(),
            seen,
            next,
        }
    }

    fn overrides(&self) -> Overrides {
        let home: [Address; 1] = [IpAddr::from(Ipv4Addr::LOCALHOST).into()];
        let mut overrides = Overrides::new();
        for peer in [&self.plain, &self.other, &self.secure] {
            overrides.set("*", peer.addr().port(), home).unwrap();
        }
        overrides
    }

    /// Plays a chain of URLs and says which of its requests had the secret.
    fn play(&self, client: &Client, source: Source, chain: &[String]) -> Vec<Seen> {
        self.seen.lock().unwrap().clear();
        *self.next.lock().unwrap() = chain.iter().skip(1).cloned().collect();
        let response = source.request(client, &chain[0]).send().unwrap();
        assert_eq!(response.status(), 200, "{chain:?}");
        self.seen.lock().unwrap().clone()
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Authorization,
    BasicAuth,
    UrlUserinfo,
    Cookie,
    ProxyAuthorization,
    ApiKey,
    SessionToken,
    MarkedByCaller,
}

const SOURCES: [Source; 8] = [
    Source::Authorization,
    Source::BasicAuth,
    Source::UrlUserinfo,
    Source::Cookie,
    Source::ProxyAuthorization,
    Source::ApiKey,
    Source::SessionToken,
    Source::MarkedByCaller,
];

impl Source {
    fn request(self, client: &Client, url: &str) -> Request {
        let get = |url: &str| client.get(url).unwrap();
        let with = |name: &str| get(url).header(name, CANARY).unwrap();
        match self {
            Self::Authorization => get(url)
                .header("authorization", &format!("Bearer {CANARY}"))
                .unwrap(),
            Self::BasicAuth => get(url).basic_auth(CANARY, CANARY).unwrap(),
            Self::UrlUserinfo => {
                let url = url.replacen("://", &format!("://{CANARY}:{CANARY}@"), 1);
                get(&url)
            }
            Self::Cookie => with("COOKIE"),
            Self::ProxyAuthorization => with("Proxy-Authorization"),
            Self::ApiKey => with("x-api-KEY"),
            Self::SessionToken => with("X-My-Session"),
            Self::MarkedByCaller => with("X-Mine"),
        }
    }
}

/// From one origin to another, and whether they are the same.
fn changes(world: &World) -> Vec<(&'static str, String, String, bool)> {
    let plain = world.plain.addr().port();
    let other = world.other.addr().port();
    let secure = world.secure.addr().port();
    let http = |host: &str, port: u16| format!("http://{host}:{port}");
    let https = |host: &str| format!("https://{host}:{secure}");
    vec![
        ("scheme up", http("a.test", plain), https("a.test"), false),
        ("scheme down", https("a.test"), http("a.test", plain), false),
        ("port", http("a.test", plain), http("a.test", other), false),
        ("host", http("a.test", plain), http("b.test", plain), false),
        (
            "subdomain",
            http("a.test", plain),
            http("sub.a.test", plain),
            false,
        ),
        (
            "parent domain",
            http("sub.a.test", plain),
            http("a.test", plain),
            false,
        ),
        (
            "trailing dot",
            http("a.test", plain),
            http("a.test.", plain),
            false,
        ),
        (
            "name to address",
            http("a.test", plain),
            http("127.0.0.1", plain),
            false,
        ),
        (
            "address to name",
            https("127.0.0.1"),
            https("a.test"),
            false,
        ),
        (
            "address to another spelling of home",
            http("127.0.0.1", plain),
            http("localhost", plain),
            false,
        ),
        ("case", http("a.test", plain), http("A.TeSt", plain), true),
        (
            "case of the scheme",
            http("a.test", plain),
            format!("HTTP://a.test:{plain}"),
            true,
        ),
    ]
}

/// The URLs of a chain: the change is at its first hop, and later hops go back and forth.
fn chain(from: &str, to: &str, hops: usize) -> Vec<String> {
    (0..=hops)
        .map(|hop| {
            let origin = if hop % 2 == 0 { from } else { to };
            format!("{origin}/{hop}")
        })
        .collect()
}

#[test]
fn rfc_f5_credentials_stay_with_their_origin() {
    let world = World::new();
    let (client, events) = watched(|client| {
        client
            .tls(world.tls.clone())
            .overrides(world.overrides())
            .redaction(Redaction::default().hide_field("X-Mine"))
            .redirects(RedirectPolicy::new().allow_downgrade(true))
    });
    let mut cases = 0;
    for source in SOURCES {
        for (name, from, to, is_same) in changes(&world) {
            for hops in 1..=4 {
                let seen = world.play(&client, source, &chain(&from, &to, hops));
                let secrets: Vec<_> = seen.iter().map(|one| one.has_secret).collect();
                // What was left behind once does not come back.
                let expected: Vec<_> = (0..=hops).map(|hop| hop == 0 || is_same).collect();
                assert_eq!(
                    secrets, expected,
                    "{source:?}, {name}, {hops} hops: {seen:?}"
                );
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 8 * 12 * 4);
    drop(client);
    let seen = check(&events);
    let told: String = seen
        .events()
        .iter()
        .map(|event| event.to_string())
        .collect();
    assert!(!told.contains(CANARY) && !told.contains(ENCODED));
}

#[test]
fn rfc_f5_what_was_left_behind_does_not_come_back() {
    let world = World::new();
    let (client, _events) = watched(|client| client.overrides(world.overrides()));
    let plain = world.plain.addr().port();
    let (a, b) = (
        format!("http://a.test:{plain}"),
        format!("http://b.test:{plain}"),
    );
    let way = [
        format!("{a}/1"),
        format!("{a}/2"),
        format!("{b}/3"),
        format!("{b}/4"),
        format!("{a}/5"),
    ];
    for source in SOURCES.into_iter().take(7) {
        let seen = world.play(&client, source, &way);
        let secrets: Vec<_> = seen.iter().map(|one| one.has_secret).collect();
        assert_eq!(secrets, [true, true, false, false, false], "{source:?}");
    }
}

#[test]
fn rfc_f5_referer_and_origin_are_of_one_origin() {
    let world = World::new();
    let (client, _events) = watched(|client| client.overrides(world.overrides()));
    let plain = world.plain.addr().port();
    *world.next.lock().unwrap() = [format!("http://b.test:{plain}/2")].into();
    let request = client.get(&format!("http://a.test:{plain}/1")).unwrap();
    let request = request.header("Referer", "http://a.test/x").unwrap();
    let request = request.header("Origin", "http://a.test").unwrap();
    assert_eq!(request.send().unwrap().status(), 200);
    let second = &world.plain.requests()[1];
    assert_eq!(
        (second.field("referer"), second.field("origin")),
        (None, None)
    );
}

#[test]
fn rfc_a17_userinfo_in_a_location_is_refused_and_asked_nowhere() {
    let world = World::new();
    let (client, events) = watched(|client| client.overrides(world.overrides()));
    let plain = world.plain.addr().port();
    for host in ["a.test", "b.test"] {
        let location = format!("http://user:{CANARY}@{host}:{plain}/2");
        *world.next.lock().unwrap() = [location].into();
        let request = client.get(&format!("http://a.test:{plain}/1")).unwrap();
        let error = request.send().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::PeerRedirect(_)),
            "{error}"
        );
        assert!(!format!("{error:?}").contains(CANARY));
    }
    assert_eq!(world.plain.request_count(), 2);
    drop(client);
    let seen = check(&events);
    assert!(
        seen.events()
            .iter()
            .all(|event| !event.to_string().contains(CANARY))
    );
}

#[test]
fn cve_68_only_the_host_is_asked_of_the_resolver() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let names = asked.clone();
    let resolver = wirescope::resolver::from_fn(move |host: &str| {
        names.lock().unwrap().push(host.to_owned());
        Ok(vec![IpAddr::from(Ipv4Addr::LOCALHOST)])
    });
    let world = World::new();
    let (client, _events) = watched(|client| client.resolver(resolver));
    let plain = world.plain.addr().port();
    *world.next.lock().unwrap() = [format!("http://b.test:{plain}/p@ss?u:{CANARY}@x#y")].into();
    let url = format!("http://u:{CANARY}@a.test:{plain}/1");
    assert!(Url::parse(&url).unwrap().has_userinfo());
    assert_eq!(client.get(&url).unwrap().send().unwrap().status(), 200);
    let mut asked = asked.lock().unwrap().clone();
    asked.dedup();
    assert_eq!(asked, ["a.test", "b.test"]);
}
