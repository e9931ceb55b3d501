//! The only other function that waits for sockets: poll over the few descriptors of one call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::net::clock::now;
use crate::net::count::{Syscall, syscall};

/// Wake-ups that a client keeps for later.
const KEPT: usize = 8;

/// What a socket is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Interest {
    pub(crate) const READ: Self = Self {
        read: true,
        write: false,
    };

    pub(crate) const WRITE: Self = Self {
        read: false,
        write: true,
    };
}

/// What a socket is ready for. An error or a hang-up is readiness for what was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Ready {
    pub(crate) fn is_any(self) -> bool {
        self.read || self.write
    }
}

/// Waits for a socket until the deadline; nothing ready means that it passed.
pub(crate) fn for_socket(
    socket: BorrowedFd<'_>,
    interest: Interest,
    deadline: Option<Instant>,
) -> io::Result<Ready> {
    let mut polled = [to_poll(socket, interest)];
    wait(&mut polled, deadline)?;
    let [socket] = &polled;
    Ok(found(socket, interest))
}

/// Waits for any of the sockets, or for a wake-up, until the deadline. Says of each socket what it is ready for;
/// nothing at all means that the deadline passed or somebody woke.
pub(crate) fn for_any(
    sockets: &[(BorrowedFd<'_>, Interest)],
    waker: Option<&Waker>,
    deadline: Option<Instant>,
) -> io::Result<Vec<Ready>> {
    let woken = waker.map(|waker| PollFd::from_borrowed_fd(waker.receiver.as_fd(), PollFlags::IN));
    let mut polled: Vec<_> = sockets
        .iter()
        .map(|(socket, interest)| to_poll(*socket, *interest))
        .chain(woken)
        .collect();
    wait(&mut polled, deadline)?;
    if let (Some(waker), Some(last)) = (waker, polled.last()) {
        if !last.revents().is_empty() {
            waker.quiet();
        }
    }
    let ready = sockets.iter().zip(&polled);
    Ok(ready
        .map(|((_, interest), polled)| found(polled, *interest))
        .collect())
}

fn to_poll(socket: BorrowedFd<'_>, interest: Interest) -> PollFd<'_> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.read);
    flags.set(PollFlags::OUT, interest.write);
    PollFd::from_borrowed_fd(socket, flags)
}

fn found(polled: &PollFd<'_>, interest: Interest) -> Ready {
    let found = polled.revents();
    let broken = found.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
    Ready {
        read: interest.read && (broken || found.contains(PollFlags::IN)),
        write: interest.write && (broken || found.contains(PollFlags::OUT)),
    }
}

/// Polls until something is ready or the deadline passed; never early, and at most a millisecond late.
fn wait(polled: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<usize> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        syscall(Syscall::Poll);
        match poll(polled, timeout.as_ref()) {
            Ok(0) if deadline.is_some_and(|deadline| now() < deadline) => {}
            Ok(count) => return Ok(count),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A wake-up: from any thread, as often as one likes; it only means "look at your mailbox".
#[derive(Debug)]
pub(crate) struct Waker {
    sender: UnixStream,
    receiver: UnixStream,
}

impl Waker {
    fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    /// Ends the wait. A wake-up that is already there is enough, so a full buffer is no error.
    pub(crate) fn wake(&self) {
        let _ = rustix::io::write(&self.sender, &[1]);
    }

    /// Takes all wake-ups.
    fn quiet(&self) {
        let mut taken = [0; 64];
        while matches!(rustix::io::read(&self.receiver, &mut taken), Ok(64)) {}
    }
}

/// Wake-ups that are not in use, at most a few.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    free: Mutex<Vec<Arc<Waker>>>,
}

impl Wakers {
    /// Leases a wake-up for one slow phase of a call.
    pub(crate) fn lease(&self) -> io::Result<Arc<Waker>> {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        free.map_or_else(|| Waker::new().map(Arc::new), Ok)
    }

    /// Takes a wake-up back if nobody else can still wake it.
    pub(crate) fn give_back(&self, waker: Arc<Waker>) {
        let mut waker = waker;
        if Arc::get_mut(&mut waker).is_none() {
            return;
        }
        waker.quiet();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_wake_up_before_the_wait_ends_it_and_many_count_as_one() {
        let wakers = Wakers::default();
        let waker = wakers.lease().unwrap();
        for _ in 0..1000 {
            waker.wake();
        }
        let wait = |deadline| for_any(&[], Some(&waker), deadline).unwrap();
        assert!(wait(None).is_empty());
        let later = now() + Duration::from_millis(1);
        wait(Some(later));
        assert!(now() >= later);
        let other = waker.clone();
        wakers.give_back(waker);
        assert!(
            wakers.free.lock().unwrap().is_empty(),
            "somebody can still wake it"
        );
        wakers.give_back(other);
        assert_eq!(wakers.free.lock().unwrap().len(), 1);
    }

    #[test]
    fn of_several_sockets_those_that_are_ready_are_told() {
        let (one, other) = UnixStream::pair().unwrap();
        let sockets = [one.as_fd(), other.as_fd()].map(|socket| (socket, Interest::READ));
        rustix::io::write(&one, &[1]).unwrap();
        let ready = for_any(&sockets, None, None).unwrap();
        let readable = Ready {
            read: true,
            write: false,
        };
        assert_eq!(ready, [Ready::default(), readable]);
        let wakers = Wakers::default();
        let waker = wakers.lease().unwrap();
        waker.wake();
        let ready = for_any(&sockets[..1], Some(&waker), None).unwrap();
        assert_eq!(ready, [Ready::default()]);
    }
}
