//! Whether there is a way to an address, as the system's table of routes has it.

use std::net::SocketAddr;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::count::{Syscall, syscall};
use crate::net::setup::SocketSetup;

/// Says whether the system knows a way to an address, without sending a packet: a UDP socket is connected to it, over
/// the interface that sockets are bound to. What the system does not want to say counts as a way.
pub(crate) fn has_route(addr: SocketAddr, setup: &SocketSetup) -> bool {
    syscall(Syscall::Socket);
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP));
    let connected = socket.and_then(|socket| {
        setup.bind_interface(&socket)?;
        syscall(Syscall::Connect);
        socket.connect(&addr.into())
    });
    let none = [
        Errno::NETUNREACH,
        Errno::HOSTUNREACH,
        Errno::ADDRNOTAVAIL,
        Errno::AFNOSUPPORT,
    ];
    match connected {
        Ok(()) => true,
        Err(error) => !none
            .map(Errno::raw_os_error)
            .map(Some)
            .contains(&error.raw_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_a_route_and_an_unknown_zone_has_none() {
        let setup = SocketSetup::default();
        assert!(has_route(([127, 0, 0, 1], 80).into(), &setup));
        let lost = "[fe80::1%4294967000]:80".parse().unwrap();
        assert!(!has_route(lost, &setup));
    }
}
