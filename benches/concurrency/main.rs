//! Requests per second, instructions and CPU of very many connections from one thread; see `benches/concurrency.rs`.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin concurrency -- rate`; other modes are `count`, `bulk`
//! and `rest`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wirescope_benches::concurrency::run(None)
}
