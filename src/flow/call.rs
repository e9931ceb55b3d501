//! One call: what the user asked for once.
//!
//! The rule guarded here: every span that begins gets its end, in one order, whatever happens; and a
//! connection goes back only if nothing is left of the request, the response, or anybody's doubts.
//!
//! ```text
//!   Fresh --> Ready --> Pooling --idle--> Exchanging --complete--> Returning --> Over
//!               ^        |   |               ^  ^  |not to be kept, broken
//!               |        |   \--may dial--> Dialing \--> Closing --> Over
//!               |        |                  ^  |no descriptor, or not needed (detached.rs)
//!               |        \--must wait--> Joining --> Queued --handed--> Exchanging
//!               \--redirect-- Left <-- Returning, Closing
//! ```

mod acquiring;
mod choosing;
mod chore;
mod deadlines;
mod detached;
mod ending;
mod exchanging;
mod hops;
mod queueing;
mod scarcity;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::config::Timeouts;
use crate::error::{Error, ErrorKind, Phase, Timer};
use crate::event::{
    CallDone, CallStart, Emitter, ErrorFacts, EventKind, GetConn, Payload, RedirectRefusal,
    RetryRule,
};
use crate::flow::action::{Action, Input, PoolInput, Wait};
use crate::flow::call::chore::Chore;
use crate::flow::call::detached::Detached;
pub(crate) use crate::flow::call::detached::DetachedDial;
use crate::flow::call::ending::tell_call_done;
pub use crate::flow::call::hops::Hop;
use crate::flow::call::hops::{Earlier, NextHop};
use crate::flow::call::queueing::Queued;
use crate::flow::call::scarcity::Scarcity;
use crate::flow::connection::Connection;
use crate::flow::dial::Dial;
use crate::flow::dial::guard::Guard;
use crate::flow::pool::{self, Cause, Key, Life, Wish};
use crate::flow::proxy::{GivenProxy, Proxies};
use crate::flow::redirect::RedirectPolicy;
use crate::flow::timers::Timers;
use crate::ids::{CallId, ConnId};
use crate::message::answer::Family;
use crate::message::close::CloseReason;
use crate::message::connect_to::ConnectTo;
use crate::message::dial::DialProfile;
use crate::message::fields::Fields;
use crate::message::overrides::Overrides;
use crate::message::peer_addr::{PeerAddr, UnixAddr};
use crate::message::tls::TlsFacts;
use crate::message::via::Destination;
use crate::proto::exchange::Exchange;
use crate::proto::plan::Plan;
use crate::proto::receiving::FinalHead;
use crate::proto::{Rules, Turn};

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    plan: Plan,
    settings: Arc<Settings>,
    state: State,
    timers: Timers,
    /// Attempts that were begun, of all hops and of this one.
    attempts: u16,
    tries: u16,
    /// What was before this attempt, if anything was.
    earlier: Option<Box<Earlier>>,
    head: Arrived,
    reached: Option<ReachedFacts>,
    ending: Ending,
    status: Option<u16>,
    /// Why the redirect of the response is not followed, if it is one.
    refusal: Option<RedirectRefusal>,
    /// The facts of the connection, when it goes back.
    returned: Option<Box<Connection>>,
    /// Since when the caller has control, if it has.
    with_caller: Option<Instant>,
    wanted: usize,
    /// When bytes last came or went.
    moved: Option<Instant>,
    /// The reset that a send was told of. The system tells it once, and then the stream seems to end well.
    reset: Option<io::Error>,
    /// What is to be done before anything else.
    chore: Option<Chore>,
    /// What is known of descriptors and of waiting for them, in this attempt, if anything is.
    scarcity: Option<Box<Scarcity>>,
    /// The dial that goes on without this call, until the driver takes it.
    detached: Option<Box<Self>>,
}

