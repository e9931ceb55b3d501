//! Where the addresses of a dial come from, and when the first of them may be tried.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, LookedUp, LookupFailure, Phase, Timer};
use crate::event::{
    DnsDone, DnsSkipReason, DnsSkipped, DnsSource, Emitter, ErrorFacts, EventKind, Payload,
};
use crate::flow::dial::profile::{AaaaWait, START_UP};
use crate::flow::dial::target::Names;
use crate::flow::dial::tell::{tell_dns_done, tell_family};
use crate::flow::dial::{Dial, State};
use crate::flow::lookup::{Merged, merge};
use crate::flow::timers::Timers;
use crate::message::answer::{
    Address, Answer, AnswerSource, Failure, Family, LookupError, Outcome,
};

/// Where the addresses come from.
#[derive(Debug)]
pub(super) enum Lookup {
    /// They are all known, and the events of the lookup are told.
    Told,
    /// The resolver was asked.
    Asked(Asked),
}

/// A lookup under way.
#[derive(Debug)]
pub(super) struct Asked {
    since: Instant,
    /// When the question for IPv6 addresses was really asked, if that is known.
    aaaa_asked: Option<Instant>,
    /// When the first address came.
    usable_since: Option<Instant>,
    v4: Option<Outcome>,
    v6: Option<Outcome>,
    coalesced: bool,
}

impl Asked {
    fn outcome(&self, family: Family) -> Option<&Outcome> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }
}

impl Dial {
    pub(super) fn name(
        &mut self,
        names: Names,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) {
        let skipped = |reason| move |_: &_| Payload::DnsSkipped(DnsSkipped { reason });
        match names {
            Names::Literal(address) => {
                emitter.emit(EventKind::DnsSkipped, now, skipped(DnsSkipReason::Literal));
                self.given(&[address]);
            }
            Names::Localhost(addresses) => {
                let reason = skipped(DnsSkipReason::Localhost);
                emitter.emit(EventKind::DnsSkipped, now, reason);
                self.given(&addresses);
            }
            Names::Unix(addr) => {
                emitter.emit(EventKind::DnsSkipped, now, skipped(DnsSkipReason::Unix));
                self.candidates.put_socket(addr);
                self.state = State::Racing;
            }
            Names::Override(addresses) => {
                self.tell_dns_start(DnsSource::Override, now, emitter);
                let (kept, surplus) = self.bounded(addresses);
                let done = DnsDone {
                    addrs: kept.clone(),
                    error: None,
                    coalesced: false,
                    complete: true,
                    source: AnswerSource::Override,
                    elapsed: Duration::ZERO,
                };
                tell_dns_done(done, surplus, now, emitter);
                self.given(&kept);
            }
            Names::Ask { custom } => {
                let source = if custom {
                    DnsSource::Custom
                } else {
                    DnsSource::System
                };
                self.tell_dns_start(source, now, emitter);
                timers.arm(Timer::Lookup, now, self.facts.lookup_limit);
                self.lookup = Lookup::Asked(Asked {
                    since: now,
                    aaaa_asked: custom.then_some(now),
                    usable_since: None,
                    v4: None,
                    v6: None,
                    coalesced: false,
                });
                self.state = State::Asking;
            }
        }
    }

    /// Takes addresses that need no lookup.
    fn given(&mut self, addresses: &[Address]) {
        let wanted: Vec<_> = addresses
            .iter()
            .filter(|address| self.wants(address.family()))
            .copied()
            .collect();
        self.state = if wanted.is_empty() {
            nameless(LookupFailure::OtherFamily)
        } else if self.admit(&wanted) {
            State::Racing
        } else {
            nameless(LookupFailure::NotAllowed)
        };
    }

    /// The addresses that are used of a list of the caller's, and how many are not.
    fn bounded(&self, addresses: Vec<Address>) -> (Vec<Address>, usize) {
        let all = Answer::new(addresses);
        let of = |family| all.clone().tidy(family, self.facts.addresses_max);
        let (v6, v4) = (of(Family::V6), of(Family::V4));
        let is_kept =
            |address: &&Address| v6.addrs().contains(address) || v4.addrs().contains(address);
        let kept = all.addrs().iter().filter(is_kept).copied().collect();
        (kept, v6.surplus().saturating_add(v4.surplus()))
    }

    fn wants(&self, family: Family) -> bool {
        self.facts.family.is_none_or(|only| only == family)
    }

    /// Takes that the lookup began, or was under way already.
    pub(crate) fn asked(&mut self, shared: bool, now: Instant) {
        if let (Lookup::Asked(asked), true) = (&mut self.lookup, shared) {
            asked.coalesced = true;
            asked.aaaa_asked = Some(now);
        }
    }

    /// Takes that a question was really asked.
    pub(crate) fn query_began(&mut self, family: Family, at: Instant) {
        if let (Lookup::Asked(asked), Family::V6) = (&mut self.lookup, family) {
            asked.aaaa_asked.get_or_insert(at);
        }
    }

