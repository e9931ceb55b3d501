//! The hops of a call: what a final head asks for beside its own response, and the way to the next request.
//!
//! ```text
//!   final head --redirect--> Planned --followed--> Onward (the rest is read) --over--> Ready (the next hop)
//!              --417, 408, 421--------------------> Onward                    --over--> the next attempt
//! ```
//!
//! A redirect is decided right after its head and followed when the driver says so, because middleware may look at
//! the response in between. The rest of a response that is left is read only as far as that is cheaper than a new
//! connection.

use std::sync::Arc;

use crate::error::{Phase, Repeat, Timer};
use crate::event::{
    BodyEnd, CallDone, CanceledBy, ErrorFacts, EventKind, ExpectOutcome, Payload, Redirect,
    RedirectRefusal, Retry, RetryRule, Upgraded, WriteFailure,
};
use crate::flow::action::Wish;
use crate::flow::call::ending::{Cause, repeat_of, tell_call_done, tell_canceled};
use crate::flow::call::{Arrived, Call, Ending, Judgement, Onward, State};
use crate::flow::redirect::{self, Answered, Move, Verdict};
use crate::flow::retry::{self, Asking};
use crate::ids::ConnId;
use crate::message::close::CloseReason;
use crate::message::fields::Fields;
use crate::message::framing::Version;
use crate::message::method::Method;
use crate::message::peer_addr::PeerAddr;
use crate::message::url::Url;
use crate::proto::Turn;
use crate::proto::decode::Head;
use crate::proto::plan::Plan;
use crate::proto::receiving::FinalHead;
use crate::proto::sending::BodyPlan;

/// One hop of a call that was left by following its redirect.
#[derive(Debug, Clone)]
pub struct Hop {
    method: Method,
    url: Url,
    /// Of the response, a redirect.
    head: Arc<Head>,
    reached: Option<(ConnId, PeerAddr, bool)>,
    repeat: Repeat,
}

/// The way to the next hop: its request, and the head that asked for it.
#[derive(Debug)]
pub(super) struct NextHop {
    plan: Plan,
    head: Arc<Head>,
}

/// What was before an attempt: the hops that were left, and the bytes of all attempts.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    hops: Vec<Hop>,
    bytes_out: u64,
    bytes_in: u64,
}

impl Earlier {
    /// Says whether no byte left in any of them.
    pub(super) fn is_unsent(&self) -> bool {
        self.bytes_out == 0
    }
}

impl Hop {
    /// Whether its request may be sent again.
    pub(super) fn repeat(&self) -> Repeat {
        self.repeat
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The URL that was asked for.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The status code of the response, a redirect.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The version of the response.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The reason phrase as it came. It decides nothing (RFC 9112 §4).
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.head.reason.as_bytes()
    }

    /// The field lines of the response, in wire order and case.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.head.fields
    }

    /// The connection that the response came over.
    #[must_use]
    pub fn connection(&self) -> Option<ConnId> {
        self.reached.as_ref().map(|(conn, ..)| *conn)
    }

    /// The address of the peer.
    #[must_use]
    pub fn remote_addr(&self) -> Option<&PeerAddr> {
        self.reached.as_ref().map(|(_, remote, _)| remote)
    }

    /// Whether the connection had served an earlier request.
    #[must_use]
    pub fn is_connection_reused(&self) -> bool {
        self.reached.as_ref().is_some_and(|(.., reused)| *reused)
    }
}

impl Ending {
    /// Why the connection cannot serve what comes next, if so.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        match self {
            Self::Onward(onward) => onward.close_reason(),
            Self::Open | Self::Well | Self::Failed(_) | Self::Aborted(_) | Self::Planned(_) => None,
        }
    }
}

impl Onward {
    /// Why the connection cannot serve what comes next, whatever it would carry.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        let rule = match self {
            Self::Attempt(_, rule) => *rule,
            Self::Hop(_) => return None,
        };
        matches!(
            rule,
            RetryRule::MisdirectedRequest | RetryRule::RequestTimeout
        )
        .then_some(CloseReason::RepeatElsewhere)
    }
}

impl Call {
    /// The hops before this one.
    pub(crate) fn hops(&self) -> &[Hop] {
        let earlier = self.earlier.as_ref();
        earlier.map_or(&[], |earlier| &earlier.hops)
    }

