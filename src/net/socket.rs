//! One socket, TCP or unix: blocking, so that the steady state is one system call per direction.
//!
//! Receiving blocks under `SO_RCVTIMEO`; the armed value is at most the time that remains. Sending never blocks:
//! a full buffer is told, and the caller waits in [`super::wait`] for both directions at once.
//!
//! A socket of an event loop is [watched](Watch) instead: nothing on it blocks, and receiving is over at once.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::message::peer_addr::PeerAddr;
use crate::net::clock::now;
use crate::net::count::{Syscall, syscall};
use crate::net::poll::{Bell, Owner, Watch};
use crate::net::setup::SocketSetup;
use crate::net::wait::Interest;

/// Shortest receive timeout that is armed: zero would mean none.
const LEAST_TIMEOUT: Duration = Duration::from_micros(1);

/// How long a connect blocks in the system call at first. Shutting a socket down ends a
/// connect that has begun, but not one that is about to; so the flag is looked at again after this time, and the
/// rest is waited for in a poll. A connect that is quicker costs no system call more.
const CANCELABLE: Duration = Duration::from_millis(20);

/// Timeouts up to this are kept to the tick by any kernel.
const EXACT: Duration = Duration::from_millis(60);

/// The socket timeout for a time that remains. The kernel rounds long ones up, by as much as an eighth (the
/// levels of its timer wheel), so they are armed short and the rest again when they fire.
fn ahead_of(left: Duration) -> Duration {
    if left <= EXACT { left } else { left * 8 / 9 }
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: Arc<socket2::Socket>,
    receiving: Receiving,
}

/// How a connected socket receives.
#[derive(Debug)]
enum Receiving {
    /// Blocking, under this `SO_RCVTIMEO`.
    Armed(Option<Duration>),
    /// Never blocking.
    Watched(Watch),
}

/// A socket that is not connected yet.
#[derive(Debug)]
pub(crate) struct Unconnected {
    inner: Arc<socket2::Socket>,
    addr: PeerAddr,
    mode: Mode,
    watch: Option<Watch>,
}

/// A connect that was begun.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is done.
    Connected(Unconnected),
    /// It is to be polled.
    UnderWay(Unconnected),
}

/// How a connect is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Blocking,
    Polled,
}

impl Mode {
    /// The type of a socket that is opened; where it cannot say that nothing blocks, the socket is told so.
    fn socket_type(self) -> Type {
        match self {
            #[cfg(not(target_vendor = "apple"))]
            Self::Polled => Type::STREAM.nonblocking(),
            #[cfg(target_vendor = "apple")]
            Self::Polled => Type::STREAM,
            Self::Blocking => Type::STREAM,
        }
    }
}

/// What receiving came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// That many bytes; 0 is the end of the stream.
    Bytes(usize),
    /// The deadline passed; a watched socket has nothing now.
    TimedOut,
}

impl Unconnected {
    /// Opens a socket for an address, to be connected by [`connect`](Self::connect).
    pub(crate) fn open(addr: SocketAddr, setup: &SocketSetup) -> io::Result<Self> {
        Self::open_as(addr.into(), Mode::Blocking, setup)
    }

    /// Opens a socket for an address and begins to connect without waiting; [`finish`](Self::finish) says how it
    /// ended. An error means that no packet left, or that the answer was there at once, as it is when the peer is
    /// this machine. A unix socket is connected or not at once; `WouldBlock` means that its listener has no room.
    pub(crate) fn begin(addr: PeerAddr, setup: &SocketSetup) -> io::Result<Begun> {
        Self::open_as(addr, Mode::Polled, setup)?.start()
    }

    /// As [`begin`](Self::begin), for a socket that was opened to be connected in a blocking call.
    pub(crate) fn begin_polled(mut self) -> io::Result<Begun> {
        syscall(Syscall::Option);
        rustix::io::ioctl_fionbio(&*self.inner, true)?;
        self.mode = Mode::Polled;
        self.start()
    }

    fn start(self) -> io::Result<Begun> {
        let is_connected = match self.connect_now() {
            Ok(()) => true,
            Err(error) => match &self.addr {
                PeerAddr::Tcp(addr) if is_under_way(&error) => {
                    addr.ip().is_loopback() && self.finish()?
                }
                PeerAddr::Tcp(_) | PeerAddr::Unix(_) => return Err(error),
            },
        };
        Ok(if is_connected {
            Begun::Connected(self)
        } else {
            Begun::UnderWay(self)
        })
    }

