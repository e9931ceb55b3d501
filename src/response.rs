//! A response: its head at once, its body as it is read.

mod moments;
mod partial;
mod parts;

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::Duration;

use crate::drive::apply::{Pause, Running};
use crate::error::{Error, ErrorKind, Limit, Phase, Result};
use crate::event::{RedirectRefusal, Timings};
use crate::flow::action::{ExchangeInput, Input};
use crate::flow::call::Hop;
use crate::ids::{CallId, ConnId};
use crate::message::fields::Fields;
use crate::message::framing::{Framing, Version};
use crate::message::peer_addr::PeerAddr;
use crate::message::tls::TlsFacts;
use crate::message::url::Url;
use crate::net::cancel::CancelHandle;
use crate::net::clock;
use crate::proto::receiving::FinalHead;
use crate::upgraded::Upgraded;

pub(crate) use self::moments::{named, retry_after, since_1970};
pub(crate) use self::partial::{judge, parts};
pub use self::parts::{Part, Parts};

/// Least bytes that are read at a time when a whole body is collected.
pub(crate) const COLLECTED: usize = 16 * 1024;

/// How long the helpers that collect a whole body may take.
pub(crate) const COLLECT_LIMIT: Duration = Duration::from_secs(300);

/// A response whose head is complete. The body is read through [`Read`] or [`BufRead`].
///
/// The end of the message is noticed as soon as it is buffered; the connection then goes back at once, also
/// while content is still to be taken from here.
///
/// **Drop** never blocks and never fails. A body that was not read to its end costs the connection: it is
/// closed, with the reason in `put_idle_conn`. **Cancel** through [`Response::cancel_handle`] makes the read
/// in progress fail.
///
/// After an error each further read tells it again; a timeout is an [`io::Error`] of kind `TimedOut` with our
/// [`Error`] inside.
pub struct Response {
    running: Box<Running>,
    head: Box<FinalHead>,
}

impl Response {
    /// Runs a call whose hop is ready to the response of that hop.
    pub(crate) fn of_hop(mut running: Box<Running>) -> Result<Self> {
        running.begin_hop();
        let head = running.call.take_response()?;
        Ok(Self { running, head })
    }

    /// Says whether the response is a redirect that is to be followed.
    pub(crate) fn is_redirected(&self) -> bool {
        self.running.call.is_redirected()
    }

    /// Follows the redirect of the response: the next hop is ready then, or the call has failed.
    pub(crate) fn into_next_hop(mut self) -> Box<Running> {
        self.running.follow();
        self.running
    }

