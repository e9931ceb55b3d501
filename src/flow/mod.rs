//! Policy without the world: no sockets, no threads, no clock. Time and answers come in as arguments.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm
    )
)]

pub(crate) mod action;
pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod lookup;
pub(crate) mod pool;
pub(crate) mod proxy;
pub(crate) mod redirect;
pub(crate) mod retry;
pub(crate) mod timers;
pub(crate) mod tunnel;
