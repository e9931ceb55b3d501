//! wirescope: an HTTP/1.1 client that can be seen through.

pub mod config;
pub mod error;
pub mod event;
pub mod ids;
pub mod message;
mod proto;
#[cfg(test)]
mod testing;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

/// The laws that fuzz targets check. No part of the public interface.
#[cfg(any(test, feature = "testkit"))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::proto::oracle::{chunked_roundtrip, chunked_split, head_incremental};
}
/// placeholder
#[derive(Debug)]
pub struct CancelHandle;
