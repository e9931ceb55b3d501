//! wirescope: an HTTP/1.1 client that can be seen through.
//!
//! The feature `export` brings the module `export`: events as NDJSON and text lines, waterfalls, timings. The
//! feature `cli` brings the `wirescope` command, which is built from it.

mod client;
pub mod config;
mod drive;
pub mod error;
pub mod event;
#[cfg(feature = "export")]
pub mod export;
mod flow;
pub mod ids;
pub mod message;
mod net;
mod proto;
mod request;
mod response;
pub use crate::client::{Client, ClientBuilder};
pub use crate::error::{Error, ErrorKind, Phase, Result};
pub use crate::message::method::Method;
pub use crate::message::url::Url;
pub use crate::net::cancel::CancelHandle;
pub use crate::net::tls::TlsConfig;
pub use crate::request::Request;
pub use crate::response::Response;
#[cfg(test)]
mod testing;
#[cfg(feature = "testkit")]
pub mod testkit;

/// Finding the addresses of names.
pub mod resolver {
    pub use crate::net::resolver::{Query, Resolve, Sink, SystemResolver, Ticket, from_fn};
}

/// The laws that fuzz targets check. No part of the public interface.
#[cfg(any(test, feature = "testkit"))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::proto::oracle::{chunked_roundtrip, chunked_split, head_incremental};
}
