//! A connection on loan to one call, and the same connection idle.

use crate::flow::connection;
use crate::net::transport::Transport;
use crate::proto::buffers::Buffers;

/// The byte stream that a call has on loan.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) transport: Transport,
    /// Generation of the pool when it was taken or made.
    pub(crate) generation: u64,
}

/// A connection in the pool.
pub(crate) type Idle = connection::Idle<Transport>;

/// Memory that calls use one after the other.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) buffers: Buffers,
    /// For ciphertext as it is received.
    pub(crate) cipher: Vec<u8>,
}
