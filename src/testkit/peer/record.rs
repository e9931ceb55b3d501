//! What the threads of a peer share: its bells, and everything it has seen.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Settings;
use crate::testkit::bell::Bell;
use crate::testkit::seen::{SeenHandshake, SeenRequest};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) addr: SocketAddr,
    /// Ends reads, pauses, stalls and gates.
    pub(super) finish: Bell,
    /// Ends writes too.
    pub(super) stop: Bell,
    /// Set before the stop bell is rung, for those who do not wait.
    stopping: AtomicBool,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// For each connection the bytes its script has read, empty if they are not kept.
    pub(super) received: Vec<Vec<u8>>,
    pub(super) requests: Vec<SeenRequest>,
    pub(super) request_count: usize,
    pub(super) handshakes: Vec<SeenHandshake>,
    pub(super) failures: Vec<String>,
    pub(super) open: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Shared {
    pub(super) fn new(settings: Settings, addr: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            settings,
            addr,
            finish: Bell::new()?,
            stop: Bell::new()?,
            stopping: AtomicBool::new(false),
            seen: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.ring();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.lock())
    }

    pub(super) fn wait_until(&self, timeout: Duration, is_so: impl Fn(&Seen) -> bool) -> bool {
        let (seen, _) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |seen| !is_so(seen))
            .unwrap_or_else(PoisonError::into_inner);
        is_so(&seen)
    }

    /// Counts a connection in and gives its number.
    pub(super) fn opened(&self) -> usize {
        self.change(|seen| {
            seen.open += 1;
            seen.received.push(Vec::new());
            seen.received.len() - 1
        })
    }

    pub(super) fn closed(&self) {
        self.change(|seen| seen.open -= 1);
    }

    pub(super) fn failed(&self, connection: usize, what: &str) {
        self.change(|seen| {
            seen.failures
                .push(format!("connection {connection}, {what}"))
        });
    }

    pub(super) fn shook_hands(&self, handshake: SeenHandshake) {
        self.change(|seen| seen.handshakes.push(handshake));
    }

    pub(super) fn received(&self, connection: usize, bytes: &[u8]) {
        if self.settings.keep_bodies {
            self.change(|seen| seen.received[connection].extend_from_slice(bytes));
        }
    }

    /// Counts a request in; gives where it is kept, if it is.
    pub(super) fn request_begun(&self, request: &SeenRequest) -> Option<usize> {
        let keep = self.settings.keep_requests;
        self.change(|seen| {
            seen.request_count += 1;
            keep.then(|| {
                seen.requests.push(request.clone());
                seen.requests.len() - 1
            })
        })
    }

    pub(super) fn request_read(&self, index: usize, request: &SeenRequest) {
        self.change(|seen| seen.requests[index].clone_from(request));
    }

    /// Keeps a thread to be joined, and joins those that have ended: an ended thread that nobody
    /// joins holds its stack.
    pub(super) fn keep_thread(&self, thread: JoinHandle<()>) {
        let ended: Vec<_> = self.change(|seen| {
            let (ended, running) = std::mem::take(&mut seen.threads)
                .into_iter()
                .partition(JoinHandle::is_finished);
            seen.threads = running;
            seen.threads.push(thread);
            ended
        });
        super::join(ended);
    }

    pub(super) fn take_threads(&self) -> Vec<JoinHandle<()>> {
        self.change(|seen| std::mem::take(&mut seen.threads))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// The lock, poisoned or not: every change leaves a consistent state.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
