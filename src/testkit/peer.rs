//! A scripted peer on a real TCP listener.
//!
//! One thread accepts, one thread plays the script of each connection. Every wait of theirs is a
//! `poll` that also holds one of two bells:
//!
//! ```text
//! running ──finish bell──► finishing ──stop bell──► stopping ──► all threads joined
//!           nothing new is              also writes end
//!           waited for: reads,
//!           pauses and gates end
//! ```
//!
//! so dropping a peer never waits for the network, and no wait needs a tick.

mod record;
mod run;
mod socket;
#[cfg(all(feature = "tls", feature = "ring"))]
mod tls;
#[cfg(not(all(feature = "tls", feature = "ring")))]
#[path = "peer/no_tls.rs"]
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::bell::{readable, wait_any};
use super::relay::Relaying;
use super::script::Script;
use super::seen::{SeenHandshake, SeenRequest};
use record::Shared;

#[cfg(all(feature = "tls", feature = "ring"))]
pub use tls::TlsVersions;

/// The longest that a peer waits for one thing: bytes, room to write, a gate. 30 s, so that a
/// test that waits for nothing ends before its runner loses patience.
pub const HARD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long [`Peer::finish`] lets scripts go on writing to clients that still read.
const FINISH_GRACE: Duration = Duration::from_secs(1);
/// How long the listener rests after an accept failed, most likely for want of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(10);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A TCP peer that plays a [`Script`] on each connection and keeps what it saw.
///
/// It listens on 127.0.0.1, at a port that the system chooses, unless its [`Builder`] says
/// otherwise. It accepts in the background: calls here return at once unless they say that they
/// wait.
///
/// # Drop
///
/// Dropping a peer interrupts its scripts, closes its connections and joins its threads, without
/// waiting for any client. Mismatches are not told then: end a test with [`finish`](Self::finish).
#[derive(Debug)]
pub struct Peer {
    addr: SocketAddr,
    host: String,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Peer {
    /// Starts a peer that plays this script on each connection.
    ///
    /// # Errors
    ///
    /// What the system says against a listener or a thread.
    pub fn start(script: Script) -> io::Result<Self> {
        Self::builder().script(script).start()
    }

    /// Begins a peer with more choices.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A URL of this peer: `https` if it was built with `tls`, else `http`. `target` begins with
    /// a slash.
    #[must_use]
    pub fn url(&self, target: &str) -> String {
        let tls = self.shared.settings.tls.as_ref();
        if tls.is_some_and(|tls| tls.at_once) {
            self.https_url(target)
        } else {
            self.http_url(target)
        }
    }

    /// A URL of this peer with the scheme `http`.
    #[must_use]
    pub fn http_url(&self, target: &str) -> String {
        format!("http://{}:{}{target}", self.host, self.addr.port())
    }

    /// A URL of this peer with the scheme `https`, whether it speaks TLS or not: a peer without
    /// TLS can send anything but a ServerHello.
    #[must_use]
    pub fn https_url(&self, target: &str) -> String {
        format!("https://{}:{}{target}", self.host, self.addr.port())
    }

    /// How many connections have been accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.look(|seen| seen.received.len())
    }

    /// How many connections are open: accepted, and their script not yet at its end.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.look(|seen| seen.open)
    }

    /// How many request heads have been read, kept or not.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.shared.look(|seen| seen.request_count)
    }

    /// The requests that scripts have read so far, in the order in which their heads were read.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.look(|seen| seen.requests.clone())
    }

    /// The bytes that scripts have read so far, one entry for each connection; plaintext under
    /// TLS. Empty if the peer was built with `keep_bodies(false)`.
    #[must_use]
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.shared.look(|seen| seen.received.clone())
    }

    /// The TLS handshakes so far, made and failed, in the order in which they ended.
    #[must_use]
    pub fn handshakes(&self) -> Vec<SeenHandshake> {
        self.shared.look(|seen| seen.handshakes.clone())
    }

    /// What went against the scripts so far, as readable text.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.shared.look(|seen| seen.failures.clone())
    }

    /// Waits until at least `count` connections have been accepted, at most `timeout`; says
    /// whether they have.
    #[must_use]
    pub fn wait_for_connection(&self, count: usize, timeout: Duration) -> bool {
        self.shared
            .wait_until(timeout, |seen| seen.received.len() >= count)
    }

    /// Waits until at least `count` request heads have been read, at most `timeout`; says whether
    /// they have.
    #[must_use]
    pub fn wait_for_request(&self, count: usize, timeout: Duration) -> bool {
        self.shared
            .wait_until(timeout, |seen| seen.request_count >= count)
    }

    /// Waits until no connection is open, at most `timeout`; says whether none is.
    #[must_use]
    pub fn wait_until_closed(&self, timeout: Duration) -> bool {
        self.shared.wait_until(timeout, |seen| seen.open == 0)
    }

    /// Ends the peer and fails the test if a script was not followed.
    ///
    /// What clients have already sent is still read; pauses, stalls and gates end at once; a
    /// script that expects more than has come is a mismatch, except between two rounds of
    /// [`Script::forever`]. Scripts that write to a client get one more second.
    ///
    /// # Panics
    ///
    /// If a script was not followed, with the list of [`failures`](Self::failures).
    #[track_caller]
    pub fn finish(mut self) {
        self.end(FINISH_GRACE);
        let failures = self.failures();
        assert!(
            failures.is_empty(),
            "the peer's script was not followed:\n- {}",
            failures.join("\n- ")
        );
    }

    fn end(&mut self, grace: Duration) {
        if grace.is_zero() {
            self.shared.stop();
        }
        self.shared.finish.ring();
        join(self.acceptor.take());
        // Not all may end in time; the stop bell ends the others.
        let _all_ended = self.shared.wait_until(grace, |seen| seen.open == 0);
        self.shared.stop();
        join(self.shared.take_threads());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// The choices of a [`Peer`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    addr: SocketAddr,
    host: Option<String>,
    receive_buffer_bytes: Option<usize>,
    settings: Settings,
}

