//! Whether the same request may be sent again.

/// Whether the same request may be sent again without risk, and why.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// Safe: no byte of the request left.
    NothingSent,
    /// Safe: the method is idempotent (RFC 9110 §9.2.2).
    Idempotent,
    /// Not safe: bytes left and the method is not idempotent, so the peer may have acted on it.
    MayHaveBeenProcessed,
    /// Not possible: the body cannot be given a second time.
    BodyNotReplayable,
    /// Of no use: a repeat would fail the same way.
    Pointless,
}

impl Repeat {
    /// Says whether a repeat is safe.
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Self::NothingSent | Self::Idempotent)
    }
}
