//! The deadlines of very many calls, at most one of each: as many as there are calls, and hardly any work for a call
//! that is answered in time.
//!
//! A call has a seat while it has a deadline, and the look that is planned for the seat stays when the call leaves. The
//! next call that takes the seat has a later deadline, as a rule, and plans nothing: it is looked at too early once, in
//! vain, and says anew then what it waits for. So does a call whose deadline moves away again and again.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Moments, and the calls that are to be looked at then.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// From which all moments count: before any of them.
    origin: Instant,
    seats: Vec<Seat>,
    free: Vec<SeatId>,
    planned: BTreeSet<(Planned, SeatId)>,
}

/// Where the deadline of a call is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeatId(u32);

/// A place that calls have one after the other.
#[derive(Debug)]
struct Seat {
    /// The number of the call, while one has it.
    call: Option<u64>,
    plan: Option<Planned>,
}

/// A moment at which a seat is to be looked at, in nanoseconds: there is one of every call, so it is kept small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Planned(NonZeroU64);

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
            seats: Vec::new(),
            free: Vec::new(),
            planned: BTreeSet::new(),
        }
    }

    /// Plans a look at the call of that number, which takes a seat if it has none. An earlier look stays.
    pub(super) fn plan(&mut self, at: Instant, number: u64, seat: &mut Option<SeatId>) {
        let at = Planned::new(self.origin, at);
        let Some(id) = seat.or_else(|| self.take_seat()) else {
            return;
        };
        *seat = Some(id);
        let Some(seat) = self.seats.get_mut(id.index()) else {
            return;
        };
        seat.call = Some(number);
        if seat.plan.is_some_and(|planned| planned <= at) {
            return;
        }
        if let Some(later) = seat.plan.replace(at) {
            self.planned.remove(&(later, id));
        }
        self.planned.insert((at, id));
    }

    /// A free seat, or a new one. None: there are as many as can be told apart.
    fn take_seat(&mut self) -> Option<SeatId> {
        self.free.pop().or_else(|| {
            let id = SeatId(u32::try_from(self.seats.len()).ok()?);
            self.seats.push(Seat {
                call: None,
                plan: None,
            });
            Some(id)
        })
    }

    /// The call is over.
    pub(super) fn leave(&mut self, seat: Option<SeatId>) {
        let Some(id) = seat else { return };
        if let Some(seat) = self.seats.get_mut(id.index()) {
            seat.call = None;
            self.free.push(id);
        }
    }

    /// The next moment at which something is to be looked at; none if nobody has a deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.free.len() == self.seats.len() {
            return None;
        }
        let (next, _) = self.planned.first()?;
        Some(next.at(self.origin))
    }

    /// Takes a call that is to be looked at by now; nothing is planned for it any more.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        let now = Planned::new(self.origin, now);
        loop {
            let (next, id) = self.planned.first().copied()?;
            if next > now {
                return None;
            }
            self.planned.pop_first();
            let seat = self.seats.get_mut(id.index())?;
            seat.plan = None;
            if seat.call.is_some() {
                return seat.call;
            }
        }
    }
}

impl SeatId {
    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    /// Deadlines, and their moments in milliseconds.
    fn deadlines() -> (Deadlines, impl Fn(u64) -> Instant) {
        let start = clock::now();
        (Deadlines::new(start), move |ms| {
            start + Duration::from_millis(ms)
        })
    }

    #[test]
    fn they_come_in_order_not_before_their_time_and_once() {
        let (mut deadlines, at) = deadlines();
        let mut seats = [None; 4];
        for (ms, number) in [(30, 1), (0, 0), (10, 2), (20, 3), (15, 1), (40, 2)] {
            deadlines.plan(at(ms), number, &mut seats[number as usize]);
        }
        assert_eq!(deadlines.planned.len(), 4, "one of each");
        assert_eq!(deadlines.next(), Some(at(0)));
        assert_eq!(deadlines.due(at(9)), Some(0));
        assert_eq!(deadlines.due(at(9)), None);
        assert_eq!(deadlines.due(at(15)), Some(2), "an earlier look stays");
        assert_eq!(deadlines.due(at(15)), Some(1));
        assert_eq!(deadlines.due(at(15)), None);
        deadlines.leave(seats[3]);
        assert_eq!(deadlines.due(at(99)), None, "whoever left is not looked at");
    }

    #[test]
    fn a_look_stays_for_the_next_call_of_the_seat() {
        let (mut deadlines, at) = deadlines();
        let (mut first, mut second) = (None, None);
        deadlines.plan(at(10), 1, &mut first);
        deadlines.leave(first);
        assert_eq!(deadlines.next(), None, "nobody has a deadline");
        deadlines.plan(at(30), 2, &mut second);
        assert_eq!((second, deadlines.planned.len()), (first, 1));
        assert_eq!(deadlines.due(at(10)), Some(2), "in vain");
        deadlines.plan(at(30), 2, &mut second);
        assert_eq!(deadlines.next(), Some(at(30)));
        deadlines.leave(second);
        first = None;
        deadlines.plan(at(20), 3, &mut first);
        assert_eq!(deadlines.next(), Some(at(20)), "an earlier deadline counts");
        assert_eq!(deadlines.due(at(20)), Some(3));
        assert_eq!(deadlines.planned.len(), 0);
    }
}
