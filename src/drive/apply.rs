//! The one interpreter of actions. A driver adds only how it waits.
//!
//! After each input the events that came of it are delivered, with no lock held and the machine at rest; an
//! observer's wish to abort is the next input.

use std::io::{IoSlice, Read};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::drive::engine::{Engine, Mailbox, next_connection};
use crate::drive::lease::{Idle, Lease, Memory};
use crate::error::{LookupFailure, TlsFailure};
use crate::event::{CanceledBy, Emitter, EventKind};
use crate::flow::action::{Action, DialInput, ExchangeInput, Input, PoolInput, TlsFault, Wait};
use crate::flow::call::{Call, Settings};
use crate::flow::lookup::Joined;
use crate::message::answer::{Answer, Failure, Family, LookupError};
use crate::message::close::CloseReason;
use crate::net::cancel::CancelHandle;
use crate::net::clock;
use crate::net::resolver::{Query, Sink};
use crate::net::socket::{Socket, Unconnected};
use crate::net::tls::{TlsError, TlsName};
use crate::net::transport::{Broken, Transport};
use crate::proto::Turn;
use crate::proto::buffers::Buffer;
use crate::proto::sending::Pulled;

/// The body of a request as the driver holds it.
pub(crate) enum Upload {
    Empty,
    Bytes(Arc<[u8]>),
    Vec(Vec<u8>),
    Source(Box<dyn Read + Send>),
}

impl Upload {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Empty | Self::Source(_) => &[],
            Self::Bytes(bytes) => bytes,
            Self::Vec(bytes) => bytes,
        }
    }

    /// A range of a body in memory.
    pub(crate) fn range(&self, body: Range<u64>) -> &[u8] {
        let range = usize::try_from(body.start).unwrap_or(usize::MAX)
            ..usize::try_from(body.end).unwrap_or(usize::MAX);
        self.bytes().get(range).unwrap_or_default()
    }

    /// Asks the caller's source, if there is one, for at most `max` bytes behind a buffer.
    pub(crate) fn pull(&mut self, max: u64, outbound: &mut Buffer) -> Option<ExchangeInput> {
        let Self::Source(source) = self else {
            return None;
        };
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let room = outbound.spare(max);
        let room = room.get_mut(..max).unwrap_or_default();
        let result = loop {
            match source.read(room) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        Some(match result {
            Ok(0) => ExchangeInput::Pulled(Pulled::End, None),
            Ok(count) => {
                outbound.fill(count.min(max));
                ExchangeInput::Pulled(Pulled::Bytes(count.min(max)), None)
            }
            Err(error) => ExchangeInput::Pulled(Pulled::Failed, Some(error)),
        })
    }
}

/// A call with everything it needs of the world.
pub(crate) struct Running {
    pub(crate) call: Call,
    pub(crate) engine: Arc<Engine>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) emitter: Emitter,
    pub(crate) memory: Memory,
    pub(crate) upload: Upload,
    pub(crate) cancel: Option<CancelHandle>,
    pub(crate) lease: Option<Lease>,
    pub(crate) contestant: Option<Contestant>,
    pub(crate) mailbox: Option<Arc<Mailbox>>,
    pub(crate) now: Instant,
}

/// A socket of the dial.
pub(crate) enum Contestant {
    /// To be connected in the next wait.
    Opening(u16, Unconnected),
    /// Connected; in the TLS handshake if one was begun.
    Open(u16, Transport, Handshake),
}

/// Where a contestant is with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    Absent,
    UnderWay,
}

/// Where control goes after all actions that do not wait.
#[derive(Debug)]
pub(crate) enum Rest {
    /// Wait for the first of these.
    Wait(Wait),
    /// The response can be handed out.
    HandOut,
    /// The call is over.
    Done,
}

impl Running {
    /// Gives an input and delivers what came of it.
    pub(crate) fn input(&mut self, input: impl Into<Input>) {
        self.tell(input.into());
        if let Some(reason) = self.emitter.deliver() {
            self.tell(Input::Aborted(reason));
            self.emitter.deliver();
        }
    }

    fn tell(&mut self, input: Input) {
        let (call, mut turn) = self.turn();
        call.input(input, &mut turn);
    }

    fn turn(&mut self) -> (&mut Call, Turn<'_>) {
        let Self {
            call,
            memory,
            emitter,
            now,
            settings,
            ..
        } = self;
        let turn = Turn {
            buffers: &mut memory.buffers,
            now: *now,
            emitter,
            rules: &settings.rules,
        };
        (call, turn)
    }

    /// Reads the clock: once per return from the system.
    pub(crate) fn read_clock(&mut self) {
        self.now = clock::now();
    }

