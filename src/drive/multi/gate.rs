//! Where calls are made ready: on any thread, before they are in the loop.

use std::sync::Arc;

use crate::drive::apply::Running;
use crate::drive::engine::Engine;
use crate::drive::start::Ready;
use crate::drive::waits::Waits;
use crate::error::Error;
use crate::flow::call::Call;
use crate::net::poll::Bell;

/// Makes calls for one loop.
pub(crate) struct Gate {
    engine: Arc<Engine>,
}

/// A call that has not begun. Dropping it tells nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) running: Box<Running>,
}

impl Gate {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine: Arc::new(engine),
        }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// Why its plan was refused before any I/O.
    pub(crate) fn prepare(&self, ready: Ready) -> Result<Prepared, Error> {
        let running = self.engine.prepare(ready, Waits::InLoop)?;
        if let Some(cancel) = &running.cancel {
            cancel.ring(running.bell());
        }
        Ok(Prepared { running })
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
