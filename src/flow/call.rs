//! One call: what the user asked for once.
//!
//! The rule guarded here: every span that begins gets its end, in one order, whatever happens; and a
//! connection goes back only if nothing is left of the request, the response, or anybody's doubts.
//!
//! ```text
//!   Fresh --> Pooling --idle--> Exchanging --complete--> Returning --> Over
//!              |   |              ^  ^  |not to be kept, broken
//!              |   \--may dial--> Dialing  \--> Closing --> Over
//!              |                  ^  |no descriptor
//!              \--must wait--> Joining --> Queued --handed--> Exchanging
//! ```

mod acquiring;
mod deadlines;
mod ending;
mod queueing;
mod scarcity;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::config::Timeouts;
use crate::error::{Error, ErrorKind, Phase, Timer};
use crate::event::{
    Abort, CallDone, CallStart, Emitter, ErrorFacts, EventKind, GetConn, Payload, RetryRule,
};
use crate::flow::action::{Action, ExchangeInput, Input, PoolInput, Receive, Wait};
use crate::flow::call::ending::{Cause as Broke, tell_call_done};
use crate::flow::call::queueing::Queued;
use crate::flow::call::scarcity::Scarcity;
use crate::flow::connection::Connection;
use crate::flow::dial::Dial;
use crate::flow::pool::{self, Cause, Life, Wish};
use crate::flow::timers::Timers;
use crate::ids::{CallId, ConnId};
use crate::message::close::CloseReason;
use crate::message::fields::Fields;
use crate::message::overrides::Overrides;
use crate::message::tls::TlsFacts;
use crate::message::url::Url;
use crate::proto::exchange::{Exchange, Progress};
use crate::proto::framing::KeepAliveHint;
use crate::proto::plan::Plan;
use crate::proto::receiving::FinalHead;
use crate::proto::{Fault, Rules, Turn};

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    plan: Plan,
    settings: Arc<Settings>,
    state: State,
    timers: Timers,
    /// Number of the attempt under way, from 0.
    attempt: u16,
    /// Bytes of the attempts before.
    earlier: (u64, u64),
    head: Option<FinalHead>,
    reached: Option<ReachedFacts>,
    ending: Ending,
    status: Option<u16>,
    /// The facts of the connection, when it goes back.
    returned: Option<Box<Connection>>,
    /// Since when the caller has control, if it has.
    with_caller: Option<Instant>,
    wanted: usize,
    /// The reset that a send was told of. The system tells it once, and then the stream seems to end well.
    reset: Option<io::Error>,
    /// What is to be done before anything else.
    chore: Option<Action>,
    /// What is known of descriptors and of waiting for them, in this attempt.
    scarcity: Scarcity,
}

/// The settings of one call.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) timeouts: Timeouts,
    /// Repeats of a broken attempt that are allowed.
    pub(crate) retries: u16,
    /// How long a connection lives.
    pub(crate) life: Life,
    /// Addresses that the caller gave in advance.
    pub(crate) overrides: Overrides,
    /// Whether the resolver is the caller's own.
    pub(crate) is_resolver_custom: bool,
}

impl Settings {
    /// The same settings with other timeouts.
    pub(crate) fn with_timeouts(&self, timeouts: Timeouts) -> Self {
        let rules = Rules {
            expect_limit: timeouts.expect,
            ..self.rules.clone()
        };
        Self {
            rules,
            timeouts,
            overrides: self.overrides.clone(),
            ..*self
        }
    }
}

/// The connection as the response shows it.
#[derive(Debug, Clone)]
pub(crate) struct ReachedFacts {
    pub(crate) conn: ConnId,
    pub(crate) remote: SocketAddr,
    pub(crate) reused: bool,
    pub(crate) tls: Option<Arc<TlsFacts>>,
}

