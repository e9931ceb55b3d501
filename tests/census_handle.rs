//! What loops on threads of their own leave behind, however they end: no descriptor, no thread. A binary of its own
//! with one test, because both are counted for the whole process.

#![expect(clippy::disallowed_methods, reason = "a test has times of its own")]

use std::time::{Duration, Instant};

use wirescope::testkit::{Peer, Script};
use wirescope::{Client, EventLoop, Handle};

const LOOPS: usize = 40;

const PATIENCE: Duration = Duration::from_secs(10);

fn count(of: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{of}"))
        .unwrap()
        .count()
}

fn loops() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == "wirescope-loop").count()
}

/// Waits until something is so: a thread ends soon after the last handle.
fn settles(is_so: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    is_so()
}

struct Stage {
    answering: Peer,
    silent: Peer,
    client: Client,
}

impl Stage {
    fn new() -> Self {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        Self {
            answering: Peer::start(Script::new().respond_with(|_| answer.to_vec())).unwrap(),
            silent: Peer::start(Script::new().expect_request().stall()).unwrap(),
            client: Client::new().unwrap(),
        }
    }

    fn spawn(&self) -> Handle {
        EventLoop::new(&self.client).unwrap().spawn().unwrap()
    }

    /// Ten calls that are answered, and their connections idle then.
    fn answered(&self, handle: &Handle) {
        let inbox = handle.inbox();
        for _ in 0..10 {
            let request = self.client.get(&self.answering.url("/")).unwrap();
            inbox.submit(request).unwrap();
        }
        let done = inbox.receiver().iter().take(10);
        assert!(done.into_iter().all(|done| done.error().is_none()));
        assert!(handle.pool_stats().total().idle() > 0);
    }

    /// A loop with calls that nobody answers.
    fn one(&self, round: usize) {
        let handle = self.spawn();
        self.answered(&handle);
        let silent = self.client.get(&self.silent.url("/")).unwrap();
        let silent = match round % 4 {
            0 => {
                let pending = handle.submit(silent).unwrap();
                handle.shutdown(Duration::from_millis(1)).unwrap();
                assert!(pending.wait().unwrap().error().is_some());
                return;
            }
            1 => silent.timeout(Duration::from_millis(5)),
            2 => {
                drop(handle.submit(silent).unwrap().cancel_on_drop());
                return;
            }
            _ => return,
        };
        let pending = handle.submit(silent).unwrap();
        drop(handle);
        assert!(pending.wait().unwrap().error().is_some());
    }
}

#[test]
fn loops_on_threads_of_their_own_leave_nothing_behind() {
    let stage = Stage::new();
    // What the first use of anything keeps for good is there from now on.
    stage.one(0);
    let kept = stage.spawn();
    assert!(settles(|| loops() == 1));
    drop(kept);
    assert!(settles(|| loops() == 0));
    drop(stage);
    assert!(
        settles(|| count("task") == 2),
        "this thread and that of the test"
    );
    let (descriptors, threads) = (count("fd"), count("task"));
    let stage = Stage::new();
    for round in 0..LOOPS {
        stage.one(round);
    }
    assert!(settles(|| loops() == 0), "{} loops are left", loops());
    drop(stage);
    assert!(
        settles(|| count("task") <= threads),
        "{} threads, {threads} before",
        count("task")
    );
    assert!(
        settles(|| count("fd") <= descriptors),
        "{} descriptors, {descriptors} before",
        count("fd")
    );
}
