//! What lies between a contestant that is connected and the server of the URL: TLS with a proxy, a tunnel through it,
//! TLS with the server.
//!
//! The race is for whoever is dialed, so it goes as far as TLS with the proxy, or, if there is none, with the server.
//! What lies behind a proxy is the same for all of its addresses, and the winner of the race goes on alone.

use std::net::IpAddr;
use std::sync::Arc;

use crate::event::TlsRole;
use crate::flow::dial::contestants::Stage;
use crate::flow::dial::target::Target;
use crate::flow::tunnel::Goal;
use crate::message::connect_to::ConnectTo;
use crate::message::proxy::{Proxy, ProxyScheme};
use crate::message::url::{Scheme, Url};
use crate::message::via::{Destination, Via};

/// The way from a contestant that is connected to the server.
#[derive(Debug, Clone)]
pub(crate) struct Legs {
    /// The proxy that is dialed instead of the server.
    via: Option<Arc<Proxy>>,
    /// The name that the certificate of the proxy has to speak for, if TLS is spoken with it.
    proxy: Option<Arc<str>>,
    tunnel: Option<Through>,
    /// The name that the certificate of the server has to speak for, if TLS is spoken with it.
    origin: Option<Arc<str>>,
}

/// A tunnel that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Through {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) goal: Goal,
}

/// How far a contestant has come on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Come {
    /// It is not connected, or in the middle of something.
    Nowhere,
    /// TLS is next.
    BeforeTls(TlsRole),
    /// The tunnel is next.
    BeforeTunnel,
    /// It is there.
    There,
}

impl Legs {
    pub(crate) fn of(destination: Destination<'_>, connect_to: &ConnectTo) -> Self {
        let Destination { url, via } = destination;
        let is_tls = |proxy: &Arc<Proxy>| proxy.scheme() == ProxyScheme::Https;
        let tunnel = match via {
            Via::Tunnel(proxy) => Some(Through {
                proxy: proxy.clone(),
                goal: goal(url, connect_to),
            }),
            Via::Nobody | Via::Forward(_) | Via::Unix(_) => None,
        };
        let proxy = via.proxy().filter(|proxy| is_tls(proxy));
        Self {
            via: via.proxy().cloned(),
            proxy: proxy.map(|proxy| proxy.host().into()),
            tunnel,
            origin: (url.scheme() == Scheme::Https)
                .then(|| url.host_str().trim_matches(['[', ']']).into()),
        }
    }

    /// The proxy that is dialed, if one is.
    pub(super) fn via(&self) -> Option<&Proxy> {
        self.via.as_deref()
    }

    /// Says whether the proxy is to be given an address, which is chosen here.
    pub(crate) fn wants_address(&self) -> bool {
        let wants = |through: &Through| through.proxy.scheme() == ProxyScheme::Socks5;
        self.tunnel.as_ref().is_some_and(wants)
    }

    /// The tunnel is to lead to this address.
    pub(super) fn lead_to(&mut self, address: Option<IpAddr>) {
        if let Some(through) = &mut self.tunnel {
            through.goal.address = address;
        }
    }

    /// The tunnel that is to be made, if one is.
    pub(super) fn tunnel(&self) -> Option<&Through> {
        self.tunnel.as_ref()
    }

    /// The name that a certificate has to speak for.
    pub(super) fn name(&self, role: TlsRole) -> Option<&Arc<str>> {
        match role {
            TlsRole::Proxy => self.proxy.as_ref(),
            TlsRole::Origin => self.origin.as_ref(),
        }
    }

    /// How far a contestant has come.
    pub(super) fn come(&self, stage: &Stage) -> Come {
        match stage {
            Stage::Opening | Stage::Connecting | Stage::Securing(..) | Stage::Tunneling(_) => {
                Come::Nowhere
            }
            Stage::Reached(_) if self.proxy.is_some() => Come::BeforeTls(TlsRole::Proxy),
            Stage::Reached(_) | Stage::Secured(_, TlsRole::Proxy, _) if self.tunnel.is_some() => {
                Come::BeforeTunnel
            }
            Stage::Secured(_, TlsRole::Origin, _) => Come::There,
            Stage::Reached(_) | Stage::Secured(_, TlsRole::Proxy, _) | Stage::Tunneled(_) => {
                match self.origin {
                    Some(_) => Come::BeforeTls(TlsRole::Origin),
                    None => Come::There,
                }
            }
        }
    }
}

/// Where a tunnel leads.
fn goal(url: &Url, connect_to: &ConnectTo) -> Goal {
    let target = Target::of(url, connect_to);
    Goal {
        address: target.literal(),
        host: target.host,
        port: target.port,
    }
}
