//! A connection as the drivers see it: a socket, and TLS beside it if it is spoken.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::tls::TlsFacts;
use crate::net::clock::now;
use crate::net::poll::Owner;
use crate::net::socket::{Incoming, Socket};
use crate::net::tls::{PlainRead, Progress, TlsClient, TlsError, TlsName, TlsStage};
use crate::net::wait::{Interest, for_socket};

/// Ciphertext that one receive takes at the most.
const CIPHER_ROOM: usize = 64 * 1024;

/// Ciphertext without data that is looked at on an idle connection.
const IDLE_ROOM: usize = 16 * 1024;

/// A connected byte stream.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: Socket,
    tls: Option<Box<Secured>>,
}

/// TLS on a connection.
#[derive(Debug)]
struct Secured {
    stage: TlsStage,
    in_flight: InFlight,
}

/// Plaintext whose ciphertext is not yet fully accepted by the kernel.
#[derive(Debug, Default)]
struct InFlight {
    bytes: usize,
    /// Ciphertext accepted since it was given.
    accepted: usize,
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

    /// Lays TLS over the connection; the handshake follows.
    pub(crate) fn start_tls(&mut self, client: &TlsClient, name: &TlsName) -> Result<(), TlsError> {
        let stage = client.start(name)?;
        self.tls = Some(Box::new(Secured {
            stage,
            in_flight: InFlight::default(),
        }));
        Ok(())
    }

    /// Says whether the handshake that was just begun offers to resume a session.
    pub(crate) fn offers_resumption(&self) -> bool {
        (self.tls.as_ref()).is_some_and(|tls| tls.stage.offers_resumption())
    }

