//! Integration tests: one binary, one file per subject.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test has threads, sockets and times of its own, and may say what it measured"
)]

mod architecture;
mod basic;
mod cli;
mod conformance;
mod costs;
mod cuts;
mod cuts_simulated;
mod deadlines;
mod desync;
mod early;
mod expect;
mod faults;
mod framing;
mod grammar;
mod harness;
mod head;
mod nginx;
mod random_faults;
mod regressions;
mod retry;
mod reuse;
mod sending;
mod sharing;
mod simulated;
mod stalls;
mod strace;
mod support;
mod tls;
mod two_runners;
