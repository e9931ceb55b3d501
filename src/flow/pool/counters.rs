//! What a pool has done so far.

use crate::message::close::CloseReason;
use crate::message::pool::{KeyStats, PoolCounts, PoolStats};

/// Counts since the client was made.
#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: u64,
    misses: u64,
    handed: u64,
    opened: u64,
    /// By reason, in the order of their first coming.
    closed: Vec<(CloseReason, u64)>,
    /// Descriptors that were given back: by a connection that was closed, or a dial that failed.
    freed: u64,
}

impl Counters {
    pub(super) fn looked_up(&mut self, is_hit: bool) {
        let count = if is_hit {
            &mut self.hits
        } else {
            &mut self.misses
        };
        *count = count.saturating_add(1);
    }

    pub(super) fn handed(&mut self) {
        self.handed = self.handed.saturating_add(1);
    }

    pub(super) fn opened(&mut self) {
        self.opened = self.opened.saturating_add(1);
    }

    /// A dial failed.
    pub(super) fn gave_up(&mut self) {
        self.freed = self.freed.saturating_add(1);
    }

    pub(super) fn freed(&self) -> u64 {
        self.freed
    }

    pub(super) fn closed(&mut self, reason: CloseReason) {
        self.freed = self.freed.saturating_add(1);
        match self.closed.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.closed.push((reason, 1)),
        }
    }

    pub(super) fn closed_all<T>(&mut self, closed: &[(T, CloseReason)]) {
        for (_, reason) in closed {
            self.closed(*reason);
        }
    }

    pub(super) fn stats(&self, total: PoolCounts, keys: Vec<KeyStats>) -> PoolStats {
        PoolStats {
            total,
            keys,
            hits: self.hits,
            misses: self.misses,
            handed: self.handed,
            opened: self.opened,
            closed: self.closed.clone(),
        }
    }
}