    /// Says whether the response is a redirect that will be followed.
    pub(crate) fn is_redirected(&self) -> bool {
        matches!(self.ending, Ending::Planned(_))
    }

    /// Why the redirect of the response is not followed, if it is one.
    pub(crate) fn refusal(&self) -> Option<RedirectRefusal> {
        self.refusal
    }

    /// The request of the hop that is ready, for middleware to change.
    pub(crate) fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    /// Looks at the final head, once, after observers spoke: whether it asks for something. What is decided is told,
    /// and observers speak again before anything is done about it.
    pub(super) fn judge(&mut self, turn: &mut Turn<'_>) {
        if let Some(rule) = self.asks_again() {
            return self.leave(Onward::Attempt(None, rule), turn);
        }
        let verdict = self.redirect_verdict();
        if let Arrived::Head(_, judgement) = &mut self.head {
            *judgement = Judgement::Made;
        }
        match verdict {
            Verdict::NotOne => {
                self.read_on(turn);
                self.tell_upgraded(turn);
            }
            Verdict::HandOut(refusal, to) => {
                self.tell_redirect(to.as_ref(), None, Some(refusal), turn);
                self.refusal = Some(refusal);
            }
            Verdict::Fail(refusal, to, kind) => {
                self.tell_redirect(to.as_ref(), None, Some(refusal), turn);
                self.refusal = Some(refusal);
                self.broken(kind, Phase::Head, None, Cause::Redirect, turn);
                self.head = Arrived::Nothing;
            }
            Verdict::Follow(to) => self.plan_hop(to, turn),
        }
    }

    /// The redirect of the response will be followed.
    fn plan_hop(&mut self, to: Move, turn: &mut Turn<'_>) {
        let Some(head) = self.arrived().map(|head| Arc::new(head.head.clone())) else {
            return;
        };
        let secrets = turn.emitter.redaction();
        let (plan, left) =
            self.plan
                .moved(to.url, to.method, to.keeps_body, to.is_relative, |name| {
                    secrets.is_marked(name)
                });
        self.tell_redirect(Some(&plan.url), Some((&plan.method, left)), None, turn);
        self.ending = Ending::Planned(Box::new(NextHop { plan, head }));
    }

    fn arrived(&self) -> Option<&FinalHead> {
        match &self.head {
            Arrived::Nothing => None,
            Arrived::Head(head, _) => Some(head),
        }
    }

    /// The status and fields of a response whose redirect is an error.
    pub(super) fn failed_redirect(&self) -> Option<Arc<(u16, Fields)>> {
        let head = self.arrived().filter(|_| self.refusal.is_some())?;
        Some(Arc::new((head.head.status, head.head.fields.clone())))
    }

    fn read_on(&mut self, turn: &mut Turn<'_>) {
        if let State::Exchanging(exchange, _) = &mut self.state {
            let result = exchange.resume(turn);
            self.follow(result, turn);
        }
    }

    /// Tells that another protocol follows, once observers have spoken about its head.
    fn tell_upgraded(&self, turn: &mut Turn<'_>) {
        if !self.is_switching() {
            return;
        }
        let head = self.arrived();
        turn.emitter.emit(EventKind::Upgraded, turn.now, |_| {
            let protocol = head.and_then(FinalHead::protocol);
            Payload::Upgraded(Arc::new(Upgraded { protocol }))
        });
    }

    fn redirect_verdict(&self) -> Verdict {
        let Some(head) = self.arrived() else {
            return Verdict::NotOne;
        };
        let answered = Answered {
            status: head.head.status,
            fields: &head.head.fields,
            url: &self.plan.url,
            method: &self.plan.method,
            has_body: !matches!(self.plan.body, BodyPlan::Empty),
            is_replayable: self.plan.is_replayable,
            is_chunked_to_http10: self.plan.is_chunked() && head.head.version == Version::Http10,
            followed: u16::try_from(self.hops().len()).unwrap_or(u16::MAX),
            is_https_only: self.settings.https_only,
        };
        redirect::verdict(&self.settings.redirects, answered)
    }

    /// The rule by which the response asks for the same request again, if it does and may.
    fn asks_again(&self) -> Option<RetryRule> {
        let State::Exchanging(exchange, _) = &self.state else {
            return None;
        };
        retry::of_status(Asking {
            status: self.status?,
            is_reused: self.reached.as_ref().is_some_and(|reached| reached.reused),
            is_replayable: self.plan.is_replayable,
            is_body_skipped: exchange.is_body_skipped(),
            repeats: self.repeats(),
            repeats_max: self.settings.retries,
        })
    }

