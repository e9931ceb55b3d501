//! How the caller's source or sink, which said "not now", lets its call go on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use crate::drive::apply::Running;
use crate::drive::waits::Alert;
use crate::net::wait;

/// A wake-up that leaves a note, so that a call knows that it was meant. A call lends the same one to its source and its
/// sink, since each looks at what it can do.
#[derive(Debug)]
pub(crate) struct Nudge {
    is_nudged: AtomicBool,
    alert: Alert,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_nudged.store(true, Ordering::Release);
        self.alert.wake();
    }
}

impl Running {
    /// The waker that sources and sinks are lent, made when it is first needed.
    ///
    /// # Errors
    /// The system has no descriptor for it.
    pub(crate) fn lend_waker(&mut self) -> io::Result<Waker> {
        let nudge = match self.nudge.take() {
            Some(nudge) => nudge,
            None => Arc::new(Nudge {
                is_nudged: AtomicBool::new(false),
                alert: self.alert()?,
            }),
        };
        Ok(self.nudge.insert(nudge).clone().into())
    }

    /// Says whether a source or a sink nudged the call since it was last asked.
    pub(crate) fn take_nudge(&self) -> bool {
        let nudge = self.nudge.as_ref();
        nudge.is_some_and(|nudge| nudge.is_nudged.swap(false, Ordering::AcqRel))
    }

    /// What a thread has to poll for, beside its socket, to be nudged.
    pub(crate) fn nudged_by(&self) -> Option<&Arc<wait::Waker>> {
        self.nudge.as_ref()?.alert.waker()
    }

    /// Gives up what was leased, if no source or sink still holds it.
    pub(crate) fn end_nudges(&mut self) {
        if let Some(nudge) = self.nudge.take().and_then(Arc::into_inner) {
            nudge.alert.end(&self.engine.wakers);
        }
    }
}
