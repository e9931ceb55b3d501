//! The deadlines of a call: the earliest first, ties by the order of [`Timer`].

use std::time::{Duration, Instant};

use crate::error::Timer;

/// Deadlines that stand in a table itself: a call that waits for its answer has one, and that of the whole call.
const HERE: usize = 2;

/// The deadlines that are armed. There is one table per call, so it is kept small: those that do not fit, as of a dial,
/// stand in a table behind it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    here: [Option<Armed>; HERE],
    more: Option<Box<Self>>,
}

/// One deadline: since when, and how many nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Armed {
    timer: Timer,
    since: Instant,
    limit: u64,
}

impl Armed {
    fn new(timer: Timer, since: Instant, limit: Duration) -> Self {
        Self {
            timer,
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
        if let (None, Some(limit)) = (self.of(timer), limit) {
            self.put(Armed::new(timer, since, limit));
        }
    }

    /// Arms a timer that has to fire that early, if it would fire later.
    pub(crate) fn tighten(&mut self, timer: Timer, since: Instant, limit: Duration) {
        let new = Armed::new(timer, since, limit);
        let is_later = self.of(timer).is_none_or(|armed| {
            let then = armed.at();
            then.is_none_or(|then| new.at().is_some_and(|new| new < then))
        });
        if is_later {
            self.disarm(timer);
            self.put(new);
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
        for place in &mut self.here {
            if place.is_some_and(|armed| armed.timer == timer) {
                *place = None;
            }
        }
        if let Some(more) = &mut self.more {
            more.disarm(timer);
        }
    }

    /// Disarms all but the limit of the whole call.
    pub(crate) fn keep_total(&mut self) {
        let total = self.of(Timer::Total);
        *self = Self {
            here: [total, None],
            more: None,
        };
    }

    /// Disarms all.
    pub(crate) fn disarm_all(&mut self) {
        *self = Self::default();
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let more = self.more.as_ref().and_then(|more| more.next());
        let here = self.here.iter().flatten().filter_map(Armed::at);
        here.chain(more).min()
    }

    /// Takes the timer that has passed; of several the earliest, of equals the first in the order of [`Timer`].
    pub(crate) fn take_fired(&mut self, now: Instant) -> Option<Fired> {
        let (_, _, armed) = self
            .armed()
            .filter_map(|armed| Some((armed.at()?, armed.timer, *armed)))
            .filter(|(at, ..)| *at <= now)
            .min_by_key(|(at, timer, _)| (*at, *timer))?;
        self.disarm(armed.timer);
        Some(Fired {
            timer: armed.timer,
            limit: armed.limit(),
            elapsed: now.saturating_duration_since(armed.since),
        })
    }

    /// All that are armed, in no order.
    fn armed(&self) -> impl Iterator<Item = &Armed> {
        let tables = std::iter::successors(Some(self), |table| table.more.as_deref());
        tables.flat_map(|table| table.here.iter().flatten())
    }

    fn of(&self, timer: Timer) -> Option<Armed> {
        let mut here = self.here.iter().flatten();
        match here.find(|armed| armed.timer == timer) {
            Some(armed) => Some(*armed),
            None => self.more.as_ref()?.of(timer),
        }
    }

    fn put(&mut self, armed: Armed) {
        match self.here.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(armed),
            None => self.more.get_or_insert_default().put(armed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Option<Duration> {
        Some(Duration::from_secs(count))
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

    #[test]
    fn more_than_stand_in_the_table_are_armed_and_disarmed_as_well() {
        let origin = crate::testing::origin();
        let all = [
            Timer::BodyIdle,
            Timer::Tls,
            Timer::Lookup,
            Timer::Connect,
            Timer::Total,
        ];
        let mut timers = Timers::default();
        for (limit, timer) in (1..).zip(all) {
            timers.arm(timer, origin, seconds(limit));
        }
        timers.disarm(Timer::Lookup);
        timers.tighten(Timer::Total, origin, Duration::from_secs(3));
        timers.tighten(Timer::Connect, origin, Duration::from_secs(9));
        let now = origin + Duration::from_secs(60);
        let mut copy = timers.clone();
        let fired = std::iter::from_fn(|| copy.take_fired(now));
        let fired: Vec<Timer> = fired.map(|fired| fired.timer).collect();
        let in_time = [Timer::BodyIdle, Timer::Tls, Timer::Total, Timer::Connect];
        assert_eq!(fired, in_time);
        timers.keep_total();
        assert_eq!(timers.next(), Some(origin + Duration::from_secs(3)));
    }
}
