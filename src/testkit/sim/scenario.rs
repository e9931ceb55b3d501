//! A whole simulation as a value: origins, connections, answers, calls, faults. Drawn from a seed, played, made simpler.
//!
//! Every request has a tag in its target, and every answer repeats it, field and content: what a call is given is
//! known to be its own, and whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, LookupFailure};
use crate::message::answer::Family;
use crate::request::Request;
use crate::testkit::script::Script;
use crate::testkit::seen::SeenRequest;
use crate::testkit::sim::bug::Bug;
use crate::testkit::sim::caller::Caller;
use crate::testkit::sim::laws::{self, Broken, Report};
use crate::testkit::sim::link::{Handshake, Link};
use crate::testkit::sim::names::Name;
use crate::testkit::sim::{Sim, Ticket};

/// A secret that every request carries, and that nobody may be shown.
pub(super) const CANARY: &str = "canary-5up3r-53cr3t";

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
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallPlan {
    pub(super) origin: usize,
    pub(super) asks: Asks,
    pub(super) starts_ms: u64,
    pub(super) reads: ReadPlan,
    pub(super) cancels_ms: Option<u64>,
    pub(super) source_ms: u64,
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

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnswerPlan {
    pub(super) shape: Shape,
    pub(super) content: usize,
    pub(super) moment: Moment,
    pub(super) pause_ms: u64,
    pub(super) interims: usize,
    pub(super) behind: Behind,
}

/// How an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Length,
    /// Chunks of so many bytes.
    Chunked(usize),
    /// The same, with a trailer.
    Trailer(usize),
    UntilClose,
    NoContent,
    NotModified,
    Redirect,
    /// Nothing that is HTTP.
    Noise,
    /// A length that is no number.
    BadLength,
    /// A length that is told twice.
    Doubled,
    /// A second answer behind the message.
    Leftover,
    /// Bytes behind the message that are no answer.
    Junk,
}

/// When an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Behind the whole request; a 100 goes before the body, if one is expected.
    Asked,
    /// Behind the head, whatever follows.
    Early,
    /// Never: the connection stays silent.
    Never,
}

