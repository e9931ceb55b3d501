//! What an event loop knows of its idle connections without looking at each.
//!
//! The rule guarded here: **what reached an idle connection before a call was made is seen before the call takes it**,
//! and so is what reached it until a moment before. A loop asks the system about all its sockets at once, lets some calls
//! begin, and asks again; a call that begins otherwise, or too late, looks at its connection itself, which is a system
//! call of its own. Who was kept from sending for too long does so again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long news is new. What comes behind it may be missed, as what comes behind a look is.
const NEW: Duration = Duration::from_micros(100);

/// Whether the system told all it had to tell since a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum News {
    /// Nothing is known of that.
    #[default]
    Unknown,
    /// It did.
    Told,
}

/// When the system last told all it had to tell.
#[derive(Debug)]
pub(crate) struct Outlook {
    origin: Instant,
    /// Nanoseconds behind the origin; none yet is 0.
    told: AtomicU64,
}

impl Outlook {
    /// Nothing was told yet, and nothing will be of a moment before this one.
    pub(crate) fn new(origin: Instant) -> Self {
        Self {
            origin,
            told: AtomicU64::new(0),
        }
    }

    /// Notes that the system told all it had to tell.
    pub(crate) fn note(&self, now: Instant) {
        self.told.store(self.nanos(now), Ordering::Relaxed);
    }

    /// Says whether what was told is new at that moment.
    pub(crate) fn is_new(&self, now: Instant) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        let age = self.nanos(now).saturating_sub(told);
        told > 0 && u128::from(age) <= NEW.as_nanos()
    }

    fn nanos(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn news_is_new_for_a_moment_and_there_is_none_at_first() {
        let start = clock::now();
        let outlook = Outlook::new(start);
        assert!(!outlook.is_new(start));
        let told = start + NEW;
        outlook.note(told);
        assert!(outlook.is_new(told) && outlook.is_new(told + NEW));
        assert!(outlook.is_new(start), "what began before it knows it too");
        assert!(!outlook.is_new(told + NEW + Duration::from_nanos(1)));
    }
}
