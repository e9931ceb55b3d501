//! The only place with sockets, clock and threads.

pub(crate) mod tls;
