//! The hosts that no proxy is asked for.
//!
//! The rule guarded here: an entry and a host are compared as what they are. A name is compared label by label with
//! names, an address by its value with addresses, and never the one with the text of the other; the zone of an address
//! takes no part, whatever stands in it.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};

use crate::message::url::{Host, Url};

/// A list of hosts that are reached without a proxy, as `NO_PROXY` has it.
///
/// Entries are separated by commas or white space. An entry is one of
///
/// - `*`: every host;
/// - `example.com`: this host and all below it;
/// - `.example.com` or `*.example.com`: only the hosts below it;
/// - `192.0.2.7`, `2001:db8::7` or `[2001:db8::7]`: this address, where a URL has an address for a host;
/// - `192.0.2.0/24` or `2001:db8::/32`: all addresses of this network.
///
/// All but a network may have a port behind a colon, an IPv6 address then in brackets, and hold for that port only. Case
/// makes no difference, nor does one dot at the end of a name; an IPv4 address inside an IPv6 one is that IPv4 address.
/// An entry that is none of these holds for nothing, since lists are shared by programs that read them in many ways. A name
/// is not looked up, so an entry with an address says nothing about a name.
///
/// ```
/// use wirescope::NoProxy;
///
/// let list = NoProxy::parse("localhost, .example.com, 10.0.0.0/8, example.org:8080");
/// assert_eq!(list.rule_for(&"http://www.example.com/".parse()?), Some(".example.com"));
/// assert_eq!(list.rule_for(&"http://10.1.2.3/".parse()?), Some("10.0.0.0/8"));
/// assert_eq!(list.rule_for(&"http://example.com/".parse()?), None);
/// assert_eq!(list.rule_for(&"http://example.org/".parse()?), None);
/// # Ok::<_, wirescope::error::UrlError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// As it was given.
    text: Box<str>,
    hosts: Hosts,
    /// The only port that it holds for, if there is one.
    port: Option<u16>,
}

/// The hosts that an entry holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// A name in lower case without a dot at its end, and those below it.
    Name(Box<str>),
    /// Those below a name.
    Below(Box<str>),
    Network(Network),
}

/// The addresses that are equal in their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    bits: u32,
}

impl NoProxy {
    /// Reads a list. An empty one holds for nothing.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let entries = list.split(|byte: char| byte == ',' || byte.is_ascii_whitespace());
        Self {
            entries: entries.filter_map(Entry::parse).collect(),
        }
    }

    /// Says whether there is no entry that holds for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first entry that holds for the host and port of a URL, as it was given.
    #[must_use]
    pub fn rule_for(&self, url: &Url) -> Option<&str> {
        let host = url.host();
        let holds = |entry: &&Entry| {
            entry.port.is_none_or(|port| port == url.port()) && entry.hosts.have(&host)
        };
        let entry = self.entries.iter().find(holds)?;
        Some(&entry.text)
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let whole = |hosts| (hosts, None);
        let (hosts, port) = match Network::parse(text) {
            Some(network) => whole(Hosts::Network(network)),
            None => {
                let (host, port) = split_port(text)?;
                (Hosts::parse(host)?, port)
            }
        };
        Some(Self {
            text: text.into(),
            hosts,
            port,
        })
    }
}

/// Splits a port off: digits behind the last colon, of which there is only one outside brackets.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').and_then(|(host, port)| {
            // What stands in brackets is an IPv6 address.
            host.parse::<Ipv6Addr>().ok()?;
            Some((host, port))
        })?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if port.is_empty() {
        return Some((host, None));
    }
    let digits = port.strip_prefix(':')?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| is_number && *port != 0)?;
    Some((host, Some(port)))
}

impl Hosts {
    /// Reads the part of an entry before its port, without brackets.
    fn parse(host: &str) -> Option<Self> {
        if host == "*" {
            return Some(Self::All);
        }
        if let Ok(ip) = host.parse() {
            return Some(Self::Network(Network::of(ip)));
        }
        let below = host.strip_prefix('*').unwrap_or(host).strip_prefix('.');
        let name = below.unwrap_or(host);
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_label = |label: &str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !label.is_empty() && label.bytes().all(is_allowed)
        };
        if !name.split('.').all(is_label) {
            return None;
        }
        Some(match below {
            Some(_) => Self::Below(name.into()),
            None => Self::Name(name.into()),
        })
    }

    fn have(&self, host: &Host<'_>) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Name(name), Host::Name(host)) => is_below(host, name).is_some(),
            (Self::Below(name), Host::Name(host)) => is_below(host, name) == Some(true),
            (Self::Network(network), Host::V4(ip)) => network.has((*ip).into()),
            (Self::Network(network), Host::V6(ip, _)) => network.has((*ip).into()),
            (Self::Name(_) | Self::Below(_), Host::V4(_) | Host::V6(..))
            | (Self::Network(_), Host::Name(_)) => false,
        }
    }
}

/// Says whether the host is below the name, if it is not the name itself; nothing if it is neither.
fn is_below(host: &str, name: &str) -> Option<bool> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let before = host.strip_suffix(name)?;
    match before.as_bytes().last() {
        None => Some(false),
        Some(b'.') => Some(true),
        Some(_) => None,
    }
}

impl Network {
    /// The network of one address.
    fn of(ip: IpAddr) -> Self {
        let first = ip.to_canonical();
        Self {
            first,
            bits: bits_of(first).1,
        }
    }

    /// Reads `address/bits`, or an address alone without brackets.
    fn parse(text: &str) -> Option<Self> {
        let Some((ip, bits)) = text.split_once('/') else {
            return text.parse().ok().map(Self::of);
        };
        let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
        let ip: IpAddr = ip.parse().ok()?;
        let bits: u32 = bits
            .parse()
            .ok()
            .filter(|bits| is_number && *bits <= bits_of(ip).1)?;
        let first = ip.to_canonical();
        // Of an IPv4 address inside an IPv6 one the last 32 of 128 bits are its own.
        match bits_of(ip).1 - bits_of(first).1 {
            lost if bits >= lost => Some(Self {
                first,
                bits: bits - lost,
            }),
            _ => Some(Self { first: ip, bits }),
        }
    }

    fn has(&self, ip: IpAddr) -> bool {
        let (first, width) = bits_of(self.first);
        let (ip, of) = bits_of(ip.to_canonical());
        // Shifting by all bits of the type is no shift; then nothing is left to differ.
        let differ = (first ^ ip).checked_shr(width - self.bits).unwrap_or(0);
        width == of && differ == 0
    }
}

/// An address as a number, and how many bits it has.
fn bits_of(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(ip) => (ip.to_bits().into(), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    }
}
