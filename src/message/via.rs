//! By whom a request reaches the server of its URL: straight, through a proxy, or over a socket of the file system.

use std::sync::Arc;

use crate::message::peer_addr::UnixAddr;
use crate::message::proxy::{Proxy, ProxyScheme};
use crate::message::url::{Scheme, Url};

/// Whom a connection is made to, if not to the server itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Via {
    /// The server.
    #[default]
    Nobody,
    /// A proxy that is given whole requests (RFC 9112 §3.2.2): its connections serve any `http` target.
    Forward(Arc<Proxy>),
    /// A proxy that passes bytes on: each connection leads to one target.
    Tunnel(Arc<Proxy>),
    /// A server that listens there.
    Unix(UnixAddr),
}

/// What decides about the connection of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) url: &'a Url,
    pub(crate) via: &'a Via,
}

static NOBODY: Via = Via::Nobody;

impl<'a> Destination<'a> {
    /// The server itself.
    pub(crate) fn straight(url: &'a Url) -> Self {
        Self { url, via: &NOBODY }
    }
}

impl Via {
    /// How a proxy serves a URL.
    pub(crate) fn of(proxy: Arc<Proxy>, url: &Url) -> Self {
        match (proxy.scheme(), url.scheme()) {
            (ProxyScheme::Http | ProxyScheme::Https, Scheme::Http) => Self::Forward(proxy),
            (ProxyScheme::Http | ProxyScheme::Https, Scheme::Https)
            | (ProxyScheme::Socks5 | ProxyScheme::Socks5h, _) => Self::Tunnel(proxy),
        }
    }

    /// The proxy, if there is one.
    pub(crate) fn proxy(&self) -> Option<&Arc<Proxy>> {
        match self {
            Self::Forward(proxy) | Self::Tunnel(proxy) => Some(proxy),
            Self::Nobody | Self::Unix(_) => None,
        }
    }

    /// The proxy that is the peer of the request itself.
    pub(crate) fn peer(&self) -> Option<&Proxy> {
        match self {
            Self::Forward(proxy) => Some(proxy),
            Self::Nobody | Self::Tunnel(_) | Self::Unix(_) => None,
        }
    }
}
