//! A whole simulation as a value: origins, connections, answers, calls, faults. Drawn from a seed, played, made simpler.
//!
//! Every request has a tag in its target, and every answer repeats it, field and content: what a call is given is
//! known to be its own, and whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, LookupFailure};
use crate::flow::call::DetachedDial;
use crate::message::answer::Family;
use crate::message::proxy::Proxy;
use crate::request::Request;
use crate::testkit::script::Script;
use crate::testkit::sim::answer::{AnswerPlan, Answering, Behind};
use crate::testkit::sim::bug::Bug;
use crate::testkit::sim::caller::Caller;
use crate::testkit::sim::laws::{self, Broken, Report};
use crate::testkit::sim::link::{Handshake, Link};
use crate::testkit::sim::names::Name;
use crate::testkit::sim::proxied::{PORT, Proxied};
use crate::testkit::sim::source::Pace;
use crate::testkit::sim::{Sim, Ticket};

/// A secret that every request carries, and that nobody may be shown.
pub(super) const CANARY: &str = "canary-5up3r-53cr3t";

/// The protocol that is offered by a call that wants to speak another one.
pub(super) const PROTOCOL: &str = "echo";

/// One simulation: what happens in it, and nothing of how. Its `Debug` form is what a failure prints.
///
/// ```
/// use wirescope::testkit::sim::Scenario;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = wirescope::Client::new()?;
/// for seed in 0..20 {
///     let scenario = Scenario::from_seed(seed);
///     let report = scenario.run(&client)?;
///     assert_eq!(report.calls(), scenario.calls());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    pub(super) seed: u64,
    pub(super) calls: Vec<CallPlan>,
    pub(super) origins: Vec<OriginPlan>,
    /// Whether dials go on that their calls do not need any more, as in an event loop, or are given up.
    pub(super) detached: DetachedDial,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallPlan {
    pub(super) origin: usize,
    pub(super) asks: Asks,
    pub(super) starts_ms: u64,
    pub(super) reads: ReadPlan,
    pub(super) cancels_ms: Option<u64>,
    pub(super) source: Pace,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Get,
    Head,
    Delete,
    /// With a body in memory.
    Post(usize),
    /// The same, and the body waits for a 100.
    Expect(usize),
    /// A POST that may be repeated.
    Keyed(usize),
    /// From a source without a length, with a trailer behind it.
    Put(usize),
    /// To speak another protocol.
    Switch,
    /// The same behind a body from a source.
    SwitchPut(usize),
}

/// How the body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadPlan {
    Whole,
    /// Bytes at a time, with pauses.
    Slowly(usize, u64),
    /// Dropped after that many bytes.
    Dropped(usize),
}

/// One origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OriginPlan {
    /// Who stands before it: what follows is then of the proxy.
    pub(super) proxied: Proxied,
    pub(super) named: Named,
    pub(super) tls: Option<Handshake>,
    pub(super) addresses: Vec<AddressPlan>,
}

/// How the addresses of an origin are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The URL has an address.
    Literal,
    /// After so many milliseconds for IPv4 and for IPv6.
    After(u64, u64),
    /// IPv6 is never answered.
    Half(u64),
    /// Both families are never answered.
    Silent,
    /// There is no address.
    Empty,
    Failed(LookupFailure),
}

/// One address of an origin: its connections, the last one standing for all later ones. None: nobody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddressPlan {
    pub(super) is_v6: bool,
    pub(super) connections: Vec<ConnectionPlan>,
}

/// One connection: the way, and the answers on it, the last one standing for all later ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionPlan {
    pub(super) link: Link,
    pub(super) answers: Vec<AnswerPlan>,
}

impl Scenario {
    /// The seed it was drawn from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Counts its calls.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The number of the origin that listens there.
    pub(super) fn origin_at(&self, ip: IpAddr) -> Option<usize> {
        let mut origins = self.origins.iter().enumerate();
        let listens = |(number, origin): &(usize, &OriginPlan)| {
            let mut addresses = origin.addresses.iter().enumerate();
            addresses.any(|(place, address)| address.ip(*number, place) == ip)
        };
        origins.find(listens).map(|(number, _)| number)
    }

