//! Who was woken. The rule: **while somebody was woken and not told, the wait ends**: the first who rings wakes the
//! system, under the lock that the reader takes all by.

use crate::net::poll::Owner;
use crate::net::sync::{Mutex, lock};

/// Ends the wait of the system, or its next one.
pub(crate) trait Wake {
    fn wake(&self);
}

/// It fails only if a wake-up is there already.
impl Wake for mio::Waker {
    fn wake(&self) {
        let _ = Self::wake(self);
    }
}

/// Those who were woken and not told yet.
#[derive(Debug)]
pub(crate) struct Wakeups<W> {
    rung: Mutex<Vec<Owner>>,
    waker: W,
}

impl<W: Wake> Wakeups<W> {
    pub(crate) fn new(waker: W) -> Self {
        Self {
            rung: Mutex::new(Vec::new()),
            waker,
        }
    }

    /// Wakes somebody.
    pub(crate) fn ring(&self, owner: Owner) {
        let mut rung = lock(&self.rung);
        rung.push(owner);
        if rung.len() == 1 {
            self.waker.wake();
        }
    }

    /// Says whether there is somebody to tell.
    pub(crate) fn is_rung(&self) -> bool {
        !lock(&self.rung).is_empty()
    }

    /// Takes all who are to be told, after a wait.
    pub(crate) fn take(&self, woken: &mut Vec<Owner>) {
        woken.append(&mut lock(&self.rung));
    }

    #[cfg(all(test, loom))]
    pub(crate) fn waker(&self) -> &W {
        &self.waker
    }
}
