//! A scenario over TCP: its origins listen on the loopback interface, and its calls go through any door.
//!
//! The rule here: **what the loopback interface cannot do is left out, not imitated.** Peers make segments and cuts
//! themselves, the first answer of a connection is the one that is cut; latency, lost and refused connects behind an
//! accepted one, and IPv6 are left out. Times are a few milliseconds, so the client's deadlines have to be short.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::message::fields::Fields;
use crate::message::proxy::Proxy;
use crate::request::Request;
use crate::testkit::dead_ends::RefusedPort;
use crate::testkit::peer::{Builder, Peer};
use crate::testkit::script::Script;
use crate::testkit::sim::answer::{AnswerPlan, Answering, Behind, Shape};
use crate::testkit::sim::laws::{Broken, Given, Law, Verdict, judge_given, judge_requests};
use crate::testkit::sim::link::{Accept, Handshake, Link};
use crate::testkit::sim::network::Secures;
use crate::testkit::sim::proxied::{Proxied, target};
use crate::testkit::sim::scenario::{ConnectionPlan, Named, OriginPlan, ReadPlan, Scenario};

/// The longest pause of a peer, of a resolver, and of a caller before its call.
const PAUSE_MAX: Duration = Duration::from_millis(PAUSE_MAX_MS);
const PAUSE_MAX_MS: u64 = 3;

/// How much shorter a caller's patience is than in the simulation.
const HURRY: u32 = 8;

/// How long a resolver takes that never answers in the simulation.
const SILENCE: Duration = Duration::from_millis(250);

/// Bytes that a peer with a narrow window has room for.
const NARROW: usize = 4096;

/// A scenario whose peers listen. Made by [`Scenario::wire`].
#[derive(Debug)]
pub struct Wired {
    scenario: Scenario,
    origins: Vec<Stand>,
}

/// What stands for an origin.
#[derive(Debug)]
struct Stand {
    host: String,
    proxy: Option<Proxy>,
    base: String,
    addresses: Vec<IpAddr>,
    peers: Vec<Peer>,
    /// Nobody else gets the port, and nobody listens there but the peers.
    port: RefusedPort,
}

/// How a name of a wired scenario is to be looked up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WiredName {
    /// The name.
    pub host: String,
    /// How long that takes.
    pub takes: Duration,
    /// Its addresses; none when it fails.
    pub addresses: Option<Vec<IpAddr>>,
}

/// Lets a peer speak TLS for this host: from the first byte on, or where its script says so.
pub type Secure<'a> = &'a dyn Fn(Builder, &str, Secures) -> Builder;

impl Scenario {
    /// Starts the peers of the scenario; `secure` makes those speak TLS whose origin does.
    ///
    /// # Errors
    /// What the system says against a listener.
    pub fn wire(&self, secure: Secure<'_>) -> io::Result<Wired> {
        let mut scenario = self.clone();
        for origin in &mut scenario.origins {
            origin.proxied = origin.proxied.over_tcp();
        }
        let mut origins = Vec::new();
        for (number, origin) in scenario.origins.iter().enumerate() {
            let port = RefusedPort::reserve()?;
            let host = match origin.named {
                Named::Literal => ip(number, 0).to_string(),
                _ => format!("origin-{number}.seed-{}.example", self.seed),
            };
            let authority = format!("{host}:{}", port.addr().port());
            let is_tls = origin.tls.is_some();
            let scheme = if is_tls { "https" } else { "http" };
            let places = 0..origin.addresses.len();
            origins.push(Stand {
                base: match origin.proxied {
                    Proxied::No => format!("{scheme}://{authority}"),
                    proxied => proxied.base(number, is_tls),
                },
                proxy: origin.proxied.proxy(&authority, is_tls),
                host,
                addresses: places.map(|place| ip(number, place)).collect(),
                peers: Vec::new(),
                port,
            });
        }
        for (number, origin) in scenario.origins.iter().enumerate() {
            let next = (number + 1) % origins.len();
            let answering = Answering {
                origin: number,
                elsewhere: origins[next].base.as_str().into(),
            };
            origins[number].start(origin, &answering, secure)?;
        }
        Ok(Wired { scenario, origins })
    }
}

impl Stand {
    fn start(
        &mut self,
        origin: &OriginPlan,
        answering: &Answering,
        secure: Secure<'_>,
    ) -> io::Result<()> {
        let port = self.port.addr().port();
        for (address, ip) in origin.addresses.iter().zip(&self.addresses) {
            let scripts: Vec<Script> = address
                .connections
                .iter()
                .filter(|connection| connection.link.is_accepted())
                .map(|connection| connection.over_tcp(answering, origin))
                .collect();
            if scripts.is_empty() {
                continue;
            }
            let addr = SocketAddr::new(*ip, port);
            let mut peer = Peer::builder().bind(addr).scripts(scripts);
            let mut links = address
                .connections
                .iter()
                .map(|connection| &connection.link);
            if links.any(|link| link.window < Link::new().window) {
                peer = peer.receive_buffer_bytes(NARROW);
            }
            if let Some(Handshake::Made { .. }) = origin.tls {
                peer = match origin.proxied.secures_at_once() {
                    true => secure(peer, &self.host, Secures::AtOnce),
                    false => secure(peer, &target(answering.origin), Secures::OnDemand),
                };
            }
            self.peers.push(peer.start()?);
        }
        Ok(())
    }
}

