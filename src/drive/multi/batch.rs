//! Calls that go on together.
//!
//! The rule here: **the system does for all what it does for one.** A system call fills most of what a processor keeps of
//! instructions, and so does the code of a call: done in turn, neither finds its own there again. So a batch receives,
//! then its calls go on, then it sends.
//!
//! ```text
//!   fresh --------------> go on until they send --> send --> go on
//!   ready --> receive --> go on until they send --> send --> go on
//! ```

use std::ops::Range;

use crate::drive::multi::task::{Sends, Terms};
use crate::drive::multi::{Loop, Taker};
use crate::drive::outlook::News;
use crate::flow::action::Input;

/// Calls of a batch at the most. The system is asked before each batch that begins.
pub(super) const BATCH: usize = 64;

/// Those that go on together.
#[derive(Default)]
pub(super) struct Batch {
    /// With what the system did for them.
    calls: Vec<(u64, Option<Input>)>,
    /// With what they send.
    sends: Vec<(u64, Range<u64>)>,
}

impl Batch {
    pub(super) fn fill(&mut self, numbers: impl Iterator<Item = u64>) {
        self.calls.extend(numbers.map(|number| (number, None)));
    }
}

impl<T: Taker> Loop<T> {
    /// Receives what the calls of the batch wait for.
    pub(super) fn receive_together(&mut self) {
        for (number, outcome) in &mut self.batch.calls {
            let task = self.tasks.get_mut(number);
            *outcome = task.and_then(|task| task.receive(&mut self.scratch));
        }
    }

    /// Lets the calls of the batch go on: each until it sends, then all send, and each goes on.
    pub(super) fn go_on_together(&mut self, news: News) {
        let mut batch = std::mem::take(&mut self.batch);
        let mut terms = Terms::new(news, Sends::Together);
        for (number, mut outcome) in batch.calls.drain(..) {
            if let Some(body) = self.advance(number, &mut outcome, &mut terms) {
                batch.sends.push((number, body));
            }
        }
        if !batch.sends.is_empty() {
            self.send_together(&mut batch);
        }
        self.batch = batch;
    }

    fn send_together(&mut self, batch: &mut Batch) {
        for (number, body) in batch.sends.drain(..) {
            let task = self.tasks.get_mut(&number);
            let outcome = task.and_then(|task| task.send(body));
            batch.calls.push((number, outcome));
        }
        let mut terms = Terms::new(News::Unknown, Sends::Alone);
        for (number, mut outcome) in batch.calls.drain(..) {
            self.advance(number, &mut outcome, &mut terms);
        }
    }
}
