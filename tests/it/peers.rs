//! Real peers from the distribution's packages, each started here: proxies and origins that others wrote.
//!
//! These tests are ignored by default; `.ci/run` installs the programs and runs them, and a missing one is a failure.
//! What was tried with which version, and what came of it, is written to `docs/compatibility.md` by that run.

mod call;
mod compatibility;
mod dante;
mod forward;
mod origins;
mod program;
mod proxied;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use call::{Caller, DOORS, Door, speak, until_another, websocket};
use compatibility::{Tool, note};
use program::{Folder, Program, port};

/// Most of a body that a test sends or collects.
const LARGE: usize = 64 << 20;

/// What must reach a proxy and nobody else.
const USER: &str = "canary-user";
const PASSWORD: &str = "canary-pass";

/// Tries something with each program, all of them whatever happens, and notes what came of it. Fails if one failed.
fn with_each<T: Copy>(
    all: &[T],
    tool: impl Fn(T) -> Tool,
    what: &'static str,
    run: impl Fn(T) -> String,
) {
    let mut failed = None;
    for one in all {
        match catch_unwind(AssertUnwindSafe(|| run(*one))) {
            Ok(result) => note(tool(*one), what, &result),
            Err(panic) => {
                note(tool(*one), what, "**failed**");
                failed = Some(panic);
            }
        }
    }
    if let Some(panic) = failed {
        resume_unwind(panic);
    }
}
