//! Addresses that the caller gives for a name in advance, as curl's `--resolve` does.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::message::answer::Address;

/// A table of `host:port` or `*:port` to addresses.
///
/// A later entry for the same host and port replaces the earlier one; an entry for the very host goes before one
/// for `*`. Hosts are compared without regard to ASCII case and to one trailing dot.
///
/// ```
/// use wirescope::message::overrides::Overrides;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut overrides = Overrides::new();
/// overrides.parse("example.com:443:192.0.2.7,[2001:db8::7]")?;
/// overrides.set("*", 80, ["127.0.0.1".parse::<std::net::IpAddr>()?])?;
/// assert_eq!(overrides.lookup("EXAMPLE.com", 443).map(<[_]>::len), Some(2));
/// assert_eq!(overrides.lookup("anything", 80).map(<[_]>::len), Some(1));
/// assert!(overrides.lookup("anything", 443).is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    host: Box<str>,
    port: u16,
    addrs: Vec<Address>,
}

/// The host that stands for every host.
const ANY: &str = "*";

impl Overrides {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives addresses, best first, for `host` (or `*`) and `port`. Replaces an earlier entry for the same.
    ///
    /// # Errors
    /// [`OverrideError::Host`] and [`OverrideError::Port`] for an empty host and port 0,
    /// [`OverrideError::NoAddress`] when there is no address. The table is then as before.
    pub fn set<A: Into<Address>>(
        &mut self,
        host: &str,
        port: u16,
        addrs: impl IntoIterator<Item = A>,
    ) -> Result<(), OverrideError> {
        let host = normal(host).ok_or(OverrideError::Host)?;
        if port == 0 {
            return Err(OverrideError::Port);
        }
        let addrs: Vec<Address> = addrs.into_iter().map(Into::into).collect();
        if addrs.is_empty() {
            return Err(OverrideError::NoAddress);
        }
        self.drop_entry(&host, port);
        self.entries.push(Entry { host, port, addrs });
        Ok(())
    }

    /// Takes an entry away; says whether there was one.
    pub fn remove(&mut self, host: &str, port: u16) -> bool {
        normal(host).is_some_and(|host| self.drop_entry(&host, port))
    }

    /// Reads curl's text form: `HOST:PORT:ADDR[,ADDR]...` gives addresses, `-HOST:PORT` takes an entry away. IPv6
    /// addresses may stand in brackets, with a numeric zone (`fe80::1%2`).
    ///
    /// # Errors
    /// The part that cannot be read. `+HOST:…`, curl's entry that expires, is [`OverrideError::Expiring`]:
    /// entries stay until they are removed. The table is then as before.
    pub fn parse(&mut self, text: &str) -> Result<(), OverrideError> {
        match text.as_bytes().first() {
            Some(b'+') => Err(OverrideError::Expiring),
            Some(b'-') => self.parse_removal(&text[1..]),
            _ => self.parse_entry(text),
        }
    }

    /// The addresses for this host and port.
    #[must_use]
    pub fn lookup(&self, host: &str, port: u16) -> Option<&[Address]> {
        if self.is_empty() {
            return None;
        }
        let host = normal(host)?;
        self.find(&host, port).or_else(|| self.find(ANY, port))
    }

    fn parse_entry(&mut self, text: &str) -> Result<(), OverrideError> {
        let (host, rest) = split_host(text)?;
        let (port, addrs) = rest.split_once(':').ok_or(OverrideError::NoAddress)?;
        let port = parse_port(port)?;
        if addrs.is_empty() {
            return Err(OverrideError::NoAddress);
        }
        let addrs: Result<Vec<_>, _> = addrs.split(',').map(parse_address).collect();
        self.set(host, port, addrs?)
    }

    fn parse_removal(&mut self, text: &str) -> Result<(), OverrideError> {
        let (host, port) = split_host(text)?;
        let port = parse_port(port)?;
        self.remove(host, port);
        Ok(())
    }

