//! Integration tests: one binary, one file per subject.

mod basic;
mod cli;
mod grammar;
