//! How the phases of many calls spread.

use std::fmt;
use std::time::Duration;

use crate::event::Timings;
use crate::export::shown;
use crate::export::timings::named;

/// Minimum, median, 95th percentile and maximum of each phase over many calls, as a table.
///
/// A percentile is the nearest rank: a duration that was measured, never one in between. A phase counts the
/// calls in which it happened; how many those were stands in the last column.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    rows: Vec<(&'static str, Vec<Duration>)>,
}

impl Spread {
    /// Sorts the phases of calls.
    #[must_use]
    pub fn of<'a>(calls: impl IntoIterator<Item = &'a Timings>) -> Self {
        let mut spread = Self::default();
        for timings in calls {
            for (name, duration) in named(timings.phases()) {
                spread.add(name, duration);
            }
            spread.add("total", Some(timings.total()));
            spread.add("ttfb", timings.ttfb());
        }
        for (_, durations) in &mut spread.rows {
            durations.sort_unstable();
        }
        spread
    }

    fn add(&mut self, name: &'static str, duration: Option<Duration>) {
        let place = self.rows.iter().position(|(other, _)| *other == name);
        let place = place.unwrap_or_else(|| {
            self.rows.push((name, Vec::new()));
            self.rows.len() - 1
        });
        self.rows[place].1.extend(duration);
    }
}

/// The nearest rank of a sorted list: the least value that `percent` of all do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = ["min", "p50", "p95", "max", "calls"];
        let [min, p50, p95, max, calls] = title;
        writeln!(
            f,
            "{:<8} {min:>12} {p50:>12} {p95:>12} {max:>12} {calls:>6}",
            "phase"
        )?;
        for (name, sorted) in self.rows.iter().filter(|(_, sorted)| !sorted.is_empty()) {
            write!(f, "{name:<8}")?;
            for percent in [0, 50, 95, 100] {
                write!(f, " {:>12}", shown(percentile(sorted, percent)))?;
            }
            writeln!(f, " {:>6}", sorted.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let check = |count: u64, percent: usize, expected: u64| {
            let sorted: Vec<_> = (1..=count).map(Duration::from_millis).collect();
            assert_eq!(
                percentile(&sorted, percent),
                Duration::from_millis(expected),
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
        check(100, 100, 100);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
