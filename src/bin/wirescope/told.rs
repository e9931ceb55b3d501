//! What is told of the calls under way, call by call: with `-Z` the events of all of them come mixed.

use std::collections::BTreeMap;

use wirescope::event::{Event, Events};
use wirescope::ids::CallId;

/// The events of calls that are not done.
#[derive(Debug)]
pub(crate) struct Told {
    events: Events,
    of: BTreeMap<CallId, Vec<Event>>,
}

impl Told {
    pub(crate) fn new(events: Events) -> Self {
        Self {
            events,
            of: BTreeMap::new(),
        }
    }

    /// Takes what was told since the last time.
    pub(crate) fn listen(&mut self) {
        for event in self.events.try_iter() {
            if let Some(call) = event.call() {
                self.of.entry(call).or_default().push(event);
            }
        }
    }

    /// The events of a call that is done.
    pub(crate) fn take(&mut self, call: CallId) -> Vec<Event> {
        self.listen();
        self.of.remove(&call).unwrap_or_default()
    }
}
