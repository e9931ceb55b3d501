//! One table, three runners: a script played over TCP by the blocking client and by the event loop, and in the
//! simulator, gives the same outcome and the same events.
//!
//! Compared are the results of all calls, the requests as the peer read them, and the stable transcripts, line by
//! line. What happens in an order of its own over TCP (two writes that may arrive as one) is held apart by gates.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use wirescope::config::{EarlyResponse, Strictness};
use wirescope::event::{Event, EventKind, Events, Interest, Overflow, Trace, channel_with};
use wirescope::message::tls::TlsFacts;
use wirescope::testkit::check::check;
use wirescope::testkit::sim::{Caller, Handshake, Sim};
use wirescope::testkit::transcript::Transcript;
use wirescope::testkit::{Gate, Peer, RefusedPort, Script, SeenRequest};
use wirescope::{
    CancelHandle, Client, ClientBuilder, Error, EventLoop, RedirectPolicy, Request, Response,
};

use crate::harness::{PATIENCE, SHORT, authority, ok, once, serve, trusting};

/// Where the simulated peer listens: a port of as many digits as those that the system chooses.
const LISTENS: &str = "127.0.0.1:51234";

/// A redirect to another path of the same peer.
const MOVED: &str = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";

/// Most bytes of a body.
const BODY_MAX: usize = 1 << 20;

/// What both runners play. Made anew for each, because a gate that was opened stays open.
struct Play {
    scripts: Vec<Script>,
    calls: Vec<Ask>,
    change: fn(ClientBuilder) -> ClientBuilder,
    peer: On,
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
    read: Reading,
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
        read: Reading::Whole,
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

    fn read(mut self, read: Reading) -> Self {
        self.read = read;
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

    fn request(&self, client: &Client, base: &str) -> Request {
        let url = format!("{base}{}", self.target);
        let request = (self.change)(client.request(self.method, &url).unwrap());
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
        let builder = (play.change)(Client::builder()).observe(observer);
        let client = builder.tls(trusting(authority())).build().unwrap();
        let refused = RefusedPort::reserve().unwrap();
        let mut peer = Peer::builder().scripts(play.scripts.iter().cloned());
        if play.peer == On::Tls {
            peer = peer.tls(authority().issue(&["127.0.0.1"]).unwrap());
        }
        let peer = peer.start().unwrap();
        let base = match play.peer {
            On::Refused => format!("http://{}", refused.addr()),
            On::Plain | On::Tls => peer.url(""),
        };
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
        ask.request(&self.client, &self.base)
    }

    fn finish(self, came: Vec<Came>, facts: Option<Arc<TlsFacts>>) -> Ran {
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
            facts,
        }
    }
}

fn over_tcp(play: &Play) -> Ran {
    let wire = Wire::new(play);
    let mut facts = None;
    let mut came = Vec::new();
    for ask in &play.calls {
        let request = wire.request(ask);
        came.push(match response(request, ask, &mut facts) {
            Ok(came) => came,
            Err(error) => failed(&error),
        });
    }
    wire.finish(came, facts)
}

// ---- through the event loop ----

/// Says whether the loop can do what the callers do: it collects bodies whole.
fn suits_the_loop(play: &Play) -> bool {
    let collects = |ask: &Ask| matches!(ask.read, Reading::Whole | Reading::Canceled);
    play.calls.iter().all(collects)
}

fn over_loop(play: &Play) -> Ran {
    let wire = Wire::new(play);
    let mut event_loop = EventLoop::new(&wire.client).unwrap();
    let mut came = Vec::new();
    for ask in &play.calls {
        let mut request = wire.request(ask);
        if let Some(gate) = ask.gate.clone() {
            request = request.observe(Trace::new().on_got_response_head(move |_| gate.open()));
        }
        came.push(match completion(&mut event_loop, request) {
            Ok(came) => came,
            Err(error) => failed(&error),
        });
    }
    drop(event_loop);
    wire.finish(came, None)
}

