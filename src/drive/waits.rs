//! How a call waits: on the thread that made it, or parked in an event loop. All that the drivers differ in stands here.

use std::io;
use std::sync::Arc;

use crate::drive::apply::Running;
use crate::drive::lease::Lease;
use crate::net::park::Parker;
use crate::net::poll::{Bell, Owner};
use crate::net::socket::Unconnected;
use crate::net::wait::{Waker, Wakers};

/// How a call waits.
#[derive(Debug)]
pub(crate) enum Waits {
    /// On its thread; while it is in the queue, here.
    OnThread(Option<Arc<Parker>>),
    /// In an event loop, which knows it by its id.
    InLoop,
}

/// What the resolver wakes a call by.
#[derive(Debug)]
pub(crate) enum Alert {
    /// Its thread polls.
    Waker(Arc<Waker>),
    Bell(Bell),
}

impl Alert {
    pub(crate) fn wake(&self) {
        match self {
            Self::Waker(waker) => waker.wake(),
            Self::Bell(bell) => bell.ring(),
        }
    }

    /// The wake-up that a thread polls for.
    pub(crate) fn waker(&self) -> Option<&Arc<Waker>> {
        match self {
            Self::Waker(waker) => Some(waker),
            Self::Bell(_) => None,
        }
    }

    /// Gives up what is leased.
    pub(crate) fn end(self, wakers: &Wakers) {
        match self {
            Self::Waker(waker) => wakers.give_back(waker),
            Self::Bell(_) => {}
        }
    }
}

impl Waits {
    /// Where the call sleeps, if it is in the queue on its thread.
    pub(crate) fn parker(&self) -> Option<Arc<Parker>> {
        match self {
            Self::OnThread(parker) => parker.clone(),
            Self::InLoop => None,
        }
    }

    /// Says whether the call may block in one system call.
    pub(crate) fn may_block(&self) -> bool {
        matches!(self, Self::OnThread(_))
    }
}

impl Running {
    /// Whom reports are for that are for this call.
    pub(crate) fn owner(&self) -> Owner {
        Owner::One(self.call.id().get())
    }

    /// What wakes this call in its loop.
    pub(crate) fn bell(&self) -> Bell {
        self.engine.bell.to(self.owner())
    }

    /// What the resolver, a source or a sink is to wake the call by.
    pub(crate) fn alert(&self) -> io::Result<Alert> {
        match self.waits {
            Waits::OnThread(_) => self.engine.wakers.lease().map(Alert::Waker),
            Waits::InLoop => Ok(Alert::Bell(self.bell())),
        }
    }

    /// Lets an event loop watch a socket whose connect was begun.
    pub(crate) fn watch(&self, socket: &mut Unconnected) -> io::Result<()> {
        match self.waits {
            Waits::OnThread(_) => Ok(()),
            Waits::InLoop => socket.watch(&self.bell()),
        }
    }

    /// Registers the place where the call is woken while it is in the queue: by a cancel, and by a connection that comes
    /// back.
    pub(crate) fn begin_queue(&mut self) -> Option<Arc<Parker>> {
        match &self.waits {
            Waits::OnThread(_) => {
                let parker = Arc::new(Parker::default());
                self.block_on(|handle, call| handle.block_on_parker(call, parker.clone()));
                Some(parker)
            }
            Waits::InLoop => {
                self.hear();
                None
            }
        }
    }

    /// The call is in the queue from now on.
    pub(crate) fn sleep_in(&mut self, place: Option<Arc<Parker>>) {
        if let Waits::OnThread(parker) = &mut self.waits {
            *parker = place;
        }
    }

    /// The call is not in the queue any more; says whether it was, on its thread.
    pub(crate) fn wake_up(&mut self) -> bool {
        match &mut self.waits {
            Waits::OnThread(parker) => parker.take().is_some(),
            Waits::InLoop => false,
        }
    }

    /// Lets the pool wake a call in an event loop.
    pub(crate) fn hear(&mut self) {
        if matches!(self.waits, Waits::InLoop) {
            let bell = self.bell();
            self.ear.get_or_insert_default().ring(bell);
        }
    }

    /// From now on a cancel ends the waits for the connection on loan, and reports about it are for this call.
    pub(crate) fn wait_on(&self, lease: &Lease) {
        match (&self.waits, &self.cancel) {
            (Waits::InLoop, _) => lease.transport.give(self.owner()),
            (Waits::OnThread(_), Some(cancel)) => {
                cancel.block_on_socket(self.call.id().get(), lease.transport.shared());
            }
            (Waits::OnThread(_), None) => {}
        }
    }

    /// Nothing touches a socket or a wake-up of the call any more, or keeps it open. In an event loop nothing does.
    pub(crate) fn block_on_nothing(&self) {
        if self.waits.may_block() {
            for handle in [&self.cancel, &self.ear].into_iter().flatten() {
                handle.clear(self.call.id().get());
            }
        }
    }
}
