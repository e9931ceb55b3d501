//! Integration tests: one binary, one file per subject.

#![expect(
    clippy::disallowed_methods,
    reason = "a test has threads, sockets and times of its own"
)]

mod basic;
mod conformance;
mod costs;
mod deadlines;
mod desync;
mod early;
mod expect;
mod framing;
mod grammar;
mod harness;
mod head;
mod regressions;
mod reuse;
mod sending;
mod support;
mod tls;
