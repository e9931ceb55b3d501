//! One call: what the user asked for once.
//!
//! The rule guarded here: every span that begins gets its end, in one order, whatever happens; and a
//! connection goes back only if nothing is left of the request, the response, or anybody's doubts.
//!
//! ```text
//!   Fresh --> Pooling --idle--> Exchanging --complete--> Returning --> Over
//!                |                 ^    |not to be kept, broken
//!                \--none--> Dialing     \--> Closing --> Over
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Timeouts;
use crate::error::{Error, ErrorKind, Phase, Repeat, Report, Timer, Tried};
use crate::event::{
    Abort, AttemptDone, BodyEnd, CallCanceled, CallDone, CallStart, CanceledBy, ClosedBy, Emitter,
    ErrorFacts, EventKind, ExpectOutcome, GetConn, GetConnFailed, GotConn, Marks, Payload,
    PoolLookup, PutIdleConn, TimeoutFired, WriteFailure,
};
use crate::flow::action::{Action, IdleAnswer, Input, Names, Receive, Wait};
use crate::flow::connection::Connection;
use crate::flow::dial::{Dial, DialPlanFacts, Outcomes, Won};
use crate::flow::pool::Key;
use crate::flow::timers::{Fired, Timers};
use crate::ids::{CallId, ConnId, DialId};
use crate::message::close::CloseReason;
use crate::message::fields::Fields;
use crate::message::tls::TlsFacts;
use crate::message::url::Scheme;
use crate::proto::exchange::{Exchange, Progress};
use crate::proto::framing::KeepAliveHint;
use crate::proto::plan::Plan;
use crate::proto::receiving::{Asked, FinalHead};
use crate::proto::{Fault, Rules, Turn};

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    plan: Plan,
    names: Names,
    settings: Arc<Settings>,
    state: State,
    timers: Timers,
    dial_id: DialId,
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
}

/// The settings of one call.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) timeouts: Timeouts,
}

impl Settings {
    /// The same settings with other timeouts.
    pub(crate) fn with_timeouts(&self, timeouts: Timeouts) -> Self {
        let rules = Rules {
            expect_limit: timeouts.expect,
            ..self.rules.clone()
        };
        Self { rules, timeouts }
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
    Pooling,
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
}

/// Tells of a call that was refused before any I/O: it has no hop.
pub(crate) fn refuse(id: CallId, plan: &Plan, error: &Error, now: Instant, emitter: &mut Emitter) {
    call_start(id, plan, now, emitter);
    emitter.marks().note(EventKind::CallDone, now);
    let timings = Box::new(emitter.marks().timings(now));
    emitter.emit(EventKind::CallDone, now, |_| {
        Payload::CallDone(Arc::new(CallDone {
            status: None,
            error: Some(ErrorFacts::of(error)),
            hops: 0,
            attempts: 0,
            bytes_out: 0,
            bytes_in: 0,
            timings,
        }))
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
    pub(crate) fn new(
        id: CallId,
        dial_id: DialId,
        plan: Plan,
        names: Names,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            id,
            plan,
            names,
            settings,
            state: State::Fresh,
            timers: Timers::default(),
            dial_id,
            head: None,
            reached: None,
            ending: Ending::Open,
            status: None,
            returned: None,
            with_caller: None,
            wanted: 0,
            reset: None,
            chore: None,
        }
    }

    /// Takes an input. The driver then delivers the events and asks for actions.
    pub(crate) fn input(&mut self, input: Input, turn: &mut Turn<'_>) {
        match input {
            Input::Start => self.start(turn),
            Input::Idle(answer) => self.idle(answer, turn),
            Input::Cancel(by) => self.cancel(by, turn),
            Input::Aborted(reason) => self.aborted(reason, turn),
            Input::Timeout => self.timeout(turn),
            Input::Place(place) => self.placed(place, turn),
            Input::Closed => self.closed(turn),
            Input::Wanted(max) => self.wanted(max, turn),
            Input::BodyClosed => self.body_closed(turn),
            Input::Asked { .. }
            | Input::Resolved { .. }
            | Input::Connected { .. }
            | Input::TlsDone { .. } => {
                self.dial_input(input, turn);
            }
            Input::Sent(_)
            | Input::Blocked
            | Input::Writable
            | Input::SendFailed(_)
            | Input::Received { .. }
            | Input::Ended { .. }
            | Input::ReceiveFailed(_)
            | Input::TlsBroke(_)
            | Input::Pulled(..)
            | Input::Consumed(_)
            | Input::Drain
            | Input::Wake => self.exchange_input(input, turn),
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
            State::Pooling => Action::TakeIdle,
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
            Ending::Open | Ending::Well => None,
        }
    }

    /// Takes the error of the call; what stays tells the same without its source.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        match &mut self.ending {
            Ending::Failed(error) => {
                let again = error.again();
                Some(std::mem::replace(error, again))
            }
            Ending::Open | Ending::Well => None,
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

    /// Bounds the whole call from its start, unless it has a bound already.
    pub(crate) fn limit_total(&mut self, limit: Duration, emitter: &Emitter) {
        if let (Some(started), false) = (emitter.started(), self.is_over()) {
            self.timers.arm(Timer::Total, started, Some(limit));
        }
    }

    /// The connection on loan, if there is one.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match &self.state {
            State::Exchanging(_, connection)
            | State::Returning(_, connection)
            | State::Closing(_, connection, _) => Some(connection),
            State::Fresh
            | State::Pooling
            | State::Dialing(_)
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
            State::Fresh | State::Pooling | State::Dialing(_) | State::Over(None) => None,
        }
    }

