//! The third interpreter of actions: each of them is done on the virtual network, by a function of its own.
//!
//! It decides as little as the other two: what to do next is the core's answer, always.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::drive::apply::Upload;
use crate::error::LookupFailure;
use crate::event::{CanceledBy, ClosedBy, Emitter};
use crate::flow::action::{
    self, Action, DialInput, Discarded, ExchangeInput, IdleAnswer, Input, Offer, PoolInput,
    Receive, TlsFault, Wait,
};
use crate::flow::call::{Call, Settings};
use crate::flow::connection::Connection;
use crate::flow::dial::Dial;
use crate::flow::lookup::{Families, FlightId, Joined};
use crate::flow::pool::{Found, Heard, Mail, Wish};
use crate::message::answer::{Answer, Family, LookupError};
use crate::message::close::CloseReason;
use crate::net::cancel::CancelHandle;
use crate::proto::Turn;
use crate::proto::buffers::Buffers;
use crate::testkit::sim::bug::Bug;
use crate::testkit::sim::caller::Caller;
use crate::testkit::sim::happening::Happening;
use crate::testkit::sim::link::Handshake;
use crate::testkit::sim::network::{Incoming, StreamId};
use crate::testkit::sim::reader::Reader;
use crate::testkit::sim::world::{Idle, World};

/// Least room in the inbound buffer for one receive: what a small buffer has beside some bytes that wait.
const ROOM: usize = 4 * 1024;

/// Room for the bytes behind a direct read.
const ROOM_BEHIND: usize = 1024;

/// A call with everything it has of the world.
pub(super) struct Actor {
    pub(super) number: usize,
    pub(super) call: Call,
    pub(super) settings: Arc<Settings>,
    pub(super) emitter: Emitter,
    pub(super) buffers: Buffers,
    pub(super) upload: Upload,
    pub(super) cancel: CancelHandle,
    pub(super) caller: Caller,
    pub(super) reader: Reader,
    pub(super) lease: Option<Lease>,
    pub(super) contestants: Vec<Contestant>,
    /// The host whose lookup the call takes part in.
    pub(super) asked: Option<Box<str>>,
    /// What came of the dial and was not given to the core.
    pub(super) letters: VecDeque<DialInput>,
    pub(super) place: Place,
    /// When the next look at the deadline is planned.
    pub(super) timer: Option<Instant>,
    pub(super) started: Duration,
}

/// Where a call is, between two happenings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It has not begun.
    Fresh,
    /// It waits.
    Waiting(Wait),
    /// Its source was asked for so many bytes.
    Pulling,
    /// Its caller has control.
    WithCaller,
    Over,
}

/// A stream on loan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) stream: StreamId,
    generation: u64,
}

/// A stream of the dial.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contestant {
    pub(super) number: u16,
    pub(super) stream: StreamId,
    pub(super) tls: Tls,
}

/// Where a contestant is with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    Absent,
    UnderWay,
}

/// Where control goes after all actions that do not wait.
#[derive(Debug)]
pub(super) enum Rest {
    Wait(Wait),
    /// The caller's source takes its time.
    Pulling,
    HandOut,
    Done,
}

/// A call, and the world it acts on.
pub(super) struct Stage<'a> {
    pub(super) actor: &'a mut Actor,
    pub(super) world: &'a mut World,
}

