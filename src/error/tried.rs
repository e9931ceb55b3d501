//! One address that was tried while connecting, and what became of it.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::rule::TlsFailure;
use crate::message::dial::ConnectReason;
use crate::message::peer_addr::PeerAddr;

/// One address that was tried while connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub(crate) addr: PeerAddr,
    pub(crate) contestant: u16,
    pub(crate) reason: ConnectReason,
    pub(crate) outcome: TriedOutcome,
    pub(crate) elapsed: Duration,
}

impl Tried {
    /// The address.
    #[must_use]
    pub fn addr(&self) -> &PeerAddr {
        &self.addr
    }

    /// Its number within the dial, from 0; the events of the dial have the same.
    #[must_use]
    pub fn contestant(&self) -> u16 {
        self.contestant
    }

    /// Why it was tried when it was.
    #[must_use]
    pub fn reason(&self) -> ConnectReason {
        self.reason
    }

    /// What became of it.
    #[must_use]
    pub fn outcome(&self) -> TriedOutcome {
        self.outcome
    }

    /// Time from the start of this connection attempt to its end.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// What became of one address that was tried.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TriedOutcome {
    /// The system reported an error.
    Failed {
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The code of the operating system, if there was one.
        code: Option<i32>,
    },
    /// No answer until the dial ended.
    Unanswered,
    /// It gave way to a newer one, because too many were open.
    Pruned,
    /// Another address was quicker.
    Lost,
    /// It took the connection and did not come to an end with TLS.
    TlsStalled,
    /// It connected, and TLS failed.
    Tls(TlsFailure),
    /// It is a proxy that was reached, and there is no tunnel through it.
    Tunnel,
}

impl fmt::Display for TriedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed {
                kind: io::ErrorKind::ConnectionRefused,
                ..
            } => f.write_str("refused"),
            Self::Failed {
                kind: io::ErrorKind::ConnectionReset,
                ..
            } => f.write_str("reset"),
            Self::Failed {
                kind,
                code: Some(code),
            } => write!(f, "{kind} (os error {code})"),
            Self::Failed { kind, code: None } => write!(f, "{kind}"),
            Self::Unanswered => f.write_str("no answer"),
            Self::Pruned => f.write_str("pruned"),
            Self::Lost => f.write_str("lost"),
            Self::TlsStalled => f.write_str("tls stalled"),
            Self::Tls(failure) => write!(f, "tls: {failure}"),
            Self::Tunnel => f.write_str("no tunnel"),
        }
    }
}
