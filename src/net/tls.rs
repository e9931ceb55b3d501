//! TLS as a byte transform: no sockets, no clock of its own, no HTTP. Our own seam over rustls 0.23, so that
//! another version of it, or a build without it, changes nothing outside this folder.
//!
//! ```text
//!             recv                                                read_plain
//!   socket ----------> incoming | records in place | plaintext ----------------> core
//!   socket <---------- outgoing | records          |           <---------------- core
//!             send                                                write_plain
//! ```
//!
//! The rules kept here:
//! - The peer's name is the host of the URL: a DNS name or an address, never the certificate's common name
//!   (RFC 9110 §4.3.4). SNI is that DNS name without its trailing dot, and nothing for an address (RFC 6066 §3).
//! - No byte of the core leaves before the handshake is complete; there is no early data (RFC 9112 §9.7).
//! - The end of the data is a close_notify; anything else is a truncation (RFC 9112 §9.8).
//! - Each turn consumes, produces or says that it is blocked; what a peer can make us do without giving data is
//!   bounded.
//! - A session is resumed only under the very configuration that made it, and in the same role: what a proxy gave
//!   us is never shown to an origin of the same name, nor the other way about.
//! - There is one way to begin TLS, [`TlsClient::start`], and behind it one verifier for each configuration:
//!   directly, through a proxy, inside a tunnel, over a unix socket.

mod config;

#[cfg(feature = "tls")]
mod engine;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
mod engine;

#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod failure;
#[cfg(feature = "tls")]
mod hello;
#[cfg(feature = "tls")]
mod identity;
#[cfg(feature = "tls")]
mod key_log;
#[cfg(feature = "tls")]
mod stage;
#[cfg(all(test, feature = "testkit", feature = "ring"))]
mod tests;

use std::fmt;

pub use self::config::TlsConfig;
pub(crate) use self::engine::{TlsClient, TlsName, TlsStage};
use crate::error::TlsFailure;

impl TlsClient {
    /// Begins a handshake with the peer that has to prove this name. The only way to do so, whatever the bytes
    /// travel on.
    ///
    /// # Errors
    /// `Config` if the configuration offers nothing.
    pub(crate) fn start(&self, name: &TlsName) -> Result<TlsStage, TlsError> {
        TlsStage::new(self, name)
    }
}

/// What [`TlsStage::read_plain`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "only TLS makes these values")
)]
pub(crate) enum PlainRead {
    /// So many bytes were written to the front of the buffer; more may be waiting.
    Bytes(usize),
    /// Nothing, until more ciphertext comes.
    NeedMore,
    /// The peer has ended the data with a close_notify.
    Closed,
}

/// Whose turn it is, after [`TlsStage::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "only TLS makes these values")
)]
pub(crate) enum Progress {
    /// The handshake is under way: send what is outgoing, then receive.
    Handshaking,
    /// All records were taken in and none held data.
    Quiet,
    /// As `Quiet`, but the beginning of a further record waits for its rest.
    Partial,
    /// Data is there for `read_plain`.
    Plain,
    /// The peer has sent close_notify, and all data before it was read.
    Closed,
}

/// What ended TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsError {
    /// The rule.
    pub(crate) failure: TlsFailure,
    /// The code of the alert that the peer sent (RFC 8446 §6).
    pub(crate) alert: Option<u8>,
    /// One line of detail: escaped, bounded.
    pub(crate) text: Box<str>,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for TlsError {}
