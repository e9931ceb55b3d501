//! One call with its attempts.

use crate::error::{ErrorKind, Timer};
use crate::event::grammar::exchange::{Exchange, may_follow_cause};
use crate::event::grammar::group::Group;
use crate::event::grammar::rule::{Fault, Rule, ensure};
use crate::event::grammar::table::{ATTEMPT, CALL, GETTING, MOVED, Machine, QUEUEING, USING};
use crate::event::{
    AttemptDone, CallDone, ConnectOutcome, ErrorFacts, Event, EventData, EventKind, PutIdleConn,
    QueueOutcome,
};
use crate::ids::ConnId;
use crate::message::close::CloseReason;

/// Events of one attempt beside field lines, interim responses and pieces of bodies.
const EXCHANGE_MAX: u32 = 64;

/// A call, as far as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Call {
    machine: Machine,
    expects: bool,
    attempt: Option<Attempt>,
    attempts: u16,
    /// Hops that were begun, and the one that the next attempt belongs to.
    hops: u16,
    hop: u16,
    causes: Causes,
    outcome: Option<Outcome>,
    /// The connection that was not put back and has to be closed next.
    owed: Option<ConnId>,
}

/// How an attempt or a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    status: Option<u16>,
    error: Option<ErrorKind>,
}

impl Outcome {
    fn new(status: Option<u16>, error: Option<&ErrorFacts>) -> Self {
        Self {
            status,
            error: error.map(ErrorFacts::kind),
        }
    }
}

/// What can break a call.
#[derive(Debug, Clone, Default)]
pub(super) struct Causes {
    canceled: bool,
    fired: Vec<Timer>,
}

impl Causes {
    pub(super) fn is_canceled(&self) -> bool {
        self.canceled
    }

    /// Says whether the wait for a 100 (Continue) timed out.
    pub(super) fn has_expect(&self) -> bool {
        self.fired.contains(&Timer::Expect)
    }

    /// Says whether a deadline passed that ends the attempt.
    pub(super) fn has_deadline(&self) -> bool {
        self.fired
            .iter()
            .any(|timer| !matches!(timer, Timer::Expect | Timer::Drain))
    }

    /// Says whether only ends may follow. A lookup or a handshake that takes too long leaves
    /// other ways, and a response that is left does not matter any more.
    fn break_the_call(&self) -> bool {
        let is_final = |timer: &Timer| {
            !matches!(
                timer,
                Timer::Expect | Timer::Lookup | Timer::Tls | Timer::Drain
            )
        };
        self.canceled || self.fired.iter().any(is_final)
    }

    /// Says whether the cause of such an error has come.
    fn explain(&self, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::Timeout(timer) => self.fired.contains(&timer),
            ErrorKind::Canceled | ErrorKind::Aborted => self.canceled,
            _ => true,
        }
    }
}

/// The attempt that is under way.
#[derive(Debug, Clone)]
struct Attempt {
    number: (u16, u16),
    machine: Machine,
    exchange: Exchange,
    conn: Option<ConnId>,
    failed: bool,
    /// Its redirect is followed.
    followed: bool,
    /// Names that its dial may still begin with: a proxy may have to be given an address.
    names_left: u8,
    proxied: bool,
    count: u32,
}

impl Call {
    pub(super) fn new() -> Self {
        Self {
            machine: Machine::new(&CALL),
            expects: false,
            attempt: None,
            attempts: 0,
            hops: 0,
            hop: 0,
            causes: Causes::default(),
            outcome: None,
            owed: None,
        }
    }

    /// The connection that has to be closed next.
    pub(super) fn owed(&self) -> Option<ConnId> {
        self.owed
    }

    pub(super) fn ended(&self) -> Result<(), Fault> {
        self.machine.ended()
    }

