//! Looking, without waiting, whether something has happened that a call waits for.

use crate::drive::apply::Running;
use crate::event::CanceledBy;
use crate::flow::action::{ExchangeInput, Input, Receive, Wait};
use crate::flow::pool::Heard;
use crate::net::wait::Interest;

/// What ended a wait.
pub(super) enum Happened {
    Nothing,
    /// The core was told.
    Told,
    /// This is to be told.
    Input(Input),
}

impl Running {
    /// Looks whether something has happened that the call waits for, without waiting. What has happened counts before
    /// the deadline, as it does in a poll.
    pub(super) fn look(&mut self, wait: Wait, into: &mut [u8]) -> Happened {
        let happened = match wait.receive {
            None => self.look_for_connection(),
            Some(receive) => self.look_at_peer(wait, receive, into),
        };
        let is_due = wait.deadline.is_some_and(|deadline| deadline <= self.now);
        if is_due && matches!(happened, Happened::Nothing) {
            return Happened::Input(Input::Timeout);
        }
        happened
    }

    /// What is left for the call goes before what came of its dial.
    fn look_for_connection(&mut self) -> Happened {
        self.hear();
        let alarm = self.ear.get_or_insert_default().listen();
        match self.engine.listen(self.call.id(), alarm) {
            Heard::Mail(mail) => {
                self.take_mail(mail);
                Happened::Told
            }
            Heard::GiveUp => {
                self.input(Input::Cancel(CanceledBy::Drop));
                Happened::Told
            }
            Heard::Nothing | Heard::Nobody if self.look_at_dial() => Happened::Told,
            Heard::Nothing | Heard::Nobody => Happened::Nothing,
        }
    }

    fn look_at_peer(&mut self, wait: Wait, receive: Receive, into: &mut [u8]) -> Happened {
        let Some(lease) = &self.lease else {
            return Happened::Input(ExchangeInput::Ended { clean: false }.into());
        };
        let may_send = wait.send && lease.transport.may_be_ready(Interest::WRITE);
        if lease.transport.may_receive() {
            if let Some(input) = self.receive_ready(receive, into) {
                return Happened::Input(input);
            }
            // What came is no whole record, and there may be more, of which nobody will report.
            let lease = self.lease.as_ref();
            if lease.is_some_and(|lease| lease.transport.may_be_ready(Interest::READ)) {
                return Happened::Told;
            }
        }
        if may_send {
            return Happened::Input(ExchangeInput::Writable.into());
        }
        if wait.source && self.take_nudge() {
            return Happened::Input(ExchangeInput::SourceReady.into());
        }
        Happened::Nothing
    }
}