    /// Does the TLS handshake until the peer is verified; what is then still to be sent leaves with the first
    /// request. None: the deadline passed.
    pub(crate) fn handshake(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Arc<TlsFacts>>, Broken> {
        let Some(tls) = &mut self.tls else {
            return Err(Broken::Io(io::ErrorKind::NotConnected.into()));
        };
        let mut is_late = false;
        loop {
            let progress = tls.stage.advance();
            if progress.is_err() || tls.stage.is_handshaking() {
                tls.flush_waiting(&self.socket, deadline)?;
            }
            progress?;
            if !tls.stage.is_handshaking() {
                let facts = tls.stage.facts().map(Arc::new);
                return facts
                    .map(Some)
                    .ok_or_else(|| Broken::Io(io::ErrorKind::InvalidData.into()));
            }
            if is_late {
                return Ok(None);
            }
            tls.stage.incoming().reserve(CIPHER_ROOM);
            match self.socket.receive_behind(tls.stage.incoming(), deadline)? {
                Incoming::TimedOut => return Ok(None),
                Incoming::Bytes(0) => return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())),
                Incoming::Bytes(_) => is_late = has_passed(deadline),
            }
        }
    }

    /// Does what can be done of the TLS handshake without waiting.
    pub(crate) fn handshake_now(&mut self) -> Result<Shaken, Broken> {
        let Some(tls) = &mut self.tls else {
            return Err(Broken::Io(io::ErrorKind::NotConnected.into()));
        };
        let mut heard = false;
        loop {
            let progress = tls.stage.advance();
            if progress.is_err() || tls.stage.is_handshaking() {
                tls.flush(&self.socket)?;
            }
            progress?;
            if !tls.stage.is_handshaking() {
                let facts = tls.stage.facts().map(Arc::new);
                return facts
                    .map(Shaken::Done)
                    .ok_or_else(|| Broken::Io(io::ErrorKind::InvalidData.into()));
            }
            tls.stage.incoming().reserve(CIPHER_ROOM);
            match self.socket.receive_now(tls.stage.incoming())? {
                None if heard => return Ok(Shaken::Heard),
                None => return Ok(Shaken::Silent),
                Some(0) => return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())),
                Some(_) => heard = true,
            }
        }
    }

    /// What a TLS handshake waits for.
    pub(crate) fn handshake_interest(&self) -> Interest {
        Interest {
            read: true,
            write: self.tls.as_ref().is_some_and(|tls| tls.stage.wants_write()),
        }
    }

    /// Hands bytes to the kernel without waiting. None: its buffer is full. Under TLS, a count is told when all
    /// of its ciphertext was accepted, so the same bytes have to be given again until then.
    pub(crate) fn send(&mut self, slices: &[IoSlice<'_>]) -> Result<Option<usize>, Broken> {
        let Some(tls) = &mut self.tls else {
            return Ok(self.socket.send(slices)?);
        };
        if tls.in_flight.bytes == 0 {
            for slice in slices {
                let taken = tls.stage.write_plain(slice)?;
                tls.in_flight.bytes += taken;
                if taken < slice.len() {
                    break;
                }
            }
        }
        if !tls.flush(&self.socket)? {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut tls.in_flight).bytes))
    }

    /// Says whether a part of what `send` was given, and has not counted yet, may have left.
    pub(crate) fn has_begun(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| tls.in_flight.accepted > 0)
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
        let mut is_late = false;
        loop {
            match tls.stage.read_plain(first)? {
                PlainRead::Bytes(count) => return Ok(Received::Bytes(count, 0)),
                PlainRead::Closed => return Ok(Received::Ended(true)),
                PlainRead::NeedMore => {}
            }
            if tls.in_flight.bytes == 0 {
                tls.flush(&self.socket)?;
            }
            if is_late {
                return Ok(Received::TimedOut);
            }
            tls.stage.incoming().reserve(CIPHER_ROOM);
            match self.socket.receive_behind(tls.stage.incoming(), deadline)? {
                Incoming::TimedOut => return Ok(Received::TimedOut),
                Incoming::Bytes(0) => return Ok(Received::Ended(tls.stage.eof_is_clean())),
                Incoming::Bytes(_) => is_late = has_passed(deadline),
            }
        }
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
        loop {
            match tls.stage.read_plain(into)? {
                PlainRead::Bytes(count) => return Ok(Received::Bytes(count, 0)),
                PlainRead::Closed => return Ok(Received::Ended(true)),
                PlainRead::NeedMore => {}
            }
            if tls.in_flight.bytes == 0 {
                tls.flush(&self.socket)?;
            }
            tls.stage.incoming().reserve(CIPHER_ROOM);
            match self.socket.receive_now(tls.stage.incoming())? {
                None => return Ok(Received::TimedOut),
                Some(0) => return Ok(Received::Ended(tls.stage.eof_is_clean())),
                Some(_) => {}
            }
        }
    }

    /// Says whether TLS has something to send that no write waits for.
    pub(crate) fn owes_bytes(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| tls.in_flight.bytes == 0 && tls.stage.wants_write())
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
        let tls = self.tls.as_mut();
        tls.map_or(0, |tls| std::mem::take(&mut tls.in_flight).bytes)
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
                tls.stage.send_close_notify();
                Ok(())
            }
        }
    }

    /// Sets whom the reports about a watched connection are for.
    pub(crate) fn give(&self, owner: Owner) {
        self.socket.give(owner);
    }

    /// Says whether nothing was reported of a watched connection that was not looked at; nothing is known of others.
    pub(crate) fn is_quiet(&self) -> bool {
        self.socket.is_watched() && !self.may_be_ready(Interest::READ)
    }

    /// Says whether a watched socket may be ready for this.
    pub(crate) fn may_be_ready(&self, interest: Interest) -> bool {
        self.socket.may_be_ready(interest)
    }

    /// Says whether a receive on a watched connection may find something. Under TLS only trying tells, since bytes may
    /// wait inside.
    pub(crate) fn may_receive(&self) -> bool {
        self.tls.is_some() || self.may_be_ready(Interest::READ)
    }

    /// Says whether received bytes may wait inside TLS, so that the socket must not be waited for.
    pub(crate) fn may_hold_bytes(&mut self) -> bool {
        self.tls
            .as_mut()
            .is_some_and(|tls| !tls.stage.incoming().is_empty())
    }

    /// Sends what TLS still has to say before the connection idles. False: the kernel does not take it now.
    pub(crate) fn settle(&mut self) -> bool {
        self.flush().unwrap_or(false)
    }

    /// Looks whether an idle connection can be used. Never waits. One system call and no memory unless bytes of TLS
    /// wait.
    pub(crate) fn liveness(&mut self) -> Liveness {
        match self.socket.peek() {
            Ok(None) => return Liveness::Alive,
            Ok(Some(0)) | Err(_) => return Liveness::Closed,
            Ok(Some(_)) => {}
        }
        let Some(tls) = &mut self.tls else {
            return Liveness::Spoke;
        };
        tls.stage.incoming().reserve(IDLE_ROOM);
        match self.socket.receive_now(tls.stage.incoming()) {
            Ok(None) => Liveness::Alive,
            Ok(Some(0)) | Err(_) => Liveness::Closed,
            Ok(Some(_)) => match tls.stage.advance() {
                Ok(Progress::Quiet) => Liveness::Alive,
                Ok(Progress::Closed) | Err(_) => Liveness::Closed,
                Ok(Progress::Plain | Progress::Partial | Progress::Handshaking) => Liveness::Spoke,
            },
        }
    }

    /// Lends memory for ciphertext to a connection that is in use.
    pub(crate) fn lend(&mut self, memory: &mut Vec<u8>) {
        if let Some(tls) = &mut self.tls {
            tls.stage.adopt(std::mem::take(memory));
        }
    }

    /// Takes the memory for ciphertext back before the connection idles.
    pub(crate) fn take_back(&mut self, memory: &mut Vec<u8>) {
        if let Some(tls) = &mut self.tls {
            *memory = tls.stage.give_up();
        }
    }

    /// Ends the stream: close_notify without waiting, then close.
    pub(crate) fn close(mut self) {
        self.notify_end();
    }

    /// Tells the peer that the end is meant: close_notify without waiting. The close follows.
    pub(crate) fn notify_end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.stage.send_close_notify();
            let _ = tls.flush(&self.socket);
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

impl Secured {
    /// Hands ciphertext to the kernel; true when all of it was accepted.
    fn flush(&mut self, socket: &Socket) -> io::Result<bool> {
        while self.stage.wants_write() {
            match socket.send(&[IoSlice::new(self.stage.outgoing())])? {
                Some(count) => {
                    self.stage.sent(count);
                    if self.in_flight.bytes > 0 {
                        self.in_flight.accepted += count;
                    }
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// As `flush`, waiting for room until the deadline.
    fn flush_waiting(&mut self, socket: &Socket, deadline: Option<Instant>) -> io::Result<()> {
        while !self.flush(socket)? {
            let ready = for_socket(socket.as_fd(), Interest::WRITE, deadline)?;
            if !ready.is_any() {
                break;
            }
        }
        Ok(())
    }
}

/// Says whether bytes that came and do not complete what is waited for came too late.
fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= now())
}

/// Half the shortest of the deadlines that a read can have: armed once, it seldom has to be armed again.
pub(crate) fn read_timeout(shortest: Option<Duration>) -> Option<Duration> {
    shortest.map(|shortest| shortest / 2)
}
