//! One connection's life.

use crate::event::grammar::group::Group;
use crate::event::grammar::rule::{Fault, Rule, ensure};
use crate::event::grammar::table::{CONN, IDLE, Machine, UNOPENED};
use crate::event::{Event, EventData, EventKind, GotConn};
use crate::ids::DialId;
use crate::message::close::CloseReason;

/// A connection, as far as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Conn {
    machine: Machine,
    /// The dial that it came of.
    dial: Option<DialId>,
    uses: u64,
    refused: Refused,
    /// Its beginning was not seen.
    late: bool,
}

/// Whether the connection was given up by its attempt and not put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    No,
    /// It has to be closed next.
    Closing,
    /// It belongs to the caller, and is closed some day.
    Callers,
}

impl Conn {
    pub(super) fn new() -> Self {
        Self {
            machine: Machine::new(&CONN),
            dial: None,
            uses: 0,
            refused: Refused::No,
            late: false,
        }
    }

    /// A connection that was opened before the observer came.
    pub(super) fn late() -> Self {
        Self {
            machine: Machine::resumed(&CONN, IDLE),
            late: true,
            ..Self::new()
        }
    }

    pub(super) fn dial(&self) -> Option<DialId> {
        self.dial
    }

    pub(super) fn is_closed(&self) -> bool {
        self.machine.is_ended()
    }

    pub(super) fn ended(&self) -> Result<(), Fault> {
        self.machine.ended()
    }

    /// Checks that no attempt has the connection and that it is not about to be closed.
    pub(super) fn given_back(&self) -> Result<(), Fault> {
        ensure(
            self.refused != Refused::Closing && !self.machine.is("on loan"),
            Rule::OneConnection,
            "the connection was neither put back nor closed",
        )
    }

    /// Takes an event that carries the id of the connection.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Fault> {
        let kind = event.kind();
        ensure(
            !self.is_closed(),
            Rule::NothingAfterEnd,
            "the connection has ended",
        )?;
        ensure(
            self.refused == Refused::No || kind == EventKind::ConnClosed,
            Rule::OneConnection,
            "a connection that is not put back is closed at once",
        )?;
        let was_idle = self.machine.is(IDLE);
        if self.machine.knows(kind) {
            self.machine.step(kind)?;
        } else {
            self.guest(kind)?;
        }
        match event.data() {
            EventData::ConnOpened(_) => {
                self.dial = event.dial();
                Ok(())
            }
            EventData::GotConn(got) => self.got(got, was_idle),
            EventData::PutIdleConn(put) => {
                self.refused = match put.error() {
                    None => Refused::No,
                    Some(CloseReason::Upgraded) => Refused::Callers,
                    Some(_) => Refused::Closing,
                };
                Ok(())
            }
            EventData::ConnClosed(_) => {
                self.refused = Refused::No;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks an event that is not of the connection itself and carries its id.
    fn guest(&self, kind: EventKind) -> Result<(), Fault> {
        let welcome = match self.machine.state() {
            UNOPENED | IDLE => false,
            "fresh" => matches!(
                Group::of(kind),
                Group::Dial | Group::Floating | Group::Attempt
            ),
            _ => matches!(
                Group::of(kind),
                Group::Write | Group::Read | Group::Floating
            ),
        };
        ensure(welcome, Rule::Conn, "no attempt has the connection")
    }

    fn got(&mut self, got: &GotConn, was_idle: bool) -> Result<(), Fault> {
        let used = self.uses > 0;
        self.uses += 1;
        if std::mem::take(&mut self.late) {
            return Ok(());
        }
        ensure(
            got.reused() == used,
            Rule::Reused,
            "reused means that an earlier attempt used the connection",
        )?;
        ensure(
            got.was_idle() == was_idle && got.idle().is_some() == was_idle,
            Rule::Conn,
            "was_idle means that the connection was put back before",
        )
    }
}