/// What a peer does behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Keep,
    Close,
    HalfClose,
    Reset,
    Stall,
    /// It reads nothing more, and closes.
    Deaf,
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
        let mut sim = Sim::with_bug(client, bug);
        for (number, origin) in self.origins.iter().enumerate() {
            origin.build(number, &mut sim);
        }
        sim
    }

    fn submit(&self, sim: &mut Sim, client: &Client) -> Vec<Ticket> {
        let each = self.calls.iter().enumerate();
        each.map(|(number, call)| {
            let origin = &self.origins[call.origin];
            let base = origin.base(call.origin);
            let request = match call.request(client, &base, number) {
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

    fn request(&self, client: &Client, base: &str, number: usize) -> Result<Request, Error> {
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
        };
        request.header("Authorization", &format!("Bearer {CANARY}"))
    }

    fn caller(&self) -> Caller {
        let caller = Caller::new()
            .starts_in(Duration::from_millis(self.starts_ms))
            .source_takes(Duration::from_millis(self.source_ms));
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
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:8000", self.host(number))
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
        let mut faults: Vec<_> = named.into_iter().chain(tls).collect();
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

    fn build(&self, number: usize, sim: &mut Sim) {
        let mut addresses = Vec::new();
        for (place, address) in self.addresses.iter().enumerate() {
            let ip = address.ip(number, place);
            addresses.push(ip);
            address.build(SocketAddr::new(ip, 8000), number, self.tls, sim);
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

    fn build(&self, addr: SocketAddr, origin: usize, tls: Option<Handshake>, sim: &mut Sim) {
        let Some((first, rest)) = self.connections.split_first() else {
            return;
        };
        let mut listening = sim
            .listen(addr, first.script(origin))
            .link(first.link.clone());
        for connection in rest {
            listening = listening
                .then(connection.script(origin))
                .link(connection.link.clone());
        }
        if let Some(handshake) = tls {
            listening.tls(handshake);
        }
    }
}

impl ConnectionPlan {
    fn script(&self, origin: usize) -> Script {
        let mut script = Script::new();
        let last = self.answers.len().saturating_sub(1);
        for (place, answer) in self.answers.iter().enumerate() {
            let steps = answer.steps(origin);
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
    fn faults(self) -> impl Iterator<Item = &'static str> {
        let shape = match self.shape {
            Shape::Noise => Some("not http"),
            Shape::BadLength => Some("bad length"),
            Shape::Leftover => Some("second answer"),
            Shape::Junk => Some("bytes behind"),
            _ => None,
        };
        let moment = match self.moment {
            Moment::Asked => None,
            Moment::Early => Some("early answer"),
            Moment::Never => Some("no answer"),
        };
        let behind = match self.behind {
            Behind::Keep => None,
            Behind::Close => Some("close"),
            Behind::HalfClose => Some("half close"),
            Behind::Reset => Some("reset"),
            Behind::Stall => Some("stall"),
            Behind::Deaf => Some("close, unread"),
        };
        [shape, moment, behind].into_iter().flatten()
    }

    fn steps(self, origin: usize) -> Script {
        let script = Script::new().expect_head();
        let script = match self.moment {
            Moment::Never => return script.stall(),
            Moment::Early => script,
            Moment::Asked => script
                .reply_with(|request| match request.field("expect") {
                    Some(_) => b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
                    None => Vec::new(),
                })
                .expect_body(),
        };
        let script = match self.pause_ms {
            0 => script,
            pause => script.pause(Duration::from_millis(pause)),
        };
        let script = script
            .repeat(
                self.interims,
                Script::new().send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
            )
            .reply_with(move |request| self.bytes(origin, request));
        let script = match (self.moment, self.behind) {
            (Moment::Early, Behind::Keep) => script.expect_body(),
            _ => script,
        };
        match self.behind {
            Behind::Keep => script,
            Behind::Close => script.close(),
            Behind::HalfClose => script.half_close().expect_gone(),
            Behind::Reset => script.reset(),
            Behind::Stall => script.stall(),
            Behind::Deaf => script.stop_reading().close(),
        }
    }

    /// The answer to a request.
    fn bytes(self, origin: usize, request: &SeenRequest) -> Vec<u8> {
        let path = request.target().split('?').next().unwrap_or_default();
        let tag = tag(origin, path);
        let length = match self.shape {
            Shape::NoContent | Shape::NotModified => 0,
            _ => self.content,
        };
        let content = content(&tag, length);
        let status = match self.shape {
            Shape::NoContent => "204 No Content",
            Shape::NotModified => "304 Not Modified",
            Shape::Redirect => "303 See Other",
            Shape::Noise => return b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(),
            _ => "200 OK",
        };
        let framing = match self.shape {
            Shape::Chunked(_) | Shape::Trailer(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
            Shape::UntilClose => "Connection: close\r\n".to_owned(),
            Shape::NoContent | Shape::NotModified => String::new(),
            Shape::Redirect => format!("Location: {path}?moved\r\nContent-Length: {length}\r\n"),
            Shape::BadLength => "Content-Length: five\r\n".to_owned(),
            Shape::Doubled => format!("Content-Length: {length}, {length}\r\n"),
            _ => format!("Content-Length: {length}\r\n"),
        };
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nX-Tag: {tag}\r\nX-Length: {length}\r\nSet-Cookie: {CANARY}\r\n{framing}\r\n"
        )
        .into_bytes();
        if request.method() == "HEAD" {
            return bytes;
        }
        match self.shape {
            Shape::Chunked(piece) | Shape::Trailer(piece) => {
                for chunk in content.chunks(piece.max(1)) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                let trailer = match self.shape {
                    Shape::Trailer(_) => "0\r\nX-End: 1\r\n\r\n",
                    _ => "0\r\n\r\n",
                };
                bytes.extend_from_slice(trailer.as_bytes());
            }
            Shape::Leftover => {
                bytes.extend_from_slice(&content);
                bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            Shape::Junk => {
                bytes.extend_from_slice(&content);
                bytes.extend_from_slice(b"what nobody asked for\r\n\r\n");
            }
            _ => bytes.extend_from_slice(&content),
        }
        bytes
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
