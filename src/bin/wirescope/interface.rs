//! `--interface NAME`, as curl reads it: an interface, or an address of this machine by itself or by a name.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};

use wirescope::{ClientBuilder, Family};

use crate::exit::Failure;

/// What connections leave by.
#[derive(Debug, PartialEq, Eq)]
enum Way<'a> {
    /// `if!NAME`.
    Interface(&'a str),
    /// `host!NAME`, or an address.
    Host(&'a str),
    /// `ifhost!NAME!HOST`.
    Both(&'a str, &'a str),
    /// The name of an interface if there is one, else of a host.
    Either(&'a str),
}

/// Has the connections of a client leave as the option says.
pub(crate) fn bind(
    builder: ClientBuilder,
    text: &str,
    family: Option<Family>,
) -> Result<ClientBuilder, Failure> {
    let host = |builder: ClientBuilder, host| {
        let address = address(host, family)
            .map_err(|error| Failure::Interface(format!("--interface {text}: {error}")))?;
        Ok(builder.local_address(address))
    };
    let device = |builder: ClientBuilder, name| {
        let refused = |error| Failure::Interface(format!("--interface {text}: {error}"));
        builder.interface(name).map_err(refused)
    };
    match read(text) {
        Way::Interface(name) => device(builder, name),
        Way::Host(name) => host(builder, name),
        Way::Both(name, of) => host(device(builder, name)?, of),
        Way::Either(name) if is_interface(name) => device(builder, name),
        Way::Either(name) => host(builder, name).map_err(|error| match error {
            Failure::Interface(text) => {
                Failure::Interface(format!("{text}; no interface has that name"))
            }
            other => other,
        }),
    }
}

fn read(text: &str) -> Way<'_> {
    if let Some(name) = text.strip_prefix("if!") {
        return Way::Interface(name);
    }
    if let Some(name) = text.strip_prefix("host!") {
        return Way::Host(name);
    }
    if let Some((name, host)) = text
        .strip_prefix("ifhost!")
        .and_then(|rest| rest.split_once('!'))
    {
        return Way::Both(name, host);
    }
    match text.parse::<IpAddr>() {
        Ok(_) => Way::Host(text),
        Err(_) => Way::Either(text),
    }
}

/// The first address of a host, of the family that is used if not both are.
#[expect(
    clippy::disallowed_methods,
    reason = "a name of this machine, looked up once before anything is fetched"
)]
fn address(host: &str, family: Option<Family>) -> io::Result<IpAddr> {
    let mut addresses = (host, 0).to_socket_addrs()?.map(|addr| addr.ip());
    addresses
        .find(|ip| family.is_none_or(|family| family == Family::of(*ip)))
        .ok_or_else(|| io::Error::other("no address of that family"))
}

#[cfg(target_os = "linux")]
fn is_interface(name: &str) -> bool {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0));
    socket.is_ok_and(|socket| rustix::net::netdevice::name_to_index(socket, name).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn is_interface(_: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_curl_reads_it() {
        for (text, way) in [
            ("eth0", Way::Either("eth0")),
            ("if!eth0", Way::Interface("eth0")),
            ("host!gw.test", Way::Host("gw.test")),
            ("ifhost!eth0!10.0.0.1", Way::Both("eth0", "10.0.0.1")),
            ("ifhost!eth0", Way::Either("ifhost!eth0")),
            ("127.0.0.1", Way::Host("127.0.0.1")),
            ("::1", Way::Host("::1")),
        ] {
            assert_eq!(read(text), way, "{text}");
        }
    }

    #[test]
    fn an_address_is_of_the_family_that_is_used() {
        let home = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(address("127.0.0.1", None).unwrap(), home);
        assert_eq!(address("127.0.0.1", Some(Family::V4)).unwrap(), home);
        assert!(address("127.0.0.1", Some(Family::V6)).is_err());
    }
}
