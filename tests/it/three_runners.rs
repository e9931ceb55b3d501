//! One table, three runners: a script played over TCP by the blocking client and by the event loop, and in the
//! simulator, gives the same outcome and the same events.
//!
//! Compared are the results of all calls, the requests as the peer read them, and the stable transcripts, line by
//! line: the event loop and the simulator with the blocking client, hence with each other. What happens in an order of
//! its own over TCP (two writes that may arrive as one) is held apart by gates.

mod bodies;
mod proxied;
mod supplies;
mod table;
mod upgrades;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wirescope::event::{
    Event, EventData, EventKind, Events, Interest, Overflow, Trace, channel_with,
};
use wirescope::message::tls::TlsFacts;
use wirescope::testkit::check::check;
use wirescope::testkit::sim::{Caller, Handshake, Sim};
use wirescope::testkit::transcript::Transcript;
use wirescope::testkit::{Gate, Peer, RefusedPort, Script, SeenRequest};
use wirescope::{
    CancelHandle, Client, ClientBuilder, Completion, Error, EventLoop, Request, Response, Upgraded,
};

use self::bodies::{Slow, Supply};
use self::proxied::proxied;
use self::supplies::supplies;
use self::table::{Case, answers, readers, requests, secured, sequences};
use self::upgrades::upgrades;
use crate::harness::{PATIENCE, authority, trusting};
use crate::ways::Way;

/// Where the simulated peer listens: a port of as many digits as those that the system chooses.
const LISTENS: &str = "127.0.0.1:51234";

/// What is asked for where the peer is a proxy too.
const TARGET: (&str, u16) = ("a.test", 8000);

/// Most bytes of a body.
const BODY_MAX: usize = 1 << 20;

/// What all runners play. Made anew for each, because a gate that was opened stays open.
struct Play {
    scripts: Vec<Script>,
    calls: Vec<Ask>,
    change: fn(ClientBuilder) -> ClientBuilder,
    peer: On,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Plain,
    Tls,
    /// Nobody listens.
    Refused,
}

/// One call.
struct Ask {
    method: &'static str,
    target: &'static str,
    change: fn(Request) -> Request,
    /// A body that comes in its own time.
    supply: Option<Supply>,
    read: Reading,
    /// What is said when another protocol can be spoken.
    speaks: Option<&'static str>,
    /// Opened when the response is handed out.
    gate: Option<Gate>,
    /// What is waited for before the call.
    after: After,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Whole,
    Pieces(usize),
    /// Dropped after that many bytes.
    Dropped(usize),
    Canceled,
}

#[derive(Clone)]
enum After {
    Nothing,
    /// The peer has closed all its connections.
    Closed,
    /// The script opens it, and the bytes sent before that have arrived.
    Gate(Gate),
}

/// What a call came to, comparable.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Response {
        status: u16,
        body: Vec<u8>,
        trailers: Vec<(String, Vec<u8>)>,
        reused: bool,
    },
    Failed(String),
}

struct Ran {
    came: Vec<Came>,
    transcript: String,
    requests: Vec<Reached>,
    facts: Option<Arc<TlsFacts>>,
}

/// A request as the peer read it.
#[derive(Debug, PartialEq, Eq)]
struct Reached {
    method: String,
    target: String,
    body: Vec<u8>,
    trailers: Vec<u8>,
    is_complete: bool,
}

fn ask(method: &'static str, target: &'static str) -> Ask {
    Ask {
        method,
        target,
        change: |request| request,
        supply: None,
        read: Reading::Whole,
        speaks: None,
        gate: None,
        after: After::Nothing,
    }
}

fn get() -> Ask {
    ask("GET", "/x")
}

impl Ask {
    fn with(mut self, change: fn(Request) -> Request) -> Self {
        self.change = change;
        self
    }

    fn supplied(mut self, supply: Supply) -> Self {
        self.supply = Some(supply);
        self
    }

    fn read(mut self, read: Reading) -> Self {
        self.read = read;
        self
    }

    fn speaks(mut self, words: &'static str) -> Self {
        self.speaks = Some(words);
        self
    }

