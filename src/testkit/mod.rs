//! What tests need, yours and ours: peers on loopback without a mock, and events checked against the grammar.
//!
//! The rule of this module: **a test says what the peer does, byte by byte, and waits for events,
//! never for time.** A [`Script`] is a plain value that lists what one connection of the peer
//! expects, sends and breaks; a [`Peer`] plays scripts on a real TCP listener, with or without
//! TLS, and keeps what it saw. What went against a script is told by [`Peer::finish`].
//!
//! ```text
//! Script (a list of steps) ──► Peer (listener, one thread per connection)
//!                                │
//!                                ├─► requests, raw bytes, handshakes   what was seen
//!                                └─► failures ──► finish() panics      what went against a script
//! ```
//!
//! [`Relay`] is a proxy that keeps what it saw. [`BlackHole`] and [`RefusedPort`] are the addresses that have no peer; [`Authority`] makes
//! certificates at run time, good and bad ones. [`check`] runs received events through the grammar and has
//! pleasant assertions on them; [`transcript`] renders them as text. [`sim`] plays the same scripts without a socket,
//! on a virtual network with a virtual clock.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use wirescope::testkit::{Peer, Script};
//!
//! # fn main() -> std::io::Result<()> {
//! let peer = Peer::start(
//!     Script::new()
//!         .expect_request()
//!         .send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
//!         .send_each("hello", 1)
//!         .close(),
//! )?;
//!
//! let mut stream = TcpStream::connect(peer.addr())?;
//! stream.write_all(b"GET /greeting HTTP/1.1\r\nhost: example.com\r\n\r\n")?;
//! let mut response = String::new();
//! stream.read_to_string(&mut response)?;
//!
//! assert!(response.ends_with("hello"));
//! assert_eq!(peer.requests()[0].target(), "/greeting");
//! peer.finish();
//! # Ok(())
//! # }
//! ```

mod bell;
pub mod certs;
pub mod check;
mod dead_ends;
pub mod peer;
pub mod relay;
mod script;
mod seen;
pub mod sim;
pub mod transcript;
pub(crate) mod tunnel_law;

/// System calls for connections, counted on this thread.
pub mod syscalls {
    pub use crate::net::count::on_this_thread;
}

pub use bell::Gate;
pub use certs::{Authority, ServerIdentity, Validity};
pub use dead_ends::{BlackHole, RefusedPort};
pub use peer::{Builder as PeerBuilder, Peer};
pub use relay::{Relay, RelayBuilder, RelayFault, SeenRelay};
pub use script::Script;
pub use seen::{SeenHandshake, SeenRequest};
