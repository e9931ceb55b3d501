//! Receiving on the connection of a call: where the bytes go, and what is told of them.

use std::time::Instant;

use crate::drive::apply::{Running, tls_fault};
use crate::flow::action::{ExchangeInput, Input, Receive};
use crate::net::transport::{Broken, Received};

/// Least room in the inbound buffer for one receive.
const ROOM: usize = 8 * 1024;

/// Room for the bytes behind a direct read: the next chunk heads.
const ROOM_BEHIND: usize = 1024;

impl Running {
    /// Says whether a receive comes next.
    pub(crate) fn is_about_to_receive(&self) -> bool {
        let lease = self.lease.as_ref().filter(|_| self.awaits.is_some());
        lease.is_some_and(|lease| lease.transport.may_receive())
    }

    /// Receives what is there. Under TLS it may not be enough for a record, which is neither a timeout
    /// nor progress: the core is asked again, and its deadlines stay as they are.
    pub(crate) fn receive_ready(&mut self, receive: Receive, into: &mut [u8]) -> Option<Input> {
        let now = self.now;
        let input = self.receive(receive, into, Some(now));
        if matches!(input, Input::Timeout) {
            self.read_clock();
            return None;
        }
        Some(input)
    }

    pub(crate) fn receive(
        &mut self,
        receive: Receive,
        into: &mut [u8],
        deadline: Option<Instant>,
    ) -> Input {
        let Some(lease) = &mut self.lease else {
            return ExchangeInput::Ended { clean: false }.into();
        };
        let inbound = &mut self.memory.get_or_insert_default().buffers.inbound;
        let (result, is_direct) = match receive {
            Receive::Inbound => (
                lease
                    .transport
                    .receive(inbound.spare(ROOM), &mut [], deadline),
                false,
            ),
            Receive::Caller { max } => {
                let max = usize::try_from(max).unwrap_or(usize::MAX);
                let first = into.get_mut(..max).unwrap_or_default();
                let behind = inbound.spare(ROOM_BEHIND);
                let behind = behind.get_mut(..ROOM_BEHIND).unwrap_or_default();
                (lease.transport.receive(first, behind, deadline), true)
            }
        };
        match result {
            Ok(Received::Bytes(first, second)) => {
                let (direct, buffered) = if is_direct {
                    (first, second)
                } else {
                    (0, first)
                };
                inbound.fill(buffered);
                ExchangeInput::Received { direct, buffered }.into()
            }
            Ok(Received::Ended(clean)) => ExchangeInput::Ended { clean }.into(),
            Ok(Received::TimedOut) => Input::Timeout,
            Err(Broken::Io(error)) => ExchangeInput::ReceiveFailed(error).into(),
            Err(Broken::Tls(error)) => ExchangeInput::TlsBroke(tls_fault(error)).into(),
        }
    }
}
