//! Integration tests: one binary, one file per subject.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test has threads, sockets and times of its own, and may say what it measured"
)]

mod basic;
mod costs;
mod desync;
mod early;
mod framing;
mod grammar;
mod harness;
mod head;
mod nginx;
mod regressions;
mod strace;
mod support;
