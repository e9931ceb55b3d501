//! A dial that goes on without its call, because the call was served otherwise or given up: it ends in the pool.
//!
//! The rule guarded here: nobody waits for it, so it takes nothing from anybody. It makes no room for itself, and it
//! ends with its own deadlines, of which it always has one.
//!
//! ```text
//!   Dialing --won--> Spare --a place--> over, idle
//!      |failed, its time is over, given up  |none, given up
//!      v                                    v
//!     over                               Useless --> over, closed
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Timer};
use crate::event::{ClosedBy, EventKind, Payload, TimeoutFired};
use crate::flow::action::{Action, PoolInput, Wait, Wish};
use crate::flow::call::chore::Chore;
use crate::flow::call::ending::put_idle;
use crate::flow::call::{Call, State};
use crate::flow::connection::Connection;
use crate::flow::dial::{Dial, Step};
use crate::flow::timers::Fired;
use crate::ids::CallId;
use crate::message::close::CloseReason;
use crate::proto::Turn;

/// How long a detached dial goes on if its call had no limit for connecting.
const LONGEST: Duration = Duration::from_secs(30);

/// What becomes of a dial whose call is served otherwise, or given up by its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DetachedDial {
    /// It goes on, and its connection is put into the pool.
    Finish,
    /// It is given up, since nobody would be there to finish it.
    Abort,
}

/// Where a detached dial is.
#[derive(Debug)]
pub(super) enum Detached {
    /// It goes on.
    Dialing(Box<Dial>),
    /// It has its connection, and the pool is asked for a place.
    Spare(Box<Connection>),
    /// The connection is to be closed.
    Useless(Box<Connection>, CloseReason),
}

impl Call {
    /// The call needs its dial no longer: it goes on alone if it can, else it is given up. The call is back where it
    /// wants a connection.
    pub(super) fn leave_dial(&mut self, turn: &mut Turn<'_>) {
        let wanted = State::Pooling(Wish::Any);
        let can_detach = self.can_detach();
        let State::Dialing(mut dial) = std::mem::replace(&mut self.state, wanted) else {
            return;
        };
        if can_detach {
            turn.emitter.set_dial(None);
            self.chore = Some(Chore::Detach);
            self.detached = Some(Box::new(self.of_dial(dial, turn)));
        } else {
            dial.overtaken(turn.now, turn.emitter);
            turn.buffers.reset();
            self.chore = Some(Chore::FRUITLESS);
        }
    }

    /// Says whether the dial can go on without the call. One that has asked nobody yet has nothing to finish, and what
    /// was begun for it in the meantime would be lost with the call.
    pub(super) fn can_detach(&self) -> bool {
        self.settings.detached == DetachedDial::Finish
            && self.chore.is_none()
            && matches!(&self.state, State::Dialing(dial) if dial.is_under_way())
    }

    fn of_dial(&self, dial: Box<Dial>, turn: &Turn<'_>) -> Self {
        let mut timers = self.timers.clone();
        timers.disarm(Timer::Total);
        timers.arm(Timer::Connect, turn.now, Some(LONGEST));
        Self {
            state: State::Detached(Detached::Dialing(dial)),
            timers,
            ..Self::new(self.id, self.plan.clone(), self.settings.clone())
        }
    }

    /// Takes the dial that goes on without this call; it is to have an id of its own, by which pool and lookups know it
    /// and which no event says.
    pub(crate) fn take_detached(&mut self, id: CallId) -> Option<Box<Self>> {
        let mut detached = self.detached.take()?;
        detached.id = id;
        Some(detached)
    }

    /// Says whether this is no call but a dial that goes on without one.
    #[cfg(feature = "testkit")]
    pub(crate) fn is_detached(&self) -> bool {
        matches!(self.state, State::Detached(_))
    }

    pub(super) fn next_of_detached(&mut self, turn: &mut Turn<'_>) -> Action {
        let State::Detached(detached) = &mut self.state else {
            return Action::Done;
        };
        let dial = match detached {
            Detached::Dialing(dial) => dial,
            Detached::Spare(_) => return Action::AskPlace,
            Detached::Useless(..) => return Action::Close,
        };
        match dial.next(turn, &mut self.timers) {
            Step::Do(action) => action,
            Step::Wait(until) => Action::Wait(Wait {
                send: false,
                receive: None,
                source: false,
                deadline: [until, self.timers.next()].into_iter().flatten().min(),
            }),
            Step::Won(won) => {
                let winner = Some(won.contestant);
                let connection = self.opened(won, turn.now);
                self.state = State::Detached(Detached::Spare(connection));
                Action::EndDial {
                    winner,
                    forget: false,
                }
            }
            Step::Failed(error) => {
                self.state = State::Over(None);
                Action::EndDial {
                    winner: None,
                    forget: error.kind() == ErrorKind::Connect,
                }
            }
        }
    }

    /// Takes what the pool says to the connection of a detached dial, and that it was closed.
    pub(super) fn spare_input(&mut self, input: PoolInput, turn: &mut Turn<'_>) {
        let State::Detached(detached) = std::mem::replace(&mut self.state, State::Over(None))
        else {
            return;
        };
        match (input, detached) {
            (PoolInput::Place(Ok(idle_now)), Detached::Spare(mut connection)) => {
                put_idle(None, idle_now, turn);
                connection.idle_since = Some(turn.now);
                connection.seq = turn.emitter.next_seq();
                connection.last_event = turn.emitter.leave_connection();
                self.returned = Some(connection);
            }
            (PoolInput::Place(Err(reason)), Detached::Spare(connection)) => {
                self.discard_spare(connection, reason, turn);
            }
            (PoolInput::Closed, Detached::Useless(connection, reason)) => {
                connection.tell_closed(reason, ClosedBy::of(reason), turn.now, turn.emitter);
                turn.emitter.leave_connection();
            }
            (_, detached) => self.state = State::Detached(detached),
        }
    }

    fn discard_spare(
        &mut self,
        connection: Box<Connection>,
        reason: CloseReason,
        turn: &mut Turn<'_>,
    ) {
        put_idle(Some(reason), 0, turn);
        self.state = State::Detached(Detached::Useless(connection, reason));
    }

    /// The detached dial is given up: what began gets its end.
    pub(super) fn end_detached(&mut self, kind: ErrorKind, turn: &mut Turn<'_>) {
        let phase = self.phase();
        match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Detached(Detached::Dialing(mut dial)) => {
                dial.abandon(&Error::new(kind, phase), turn.now, turn.emitter);
                self.chore = Some(Chore::FRUITLESS);
            }
            State::Detached(Detached::Spare(connection)) => {
                self.discard_spare(connection, CloseReason::Canceled, turn);
            }
            other @ (State::Detached(Detached::Useless(..))
            | State::Fresh
            | State::Ready
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Dialing(_)
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Closing(..)
            | State::Left(_)
            | State::Over(_)) => self.state = other,
        }
    }

    /// A deadline of a detached dial has passed.
    pub(super) fn detached_timeout(&mut self, fired: Fired, turn: &mut Turn<'_>) {
        let Fired {
            timer,
            limit,
            elapsed,
        } = fired;
        if !matches!(self.state, State::Detached(Detached::Dialing(_))) {
            return;
        }
        turn.emitter.emit(EventKind::TimeoutFired, turn.now, |_| {
            Payload::TimeoutFired(Arc::new(TimeoutFired {
                timer,
                limit,
                elapsed,
            }))
        });
        self.end_detached(ErrorKind::Timeout(timer), turn);
    }
}
