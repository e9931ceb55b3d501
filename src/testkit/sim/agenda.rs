//! What will happen, ordered by time; what happens at one moment keeps the order in which it was planned.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Instant;

/// Happenings to come.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    number: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Self {
            entries: BinaryHeap::new(),
            planned: 0,
        }
    }

    pub(super) fn plan(&mut self, at: Instant, what: T) {
        let number = self.planned;
        self.planned += 1;
        self.entries.push(Reverse(Entry { at, number, what }));
    }

    /// When the next thing happens.
    pub(super) fn first(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes what happens next, and when it does.
    pub(super) fn next(&mut self) -> Option<(Instant, T)> {
        let Reverse(entry) = self.entries.pop()?;
        Some((entry.at, entry.what))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_orders_first_and_then_the_planning() {
        let start = crate::testing::origin();
        let mut agenda = Agenda::new();
        for (ms, name) in [(5, "c"), (1, "a"), (5, "d"), (1, "b"), (9, "e")] {
            agenda.plan(start + Duration::from_millis(ms), name);
        }
        let taken = std::iter::from_fn(|| agenda.next().map(|(_, name)| name));
        assert_eq!(taken.collect::<String>(), "abcde");
    }
}
