//! Integration tests: one binary, one file per subject.

mod basic;
mod costs;
mod cuts;
mod desync;
mod early;
mod faults;
mod regressions;
mod support;
