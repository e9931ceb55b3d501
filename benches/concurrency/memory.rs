//! Memory of very many connections from one thread. A program of its own, because counting what is allocated costs
//! time, which the other figures must not have.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin memory -- memory --connections 10000`; `--tls` too.

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats
        .bytes_allocated
        .saturating_sub(stats.bytes_deallocated)
}

fn main() -> ExitCode {
    wirescope_benches::concurrency::run(Some(in_use))
}