impl Stage<'_> {
    /// Gives an input and delivers what came of it.
    pub(super) fn input(&mut self, input: impl Into<Input>) {
        self.tell(input.into());
        if let Some(reason) = self.actor.emitter.deliver() {
            self.tell(Input::Aborted(reason));
            self.actor.emitter.deliver();
        }
    }

    fn tell(&mut self, input: Input) {
        let (call, mut turn) = self.turn();
        call.input(input, &mut turn);
    }

    fn turn(&mut self) -> (&mut Call, Turn<'_>) {
        let Actor {
            call,
            buffers,
            emitter,
            settings,
            ..
        } = &mut *self.actor;
        let turn = Turn {
            buffers,
            now: self.world.planner.now(),
            emitter,
            rules: &settings.rules,
        };
        (call, turn)
    }

    /// Takes actions until one of them waits, hands out or is done.
    pub(super) fn apply(&mut self) -> Rest {
        loop {
            let (call, mut turn) = self.turn();
            let action = call.next(&mut turn);
            if let Some(reason) = self.actor.emitter.deliver() {
                self.tell(Input::Aborted(reason));
                continue;
            }
            match action {
                Action::BeginHop => self.input(Input::Hop),
                Action::TakeIdle { wish } => self.take_idle(wish),
                Action::WaitPool { cause, wish } => self.wait_pool(cause, wish),
                Action::LeavePool => self.leave_pool(),
                Action::MakeRoom { contestant } => self.make_room(contestant),
                Action::ProbeRoute { addr } => self.probe_route(addr),
                Action::Resolve => self.resolve(),
                Action::EndDial { winner, forget } => self.end_dial(winner, forget),
                Action::Connect { contestant, addr } => self.connect(contestant, addr),
                Action::AbortConnect { contestant } => self.abort_connect(contestant),
                Action::StartTls { contestant } => self.start_tls(contestant),
                Action::Send { body } => self.send(body),
                Action::PullBody { max, is_first } => {
                    if self.pull(max, is_first) {
                        return Rest::Pulling;
                    }
                }
                Action::Resume => self.input(ExchangeInput::Wake),
                Action::AskPlace => self.ask_place(),
                Action::PutIdle => self.put_idle(),
                Action::Close => self.close(),
                Action::HandOut => return Rest::HandOut,
                Action::Wait(wait) => return Rest::Wait(wait),
                Action::Done => return Rest::Done,
            }
        }
    }

    // ---- the pool ----

    fn take_idle(&mut self, wish: Wish) {
        let (now, call) = (self.world.now(), self.actor.call.id().get());
        let mut discarded = Vec::new();
        let (mut idle, mut active) = (0, 0);
        let found = loop {
            let url = self.actor.call.deciding();
            let taken = self.world.pool.take(url, call, wish, now);
            if idle == 0 {
                (idle, active) = (taken.idle, taken.active);
            }
            for (idle, reason) in taken.expired {
                discarded.push(self.discard(idle, reason));
            }
            let evicted = taken.evicted.map(|idle| (idle, CloseReason::Evicted));
            self.world.close_all(evicted);
            match taken.found {
                Found::Idle(found) => match self.world.death_of(found.stream) {
                    None => break Offer::Connection(self.lend(found)),
                    Some(reason) => {
                        let key = found.connection.key.clone();
                        discarded.push(self.discard(found, reason));
                        self.world.closed(&key, None, reason);
                    }
                },
                Found::MayDial => break self.offer(call),
                Found::MustWait(_) => break Offer::MustWait,
            }
        };
        self.input(PoolInput::Idle(IdleAnswer {
            found,
            idle,
            active,
            discarded,
        }));
    }

    /// A permit to dial, unless the bug has something better.
    fn offer(&mut self, call: u64) -> Offer {
        if self.world.bug == Some(Bug::MixedAnswers) {
            if let Some(connection) = self.take_any(call) {
                return Offer::Connection(connection);
            }
        }
        Offer::MayDial(self.world.ids.dial())
    }

    /// The bug: whatever connection is idle is taken, whomever it leads to.
    fn take_any(&mut self, call: u64) -> Option<Box<Connection>> {
        let mut is_first = true;
        let mut taken = self
            .world
            .pool
            .take_if(|_| std::mem::take(&mut is_first).then_some(CloseReason::Evicted));
        let (idle, _) = taken.pop()?;
        let served = self.world.pool.dialed(call, true);
        self.world.serve(served);
        Some(self.lend(idle))
    }

    fn discard(&mut self, idle: Idle, reason: CloseReason) -> Discarded {
        self.world.close_stream(idle.stream);
        Discarded {
            connection: idle.connection,
            reason,
            by: ClosedBy::of(reason),
        }
    }

    /// Takes a connection on loan.
    fn lend(&mut self, Idle { stream, connection }: Idle) -> Box<Connection> {
        let generation = self.world.pool.generation();
        self.world.net.streams[stream].owner = Some(self.actor.number);
        self.actor.lease = Some(Lease { stream, generation });
        connection
    }

    fn wait_pool(&mut self, cause: action::Cause, wish: Wish) {
        let (number, call) = (self.actor.number, self.actor.call.id().get());
        let url = self.actor.call.deciding();
        let joined = self.world.pool.join(url, call, (cause, wish), number);
        let evicted = joined.evicted.map(|idle| (idle, CloseReason::Evicted));
        self.world.close_all(evicted);
        match joined.found {
            Found::MustWait(limit) => {
                let depth = joined.depth;
                self.input(PoolInput::Queued { limit, depth });
            }
            Found::Idle(idle) => {
                let generation = self.world.pool.generation();
                self.take_mail(Mail::Handed(idle, generation));
            }
            Found::MayDial => self.take_mail(Mail::MayDial),
        }
    }

    /// Looks whether something was left for a call that has no connection, and takes it.
    pub(super) fn hears(&mut self) -> bool {
        if !self.actor.call.awaits_connection() {
            return false;
        }
        let call = self.actor.call.id().get();
        match self.world.pool.listen(call, self.actor.number) {
            Heard::Mail(mail) => {
                self.take_mail(mail);
                true
            }
            Heard::Nothing | Heard::Nobody => false,
        }
    }

    fn take_mail(&mut self, mail: Mail<Idle>) {
        let handed = match mail {
            Mail::MayDial => {
                let dial = self.world.ids.dial();
                return self.input(PoolInput::MayDial(dial));
            }
            Mail::Handed(handed, _) => handed,
        };
        let Some(reason) = self.world.death_of(handed.stream) else {
            let connection = self.lend(handed);
            return self.input(PoolInput::Handed(connection));
        };
        let (key, call) = (handed.connection.key.clone(), self.actor.call.id().get());
        let served = self.world.pool.died(&key, call, reason);
        let active = self.world.pool.counts().1;
        self.world.serve(served);
        let answer = IdleAnswer {
            found: Offer::MayDial(self.world.ids.dial()),
            idle: 1,
            active,
            discarded: vec![self.discard(handed, reason)],
        };
        self.input(PoolInput::Idle(answer));
    }

    fn leave_pool(&mut self) {
        let served = self.world.pool.leave(self.actor.call.id().get());
        self.world.serve(served);
    }

    /// The virtual network has descriptors for everybody.
    fn make_room(&mut self, contestant: u16) {
        self.input(PoolInput::Room {
            contestant,
            room: action::Room::Nothing,
        });
    }

    fn ask_place(&mut self) {
        let place = match (&self.actor.lease, self.actor.call.connection()) {
            _ if self.actor.cancel.is_canceled() => Err(CloseReason::Canceled),
            (Some(_), Some(_)) if !self.world.keep_alive => Err(CloseReason::KeepAlivesDisabled),
            (Some(lease), Some(connection)) => {
                self.world.pool.place(&connection.key, lease.generation)
            }
            _ => Err(CloseReason::ConnectionLost),
        };
        self.input(PoolInput::Place(place));
    }

    fn put_idle(&mut self) {
        let (Some(lease), Some(connection)) =
            (self.actor.lease.take(), self.actor.call.take_connection())
        else {
            return;
        };
        self.world.net.streams[lease.stream].owner = None;
        let key = connection.key.clone();
        if let Some(version) = connection.version {
            self.world.pool.answered(&key, version);
        }
        let idle = Idle {
            stream: lease.stream,
            connection,
        };
        let served = self.world.pool.put(&key, idle, lease.generation);
        self.world.serve(served);
    }

    fn close(&mut self) {
        if let Some(lease) = self.actor.lease.take() {
            self.world.close_stream(lease.stream);
        }
        let gone = self.actor.call.closing().map(|(connection, reason)| {
            let key = connection.key.clone();
            (key, connection.version, reason)
        });
        self.input(PoolInput::Closed);
        if let Some((key, version, reason)) = gone {
            self.world.closed(&key, version, reason);
        }
    }

    // ---- the dial ----

    fn resolve(&mut self) {
        let dial = self.actor.call.dialing();
        let host: Box<str> = dial.map(Dial::host).unwrap_or_default().into();
        self.actor.asked = Some(host.clone());
        let now = self.world.now();
        let waiter = self.actor.call.id().get();
        let number = self.actor.number;
        let joined = self.world.lookup.join(&host, waiter, number, now);
        match joined {
            Joined::Start(flight) => {
                self.input(DialInput::Asked { shared: false });
                self.ask(&host, flight);
            }
            Joined::Shared(families) => {
                self.input(DialInput::Asked { shared: true });
                self.known(&families, true);
            }
            Joined::Cached(families) => {
                self.input(DialInput::Asked { shared: false });
                let none = || Some(Ok(Answer::none()));
                let families = Families {
                    v4: families.v4.or_else(none),
                    v6: families.v6.or_else(none),
                };
                self.known(&families, false);
            }
            Joined::Full(_) => {
                let failed = || Some(Err(LookupError::new(LookupFailure::System).into()));
                let families = Families {
                    v4: failed(),
                    v6: failed(),
                };
                self.known(&families, false);
            }
        }
    }

    /// Asks the names of the simulation, both families or the only one that is used.
    fn ask(&mut self, host: &str, flight: FlightId) {
        let (now, only) = (self.world.now(), self.actor.settings.family);
        for family in Family::BOTH {
            if only.is_some_and(|only| only != family) {
                let none = Ok(Answer::none());
                let lookup = &mut self.world.lookup;
                lookup.family_done(host, flight, family, none.clone(), now);
                self.input(DialInput::Resolved {
                    family,
                    outcome: none,
                    coalesced: false,
                });
                continue;
            }
            self.input(DialInput::QueryBegan { family, at: now });
            if let Some(delay) = self.world.names.delay(host, family) {
                let answer = Happening::Answer(host.into(), flight, family);
                self.world.planner.plan_in(delay, answer);
            }
        }
    }

    fn known(&mut self, families: &Families, coalesced: bool) {
        for family in Family::BOTH {
            if let Some(outcome) = families.get(family).cloned() {
                self.input(DialInput::Resolved {
                    family,
                    outcome,
                    coalesced,
                });
            }
        }
    }

    fn probe_route(&mut self, addr: SocketAddr) {
        let reachable = self.world.net.has_route(addr);
        self.input(DialInput::Route { addr, reachable });
    }

    fn connect(&mut self, number: u16, addr: SocketAddr) {
        let owner = self.actor.number;
        match self.world.net.connect(addr, owner, &mut self.world.planner) {
            Ok(stream) => {
                self.actor.contestants.push(Contestant {
                    number,
                    stream,
                    tls: Tls::Absent,
                });
            }
            Err(error) => self.input(DialInput::Connected {
                contestant: number,
                result: Err(error),
            }),
        }
    }

    fn abort_connect(&mut self, number: u16) {
        let place = self
            .actor
            .contestants
            .iter()
            .position(|contestant| contestant.number == number);
        if let Some(place) = place {
            let contestant = self.actor.contestants.remove(place);
            self.world.close_stream(contestant.stream);
        }
    }

    /// Leaves the lookup, keeps the winner, closes the others.
    fn end_dial(&mut self, winner: Option<u16>, forget: bool) {
        let call = self.actor.call.id().get();
        if let Some(host) = self.actor.asked.take() {
            let _ = self.world.lookup.leave(&host, call);
            if forget {
                self.world.lookup.evict(&host);
            }
        }
        self.actor.letters.clear();
        let mut won = None;
        for contestant in std::mem::take(&mut self.actor.contestants) {
            if winner == Some(contestant.number) {
                won = Some(contestant.stream);
            } else {
                self.world.close_stream(contestant.stream);
            }
        }
        let served = self.world.pool.dialed(call, won.is_some());
        self.world.serve(served);
        if let Some(stream) = won {
            let generation = self.world.pool.generation();
            self.actor.lease = Some(Lease { stream, generation });
        }
    }

    fn start_tls(&mut self, number: u16) {
        let contestants = &mut self.actor.contestants;
        let Some(contestant) = contestants.iter_mut().find(|each| each.number == number) else {
            return;
        };
        contestant.tls = Tls::UnderWay;
        let stream = contestant.stream;
        let latency = self.world.net.streams[stream].link.latency;
        self.world
            .planner
            .plan_in(latency, Happening::Hello(stream));
    }

    /// Takes what became of a connect.
    pub(super) fn connected(&mut self, stream: StreamId, result: std::io::Result<SocketAddr>) {
        let contestants = &self.actor.contestants;
        let Some(contestant) = contestants.iter().find(|each| each.stream == stream) else {
            return;
        };
        let number = contestant.number;
        let result = result.map(|local| (self.world.ids.conn(), Some(local)));
        if let Ok((conn, _)) = &result {
            self.world.net.streams[stream].conn = Some(*conn);
        }
        self.actor.letters.push_back(DialInput::Connected {
            contestant: number,
            result,
        });
    }

    /// Takes what became of a TLS handshake: what the peer says, or else what came instead.
    pub(super) fn secured(&mut self, stream: StreamId, said: Option<Handshake>) {
        let contestants = &mut self.actor.contestants;
        let Some(contestant) = contestants.iter_mut().find(|each| each.stream == stream) else {
            return;
        };
        if contestant.tls == Tls::Absent {
            return;
        }
        let result = match said {
            Some(Handshake::Made { .. }) => Ok(self.world.tls.clone()),
            Some(Handshake::Failed(failure)) => Err(failure),
            Some(Handshake::Stalled) => return,
            None => match self.world.net.streams[stream].handshake_failure() {
                Some(failure) => Err(failure),
                None => return,
            },
        };
        contestant.tls = Tls::Absent;
        let number = contestant.number;
        if result.is_err() {
            self.abort_connect(number);
        }
        self.actor.letters.push_back(DialInput::TlsDone {
            contestant: number,
            result: result.map_err(|failure| TlsFault {
                failure,
                alert: None,
                source: "the simulated handshake failed".into(),
            }),
        });
    }

    // ---- the exchange ----

    fn send(&mut self, body: Range<u64>) {
        let Some(lease) = self.actor.lease else {
            return;
        };
        let stream = &mut self.world.net.streams[lease.stream];
        let head = self.actor.buffers.outbound.filled();
        let body = self.actor.upload.range(body);
        let planner = &mut self.world.planner;
        let result = stream.send(lease.stream, [head, body], planner);
        if let (Some(bug), Ok(count @ 1..)) = (self.world.bug, &result) {
            let again = match bug {
                Bug::SentTwice => &head[..head.len().min(*count)],
                Bug::Miscounted => &b"\r\n"[..],
                _ => &[],
            };
            let _ = stream.send(lease.stream, [again, &[]], planner);
        }
        match result {
            Ok(0) => self.input(ExchangeInput::Blocked),
            Ok(count) => self.input(ExchangeInput::Sent(count)),
            Err(_) if self.is_canceled() => self.input(Input::Cancel(CanceledBy::Caller)),
            Err(error) => self.input(ExchangeInput::SendFailed(error)),
        }
    }

    /// Asks the caller's source, at once or after the time it takes; says whether it takes any.
    fn pull(&mut self, max: u64, is_first: bool) -> bool {
        let takes = self.actor.caller.source_pause;
        if takes.is_zero() {
            self.pulled(max, is_first);
            return false;
        }
        let pull = Happening::Pull(self.actor.number, max, is_first);
        self.world.planner.plan_in(takes, pull);
        true
    }

    /// The caller's source gives what it was asked for.
    pub(super) fn pulled(&mut self, max: u64, is_first: bool) {
        let Actor {
            upload,
            buffers,
            emitter,
            caller,
            ..
        } = &mut *self.actor;
        if let Some(pulled) = upload.pull(max, is_first, &mut buffers.outbound) {
            emitter.marks().caller_sends(caller.source_pause);
            self.input(pulled);
        }
    }

    /// Says whether the caller gave the call up and the core does not know.
    pub(super) fn is_canceled(&self) -> bool {
        !self.actor.call.is_over() && self.actor.cancel.is_canceled()
    }

    /// What ends a wait at this moment, if anything does.
    pub(super) fn ready(&mut self, wait: &Wait) -> Option<Input> {
        if let Some(letter) = self.actor.letters.pop_front() {
            return Some(letter.into());
        }
        if let (Some(receive), Some(lease)) = (wait.receive, self.actor.lease) {
            let stream = &self.world.net.streams[lease.stream];
            if stream.is_readable() {
                return Some(self.receive(receive, lease.stream));
            }
            if wait.send && stream.is_writable() {
                return Some(ExchangeInput::Writable.into());
            }
        }
        let is_late = wait.deadline.is_some_and(|at| at <= self.world.now());
        let is_deaf = self.world.bug == Some(Bug::NoDeadline);
        (is_late && !is_deaf).then_some(Input::Timeout)
    }

    fn receive(&mut self, receive: Receive, id: StreamId) -> Input {
        let planner = &mut self.world.planner;
        let inbound = &mut self.actor.buffers.inbound;
        let into = self.actor.reader.slice();
        let stream = &mut self.world.net.streams[id];
        let (first, second) = match receive {
            Receive::Inbound => (inbound.spare(ROOM), &mut [][..]),
            Receive::Caller { max } => {
                let behind = inbound.spare(ROOM_BEHIND);
                (
                    into.get_mut(..max).unwrap_or_default(),
                    behind.get_mut(..ROOM_BEHIND).unwrap_or_default(),
                )
            }
        };
        let (first_len, is_direct) = (first.len(), matches!(receive, Receive::Caller { .. }));
        match stream.receive(id, first, second, planner) {
            Incoming::Nothing => ExchangeInput::Received {
                direct: 0,
                buffered: 0,
            }
            .into(),
            Incoming::Bytes(count) => {
                let count = count - usize::from(self.world.bug == Some(Bug::LostByte) && count > 1);
                let (direct, buffered) = if is_direct {
                    (count.min(first_len), count.saturating_sub(first_len))
                } else {
                    (0, count)
                };
                inbound.fill(buffered);
                ExchangeInput::Received { direct, buffered }.into()
            }
            Incoming::Ended { clean } => ExchangeInput::Ended { clean }.into(),
            Incoming::Broken(error) => ExchangeInput::ReceiveFailed(error).into(),
        }
    }
}
