//! Who stands before a random origin: nobody, or a proxy that does its work, or does not.
//!
//! The addresses, links and names of the origin are then those of the proxy, and the target has a name that only the
//! proxy knows. So whatever strikes an origin strikes a proxy too.

use crate::message::proxy::Proxy;
use crate::testkit::script::Script;
use crate::testkit::seen::SeenRequest;
use crate::testkit::sim::random::Random;
use crate::testkit::sim::scenario::CANARY;

/// The port of every target.
pub(super) const PORT: u16 = 8000;

/// Who stands before an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proxied {
    /// Nobody.
    No,
    /// A proxy that is given whole requests, and TLS, if it is spoken, is spoken with it.
    Forward,
    /// A proxy that makes a tunnel.
    Tunnel(Tongue, Opening),
}

/// How a proxy is asked for a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tongue {
    Connect,
    /// The same, and TLS is spoken with the proxy first.
    SecureConnect,
    Socks,
}

/// What a proxy answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// There is the tunnel.
    Made,
    /// The same, with a length that means nothing, behind an interim response.
    Wordy,
    /// It does not want to.
    Refused,
    /// There is the tunnel, and bytes that nobody asked for.
    Early,
    /// Nothing that it could be.
    Noise,
    /// The end of the connection.
    Ended,
    /// Nothing, ever.
    Silent,
}

impl Proxied {
    /// Draws who stands before an origin.
    pub(super) fn draw(random: &mut Random, is_tls: bool) -> Self {
        if !random.one_in(4) {
            return Self::No;
        }
        let opening = match random.below(16) {
            0 => Opening::Refused,
            1 => Opening::Early,
            2 => Opening::Noise,
            3 => Opening::Ended,
            4 if random.one_in(2) => Opening::Silent,
            5..=7 => Opening::Wordy,
            _ => Opening::Made,
        };
        match random.below(3) {
            0 => Self::Forward,
            // CONNECT is for https.
            1 if is_tls && random.one_in(3) => Self::Tunnel(Tongue::SecureConnect, opening),
            1 if is_tls => Self::Tunnel(Tongue::Connect, opening),
            1 | 2 => Self::Tunnel(Tongue::Socks, opening),
            _ => Self::No,
        }
    }

    /// The proxy that requests go through, if it listens there.
    pub(super) fn proxy(self, authority: &str, is_tls: bool) -> Option<Proxy> {
        let scheme = match self {
            Self::No => return None,
            Self::Forward if is_tls => "https",
            Self::Tunnel(Tongue::SecureConnect, _) => "https",
            Self::Forward | Self::Tunnel(Tongue::Connect, _) => "http",
            Self::Tunnel(Tongue::Socks, _) => "socks5h",
        };
        Proxy::parse(&format!("{scheme}://{authority}")).ok()
    }

    /// The base of the target behind the proxy.
    pub(super) fn base(self, number: usize, is_tls: bool) -> String {
        let scheme = match self {
            Self::Tunnel(..) if is_tls => "https",
            Self::No | Self::Forward | Self::Tunnel(..) => "http",
        };
        format!("{scheme}://{}:{PORT}", target(number))
    }

    /// Says whether TLS begins with the connection.
    pub(super) fn secures_at_once(self) -> bool {
        match self {
            Self::No | Self::Forward | Self::Tunnel(Tongue::SecureConnect, _) => true,
            Self::Tunnel(Tongue::Connect | Tongue::Socks, _) => false,
        }
    }

    /// What the proxy does before an answer of the origin can come; `secure` is what TLS with the origin needs.
    pub(super) fn steps(self, number: usize, secure: impl Fn(Script) -> Script) -> Script {
        let Self::Tunnel(tongue, opening) = self else {
            return Script::new();
        };
        let script = match tongue {
            Tongue::Connect | Tongue::SecureConnect => Script::new().expect_contains("\r\n\r\n"),
            Tongue::Socks => Script::new()
                .expect_bytes([5, 1, 0])
                .send([5, 0])
                .expect_bytes(socks_request(&target(number))),
        };
        let made = tongue.made();
        match opening {
            Opening::Made => secure(script.send(made)),
            Opening::Wordy => secure(script.send(tongue.wordy())),
            Opening::Refused => script.send(tongue.refused()).expect_gone(),
            Opening::Early => script.send([&made[..], b"early"].concat()).expect_gone(),
            Opening::Noise => script.send("SSH-2.0-OpenSSH_9.6\r\n\r\n").expect_gone(),
            Opening::Ended => script.close(),
            Opening::Silent => script.stall(),
        }
    }

    pub(super) fn fault(self) -> Option<&'static str> {
        match self {
            Self::No | Self::Forward | Self::Tunnel(_, Opening::Made | Opening::Wordy) => None,
            Self::Tunnel(_, Opening::Refused) => Some("tunnel refused"),
            Self::Tunnel(_, Opening::Early) => Some("early bytes in a tunnel"),
            Self::Tunnel(_, Opening::Noise) => Some("no proxy"),
            Self::Tunnel(_, Opening::Ended) => Some("proxy ends"),
            Self::Tunnel(_, Opening::Silent) => Some("proxy silent"),
        }
    }

    /// The same without TLS inside TLS, which scripted peers over TCP do not speak.
    pub(super) fn over_tcp(self) -> Self {
        match self {
            Self::Tunnel(Tongue::SecureConnect, opening) => Self::Tunnel(Tongue::Connect, opening),
            Self::No | Self::Forward | Self::Tunnel(Tongue::Connect | Tongue::Socks, _) => self,
        }
    }

    /// The same without what is done badly.
    pub(super) fn well_done(self) -> Self {
        match self {
            Self::Tunnel(tongue, _) => Self::Tunnel(tongue, Opening::Made),
            Self::No | Self::Forward => self,
        }
    }
}

impl Tongue {
    fn made(self) -> Vec<u8> {
        match self {
            Self::Connect | Self::SecureConnect => {
                b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec()
            }
            Self::Socks => vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        }
    }

    fn wordy(self) -> Vec<u8> {
        match self {
            Self::Connect | Self::SecureConnect => format!(
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 201 Made\r\nSet-Cookie: {CANARY}\r\nContent-Length: 5\r\n\r\n"
            )
            .into_bytes(),
            Self::Socks => [&[5, 0, 0, 3, 9][..], b"somewhere", &[1, 2]].concat(),
        }
    }

    fn refused(self) -> Vec<u8> {
        match self {
            Self::Connect | Self::SecureConnect => format!(
                "HTTP/1.1 403 Forbidden\r\nSet-Cookie: {CANARY}\r\nContent-Length: 2\r\n\r\nno"
            )
            .into_bytes(),
            Self::Socks => vec![5, 2, 0, 1, 0, 0, 0, 0, 0, 0],
        }
    }
}

/// The path of a target, in origin-form or in absolute-form.
pub(super) fn path_of(request: &SeenRequest) -> &str {
    let target = request.target();
    let rest = target.split_once("://").map_or(target, |(_, rest)| {
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
    });
    rest.split('?').next().unwrap_or_default()
}

/// The host of the target behind a proxy.
pub(super) fn target(number: usize) -> String {
    format!("target-{number}.example")
}

/// The request for a connection to a name (RFC 1928 §4).
fn socks_request(host: &str) -> Vec<u8> {
    let length = u8::try_from(host.len()).unwrap_or(u8::MAX);
    [
        &[5, 1, 0, 3, length][..],
        host.as_bytes(),
        &PORT.to_be_bytes(),
    ]
    .concat()
}
