//! The body of a request on its way: bytes in memory, or a source that is pulled piece by piece.

use std::time::Instant;

use crate::message::fields::Fields;
use crate::message::framing::Framing;
use crate::proto::buffers::Buffer;
use crate::proto::encode::{ChunkRoom, write_last_chunk};
use crate::proto::sending::{LateTrailers, Pulled, TrailerPlan};

#[derive(Debug)]
pub(super) enum Body {
    Memory {
        len: u64,
        sent: u64,
    },
    /// Few requests have one, and every call has the room.
    Source(Box<Source>),
}

/// A body that is pulled piece by piece; one piece is on its way at a time.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) length: Option<u64>,
    planned: TrailerPlan,
    /// As they were written.
    trailers: Fields,
    pub(super) pulled: u64,
    /// Content of the piece on its way, and the framing bytes behind that content.
    piece: usize,
    behind: usize,
    pub(super) supply: Supply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    /// More may come.
    Open,
    /// More may come, but the peer is looked at first: it may have answered, and a source that is slower than
    /// the network never waits for room.
    Looking,
    /// It said "not now", at that time, and will say when it has more.
    NotNow(Instant),
    /// A pull is under way; room for the head of a chunk may stand at the end of the outbound buffer.
    Pulling(Option<ChunkRoom>),
    /// The source said that there is no more.
    Ended,
    /// The source is not asked again, because the final head is in.
    Abandoned,
}

/// What came of a pull.
pub(super) enum Taken {
    More,
    NotNow,
    Ended,
    Failed,
}

impl Source {
    pub(super) fn new(length: Option<u64>, planned: TrailerPlan) -> Self {
        Self {
            length,
            planned,
            trailers: Fields::new(),
            pulled: 0,
            piece: 0,
            behind: 0,
            supply: Supply::Open,
        }
    }

    /// A source of known length is asked once before the head goes out, so that both leave together.
    pub(super) fn is_untouched_and_known(&self) -> bool {
        self.pulled == 0 && self.length.is_some()
    }

    pub(super) fn take(&mut self, pulled: Pulled, now: Instant, outbound: &mut Buffer) -> Taken {
        let room = match self.supply {
            Supply::Pulling(room) => room,
            Supply::Open
            | Supply::Looking
            | Supply::NotNow(_)
            | Supply::Ended
            | Supply::Abandoned => None,
        };
        let count = match &pulled {
            Pulled::Bytes(count) => *count,
            Pulled::NotNow | Pulled::End(_) | Pulled::Failed => 0,
        };
        if let Some(room) = room {
            let before = outbound.len();
            room.close(outbound, count);
            self.behind = usize::from(count > 0).saturating_mul(2);
            debug_assert!(outbound.len() <= before.saturating_add(2));
        } else {
            self.behind = 0;
        }
        self.piece = count;
        self.pulled = self.pulled.saturating_add(count as u64);
        let is_all = self.length.is_some_and(|length| self.pulled >= length);
        self.supply = if is_all {
            Supply::Open
        } else {
            Supply::Looking
        };
        match pulled {
            Pulled::Bytes(_) => Taken::More,
            // All that was announced has come, and whether there is more cannot be waited for.
            Pulled::NotNow if is_all => {
                self.end(None, outbound);
                Taken::Ended
            }
            Pulled::NotNow => {
                self.supply = Supply::NotNow(now);
                Taken::NotNow
            }
            Pulled::End(late) => {
                self.end(late, outbound);
                Taken::Ended
            }
            Pulled::Failed => Taken::Failed,
        }
    }

    /// The source has more; says since when it was waited for, if it was.
    pub(super) fn has_more(&mut self) -> Option<Instant> {
        let Supply::NotNow(since) = self.supply else {
            return None;
        };
        self.supply = Supply::Open;
        Some(since)
    }

    pub(super) fn look_is_over(&mut self) {
        if self.supply == Supply::Looking {
            self.supply = Supply::Open;
        }
    }

    fn end(&mut self, late: Option<Box<LateTrailers>>, outbound: &mut Buffer) {
        self.supply = Supply::Ended;
        if self.length.is_none() {
            let planned = std::mem::take(&mut self.planned);
            self.trailers = planned.at_the_end(late.map(|late| *late));
            let before = outbound.len();
            write_last_chunk(&self.trailers, outbound);
            self.behind = self
                .behind
                .saturating_add(outbound.len().saturating_sub(before));
        }
    }
}

impl Body {
    pub(super) fn framing(&self) -> Framing {
        match self {
            Self::Memory { len, .. } => Framing::Length(*len),
            Self::Source(source) => source.length.map_or(Framing::Chunked, Framing::Length),
        }
    }

    pub(super) fn is_over(&self, unsent: usize) -> bool {
        match self {
            Self::Memory { len, sent } => sent >= len,
            Self::Source(source) => source.supply == Supply::Ended && unsent == 0,
        }
    }

    /// Content that the kernel accepted, with that many bytes of the outbound buffer unsent.
    pub(super) fn accepted(&self, unsent: usize) -> u64 {
        match self {
            Self::Memory { sent, .. } => *sent,
            Self::Source(source) => {
                let content = unsent.saturating_sub(source.behind).min(source.piece);
                source.pulled.saturating_sub(content as u64)
            }
        }
    }

    pub(super) fn take_trailers(&mut self) -> Fields {
        match self {
            Self::Memory { .. } => Fields::new(),
            Self::Source(source) => std::mem::take(&mut source.trailers),
        }
    }
}
