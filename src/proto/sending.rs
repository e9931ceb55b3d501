//! The request side of an exchange.
//!
//! The rule guarded here: `Wrote…` means that the kernel accepted the bytes, and a body has exactly the length
//! that its head announced.
//!
//! ```text
//!   Head --> Waiting (for 100) --> Body --> Finished
//!     \________________________\_____\____> Failed(why)
//! ```

mod body;
mod trailers;

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{ErrorKind, Phase};
use crate::event::{
    EventKind, ExpectDone, ExpectOutcome, FieldRecord, Got100Continue, Payload, RequestBodyChunk,
    RequestBodyDone, RequestBodyStart, TargetForm, Wait100Continue, WriteFailure, WroteHeaderField,
    WroteHeaders, WroteRequest, WroteTrailerField,
};
use crate::message::fields::Fields;
use crate::proto::buffers::Buffer;
use crate::proto::encode::{ChunkRoom, HeadPlan};
use crate::proto::sending::body::{Body, Source, Supply, Taken};
pub(crate) use crate::proto::sending::trailers::{LateTrailers, TrailerPlan};
use crate::proto::{Fault, Turn};

/// Most bytes that are pulled from a source at a time.
const PULL_MAX: u64 = 256 * 1024;

/// Least bytes between two `request_body_chunk` events.
const CHUNK_EVENT: u64 = 16 * 1024;

/// What the body of a request is, as far as the wire has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyPlan {
    /// There is none.
    Empty,
    /// Bytes in memory, which leave as ranges together with the head.
    Memory(u64),
    /// A source that is pulled from, with its length if that is known, and the trailers behind it.
    Source(Option<u64>, Box<TrailerPlan>),
}

/// What the caller's source said when it was pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// That many bytes stand at the end of the outbound buffer.
    Bytes(usize),
    /// It has none now, and will say when it has more.
    NotNow,
    /// There is no more, but perhaps trailers.
    End(Option<Box<LateTrailers>>),
    /// It failed.
    Failed,
}

/// Whether the kernel accepted a part of what it was given, of which no byte is counted yet: under TLS a batch counts
/// when all of its ciphertext was accepted, and its front may have left long before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    Nothing,
    Part,
}

/// The request side of one exchange.
#[derive(Debug)]
pub(crate) struct Sending {
    state: State,
    record: Option<Arc<FieldRecord>>,
    form: TargetForm,
    lines: u32,
    head_bytes: u64,
    body_bytes: u64,
    write_calls: u32,
    blocked: Duration,
    blocked_since: Option<Instant>,
    begun: Begun,
    /// Content that events have told of.
    told: u64,
}

#[derive(Debug)]
enum State {
    /// The head is not yet fully accepted.
    Head { left: usize, then: Then },
    /// The body is held back until the peer says 100 (Continue).
    Waiting { since: Instant, body: Body },
    /// The body is on its way.
    Body(Body),
    /// Every byte was accepted.
    Finished,
    /// The rest will not be sent.
    Failed(WriteFailure),
}

/// What follows the head.
#[derive(Debug)]
enum Then {
    Nothing,
    Body(Body),
    Wait(Body),
}

impl Sending {
    /// Writes the head into the outbound buffer.
    pub(crate) fn begin(
        plan: &HeadPlan<'_>,
        body: &BodyPlan,
        form: TargetForm,
        turn: &mut Turn<'_>,
    ) -> Self {
        let (bytes, lines) = plan.write(&mut turn.buffers.outbound);
        let record = turn
            .emitter
            .wants(EventKind::WroteHeaderField)
            .then(|| Arc::new(record_of(plan, lines, bytes, turn)));
        let body = match body {
            BodyPlan::Empty => None,
            BodyPlan::Memory(0) => None,
            BodyPlan::Memory(len) => Some(Body::Memory { len: *len, sent: 0 }),
            BodyPlan::Source(length, trailers) => Some(Body::Source(Box::new(Source::new(
                *length,
                (**trailers).clone(),
            )))),
        };
        let then = match body {
            None => Then::Nothing,
            Some(body) if plan.expect && !turn.rules.expect_limit.is_zero() => Then::Wait(body),
            Some(body) => Then::Body(body),
        };
        turn.emitter.marks().first_write(turn.now);
        Self {
            state: State::Head { left: bytes, then },
            record,
            form,
            lines,
            head_bytes: 0,
            body_bytes: 0,
            write_calls: 0,
            blocked: Duration::ZERO,
            blocked_since: None,
            begun: Begun::Nothing,
            told: 0,
        }
    }

