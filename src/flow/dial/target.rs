//! What is dialed: the host and port of the URL, or what the caller's table puts in their place.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::flow::lookup::localhost;
use crate::message::answer::Address;
use crate::message::connect_to::ConnectTo;
use crate::message::overrides::Overrides;
use crate::message::peer_addr::UnixAddr;
use crate::message::proxy::Proxy;
use crate::message::url::{Host, Url};

/// The host and port to be dialed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    literal: Option<Address>,
}

/// What has to be known of an address before the dial: where it comes from and what stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// An IP literal.
    Literal(Address),
    /// `localhost`.
    Localhost([Address; 2]),
    /// The caller's table.
    Override(Vec<Address>),
    /// The resolver has to be asked: the system's, or the caller's own.
    Ask {
        /// Whether the resolver is the caller's own.
        custom: bool,
    },
    /// A unix socket, which has no addresses.
    Unix(UnixAddr),
}

impl Target {
    /// What is dialed for a URL.
    pub(crate) fn of(url: &Url, connect_to: &ConnectTo) -> Self {
        match connect_to.find(url.host_str(), url.port()) {
            Some((host, port)) => Self {
                literal: literal(host),
                host: bare(host).into(),
                port,
            },
            None => Self::at(url.host(), bare(url.host_str()), url.port()),
        }
    }

    /// What is dialed for a proxy. The table is for servers, and does not speak about it.
    pub(crate) fn of_proxy(proxy: &Proxy) -> Self {
        Self::at(proxy.dialed(), proxy.host(), proxy.port())
    }

    fn at(host: Host<'_>, text: &str, port: u16) -> Self {
        Self {
            literal: match host {
                Host::V4(ip) => Some(IpAddr::from(ip).into()),
                Host::V6(ip, zone) => Some(Address::in_zone(ip, zone.map_or(0, zone_index))),
                Host::Name(_) => None,
            },
            host: text.into(),
            port,
        }
    }

    /// The address, if the target is one.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.literal.map(Address::ip)
    }

    /// The addresses that the host says by itself, as a literal and `localhost` do.
    pub(crate) fn said(&self) -> Vec<Address> {
        match self.literal {
            Some(address) => vec![address],
            None => localhost(&self.host).map_or_else(Vec::new, Vec::from),
        }
    }

    /// Where the addresses of the target come from: its own text, the rule for `localhost` (RFC 6761 §6.3), the
    /// caller's table, or the resolver.
    pub(crate) fn names(&self, overrides: &Overrides, custom: bool) -> Names {
        if let Some(addresses) = overrides.lookup(&self.host, self.port) {
            return Names::Override(addresses.to_vec());
        }
        match self.literal {
            Some(address) => Names::Literal(address),
            None => localhost(&self.host).map_or(Names::Ask { custom }, Names::Localhost),
        }
    }
}

fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

/// The address that a host of the caller's table is, if it is one.
fn literal(host: &str) -> Option<Address> {
    let bare = bare(host);
    let (ip, zone) = bare.split_once('%').unwrap_or((bare, ""));
    match ip.parse::<Ipv6Addr>() {
        Ok(ip) => Some(Address::in_zone(ip, zone_index(zone))),
        Err(_) => bare.parse::<IpAddr>().ok().map(Address::from),
    }
}

/// A zone given as a number; a name of an interface is for the operating system, and reads as none here.
fn zone_index(zone: &str) -> u32 {
    zone.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, connect_to: &ConnectTo) -> (String, u16, bool) {
        let target = Target::of(&Url::parse(url).unwrap(), connect_to);
        let is_literal = matches!(target.names(&Overrides::new(), false), Names::Literal(_));
        (target.host.to_string(), target.port, is_literal)
    }

    #[test]
    fn the_table_replaces_what_is_dialed() {
        let mut table = ConnectTo::new();
        table.add("a.test", 80, "b.test", 8080).unwrap();
        table.add("c.test", 0, "[::1]", 0).unwrap();
        table.add("", 443, "", 8443).unwrap();
        let b = ("b.test".to_owned(), 8080, false);
        assert_eq!(target("http://A.test/", &table), b);
        assert_eq!(
            target("http://c.test:81/", &table),
            ("::1".to_owned(), 81, true)
        );
        assert_eq!(
            target("https://d.test/", &table),
            ("d.test".to_owned(), 8443, false)
        );
        assert_eq!(
            target("http://d.test/", &table),
            ("d.test".to_owned(), 80, false)
        );
        let six = ("::1".to_owned(), 80, true);
        assert_eq!(target("http://[::1]/", &ConnectTo::new()), six);
    }
}
