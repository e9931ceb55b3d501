//! How a call ends: well, or broken off. Every span that began gets its end, in one order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Phase, Repeat, Report};
use crate::event::{
    Abort, AttemptDone, BodyEnd, CallCanceled, CallDone, CanceledBy, ClosedBy, Emitter, ErrorFacts,
    EventKind, ExpectOutcome, GetConnFailed, Payload, PutIdleConn, QueueOutcome, RetryRule,
    Timings, WriteFailure,
};
use crate::flow::call::chore::Chore;
use crate::flow::call::hops::{Earlier, Hop};
use crate::flow::call::{Arrived, Call, Ending, Onward, State};
use crate::flow::connection::Connection;
use crate::flow::retry::{self, Broken};
use crate::message::close::CloseReason;
use crate::proto::Turn;
use crate::proto::exchange::Exchange;
use crate::proto::plan::Plan;

impl Call {
    /// The response is complete: the connection goes back, or is closed for a reason.
    pub(super) fn complete(&mut self, turn: &mut Turn<'_>) {
        self.timers.keep_total();
        if matches!(self.ending, Ending::Open) {
            self.ending = Ending::Well;
        }
        let State::Exchanging(exchange, mut connection) =
            std::mem::replace(&mut self.state, State::Over(None))
        else {
            return;
        };
        connection.count(exchange.bytes_out(), exchange.receiving().bytes());
        let used_up = connection.used_up(turn.now);
        let reason = match exchange.close_reason(turn.buffers) {
            // Our request said so because of this.
            Some(CloseReason::CloseRequested) | None if !self.plan.close => used_up,
            reason => reason.or(used_up),
        };
        match reason.or_else(|| self.ending.close_reason()) {
            None => self.state = State::Returning(exchange, connection),
            Some(reason) => self.close(exchange, connection, reason, turn),
        }
    }

    pub(super) fn close(
        &mut self,
        exchange: Box<Exchange>,
        connection: Box<Connection>,
        reason: CloseReason,
        turn: &mut Turn<'_>,
    ) {
        put_idle(Some(reason), 0, turn);
        self.state = State::Closing(exchange, connection, reason);
    }

    pub(super) fn placed(&mut self, place: Result<u32, CloseReason>, turn: &mut Turn<'_>) {
        let State::Returning(exchange, mut connection) =
            std::mem::replace(&mut self.state, State::Over(None))
        else {
            return;
        };
        match place {
            Ok(idle_now) => {
                put_idle(None, idle_now, turn);
                connection.idle_since = Some(turn.now);
                connection.last_event = turn.emitter.leave_connection();
                self.returned = Some(connection);
                self.state = State::Over(Some(exchange));
                self.attempt_over(turn);
            }
            Err(reason) => self.close(exchange, connection, reason, turn),
        }
    }

    pub(super) fn closed(&mut self, turn: &mut Turn<'_>) {
        let State::Closing(exchange, connection, reason) =
            std::mem::replace(&mut self.state, State::Over(None))
        else {
            return;
        };
        connection.tell_closed(reason, ClosedBy::of(reason), turn.now, turn.emitter);
        turn.emitter.leave_connection();
        self.state = State::Over(Some(exchange));
        self.attempt_over(turn);
    }

    /// The connection is the caller's, who speaks another protocol on it: the call has done what it can.
    pub(super) fn handed_over(&mut self, turn: &mut Turn<'_>) {
        let State::Exchanging(mut exchange, mut connection) =
            std::mem::replace(&mut self.state, State::Over(None))
        else {
            return;
        };
        exchange.leave_behind(turn.buffers.inbound.len());
        connection.count(exchange.bytes_out(), exchange.receiving().bytes());
        put_idle(Some(CloseReason::Upgraded), 0, turn);
        connection.last_event = turn.emitter.leave_connection();
        self.returned = Some(connection);
        self.ending = Ending::Well;
        self.state = State::Over(Some(exchange));
        self.attempt_over(turn);
    }

    /// The rule by which a broken attempt is made again, if it is.
    fn retry_rule(&self, exchange: &Exchange, cause: Cause) -> Option<RetryRule> {
        if cause != Cause::Lost {
            return None;
        }
        retry::verdict(Broken {
            is_reused: self
                .reached
                .as_ref()
                .is_some_and(|reached| reached.reused || reached.was_idle),
            has_response_byte: exchange.receiving().bytes() > 0,
            is_replayable: self.plan.is_replayable,
            is_repeatable: self.plan.is_repeatable(),
            is_unsent: exchange.is_unsent(),
            repeats: self.repeats(),
            repeats_max: self.settings.retries,
        })
    }