    fn tell_redirect(
        &self,
        to: Option<&Url>,
        followed: Option<(&Method, Vec<Box<str>>)>,
        refusal: Option<RedirectRefusal>,
        turn: &mut Turn<'_>,
    ) {
        let (plan, status) = (&self.plan, self.status.unwrap_or_default());
        turn.emitter
            .emit(EventKind::Redirect, turn.now, |redaction| {
                let before: Arc<str> = plan.method.as_str().into();
                let (after, stripped) = followed.map_or_else(
                    || (before.clone(), Vec::new()),
                    |(method, stripped)| (method.as_str().into(), stripped),
                );
                Payload::Redirect(Arc::new(Redirect {
                    status,
                    from: redaction.url(&plan.url).into(),
                    to: to.map(|to| redaction.url(to).into()),
                    method_before: before,
                    method_after: after,
                    cross_origin: to.is_some_and(|to| !plan.url.same_origin(to)),
                    stripped,
                    followed: refusal.is_none(),
                    refusal,
                }))
            });
    }

    /// The redirect of the response is followed now.
    pub(super) fn follow_redirect(&mut self, turn: &mut Turn<'_>) {
        self.back_from_caller(turn);
        match std::mem::replace(&mut self.ending, Ending::Open) {
            Ending::Planned(next) if matches!(self.state, State::Left(_)) => {
                self.next_hop(*next, turn);
            }
            Ending::Planned(next) => self.leave(Onward::Hop(next), turn),
            other @ (Ending::Open
            | Ending::Well
            | Ending::Failed(_)
            | Ending::Aborted(_)
            | Ending::Onward(_)) => {
                self.ending = other;
            }
        }
    }

    /// The response is left for what comes next: its rest is read if that is little, else the connection closed.
    fn leave(&mut self, onward: Onward, turn: &mut Turn<'_>) {
        self.ending = Ending::Onward(onward);
        self.head = Arrived::Nothing;
        self.wanted = 0;
        self.timers
            .arm(Timer::Drain, turn.now, Some(turn.rules.limits.drain_time));
        let State::Exchanging(exchange, _) = &mut self.state else {
            return;
        };
        exchange.drain();
        if exchange.receiving().is_at_head() {
            self.read_on(turn);
        }
        self.drain_on(turn);
    }

    /// Throws away what came of a response that is left.
    pub(super) fn drain_on(&mut self, turn: &mut Turn<'_>) {
        let max = turn.rules.limits.drain_bytes as u64;
        while let (Ending::Onward(onward), State::Exchanging(exchange, _)) =
            (&self.ending, &mut self.state)
        {
            let lent = exchange.receiving().lent();
            if lent > 0 {
                let result = exchange.consume(lent, turn);
                self.follow(result, turn);
                continue;
            }
            let reason = onward.close_reason();
            if let Some(reason) = reason.or_else(|| exchange.not_worth_draining(max)) {
                self.give_up_rest(reason, turn);
            }
            return;
        }
    }