    /// What is to be handed to the kernel now: all of the outbound buffer, then this range of the body in
    /// memory. None if nothing is.
    pub(crate) fn due(&self, outbound: &Buffer) -> Option<Range<u64>> {
        match &self.state {
            State::Head { .. } if self.pull_max(outbound).is_some() => None,
            State::Head {
                then: Then::Body(Body::Memory { len, sent }),
                ..
            }
            | State::Body(Body::Memory { len, sent }) => Some(*sent..*len),
            State::Head { .. } => Some(0..0),
            State::Body(Body::Source(source))
                if source.supply == Supply::Looking || !outbound.is_empty() =>
            {
                Some(0..0)
            }
            State::Body(_) | State::Waiting { .. } | State::Finished | State::Failed(_) => None,
        }
    }

    /// How much the source may be asked for now, if it is to be asked. Behind the declared length it is asked
    /// for one byte more, to learn that there is none.
    pub(crate) fn pull_max(&self, outbound: &Buffer) -> Option<u64> {
        let (source, ready) = match &self.state {
            State::Head {
                then: Then::Body(Body::Source(source)),
                ..
            } => (source, source.is_untouched_and_known()),
            State::Body(Body::Source(source)) => (source, outbound.is_empty()),
            State::Head { .. }
            | State::Waiting { .. }
            | State::Body(_)
            | State::Finished
            | State::Failed(_) => return None,
        };
        let left = source.length.map_or(PULL_MAX, |length| {
            length.saturating_sub(source.pulled).max(1)
        });
        (ready && source.supply == Supply::Open).then(|| left.min(PULL_MAX))
    }

    /// Says whether nothing was pulled yet.
    pub(crate) fn is_first_pull(&self) -> bool {
        let body = match &self.state {
            State::Head {
                then: Then::Body(body),
                ..
            }
            | State::Body(body) => body,
            State::Head { .. } | State::Waiting { .. } | State::Finished | State::Failed(_) => {
                return false;
            }
        };
        match body {
            Body::Memory { .. } => false,
            Body::Source(source) => source.pulled == 0,
        }
    }

    /// Leaves room for framing; the driver then pulls at most `max` bytes behind it.
    pub(crate) fn begin_pull(&mut self, max: u64, outbound: &mut Buffer) {
        let Some(source) = self.source_mut() else {
            return;
        };
        let room = match (source.length, NonZeroU64::new(max)) {
            (None, Some(max)) => Some(ChunkRoom::leave(outbound, max)),
            _ => None,
        };
        source.supply = Supply::Pulling(room);
    }

    /// Takes what the source said.
    ///
    /// # Errors
    /// The body has another length than its head announced, or the source failed.
    pub(crate) fn pulled(&mut self, pulled: Pulled, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let Some(source) = self.source_mut() else {
            return Ok(());
        };
        let fault = |kind| Err(Fault::new(kind, Phase::Send));
        let before = source.pulled;
        match (
            source.take(pulled, turn.now, &mut turn.buffers.outbound),
            source.length,
        ) {
            (Taken::Failed, _) => return fault(ErrorKind::LocalBodySource),
            (Taken::Ended, Some(declared)) if before < declared => {
                return fault(ErrorKind::LocalBodyShort {
                    sent: before,
                    declared,
                });
            }
            (Taken::More, Some(declared)) if source.pulled > declared => {
                let excess =
                    usize::try_from(source.pulled.saturating_sub(declared)).unwrap_or(usize::MAX);
                turn.buffers.outbound.close_gap(0, excess);
                return fault(ErrorKind::LocalBodyLong { declared });
            }
            (Taken::Ended | Taken::More | Taken::NotNow, _) => {}
        }
        self.settle(turn);
        Ok(())
    }