    /// Tells that the attempt is over, with the error of the call or with one that does not end it.
    pub(super) fn tell_attempt_done(
        &self,
        again: Option<(Option<ErrorFacts>, RetryRule)>,
        turn: &mut Turn<'_>,
    ) {
        turn.emitter.emit(EventKind::AttemptDone, turn.now, |_| {
            let (error, retry) = again.map_or_else(
                || (self.error().map(ErrorFacts::of), None),
                |(error, rule)| (error, Some(rule)),
            );
            Payload::AttemptDone(Arc::new(AttemptDone {
                status: self.status,
                error,
                retry,
            }))
        });
        turn.emitter.end_attempt();
    }

    /// The last two events of a call.
    pub(super) fn done(&mut self, turn: &mut Turn<'_>) {
        self.timers.disarm_all();
        self.tell_attempt_done(None, turn);
        self.call_done(turn);
    }

    pub(super) fn bytes(&self) -> (u64, u64) {
        bytes_of(self.exchange())
    }

    /// The attempt got no connection.
    pub(super) fn conn_failed(&mut self, error: Error, turn: &mut Turn<'_>) {
        let elapsed = turn
            .emitter
            .marks()
            .wanted()
            .map_or(Duration::ZERO, |since| {
                turn.now.saturating_duration_since(since)
            });
        turn.emitter.emit(EventKind::GetConnFailed, turn.now, |_| {
            Payload::GetConnFailed(Arc::new(GetConnFailed {
                error: ErrorFacts::of(&error),
                elapsed,
            }))
        });
        self.ending = Ending::Failed(error);
        self.state = State::Over(None);
        self.done(turn);
    }

    /// The call is given up between two attempts.
    pub(super) fn fail_between(&mut self, error: Error, turn: &mut Turn<'_>) {
        self.ending = Ending::Failed(error);
        self.timers.disarm_all();
        self.call_done(turn);
    }

