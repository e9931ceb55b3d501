//! The deadlines of very many calls, at most one of each: as many as there are calls, and no more work than a look-up.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Moments, and the numbers of the calls that are to be looked at then.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// From which all moments count: before any of them.
    origin: Instant,
    planned: BTreeSet<(Planned, u64)>,
}

/// A moment at which a call is to be looked at, in nanoseconds: there is one of every call, so it is kept small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Planned(NonZeroU64);

impl Planned {
    fn new(origin: Instant, at: Instant) -> Self {
        let nanos = at.saturating_duration_since(origin).as_nanos();
        Self(NonZeroU64::MIN.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn at(self, origin: Instant) -> Instant {
        origin + Duration::from_nanos(self.0.get() - 1)
    }
}

impl Deadlines {
    /// Of calls that begin after this moment.
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            origin,
            planned: BTreeSet::new(),
        }
    }

    /// Plans a look at a call that has the plan `planned`. An earlier one stays: it is in vain, and the call says anew
    /// then what it waits for; so a deadline that moves away again and again costs nothing.
    pub(super) fn plan(&mut self, at: Instant, number: u64, planned: &mut Option<Planned>) {
        let at = Planned::new(self.origin, at);
        if planned.is_some_and(|planned| planned <= at) {
            return;
        }
        self.drop_plan(number, planned);
        self.planned.insert((at, number));
        *planned = Some(at);
    }

    /// Forgets the plan of a call.
    pub(super) fn drop_plan(&mut self, number: u64, planned: &mut Option<Planned>) {
        if let Some(at) = planned.take() {
            self.planned.remove(&(at, number));
        }
    }

    /// The next moment.
    pub(super) fn next(&self) -> Option<Instant> {
        let (next, _) = self.planned.first()?;
        Some(next.at(self.origin))
    }

    /// Takes a call that is to be looked at by now; its plan is gone.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        if self.next()? > now {
            return None;
        }
        self.planned.pop_first().map(|(_, number)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn they_come_in_order_not_before_their_time_and_once() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::new(start);
        let mut plans = [None; 4];
        for (ms, number) in [(30, 1), (0, 0), (10, 2), (20, 3), (15, 1), (40, 2)] {
            deadlines.plan(at(ms), number, &mut plans[number as usize]);
        }
        let planned = plans.map(|plan| plan.map(|plan: Planned| plan.at(start)));
        assert_eq!(planned, [0, 15, 10, 20].map(|ms| Some(at(ms))));
        assert_eq!(deadlines.due(at(9)), Some(0));
        assert_eq!(deadlines.due(at(9)), None);
        assert_eq!(deadlines.due(at(15)), Some(2));
        assert_eq!(deadlines.due(at(15)), Some(1));
        assert_eq!(deadlines.due(at(15)), None);
        deadlines.drop_plan(3, &mut plans[3]);
        assert_eq!((deadlines.next(), plans[3]), (None, None));
    }
}