    /// Says whether the source said "not now" and is waited for.
    pub(crate) fn awaits_source(&self) -> bool {
        matches!(
            &self.state,
            State::Head { then: Then::Body(Body::Source(source)), .. }
            | State::Body(Body::Source(source)) if matches!(source.supply, Supply::NotNow(_))
        )
    }

    /// Takes that the source has more. That it was waited for was up to the caller.
    pub(crate) fn source_has_more(&mut self, turn: &mut Turn<'_>) {
        if let Some(since) = self.source_mut().and_then(Source::has_more) {
            let waited = turn.now.saturating_duration_since(since);
            turn.emitter.marks().caller_sends(waited);
        }
    }

    /// Takes that the kernel accepted bytes: of the outbound buffer first, then of the body in memory.
    pub(crate) fn sent(&mut self, count: usize, turn: &mut Turn<'_>) {
        self.write_calls = self.write_calls.saturating_add(1);
        self.unblocked(turn.now);
        let buffered = count.min(turn.buffers.outbound.len());
        turn.buffers.outbound.consume(buffered);
        let behind_head = self.head_accepted(buffered);
        let rest = count.saturating_sub(buffered) as u64;
        self.body_bytes = self
            .body_bytes
            .saturating_add(behind_head as u64)
            .saturating_add(rest);
        if let State::Head {
            then: Then::Body(Body::Memory { sent, .. }),
            ..
        }
        | State::Body(Body::Memory { sent, .. }) = &mut self.state
        {
            *sent = sent.saturating_add(rest);
        }
        self.head_done(turn);
        self.tell_chunk(turn);
        self.settle(turn);
        // The peer is looked at before the next write: it may have answered.
        if self.due(&turn.buffers.outbound).is_some() {
            self.blocked(Begun::Nothing, turn.now);
        }
    }

    /// Takes that the kernel's buffer is full, or that it may be.
    pub(crate) fn blocked(&mut self, begun: Begun, now: Instant) {
        self.note(begun);
        self.blocked_since = self.blocked_since.or(Some(now));
    }

    /// Takes whether a part of what is not counted yet has left.
    pub(crate) fn note(&mut self, begun: Begun) {
        if begun == Begun::Part {
            self.begun = begun;
        }
    }

    /// Says whether not one byte of the request can have reached the peer.
    pub(crate) fn is_unsent(&self) -> bool {
        self.bytes() == 0 && self.begun == Begun::Nothing
    }

