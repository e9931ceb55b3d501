//! What an attempt does when the system has no descriptor for a contestant: an idle connection gives way; while
//! others of this client are in use, the call waits in the queue; only a client without any connection shows the error.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::flow::action::{Action, Cause, Room, Wish};
use crate::flow::call::{Call, State};
use crate::ids::ConnId;
use crate::proto::Turn;

/// ENFILE and EMFILE: no descriptor left in the system, in the process. The same numbers on every Unix.
const OUT_OF_DESCRIPTORS: [i32; 2] = [23, 24];

/// What became of a contestant.
type Connected = Result<(ConnId, Option<SocketAddr>), io::Error>;

/// What is known of descriptors in one attempt, and for how long it waited in the queue.
#[derive(Debug, Default)]
pub(super) struct Scarcity {
    pub(super) waited: Duration,
    /// The contestant for which room is asked for, and its error if there is none.
    asked: Option<(u16, io::Error)>,
}

impl Scarcity {
    /// Takes the failure of a contestant that only lacks a descriptor out of the dial's sight, for which room has
    /// to be made; everything else passes.
    pub(super) fn sift(&mut self, contestant: u16, result: Connected) -> Option<Connected> {
        let is_scarce = |error: &io::Error| {
            let code = error.raw_os_error();
            code.is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code))
        };
        match result {
            Err(error) if self.asked.is_none() && is_scarce(&error) => {
                self.asked = Some((contestant, error));
                None
            }
            other => Some(other),
        }
    }
}

impl Call {
    /// Takes what became of the wish for a descriptor.
    pub(super) fn room(&mut self, contestant: u16, room: Room, turn: &mut Turn<'_>) {
        let Some((_, error)) = self
            .scarcity
            .asked
            .take_if(|(asked, _)| *asked == contestant)
        else {
            return;
        };
        let State::Dialing(dial) = &mut self.state else {
            return;
        };
        match (room, dial.addr_of(contestant)) {
            (Room::Made, Some(addr)) => {
                self.chore = Some(Action::Connect { contestant, addr });
            }
            (Room::InUse { freed }, _) if dial.has_only(contestant) => {
                dial.starve(contestant, error, turn.now, turn.emitter);
                self.chore = Some(Action::EndDial {
                    winner: None,
                    forget: false,
                });
                self.state = State::Joining(Cause::Descriptors { freed }, Wish::Any);
            }
            (Room::Nothing | Room::Made | Room::InUse { .. }, _) => {
                dial.connected(contestant, Err(error), turn.now, turn.emitter);
            }
        }
    }
}
