//! The one interpreter of actions. A driver adds only how it waits.
//!
//! After each input the events that came of it are delivered, with no lock held and the machine at rest; an
//! observer's wish to abort is the next input.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::drive::contestants::Contestants;
use crate::drive::engine::{Engine, next_dial};
use crate::drive::lease::{Idle, Lease, Memory};
use crate::drive::nudge::Nudge;
use crate::drive::outlook::News;
use crate::drive::pool::Gone;
use crate::drive::upload::Upload;
use crate::drive::waits::Waits;
use crate::error::Error;
use crate::event::{CanceledBy, Emitter};
use crate::flow::action::{
    Action, Begun, Cause, ExchangeInput, Input, PoolInput, Receive, Scarce, TlsFault, Wait,
};
use crate::flow::call::{Call, Settings};
use crate::flow::pool::{Found, Mail, Wish};
use crate::message::close::CloseReason;
use crate::net::cancel::CancelHandle;
use crate::net::clock;
use crate::net::poll::Owner;
use crate::net::tls::TlsError;
use crate::net::transport::{Broken, Transport};
use crate::proto::Turn;
use crate::proto::sending::Pulled;

/// A call with everything it needs of the world.
pub(crate) struct Running {
    pub(crate) call: Call,
    pub(crate) engine: Arc<Engine>,
    /// Its settings, if they are not those of its client.
    pub(crate) changed: Option<Arc<Settings>>,
    pub(crate) emitter: Emitter,
    /// Its memory, while it has any: in an event loop, while it goes on or bytes stand in it.
    pub(crate) memory: Option<Box<Memory>>,
    pub(crate) upload: Upload,
    pub(crate) cancel: Option<CancelHandle>,
    /// By which the pool wakes the call while it has no connection.
    pub(crate) ear: Option<CancelHandle>,
    /// By which the caller's source or sink wakes the call.
    pub(crate) nudge: Option<Arc<Nudge>>,
    pub(crate) lease: Option<Lease>,
    pub(crate) contestants: Contestants,
    pub(crate) waits: Waits,
    /// What is known of idle connections when the first one is taken.
    pub(crate) news: News,
    /// Where the bytes go that the call waits for, if it waits for nothing else: until the core is told something.
    pub(crate) awaits: Option<Receive>,
    pub(crate) now: Instant,
}

/// Where control goes after all actions that do not wait.
#[derive(Debug)]
pub(crate) enum Rest {
    /// Wait for the first of these.
    Wait(Wait),
    /// Hand over what is to be sent, with this range of the body in memory, by [`Running::send`]; its answer is the next
    /// input.
    Send(Range<u64>),
    /// A hop can begin.
    BeginHop,
    /// The response can be handed out.
    HandOut,
    /// The call is over.
    Done,
    /// The dial goes on without the call: [`Running::part`] it.
    Parting,
    /// Nothing waits, but much was done: others may have their turn.
    Spent,
}

/// Actions that are taken in one go.
const ACTIONS: usize = 64;

/// Why control came back to whoever stands for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// A hop can begin.
    BeginHop,
    /// The response, or more of its body, can be handed out.
    HandOut,
    /// The call is over.
    Done,
}

impl Running {
    /// Goes on until the call has to wait, or its caller is asked. What the call may block on is registered by then:
    /// a cancel came before, or will end the wait.
    pub(crate) fn go(&mut self) -> Rest {
        if self.call.is_over() {
            return Rest::Done;
        }
        self.go_to_rest()
    }

    #[inline(never)]
    fn go_to_rest(&mut self) -> Rest {
        loop {
            if self.is_canceled() {
                self.read_clock();
                self.input(Input::Cancel(CanceledBy::Caller));
            }
            if let Some(receive) = self.awaits {
                return Rest::Wait(self.call.wait_for(receive));
            }
            let rest = self.apply();
            let Rest::Wait(wait) = rest else {
                return rest;
            };
            if !self.is_canceled() {
                self.awaits = wait.receive.filter(|_| !wait.send && !wait.source);
                return rest;
            }
        }
    }