    /// Ends the wait for a 100 (Continue) and lets the body go; without a wait, nothing happens.
    pub(crate) fn go_on(&mut self, outcome: ExpectOutcome, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::Waiting { .. }) {
            return;
        }
        let State::Waiting { since, body } = std::mem::replace(&mut self.state, State::Finished)
        else {
            return;
        };
        let waited = turn.now.saturating_duration_since(since);
        if outcome == ExpectOutcome::Continue {
            turn.emitter.emit(EventKind::Got100Continue, turn.now, |_| {
                Payload::Got100Continue(Got100Continue { waited })
            });
        }
        self.expect_done(outcome, waited, turn);
        self.begin_body(body, turn);
        self.settle(turn);
    }

    /// Takes that the kernel's buffer has room again, and that the peer has said nothing.
    pub(crate) fn writable(&mut self, now: Instant, outbound: &Buffer) {
        self.unblocked(now);
        if let Some(source) = self.source_mut().filter(|_| outbound.is_empty()) {
            source.look_is_over();
        }
    }

    /// Gives the rest of the request up. What began gets its end; nothing happens if all was sent.
    pub(crate) fn stop(
        &mut self,
        failure: WriteFailure,
        outcome: ExpectOutcome,
        turn: &mut Turn<'_>,
    ) {
        self.unblocked(turn.now);
        match &self.state {
            State::Finished | State::Failed(_) => return,
            State::Head { .. } => {}
            State::Waiting { since, .. } => {
                let waited = turn.now.saturating_duration_since(*since);
                self.expect_done(outcome, waited, turn);
            }
            State::Body(body) => {
                let bytes = body.accepted(turn.buffers.outbound.len());
                self.body_done(bytes, true, turn);
            }
        }
        self.state = State::Failed(failure);
        self.wrote_request(Some(failure), turn);
    }

    /// Says that the source is not asked again; bytes that were pulled still go out.
    pub(crate) fn abandon_source(&mut self, now: Instant) {
        if self.is_looking() {
            self.unblocked(now);
        }
        if let Some(source) = self.source_mut() {
            if matches!(
                source.supply,
                Supply::Open | Supply::Looking | Supply::NotNow(_)
            ) {
                source.supply = Supply::Abandoned;
            }
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    pub(crate) fn failure(&self) -> Option<WriteFailure> {
        match &self.state {
            State::Failed(failure) => Some(*failure),
            State::Head { .. } | State::Waiting { .. } | State::Body(_) | State::Finished => None,
        }
    }

    /// Bytes that the kernel accepted.
    pub(crate) fn bytes(&self) -> u64 {
        self.head_bytes.saturating_add(self.body_bytes)
    }

    /// Since when the kernel's buffer is full, if it is.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    fn unblocked(&mut self, now: Instant) {
        if let Some(since) = self.blocked_since.take() {
            self.blocked = self
                .blocked
                .saturating_add(now.saturating_duration_since(since));
        }
    }

    fn is_looking(&self) -> bool {
        matches!(
            &self.state,
            State::Body(Body::Source(source)) if source.supply == Supply::Looking
        )
    }

    fn source_mut(&mut self) -> Option<&mut Source> {
        match &mut self.state {
            State::Head {
                then: Then::Body(Body::Source(source)),
                ..
            }
            | State::Body(Body::Source(source)) => Some(source),
            State::Head { .. }
            | State::Waiting { .. }
            | State::Body(_)
            | State::Finished
            | State::Failed(_) => None,
        }
    }

    /// Counts bytes of the head; gives back how many were behind it.
    fn head_accepted(&mut self, count: usize) -> usize {
        let State::Head { left, .. } = &mut self.state else {
            return count;
        };
        let of_head = count.min(*left);
        *left = left.saturating_sub(of_head);
        self.head_bytes = self.head_bytes.saturating_add(of_head as u64);
        count.saturating_sub(of_head)
    }

    /// Moves on when the last byte of the head was accepted.
    fn head_done(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::Head { left: 0, .. }) {
            return;
        }
        let State::Head { then, .. } = std::mem::replace(&mut self.state, State::Finished) else {
            return;
        };
        self.tell_head(turn);
        match then {
            Then::Nothing => self.wrote_request(None, turn),
            Then::Body(body) => self.begin_body(body, turn),
            Then::Wait(body) => {
                let limit = turn.rules.expect_limit;
                turn.emitter
                    .emit(EventKind::Wait100Continue, turn.now, |_| {
                        Payload::Wait100Continue(Wait100Continue { limit })
                    });
                self.state = State::Waiting {
                    since: turn.now,
                    body,
                };
            }
        }
    }

    fn tell_head(&mut self, turn: &mut Turn<'_>) {
        if let Some(record) = self.record.take() {
            for index in 0..u16::try_from(record.len()).unwrap_or(u16::MAX) {
                let added_by = record.added_by(index);
                let record = record.clone();
                turn.emitter
                    .emit(EventKind::WroteHeaderField, turn.now, |_| {
                        Payload::WroteHeaderField(WroteHeaderField {
                            record,
                            index,
                            added_by,
                        })
                    });
            }
        }
        let (form, bytes, count) = (self.form, self.head_bytes, self.lines);
        turn.emitter.emit(EventKind::WroteHeaders, turn.now, |_| {
            Payload::WroteHeaders(WroteHeaders { form, bytes, count })
        });
    }

    fn begin_body(&mut self, body: Body, turn: &mut Turn<'_>) {
        let framing = body.framing();
        turn.emitter
            .emit(EventKind::RequestBodyStart, turn.now, |_| {
                Payload::RequestBodyStart(RequestBodyStart { framing })
            });
        self.state = State::Body(body);
    }

    /// Ends the body when all of it was accepted.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        let State::Body(body) = &mut self.state else {
            return;
        };
        if !body.is_over(turn.buffers.outbound.len()) {
            return;
        }
        let bytes = body.accepted(0);
        let trailers = body.take_trailers();
        self.body_done(bytes, false, turn);
        tell_trailers(&trailers, turn);
        self.state = State::Finished;
        self.wrote_request(None, turn);
    }

    /// Tells of content; the framing around it is no content.
    fn tell_chunk(&mut self, turn: &mut Turn<'_>) {
        let State::Body(body) = &self.state else {
            return;
        };
        let total = body.accepted(turn.buffers.outbound.len());
        let bytes = total.saturating_sub(self.told);
        if bytes >= CHUNK_EVENT {
            self.told = total;
            turn.emitter
                .emit(EventKind::RequestBodyChunk, turn.now, |_| {
                    Payload::RequestBodyChunk(RequestBodyChunk { bytes, total })
                });
        }
    }

    fn expect_done(&self, outcome: ExpectOutcome, waited: Duration, turn: &mut Turn<'_>) {
        turn.emitter.emit(EventKind::ExpectDone, turn.now, |_| {
            Payload::ExpectDone(Arc::new(ExpectDone { outcome, waited }))
        });
    }

    fn body_done(&self, bytes: u64, aborted: bool, turn: &mut Turn<'_>) {
        turn.emitter
            .emit(EventKind::RequestBodyDone, turn.now, |_| {
                Payload::RequestBodyDone(RequestBodyDone { bytes, aborted })
            });
    }

    fn wrote_request(&self, error: Option<WriteFailure>, turn: &mut Turn<'_>) {
        let Self {
            head_bytes,
            body_bytes,
            write_calls,
            blocked,
            ..
        } = *self;
        turn.emitter.emit(EventKind::WroteRequest, turn.now, |_| {
            Payload::WroteRequest(Arc::new(WroteRequest {
                error,
                head_bytes,
                body_bytes,
                write_calls,
                blocked,
            }))
        });
    }
}

/// The lines of a head as events show them.
fn record_of(plan: &HeadPlan<'_>, lines: u32, bytes: usize, turn: &Turn<'_>) -> FieldRecord {
    let mut record = FieldRecord::with_room(lines as usize, bytes);
    plan.each_line(|name, value, added_by| {
        record.push(name, &turn.emitter.redaction().value(name, value), added_by);
    });
    record
}

fn tell_trailers(trailers: &Fields, turn: &mut Turn<'_>) {
    if trailers.is_empty() || !turn.emitter.wants(EventKind::WroteTrailerField) {
        return;
    }
    let record = Arc::new(FieldRecord::of(turn.emitter.redaction().fields(trailers)));
    for index in 0..u16::try_from(trailers.len()).unwrap_or(u16::MAX) {
        let record = record.clone();
        turn.emitter
            .emit(EventKind::WroteTrailerField, turn.now, |_| {
                Payload::WroteTrailerField(WroteTrailerField { record, index })
            });
    }
}