#[derive(Debug)]
enum State {
    /// Nothing has happened.
    Fresh,
    /// The pool is asked.
    Pooling(Wish),
    /// The queue is to be joined, for this reason.
    Joining(Cause, Wish),
    /// The call waits for a connection that comes back, or for the permit to dial.
    Queued(Queued),
    /// A connection is being made.
    Dialing(Box<Dial>),
    /// Request and response are under way.
    Exchanging(Exchange, Box<Connection>),
    /// The exchange is complete and the pool is asked for a place.
    Returning(Exchange, Box<Connection>),
    /// The connection has its place and is to be put there.
    Returned(Exchange),
    /// The connection is to be closed.
    Closing(Exchange, Box<Connection>, CloseReason),
    /// The call is over; what was received can still be taken.
    Over(Option<Exchange>),
}

/// How the call ends, as far as that is known.
#[derive(Debug)]
enum Ending {
    /// Not known.
    Open,
    /// With a response, or without an error at least.
    Well,
    /// With this error, until somebody takes it.
    Failed(Error),
    /// Not yet: the attempt broke for this reason and is made again by this rule.
    Again(ErrorFacts, RetryRule),
}

/// Tells of a call that was refused before any I/O: it has no hop.
pub(crate) fn refuse(id: CallId, plan: &Plan, error: &Error, now: Instant, emitter: &mut Emitter) {
    call_start(id, plan, now, emitter);
    tell_call_done(now, emitter, |timings| CallDone {
        status: None,
        error: Some(ErrorFacts::of(error)),
        hops: 0,
        attempts: 0,
        bytes_out: 0,
        bytes_in: 0,
        timings,
    });
}

fn call_start(id: CallId, plan: &Plan, now: Instant, emitter: &mut Emitter) {
    emitter.begin_call(id);
    emitter.emit(EventKind::CallStart, now, |redaction| {
        Payload::CallStart(Arc::new(CallStart {
            method: plan.method.as_str().into(),
            url: redaction.url(&plan.url).into(),
            body_bytes: plan.body_bytes(),
            expect: plan.expect,
            label: plan.label.clone(),
        }))
    });
}

impl Call {
    pub(crate) fn new(id: CallId, plan: Plan, settings: Arc<Settings>) -> Self {
        Self {
            id,
            plan,
            settings,
            state: State::Fresh,
            timers: Timers::default(),
            attempt: 0,
            earlier: (0, 0),
            head: None,
            reached: None,
            ending: Ending::Open,
            status: None,
            returned: None,
            with_caller: None,
            wanted: 0,
            reset: None,
            chore: None,
            scarcity: Scarcity::default(),
        }
    }

    /// Takes an input. The driver then delivers the events and asks for actions.
    pub(crate) fn input(&mut self, input: Input, turn: &mut Turn<'_>) {
        match input {
            Input::Start => self.start(turn),
            Input::Pool(input) => self.pool_input(input, turn),
            Input::Dial(input) => self.dial_input(input, turn),
            Input::Exchange(input) => self.exchange_input(input, turn),
            Input::Wanted(max) => self.wanted(max, turn),
            Input::BodyClosed => self.body_closed(turn),
            Input::Timeout => self.timeout(turn),
            Input::Cancel(by) => self.cancel(by, turn),
            Input::Aborted(reason) => self.aborted(reason, turn),
        }
        self.arm(turn);
    }

