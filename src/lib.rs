//! wirescope: an HTTP/1.1 client that can be seen through.

pub mod message;
#[cfg(feature = "testkit")]
pub mod testkit;