/// What the threads of a peer need to know.
#[derive(Clone, Debug)]
struct Settings {
    scripts: Vec<Script>,
    max_connections: usize,
    keep_requests: bool,
    keep_bodies: bool,
    tls: Option<tls::Tls>,
    /// What is done in place of a script, if this is a relay.
    relay: Option<Arc<Relaying>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            addr: (Ipv4Addr::LOCALHOST, 0).into(),
            host: None,
            receive_buffer_bytes: None,
            settings: Settings {
                scripts: vec![Script::new()],
                max_connections: usize::MAX,
                keep_requests: true,
                keep_bodies: true,
                tls: None,
                relay: None,
            },
        }
    }
}

impl Builder {
    /// Plays this script on each connection. Default: accept and close.
    pub fn script(self, script: Script) -> Self {
        self.scripts([script])
    }

    /// Plays the k-th script on the k-th connection, and the last one on all later ones.
    pub fn scripts(mut self, scripts: impl IntoIterator<Item = Script>) -> Self {
        self.settings.scripts = scripts.into_iter().collect();
        self
    }

    /// Closes the listener after so many connections: later ones are refused. Default: no limit.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.settings.max_connections = count;
        self
    }

    /// Listens on this address. Default: 127.0.0.1, at a port that the system chooses (0).
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// The host in the URLs of this peer, such as `localhost`. Default: the IP address.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Asks for a receive buffer (SO_RCVBUF) of this size in bytes, so that a client's writes get
    /// stuck early. Default: the system's.
    pub fn receive_buffer_bytes(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// Whether requests are kept for [`Peer::requests`], or only counted: for a peer that serves
    /// millions of them. Default: kept.
    pub fn keep_requests(mut self, keep: bool) -> Self {
        self.settings.keep_requests = keep;
        self
    }

    /// Whether the content of requests is kept, and the bytes for [`Peer::received`]; if not, the
    /// content is only counted. Default: kept.
    pub fn keep_bodies(mut self, keep: bool) -> Self {
        self.settings.keep_bodies = keep;
        self
    }

    /// Relays in place of a script.
    pub(super) fn relay(mut self, relaying: Arc<Relaying>) -> Self {
        self.settings.relay = Some(relaying);
        self
    }

    /// Starts the peer.
    ///
    /// # Errors
    ///
    /// What the system says against a listener or a thread, or rustls against the TLS choices.
    pub fn start(mut self) -> io::Result<Peer> {
        if let Some(tls) = &mut self.settings.tls {
            tls.prepare()?;
        }
        let listener = listen(self.addr, self.receive_buffer_bytes)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(self.settings, addr)?);
        let acceptor = {
            let shared = Arc::clone(&shared);
            spawn(addr, move || accept(&shared, listener))?
        };
        Ok(Peer {
            addr,
            host: self.host.unwrap_or_else(|| host_of(addr)),
            shared,
            acceptor: Some(acceptor),
        })
    }
}

fn host_of(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

fn listen(addr: SocketAddr, receive_buffer_bytes: Option<usize>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if let Some(bytes) = receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accepts until the peer ends or has had all its connections. When it ends, what the kernel has
/// already accepted is still served.
fn accept(shared: &Arc<Shared>, listener: TcpListener) {
    use std::os::fd::AsFd;

    let mut left = shared.settings.max_connections;
    while left > 0 && !shared.is_stopping() {
        match listener.accept() {
            Ok((stream, _)) => {
                left -= 1;
                run::start(shared, stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if shared.finish.is_rung() {
                    return;
                }
                let mut fds = [readable(listener.as_fd()), shared.finish.heard()];
                // Whatever ended the wait, the next accept knows better.
                drop(wait_any(&mut fds, HARD_TIMEOUT));
            }
            Err(_) => drop(wait_any(&mut [shared.finish.heard()], ACCEPT_REST)),
        }
    }
}

/// Starts a thread that is named after the peer's port.
fn spawn(addr: SocketAddr, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("peer-{}", addr.port()))
        .spawn(work)
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        // What a thread panicked with is among the failures already.
        drop(thread.join());
    }
}

#[cfg(test)]
mod tests;
