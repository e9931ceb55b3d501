//! The deadlines of very many calls, at most one of each: as many as there are calls, and no more work than a look-up.

use std::collections::BTreeSet;
use std::time::Instant;

/// Moments, and the numbers of the calls that are to be looked at then.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, u64)>);

impl Deadlines {
    /// Plans a look at a call that has the plan `planned`. An earlier one stays: it is in vain, and the call says anew
    /// then what it waits for; so a deadline that moves away again and again costs nothing.
    pub(super) fn plan(&mut self, at: Instant, number: u64, planned: &mut Option<Instant>) {
        if planned.is_some_and(|planned| planned <= at) {
            return;
        }
        self.drop_plan(number, planned);
        self.0.insert((at, number));
        *planned = Some(at);
    }

    /// Forgets the plan of a call.
    pub(super) fn drop_plan(&mut self, number: u64, planned: &mut Option<Instant>) {
        if let Some(at) = planned.take() {
            self.0.remove(&(at, number));
        }
    }

    /// The next moment.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes a call that is to be looked at by now; its plan is gone.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, number)| number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::clock;

    #[test]
    fn they_come_in_order_not_before_their_time_and_once() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        let mut plans = [None; 4];
        for (ms, number) in [(30, 1), (10, 2), (20, 3), (15, 1), (40, 2)] {
            deadlines.plan(at(ms), number, &mut plans[number as usize]);
        }
        assert_eq!(plans, [None, Some(at(15)), Some(at(10)), Some(at(20))]);
        assert_eq!(deadlines.due(at(9)), None);
        assert_eq!(deadlines.due(at(15)), Some(2));
        assert_eq!(deadlines.due(at(15)), Some(1));
        assert_eq!(deadlines.due(at(15)), None);
        deadlines.drop_plan(3, &mut plans[3]);
        assert_eq!((deadlines.next(), plans[3]), (None, None));
    }
}
