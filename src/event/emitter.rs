//! The emitter: the only constructor of events.
//!
//! A machine calls [`Emitter::emit`] on the transition that makes the event true. Nothing is built unless
//! somebody wants the kind; the moment is noted for the timings in any case.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::event::bus::{Abort, Observers};
use crate::event::kind::{EventKind, Interest, Payload};
use crate::event::payload::{ClientStart, EventsLost, WallClock};
use crate::event::timings::{Marks, Timings};
use crate::event::{Attempt, Event, Redaction, SCHEMA_VERSION, Scope};
use crate::ids::{CallId, ConnId, DialId};

/// Ties the monotonic clock to the origin of the process and to the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    wall: SystemTime,
}

impl Clock {
    pub(crate) fn new(origin: Instant, wall: SystemTime) -> Self {
        Self { origin, wall }
    }

    /// Nanoseconds from the origin of the process, as [`Event::at`] counts.
    pub(crate) fn nanos(self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The wall clock at a moment of the monotonic one.
    pub(crate) fn wall(self, now: Instant) -> WallClock {
        wall_at(
            WallClock(self.wall),
            now.saturating_duration_since(self.origin),
        )
    }
}

/// How the events of a client are told: by which clock they count, and what of them is never shown.
#[derive(Debug)]
pub(crate) struct Telling {
    clock: Clock,
    redaction: Redaction,
}

impl Telling {
    pub(crate) fn new(clock: Clock, redaction: Redaction) -> Self {
        Self { clock, redaction }
    }

    /// What is never shown.
    #[cfg(feature = "testkit")]
    pub(crate) fn redaction(&self) -> &Redaction {
        &self.redaction
    }
}

/// Room for the events of one step: the end of a call has about a dozen.
const BETWEEN_DELIVERIES: usize = 16;

/// Builds events for one call, or for one connection outside any call, and delivers them.
#[derive(Debug)]
pub(crate) struct Emitter {
    interest: Interest,
    telling: Arc<Telling>,
    scope: Scope,
    attempt: Option<Attempt>,
    seq: u32,
    last: u64,
    marks: Marks,
    pending: Vec<Event>,
    observers: Observers,
}

impl Emitter {
    /// Makes an emitter for those observers; none of them may be delivering on this thread.
    pub(crate) fn new(telling: Arc<Telling>, observers: Observers) -> Self {
        Self {
            interest: observers.interest(),
            telling,
            scope: Scope::default(),
            attempt: None,
            seq: 0,
            last: 0,
            marks: Marks::default(),
            pending: Vec::new(),
            observers,
        }
    }

    /// Emits an event: notes the moment, and builds the payload if somebody wants it.
    #[inline]
    pub(crate) fn emit(
        &mut self,
        kind: EventKind,
        now: Instant,
        build: impl FnOnce(&Redaction) -> Payload,
    ) {
        self.marks.note(kind, now);
        if self.interest.has(kind) {
            let payload = build(&self.telling.redaction);
            debug_assert_eq!(payload.kind(), kind);
            self.push(now, payload);
        }
    }

    /// Says whether somebody listens, who takes what time he likes.
    pub(crate) fn is_heard(&self) -> bool {
        self.interest != Interest::NONE
    }

    /// Says whether somebody wants a kind; for work that serves several events at once.
    pub(crate) fn wants(&self, kind: EventKind) -> bool {
        self.interest.has(kind)
    }

    pub(crate) fn redaction(&self) -> &Redaction {
        &self.telling.redaction
    }

    #[cold]
    #[inline(never)]
    fn push(&mut self, now: Instant, payload: Payload) {
        self.last = self.last.max(self.telling.clock.nanos(now));
        if self.pending.capacity() == 0 {
            self.pending.reserve(BETWEEN_DELIVERIES);
        }
        self.pending.push(Event {
            at: self.last,
            scope: self.scope,
            attempt: self.attempt,
            seq: self.seq,
            payload,
        });
        self.seq = self.seq.saturating_add(1);
    }

    /// Another emitter, for the same observers: of a dial that goes on outside the call.
    pub(crate) fn of_dial(&self, dial: DialId) -> Self {
        let observers = self.observers.clone();
        Self {
            scope: Scope {
                dial: Some(dial),
                ..Scope::default()
            },
            last: self.last,
            ..Self::new(self.telling.clone(), observers)
        }
    }

