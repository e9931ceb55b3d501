//! The scenes of the tour and the peers that play them.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use wirescope::Response;
use wirescope::message::overrides::Overrides;
use wirescope::testkit::{Authority, BlackHole, Peer, RefusedPort, Script};

/// One scene: a GET and what should come of it.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// What it shows, in one line.
    pub(crate) shows: &'static str,
    pub(crate) at: Place,
    pub(crate) expected: Expected,
}

/// Which peer is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Plain,
    Hints,
    Chunked,
    Slow,
    Secure,
    Refused,
    Raced,
    Moved,
    Closing,
}

/// What should come of a scene.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// A response of which this is true, told the length of its body.
    Response(fn(&Response, u64) -> bool),
    /// No connection.
    Refusal,
}

/// The tour, in its order.
pub(crate) const SCENES: &[Scene] = &[
    Scene {
        name: "plain",
        shows: "a GET on a new connection; the connection goes into the pool",
        at: Place::Plain,
        expected: Expected::Response(|response, body| {
            response.status() == 200 && body == 14 && !response.is_connection_reused()
        }),
    },
    Scene {
        name: "reused",
        shows: "the same again: the connection comes out of the pool, so no time goes into making one",
        at: Place::Plain,
        expected: Expected::Response(|response, _| response.is_connection_reused()),
    },
    Scene {
        name: "early hints",
        shows: "a 103 long before the 200: ttfb and the final response are two moments",
        at: Place::Hints,
        expected: Expected::Response(|response, _| response.status() == 200),
    },
    Scene {
        name: "chunked",
        shows: "a chunked body with trailers; the server says close, and the notes say what that costs",
        at: Place::Chunked,
        expected: Expected::Response(|response, body| {
            let trailers = response.trailers().map_or(0, |trailers| trailers.len());
            body == 16 && trailers == 1
        }),
    },
    Scene {
        name: "slow",
        shows: "a slow first byte: the server thinks, and tells by Server-Timing on what",
        at: Place::Slow,
        expected: Expected::Response(|response, _| {
            let wait = response.timings().phases().wait.unwrap_or_default();
            response.status() == 200 && wait >= THINKING
        }),
    },
    Scene {
        name: "tls",
        shows: "https: the name from a table, the handshake, and what it agreed on",
        at: Place::Secure,
        expected: Expected::Response(|response, _| response.tls().is_some()),
    },
    Scene {
        name: "redirect",
        shows: "a redirect to another origin: two hops, and the credentials stay where they belong",
        at: Place::Moved,
        expected: Expected::Response(|response, _| {
            let hops = response.history();
            response.status() == 200 && hops.len() == 1 && hops[0].status() == 302
        }),
    },
    Scene {
        name: "first call",
        shows: "a server that keeps the connection open, so it seems",
        at: Place::Closing,
        expected: Expected::Response(|response, body| body == 14 && response.status() == 200),
    },
    Scene {
        name: "closed idle",
        shows: "the server closed that connection while it was idle: it is found dead and not used",
        at: Place::Closing,
        expected: Expected::Response(|response, _| {
            response.status() == 200 && !response.is_connection_reused()
        }),
    },
    Scene {
        name: "dead address",
        shows: "a name with two addresses, the first of which never answers: the second starts 150 ms later and wins",
        at: Place::Raced,
        expected: Expected::Response(|response, _| {
            response.status() == 200 && response.timings().total() >= RACED_AFTER
        }),
    },
    Scene {
        name: "refused",
        shows: "nobody listens: one readable line, with what was tried",
        at: Place::Refused,
        expected: Expected::Refusal,
    },
];

/// How long the slow server thinks.
const THINKING: Duration = Duration::from_millis(120);

/// How long the first address of a name is alone.
const RACED_AFTER: Duration = Duration::from_millis(150);

/// How long two pieces of a response are apart.
const APART: Duration = Duration::from_millis(20);

/// The name that the certificate of the secure peer is for.
const SECURE_NAME: &str = "shop.example";

/// The name that has a dead address beside a live one.
const RACED_NAME: &str = "two.example";

