//! How a call begins, by whichever door it came.

use std::sync::Arc;

use crate::drive::apply::Running;
use crate::drive::contestants::Contestants;
use crate::drive::engine::{Engine, next_call};
use crate::drive::outlook::News;
use crate::drive::upload::Upload;
use crate::drive::waits::Waits;
use crate::error::Error;
use crate::event::{Emitter, ObserverRef, Observers};
use crate::flow::call::{self, Call, Changes};
use crate::net::cancel::CancelHandle;
use crate::net::clock;
use crate::proto::plan::Wish;

/// A request as a driver takes it.
pub(crate) struct Ready {
    pub(crate) wish: Wish,
    pub(crate) upload: Upload,
    pub(crate) changes: Option<Box<Changes>>,
    pub(crate) observers: Vec<ObserverRef>,
    pub(crate) cancel: Option<CancelHandle>,
}

impl Engine {
    /// Makes a call that has not begun. It is large, and is put into its box where it is made.
    ///
    /// # Errors
    /// Why its plan was refused before any I/O; that is told.
    pub(crate) fn prepare(
        self: &Arc<Self>,
        mut ready: Ready,
        waits: Waits,
    ) -> Result<Box<Running>, Error> {
        let settled = match ready.wish.settle(|url| self.speaks_http10(url)) {
            Ok(settled) => settled,
            Err(error) => return Err(self.refuse(&ready, error)),
        };
        let changed = ready.changes;
        let changed = changed.map(|changes| Arc::new(self.settings.changed(*changes)));
        let settings = changed.as_ref().unwrap_or(&self.settings).clone();
        let observers = Observers::of_call(&ready.observers, &self.observers);
        let memory = if waits.may_block() {
            self.memory()
        } else {
            None
        };
        let now = clock::now();
        // The large parts come last: what can fail behind them would have to take them apart again.
        Ok(Box::new(Running {
            engine: self.clone(),
            changed,
            memory,
            upload: ready.upload,
            cancel: ready.cancel,
            ear: None,
            nudge: None,
            lease: None,
            contestants: Contestants::default(),
            waits,
            news: News::Unknown,
            awaits: None,
            now,
            emitter: Emitter::new(self.telling.clone(), observers),
            call: Call::new(next_call(), ready.wish.into_plan(settled), settings),
        }))
    }

    /// Tells of a call that nothing comes of.
    fn refuse(&self, ready: &Ready, error: Error) -> Error {
        let mut emitter = self.emitter(&ready.observers);
        let plan = ready.wish.unsettled();
        call::refuse(next_call(), plan, &error, clock::now(), &mut emitter);
        emitter.deliver();
        error
    }

    /// An emitter for those observers and the client's.
    pub(super) fn emitter(&self, observers: &[ObserverRef]) -> Emitter {
        let observers = Observers::of_call(observers, &self.observers);
        Emitter::new(self.telling.clone(), observers)
    }
}
