//! The blocking driver: what cannot go on waits on the thread that called.

use std::io;
use std::time::Instant;

use crate::drive::apply::{Pause, Rest, Running};
use crate::flow::action::{ExchangeInput, Input, Receive, Wait};
use crate::flow::pool::Heard;
use crate::net::clock;
use crate::net::wait::{Interest, Ready, for_any, for_socket};

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
            match self.go() {
                Rest::BeginHop => return Pause::BeginHop,
                Rest::HandOut => return Pause::HandOut,
                Rest::Done => return Pause::Done,
                Rest::Spent => {}
                Rest::Send(body) => self.send_now(body),
                Rest::Parting => self.end_parting(),
                Rest::Wait(wait) => {
                    let input = self.wait(wait, into);
                    *direct = self.resume(input).max(*direct);
                }
            }
        }
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
            Heard::Nobody | Heard::GiveUp => false,
        };
        let input = match self.waits.parker() {
            Some(parker) => (!parker.wait(deadline)).then_some(Input::Timeout),
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
        if !wait.send && !wait.source {
            return Some(self.receive(receive, into, wait.deadline));
        }
        if lease.transport.may_hold_bytes() {
            let now = self.now;
            let input = self.receive(receive, into, Some(now));
            if !matches!(input, Input::Timeout) {
                return Some(input);
            }
        }
        if wait.source && self.take_nudge() {
            return Some(ExchangeInput::SourceReady.into());
        }
        let ready = match self.poll_peer(wait) {
            Ok(ready) => ready,
            Err(error) => return Some(ExchangeInput::ReceiveFailed(error).into()),
        };
        match (ready.read, ready.write) {
            (true, _) => self.receive_ready(receive, into),
            (false, true) => Some(ExchangeInput::Writable.into()),
            (false, false) if wait.source && self.take_nudge() => {
                Some(ExchangeInput::SourceReady.into())
            }
            (false, false) => {
                let is_late = wait
                    .deadline
                    .is_some_and(|deadline| deadline <= clock::now());
                is_late.then_some(Input::Timeout)
            }
        }
    }

    /// Waits for the socket, and for a source that said "not now".
    fn poll_peer(&self, wait: Wait) -> io::Result<Ready> {
        let Some(lease) = &self.lease else {
            return Ok(Ready::default());
        };
        let socket = lease.transport.as_fd();
        let interest = Interest {
            read: true,
            write: wait.send,
        };
        match self.nudged_by().filter(|_| wait.source) {
            None => for_socket(socket, interest, wait.deadline),
            Some(waker) => {
                let ready = for_any(&[(socket, interest)], Some(waker), wait.deadline)?;
                Ok(ready.first().copied().unwrap_or_default())
            }
        }
    }
}
