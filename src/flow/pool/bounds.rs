//! How many connections there may be, and for how long.

use std::time::{Duration, Instant};

use crate::ids::ConnId;

/// Bounds of a pool. A connection counts from the permit to dial it until it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Idle connections of one key; 0 keeps none.
    pub(crate) idle_per_key: usize,
    /// Idle connections of all keys.
    pub(crate) idle_total: usize,
    /// Time that a connection may be idle.
    pub(crate) idle_timeout: Duration,
    /// Connections of one key: idle, on loan, or being dialed. None: as many as are wanted.
    pub(crate) per_key: Option<usize>,
    /// Connections of all keys.
    pub(crate) total: Option<usize>,
}

/// How long one connection may live, as a client sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Life {
    /// From its opening.
    pub(crate) age: Option<Duration>,
    /// Requests that it may carry.
    pub(crate) requests: Option<u64>,
    /// Random bits of the client's own, by which two connections get different ends.
    pub(crate) seed: u64,
}

/// The end of one connection's life, fixed when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lifespan {
    pub(crate) until: Option<Instant>,
    pub(crate) requests: Option<u64>,
}

/// One part in that many is what the jitter takes away at the most.
const JITTER_PART: u32 = 10;

impl Life {
    /// The life of a connection: what the client allows, less up to a tenth of it, so that connections that were
    /// opened together do not end together.
    pub(crate) fn of(self, conn: ConnId, opened: Instant) -> Lifespan {
        let dice = mix(self.seed ^ conn.get());
        let until = self.age.and_then(|age| {
            let most = age.checked_div(JITTER_PART).unwrap_or_default();
            opened.checked_add(age.saturating_sub(part_of(most, dice)))
        });
        let requests = self.requests.map(|requests| {
            let most = requests.checked_div(JITTER_PART.into()).unwrap_or(0);
            let less = dice.checked_rem(most.saturating_add(1)).unwrap_or(0);
            requests.saturating_sub(less).max(1)
        });
        Lifespan { until, requests }
    }
}

/// As many 65536ths of a time as the low bits of the dice say.
fn part_of(time: Duration, dice: u64) -> Duration {
    let sixteen = u32::try_from(dice & 0xffff).unwrap_or(0);
    time.saturating_mul(sixteen)
        .checked_div(0x1_0000)
        .unwrap_or_default()
}

/// Spreads a number over all bits (the finalizer of splitmix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_jitter_only_shortens_by_a_tenth_and_differs_between_connections() {
        let opened = crate::testing::origin();
        let life = Life {
            age: Some(Duration::from_secs(100)),
            requests: Some(1000),
            seed: 7,
        };
        let spans: Vec<_> = (0..200)
            .map(|id| life.of(ConnId::new(id), opened))
            .collect();
        let ages: Vec<_> = spans
            .iter()
            .map(|span| span.until.unwrap() - opened)
            .collect();
        let requests: Vec<_> = spans.iter().map(|span| span.requests.unwrap()).collect();
        assert!(ages.iter().all(|age| (90..=100).contains(&age.as_secs())));
        assert!(requests.iter().all(|count| (900..=1000).contains(count)));
        for list in [ages.iter().min() != ages.iter().max(), {
            requests.iter().min() != requests.iter().max()
        }] {
            assert!(list, "all connections end together");
        }
    }

    #[test]
    fn p23_small_numbers_are_kept_exactly_and_nothing_is_no_limit() {
        let opened = crate::testing::origin();
        for requests in 1..10 {
            let life = Life {
                requests: Some(requests),
                ..Life::default()
            };
            let span = life.of(ConnId::new(requests), opened);
            assert_eq!((span.requests, span.until), (Some(requests), None));
        }
        let life = Life {
            requests: Some(0),
            ..Life::default()
        };
        assert_eq!(life.of(ConnId::new(1), opened).requests, Some(1));
    }
}
