//! How the phases of many calls spread.

use std::fmt;
use std::time::Duration;

use crate::event::Timings;

/// The columns, in percent of the calls: from the least to the greatest.
const COLUMNS: [(&str, usize); 6] = [
    ("min", 0),
    ("p50", 50),
    ("p90", 90),
    ("p95", 95),
    ("p99", 99),
    ("max", 100),
];

/// How the duration of each phase spreads over many calls, as a table in milliseconds: minimum, percentiles, maximum.
///
/// A percentile is the nearest rank: a duration that was measured, never one in between. A phase counts the
/// calls in which it happened; how many those were stands in the last column.
///
/// Every duration is kept, in microseconds and up to 71 minutes, with 4 bytes per phase that happened: 28 to 36 MB for a
/// million calls. A histogram would be smaller, and its percentiles durations that nobody measured.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    rows: Vec<(&'static str, Vec<u32>)>,
}

impl Spread {
    /// The phases of calls.
    #[must_use]
    pub fn of<'a>(calls: impl IntoIterator<Item = &'a Timings>) -> Self {
        let mut spread = Self::default();
        for timings in calls {
            spread.add(timings);
        }
        spread
    }

    /// Says whether no call was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds the phases of one call.
    pub fn add(&mut self, timings: &Timings) {
        for (name, duration) in timings.phases().named() {
            self.note(name, duration);
        }
        self.note("total", Some(timings.total()));
        self.note("ttfb", timings.ttfb());
    }

    /// A row for each phase, so that they stand in the order of a call.
    fn note(&mut self, name: &'static str, duration: Option<Duration>) {
        let place = self.rows.iter().position(|(other, _)| *other == name);
        let place = place.unwrap_or_else(|| {
            self.rows.push((name, Vec::new()));
            self.rows.len() - 1
        });
        self.rows[place].1.extend(duration.map(micros));
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// The nearest rank of a sorted list: the least value that `percent` of all do not exceed. None of none.
#[must_use]
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Sorts a copy of one row after the other.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9}", "phase, ms")?;
        for (title, _) in COLUMNS {
            write!(f, " {title:>9}")?;
        }
        writeln!(f, " {:>7}", "calls")?;
        for (name, durations) in self.rows.iter().filter(|(_, all)| !all.is_empty()) {
            let mut sorted = durations.clone();
            sorted.sort_unstable();
            write!(f, "{name:<9}")?;
            for (_, percent) in COLUMNS {
                let micros = percentile(&sorted, percent).unwrap_or_default();
                write!(f, " {:>9.2}", f64::from(micros) / 1e3)?;
            }
            writeln!(f, " {:>7}", sorted.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let check = |count: u32, percent: usize, expected: u32| {
            let sorted: Vec<_> = (1..=count).collect();
            assert_eq!(
                percentile(&sorted, percent),
                Some(expected),
                "p{percent} of {count}"
            );
        };
        check(1, 0, 1);
        check(1, 50, 1);
        check(1, 95, 1);
        check(2, 50, 1);
        check(2, 95, 2);
        check(3, 50, 2);
        check(10, 0, 1);
        check(10, 95, 10);
        check(100, 50, 50);
        check(100, 95, 95);
        check(100, 99, 99);
        check(100, 100, 100);
        assert_eq!(percentile::<u32>(&[], 50), None);
    }

    #[test]
    fn the_table_has_a_row_for_each_phase_that_happened() {
        let mut spread = Spread::default();
        for ms in [3, 1, 2] {
            spread.note("wait", Some(Duration::from_micros(ms * 1_000 + 250)));
        }
        spread.note("tls", None);
        spread.note("total", Some(Duration::from_secs(100_000)));
        assert_eq!(
            spread.to_string(),
            "\
phase, ms       min       p50       p90       p95       p99       max   calls
wait           1.25      2.25      3.25      3.25      3.25      3.25       3
total     4294967.29 4294967.29 4294967.29 4294967.29 4294967.29 4294967.29       1
"
        );
    }
}
