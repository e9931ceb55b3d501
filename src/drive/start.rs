//! How a call begins, by whichever door it came.

use std::sync::Arc;

use crate::config::Timeouts;
use crate::drive::apply::{Running, Upload};
use crate::drive::contestants::Contestants;
use crate::drive::engine::{Engine, next_call};
use crate::drive::outlook::News;
use crate::drive::waits::Waits;
use crate::error::Error;
use crate::event::{Emitter, ObserverRef, Observers};
use crate::flow::call::{self, Call};
use crate::flow::proxy::GivenProxy;
use crate::flow::redirect::RedirectPolicy;
use crate::message::peer_addr::UnixAddr;
use crate::net::cancel::CancelHandle;
use crate::net::clock;
use crate::proto::plan::{Plan, Refused};

/// A request as a driver takes it.
pub(crate) struct Ready {
    pub(crate) plan: Result<Plan, Box<Refused>>,
    pub(crate) upload: Upload,
    pub(crate) timeouts: Option<Box<Timeouts>>,
    pub(crate) redirects: Option<RedirectPolicy>,
    pub(crate) proxy: Option<GivenProxy>,
    pub(crate) unix: Option<UnixAddr>,
    pub(crate) observers: Vec<ObserverRef>,
    pub(crate) cancel: Option<CancelHandle>,
}

impl Engine {
    /// Makes a call that has not begun.
    ///
    /// # Errors
    /// Why its plan was refused before any I/O; that is told.
    pub(crate) fn prepare(self: &Arc<Self>, ready: Ready, waits: Waits) -> Result<Running, Error> {
        let observers = Observers::of_call(&ready.observers, &self.observers);
        let mut emitter = Emitter::new(self.telling.clone(), observers);
        let id = next_call();
        let plan = ready.plan.map_err(|refused| {
            let Refused { error, plan } = *refused;
            call::refuse(id, &plan, &error, clock::now(), &mut emitter);
            emitter.deliver();
            error
        })?;
        let settings = match (ready.timeouts, ready.redirects, ready.proxy, ready.unix) {
            (None, None, None, None) => self.settings.clone(),
            (timeouts, redirects, proxy, unix) => {
                Arc::new(self.settings.changed(timeouts, redirects, proxy, unix))
            }
        };
        Ok(Running {
            call: Call::new(id, plan, settings.clone()),
            engine: self.clone(),
            settings,
            emitter,
            memory: self.memory(),
            upload: ready.upload,
            cancel: ready.cancel,
            ear: None,
            nudge: None,
            lease: None,
            contestants: Contestants::default(),
            waits,
            news: News::Unknown,
            awaits: None,
            now: clock::now(),
        })
    }
}
