//! `wirescope`: fetches URLs and draws what happened.
//!
//! ```text
//! args ──► order (what each URL is asked), urls (which)
//!   ├──► run: one after the other ──► show (waterfall, timings, spread)
//!   │                           ├───► output (head, body), lines (events)
//!   │                           ├───► verbose (the wire), again (--retry)
//!   │                           └───► exit (which code)
//!   └──► many: -Z N at a time ──► the same, and content, board (lines, progress), summary, told, room
//! ```

mod again;
mod args;
mod board;
mod body;
mod connect_to;
mod content;
mod demo;
mod exit;
mod fields;
mod interface;
mod lines;
mod many;
mod order;
mod output;
mod progress;
mod proxy;
mod room;
mod run;
mod scenes;
mod show;
mod summary;
mod tls;
mod told;
mod urls;
mod verbose;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::Args::read() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error),
    };
    let code = match args.at_once {
        _ if args.demo => demo::play(&args),
        None => run::all(&args),
        Some(most) => many::all(&args, most.into()),
    };
    ExitCode::from(code)
}
