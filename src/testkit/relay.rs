//! A proxy on loopback, for tests of clients that go through one.
//!
//! It does what it is asked and nothing else: it passes requests in absolute-form on, it makes tunnels by CONNECT or by
//! SOCKS5, and it keeps every byte, apart by who it was for. Names lead where the test says. It is a [`Peer`], so it
//! ends as one does.
//!
//! ```text
//!   client ──── asked ────► relay ──── forwarded ────► origin      requests in absolute-form
//!          ════ tunneled ════════════════════════════► origin      behind CONNECT and SOCKS5
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::message::proxy::Proxy;
#[cfg(all(feature = "tls", feature = "ring"))]
use crate::testkit::certs::ServerIdentity;
use crate::testkit::peer::{Builder, Peer};
use crate::testkit::seen::SeenHandshake;

/// A proxy on loopback.
///
/// ```
/// use wirescope::testkit::{Peer, Relay, Script};
/// use wirescope::{Client, Proxy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let origin = Peer::start(Script::new()
///     .expect_request()
///     .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))?;
/// let relay = Relay::http().lead("example.com", 80, origin.addr()).start()?;
///
/// let client = Client::builder().proxy(relay.proxy()?).build()?;
/// let response = client.get("http://example.com/")?.send()?.text(100)?;
/// assert_eq!(response, "hi");
/// assert!(relay.seen()[0].asked.starts_with(b"GET http://example.com/ HTTP/1.1\r\n"));
/// assert_eq!(origin.requests()[0].target(), "/");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Relay {
    peer: Peer,
    scheme: &'static str,
    relaying: Arc<Relaying>,
}

/// The choices of a [`Relay`].
#[derive(Debug)]
#[must_use]
pub struct RelayBuilder {
    peer: Builder,
    scheme: &'static str,
    relaying: Relaying,
}

/// What is wrong with what a relay answers by itself: the head that answers a CONNECT, the replies of SOCKS5, and, to
/// requests in absolute-form, the whole response. Bytes are counted from 0 on each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayFault {
    /// The connection is closed before this byte.
    Cut(usize),
    /// The connection is reset before this byte.
    Reset(usize),
    /// Nothing comes from this byte on.
    Stall(usize),
    /// This byte is another one: its bits are turned where this mask has ones.
    Lie(usize, u8),
}

/// What a relay saw on one connection. Under TLS it is plaintext.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenRelay {
    /// Every byte that was for the relay: requests, a CONNECT, SOCKS5.
    pub asked: Vec<u8>,
    /// Where it was asked to go, as `host:port`, in this order.
    pub targets: Vec<String>,
    /// What it sent to origins of requests in absolute-form.
    pub forwarded: Vec<u8>,
    /// What the client sent through the tunnel.
    pub tunneled: Vec<u8>,
    /// Whether a tunnel was made.
    pub is_tunnel: bool,
}

/// What a relay speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    Http,
    Socks5,
}

/// What the connections of a relay share.
#[derive(Debug)]
pub(super) struct Relaying {
    pub(super) speech: Speech,
    pub(super) credentials: Option<(String, String)>,
    pub(super) fault: Option<RelayFault>,
    leads: Vec<(String, SocketAddr)>,
    seen: Mutex<Vec<SeenRelay>>,
}

impl Relay {
    /// Begins an HTTP proxy over TCP.
    pub fn http() -> RelayBuilder {
        RelayBuilder::new("http", Speech::Http, Peer::builder())
    }

    /// Begins an HTTP proxy over TLS. Needs the features `tls` and `ring`.
    #[cfg(all(feature = "tls", feature = "ring"))]
    pub fn https(identity: ServerIdentity) -> RelayBuilder {
        RelayBuilder::new("https", Speech::Http, Peer::builder().tls(identity))
    }

    /// Begins a SOCKS5 proxy.
    pub fn socks5() -> RelayBuilder {
        RelayBuilder::new("socks5", Speech::Socks5, Peer::builder())
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// The proxy for a client, without credentials; `socks5`, not `socks5h`, for SOCKS.
    ///
    /// # Errors
    /// None: what a relay gives is well formed.
    pub fn proxy(&self) -> Result<Proxy> {
        Proxy::parse(&self.url())
    }

    /// The proxy as text, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr())
    }

    /// What was seen on each connection so far.
    #[must_use]
    pub fn seen(&self) -> Vec<SeenRelay> {
        self.relaying.lock().clone()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.peer.connections()
    }

    /// The TLS handshakes with the relay so far.
    #[must_use]
    pub fn handshakes(&self) -> Vec<SeenHandshake> {
        self.peer.handshakes()
    }

    /// Waits until no connection is open, at most `timeout`; says whether none is.
    #[must_use]
    pub fn wait_until_closed(&self, timeout: Duration) -> bool {
        self.peer.wait_until_closed(timeout)
    }
}

impl RelayBuilder {
    fn new(scheme: &'static str, speech: Speech, peer: Builder) -> Self {
        Self {
            peer,
            scheme,
            relaying: Relaying {
                speech,
                credentials: None,
                fault: None,
                leads: Vec::new(),
                seen: Mutex::default(),
            },
        }
    }

    /// Asks each client who it is, and serves only this one. Default: all.
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.relaying.credentials = Some((user.into(), password.into()));
        self
    }

    /// Leads a host and port somewhere else. Without such an entry, addresses are where they are, and names are
    /// nowhere. The host is a name in lower case, or an address as in a URL.
    pub fn lead(mut self, host: &str, port: u16, to: SocketAddr) -> Self {
        self.relaying.leads.push((format!("{host}:{port}"), to));
        self
    }

    /// Does something wrong. Default: nothing.
    pub fn fault(mut self, fault: RelayFault) -> Self {
        self.relaying.fault = Some(fault);
        self
    }

    /// Starts the relay.
    ///
    /// # Errors
    /// What the system says against a listener or a thread, or rustls against the identity.
    pub fn start(self) -> io::Result<Relay> {
        let relaying = Arc::new(self.relaying);
        let peer = self.peer.relay(relaying.clone()).start()?;
        Ok(Relay {
            peer,
            scheme: self.scheme,
            relaying,
        })
    }
}

impl Relaying {
    /// Where a host and port lead.
    pub(super) fn leads_to(&self, target: &str) -> Option<SocketAddr> {
        let found = self.leads.iter().find(|(from, _)| from == target);
        found.map(|(_, to)| *to).or_else(|| target.parse().ok())
    }

    /// Changes what was seen on a connection.
    pub(super) fn note(&self, connection: usize, change: impl FnOnce(&mut SeenRelay)) {
        let mut seen = self.lock();
        if seen.len() <= connection {
            seen.resize_with(connection + 1, SeenRelay::default);
        }
        change(&mut seen[connection]);
    }

    /// The lock, poisoned or not: every change leaves a consistent state.
    fn lock(&self) -> MutexGuard<'_, Vec<SeenRelay>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
