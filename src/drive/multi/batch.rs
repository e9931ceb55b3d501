//! Calls that go on together.
//!
//! The rule here: **the system does for all what it does for one.** A system call fills most of what a processor keeps of
//! instructions, and so does the code of a call: done in turn, neither finds its own there again.
//!
//! ```text
//!   fresh --> each begins, until it sends --> all send --> each goes on
//!   ready --> all receive --------------------------------> each goes on
//! ```
//!
//! Between the look at an idle connection and the send no code of the caller's runs: who has observers sends alone. Under
//! TLS, which may have such code too, each call does all that alone.

use std::ops::Range;
use std::time::Duration;

use crate::drive::multi::task::{Sending, Terms};
use crate::drive::multi::{Loop, Taker};
use crate::drive::outlook::News;
use crate::flow::action::Input;
use crate::net::clock;

/// Calls of a batch at the most. The system is asked before each batch that begins.
pub(super) const BATCH: usize = 32;

/// Calls that begin at one reading of the clock, by which news gets old.
const AT_ONE_TIME: usize = 8;

/// Those that go on together.
#[derive(Default)]
pub(super) struct Batch {
    /// With what the system did for them.
    calls: Vec<(u64, Option<Input>)>,
    /// With what they send.
    sends: Vec<(u64, Range<u64>)>,
}

impl<T: Taker> Loop<T> {
    /// Lets the next fresh calls begin.
    pub(super) fn begin_together(&mut self, count: usize, news: News) {
        let mut batch = std::mem::take(&mut self.batch);
        let mut terms = Terms::new(news, Sending::Together);
        for index in 0..count {
            let Some(number) = self.fresh.pop_front() else {
                break;
            };
            if index % AT_ONE_TIME == 0 {
                terms.read_clock();
            }
            if let Some(body) = self.advance(number, &mut None, &mut terms) {
                batch.sends.push((number, body));
            }
        }
        self.send_together(&mut batch);
        self.batch = batch;
    }

    /// Lets the next calls that are ready go on.
    pub(super) fn receive_together(&mut self, count: usize) {
        let mut batch = std::mem::take(&mut self.batch);
        for number in self.ready.drain(..count) {
            let task = self.tasks.get_mut(&number);
            let outcome = task.and_then(|task| task.receive(&mut self.scratch));
            batch.calls.push((number, outcome));
        }
        self.go_on(&mut batch);
        self.batch = batch;
    }

    fn send_together(&mut self, batch: &mut Batch) {
        if batch.sends.is_empty() {
            return;
        }
        let is_new = self.engine().outlook.is_new(clock::now());
        // If the system cannot say, each looks for itself.
        let later = (!is_new).then(|| self.ask(Some(Duration::ZERO)).unwrap_or_default());
        for (number, body) in batch.sends.drain(..) {
            let task = self.tasks.get_mut(&number);
            let outcome = task.and_then(|task| task.send(body, later));
            batch.calls.push((number, outcome));
        }
        self.go_on(batch);
    }

    fn go_on(&mut self, batch: &mut Batch) {
        let mut terms = Terms::new(News::Unknown, Sending::Alone);
        for (number, mut outcome) in batch.calls.drain(..) {
            self.advance(number, &mut outcome, &mut terms);
        }
    }
}
