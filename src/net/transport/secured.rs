//! TLS on a connection: one stage over the socket, or over the stage of a proxy.
//!
//! ```text
//!   core -- stage (origin) -- outer stage (proxy) -- socket
//! ```
//!
//! The rules guarded here: to a stage, the one below is what the socket is to the lowest, so that the same code serves
//! one and two; bytes count as sent when the kernel has the ciphertext of all of them; and only a close_notify of the
//! innermost stage ends the data, whatever those below it say (RFC 9112 §9.8).

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use crate::message::tls::TlsFacts;
use crate::net::clock::now;
use crate::net::socket::{Incoming, Socket};
use crate::net::tls::{PlainRead, Progress, TlsStage};
use crate::net::transport::{Broken, Liveness, Received, Shaken};
use crate::net::wait::{Interest, for_socket};

/// Ciphertext that one receive takes at the most.
pub(super) const CIPHER_ROOM: usize = 64 * 1024;

/// Ciphertext of one stage that is read out of the stage below it at a time: one full record.
const INNER_ROOM: usize = 16 * 1024;

/// Ciphertext without data that is looked at on an idle connection.
const IDLE_ROOM: usize = 16 * 1024;

/// TLS on a connection.
#[derive(Debug)]
pub(super) struct Secured {
    stage: TlsStage,
    in_flight: InFlight,
    /// What carries it instead of the socket.
    outer: Option<Box<Self>>,
}

/// Plaintext whose ciphertext is not yet fully accepted by the kernel.
#[derive(Debug, Default)]
struct InFlight {
    bytes: usize,
    /// Ciphertext accepted since it was given.
    accepted: usize,
}

impl Secured {
    pub(super) fn new(stage: TlsStage, outer: Option<Box<Self>>) -> Self {
        Self {
            stage,
            in_flight: InFlight::default(),
            outer,
        }
    }

    /// Says whether the hello offers to resume a session.
    pub(super) fn offers_resumption(&self) -> bool {
        self.stage.offers_resumption()
    }

