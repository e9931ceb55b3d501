//! How long a field section may be, and what is in it.

use crate::config::Limits;
use crate::error::Limit;
use crate::proto::section::HeadFault;

/// The least bound on bytes, so that a status line's first bytes are always judged.
const LEAST_BYTES: usize = 16;

/// One bound: which, and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) limit: Limit,
    pub(super) max: usize,
}

impl Bound {
    pub(super) const fn new(limit: Limit, max: usize) -> Self {
        Self { limit, max }
    }

    /// Bytes: at least what a verdict needs, at most what a span can point to.
    fn bytes(limit: Limit, max: usize) -> Self {
        let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        Self::new(limit, max.clamp(LEAST_BYTES, most))
    }

    pub(super) fn fault(self) -> HeadFault {
        HeadFault::Limit {
            limit: self.limit,
            max: self.max as u64,
        }
    }
}

/// The bounds on one section and the lines in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(super) bytes: Bound,
    pub(super) line: Bound,
    pub(super) fields: Bound,
}

impl Bounds {
    /// The bounds on a head, its status line included.
    pub(crate) fn head(limits: &Limits) -> Self {
        Self {
            bytes: Bound::bytes(Limit::HeadBytes, limits.head_bytes),
            line: Bound::bytes(Limit::LineBytes, limits.line_bytes),
            fields: Bound::new(Limit::FieldLines, limits.field_lines),
        }
    }

    /// The bounds on a trailer section.
    pub(crate) fn trailers(limits: &Limits) -> Self {
        Self {
            bytes: Bound::bytes(Limit::TrailerBytes, limits.trailer_bytes),
            line: Bound::bytes(Limit::LineBytes, limits.line_bytes),
            fields: Bound::new(Limit::TrailerLines, limits.trailer_lines),
        }
    }

    /// The bound that a line beginning there meets first, and the offset where it stands.
    pub(super) fn reach(&self, line: usize) -> (usize, Bound) {
        let line_end = line.saturating_add(self.line.max);
        if line_end <= self.bytes.max {
            (line_end, self.line)
        } else {
            (self.bytes.max, self.bytes)
        }
    }
}