    /// The rest of a response that is left is not read.
    pub(super) fn give_up_rest(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Exchanging(mut exchange, mut connection) => {
                exchange.stop(
                    WriteFailure::ResponseEnded,
                    ExpectOutcome::FinalResponse,
                    BodyEnd::ClosedEarly,
                    turn,
                );
                connection.count(exchange.bytes_out(), exchange.receiving().bytes());
                self.close(exchange, connection, reason, turn);
            }
            other @ (State::Fresh
            | State::Ready
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Dialing(_)
            | State::Detached(_)
            | State::Returning(..)
            | State::Closing(..)
            | State::Left(_)
            | State::Over(_)) => self.state = other,
        }
    }

    /// The attempt is over; what it came to decides what is next.
    pub(super) fn attempt_over(&mut self, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.ending, Ending::Open) {
            Ending::Onward(Onward::Attempt(error, rule)) => {
                self.again(error.map(|error| *error), rule, turn);
            }
            Ending::Onward(Onward::Hop(next)) => {
                self.tell_attempt_done(None, turn);
                self.next_hop(*next, turn);
            }
            Ending::Planned(next) => {
                self.ending = Ending::Planned(next);
                self.tell_attempt_done(None, turn);
                self.state = match std::mem::replace(&mut self.state, State::Over(None)) {
                    State::Over(Some(exchange)) => State::Left(exchange),
                    other @ (State::Fresh
                    | State::Ready
                    | State::Pooling(_)
                    | State::Joining(..)
                    | State::Queued(_)
                    | State::Dialing(_)
                    | State::Detached(_)
                    | State::Exchanging(..)
                    | State::Returning(..)
                    | State::Closing(..)
                    | State::Left(_)
                    | State::Over(None)) => other,
                };
            }
            Ending::Aborted(error) => {
                self.tell_attempt_done(None, turn);
                tell_canceled(CanceledBy::Observer, Phase::Done, turn);
                self.fail_between(error, turn);
            }
            ending @ (Ending::Open | Ending::Well | Ending::Failed(_)) => {
                self.ending = ending;
                self.done(turn);
            }
        }
    }

    /// The attempt is over and made again: nothing of it is left but what its events told.
    fn again(&mut self, error: Option<ErrorFacts>, rule: RetryRule, turn: &mut Turn<'_>) {
        let status = self.status;
        self.tell_attempt_done(Some((error.clone(), rule)), turn);
        self.forget_attempt(turn);
        if rule == RetryRule::ExpectationFailed {
            self.plan.without_expect();
        }
        let (next, max) = (self.attempts, self.settings.retries);
        turn.emitter.emit(EventKind::Retry, turn.now, |_| {
            Payload::Retry(Arc::new(Retry {
                error,
                status,
                rule,
                next,
                max,
            }))
        });
        turn.emitter.marks().repeat(turn.now);
        // What went wrong with one idle connection may go wrong with the next.
        let wish = match rule {
            RetryRule::ExpectationFailed => Wish::Any,
            RetryRule::IdleConnectionDied
            | RetryRule::NothingWritten
            | RetryRule::RequestTimeout
            | RetryRule::MisdirectedRequest => Wish::Fresh,
        };
        self.begin_attempt(wish, turn);
    }

    fn next_hop(&mut self, next: NextHop, turn: &mut Turn<'_>) {
        let plan = std::mem::replace(&mut self.plan, next.plan);
        let reached = self.reached.as_ref();
        let hop = Hop {
            repeat: repeat_of(&plan),
            method: plan.method,
            url: plan.url,
            head: next.head,
            reached: reached.map(|reached| (reached.conn, reached.remote.clone(), reached.reused)),
        };
        self.earlier.get_or_insert_default().hops.push(hop);
        self.forget_attempt(turn);
        self.tries = 0;
        turn.emitter.marks().next_hop(turn.now);
        self.own_total(turn.emitter);
        self.state = State::Ready;
    }

    fn forget_attempt(&mut self, turn: &mut Turn<'_>) {
        let (bytes_out, bytes_in) = self.bytes();
        let earlier = self.earlier.get_or_insert_default();
        earlier.bytes_out = earlier.bytes_out.saturating_add(bytes_out);
        earlier.bytes_in = earlier.bytes_in.saturating_add(bytes_in);
        self.timers.keep_total();
        turn.buffers.reset();
        self.scarcity = None;
        self.reset = None;
        self.reached = None;
        self.status = None;
        self.head = Arrived::Nothing;
        self.refusal = None;
        self.wanted = 0;
    }

    /// Repeats of this hop so far.
    pub(super) fn repeats(&self) -> u16 {
        self.tries.saturating_sub(1)
    }

    pub(super) fn call_done(&self, turn: &mut Turn<'_>) {
        tell_call_done(turn.now, turn.emitter, |timings| {
            let (bytes_out, bytes_in) = self.bytes();
            let earlier = self.earlier.as_deref();
            let before = earlier.map_or((0, 0), |earlier| (earlier.bytes_out, earlier.bytes_in));
            let hops = self
                .hops()
                .len()
                .saturating_add(usize::from(self.tries > 0));
            CallDone {
                status: self.status,
                error: self.error().map(ErrorFacts::of),
                hops: u16::try_from(hops).unwrap_or(u16::MAX),
                attempts: self.attempts,
                bytes_out: bytes_out.saturating_add(before.0),
                bytes_in: bytes_in.saturating_add(before.1),
                timings,
            }
        });
    }
}
