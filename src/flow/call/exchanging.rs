//! The exchange of a call: what its driver is to do next, and what becomes of what happened.

use std::io;
use std::time::Instant;

use crate::error::{ErrorKind, Timer};
use crate::event::Abort;
use crate::flow::action::{Action, ExchangeInput, Receive, Wait};
use crate::flow::call::ending::Cause;
use crate::flow::call::{Arrived, Call, Ending, Judgement, State};
use crate::proto::exchange::Progress;
use crate::proto::framing::KeepAliveHint;
use crate::proto::receiving::FinalHead;
use crate::proto::{Fault, Turn};

impl Call {
    pub(super) fn next_of_exchange(&mut self, turn: &mut Turn<'_>) -> Action {
        let State::Exchanging(exchange, _) = &mut self.state else {
            return Action::Done;
        };
        if exchange.receiving().is_at_head() {
            return Action::Resume;
        }
        if exchange.has_switched() {
            return Action::Upgrade;
        }
        if let Some(max) = exchange.pull_due(turn.buffers) {
            return self.pull(max, turn);
        }
        let due = exchange.send_due(turn.buffers);
        let is_stuck = exchange.sending().stuck_since().is_some();
        match due {
            Some(body) if !is_stuck => Action::Send { body },
            Some(_) => self.wait_in_exchange(true, turn),
            None => self.wait_in_exchange(false, turn),
        }
    }

    /// The caller's source is asked, unless there is no more time for that.
    fn pull(&mut self, max: u64, turn: &mut Turn<'_>) -> Action {
        self.arm(turn);
        if self.is_overdue(self.timers.next()) {
            return self.time_out(turn);
        }
        let State::Exchanging(exchange, _) = &mut self.state else {
            return Action::Done;
        };
        let is_first = exchange.is_first_pull();
        exchange.begin_pull(max, turn.buffers);
        Action::PullBody { max, is_first }
    }

    /// The caller has control, or the peer is waited for, and room in the kernel's buffer if something is to be sent.
    fn wait_in_exchange(&mut self, send: bool, turn: &mut Turn<'_>) -> Action {
        self.arm(turn);
        let State::Exchanging(exchange, _) = &mut self.state else {
            return Action::Done;
        };
        let source = exchange.sending().awaits_source();
        let receiving = exchange.receiving();
        let is_left = matches!(self.ending, Ending::Onward(_));
        let is_handed_out = receiving.has_head() && !receiving.has_switched() && !is_left;
        if is_handed_out && (self.wanted == 0 || receiving.lent() > 0) {
            return Action::HandOut;
        }
        let receive = match receiving.direct_max(self.wanted, turn.buffers.inbound.len()) {
            Some(max) => Receive::Caller { max },
            None => Receive::Inbound,
        };
        let deadline = self.timers.next();
        if self.is_overdue(deadline) {
            return self.time_out(turn);
        }
        Action::Wait(Wait {
            send,
            receive: Some(receive),
            source,
            deadline,
        })
    }

    /// The wait for the peer alone that was asked for last, as long as nothing has happened since.
    pub(crate) fn wait_for(&self, receive: Receive) -> Wait {
        Wait {
            send: false,
            receive: Some(receive),
            source: false,
            deadline: self.timers.next(),
        }
    }

    /// The connection was lost, for this reason.
    fn lost(&mut self, error: io::Error, turn: &mut Turn<'_>) {
        let (kind, phase) = (ErrorKind::io(&error), self.phase());
        self.broken(kind, phase, Some(Box::new(error)), Cause::Lost, turn);
    }

