//! Canceling a call from another thread costs the call no system call.
//!
//! A slot is a flag and what the call is blocked on. The call registers before it can block and looks at the
//! flag again; `cancel` sets the flag, then ends the wait. The slot is cleared under the same lock before a
//! connection goes back, so a late cancel never touches one that serves somebody else.
//!
//! A call that waits for a connection can be woken through the same slot without being canceled. Each wait has a
//! number, so that a wake-up that comes late touches nothing that the call does by then.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::park::Parker;
use crate::net::poll::Bell;
use crate::net::wait::Waker;

/// Cancels one call, from any thread. Canceling a call that is over does nothing; canceling one before it is
/// sent makes `send` fail at once. Dropping the handle does nothing.
#[derive(Debug, Clone, Default)]
pub struct CancelHandle(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    is_canceled: AtomicBool,
    wait: Mutex<Wait>,
}

/// The wait that the call is in.
#[derive(Debug, Default)]
struct Wait {
    on: BlockedOn,
    number: u64,
    listening: Listening,
}

/// Whether the wait can be ended without a cancel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Listening {
    #[default]
    No,
    Yes,
}

/// Ends one wait of a call from any thread, without canceling the call. It can be used once, and is of no effect
/// when that wait is over.
#[derive(Debug)]
pub(crate) struct Alarm {
    handle: CancelHandle,
    number: u64,
}

impl Alarm {
    /// Ends the wait.
    pub(crate) fn wake(self) {
        let mut wait = self.handle.lock();
        if wait.number == self.number && wait.listening == Listening::Yes {
            wait.listening = Listening::No;
            wait.on.end();
        }
    }
}

#[derive(Debug, Default)]
enum BlockedOn {
    #[default]
    Nothing,
    Socket(Arc<socket2::Socket>),
    Waker(Arc<Waker>),
    Parker(Arc<Parker>),
    Bell(Bell),
}

impl BlockedOn {
    /// Ends the wait.
    fn end(&self) {
        match self {
            Self::Nothing => {}
            Self::Socket(socket) => {
                let _ = socket.shutdown(Shutdown::Both);
            }
            Self::Waker(waker) => waker.wake(),
            Self::Parker(parker) => parker.wake(),
            Self::Bell(bell) => bell.ring(),
        }
    }
}

impl CancelHandle {
    /// Cancels the call. It ends with an error for which `is_canceled` holds.
    pub fn cancel(&self) {
        self.0.is_canceled.store(true, Ordering::Release);
        self.lock().on.end();
    }

    /// Says whether `cancel` was called.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.is_canceled.load(Ordering::Acquire)
    }

    /// Registers a socket that the call may block on from now on.
    pub(crate) fn block_on_socket(&self, socket: Arc<socket2::Socket>) {
        self.lock().on = BlockedOn::Socket(socket);
    }

    /// Registers a wake-up that the call may block on from now on.
    pub(crate) fn block_on_waker(&self, waker: Arc<Waker>) {
        self.lock().on = BlockedOn::Waker(waker);
    }

    /// Registers a place where the call may sleep from now on.
    pub(crate) fn block_on_parker(&self, parker: Arc<Parker>) {
        self.lock().on = BlockedOn::Parker(parker);
    }

    /// Registers the bell by which an event loop is woken from now on.
    pub(crate) fn block_on_bell(&self, bell: Bell) {
        self.lock().on = BlockedOn::Bell(bell);
    }

    /// Begins a wait that can be ended without a cancel; the one before is over.
    pub(crate) fn listen(&self) -> Alarm {
        let mut wait = self.lock();
        wait.number = wait.number.wrapping_add(1);
        wait.listening = Listening::Yes;
        Alarm {
            handle: self.clone(),
            number: wait.number,
        }
    }

    /// Ends such a wait: from now on its alarm touches nothing.
    pub(crate) fn stop_listening(&self) {
        self.lock().listening = Listening::No;
    }

    /// The call blocks on nothing any more.
    pub(crate) fn clear(&self) {
        self.lock().on = BlockedOn::Nothing;
    }

    fn lock(&self) -> MutexGuard<'_, Wait> {
        self.0.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
