//! The operating system: sockets, clock, threads, names, TLS. Nothing here knows HTTP, and no event is made here.

pub(crate) mod resolver;
pub(crate) mod tls;
mod workers;
