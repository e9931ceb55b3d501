//! Interpreters of actions. They decide nothing: what to do next is the core's answer, always.

#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub(crate) mod apply;
pub(crate) mod blocking;
pub(crate) mod contestants;
mod detached;
pub(crate) mod engine;
pub(crate) mod lease;
#[cfg(test)]
mod models;
pub(crate) mod multi;
pub(crate) mod names;
mod nudge;
mod outlook;
pub(crate) mod pool;
mod receive;
mod speaking;
pub(crate) mod start;
pub(crate) mod switched;
pub(crate) mod upload;
pub(crate) mod waits;
