//! Where calls get their numbers and are made ready: on any thread, before they are in the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::drive::apply::Running;
use crate::drive::engine::Engine;
use crate::drive::start::Ready;
use crate::drive::waits::Waits;
use crate::error::Error;
use crate::flow::call::Call;
use crate::net::poll::{Bell, Owner};

/// Makes calls for one loop.
pub(crate) struct Gate {
    engine: Arc<Engine>,
    bell: Bell,
    next: AtomicU64,
}

/// A call that has not begun. Dropping it tells nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) number: u64,
    pub(super) running: Box<Running>,
}

impl Gate {
    pub(super) fn new(engine: Arc<Engine>, bell: Bell) -> Self {
        Self {
            engine,
            bell,
            next: AtomicU64::new(1),
        }
    }

    /// Makes a call, with a number that no other call of the loop gets.
    ///
    /// # Errors
    /// Why its plan was refused before any I/O.
    pub(crate) fn prepare(&self, ready: Ready) -> Result<Prepared, Error> {
        let (number, bell) = self.number();
        if let Some(cancel) = &ready.cancel {
            cancel.ring(bell.clone());
        }
        let waits = Waits::InLoop(bell);
        let running = self.engine.prepare(ready, waits)?;
        Ok(Prepared { number, running })
    }

    /// A number that nobody else of the loop gets, and what wakes whom it names.
    pub(super) fn number(&self) -> (u64, Bell) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, self.bell.to(Owner::One(number)))
    }

    /// What the calls of the loop share.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Wakes the loop, and none of its calls.
    pub(crate) fn bell(&self) -> Bell {
        self.bell.to(Owner::Loop)
    }
}

impl Prepared {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The call, as its events name it, and what it asks for.
    pub(crate) fn call(&self) -> &Call {
        &self.running.call
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