    /// The faults that are planned, each time one is.
    pub(super) fn faults(&self) -> Vec<&'static str> {
        let mut faults = Vec::new();
        for call in &self.calls {
            faults.extend(call.faults());
        }
        for origin in &self.origins {
            faults.extend(origin.faults());
        }
        faults
    }

    /// Plays it, and judges everything by the laws.
    ///
    /// # Errors
    /// The law that was broken.
    pub fn run(&self, client: &Client) -> Result<Report, Broken> {
        self.run_with(client, None)
    }

    /// As [`run`](Self::run), with a bug planted.
    ///
    /// # Errors
    /// The law that was broken.
    pub fn run_with(&self, client: &Client, bug: Option<Bug>) -> Result<Report, Broken> {
        let mut sim = self.simulation(client, bug);
        let tickets = self.submit(&mut sim, client);
        laws::judge(self, &mut sim, &tickets)
    }

    /// Plays it, and tells what happened.
    #[must_use]
    pub fn transcript(&self, client: &Client) -> String {
        let mut sim = self.simulation(client, None);
        self.submit(&mut sim, client);
        let end = sim.run_all();
        sim.close_idle();
        match end {
            Ok(()) => sim.transcript(),
            Err(stuck) => format!("{}{stuck}\n", sim.transcript()),
        }
    }

    fn simulation(&self, client: &Client, bug: Option<Bug>) -> Sim {
        let sim = Sim::with_bug(client, bug);
        let mut sim = match self.detached {
            DetachedDial::Finish => sim.finishing_dials(),
            DetachedDial::Abort => sim,
        };
        for (number, origin) in self.origins.iter().enumerate() {
            let next = (number + 1) % self.origins.len();
            let answering = Answering {
                origin: number,
                elsewhere: self.origins[next].base(next).into(),
            };
            origin.build(&answering, &mut sim);
        }
        sim
    }

    fn submit(&self, sim: &mut Sim, client: &Client) -> Vec<Ticket> {
        let each = self.calls.iter().enumerate();
        each.map(|(number, call)| {
            let origin = &self.origins[call.origin];
            let base = origin.base(call.origin);
            let authority = format!("{}:{PORT}", origin.host(call.origin));
            let proxy = origin.proxied.proxy(&authority, origin.tls.is_some());
            let request = match call.request(client, &base, proxy, number) {
                Ok(request) => request,
                Err(error) => unreachable!("a scenario asks what can be asked: {error}"),
            };
            sim.submit(request, call.caller())
        })
        .collect()
    }
}

impl CallPlan {
    /// The target that names this call.
    pub(super) fn target(number: usize) -> String {
        format!("/call-{number}")
    }

    pub(super) fn request(
        &self,
        client: &Client,
        base: &str,
        proxy: Option<Proxy>,
        number: usize,
    ) -> Result<Request, Error> {
        let url = format!("{base}{}?token={CANARY}", Self::target(number));
        let body = |length| vec![b'u'; length];
        let request = match self.asks {
            Asks::Get => client.get(&url)?,
            Asks::Head => client.head(&url)?,
            Asks::Delete => client.delete(&url)?,
            Asks::Post(length) => client.post(&url)?.body(body(length)),
            Asks::Expect(length) => client.post(&url)?.body(body(length)).expect_continue(),
            Asks::Keyed(length) => client
                .post(&url)?
                .header("Idempotency-Key", "1")?
                .body(body(length)),
            Asks::Put(length) => client
                .put(&url)?
                .body_reader(std::io::Cursor::new(body(length)))
                .trailer("X-Sum", "1")?,
            Asks::Switch => client.get(&url)?,
            Asks::SwitchPut(length) => client
                .put(&url)?
                .body_reader(std::io::Cursor::new(body(length))),
        };
        // A proxy that is given whole requests would be asked for a tunnel, of which its script knows nothing.
        let is_forwarded = proxy.is_some() && !base.starts_with("https");
        let request = match self.asks {
            Asks::Switch | Asks::SwitchPut(_) if !is_forwarded => request.upgrade(PROTOCOL)?,
            _ => request,
        };
        request
            .proxy(proxy)
            .header("Authorization", &format!("Bearer {CANARY}"))
    }

    fn caller(&self) -> Caller {
        let caller = Caller::new().starts_in(Duration::from_millis(self.starts_ms));
        let caller = match self.asks {
            Asks::Switch | Asks::SwitchPut(_) => caller.speaks("what is said behind the switch"),
            _ => caller,
        };
        let caller = match self.source {
            Pace::AtOnce => caller,
            Pace::Blocks(time) => caller.source_takes(time),
            Pace::NotNow(time) => caller.source_says_not_now(time),
        };
        let caller = match self.reads {
            ReadPlan::Whole => caller,
            ReadPlan::Slowly(bytes, pause) => caller.reads(bytes, Duration::from_millis(pause)),
            ReadPlan::Dropped(bytes) => caller.drops_after(bytes),
        };
        match self.cancels_ms {
            Some(time) => caller.cancels_in(Duration::from_millis(time)),
            None => caller,
        }
    }

    fn faults(&self) -> impl Iterator<Item = &'static str> {
        let reads = match self.reads {
            ReadPlan::Whole => None,
            ReadPlan::Slowly(..) => Some("slow caller"),
            ReadPlan::Dropped(_) => Some("dropped body"),
        };
        let canceled = self.cancels_ms.map(|_| "cancel");
        reads.into_iter().chain(canceled)
    }

    /// Says whether the request may reach a peer more than once.
    pub(super) fn may_repeat(&self) -> bool {
        !matches!(self.asks, Asks::Post(_) | Asks::Expect(_))
    }
}