    /// Something ended the call before its time: every span gets its end, and the connection is closed.
    pub(super) fn broken(
        &mut self,
        kind: ErrorKind,
        phase: Phase,
        source: Option<Abort>,
        cause: Cause,
        turn: &mut Turn<'_>,
    ) {
        let is_peers = matches!(cause, Cause::Lost | Cause::Peer);
        let is_left = match &self.ending {
            Ending::Onward(_) => true,
            // Nobody reads the body of a redirect but middleware that asked for it.
            Ending::Planned(_) => self.wanted == 0,
            Ending::Open | Ending::Well | Ending::Failed(_) | Ending::Aborted(_) => false,
        };
        if is_peers && is_left {
            return self.give_up_rest(cause.close_reason(), turn);
        }
        let mut error = Error::new(kind, phase);
        if let Some(source) = source {
            error = error.with_source(source);
        }
        match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Exchanging(mut exchange, mut connection) => {
                exchange.stop(
                    cause.write_failure(),
                    cause.expect_outcome(),
                    BodyEnd::Error,
                    turn,
                );
                connection.count(exchange.bytes_out(), exchange.receiving().bytes());
                let error = error.with_report(self.report(Some(&exchange), turn));
                self.ending = match self.retry_rule(&exchange, cause) {
                    Some(rule) => {
                        let facts = Box::new(ErrorFacts::of(&error));
                        Ending::Onward(Onward::Attempt(Some(facts), rule))
                    }
                    None => Ending::Failed(error),
                };
                self.close(exchange, connection, cause.close_reason(), turn);
            }
            State::Dialing(mut dial) => {
                let refused = match cause {
                    Cause::Timeout => dial.timed_out(turn.now, turn.emitter),
                    Cause::Lost
                    | Cause::Peer
                    | Cause::Source
                    | Cause::Canceled
                    | Cause::Redirect => None,
                };
                let error = refused.unwrap_or_else(|| dial.name_proxy(error));
                let error = error.with_report(self.report(None, turn));
                dial.abandon(&error, turn.now, turn.emitter);
                self.chore = Some(Chore::FRUITLESS);
                let (tried, looked_up) = (dial.tried(), dial.take_names());
                self.conn_failed(error.with_tried(tried, looked_up), turn);
            }
            State::Returning(exchange, connection) => {
                let report = self.report(Some(&exchange), turn);
                self.ending = Ending::Failed(error.with_report(report));
                self.close(exchange, connection, cause.close_reason(), turn);
            }
            State::Queued(queued) => {
                let outcome = cause.queue_outcome();
                queued.tell_done(outcome, turn.now, turn.emitter);
                self.chore = Some(Chore::LeavePool);
                let report = self.report(None, turn);
                self.conn_failed(error.with_report(report), turn);
            }
            State::Ready => {
                let report = self.report(None, turn);
                self.fail_between(error.with_report(report), turn);
            }
            State::Left(exchange) => {
                let report = self.report(Some(&exchange), turn);
                self.state = State::Over(Some(exchange));
                self.fail_between(error.with_report(report), turn);
            }
            State::Fresh | State::Pooling(_) | State::Joining(..) => {
                let report = self.report(None, turn);
                self.conn_failed(error.with_report(report), turn);
            }
            other @ (State::Detached(_) | State::Closing(..) | State::Over(_)) => {
                self.state = other;
            }
        }
    }

    pub(super) fn cancel(&mut self, by: CanceledBy, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Detached(_)) {
            return self.end_detached(ErrorKind::Canceled, turn);
        }
        if !self.can_break() {
            return;
        }
        let phase = self.phase();
        tell_canceled(by, phase, turn);
        // An observer that aborts may mean the peer, and nobody drives what is dropped.
        if by == CanceledBy::Caller && self.can_detach() {
            self.leave_dial(turn);
        }
        self.broken(ErrorKind::Canceled, phase, None, Cause::Canceled, turn);
    }

    /// An abort counts until the connection is put back or closed, also at the events of a message that is complete.
    /// The response of a redirect that would have been followed goes with it.
    pub(super) fn aborted(&mut self, reason: Abort, turn: &mut Turn<'_>) {
        let is_followed = matches!(
            self.ending,
            Ending::Planned(_) | Ending::Onward(Onward::Hop(_))
        );
        if let State::Closing(exchange, ..) = &self.state {
            let is_failed = matches!(self.ending, Ending::Failed(_) | Ending::Aborted(_));
            if !is_failed {
                let error = Error::new(ErrorKind::Aborted, Phase::Done).with_source(reason);
                let report = self.report(Some(exchange), turn);
                self.ending = Ending::Aborted(error.with_report(report));
            }
        } else if self.can_break() || matches!(self.state, State::Returning(..)) {
            self.abort(reason, turn);
        } else {
            return;
        }
        if is_followed {
            self.head = Arrived::Nothing;
        }
    }

    fn abort(&mut self, reason: Abort, turn: &mut Turn<'_>) {
        let phase = self.phase();
        tell_canceled(CanceledBy::Observer, phase, turn);
        self.broken(
            ErrorKind::Aborted,
            phase,
            Some(reason),
            Cause::Canceled,
            turn,
        );
    }

    pub(super) fn can_break(&self) -> bool {
        matches!(
            self.state,
            State::Ready
                | State::Pooling(_)
                | State::Joining(..)
                | State::Queued(_)
                | State::Dialing(_)
                | State::Exchanging(..)
                | State::Left(_)
        )
    }

    /// The caller wants no more of the body: what is buffered may complete it, else it is given up.
    pub(super) fn body_closed(&mut self, turn: &mut Turn<'_>) {
        if self.is_switching() {
            return self.cancel(CanceledBy::Drop, turn);
        }
        self.back_from_caller(turn);
        if self.is_redirected() {
            self.ending = Ending::Open;
        }
        while let State::Exchanging(exchange, _) = &mut self.state {
            let lent = exchange.receiving().lent();
            if lent == 0 {
                break;
            }
            let result = exchange.consume(lent, turn);
            self.follow(result, turn);
        }
        // What was buffered may have completed the message, or broken it.
        let (mut exchange, mut connection) =
            match std::mem::replace(&mut self.state, State::Over(None)) {
                State::Exchanging(exchange, connection) => (exchange, connection),
                State::Left(exchange) => {
                    self.ending = Ending::Well;
                    self.state = State::Over(Some(exchange));
                    return self.call_done(turn);
                }
                other @ (State::Fresh
                | State::Ready
                | State::Pooling(_)
                | State::Joining(..)
                | State::Queued(_)
                | State::Dialing(_)
                | State::Detached(_)
                | State::Returning(..)
                | State::Closing(..)
                | State::Over(_)) => {
                    self.state = other;
                    return;
                }
            };
        exchange.stop(
            WriteFailure::ResponseEnded,
            ExpectOutcome::FinalResponse,
            BodyEnd::ClosedEarly,
            turn,
        );
        connection.count(exchange.bytes_out(), exchange.receiving().bytes());
        self.ending = Ending::Well;
        self.close(exchange, connection, CloseReason::BodyNotRead, turn);
    }

    /// Adds what is known of the call to an error of code of the caller's, which came up outside of the core.
    pub(crate) fn explain(&self, error: Error, turn: &mut Turn<'_>) -> Error {
        if error.call().is_some() {
            return error;
        }
        error.with_report(self.report(self.exchange(), turn))
    }

    pub(super) fn report(&self, exchange: Option<&Exchange>, turn: &mut Turn<'_>) -> Report {
        let (bytes_out, bytes_in) = bytes_of(exchange);
        let url = &self.plan.url;
        Report {
            proxy: (self.plan.via().peer()).map(|proxy| (proxy.scheme(), proxy.authority().into())),
            proxy_refusal: None,
            call: Some(self.id),
            conn: self.reached.as_ref().map(|reached| reached.conn),
            authority: Some(format!("{}:{}", url.host_str(), url.port()).into()),
            subject: None,
            tried: Vec::new(),
            looked_up: Vec::new(),
            bytes_out,
            bytes_in,
            reused: self.reached.as_ref().map(|reached| reached.reused),
            repeat: Some(self.repeat(exchange.is_none_or(|exchange| exchange.is_unsent()))),
            redirect: self.failed_redirect(),
            elapsed: turn
                .emitter
                .marks()
                .started()
                .map(|since| turn.now.saturating_duration_since(since)),
        }
    }

    /// Whether the call as a whole may be made again: also what led to this hop was sent.
    fn repeat(&self, is_unsent: bool) -> Repeat {
        let earlier = self.earlier.as_deref();
        if is_unsent && earlier.is_none_or(Earlier::is_unsent) {
            return Repeat::NothingSent;
        }
        let hops = self.hops().iter().map(Hop::repeat);
        hops.chain([repeat_of(&self.plan)])
            .find(|repeat| !repeat.is_safe())
            .unwrap_or(Repeat::Idempotent)
    }
}

