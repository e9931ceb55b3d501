//! Which deadline passed.

/// Which deadline passed. The order is the order in which ties are reported.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The whole call.
    Total,
    /// From the wish for a connection until there is one: lookup, connects, TLS. Stands still in the queue.
    Connect,
    /// Waiting because a limit of connections is reached.
    Queue,
    /// The lookup of a name.
    Lookup,
    /// The TLS handshake.
    Tls,
    /// Waiting for a 100 (Continue); its end is not an error.
    Expect,
    /// The peer takes no byte of the request.
    WriteStall,
    /// From the end of the request to the first byte of a response.
    FirstByte,
    /// From the first byte of a head to its last.
    Head,
    /// Between two reads of the body.
    BodyIdle,
    /// The rest of a body that is read only to keep its connection. Its end is not an error; it costs the
    /// connection.
    Drain,
}

impl Timer {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Connect => "connect",
            Self::Queue => "queue",
            Self::Lookup => "lookup",
            Self::Tls => "tls",
            Self::Expect => "expect",
            Self::WriteStall => "write_stall",
            Self::FirstByte => "first_byte",
            Self::Head => "head",
            Self::BodyIdle => "body_idle",
            Self::Drain => "drain",
        }
    }
}
