//! What became of a call of an event loop.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::drive::apply::Running;
use crate::drive::multi::Ended;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::event::{Marks, Timings};
use crate::event_loop::Ticket;
use crate::event_loop::takes::{Taken, Takes};
use crate::flow::call::{Hop, ReachedFacts};
use crate::ids::{CallId, ConnId};
use crate::message::etag::EntityTag;
use crate::message::fields::Fields;
use crate::message::framing::Version;
use crate::message::peer_addr::PeerAddr;
use crate::message::range::{Partial, Ranges, Validator};
use crate::message::tls::TlsFacts;
use crate::message::url::Url;
use crate::net::clock;
use crate::proto::receiving::FinalHead;
use crate::response::{self, Parts, retry_after};
use crate::upgraded::Upgraded;

/// What became of a call of an event loop.
pub struct Completion {
    call: CallId,
    url: Url,
    head: Option<Box<FinalHead>>,
    taken: Taken,
    trailers: Option<Fields>,
    error: Option<Error>,
    marks: Marks,
    ended: Instant,
    reached: Option<ReachedFacts>,
    hops: Box<[Hop]>,
    upgraded: Option<Box<Upgraded>>,
    /// The ranges that the last hop asked for.
    asked: Option<Box<Ranges>>,
}

impl Completion {
    pub(super) fn of(ended: Ended<Takes>) -> Self {
        let Ended {
            mut running,
            head,
            taker,
            error,
        } = ended;
        let mut taken = taker.into_taken();
        let upgraded = head
            .as_ref()
            .and_then(|head| Upgraded::of(&mut running, head));
        let Running {
            call, emitter, now, ..
        } = &mut *running;
        let asked = call.plan().fields().get("range").and_then(Ranges::parse);
        Self {
            call: call.id(),
            url: call.plan().url.clone(),
            head,
            trailers: call.trailers().cloned(),
            error: error.or_else(|| taken.error.take()),
            taken,
            hops: call.hops().into(),
            upgraded: upgraded.map(Box::new),
            asked: asked.map(Box::new),
            ended: *now,
            marks: emitter.take_marks(),
            reached: call.take_reached(),
        }
    }

    /// Of a call that was lost with its loop.
    pub(super) fn lost(call: CallId, url: Url, error: Error) -> Self {
        Self {
            call,
            url,
            head: None,
            taken: Taken::default(),
            trailers: None,
            error: Some(error),
            marks: Marks::default(),
            ended: clock::now(),
            reached: None,
            hops: Box::default(),
            upgraded: None,
            asked: None,
        }
    }

