//! Canceling a call from another thread costs the call no system call.
//!
//! A slot is a flag and what the call is blocked on. The call registers before it can block and looks at the
//! flag again; `cancel` sets the flag, then ends the wait. The slot is cleared under the same lock before a
//! connection goes back, so a late cancel never touches one that serves somebody else.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::wait::Waker;

/// Cancels one call, from any thread. Canceling a call that is over does nothing; canceling one before it is
/// sent makes `send` fail at once. Dropping the handle does nothing.
#[derive(Debug, Clone, Default)]
pub struct CancelHandle(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    is_canceled: AtomicBool,
    blocked_on: Mutex<BlockedOn>,
}

#[derive(Debug, Default)]
enum BlockedOn {
    #[default]
    Nothing,
    Socket(Arc<socket2::Socket>),
    Waker(Arc<Waker>),
}

impl CancelHandle {
    /// Cancels the call. It ends with an error for which `is_canceled` holds.
    pub fn cancel(&self) {
        self.0.is_canceled.store(true, Ordering::Release);
        match &*self.lock() {
            BlockedOn::Nothing => {}
            BlockedOn::Socket(socket) => {
                let _ = socket.shutdown(Shutdown::Both);
            }
            BlockedOn::Waker(waker) => waker.wake(),
        }
    }

    /// Says whether `cancel` was called.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.is_canceled.load(Ordering::Acquire)
    }

    /// Registers a socket that the call may block on from now on.
    pub(crate) fn block_on_socket(&self, socket: Arc<socket2::Socket>) {
        *self.lock() = BlockedOn::Socket(socket);
    }

    /// Registers a wake-up that the call may block on from now on.
    pub(crate) fn block_on_waker(&self, waker: Arc<Waker>) {
        *self.lock() = BlockedOn::Waker(waker);
    }

    /// The call blocks on nothing any more.
    pub(crate) fn clear(&self) {
        *self.lock() = BlockedOn::Nothing;
    }

    fn lock(&self) -> MutexGuard<'_, BlockedOn> {
        self.0
            .blocked_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