    /// Does the handshake until the peer is verified. None: the deadline passed.
    pub(super) fn handshake(
        &mut self,
        socket: &mut Socket,
        deadline: Option<Instant>,
    ) -> Result<Option<Arc<TlsFacts>>, Broken> {
        let mut is_late = false;
        loop {
            let progress = self.stage.advance();
            if progress.is_err() || self.stage.is_handshaking() {
                self.flush_waiting(socket, deadline)?;
            }
            progress?;
            if !self.stage.is_handshaking() {
                return self.facts().map(Some);
            }
            if is_late {
                return Ok(None);
            }
            match self.fetch(socket, deadline)? {
                Incoming::TimedOut => return Ok(None),
                Incoming::Bytes(0) => return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())),
                Incoming::Bytes(_) => is_late = has_passed(deadline),
            }
        }
    }

    /// Does what can be done of the handshake without waiting.
    pub(super) fn handshake_now(&mut self, socket: &Socket) -> Result<Shaken, Broken> {
        let mut heard = false;
        loop {
            let progress = self.stage.advance();
            if progress.is_err() || self.stage.is_handshaking() {
                self.flush(socket)?;
            }
            progress?;
            if !self.stage.is_handshaking() {
                return self.facts().map(Shaken::Done);
            }
            match self.fetch_now(socket, CIPHER_ROOM)? {
                None if heard => return Ok(Shaken::Heard),
                None => return Ok(Shaken::Silent),
                Some(0) => return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())),
                Some(_) => heard = true,
            }
        }
    }

    fn facts(&self) -> Result<Arc<TlsFacts>, Broken> {
        let facts = self.stage.facts().map(Arc::new);
        facts.ok_or_else(|| Broken::Io(io::ErrorKind::InvalidData.into()))
    }

    /// Says whether ciphertext of any stage waits to be sent.
    pub(super) fn wants_write(&self) -> bool {
        self.stage.wants_write() || self.outer.as_ref().is_some_and(|outer| outer.wants_write())
    }

    /// Sends without waiting. None: not all ciphertext of what was given last is accepted, so it has to be given again.
    pub(super) fn send(
        &mut self,
        socket: &Socket,
        slices: &[IoSlice<'_>],
    ) -> Result<Option<usize>, Broken> {
        if self.in_flight.bytes == 0 {
            for slice in slices {
                let taken = self.stage.write_plain(slice)?;
                self.in_flight.bytes += taken;
                if taken < slice.len() {
                    break;
                }
            }
        }
        if !self.flush(socket)? {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.in_flight).bytes))
    }

    /// Says whether a part of what `send` was given, and has not counted yet, may have left.
    pub(super) fn has_begun(&self) -> bool {
        let outer_has = || self.outer.as_ref().is_some_and(|outer| outer.has_begun());
        self.in_flight.bytes > 0 && (self.in_flight.accepted > 0 || outer_has())
    }

    /// Says whether something is to be sent that no write waits for.
    pub(super) fn owes_bytes(&self) -> bool {
        self.in_flight.bytes == 0 && self.wants_write()
    }

    /// Counts what `send` was given and has not counted yet.
    pub(super) fn take_in_flight(&mut self) -> usize {
        std::mem::take(&mut self.in_flight).bytes
    }

    /// Says close_notify to the innermost peer; it is to be flushed.
    pub(super) fn end_sending(&mut self) {
        self.stage.send_close_notify();
    }

    /// Receives data, blocking until the deadline.
    pub(super) fn receive(
        &mut self,
        socket: &mut Socket,
        into: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<Received, Broken> {
        let mut is_late = false;
        loop {
            match self.stage.read_plain(into)? {
                PlainRead::Bytes(count) => return Ok(Received::Bytes(count, 0)),
                PlainRead::Closed => return Ok(Received::Ended(true)),
                PlainRead::NeedMore => {}
            }
            if self.in_flight.bytes == 0 {
                self.flush(socket)?;
            }
            if is_late {
                return Ok(Received::TimedOut);
            }
            match self.fetch(socket, deadline)? {
                Incoming::TimedOut => return Ok(Received::TimedOut),
                Incoming::Bytes(0) => return Ok(Received::Ended(self.stage.eof_is_clean())),
                Incoming::Bytes(_) => is_late = has_passed(deadline),
            }
        }
    }

    /// Receives ciphertext from below, blocking until the deadline. No bytes are the end of the stream.
    fn fetch(
        &mut self,
        socket: &mut Socket,
        deadline: Option<Instant>,
    ) -> Result<Incoming, Broken> {
        let incoming = self.stage.incoming();
        let Some(outer) = &mut self.outer else {
            incoming.reserve(CIPHER_ROOM);
            return Ok(socket.receive_behind(incoming, deadline)?);
        };
        let received = behind(incoming, |room| outer.receive(socket, room, deadline))?;
        Ok(match received {
            Received::Bytes(count, _) => Incoming::Bytes(count),
            Received::Ended(_) => Incoming::Bytes(0),
            Received::TimedOut => Incoming::TimedOut,
        })
    }

    /// The same without waiting. None: there is nothing.
    fn fetch_now(&mut self, socket: &Socket, room: usize) -> Result<Option<usize>, Broken> {
        let incoming = self.stage.incoming();
        let Some(outer) = &mut self.outer else {
            incoming.reserve(room);
            return Ok(socket.receive_now(incoming)?);
        };
        let received = behind(incoming, |place| outer.receive_now(socket, place, room))?;
        Ok(match received {
            Received::Bytes(count, _) => Some(count),
            Received::Ended(_) => Some(0),
            Received::TimedOut => None,
        })
    }

    /// Receives data that is there, without waiting; ciphertext in pieces of that size.
    pub(super) fn receive_now(
        &mut self,
        socket: &Socket,
        into: &mut [u8],
        room: usize,
    ) -> Result<Received, Broken> {
        loop {
            match self.stage.read_plain(into)? {
                PlainRead::Bytes(count) => return Ok(Received::Bytes(count, 0)),
                PlainRead::Closed => return Ok(Received::Ended(true)),
                PlainRead::NeedMore => {}
            }
            if self.in_flight.bytes == 0 {
                self.flush(socket)?;
            }
            match self.fetch_now(socket, room)? {
                None => return Ok(Received::TimedOut),
                Some(0) => return Ok(Received::Ended(self.stage.eof_is_clean())),
                Some(_) => {}
            }
        }
    }

    /// Says whether something that was received waits in a stage.
    pub(super) fn holds_bytes(&self) -> bool {
        self.stage.holds_bytes() || self.outer.as_ref().is_some_and(|outer| outer.holds_bytes())
    }

    /// Says whether an idle connection may be another than the socket knows: something waits in a stage, or a peer has
    /// said that it sends no more.
    pub(super) fn has_news(&self) -> bool {
        let outer_has = || self.outer.as_ref().is_some_and(|outer| outer.has_news());
        self.stage.holds_bytes() || self.stage.eof_is_clean() || outer_has()
    }

    /// Looks at an idle connection: what is held, then what the socket has.
    pub(super) fn liveness(&mut self, socket: &Socket) -> Liveness {
        let held = self.judge_held();
        if held != Liveness::Alive {
            return held;
        }
        let found = match self.fetch_now(socket, IDLE_ROOM) {
            Ok(None) => Liveness::Alive,
            Ok(Some(0)) | Err(_) => Liveness::Closed,
            Ok(Some(_)) => self.judge_held(),
        };
        match &self.outer {
            // The beginning of something, or more than is looked at.
            Some(outer) if found == Liveness::Alive && outer.holds_bytes() => Liveness::Spoke,
            Some(_) | None => found,
        }
    }

    fn judge_held(&mut self) -> Liveness {
        match self.stage.advance() {
            Ok(Progress::Quiet) => Liveness::Alive,
            Ok(Progress::Closed) | Err(_) => Liveness::Closed,
            Ok(Progress::Plain | Progress::Partial | Progress::Handshaking) => Liveness::Spoke,
        }
    }

    /// Takes memory for what the socket receives.
    pub(super) fn lend(&mut self, memory: Vec<u8>) {
        match &mut self.outer {
            Some(outer) => outer.lend(memory),
            None => self.stage.adopt(memory),
        }
    }

    /// Gives the memory of all stages up, that for what the socket receives to the caller.
    pub(super) fn take_back(&mut self) -> Vec<u8> {
        let own = self.stage.give_up();
        match &mut self.outer {
            Some(outer) => outer.take_back(),
            None => own,
        }
    }

    /// Says close_notify in each stage, the innermost first, as far as the kernel takes it.
    pub(super) fn close(&mut self, socket: &Socket) {
        self.stage.send_close_notify();
        let is_out = matches!(self.hand_down(socket), Ok(true));
        match &mut self.outer {
            Some(outer) if is_out => outer.close(socket),
            Some(_) | None => {}
        }
    }

    /// Hands ciphertext of all stages to the kernel; true when all of it was accepted.
    pub(super) fn flush(&mut self, socket: &Socket) -> Result<bool, Broken> {
        if !self.hand_down(socket)? {
            return Ok(false);
        }
        match &mut self.outer {
            Some(outer) => outer.flush(socket),
            None => Ok(true),
        }
    }

    /// Hands the ciphertext of this stage to what is below; true when all of it was accepted.
    fn hand_down(&mut self, socket: &Socket) -> Result<bool, Broken> {
        while self.stage.wants_write() {
            let ciphertext = [IoSlice::new(self.stage.outgoing())];
            let sent = match &mut self.outer {
                Some(outer) => outer.send(socket, &ciphertext)?,
                None => socket.send(&ciphertext)?,
            };
            let count = match sent {
                None => return Ok(false),
                // A stage that was given something and took nothing will never take anything.
                Some(0) => return Err(Broken::Io(io::ErrorKind::BrokenPipe.into())),
                Some(count) => count,
            };
            self.stage.sent(count);
            if self.in_flight.bytes > 0 {
                self.in_flight.accepted += count;
            }
        }
        Ok(true)
    }

    /// As `flush`, waiting for room until the deadline.
    fn flush_waiting(&mut self, socket: &Socket, deadline: Option<Instant>) -> Result<(), Broken> {
        while !self.flush(socket)? {
            let ready = for_socket(socket.as_fd(), Interest::WRITE, deadline)?;
            if !ready.is_any() {
                break;
            }
        }
        Ok(())
    }
}

/// Receives into room behind the bytes of a vector, which then ends with what came.
fn behind(
    bytes: &mut Vec<u8>,
    receive: impl FnOnce(&mut [u8]) -> Result<Received, Broken>,
) -> Result<Received, Broken> {
    let before = bytes.len();
    bytes.resize(before + INNER_ROOM, 0);
    let received = receive(&mut bytes[before..]);
    let count = match &received {
        Ok(Received::Bytes(count, _)) => *count,
        Ok(Received::Ended(_) | Received::TimedOut) | Err(_) => 0,
    };
    bytes.truncate(before + count);
    received
}

/// Says whether bytes that came and do not complete what is waited for came too late.
fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= now())
}
