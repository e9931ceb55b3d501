//! Through proxies: who sees what, judged by the bytes that proxy and origin saw.
//!
//! [`World`] has a relay, origins behind it under names that only the relay knows, and a client. Every test runs through
//! both doors, and every stream of events through the grammar.

mod choice;
mod faults;
mod matrix;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use crossbeam_channel::RecvTimeoutError;
use wirescope::event::grammar::Grammar;
use wirescope::event::{Events, Interest, Overflow, channel_with};
use wirescope::resolver::from_fn;
use wirescope::testkit::check::{Checked, check_with};
use wirescope::testkit::{Peer, Relay, RelayBuilder, RelayFault, Script, SeenRelay};
use wirescope::{Client, ClientBuilder, Error, EventLoop, Proxy, Request};

use crate::harness::{PATIENCE, authority, trusting};

/// What must reach the proxy and nobody else.
const USER: &str = "canary-user";
const PASSWORD: &str = "canary-p@ss:word";
/// Both by the Basic scheme.
const BASIC: &str = "Basic Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBAc3M6d29yZA==";

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    Socks5,
    Socks5h,
}

const KINDS: [Kind; 4] = [Kind::Http, Kind::Https, Kind::Socks5, Kind::Socks5h];

impl Kind {
    fn is_socks(self) -> bool {
        matches!(self, Self::Socks5 | Self::Socks5h)
    }

    fn relay(self) -> RelayBuilder {
        match self {
            Self::Http => Relay::http(),
            Self::Https => Relay::https(authority().issue(&["127.0.0.1"]).unwrap()),
            Self::Socks5 | Self::Socks5h => Relay::socks5(),
        }
    }

    /// The proxy as this kind names it.
    fn proxy(self, relay: &Relay) -> Proxy {
        let url = match self {
            Self::Socks5h => relay.url().replace("socks5:", "socks5h:"),
            Self::Http | Self::Https | Self::Socks5 => relay.url(),
        };
        Proxy::parse(&url).unwrap()
    }
}

/// By which door a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Client,
    Loop,
}

const DOORS: [Door; 2] = [Door::Client, Door::Loop];

/// What names stand for where SOCKS5 gets addresses.
const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// A relay, two origins behind it, and a client.
struct World {
    kind: Kind,
    relay: Relay,
    /// Serves `http` as `a.test` and `b.test`.
    plain: Peer,
    /// Serves `https` as `a.test` and `b.test`.
    secure: Peer,
    client: Client,
    events: Events,
    /// The names that were looked up here.
    asked: Arc<Mutex<Vec<String>>>,
    looped: Option<EventLoop>,
}

impl World {
    /// All that is usual: the origin plays a script on each of its connections.
    fn new(kind: Kind, has_credentials: bool, door: Door, script: &Script) -> Self {
        Self::with(
            kind,
            has_credentials,
            door,
            script,
            |relay| relay,
            |client| client,
        )
    }

