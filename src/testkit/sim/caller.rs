//! The simulated caller: when it asks, how it reads, and when it loses its patience.

use std::time::Duration;

use crate::testkit::bell::Gate;
use crate::testkit::sim::source::Pace;

/// Bytes that a caller asks for at a time when it collects a whole body, as the response's own helper does.
const COLLECTED: usize = 16 * 1024;

/// What the caller of one simulated call does. The default asks at once and collects the whole body.
///
/// ```
/// use std::time::Duration;
/// use wirescope::testkit::sim::Caller;
///
/// let slow = Caller::new()
///     .starts_in(Duration::from_millis(5))
///     .reads(3, Duration::from_millis(10))
///     .cancels_in(Duration::from_secs(1));
/// # drop(slow);
/// ```
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) starts: Duration,
    pub(super) reads: Reads,
    pub(super) drops: Option<usize>,
    pub(super) cancels: Option<Duration>,
    pub(super) source: Pace,
    pub(super) gate: Option<Gate>,
    pub(super) speaks: Option<Vec<u8>>,
}

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// As the helper that collects a whole body reads it, with its limit.
    Collect,
    /// Bytes at a time, with a pause before each.
    Pieces(usize, Duration),
}

impl Reads {
    pub(super) fn piece(self) -> usize {
        match self {
            Self::Collect => COLLECTED,
            Self::Pieces(bytes, _) => bytes,
        }
    }

    pub(super) fn pause(self) -> Duration {
        match self {
            Self::Collect => Duration::ZERO,
            Self::Pieces(_, pause) => pause,
        }
    }
}

impl Caller {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self {
            starts: Duration::ZERO,
            reads: Reads::Collect,
            drops: None,
            cancels: None,
            source: Pace::AtOnce,
            gate: None,
            speaks: None,
        }
    }

    /// Sends the request that long after it was submitted.
    #[must_use]
    pub fn starts_in(mut self, time: Duration) -> Self {
        self.starts = time;
        self
    }

    /// Reads at most that many bytes at a time (at least 1), with a pause before each read.
    #[must_use]
    pub fn reads(mut self, bytes: usize, pause: Duration) -> Self {
        self.reads = Reads::Pieces(bytes.max(1), pause);
        self
    }

    /// Drops the response once that many bytes of its body were read, before the next read.
    #[must_use]
    pub fn drops_after(mut self, bytes: usize) -> Self {
        self.drops = Some(bytes);
        self
    }

    /// Cancels the call that long after it began.
    #[must_use]
    pub fn cancels_in(mut self, time: Duration) -> Self {
        self.cancels = Some(time);
        self
    }

    /// Takes that long for each piece that the source of an upload is asked for.
    #[must_use]
    pub fn source_takes(mut self, time: Duration) -> Self {
        self.source = match time {
            Duration::ZERO => Pace::AtOnce,
            time => Pace::Blocks(time),
        };
        self
    }

    /// Says "not now" each time the source of an upload is asked, and has a piece after that time; see
    /// [`BodySource`](crate::body::BodySource).
    #[must_use]
    pub fn source_says_not_now(mut self, time: Duration) -> Self {
        self.source = Pace::NotNow(time);
        self
    }

    /// Speaks the other protocol when the call is [upgraded](crate::Response::upgrade): says this, ends its direction, and
    /// hears the peer until that ends its own. What it hears stands where the body would. Without this, an upgraded
    /// connection is closed at once.
    #[must_use]
    pub fn speaks(mut self, words: impl Into<Vec<u8>>) -> Self {
        self.speaks = Some(words.into());
        self
    }

    /// Opens a gate when the response is handed out.
    #[must_use]
    pub fn opens(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }
}

impl Default for Caller {
    fn default() -> Self {
        Self::new()
    }
}
