//! Which streams a kind of event belongs to.

use crate::event::EventKind;

/// The stream that a kind of event is a part of.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// The client.
    Client,
    /// A call as a whole.
    Call,
    /// An attempt that waits for a connection or gives one up.
    Attempt,
    /// The request going out on the connection of an attempt.
    Write,
    /// The response coming in on the connection of an attempt.
    Read,
    /// A dial.
    Dial,
    /// A connection.
    Connection,
    /// Anywhere inside the stream that it is about.
    Floating,
}

impl Group {
    /// The group of a kind.
    #[must_use]
    pub const fn of(kind: EventKind) -> Self {
        use EventKind as K;
        match kind {
            K::ClientStart => Self::Client,
            K::CallStart | K::ProxySelected | K::Retry | K::CallDone => Self::Call,
            K::GetConn
            | K::PoolLookup
            | K::QueueStart
            | K::QueueDone
            | K::GotConn
            | K::GetConnFailed
            | K::PutIdleConn
            | K::AttemptDone => Self::Attempt,
            K::DialStart
            | K::DialDone
            | K::DnsStart
            | K::DnsSkipped
            | K::DnsFamilyDone
            | K::DnsDone
            | K::DialPlan
            | K::ConnectStart
            | K::ConnectDone
            | K::ProxyConnectStart
            | K::ProxyConnectDone
            | K::TlsHandshakeStart
            | K::TlsHandshakeDone
            | K::ConnOpened => Self::Dial,
            K::WroteHeaderField
            | K::WroteHeaders
            | K::Wait100Continue
            | K::Got100Continue
            | K::ExpectDone
            | K::RequestBodyStart
            | K::RequestBodyChunk
            | K::RequestBodyDone
            | K::WroteTrailerField
            | K::WroteRequest => Self::Write,
            K::GotFirstResponseByte
            | K::Got1xxResponse
            | K::FinalResponseStart
            | K::GotHeaderField
            | K::GotResponseHead
            | K::Redirect
            | K::Upgraded
            | K::ResponseBodyStart
            | K::ResponseBodyChunk
            | K::GotTrailerField
            | K::ResponseBodyDone => Self::Read,
            K::ConnClosed => Self::Connection,
            K::TimeoutFired | K::CallCanceled | K::Anomaly | K::EventsLost => Self::Floating,
        }
    }

    /// The name of the group in docs/events.md.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Call => "call",
            Self::Attempt => "attempt",
            Self::Write => "attempt: write",
            Self::Read => "attempt: read",
            Self::Dial => "dial",
            Self::Connection => "connection",
            Self::Floating => "floating",
        }
    }
}