    /// Gives what ended a wait, unless that was a cancel; without an input the core is only asked again. Says how many
    /// bytes went straight to the caller: they end its read.
    pub(crate) fn resume(&mut self, input: Option<Input>) -> usize {
        self.read_clock();
        if self.is_canceled() {
            self.input(Input::Cancel(CanceledBy::Caller));
            return 0;
        }
        let Some(input) = input else { return 0 };
        let mut straight = 0;
        if let Input::Exchange(ExchangeInput::Received { direct, .. }) = input {
            straight = direct;
        }
        self.input(input);
        if straight > 0 {
            self.input(Input::Wanted(0));
        }
        straight
    }

    /// Says whether the caller gave the call up and the core does not know.
    pub(crate) fn is_canceled(&self) -> bool {
        let cancel = self.cancel.as_ref();
        cancel.is_some_and(CancelHandle::is_canceled) && !self.call.is_over()
    }

    /// Ends a call that is not over. Never waits.
    pub(crate) fn give_up(&mut self) {
        if !self.call.is_over() {
            self.read_clock();
            let input = if self.call.has_head() {
                Input::BodyClosed
            } else {
                Input::Cancel(CanceledBy::Drop)
            };
            self.input(input);
            loop {
                match self.apply() {
                    Rest::Spent => {}
                    Rest::Parting => self.end_parting(),
                    Rest::Send(body) => self.send_now(body),
                    Rest::Wait(_) | Rest::BeginHop | Rest::HandOut | Rest::Done => break,
                }
            }
        }
    }

    /// Gives an input and delivers what came of it.
    pub(crate) fn input(&mut self, input: impl Into<Input>) {
        self.tell(input.into());
        if let Some(reason) = self.emitter.deliver() {
            self.tell(Input::Aborted(reason));
            self.emitter.deliver();
        }
    }

    #[inline]
    fn tell(&mut self, input: Input) {
        self.awaits = None;
        let (call, mut turn) = self.turn();
        call.input(input, &mut turn);
    }

    fn turn(&mut self) -> (&mut Call, Turn<'_>) {
        let Self {
            call,
            memory,
            emitter,
            now,
            engine,
            changed,
            ..
        } = self;
        let turn = Turn {
            buffers: &mut memory.get_or_insert_default().buffers,
            now: *now,
            emitter,
            rules: &changed.as_ref().unwrap_or(&engine.settings).rules,
        };
        (call, turn)
    }

    /// Adds what is known of the call to an error of code of the caller's.
    pub(crate) fn explain(&mut self, error: Error) -> Error {
        let (call, mut turn) = self.turn();
        call.explain(error, &mut turn)
    }

    /// Reads the clock: once per return from the system, or in a loop once for all that it did for a batch.
    pub(crate) fn read_clock(&mut self) {
        self.now = clock::now();
    }

    /// Takes actions until one of them waits, sends, hands out or is done, or until there were many.
    fn apply(&mut self) -> Rest {
        for _ in 0..ACTIONS {
            let (call, mut turn) = self.turn();
            let action = call.next(&mut turn);
            if let Some(reason) = self.emitter.deliver() {
                self.tell(Input::Aborted(reason));
                continue;
            }
            match action {
                Action::TakeIdle { wish } => self.take_idle(wish),
                Action::WaitPool { cause, wish } => self.wait_pool(cause, wish),
                Action::LeavePool => self.leave_pool(),
                Action::MakeRoom {
                    contestant,
                    otherwise,
                } => self.make_room(contestant, otherwise),
                Action::Resolve => self.resolve(),
                Action::EndDial { winner, forget } => self.end_dial(winner, forget),
                Action::Detach => return Rest::Parting,
                Action::ProbeRoute { addr } => self.probe_route(addr),
                Action::Connect { contestant, addr } => self.open(contestant, addr),
                Action::AbortConnect { contestant } => self.contestants.close(contestant),
                Action::StartTls { contestant, to } => self.start_tls(contestant, to),
                Action::Speak { contestant } => self.speak(contestant),
                Action::Send { body } => return Rest::Send(body),
                Action::PullBody { max, is_first } => self.pull(max, is_first),
                Action::Resume => self.input(ExchangeInput::Wake),
                Action::Upgrade => self.upgrade(),
                Action::AskPlace => self.ask_place(),
                Action::Close => self.close(),
                Action::BeginHop => return Rest::BeginHop,
                Action::HandOut => return Rest::HandOut,
                Action::Wait(wait) => return Rest::Wait(wait),
                Action::Done => return Rest::Done,
            }
        }
        Rest::Spent
    }

