//! What a socket is made to be before it connects: where it is bound to, whether the system probes its peer, and what
//! the caller's hook does to it.
//!
//! The rule guarded here: what cannot be done is an error of this socket, and never left out in silence.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use socket2::{Socket, TcpKeepalive};

use crate::error::{SocketRule, Unfit};
use crate::message::tcp_keep_alive::TcpKeepAlive;
use crate::net::count::{Syscall, syscall};

/// The longest name of an interface.
const INTERFACE_MAX: usize = 15;

/// How sockets are set up; by default not at all, which costs nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct SocketSetup {
    pub(crate) local: Option<IpAddr>,
    pub(crate) interface: Option<Interface>,
    pub(crate) probes: Option<TcpKeepAlive>,
    pub(crate) hook: Option<Hook>,
}

/// The name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface(Box<str>);

impl Interface {
    /// An interface by its name.
    ///
    /// # Errors
    /// `InvalidInput` for what cannot be a name, `Unsupported` where the system cannot bind to one.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let is_name = !name.is_empty()
            && name.len() <= INTERFACE_MAX
            && !name.bytes().any(|byte| matches!(byte, 0 | b'/' | b' '));
        if !is_name {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !cfg!(target_os = "linux") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self(name.into()))
    }

    #[cfg(target_os = "linux")]
    fn bind(&self, socket: &Socket) -> io::Result<()> {
        syscall(Syscall::Option);
        socket.bind_device(Some(self.0.as_bytes()))
    }

    #[cfg(not(target_os = "linux"))]
    fn bind(&self, _: &Socket) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn unfit(&self, cause: io::Error) -> io::Error {
        let rule = if cause.kind() == io::ErrorKind::PermissionDenied {
            SocketRule::InterfacePermission
        } else {
            SocketRule::Interface
        };
        unfit(rule, Some(self.0.clone()), cause)
    }
}

/// What the caller does to each socket before it connects.
#[derive(Clone)]
pub(crate) struct Hook(Arc<Prepare>);

type Prepare = dyn Fn(BorrowedFd<'_>, SocketAddr) -> io::Result<()> + Send + Sync;

impl Hook {
    pub(crate) fn new(
        prepare: impl Fn(BorrowedFd<'_>, SocketAddr) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(prepare))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl SocketSetup {
    /// Sets a TCP socket up that is to connect to this address. The interface comes first, since an address of one
    /// link means nothing without it; the hook comes last, so that it sees all of it and has the last word.
    pub(super) fn apply(&self, socket: &Socket, to: SocketAddr) -> io::Result<()> {
        self.bind_interface(socket)?;
        if let Some(ip) = self.local {
            syscall(Syscall::Option);
            let bound = socket.bind(&SocketAddr::new(ip, 0).into());
            bound.map_err(|cause| {
                let subject = Some(ip.to_string().into_boxed_str());
                unfit(SocketRule::LocalAddress, subject, cause)
            })?;
        }
        if let Some(probes) = self.probes {
            probe(socket, probes).map_err(|cause| unfit(SocketRule::KeepAlive, None, cause))?;
        }
        if let Some(hook) = &self.hook {
            (hook.0)(socket.as_fd(), to).map_err(|cause| unfit(SocketRule::Hook, None, cause))?;
        }
        Ok(())
    }

    /// Binds a socket to the interface, if there is one.
    pub(super) fn bind_interface(&self, socket: &Socket) -> io::Result<()> {
        let Some(interface) = &self.interface else {
            return Ok(());
        };
        interface
            .bind(socket)
            .map_err(|cause| interface.unfit(cause))
    }
}

fn unfit(rule: SocketRule, subject: Option<Box<str>>, cause: io::Error) -> io::Error {
    Unfit {
        rule,
        subject,
        cause,
    }
    .into_io()
}

/// Four system calls: that the system probes, when first, how often, and how long.
fn probe(socket: &Socket, probes: TcpKeepAlive) -> io::Result<()> {
    let (idle, interval, count) = probes.parts();
    for _ in 0..4 {
        syscall(Syscall::Option);
    }
    let probes = TcpKeepalive::new().with_time(idle);
    socket.set_tcp_keepalive(&probes.with_interval(interval).with_retries(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_interface_can_have_is_refused() {
        for name in ["", "a/b", "a b", "a\0", "sixteen-letters-"] {
            let error = Interface::new(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_interface_says_what_is_missing() {
        let interface = Interface::new("eth0").unwrap();
        for (code, rule) in [
            (rustix::io::Errno::PERM, SocketRule::InterfacePermission),
            (rustix::io::Errno::NODEV, SocketRule::Interface),
        ] {
            let code = code.raw_os_error();
            let error = interface.unfit(io::Error::from_raw_os_error(code));
            let unfit = Unfit::of(&error).unwrap();
            assert_eq!((unfit.rule, unfit.subject.as_deref()), (rule, Some("eth0")));
            assert_eq!(crate::error::code_of(&error), Some(code));
        }
    }
}
