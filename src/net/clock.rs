//! The clock: read here, handed down from here.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use crate::event::Clock;

/// The first moment of this process that wirescope knows; every `at` of an event counts from it.
static ORIGIN: OnceLock<(Instant, SystemTime)> = OnceLock::new();

/// Reads the monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the clock is read"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The clock of this process: monotonic origin and wall clock at one moment.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the clock is read"
)]
pub(crate) fn process() -> Clock {
    let (origin, wall) = *ORIGIN.get_or_init(|| (Instant::now(), SystemTime::now()));
    Clock::new(origin, wall)
}
