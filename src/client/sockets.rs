//! What the sockets of a client are: where they are bound to, and what is done to them before they connect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::client::ClientBuilder;
use crate::error::{Error, Result};
use crate::message::answer::Family;
use crate::message::peer_addr::UnixAddr;
use crate::message::tcp_keep_alive::TcpKeepAlive;
use crate::net::setup::{Hook, Interface};

impl ClientBuilder {
    /// Connects from this address of the machine. Default none: the system chooses for each connection.
    ///
    /// Only addresses of its family are asked for and tried, as if it had been set by
    /// [`address_family`](Self::address_family): a host that has none is
    /// [`LookupFailure::OtherFamily`](crate::error::LookupFailure::OtherFamily) or
    /// [`LookupFailure::NoAddress`](crate::error::LookupFailure::NoAddress), and no connection leaves from another
    /// address. An address that the machine does not have is
    /// [`SocketRule::LocalAddress`](crate::error::SocketRule::LocalAddress), at each call. An address of one link
    /// (`fe80::`) needs its [`interface`](Self::interface) beside it.
    ///
    /// The system gives each connection a port of this address that no other of them has, so there can be about
    /// 28 000 at one time, whatever their peers. It costs one system call for each address that is tried.
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.setup.local = Some(address.to_canonical());
        self
    }

    /// Connects over this network interface only, as curl's `--interface if!name` does. Default none: over the one
    /// that the table of routes says.
    ///
    /// An interface that is not there is [`SocketRule::Interface`](crate::error::SocketRule::Interface), one that the
    /// program may not bind to [`SocketRule::InterfacePermission`](crate::error::SocketRule::InterfacePermission),
    /// each at each call and with the name in its text; Linux asks for CAP_NET_RAW before 5.7 and for nothing since.
    /// Lookups are not bound to it. It costs one system call for each address that is tried.
    ///
    /// # Errors
    /// [`RequestRule::Setting`](crate::error::RequestRule::Setting) when no interface can have that name, and on any
    /// system but Linux.
    pub fn interface(mut self, name: &str) -> Result<Self> {
        let refused = |error| Error::setting("interface").with_source(Box::new(error));
        self.setup.interface = Some(Interface::new(name).map_err(refused)?);
        Ok(self)
    }

    /// Lets the system probe the peers of quiet connections. Default none, where Go probes every 15 s and curl every
    /// 60 s: it costs four system calls for each address that is tried, and finds nothing that a client of such
    /// deadlines does not. Every wait for a peer has an end ([`Timeouts`](crate::config::Timeouts)), and an idle
    /// connection is closed after 30 s. It is for calls whose waits were made long or endless: a stream that is
    /// silent for hours, or a gateway in between that forgets quiet connections.
    ///
    /// Probes without an answer end the wait with
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) of the kind `TimedOut`.
    #[must_use]
    pub fn tcp_keep_alive(mut self, probes: Option<TcpKeepAlive>) -> Self {
        self.setup.probes = probes;
        self
    }

    /// Hands each TCP socket to a closure before it connects, as Go's `Control` does: for marks, priorities and other
    /// options of the system. It is called once for each address that is tried, after all other settings, with the
    /// address; a descriptor is what `socket2::SockRef` and `rustix` take.
    ///
    /// An error of it fails that address with
    /// [`SocketRule::Hook`](crate::error::SocketRule::Hook) in the phase `connect`, and others are tried. It runs while
    /// the call dials, so it must not wait; on an event loop all calls would. A panic unwinds out of a call on its
    /// thread; in an event loop it fails its call with
    /// [`ErrorKind::LocalPanic`](crate::ErrorKind::LocalPanic) and no other.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// static TRIED: AtomicUsize = AtomicUsize::new(0);
    /// let client = wirescope::Client::builder()
    ///     .socket_hook(|_socket, to| {
    ///         TRIED.fetch_add(usize::from(to.is_ipv4()), Ordering::Relaxed);
    ///         Err(std::io::ErrorKind::PermissionDenied.into())
    ///     })
    ///     .build()?;
    /// assert!(client.get("http://127.0.0.1:9/")?.send().is_err());
    /// assert_eq!(TRIED.load(Ordering::Relaxed), 1);
    /// # Ok::<(), wirescope::Error>(())
    /// ```
    #[must_use]
    pub fn socket_hook(
        mut self,
        prepare: impl Fn(BorrowedFd<'_>, SocketAddr) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.setup.hook = Some(Hook::new(prepare));
        self
    }

    /// Connects to a unix socket instead of the hosts of URLs, as curl's `--unix-socket` does. Default none.
    ///
    /// The URL still gives the path, `Host`, and under https the name that the certificate has to speak for: TLS over a
    /// unix socket is verified like any other. Every hop of every call goes to the socket, whatever host a redirect
    /// names, and none through a proxy; nothing is looked up, and neither
    /// [`connect_to`](Self::connect_to) nor [`allow_addresses`](Self::allow_addresses) is asked, since no address is
    /// dialed. What is set for TCP, that is local address, interface, probes and hook, is not done to it. Connections of
    /// different origins, and to different sockets, are not shared.
    ///
    /// A path that begins with a NUL is an abstract name of Linux, as curl's `--abstract-unix-socket` has it without the
    /// NUL.
    ///
    /// A listener without room for a connection is asked again after 5 ms, then after twice as long each time, up to
    /// 640 ms, until [`connect_timeout`](Self::connect_timeout). Every other failure is
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) with the error of the system as its source: `NotFound` where
    /// there is nothing, `ConnectionRefused` where nobody listens any more, `PermissionDenied`.
    ///
    /// ```no_run
    /// let docker = wirescope::Client::builder()
    ///     .unix_socket("/run/docker.sock")?
    ///     .build()?;
    /// let version = docker.get("http://localhost/version")?.send()?.text(100_000)?;
    /// # drop(version);
    /// # Ok::<(), wirescope::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`RequestRule::Setting`](crate::error::RequestRule::Setting) when the path is empty, has a NUL elsewhere, or is
    /// longer than the system takes, 107 bytes on Linux.
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.unix = Some(UnixAddr::read(path)?);
        Ok(self)
    }

    /// The only family that is used, if not both: the one that was asked for, or that of the local address.
    pub(super) fn family(&self) -> Result<Option<Family>> {
        let local = self.setup.local.map(Family::of);
        match (self.family, local) {
            (Some(asked), Some(local)) if asked != local => Err(Error::setting("local_address")),
            (asked, local) => Ok(asked.or(local)),
        }
    }
}