    /// The next thing to be done.
    pub(crate) fn next(&mut self, turn: &mut Turn<'_>) -> Action {
        if let Some(chore) = self.chore.take() {
            return chore;
        }
        match &mut self.state {
            State::Fresh | State::Over(_) => Action::Done,
            State::Pooling(wish) => Action::TakeIdle { wish: *wish },
            State::Joining(cause, wish) => Action::WaitPool {
                cause: *cause,
                wish: *wish,
            },
            State::Queued(_) => Action::Wait(Wait {
                send: false,
                receive: None,
                deadline: self.timers.next(),
            }),
            State::Dialing(dial) => {
                if let Some(action) = dial.next(turn.now, turn.emitter) {
                    return action;
                }
                if let Some(contestant) = dial.start_tls(turn.now, turn.emitter, &mut self.timers) {
                    return Action::StartTls { contestant };
                }
                let deadline = [dial.deadline(), self.timers.next()]
                    .into_iter()
                    .flatten()
                    .min();
                Action::Wait(Wait {
                    send: false,
                    receive: None,
                    deadline,
                })
            }
            State::Exchanging(..) => self.next_of_exchange(turn),
            State::Returning(..) => Action::AskPlace,
            State::Returned(..) => {
                if let State::Returned(exchange) =
                    std::mem::replace(&mut self.state, State::Over(None))
                {
                    self.state = State::Over(Some(exchange));
                }
                Action::PutIdle
            }
            State::Closing(..) => Action::Close,
        }
    }

    fn next_of_exchange(&mut self, turn: &mut Turn<'_>) -> Action {
        let State::Exchanging(exchange, _) = &mut self.state else {
            return Action::Done;
        };
        if exchange.receiving().is_at_head() {
            return Action::Resume;
        }
        if let Some(max) = exchange.pull_due(turn.buffers) {
            exchange.begin_pull(max, turn.buffers);
            return Action::PullBody { max };
        }
        let due = exchange.send_due(turn.buffers);
        let is_stuck = exchange.sending().stuck_since().is_some();
        if let Some(body) = due.clone().filter(|_| !is_stuck) {
            return Action::Send { body };
        }
        let receiving = exchange.receiving();
        if receiving.has_head() && (self.wanted == 0 || receiving.lent() > 0) {
            return Action::HandOut;
        }
        let receive = match receiving.direct_max(self.wanted, turn.buffers.inbound.len()) {
            Some(max) => Receive::Caller { max },
            None => Receive::Inbound,
        };
        Action::Wait(Wait {
            send: due.is_some(),
            receive: Some(receive),
            deadline: self.timers.next(),
        })
    }

    /// The final head, once; for the response.
    pub(crate) fn take_head(&mut self) -> Option<FinalHead> {
        self.head.take()
    }

    /// The connection that the response came over.
    pub(crate) fn reached(&self) -> Option<&ReachedFacts> {
        self.reached.as_ref()
    }

    /// The error of the call, if it failed.
    pub(crate) fn error(&self) -> Option<&Error> {
        match &self.ending {
            Ending::Failed(error) => Some(error),
            Ending::Open | Ending::Well | Ending::Again(..) => None,
        }
    }

