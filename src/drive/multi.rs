//! The event loop: very many calls on one thread. What cannot go on is parked until something is told of it.
//!
//! The rule here: **one call never holds the others.** Each goes on for a bounded number of steps per turn, then it
//! stands behind all others that are ready. Nothing here blocks but the one wait for all.
//!
//! ```text
//!   submit --> fresh: begin, with news of idle connections
//!                v           nothing to do
//!   woken --> ready: go on --------------> parked --report, wake-up, deadline--> woken
//!                | ^ |
//!                | \-/ steps used up
//!                v
//!              ended
//! ```

mod batch;
mod deadlines;
mod gate;
mod look;
mod numbers;
mod place;
mod scratch;
#[cfg(all(test, target_pointer_width = "64"))]
mod sizes;
mod spare;
mod task;
#[cfg(all(test, feature = "testkit"))]
mod tests;

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use self::batch::{BATCH, Batch};
use self::deadlines::Deadlines;
pub(crate) use self::gate::{Gate, Prepared};
use self::numbers::ByNumber;
use self::scratch::Scratch;
use self::spare::{Came, Spare};
pub(crate) use self::task::Ended;
use self::task::{Advanced, Task, Terms};
use crate::drive::engine::Engine;
use crate::drive::outlook::News;
use crate::drive::start::Ready;
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::action::Input;
use crate::flow::call::Hop;
use crate::ids::CallId;
use crate::net::clock;
use crate::net::poll::{Owner, Poller, Told};
use crate::net::workers::panic_text;
use crate::proto::receiving::FinalHead;

/// Completions of one turn, at which it ends. Their memory is at hand still when the calls that follow them begin, and so is the
/// memory of the allocator.
const COMPLETED: usize = 64;

/// What takes the content of a response, in place of a caller that reads.
pub(crate) trait Taker {
    /// Says whether it may say "not now", and is lent a waker for that.
    fn is_polled(&self) -> bool;

    /// How long the whole call may take, from its response on, unless it has a total of its own.
    fn limit(&self) -> Option<Duration>;

    /// Learns of the response whose content follows, and of the hops before it.
    ///
    /// # Errors
    /// Its own.
    fn begin(&mut self, hops: &[Hop], head: &FinalHead) -> io::Result<()>;

    /// How many bytes it takes next at the most; none means that it has enough.
    fn room(&self) -> usize;

    /// Takes some, and says how much; or not now.
    ///
    /// # Errors
    /// Its own.
    fn take(&mut self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>>;

    /// Learns that the content came whole.
    ///
    /// # Errors
    /// Its own.
    fn end(&mut self) -> io::Result<()>;
}

/// Runs calls, each with what takes its content.
pub(crate) struct Loop<T> {
    tasks: ByNumber<Box<Task<T>>>,
    /// Dials that go on without their calls.
    spares: ByNumber<Spare>,
    /// Calls that have not gone on yet.
    fresh: VecDeque<u64>,
    ready: VecDeque<u64>,
    deadlines: Deadlines,
    ended: VecDeque<Ended<T>>,
    scratch: Scratch,
    batch: Batch,
    woken: Vec<Owner>,
    gate: Arc<Gate>,
    poller: Poller,
}

impl<T: Taker> Loop<T> {
    /// A loop for the client of this engine.
    pub(crate) fn new(engine: &Engine) -> io::Result<Self> {
        let poller = Poller::new()?;
        let gate = Gate::new(engine.beside(poller.bell(Owner::Loop)));
        Ok(Self {
            tasks: ByNumber::default(),
            spares: ByNumber::default(),
            fresh: VecDeque::new(),
            ready: VecDeque::new(),
            deadlines: Deadlines::new(clock::now()),
            ended: VecDeque::new(),
            scratch: Scratch::new(),
            batch: Batch::default(),
            woken: Vec::new(),
            gate: Arc::new(gate),
            poller,
        })
    }

