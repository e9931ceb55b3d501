//! TLS in a race: one handshake at a time has the field to itself, until its peer turns out to be silent.
//!
//! A peer that took the connection and says no byte in its time of grace is marked and kept: it may still win,
//! but others start again. A handshake that fails ends its contestant, not the dial.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Phase, Timer, TriedOutcome};
use crate::event::{Emitter, ErrorFacts, TlsRole};
use crate::flow::action::{Action, TlsFault};
use crate::flow::dial::contestants::{Gravest, Handshake, Peer, Stage};
use crate::flow::dial::ending::End;
use crate::flow::dial::tell::tell_tls_done;
use crate::flow::dial::{Dial, State, Step};
use crate::flow::timers::Timers;
use crate::message::tls::TlsFacts;

/// The weight of a failure of TLS among failures: it tells most.
const WEIGHT: u8 = 4;

impl Dial {
    /// Begins TLS on a contestant that is connected.
    pub(super) fn begin_tls(
        &mut self,
        number: u16,
        to: TlsRole,
        now: Instant,
        timers: &mut Timers,
    ) -> Step {
        if let Some(one) = self.contestants.get_mut(number) {
            if let Some(reached) = one.reached() {
                let peer = Peer::Unasked;
                one.stage = Stage::Securing(reached, to, Handshake { since: now, peer });
            }
        }
        // The newest handshake has its own limit; those before end with it, or lose.
        timers.disarm(Timer::Tls);
        timers.arm(Timer::Tls, now, self.facts.tls_limit);
        self.state = State::Securing(number);
        Step::Do(Action::StartTls {
            contestant: number,
            to,
        })
    }

    /// One contestant has the field to itself.
    pub(super) fn secure(
        &mut self,
        number: u16,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Step {
        let Some(grace) = self.profile.tls_grace else {
            return self.secure_alone(number, now, emitter);
        };
        let until = self
            .contestants
            .get(number)
            .and_then(|one| one.grace_ends(grace));
        match until {
            // Looked at again when there is one.
            Some(_) if !self.has_alternative(number) => Step::Wait(None),
            Some(until) if until <= now => {
                self.stall(number);
                self.race(now, emitter, timers)
            }
            other => Step::Wait(other),
        }
    }

    /// Without a time of grace the others are closed before TLS is begun.
    fn secure_alone(&mut self, number: u16, now: Instant, emitter: &mut Emitter) -> Step {
        match self.contestants.first(|one| one.number != number) {
            Some(other) => {
                self.end_one(other, End::Lost, now, emitter);
                Step::Do(Action::AbortConnect { contestant: other })
            }
            None => Step::Wait(None),
        }
    }

    fn stall(&mut self, number: u16) {
        if let Some(one) = self.contestants.get_mut(number) {
            if let Stage::Securing(_, _, handshake) = &mut one.stage {
                handshake.peer = Peer::Stalled;
            }
        }
        self.pace.stalled();
        self.state = State::Racing;
    }

    /// Says whether somebody else could do better.
    fn has_alternative(&self, number: u16) -> bool {
        !self.candidates.is_empty()
            || self
                .contestants
                .iter()
                .any(|one| one.number != number && one.is_waiting())
    }

    /// Says whether the handshake that has the field to itself is with a proxy.
    pub(super) fn is_securing_proxy(&self) -> bool {
        let State::Securing(number) = self.state else {
            return false;
        };
        let one = self.contestants.get(number);
        one.is_some_and(|one| matches!(one.stage, Stage::Securing(_, TlsRole::Proxy, _)))
    }

    /// Takes that a handshake has begun; `resumption`: with the offer to resume a session.
    pub(crate) fn tls_started(
        &mut self,
        number: u16,
        resumption: bool,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        if let Some(one) = self.contestants.get_mut(number) {
            if let Stage::Securing(_, role, handshake) = &mut one.stage {
                handshake.peer = Peer::Silent;
                let to = *role;
                self.tell_tls_start(number, to, resumption, now, emitter);
            }
        }
    }

    /// Takes that the peer of a handshake said something.
    pub(crate) fn tls_progress(&mut self, number: u16) {
        if let Some(one) = self.contestants.get_mut(number) {
            if let Stage::Securing(_, _, handshake) = &mut one.stage {
                handshake.peer = Peer::Speaking;
            }
        }
    }

    /// Takes what became of a TLS handshake.
    pub(crate) fn secured(
        &mut self,
        number: u16,
        result: Result<Arc<TlsFacts>, TlsFault>,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) {
        let Some(one) = self.contestants.get_mut(number) else {
            return;
        };
        let Stage::Securing(reached, to, handshake) = one.stage else {
            return;
        };
        let handshake = (to, handshake.since);
        match result {
            Ok(facts) => {
                one.stage = Stage::Secured(reached, to, facts.clone());
                tell_tls_done(number, Ok(facts), None, handshake, now, emitter);
            }
            Err(fault) => self.broke(number, fault, handshake, now, emitter),
        }
        if self.contestants.first(|one| one.is_securing()).is_none() {
            timers.disarm(Timer::Tls);
        }
    }

    fn broke(
        &mut self,
        number: u16,
        fault: TlsFault,
        handshake: (TlsRole, Instant),
        now: Instant,
        emitter: &mut Emitter,
    ) {
        let error = Error::new(ErrorKind::Tls(fault.failure), Phase::Tls);
        let error = match (handshake.0, self.facts.legs.via()) {
            (TlsRole::Proxy, Some(proxy)) => error.with_proxy(proxy),
            (TlsRole::Proxy, None) | (TlsRole::Origin, _) => error,
        };
        let facts = ErrorFacts::of(&error);
        tell_tls_done(number, Err(facts), fault.alert, handshake, now, emitter);
        let outcome = TriedOutcome::Tls(fault.failure);
        if let Some(one) = self.contestants.end(number, outcome, now) {
            self.pace.failed(one.reason, self.profile);
        }
        self.contestants.blame(Gravest {
            weight: WEIGHT,
            number,
            error: error.with_source(fault.source),
        });
        if matches!(self.state, State::Securing(current) if current == number) {
            self.state = State::Racing;
        }
    }
}
