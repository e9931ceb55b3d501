//! What inline tests of pure code need: a moment to count from.

use std::time::Instant;

/// A moment to count from. Pure code takes its time as an argument, so any moment will do.
pub(crate) fn origin() -> Instant {
    crate::net::clock::now()
}
