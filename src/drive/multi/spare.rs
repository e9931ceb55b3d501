//! A dial that goes on without its call: the loop drives it as it drives calls, and nobody waits for it.

use std::time::Instant;

use crate::drive::apply::{Rest, Running};
use crate::drive::multi::deadlines::SeatId;
use crate::drive::multi::look::Happened;
use crate::drive::multi::place::{Place, STEPS};
use crate::drive::multi::scratch::Scratch;

/// A dial of the loop. Dropping it gives it up.
pub(super) struct Spare {
    running: Box<Running>,
    place: Place,
    /// Where its deadline is kept.
    pub(super) seat: Option<SeatId>,
}

/// How far a dial came.
pub(super) enum Came {
    /// It waits, at the latest until then.
    Parked(Option<Instant>),
    /// Its steps are used up.
    Spent,
    /// It is over.
    Over,
}

impl Spare {
    pub(super) fn new(running: Box<Running>) -> Self {
        Self {
            running,
            place: Place::Parked,
            seat: None,
        }
    }

    /// Notes that the dial goes into the ready queue; says whether it was not there.
    pub(super) fn queue(&mut self) -> bool {
        self.place.queue()
    }

    /// Goes on as far as possible, in the memory of the loop.
    pub(super) fn advance(&mut self, scratch: &mut Scratch) -> Came {
        self.place = Place::Parked;
        scratch.lend(&mut self.running);
        let came = self.go_on();
        scratch.take_back(&mut self.running);
        came
    }

    fn go_on(&mut self) -> Came {
        self.running.read_clock();
        for _ in 0..STEPS {
            match self.running.go() {
                Rest::Wait(wait) => match self.running.look(wait, &mut []) {
                    Happened::Nothing => return Came::Parked(wait.deadline),
                    Happened::Told => {}
                    Happened::Input(input) => {
                        self.running.resume(Some(input));
                    }
                },
                Rest::Spent => return Came::Spent,
                Rest::Parting => self.running.end_parting(),
                Rest::Send(body) => self.running.send_now(body),
                Rest::BeginHop | Rest::HandOut | Rest::Done => return Came::Over,
            }
        }
        Came::Spent
    }
}
