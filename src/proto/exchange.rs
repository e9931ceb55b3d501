//! One request and its response on one connection: both sides, which run at once.
//!
//! The rule guarded here: what one side learns decides what the other may still do. A 100 lets the body go, a
//! final response ends the wait for it, and a response that is complete does not wait for the request.

use std::ops::Range;

use crate::config::EarlyResponse;
use crate::error::{ErrorKind, FramingRule, Phase};
use crate::event::{BodyEnd, ExpectOutcome, TargetForm, WriteFailure};
use crate::message::close::CloseReason;
use crate::message::fields::Fields;
use crate::proto::buffers::Buffers;
use crate::proto::encode::HeadPlan;
use crate::proto::receiving::{Asked, FinalHead, Received, Receiving};
use crate::proto::sending::{Begun, BodyPlan, Pulled, Sending};
use crate::proto::{Fault, Turn};

/// One request/response pair.
#[derive(Debug)]
pub(crate) struct Exchange {
    sending: Sending,
    receiving: Receiving,
}

/// What a step came to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing that the call has to know.
    Going,
    /// The final head is in.
    Head(Box<FinalHead>),
    /// The response is complete, and the request has got its end.
    Complete,
}

impl Exchange {
    /// Writes the request head into the outbound buffer.
    pub(crate) fn begin(
        plan: &HeadPlan<'_>,
        body: &BodyPlan,
        form: TargetForm,
        asked: Asked,
        turn: &mut Turn<'_>,
    ) -> Self {
        let sending = Sending::begin(plan, body, form, turn);
        Self {
            sending,
            receiving: Receiving::new(asked),
        }
    }

    pub(crate) fn sent(&mut self, count: usize, turn: &mut Turn<'_>) {
        self.sending.sent(count, turn);
    }

    /// The kernel takes no more, for an error. A response that is there still wins, so it is read on.
    pub(crate) fn send_failed(&mut self, begun: Begun, turn: &mut Turn<'_>) {
        self.sending.note(begun);
        self.sending.stop(
            WriteFailure::ConnectionLost,
            ExpectOutcome::ConnectionLost,
            turn,
        );
    }

    /// Takes what the caller's source said.
    ///
    /// # Errors
    /// The body has another length than announced, or the source failed.
    pub(crate) fn pulled(&mut self, pulled: Pulled, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.sending.pulled(pulled, turn)
    }

    /// Takes received bytes.
    ///
    /// # Errors
    /// The peer broke a rule.
    pub(crate) fn received(
        &mut self,
        direct: usize,
        buffered: usize,
        turn: &mut Turn<'_>,
    ) -> Result<Progress, Fault> {
        let early = !self.is_request_over();
        let received = self.receiving.received(direct, buffered, early, turn)?;
        Ok(self.follow(received, turn))
    }

    /// Goes on behind a head.
    ///
    /// # Errors
    /// As [`Exchange::received`], and the peer begins another protocol although it can never have the whole request: its
    /// body is held back, or was given up. A peer that was asked for a 100 (Continue) has to say so before
    /// (RFC 9110 §7.8).
    pub(crate) fn resume(&mut self, turn: &mut Turn<'_>) -> Result<Progress, Fault> {
        if self.receiving.is_switch() && !self.can_be_sent_whole() {
            let kind = ErrorKind::PeerFraming(FramingRule::SwitchTooSoon);
            return Err(Fault::new(kind, Phase::Head));
        }
        let early = !self.is_request_over();
        let received = self.receiving.resume(early, turn)?;
        Ok(self.follow(received, turn))
    }

    /// Gives content up that the caller took.
    ///
    /// # Errors
    /// As [`Exchange::received`].
    pub(crate) fn consume(&mut self, count: usize, turn: &mut Turn<'_>) -> Result<Progress, Fault> {
        let received = self.receiving.consume(count, turn)?;
        Ok(self.follow(received, turn))
    }

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// The message is incomplete; the phase is that of the exchange, whatever ended it.
    pub(crate) fn ended(&mut self, clean: bool, turn: &mut Turn<'_>) -> Result<Progress, Fault> {
        let phase = self.phase();
        let received = self
            .receiving
            .ended(clean, turn)
            .map_err(|kind| Fault::new(kind, phase))?;
        Ok(self.follow(received, turn))
    }

    /// The rest of the response is read only to keep the connection.
    pub(crate) fn drain(&mut self) {
        self.receiving.drain();
    }

    /// The wait for a 100 (Continue) was long enough.
    pub(crate) fn expect_timed_out(&mut self, turn: &mut Turn<'_>) {
        self.sending.go_on(ExpectOutcome::TimedOut, turn);
    }

    /// Breaks both sides off; every event that began gets its end.
    pub(crate) fn stop(
        &mut self,
        failure: WriteFailure,
        outcome: ExpectOutcome,
        how: BodyEnd,
        turn: &mut Turn<'_>,
    ) {
        self.sending.stop(failure, outcome, turn);
        self.receiving.stop(how, turn);
    }

