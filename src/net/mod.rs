//! The operating system: sockets, clock, threads, names, TLS. Nothing here knows HTTP, and no event is made here.

pub(crate) mod cancel;
pub(crate) mod clock;
pub(crate) mod count;
pub(crate) mod duplex;
pub(crate) mod inlet;
#[cfg(test)]
pub(crate) mod models;
pub(crate) mod numbered;
pub(crate) mod park;
pub(crate) mod poll;
pub(crate) mod random;
pub(crate) mod resolver;
pub(crate) mod route;
pub(crate) mod setup;
pub(crate) mod socket;
pub(crate) mod sync;
pub(crate) mod thread;
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod wait;
pub(crate) mod workers;
