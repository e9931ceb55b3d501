//! Plays a script on one connection.
//!
//! Reading steps take from `inbound`, which holds what was read and not yet asked for; a step that
//! finds too little reads more. A step ends the script by returning a [`Stop`].

mod relaying;
mod socks;

use std::io;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::record::Shared;
use super::socket::{Left, Socket, Transport};
use super::{HARD_TIMEOUT, spawn};
use crate::testkit::bell::{Gate, wait_any};
use crate::testkit::script::{Handler, Script, Step, excerpt};
use crate::testkit::seen::{BodyReader, SeenRequest, find, head_end, says_close};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// How much a step may look through for what it expects: far more than any head in a test.
const SEARCH_BYTES_MAX: usize = 1024 * 1024;

/// Plays the script of the next connection on a thread of its own.
pub(super) fn start(shared: &Arc<Shared>, stream: TcpStream) {
    let connection = shared.opened();
    let work = {
        let shared = Arc::clone(shared);
        move || {
            let played = AssertUnwindSafe(|| play(&shared, connection, stream));
            if catch_unwind(played).is_err() {
                shared.failed(connection, "the peer itself panicked");
            }
            shared.closed();
        }
    };
    match spawn(shared.addr, work) {
        Ok(thread) => shared.keep_thread(thread),
        Err(error) => {
            shared.failed(connection, &format!("no thread for it: {error}"));
            shared.closed();
        }
    }
}

fn play(shared: &Arc<Shared>, connection: usize, stream: TcpStream) {
    let scripts = &shared.settings.scripts;
    let script = scripts.get(connection).or_else(|| scripts.last());
    let script = script.cloned().unwrap_or_default();
    let socket = match Socket::new(stream, Arc::clone(shared)) {
        Ok(socket) => socket,
        Err(error) => return shared.failed(connection, &error.to_string()),
    };
    let mut run = Run::new(shared, connection, socket);
    match run.whole(&script) {
        Ok(()) | Err(Stop::Over) => {}
        Err(Stop::Left(left)) => run.failed(&left.to_string()),
        Err(Stop::Mismatch(what)) => run.failed(&what),
    }
}

/// Why a script goes no further.
#[derive(Debug)]
enum Stop {
    /// It has closed the connection, or the client takes no more bytes.
    Over,
    /// It expects more, but no more comes.
    Left(Left),
    /// Something else came than it expects.
    Mismatch(String),
}

impl From<Left> for Stop {
    fn from(left: Left) -> Self {
        Self::Left(left)
    }
}

/// Sending fails only because the client has gone away, which is no mismatch.
impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Over
    }
}

struct Run<'a> {
    shared: &'a Arc<Shared>,
    connection: usize,
    /// `None` once it is closed.
    transport: Option<Transport>,
    inbound: Vec<u8>,
    received_bytes: u64,
    /// The last request, and where it is kept.
    request: Option<(SeenRequest, Option<usize>)>,
    stopped_reading: bool,
    /// The innermost step that stopped the script.
    place: Option<String>,
    buffer: Vec<u8>,
}

impl<'a> Run<'a> {
    fn new(shared: &'a Arc<Shared>, connection: usize, socket: Socket) -> Self {
        Self {
            shared,
            connection,
            transport: Some(Transport::Plain(socket)),
            inbound: Vec::new(),
            received_bytes: 0,
            request: None,
            stopped_reading: false,
            place: None,
            buffer: vec![0; READ_BYTES],
        }
    }

    fn whole(&mut self, script: &Script) -> Result<(), Stop> {
        let tls = self.shared.settings.tls.as_ref();
        if tls.is_some_and(|tls| tls.at_once) {
            self.start_tls()?;
        }
        if let Some(relaying) = &self.shared.settings.relay {
            return relaying::serve(self, relaying.clone());
        }
        self.script(script)?;
        self.end()
    }

    fn failed(&self, what: &str) {
        let place = self.place.as_deref().unwrap_or("script");
        let mut text = format!("{place}: {what}");
        if !self.inbound.is_empty() {
            text += &format!("; unread: {}", excerpt(&self.inbound));
        }
        self.shared.failed(self.connection, &text);
    }

