//! The grammar of the authority: user information, host, zone and port.
//!
//! The rule guarded here: what passes as a host has one meaning only. A form that another parser, a
//! filter or a resolver could read as a different host is refused, not repaired.

use std::net::{Ipv4Addr, Ipv6Addr};

use iri_string::spec::UriSpec;
use iri_string::validate;

use super::UrlError;
use super::split::check_part;

/// Bytes of a whole host name: what fits the wire form of DNS (RFC 1035 §2.3.4).
const NAME_MAX_BYTES: usize = 253;
/// Bytes of one label of a host name (RFC 1035 §2.3.4).
const LABEL_MAX_BYTES: usize = 63;

/// What the host is; the bytes of a name are kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostKind {
    Name,
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// An authority taken apart, still in the case it was written in.
pub(crate) struct Authority<'a> {
    pub(crate) userinfo: Option<&'a str>,
    /// The host as written, without brackets and zone.
    pub(crate) host: &'a str,
    pub(crate) kind: HostKind,
    pub(crate) zone: Option<&'a str>,
    pub(crate) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Takes apart what stands between `//` and the path; `at` is its offset in the whole text, for errors.
    pub(crate) fn parse(text: &'a str, at: usize) -> Result<Self, UrlError> {
        let (userinfo, rest) = match text.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, text),
        };
        check_part(
            userinfo.unwrap_or_default(),
            at,
            validate::userinfo::<UriSpec>,
        )?;
        let at = at + text.len() - rest.len();
        let server = match rest.strip_prefix('[') {
            Some(rest) => Self::bracketed(rest, at + 1),
            None => Self::unbracketed(rest, at),
        }?;
        Ok(Self { userinfo, ..server })
    }

    /// Reads what follows an opening bracket: an IPv6 address, perhaps a zone, and perhaps a port.
    fn bracketed(text: &'a str, at: usize) -> Result<Self, UrlError> {
        let (inside, after) = text.split_once(']').ok_or(UrlError::Ipv6 { offset: at })?;
        let after_at = at + inside.len() + 1;
        let port = match after.strip_prefix(':') {
            Some(port) => parse_port(port, after_at + 1)?,
            None if after.is_empty() => None,
            None => return Err(UrlError::Ipv6 { offset: after_at }),
        };
        let (host, zone) = match inside.find('%') {
            Some(percent) => inside.split_at(percent),
            None => (inside, ""),
        };
        let addr = host.parse().map_err(|_| UrlError::Ipv6 { offset: at })?;
        Ok(Self {
            userinfo: None,
            host,
            kind: HostKind::V6(addr),
            zone: parse_zone(zone, at + host.len())?,
            port,
        })
    }

    /// Reads a name or an IPv4 address, and perhaps a port.
    fn unbracketed(text: &'a str, at: usize) -> Result<Self, UrlError> {
        if let Some(bracket) = text.find(['[', ']']) {
            return Err(UrlError::Ipv6 {
                offset: at + bracket,
            });
        }
        let (host, port) = text.split_once(':').unwrap_or((text, ""));
        if port.contains(':') && text.parse::<Ipv6Addr>().is_ok() {
            return Err(UrlError::Ipv6 { offset: at });
        }
        Ok(Self {
            userinfo: None,
            host,
            kind: host_kind(host, at)?,
            zone: None,
            port: parse_port(port, at + host.len() + 1)?,
        })
    }
}

/// Reads a port: digits only, none for the default (RFC 3986 §3.2.3).
fn parse_port(text: &str, at: usize) -> Result<Option<u16>, UrlError> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(Some(port)),
        _ => Err(UrlError::Port { offset: at }),
    }
}

/// Reads a zone with the `%25` before it, or nothing (RFC 6874 §2).
///
/// Only unreserved characters: names of interfaces need no others, and a zone that would have to be
/// decoded could be read in two ways.
fn parse_zone(text: &str, at: usize) -> Result<Option<&str>, UrlError> {
    if text.is_empty() {
        return Ok(None);
    }
    let unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    match text.strip_prefix("%25") {
        Some(zone) if !zone.is_empty() && zone.bytes().all(unreserved) => Ok(Some(zone)),
        _ => Err(UrlError::Zone { offset: at }),
    }
}

/// Tells a name from an IPv4 address and checks either.
fn host_kind(host: &str, at: usize) -> Result<HostKind, UrlError> {
    if host.is_empty() {
        return Err(UrlError::EmptyHost { offset: at });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if let Some(bad) = host.bytes().position(|byte| !allowed(byte)) {
        return Err(UrlError::Host { offset: at + bad });
    }
    kind_of_allowed(host, at)
}

/// The same for a host that is not empty, and has only bytes that may stand there.
pub(super) fn kind_of_allowed(host: &str, at: usize) -> Result<HostKind, UrlError> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > NAME_MAX_BYTES {
        return Err(UrlError::HostLength { offset: at });
    }
    check_labels(name, at)?;
    if !ends_in_number(name) {
        return Ok(HostKind::Name);
    }
    host.parse()
        .map(HostKind::V4)
        .map_err(|_| UrlError::LegacyIpv4 { offset: at })
}

fn check_labels(name: &str, at: usize) -> Result<(), UrlError> {
    let mut offset = at;
    for label in name.as_bytes().split(|byte| *byte == b'.') {
        if label.is_empty() {
            return Err(UrlError::Dot { offset });
        }
        if label.len() > LABEL_MAX_BYTES {
            return Err(UrlError::HostLength { offset });
        }
        offset += label.len() + 1;
    }
    Ok(())
}

/// Says whether some resolver would take the name for an address: whether its last label is a decimal,
/// octal or hexadecimal number.
fn ends_in_number(name: &str) -> bool {
    let last = name.as_bytes().rsplit(|byte| *byte == b'.').next();
    match last.unwrap_or_default() {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        last => last.iter().all(u8::is_ascii_digit),
    }
}
