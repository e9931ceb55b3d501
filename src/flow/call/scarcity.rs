//! What an attempt does when the system has no descriptor for a contestant: an idle connection gives way; while
//! others of this client are in use, the call waits in the queue; only a client without any connection shows the error.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::flow::action::{Cause, Room, Wish};
use crate::flow::call::chore::Chore;
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
    pub(super) fn sift(
        known: &mut Option<Box<Self>>,
        contestant: u16,
        result: Connected,
    ) -> Option<Connected> {
        let is_scarce = |error: &io::Error| {
            let code = error.raw_os_error();
            code.is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code))
        };
        match result {
            Err(error) if is_scarce(&error) => {
                let asked = &mut known.get_or_insert_default().asked;
                if asked.is_some() {
                    return Some(Err(error));
                }
                *asked = Some((contestant, error));
                None
            }
            other => Some(other),
        }
    }
}

impl Call {
    /// Takes what became of the wish for a descriptor.
    pub(super) fn room(&mut self, contestant: u16, room: Room, turn: &mut Turn<'_>) {
        let asked = self.scarcity.as_mut().and_then(|scarcity| {
            let is_it = |(asked, _): &mut (u16, io::Error)| *asked == contestant;
            scarcity.asked.take_if(is_it)
        });
        let Some((_, error)) = asked else {
            return;
        };
        let State::Dialing(dial) = &mut self.state else {
            return;
        };
        match (room, dial.addr_of(contestant)) {
            (Room::Made, Some(_)) => {
                self.chore = Some(Chore::Connect { contestant });
            }
            (Room::InUse { freed }, _) if dial.has_only(contestant) => {
                dial.starve(contestant, error, turn.now, turn.emitter);
                self.chore = Some(Chore::FRUITLESS);
                self.state = State::Joining(Cause::Descriptors { freed }, Wish::Any);
            }
            (Room::Nothing | Room::Made | Room::InUse { .. }, _) => {
                dial.connected(contestant, Err(error), turn.now, turn.emitter);
            }
        }
    }
}