    fn drop_entry(&mut self, host: &str, port: u16) -> bool {
        let before = self.entries.len();
        self.entries
            .retain(|entry| entry.port != port || *entry.host != *host);
        self.entries.len() != before
    }

    fn find(&self, host: &str, port: u16) -> Option<&[Address]> {
        self.entries
            .iter()
            .find(|entry| entry.port == port && *entry.host == *host)
            .map(|entry| &*entry.addrs)
    }
}

/// The form in which hosts are compared: lower case, no brackets, no trailing dot.
fn normal(host: &str) -> Option<Box<str>> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(ip) = bare.parse::<Ipv6Addr>() {
        return Some(ip.to_string().into());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let refused = |byte: u8| byte.is_ascii_control() || matches!(byte, b' ' | b'[' | b']' | b':');
    if name.is_empty() || name.bytes().any(refused) {
        return None;
    }
    Some(name.to_ascii_lowercase().into())
}

/// Splits at the colon after the host, which may be an IPv6 address in brackets.
fn split_host(text: &str) -> Result<(&str, &str), OverrideError> {
    let end = match text.strip_prefix('[') {
        Some(_) => text.find(']').ok_or(OverrideError::Host)? + 1,
        None => text.find(':').ok_or(OverrideError::Port)?,
    };
    let (host, rest) = text.split_at(end);
    let rest = rest.strip_prefix(':').ok_or(OverrideError::Port)?;
    match host.is_empty() {
        true => Err(OverrideError::Host),
        false => Ok((host, rest)),
    }
}

fn parse_port(text: &str) -> Result<u16, OverrideError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|port| digits && *port != 0)
        .ok_or(OverrideError::Port)
}

fn parse_address(text: &str) -> Result<Address, OverrideError> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bracketed.unwrap_or(text);
    if let Some((ip, zone)) = bare.split_once('%') {
        let ip = ip.parse().map_err(|_| OverrideError::Address)?;
        let zone = zone.parse().map_err(|_| OverrideError::Zone)?;
        return Ok(Address::in_zone(ip, zone));
    }
    match bare.parse() {
        Ok(IpAddr::V4(_)) if bracketed.is_some() => Err(OverrideError::Address),
        Ok(ip) => Ok(ip.into()),
        Err(_) => Err(OverrideError::Address),
    }
}

/// What is wrong with an override.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverrideError {
    /// The host is missing or has a character that no host has.
    Host,
    /// The port is missing, 0, or not a number up to 65535.
    Port,
    /// There is no address.
    NoAddress,
    /// An address cannot be read.
    Address,
    /// The zone of an address is not a number.
    Zone,
    /// A leading `+` asks for an entry that expires.
    Expiring,
}

impl fmt::Display for OverrideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host of the override is missing or malformed",
            Self::Port => "the port of the override is not a number from 1 to 65535",
            Self::NoAddress => "the override has no address",
            Self::Address => "an address of the override cannot be read",
            Self::Zone => "the zone of an address is not a number",
            Self::Expiring => "an override that expires (leading +) is not supported",
        })
    }
}

