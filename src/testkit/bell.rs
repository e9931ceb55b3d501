//! A signal that stays given, and that a wait can hold beside a socket.
//!
//! A [`Bell`] is a pair of connected descriptors: ringing shuts one end down, which makes the
//! other readable for everybody and for good. So every wait of a peer is one `poll` over what it
//! waits for and the bell that ends it, and no wait needs a tick.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::net::clock;

/// A signal between a test and a script: closed at first, then open for good.
///
/// A clone is the same gate. The script waits with [`Script::wait_for`](super::Script::wait_for)
/// and gives the signal with [`Script::open_gate`](super::Script::open_gate); the test uses
/// [`wait`](Self::wait) and [`open`](Self::open).
///
/// ```
/// use std::time::Duration;
/// use wirescope::testkit::Gate;
///
/// let gate = Gate::new();
/// assert!(!gate.wait(Duration::from_millis(1)));
/// gate.clone().open();
/// assert!(gate.wait(Duration::ZERO));
/// ```
#[derive(Clone)]
pub struct Gate(Arc<Bell>);

impl Gate {
    /// Makes a closed gate. It holds two descriptors until its last clone is dropped.
    ///
    /// # Panics
    ///
    /// If the process may open no more descriptors.
    #[must_use]
    pub fn new() -> Self {
        match Bell::new() {
            Ok(bell) => Self(Arc::new(bell)),
            Err(error) => panic!("a gate needs two descriptors: {error}"),
        }
    }

    /// Opens the gate and releases everybody who waits at it. Opening it again changes nothing.
    pub fn open(&self) {
        self.0.ring();
    }

    /// Whether the gate has been opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_rung()
    }

    /// Waits until the gate is open, at most `timeout`, and says whether it is.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        matches!(wait_any(&mut [self.0.heard()], timeout), Ok(true))
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.0
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_open() { "open" } else { "closed" };
        write!(f, "Gate({state})")
    }
}

#[derive(Debug)]
pub(super) struct Bell {
    ringer: UnixStream,
    listener: UnixStream,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let (ringer, listener) = UnixStream::pair()?;
        Ok(Self { ringer, listener })
    }

    pub(super) fn ring(&self) {
        // A second shutdown may fail on some systems; the bell has been rung all the same.
        drop(self.ringer.shutdown(Shutdown::Write));
    }

    pub(super) fn is_rung(&self) -> bool {
        matches!(wait_any(&mut [self.heard()], Duration::ZERO), Ok(true))
    }

    /// What to put into [`wait_any`] so that it ends when the bell is rung.
    pub(super) fn heard(&self) -> PollFd<'_> {
        readable(self.listener.as_fd())
    }
}

pub(super) fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

pub(super) fn writable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::OUT)
}

/// Waits until one of `fds` has something to say (`true`) or `timeout` has passed (`false`).
pub(super) fn wait_any(fds: &mut [PollFd<'_>], timeout: Duration) -> io::Result<bool> {
    let begun = clock::now();
    loop {
        let left = timeout.saturating_sub(begun.elapsed());
        match poll(fds, Timespec::try_from(left).ok().as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
