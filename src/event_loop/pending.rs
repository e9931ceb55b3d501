//! A call of a loop on a thread of its own, as the one who submitted it has it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::error::{RequestRule, Result};
use crate::event_loop::handle::Shared;
use crate::event_loop::{Completion, Ticket};

/// A call that was [submitted](crate::Handle::submit) and completes once.
///
/// **Drop** detaches: the call goes on, and its completion goes to nobody. [`cancel_on_drop`](Pending::cancel_on_drop)
/// cancels it instead.
#[must_use = "dropping it detaches the call"]
pub struct Pending {
    ticket: Ticket,
    completions: Receiver<Completion>,
    shared: Arc<Shared>,
    on_drop: OnDrop,
}

/// What dropping does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    Detach,
    Cancel,
}

impl Pending {
    pub(super) fn new(
        ticket: Ticket,
        completions: Receiver<Completion>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            ticket,
            completions,
            shared,
            on_drop: OnDrop::Detach,
        }
    }

    /// Waits for the completion. It comes in any case: a call has its deadlines, and a call that is lost with its loop
    /// completes with [`ErrorKind::Internal`](crate::ErrorKind::Internal) or
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    ///
    /// # Errors
    /// [`RequestRule::CompletionTaken`] when the completion was taken before. What the call failed with is in the
    /// completion.
    pub fn wait(mut self) -> Result<Completion> {
        let done = self.completions.recv();
        self.on_drop = OnDrop::Detach;
        done.map_err(|_| RequestRule::CompletionTaken.into())
    }

    /// Takes the completion if it is there.
    #[must_use = "the completion comes only once"]
    pub fn try_wait(&self) -> Option<Completion> {
        self.completions.try_recv().ok()
    }

    /// Waits for the completion, for so long at the most. None at once when it was taken before.
    #[must_use = "the completion comes only once"]
    pub fn wait_timeout(&self, limit: Duration) -> Option<Completion> {
        self.completions.recv_timeout(limit).ok()
    }

    /// The ticket of the call.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Cancels the call: it completes soon with an error for which [`is_canceled`](crate::Error::is_canceled) holds,
    /// unless it has completed.
    pub fn cancel(&self) {
        self.shared.cancel(self.ticket);
    }

    /// The receiver of the one completion, for `select!`. It is disconnected once the completion was taken.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<Completion> {
        &self.completions
    }

    /// From now on dropping this cancels the call.
    pub fn cancel_on_drop(mut self) -> Self {
        self.on_drop = OnDrop::Cancel;
        self
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Cancel {
            self.cancel();
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}
