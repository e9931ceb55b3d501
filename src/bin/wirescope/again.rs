//! `--retry`: whether a transfer that failed is tried again, and after how long. curl's rules.

use std::fmt;
use std::time::Duration;

use wirescope::{Error, ErrorKind};

use crate::exit::Failure;

/// The pause before the first repetition; it doubles each time.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(600);

/// How often a transfer may still be tried again, and what came before.
#[derive(Debug)]
pub(crate) struct Again {
    most: u32,
    done: u32,
}

/// A repetition that is due: its number, and how long to wait before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) number: u32,
    pub(crate) most: u32,
    pub(crate) after: Duration,
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, most, after) = (self.number, self.most, self.after.as_secs());
        write!(f, "tried again in {after} s ({number} of {most})")
    }
}

impl Again {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, done: 0 }
    }

    /// Says whether a response is one to try again after; asked before its body is written.
    pub(crate) fn after_status(&mut self, status: u16, asks_for: Option<Duration>) -> Option<Due> {
        if is_transient(status) {
            self.due(asks_for)
        } else {
            None
        }
    }

    /// Says whether a failure is one to try again after: a deadline that passed.
    pub(crate) fn after_failure(&mut self, failure: &Failure) -> Option<Due> {
        match failure {
            Failure::Call(error) => self.after_error(error),
            _ => None,
        }
    }

    /// As [`Again::after_failure`].
    pub(crate) fn after_error(&mut self, error: &Error) -> Option<Due> {
        match error.kind() {
            ErrorKind::Timeout(_) => self.due(None),
            _ => None,
        }
    }

    /// Says whether the transfer may be tried again at all.
    pub(crate) fn may_be(&self) -> bool {
        self.done < self.most
    }

    fn due(&mut self, asked: Option<Duration>) -> Option<Due> {
        if !self.may_be() {
            return None;
        }
        let doubled = FIRST * 2_u32.saturating_pow(self.done.min(16));
        self.done += 1;
        Some(Due {
            number: self.done,
            most: self.most,
            after: asked.unwrap_or(doubled).min(LONGEST),
        })
    }
}

/// Says whether a status is one to try again after.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let mut again = Again::new(3);
        let pauses: Vec<_> = std::iter::from_fn(|| again.due(None))
            .map(|due| due.after.as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4]);
        let asked = Again::new(1).due(Some(Duration::from_secs(7)));
        assert_eq!(asked.unwrap().after, Duration::from_secs(7));
        assert_eq!(Again::new(0).due(None), None);
    }
}