    /// The ticket of the call.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket(self.call)
    }

    /// The call, as its events name it.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.call
    }

    /// The URL that was asked for; after redirects, the last one.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The status code, from 200 to 999 (or 101), if a response came; also of one whose body broke.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|head| head.head.status)
    }

    /// The reason phrase as it came, empty without a response. It decides nothing (RFC 9112 §4).
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.head
            .as_ref()
            .map_or(&[], |head| head.head.reason.as_bytes())
    }

    /// The version of the response, if one came.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.head.as_ref().map(|head| head.head.version)
    }

    /// The field lines, in wire order and case, if a response came.
    #[must_use]
    pub fn fields(&self) -> Option<&Fields> {
        self.head.as_ref().map(|head| &head.head.fields)
    }

    /// The first value of a field as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields()?.get_str(name)
    }

    /// When the message was made, as [`Response::date`](crate::Response::date) reads it.
    #[must_use]
    pub fn date(&self) -> Option<SystemTime> {
        response::named(self.fields()?, "date")
    }

    /// How long the peer asks to wait, as [`Response::retry_after`](crate::Response::retry_after) reads it.
    #[must_use]
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        retry_after(self.fields()?, now)
    }

    /// What the response is to a request for ranges, as [`Response::partial`](crate::Response::partial) says; none
    /// without a response.
    ///
    /// # Errors
    /// [`ErrorKind::PeerRange`](crate::ErrorKind::PeerRange) with the rule that a 206 breaks.
    pub fn partial(&self) -> Result<Option<Partial>> {
        let Some(head) = &self.head else {
            return Ok(None);
        };
        let judged = response::judge(self.asked.as_deref(), head.head.status, &head.head.fields);
        judged.map(Some)
    }

    /// The parts of a 206 whose body was collected.
    ///
    /// # Errors
    /// As [`Completion::partial`], and [`NotPartial`](crate::error::RangeRule::NotPartial) for another status, or without
    /// a response.
    pub fn parts(&self) -> Result<Parts<&[u8]>> {
        let partial = self.partial()?.unwrap_or(Partial::Other);
        response::parts(self.body(), &partial, self.asked.as_deref().cloned())
    }

    /// The entity tag, if there is one and it is well-formed (RFC 9110 §8.8.3).
    #[must_use]
    pub fn etag(&self) -> Option<EntityTag> {
        EntityTag::parse(self.fields()?.get("etag")?)
    }

    /// When the representation changed last, as [`Response::last_modified`](crate::Response::last_modified) reads it.
    #[must_use]
    pub fn last_modified(&self) -> Option<SystemTime> {
        response::named(self.fields()?, "last-modified")
    }

    /// The strong validator, by which later parts can be joined with this one. See [`Validator::of`].
    #[must_use]
    pub fn validator(&self) -> Option<Validator> {
        Validator::of(self.fields()?)
    }

    /// The body; of one that broke or was too long, what came of it; empty if it went into a sink.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.taken.body
    }

    /// Takes the body.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.taken.body
    }

    /// Counts the bytes of the body that were collected, or that the sink took.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.taken.bytes
    }

    /// The trailer section of a chunked body that came whole. Fields that frame, route, authenticate or set cookies are
    /// left out (RFC 9110 §6.5.1).
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref().filter(|_| self.error.is_none())
    }

    /// Says whether another protocol follows: a 101 that was asked for, or a 2xx to a CONNECT.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.upgraded.is_some()
    }

    /// Takes the connection as a stream, as [`Response::upgrade`](crate::Response::upgrade) does. The loop has nothing to
    /// do with it any more: it blocks whoever reads and writes. A completion that is dropped instead closes the
    /// connection.
    ///
    /// # Errors
    /// What the call failed with; [`ErrorKind::NotUpgraded`](crate::ErrorKind::NotUpgraded) when the response is any other.
    pub fn upgrade(self) -> Result<Upgraded> {
        let done = self.into_result()?;
        let status = done.status().unwrap_or_default();
        let upgraded = done.upgraded.map(|upgraded| *upgraded);
        upgraded.ok_or_else(|| Error::new(ErrorKind::NotUpgraded(status), Phase::Done))
    }

    /// Why the call failed, or why its body is not whole. A status of 400 or above is no error.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The completion, if nothing failed.
    ///
    /// # Errors
    /// What the call failed with; [`ErrorKind::Limit`](crate::ErrorKind::Limit) with `body_bytes` for a body that is too long.
    pub fn into_result(mut self) -> Result<Self> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// Where the time went. Needs no observer; folded anew each time it is asked for.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.marks.timings(self.ended)
    }

    /// The hops that were left by following redirects, in order; empty without any.
    #[must_use]
    pub fn history(&self) -> &[Hop] {
        &self.hops
    }

    /// The connection that the response came over.
    #[must_use]
    pub fn connection(&self) -> Option<ConnId> {
        self.reached.as_ref().map(|reached| reached.conn)
    }

    /// Whether the connection had served an earlier request.
    #[must_use]
    pub fn is_connection_reused(&self) -> bool {
        self.reached.as_ref().is_some_and(|reached| reached.reused)
    }

    /// The address of the peer.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&PeerAddr> {
        self.reached.as_ref().map(|reached| &reached.remote)
    }

    /// What TLS with the origin agreed on, if it was spoken.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.reached
            .as_ref()
            .and_then(|reached| reached.tls.as_ref())
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("call", &self.call)
            .field("status", &self.status())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
