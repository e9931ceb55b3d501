//! One peer, one client, and every event of it judged by the grammar.
//!
//! A test makes a [`Lab`], runs calls, and ends it with [`Lab::finish`]: the peer must have seen what its script
//! says, and the events must be a legal stream. No test gets around that.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use wirescope::event::grammar::Grammar;
use wirescope::event::{Events, Interest, Overflow, channel_with};
use wirescope::message::framing::Framing;
use wirescope::testkit::check::{Checked, check_with};
use wirescope::testkit::{Authority, Peer, PeerBuilder, Script};
use wirescope::{Client, ClientBuilder, Error, Request, TlsConfig};

/// Most bytes of a body that a test collects.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// Where a test waits for another thread: long enough for a slow machine, and reached only by a bug.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A limit that a test lets pass.
pub(crate) const SHORT: Duration = Duration::from_millis(60);

/// A peer and a client that tells everything.
pub(crate) struct Lab {
    pub(crate) peer: Peer,
    pub(crate) client: Client,
    events: Events,
}

/// A response read to its end.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) reason: Vec<u8>,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    pub(crate) reused: bool,
}

impl Got {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Lab {
    /// Plays the scripts, one for each connection and the last for all later ones.
    pub(crate) fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self::with(Peer::builder().scripts(scripts), |client| client)
    }

    pub(crate) fn with(
        peer: PeerBuilder,
        change: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Self {
        Self::of(peer.start().unwrap(), change)
    }

    /// With a peer that was started before.
    pub(crate) fn of(peer: Peer, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
        let client = change(Client::builder().observe(observer));
        Self {
            peer,
            client: client.build().unwrap(),
            events,
        }
    }

    /// A lab over TLS, with a certificate for 127.0.0.1 that the client trusts.
    pub(crate) fn tls(scripts: impl IntoIterator<Item = Script>) -> Self {
        let identity = authority().issue(&["127.0.0.1"]).unwrap();
        Self::with(Peer::builder().scripts(scripts).tls(identity), |client| {
            client.tls(trusting(authority()))
        })
    }

    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        self.client.request(method, &self.peer.url(target)).unwrap()
    }

    /// Sends a GET and reads the answer to its end.
    pub(crate) fn get(&self, target: &str) -> Result<Got, Error> {
        run(self.request("GET", target))
    }

    /// Ends the client, then the peer, and checks what they did.
    #[track_caller]
    pub(crate) fn finish(self) -> Checked {
        let Self {
            peer,
            client,
            events,
        } = self;
        drop(client);
        // What a client has left in its socket still trickles in after it has gone.
        assert!(
            peer.wait_until_closed(PATIENCE),
            "a connection outlives its client"
        );
        peer.finish();
        judge(&events)
    }

    /// As [`Lab::finish`], for a peer whose script the client breaks on purpose.
    #[track_caller]
    pub(crate) fn finish_unfollowed(self) -> Checked {
        let Self {
            peer,
            client,
            events,
        } = self;
        drop(client);
        drop(peer);
        judge(&events)
    }

    /// The fixed part of every head: `Host`, `User-Agent` and `Accept`.
    pub(crate) fn usual(&self) -> String {
        format!(
            "Host: {}\r\nUser-Agent: wirescope/{}\r\nAccept: */*\r\n",
            self.peer.addr(),
            env!("CARGO_PKG_VERSION"),
        )
    }
}

#[track_caller]
fn judge(events: &Events) -> Checked {
    let mut all = Grammar::new().strict_seq();
    let seen = check_with(all.clone(), events);
    for event in seen.iter() {
        all.event(event).unwrap();
    }
    if let Err(violation) = all.finish_all() {
        panic!("{violation}\n{}", seen.transcript());
    }
    seen
}

/// Sends a request and reads the answer to its end.
pub(crate) fn run(request: Request) -> Result<Got, Error> {
    let mut response = request.send()?;
    let body = response.collect(BODY_MAX)?;
    let lines = |fields: &wirescope::message::fields::Fields| {
        let each = fields.iter();
        each.map(|line| (line.name().to_owned(), line.value().to_vec()))
            .collect()
    };
    Ok(Got {
        status: response.status(),
        reason: response.reason().to_vec(),
        fields: lines(response.fields()),
        framing: response.framing(),
        body,
        trailers: response.trailers().map(lines).unwrap_or_default(),
        reused: response.is_connection_reused(),
    })
}

/// One request on a connection, one answer, and what the peer does after it.
pub(crate) fn once(answer: impl AsRef<[u8]>) -> Script {
    Script::new().expect_request().send(answer)
}

/// Answers every request on a connection with the same bytes.
pub(crate) fn serve(answer: impl AsRef<[u8]>) -> Script {
    let answer = answer.as_ref().to_vec();
    Script::new().respond_with(move |_| answer.clone())
}

/// Answers every request with its own target as content, so that a mixed-up answer is seen.
pub(crate) fn echo_target() -> Script {
    Script::new().respond_with(|request| {
        let body = request.target();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    })
}

/// A complete answer with that content.
pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One GET answered by these bytes and a close.
pub(crate) fn answered(answer: impl AsRef<[u8]>) -> (Result<Got, Error>, Checked) {
    answered_with(answer, |client| client)
}

/// As [`answered`], with settings of the client.
pub(crate) fn answered_with(
    answer: impl AsRef<[u8]>,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Result<Got, Error>, Checked) {
    let lab = Lab::with(Peer::builder().script(once(answer).close()), change);
    let got = lab.get("/");
    (got, lab.finish())
}

/// An authority for the whole test run; making one costs time.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new().unwrap())
}

/// Trusts this authority alone.
pub(crate) fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig::new()
        .builtin_roots(false)
        .add_ca_pem(authority.pem())
        .unwrap()
}

/// Asserts that something took as long as its limit, and not much longer.
#[track_caller]
pub(crate) fn took_about(since: Instant, limit: Duration) {
    let elapsed = since.elapsed();
    assert!(
        elapsed >= limit,
        "ended after {elapsed:?}, before {limit:?}"
    );
    assert!(elapsed < limit + Duration::from_millis(1500), "{elapsed:?}");
}
