//! The deadlines of a call: one table, the earliest first, ties by the order of [`Timer`].

use std::time::{Duration, Instant};

use crate::error::Timer;

/// Every timer, in the order in which ties are reported.
const TIMERS: [Timer; 11] = [
    Timer::Total,
    Timer::Connect,
    Timer::Queue,
    Timer::Lookup,
    Timer::Tls,
    Timer::Expect,
    Timer::WriteStall,
    Timer::FirstByte,
    Timer::Head,
    Timer::BodyIdle,
    Timer::Drain,
];

/// The deadlines that are armed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timers {
    /// By the order of [`TIMERS`], of which the first is the total.
    armed: [Option<Armed>; TIMERS.len()],
}

/// One deadline: since when, and how many nanoseconds. There is one table per call, so it is kept small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Armed {
    since: Instant,
    limit: u64,
}

impl Armed {
    fn new(since: Instant, limit: Duration) -> Self {
        Self {
            since,
            limit: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_nanos(self.limit)
    }

    fn at(&self) -> Option<Instant> {
        self.since.checked_add(self.limit())
    }
}

/// A deadline that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fired {
    pub(crate) timer: Timer,
    pub(crate) limit: Duration,
    pub(crate) elapsed: Duration,
}

impl Timers {
    /// Arms a timer unless it is armed; without a limit nothing is armed.
    pub(crate) fn arm(&mut self, timer: Timer, since: Instant, limit: Option<Duration>) {
        let Some(place) = self.armed.get_mut(timer as usize) else {
            return;
        };
        if let (None, Some(limit)) = (*place, limit) {
            *place = Some(Armed::new(since, limit));
        }
    }

    /// Arms a timer that has to fire that early, if it would fire later.
    pub(crate) fn tighten(&mut self, timer: Timer, since: Instant, limit: Duration) {
        let armed = self.armed.get(timer as usize).copied().flatten();
        let new = Armed::new(since, limit).at();
        let later = armed.is_none_or(|armed| {
            armed
                .at()
                .is_none_or(|then| new.is_some_and(|new| new < then))
        });
        if later {
            self.disarm(timer);
            self.arm(timer, since, Some(limit));
        }
    }

    /// Arms a timer that is wanted, unless it is armed, and disarms one that is not.
    pub(crate) fn set(
        &mut self,
        timer: Timer,
        wanted: bool,
        since: Instant,
        limit: Option<Duration>,
    ) {
        if wanted {
            self.arm(timer, since, limit);
        } else {
            self.disarm(timer);
        }
    }

    /// Disarms a timer.
    pub(crate) fn disarm(&mut self, timer: Timer) {
        if let Some(place) = self.armed.get_mut(timer as usize) {
            *place = None;
        }
    }

    /// Disarms all but the limit of the whole call.
    pub(crate) fn keep_total(&mut self) {
        let [_total, others @ ..] = &mut self.armed;
        others.fill(None);
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let armed = self.armed.iter().flatten();
        armed.filter_map(|armed| armed.at()).min()
    }

    /// Says whether a deadline lay before a moment.
    pub(crate) fn had_passed(&self, moment: Instant) -> bool {
        self.next().is_some_and(|due| due < moment)
    }

    /// Takes the timer that has passed; of several the earliest, of equals the first in order.
    pub(crate) fn take_fired(&mut self, now: Instant) -> Option<Fired> {
        let (_, timer, armed) = TIMERS
            .into_iter()
            .zip(&self.armed)
            .filter_map(|(timer, armed)| {
                let armed = (*armed)?;
                Some((armed.at()?, timer, armed))
            })
            .filter(|(at, ..)| *at <= now)
            .min_by_key(|(at, timer, _)| (*at, *timer))?;
        self.disarm(timer);
        Some(Fired {
            timer,
            limit: armed.limit(),
            elapsed: now.saturating_duration_since(armed.since),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Option<Duration> {
        Some(Duration::from_secs(count))
    }

    #[test]
    fn the_table_is_in_the_order_of_declaration() {
        for (index, timer) in TIMERS.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
    }

    #[test]
    fn the_earliest_fires_and_ties_go_by_order() {
        let origin = crate::testing::origin();
        let mut timers = Timers::default();
        timers.arm(Timer::BodyIdle, origin, seconds(5));
        timers.arm(Timer::Total, origin, seconds(5));
        timers.arm(Timer::Head, origin, seconds(7));
        timers.arm(Timer::Head, origin, seconds(1));
        timers.arm(Timer::Tls, origin, None);
        assert_eq!(timers.next(), Some(origin + Duration::from_secs(5)));
        assert_eq!(timers.take_fired(origin + Duration::from_secs(4)), None);
        let now = origin + Duration::from_secs(6);
        assert_eq!(
            timers.take_fired(now).map(|fired| fired.timer),
            Some(Timer::Total)
        );
        let second = timers.take_fired(now).unwrap();
        assert_eq!(
            (second.timer, second.elapsed),
            (Timer::BodyIdle, Duration::from_secs(6))
        );
        assert_eq!(timers.take_fired(now), None);
        timers.keep_total();
        assert_eq!(timers.next(), None);
    }
}
