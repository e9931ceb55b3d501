//! Parting a call from its dial, which goes on as if it were a call.

use crate::drive::apply::Running;
use crate::drive::engine::next_call;
use crate::drive::outlook::News;
use crate::drive::upload::Upload;
use crate::drive::waits::Waits;
use crate::flow::dial::Dial;
use crate::net::poll::Owner;

impl Running {
    /// Makes a call of its own of the dial that goes on without this one, with its sockets and its lookup; it waits as
    /// `waits` says. None if there is no point in it: it is given up then.
    pub(crate) fn part(&mut self, waits: Waits) -> Option<Box<Self>> {
        let alone = next_call();
        let call = *self.call.take_detached(alone)?;
        let dial = call.dialing().map(Dial::id)?;
        let is_kept = self.engine.detach(self.call.id(), alone, self.now);
        let names = self.hand_over_names(alone, &waits);
        let mut contestants = std::mem::take(&mut self.contestants);
        contestants.names = names;
        if matches!(waits, Waits::InLoop) {
            contestants.give(Owner::One(alone.get()));
        }
        let detached = Box::new(Self {
            call,
            engine: self.engine.clone(),
            changed: self.changed.clone(),
            emitter: self.emitter.of_dial(dial),
            memory: None,
            upload: Upload::Empty,
            cancel: None,
            ear: None,
            nudge: None,
            lease: None,
            contestants,
            waits,
            news: News::Unknown,
            awaits: None,
            now: self.now,
        });
        is_kept.then_some(detached)
    }

    /// Gives the dial up that goes on without this call: nobody is there to drive it.
    pub(crate) fn end_parting(&mut self) {
        drop(self.part(Waits::OnThread(None)));
    }
}
