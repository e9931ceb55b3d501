//! How one connection to a simulated address behaves, apart from what its peer says.

use std::time::Duration;

use crate::error::TlsFailure;

/// Bytes that the buffers between two ends hold, unless a link says otherwise: far more than a test sends at once.
const WINDOW: usize = 16 * 1024 * 1024;

/// The way to a simulated peer, for one connection: how long it is, how it cuts bytes into segments, and which
/// fault strikes. The default is a way without time, without segments and without faults.
///
/// ```
/// use std::time::Duration;
/// use wirescope::testkit::sim::{Cut, Link};
///
/// let slow = Link::new().latency(Duration::from_millis(20)).segment_bytes(1);
/// let broken = Link::new().cut(Cut::Reset, 17);
/// # drop((slow, broken));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub(super) latency: Duration,
    pub(super) segment: usize,
    pub(super) spacing: Duration,
    pub(super) window: usize,
    pub(super) accept: Accept,
    pub(super) cut: Option<(Cut, u64)>,
}

/// What becomes of a connect.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accept {
    /// It is accepted after one round trip.
    #[default]
    Yes,
    /// It is refused after one round trip.
    Refused,
    /// No answer comes, ever.
    Lost,
    /// There is no route: it fails at once.
    Unreachable,
    /// It is accepted, and reset before anything else.
    Reset,
}

/// How the answers of a peer are cut off.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// By FIN; under TLS without a close_notify before it.
    Fin,
    /// By RST.
    Reset,
    /// By silence: the connection stays open, and nothing comes any more.
    Stall,
}

impl Link {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self {
            latency: Duration::ZERO,
            segment: usize::MAX,
            spacing: Duration::ZERO,
            window: WINDOW,
            accept: Accept::Yes,
            cut: None,
        }
    }

    /// The faults that strike on this way.
    pub(super) fn faults(&self) -> impl Iterator<Item = &'static str> {
        let accept = match self.accept {
            Accept::Yes => None,
            Accept::Refused => Some("refused"),
            Accept::Lost => Some("syn lost"),
            Accept::Unreachable => Some("unreachable"),
            Accept::Reset => Some("reset at once"),
        };
        let cut = self.cut.map(|(cut, _)| match cut {
            Cut::Fin => "cut by fin",
            Cut::Reset => "cut by reset",
            Cut::Stall => "cut by silence",
        });
        let narrow = (self.window < WINDOW).then_some("short writes");
        let pieces = (self.segment < usize::MAX).then_some("small segments");
        [accept, cut, narrow, pieces].into_iter().flatten()
    }

    /// Says whether the peer gets the connection, and plays a script on it.
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.accept, Accept::Yes | Accept::Reset)
    }

    /// Says whether what is written at once arrives at once.
    pub(super) fn is_in_one_piece(&self) -> bool {
        self.segment == usize::MAX && self.window == WINDOW
    }

    /// Sets how long each way takes. Default none.
    #[must_use]
    pub fn latency(mut self, one_way: Duration) -> Self {
        self.latency = one_way;
        self
    }

    /// Sets how many bytes of the peer arrive at once at the most. Default: all that were written.
    #[must_use]
    pub fn segment_bytes(mut self, most: usize) -> Self {
        self.segment = most.max(1);
        self
    }

    /// Sets the time between two segments of one write of the peer. Default none.
    #[must_use]
    pub fn spacing(mut self, between: Duration) -> Self {
        self.spacing = between;
        self
    }

    /// Sets how many bytes the buffers of each direction hold; a full one makes writes short. Default 16 MiB,
    /// least 1.
    #[must_use]
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.window = bytes.max(1);
        self
    }

    /// Sets what becomes of the connect. Default [`Accept::Yes`].
    #[must_use]
    pub fn accept(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// Cuts what the peer sends behind that many bytes; under TLS, of plaintext.
    #[must_use]
    pub fn cut(mut self, cut: Cut, behind_bytes: u64) -> Self {
        self.cut = Some((cut, behind_bytes));
        self
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

/// How a simulated TLS handshake goes. No byte is encrypted: the core sees facts, and so the simulator gives facts.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// It is made after this many round trips.
    Made {
        /// Round trips: 1 for TLS 1.3, 2 for TLS 1.2 or another key exchange group.
        trips: u32,
    },
    /// It fails after one round trip.
    Failed(TlsFailure),
    /// The peer never answers.
    Stalled,
}