    /// Another emitter, for the same observers: of what outlives the call.
    pub(crate) fn apart(&self) -> Self {
        let observers = self.observers.clone();
        Self::new(self.telling.clone(), observers)
    }

    pub(crate) fn begin_call(&mut self, call: CallId) {
        self.scope.call = Some(call);
    }

    pub(crate) fn begin_attempt(&mut self, hop: u8, number: u16) {
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        self.attempt = Some(Attempt { hop, number });
    }

    pub(crate) fn end_attempt(&mut self) {
        self.attempt = None;
    }

    pub(crate) fn set_dial(&mut self, dial: Option<DialId>) {
        self.scope.dial = dial;
    }

    /// Joins the stream of a connection, whose last event was at `last` nanoseconds.
    pub(crate) fn join_connection(&mut self, conn: ConnId, last: u64) {
        self.scope.conn = Some(conn);
        self.last = self.last.max(last);
    }

    /// Leaves the stream of the connection and says when its last event was.
    pub(crate) fn leave_connection(&mut self) -> u64 {
        self.scope.conn = None;
        self.last
    }

    /// The number of the next event.
    pub(crate) fn next_seq(&self) -> u32 {
        self.seq
    }

    /// Emits within the stream of a connection alone, outside the call, from this moment and number on.
    pub(crate) fn of_connection(
        &mut self,
        conn: ConnId,
        (last, seq): (u64, u32),
        emit: impl FnOnce(&mut Self),
    ) {
        let call = (self.scope, self.attempt, self.seq, self.last);
        self.scope = Scope {
            conn: Some(conn),
            ..Scope::default()
        };
        self.attempt = None;
        self.seq = seq;
        self.last = self.last.max(last);
        emit(self);
        (self.scope, self.attempt, self.seq, self.last) = call;
    }

    pub(crate) fn marks(&mut self) -> &mut Marks {
        &mut self.marks
    }

    /// Takes the moments noted so far, for timings that are folded later.
    pub(crate) fn take_marks(&mut self) -> Marks {
        std::mem::take(&mut self.marks)
    }

    /// When the call began, if it did.
    pub(crate) fn started(&self) -> Option<Instant> {
        self.marks.started()
    }

    /// Folds the moments noted so far into timings.
    pub(crate) fn timings(&self, now: Instant) -> Timings {
        self.marks.timings(now)
    }

    /// Says whether something was emitted that is not delivered.
    pub(crate) fn has_news(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Delivers what was emitted. The first observer that aborts gives the reason.
    #[inline]
    pub(crate) fn deliver(&mut self) -> Option<Abort> {
        if self.pending.is_empty() {
            return None;
        }
        self.deliver_pending()
    }

    #[cold]
    #[inline(never)]
    fn deliver_pending(&mut self) -> Option<Abort> {
        let mut events = std::mem::take(&mut self.pending);
        let abort = self.observers.deliver(&events);
        events.clear();
        self.pending = events;
        abort
    }

    /// Emits the first event of a client.
    pub(crate) fn client_start(&mut self, now: Instant, pid: u32) {
        let wall_clock = self.telling.clock.wall(now);
        self.emit(EventKind::ClientStart, now, |_| {
            Payload::ClientStart(Arc::new(ClientStart {
                wall_clock,
                pid,
                crate_version: env!("CARGO_PKG_VERSION"),
                schema_version: SCHEMA_VERSION,
            }))
        });
    }
}

/// The event that tells of a loss; it stands where the lost events would.
pub(crate) fn events_lost(before: &Event, count: u64) -> Event {
    Event {
        at: before.at,
        scope: Scope::default(),
        attempt: None,
        seq: 0,
        payload: Payload::EventsLost(EventsLost { count }),
    }
}

/// The time of the process at which an event happened, for exporters that know the wall clock at the start.
pub(crate) fn wall_at(start: WallClock, since: Duration) -> WallClock {
    WallClock(start.0.checked_add(since).unwrap_or(start.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_goes_on_between_two_clients() {
        let origin = crate::testing::origin();
        let clock = Clock::new(origin, SystemTime::UNIX_EPOCH);
        let later = clock.wall(origin + Duration::from_secs(3600));
        assert_eq!(
            later.time(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(3600)
        );
    }
}
