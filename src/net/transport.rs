//! A connection as the drivers see it: a socket, and TLS beside it if it is spoken; twice if a proxy speaks it too.

#[cfg_attr(
    not(feature = "tls"),
    allow(
        clippy::needless_pass_by_ref_mut,
        reason = "without TLS there is no stage to be changed"
    )
)]
mod secured;
#[cfg(all(test, feature = "testkit", feature = "ring"))]
mod tests;

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::tls::TlsFacts;
use crate::net::poll::Owner;
use crate::net::socket::{Incoming, Socket};
use crate::net::tls::{TlsClient, TlsError, TlsName};
use crate::net::transport::secured::{CIPHER_ROOM, Secured};
use crate::net::wait::Interest;

/// A connected byte stream.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: Socket,
    tls: Option<Box<Secured>>,
}

/// What receiving came to.
#[derive(Debug)]
pub(crate) enum Received {
    /// Bytes in the first slice and in the second.
    Bytes(usize, usize),
    /// The peer ended the stream; true if it meant to.
    Ended(bool),
    /// The deadline passed.
    TimedOut,
}

/// How far a TLS handshake came without waiting.
#[derive(Debug)]
pub(crate) enum Shaken {
    /// To its end.
    Done(Arc<TlsFacts>),
    /// The peer said something, and more has to come.
    Heard,
    /// The peer said nothing.
    Silent,
}