    /// Takes an event of the call, its dial included.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Fault> {
        ensure(
            !self.machine.is_ended(),
            Rule::NothingAfterEnd,
            "the call has ended",
        )?;
        let kind = event.kind();
        ensure(
            self.machine.knows(kind) || !self.machine.is("unknown"),
            Rule::Call,
            "call_start comes first",
        )?;
        ensure(
            !self.causes.break_the_call() || may_follow_cause(kind),
            Rule::Order,
            "only ends follow the cause that breaks a call",
        )?;
        self.machine.step_if_known(kind)?;
        self.owed = None;
        self.explained(event.data())?;
        if event.attempt().is_some() {
            self.attempt_event(event)?;
        }
        self.note(event)
    }

    fn note(&mut self, event: &Event) -> Result<(), Fault> {
        match event.data() {
            EventData::CallStart(start) => {
                self.expects = start.expect();
                Ok(())
            }
            EventData::TimeoutFired(fired) => self.timeout(fired.timer()),
            EventData::CallCanceled(_) => self.canceled(),
            EventData::CallDone(done) => self.done(done),
            _ => Ok(()),
        }
    }

    fn timeout(&mut self, timer: Timer) -> Result<(), Fault> {
        let again = self.causes.fired.contains(&timer) && timer != Timer::Tls;
        self.causes.fired.push(timer);
        ensure(!again, Rule::OneEnd, "this timer has fired already")?;
        let waiting = self
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.exchange.is_waiting());
        ensure(
            waiting || timer != Timer::Expect,
            Rule::Expect,
            "nothing waits for a 100 (continue)",
        )?;
        self.comes_first()
    }

    fn canceled(&mut self) -> Result<(), Fault> {
        self.causes.canceled = true;
        self.comes_first()
    }

    /// Checks that no end has come before its cause.
    fn comes_first(&self) -> Result<(), Fault> {
        let ending = self.attempt.as_ref().is_some_and(|attempt| {
            let is_open = [GETTING, QUEUEING, USING]
                .iter()
                .any(|state| attempt.machine.is(state));
            !is_open || attempt.exchange.is_breaking()
        });
        ensure(!ending, Rule::Order, "the cause comes before the ends")
    }

    /// Checks that an end which names a deadline or a cancellation comes after it.
    fn explained(&self, data: EventData<'_>) -> Result<(), Fault> {
        let error = match data {
            EventData::DnsDone(done) => done.error(),
            EventData::ProxyConnectDone(done) => done.error(),
            EventData::TlsHandshakeDone(done) => done.error(),
            EventData::DialDone(done) => done.error(),
            EventData::GetConnFailed(failed) => Some(failed.error()),
            EventData::AttemptDone(done) => done.error(),
            EventData::CallDone(done) => done.error(),
            _ => None,
        };
        let canceled = matches!(data, EventData::ConnectDone(done) if done.outcome() == ConnectOutcome::Canceled);
        let in_queue = match data {
            EventData::QueueDone(done) => match done.outcome() {
                QueueOutcome::TimedOut => self.causes.has_deadline(),
                QueueOutcome::Canceled => self.causes.canceled,
                QueueOutcome::Handed | QueueOutcome::MayDial => true,
            },
            _ => true,
        };
        ensure(in_queue, Rule::Order, "the cause comes first")?;
        let known = error.is_none_or(|error| self.causes.explain(error.kind()))
            && (!canceled || self.causes.canceled || self.causes.has_deadline());
        ensure(known, Rule::Order, "the cause comes first")
    }

    fn done(&self, done: &CallDone) -> Result<(), Fault> {
        let outcome = Outcome::new(done.status(), done.error());
        ensure(
            outcome.status.is_some() || outcome.error.is_some(),
            Rule::OneEnd,
            "the end of a call says a status or an error",
        )?;
        ensure(
            self.outcome.is_none_or(|attempt| attempt == outcome),
            Rule::OneEnd,
            "the call ends as its last attempt did",
        )?;
        ensure(
            self.attempts == 0 || done.attempts() == self.attempts,
            Rule::OneEnd,
            "the number of attempts is another one",
        )?;
        ensure(
            self.attempts == 0 || done.hops() == self.hops,
            Rule::OneEnd,
            "the number of hops is another one",
        )
    }

    fn attempt_event(&mut self, event: &Event) -> Result<(), Fault> {
        if event.kind() == EventKind::GetConn {
            self.begin_attempt(event)?;
        }
        let Some(attempt) = &mut self.attempt else {
            return Err(Fault::new(Rule::NothingAfterEnd, "no attempt is under way"));
        };
        attempt.event(event, &self.causes)?;
        if let EventData::PutIdleConn(put) = event.data() {
            let refused = put.error().filter(|why| *why != CloseReason::Upgraded);
            self.owed = refused.and(attempt.conn);
        }
        if let EventData::AttemptDone(done) = event.data() {
            self.outcome = Some(Outcome::new(done.status(), done.error()));
            if attempt.followed && done.error().is_none() && done.retry().is_none() {
                self.machine = Machine::resumed(&CALL, MOVED);
                self.outcome = None;
                self.hop = self.hop.saturating_add(1);
            }
            self.attempt = None;
        }
        Ok(())
    }

    fn begin_attempt(&mut self, event: &Event) -> Result<(), Fault> {
        let number = (
            event.hop().unwrap_or_default(),
            event.attempt().unwrap_or_default(),
        );
        ensure(
            number.1 == self.attempts,
            Rule::Attempt,
            "attempts are numbered from 0 without a gap",
        )?;
        ensure(
            number.0 == self.hop,
            Rule::Attempt,
            "a hop follows a redirect, and only a hop does",
        )?;
        self.hops = self.hop.saturating_add(1);
        self.attempts = self.attempts.saturating_add(1);
        self.causes.fired.clear();
        self.attempt = Some(Attempt::new(number, self.expects));
        Ok(())
    }
}

