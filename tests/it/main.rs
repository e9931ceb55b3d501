//! Integration tests: one binary, one file per subject.

#![expect(
    clippy::disallowed_methods,
    reason = "a test has threads, sockets and times of its own"
)]

mod basic;
mod grammar;
mod nginx;
