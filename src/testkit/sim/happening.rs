//! What can happen, and the planner that everybody plans it with.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::flow::lookup::FlightId;
use crate::message::answer::Family;
use crate::testkit::sim::agenda::Agenda;
use crate::testkit::sim::network::{StreamId, Way};

/// Turns that one simulation may have: far more than an honest one needs.
const TURNS_MAX: u64 = 2_000_000;

/// Something that happens at a moment of the virtual clock.
#[derive(Debug)]
pub(super) enum Happening {
    /// A caller sends its request.
    Begin(usize),
    /// A deadline of a call may have passed.
    Deadline(usize),
    /// A caller reads on.
    Read(usize),
    /// A caller's source gives what it was asked for.
    Pull(usize, u64, bool),
    /// A caller's source that said "not now" has a piece.
    Supply(usize),
    /// A caller gives its call up.
    Cancel(usize),
    /// A connect has come to something.
    Connected(StreamId),
    /// A parcel arrives.
    Arrive(StreamId, Way),
    /// The news of room arrive at the sender of that way.
    Room(StreamId, Way),
    /// The peer learns that the client wants TLS.
    Hello(StreamId),
    /// The client learns what became of its handshake.
    Secured(StreamId),
    /// The resolver answers for one family.
    Answer(Box<str>, FlightId, Family),
    /// A wait of a player may be over.
    Play(StreamId),
}

/// The virtual clock, what is planned on it, and who has something to do at this moment.
#[derive(Debug)]
pub(super) struct Planner {
    now: Instant,
    agenda: Agenda<Happening>,
    due: VecDeque<Due>,
    /// Happenings, and turns of calls and players at them.
    turns: u64,
}

/// Somebody who has something to do at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Call(usize),
    Player(StreamId),
    /// Everybody who waits at a gate.
    Gates,
}

impl Planner {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            now: start,
            agenda: Agenda::new(),
            due: VecDeque::new(),
            turns: 0,
        }
    }

    /// Counts a turn; false when there were more than any honest simulation needs.
    pub(super) fn turn(&mut self) -> bool {
        self.turns += 1;
        self.turns <= TURNS_MAX
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns
    }

    pub(super) fn is_endless(&self) -> bool {
        self.turns > TURNS_MAX
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn plan(&mut self, at: Instant, what: Happening) {
        self.agenda.plan(at.max(self.now), what);
    }

    pub(super) fn plan_in(&mut self, time: Duration, what: Happening) {
        self.plan(self.now + time, what);
    }

    pub(super) fn plan_if(&mut self, at: Option<Instant>, what: Happening) {
        if let Some(at) = at {
            self.plan(at, what);
        }
    }

    /// Takes the next happening, and moves the clock there.
    pub(super) fn next(&mut self) -> Option<Happening> {
        self.turn();
        let (at, what) = self.agenda.next()?;
        self.now = self.now.max(at);
        Some(what)
    }

    /// Takes the next happening up to a moment; with none left, moves the clock there.
    pub(super) fn next_until(&mut self, until: Instant) -> Option<Happening> {
        match self.agenda.first() {
            Some(at) if at <= until => self.next(),
            Some(_) | None => {
                self.now = self.now.max(until);
                None
            }
        }
    }

    pub(super) fn wake(&mut self, due: Due) {
        self.due.push_back(due);
    }

    pub(super) fn next_due(&mut self) -> Option<Due> {
        self.due.pop_front()
    }
}
