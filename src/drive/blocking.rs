//! The blocking driver: what cannot go on waits on the thread that called.

use std::time::Instant;

use crate::drive::apply::{Rest, Running, tls_fault};
use crate::event::CanceledBy;
use crate::flow::action::{ExchangeInput, Input, Receive, Wait};
use crate::flow::pool::Heard;
use crate::net::transport::{Broken, Received};
use crate::net::wait::{Interest, for_socket};

/// Least room in the inbound buffer for one receive.
const ROOM: usize = 8 * 1024;

/// Room for the bytes behind a direct read: the next chunk heads.
const ROOM_BEHIND: usize = 1024;

/// Why control came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// A hop can begin.
    BeginHop,
    /// The response, or more of its body, can be handed out.
    HandOut,
    /// The call is over.
    Done,
}

impl Running {
    /// Begins the call: its first hop is ready, or the call is over.
    pub(crate) fn begin(&mut self) {
        self.input(Input::Start);
        self.run();
    }

    /// Begins the hop that is ready and goes on until there is a response or an error.
    pub(crate) fn begin_hop(&mut self) -> Pause {
        self.input(Input::Hop);
        self.run()
    }

    /// Follows the redirect that was decided on, until its hop is ready or the call is over.
    pub(crate) fn follow(&mut self) {
        self.read_clock();
        self.input(Input::Follow);
        self.run();
    }

    /// Goes on until there is something for the caller; content may go straight into `into`, and how much did
    /// is the second answer.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> (Pause, usize) {
        self.read_clock();
        self.input(Input::Wanted(into.len()));
        let mut direct = 0;
        let pause = self.run_reading(into, &mut direct);
        self.call.hand_out(self.now);
        (pause, direct)
    }

    /// Goes on until the caller is asked or the call is over.
    pub(crate) fn run(&mut self) -> Pause {
        let pause = self.run_reading(&mut [], &mut 0);
        self.call.hand_out(self.now);
        pause
    }

    fn run_reading(&mut self, into: &mut [u8], direct: &mut usize) -> Pause {
        loop {
            if self.is_canceled() {
                self.input(Input::Cancel(CanceledBy::Caller));
            }
            match self.apply() {
                Rest::BeginHop => return Pause::BeginHop,
                Rest::HandOut => return Pause::HandOut,
                Rest::Done => return Pause::Done,
                // What the call may block on is registered by now: a cancel came before, or will end the wait.
                Rest::Wait(_) if self.is_canceled() => {}
                Rest::Wait(wait) => {
                    let input = self.wait(wait, into);
                    self.read_clock();
                    if self.is_canceled() {
                        self.input(Input::Cancel(CanceledBy::Caller));
                        continue;
                    }
                    let Some(input) = input else { continue };
                    let straight = matches!(
                        input,
                        Input::Exchange(ExchangeInput::Received { direct, .. }) if direct > 0
                    );
                    if let Input::Exchange(ExchangeInput::Received { direct: count, .. }) = &input {
                        *direct = *count;
                    }
                    self.input(input);
                    if straight {
                        self.input(Input::Wanted(0));
                    }
                }
            }
        }
    }

    /// Says whether the caller gave the call up and the core does not know.
    pub(crate) fn is_canceled(&self) -> bool {
        !self.call.is_over()
            && self
                .cancel
                .as_ref()
                .is_some_and(|cancel| cancel.is_canceled())
    }

    /// Waits for the first of these; no input means that the core is to be asked again. What the call blocks on
    /// is registered by now, so a cancel that was not seen here will end the wait.
    fn wait(&mut self, wait: Wait, into: &mut [u8]) -> Option<Input> {
        if self.is_canceled() {
            return None;
        }
        match wait.receive {
            None => self.wait_for_connection(wait.deadline),
            Some(receive) => self.wait_for_peer(wait, receive, into),
        }
    }

    /// Waits while the call has no connection: for its dial or in the queue, and in any case for one that comes back.
    /// What is left for the call goes before what came of the dial, unless that is a connection. A call that was given
    /// up takes nothing: what is left for it goes to the next.
    fn wait_for_connection(&mut self, deadline: Option<Instant>) -> Option<Input> {
        let alarm = self.ear.get_or_insert_default().listen();
        let listens = match self.engine.listen(self.call.id(), alarm) {
            Heard::Mail(mail) => {
                self.take_mail(mail);
                return None;
            }
            Heard::Nothing => true,
            Heard::Nobody => false,
        };
        let input = match &self.parker {
            Some(parker) => (!parker.clone().wait(deadline)).then_some(Input::Timeout),
            None => self.wait_for_dial(listens, deadline),
        };
        self.stop_listening();
        if self.call.awaits_connection() && !self.is_canceled() {
            if let Some(mail) = self.engine.read_mail(self.call.id()) {
                self.take_mail(mail);
                return None;
            }
        }
        input
    }

    /// Waits for the peer: in one blocking receive if nothing else can end the wait, else in a poll.
    fn wait_for_peer(&mut self, wait: Wait, receive: Receive, into: &mut [u8]) -> Option<Input> {
        let Some(lease) = &mut self.lease else {
            return Some(ExchangeInput::Ended { clean: false }.into());
        };
        if !wait.send {
            return Some(self.receive(receive, into, wait.deadline));
        }
        if lease.transport.may_hold_bytes() {
            let now = self.now;
            let input = self.receive(receive, into, Some(now));
            if !matches!(input, Input::Timeout) {
                return Some(input);
            }
        }
        let lease = self.lease.as_ref()?;
        let ready = match for_socket(
            lease.transport.as_fd(),
            Interest {
                read: true,
                write: true,
            },
            wait.deadline,
        ) {
            Ok(ready) => ready,
            Err(error) => return Some(ExchangeInput::ReceiveFailed(error).into()),
        };
        match (ready.read, ready.write) {
            (false, false) => Some(Input::Timeout),
            (true, _) => self.receive_ready(receive, into),
            (false, true) => Some(ExchangeInput::Writable.into()),
        }
    }

    /// Receives what the poll announced. Under TLS it may not be enough for a record, which is neither a timeout
    /// nor progress: the core is asked again, and its deadlines stay as they are.
    fn receive_ready(&mut self, receive: Receive, into: &mut [u8]) -> Option<Input> {
        let now = self.now;
        let input = self.receive(receive, into, Some(now));
        (!matches!(input, Input::Timeout)).then_some(input)
    }

    fn receive(&mut self, receive: Receive, into: &mut [u8], deadline: Option<Instant>) -> Input {
        let Some(lease) = &mut self.lease else {
            return ExchangeInput::Ended { clean: false }.into();
        };
        let inbound = &mut self.memory.buffers.inbound;
        let (result, is_direct) = match receive {
            Receive::Inbound => (
                lease
                    .transport
                    .receive(inbound.spare(ROOM), &mut [], deadline),
                false,
            ),
            Receive::Caller { max } => {
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

/// A call that is dropped before its end is given up: the response was dropped, or the caller's own code
/// panicked. Never waits.
impl Drop for Running {
    fn drop(&mut self) {
        if !self.call.is_over() {
            self.read_clock();
            let input = if self.call.has_head() {
                Input::BodyClosed
            } else {
                Input::Cancel(CanceledBy::Drop)
            };
            self.input(input);
            let _ = self.apply();
        }
        let memory = std::mem::take(&mut self.memory);
        self.engine.keep_memory(memory);
    }
}
