//! Where the addresses of a dial come from, and when the first of them may be tried.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Phase, Timer};
use crate::event::{
    DnsSkipReason, DnsSkipped, DnsSource, DnsStart, Emitter, ErrorFacts, EventKind, Payload,
};
use crate::flow::action::Names;
use crate::flow::dial::tell::{tell_dns_done, tell_family};
use crate::flow::dial::{Dial, Lookup, Outcomes, SECOND_FAMILY_WAIT, State};
use crate::flow::lookup::{Merged, merge};
use crate::flow::timers::Timers;
use crate::message::answer::{Address, AnswerSource, Family, Outcome};

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
                self.add(&[address], now, emitter);
            }
            Names::Localhost(addresses) => {
                emitter.emit(
                    EventKind::DnsSkipped,
                    now,
                    skipped(DnsSkipReason::Localhost),
                );
                self.add(&addresses, now, emitter);
            }
            Names::Override(addresses) => {
                self.tell_dns_start(DnsSource::Override, now, emitter);
                tell_dns_done(
                    addresses.clone(),
                    None,
                    false,
                    true,
                    AnswerSource::Override,
                    Duration::ZERO,
                    now,
                    emitter,
                );
                self.add(&addresses, now, emitter);
            }
            Names::Ask { custom } => {
                let source = if custom {
                    DnsSource::Custom
                } else {
                    DnsSource::System
                };
                self.tell_dns_start(source, now, emitter);
                timers.arm(Timer::Lookup, now, self.facts.lookup_limit);
                self.lookup = Lookup::Asked {
                    since: now,
                    v4: None,
                    v6: None,
                    shared: false,
                    usable_since: None,
                };
                self.state = State::Asking;
            }
        }
    }

    pub(crate) fn asked(&mut self, was_shared: bool) {
        if let Lookup::Asked { shared, .. } = &mut self.lookup {
            *shared = was_shared;
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
    ) -> Outcomes {
        let Lookup::Asked {
            since,
            v4,
            v6,
            shared,
            ..
        } = &mut self.lookup
        else {
            return Outcomes::Going;
        };
        let place = if family == Family::V4 { v4 } else { v6 };
        if place.is_some() {
            return Outcomes::Going;
        }
        *shared = *shared || coalesced;
        tell_family(
            family,
            &outcome,
            now.saturating_duration_since(*since),
            now,
            emitter,
        );
        let addresses: Vec<Address> = outcome
            .as_ref()
            .map(|answer| answer.addrs().to_vec())
            .unwrap_or_default();
        *place = Some(outcome);
        self.add(&addresses, now, emitter);
        self.lookup_moved(now, emitter, timers)
    }

    /// Looks whether the lookup is over, and whether a contestant may start.
    pub(super) fn lookup_moved(
        &mut self,
        now: Instant,
        emitter: &mut Emitter,
        timers: &mut Timers,
    ) -> Outcomes {
        let Lookup::Asked { v4, v6, .. } = &self.lookup else {
            return Outcomes::Going;
        };
        let merged = merge(v4.as_ref(), v6.as_ref());
        let is_complete = v4.is_some() && v6.is_some();
        if is_complete {
            timers.disarm(Timer::Lookup);
            self.end_lookup(None, now, emitter);
        }
        match merged {
            Merged::Failed(failure) if is_complete => {
                let kind = ErrorKind::Lookup(failure.rule());
                let error = Error::new(kind, Phase::Lookup).with_source(Box::new(failure));
                self.fail(error, now, emitter)
            }
            _ if is_complete
                && matches!(self.state, State::Naming)
                && self.candidates.is_empty() =>
            {
                self.fail(Error::new(ErrorKind::Connect, Phase::Connect), now, emitter)
            }
            _ if matches!(self.state, State::Naming) && self.may_start(now) => {
                timers.disarm(Timer::Lookup);
                self.state = State::Starting;
                Outcomes::Going
            }
            Merged::Waiting | Merged::Found | Merged::Failed(_) => Outcomes::Going,
        }
    }

    /// An IPv6 address may be tried at once; an IPv4 address waits a moment for the other family.
    pub(super) fn may_start(&mut self, now: Instant) -> bool {
        let Lookup::Asked {
            v6,
            v4,
            usable_since,
            ..
        } = &mut self.lookup
        else {
            return !self.candidates.is_empty();
        };
        if self.candidates.is_empty() {
            return false;
        }
        let since = *usable_since.get_or_insert(now);
        self.candidates.has_v6()
            || (v4.is_some() && v6.is_some())
            || now.saturating_duration_since(since) >= SECOND_FAMILY_WAIT
    }

    pub(super) fn awaits_lookup(&self) -> bool {
        matches!(self.lookup, Lookup::Asked { .. })
    }

    pub(super) fn tell_dns_start(&self, source: DnsSource, now: Instant, emitter: &mut Emitter) {
        let (host, port) = (self.facts.host.clone(), self.facts.port);
        emitter.emit(EventKind::DnsStart, now, |_| {
            Payload::DnsStart(Arc::new(DnsStart { host, port, source }))
        });
    }

    /// Ends the lookup in events, if it has not ended: both families are in, or the dial is over.
    pub(super) fn end_lookup(&mut self, cut: Option<&Error>, now: Instant, emitter: &mut Emitter) {
        let Lookup::Asked {
            since,
            v4,
            v6,
            shared,
            ..
        } = std::mem::replace(&mut self.lookup, Lookup::Told)
        else {
            return;
        };
        let complete = v4.is_some() && v6.is_some();
        let answers = [&v6, &v4]
            .into_iter()
            .flatten()
            .filter_map(|outcome| outcome.as_ref().ok());
        let source = answers
            .clone()
            .map(|answer| answer.source())
            .next()
            .unwrap_or(AnswerSource::Query);
        let addrs: Vec<Address> = answers
            .flat_map(|answer| answer.addrs().iter().copied())
            .collect();
        let error = match merge(v4.as_ref(), v6.as_ref()) {
            Merged::Failed(failure) => Some(ErrorFacts::of(&Error::new(
                ErrorKind::Lookup(failure.rule()),
                Phase::Lookup,
            ))),
            Merged::Waiting | Merged::Found => cut.filter(|_| addrs.is_empty()).map(ErrorFacts::of),
        };
        let elapsed = now.saturating_duration_since(since);
        tell_dns_done(
            addrs, error, shared, complete, source, elapsed, now, emitter,
        );
    }
}
