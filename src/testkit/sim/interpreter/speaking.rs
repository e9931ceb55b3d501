//! What the caller does with a connection that is its own: it says what it has to say, ends its direction, and listens
//! until the peer has ended its own.

use std::io;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Phase};
use crate::event::{CanceledBy, ClosedBy};
use crate::flow::action::{ExchangeInput, Input, Receive, Wait};
use crate::message::close::CloseReason;
use crate::testkit::sim::interpreter::Stage;
use crate::testkit::sim::network::Incoming;

/// Room of one receive.
const ROOM: usize = 4 * 1024;

/// How long the caller listens to a peer that does not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far a caller is that speaks on a connection of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::testkit::sim) struct Speech {
    /// Bytes that were said.
    said: usize,
    /// Bytes that were heard.
    heard: usize,
    /// When it listens no longer.
    until: Option<Instant>,
}

impl Stage<'_> {
    /// The connection is the caller's, unless the call was canceled.
    pub(super) fn upgrade(&mut self) {
        if self.is_canceled() {
            return self.input(Input::Cancel(CanceledBy::Caller));
        }
        self.input(ExchangeInput::Upgraded);
    }

    /// Takes what came behind the head.
    pub(in crate::testkit::sim) fn hear_first(&mut self) -> Speech {
        let inbound = &mut self.actor.buffers.inbound;
        let first = inbound.filled();
        self.actor.reader.body.extend_from_slice(first);
        let count = first.len();
        inbound.consume(count);
        Speech {
            said: 0,
            heard: count,
            until: self.world.now().checked_add(PATIENCE),
        }
    }

    /// Says and hears what can be now; gives what is left to do and what is waited for, or none when the connection has
    /// ended.
    pub(in crate::testkit::sim) fn converse(
        &mut self,
        mut speech: Speech,
    ) -> Option<(Speech, Wait)> {
        let id = self.actor.lease?.stream;
        let words = self.actor.caller.speaks.as_deref().unwrap_or_default();
        let planner = &mut self.world.planner;
        let stream = &mut self.world.net.streams[id];
        let mut left = words.get(speech.said..).unwrap_or_default();
        while !left.is_empty() {
            match stream.send(id, [left, &[]], planner) {
                Ok(0) => break,
                Ok(count) => {
                    speech.said += count;
                    left = left.get(count..).unwrap_or_default();
                }
                Err(error) => {
                    self.actor.reader.error = Some(Error::new(ErrorKind::io(&error), Phase::Done));
                    self.hang_up(speech);
                    return None;
                }
            }
        }
        if left.is_empty() {
            stream.end_by_client(id, planner);
        }
        let mut room = [0; ROOM];
        loop {
            let error = match stream.receive(id, &mut room, &mut [], planner) {
                Incoming::Nothing => break,
                Incoming::Bytes(count) => {
                    speech.heard += count;
                    let body = &mut self.actor.reader.body;
                    body.extend(room.iter().take(count));
                    continue;
                }
                Incoming::Ended { clean: true } => None,
                Incoming::Ended { clean: false } => {
                    let received = speech.heard as u64;
                    Some(ErrorKind::PeerTlsTruncated { received })
                }
                Incoming::Broken(error) => Some(ErrorKind::io(&error)),
            };
            self.actor.reader.error = error.map(|kind| Error::new(kind, Phase::Done));
            self.hang_up(speech);
            return None;
        }
        let wait = Wait {
            send: !left.is_empty(),
            receive: Some(Receive::Inbound),
            source: false,
            deadline: speech.until,
        };
        let now = self.world.now();
        if speech.until.is_none_or(|until| until <= now) {
            let kind = ErrorKind::io(&io::ErrorKind::TimedOut.into());
            self.actor.reader.error = Some(Error::new(kind, Phase::Done));
            self.hang_up(speech);
            return None;
        }
        Some((speech, wait))
    }

    /// Closes a connection that is the caller's, if there is one, and tells it.
    pub(in crate::testkit::sim) fn hang_up(&mut self, speech: Speech) {
        if !self.actor.call.is_over() || self.actor.lease.is_none() {
            return;
        }
        let (Some(mut connection), Some(lease)) =
            (self.actor.call.take_connection(), self.actor.lease.take())
        else {
            return;
        };
        self.world.close_stream(lease.stream);
        let unheard = self.actor.buffers.inbound.len();
        connection.count(speech.said as u64, (speech.heard + unheard) as u64);
        let (reason, now) = (CloseReason::Upgraded, self.world.now());
        let by = ClosedBy::of(reason);
        connection.tell_closed_outside(reason, by, now, &mut self.actor.emitter);
        self.actor.emitter.deliver();
        self.world
            .closed(&connection.key, connection.version, reason);
    }
}