    fn start(&mut self, turn: &mut Turn<'_>) {
        call_start(self.id, &self.plan, turn.now, turn.emitter);
        let plan = &self.plan;
        turn.emitter.begin_attempt(0, 0);
        turn.emitter
            .emit(EventKind::GetConn, turn.now, |redaction| {
                Payload::GetConn(Arc::new(GetConn {
                    target: format!("{}:{}", plan.url.host_str(), plan.url.port()).into(),
                    url: redaction.url(&plan.url).into(),
                }))
            });
        self.timers
            .arm(Timer::Total, turn.now, self.settings.timeouts.total);
        self.timers
            .arm(Timer::Connect, turn.now, self.settings.timeouts.connect);
        self.state = State::Pooling;
    }

    fn idle(&mut self, answer: IdleAnswer, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::Pooling) {
            return;
        }
        for discarded in &answer.discarded {
            let connection = &discarded.connection;
            turn.emitter
                .of_connection(connection.id, connection.last_event, |emitter| {
                    connection.tell_closed(discarded.reason, discarded.by, turn.now, emitter);
                });
        }
        let url = &self.plan.url;
        turn.emitter.emit(EventKind::PoolLookup, turn.now, |_| {
            Payload::PoolLookup(Arc::new(PoolLookup {
                key: Key::of(url).to_string().into(),
                idle: answer.idle,
                active: answer.active,
                hit: answer.found.is_some(),
                discarded: answer
                    .discarded
                    .iter()
                    .map(|discarded| discarded.reason)
                    .collect(),
            }))
        });
        match answer.found {
            Some(connection) => {
                turn.emitter
                    .join_connection(connection.id, connection.last_event);
                self.got(connection, turn);
            }
            None => self.dial(turn),
        }
    }

    fn dial(&mut self, turn: &mut Turn<'_>) {
        let timeouts = &self.settings.timeouts;
        let host = self.plan.url.host_str();
        let facts = DialPlanFacts {
            id: self.dial_id,
            host: host.trim_matches(['[', ']']).into(),
            port: self.plan.url.port(),
            is_tls: self.plan.url.scheme() == Scheme::Https,
            lookup_limit: timeouts.lookup,
            tls_limit: timeouts.tls,
            deadline: self.timers.next(),
        };
        let dial = Dial::begin(
            facts,
            self.names.clone(),
            turn.now,
            turn.emitter,
            &mut self.timers,
        );
        self.state = State::Dialing(Box::new(dial));
    }

    fn dial_input(&mut self, input: Input, turn: &mut Turn<'_>) {
        let State::Dialing(dial) = &mut self.state else {
            return;
        };
        let (now, emitter, timers) = (turn.now, &mut *turn.emitter, &mut self.timers);
        let outcome = match input {
            Input::Asked { shared } => {
                dial.asked(shared);
                Outcomes::Going
            }
            Input::Resolved {
                family,
                outcome,
                coalesced,
            } => dial.resolved(family, outcome, coalesced, now, emitter, timers),
            Input::Connected { contestant, result } => {
                dial.connected(contestant, result, now, emitter)
            }
            Input::TlsDone { contestant, result } => {
                dial.secured(contestant, result, now, emitter, timers)
            }
            _ => Outcomes::Going,
        };
        self.follow_dial(outcome, turn);
    }

    fn follow_dial(&mut self, outcome: Outcomes, turn: &mut Turn<'_>) {
        match outcome {
            Outcomes::Going => {}
            Outcomes::Drop(contestant) => self.chore = Some(Action::AbortConnect { contestant }),
            Outcomes::Won(won) => {
                self.chore = Some(Action::EndDial {
                    winner: Some(won.contestant),
                });
                let connection = self.opened(won, turn.now);
                self.got(connection, turn);
            }
            Outcomes::Failed(error) => {
                self.chore = Some(Action::EndDial { winner: None });
                let tried = self.take_tried();
                let report = Report {
                    tried,
                    ..self.report(turn)
                };
                self.conn_failed(error.with_report(report), turn);
            }
        }
    }

    fn take_tried(&mut self) -> Vec<Tried> {
        match &mut self.state {
            State::Dialing(dial) => dial.take_tried(),
            _ => Vec::new(),
        }
    }

    fn opened(&self, won: Won, now: Instant) -> Box<Connection> {
        Box::new(Connection {
            id: won.conn,
            key: Arc::new(Key::of(&self.plan.url)),
            remote: won.remote,
            local: won.local,
            tls: won.tls,
            opened: now,
            requests: 0,
            bytes_out: 0,
            bytes_in: 0,
            idle_since: None,
            peer_keeps: None,
            last_event: 0,
        })
    }

    /// A connection is there: the request goes out.
    fn got(&mut self, mut connection: Box<Connection>, turn: &mut Turn<'_>) {
        self.timers.keep_total();
        let reused = connection.requests > 0;
        let idle = connection
            .idle_since
            .take()
            .map(|since| turn.now.saturating_duration_since(since));
        turn.emitter.emit(EventKind::GotConn, turn.now, |_| {
            Payload::GotConn(Arc::new(GotConn {
                reused,
                was_idle: idle.is_some(),
                idle,
                local: connection.local,
                remote: connection.remote,
                requests: connection.requests,
                age: turn.now.saturating_duration_since(connection.opened),
            }))
        });
        self.reached = Some(ReachedFacts {
            conn: connection.id,
            remote: connection.remote,
            reused,
            tls: connection.tls.clone(),
        });
        connection.requests = connection.requests.saturating_add(1);
        let asked = Asked {
            is_head: self.plan.is_head(),
            said_close: self.plan.close,
        };
        let exchange = Exchange::begin(
            &self.plan.head(),
            &self.plan.body,
            self.plan.form,
            asked,
            turn,
        );
        self.state = State::Exchanging(exchange, connection);
    }

    fn exchange_input(&mut self, input: Input, turn: &mut Turn<'_>) {
        let State::Exchanging(exchange, _) = &mut self.state else {
            if let (
                Input::Consumed(count),
                State::Over(Some(exchange)) | State::Returned(exchange),
            ) = (input, &mut self.state)
            {
                let _ = exchange.consume(count, turn);
            }
            return;
        };
        let input = match (input, self.reset.take()) {
            (Input::Ended { .. }, Some(reset)) => Input::ReceiveFailed(reset),
            (input, reset) => {
                self.reset = reset;
                input
            }
        };
        let result = match input {
            Input::Sent(count) => {
                exchange.sent(count, turn);
                Ok(Progress::Going)
            }
            Input::Blocked => {
                exchange.sending().blocked(turn.now);
                Ok(Progress::Going)
            }
            Input::Writable => {
                exchange.sending().writable(turn.now);
                Ok(Progress::Going)
            }
            Input::SendFailed(error) => {
                if error.kind() == io::ErrorKind::ConnectionReset {
                    self.reset = Some(error);
                }
                exchange.send_failed(turn);
                Ok(Progress::Going)
            }
            Input::Received { direct, buffered } => {
                self.timers.disarm(Timer::BodyIdle);
                exchange.received(direct, buffered, turn)
            }
            Input::Drain => {
                exchange.drain();
                Ok(Progress::Going)
            }
            Input::Ended { clean } => exchange.ended(clean, turn),
            Input::ReceiveFailed(error) => {
                let phase = exchange.phase();
                return self.broken(
                    ErrorKind::io(&error),
                    phase,
                    Some(Box::new(error)),
                    Cause::Lost,
                    turn,
                );
            }
            Input::TlsBroke(fault) => {
                let phase = exchange.phase();
                return self.broken(
                    ErrorKind::Tls(fault.failure),
                    phase,
                    Some(fault.source),
                    Cause::Peer,
                    turn,
                );
            }
            Input::Pulled(pulled, error) => {
                let source = error.map(|error| Box::new(error) as Abort);
                match exchange.pulled(pulled, turn) {
                    Ok(()) => Ok(Progress::Going),
                    Err(fault) => {
                        return self.broken(fault.kind, fault.phase, source, Cause::Source, turn);
                    }
                }
            }
            Input::Consumed(count) => exchange.consume(count, turn),
            Input::Wake => exchange.resume(turn),
            _ => Ok(Progress::Going),
        };
        self.follow(result, turn);
    }

    fn follow(&mut self, result: Result<Progress, Fault>, turn: &mut Turn<'_>) {
        match result {
            Ok(Progress::Going) => {}
            Ok(Progress::Head(head)) => self.headed(head),
            Ok(Progress::Complete) => self.complete(turn),
            Err(fault) => {
                let cause = match fault.kind {
                    ErrorKind::PeerClosed
                    | ErrorKind::PeerIncompleteHead { .. }
                    | ErrorKind::PeerIncompleteBody { .. }
                    | ErrorKind::PeerTlsTruncated { .. } => Cause::Lost,
                    _ => Cause::Peer,
                };
                self.broken(fault.kind, fault.phase, None, cause, turn);
            }
        }
    }

    fn headed(&mut self, head: FinalHead) {
        if let State::Exchanging(_, connection) = &mut self.state {
            connection.peer_keeps = KeepAliveHint::parse(&head.head.fields).timeout;
        }
        self.status = Some(head.head.status);
        self.head = Some(head);
    }

    /// The response is complete: the connection goes back, or is closed for a reason.
    fn complete(&mut self, turn: &mut Turn<'_>) {
        self.timers.keep_total();
        self.ending = Ending::Well;
        let State::Exchanging(exchange, mut connection) =
            std::mem::replace(&mut self.state, State::Over(None))
        else {
            return;
        };
        connection.count(exchange.bytes_out(), exchange.receiving().bytes());
        match exchange.close_reason(turn.buffers) {
            None => self.state = State::Returning(exchange, connection),
            Some(reason) => self.close(exchange, connection, reason, turn),
        }
    }

    fn close(
        &mut self,
        exchange: Exchange,
        connection: Box<Connection>,
        reason: CloseReason,
        turn: &mut Turn<'_>,
    ) {
        put_idle(Some(reason), 0, turn);
        self.state = State::Closing(exchange, connection, reason);
    }

    fn placed(&mut self, place: Result<u32, CloseReason>, turn: &mut Turn<'_>) {
        let State::Returning(exchange, mut connection) =
            std::mem::replace(&mut self.state, State::Over(None))
        else {
            return;
        };
        match place {
            Ok(idle_now) => {
                put_idle(None, idle_now, turn);
                connection.idle_since = Some(turn.now);
                connection.last_event = turn.emitter.leave_connection();
                self.returned = Some(connection);
                self.state = State::Returned(exchange);
                self.done(turn);
            }
            Err(reason) => self.close(exchange, connection, reason, turn),
        }
    }

    fn closed(&mut self, turn: &mut Turn<'_>) {
        let State::Closing(exchange, connection, reason) =
            std::mem::replace(&mut self.state, State::Over(None))
        else {
            return;
        };
        let by = match reason {
            CloseReason::ConnectionLost | CloseReason::DelimitedByClose => ClosedBy::Peer,
            _ => ClosedBy::Local,
        };
        connection.tell_closed(reason, by, turn.now, turn.emitter);
        turn.emitter.leave_connection();
        self.state = State::Over(Some(exchange));
        self.done(turn);
    }

    /// The last two events of a call.
    fn done(&mut self, turn: &mut Turn<'_>) {
        self.timers.keep_total();
        self.timers.disarm(Timer::Total);
        let error = self.error().map(ErrorFacts::of);
        let (status, attempt_error) = (self.status, error.clone());
        turn.emitter.emit(EventKind::AttemptDone, turn.now, |_| {
            Payload::AttemptDone(Arc::new(AttemptDone {
                status,
                error: attempt_error,
            }))
        });
        turn.emitter.end_attempt();
        self.call_done(error, turn);
    }

    fn call_done(&self, error: Option<ErrorFacts>, turn: &mut Turn<'_>) {
        let (bytes_out, bytes_in) = self.bytes();
        let (status, now) = (self.status, turn.now);
        let timings = turn.emitter.wants(EventKind::CallDone).then(|| {
            turn.emitter.marks().note(EventKind::CallDone, now);
            Box::new(turn.emitter.marks().timings(now))
        });
        turn.emitter.emit(EventKind::CallDone, now, |_| {
            let timings = timings.unwrap_or_else(|| Box::new(Marks::default().timings(now)));
            let attempts = 1;
            Payload::CallDone(Arc::new(CallDone {
                status,
                error,
                hops: 1,
                attempts,
                bytes_out,
                bytes_in,
                timings,
            }))
        });
    }

    fn bytes(&self) -> (u64, u64) {
        self.exchange().map_or((0, 0), |exchange| {
            (exchange.bytes_out(), exchange.receiving().bytes())
        })
    }

    /// The attempt got no connection.
    fn conn_failed(&mut self, error: Error, turn: &mut Turn<'_>) {
        let elapsed = turn
            .emitter
            .marks()
            .wanted()
            .map_or(Duration::ZERO, |since| {
                turn.now.saturating_duration_since(since)
            });
        let facts = ErrorFacts::of(&error);
        turn.emitter.emit(EventKind::GetConnFailed, turn.now, |_| {
            Payload::GetConnFailed(Arc::new(GetConnFailed {
                error: facts,
                elapsed,
            }))
        });
        self.ending = Ending::Failed(error);
        self.state = State::Over(None);
        self.done(turn);
    }

    /// Something ended the call before its time: every span gets its end, and the connection is closed.
    fn broken(
        &mut self,
        kind: ErrorKind,
        phase: Phase,
        source: Option<Abort>,
        cause: Cause,
        turn: &mut Turn<'_>,
    ) {
        let mut error = Error::new(kind, phase);
        if let Some(source) = source {
            error = error.with_source(source);
        }
        match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Exchanging(mut exchange, mut connection) => {
                exchange.stop(
                    cause.write_failure(),
                    cause.expect_outcome(),
                    BodyEnd::Error,
                    turn,
                );
                connection.count(exchange.bytes_out(), exchange.receiving().bytes());
                self.state = State::Exchanging(exchange, connection);
                let report = self.report(turn);
                self.ending = Ending::Failed(error.with_report(report));
                if let State::Exchanging(exchange, connection) =
                    std::mem::replace(&mut self.state, State::Over(None))
                {
                    self.close(exchange, connection, cause.close_reason(), turn);
                }
            }
            State::Dialing(mut dial) => {
                let report = self.report(turn);
                let error = error.with_report(report);
                dial.abandon(&error, turn.now, turn.emitter);
                self.chore = Some(Action::EndDial { winner: None });
                let tried = dial.take_tried();
                self.conn_failed(error.with_tried(tried), turn);
            }
            State::Returning(exchange, connection) => {
                let report = self.report(turn);
                self.ending = Ending::Failed(error.with_report(report));
                self.close(exchange, connection, cause.close_reason(), turn);
            }
            State::Fresh | State::Pooling => {
                let report = self.report(turn);
                self.conn_failed(error.with_report(report), turn);
            }
            other => self.state = other,
        }
    }

    fn cancel(&mut self, by: CanceledBy, turn: &mut Turn<'_>) {
        if !self.can_break() {
            return;
        }
        let phase = self.phase();
        turn.emitter.emit(EventKind::CallCanceled, turn.now, |_| {
            Payload::CallCanceled(CallCanceled { by, phase })
        });
        self.broken(ErrorKind::Canceled, phase, None, Cause::Canceled, turn);
    }

    /// An abort counts until the connection is put back, also at the events of a message that is complete.
    fn aborted(&mut self, reason: Abort, turn: &mut Turn<'_>) {
        let is_complete = matches!(self.state, State::Returning(..));
        if !self.can_break() && !is_complete {
            return;
        }
        let (phase, by) = (self.phase(), CanceledBy::Observer);
        turn.emitter.emit(EventKind::CallCanceled, turn.now, |_| {
            Payload::CallCanceled(CallCanceled { by, phase })
        });
        self.broken(
            ErrorKind::Aborted,
            phase,
            Some(reason),
            Cause::Canceled,
            turn,
        );
    }

    fn can_break(&self) -> bool {
        matches!(
            self.state,
            State::Pooling | State::Dialing(_) | State::Exchanging(..)
        )
    }

    fn timeout(&mut self, turn: &mut Turn<'_>) {
        let Some(Fired {
            timer,
            limit,
            elapsed,
        }) = self.timers.take_fired(turn.now)
        else {
            if let State::Dialing(dial) = &mut self.state {
                let outcome = dial.tick(turn.now, turn.emitter, &mut self.timers);
                self.follow_dial(outcome, turn);
            }
            return;
        };
        if !self.can_break() {
            return;
        }
        let phase = self.phase();
        turn.emitter.emit(EventKind::TimeoutFired, turn.now, |_| {
            Payload::TimeoutFired(Arc::new(TimeoutFired {
                timer,
                limit,
                elapsed,
            }))
        });
        if let (Timer::Expect, State::Exchanging(exchange, _)) = (timer, &mut self.state) {
            return exchange.expect_timed_out(turn);
        }
        self.broken(ErrorKind::Timeout(timer), phase, None, Cause::Timeout, turn);
    }

    /// The caller asks for more of the body.
    fn wanted(&mut self, max: usize, turn: &mut Turn<'_>) {
        self.wanted = max;
        self.back_from_caller(turn);
    }

    /// The caller wants no more of the body: what is buffered may complete it, else it is given up.
    fn body_closed(&mut self, turn: &mut Turn<'_>) {
        self.back_from_caller(turn);
        while let State::Exchanging(exchange, _) = &mut self.state {
            let lent = exchange.receiving().lent();
            if lent == 0 {
                break;
            }
            let result = exchange.consume(lent, turn);
            self.follow(result, turn);
        }
        // What was buffered may have completed the message, or broken it.
        let (mut exchange, mut connection) =
            match std::mem::replace(&mut self.state, State::Over(None)) {
                State::Exchanging(exchange, connection) => (exchange, connection),
                other => {
                    self.state = other;
                    return;
                }
            };
        exchange.stop(
            WriteFailure::ResponseEnded,
            ExpectOutcome::FinalResponse,
            BodyEnd::ClosedEarly,
            turn,
        );
        connection.count(exchange.bytes_out(), exchange.receiving().bytes());
        self.ending = Ending::Well;
        self.close(exchange, connection, CloseReason::BodyNotRead, turn);
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
            State::Pooling => Phase::Connect,
            State::Dialing(dial) => dial.phase(),
            State::Exchanging(exchange, _) => exchange.phase(),
            State::Returning(..) | State::Returned(..) | State::Closing(..) | State::Over(_) => {
                Phase::Done
            }
        }
    }

    /// Arms and disarms the deadlines of the exchange as it now stands.
    fn arm(&mut self, turn: &Turn<'_>) {
        let State::Exchanging(exchange, _) = &mut self.state else {
            return;
        };
        let (now, timeouts, timers) = (turn.now, &self.settings.timeouts, &mut self.timers);
        let inbound = turn.buffers.inbound.len();
        let stuck = exchange.sending().stuck_since();
        timers.set(
            Timer::WriteStall,
            stuck.is_some(),
            stuck.unwrap_or(now),
            timeouts.write_stall,
        );
        timers.set(
            Timer::Expect,
            exchange.sending().is_waiting(),
            now,
            Some(timeouts.expect),
        );
        let in_head = !exchange.receiving().has_head();
        let begun = in_head && inbound > 0;
        timers.set(
            Timer::FirstByte,
            in_head && !begun && exchange.is_request_over(),
            now,
            timeouts.first_byte,
        );
        timers.set(Timer::Head, begun, now, timeouts.head);
        let reading = !in_head && self.wanted > 0 && exchange.receiving().lent() == 0;
        timers.set(Timer::BodyIdle, reading, now, timeouts.body_idle);
    }

    fn report(&self, turn: &mut Turn<'_>) -> Report {
        let (bytes_out, bytes_in) = self.bytes();
        let url = &self.plan.url;
        Report {
            call: Some(self.id),
            conn: self.reached.as_ref().map(|reached| reached.conn),
            authority: Some(format!("{}:{}", url.host_str(), url.port()).into()),
            subject: None,
            tried: Vec::new(),
            bytes_out,
            bytes_in,
            reused: self.reached.as_ref().map(|reached| reached.reused),
            repeat: Some(self.repeat(bytes_out)),
            elapsed: turn
                .emitter
                .marks()
                .started()
                .map(|since| turn.now.saturating_duration_since(since)),
        }
    }

    fn repeat(&self, bytes_out: u64) -> Repeat {
        if bytes_out == 0 {
            Repeat::NothingSent
        } else if !self.plan.method.is_idempotent() {
            Repeat::MayHaveBeenProcessed
        } else if !self.plan.is_replayable {
            Repeat::BodyNotReplayable
        } else {
            Repeat::Idempotent
        }
    }
}