    pub(super) fn exchange_input(&mut self, input: ExchangeInput, turn: &mut Turn<'_>) {
        let State::Exchanging(exchange, _) = &mut self.state else {
            if let (
                ExchangeInput::Consumed(count),
                State::Over(Some(exchange)) | State::Left(exchange),
            ) = (input, &mut self.state)
            {
                let _ = exchange.consume(count, turn);
            }
            return;
        };
        let result = match input {
            ExchangeInput::Sent(count) => {
                self.moved = Some(turn.now);
                exchange.sent(count, turn);
                Ok(Progress::Going)
            }
            ExchangeInput::Blocked(begun) => {
                exchange.sending().blocked(begun, turn.now);
                Ok(Progress::Going)
            }
            ExchangeInput::Writable => {
                exchange
                    .sending()
                    .writable(turn.now, &turn.buffers.outbound);
                Ok(Progress::Going)
            }
            ExchangeInput::SendFailed(_, error) if exchange.receiving().has_switched() => {
                return self.lost(error, turn);
            }
            ExchangeInput::SendFailed(begun, error) => {
                if error.kind() == io::ErrorKind::ConnectionReset {
                    self.reset = Some(error);
                }
                exchange.send_failed(begun, turn);
                Ok(Progress::Going)
            }
            ExchangeInput::Received { direct, buffered } => {
                self.moved = Some(turn.now);
                self.timers.disarm(Timer::BodyIdle);
                exchange.received(direct, buffered, turn)
            }
            ExchangeInput::Drain => {
                exchange.drain();
                Ok(Progress::Going)
            }
            ExchangeInput::Ended { clean } => match self.reset.take() {
                Some(reset) => return self.lost(reset, turn),
                None => exchange.ended(clean, turn),
            },
            ExchangeInput::ReceiveFailed(error) => return self.lost(error, turn),
            ExchangeInput::TlsBroke(fault) => {
                let phase = exchange.phase();
                return self.broken(
                    ErrorKind::Tls(fault.failure),
                    phase,
                    Some(fault.source),
                    Cause::Peer,
                    turn,
                );
            }
            ExchangeInput::Pulled(pulled, error) => {
                let source = error.map(|error| Box::new(error) as Abort);
                match exchange.pulled(pulled, turn) {
                    Ok(()) => Ok(Progress::Going),
                    Err(fault) => {
                        return self.broken(fault.kind, fault.phase, source, Cause::Source, turn);
                    }
                }
            }
            ExchangeInput::SourceReady => {
                exchange.sending().source_has_more(turn);
                Ok(Progress::Going)
            }
            ExchangeInput::Consumed(count) => exchange.consume(count, turn),
            ExchangeInput::Wake => return self.pass_head(turn),
            ExchangeInput::Upgraded => return self.handed_over(turn),
        };
        self.follow(result, turn);
        while self.is_at_head() && !turn.emitter.has_news() {
            self.pass_head(turn);
        }
        self.drain_on(turn);
    }

    fn is_at_head(&self) -> bool {
        matches!(&self.state, State::Exchanging(exchange, _) if exchange.receiving().is_at_head())
    }

    /// Goes on behind a head: observers have spoken, or none is told anything of it.
    fn pass_head(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.head, Arrived::Head(_, Judgement::Due)) {
            return self.judge(turn);
        }
        let State::Exchanging(exchange, _) = &mut self.state else {
            return;
        };
        let result = exchange.resume(turn);
        self.follow(result, turn);
        self.drain_on(turn);
    }

    pub(super) fn follow(&mut self, result: Result<Progress, Fault>, turn: &mut Turn<'_>) {
        match result {
            Ok(Progress::Going) => {}
            Ok(Progress::Head(head)) => self.headed(head),
            Ok(Progress::Complete) => self.complete(turn),
            Err(fault) => {
                let is_lost = matches!(
                    fault.kind,
                    ErrorKind::PeerClosed
                        | ErrorKind::PeerIncompleteHead { .. }
                        | ErrorKind::PeerIncompleteBody { .. }
                        | ErrorKind::PeerTlsTruncated { .. }
                );
                let cause = if is_lost { Cause::Lost } else { Cause::Peer };
                self.broken(fault.kind, fault.phase, None, cause, turn);
            }
        }
    }

    fn headed(&mut self, head: Box<FinalHead>) {
        if let State::Exchanging(_, connection) = &mut self.state {
            let hint = KeepAliveHint::parse(&head.head.fields);
            connection.peer_keeps = hint.timeout;
            connection.peer_takes = hint.max;
            connection.version = Some(head.head.version);
        }
        self.status = Some(head.head.status);
        self.head = Arrived::Head(head, Judgement::Due);
    }

    /// The caller asks for more of the body.
    pub(super) fn wanted(&mut self, max: usize, turn: &mut Turn<'_>) {
        self.wanted = max;
        self.back_from_caller(turn);
    }

    pub(super) fn back_from_caller(&mut self, turn: &mut Turn<'_>) {
        if let Some(since) = self.with_caller.take() {
            turn.emitter
                .marks()
                .caller_reads(turn.now.saturating_duration_since(since));
        }
    }

    /// Control goes to the caller until it asks again.
    pub(crate) fn hand_out(&mut self, now: Instant) {
        self.wanted = 0;
        self.timers.disarm(Timer::BodyIdle);
        if matches!(self.state, State::Exchanging(..)) {
            self.with_caller = Some(now);
        }
    }
}