/// How many ports are tried for both addresses of that name.
const PORTS_MAX: usize = 10;

/// The embedded server: one peer per way to answer.
pub(crate) struct Peers {
    authority: Authority,
    plain: Peer,
    hints: Peer,
    chunked: Peer,
    slow: Peer,
    secure: Peer,
    refused: RefusedPort,
    raced: (Peer, BlackHole),
    moved: Peer,
    closing: Peer,
}

impl Peers {
    pub(crate) fn start() -> io::Result<Self> {
        let authority = Authority::new()?;
        let identity = authority.issue(&[SECURE_NAME])?;
        let plain = Peer::start(Script::new().respond_with(|_| hello()))?;
        Ok(Self {
            moved: Peer::start(moved(plain.url("/hello")))?,
            closing: Peer::start(Script::new().expect_request().send(hello()).close())?,
            plain,
            hints: Peer::start(hints())?,
            chunked: Peer::start(chunked())?,
            slow: Peer::start(slow())?,
            secure: Peer::builder()
                .tls(identity)
                .host(SECURE_NAME)
                .script(Script::new().respond_with(|_| hello()))
                .start()?,
            refused: RefusedPort::reserve()?,
            raced: raced()?,
            authority,
        })
    }

    pub(crate) fn url(&self, at: Place) -> String {
        match at {
            Place::Plain => self.plain.url("/hello"),
            Place::Hints => self.hints.url("/page"),
            Place::Chunked => self.chunked.url("/export"),
            Place::Slow => self.slow.url("/report?code=secret"),
            Place::Secure => self.secure.url("/cart"),
            Place::Moved => self
                .moved
                .http_url("/old")
                .replacen("://", "://ann:secret@", 1),
            Place::Closing => self.closing.url("/hello"),
            Place::Raced => format!("http://{RACED_NAME}:{}/hello", self.raced.0.addr().port()),
            Place::Refused => format!("http://{}/", self.refused.addr()),
        }
    }

    /// Waits until the closing peer has closed.
    pub(crate) fn wait_until_closed(&self) -> bool {
        self.closing.wait_until_closed(Duration::from_secs(5))
    }

    pub(crate) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// The table of the names that peers have.
    pub(crate) fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::new();
        let (live, dead) = (self.raced.0.addr(), self.raced.1.addr());
        let secure = self.secure.addr();
        for (name, port, addrs) in [
            (SECURE_NAME, secure.port(), vec![secure.ip()]),
            (RACED_NAME, live.port(), vec![dead.ip(), live.ip()]),
        ] {
            // A name and a port of our own cannot be refused.
            let _ = overrides.set(name, port, addrs);
        }
        overrides
    }
}

fn hello() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nhello, world!\n"
        .to_vec()
}

/// A live peer, and an address that never answers at its port.
fn raced() -> io::Result<(Peer, BlackHole)> {
    let mut tries = 0;
    loop {
        let peer = Peer::start(Script::new().respond_with(|_| hello()))?;
        let beside = (Ipv4Addr::new(127, 0, 0, 2), peer.addr().port());
        tries += 1;
        match BlackHole::bind(beside.into()) {
            Err(_) if tries < PORTS_MAX => {}
            hole => return Ok((peer, hole?)),
        }
    }
}

fn moved(to: String) -> Script {
    Script::new().respond_with(move |_| {
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into()
    })
}

fn hints() -> Script {
    Script::new()
        .expect_request()
        .send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        .pause(APART)
        .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
        .expect_gone()
}

fn chunked() -> Script {
    Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\nConnection: close\r\n\r\n")
        .send("8\r\nid,name\n\r\n")
        .pause(APART)
        .send("8\r\n1,alice\n\r\n")
        .pause(APART)
        .send("0\r\nX-Checksum: 5eb63bbb\r\n\r\n")
        .close()
}

fn slow() -> Script {
    Script::new()
        .expect_request()
        .pause(THINKING + APART)
        .send("HTTP/1.1 200 OK\r\nServer-Timing: db;dur=118\r\nContent-Length: 4\r\n\r\ndone")
        .expect_gone()
}
