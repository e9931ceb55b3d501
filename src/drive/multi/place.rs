//! Where calls, and dials without one, are between their turns.

/// Steps of one of them in one turn. A step is a receive, a send, a wake-up, or a piece of
/// content that is taken; what is done for a whole batch is not counted.
pub(super) const STEPS: usize = 16;

/// Where one of them is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Parked,
    /// In the ready queue.
    Queued,
}

impl Place {
    /// Notes that it goes into the ready queue; says whether it was not there.
    pub(super) fn queue(&mut self) -> bool {
        std::mem::replace(self, Self::Queued) == Self::Parked
    }
}
