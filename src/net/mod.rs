//! The operating system: sockets, threads, names. Nothing here knows HTTP, and no event is made here.

pub(crate) mod resolver;
mod workers;