/// Why a connection broke.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The operating system said so.
    Io(io::Error),
    /// TLS said so.
    Tls(TlsError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TlsError> for Broken {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

/// What an idle connection is found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It can be used.
    Alive,
    /// The peer closed it.
    Closed,
    /// The peer spoke without being asked.
    Spoke,
}

impl Transport {
    pub(crate) fn plain(socket: Socket) -> Self {
        Self { socket, tls: None }
    }

    /// Lays TLS over the connection, over what is spoken on it already; the handshake follows.
    pub(crate) fn start_tls(&mut self, client: &TlsClient, name: &TlsName) -> Result<(), TlsError> {
        let stage = client.start(name)?;
        self.tls = Some(Box::new(Secured::new(stage, self.tls.take())));
        Ok(())
    }

    /// Says whether the handshake that was just begun offers to resume a session.
    pub(crate) fn offers_resumption(&self) -> bool {
        (self.tls.as_ref()).is_some_and(|tls| tls.offers_resumption())
    }

    /// Does the TLS handshake until the peer is verified; what is then still to be sent leaves with the first
    /// request. None: the deadline passed.
    pub(crate) fn handshake(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Arc<TlsFacts>>, Broken> {
        match &mut self.tls {
            Some(tls) => tls.handshake(&mut self.socket, deadline),
            None => Err(Broken::Io(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Does what can be done of the TLS handshake without waiting.
    pub(crate) fn handshake_now(&mut self) -> Result<Shaken, Broken> {
        match &mut self.tls {
            Some(tls) => tls.handshake_now(&self.socket),
            None => Err(Broken::Io(io::ErrorKind::NotConnected.into())),
        }
    }

    /// What a TLS handshake waits for.
    pub(crate) fn handshake_interest(&self) -> Interest {
        Interest {
            read: true,
            write: self.tls.as_ref().is_some_and(|tls| tls.wants_write()),
        }
    }

    /// Hands bytes to the kernel without waiting. None: its buffer is full. Under TLS, a count is told when all
    /// of its ciphertext was accepted, so the same bytes have to be given again until then.
    pub(crate) fn send(&mut self, slices: &[IoSlice<'_>]) -> Result<Option<usize>, Broken> {
        match &mut self.tls {
            Some(tls) => tls.send(&self.socket, slices),
            None => Ok(self.socket.send(slices)?),
        }
    }

    /// Says whether a part of what `send` was given, and has not counted yet, may have left.
    pub(crate) fn has_begun(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_begun())
    }

    /// Receives, blocking until the deadline, into the first slice and then the second.
    pub(crate) fn receive(
        &mut self,
        first: &mut [u8],
        second: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<Received, Broken> {
        let Some(tls) = &mut self.tls else {
            return Ok(match self.socket.receive(first, second, deadline)? {
                Incoming::TimedOut => Received::TimedOut,
                Incoming::Bytes(0) => Received::Ended(true),
                Incoming::Bytes(count) => {
                    Received::Bytes(count.min(first.len()), count.saturating_sub(first.len()))
                }
            });
        };
        tls.receive(&mut self.socket, first, deadline)
    }

    /// Receives what is there without waiting; nothing yet is told as a deadline that passed.
    pub(crate) fn receive_now(&mut self, into: &mut [u8]) -> Result<Received, Broken> {
        let Some(tls) = &mut self.tls else {
            return Ok(match self.socket.receive_into_now(into)? {
                None => Received::TimedOut,
                Some(0) => Received::Ended(true),
                Some(count) => Received::Bytes(count, 0),
            });
        };
        tls.receive_now(&self.socket, into, CIPHER_ROOM)
    }

    /// Says whether TLS has something to send that no write waits for.
    pub(crate) fn owes_bytes(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.owes_bytes())
    }

    /// Hands to the kernel what TLS still has to send, without waiting; says whether that is all.
    pub(crate) fn flush(&mut self) -> Result<bool, Broken> {
        Ok(match &mut self.tls {
            None => true,
            Some(tls) => tls.flush(&self.socket)?,
        })
    }

    /// Counts what `send` was given and TLS has not sent yet: it is sent by whoever comes next.
    pub(crate) fn take_in_flight(&mut self) -> usize {
        self.tls.as_mut().map_or(0, |tls| tls.take_in_flight())
    }

    /// Takes the connection out of the event loop that watches it, if one does.
    pub(crate) fn release(&mut self) -> io::Result<()> {
        self.socket.release()
    }

    /// Ends the direction of sending: by a FIN, under TLS by a close_notify, which is to be flushed.
    pub(crate) fn end_sending(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.end_sending(),
            Some(tls) => {
                tls.end_sending();
                Ok(())
            }
        }
    }

    /// Sets whom the reports about a watched connection are for.
    pub(crate) fn give(&self, owner: Owner) {
        self.socket.give(owner);
    }

    /// Says whether nothing was reported of a watched connection that was not looked at, and nothing waits inside TLS;
    /// nothing is known of others.
    pub(crate) fn is_quiet(&self) -> bool {
        let has_news = self.tls.as_ref().is_some_and(|tls| tls.has_news());
        self.socket.is_watched() && !self.may_be_ready(Interest::READ) && !has_news
    }

    /// Says whether a watched socket may be ready for this.
    pub(crate) fn may_be_ready(&self, interest: Interest) -> bool {
        self.socket.may_be_ready(interest)
    }

    /// Says whether nothing is between the caller and the socket.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// Says whether a receive on a watched connection may find something. Under TLS only trying tells, since bytes may
    /// wait inside.
    pub(crate) fn may_receive(&self) -> bool {
        self.tls.is_some() || self.may_be_ready(Interest::READ)
    }

    /// Says whether received bytes may wait inside TLS, so that the socket must not be waited for.
    pub(crate) fn may_hold_bytes(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.holds_bytes())
    }

    /// Sends what TLS still has to say before the connection idles. False: the kernel does not take it now.
    pub(crate) fn settle(&mut self) -> bool {
        self.flush().unwrap_or(false)
    }

    /// Looks whether an idle connection can be used. Never waits. One system call and no memory unless bytes of TLS
    /// wait.
    pub(crate) fn liveness(&mut self) -> Liveness {
        let has_bytes = match self.socket.peek() {
            Ok(None) => false,
            Ok(Some(0)) | Err(_) => return Liveness::Closed,
            Ok(Some(_)) => true,
        };
        match &mut self.tls {
            None if has_bytes => Liveness::Spoke,
            Some(tls) if has_bytes || tls.has_news() => tls.liveness(&self.socket),
            None | Some(_) => Liveness::Alive,
        }
    }

    /// Lends memory for ciphertext, if there is any, to a connection that is in use.
    pub(crate) fn lend(&mut self, memory: &mut Vec<u8>) {
        let tls = self.tls.as_mut().filter(|_| memory.capacity() > 0);
        if let Some(tls) = tls {
            tls.lend(std::mem::take(memory));
        }
    }

    /// Takes the memory for ciphertext back before the connection idles.
    pub(crate) fn take_back(&mut self, memory: &mut Vec<u8>) {
        if let Some(tls) = &mut self.tls {
            *memory = tls.take_back();
        }
    }

    /// Ends the stream: close_notify without waiting, the innermost first, then close.
    pub(crate) fn close(mut self) {
        self.notify_end();
    }

    /// Tells the peer that the end is meant: close_notify without waiting. The close follows.
    pub(crate) fn notify_end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&self.socket);
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The socket, for canceling.
    pub(crate) fn shared(&self) -> Arc<socket2::Socket> {
        self.socket.shared()
    }
}

/// Half the shortest of the deadlines that a read can have: armed once, it seldom has to be armed again.
pub(crate) fn read_timeout(shortest: Option<Duration>) -> Option<Duration> {
    shortest.map(|shortest| shortest / 2)
}