    /// Takes a call, which goes on in the next turn, and says its id, by whose number the loop knows it.
    ///
    /// # Errors
    /// Why its plan was refused before any I/O.
    pub(crate) fn submit(&mut self, ready: Ready, taker: T) -> Result<CallId, Error> {
        let prepared = self.gate.prepare(ready)?;
        Ok(self.begin(prepared, taker))
    }

    /// Takes a call that the gate of this loop has made, which goes on in the next turn, and says its id.
    pub(crate) fn begin(&mut self, prepared: Prepared, taker: T) -> CallId {
        let call = prepared.call().id();
        let number = call.get();
        let task = Task::new(prepared.running, taker, &mut self.scratch);
        self.tasks.insert(number, Box::new(task));
        self.fresh.push_back(number);
        call
    }

    /// Cancels a call; says whether it was under way.
    pub(crate) fn cancel(&mut self, call: CallId) -> bool {
        self.cancel_number(call.get())
    }

    fn cancel_number(&mut self, number: u64) -> bool {
        let Some(task) = self.tasks.get_mut(&number) else {
            return false;
        };
        task.cancel();
        self.wake(number);
        true
    }

    /// Cancels all calls.
    pub(crate) fn cancel_all(&mut self) {
        for number in self.numbers(|_| true) {
            self.cancel_number(number);
        }
    }

    /// Waits until something happens, for at most so long and not past a deadline, and lets all calls that are ready go
    /// on for a bounded time.
    ///
    /// # Errors
    /// The system cannot wait.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let wait = [timeout, self.next_wait()].into_iter().flatten().min();
        let mut news = self.ask(wait)?;
        let mut left = self.fresh.len();
        while left > 0 {
            let count = left.min(BATCH);
            left -= count;
            self.begin_together(count, news);
            if left > 0 {
                // If the system cannot say, the calls look for themselves.
                news = self.ask(Some(Duration::ZERO)).unwrap_or_default();
            }
        }
        self.look_at_idle();
        let most = self.ended.len() + COMPLETED;
        let mut left = self.ready.len();
        while left > 0 && self.ended.len() < most {
            let count = left.min(BATCH).min(most - self.ended.len());
            left -= count;
            self.receive_together(count);
        }
        Ok(())
    }

    /// Asks the system what has happened, waits for it at the most so long, and wakes those that are meant and those whose
    /// time has come. Says whether that was all there is to know.
    fn ask(&mut self, wait: Option<Duration>) -> io::Result<News> {
        let told = self.poller.wait(wait, &mut self.woken)?;
        if self.woken.contains(&Owner::Everybody) {
            self.wake_canceled();
        }
        let mut woken = std::mem::take(&mut self.woken);
        for owner in woken.drain(..) {
            match owner {
                Owner::Nobody => self.engine().note_unseen(),
                Owner::Loop | Owner::Everybody => {}
                Owner::One(number) => self.wake(number),
            }
        }
        self.woken = woken;
        let now = clock::now();
        while let Some(number) = self.deadlines.due(now) {
            self.wake(number);
        }
        match told {
            Told::Part => Ok(News::Unknown),
            Told::All => {
                self.engine().outlook.note(now);
                Ok(News::Told)
            }
        }
    }