    fn open_as(addr: PeerAddr, mode: Mode, setup: &SocketSetup) -> io::Result<Self> {
        syscall(Syscall::Socket);
        let (domain, protocol) = match addr {
            PeerAddr::Tcp(addr) => (Domain::for_address(addr), Some(Protocol::TCP)),
            PeerAddr::Unix(_) => (Domain::UNIX, None),
        };
        let inner = socket2::Socket::new(domain, mode.socket_type(), protocol)?;
        #[cfg(target_vendor = "apple")]
        inner.set_nonblocking(mode == Mode::Polled)?;
        if let PeerAddr::Tcp(addr) = addr {
            setup.apply(&inner, addr)?;
        }
        Ok(Self {
            inner: Arc::new(inner),
            addr,
            mode,
            watch: None,
        })
    }

    /// The socket, for canceling: shutting it down ends the wait.
    pub(crate) fn shared(&self) -> Arc<socket2::Socket> {
        self.inner.clone()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    /// Says whether it has addresses of the network.
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.addr, PeerAddr::Tcp(_))
    }

    /// Connects, blocking, until the deadline, and for a short time only if it can be canceled. False: the
    /// connect goes on in the background, and the socket is to be polled.
    pub(crate) fn connect(
        &self,
        deadline: Option<Instant>,
        is_cancelable: bool,
    ) -> io::Result<bool> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
        let slice = [left, is_cancelable.then_some(CANCELABLE)]
            .into_iter()
            .flatten()
            .min();
        if let Some(slice) = slice {
            syscall(Syscall::Option);
            self.inner
                .set_write_timeout(Some(ahead_of(slice).max(LEAST_TIMEOUT)))?;
        }
        match self.connect_now() {
            Ok(()) => Ok(true),
            Err(error) if is_under_way(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn connect_now(&self) -> io::Result<()> {
        let addr = match &self.addr {
            PeerAddr::Tcp(addr) => SockAddr::from(*addr),
            PeerAddr::Unix(addr) => SockAddr::unix(addr.raw())?,
        };
        syscall(Syscall::Connect);
        self.inner.connect(&addr)
    }

    /// Says whether a socket that a poll found ready is connected; if not, the poll was wrong.
    pub(crate) fn finish(&self) -> io::Result<bool> {
        syscall(Syscall::Option);
        if self.inner.peer_addr().is_ok() {
            return Ok(true);
        }
        syscall(Syscall::Option);
        match self.inner.take_error()? {
            Some(error) => Err(error),
            None => Ok(false),
        }
    }

    /// Lets an event loop watch the socket, whose connect was begun without waiting.
    pub(crate) fn watch(&mut self, bell: &Bell) -> io::Result<()> {
        self.watch = Some(bell.watch(self.inner.as_fd())?);
        Ok(())
    }

    /// Sets whom the reports about a watched socket are for.
    pub(crate) fn give(&self, owner: Owner) {
        if let Some(watch) = &self.watch {
            watch.give(owner);
        }
    }

    /// Says whether a watched socket may be connected, once for each report.
    pub(crate) fn take_report(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| {
            let is_reported = watch.maybe().write;
            watch.exhausted(Interest::WRITE);
            is_reported
        })
    }

    /// Makes a connected socket of it: Nagle's algorithm off where there is one; watched if it was, else blocking and the receive timeout
    /// armed.
    pub(crate) fn into_socket(self, read_timeout: Option<Duration>) -> io::Result<Socket> {
        if self.is_tcp() {
            syscall(Syscall::Option);
            self.inner.set_tcp_nodelay(true)?;
        }
        if let Some(watch) = self.watch {
            watch.expect(Interest::WRITE);
            return Ok(Socket {
                inner: self.inner,
                receiving: Receiving::Watched(watch),
            });
        }
        if self.mode == Mode::Polled {
            syscall(Syscall::Option);
            rustix::io::ioctl_fionbio(&*self.inner, false)?;
        }
        let mut socket = Socket {
            inner: self.inner,
            receiving: Receiving::Armed(None),
        };
        socket.arm(read_timeout)?;
        Ok(socket)
    }
}

fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
        || matches!(
            error.kind(),
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
        )
}

impl Socket {
    /// Our own address.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        syscall(Syscall::Option);
        self.inner
            .local_addr()
            .ok()
            .and_then(|addr| addr.as_socket())
    }

    /// The socket, for canceling: shutting it down ends every wait.
    pub(crate) fn shared(&self) -> Arc<socket2::Socket> {
        self.inner.clone()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    /// Sets whom the reports about a watched socket are for.
    pub(crate) fn give(&self, owner: Owner) {
        if let Receiving::Watched(watch) = &self.receiving {
            watch.give(owner);
        }
    }

    /// Says whether an event loop watches it.
    pub(crate) fn is_watched(&self) -> bool {
        matches!(self.receiving, Receiving::Watched(_))
    }

    /// Says whether a watched socket may be ready for this.
    pub(crate) fn may_be_ready(&self, interest: Interest) -> bool {
        match &self.receiving {
            Receiving::Armed(_) => false,
            Receiving::Watched(watch) => {
                let maybe = watch.maybe();
                (interest.read && maybe.read) || (interest.write && maybe.write)
            }
        }
    }

    /// Notes what the socket was found not to be ready for.
    fn exhausted(&self, interest: Interest) {
        if let Receiving::Watched(watch) = &self.receiving {
            watch.exhausted(interest);
        }
    }

    /// Hands bytes to the kernel without waiting. None: its buffer is full.
    pub(crate) fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        loop {
            syscall(Syscall::Send);
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let result = match slices {
                [one] => rustix::net::send(&*self.inner, one, flags),
                many => rustix::net::sendmsg(&*self.inner, many, &mut Default::default(), flags),
            };
            match result {
                Ok(count) => return Ok(Some(count)),
                Err(rustix::io::Errno::AGAIN) => {
                    self.exhausted(Interest::WRITE);
                    return Ok(None);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Receives, blocking until the deadline, into the first slice and then the second.
    pub(crate) fn receive(
        &mut self,
        first: &mut [u8],
        second: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<Incoming> {
        let room = first.len().saturating_add(second.len());
        self.receive_with(deadline, room, |socket| {
            if second.is_empty() {
                return rustix::net::recv(socket, &mut *first, RecvFlags::empty())
                    .map(|(count, _)| count);
            }
            rustix::io::readv(
                socket,
                &mut [IoSliceMut::new(first), IoSliceMut::new(second)],
            )
        })
    }

    /// Receives, blocking until the deadline, behind the bytes of a vector, as far as its capacity goes.
    pub(crate) fn receive_behind(
        &mut self,
        bytes: &mut Vec<u8>,
        deadline: Option<Instant>,
    ) -> io::Result<Incoming> {
        let room = bytes.capacity().saturating_sub(bytes.len());
        self.receive_with(deadline, room, |socket| {
            rustix::net::recv(
                socket,
                rustix::buffer::spare_capacity(bytes),
                RecvFlags::empty(),
            )
            .map(|(count, _)| count)
        })
    }

    /// Receives behind the bytes of a vector without waiting. None: there is nothing.
    pub(crate) fn receive_now(&self, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
        syscall(Syscall::Peek);
        match rustix::net::recv(
            &*self.inner,
            rustix::buffer::spare_capacity(bytes),
            RecvFlags::DONTWAIT,
        ) {
            Ok((count, _)) => Ok(Some(count)),
            Err(error) if self.has_nothing(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives into a slice without waiting. None: there is nothing.
    pub(crate) fn receive_into_now(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        syscall(Syscall::Receive);
        match rustix::net::recv(&*self.inner, into, RecvFlags::DONTWAIT) {
            Ok((count, _)) => Ok(Some(count)),
            Err(error) if self.has_nothing(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the socket out of the event loop that watches it, if one does: from then on it blocks, without a timeout.
    pub(crate) fn release(&mut self) -> io::Result<()> {
        if let Receiving::Watched(watch) = &self.receiving {
            watch.end(self.inner.as_fd())?;
            self.receiving = Receiving::Armed(None);
            syscall(Syscall::Option);
            rustix::io::ioctl_fionbio(&*self.inner, false)?;
        }
        self.arm(None)
    }

    /// Ends the direction of sending.
    pub(crate) fn end_sending(&self) -> io::Result<()> {
        syscall(Syscall::Option);
        self.inner.shutdown(Shutdown::Write)
    }

    /// Says whether an error means only that nothing is there.
    fn has_nothing(&self, error: rustix::io::Errno) -> bool {
        let is_empty = error == rustix::io::Errno::AGAIN;
        if is_empty {
            self.exhausted(Interest::READ);
        }
        is_empty || error == rustix::io::Errno::INTR
    }

    fn receive_with(
        &mut self,
        deadline: Option<Instant>,
        room: usize,
        mut receive: impl FnMut(&socket2::Socket) -> rustix::io::Result<usize>,
    ) -> io::Result<Incoming> {
        if matches!(self.receiving, Receiving::Watched(_)) {
            return self.receive_watched(room, receive);
        }
        if let Some(deadline) = deadline {
            self.arm_for(deadline.saturating_duration_since(now()))?;
        } else {
            self.arm(None)?;
        }
        loop {
            syscall(Syscall::Receive);
            match receive(&self.inner) {
                Ok(count) => return Ok(Incoming::Bytes(count)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let Some(deadline) = deadline else { continue };
                    let left = deadline.saturating_duration_since(now());
                    if left.is_zero() {
                        return Ok(Incoming::TimedOut);
                    }
                    self.arm(Some(ahead_of(left)))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn receive_watched(
        &self,
        room: usize,
        mut receive: impl FnMut(&socket2::Socket) -> rustix::io::Result<usize>,
    ) -> io::Result<Incoming> {
        loop {
            syscall(Syscall::Receive);
            match receive(&self.inner) {
                Ok(count) => {
                    if let (Receiving::Watched(watch), true) = (&self.receiving, count < room) {
                        watch.drained();
                    }
                    return Ok(Incoming::Bytes(count));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.exhausted(Interest::READ);
                    return Ok(Incoming::TimedOut);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Arms the receive timeout if what is armed may fire after the time that remains.
    fn arm_for(&mut self, left: Duration) -> io::Result<()> {
        let ahead = ahead_of(left);
        match self.receiving {
            Receiving::Armed(Some(armed)) if armed <= ahead => Ok(()),
            Receiving::Armed(_) | Receiving::Watched(_) => self.arm(Some(ahead)),
        }
    }

    fn arm(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| timeout.max(LEAST_TIMEOUT));
        if let Receiving::Armed(armed) = &mut self.receiving {
            if *armed != timeout {
                syscall(Syscall::Option);
                self.inner.set_read_timeout(timeout)?;
                *armed = timeout;
            }
        }
        Ok(())
    }

    /// Looks whether bytes or the end of the stream wait, without taking anything. None: neither.
    pub(crate) fn peek(&self) -> io::Result<Option<usize>> {
        syscall(Syscall::Peek);
        let mut byte = [MaybeUninit::uninit(); 1];
        match rustix::net::recv(
            &*self.inner,
            &mut byte[..],
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        ) {
            Ok((_, count)) => Ok(Some(count)),
            Err(error) if self.has_nothing(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_rounded_up_by_the_kernel_is_not_late() {
        for ms in [61, 100, 1000, 10_000, 3_600_000] {
            let left = Duration::from_millis(ms);
            let armed = ahead_of(left);
            assert!(armed + armed / 8 <= left, "{left:?}");
            assert!(armed >= left / 2, "{left:?}: it does not wake too often");
        }
        assert_eq!(ahead_of(EXACT), EXACT);
    }

    #[test]
    fn this_machine_answers_a_connect_at_once() {
        let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        listener.bind(&any.into()).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let setup = SocketSetup::default();
        let refused = Unconnected::begin(addr.into(), &setup).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        listener.listen(1).unwrap();
        let begun = Unconnected::begin(addr.into(), &setup).unwrap();
        let Begun::Connected(socket) = begun else {
            panic!("{begun:?}")
        };
        let mut socket = socket.into_socket(Some(Duration::from_millis(5))).unwrap();
        let mut byte = [0];
        let deadline = Some(now() + Duration::from_millis(10));
        let received = socket.receive(&mut byte, &mut [], deadline).unwrap();
        assert_eq!(received, Incoming::TimedOut, "it blocks, and not for ever");
    }
}