    /// Takes the error of the call; what stays tells the same without its source.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        match &mut self.ending {
            Ending::Failed(error) => {
                let again = error.again();
                Some(std::mem::replace(error, again))
            }
            Ending::Open | Ending::Well | Ending::Again(..) => None,
        }
    }

    /// Bytes of the body at the front of the inbound buffer.
    pub(crate) fn lent(&self) -> usize {
        self.exchange()
            .map_or(0, |exchange| exchange.receiving().lent())
    }

    /// Says whether the call is over; what was received can still be taken.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Fresh | State::Over(_)) && self.chore.is_none()
    }

    /// The trailers that may be used; empty before the end of the body.
    pub(crate) fn trailers(&self) -> Option<&Fields> {
        self.exchange().and_then(Exchange::trailers)
    }

    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The connection on loan, if there is one.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match &self.state {
            State::Exchanging(_, connection)
            | State::Returning(_, connection)
            | State::Closing(_, connection, _) => Some(connection),
            State::Fresh
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Dialing(_)
            | State::Returned(_)
            | State::Over(_) => None,
        }
    }

    /// The URL that decides which connection may serve.
    pub(crate) fn deciding(&self) -> &Url {
        pool::deciding(&self.plan, &self.settings)
    }

    /// Says whether the call dials or waits in the queue, so that a connection that comes back can serve it.
    pub(crate) fn awaits_connection(&self) -> bool {
        matches!(self.state, State::Queued(_) | State::Dialing(_))
    }

    /// The connection that is to be closed, and why.
    pub(crate) fn closing(&self) -> Option<(&Connection, CloseReason)> {
        match &self.state {
            State::Closing(_, connection, reason) => Some((connection, *reason)),
            State::Fresh
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Dialing(_)
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Returned(_)
            | State::Over(_) => None,
        }
    }

    /// Says whether the final head is in.
    pub(crate) fn has_head(&self) -> bool {
        self.status.is_some()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes the facts of the connection, to keep them with it: to be asked when it goes back or is closed.
    pub(crate) fn take_connection(&mut self) -> Option<Box<Connection>> {
        self.returned.take()
    }

    fn exchange(&self) -> Option<&Exchange> {
        match &self.state {
            State::Exchanging(exchange, _)
            | State::Returning(exchange, _)
            | State::Returned(exchange)
            | State::Closing(exchange, ..)
            | State::Over(Some(exchange)) => Some(exchange),
            State::Fresh
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Dialing(_)
            | State::Over(None) => None,
        }
    }

    fn start(&mut self, turn: &mut Turn<'_>) {
        call_start(self.id, &self.plan, turn.now, turn.emitter);
        self.timers
            .arm(Timer::Total, turn.now, self.settings.timeouts.total);
        self.begin_attempt(Wish::Any, turn);
    }

    /// An attempt begins: a connection is wanted.
    fn begin_attempt(&mut self, wish: Wish, turn: &mut Turn<'_>) {
        let plan = &self.plan;
        turn.emitter.begin_attempt(0, self.attempt);
        turn.emitter
            .emit(EventKind::GetConn, turn.now, |redaction| {
                Payload::GetConn(Arc::new(GetConn {
                    target: format!("{}:{}", plan.url.host_str(), plan.url.port()).into(),
                    url: redaction.url(&plan.url).into(),
                }))
            });
        self.timers
            .arm(Timer::Connect, turn.now, self.settings.timeouts.connect);
        self.state = State::Pooling(wish);
    }

    fn pool_input(&mut self, input: PoolInput, turn: &mut Turn<'_>) {
        match input {
            PoolInput::Idle(answer) => self.idle(answer, turn),
            PoolInput::Queued { limit, depth } => self.queued(limit, depth, turn),
            PoolInput::Handed(connection) => self.handed(connection, turn),
            PoolInput::MayDial(id) => self.may_dial(id, turn),
            PoolInput::Room { contestant, room } => self.room(contestant, room, turn),
            PoolInput::Place(place) => self.placed(place, turn),
            PoolInput::Closed => self.closed(turn),
        }
    }

    fn exchange_input(&mut self, input: ExchangeInput, turn: &mut Turn<'_>) {
        let State::Exchanging(exchange, _) = &mut self.state else {
            if let (
                ExchangeInput::Consumed(count),
                State::Over(Some(exchange)) | State::Returned(exchange),
            ) = (input, &mut self.state)
            {
                let _ = exchange.consume(count, turn);
            }
            return;
        };
        let input = match (input, self.reset.take()) {
            (ExchangeInput::Ended { .. }, Some(reset)) => ExchangeInput::ReceiveFailed(reset),
            (input, reset) => {
                self.reset = reset;
                input
            }
        };
        let result = match input {
            ExchangeInput::Sent(count) => {
                exchange.sent(count, turn);
                Ok(Progress::Going)
            }
            ExchangeInput::Blocked => {
                exchange.sending().blocked(turn.now);
                Ok(Progress::Going)
            }
            ExchangeInput::Writable => {
                exchange.sending().writable(turn.now);
                Ok(Progress::Going)
            }
            ExchangeInput::SendFailed(error) => {
                if error.kind() == io::ErrorKind::ConnectionReset {
                    self.reset = Some(error);
                }
                exchange.send_failed(turn);
                Ok(Progress::Going)
            }
            ExchangeInput::Received { direct, buffered } => {
                self.timers.disarm(Timer::BodyIdle);
                exchange.received(direct, buffered, turn)
            }
            ExchangeInput::Drain => {
                exchange.drain();
                Ok(Progress::Going)
            }
            ExchangeInput::Ended { clean } => exchange.ended(clean, turn),
            ExchangeInput::ReceiveFailed(error) => {
                let phase = exchange.phase();
                return self.broken(
                    ErrorKind::io(&error),
                    phase,
                    Some(Box::new(error)),
                    Broke::Lost,
                    turn,
                );
            }
            ExchangeInput::TlsBroke(fault) => {
                let phase = exchange.phase();
                return self.broken(
                    ErrorKind::Tls(fault.failure),
                    phase,
                    Some(fault.source),
                    Broke::Peer,
                    turn,
                );
            }
            ExchangeInput::Pulled(pulled, error) => {
                let source = error.map(|error| Box::new(error) as Abort);
                match exchange.pulled(pulled, turn) {
                    Ok(()) => Ok(Progress::Going),
                    Err(fault) => {
                        return self.broken(fault.kind, fault.phase, source, Broke::Source, turn);
                    }
                }
            }
            ExchangeInput::Consumed(count) => exchange.consume(count, turn),
            ExchangeInput::Wake => exchange.resume(turn),
        };
        self.follow(result, turn);
    }

    fn follow(&mut self, result: Result<Progress, Fault>, turn: &mut Turn<'_>) {
        match result {
            Ok(Progress::Going) => {}
            Ok(Progress::Head(head)) => self.headed(head),
            Ok(Progress::Complete) => self.complete(turn),
            Err(fault) => {
                let is_lost = matches!(
                    fault.kind,
                    ErrorKind::PeerClosed
                        | ErrorKind::PeerIncompleteHead { .. }
                        | ErrorKind::PeerIncompleteBody { .. }
                        | ErrorKind::PeerTlsTruncated { .. }
                );
                let cause = if is_lost { Broke::Lost } else { Broke::Peer };
                self.broken(fault.kind, fault.phase, None, cause, turn);
            }
        }
    }

    fn headed(&mut self, head: FinalHead) {
        if let State::Exchanging(_, connection) = &mut self.state {
            let hint = KeepAliveHint::parse(&head.head.fields);
            connection.peer_keeps = hint.timeout;
            connection.peer_takes = hint.max;
            connection.version = Some(head.head.version);
        }
        self.status = Some(head.head.status);
        self.head = Some(head);
    }

    /// The caller asks for more of the body.
    fn wanted(&mut self, max: usize, turn: &mut Turn<'_>) {
        self.wanted = max;
        self.back_from_caller(turn);
    }

    fn back_from_caller(&mut self, turn: &mut Turn<'_>) {
        if let Some(since) = self.with_caller.take() {
            turn.emitter
                .marks()
                .caller_reads(turn.now.saturating_duration_since(since));
        }
    }

    /// Control goes to the caller until it asks again.
    pub(crate) fn hand_out(&mut self, now: Instant) {
        self.wanted = 0;
        self.timers.disarm(Timer::BodyIdle);
        if matches!(self.state, State::Exchanging(..)) {
            self.with_caller = Some(now);
        }
    }

    /// Where the call is.
    pub(crate) fn phase(&self) -> Phase {
        match &self.state {
            State::Fresh => Phase::Prepare,
            State::Pooling(_) => Phase::Connect,
            State::Joining(..) | State::Queued(_) => Phase::Queue,
            State::Dialing(dial) => dial.phase(),
            State::Exchanging(exchange, _) => exchange.phase(),
            State::Returning(..) | State::Returned(..) | State::Closing(..) | State::Over(_) => {
                Phase::Done
            }
        }
    }
}