    fn take_idle(&mut self, wish: Wish) {
        let news = std::mem::take(&mut self.news);
        let (to, call) = (self.call.deciding(), self.call.id());
        let (loan, answer) = self.engine.take_idle(to, call, wish, news, self.now);
        if let Some((transport, generation)) = loan {
            self.adopt(transport, generation);
        }
        self.input(PoolInput::Idle(answer));
    }

    fn wait_pool(&mut self, cause: Cause, wish: Wish) {
        let place = self.begin_queue();
        let alarm = self.ear.get_or_insert_default().listen();
        let (to, call) = (self.call.deciding(), self.call.id());
        let (joined, generation) = self
            .engine
            .join_pool(to, call, (cause, wish), alarm, self.now);
        match joined.found {
            Found::MustWait(limit) => {
                self.sleep_in(place);
                let depth = joined.depth;
                self.input(PoolInput::Queued { limit, depth });
            }
            Found::Idle(idle) => self.take_mail(Mail::Handed(idle, generation)),
            Found::MayDial => self.take_mail(Mail::MayDial),
        }
    }

    /// Takes what the pool left for the call.
    pub(crate) fn take_mail(&mut self, mail: Mail<Idle>) {
        self.stop_listening();
        if self.wake_up() {
            self.block_on_nothing();
        }
        self.read_clock();
        let (idle, generation) = match mail {
            Mail::MayDial => return self.input(PoolInput::MayDial(next_dial())),
            Mail::Handed(idle, generation) => (idle, generation),
        };
        let call = self.call.id();
        match self.engine.inspect(call, idle, generation, self.now) {
            Ok(loan) => {
                self.adopt(loan.transport, loan.generation);
                self.input(PoolInput::Handed(loan.connection));
            }
            Err(answer) => self.input(PoolInput::Idle(answer)),
        }
    }

    fn leave_pool(&mut self) {
        self.wake_up();
        self.block_on_nothing();
        self.engine.leave_pool(self.call.id(), self.now);
    }

    fn make_room(&mut self, contestant: u16, otherwise: Scarce) {
        let room = self.engine.make_room(self.call.id(), otherwise, self.now);
        self.input(PoolInput::Room { contestant, room });
    }

    /// Takes a connection on loan: memory is lent to it, and a cancel ends its waits.
    pub(crate) fn adopt(&mut self, mut transport: Transport, generation: u64) {
        transport.lend(&mut self.memory.get_or_insert_default().cipher);
        let lease = Lease {
            transport,
            generation,
        };
        self.wait_on(&lease);
        self.lease = Some(lease);
        if !self.waits.may_block() {
            // Nothing comes from the pool any more, and a loop has very many calls.
            self.ear = None;
        }
    }

    /// Registers the wake-up that the call may block on while it has no connection: for a cancel, and for a
    /// connection that comes back. The caller's handle may serve several calls at once, so listening has a handle of
    /// its own; and it may shut sockets down, which a connection that comes back may not.
    pub(crate) fn block_on(&mut self, register: impl Fn(&CancelHandle, u64)) {
        let call = self.call.id().get();
        register(self.ear.get_or_insert_default(), call);
        if let Some(cancel) = &self.cancel {
            register(cancel, call);
        }
    }

    /// The pool wakes the call no longer.
    pub(crate) fn stop_listening(&self) {
        if let Some(ear) = &self.ear {
            ear.stop_listening();
        }
    }

    /// Sends, and tells what came of it.
    pub(crate) fn send_now(&mut self, body: Range<u64>) {
        let input = self.send(body);
        self.read_clock();
        self.input(input);
    }

