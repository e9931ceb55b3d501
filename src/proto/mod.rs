//! The wire, pure: bytes in, messages out, and back. No socket, no clock, no thread, no randomness.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm
    )
)]

use std::time::{Duration, Instant};

use crate::config::{EarlyResponse, Limits, Strictness};
use crate::error::{ErrorKind, Phase};
use crate::event::Emitter;
use crate::proto::buffers::Buffers;

pub(crate) mod buffers;
pub(crate) mod chunked;
pub(crate) mod connect;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod exchange;
pub(crate) mod framing;
#[cfg(any(test, feature = "testkit"))]
pub(crate) mod oracle;
pub(crate) mod plan;
pub(crate) mod receiving;
pub(crate) mod section;
pub(crate) mod sending;
pub(crate) mod socks;

/// What a transition is given: the buffers lent with the input, the moment, and where to say what happened.
pub(crate) struct Turn<'a> {
    pub(crate) buffers: &'a mut Buffers,
    pub(crate) now: Instant,
    pub(crate) emitter: &'a mut Emitter,
    pub(crate) rules: &'a Rules,
}

/// The settings that the wire obeys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    pub(crate) strictness: Strictness,
    pub(crate) early_response: EarlyResponse,
    pub(crate) expect_limit: Duration,
}

/// Why an exchange cannot go on, and where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) phase: Phase,
}

impl Fault {
    pub(crate) fn new(kind: impl Into<ErrorKind>, phase: Phase) -> Self {
        Self {
            kind: kind.into(),
            phase,
        }
    }
}
