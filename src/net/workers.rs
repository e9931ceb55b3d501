//! Threads for calls that block and cannot be interrupted. The rule: **every job ends in a report, and no job
//! harms its thread.**
//!
//! Threads start on demand, end after some idle time, and are never more than a fixed number. A job that nobody
//! waits for any more is taken out of the queue; one that runs is left to run.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bounds of [`Workers`].
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Threads at once.
    pub(crate) threads: usize,
    /// Jobs waiting for a thread.
    pub(crate) queue: usize,
    /// How long a thread without work stays.
    pub(crate) idle: Duration,
    /// Bytes of stack of each thread.
    pub(crate) stack: usize,
    /// Name of each thread; Linux shows 15 bytes of it.
    pub(crate) name: &'static str,
}

/// One piece of work.
pub(crate) trait Job: Send + 'static {
    /// Does the work and reports what came of it.
    fn run(&mut self);
    /// Reports that the work was refused or panicked.
    fn fail(&mut self, reason: io::Error);
}

/// Names jobs that are taken back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch(u64);

/// The threads and their queue.
///
/// # Drop
/// Does not block. Idle threads end at once, busy ones after their job; jobs that wait are dropped.
pub(crate) struct Workers {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Batch, Box<dyn Job>)>,
    threads: usize,
    idle: usize,
    closed: bool,
    batches: u64,
}

impl Workers {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            shared: Arc::new(Shared {
                rules,
                state: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    /// Threads that are alive, busy or idle.
    pub(crate) fn threads(&self) -> usize {
        self.shared.lock().threads
    }

    /// Threads without work.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.shared.lock().idle
    }

    /// Counts the threads that are left, also after this was dropped.
    #[cfg(test)]
    pub(crate) fn census(&self) -> impl Fn() -> usize + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map_or(0, |shared| shared.lock().threads)
    }

    /// A new name for jobs.
    pub(crate) fn batch(&self) -> Batch {
        let mut state = self.shared.lock();
        state.batches += 1;
        Batch(state.batches)
    }

    /// Queues a job. When there is no room or no thread, the job fails at once, on this thread.
    pub(crate) fn submit(&self, batch: Batch, mut job: Box<dyn Job>) {
        let mut state = self.shared.lock();
        if state.queue.len() >= self.shared.rules.queue {
            drop(state);
            job.fail(io::Error::other("too many lookups wait for a thread"));
            return;
        }
        state.queue.push_back((batch, job));
        let hire = state.queue.len() > state.idle && state.threads < self.shared.rules.threads;
        if hire {
            state.threads += 1;
        }
        drop(state);
        self.shared.wake.notify_one();
        if hire {
            self.hire();
        }
    }

    /// What takes the jobs of a batch out of the queue. It does not keep the threads alive.
    pub(crate) fn recall(&self, batch: Batch) -> impl FnOnce() + Send + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                drop(shared.take(|of| of == batch));
            }
        }
    }

    /// Starts the thread that was counted already.
    fn hire(&self) {
        let shared = Arc::clone(&self.shared);
        let hired = thread::Builder::new()
            .name(self.shared.rules.name.to_owned())
            .stack_size(self.shared.rules.stack)
            .spawn(move || shared.work());
        if let Err(error) = hired {
            self.shared.stranded(&error);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
        drop(self.shared.take(|_| true));
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("rules", &self.shared.rules)
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// No code of a job runs under the lock, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            run(job);
        }
    }

    /// Waits for a job; none ends the thread, which is then no longer counted.
    fn next(&self) -> Option<Box<dyn Job>> {
        let mut state = self.lock();
        loop {
            if let Some((_, job)) = state.queue.pop_front() {
                return Some(job);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let waited = self.wake.wait_timeout(state, self.rules.idle);
            let (woken, timer) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timer.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }

    /// Takes jobs out of the queue, for the caller to drop without the lock.
    fn take(&self, which: impl Fn(Batch) -> bool) -> Vec<Box<dyn Job>> {
        let mut state = self.lock();
        if !state.queue.iter().any(|(batch, _)| which(*batch)) {
            return Vec::new();
        }
        let queue = mem::take(&mut state.queue);
        let (taken, kept) = queue.into_iter().partition(|(batch, _)| which(*batch));
        state.queue = kept;
        let taken: VecDeque<_> = taken;
        taken.into_iter().map(|(_, job)| job).collect()
    }

    /// A thread could not be started. If there is none at all, nobody would ever do the waiting jobs.
    fn stranded(&self, error: &io::Error) {
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads > 0 {
            return;
        }
        let queue = mem::take(&mut state.queue);
        drop(state);
        for (_, mut job) in queue {
            job.fail(io::Error::new(error.kind(), error.to_string()));
        }
    }
}

/// Runs a job. Whatever panics in it, also in its report and its drop, ends here.
fn run(job: Box<dyn Job>) {
    let done = catch_unwind(AssertUnwindSafe(move || {
        let mut job = job;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job.run())) {
            job.fail(io::Error::other(panic_text(&*payload)));
        }
    }));
    if let Err(payload) = done {
        // Dropping what a panic carries may panic again; this thread has to live.
        mem::forget(payload);
    }
}

/// What code panicked with, if that was a text.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(no text)"))
}
