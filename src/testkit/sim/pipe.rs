//! One direction of a virtual byte stream: a window, a way that takes time, and an end.
//!
//! The rule guarded here: bytes come out as they went in, in order, and an end only behind all of them.
//!
//! ```text
//!   send ──► [ on the way: parcels with a time ] ──arrive──► [ arrived ] ──take──►
//!            \_______________ at most the window _______________/
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::proto::buffers::Buffer;

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Pipe {
    /// What arrived, and behind it what is on the way.
    bytes: Buffer,
    arrived: usize,
    way: VecDeque<(Instant, Parcel)>,
    end: End,
    /// Bytes that may be on the way or arrived.
    window: usize,
    /// Bytes that were taken and whose room the sender does not know of.
    credit: usize,
    /// Everything ever accepted.
    accepted: u64,
    taken: u64,
    sender: Sender,
}

/// What the sender of a pipe waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// Nothing: it learns of room as room is made.
    Free,
    /// Room; nothing tells it yet that there is some.
    Stuck,
    /// Room; the news is on its way.
    Told,
}

/// What is on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parcel {
    Bytes(usize),
    /// A close_notify.
    Notify,
    Fin,
    Reset,
}

/// What arrived behind all bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing.
    Open,
    /// A close_notify, and whatever followed it.
    Notified,
    Fin,
    Reset,
    /// A reset that was told.
    Gone,
}

/// How a piece of the way is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) latency: Duration,
    /// Most bytes of one segment.
    pub(super) segment: usize,
    /// Time between two segments.
    pub(super) spacing: Duration,
}

impl Pipe {
    pub(super) fn new(window: usize) -> Self {
        Self {
            bytes: Buffer::default(),
            arrived: 0,
            way: VecDeque::new(),
            end: End::Open,
            window: window.max(1),
            credit: 0,
            accepted: 0,
            taken: 0,
            sender: Sender::Free,
        }
    }

    /// Accepts as many bytes as the window has room for. The second answer is when the first parcel arrives, if
    /// none was on the way before.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        now: Instant,
        pace: Pace,
    ) -> (usize, Option<Instant>) {
        let used = self.bytes.len() + self.credit;
        let count = bytes.len().min(self.window.saturating_sub(used));
        if count < bytes.len() {
            self.sender = Sender::Stuck;
        }
        self.bytes.append(&bytes[..count]);
        self.accepted += count as u64;
        let was_idle = self.way.is_empty();
        let mut left = count;
        let mut at = self.after_the_last(now + pace.latency);
        while left > 0 {
            let piece = left.min(pace.segment.max(1));
            self.way.push_back((at, Parcel::Bytes(piece)));
            left -= piece;
            at += pace.spacing;
        }
        (count, self.first().filter(|_| was_idle))
    }

    /// Sends something that takes no room.
    pub(super) fn mark(&mut self, parcel: Parcel, now: Instant, pace: Pace) -> Option<Instant> {
        let was_idle = self.way.is_empty();
        let at = self.after_the_last(now + pace.latency);
        self.way.push_back((at, parcel));
        self.first().filter(|_| was_idle)
    }

    /// Nothing overtakes.
    fn after_the_last(&self, at: Instant) -> Instant {
        self.way.back().map_or(at, |(last, _)| at.max(*last))
    }

    /// When the next parcel arrives.
    pub(super) fn first(&self) -> Option<Instant> {
        self.way.front().map(|(at, _)| *at)
    }

    /// Takes the next parcel off the way.
    pub(super) fn arrive(&mut self) -> Option<Parcel> {
        let (_, parcel) = self.way.pop_front()?;
        match (parcel, self.end) {
            (Parcel::Bytes(count), _) => self.arrived += count,
            (Parcel::Notify, End::Open) => self.end = End::Notified,
            (Parcel::Fin, End::Open) => self.end = End::Fin,
            (Parcel::Reset, End::Open | End::Notified | End::Fin) => self.end = End::Reset,
            (Parcel::Notify | Parcel::Fin | Parcel::Reset, _) => {}
        }
        Some(parcel)
    }

    /// What can be taken.
    pub(super) fn readable(&self) -> &[u8] {
        &self.bytes.filled()[..self.arrived]
    }

    /// The end, once all bytes before it were taken.
    pub(super) fn end(&self) -> End {
        if self.arrived == 0 {
            self.end
        } else {
            End::Open
        }
    }

    /// The end that arrived, whether it was reached or not.
    pub(super) fn end_arrived(&self) -> End {
        self.end
    }

    /// The reset was told; from now on it is an end like any other.
    pub(super) fn reset_told(&mut self) {
        if self.end == End::Reset {
            self.end = End::Gone;
        }
    }

    /// Takes arrived bytes; says whether news of room have to be sent.
    pub(super) fn take(&mut self, count: usize) -> bool {
        let count = count.min(self.arrived);
        self.bytes.consume(count);
        self.arrived -= count;
        self.taken += count as u64;
        let is_news = self.sender == Sender::Stuck && count > 0;
        if is_news {
            self.sender = Sender::Told;
        }
        if self.sender == Sender::Told {
            self.credit += count;
        }
        is_news
    }

    /// The news of room arrived.
    pub(super) fn credited(&mut self) {
        self.credit = 0;
        self.sender = Sender::Free;
    }

    /// Says whether a sender would get at least a byte in.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() + self.credit < self.window
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        latency: Duration::from_millis(5),
        segment: 3,
        spacing: Duration::ZERO,
    };

    #[test]
    fn bytes_arrive_in_order_and_the_end_behind_them() {
        let now = crate::testing::origin();
        let mut pipe = Pipe::new(100);
        assert_eq!(pipe.send(b"abcd", now, PACE), (4, Some(now + PACE.latency)));
        assert_eq!(pipe.mark(Parcel::Fin, now, PACE), None);
        assert_eq!(pipe.readable(), b"");
        assert_eq!(pipe.arrive(), Some(Parcel::Bytes(3)));
        assert_eq!((pipe.readable(), pipe.end()), (&b"abc"[..], End::Open));
        pipe.arrive();
        pipe.arrive();
        assert_eq!((pipe.readable(), pipe.end()), (&b"abcd"[..], End::Open));
        pipe.take(4);
        assert_eq!((pipe.end(), pipe.arrive()), (End::Fin, None));
    }

    #[test]
    fn a_full_window_takes_no_more_until_the_news_of_room_is_there() {
        let now = crate::testing::origin();
        let mut pipe = Pipe::new(4);
        assert_eq!(pipe.send(b"abcdef", now, PACE).0, 4);
        assert_eq!(pipe.send(b"ef", now, PACE).0, 0);
        while pipe.arrive().is_some() {}
        assert!(pipe.take(3), "the sender has to be told");
        assert!(!pipe.take(1), "it is being told");
        assert!(!pipe.has_room());
        pipe.credited();
        assert!(pipe.has_room());
        assert_eq!(pipe.send(b"ef", now, PACE).0, 2);
    }
}