    /// Takes one family of the lookup.
    pub(crate) fn resolved(
        &mut self,
        family: Family,
        outcome: Outcome,
        coalesced: bool,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) {
        if !self.wants(family) {
            return;
        }
        let Lookup::Asked(asked) = &mut self.lookup else {
            return;
        };
        if asked.outcome(family).is_some() {
            return;
        }
        asked.coalesced = asked.coalesced || coalesced;
        let elapsed = now.saturating_duration_since(asked.since);
        tell_family(family, &outcome, elapsed, now, emitter);
        self.names.push(LookedUp {
            family,
            result: match &outcome {
                Ok(answer) => Ok(answer.addrs().len()),
                Err(failure) => Err(failure.error()),
            },
            elapsed,
        });
        let addresses = outcome.as_ref().map_or(&[][..], Answer::addrs);
        let is_usable = self.admit(addresses);
        if let Lookup::Asked(asked) = &mut self.lookup {
            if is_usable {
                asked.usable_since.get_or_insert(now);
                self.pace.came(family, self.contestants.begun());
            }
            match family {
                Family::V4 => asked.v4 = Some(outcome),
                Family::V6 => asked.v6 = Some(outcome),
            }
        }
        self.lookup_moved(now, emitter, timers);
    }

    /// Ends the lookup if all that was asked for is in.
    fn lookup_moved(&mut self, now: Instant, emitter: &mut Emitter, timers: &mut Timers) {
        let Lookup::Asked(asked) = &self.lookup else {
            return;
        };
        let is_wanted = |family: &Family| self.wants(*family);
        if (Family::BOTH.iter().filter(|family| is_wanted(family)))
            .any(|family| asked.outcome(*family).is_none())
        {
            return;
        }
        let merged = self.merged(asked);
        timers.disarm(Timer::Lookup);
        self.end_lookup(None, now, emitter);
        if matches!(self.state, State::Asking | State::Resolving) {
            match merged {
                Merged::Failed(failure) => self.state = State::Nameless(failure),
                Merged::Found if self.candidates.is_empty() => {
                    self.state = nameless(LookupFailure::NotAllowed);
                }
                Merged::Found | Merged::Waiting => {}
            }
        }
    }

    /// What the answers mean together; a family that was not asked for says nothing of its own.
    fn merged(&self, asked: &Asked) -> Merged {
        match self.facts.family {
            None => merge(asked.v4.as_ref(), asked.v6.as_ref()),
            Some(only) => merge(asked.outcome(only), asked.outcome(only)),
        }
    }

    /// An IPv6 address may be tried at once; an IPv4 address waits a moment for the other family.
    pub(super) fn may_race(&self, now: Instant) -> bool {
        !self.candidates.is_empty()
            && (self.candidates.has(Family::V6)
                || !self.awaits_names()
                || self.asked_v6_until().is_some_and(|until| until <= now))
    }

    /// Until when an IPv4 address waits for the other family.
    pub(super) fn asked_v6_until(&self) -> Option<Instant> {
        let Lookup::Asked(asked) = &self.lookup else {
            return None;
        };
        let usable = asked.usable_since?;
        if !self.wants(Family::V6) || asked.v6.is_some() {
            return Some(usable);
        }
        match self.profile.aaaa_wait {
            AaaaWait::FromA(wait) => usable.checked_add(wait),
            AaaaWait::FromQuery(wait) => {
                let latest = asked.since.checked_add(START_UP)?;
                let began = asked.aaaa_asked.map_or(latest, |at| at.min(latest));
                began.checked_add(wait)
            }
        }
    }

    /// Says whether addresses may still come.
    pub(crate) fn awaits_names(&self) -> bool {
        matches!(self.lookup, Lookup::Asked(_))
    }

    /// Bounds the lookup again, now that nothing else is waited for.
    pub(super) fn limit_lookup(&self, timers: &mut Timers) {
        if let Lookup::Asked(asked) = &self.lookup {
            timers.arm(Timer::Lookup, asked.since, self.facts.lookup_limit);
        }
    }

    /// Ends the lookup in events, if it has not ended: all families are in, or the dial is over.
    pub(super) fn end_lookup(&mut self, cut: Option<&Error>, now: Instant, emitter: &mut Emitter) {
        let asked = match std::mem::replace(&mut self.lookup, Lookup::Told) {
            Lookup::Told => return,
            Lookup::Asked(asked) => asked,
        };
        let complete = Family::BOTH
            .into_iter()
            .filter(|family| self.wants(*family))
            .all(|family| asked.outcome(family).is_some());
        let answers = Family::BOTH
            .into_iter()
            .filter_map(|family| asked.outcome(family)?.as_ref().ok());
        let addrs: Vec<Address> = answers
            .clone()
            .flat_map(|answer| answer.addrs().iter().copied())
            .collect();
        let surplus: usize = answers.clone().map(Answer::surplus).sum();
        let mut sources = answers.map(Answer::source);
        let error = match self.merged(&asked) {
            Merged::Failed(failure) => Some(ErrorFacts::of(&lookup_error(failure))),
            Merged::Waiting | Merged::Found => cut.filter(|_| addrs.is_empty()).map(ErrorFacts::of),
        };
        let done = DnsDone {
            error,
            coalesced: asked.coalesced,
            complete,
            source: sources.next().unwrap_or(AnswerSource::Query),
            elapsed: now.saturating_duration_since(asked.since),
            addrs,
        };
        tell_dns_done(done, surplus, now, emitter);
    }
}

fn nameless(failure: LookupFailure) -> State {
    State::Nameless(LookupError::new(failure).into())
}

/// The error of a dial that found no address.
pub(super) fn lookup_error(failure: Failure) -> Error {
    Error::new(ErrorKind::Lookup(failure.rule()), Phase::Lookup).with_source(Box::new(failure))
}
