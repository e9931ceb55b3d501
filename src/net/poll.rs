//! Waiting for very many sockets on one thread, edge-triggered.
//!
//! A socket is registered once, for both directions, when its connect was begun, and stays so until it is closed: what
//! it waits for is never told to the system again. What the system reported stands beside the socket as "maybe ready"
//! until a call on it finds the opposite, so no edge is lost and nothing is tried in vain.
//!
//! Every registration has a number that is never given twice: a report about one that is gone meets nobody.

pub(crate) mod wakeups;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Poll, Registry, Token};

use crate::net::count::{Syscall, syscall};
use crate::net::inlet::Ring;
use crate::net::numbered::Numbered;
use crate::net::poll::wakeups::Wakeups;
use crate::net::sync::{Mutex, lock};
use crate::net::wait::{Interest, Ready};

/// Reports that one wait takes from the system at the most.
const REPORTS: usize = 1024;

/// The number of the wake-up, which no socket gets.
const WAKER: usize = 0;

const READ: u8 = 1;
const WRITE: u8 = 2;
/// The end of the stream was reported: it stays readable.
const ENDED: u8 = 4;

/// How much of what there is to report one wait took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// All there was.
    All,
    /// Maybe not all.
    Part,
}

/// Whom a report or a wake-up is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody: the socket is idle.
    Nobody,
    /// Everybody: each looks whether it is meant.
    Everybody,
    /// None of them: the loop itself looks what was brought.
    Loop,
    /// The one of this number, neither 0 nor one of the two largest.
    One(u64),
}

impl Owner {
    fn to_bits(self) -> u64 {
        match self {
            Self::Nobody => 0,
            Self::Everybody => u64::MAX,
            Self::Loop => u64::MAX - 1,
            Self::One(number) => number,
        }
    }

    fn of_bits(bits: u64) -> Self {
        match bits {
            0 => Self::Nobody,
            u64::MAX => Self::Everybody,
            number if number == u64::MAX - 1 => Self::Loop,
            number => Self::One(number),
        }
    }
}

/// Waits for sockets and wake-ups; belongs to one thread at a time.
pub(crate) struct Poller {
    poll: Poll,
    reports: Events,
    hub: Arc<Hub>,
}

/// What sockets and wake-ups hold of their poller.
struct Hub {
    registry: Registry,
    sources: Mutex<Numbered<Arc<Source>>>,
    wakeups: Wakeups<mio::Waker>,
}

/// A registered socket.
#[derive(Debug)]
struct Source {
    owner: AtomicU64,
    maybe: AtomicU8,
}

/// The registration of a socket. Dropping it ends it; the system forgets the socket when that is closed.
pub(crate) struct Watch {
    hub: Weak<Hub>,
    number: u64,
    source: Arc<Source>,
}

/// Wakes one of those that wait in a poller, from any thread. Without effect once the poller is gone, and for nobody by
/// default.
#[derive(Clone, Default)]
pub(crate) struct Bell {
    hub: Weak<Hub>,
    /// The bits of an [`Owner`]: every call of a loop has a bell.
    owner: u64,
}

impl PartialEq for Bell {
    fn eq(&self, other: &Self) -> bool {
        self.owner == other.owner && self.is_beside(other)
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), Token(WAKER))?;
        let registry = poll.registry().try_clone()?;
        Ok(Self {
            poll,
            reports: Events::with_capacity(REPORTS),
            hub: Arc::new(Hub {
                registry,
                sources: Mutex::new(Numbered::default()),
                wakeups: Wakeups::new(waker),
            }),
        })
    }

    pub(crate) fn bell(&self, owner: Owner) -> Bell {
        Bell {
            hub: Arc::downgrade(&self.hub),
            owner: owner.to_bits(),
        }
    }

    /// Says whether somebody was woken and not told yet.
    pub(crate) fn is_rung(&self) -> bool {
        self.hub.wakeups.is_rung()
    }

    /// Waits, at most for that long, rounded up to what the system can, and adds whom to look at. It may be nobody, and
    /// the same one several times. Says whether all was told that there was to tell.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        woken: &mut Vec<Owner>,
    ) -> io::Result<Told> {
        syscall(Syscall::Poll);
        match self.poll.poll(&mut self.reports, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.hub.wakeups.take(woken);
                return Ok(Told::Part);
            }
            other => other?,
        }
        let mut count = 0;
        {
            let sources = lock(&self.hub.sources);
            for report in &self.reports {
                count += 1;
                let Some(source) = sources.get(number_of(report.token())) else {
                    continue;
                };
                let mut maybe = 0;
                if report.is_readable() || report.is_read_closed() || report.is_error() {
                    maybe |= READ;
                }
                if report.is_read_closed() || report.is_error() {
                    maybe |= ENDED;
                }
                if report.is_writable() || report.is_write_closed() || report.is_error() {
                    maybe |= WRITE;
                }
                source.maybe.fetch_or(maybe, Ordering::Relaxed);
                woken.push(Owner::of_bits(source.owner.load(Ordering::Relaxed)));
            }
        }
        self.hub.wakeups.take(woken);
        Ok(match count < REPORTS {
            true => Told::All,
            false => Told::Part,
        })
    }

    /// The descriptor that is readable when there may be something to do.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

