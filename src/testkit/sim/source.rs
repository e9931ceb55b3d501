//! How the source of a simulated upload lets its call wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

/// What the source does each time it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pace {
    AtOnce,
    /// It gives a piece after that time, and nothing else happens to the call meanwhile.
    Blocks(Duration),
    /// It says "not now", and has a piece after that time.
    NotNow(Duration),
}

/// What a source that says "not now" has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    Nothing,
    /// Something is on its way.
    Coming,
    Piece,
}

/// That a source said that it has more.
#[derive(Debug, Default)]
pub(super) struct Nudge(AtomicBool);

impl Nudge {
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A nudge, and the waker for it.
pub(super) fn nudge() -> (Arc<Nudge>, Waker) {
    let nudge = Arc::new(Nudge::default());
    (nudge.clone(), nudge.into())
}
