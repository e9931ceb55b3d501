//! Addresses without a peer behind them: one that never answers, one that refuses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// How long a filling connection gets: loopback answers within microseconds or not at all.
const FILL_TIMEOUT: Duration = Duration::from_millis(25);
/// How many filling connections in a row must go unanswered before the queue counts as full.
const FILL_MISSES: usize = 2;
/// How many filling connections are tried at all.
const FILL_MAX: usize = 64;

/// An address of this machine that answers no SYN: connecting to it neither succeeds nor fails.
///
/// It is a listener whose queue is full and that never accepts. Dropping it closes the port:
/// later attempts are refused.
///
/// ```
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use wirescope::testkit::BlackHole;
///
/// # fn main() -> std::io::Result<()> {
/// let hole = BlackHole::start()?;
/// let error = TcpStream::connect_timeout(&hole.addr(), Duration::from_millis(50)).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BlackHole {
    addr: SocketAddr,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    /// Opens a black hole on 127.0.0.1, at a port that the system chooses.
    ///
    /// # Errors
    ///
    /// What the system says against a listener, or that its queue did not fill up.
    pub fn start() -> io::Result<Self> {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Opens a black hole at an address of this machine; takes about 50 ms.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = bound_socket(addr)?;
        listener.listen(0)?;
        let addr = local_addr(&listener)?;
        let queued = fill_queue(addr)?;
        Ok(Self {
            addr,
            _listener: listener,
            _queued: queued,
        })
    }

    /// The address that does not answer.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// An address of this machine that refuses connections, and that nobody else gets meanwhile.
///
/// ```
/// use std::net::TcpStream;
/// use wirescope::testkit::RefusedPort;
///
/// # fn main() -> std::io::Result<()> {
/// let refused = RefusedPort::reserve()?;
/// let error = TcpStream::connect(refused.addr()).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RefusedPort {
    addr: SocketAddr,
    _bound: Socket,
}

impl RefusedPort {
    /// Reserves a port on 127.0.0.1: bound, so that it is taken, but not listened on.
    ///
    /// # Errors
    ///
    /// What the system says against it.
    pub fn reserve() -> io::Result<Self> {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Reserves an address of this machine.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve).
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let bound = bound_socket(addr)?;
        let addr = local_addr(&bound)?;
        Ok(Self {
            addr,
            _bound: bound,
        })
    }

    /// The address that refuses.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn bound_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    let addr = socket.local_addr()?.as_socket();
    addr.ok_or_else(|| io::Error::other("not an IP socket"))
}

fn fill_queue(addr: SocketAddr) -> io::Result<Vec<TcpStream>> {
    let (mut queued, mut misses) = (Vec::new(), 0);
    for _ in 0..FILL_MAX {
        match TcpStream::connect_timeout(&addr, FILL_TIMEOUT) {
            Ok(stream) => {
                queued.push(stream);
                misses = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => misses += 1,
            Err(error) => return Err(error),
        }
        if misses == FILL_MISSES {
            return Ok(queued);
        }
    }
    Err(io::Error::other("the accept queue does not fill up"))
}
