//! The third interpreter of actions: each of them is done on the virtual network, by a function of its own.
//!
//! It decides as little as the other two: what to do next is the core's answer, always.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::drive::upload::Upload;
use crate::event::{CanceledBy, Emitter};
use crate::flow::action::{Action, Begun, DialInput, ExchangeInput, Input, Receive, Wait};
use crate::flow::call::{Call, Settings};
use crate::net::cancel::CancelHandle;
use crate::proto::Turn;
use crate::proto::buffers::Buffers;
use crate::proto::sending::Pulled;
use crate::testkit::sim::bug::Bug;
use crate::testkit::sim::caller::Caller;
use crate::testkit::sim::happening::Happening;
use crate::testkit::sim::network::{Incoming, StreamId};
use crate::testkit::sim::reader::Reader;
use crate::testkit::sim::source::{Nudge, Pace, Supply, nudge};
use crate::testkit::sim::world::World;

mod dialing;
mod pooling;
pub(super) mod speaking;

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
    pub(super) nudge: (Arc<Nudge>, Waker),
    pub(super) supply: Supply,
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

impl Actor {
    /// A call that has not begun and asks for nothing but its plan.
    pub(super) fn new(
        number: usize,
        call: Call,
        settings: Arc<Settings>,
        emitter: Emitter,
    ) -> Self {
        Self {
            number,
            call,
            settings,
            emitter,
            buffers: Buffers::default(),
            upload: Upload::Empty,
            cancel: CancelHandle::default(),
            caller: Caller::new(),
            reader: Reader::new(),
            lease: None,
            contestants: Vec::new(),
            asked: None,
            letters: VecDeque::new(),
            place: Place::Fresh,
            nudge: nudge(),
            supply: Supply::Nothing,
            timer: None,
            started: Duration::ZERO,
        }
    }
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
    pub(super) busy: Busy,
}

/// What a contestant that is connected is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    Nothing,
    Handshake,
    /// Bytes are exchanged with its proxy.
    Speaking,
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
                Action::MakeRoom { contestant, .. } => self.make_room(contestant),
                Action::ProbeRoute { addr } => self.probe_route(addr),
                Action::Resolve => self.resolve(),
                Action::EndDial { winner, forget } => self.end_dial(winner, forget),
                Action::Detach => self.part(),
                Action::Connect { contestant, addr } => self.connect(contestant, addr),
                Action::AbortConnect { contestant } => self.abort_connect(contestant),
                Action::StartTls { contestant, .. } => self.start_tls(contestant),
                Action::Speak { contestant } => self.speak(contestant),
                Action::Send { body } => self.send(body),
                Action::PullBody { max, is_first } => {
                    if self.pull(max, is_first) {
                        return Rest::Pulling;
                    }
                }
                Action::Resume => self.input(ExchangeInput::Wake),
                Action::Upgrade => self.upgrade(),
                Action::AskPlace => self.ask_place(),
                Action::Close => self.close(),
                Action::HandOut => return Rest::HandOut,
                Action::Wait(wait) => return Rest::Wait(wait),
                Action::Done => return Rest::Done,
            }
        }
    }

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
        let begun = match stream.in_flight {
            0 => Begun::Nothing,
            _ => Begun::Part,
        };
        match result {
            Ok(0) => self.input(ExchangeInput::Blocked(begun)),
            Ok(count) => self.input(ExchangeInput::Sent(count)),
            Err(_) if self.is_canceled() => self.input(Input::Cancel(CanceledBy::Caller)),
            Err(error) => self.input(ExchangeInput::SendFailed(begun, error)),
        }
    }

    /// Asks the caller's source, at once or after the time it takes; says whether it takes any.
    fn pull(&mut self, max: u64, is_first: bool) -> bool {
        match self.actor.caller.source {
            Pace::AtOnce => self.pulled(max, is_first),
            Pace::Blocks(time) => {
                let pull = Happening::Pull(self.actor.number, max, is_first);
                self.world.planner.plan_in(time, pull);
                return true;
            }
            Pace::NotNow(time) => match self.actor.supply {
                Supply::Piece => {
                    self.actor.supply = Supply::Nothing;
                    self.pulled(max, is_first);
                }
                Supply::Nothing => {
                    self.actor.supply = Supply::Coming;
                    let supply = Happening::Supply(self.actor.number);
                    self.world.planner.plan_in(time, supply);
                    self.input(ExchangeInput::Pulled(Pulled::NotNow, None));
                }
                Supply::Coming => self.input(ExchangeInput::Pulled(Pulled::NotNow, None)),
            },
        }
        false
    }

    /// The source that said "not now" has a piece.
    pub(super) fn supplied(&mut self) {
        self.actor.supply = Supply::Piece;
        self.actor.nudge.1.wake_by_ref();
    }

    /// The caller's source gives what it was asked for.
    pub(super) fn pulled(&mut self, max: u64, is_first: bool) {
        let Actor {
            upload,
            buffers,
            emitter,
            caller,
            nudge: (_, waker),
            ..
        } = &mut *self.actor;
        if let Some(pulled) = upload.pull(max, is_first, waker, &mut buffers.outbound) {
            if let Pace::Blocks(time) = caller.source {
                emitter.marks().caller_sends(time);
            }
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
        if let Some(input) = self.hear_proxy() {
            return Some(input.into());
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
        if wait.source && self.actor.nudge.0.take() {
            return Some(ExchangeInput::SourceReady.into());
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
                let max = usize::try_from(max).unwrap_or(usize::MAX);
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