/// The settings of one call.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) timeouts: Timeouts,
    /// Repeats of a broken attempt that are allowed.
    pub(crate) retries: u16,
    pub(crate) redirects: RedirectPolicy,
    /// Whether no hop may be http.
    pub(crate) https_only: bool,
    /// How the proxy of a hop is chosen.
    pub(crate) proxies: Proxies,
    /// The unix socket that all connections go to, if one.
    pub(crate) unix: Option<UnixAddr>,
    /// How long a connection lives.
    pub(crate) life: Life,
    /// Addresses that the caller gave in advance.
    pub(crate) overrides: Overrides,
    /// Other places to connect to than the URL says.
    pub(crate) connect_to: ConnectTo,
    /// How contestants are ordered and staggered.
    pub(crate) dial_profile: DialProfile,
    /// The only address family that is used, if not both.
    pub(crate) family: Option<Family>,
    /// Which addresses may be dialed.
    pub(crate) guard: Guard,
    /// Whether the resolver is the caller's own.
    pub(crate) is_resolver_custom: bool,
    /// What becomes of a dial that its call does not need any more.
    pub(crate) detached: DetachedDial,
}

impl Settings {
    /// The same settings, changed.
    pub(crate) fn changed(&self, changes: Changes) -> Self {
        let Changes {
            timeouts,
            redirects,
            proxy,
            unix,
        } = changes;
        let timeouts = timeouts.unwrap_or_else(|| self.timeouts.clone());
        let rules = Rules {
            expect_limit: timeouts.expect,
            ..self.rules.clone()
        };
        Self {
            rules,
            timeouts,
            overrides: self.overrides.clone(),
            redirects: redirects.unwrap_or_else(|| self.redirects.clone()),
            proxies: match proxy {
                Some(given) => self.proxies.replaced(given),
                None => self.proxies.clone(),
            },
            unix: unix.or_else(|| self.unix.clone()),
            connect_to: self.connect_to.clone(),
            guard: self.guard.clone(),
            ..*self
        }
    }
}

/// What one call has otherwise than its client.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) redirects: Option<RedirectPolicy>,
    pub(crate) proxy: Option<GivenProxy>,
    pub(crate) unix: Option<UnixAddr>,
}

/// The connection as the response shows it.
#[derive(Debug, Clone)]
pub(crate) struct ReachedFacts {
    pub(crate) conn: ConnId,
    pub(crate) remote: PeerAddr,
    pub(crate) reused: bool,
    /// Whether it was in the pool, as one that was used is, and one that a detached dial made.
    pub(crate) was_idle: bool,
    pub(crate) tls: Option<Arc<TlsFacts>>,
}

#[derive(Debug)]
enum State {
    /// Nothing has happened.
    Fresh,
    /// The request of a hop is ready to be sent.
    Ready,
    /// The pool is asked.
    Pooling(Wish),
    /// The queue is to be joined, for this reason.
    Joining(Cause, Wish),
    /// The call waits for a connection that comes back, or for the permit to dial.
    Queued(Queued),
    /// A connection is being made.
    Dialing(Box<Dial>),
    /// This is no call but a dial that goes on without one.
    Detached(Detached),
    /// Request and response are under way.
    Exchanging(Box<Exchange>, Box<Connection>),
    /// The exchange is complete and the pool is asked for a place.
    Returning(Box<Exchange>, Box<Connection>),
    /// The connection is to be closed.
    Closing(Box<Exchange>, Box<Connection>, CloseReason),
    /// The attempt is over; its response is a redirect that is not yet followed.
    Left(Box<Exchange>),
    /// The call is over; what was received can still be taken.
    Over(Option<Box<Exchange>>),
}

/// The final head, until the driver takes it.
#[derive(Debug)]
enum Arrived {
    Nothing,
    Head(Box<FinalHead>, Judgement),
}

/// What is known of what a final head asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// Nothing: observers speak about the head.
    Due,
    /// All.
    Made,
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
    /// With this error of an observer that spoke while the connection was being closed; told when it is.
    Aborted(Error),
    /// Not yet: the response is a redirect, and this request follows it.
    Planned(Box<NextHop>),
    /// Not yet: the attempt is left for what comes next.
    Onward(Onward),
}