    /// Sends, without waiting, and without a look at the clock: whoever calls reads it, behind this and maybe others.
    pub(crate) fn send(&mut self, body: Range<u64>) -> Input {
        let Self {
            lease: Some(lease),
            memory,
            upload,
            ..
        } = self
        else {
            return ExchangeInput::Ended { clean: false }.into();
        };
        let head = memory.get_or_insert_default().buffers.outbound.filled();
        let body = upload.range(body);
        let result = match (head.is_empty(), body.is_empty()) {
            (true, _) => lease.transport.send(&[IoSlice::new(body)]),
            (false, true) => lease.transport.send(&[IoSlice::new(head)]),
            (false, false) => lease
                .transport
                .send(&[IoSlice::new(head), IoSlice::new(body)]),
        };
        let begun = if lease.transport.has_begun() {
            Begun::Part
        } else {
            Begun::Nothing
        };
        match result {
            Ok(Some(count)) => ExchangeInput::Sent(count).into(),
            Ok(None) => ExchangeInput::Blocked(begun).into(),
            // A cancel shut the socket down: the cause is told, not what came of it.
            Err(_) if self.is_canceled() => Input::Cancel(CanceledBy::Caller),
            Err(Broken::Io(error)) => ExchangeInput::SendFailed(begun, error).into(),
            Err(Broken::Tls(error)) => ExchangeInput::TlsBroke(tls_fault(error)).into(),
        }
    }

    fn pull(&mut self, max: u64, is_first: bool) {
        let before = self.now;
        let waker = if self.upload.is_polled() {
            match self.lend_waker() {
                Ok(waker) => waker,
                Err(error) => {
                    return self.input(ExchangeInput::Pulled(Pulled::Failed, Some(error)));
                }
            }
        } else {
            Waker::noop().clone()
        };
        let outbound = &mut self.memory.get_or_insert_default().buffers.outbound;
        let Some(pulled) = self.upload.pull(max, is_first, &waker, outbound) else {
            return;
        };
        self.read_clock();
        self.emitter
            .marks()
            .caller_sends(self.now.saturating_duration_since(before));
        self.input(pulled);
    }

    /// A cancel that comes after this touches nothing; one that came before may have shut the socket down.
    fn ask_place(&mut self) {
        self.block_on_nothing();
        let is_canceled = self.cancel.as_ref().is_some_and(CancelHandle::is_canceled);
        let is_settled = self
            .lease
            .as_mut()
            .is_some_and(|lease| lease.transport.settle());
        let place = match (&self.lease, self.call.connection()) {
            _ if is_canceled => Err(CloseReason::Canceled),
            (Some(lease), Some(connection)) if is_settled => {
                self.engine.place(&connection.key, lease.generation)
            }
            _ => Err(CloseReason::ConnectionLost),
        };
        self.input(PoolInput::Place(place));
        self.put_idle();
    }

    /// Puts the connection into the pool, if the call gave it back.
    fn put_idle(&mut self) {
        let Some(connection) = self.call.take_connection() else {
            return;
        };
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        let memory = self.memory.get_or_insert_default();
        lease.transport.take_back(&mut memory.cipher);
        lease.transport.give(Owner::Nobody);
        if !self.waits.may_block() && !lease.transport.is_quiet() {
            self.engine.note_unseen();
        }
        let idle = Idle {
            stream: lease.transport,
            connection,
        };
        self.engine.put(idle, lease.generation, self.now);
    }

    fn close(&mut self) {
        self.block_on_nothing();
        if let Some(lease) = self.lease.take() {
            lease.transport.close();
        }
        let closing = self.call.closing();
        let gone = closing.map(|(connection, reason)| Gone::of(connection, reason));
        self.input(PoolInput::Closed);
        // Whoever waits for the place learns of it when the end of the connection is told.
        if let Some(gone) = gone {
            self.engine.closed(gone, self.now);
        }
    }
}

pub(crate) fn tls_fault(error: TlsError) -> TlsFault {
    TlsFault {
        failure: error.failure,
        alert: error.alert,
        source: Box::new(error),
    }
}

/// A call that is dropped before its end is given up: the response was dropped, or the caller's own code
/// panicked. Never waits.
impl Drop for Running {
    fn drop(&mut self) {
        self.give_up();
        self.end_nudges();
        drop(self.take_switched());
        if let Some(memory) = self.memory.take().filter(|_| self.waits.may_block()) {
            self.engine.keep_memory(memory);
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("call", &self.call.id())
            .finish_non_exhaustive()
    }
}