fn completion(event_loop: &mut EventLoop, request: Request) -> Result<Came, Error> {
    let ticket = event_loop.submit(request)?;
    let done = event_loop.next()?.unwrap();
    assert_eq!(done.ticket(), ticket);
    let done = done.into_result()?;
    Ok(Came::Response {
        status: done.status().unwrap(),
        trailers: done.trailers().map(lines).unwrap_or_default(),
        reused: done.is_connection_reused(),
        body: done.into_body(),
    })
}

fn response(request: Request, ask: &Ask, facts: &mut Option<Arc<TlsFacts>>) -> Result<Came, Error> {
    let mut response = request.send()?;
    if let Some(gate) = &ask.gate {
        gate.open();
    }
    if facts.is_none() {
        *facts = response.tls().cloned();
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
    let client = (play.change)(Client::builder()).build().unwrap();
    let mut sim = Sim::new(&client);
    if let Some(facts) = facts {
        sim.tls_facts(facts);
    }
    let (first, rest) = play.scripts.split_first().unwrap();
    if play.peer != On::Refused {
        let mut listening = sim.listen(LISTENS.parse().unwrap(), first.clone());
        for script in rest {
            listening = listening.then(script.clone());
        }
        if play.peer == On::Tls {
            listening.tls(Handshake::Made { trips: 1 });
        }
    }
    let scheme = if play.peer == On::Tls {
        "https"
    } else {
        "http"
    };
    let base = format!("{scheme}://{LISTENS}");
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
        let outcome = sim.run_as(ask.request(&client, &base), caller);
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
    let play = make();
    if suits_the_loop(&play) {
        same(name, ("through the loop", &over_loop(&play)), &tcp);
    }
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

// ---- the table ----

type Case = (&'static str, Box<dyn Fn() -> Play>);

/// Bytes that answer one GET before the peer closes.
const ANSWERS: &[(&str, &str)] = &[
    (
        "length",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ),
    ("empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("204", "HTTP/1.1 204 No Content\r\n\r\n"),
    (
        "304",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "404",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    ),
    (
        "302 that leads nowhere",
        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "chunked with trailer",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-End: 1\r\nSet-Cookie: a=b\r\n\r\n",
    ),
    (
        "103 then 200",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "100 unasked",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("close-delimited", "HTTP/1.1 200 OK\r\n\r\nuntil the end"),
    (
        "says close",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("http 1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (
        "http 1.0 kept",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "keep-alive max 0",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=0\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "leftover",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    ),
    (
        "length and coding",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "equal lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    ),
    (
        "different lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
    ),
    (
        "bad length",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    ),
    (
        "bad coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    ),
    (
        "bad chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ),
    ("bad status line", "HTTP/1.1 OK\r\n\r\n"),
    ("not http", "SSH-2.0-OpenSSH_9.6\r\n"),
    ("bad field", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    (
        "101 unasked",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ),
    ("nothing", ""),
    ("cut in the head", "HTTP/1.1 200 OK\r\nContent-Le"),
    (
        "cut behind the head",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "cut in the body",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    ),
    (
        "cut in a chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ),
    ("cut behind 103", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    (
        "bare line feeds",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    ),
    (
        "folded",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "empty lines first",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
];

fn answers() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for &(name, answer) in ANSWERS {
        cases.push((
            name,
            Box::new(move || Play::new(vec![once(answer).close()], vec![get()])),
        ));
    }
    cases
}

/// What an answer becomes when its body is read in another way, or by other settings.
fn readers() -> Vec<Case> {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    vec![
        (
            "read in pieces",
            Box::new(|| {
                Play::new(
                    vec![once(CHUNKED).close()],
                    vec![get().read(Reading::Pieces(3))],
                )
            }),
        ),
        (
            "dropped at the head",
            Box::new(|| {
                let script =
                    once("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello").expect_gone();
                Play::new(vec![script], vec![get().read(Reading::Dropped(0))])
            }),
        ),
        (
            "dropped in the body",
            Box::new(|| {
                let script =
                    once("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello").expect_gone();
                Play::new(vec![script], vec![get().read(Reading::Dropped(3))])
            }),
        ),
        (
            "dropped with the rest buffered",
            Box::new(|| {
                Play::new(
                    vec![serve(CHUNKED)],
                    vec![get().read(Reading::Dropped(2)), get()],
                )
            }),
        ),
        (
            "body behind a gate",
            Box::new(|| {
                let gate = Gate::new();
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                    .wait_for(gate.clone())
                    .send("hello");
                Play::new(vec![script], vec![get().opens(&gate)])
            }),
        ),
        (
            "reset behind a gate",
            Box::new(|| {
                let gate = Gate::new();
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
                    .wait_for(gate.clone())
                    .reset();
                Play::new(vec![script], vec![get().opens(&gate)])
            }),
        ),
        (
            "reset at once",
            Box::new(|| {
                let script = Script::new().expect_request().reset();
                Play::new(vec![script], vec![get()])
            }),
        ),
        (
            "strict",
            Box::new(|| {
                let both = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
                Play::new(vec![once(both).close()], vec![get()])
                    .client(|client| client.strictness(Strictness::Strict))
            }),
        ),
        (
            "a limit",
            Box::new(|| {
                let many = "X: y\r\n".repeat(10);
                Play::new(
                    vec![once(format!("HTTP/1.1 200 OK\r\n{many}\r\n")).close()],
                    vec![get()],
                )
                .client(|client| client.limits(|limits| limits.field_lines = 5))
            }),
        ),
        (
            "canceled before",
            Box::new(|| {
                Play::new(
                    vec![serve(ok("a"))],
                    vec![get().read(Reading::Canceled), get()],
                )
            }),
        ),
        (
            "refused",
            Box::new(|| Play::new(vec![Script::new()], vec![get()]).on(On::Refused)),
        ),
        (
            "refused before any i/o",
            Box::new(|| {
                let call = get().with(|request| request.body("not with GET"));
                Play::new(vec![Script::new()], vec![call])
            }),
        ),
    ]
}

/// Requests of all shapes.
fn requests() -> Vec<Case> {
    const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let expecting =
        || Script::new().expect_contains("\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let post = || ask("POST", "/up").with(|request| request.body("hello"));
    let expect = || ask("POST", "/up").with(|request| request.body("hello").expect_continue());
    vec![
        (
            "head",
            Box::new(|| {
                let head = serve("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
                Play::new(vec![head], vec![ask("HEAD", "/"), ask("HEAD", "/again")])
            }),
        ),
        (
            "post",
            Box::new(move || Play::new(vec![serve(ok("done"))], vec![post(), post()])),
        ),
        (
            "chunked upload",
            Box::new(|| {
                let call = ask("PUT", "/up").with(|request| {
                    let request = request.body_reader(&b"hello world"[..]);
                    request.trailer("X-Sum", "1").unwrap()
                });
                Play::new(vec![serve(ok("done"))], vec![call])
            }),
        ),
        (
            "sized upload",
            Box::new(|| {
                let call =
                    ask("PUT", "/up").with(|request| request.body_sized_reader(&b"hello"[..], 5));
                Play::new(vec![serve(ok("done"))], vec![call])
            }),
        ),
        (
            "short source",
            Box::new(|| {
                let call =
                    ask("PUT", "/up").with(|request| request.body_sized_reader(&b"he"[..], 5));
                Play::new(vec![Script::new().expect_head().expect_gone()], vec![call])
            }),
        ),
        (
            "options",
            Box::new(|| {
                let call = ask("OPTIONS", "/").with(Request::asterisk);
                Play::new(vec![serve(ok(""))], vec![call])
            }),
        ),
        (
            "labels and fields",
            Box::new(|| {
                let call = get().with(|request| {
                    let request = request.label("one").without_default("Accept");
                    request.header("X-Token", "secret").unwrap()
                });
                Play::new(vec![serve(ok("a"))], vec![call])
            }),
        ),
        (
            "expect and 100",
            Box::new(move || {
                let script = expecting()
                    .send(INTERIM)
                    .expect_bytes("hello")
                    .send(ok("done"));
                Play::new(vec![script], vec![expect()])
            }),
        ),
        (
            "expect and a final response",
            Box::new(move || {
                let script = expecting().send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
                Play::new(vec![script.expect_gone()], vec![expect()])
            }),
        ),
        (
            "expect and nothing",
            Box::new(move || {
                let script = expecting().expect_bytes("hello").send(ok("done"));
                Play::new(vec![script], vec![expect()])
                    .client(|client| client.timeouts(|timeouts| timeouts.expect = SHORT))
            }),
        ),
        (
            "expect and a close",
            Box::new(move || Play::new(vec![expecting().close()], vec![expect()])),
        ),
        (
            "early answer, small body",
            Box::new(move || {
                let script = Script::new().expect_head().send(ok("early")).expect_body();
                Play::new(vec![script], vec![post()])
                    .client(|client| client.early_response(EarlyResponse::Abort))
            }),
        ),
        (
            "no keep-alive",
            Box::new(|| {
                Play::new(vec![serve(ok("a"))], vec![get(), get()])
                    .client(|client| client.keep_alive(false))
            }),
        ),
    ]
}

/// Several calls on one pool, deadlines, repeats.
fn sequences() -> Vec<Case> {
    vec![
        (
            "reuse",
            Box::new(|| {
                let calls = vec![
                    get(),
                    ask("POST", "/b").with(|request| request.body("x")),
                    ask("DELETE", "/c"),
                ];
                Play::new(vec![serve(ok("a"))], calls)
            }),
        ),
        (
            "closed while idle",
            Box::new(|| {
                let scripts = vec![once(ok("a")).close(), serve(ok("b"))];
                Play::new(scripts, vec![get(), get().after(After::Closed)])
            }),
        ),
        (
            "spoke while idle",
            Box::new(|| {
                let (gate, sent) = (Gate::new(), Gate::new());
                let speaks = once(ok("a"))
                    .wait_for(gate.clone())
                    .send("x")
                    .open_gate(sent.clone())
                    .expect_gone();
                let first = get().opens(&gate);
                Play::new(
                    vec![speaks, serve(ok("b"))],
                    vec![first, get().after(After::Gate(sent))],
                )
            }),
        ),
        (
            "made again",
            Box::new(|| {
                let dying = once(ok("a")).expect_request().close();
                Play::new(vec![dying, serve(ok("b"))], vec![get(), get()])
            }),
        ),
        (
            "not made again",
            Box::new(|| {
                let dying = once(ok("a")).expect_request().close();
                let post = ask("POST", "/").with(|request| request.body("x"));
                Play::new(vec![dying, serve(ok("b"))], vec![get(), post, get()])
            }),
        ),
        (
            "made again with its body",
            Box::new(|| {
                let dying = once(ok("a")).expect_request().close();
                let post = ask("POST", "/")
                    .with(|request| request.body("x").header("Idempotency-Key", "1").unwrap());
                Play::new(vec![dying, serve(ok("b"))], vec![get(), post])
            }),
        ),
        (
            "no repeats",
            Box::new(|| {
                let dying = once(ok("a")).expect_request().close();
                Play::new(vec![dying, serve(ok("b"))], vec![get(), get()])
                    .client(|client| client.retries(0))
            }),
        ),
        (
            "first byte timeout",
            Box::new(|| {
                Play::new(vec![Script::new().expect_request().stall()], vec![get()])
                    .client(|client| client.timeouts(|timeouts| timeouts.first_byte = Some(SHORT)))
            }),
        ),
        (
            "head timeout",
            Box::new(|| {
                Play::new(vec![once("HTTP/1.1 200").stall()], vec![get()])
                    .client(|client| client.timeouts(|timeouts| timeouts.head = Some(SHORT)))
            }),
        ),
        (
            "body timeout",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel").stall();
                Play::new(vec![script], vec![get()])
                    .client(|client| client.timeouts(|timeouts| timeouts.body_idle = Some(SHORT)))
            }),
        ),
        (
            "total timeout",
            Box::new(|| {
                Play::new(
                    vec![Script::new().stall()],
                    vec![get().with(|request| request.timeout(SHORT))],
                )
            }),
        ),
        (
            "redirect on the same connection",
            Box::new(|| {
                let script = once(MOVED).expect_head().send(ok("there"));
                Play::new(vec![script], vec![get()])
            }),
        ),
        (
            "redirect on a new connection",
            Box::new(|| {
                let moved = MOVED.replace("Location", "Connection: close\r\nLocation");
                Play::new(vec![once(moved).close(), serve(ok("there"))], vec![get()])
            }),
        ),
        (
            "redirect of a body",
            Box::new(|| {
                let moved = MOVED.replace("302 Found", "307 Temporary Redirect");
                let post = ask("POST", "/up").with(|request| request.body("hello"));
                let script = once(moved).expect_request().send(ok("there"));
                Play::new(vec![script], vec![post])
            }),
        ),
        (
            "redirect that turns a POST to a GET",
            Box::new(|| {
                let post = ask("POST", "/up").with(|request| request.body("hello"));
                let script = once(MOVED).expect_head().send(ok("there"));
                Play::new(vec![script], vec![post])
            }),
        ),
        (
            "redirect handed out",
            Box::new(|| {
                let call = get().with(|request| request.redirects(RedirectPolicy::none()));
                Play::new(vec![once(MOVED).close()], vec![call])
            }),
        ),
        (
            "one redirect too many",
            Box::new(|| {
                let call = get().with(|request| request.redirects(RedirectPolicy::new().max(1)));
                let script = once(MOVED).expect_head().send(MOVED).expect_gone();
                Play::new(vec![script], vec![call])
            }),
        ),
        (
            "417 without the expectation",
            Box::new(|| {
                let refused = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
                let expecting = Script::new().expect_head().send(refused).expect_gone();
                let call =
                    ask("POST", "/up").with(|request| request.body("hello").expect_continue());
                Play::new(vec![expecting, serve(ok("done"))], vec![call])
            }),
        ),
        (
            "no pool",
            Box::new(|| {
                Play::new(vec![serve(ok("a"))], vec![get(), get()])
                    .client(|client| client.max_idle(0))
            }),
        ),
    ]
}

/// The same under TLS, whose facts the simulator is given.
fn secured() -> Vec<Case> {
    vec![
        (
            "tls",
            Box::new(|| Play::new(vec![serve(ok("a"))], vec![get(), get()]).on(On::Tls)),
        ),
        (
            "tls, ended well",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\n\r\nuntil the end")
                    .close_notify()
                    .expect_gone();
                Play::new(vec![script], vec![get()]).on(On::Tls)
            }),
        ),
        (
            "tls, cut",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\n\r\nuntil the").close();
                Play::new(vec![script], vec![get()]).on(On::Tls)
            }),
        ),
        (
            "tls, incomplete",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel").close();
                Play::new(vec![script], vec![get()]).on(On::Tls)
            }),
        ),
        (
            "tls, post",
            Box::new(|| {
                let post = ask("POST", "/").with(|request| request.body("hello"));
                Play::new(vec![serve(ok("a"))], vec![post]).on(On::Tls)
            }),
        ),
    ]
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
    all(readers(), 12);
}

#[test]
fn requests_are_the_same_for_all_runners() {
    all(requests(), 13);
}

#[test]
fn sequences_are_the_same_for_all_runners() {
    all(sequences(), 19);
}

#[test]
fn tls_is_the_same_for_all_runners() {
    all(secured(), 5);
}