    /// How long a turn may wait at the most; none means for ever.
    pub(crate) fn next_wait(&self) -> Option<Duration> {
        let has_work = !(self.fresh.is_empty() && self.ready.is_empty() && self.ended.is_empty());
        if has_work || self.engine().is_unseen() || self.poller.is_rung() {
            return Some(Duration::ZERO);
        }
        let next = [self.engine().idle_until(), self.deadlines.next()];
        let next = next.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(clock::now()))
    }

    /// Says whether there is a call that has ended and was not taken.
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Takes a call that has ended.
    pub(crate) fn take_ended(&mut self) -> Option<Ended<T>> {
        self.ended.pop_front()
    }

    /// Counts the calls under way.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.gate.engine()
    }

    /// Where other threads make calls for this loop.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    /// Lets a call go on, with what the system did for it; says what it sends next, if it waits for that. If its caller's code
    /// panics, it is given up, and no other call learns of it.
    fn advance(
        &mut self,
        number: u64,
        outcome: &mut Option<Input>,
        terms: &mut Terms,
    ) -> Option<Range<u64>> {
        let Some(task) = self.tasks.get_mut(&number) else {
            self.advance_spare(number);
            terms.read_clock();
            return None;
        };
        let scratch = &mut self.scratch;
        let advanced = catch_unwind(AssertUnwindSafe(|| task.advance(outcome, terms, scratch)));
        let advanced = advanced.unwrap_or_else(|panic| {
            terms.read_clock();
            panicked(task.phase(), panic)
        });
        match advanced {
            Advanced::Parked(deadline) => {
                if let Some(deadline) = deadline {
                    self.deadlines.plan(deadline, number, &mut task.seat);
                }
            }
            Advanced::AboutToSend(body) => return Some(body),
            Advanced::Spent => self.wake(number),
            Advanced::Parting => {
                self.part(number);
                self.wake(number);
                terms.read_clock();
            }
            Advanced::Ended(result) => {
                self.deadlines.leave(task.seat);
                if let Some(task) = self.tasks.remove(&number) {
                    self.ended.push_back(task.end(result, terms));
                }
            }
        }
        None
    }

    /// Takes over the dial that goes on without its call.
    fn part(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else {
            return;
        };
        // What the caller's resolver keeps for a lookup may be dropped on the way.
        let parted = catch_unwind(AssertUnwindSafe(|| task.part()));
        if let Ok(Some(running)) = parted {
            let number = running.call.id().get();
            self.spares.insert(number, Spare::new(running));
            self.wake(number);
        }
    }

    /// Lets a dial go on. It ends as a call does if the caller's code panics, but nobody learns of it.
    fn advance_spare(&mut self, number: u64) {
        let Some(spare) = self.spares.get_mut(&number) else {
            return;
        };
        let scratch = &mut self.scratch;
        let came = catch_unwind(AssertUnwindSafe(|| spare.advance(scratch)));
        match came.unwrap_or(Came::Over) {
            Came::Parked(deadline) => {
                if let Some(deadline) = deadline {
                    self.deadlines.plan(deadline, number, &mut spare.seat);
                }
            }
            Came::Spent => self.wake(number),
            Came::Over => {
                self.deadlines.leave(spare.seat);
                drop(self.spares.remove(&number));
            }
        }
    }

    fn wake(&mut self, number: u64) {
        let is_new = if let Some(task) = self.tasks.get_mut(&number) {
            task.queue()
        } else {
            let spare = self.spares.get_mut(&number);
            spare.is_some_and(Spare::queue)
        };
        if is_new {
            self.ready.push_back(number);
        }
    }

    /// The numbers of those calls, the oldest first.
    #[expect(clippy::disallowed_methods, reason = "they are put in order")]
    fn numbers(&self, of: impl Fn(&Task<T>) -> bool) -> Vec<u64> {
        let those = self.tasks.iter().filter(|(_, task)| of(task));
        let mut numbers: Vec<u64> = those.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// A handle that serves several calls was used.
    fn wake_canceled(&mut self) {
        for number in self.numbers(Task::is_canceled) {
            self.wake(number);
        }
    }

    /// Looks at idle connections, if something was reported of one or its time is over: behind the calls that begin, which
    /// say of their own what they found.
    fn look_at_idle(&self) {
        let now = clock::now();
        let until = self.engine().idle_until();
        let is_over = until.is_some_and(|until| until <= now);
        if self.engine().see() || is_over {
            self.engine().tend_idle(now);
        }
    }
}

/// How a call ends whose caller's code panicked.
fn panicked(phase: Phase, panic: Box<dyn Any + Send>) -> Advanced {
    let text = panic_text(&*panic);
    // Dropping what a panic carries may panic again.
    std::mem::forget(panic);
    let error = Error::new(ErrorKind::LocalPanic, phase);
    Advanced::Ended(Err(error.with_source(text.into())))
}

impl<T> std::fmt::Debug for Loop<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loop")
            .field("calls", &self.tasks.len())
            .finish_non_exhaustive()
    }
}
