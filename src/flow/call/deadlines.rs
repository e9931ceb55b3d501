//! The deadlines of a call: armed as the exchange stands, and what becomes of one that fires.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{ErrorKind, Timer};
use crate::event::{Emitter, EventKind, Payload, TimeoutFired};
use crate::flow::action::Action;
use crate::flow::call::ending::Cause;
use crate::flow::call::{Call, State};
use crate::flow::timers::Fired;
use crate::message::close::CloseReason;
use crate::proto::Turn;

impl Call {
    /// Bounds the whole call from its start, unless it has a bound already.
    pub(crate) fn limit_total(&mut self, limit: Duration, emitter: &Emitter) {
        if let (Some(started), false) = (emitter.started(), self.is_over()) {
            self.timers.arm(Timer::Total, started, Some(limit));
        }
    }

    /// Bounds the whole call from its start, also if it has a later bound already.
    pub(crate) fn tighten_total(&mut self, limit: Duration, emitter: &Emitter) {
        if let (Some(started), false) = (emitter.started(), self.is_over()) {
            self.timers.tighten(Timer::Total, started, limit);
        }
    }

    /// Until when the whole call may take by its own settings: also when it is over, and its content is still waited with.
    pub(crate) fn own_end(&self, emitter: &Emitter) -> Option<Instant> {
        emitter
            .started()?
            .checked_add(self.settings.timeouts.total?)
    }

    /// Takes back a bound that was for reading the body of a hop: the call has its own from here on.
    pub(super) fn own_total(&mut self, emitter: &Emitter) {
        self.timers.disarm(Timer::Total);
        if let Some(started) = emitter.started() {
            let own = self.settings.timeouts.total;
            self.timers.arm(Timer::Total, started, own);
        }
    }

    pub(super) fn timeout(&mut self, turn: &mut Turn<'_>) {
        let Some(fired) = self.timers.take_fired(turn.now) else {
            // A dial looks at the time itself, when it is asked what to do.
            return;
        };
        if matches!(self.state, State::Detached(_)) {
            return self.detached_timeout(fired, turn);
        }
        let Fired {
            timer,
            limit,
            elapsed,
        } = fired;
        if !self.can_break() {
            return;
        }
        let phase = self.phase();
        turn.emitter.emit(EventKind::TimeoutFired, turn.now, |_| {
            Payload::TimeoutFired(Arc::new(TimeoutFired {
                timer,
                limit,
                elapsed,
            }))
        });
        if let (Timer::Expect, State::Exchanging(exchange, _)) = (timer, &mut self.state) {
            return exchange.expect_timed_out(turn);
        }
        if timer == Timer::Drain {
            return self.give_up_rest(CloseReason::BodyNotRead, turn);
        }
        self.broken(ErrorKind::Timeout(timer), phase, None, Cause::Timeout, turn);
    }

    /// Says whether bytes last came or went when this, the earliest deadline, had passed. What they complete counts; but
    /// nothing more is waited for or asked of a source.
    pub(super) fn is_overdue(&self, deadline: Option<Instant>) -> bool {
        matches!((deadline, self.moved), (Some(due), Some(moved)) if due < moved)
    }

    /// Lets a deadline fire, and says what comes next.
    pub(super) fn time_out(&mut self, turn: &mut Turn<'_>) -> Action {
        self.timeout(turn);
        self.next(turn)
    }

    /// Arms and disarms the deadlines of the exchange as it now stands. To be called before anybody looks at them: what
    /// moves the exchange does not, since it says when it did.
    pub(super) fn arm(&mut self, turn: &Turn<'_>) {
        let State::Exchanging(exchange, _) = &mut self.state else {
            return;
        };
        let (now, timeouts, timers) = (turn.now, &self.settings.timeouts, &mut self.timers);
        let inbound = turn.buffers.inbound.len();
        let in_head = !exchange.receiving().has_head();
        // Behind an early head the upload only goes along: the response has limits of its own. But another protocol
        // waits for it.
        let is_needed = in_head || exchange.receiving().has_switched();
        let stuck = exchange.sending().stuck_since().filter(|_| is_needed);
        timers.set(
            Timer::WriteStall,
            stuck.is_some(),
            stuck.unwrap_or(now),
            timeouts.write_stall,
        );
        timers.set(
            Timer::Expect,
            exchange.sending().is_waiting(),
            now,
            Some(timeouts.expect),
        );
        let begun = in_head && inbound > 0;
        timers.set(
            Timer::FirstByte,
            in_head && !begun && exchange.is_request_over(),
            now,
            timeouts.first_byte,
        );
        timers.set(Timer::Head, begun, now, timeouts.head);
        let reading = !in_head && self.wanted > 0 && exchange.receiving().lent() == 0;
        timers.set(Timer::BodyIdle, reading, now, timeouts.body_idle);
    }
}
