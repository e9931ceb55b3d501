//! How a call begins, by whichever door it came.

use std::sync::Arc;

use crate::drive::apply::{Running, Upload};
use crate::drive::contestants::Contestants;
use crate::drive::engine::{Engine, next_call};
use crate::drive::waits::Waits;
use crate::error::Error;
use crate::event::{Emitter, ObserverRef, Observers};
use crate::flow::call::{self, Call, Changes};
use crate::net::cancel::CancelHandle;
use crate::net::clock;
use crate::proto::plan::{Plan, Refused, Wish};

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
        ready: Ready,
        waits: Waits,
    ) -> Result<Box<Running>, Error> {
        let Ready {
            wish,
            upload,
            changes,
            observers,
            cancel,
        } = ready;
        let plan = match Plan::new(wish, |url| self.speaks_http10(url)) {
            Ok(plan) => plan,
            Err(refused) => return Err(self.refuse(*refused, &observers)),
        };
        let settings = match changes {
            None => self.settings.clone(),
            Some(changes) => Arc::new(self.settings.changed(*changes)),
        };
        Ok(Box::new(Running {
            call: Call::new(next_call(), plan, settings.clone()),
            engine: self.clone(),
            settings,
            emitter: self.emitter(&observers),
            memory: self.memory(),
            upload,
            cancel,
            ear: None,
            nudge: None,
            lease: None,
            contestants: Contestants::default(),
            waits,
            now: clock::now(),
        }))
    }

    /// Tells of a call that nothing comes of.
    fn refuse(&self, refused: Refused, observers: &[ObserverRef]) -> Error {
        let Refused { error, plan } = refused;
        let mut emitter = self.emitter(observers);
        call::refuse(next_call(), &plan, &error, clock::now(), &mut emitter);
        emitter.deliver();
        error
    }

    /// An emitter for those observers and the client's.
    pub(super) fn emitter(&self, observers: &[ObserverRef]) -> Emitter {
        let observers = Observers::of_call(observers, &self.observers);
        Emitter::new(self.telling.clone(), observers)
    }
}
