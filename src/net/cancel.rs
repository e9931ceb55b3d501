//! Canceling a call from another thread costs the call no system call.
//!
//! A slot is a flag and what each of its calls is blocked on. A call registers before it can block and looks at the
//! flag again; `cancel` sets the flag, then ends all the waits. A call clears its own under the same lock before a
//! connection goes back, so a late cancel never touches one that serves somebody else.
//!
//! A call that waits for a connection can be woken through the same slot without being canceled. Each wait has a
//! number, so that a wake-up that comes late touches nothing that the call does by then.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::net::park::Parker;
use crate::net::poll::{Bell, Owner};
use crate::net::sync::{AtomicBool, Mutex, MutexGuard, lock};
use crate::net::wait::Waker;

/// Cancels a call, or several that it was given to, from any thread. Canceling a call that is over does nothing;
/// canceling one before it is sent makes `send` fail at once. Dropping the handle does nothing.
#[derive(Debug, Clone, Default)]
pub struct CancelHandle(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    is_canceled: AtomicBool,
    wait: Mutex<Wait>,
}

/// The waits that the calls are in. A call that has the slot for itself allocates nothing.
#[derive(Debug, Default)]
struct Wait {
    first: Option<(u64, BlockedOn)>,
    others: Vec<(u64, BlockedOn)>,
    bells: Vec<Bell>,
    number: u64,
    listening: Listening,
}

impl Wait {
    fn block(&mut self, call: u64, on: BlockedOn) {
        self.clear(call);
        if self.first.is_none() {
            self.first = Some((call, on));
        } else {
            self.others.push((call, on));
        }
    }

    fn clear(&mut self, call: u64) {
        self.first.take_if(|(of, _)| *of == call);
        self.others.retain(|(of, _)| *of != call);
    }

    /// Ends the waits of all calls.
    fn end(&self) {
        for (_, on) in self.first.iter().chain(&self.others) {
            on.end();
        }
        self.bells.iter().for_each(Bell::ring);
    }
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
            wait.end();
        }
    }
}

#[derive(Debug)]
enum BlockedOn {
    Socket(Arc<socket2::Socket>),
    Waker(Arc<Waker>),
    Parker(Arc<Parker>),
}

impl BlockedOn {
    /// Ends the wait.
    fn end(&self) {
        match self {
            Self::Socket(socket) => {
                let _ = socket.shutdown(Shutdown::Both);
            }
            Self::Waker(waker) => waker.wake(),
            Self::Parker(parker) => parker.wake(),
        }
    }
}

impl CancelHandle {
    /// Cancels the call, and every other that the handle was given to, also one that is still to be sent. Each ends with
    /// an error for which `is_canceled` holds.
    pub fn cancel(&self) {
        self.0.is_canceled.store(true, Ordering::Release);
        self.lock().end();
    }

    /// Says whether `cancel` was called.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.is_canceled.load(Ordering::Acquire)
    }

    /// Registers a socket that the call may block on from now on.
    pub(crate) fn block_on_socket(&self, call: u64, socket: Arc<socket2::Socket>) {
        self.lock().block(call, BlockedOn::Socket(socket));
    }

    /// Registers a wake-up that the call may block on from now on.
    pub(crate) fn block_on_waker(&self, call: u64, waker: Arc<Waker>) {
        self.lock().block(call, BlockedOn::Waker(waker));
    }

    /// Registers a place where the call may sleep from now on.
    pub(crate) fn block_on_parker(&self, call: u64, parker: Arc<Parker>) {
        self.lock().block(call, BlockedOn::Parker(parker));
    }

    /// Rings a bell of an event loop from now on. Of several calls of one loop, one bell wakes everybody there: there is
    /// no list of those that the handle was ever given to.
    pub(crate) fn ring(&self, bell: Bell) {
        let bells = &mut self.lock().bells;
        match bells.iter_mut().find(|other| other.is_beside(&bell)) {
            Some(other) if *other != bell => *other = bell.to(Owner::Everybody),
            Some(_) => {}
            None => bells.push(bell),
        }
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
    pub(crate) fn clear(&self, call: u64) {
        self.lock().clear(call);
    }

    fn lock(&self) -> MutexGuard<'_, Wait> {
        lock(&self.0.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::poll::Poller;

    fn parked(handle: &CancelHandle, call: u64) -> Arc<Parker> {
        let parker = Arc::new(Parker::default());
        handle.block_on_parker(call, parker.clone());
        parker
    }

    fn is_woken(parker: &Parker) -> bool {
        parker.wait(Some(crate::testing::origin()))
    }

    #[test]
    fn a_cancel_ends_the_waits_of_all_calls_of_a_handle() {
        let handle = CancelHandle::default();
        let parkers = [1, 2, 3].map(|call| parked(&handle, call));
        handle.cancel();
        assert!(parkers.iter().all(|parker| is_woken(parker)));
    }

    #[test]
    fn a_cancel_wakes_the_one_call_of_a_loop_and_everybody_if_there_are_several() {
        let mut poller = Poller::new().unwrap();
        let (own, shared) = (CancelHandle::default(), CancelHandle::default());
        let bells = [7, 8].map(|number| poller.bell(Owner::One(number)));
        for _ in 0..2 {
            own.ring(bells[0].clone());
        }
        for bell in bells {
            shared.ring(bell);
        }
        let mut woken = Vec::new();
        for handle in [own, shared] {
            handle.cancel();
            poller.wait(None, &mut woken).unwrap();
        }
        assert_eq!(woken, [Owner::One(7), Owner::Everybody]);
    }

    #[test]
    fn a_call_that_waits_for_nothing_more_clears_its_own_wait_only() {
        let handle = CancelHandle::default();
        let before = parked(&handle, 1);
        let [first, second, third] = [1, 2, 3].map(|call| parked(&handle, call));
        handle.clear(1);
        handle.clear(3);
        let late = parked(&handle, 4);
        handle.cancel();
        let woken = [before, first, second, third, late].map(|parker| is_woken(&parker));
        assert_eq!(woken, [false, false, true, false, true]);
    }
}
