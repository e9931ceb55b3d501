//! The line about calls under way, for the bottom of a terminal: what it says, and when it is due.
//!
//! The rule here: **it costs nothing.** It is drawn ten times a second at the most, is narrower than the terminal, and
//! looks at the last calls only.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wirescope::export::percentile;

use crate::summary::counted;

/// The least time between two drawings.
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// The time that the rate is taken over.
const RATE_OVER: Duration = Duration::from_secs(1);

/// How many of the last calls the percentiles are taken over.
const RECENT: usize = 1000;

/// What the line says.
#[derive(Debug)]
pub(crate) struct Progress {
    /// How many calls there will be, where that is known.
    of: Option<u64>,
    done: u64,
    errors: u64,
    /// The totals of the last calls that went well.
    recent: VecDeque<Duration>,
    /// How many were done at which drawing, and at the beginning; the oldest just outside of the time of the rate.
    past: VecDeque<(Instant, u64)>,
    due: Instant,
}

impl Progress {
    pub(crate) fn new(of: Option<u64>, now: Instant) -> Self {
        Self {
            of,
            done: 0,
            errors: 0,
            recent: VecDeque::with_capacity(RECENT),
            past: VecDeque::from([(now, 0)]),
            due: now + EVERY,
        }
    }

    /// Notes a call that went well.
    pub(crate) fn well(&mut self, total: Duration) {
        self.done += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(total);
    }

    /// Notes a call that failed.
    pub(crate) fn failed(&mut self) {
        self.done += 1;
        self.errors += 1;
    }

    /// Says whether it is to be drawn.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// The line, for a terminal of so many columns; what does not fit is left out.
    pub(crate) fn draw(&mut self, in_flight: usize, columns: usize, now: Instant) -> String {
        self.due = now + EVERY;
        let rate = self.rate(now);
        let of = self.of.map_or_else(String::new, |of| format!(" of {of}"));
        let mut parts = vec![
            format!("{}{of} done", self.done),
            format!("{in_flight} in flight"),
            counted(self.errors, "error"),
            format!("{rate:.0}/s"),
        ];
        let mut sorted = Vec::from_iter(self.recent.iter().copied());
        sorted.sort_unstable();
        for percent in [50, 95] {
            if let Some(total) = percentile(&sorted, percent) {
                parts.push(format!("p{percent} {}", shown(total)));
            }
        }
        let mut line = String::new();
        for part in parts {
            let gap = if line.is_empty() { 0 } else { 2 };
            if line.len() + gap + part.len() >= columns {
                break;
            }
            line.extend(std::iter::repeat_n(' ', gap));
            line.push_str(&part);
        }
        line
    }

    /// Calls per second, over the last second.
    fn rate(&mut self, now: Instant) -> f64 {
        let is_past = |at: &(Instant, u64)| now.duration_since(at.0) >= RATE_OVER;
        while self.past.get(1).is_some_and(is_past) {
            self.past.pop_front();
        }
        let (since, before) = *self.past.front().unwrap_or(&(now, self.done));
        self.past.push_back((now, self.done));
        let seconds = now.duration_since(since).as_secs_f64();
        let calls = (self.done - before) as f64;
        if seconds > 0.0 { calls / seconds } else { 0.0 }
    }
}

/// A duration in milliseconds, as tables have it.
pub(crate) fn shown(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a moment to count from; nothing waits"
)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_line_says_what_is_done_and_how_fast() {
        let start = Instant::now();
        let mut progress = Progress::new(None, start);
        assert_eq!(
            progress.draw(2, 80, start),
            "0 done  2 in flight  0 errors  0/s"
        );
        for total in 1..=20 {
            progress.well(ms(total));
        }
        progress.failed();
        assert_eq!(
            progress.draw(3, 80, start + ms(500)),
            "21 done  3 in flight  1 error  42/s  p50 10.00 ms  p95 19.00 ms"
        );
        let mut known = Progress::new(Some(7), start);
        assert!(known.draw(1, 80, start).starts_with("0 of 7 done  "));
    }

    #[test]
    fn the_rate_and_the_percentiles_are_those_of_now() {
        let start = Instant::now();
        let mut progress = Progress::new(None, start);
        for tenth in 1..=30 {
            for _ in 0..100 {
                progress.well(ms(500));
            }
            progress.draw(1, 80, start + ms(tenth * 100));
        }
        for tenth in 31..=45 {
            for _ in 0..100 {
                progress.well(ms(2));
            }
            let line = progress.draw(1, 80, start + ms(tenth * 100));
            assert!(line.contains("  1000/s  "), "{line}");
        }
        let line = progress.draw(1, 80, start + ms(9_000));
        assert!(line.ends_with("  0/s  p50 2.00 ms  p95 2.00 ms"), "{line}");
        assert!(progress.past.len() < 20 && progress.recent.len() == RECENT);
    }

    #[test]
    fn it_is_due_ten_times_a_second_at_the_most() {
        let start = Instant::now();
        let mut progress = Progress::new(None, start);
        let drawn = (0..1_000)
            .map(|at| start + ms(at))
            .filter(|now| {
                let is_due = progress.is_due(*now);
                if is_due {
                    progress.draw(1, 80, *now);
                }
                is_due
            })
            .count();
        assert_eq!(drawn, 9, "after 100, 200, .. 900 ms");
    }

    #[test]
    fn it_is_narrower_than_the_terminal() {
        let start = Instant::now();
        let mut progress = Progress::new(Some(1_000_000), start);
        progress.well(ms(30_000));
        for columns in 0..120 {
            let line = progress.draw(10_000, columns, start + ms(100));
            assert!(line.len() < columns.max(1), "{columns}: {line}");
        }
        let check = |progress: &mut Progress, columns, expected: &str| {
            assert_eq!(progress.draw(9, columns, start + ms(100)), expected);
        };
        check(&mut progress, 17, "");
        check(&mut progress, 18, "1 of 1000000 done");
        check(&mut progress, 40, "1 of 1000000 done  9 in flight");
    }
}