    fn with(
        kind: Kind,
        has_credentials: bool,
        door: Door,
        script: &Script,
        change_relay: impl FnOnce(RelayBuilder) -> RelayBuilder,
        change: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Self {
        let identity = authority()
            .issue(&["a.test", "b.test", "127.0.0.1"])
            .unwrap();
        let peer = || Peer::builder().script(script.clone());
        let plain = peer().start().unwrap();
        let secure = peer().tls(identity).start().unwrap();
        let mut builder = kind.relay();
        for host in [
            "a.test".to_owned(),
            "b.test".to_owned(),
            A.to_string(),
            B.to_string(),
        ] {
            builder = builder
                .lead(&host, 80, plain.addr())
                .lead(&host, 443, secure.addr());
        }
        if has_credentials {
            builder = builder.credentials(USER, PASSWORD);
        }
        let relay = change_relay(builder).start().unwrap();
        let mut proxy = kind.proxy(&relay);
        if has_credentials {
            proxy = proxy.with_credentials(USER, PASSWORD).unwrap();
        }
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        let resolver = from_fn(move |host| {
            noted.lock().unwrap().push(host.to_owned());
            match host {
                "a.test" => Ok(vec![A]),
                "b.test" => Ok(vec![B]),
                _ => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
            }
        });
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
        let client = Client::builder()
            .observe(observer)
            .tls(trusting(authority()))
            .resolver(resolver)
            .proxy(proxy);
        let client = change(client).build().unwrap();
        let looped = (door == Door::Loop).then(|| EventLoop::new(&client).unwrap());
        Self {
            kind,
            relay,
            plain,
            secure,
            client,
            events,
            asked,
            looped,
        }
    }

    /// The same with another client: made by these settings on top of those that are usual.
    fn remade(self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
        let client = Client::builder()
            .observe(observer)
            .tls(trusting(authority()));
        let client = change(client).build().unwrap();
        let looped = self.looped.map(|_| EventLoop::new(&client).unwrap());
        Self {
            client,
            events,
            looped,
            ..self
        }
    }

    fn get(&self, url: &str) -> Request {
        self.client.get(url).unwrap()
    }

    /// Sends a request by the door of this world, and reads the answer to its end: status, content, and whether the
    /// connection had served before.
    fn send(&mut self, request: Request) -> Result<(u16, String, bool), Error> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match &mut self.looped {
            None => {
                let mut response = request.send()?;
                let body = response.collect(1_000_000)?;
                Ok((
                    response.status(),
                    text(&body),
                    response.is_connection_reused(),
                ))
            }
            Some(event_loop) => {
                event_loop.submit(request)?;
                let done = event_loop.next()?.unwrap().into_result()?;
                let status = done.status().unwrap();
                Ok((status, text(done.body()), done.is_connection_reused()))
            }
        }
    }

    /// Ends the client and waits for the others; what they saw, and what was told.
    #[track_caller]
    fn finish(self) -> Seen {
        let Self {
            kind,
            relay,
            plain,
            secure,
            client,
            events,
            asked,
            looped,
        } = self;
        drop((client, looped));
        assert!(
            relay.wait_until_closed(PATIENCE),
            "a connection outlives its client"
        );
        // The last to hold the client may be a thread of its resolver, which tells the end of it.
        let mut all = Vec::new();
        let ended = loop {
            match events.recv_timeout(PATIENCE) {
                Ok(event) => all.push(event),
                Err(ended) => break ended,
            }
        };
        assert_eq!(ended, RecvTimeoutError::Disconnected);
        let mut grammar = Grammar::new().strict_seq();
        let told = check_with(grammar.clone(), all);
        for event in told.iter() {
            grammar.event(event).unwrap();
        }
        if let Err(violation) = grammar.finish_all() {
            panic!("{violation}\n{}", told.transcript());
        }
        Seen {
            kind,
            relay: relay.seen(),
            origins: [plain.received(), secure.received()].concat(),
            told,
            asked: asked.lock().unwrap().clone(),
        }
    }
}

/// What everybody saw.
struct Seen {
    kind: Kind,
    relay: Vec<SeenRelay>,
    /// The bytes that each connection to an origin brought, plaintext.
    origins: Vec<Vec<u8>>,
    told: Checked,
    /// Names that were looked up by the client.
    asked: Vec<String>,
}

impl Seen {
    /// What holds on every way: secrets and the proxy's own fields reach the proxy alone, no name is looked up that the
    /// proxy is to look up, and no event shows a secret (F19, TRUST 59, 62, 69).
    #[track_caller]
    fn judge(&self) {
        for bytes in &self.origins {
            let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
            for secret in [USER, "canary", "y2fuyxj5", "proxy-", "connect "] {
                assert!(!text.contains(secret), "an origin saw {secret}: {text}");
            }
        }
        for one in &self.relay {
            let inside = String::from_utf8_lossy(&one.tunneled).to_ascii_lowercase();
            let passed_on = String::from_utf8_lossy(&one.forwarded).to_ascii_lowercase();
            for secret in ["canary", "y2fuyxj5", "proxy-"] {
                assert!(!inside.contains(secret) && !passed_on.contains(secret));
            }
        }
        if self.kind != Kind::Socks5 {
            assert_eq!(self.asked, [""; 0], "names are for the proxy to look up");
        }
        let told = format!("{}", self.told.transcript());
        for secret in ["canary", "Y2FuYXJ5"] {
            assert!(!told.contains(secret), "an event shows {secret}: {told}");
        }
    }
}

/// The address of a peer as a URL's authority.
fn at(addr: SocketAddr) -> String {
    addr.to_string()
}
