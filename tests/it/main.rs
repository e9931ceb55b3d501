//! Integration tests: one binary, one file per subject.

mod basic;
mod deadlines;
mod expect;
mod framing;
mod grammar;
mod harness;
mod head;
mod reuse;
mod sending;
mod tls;
