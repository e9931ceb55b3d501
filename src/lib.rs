//! wirescope: an HTTP/1.1 client that can be seen through.

pub mod config;
pub mod error;
pub mod ids;
pub mod message;
mod net;
mod proto;

pub use crate::net::tls::TlsConfig;

/// placeholder
#[derive(Debug)]
pub struct CancelHandle;
