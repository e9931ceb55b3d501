//! What a contestant exchanges with its proxy before TLS is begun on it, or the dial is won.

use std::io::IoSlice;

use crate::drive::apply::{Running, tls_fault};
use crate::drive::contestants::Busy;
use crate::flow::action::{DialInput, Moved};
use crate::net::transport::{Broken, Received};

/// Least room in the inbound buffer for one receive.
const ROOM: usize = 8 * 1024;

impl Running {
    /// Begins to speak, or says more.
    pub(crate) fn speak(&mut self, number: u16) {
        if let Some((_, busy)) = self.contestants.transport(number) {
            *busy = Busy::Speaking;
        }
        self.say(number);
    }

    /// A contestant that speaks goes on as far as it can.
    pub(crate) fn speak_on(&mut self, number: u16) {
        if self.is_speaking(number) && self.has_words() {
            self.say(number);
        }
        while self.is_heard(number) && self.hear_proxy(number) {}
    }

    /// Says whether a contestant speaks and the core still listens: what more a proxy says is left where it is.
    fn is_heard(&mut self, number: u16) -> bool {
        let dial = self.call.dialing();
        dial.is_some_and(|dial| dial.hears_proxy(number)) && self.is_speaking(number)
    }

    fn is_speaking(&mut self, number: u16) -> bool {
        matches!(
            self.contestants.transport(number),
            Some((_, Busy::Speaking))
        )
    }

    /// Says whether something is to be sent to the proxy.
    pub(crate) fn has_words(&self) -> bool {
        let buffers = self.memory.as_ref().map(|memory| &memory.buffers);
        buffers.is_some_and(|buffers| !buffers.outbound.is_empty())
    }

    fn say(&mut self, number: u16) {
        let words = self
            .memory
            .get_or_insert_default()
            .buffers
            .outbound
            .filled();
        let Some((transport, _)) = self.contestants.transport(number) else {
            return;
        };
        let sent = transport.send(&[IoSlice::new(words)]);
        self.read_clock();
        match sent {
            Ok(Some(count)) => self.moved(number, Moved::Sent(count)),
            Ok(None) => {}
            Err(broken) => self.moved(number, moved_by(broken)),
        }
    }

    /// Receives what is there; says whether there may be more inside TLS.
    fn hear_proxy(&mut self, number: u16) -> bool {
        let now = self.now;
        let inbound = &mut self.memory.get_or_insert_default().buffers.inbound;
        let Some((transport, _)) = self.contestants.transport(number) else {
            return false;
        };
        let moved = match transport.receive(inbound.spare(ROOM), &mut [], Some(now)) {
            Ok(Received::Bytes(count, _)) => {
                inbound.fill(count);
                Moved::Received(count)
            }
            Ok(Received::Ended(_)) => Moved::Ended,
            Ok(Received::TimedOut) => return false,
            Err(broken) => moved_by(broken),
        };
        let may_have_more = matches!(moved, Moved::Received(_)) && transport.may_hold_bytes();
        self.read_clock();
        self.moved(number, moved);
        may_have_more
    }

    pub(crate) fn moved(&mut self, contestant: u16, moved: Moved) {
        self.input(DialInput::Tunnel { contestant, moved });
    }
}

fn moved_by(broken: Broken) -> Moved {
    match broken {
        Broken::Io(error) => Moved::Failed(error),
        Broken::Tls(error) => Moved::TlsBroke(tls_fault(error)),
    }
}