/// Whether a request of which bytes left may be sent again.
pub(super) fn repeat_of(plan: &Plan) -> Repeat {
    if !plan.is_repeatable() {
        Repeat::MayHaveBeenProcessed
    } else if !plan.is_replayable {
        Repeat::BodyNotReplayable
    } else {
        Repeat::Idempotent
    }
}

/// What broke a call, as far as its spans say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Lost,
    Peer,
    Source,
    Timeout,
    Canceled,
    /// The response is whole so far, but its redirect cannot be followed.
    Redirect,
}

impl Cause {
    fn write_failure(self) -> WriteFailure {
        match self {
            Self::Lost => WriteFailure::ConnectionLost,
            Self::Peer => WriteFailure::ProtocolError,
            Self::Source => WriteFailure::BodySource,
            Self::Timeout => WriteFailure::Timeout,
            Self::Canceled => WriteFailure::Canceled,
            Self::Redirect => WriteFailure::ResponseEnded,
        }
    }

    fn expect_outcome(self) -> ExpectOutcome {
        match self {
            Self::Lost | Self::Peer | Self::Source => ExpectOutcome::ConnectionLost,
            Self::Timeout => ExpectOutcome::Deadline,
            Self::Canceled => ExpectOutcome::Canceled,
            Self::Redirect => ExpectOutcome::FinalResponse,
        }
    }

    fn queue_outcome(self) -> QueueOutcome {
        match self {
            Self::Timeout => QueueOutcome::TimedOut,
            Self::Lost | Self::Peer | Self::Source | Self::Canceled | Self::Redirect => {
                QueueOutcome::Canceled
            }
        }
    }

    fn close_reason(self) -> CloseReason {
        match self {
            Self::Lost => CloseReason::ConnectionLost,
            Self::Peer => CloseReason::ProtocolError,
            Self::Source => CloseReason::BodySource,
            Self::Timeout => CloseReason::Timeout,
            Self::Canceled => CloseReason::Canceled,
            Self::Redirect => CloseReason::BodyNotRead,
        }
    }
}

/// Bytes of the request that left, and of the response that came.
fn bytes_of(exchange: Option<&Exchange>) -> (u64, u64) {
    exchange.map_or((0, 0), |exchange| {
        (exchange.bytes_out(), exchange.receiving().bytes())
    })
}

/// The last event of a call, with its timings: folded only if somebody wants them.
pub(super) fn tell_call_done(
    now: Instant,
    emitter: &mut Emitter,
    done: impl FnOnce(Box<Timings>) -> CallDone,
) {
    emitter.marks().note(EventKind::CallDone, now);
    if emitter.wants(EventKind::CallDone) {
        let timings = Box::new(emitter.timings(now));
        let done = done(timings);
        emitter.emit(EventKind::CallDone, now, |_| {
            Payload::CallDone(Arc::new(done))
        });
    }
}

pub(super) fn tell_canceled(by: CanceledBy, phase: Phase, turn: &mut Turn<'_>) {
    turn.emitter.emit(EventKind::CallCanceled, turn.now, |_| {
        Payload::CallCanceled(CallCanceled { by, phase })
    });
}

pub(super) fn put_idle(error: Option<CloseReason>, idle_now: u32, turn: &mut Turn<'_>) {
    turn.emitter.emit(EventKind::PutIdleConn, turn.now, |_| {
        Payload::PutIdleConn(PutIdleConn { error, idle_now })
    });
}
