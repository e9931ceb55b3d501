//! A connection on which another protocol is spoken than HTTP.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::drive::apply::Running;
use crate::drive::switched::Switched;
use crate::error::{Error, ErrorKind, Phase};
use crate::ids::ConnId;
use crate::message::peer_addr::PeerAddr;
use crate::message::tls::TlsFacts;
use crate::net::transport::{Broken, Received};
use crate::proto::receiving::FinalHead;

/// The stream behind a 101 (Switching Protocols) or behind a CONNECT: what is written goes to the peer as it is, and what
/// is read is what the peer sent behind its head, from the first byte on (RFC 9110 §7.8, RFC 9110 §9.3.6). Over https both
/// go through TLS.
///
/// It is made by [`Response::upgrade`](crate::Response::upgrade) and
/// [`Completion::upgrade`](crate::Completion::upgrade), and blocks like a [`TcpStream`](std::net::TcpStream), by default
/// without a timeout.
///
/// **Two threads**: a shared reference can be read and written, so that one thread reads while another writes. No call
/// that waits keeps another from going on, under TLS neither. Writes of several threads come one after the other, each
/// whole as far as its count goes.
///
/// **Half-close**: [`shutdown_write`](Self::shutdown_write) ends our direction; the peer's is read to its own end.
///
/// **Drop** closes the connection and never waits: under TLS with a close_notify, if the kernel takes it. `conn_closed` is
/// told then, with [`CloseReason::Upgraded`](crate::message::close::CloseReason::Upgraded). Until then the connection counts
/// among those that are in use.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "testkit")] {
/// # use wirescope::testkit::{Peer, Script};
/// use std::io::{Read, Write};
/// # let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
/// # let peer = Peer::start(Script::new().expect_request().send(switch).echo())?;
///
/// let client = wirescope::Client::new()?;
/// let response = client.get(&peer.url("/"))?.upgrade("echo")?.send()?;
/// let mut stream = response.upgrade()?;
/// stream.write_all(b"hello")?;
/// stream.shutdown_write()?;
/// let mut heard = String::new();
/// stream.read_to_string(&mut heard)?;
/// assert_eq!(heard, "hello");
/// # }
/// # Ok(())
/// # }
/// ```
pub struct Upgraded {
    switched: Switched,
    protocol: Option<Arc<str>>,
}

impl Upgraded {
    /// The stream of a call that has given its connection up, if it has; once.
    pub(crate) fn of(running: &mut Running, head: &FinalHead) -> Option<Self> {
        running.take_switched().map(|switched| Self {
            switched,
            protocol: head.protocol(),
        })
    }

    /// The protocol as the peer named it, one of those that were offered (in any case); several, separated by commas,
    /// are layers, the lowest first. None: it is a tunnel.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The connection, as its events name it.
    #[must_use]
    pub fn connection(&self) -> ConnId {
        self.switched.ending.connection.id
    }

    /// The address that the connection was made to: of a tunnel, and of what goes through a proxy, that of the proxy.
    #[must_use]
    pub fn remote_addr(&self) -> &PeerAddr {
        &self.switched.ending.connection.remote
    }

    /// What TLS agreed on with the peer, if TLS is spoken.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.switched.ending.connection.tls.as_ref()
    }

    /// Sets how long one read waits; one that waits longer fails with `TimedOut` and has taken nothing. Zero never waits.
    /// Default none: for ever. Calls that wait already keep what they had.
    pub fn set_read_timeout(&self, limit: Option<Duration>) {
        self.switched.duplex.limit_reads(limit);
    }

    /// Sets how long one write or flush waits; one that waits longer fails with `TimedOut` and has taken nothing. Zero
    /// never waits. Default none: for ever. Calls that wait already keep what they had.
    ///
    /// Under TLS a write whose bytes are encrypted has succeeded, also if the kernel did not take all of them in that time;
    /// they are sent by the next read, write or flush.
    pub fn set_write_timeout(&self, limit: Option<Duration>) {
        self.switched.duplex.limit_writes(limit);
    }

    /// Ends our direction behind all that was written: by a FIN, under TLS by a close_notify. The peer's is read on. Doing
    /// it again does nothing; a write after it fails with `BrokenPipe`.
    ///
    /// A peer of TLS 1.2 ends both directions when it gets a close_notify (RFC 5246 §7.2.1), one of TLS 1.3 does not.
    ///
    /// # Errors
    /// `TimedOut` when the [time](Self::set_write_timeout) is over before all was sent; what the connection broke with.
    pub fn shutdown_write(&self) -> io::Result<()> {
        in_time(self.switched.duplex.end_writing())
    }

    /// Ends both directions at once, for all threads that use them: what waits in a read or a write ends now. A read then
    /// finds the end of the stream, under TLS an error, because the peer did not mean to end.
    ///
    /// # Errors
    /// What the system says.
    pub fn shutdown(&self) -> io::Result<()> {
        self.switched.duplex.shut_down()
    }

    fn read_some(&self, into: &mut [u8]) -> io::Result<usize> {
        match self.switched.duplex.read(into).map_err(broken)? {
            Received::Bytes(count, _) => Ok(count),
            Received::Ended(true) => Ok(0),
            Received::Ended(false) => {
                let text = "tls ended without close_notify";
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            }
            Received::TimedOut => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.switched.duplex.write(bytes).map_err(broken)?;
        written.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    fn flush_all(&self) -> io::Result<()> {
        in_time(self.switched.duplex.flush())
    }
}

fn in_time(result: Result<bool, Broken>) -> io::Result<()> {
    match result.map_err(broken)? {
        true => Ok(()),
        false => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn broken(broken: Broken) -> io::Error {
    match broken {
        Broken::Io(error) => error,
        Broken::Tls(error) => Error::new(ErrorKind::Tls(error.failure), Phase::Done)
            .with_source(Box::new(error))
            .into_io(),
    }
}

/// The end of the stream is `Ok(0)`, as with any stream. An error of TLS is our [`Error`] inside of the [`io::Error`].
impl Read for Upgraded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_some(into)
    }
}

/// What was written is on its way, but for what a [timeout](Upgraded::set_write_timeout) left under TLS.
impl Write for Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_all()
    }
}

/// For one thread that reads while another writes.
impl Read for &Upgraded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_some(into)
    }
}

/// For one thread that writes while another reads.
impl Write for &Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_all()
    }
}

/// The descriptor of the socket, to poll it and to set options. Bytes that were received already, and under TLS all bytes,
/// are not to be had through it: read until a [timeout](Upgraded::set_read_timeout) of zero says that there are none before
/// you poll.
impl AsFd for Upgraded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.switched.duplex.as_fd()
    }
}

impl AsRawFd for Upgraded {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded")
            .field("connection", &self.connection())
            .field("protocol", &self.protocol())
            .finish_non_exhaustive()
    }
}
