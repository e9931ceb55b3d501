//! Where a connection goes: an address of the network, or a socket in the file system.

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, printable};

/// Bytes of the path of a unix socket at the most, as the system has room for them.
pub(crate) const PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The address of a peer. It shows as `IP:PORT`, as a path, or as `@NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PeerAddr {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(UnixAddr),
}

impl PeerAddr {
    /// The address and port, if it is one of the network.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }

    /// The unix socket, if it is one.
    #[must_use]
    pub fn unix(&self) -> Option<&UnixAddr> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(addr) => Some(addr),
        }
    }

    /// `tcp4`, `tcp6` or `unix`.
    #[must_use]
    pub fn network(&self) -> &'static str {
        match self {
            Self::Tcp(SocketAddr::V4(_)) => "tcp4",
            Self::Tcp(SocketAddr::V6(_)) => "tcp6",
            Self::Unix(_) => "unix",
        }
    }
}

impl From<SocketAddr> for PeerAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

impl PartialEq<SocketAddr> for PeerAddr {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.tcp() == Some(*other)
    }
}

impl PartialEq<SocketAddr> for &PeerAddr {
    fn eq(&self, other: &SocketAddr) -> bool {
        **self == *other
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(addr) => addr.fmt(f),
        }
    }
}

/// The address of a unix socket: a path, or on Linux a name that stands in no file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixAddr(Arc<Path>);

impl UnixAddr {
    /// The socket at a path; none for a path that is empty, has a NUL, or is longer than the system has room for: 107
    /// bytes on Linux. On Linux a NUL at its beginning makes the rest an abstract name.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Option<Self> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        let is_abstract = cfg!(target_os = "linux") && bytes.len() > 1 && bytes.starts_with(&[0]);
        let named = bytes.get(usize::from(is_abstract)..).unwrap_or_default();
        let is_one =
            !named.is_empty() && bytes.len() <= PATH_MAX && (is_abstract || !named.contains(&0));
        is_one.then(|| Self(path.into()))
    }

    /// The socket at a path that is given as a setting.
    pub(crate) fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::new(path).ok_or_else(|| Error::setting("unix_socket"))
    }

    /// The socket of an abstract name, without the NUL at its beginning; none on any system but Linux.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Option<Self> {
        let path = [&[0], name].concat();
        Self::new(OsStr::from_bytes(&path))
    }

    /// The path, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.name().is_none().then_some(&self.0)
    }

    /// The abstract name, if it is one.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        self.0.as_os_str().as_bytes().strip_prefix(&[0])
    }

    /// As the system takes it.
    pub(crate) fn raw(&self) -> &Path {
        &self.0
    }
}

/// On one line; what cannot be shown is escaped.
impl fmt::Display for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "@{}", printable(&String::from_utf8_lossy(name))),
            None => f.write_str(&printable(&self.0.to_string_lossy())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_system_takes_is_an_address() {
        let long = "x".repeat(PATH_MAX);
        for (path, shown) in [
            ("/run/a.sock", Some("/run/a.sock")),
            ("a", Some("a")),
            (&*long, Some(&*long)),
            ("", None),
            ("a\0b", None),
            ("\0", None),
            (&*format!("{long}x"), None),
        ] {
            let addr = UnixAddr::new(path);
            assert_eq!(addr.map(|addr| addr.to_string()).as_deref(), shown);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_stands_in_no_file_system() {
        let addr = UnixAddr::of_name(b"na\nme").unwrap();
        assert_eq!((addr.path(), addr.name()), (None, Some(&b"na\nme"[..])));
        assert_eq!(UnixAddr::new("\0na\nme"), Some(addr.clone()));
        assert!(addr.to_string().starts_with("@na"), "{addr}");
        assert!(!addr.to_string().contains('\n'));
        assert_eq!(UnixAddr::of_name(b""), None);
    }

    #[test]
    fn an_address_is_no_larger_than_one_of_the_network() {
        assert_eq!(size_of::<PeerAddr>(), size_of::<SocketAddr>());
        let addr: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert_eq!(PeerAddr::from(addr), addr);
        assert_eq!(PeerAddr::from(addr).network(), "tcp4");
    }
}