    fn opens(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn after(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    /// The request without its body that comes in its own time.
    fn request(&self, client: &Client, base: &str) -> Request {
        let request = match self.method {
            "CONNECT" => client.connect(base, self.target),
            method => client.request(method, &format!("{base}{}", self.target)),
        };
        let request = (self.change)(request.unwrap());
        if self.read == Reading::Canceled {
            let handle = CancelHandle::default();
            handle.cancel();
            return request.cancel_by(&handle);
        }
        request
    }
}

impl Play {
    fn new(scripts: Vec<Script>, calls: Vec<Ask>) -> Self {
        Self {
            scripts,
            calls,
            change: |client| client,
            peer: On::Plain,
            way: Way::Direct,
        }
    }

    fn client(mut self, change: fn(ClientBuilder) -> ClientBuilder) -> Self {
        self.change = change;
        self
    }

    fn on(mut self, peer: On) -> Self {
        self.peer = peer;
        self
    }

    /// Lets the peer be a proxy too: its scripts say what it does as one.
    fn by(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// Says whether TLS begins where a script says so.
    fn is_tls_on_demand(&self) -> bool {
        matches!(self.way, Way::Connect | Way::Socks)
    }

    /// The beginning of all URLs, when the peer listens there.
    fn base(&self, at: SocketAddr) -> String {
        let scheme = self.way.scheme(self.peer == On::Tls);
        match (self.way, TARGET) {
            (Way::Direct, _) => format!("{scheme}://{at}"),
            (_, (host, port)) => format!("{scheme}://{host}:{port}"),
        }
    }
}

fn lines(fields: &wirescope::message::fields::Fields) -> Vec<(String, Vec<u8>)> {
    let each = fields.iter();
    each.map(|line| (line.name().to_owned(), line.value().to_vec()))
        .collect()
}

fn failed(error: &Error) -> Came {
    Came::Failed(format!("{:?} in {:?}", error.kind(), error.phase()))
}

fn transcript(events: &[Event]) -> String {
    let of_calls: Vec<Event> = events
        .iter()
        .filter(|event| event.kind() != EventKind::ClientStart)
        .cloned()
        .collect();
    let text = Transcript::of(&of_calls).stable().to_string();
    // A virtual caller spends no time at all, and time that nobody spent is none.
    text.replace("\"caller_ns\":null", "\"caller_ns\":0")
}

// ---- over TCP ----

/// A peer that plays the scripts, and a client that tells everything.
struct Wire {
    client: Client,
    events: Events,
    peer: Peer,
    base: String,
    _refused: RefusedPort,
}

impl Wire {
    fn new(play: &Play) -> Self {
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
        let refused = RefusedPort::reserve().unwrap();
        let mut peer = Peer::builder().scripts(play.scripts.iter().cloned());
        if play.peer == On::Tls {
            let identity = authority().issue(&["127.0.0.1", TARGET.0]).unwrap();
            peer = match play.is_tls_on_demand() {
                true => peer.tls_on_demand(identity),
                false => peer.tls(identity),
            };
        }
        let peer = peer.start().unwrap();
        let at = match play.peer {
            On::Refused => refused.addr(),
            On::Plain | On::Tls => peer.addr(),
        };
        let base = play.base(at);
        let builder = (play.change)(Client::builder()).observe(observer);
        let builder = play.way.through(builder, at, play.peer == On::Tls);
        let client = builder.tls(trusting(authority())).build().unwrap();
        Self {
            client,
            events,
            peer,
            base,
            _refused: refused,
        }
    }

    /// Waits for what a call is to come after, and makes its request.
    fn request(&self, ask: &Ask) -> Request {
        match &ask.after {
            After::Nothing => {}
            After::Closed => assert!(self.peer.wait_until_closed(PATIENCE)),
            After::Gate(gate) => assert!(gate.wait(PATIENCE)),
        }
        let request = ask.request(&self.client, &self.base);
        match &ask.supply {
            None => request,
            Some(supply) => supply.of_threads(request),
        }
    }

    fn finish(self, came: Vec<Came>) -> Ran {
        let Self {
            client,
            events,
            peer,
            ..
        } = self;
        drop(client);
        let events = check(&events);
        // The peer may not have noticed yet that the last of them was made.
        let made = events.only(EventKind::ConnOpened).len();
        assert!(peer.wait_for_connection(made, PATIENCE) && peer.wait_until_closed(PATIENCE));
        let requests = peer.requests();
        Ran {
            came,
            transcript: transcript(&events),
            requests: requests.iter().map(seen).collect(),
            facts: events.iter().find_map(facts_of),
        }
    }
}

/// What a handshake agreed on, with a server or with a proxy.
fn facts_of(event: &Event) -> Option<Arc<TlsFacts>> {
    match event.data() {
        EventData::TlsHandshakeDone(done) => done.facts().cloned(),
        _ => None,
    }
}

fn over_tcp(play: &Play) -> Ran {
    let wire = Wire::new(play);
    let mut came = Vec::new();
    for ask in &play.calls {
        let request = wire.request(ask);
        came.push(match response(request, ask) {
            Ok(came) => came,
            Err(error) => failed(&error),
        });
    }
    wire.finish(came)
}

// ---- through the event loop ----

fn over_loop(play: &Play) -> Ran {
    let wire = Wire::new(play);
    let mut event_loop = EventLoop::new(&wire.client).unwrap();
    let mut came = Vec::new();
    for ask in &play.calls {
        let mut request = wire.request(ask);
        if let Some(gate) = ask.gate.clone() {
            request = request.observe(Trace::new().on_got_response_head(move |_| gate.open()));
        }
        came.push(match completion(&mut event_loop, request, ask) {
            Ok(came) => came,
            Err(error) => failed(&error),
        });
    }
    drop(event_loop);
    wire.finish(came)
}

fn completion(event_loop: &mut EventLoop, request: Request, ask: &Ask) -> Result<Came, Error> {
    let slow = match ask.read {
        Reading::Whole | Reading::Canceled => {
            event_loop.submit(request)?;
            let done = event_loop.next()?.unwrap().into_result()?;
            let mut came = completed(&done, done.body().to_vec());
            if let (Some(words), true, Came::Response { body, .. }) =
                (ask.speaks, done.is_upgraded(), &mut came)
            {
                *body = spoken(done.upgrade()?, words);
            }
            return Ok(came);
        }
        Reading::Pieces(bytes) => Slow::reads(bytes),
        Reading::Dropped(bytes) => Slow::refuses_after(bytes),
    };
    event_loop.submit_to(request, slow.sink())?;
    let done = loop {
        match event_loop.try_next() {
            Some(done) => break done,
            None => slow.wake(),
        }
        event_loop.turn(None)?;
    };
    let done = match slow.has_refused() {
        true => done,
        false => done.into_result()?,
    };
    Ok(completed(&done, slow.body()))
}

fn completed(done: &Completion, body: Vec<u8>) -> Came {
    Came::Response {
        status: done.status().unwrap(),
        body,
        trailers: done.trailers().map(lines).unwrap_or_default(),
        reused: done.is_connection_reused(),
    }
}

fn response(request: Request, ask: &Ask) -> Result<Came, Error> {
    let mut response = request.send()?;
    if let Some(gate) = &ask.gate {
        gate.open();
    }
    if let (Some(words), true) = (ask.speaks, response.is_upgraded()) {
        return Ok(Came::Response {
            status: response.status(),
            trailers: Vec::new(),
            reused: response.is_connection_reused(),
            body: spoken(response.upgrade()?, words),
        });
    }
    let body = match ask.read {
        Reading::Whole | Reading::Canceled => response.collect(BODY_MAX)?,
        Reading::Pieces(bytes) => pieces(&mut response, bytes, usize::MAX)?,
        Reading::Dropped(enough) => pieces(&mut response, enough.max(1), enough)?,
    };
    let came = Came::Response {
        status: response.status(),
        body,
        trailers: response.trailers().map(lines).unwrap_or_default(),
        reused: response.is_connection_reused(),
    };
    Ok(came)
}

/// Says this, ends its direction, and hears the peer to its end.
fn spoken(mut stream: Upgraded, words: &str) -> Vec<u8> {
    stream.write_all(words.as_bytes()).unwrap();
    stream.shutdown_write().unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    heard
}

fn pieces(response: &mut Response, bytes: usize, enough: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let mut piece = vec![0; bytes];
    while body.len() < enough {
        match response.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => body.extend_from_slice(&piece[..count]),
            Err(error) => {
                let inner = error.into_inner().unwrap();
                return Err(*inner.downcast::<Error>().unwrap());
            }
        }
    }
    Ok(body)
}

fn seen(request: &SeenRequest) -> Reached {
    Reached {
        method: request.method().to_owned(),
        target: request.target().to_owned(),
        body: request.body.clone(),
        trailers: request.trailers.clone(),
        is_complete: request.is_complete,
    }
}

// ---- in the simulator ----

fn simulated(play: Play, facts: Option<Arc<TlsFacts>>) -> Ran {
    let listens = LISTENS.parse().unwrap();
    let builder = (play.change)(Client::builder());
    let builder = play.way.through(builder, listens, play.peer == On::Tls);
    let client = builder.build().unwrap();
    let mut sim = Sim::new(&client);
    if let Some(facts) = facts {
        sim.tls_facts(facts);
    }
    let (first, rest) = play.scripts.split_first().unwrap();
    if play.peer != On::Refused {
        let mut listening = sim.listen(listens, first.clone());
        for script in rest {
            listening = listening.then(script.clone());
        }
        let handshake = Handshake::Made { trips: 1 };
        match play.peer {
            On::Tls if play.is_tls_on_demand() => _ = listening.tls_on_demand(handshake),
            On::Tls => _ = listening.tls(handshake),
            On::Plain | On::Refused => {}
        }
    }
    let base = play.base(listens);
    let mut came = Vec::new();
    for ask in &play.calls {
        if !matches!(ask.after, After::Nothing) {
            sim.pass(Duration::from_millis(1)).unwrap();
        }
        let mut caller = match ask.read {
            Reading::Whole | Reading::Canceled => Caller::new(),
            Reading::Pieces(bytes) => Caller::new().reads(bytes, Duration::ZERO),
            Reading::Dropped(bytes) => Caller::new()
                .reads(bytes.max(1), Duration::ZERO)
                .drops_after(bytes),
        };
        if let Some(gate) = &ask.gate {
            caller = caller.opens(gate.clone());
        }
        if let Some(words) = ask.speaks {
            caller = caller.speaks(words);
        }
        let mut request = ask.request(&client, &base);
        if let Some(supply) = &ask.supply {
            (request, caller) = supply.simulated(request, caller);
        }
        let outcome = sim.run_as(request, caller);
        came.push(match outcome.into_result() {
            Ok(response) => Came::Response {
                status: response.status,
                body: response.body,
                trailers: response.trailers.as_ref().map(lines).unwrap_or_default(),
                reused: response.is_connection_reused,
            },
            Err(error) => failed(&error),
        });
    }
    sim.pass(Duration::ZERO).unwrap();
    sim.close_idle();
    sim.pass(Duration::ZERO).unwrap();
    let requests = sim.requests().iter().map(|(_, request)| seen(request));
    let requests = requests.collect();
    let events = sim.finish();
    Ran {
        came,
        transcript: transcript(&events),
        requests,
        facts: None,
    }
}

fn compare(name: &str, make: &dyn Fn() -> Play) {
    let tcp = over_tcp(&make());
    same(name, ("through the loop", &over_loop(&make())), &tcp);
    let sim = simulated(make(), tcp.facts.clone());
    same(name, ("simulated", &sim), &tcp);
}

fn same(name: &str, (how, other): (&str, &Ran), tcp: &Ran) {
    assert_eq!(other.came, tcp.came, "{name}, {how}\n{}", other.transcript);
    assert_eq!(other.requests, tcp.requests, "{name}, {how}");
    let pairs = other.transcript.lines().zip(tcp.transcript.lines());
    for (number, (other_line, tcp_line)) in pairs.enumerate() {
        assert_eq!(
            other_line, tcp_line,
            "{name}, line {number}\n{how}:\n{}\nblocking:\n{}",
            other.transcript, tcp.transcript
        );
    }
    assert_eq!(other.transcript, tcp.transcript, "{name}, {how}");
}

#[track_caller]
fn all(cases: Vec<Case>, least: usize) {
    assert!(cases.len() >= least, "{} cases", cases.len());
    for (name, make) in cases {
        compare(name, &*make);
    }
}

#[test]
fn answers_are_the_same_for_all_runners() {
    all(answers(), 35);
}

#[test]
fn readers_are_the_same_for_all_runners() {
    all(readers(), 18);
}

#[test]
fn requests_are_the_same_for_all_runners() {
    all(requests(), 13);
}

#[test]
fn bodies_that_come_in_their_own_time_are_the_same_for_all_runners() {
    all(supplies(), 7);
}

#[test]
fn sequences_are_the_same_for_all_runners() {
    all(sequences(), 19);
}

#[test]
fn other_protocols_are_the_same_for_all_runners() {
    all(upgrades(), 15);
}

#[test]
fn proxies_are_the_same_for_all_runners() {
    all(proxied(), 33);
}

#[test]
fn tls_is_the_same_for_all_runners() {
    all(secured(), 7);
}
