//! Waiting for a connection because a limit of them is reached, and taking one that comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Timer;
use crate::event::{
    DialReason, Emitter, EventKind, Payload, QueueDone, QueueLimit, QueueOutcome, QueueStart,
};
use crate::flow::call::{Call, State};
use crate::flow::connection::Connection;
use crate::ids::DialId;
use crate::proto::Turn;

/// A call in the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    limit: QueueLimit,
    since: Instant,
}

impl Queued {
    /// Tells that the wait is over.
    pub(super) fn tell_done(self, outcome: QueueOutcome, now: Instant, emitter: &mut Emitter) {
        emitter.emit(EventKind::QueueDone, now, |_| {
            Payload::QueueDone(Arc::new(QueueDone {
                limit: self.limit,
                outcome,
                waited: self.waited(now),
            }))
        });
    }

    fn waited(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Call {
    /// The call is in the queue. The time for connecting stands still until it leaves.
    pub(super) fn queued(&mut self, limit: QueueLimit, depth: usize, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::Joining(..)) {
            return;
        }
        let timeout = self.settings.timeouts.queue;
        turn.emitter.emit(EventKind::QueueStart, turn.now, |_| {
            Payload::QueueStart(Arc::new(QueueStart {
                limit,
                depth,
                timeout,
            }))
        });
        self.timers.disarm(Timer::Connect);
        let left = timeout.map(|timeout| timeout.saturating_sub(self.waited()));
        self.timers.arm(Timer::Queue, turn.now, left);
        let since = turn.now;
        self.state = State::Queued(Queued { limit, since });
    }

    /// How long the attempt has waited in the queue before.
    fn waited(&self) -> Duration {
        let scarcity = self.scarcity.as_ref();
        scarcity.map_or(Duration::ZERO, |scarcity| scarcity.waited)
    }

    /// Tells that the wait is over and lets the time for connecting begin.
    pub(super) fn leave_queue(
        &mut self,
        queued: Queued,
        outcome: QueueOutcome,
        turn: &mut Turn<'_>,
    ) {
        queued.tell_done(outcome, turn.now, turn.emitter);
        let waited = queued.waited(turn.now);
        let scarcity = self.scarcity.get_or_insert_default();
        scarcity.waited = scarcity.waited.saturating_add(waited);
        self.timers.disarm(Timer::Queue);
        self.timers
            .arm(Timer::Connect, turn.now, self.settings.timeouts.connect);
    }

    /// A connection that came back serves this call. A dial that is under way is left to itself; one that is
    /// complete takes nothing that comes back.
    pub(super) fn handed(&mut self, connection: Box<Connection>, turn: &mut Turn<'_>) {
        match &mut self.state {
            State::Joining(..) => {}
            State::Queued(queued) => {
                let queued = *queued;
                self.leave_queue(queued, QueueOutcome::Handed, turn);
            }
            State::Dialing(_) => self.leave_dial(turn),
            State::Fresh
            | State::Ready
            | State::Pooling(_)
            | State::Detached(_)
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Left(_)
            | State::Closing(..)
            | State::Over(_) => return,
        }
        self.reuse(connection, turn);
    }

    /// The call may dial.
    pub(super) fn may_dial(&mut self, id: DialId, turn: &mut Turn<'_>) {
        match self.state {
            State::Joining(..) => self.dial(id, DialReason::NoIdle, turn),
            State::Queued(queued) => {
                self.leave_queue(queued, QueueOutcome::MayDial, turn);
                self.dial(id, DialReason::Queued, turn);
            }
            State::Fresh
            | State::Ready
            | State::Pooling(_)
            | State::Dialing(_)
            | State::Detached(_)
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Left(_)
            | State::Closing(..)
            | State::Over(_) => {}
        }
    }
}
