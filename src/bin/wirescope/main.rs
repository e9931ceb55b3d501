//! `wirescope`: fetches URLs and draws what happened.
//!
//! ```text
//! args ──► order (what each URL is asked) ──► run ──► show (waterfall, timings, spread)
//!                                              ├────► output (head, body)
//!                                              ├────► verbose (the wire), again (--retry)
//!                                              └────► exit (which code)
//! ```

mod again;
mod args;
mod body;
mod connect_to;
mod demo;
mod exit;
mod fields;
mod order;
mod output;
mod run;
mod scenes;
mod show;
mod verbose;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::Args::read() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error),
    };
    let code = if args.demo {
        demo::play(&args)
    } else {
        run::all(&args)
    };
    ExitCode::from(code)
}