/// What comes after an attempt that does not end the call.
#[derive(Debug)]
enum Onward {
    /// The same request by this rule, after this error if it was one.
    Attempt(Option<Box<ErrorFacts>>, RetryRule),
    /// The next hop.
    Hop(Box<NextHop>),
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
            attempts: 0,
            tries: 0,
            earlier: None,
            head: Arrived::Nothing,
            reached: None,
            ending: Ending::Open,
            status: None,
            refusal: None,
            returned: None,
            with_caller: None,
            wanted: 0,
            moved: None,
            reset: None,
            chore: None,
            scarcity: None,
            detached: None,
        }
    }

    /// Takes an input. The driver then delivers the events and asks for actions.
    pub(crate) fn input(&mut self, input: Input, turn: &mut Turn<'_>) {
        match input {
            Input::Start => self.start(turn),
            Input::Hop => self.begin_hop(turn),
            Input::Follow => self.follow_redirect(turn),
            Input::Pool(input) => self.pool_input(input, turn),
            Input::Dial(input) => self.dial_input(input, turn),
            Input::Exchange(input) => self.exchange_input(input, turn),
            Input::Wanted(max) => self.wanted(max, turn),
            Input::BodyClosed => self.body_closed(turn),
            Input::Timeout => self.timeout(turn),
            Input::Cancel(by) => self.cancel(by, turn),
            Input::Aborted(reason) => self.aborted(reason, turn),
        }
    }

    /// The next thing to be done.
    pub(crate) fn next(&mut self, turn: &mut Turn<'_>) -> Action {
        if let Some(action) = self.chore.take().and_then(|chore| self.action_of(chore)) {
            return action;
        }
        match &mut self.state {
            State::Fresh | State::Over(_) => Action::Done,
            State::Ready => Action::BeginHop,
            State::Left(_) => Action::HandOut,
            State::Pooling(wish) => Action::TakeIdle { wish: *wish },
            State::Joining(cause, wish) => Action::WaitPool {
                cause: *cause,
                wish: *wish,
            },
            State::Queued(_) => Action::Wait(Wait {
                send: false,
                receive: None,
                source: false,
                deadline: self.timers.next(),
            }),
            State::Dialing(dial) => {
                let step = dial.next(turn, &mut self.timers);
                self.follow_dial(step, turn)
            }
            State::Detached(_) => self.next_of_detached(turn),
            State::Exchanging(..) => self.next_of_exchange(turn),
            State::Returning(..) => Action::AskPlace,
            State::Closing(..) => Action::Close,
        }
    }

    /// The final head, once; for the response.
    fn take_head(&mut self) -> Option<Box<FinalHead>> {
        match std::mem::replace(&mut self.head, Arrived::Nothing) {
            Arrived::Nothing => None,
            Arrived::Head(head, _) => Some(head),
        }
    }

    /// The head of the response, once it is handed out, or why there is none. A body that is broken is told by the
    /// read; a call that was given up has no response, and none that was to speak another protocol and cannot.
    pub(crate) fn take_response(&mut self) -> Result<Box<FinalHead>, Error> {
        let is_switch = self.is_switch();
        let is_given_up = self
            .error()
            .filter(|error| error.phase() != Phase::Done)
            .is_some_and(|error| {
                is_switch || matches!(error.kind(), ErrorKind::Aborted | ErrorKind::Canceled)
            });
        self.take_head().filter(|_| !is_given_up).ok_or_else(|| {
            self.take_error()
                .unwrap_or_else(|| Error::new(ErrorKind::Internal, Phase::Done))
        })
    }

    /// The connection that the response came over.
    pub(crate) fn reached(&self) -> Option<&ReachedFacts> {
        self.reached.as_ref()
    }

    /// Takes the connection that the response came over, of a call that is over.
    pub(crate) fn take_reached(&mut self) -> Option<ReachedFacts> {
        self.reached.take()
    }

    /// The error of the call, if it failed.
    pub(crate) fn error(&self) -> Option<&Error> {
        match &self.ending {
            Ending::Failed(error) => Some(error),
            Ending::Open
            | Ending::Well
            | Ending::Aborted(_)
            | Ending::Planned(_)
            | Ending::Onward(_) => None,
        }
    }

    /// Takes the error of the call; what stays tells the same without its source.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        match &mut self.ending {
            Ending::Failed(error) => {
                let again = error.again();
                Some(std::mem::replace(error, again))
            }
            Ending::Open
            | Ending::Well
            | Ending::Aborted(_)
            | Ending::Planned(_)
            | Ending::Onward(_) => None,
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
            | State::Closing(_, connection, _)
            | State::Detached(Detached::Spare(connection) | Detached::Useless(connection, _)) => {
                Some(connection)
            }
            State::Fresh
            | State::Ready
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Dialing(_)
            | State::Detached(Detached::Dialing(_))
            | State::Left(_)
            | State::Over(_) => None,
        }
    }

    /// Takes the key that the pool has for the connection on loan, so that connections of one key have one.
    pub(crate) fn share_key(&mut self, key: Option<Arc<Key>>) {
        let (State::Exchanging(_, connection)
        | State::Detached(Detached::Spare(connection) | Detached::Useless(connection, _))) =
            &mut self.state
        else {
            return;
        };
        if let Some(key) = key.filter(|key| *key == connection.key) {
            connection.key = key;
        }
    }

    /// The connection being made, if one is.
    pub(crate) fn dialing(&self) -> Option<&Dial> {
        let (State::Dialing(dial) | State::Detached(Detached::Dialing(dial))) = &self.state else {
            return None;
        };
        Some(dial)
    }

    /// The URL that decides which connection may serve.
    pub(crate) fn deciding(&self) -> Destination<'_> {
        pool::deciding(&self.plan, &self.settings)
    }

    /// Says whether the call waits in the queue or its dial goes on, so that a connection that comes back can serve it.
    pub(crate) fn awaits_connection(&self) -> bool {
        match &self.state {
            State::Queued(_) => true,
            State::Dialing(dial) => !dial.is_complete(),
            State::Fresh
            | State::Ready
            | State::Pooling(_)
            | State::Joining(..)
            | State::Detached(_)
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Closing(..)
            | State::Left(_)
            | State::Over(_) => false,
        }
    }

    /// The connection that is to be closed, and why.
    pub(crate) fn closing(&self) -> Option<(&Connection, CloseReason)> {
        let (State::Closing(_, connection, reason)
        | State::Detached(Detached::Useless(connection, reason))) = &self.state
        else {
            return None;
        };
        Some((connection, *reason))
    }

    /// Says whether the response begins another protocol.
    pub(crate) fn is_switch(&self) -> bool {
        self.exchange()
            .is_some_and(|exchange| exchange.receiving().is_switch())
    }

    /// Says whether the connection is about to be handed over to the caller.
    fn is_switching(&self) -> bool {
        matches!(&self.state, State::Exchanging(exchange, _) if exchange.receiving().has_switched())
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
            | State::Closing(exchange, ..)
            | State::Left(exchange)
            | State::Over(Some(exchange)) => Some(exchange),
            State::Fresh
            | State::Ready
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Dialing(_)
            | State::Detached(_)
            | State::Over(None) => None,
        }
    }

    fn start(&mut self, turn: &mut Turn<'_>) {
        call_start(self.id, &self.plan, turn.now, turn.emitter);
        self.timers
            .arm(Timer::Total, turn.now, self.settings.timeouts.total);
        self.state = State::Ready;
    }

    /// An attempt begins: a connection is wanted.
    fn begin_attempt(&mut self, wish: Wish, turn: &mut Turn<'_>) {
        let plan = &self.plan;
        let hop = u8::try_from(self.hops().len()).unwrap_or(u8::MAX);
        turn.emitter.begin_attempt(hop, self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        self.tries = self.tries.saturating_add(1);
        turn.emitter
            .emit(EventKind::GetConn, turn.now, |redaction| {
                Payload::GetConn(Arc::new(GetConn {
                    target: format!("{}:{}", plan.url.host_str(), plan.url.port()).into(),
                    url: redaction.url(&plan.url).into(),
                    proxy: plan.via().proxy().map(|proxy| proxy.authority().into()),
                }))
            });
        self.timers
            .arm(Timer::Connect, turn.now, self.settings.timeouts.connect);
        self.state = State::Pooling(wish);
    }

    fn pool_input(&mut self, input: PoolInput, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Detached(_)) {
            return self.spare_input(input, turn);
        }
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

    /// Where the call is.
    pub(crate) fn phase(&self) -> Phase {
        match &self.state {
            State::Fresh | State::Ready => Phase::Prepare,
            State::Pooling(_) => Phase::Connect,
            State::Joining(..) | State::Queued(_) => Phase::Queue,
            State::Dialing(dial) | State::Detached(Detached::Dialing(dial)) => dial.phase(),
            State::Exchanging(exchange, _) => exchange.phase(),
            State::Detached(_)
            | State::Returning(..)
            | State::Closing(..)
            | State::Left(_)
            | State::Over(_) => Phase::Done,
        }
    }
}