impl Attempt {
    fn new(number: (u16, u16), expects: bool) -> Self {
        Self {
            number,
            machine: Machine::new(&ATTEMPT),
            exchange: Exchange::new(expects),
            conn: None,
            failed: false,
            followed: false,
            names_left: 0,
            proxied: false,
            count: 0,
        }
    }

    fn event(&mut self, event: &Event, causes: &Causes) -> Result<(), Fault> {
        let number = (
            event.hop().unwrap_or_default(),
            event.attempt().unwrap_or_default(),
        );
        ensure(
            number == self.number,
            Rule::Ids,
            "another attempt is under way",
        )?;
        self.machine.step_if_known(event.kind())?;
        match Group::of(event.kind()) {
            Group::Write | Group::Read => self.exchange_event(event, causes)?,
            Group::Dial => ensure(
                self.machine.is(GETTING),
                Rule::Attempt,
                "the attempt is not waiting for a connection",
            )?,
            _ => {}
        }
        // While a connection is wanted it is one of the dial.
        if event.kind() == EventKind::Anomaly && event.dial().is_none() {
            self.exchange_event(event, causes)?;
        }
        self.note(event)?;
        self.bounded(event.kind())
    }

    fn exchange_event(&mut self, event: &Event, causes: &Causes) -> Result<(), Fault> {
        ensure(
            self.machine.is(USING),
            Rule::Attempt,
            "the attempt has no connection",
        )?;
        ensure(
            event.connection() == self.conn,
            Rule::Ids,
            "the attempt has another connection",
        )?;
        self.exchange.event(event.data(), causes)
    }

    fn note(&mut self, event: &Event) -> Result<(), Fault> {
        match event.data() {
            EventData::GotConn(_) => {
                self.conn = event.connection();
                Ok(())
            }
            EventData::GetConnFailed(_) => {
                self.failed = true;
                Ok(())
            }
            EventData::GetConn(get) => {
                self.proxied = get.proxy().is_some();
                Ok(())
            }
            EventData::DialStart(_) => {
                self.names_left = 1 + u8::from(self.proxied);
                Ok(())
            }
            EventData::DnsStart(_) | EventData::DnsSkipped(_) => self.names_begin(),
            EventData::Redirect(redirect) => {
                self.followed = redirect.followed();
                ensure(
                    redirect.followed() != redirect.refusal().is_some(),
                    Rule::OneEnd,
                    "a redirect is followed, or refused for a reason",
                )
            }
            EventData::PutIdleConn(put) => self.put_idle(event, put),
            EventData::AttemptDone(done) => self.done(done),
            _ => Ok(()),
        }
    }

    fn names_begin(&mut self) -> Result<(), Fault> {
        let left = self.names_left.checked_sub(1);
        self.names_left = left.unwrap_or_default();
        ensure(
            left.is_some(),
            Rule::Names,
            "a second name is looked up for a proxy only",
        )
    }

    fn put_idle(&self, event: &Event, put: &PutIdleConn) -> Result<(), Fault> {
        ensure(
            event.connection() == self.conn,
            Rule::Ids,
            "the attempt has another connection",
        )?;
        self.exchange.put_idle(put.error())
    }

    fn done(&self, done: &AttemptDone) -> Result<(), Fault> {
        ensure(
            done.status() == self.exchange.status(),
            Rule::OneEnd,
            "the status is not that of the response",
        )?;
        let success = !self.failed && self.exchange.has_response();
        ensure(
            done.error().is_some() || success,
            Rule::OneEnd,
            "an attempt without a whole response ends with an error",
        )
    }

    fn bounded(&mut self, kind: EventKind) -> Result<(), Fault> {
        let coalesced = matches!(
            kind,
            EventKind::WroteHeaderField
                | EventKind::WroteTrailerField
                | EventKind::GotHeaderField
                | EventKind::GotTrailerField
                | EventKind::Got1xxResponse
                | EventKind::RequestBodyChunk
                | EventKind::ResponseBodyChunk
        );
        if !coalesced && Group::of(kind) != Group::Dial && kind != EventKind::ConnClosed {
            self.count += 1;
        }
        ensure(
            self.count <= EXCHANGE_MAX,
            Rule::Bounded,
            "too many events for one exchange",
        )
    }
}
