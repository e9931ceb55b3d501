//! Policy without the world: no sockets, no threads, no clock. Time and answers come in as arguments.

pub(crate) mod action;
pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod lookup;
pub(crate) mod pool;
pub(crate) mod timers;