impl OriginPlan {
    fn host(&self, number: usize) -> String {
        match (self.named, self.addresses.first()) {
            (Named::Literal, Some(address)) => match address.ip(number, 0) {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            },
            _ => format!("origin-{number}.example"),
        }
    }

    fn base(&self, number: usize) -> String {
        if self.proxied != Proxied::No {
            return self.proxied.base(number, self.tls.is_some());
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{PORT}", self.host(number))
    }

    fn faults(&self) -> Vec<&'static str> {
        let named = match self.named {
            Named::Literal | Named::After(..) => None,
            Named::Half(_) => Some("one family silent"),
            Named::Silent => Some("resolver silent"),
            Named::Empty => Some("no address"),
            Named::Failed(_) => Some("lookup fails"),
        };
        let tls = match self.tls {
            None | Some(Handshake::Made { .. }) => None,
            Some(Handshake::Failed(_)) => Some("handshake fails"),
            Some(Handshake::Stalled) => Some("handshake stalls"),
        };
        let proxied = self.proxied.fault();
        let mut faults: Vec<_> = named.into_iter().chain(tls).chain(proxied).collect();
        for address in &self.addresses {
            if address.connections.is_empty() {
                faults.push("nobody listens");
            }
            for connection in &address.connections {
                faults.extend(connection.link.faults());
                let answers = connection.answers.iter();
                faults.extend(answers.flat_map(|answer| answer.faults()));
            }
        }
        faults
    }

    fn build(&self, answering: &Answering, sim: &mut Sim) {
        let number = answering.origin;
        let mut addresses = Vec::new();
        for (place, address) in self.addresses.iter().enumerate() {
            let ip = address.ip(number, place);
            addresses.push(ip);
            address.build(SocketAddr::new(ip, PORT), answering, self, sim);
        }
        let name = Name::default();
        let after = Duration::from_millis;
        let name = match self.named {
            Named::Literal => return,
            Named::After(v4, v6) => name.family(Family::V4, after(v4), Ok(&addresses)).family(
                Family::V6,
                after(v6),
                Ok(&addresses),
            ),
            Named::Half(v4) => name
                .family(Family::V4, after(v4), Ok(&addresses))
                .silent(Family::V6),
            Named::Silent => name.silent(Family::V4).silent(Family::V6),
            Named::Empty => name,
            Named::Failed(failure) => name.family(Family::V4, after(3), Err(failure)).family(
                Family::V6,
                after(5),
                Err(failure),
            ),
        };
        sim.name(&self.host(number), name);
    }
}

impl AddressPlan {
    fn ip(&self, origin: usize, place: usize) -> IpAddr {
        let last = u8::try_from(origin * 16 + place + 1).unwrap_or(u8::MAX);
        match self.is_v6 {
            false => Ipv4Addr::new(192, 0, 2, last).into(),
            true => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into(),
        }
    }

    fn build(&self, addr: SocketAddr, answering: &Answering, origin: &OriginPlan, sim: &mut Sim) {
        let mut scripts = self
            .connections
            .iter()
            .filter(|connection| connection.link.is_accepted())
            .map(|connection| connection.script(answering, origin));
        let mut listening = sim.listen(addr, scripts.next().unwrap_or_default());
        for script in scripts {
            listening = listening.then(script);
        }
        for connection in &self.connections {
            listening = listening.link(connection.link.clone());
        }
        match origin.tls {
            Some(handshake) if origin.proxied.secures_at_once() => listening.tls(handshake),
            Some(handshake) => listening.tls_on_demand(handshake),
            None => listening,
        };
    }
}

impl ConnectionPlan {
    fn script(&self, answering: &Answering, origin: &OriginPlan) -> Script {
        let mut script = origin
            .proxied
            .steps(answering.origin, |script| match origin.tls {
                Some(_) => script.start_tls(),
                None => script,
            });
        let last = self.answers.len().saturating_sub(1);
        for (place, answer) in self.answers.iter().enumerate() {
            let steps = answer.steps(answering.clone());
            script = if place == last && answer.behind == Behind::Keep {
                script.forever(steps)
            } else {
                script.followed_by(steps)
            };
        }
        script
    }
}

/// What an answer of an origin to a target is known by.
pub(super) fn tag(origin: usize, target: &str) -> String {
    format!("{origin}{target}")
}

/// The content of an answer: its tag again and again.
pub(super) fn content(tag: &str, length: usize) -> Vec<u8> {
    let each = format!("{tag};").into_bytes();
    let mut whole = each.repeat(length.div_ceil(each.len()));
    whole.truncate(length);
    whole
}