    fn follow(&mut self, received: Received, turn: &mut Turn<'_>) -> Progress {
        match received {
            Received::Waiting => Progress::Going,
            Received::Interim(100) => {
                self.sending.go_on(ExpectOutcome::Continue, turn);
                Progress::Going
            }
            Received::Interim(_) => Progress::Going,
            Received::Final(head, close) => {
                if !self.receiving.is_switch() {
                    self.answered(close, turn);
                }
                Progress::Head(head)
            }
            Received::Complete => {
                self.sending.stop(
                    WriteFailure::ResponseEnded,
                    ExpectOutcome::FinalResponse,
                    turn,
                );
                Progress::Complete
            }
        }
    }

    fn can_be_sent_whole(&self) -> bool {
        !self.sending.is_waiting() && self.sending.failure().is_none()
    }

    /// Says whether another protocol can be spoken: its head is in, and the request is fully sent (RFC 9110 §7.8).
    pub(crate) fn has_switched(&self) -> bool {
        self.receiving.has_switched() && self.sending.is_finished()
    }

    /// Bytes that were received are no part of the response, but of the protocol behind it.
    pub(crate) fn leave_behind(&mut self, count: usize) {
        self.receiving.leave_behind(count);
    }

    /// A final head is in: a body that waits is not sent, and nothing is sent to a peer that closes.
    fn answered(&mut self, close: Option<CloseReason>, turn: &mut Turn<'_>) {
        self.sending.abandon_source(turn.now);
        if self.sending.is_waiting() {
            self.sending.stop(
                WriteFailure::BodySkipped,
                ExpectOutcome::FinalResponse,
                turn,
            );
        } else if close.is_some() || turn.rules.early_response == EarlyResponse::Abort {
            self.sending.stop(
                WriteFailure::ResponseEnded,
                ExpectOutcome::FinalResponse,
                turn,
            );
        }
    }

    /// What is to be handed to the kernel: the outbound buffer, then this range of the body in memory.
    pub(crate) fn send_due(&self, buffers: &Buffers) -> Option<Range<u64>> {
        self.sending.due(&buffers.outbound)
    }

    /// How much the source is to be asked for, if it is.
    pub(crate) fn pull_due(&self, buffers: &Buffers) -> Option<u64> {
        self.sending.pull_max(&buffers.outbound)
    }

    /// Says whether nothing was pulled yet.
    pub(crate) fn is_first_pull(&self) -> bool {
        self.sending.is_first_pull()
    }

    pub(crate) fn begin_pull(&mut self, max: u64, buffers: &mut Buffers) {
        self.sending.begin_pull(max, &mut buffers.outbound);
    }

    pub(crate) fn sending(&mut self) -> &mut Sending {
        &mut self.sending
    }

    pub(crate) fn receiving(&self) -> &Receiving {
        &self.receiving
    }

    pub(crate) fn is_request_over(&self) -> bool {
        self.sending.is_finished() || self.sending.failure().is_some()
    }

    pub(crate) fn bytes_out(&self) -> u64 {
        self.sending.bytes()
    }

    /// Says whether not one byte of the request can have reached the peer.
    pub(crate) fn is_unsent(&self) -> bool {
        self.sending.is_unsent()
    }

    /// The trailers that may be used.
    pub(crate) fn trailers(&self) -> Option<&Fields> {
        self.receiving.trailers()
    }

    /// Why the connection serves no further request, if so. To be asked when the response is complete.
    pub(crate) fn close_reason(&self, buffers: &Buffers) -> Option<CloseReason> {
        match self.sending.failure() {
            Some(WriteFailure::BodySkipped) => Some(CloseReason::BodySkipped),
            Some(_) => self
                .receiving
                .close_reason(buffers.inbound.len())
                .or(Some(CloseReason::UploadUnfinished)),
            None => self.receiving.close_reason(buffers.inbound.len()),
        }
    }

    /// Why the rest of a response that nobody wants is not read, if it is not.
    pub(crate) fn not_worth_draining(&self, max: u64) -> Option<CloseReason> {
        match self.sending.failure() {
            Some(WriteFailure::BodySkipped) => Some(CloseReason::BodySkipped),
            Some(_) => Some(CloseReason::UploadUnfinished),
            None if !self.sending.is_finished() => Some(CloseReason::UploadUnfinished),
            None => self.receiving.not_worth_draining(max),
        }
    }

    /// Says whether a final response came instead of a 100 (Continue), so that nothing of the body was asked for.
    pub(crate) fn is_body_skipped(&self) -> bool {
        self.sending.failure() == Some(WriteFailure::BodySkipped)
    }

    /// Where the exchange is, for errors and deadlines.
    pub(crate) fn phase(&self) -> Phase {
        let receiving = &self.receiving;
        if receiving.has_head() {
            return if receiving.is_complete() {
                Phase::Done
            } else {
                Phase::Receive
            };
        }
        match (
            receiving.has_first_byte(),
            self.sending.is_waiting(),
            self.is_request_over(),
        ) {
            (_, true, _) => Phase::Expect,
            (true, ..) => Phase::Head,
            (false, _, true) => Phase::FirstByte,
            (false, _, false) => Phase::Send,
        }
    }
}
