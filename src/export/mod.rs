//! Events as text: NDJSON and lines for programs, waterfalls and tables for people. Feature `export`, which
//! brings no dependency; the `wirescope` command is built from it.
//!
//! The rule guarded here: **an exporter makes no event and hides none.** What stands in its output was said by
//! the client; secrets were gone before it came here ([`Redaction`](crate::event::Redaction)).
//!
//! | what | for whom |
//! |---|---|
//! | [`EventWriter`] | programs: one object per event, written as it happens |
//! | [`waterfall`](fn@waterfall) | people: where the time of one call went, and notes on it |
//! | [`timings`] | both: table, JSON in nanoseconds, flat object in milliseconds |
//! | [`Spread`] | people: how each phase spreads over many calls |

mod notes;
mod server_timing;
mod spread;
pub mod timings;
mod waterfall;
mod writer;

pub use self::spread::{Spread, percentile};
pub use self::waterfall::{Style, waterfall};
pub use self::writer::{EventFormat, EventWriter};

use std::time::Duration;

/// A duration as people read it: milliseconds with two decimals, seconds from ten on.
pub(crate) fn shown(duration: Duration) -> String {
    if duration >= Duration::from_secs(10) {
        format!("{:.2} s", duration.as_secs_f64())
    } else {
        format!("{:.2} ms", duration.as_secs_f64() * 1e3)
    }
}
