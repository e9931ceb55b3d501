//! A connection that is read and written at once, by several threads if they like.
//!
//! The rule here: **nobody waits while holding the connection.** What can be done at once is done under its lock; who has
//! to wait polls the socket without it, and tries again. TLS is one state for both directions, so one lock is for both.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::net::clock::now;
use crate::net::sync::{Mutex, lock};
use crate::net::transport::{Broken, Received, Transport};
use crate::net::wait::{Interest, for_socket};

/// A connection in both directions.
#[derive(Debug)]
pub(crate) struct Duplex {
    socket: Arc<socket2::Socket>,
    line: Mutex<Line>,
    /// Held by whoever writes, so that what one call writes stays together.
    writer: Mutex<Writer>,
    limits: Mutex<Limits>,
    traffic: Arc<Traffic>,
}

/// What is done under the lock.
#[derive(Debug)]
struct Line {
    transport: Transport,
    /// What was received before, for the first reads.
    first: Vec<u8>,
    /// Bytes of it that were read.
    taken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Open,
    /// The direction was ended.
    Ended,
}

/// How long one call may wait.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    read: Option<Duration>,
    write: Option<Duration>,
}

/// Bytes that went through, those among them that had been received before.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl Duplex {
    /// Takes a connection over, and bytes that were received on it.
    pub(crate) fn new(transport: Transport, first: Vec<u8>) -> Self {
        let traffic = Traffic {
            received: AtomicU64::new(first.len() as u64),
            sent: AtomicU64::new(0),
        };
        Self {
            socket: transport.shared(),
            line: Mutex::new(Line {
                transport,
                first,
                taken: 0,
            }),
            writer: Mutex::new(Writer::Open),
            limits: Mutex::new(Limits::default()),
            traffic: Arc::new(traffic),
        }
    }

    /// What went through so far; it outlives the connection.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    /// Sets how long one read waits.
    pub(crate) fn limit_reads(&self, limit: Option<Duration>) {
        lock(&self.limits).read = limit;
    }

    /// Sets how long one write waits.
    pub(crate) fn limit_writes(&self, limit: Option<Duration>) {
        lock(&self.limits).write = limit;
    }

    /// Reads some bytes, or the end of the stream, which is true if the peer meant it. What was read before the time is
    /// over is never lost.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<Received, Broken> {
        if into.is_empty() {
            return Ok(Received::Bytes(0, 0));
        }
        let mut deadline = Deadline::new(lock(&self.limits).read);
        loop {
            let interest = {
                let mut line = lock(&self.line);
                match line.read(into, &self.traffic)? {
                    Received::TimedOut => Interest {
                        read: true,
                        write: line.transport.owes_bytes(),
                    },
                    received => return Ok(received),
                }
            };
            if !self.wait(interest, &mut deadline)? {
                return Ok(Received::TimedOut);
            }
        }
    }

    /// Writes some bytes. Under TLS what was encrypted counts, also if the time is over before the kernel took all of it:
    /// the next call sends the rest. None: the time is over, and nothing was taken.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let writer = lock(&self.writer);
        if *writer == Writer::Ended {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        if bytes.is_empty() {
            return Ok(Some(0));
        }
        let mut deadline = Deadline::new(lock(&self.limits).write);
        if !self.flush_until(&mut deadline)? {
            return Ok(None);
        }
        loop {
            if let Some(count) = lock(&self.line).transport.send(&[IoSlice::new(bytes)])? {
                return Ok(Some(self.count_sent(count)));
            }
            if !self.wait(Interest::WRITE, &mut deadline)? {
                let count = lock(&self.line).transport.take_in_flight();
                return Ok((count > 0).then(|| self.count_sent(count)));
            }
        }
    }

    /// Waits until the kernel has taken everything that was written. False: the time is over.
    pub(crate) fn flush(&self) -> Result<bool, Broken> {
        let _writer = lock(&self.writer);
        let mut deadline = Deadline::new(lock(&self.limits).write);
        self.flush_until(&mut deadline)
    }

    /// Ends the direction of writing, behind everything that was written. False: the time is over before all of that was
    /// sent, and nothing was ended.
    pub(crate) fn end_writing(&self) -> Result<bool, Broken> {
        let mut writer = lock(&self.writer);
        if *writer == Writer::Ended {
            return Ok(true);
        }
        let mut deadline = Deadline::new(lock(&self.limits).write);
        if !self.flush_until(&mut deadline)? {
            return Ok(false);
        }
        *writer = Writer::Ended;
        lock(&self.line).transport.end_sending()?;
        self.flush_until(&mut deadline)?;
        Ok(true)
    }

    /// Ends both directions for whoever uses them now.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        match self.socket.shutdown(Shutdown::Both) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn count_sent(&self, count: usize) -> usize {
        self.traffic.sent.fetch_add(count as u64, Ordering::Relaxed);
        count
    }

    fn flush_until(&self, deadline: &mut Deadline) -> Result<bool, Broken> {
        while !lock(&self.line).transport.flush()? {
            if !self.wait(Interest::WRITE, deadline)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for the socket; false when the time is over.
    fn wait(&self, interest: Interest, deadline: &mut Deadline) -> io::Result<bool> {
        let ready = for_socket(self.socket.as_fd(), interest, deadline.at())?;
        Ok(ready.is_any())
    }
}

impl Line {
    fn read(&mut self, into: &mut [u8], traffic: &Traffic) -> Result<Received, Broken> {
        let first = self.first.get(self.taken..).unwrap_or_default();
        if !first.is_empty() {
            let count = first.len().min(into.len());
            into[..count].copy_from_slice(&first[..count]);
            self.taken += count;
            if self.taken == self.first.len() {
                (self.first, self.taken) = (Vec::new(), 0);
            }
            return Ok(Received::Bytes(count, 0));
        }
        let received = self.transport.receive_now(into)?;
        if let Received::Bytes(count, _) = received {
            traffic.received.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(received)
    }
}

/// The moment up to which one call waits: fixed when it has to wait for the first time.
struct Deadline {
    limit: Option<Duration>,
    at: Option<Instant>,
}

impl Deadline {
    fn new(limit: Option<Duration>) -> Self {
        Self { limit, at: None }
    }

    fn at(&mut self) -> Option<Instant> {
        let limit = self.limit?;
        if self.at.is_none() {
            self.at = now().checked_add(limit);
        }
        self.at
    }
}

/// Tells the peer that the end is meant, without waiting; then the socket is closed.
impl Drop for Duplex {
    fn drop(&mut self) {
        lock(&self.line).transport.notify_end();
    }
}
