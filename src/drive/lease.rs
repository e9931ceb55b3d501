//! A connection on loan to one call, and the same connection idle.

use std::time::{Duration, Instant};

use crate::flow::connection::Connection;
use crate::flow::pool::Pooled;
use crate::net::transport::Transport;
use crate::proto::buffers::Buffers;

/// The byte stream that a call has on loan.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) transport: Transport,
    /// Generation of the pool when it was taken or made.
    pub(crate) generation: u64,
}

/// A connection in the pool: its byte stream and its facts.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) transport: Transport,
    pub(crate) connection: Box<Connection>,
}

impl Pooled for Idle {
    fn good_until(&self, idle_timeout: Duration) -> Option<Instant> {
        self.connection.good_until(idle_timeout)
    }

    fn idle_since(&self) -> Option<Instant> {
        self.connection.idle_since
    }
}

/// Memory that calls use one after the other.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) buffers: Buffers,
    /// For ciphertext as it is received.
    pub(crate) cipher: Vec<u8>,
}
