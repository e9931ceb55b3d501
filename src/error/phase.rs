//! Where in a call something happened.

/// Where in a call something happened.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before any I/O.
    Prepare,
    /// Waiting because a limit of connections is reached.
    Queue,
    /// Looking a name up.
    Lookup,
    /// Connecting.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Asking the proxy for a tunnel (RFC 9110 §9.3.6).
    Tunnel,
    /// Sending the request.
    Send,
    /// Waiting for a 100 (Continue).
    Expect,
    /// Waiting for the first byte of a response.
    FirstByte,
    /// Receiving a head.
    Head,
    /// Receiving the body.
    Receive,
    /// After the message was complete.
    Done,
}

impl Phase {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Queue => "queue",
            Self::Lookup => "lookup",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Tunnel => "tunnel",
            Self::Send => "send",
            Self::Expect => "expect",
            Self::FirstByte => "first_byte",
            Self::Head => "head",
            Self::Receive => "receive",
            Self::Done => "done",
        }
    }

    /// How the text of an error says it.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Prepare => "before any i/o",
            Self::Queue => "while waiting for a connection",
            Self::Lookup => "while looking the name up",
            Self::Connect => "while connecting",
            Self::Tls => "in the tls handshake",
            Self::Tunnel => "while asking the proxy for a tunnel",
            Self::Send => "while sending the request",
            Self::Expect => "while waiting for 100 (continue)",
            Self::FirstByte => "while waiting for the response",
            Self::Head => "while receiving the response head",
            Self::Receive => "while receiving the response body",
            Self::Done => "after the response was complete",
        }
    }
}
