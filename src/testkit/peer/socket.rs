//! A connection's socket: reads and writes that wait, and that the peer's bells end.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::HARD_TIMEOUT;
use super::record::Shared;
use crate::testkit::bell::{readable, wait_any, writable};

/// A socket that is non-blocking inside and blocking outside.
///
/// A read that the peer's end interrupts fails with `ConnectionAborted`, one that gets nothing for
/// [`HARD_TIMEOUT`] with `TimedOut`.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    shared: Arc<Shared>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, shared: Arc<Shared>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, shared })
    }

    /// Reads what has arrived, without waiting; 0 if there is nothing (more).
    pub(super) fn read_arrived(&self, buffer: &mut [u8]) -> usize {
        (&self.stream).read(buffer).unwrap_or_default()
    }

    pub(super) fn half_close(&self) {
        // It fails if the client has gone away: then there is nothing left to close.
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Makes the close of this socket a reset.
    pub(super) fn arm_reset(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    fn wait_readable(&self) -> io::Result<()> {
        let mut fds = [readable(self.stream.as_fd()), self.shared.finish.heard()];
        let in_time = wait_any(&mut fds, HARD_TIMEOUT)?;
        went_on(in_time, !fds[0].revents().is_empty())
    }

    fn wait_writable(&self) -> io::Result<()> {
        let mut fds = [writable(self.stream.as_fd()), self.shared.stop.heard()];
        let in_time = wait_any(&mut fds, HARD_TIMEOUT)?;
        went_on(in_time, !fds[0].revents().is_empty())
    }
}

fn went_on(in_time: bool, is_ready: bool) -> io::Result<()> {
    match (in_time, is_ready) {
        (true, true) => Ok(()),
        (true, false) => Err(io::ErrorKind::ConnectionAborted.into()),
        (false, _) => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&self.stream).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_readable()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.shared.is_stopping() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            match (&self.stream).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_writable()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection's byte stream as scripts see it: plain, or under TLS.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Socket),
    Tls(super::tls::Stream),
}

impl Transport {
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Whether bytes can be read that the socket does not know of any more.
    pub(super) fn has_read_ahead(&mut self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.has_read_ahead(),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Left> {
        let is_tls = matches!(self, Self::Tls(_));
        let result = match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        };
        match result {
            Ok(0) if is_tls => Err(Left::Notified),
            Ok(0) => Err(Left::Eof),
            Ok(count) => Ok(count),
            Err(error) => Err(Left::by(&error)),
        }
    }

    /// Writes all bytes and flushes them.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// Why no more bytes come from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// FIN; under TLS without a close_notify.
    Eof,
    /// close_notify.
    Notified,
    /// RST.
    Reset,
    /// Nothing for [`HARD_TIMEOUT`].
    Silent,
    /// The test ended the peer.
    Finished,
    /// Anything else, such as a TLS alert.
    Broken(String),
}

impl Left {
    fn by(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Eof,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::ConnectionAborted => Self::Finished,
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("the client closed the connection"),
            Self::Notified => f.write_str("the client sent a close_notify"),
            Self::Reset => f.write_str("the client reset the connection"),
            Self::Silent => write!(f, "nothing came for {} s", HARD_TIMEOUT.as_secs()),
            Self::Finished => f.write_str("the peer was finished before it came"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}
