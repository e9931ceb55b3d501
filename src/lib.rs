//! An HTTP/1.1 client that can be seen through, for programs that are not async.
//!
//! It owns its resolver call, its dialer, its idle pool and its request writer, and says everything it does as
//! typed [events](event): which field line was written, what a 1xx said, why a connection was not put back.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "testkit")] {
//! # use wirescope::testkit::{Peer, Script};
//! # let peer = Peer::start(Script::new().expect_request().send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))?;
//! # let url = &peer.url("/");
//! let client = wirescope::Client::new()?;
//! let (observer, events) = wirescope::event::channel(1024);
//! let mut response = client.get(url)?.observe(observer).send()?;
//! println!("{} {:?}", response.status(), response.text(10_000)?);
//! println!("{:?}", response.timings().phases());
//! for event in events.try_iter() {
//!     println!("{event}");
//! }
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # Where to start
//! - [`Client`], [`Request`], [`Response`]: the blocking door. Every phase has a deadline by default
//!   ([`config::Timeouts`]), everything a peer sends is bounded ([`config::Limits`]).
//! - [`EventLoop`]: thousands of calls on one thread; [`Handle`]: on a thread of their own, for all others.
//! - [`Proxy`], [`NoProxy`]: whom requests go through; [`TlsConfig`]: whom to trust and who to be.
//! - [`Upgraded`]: another protocol than HTTP, behind a 101 or in a tunnel of your own.
//! - [`event`]: kinds, channels, closures, observers, the grammar.
//! - [`Error`]: which rule was broken, in which phase, what was tried, whether a repeat is safe.
//! - [`CancelHandle`]: cancels a call from any thread.
//! - [`resolver`]: names, by the system or by you.
//! - `testkit` (feature): a scripted peer, a simulator and event checks for tests, yours too.
//!
//! # Features
//! - `tls` (default): https, by rustls with the webpki roots. Without it an https URL is a typed error.
//! - `ring` (default), `aws-lc-rs`: the crypto provider; with both, ring unless the configuration says otherwise.
//! - `rustls-0_23`: [`TlsConfig`] from a rustls configuration of your own.
//! - `testkit`: see above.
//! - `export`: events as NDJSON and text lines, waterfalls, timings. `cli`: the `wirescope` command.

#[cfg(not(unix))]
compile_error!(
    "wirescope needs a Unix system: Linux first, macOS and the BSDs are meant to compile; Windows is not supported"
);

pub mod body;
mod client;
pub mod config;
mod drive;
pub mod error;
pub mod event;
mod event_loop;
#[cfg(feature = "export")]
pub mod export;
mod flow;
pub mod ids;
pub mod message;
mod net;
mod proto;
mod request;
mod response;
mod round_trip;
mod upgraded;
pub use crate::client::{Client, ClientBuilder};
pub use crate::error::{Error, ErrorKind, Phase, Result};
pub use crate::event_loop::{Completion, EventLoop, Handle, Inbox, Pending, Ticket};
pub use crate::flow::call::Hop;
pub use crate::flow::redirect::{RedirectPolicy, Redirection};
pub use crate::message::answer::Family;
pub use crate::message::dial::DialProfile;
pub use crate::message::method::Method;
pub use crate::message::no_proxy::NoProxy;
pub use crate::message::peer_addr::{PeerAddr, UnixAddr};
pub use crate::message::proxy::{Proxy, ProxyScheme};
pub use crate::message::tcp_keep_alive::TcpKeepAlive;
pub use crate::message::url::Url;
pub use crate::net::cancel::CancelHandle;
pub use crate::net::tls::TlsConfig;
pub use crate::request::Request;
pub use crate::response::{Part, Parts, Response};
pub use crate::round_trip::{HopRequest, RoundTrip};
pub use crate::upgraded::Upgraded;
#[cfg(test)]
mod testing;
#[cfg(feature = "testkit")]
pub mod testkit;

/// Finding the addresses of names.
pub mod resolver {
    pub use crate::net::resolver::{Query, Resolve, Sink, SystemResolver, Ticket, from_fn};
}

#[cfg(feature = "testkit")]
#[doc(hidden)]
pub mod bench;

/// The laws that fuzz targets check. No part of the public interface.
#[cfg(any(test, feature = "testkit"))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::message::oracle::{field_values, parts_split};
    pub use crate::proto::oracle::{
        chunked_roundtrip, chunked_split, connect_writer, head_incremental,
    };
    #[cfg(feature = "testkit")]
    pub use crate::testkit::tunnel_law::tunnel_answer;
}

/// The examples of the README compile and run.
#[cfg(all(doctest, feature = "testkit"))]
#[doc = include_str!("../README.md")]
struct Readme;
