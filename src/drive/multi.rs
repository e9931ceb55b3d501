//! The event loop: very many calls on one thread. What cannot go on is parked until something is told of it.
//!
//! The rule here: **one call never holds the others.** Each goes on for a bounded number of steps per turn, then it
//! stands behind all others that are ready. Nothing here blocks but the one wait for all.
//!
//! ```text
//!             submit
//!                v           nothing to do
//!   woken --> ready: go on --------------> parked --report, wake-up, deadline--> woken
//!                | ^ |
//!                | \-/ steps used up
//!                v
//!              ended
//! ```

mod deadlines;
mod task;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::deadlines::Deadlines;
pub(crate) use self::task::Ended;
use self::task::{Advanced, Task};
use crate::drive::engine::Engine;
use crate::drive::start::Ready;
use crate::drive::waits::Waits;
use crate::error::Error;
use crate::net::clock;
use crate::net::poll::{Owner, Poller};

/// Bytes of content that one receive takes at the most, for all calls into the same memory.
const SHARED: usize = 16 * 1024;

/// What takes the content of a response, in place of a caller that reads.
pub(crate) trait Taker {
    /// How many bytes it takes next at the most; none means that it has enough.
    fn room(&self) -> usize;

    /// Takes some.
    fn take(&mut self, content: &[u8]);
}

/// Runs calls, each with what takes its content.
pub(crate) struct Loop<T> {
    tasks: BTreeMap<u64, Task<T>>,
    ready: VecDeque<u64>,
    deadlines: Deadlines,
    ended: VecDeque<Ended<T>>,
    /// Where content is received.
    shared: Box<[u8]>,
    woken: Vec<Owner>,
    idle: Idle,
    next: u64,
    engine: Arc<Engine>,
    poller: Poller,
}

/// Whether idle connections are to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// Not before that moment, when the time of one is over.
    Quiet(Option<Instant>),
    /// In the next turn.
    Reported,
}

impl<T: Taker> Loop<T> {
    pub(crate) fn new(engine: Engine) -> io::Result<Self> {
        Ok(Self {
            tasks: BTreeMap::new(),
            ready: VecDeque::new(),
            deadlines: Deadlines::default(),
            ended: VecDeque::new(),
            shared: vec![0; SHARED].into_boxed_slice(),
            woken: Vec::new(),
            idle: Idle::Quiet(None),
            next: 1,
            engine: Arc::new(engine),
            poller: Poller::new()?,
        })
    }

    /// Begins a call, as far as it goes without waiting, and says its number, which no other call of this loop gets.
    ///
    /// # Errors
    /// Why its plan was refused before any I/O.
    pub(crate) fn submit(
        &mut self,
        ready: Ready,
        collect_limit: Duration,
        taker: T,
    ) -> Result<u64, Error> {
        let number = self.next;
        let bell = self.poller.bell(Owner::One(number));
        if let Some(cancel) = &ready.cancel {
            cancel.ring(bell.clone());
        }
        let running = self.engine.prepare(ready, Waits::InLoop(bell))?;
        self.next += 1;
        let task = Task::begin(Box::new(running), collect_limit, taker);
        self.advance(number, task);
        Ok(number)
    }

    /// Cancels a call; says whether it was under way.
    pub(crate) fn cancel(&mut self, number: u64) -> bool {
        let Some(task) = self.tasks.get_mut(&number) else {
            return false;
        };
        task.cancel();
        self.wake(number);
        true
    }

    /// Cancels all calls.
    pub(crate) fn cancel_all(&mut self) {
        let all: Vec<u64> = self.tasks.keys().copied().collect();
        for number in all {
            self.cancel(number);
        }
    }

    /// Waits until something happens, for at most so long and not past a deadline, and lets all calls that are ready go
    /// on for a bounded time.
    ///
    /// # Errors
    /// The system cannot wait.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let closed = self.look_at_idle();
        let timeout = if closed > 0 {
            Some(Duration::ZERO)
        } else {
            timeout
        };
        let wait = [timeout, self.next_wait()].into_iter().flatten().min();
        self.poller.wait(wait, &mut self.woken)?;
        if self.woken.contains(&Owner::Everybody) {
            self.wake_canceled();
        }
        let mut woken = std::mem::take(&mut self.woken);
        for owner in woken.drain(..) {
            match owner {
                Owner::Nobody => self.idle = Idle::Reported,
                Owner::Everybody => {}
                Owner::One(number) => self.wake(number),
            }
        }
        self.woken = woken;
        let now = clock::now();
        while let Some(number) = self.deadlines.due(now) {
            if let Some(task) = self.tasks.get_mut(&number) {
                task.plan = None;
                self.wake(number);
            }
        }
        for _ in 0..self.ready.len() {
            let Some(number) = self.ready.pop_front() else {
                break;
            };
            if let Some(task) = self.tasks.remove(&number) {
                self.advance(number, task);
            }
        }
        Ok(())
    }

    /// How long a turn may wait at the most; none means for ever.
    pub(crate) fn next_wait(&self) -> Option<Duration> {
        let idle_until = match self.idle {
            Idle::Quiet(until) => until,
            Idle::Reported => return Some(Duration::ZERO),
        };
        if !self.ready.is_empty() || !self.ended.is_empty() || self.poller.is_rung() {
            return Some(Duration::ZERO);
        }
        let next = [idle_until, self.deadlines.next()];
        let next = next.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(clock::now()))
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
        &self.engine
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    /// Lets a call go on. If its caller's code panics, it is given up.
    fn advance(&mut self, number: u64, mut task: Task<T>) {
        match task.advance(&mut self.shared) {
            Advanced::Parked(deadline) => {
                if let Some(deadline) = deadline {
                    self.deadlines.plan(deadline, number, &mut task.plan);
                }
                self.tasks.insert(number, task);
            }
            Advanced::Spent => {
                self.tasks.insert(number, task);
                self.wake(number);
            }
            Advanced::Ended(result) => {
                self.deadlines.drop_plan(number, &mut task.plan);
                self.ended.push_back(task.end(number, result));
                self.idle = Idle::Reported;
            }
        }
    }

    fn wake(&mut self, number: u64) {
        if let Some(task) = self.tasks.get_mut(&number) {
            if task.queue() {
                self.ready.push_back(number);
            }
        }
    }

    /// A handle that serves several calls was used.
    fn wake_canceled(&mut self) {
        let canceled = self.tasks.iter().filter(|(_, task)| task.is_canceled());
        let canceled: Vec<u64> = canceled.map(|(number, _)| *number).collect();
        for number in canceled {
            self.wake(number);
        }
    }

    /// Looks at idle connections, if something was reported of one or its time is over; says how many were closed.
    fn look_at_idle(&mut self) -> usize {
        let now = clock::now();
        let is_due = match self.idle {
            Idle::Quiet(until) => until.is_some_and(|until| until <= now),
            Idle::Reported => true,
        };
        if !is_due {
            return 0;
        }
        let (closed, next) = self.engine.tend_idle(now);
        self.idle = Idle::Quiet(next);
        closed
    }
}

impl<T> std::fmt::Debug for Loop<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loop")
            .field("calls", &self.tasks.len())
            .finish_non_exhaustive()
    }
}
