//! The event loop when very much happens at once. A binary of its own, whose tests run one after the other, because
//! descriptors, threads and time on a processor are counted for the whole process or compared.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test has threads, sockets and times of its own, and shows what it measured"
)]

mod cancels;
mod closes;
mod cost;
mod crowd;
mod handles;
mod many;
mod rest;
mod sinks;
mod tls;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Where a test waits for another thread or process: reached only by a bug.
const PATIENCE: Duration = Duration::from_secs(60);

/// Descriptors that are for other things than connections.
const OTHERS: u64 = 200;

/// A test that has the process for itself, and what was there when it began.
struct Alone {
    descriptors: usize,
    threads: usize,
    _guard: MutexGuard<'static, ()>,
}

/// Waits for the other tests.
fn alone() -> Alone {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Alone {
        descriptors: count("fd"),
        threads: count("task"),
        _guard: guard,
    }
}

impl Alone {
    /// Asserts that no descriptor and no thread is left of the test. The runner may have started one thread more, for a
    /// test that waits.
    #[track_caller]
    fn nothing_left(&self) {
        for (of, before) in [("fd", self.descriptors), ("task", self.threads + 1)] {
            let begun = Instant::now();
            while count(of) > before && begun.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(count(of) <= before, "{of}: {} of {before}", count(of));
        }
    }
}

fn count(of: &str) -> usize {
    let counted = std::fs::read_dir(format!("/proc/self/{of}")).unwrap();
    counted.count()
}

/// How many connections there may be, at most `wanted`, if the process has `ends` ends of each: the soft limit of
/// descriptors is raised as far as that needs and the hard one allows.
fn connections(wanted: usize, ends: u64) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = wanted as u64 * ends + OTHERS;
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(needed);
    let soft = limit.current.unwrap_or(u64::MAX);
    if soft < allowed {
        let raised = Rlimit {
            current: Some(allowed),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
    let most = soft.max(allowed).saturating_sub(OTHERS) / ends;
    let most = usize::try_from(most).unwrap().min(wanted);
    if most < wanted {
        println!("{most} connections, not {wanted}: {limit:?}");
    }
    most
}

/// The time that this thread was on a processor: other processes do not count.
fn on_processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// Random numbers of a seed: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
