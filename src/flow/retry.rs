//! Whether a broken attempt is made again without asking anybody.
//!
//! The rule guarded here: nothing that a peer may have acted on is sent twice. A repeat needs a connection that had
//! served before (so that its end may have been under way all the time), not one byte of a response, a body that can
//! be given again, and either a request that may be repeated (RFC 9110 §9.2.2) or one of which no byte left.

use crate::event::RetryRule;

/// What is known of an attempt that broke because its connection was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broken {
    /// The connection had served an earlier request.
    pub(crate) is_reused: bool,
    /// A byte of a response came.
    pub(crate) has_response_byte: bool,
    /// The body can be given a second time.
    pub(crate) is_replayable: bool,
    /// The method is idempotent, or the request has an `Idempotency-Key`.
    pub(crate) is_repeatable: bool,
    /// Not one byte of the request can have reached the peer.
    pub(crate) is_unsent: bool,
    /// Repeats that were made before.
    pub(crate) repeats: u16,
    /// Repeats that are allowed.
    pub(crate) repeats_max: u16,
}

/// Gives the rule by which the attempt is made again, if it is.
pub(crate) fn verdict(broken: Broken) -> Option<RetryRule> {
    let is_possible = broken.is_reused
        && !broken.has_response_byte
        && broken.is_replayable
        && broken.repeats < broken.repeats_max;
    match (is_possible, broken.is_unsent) {
        (false, _) => None,
        (true, true) => Some(RetryRule::NothingWritten),
        (true, false) => broken
            .is_repeatable
            .then_some(RetryRule::IdleConnectionDied),
    }
}

/// What is known of a final response that may ask for its request again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    pub(crate) status: u16,
    /// The connection had served an earlier request.
    pub(crate) is_reused: bool,
    /// The body can be given a second time.
    pub(crate) is_replayable: bool,
    /// The response came instead of a 100 (Continue), and nothing of the body was asked for.
    pub(crate) is_body_skipped: bool,
    /// Repeats that were made before.
    pub(crate) repeats: u16,
    /// Repeats that are allowed.
    pub(crate) repeats_max: u16,
}

/// Gives the rule by which a response asks for its request again: a 417 to our `Expect`, a 408 on a connection that
/// had been idle, a 421. None of them was processed, so the method does not matter.
pub(crate) fn of_status(asking: Asking) -> Option<RetryRule> {
    if asking.repeats >= asking.repeats_max {
        return None;
    }
    match asking.status {
        417 if asking.is_body_skipped => Some(RetryRule::ExpectationFailed),
        408 if asking.is_reused && asking.is_replayable => Some(RetryRule::RequestTimeout),
        421 if asking.is_replayable => Some(RetryRule::MisdirectedRequest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_e9_rfc_e10_rfc_e11_only_what_cannot_have_been_acted_on_is_repeated() {
        let safe = Broken {
            is_reused: true,
            has_response_byte: false,
            is_replayable: true,
            is_repeatable: true,
            is_unsent: false,
            repeats: 0,
            repeats_max: 1,
        };
        let check = |broken: Broken, expected: Option<RetryRule>| {
            assert_eq!(verdict(broken), expected, "{broken:?}")
        };
        check(safe, Some(RetryRule::IdleConnectionDied));
        check(
            Broken {
                is_unsent: true,
                is_repeatable: false,
                ..safe
            },
            Some(RetryRule::NothingWritten),
        );
        check(
            Broken {
                is_repeatable: false,
                ..safe
            },
            None,
        );
        check(
            Broken {
                is_reused: false,
                ..safe
            },
            None,
        );
        check(
            Broken {
                has_response_byte: true,
                ..safe
            },
            None,
        );
        check(
            Broken {
                is_replayable: false,
                is_unsent: true,
                ..safe
            },
            None,
        );
        check(Broken { repeats: 1, ..safe }, None);
        check(
            Broken {
                repeats_max: 0,
                ..safe
            },
            None,
        );
    }
}