    /// The status code, from 200 to 999 (or 101). A code that is not known counts as the first of its class
    /// (RFC 9110 §15).
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.head.status
    }

    /// The reason phrase as it came. It decides nothing (RFC 9112 §4).
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.head.head.reason.as_bytes()
    }

    /// The version of the response.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.head.version
    }

    /// The field lines, in wire order and case.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.head.head.fields
    }

    /// The first value of a field as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields().get_str(name)
    }

    /// How the body is framed.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.head.framing
    }

    /// The hops that were left by following redirects, in order; empty without any.
    #[must_use]
    pub fn history(&self) -> &[Hop] {
        self.running.call.hops()
    }

    /// Why this response is handed out and not followed, if it is a redirect.
    #[must_use]
    pub fn redirect_refusal(&self) -> Option<RedirectRefusal> {
        self.running.call.refusal()
    }

    /// The URL that was asked for; after redirects, the last one.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.running.call.plan().url
    }

    /// The trailer section, after the end of a chunked body; before it, and without one, it is empty. Fields
    /// that frame, route, authenticate or set cookies are left out (RFC 9110 §6.5.1).
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        self.running
            .call
            .trailers()
            .filter(|_| self.running.call.is_over() && self.running.call.lent() == 0)
    }

    /// Where the time went so far; complete at the end of the body. Needs no observer.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.running.timings()
    }

    /// The call.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.running.call.id()
    }

    /// The connection that the response came over.
    #[must_use]
    pub fn connection(&self) -> Option<ConnId> {
        self.running.call.reached().map(|reached| reached.conn)
    }

    /// Whether the connection had served an earlier request.
    #[must_use]
    pub fn is_connection_reused(&self) -> bool {
        self.running
            .call
            .reached()
            .is_some_and(|reached| reached.reused)
    }

    /// The address of the peer.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&PeerAddr> {
        self.running.call.reached().map(|reached| &reached.remote)
    }

    /// What TLS with the origin agreed on, if it was spoken; what was agreed on with a proxy on the way is told by
    /// [`TlsHandshakeDone`](crate::event::TlsHandshakeDone).
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.running
            .call
            .reached()
            .and_then(|reached| reached.tls.as_ref())
    }

    /// Says whether another protocol follows: a 101 that was asked for, or a 2xx to a CONNECT.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.running.call.is_switch()
    }

    /// Takes the connection as a stream on which the other protocol is spoken: after a 101 that
    /// [`Request::upgrade`](crate::Request::upgrade) asked for, or a 2xx to a CONNECT of
    /// [`Client::connect`](crate::Client::connect) (RFC 9110 §7.8, RFC 9110 §9.3.6). Bytes that came behind the head are
    /// read from it first.
    ///
    /// The call is over by then: no cancel handle and no timeout of it counts any more. A response that is dropped
    /// instead closes the connection.
    ///
    /// # Errors
    /// [`ErrorKind::NotUpgraded`] when the response is any other; [`Response::is_upgraded`] says so before, and leaves
    /// the body to be read.
    pub fn upgrade(mut self) -> Result<Upgraded> {
        self.end()?;
        Upgraded::of(&mut self.running, &self.head)
            .ok_or_else(|| Error::new(ErrorKind::NotUpgraded(self.status()), Phase::Done))
    }

    /// A handle that cancels reading the body, from any thread.
    pub fn cancel_handle(&mut self) -> CancelHandle {
        self.running.cancel_handle()
    }

    /// Gives an error for a status of 400 or above.
    ///
    /// # Errors
    /// [`ErrorKind::Status`].
    pub fn error_for_status(self) -> Result<Self> {
        match self.status() {
            status if status >= 400 => Err(Error::new(ErrorKind::Status(status), Phase::Done)),
            _ => Ok(self),
        }
    }

    /// Reads the whole body, at most `limit` bytes of it, within 5 minutes unless the call has a total of its
    /// own.
    ///
    /// # Errors
    /// What the body breaks, or [`ErrorKind::Limit`] with `body_bytes` when it is longer.
    pub fn collect(&mut self, limit: usize) -> Result<Vec<u8>> {
        self.running.limit_total(COLLECT_LIMIT);
        let mut body = Vec::new();
        loop {
            let room = limit
                .saturating_add(1)
                .saturating_sub(body.len())
                .min(COLLECTED);
            let before = body.len();
            body.resize(before + room, 0);
            let count = self.read_some(&mut body[before..])?;
            body.truncate(before + count);
            if count == 0 {
                return Ok(body);
            }
            if body.len() > limit {
                return Err(too_long(limit));
            }
        }
    }

    /// Reads the whole body as UTF-8 text, what is not UTF-8 replaced; else as [`Response::collect`].
    ///
    /// # Errors
    /// As [`Response::collect`].
    pub fn text(&mut self, limit: usize) -> Result<String> {
        let bytes = self.collect(limit)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Copies the whole body into a writer and counts its bytes.
    ///
    /// # Errors
    /// What the body breaks, as our error inside the [`io::Error`], or the error of the writer.
    pub fn copy_to(&mut self, writer: &mut (impl io::Write + ?Sized)) -> io::Result<u64> {
        let mut total = 0;
        let mut piece = vec![0; 4 * COLLECTED];
        loop {
            let count = self.read(&mut piece)?;
            if count == 0 {
                return Ok(total);
            }
            writer.write_all(&piece[..count])?;
            total += count as u64;
        }
    }

    /// Reads the rest of the body and throws it away, so that the connection can be kept; gives up at
    /// [`Limits::drain_bytes`](crate::config::Limits::drain_bytes) or
    /// [`Limits::drain_time`](crate::config::Limits::drain_time), which costs the connection.
    ///
    /// # Errors
    /// What the body breaks.
    pub fn drain(mut self) -> Result<()> {
        let limits = self.running.engine.settings.rules.limits.clone();
        let limit = limits.drain_time.saturating_add(self.timings().total());
        let Running { call, emitter, .. } = &mut *self.running;
        call.tighten_total(limit, emitter);
        if !self.running.call.is_over() {
            self.running.input(ExchangeInput::Drain);
        }
        let mut left = limits.drain_bytes;
        let mut piece = [0; 4096];
        while left > 0 {
            match self.read_some(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.is_timeout() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads some of the body.
    fn read_some(&mut self, into: &mut [u8]) -> Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.running.call.lent() == 0 {
            let (pause, direct) = self.pump(into);
            if direct > 0 {
                return Ok(direct);
            }
            if pause == Pause::Done && self.running.call.lent() == 0 {
                return self.end().map(|()| 0);
            }
        }
        let mut copied = 0;
        while copied < into.len() && self.running.call.lent() > 0 {
            let piece = self.running.lent();
            let count = piece.len().min(into.len() - copied);
            into[copied..copied + count].copy_from_slice(&piece[..count]);
            copied += count;
            self.consumed(count);
        }
        Ok(copied)
    }

    /// Goes on until there is content, or the end.
    fn pump(&mut self, into: &mut [u8]) -> (Pause, usize) {
        if self.running.call.is_over() {
            return (Pause::Done, 0);
        }
        self.running.read(into)
    }

    /// The end of the body, or why it is none. The source of the error goes with the first who asks.
    fn end(&mut self) -> Result<()> {
        self.running.call.take_error().map_or(Ok(()), Err)
    }

    fn consumed(&mut self, count: usize) {
        if count > 0 {
            self.running.input(ExchangeInput::Consumed(count));
            self.running.run();
        }
    }
}

/// The error of a body that is longer than whoever collects it wants.
pub(crate) fn too_long(limit: usize) -> Error {
    let kind = ErrorKind::Limit {
        limit: Limit::BodyBytes,
        max: limit as u64,
    };
    Error::new(kind, Phase::Receive)
}

/// `read(&mut [])` is `Ok(0)` without effect.
impl Read for Response {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_some(into).map_err(Error::into_io)
    }
}

impl BufRead for Response {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.running.call.lent() == 0 {
            self.running.wait_for_content();
            if self.running.call.lent() == 0 {
                self.end().map_err(Error::into_io)?;
            }
        }
        Ok(self.running.lent())
    }

    fn consume(&mut self, count: usize) {
        self.consumed(count.min(self.running.call.lent()));
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("fields", self.fields())
            .field("framing", &self.framing())
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Content at the front of the inbound buffer.
    fn lent(&self) -> &[u8] {
        let memory = self.memory.as_ref();
        let inbound = memory.map(|memory| memory.buffers.inbound.filled());
        inbound
            .and_then(|filled| filled.get(..self.call.lent()))
            .unwrap_or_default()
    }

    /// Goes on until content is buffered or the call is over.
    fn wait_for_content(&mut self) {
        if !self.call.is_over() {
            self.read_clock();
            self.input(Input::Wanted(1));
            self.run();
        }
    }

    fn timings(&self) -> Timings {
        self.emitter.timings(clock::now())
    }

    fn cancel_handle(&mut self) -> CancelHandle {
        let handle = self
            .cancel
            .get_or_insert_with(CancelHandle::default)
            .clone();
        if let (Some(lease), false) = (&self.lease, self.call.is_over()) {
            handle.block_on_socket(self.call.id().get(), lease.transport.shared());
        }
        handle
    }

    /// Bounds the whole call, unless it has a bound already.
    fn limit_total(&mut self, limit: Duration) {
        self.call.limit_total(limit, &self.emitter);
    }
}
