//! What a pool holds and what became of what it held, at one moment.

use crate::message::close::CloseReason;

/// Connections and waiters of one client, and what its pool has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolStats {
    pub(crate) total: PoolCounts,
    pub(crate) keys: Vec<KeyStats>,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) handed: u64,
    pub(crate) opened: u64,
    pub(crate) closed: Vec<(CloseReason, u64)>,
}

/// Connections and waiters, of one origin or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolCounts {
    pub(crate) idle: usize,
    pub(crate) active: usize,
    pub(crate) dialing: usize,
    pub(crate) waiting: usize,
}

/// Connections and waiters of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStats {
    pub(crate) key: Box<str>,
    pub(crate) counts: PoolCounts,
}

impl PoolStats {
    /// Connections and waiters of all origins.
    #[must_use]
    pub fn total(&self) -> PoolCounts {
        self.total
    }

    /// Connections and waiters by origin, in the order of their names; origins without any are left out.
    #[must_use]
    pub fn keys(&self) -> &[KeyStats] {
        &self.keys
    }

    /// How often an idle connection was there when one was wanted, dead ones included.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// How often none was.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// Connections that went from one call to another that waited or dialed, without being idle.
    #[must_use]
    pub fn handed(&self) -> u64 {
        self.handed
    }

    /// Connections that were made.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Connections that were closed for that reason.
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed
            .iter()
            .find(|(known, _)| *known == reason)
            .map_or(0, |(_, count)| *count)
    }

    /// Connections that were closed, for any reason.
    #[must_use]
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().map(|(_, count)| count).sum()
    }
}

impl PoolCounts {
    /// Connections that serve nobody now.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle
    }

    /// Connections in use.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active
    }

    /// Connections being made.
    #[must_use]
    pub fn dialing(&self) -> usize {
        self.dialing
    }

    /// Calls that wait because a limit was reached.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Connections that count against the limits: idle, in use, and being made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.idle + self.active + self.dialing
    }
}

impl KeyStats {
    /// The origin: scheme, host and port.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its connections and waiters.
    #[must_use]
    pub fn counts(&self) -> PoolCounts {
        self.counts
    }
}
