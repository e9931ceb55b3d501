//! What a call has to have done before anything else, by itself: it says nothing that the call knows anyway, since
//! every call has room for one.

use crate::flow::action::{Action, Scarce};
use crate::flow::call::Call;

/// Something to be done before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chore {
    /// The dial goes on without the call.
    Detach,
    /// The dial is over, won by this contestant or by none.
    EndDial {
        winner: Option<u16>,
        /// Whether the addresses that were remembered are of no use.
        forget: bool,
    },
    /// There is no descriptor for a contestant.
    MakeRoom {
        contestant: u16,
        otherwise: Scarce,
    },
    /// There is one now.
    Connect {
        contestant: u16,
    },
    LeavePool,
}

impl Chore {
    /// A dial that is over and has no winner.
    pub(super) const FRUITLESS: Self = Self::EndDial {
        winner: None,
        forget: false,
    };
}

impl Call {
    /// What the driver is to do; nothing if that was for a contestant that is gone.
    pub(super) fn action_of(&self, chore: Chore) -> Option<Action> {
        Some(match chore {
            Chore::Detach => Action::Detach,
            Chore::EndDial { winner, forget } => Action::EndDial { winner, forget },
            Chore::MakeRoom {
                contestant,
                otherwise,
            } => Action::MakeRoom {
                contestant,
                otherwise,
            },
            Chore::Connect { contestant } => Action::Connect {
                contestant,
                addr: self.dialing()?.addr_of(contestant)?,
            },
            Chore::LeavePool => Action::LeavePool,
        })
    }
}
