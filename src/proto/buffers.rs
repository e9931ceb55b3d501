//! The two buffers of an exchange. Plain values: drivers append to `inbound` and drain `outbound`, the core
//! consumes and produces.

/// Room that is made at once when a buffer first needs any: the head of a request fits.
const FIRST_ROOM: usize = 1024;

/// Room that most exchanges can do with: a head and a small body fit.
const SMALL_ROOM: usize = 8 * 1024;

/// Bytes of capacity that a buffer keeps for the next exchange.
const KEPT_ROOM: usize = 64 * 1024;

/// Bytes that were received and not consumed, and bytes that wait to be sent.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) inbound: Buffer,
    pub(crate) outbound: Buffer,
}

impl Buffers {
    /// Says whether nothing stands in them.
    pub(crate) fn is_empty(&self) -> bool {
        self.inbound.is_empty() && self.outbound.is_empty()
    }

    /// Says whether they have no more room than most exchanges need.
    pub(crate) fn is_small(&self) -> bool {
        self.inbound.memory.len().max(self.outbound.memory.len()) <= SMALL_ROOM
    }

    /// Gives up the memory that nothing stands in.
    pub(crate) fn fit(&mut self) {
        self.inbound.fit();
        self.outbound.fit();
    }

    /// Makes the buffers ready for another exchange: empty, and not larger than is worth keeping.
    pub(crate) fn reset(&mut self) {
        self.inbound.reset();
        self.outbound.reset();
    }
}

/// A window of filled bytes in memory that is initialised once and used again.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The filled bytes.
    pub(crate) fn filled(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    /// Counts the filled bytes.
    pub(crate) fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Says whether nothing is filled.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives up the memory that nothing stands in.
    fn fit(&mut self) {
        if self.memory.len() > self.len() {
            self.memory = self.filled().to_vec();
            self.end = self.memory.len();
            self.start = 0;
        }
    }

    /// Gives the first bytes up.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room behind the filled bytes: at least `least` bytes.
    pub(crate) fn spare(&mut self, least: usize) -> &mut [u8] {
        if self.memory.len().saturating_sub(self.end) < least {
            self.make_room(least);
        }
        self.memory.get_mut(self.end..).unwrap_or_default()
    }

    /// Counts bytes at the front of the spare room as filled.
    pub(crate) fn fill(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.memory.len());
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let spare = self.spare(bytes.len());
        if let Some(place) = spare.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            self.fill(bytes.len());
        }
    }

    /// Appends pieces, one behind the other; room for all of them is made at once.
    pub(crate) fn append_all<const N: usize>(&mut self, pieces: [&[u8]; N]) {
        let total = pieces
            .iter()
            .fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        let mut room = self.spare(total);
        for piece in pieces {
            let Some((place, rest)) = room.split_at_mut_checked(piece.len()) else {
                return;
            };
            place.copy_from_slice(piece);
            room = rest;
        }
        self.fill(total);
    }

    /// Moves the last `count` filled bytes `back` bytes towards the front, over what stands there.
    pub(crate) fn close_gap(&mut self, count: usize, back: usize) {
        let from = self.end.saturating_sub(count);
        if let Some(to) = from.checked_sub(back) {
            self.memory.copy_within(from..self.end, to);
            self.end = self.end.saturating_sub(back);
        }
    }

    /// The last `count` filled bytes.
    pub(crate) fn tail_mut(&mut self, count: usize) -> &mut [u8] {
        let from = self.end.saturating_sub(count).max(self.start);
        self.memory.get_mut(from..self.end).unwrap_or_default()
    }

    #[cold]
    fn make_room(&mut self, least: usize) {
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        let needed = self.end.saturating_add(least);
        if self.memory.len() < needed {
            let doubled = self.memory.len().saturating_mul(2);
            let room = needed.max(doubled).max(FIRST_ROOM);
            if self.memory.is_empty() {
                // Memory that comes as zeros is not written a second time.
                self.memory = vec![0; room];
            } else {
                self.memory.resize(room, 0);
            }
        }
    }

    fn reset(&mut self) {
        self.start = 0;
        self.end = 0;
        if self.memory.len() > KEPT_ROOM {
            self.memory.truncate(KEPT_ROOM);
            self.memory.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_they_went_in() {
        let mut buffer = Buffer::default();
        buffer.append(b"hello ");
        buffer.consume(2);
        buffer.append_all([b"wor", b"", b"ld"]);
        assert_eq!(buffer.filled(), b"llo world");
        buffer.consume(100);
        assert!(buffer.is_empty());
        assert!(buffer.spare(10_000).len() >= 10_000);
        buffer.fill(3);
        assert_eq!(buffer.len(), 3);
    }

    #[test]
    fn a_gap_closes_over_what_stands_before() {
        let mut buffer = Buffer::default();
        buffer.append(b"0000abc");
        buffer.close_gap(3, 2);
        assert_eq!(buffer.filled(), b"00abc");
        buffer.tail_mut(3).copy_from_slice(b"xyz");
        assert_eq!(buffer.filled(), b"00xyz");
    }
}
