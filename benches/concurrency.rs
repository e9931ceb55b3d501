//! Very many connections from one thread: wirescope's event loop beside the limit, a bare loop of the same system
//! calls, and with the feature `peers` beside hyper and libcurl.
//!
//! The rule here: **every figure has its limit from the same run, and every answer is checked.** Each measurement is a
//! process of its own, with a server of its own that listens on a port of its own; so neither memory nor waiting ports
//! of one are found by the next. The measurements take turns, round by round, for neighbours to disturb all alike.
//!
//! ```text
//!   parent --starts--> server, on its core <--GET--> client, on its core
//!      \------------------------starts------------------/  and reads one line of figures
//! ```

mod answers;
mod client;
mod control;
mod crowd;
mod crowds;
mod figures;
mod machine;
mod measure;
mod options;
mod process;
mod server;
mod table;

use std::error::Error;
use std::process::ExitCode;

use self::options::Options;

/// How anything here ends.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Says how many bytes of the heap are in use, in a program that counts them.
pub type Heap = fn() -> usize;

/// Does what the first word of the command line says, with the options after it.
#[must_use]
pub fn run(heap: Option<Heap>) -> ExitCode {
    let done = Options::of_command_line().and_then(|(mode, options)| match mode.as_str() {
        "serve" => server::serve(&options),
        "client" => client::run(&options, heap),
        "rate" => measure::rate(&options),
        "count" => measure::count(&options),
        "bulk" => measure::bulk(&options),
        "rest" => measure::rest(&options),
        "memory" => measure::memory(&options),
        other => Err(format!("no mode {other}; there are rate, count, bulk, rest, memory").into()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