impl ConnectionPlan {
    fn over_tcp(&self, answering: &Answering, origin: &OriginPlan) -> Script {
        let tls = origin.tls;
        if self.link.accept == Accept::Reset {
            return Script::new().reset();
        }
        let mut script = origin.proxied.steps(answering.origin, |script| match tls {
            Some(Handshake::Made { .. }) => script.start_tls(),
            Some(Handshake::Failed(_) | Handshake::Stalled) | None => script,
        });
        match tls {
            Some(Handshake::Failed(_)) => return script.send("no TLS here\r\n").expect_gone(),
            Some(Handshake::Stalled) => return script.stall(),
            Some(Handshake::Made { .. }) | None => {}
        }
        let last = self.answers.len().saturating_sub(1);
        for (place, answer) in self.answers.iter().enumerate() {
            let answer = answer.over_tcp(tls.is_some());
            let cut = self.link.cut.filter(|_| place == 0);
            let steps = answer.steps_over_tcp(answering, self.link.segment, cut);
            script = if place == last && answer.behind == Behind::Keep {
                script.forever(steps)
            } else {
                script.followed_by(steps)
            };
        }
        script
    }
}

impl AnswerPlan {
    /// The answer as it can be given over TCP: soon; and under TLS, where what is written at once may be two records,
    /// without a second answer behind the first.
    fn over_tcp(mut self, is_tls: bool) -> Self {
        self.pause_ms = self.pause_ms.min(PAUSE_MAX_MS);
        if is_tls && self.shape == Shape::Leftover {
            self.shape = Shape::Junk;
        }
        self
    }
}

impl Wired {
    /// How its names are to be looked up, by a resolver of the client's.
    #[must_use]
    pub fn names(&self) -> Vec<WiredName> {
        let named = self.scenario.origins.iter().zip(&self.origins);
        named
            .map(|(origin, stand)| {
                let (takes, addresses) = match origin.named {
                    Named::Literal | Named::After(..) | Named::Half(_) => {
                        (PAUSE_MAX, Some(stand.addresses.clone()))
                    }
                    Named::Empty => (PAUSE_MAX, Some(Vec::new())),
                    Named::Failed(_) => (PAUSE_MAX, None),
                    Named::Silent => (SILENCE, None),
                };
                WiredName {
                    host: stand.host.clone(),
                    takes,
                    addresses,
                }
            })
            .collect()
    }

    /// Counts its calls.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.scenario.calls.len()
    }

    /// The request of a call.
    ///
    /// # Errors
    /// None that a scenario is known to cause.
    pub fn request(&self, client: &Client, number: usize) -> Result<Request, Error> {
        let call = &self.scenario.calls[number];
        let stand = &self.origins[call.origin];
        call.request(client, &stand.base, stand.proxy.clone(), number)
    }

    /// How long its caller waits before the call.
    #[must_use]
    pub fn starts_in(&self, number: usize) -> Duration {
        let planned = Duration::from_millis(self.scenario.calls[number].starts_ms);
        planned.min(PAUSE_MAX)
    }

    /// When its caller cancels the call, if it does.
    #[must_use]
    pub fn cancels_in(&self, number: usize) -> Option<Duration> {
        let planned = self.scenario.calls[number].cancels_ms;
        planned.map(|planned| Duration::from_millis(planned) / HURRY)
    }

    /// How many bytes of the content its caller wants, if not all.
    #[must_use]
    pub fn body_max(&self, number: usize) -> Option<usize> {
        match self.scenario.calls[number].reads {
            ReadPlan::Whole | ReadPlan::Slowly(..) => None,
            ReadPlan::Dropped(bytes) => Some(bytes),
        }
    }

    /// Judges what a call was given: its fields, if a response came, its content, its error, and how many redirects it
    /// followed.
    ///
    /// # Errors
    /// The law that was broken.
    pub fn judge(
        &self,
        number: usize,
        fields: Option<&Fields>,
        body: &[u8],
        error: Option<&Error>,
        redirects: usize,
    ) -> Result<(), Broken> {
        let is_delimited = fields.is_some_and(|fields| {
            let names = ["content-length", "transfer-encoding"];
            names.iter().any(|name| fields.get(name).is_some())
        });
        let given = Given {
            fields,
            is_delimited,
            body,
            error,
            redirects,
        };
        self.broken(judge_given(&self.scenario, number, &given))
    }

    /// Ends the peers, and judges what reached them. All clients have gone.
    ///
    /// # Errors
    /// The law that was broken.
    pub fn finish(self, patience: Duration) -> Result<(), Broken> {
        let peers = || {
            let origins = self.origins.iter().enumerate();
            origins.flat_map(|(number, stand)| stand.peers.iter().map(move |peer| (number, peer)))
        };
        let all_closed = peers().all(|(_, peer)| peer.wait_until_closed(patience));
        if !all_closed {
            let text = "a connection outlives its client".to_owned();
            return self.broken(Err((Law::Leftover, text)));
        }
        let mut requests = Vec::new();
        for (number, peer) in peers() {
            requests.extend(peer.requests().into_iter().map(|seen| (Some(number), seen)));
        }
        let requests = requests.iter().map(|(origin, seen)| (*origin, seen));
        self.broken(judge_requests(&self.scenario, requests))
    }

    fn broken(&self, verdict: Verdict) -> Result<(), Broken> {
        verdict.map_err(|(law, text)| Broken {
            law,
            seed: self.scenario.seed,
            text,
        })
    }
}

/// An address of its own for each address of each origin.
fn ip(origin: usize, place: usize) -> IpAddr {
    let of = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 1, of(origin), of(place + 1)).into()
}
