//! The ways by which a request reaches its server, and the server's part of each: it is its own proxy.
//!
//! ```text
//!   way       TCP to            then                     under TLS
//!   Direct    the server        the request              TLS with the server
//!   Forward   the proxy         the request, absolute    TLS with the proxy: an https proxy, an http URL
//!   Connect   the proxy         CONNECT, the request     TLS with the server, in the tunnel
//!   Socks     the proxy         SOCKS5, the request      TLS with the server, in the tunnel
//! ```

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use wirescope::testkit::Script;
use wirescope::{ClientBuilder, Proxy};

use crate::support::read_head;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    Forward,
    Connect,
    Socks,
}

/// What a proxy says when there is a tunnel: to CONNECT, and to both questions of SOCKS5.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
const NO_LOGIN: [u8; 2] = [5, 0];
const CONNECTED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// The methods that a client of SOCKS5 without credentials offers, and what its request for an IPv4 address is long.
const OFFER: [u8; 3] = [5, 1, 0];
const SOCKS_REQUEST: usize = 10;

impl Way {
    /// The proxy that listens there, for a client.
    pub(crate) fn through(
        self,
        client: ClientBuilder,
        at: SocketAddr,
        is_tls: bool,
    ) -> ClientBuilder {
        let scheme = match self {
            Self::Direct => return client,
            Self::Forward if is_tls => "https",
            Self::Forward | Self::Connect => "http",
            Self::Socks => "socks5h",
        };
        client.proxy(Proxy::parse(&format!("{scheme}://{at}")).unwrap())
    }

    /// The scheme of what is asked for.
    pub(crate) fn scheme(self, is_tls: bool) -> &'static str {
        match self {
            Self::Direct | Self::Connect | Self::Socks if is_tls => "https",
            Self::Direct | Self::Forward | Self::Connect | Self::Socks => "http",
        }
    }

    /// What the proxy says before the server is reached.
    pub(crate) fn opening(self) -> Vec<u8> {
        match self {
            Self::Direct | Self::Forward => Vec::new(),
            Self::Connect => ESTABLISHED.to_vec(),
            Self::Socks => [&NO_LOGIN[..], &CONNECTED].concat(),
        }
    }

    /// The proxy's part, on a connection that was accepted. Fails when the client has left.
    pub(crate) fn open(self, stream: &mut TcpStream) -> io::Result<()> {
        match self {
            Self::Direct | Self::Forward => Ok(()),
            Self::Connect => {
                let head = read_head(stream).ok_or(io::ErrorKind::UnexpectedEof)?;
                assert!(head.starts_with("CONNECT "), "{head}");
                stream.write_all(ESTABLISHED)
            }
            Self::Socks => {
                let (mut offer, mut request) = ([0; OFFER.len()], [0; SOCKS_REQUEST]);
                stream.read_exact(&mut offer)?;
                assert_eq!(offer, OFFER);
                stream.write_all(&NO_LOGIN)?;
                stream.read_exact(&mut request)?;
                assert_eq!(request[..4], [5, 1, 0, 1]);
                stream.write_all(&CONNECTED)
            }
        }
    }

    /// The same as the beginning of a script, when the client asks for this server.
    pub(crate) fn script(self, host: &str, port: u16) -> Script {
        match self {
            Self::Direct | Self::Forward => Script::new(),
            Self::Connect => Script::new().expect_contains("\r\n\r\n").send(ESTABLISHED),
            Self::Socks => Script::new()
                .expect_bytes(OFFER)
                .send(NO_LOGIN)
                .expect_bytes(socks_request(host, port))
                .send(CONNECTED),
        }
    }
}

/// The request for a connection to an IPv4 address or a name (RFC 1928 §4).
pub(crate) fn socks_request(host: &str, port: u16) -> Vec<u8> {
    let host = match host.parse::<Ipv4Addr>() {
        Ok(addr) => [&[1], &addr.octets()[..]].concat(),
        Err(_) => [&[3, u8::try_from(host.len()).unwrap()], host.as_bytes()].concat(),
    };
    [&[5, 1, 0][..], &host, &port.to_be_bytes()].concat()
}
