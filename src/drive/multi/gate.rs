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
    next: AtomicU64,
}

/// A call that has not begun. Dropping it tells nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) number: u64,
    pub(super) running: Box<Running>,
}

impl Gate {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine: Arc::new(engine),
            next: AtomicU64::new(1),
        }
    }

    /// Makes a call, with a number that no other call of the loop gets.
    ///
    /// # Errors
    /// Why its plan was refused before any I/O.
    pub(crate) fn prepare(&self, ready: Ready) -> Result<Prepared, Error> {
        let number = self.number();
        if let Some(cancel) = &ready.cancel {
            cancel.ring(self.engine.bell.to(Owner::One(number)));
        }
        let running = self.engine.prepare(ready, Waits::InLoop(number))?;
        Ok(Prepared { number, running })
    }

    /// A number that nobody else of the loop gets.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What the calls of the loop share.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Wakes the loop, and none of its calls.
    pub(crate) fn bell(&self) -> Bell {
        self.engine.bell.clone()
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