/// What broke a call, as far as its spans say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Lost,
    Peer,
    Source,
    Timeout,
    Canceled,
}

impl Cause {
    fn write_failure(self) -> WriteFailure {
        match self {
            Self::Lost => WriteFailure::ConnectionLost,
            Self::Peer => WriteFailure::ProtocolError,
            Self::Source => WriteFailure::BodySource,
            Self::Timeout => WriteFailure::Timeout,
            Self::Canceled => WriteFailure::Canceled,
        }
    }

    fn expect_outcome(self) -> ExpectOutcome {
        match self {
            Self::Lost | Self::Peer | Self::Source => ExpectOutcome::ConnectionLost,
            Self::Timeout => ExpectOutcome::Deadline,
            Self::Canceled => ExpectOutcome::Canceled,
        }
    }

    fn close_reason(self) -> CloseReason {
        match self {
            Self::Lost => CloseReason::ConnectionLost,
            Self::Peer => CloseReason::ProtocolError,
            Self::Source => CloseReason::BodySource,
            Self::Timeout => CloseReason::Timeout,
            Self::Canceled => CloseReason::Canceled,
        }
    }
}

fn put_idle(error: Option<CloseReason>, idle_now: u32, turn: &mut Turn<'_>) {
    turn.emitter.emit(EventKind::PutIdleConn, turn.now, |_| {
        Payload::PutIdleConn(PutIdleConn { error, idle_now })
    });
}
