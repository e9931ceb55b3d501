//! Through a proxy: whoever wins the race to it goes on alone, has a tunnel made, and then secures what lies behind.
//!
//! A proxy that was reached has spoken for all of its addresses: what it says ends the dial, good or bad.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Phase, Timer, TriedOutcome};
use crate::event::Emitter;
use crate::flow::action::{Action, Moved};
use crate::flow::dial::candidates::Candidates;
use crate::flow::dial::contestants::{Gravest, Stage};
use crate::flow::dial::ending::End;
use crate::flow::dial::legs::Come;
use crate::flow::dial::{Dial, State, Step};
use crate::flow::timers::Timers;
use crate::flow::tunnel::{Progress, Tunnel, spoke_early};
use crate::message::answer::Family;
use crate::proto::Turn;

/// The weight of what a proxy said among failures: there is nobody else to ask.
const WEIGHT: u8 = 5;

/// A tunnel being made.
#[derive(Debug)]
pub(super) struct Tunneling {
    number: u16,
    tunnel: Tunnel,
    voice: Voice,
}

/// What is to be said to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// What stands in the outbound buffer.
    Due,
    /// Nothing, or what the driver has yet to send.
    Quiet,
}

impl Tunneling {
    /// The dial is given up for this error.
    pub(super) fn abandon(&mut self, error: &Error, now: Instant, emitter: &mut Emitter) {
        self.tunnel.abandon(error, now, emitter);
    }
}

impl Dial {
    /// What is to be done for the tunnel, if it is its turn.
    pub(super) fn tunnel(&mut self, turn: &mut Turn<'_>, timers: &mut Timers) -> Option<Step> {
        if let State::Tunneling(tunneling) = &mut self.state {
            return match std::mem::replace(&mut tunneling.voice, Voice::Quiet) {
                Voice::Due => Some(Step::Do(Action::Speak {
                    contestant: tunneling.number,
                })),
                Voice::Quiet => None,
            };
        }
        let legs = &self.facts.legs;
        let is_next = |one: &_| legs.come(one) == Come::BeforeTunnel;
        let number = self.contestants.first(|one| is_next(&one.stage))?;
        Some(self.enter(number, turn, timers))
    }

    /// The others end, one by one, and then the proxy is asked.
    fn enter(&mut self, number: u16, turn: &mut Turn<'_>, timers: &mut Timers) -> Step {
        if let Some(other) = self.contestants.first(|one| one.number != number) {
            self.end_one(other, End::Lost, turn.now, turn.emitter);
            return Step::Do(Action::AbortConnect { contestant: other });
        }
        // It may still be that of a handshake that was lost.
        timers.disarm(Timer::Tls);
        self.end_lookup(None, turn.now, turn.emitter);
        self.candidates = Candidates::new(Family::V6);
        let Some(through) = self.facts.legs.tunnel().cloned() else {
            return Step::Wait(None);
        };
        if let Some(one) = self.contestants.get_mut(number) {
            if let Some(reached) = one.reached() {
                one.stage = Stage::Tunneling(reached);
            }
        }
        match Tunnel::begin(&through.proxy, &through.goal, number, turn) {
            Ok(tunnel) => {
                let voice = Voice::Quiet;
                self.state = State::Tunneling(Box::new(Tunneling {
                    number,
                    tunnel,
                    voice,
                }));
                Step::Do(Action::Speak { contestant: number })
            }
            Err(error) => {
                self.no_tunnel(number, error, turn);
                Step::Failed(self.fail(turn.now, turn.emitter))
            }
        }
    }

    /// Takes what happened between a contestant and its proxy.
    pub(crate) fn tunneled(&mut self, number: u16, moved: Moved, turn: &mut Turn<'_>) {
        let State::Tunneling(tunneling) = &mut self.state else {
            return self.spoke_behind(number, &moved, turn);
        };
        if tunneling.number != number {
            return;
        }
        let progress = match moved {
            Moved::Sent(count) => {
                turn.buffers.outbound.consume(count);
                self.carried.0 = self.carried.0.saturating_add(count as u64);
                Progress::GoesOn
            }
            Moved::Received(count) => {
                self.carried.1 = self.carried.1.saturating_add(count as u64);
                tunneling.tunnel.received(turn)
            }
            Moved::Ended => tunneling.tunnel.ended(turn),
            Moved::Failed(error) => {
                let broken = Error::new(ErrorKind::io(&error), Phase::Tunnel);
                (tunneling.tunnel).broke(broken.with_source(Box::new(error)), turn)
            }
            Moved::TlsBroke(fault) => {
                let kind = ErrorKind::Tls(fault.failure);
                let broken = Error::new(kind, Phase::Tunnel).with_source(fault.source);
                tunneling.tunnel.broke(broken, turn)
            }
        };
        match progress {
            Progress::GoesOn if turn.buffers.outbound.is_empty() => {}
            Progress::GoesOn => tunneling.voice = Voice::Due,
            Progress::Open => {
                if let Some(one) = self.contestants.get_mut(number) {
                    if let Some(reached) = one.reached() {
                        one.stage = Stage::Tunneled(reached);
                    }
                }
                self.state = State::Racing;
            }
            Progress::Failed(error) => self.no_tunnel(number, error, turn),
        }
    }

    /// Says whether it matters what the proxy of a contestant says.
    pub(crate) fn hears_proxy(&self, number: u16) -> bool {
        let one = self.contestants.get(number);
        one.is_some_and(|one| matches!(one.stage, Stage::Tunneling(_) | Stage::Tunneled(_)))
    }

    /// Bytes that came with the answer, in a TLS record behind that of the answer: they are as much nobody's as those in
    /// the same one. Taken for bytes of the tunnel they would stand before all that the origin says.
    fn spoke_behind(&mut self, number: u16, moved: &Moved, turn: &mut Turn<'_>) {
        let one = self.contestants.get(number);
        let is_open = one.is_some_and(|one| matches!(one.stage, Stage::Tunneled(_)));
        if let (true, Moved::Received(_), Some(proxy)) = (is_open, moved, self.facts.legs.via()) {
            let error = spoke_early(proxy);
            self.no_tunnel(number, error, turn);
        }
    }

    /// There is no more time. What the proxy said by then may tell more than the deadline does.
    pub(crate) fn timed_out(&mut self, now: Instant, emitter: &mut Emitter) -> Option<Error> {
        match &mut self.state {
            State::Tunneling(tunneling) => tunneling.tunnel.timed_out(now, emitter),
            State::Asking
            | State::Resolving
            | State::Nameless(_)
            | State::Racing
            | State::Securing(_) => None,
        }
    }

    /// There is no tunnel: nobody is left to be tried.
    fn no_tunnel(&mut self, number: u16, error: Error, turn: &mut Turn<'_>) {
        turn.buffers.reset();
        self.contestants.end(number, TriedOutcome::Tunnel, turn.now);
        self.contestants.blame(Gravest {
            weight: WEIGHT,
            number,
            error,
        });
        self.state = State::Racing;
    }
}
