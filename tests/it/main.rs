//! Integration tests: one binary, one file per subject.

#![expect(
    clippy::disallowed_methods,
    reason = "a test has threads, sockets and times of its own"
)]

mod basic;
mod costs;
mod deadlines;
mod desync;
mod early;
mod expect;
mod framing;
mod cli;
mod grammar;
mod harness;
mod head;
mod regressions;
mod reuse;
mod sending;
mod support;
mod tls;
