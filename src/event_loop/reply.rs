//! The promise of one completion. It is kept on drop at the latest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use crate::error::{Error, ErrorKind, Phase};
use crate::event_loop::Completion;
use crate::event_loop::handle::Shared;
use crate::flow::call::Call;
use crate::ids::CallId;
use crate::message::url::Url;

/// Where the completion of a call goes. Dropped, it tells that the call was lost with its loop.
pub(super) struct Reply {
    call: CallId,
    url: Url,
    to: Option<Sender<Completion>>,
    shared: Arc<Shared>,
}

impl Reply {
    pub(super) fn new(call: &Call, to: Sender<Completion>, shared: Arc<Shared>) -> Self {
        shared.calls.fetch_add(1, Ordering::Relaxed);
        Self {
            call: call.id(),
            url: call.plan().url.clone(),
            to: Some(to),
            shared,
        }
    }

    /// The call has completed. If nobody waits any more, that is that.
    pub(super) fn send(mut self, done: Completion) {
        self.end(|_| done);
    }

    /// The call was lost for this reason.
    pub(super) fn fail(mut self, error: Error) {
        self.end(|reply| reply.lost(error));
    }

    /// There is no call, and nobody has its ticket.
    pub(super) fn withdraw(mut self) {
        if self.to.take().is_some() {
            self.shared.calls.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn end(&mut self, done: impl FnOnce(&Self) -> Completion) {
        if let Some(to) = self.to.take() {
            let done = done(self);
            self.shared.calls.fetch_sub(1, Ordering::Relaxed);
            let _ = to.send(done);
        }
    }

    fn lost(&self, error: Error) -> Completion {
        Completion::lost(self.call, self.url.clone(), error)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.end(|reply| reply.lost(Error::new(ErrorKind::Internal, Phase::Done)));
    }
}