    /// Takes actions until one of them waits, hands out or is done.
    pub(crate) fn apply(&mut self) -> Rest {
        loop {
            let (call, mut turn) = self.turn();
            let action = call.next(&mut turn);
            if let Some(reason) = self.emitter.deliver() {
                self.tell(Input::Aborted(reason));
                continue;
            }
            match action {
                Action::TakeIdle => self.take_idle(),
                Action::Resolve => self.resolve(),
                Action::EndDial { winner, forget } => self.end_dial(winner, forget),
                Action::Connect { contestant, addr } => self.open(contestant, addr),
                Action::AbortConnect { .. } => self.drop_contestant(),
                Action::StartTls { contestant } => self.start_tls(contestant),
                Action::Send { body } => self.send(body),
                Action::PullBody { max } => self.pull(max),
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

    fn take_idle(&mut self) {
        let (transport, answer, generation) =
            self.engine.take_idle(&self.call.plan().url, self.now);
        if let Some(transport) = transport {
            self.adopt(transport, generation);
        }
        self.input(PoolInput::Idle(answer));
    }

    /// Takes a connection on loan: memory is lent to it, and a cancel ends its waits.
    fn adopt(&mut self, mut transport: Transport, generation: u64) {
        transport.lend(&mut self.memory.cipher);
        if let Some(cancel) = &self.cancel {
            cancel.block_on_socket(transport.shared());
        }
        self.lease = Some(Lease {
            transport,
            generation,
        });
    }

    fn resolve(&mut self) {
        let waker = match self.engine.wakers.lease() {
            Ok(waker) => waker,
            Err(error) => return self.lookup_failed(&error),
        };
        if let Some(cancel) = &self.cancel {
            cancel.block_on_waker(waker.clone());
        }
        let mailbox = Arc::new(Mailbox::new(waker));
        self.mailbox = Some(mailbox.clone());
        let host = self.call.plan().url.host_str().to_owned();
        let waiter = self.call.id().get();
        let joined = self.engine.lookup().join(&host, waiter, mailbox, self.now);
        match joined {
            Joined::Start(flight) => {
                self.input(DialInput::Asked { shared: false });
                let (engine, name) = (Arc::downgrade(&self.engine), host.clone());
                let sink = Sink::new(move |family, outcome| {
                    Engine::deliver_answer(&engine, &name, flight, family, outcome);
                });
                let ticket = self.engine.resolver.resolve(&Query::new(&host), sink);
                let over = self.engine.lookup().hold(&host, flight, ticket);
                drop(over);
            }
            Joined::Shared(families) => {
                self.input(DialInput::Asked { shared: true });
                for family in Family::BOTH {
                    if let Some(outcome) = families.get(family).cloned() {
                        self.input(DialInput::Resolved {
                            family,
                            outcome,
                            coalesced: true,
                        });
                    }
                }
            }
            Joined::Cached(families) => {
                self.input(DialInput::Asked { shared: false });
                for family in Family::BOTH {
                    let outcome = families
                        .get(family)
                        .cloned()
                        .unwrap_or_else(|| Ok(Answer::none()));
                    self.input(DialInput::Resolved {
                        family,
                        outcome,
                        coalesced: false,
                    });
                }
            }
            Joined::Full(max) => {
                let text = format!("{max} lookups wait, and no more may");
                self.lookup_failed(&std::io::Error::other(text));
            }
        }
    }

    /// Answers for a resolver that cannot be asked or waited for.
    pub(crate) fn lookup_failed(&mut self, error: &std::io::Error) {
        for family in Family::BOTH {
            let cause = std::io::Error::new(error.kind(), error.to_string());
            let failure = LookupError::new(LookupFailure::System);
            let outcome = Err(Failure::caused(failure, cause));
            self.input(DialInput::Resolved {
                family,
                outcome,
                coalesced: false,
            });
        }
    }

    /// Leaves the lookup, keeps the winner, closes the others.
    fn end_dial(&mut self, winner: Option<u16>, forget: bool) {
        if let Some(mailbox) = self.mailbox.take() {
            let host = self.call.plan().url.host_str().to_owned();
            let left = self.engine.lookup().leave(&host, self.call.id().get());
            drop(left);
            if forget {
                self.engine.lookup().evict(&host);
            }
            self.block_on_nothing();
            if let Some(mailbox) = Arc::into_inner(mailbox) {
                self.engine.wakers.give_back(mailbox.into_waker());
            }
        }
        self.block_on_nothing();
        match self.contestant.take() {
            Some(Contestant::Open(number, transport, _)) if winner == Some(number) => {
                let generation = match self.call.connection() {
                    Some(connection) => self.engine.opened(&connection.key),
                    None => 0,
                };
                self.adopt(transport, generation);
            }
            Some(Contestant::Open(_, transport, _)) => transport.close(),
            Some(Contestant::Opening(..)) | None => {}
        }
    }

    fn open(&mut self, number: u16, addr: SocketAddr) {
        match Unconnected::open(addr) {
            Ok(socket) => {
                if let Some(cancel) = &self.cancel {
                    cancel.block_on_socket(socket.shared());
                }
                self.contestant = Some(Contestant::Opening(number, socket));
            }
            Err(error) => {
                self.read_clock();
                self.input(DialInput::Connected {
                    contestant: number,
                    result: Err(error),
                });
            }
        }
    }

    /// Tells the core that a contestant connected.
    pub(crate) fn opened(&mut self, number: u16, socket: Socket) {
        let local = self.wants_local().then(|| socket.local_addr()).flatten();
        self.contestant = Some(Contestant::Open(
            number,
            Transport::plain(socket),
            Handshake::Absent,
        ));
        self.input(DialInput::Connected {
            contestant: number,
            result: Ok((next_connection(), local)),
        });
    }

    fn wants_local(&self) -> bool {
        [
            EventKind::ConnectDone,
            EventKind::ConnOpened,
            EventKind::GotConn,
        ]
        .into_iter()
        .any(|kind| self.emitter.wants(kind))
    }

    fn drop_contestant(&mut self) {
        self.contestant = None;
        self.block_on_nothing();
    }

    /// A cancel touches no socket and no wake-up any more, and keeps none of them open.
    fn block_on_nothing(&self) {
        if let Some(cancel) = &self.cancel {
            cancel.clear();
        }
    }

    fn start_tls(&mut self, number: u16) {
        let result = self.begin_tls();
        if let Err(fault) = result {
            self.input(DialInput::TlsDone {
                contestant: number,
                result: Err(fault),
            });
        }
    }

    fn begin_tls(&mut self) -> Result<(), TlsFault> {
        let client = self.engine.tls.as_ref().map_err(|error| TlsFault {
            failure: error.tls_failure().unwrap_or(TlsFailure::Config),
            alert: None,
            source: Box::new(error.again()),
        })?;
        let name = TlsName::new(self.call.plan().url.host_str()).map_err(|failure| TlsFault {
            failure,
            alert: None,
            source: "the host is not a name that a certificate can speak for".into(),
        })?;
        if let Some(Contestant::Open(_, transport, handshake)) = &mut self.contestant {
            transport.start_tls(client, &name).map_err(tls_fault)?;
            *handshake = Handshake::UnderWay;
        }
        Ok(())
    }

    fn send(&mut self, body: Range<u64>) {
        let Self {
            lease: Some(lease),
            memory,
            upload,
            ..
        } = self
        else {
            return;
        };
        let head = memory.buffers.outbound.filled();
        let body = upload.range(body);
        let result = match (head.is_empty(), body.is_empty()) {
            (true, _) => lease.transport.send(&[IoSlice::new(body)]),
            (false, true) => lease.transport.send(&[IoSlice::new(head)]),
            (false, false) => lease
                .transport
                .send(&[IoSlice::new(head), IoSlice::new(body)]),
        };
        self.read_clock();
        match result {
            Ok(Some(count)) => self.input(ExchangeInput::Sent(count)),
            Ok(None) => self.input(ExchangeInput::Blocked),
            // A cancel shut the socket down: the cause is told, not what came of it.
            Err(_) if self.is_canceled() => self.input(Input::Cancel(CanceledBy::Caller)),
            Err(Broken::Io(error)) => self.input(ExchangeInput::SendFailed(error)),
            Err(Broken::Tls(error)) => self.input(ExchangeInput::TlsBroke(tls_fault(error))),
        }
    }

    fn pull(&mut self, max: u64) {
        let before = self.now;
        let Some(pulled) = self.upload.pull(max, &mut self.memory.buffers.outbound) else {
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
    }

    fn put_idle(&mut self) {
        if let (Some(mut lease), Some(connection)) =
            (self.lease.take(), self.call.take_connection())
        {
            lease.transport.take_back(&mut self.memory.cipher);
            self.engine.put(
                Idle {
                    transport: lease.transport,
                    connection,
                },
                self.now,
            );
        }
    }

    fn close(&mut self) {
        self.block_on_nothing();
        if let Some(connection) = self.call.connection() {
            self.engine.closed(connection);
        }
        if let Some(lease) = self.lease.take() {
            lease.transport.close();
        }
        self.input(PoolInput::Closed);
    }
}

pub(crate) fn tls_fault(error: TlsError) -> TlsFault {
    TlsFault {
        failure: error.failure,
        alert: error.alert,
        source: Box::new(error),
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("call", &self.call.id())
            .finish_non_exhaustive()
    }
}