impl std::error::Error for OverrideError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table after reading all lines, asked for one host, as text.
    fn check(lines: &[&str], host: &str, port: u16, expected: &str) {
        let mut overrides = Overrides::new();
        for line in lines {
            overrides.parse(line).unwrap();
        }
        let found = overrides.lookup(host, port).map_or_else(
            || "none".to_owned(),
            |addrs| {
                let texts: Vec<_> = addrs.iter().map(ToString::to_string).collect();
                texts.join(" ")
            },
        );
        assert_eq!(found, expected, "{lines:?} {host}:{port}");
    }

    #[test]
    fn entries_are_found() {
        let one: &[&str] = &["example.com:80:192.0.2.1"];
        check(one, "example.com", 80, "192.0.2.1");
        check(one, "EXAMPLE.com.", 80, "192.0.2.1");
        check(one, "example.com", 81, "none");
        check(one, "www.example.com", 80, "none");
        check(&[], "example.com", 80, "none");
        check(&["A.b.:1:10.0.0.1"], "a.B", 1, "10.0.0.1");
        check(&["[::1]:80:10.0.0.1"], "[0:0::1]", 80, "10.0.0.1");
        check(&["[::1]:80:10.0.0.1"], "::1", 80, "10.0.0.1");
    }

    #[test]
    fn addresses_are_read_in_order() {
        let line = "h:80:192.0.2.2,[2001:db8::1],2001:db8::2,[fe80::1%3]";
        let expected = "192.0.2.2 2001:db8::1 2001:db8::2 fe80::1%3";
        check(&[line], "h", 80, expected);
    }

    #[test]
    fn later_entries_win_and_the_host_goes_before_the_star() {
        check(&["h:80:10.0.0.1", "H:80:10.0.0.2"], "h", 80, "10.0.0.2");
        check(&["h:80:10.0.0.1", "*:80:10.0.0.9"], "h", 80, "10.0.0.1");
        check(&["*:80:10.0.0.9", "*:80:10.0.0.8"], "x", 80, "10.0.0.8");
        check(&["*:80:10.0.0.9"], "x", 443, "none");
    }

    #[test]
    fn a_minus_takes_an_entry_away() {
        check(&["h:80:10.0.0.1", "-h:80"], "h", 80, "none");
        check(&["h:80:10.0.0.1", "-h:81"], "h", 80, "10.0.0.1");
        check(
            &["*:80:10.0.0.9", "h:80:10.0.0.1", "-H:80"],
            "h",
            80,
            "10.0.0.9",
        );
    }

    #[test]
    fn malformed_text_is_refused_and_changes_nothing() {
        use OverrideError as E;
        let table = [
            ("", E::Port),
            ("h", E::Port),
            ("h:80", E::NoAddress),
            ("h:80:", E::NoAddress),
            (":80:10.0.0.1", E::Host),
            (".:80:10.0.0.1", E::Host),
            ("a b:80:10.0.0.1", E::Host),
            ("[::1:80:10.0.0.1", E::Host),
            ("[x]:80:10.0.0.1", E::Host),
            ("[::1]80:10.0.0.1", E::Port),
            ("h:0:10.0.0.1", E::Port),
            ("h:+80:10.0.0.1", E::Port),
            ("h:65536:10.0.0.1", E::Port),
            ("h::10.0.0.1", E::Port),
            ("h:80:10.0.0.1,", E::Address),
            ("h:80:10.0.0.256", E::Address),
            ("h:80:[10.0.0.1]", E::Address),
            ("h:80:[::1", E::Address),
            ("h:80:name", E::Address),
            ("h:80:10.0.0.1%1", E::Address),
            ("h:80:fe80::1%eth0", E::Zone),
            ("+h:80:10.0.0.1", E::Expiring),
            ("-h", E::Port),
            ("-:80", E::Host),
        ];
        for (text, error) in table {
            let mut overrides = Overrides::new();
            assert_eq!(overrides.parse(text), Err(error), "{text:?}");
            assert!(overrides.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn set_checks_what_it_is_given() {
        let mut overrides = Overrides::new();
        let none: [IpAddr; 0] = [];
        let one = [IpAddr::from([10, 0, 0, 1])];
        assert_eq!(overrides.set("h", 80, none), Err(OverrideError::NoAddress));
        assert_eq!(overrides.set("", 80, one), Err(OverrideError::Host));
        assert_eq!(overrides.set("h", 0, one), Err(OverrideError::Port));
        assert_eq!(overrides.set("h", 1, one), Ok(()));
        assert!(overrides.remove("H.", 1));
        assert!(!overrides.remove("h", 1));
    }
}
