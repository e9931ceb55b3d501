//! wirescope: an HTTP/1.1 client that can be seen through.

pub mod config;
pub mod error;
pub mod event;
mod flow;
pub mod ids;
pub mod message;
mod net;
mod proto;
pub use crate::net::tls::TlsConfig;
#[cfg(test)]
mod testing;

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
/// placeholder
#[derive(Debug)]
pub struct CancelHandle;
#[cfg(feature = "testkit")]
pub mod testkit;