impl Bell {
    /// Wakes whom it is for.
    pub(crate) fn ring(&self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.wakeups.ring(self.owner());
        }
    }

    /// Says whether the other one is of the same poller.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.hub.ptr_eq(&other.hub)
    }

    /// The same for somebody else.
    pub(crate) fn to(&self, owner: Owner) -> Self {
        Self {
            hub: self.hub.clone(),
            owner: owner.to_bits(),
        }
    }

    /// Registers a socket whose connect was begun, for whom the bell wakes.
    pub(crate) fn watch(&self, socket: BorrowedFd<'_>) -> io::Result<Watch> {
        let hub = self.hub.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let source = Arc::new(Source {
            owner: AtomicU64::new(self.owner),
            maybe: AtomicU8::new(0),
        });
        syscall(Syscall::Poll);
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        let number = lock(&hub.sources).insert(source.clone());
        let number = number.ok_or(io::ErrorKind::OutOfMemory)?;
        let watch = Watch {
            hub: self.hub.clone(),
            number,
            source,
        };
        let fd = socket.as_raw_fd();
        hub.registry
            .register(&mut SourceFd(&fd), token(number), interest)?;
        Ok(watch)
    }

    /// Whom it wakes.
    fn owner(&self) -> Owner {
        Owner::of_bits(self.owner)
    }
}

impl Ring for Bell {
    fn ring(&self) {
        Self::ring(self);
    }
}

impl Watch {
    /// Sets whom the reports are for.
    pub(crate) fn give(&self, owner: Owner) {
        self.source.owner.store(owner.to_bits(), Ordering::Relaxed);
    }

    /// Ends the registration of a socket that stays open: the system forgets it now.
    pub(crate) fn end(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let Some(hub) = self.hub.upgrade() else {
            return Ok(());
        };
        syscall(Syscall::Poll);
        hub.registry.deregister(&mut SourceFd(&socket.as_raw_fd()))
    }

    /// What a call on the socket may succeed in.
    pub(crate) fn maybe(&self) -> Ready {
        let maybe = self.source.maybe.load(Ordering::Relaxed);
        Ready {
            read: maybe & READ != 0,
            write: maybe & WRITE != 0,
        }
    }

    /// Notes what the socket may be ready for.
    pub(crate) fn expect(&self, interest: Interest) {
        self.source
            .maybe
            .fetch_or(bits(interest), Ordering::Relaxed);
    }

    /// Notes that a receive took less than it had room for: there is no more, unless the end of the stream is. The next
    /// report will tell.
    pub(crate) fn drained(&self) {
        if self.source.maybe.load(Ordering::Relaxed) & ENDED == 0 {
            self.source.maybe.fetch_and(!READ, Ordering::Relaxed);
        }
    }

    /// Notes what the socket was found not to be ready for: the next report will tell.
    pub(crate) fn exhausted(&self, interest: Interest) {
        self.source
            .maybe
            .fetch_and(!bits(interest), Ordering::Relaxed);
    }
}

/// The system keeps a token as 64 bits; where the word is smaller, so are the tables.
fn token(number: u64) -> Token {
    Token(usize::try_from(number).unwrap_or(WAKER))
}

fn number_of(token: Token) -> u64 {
    u64::try_from(token.0).unwrap_or_default()
}

fn bits(interest: Interest) -> u8 {
    (u8::from(interest.read) * READ) | (u8::from(interest.write) * WRITE)
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            lock(&hub.sources).remove(self.number);
        }
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("number", &self.number)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bell")
            .field("owner", &self.owner())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        (one, other)
    }

    fn woken(poller: &mut Poller, timeout: Option<Duration>) -> Vec<Owner> {
        let mut woken = Vec::new();
        poller.wait(timeout, &mut woken).unwrap();
        woken
    }

    #[test]
    fn a_report_goes_to_whom_the_socket_belongs_now() {
        let mut poller = Poller::new().unwrap();
        let (one, other) = pair();
        let watch = poller.bell(Owner::One(7)).watch(one.as_fd()).unwrap();
        assert_eq!(woken(&mut poller, None), [Owner::One(7)], "it is writable");
        assert!(watch.maybe().write && !watch.maybe().read);
        watch.give(Owner::One(8));
        rustix::io::write(&other, &[1]).unwrap();
        assert_eq!(woken(&mut poller, None), [Owner::One(8)]);
        assert!(watch.maybe().read);
        watch.exhausted(Interest::READ);
        assert!(!watch.maybe().read && watch.maybe().write);
        watch.give(Owner::Nobody);
        drop(other);
        assert_eq!(woken(&mut poller, None), [Owner::Nobody]);
        assert!(watch.maybe().read, "an end can be read");
    }

    #[test]
    fn a_report_about_a_socket_that_is_gone_meets_nobody() {
        let mut poller = Poller::new().unwrap();
        let (one, other) = pair();
        let watch = poller.bell(Owner::One(7)).watch(one.as_fd()).unwrap();
        rustix::io::write(&other, &[1]).unwrap();
        drop(watch);
        assert!(woken(&mut poller, Some(Duration::ZERO)).is_empty());
        let (two, _other) = pair();
        let watch = poller.bell(Owner::One(9)).watch(two.as_fd()).unwrap();
        assert!(!watch.maybe().read);
    }

    #[test]
    fn wake_ups_end_the_wait_and_none_is_lost() {
        let mut poller = Poller::new().unwrap();
        let bell = poller.bell(Owner::One(7));
        bell.ring();
        bell.to(Owner::Everybody).ring();
        assert!(poller.is_rung());
        let both = [Owner::One(7), Owner::Everybody];
        assert_eq!(woken(&mut poller, None), both);
        assert!(woken(&mut poller, Some(Duration::ZERO)).is_empty());
        bell.ring();
        assert_eq!(woken(&mut poller, None), [Owner::One(7)]);
        drop(poller);
        bell.ring();
    }
}