    fn script(&mut self, script: &Script) -> Result<(), Stop> {
        // Looked at here, so that also a loop over steps that never wait comes to an end.
        if self.shared.is_stopping() {
            return Err(Stop::Over);
        }
        for (index, step) in script.steps().iter().enumerate() {
            if let Err(stop) = self.step(step) {
                let place = || format!("step {index} ({})", step.name());
                self.place.get_or_insert_with(place);
                return Err(stop);
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::ExpectHead => self.expect_head(),
            Step::ExpectBody => self.expect_body(),
            Step::ExpectBytes(bytes) => self.expect_bytes(&bytes.0),
            Step::ExpectContains(bytes) => self.expect_contains(&bytes.0),
            Step::ExpectEof => self.expect_end(&[Left::Eof, Left::Notified]),
            Step::ExpectCloseNotify => self.expect_end(&[Left::Notified]),
            Step::ExpectGone => self.expect_gone(),
            Step::Send(bytes) => self.send(&bytes.0),
            Step::SendEach(bytes, segment_bytes) => {
                let mut segments = bytes.0.chunks(*segment_bytes);
                segments.try_for_each(|segment| self.send(segment))
            }
            Step::SendRepeated(byte, count) => self.send_repeated(*byte, *count),
            Step::Reply(handler) => self.reply(handler),
            Step::Echo => self.echo(),
            Step::Pause(duration) => self.pause(*duration),
            Step::WaitFor(gate) => self.wait_for(gate),
            Step::OpenGate(gate) => {
                gate.open();
                Ok(())
            }
            Step::Stall => self.stall(),
            Step::StopReading => {
                self.stopped_reading = true;
                Ok(())
            }
            Step::HalfClose => {
                self.transport()?.socket().half_close();
                Ok(())
            }
            Step::CloseNotify => self.close_notify(),
            Step::Close => {
                self.close();
                Err(Stop::Over)
            }
            Step::Reset => self.reset(),
            Step::StartTls => self.start_tls(),
            Step::Repeat(times, script) => (0..*times).try_for_each(|_| self.script(script)),
            Step::Forever(script) => self.forever(script),
        }
    }

    // ---- reading ----

    fn expect_head(&mut self) -> Result<(), Stop> {
        let end = self.search(head_end)?;
        let head = self.inbound.drain(..end).collect();
        let request = SeenRequest::new(self.connection, head);
        let index = self.shared.request_begun(&request);
        self.request = Some((request, index));
        Ok(())
    }

    fn expect_body(&mut self) -> Result<(), Stop> {
        let Some((mut request, index)) = self.request.take() else {
            return Err(Stop::Mismatch("no head was read before".to_owned()));
        };
        let result = self.read_body(&mut request);
        request.is_complete = result.is_ok();
        if let Some(index) = index {
            self.shared.request_read(index, &request);
        }
        self.request = Some((request, index));
        result
    }

    fn read_body(&mut self, request: &mut SeenRequest) -> Result<(), Stop> {
        let keep = self.shared.settings.keep_bodies;
        let mut reader = BodyReader::for_head(&request.head).map_err(Stop::Mismatch)?;
        while !reader.is_done() {
            let piece = reader.feed(&self.inbound).map_err(Stop::Mismatch)?;
            request.body_bytes += piece.content.len() as u64;
            if keep {
                request.body.extend_from_slice(piece.content);
            }
            request.trailers.extend_from_slice(piece.trailer);
            let used = piece.used;
            self.inbound.drain(..used);
            if used == 0 {
                self.read_more_to_search()?;
            }
        }
        Ok(())
    }

    fn expect_bytes(&mut self, expected: &[u8]) -> Result<(), Stop> {
        loop {
            let common = expected.len().min(self.inbound.len());
            if self.inbound[..common] != expected[..common] {
                return Err(Stop::Mismatch(format!("expected {}", excerpt(expected))));
            }
            if common == expected.len() {
                self.inbound.drain(..common);
                return Ok(());
            }
            self.read_more()?;
        }
    }

    fn expect_contains(&mut self, needle: &[u8]) -> Result<(), Stop> {
        let end = self.search(|inbound| find(inbound, needle).map(|at| at + needle.len()))?;
        self.inbound.drain(..end);
        Ok(())
    }

    /// Waits for an end that is one of `allowed`; any byte before it is a mismatch.
    fn expect_end(&mut self, allowed: &[Left]) -> Result<(), Stop> {
        if self.inbound.is_empty() {
            match self.read_more() {
                Err(Stop::Left(left)) if allowed.contains(&left) => return Ok(()),
                Err(stop) => return Err(stop),
                Ok(()) => {}
            }
        }
        Err(Stop::Mismatch("expected no more bytes".to_owned()))
    }

    fn expect_gone(&mut self) -> Result<(), Stop> {
        match self.ignore_all()? {
            Left::Eof | Left::Notified | Left::Reset | Left::Broken(_) => Ok(()),
            left @ (Left::Silent | Left::Finished) => Err(left.into()),
        }
    }

    fn echo(&mut self) -> Result<(), Stop> {
        loop {
            let bytes = std::mem::take(&mut self.inbound);
            self.send(&bytes)?;
            match self.read_more() {
                Err(Stop::Left(left)) if left != Left::Silent => return Ok(()),
                result => result?,
            }
        }
    }

    fn ignore_all(&mut self) -> Result<Left, Stop> {
        loop {
            self.inbound.clear();
            match self.read_more() {
                Err(Stop::Left(left)) => return Ok(left),
                result => result?,
            }
        }
    }

    /// Reads until `found` finds something in what is there.
    fn search(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> Result<usize, Stop> {
        loop {
            if let Some(end) = found(&self.inbound) {
                return Ok(end);
            }
            self.read_more_to_search()?;
        }
    }

    fn read_more_to_search(&mut self) -> Result<(), Stop> {
        if self.inbound.len() > SEARCH_BYTES_MAX {
            let what = format!("did not come within {SEARCH_BYTES_MAX} bytes");
            return Err(Stop::Mismatch(what));
        }
        self.read_more()
    }

    fn read_more(&mut self) -> Result<(), Stop> {
        let transport = self.transport.as_mut().ok_or(Stop::Over)?;
        let count = transport.read(&mut self.buffer)?;
        self.took(count);
        Ok(())
    }

    /// Keeps the first `count` bytes of the buffer, which have just been read.
    fn took(&mut self, count: usize) {
        let bytes = &self.buffer[..count];
        self.inbound.extend_from_slice(bytes);
        self.received_bytes += count as u64;
        self.shared.received(self.connection, bytes);
    }

    // ---- sending ----

    fn send(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        Ok(self.transport()?.write(bytes)?)
    }

    fn send_repeated(&mut self, byte: u8, count: u64) -> Result<(), Stop> {
        let block = [byte; READ_BYTES];
        let mut left = count;
        while left > 0 {
            let now = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            self.send(&block[..now])?;
            left -= now as u64;
        }
        Ok(())
    }

    fn reply(&mut self, handler: &Handler) -> Result<(), Stop> {
        let Some((request, _)) = &self.request else {
            return Err(Stop::Mismatch("no request was read before".to_owned()));
        };
        let answer = catch_unwind(AssertUnwindSafe(|| (handler.0)(request)))
            .map_err(|panic| Stop::Mismatch(format!("panicked: {}", panic_text(&*panic))))?;
        let head = &answer[..head_end(&answer).unwrap_or_default()];
        let is_last = says_close(&request.head) || says_close(head);
        self.send(&answer)?;
        if is_last {
            return self.end();
        }
        Ok(())
    }

    // ---- waiting ----

    /// The end of the peer cuts a pause short: the script goes on.
    fn pause(&self, duration: Duration) -> Result<(), Stop> {
        wait_any(&mut [self.shared.finish.heard()], duration)?;
        Ok(())
    }

    fn wait_for(&self, gate: &Gate) -> Result<(), Stop> {
        let mut fds = [gate.bell().heard(), self.shared.finish.heard()];
        if wait_any(&mut fds, HARD_TIMEOUT)? {
            return Ok(());
        }
        let seconds = HARD_TIMEOUT.as_secs();
        Err(Stop::Mismatch(format!(
            "the gate stayed closed for {seconds} s"
        )))
    }

    fn stall(&mut self) -> Result<(), Stop> {
        if self.stopped_reading {
            return self.pause(HARD_TIMEOUT);
        }
        self.ignore_all().map(drop)
    }

    // ---- ends ----

    fn close_notify(&mut self) -> Result<(), Stop> {
        match self.transport()? {
            Transport::Tls(stream) => Ok(stream.close_notify()?),
            Transport::Plain(_) => Err(Stop::Mismatch("needs TLS".to_owned())),
        }
    }

    /// Closes as at the end of a script, and ends it.
    fn end(&mut self) -> Result<(), Stop> {
        if matches!(self.transport, Some(Transport::Tls(_))) {
            self.close_notify()?;
        }
        self.close();
        Err(Stop::Over)
    }

    /// Closes with FIN: bytes left unread would make it a reset.
    fn close(&mut self) {
        let Some(transport) = self.transport.take() else {
            return;
        };
        if self.stopped_reading {
            return;
        }
        loop {
            match transport.socket().read_arrived(&mut self.buffer) {
                0 => return,
                count if matches!(transport, Transport::Plain(_)) => self.took(count),
                _ciphertext => {}
            }
        }
    }

    fn reset(&mut self) -> Result<(), Stop> {
        let armed = self.transport()?.socket().arm_reset();
        self.transport = None;
        match armed {
            Ok(()) => Err(Stop::Over),
            Err(error) => Err(Stop::Mismatch(format!("SO_LINGER: {error}"))),
        }
    }

    fn start_tls(&mut self) -> Result<(), Stop> {
        let Some(tls) = &self.shared.settings.tls else {
            return Err(Stop::Mismatch("the peer has no TLS identity".to_owned()));
        };
        if !self.inbound.is_empty() {
            return Err(Stop::Mismatch("bytes came before the handshake".to_owned()));
        }
        let Some(Transport::Plain(socket)) = self.transport.take() else {
            return Err(Stop::Mismatch("TLS has been started already".to_owned()));
        };
        let (handshake, stream) = tls.accept(socket, self.connection);
        self.shared.shook_hands(handshake);
        self.transport = stream.map(Transport::Tls);
        self.transport().map(drop)
    }

    fn transport(&mut self) -> Result<&mut Transport, Stop> {
        self.transport.as_mut().ok_or(Stop::Over)
    }

    // ---- repetition ----

    fn forever(&mut self, script: &Script) -> Result<(), Stop> {
        loop {
            let before = self.received_bytes;
            let had = self.inbound.len();
            match self.script(script) {
                Err(Stop::Left(Left::Broken(error))) => {
                    return Err(Left::Broken(error).into());
                }
                Err(Stop::Left(_)) if had == 0 && self.received_bytes == before => {
                    self.place = None;
                    return Ok(());
                }
                result => result?,
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
