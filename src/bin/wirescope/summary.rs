//! What came of many calls, all together.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use wirescope::Completion;
use wirescope::event::Timings;
use wirescope::export::Spread;

use crate::exit::Failure;

/// Counts over calls that are done. A call that was tried again counts once, as it ended.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    calls: u64,
    /// Responses that came whole, by the first digit of their status.
    classes: BTreeMap<u16, u64>,
    /// Calls that failed, by the kind of the error.
    errors: BTreeMap<&'static str, u64>,
    content: u64,
    /// Calls that had a connection, and those of them that others had used before.
    reached: u64,
    reused: u64,
    /// How often a call was tried again.
    again: u64,
    /// The phases of the calls that went well.
    spread: Spread,
}

/// What the calls themselves do not know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole {
    pub(crate) took: Duration,
    pub(crate) at_once: usize,
    /// Connections that were made.
    pub(crate) opened: u64,
}

impl Summary {
    /// Counts what came of a call, also of one that is tried again.
    pub(crate) fn came(&mut self, done: &Completion) {
        self.content += done.body_bytes();
        self.reached += u64::from(done.connection().is_some());
        self.reused += u64::from(done.is_connection_reused());
    }

    /// Counts the response of a call.
    pub(crate) fn status(&mut self, status: u16) {
        *self.classes.entry(status / 100).or_default() += 1;
    }

    pub(crate) fn again(&mut self) {
        self.again += 1;
    }

    /// Counts a call that went well.
    pub(crate) fn well(&mut self, timings: &Timings) {
        self.calls += 1;
        self.spread.add(timings);
    }

    /// Counts a call that failed.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.calls += 1;
        *self.errors.entry(failure.tag()).or_default() += 1;
    }

    /// The summary as text: a line for each count, then how the phases spread.
    pub(crate) fn text(&self, whole: Whole) -> String {
        let Whole {
            took,
            at_once,
            opened,
        } = whole;
        let calls = counted(self.calls, "call");
        let rate = per_second(self.calls, took);
        let mut text = format!(
            "\x1b[1m{calls}\x1b[0m in {:.2} s, {rate:.1} per second, {at_once} at a time\n",
            took.as_secs_f64()
        );
        let mut row = |name: &str, what: String| {
            let _ = writeln!(text, "  {name:<12} {what}");
        };
        let classes = self.classes.iter();
        let classes: Vec<_> = classes
            .map(|(class, count)| format!("{class}xx {count}"))
            .collect();
        if !classes.is_empty() {
            row("statuses", classes.join(", "));
        }
        let errors = self.errors.iter();
        let errors: Vec<_> = errors
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        if !errors.is_empty() {
            row("errors", errors.join(", "));
        }
        if self.again > 0 {
            row("tried again", counted(self.again, "time"));
        }
        let speed = size(per_second(self.content, took));
        let content = size(precise(self.content));
        row("content", format!("{content}, {speed}/s"));
        let mut connections = format!("{opened} opened");
        if self.reached > 0 {
            let share = precise(self.reused) * 100.0 / precise(self.reached);
            let _ = write!(connections, ", {share:.1} % of the calls reused one");
        }
        row("connections", connections);
        if !self.spread.is_empty() {
            let _ = write!(text, "{}", self.spread);
        }
        text
    }
}

/// A count and what is counted.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn per_second(count: u64, took: Duration) -> f64 {
    precise(count) / took.as_secs_f64().max(1e-6)
}

fn precise(count: u64) -> f64 {
    count as f64
}

/// Bytes as people read them.
pub(crate) fn size(bytes: f64) -> String {
    match bytes {
        _ if bytes < 1e4 => format!("{bytes:.0} B"),
        _ if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        _ if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_on_lines_of_their_own() {
        let mut summary = Summary::default();
        for status in [200, 204, 404, 302] {
            summary.status(status);
        }
        for _ in 0..3 {
            summary.failed(&Failure::usage("no"));
        }
        summary.failed(&Failure::Status(404));
        summary.again();
        summary.content = 25_600;
        (summary.reached, summary.reused) = (8, 6);
        let whole = Whole {
            took: Duration::from_millis(500),
            at_once: 5,
            opened: 2,
        };
        assert_eq!(
            summary.text(whole),
            "\x1b[1m4 calls\x1b[0m in 0.50 s, 8.0 per second, 5 at a time\n\
             \x20 statuses     2xx 2, 3xx 1, 4xx 1\n\
             \x20 errors       local_request 3, status 1\n\
             \x20 tried again  1 time\n\
             \x20 content      25.6 kB, 51.2 kB/s\n\
             \x20 connections  2 opened, 75.0 % of the calls reused one\n"
        );
    }

    #[test]
    fn sizes_have_units() {
        let check = |bytes, expected: &str| assert_eq!(size(bytes), expected);
        check(0.0, "0 B");
        check(9_999.0, "9999 B");
        check(10_000.0, "10.0 kB");
        check(1.5e6, "1.5 MB");
        check(2.345e9, "2.35 GB");
    }
}
