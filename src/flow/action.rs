//! The contract between the core and its drivers.
//!
//! A driver gives one input, delivers the events that came of it, and then takes actions until one of them
//! waits, hands out or is done. It decides nothing. A failure is an input like any other, so the core closes
//! every span that it opened.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::error::TlsFailure;
use crate::event::{Abort, CanceledBy, ClosedBy, QueueLimit, TlsRole};
use crate::flow::connection::Connection;
pub(crate) use crate::flow::pool::{Cause, Scarce, Wish};
use crate::ids::{ConnId, DialId};
use crate::message::answer::Family;
use crate::message::answer::Outcome;
use crate::message::close::CloseReason;
use crate::message::peer_addr::PeerAddr;
use crate::message::tls::TlsFacts;
use crate::proto::sending::Pulled;

/// What the core wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A hop is ready: middleware may speak; answered by [`Input::Hop`].
    BeginHop,
    /// Look for an idle connection, if any will do, or a permit to dial; answered by [`PoolInput::Idle`].
    TakeIdle {
        /// What the call wants.
        wish: Wish,
    },
    /// Join the queue of the key; answered at once by [`PoolInput::Queued`], [`PoolInput::Handed`] or
    /// [`PoolInput::MayDial`], and behind the first by one of the others when there is something.
    WaitPool {
        /// Why the call has to wait.
        cause: Cause,
        /// What it wants.
        wish: Wish,
    },
    /// Leave the queue; what was left there for the call goes to the next.
    LeavePool,
    /// The system has no descriptor for a contestant: close an idle connection of any key; answered by
    /// [`PoolInput::Room`].
    MakeRoom {
        /// Number of the contestant.
        contestant: u16,
        /// What becomes of the dial if none of this client gives way.
        otherwise: Scarce,
    },
    /// Look the host up, both families; answered by [`DialInput::Asked`] and [`DialInput::Resolved`].
    Resolve,
    /// Ask the system whether it knows a way to an address, without a packet; answered by [`DialInput::Route`].
    ProbeRoute {
        /// Where to.
        addr: SocketAddr,
    },
    /// Connect; several may be under way. Answered by [`DialInput::Connected`], before the next action if no
    /// packet left.
    Connect {
        /// Number of the contestant.
        contestant: u16,
        /// Where to.
        addr: PeerAddr,
    },
    /// Give a contestant up: close its socket, connected or not.
    AbortConnect {
        /// Number of the contestant.
        contestant: u16,
    },
    /// The dial is over: leave its lookup, keep the winner as the connection of the call, close the others.
    EndDial {
        /// Number of the contestant that won.
        winner: Option<u16>,
        /// Whether the addresses that were remembered are of no use.
        forget: bool,
    },
    /// The dial goes on without this call: its contestants and its lookup are for
    /// [`Call::take_detached`](crate::flow::call::Call::take_detached) from now on.
    Detach,
    /// Begin TLS on a connected contestant; answered by [`DialInput::TlsStarted`] at once, by
    /// [`DialInput::TlsProgress`] when the peer spoke, and by [`DialInput::TlsDone`].
    StartTls {
        /// Number of the contestant.
        contestant: u16,
        /// With whom: the proxy, or, maybe through it, the server.
        to: TlsRole,
    },
    /// Hand the outbound buffer to a contestant without waiting, and in the waits that follow, until TLS is begun on it
    /// or the dial ends, the rest, and receive what the proxy says into the inbound buffer; answered by
    /// [`DialInput::Tunnel`].
    Speak {
        /// Number of the contestant.
        contestant: u16,
    },
    /// Hand to the kernel, without waiting, the outbound buffer and behind it this range of the body in
    /// memory; answered by [`ExchangeInput::Sent`], [`ExchangeInput::Blocked`] or [`ExchangeInput::SendFailed`], or by what
    /// else became of the connection or the call meanwhile.
    Send {
        /// Bytes of the body in memory.
        body: Range<u64>,
    },
    /// Ask the caller's source for at most `max` bytes behind the outbound buffer; answered by [`ExchangeInput::Pulled`].
    PullBody {
        /// Most bytes.
        max: u64,
        /// Whether the body begins: a source that can be made anew is.
        is_first: bool,
    },
    /// The machine stopped at a head of which somebody is told, or at the end of a dial, so that observers could speak;
    /// answered by [`ExchangeInput::Wake`].
    Resume,
    /// The response can be handed out, and nothing more happens until the caller asks.
    HandOut,
    /// Take the connection out of what watches it and could cancel it: it is the caller's from now on. Answered by
    /// [`ExchangeInput::Upgraded`], or by what broke it.
    Upgrade,
    /// Ask the pool for a place; answered by [`PoolInput::Place`]. When what came of that is told, what
    /// [`Call::take_connection`](crate::flow::call::Call::take_connection) gives is put there.
    AskPlace,
    /// Close the connection; answered by [`PoolInput::Closed`].
    Close,
    /// Wait for the first of these.
    Wait(Wait),
    /// The call is over.
    Done,
}

/// What can end a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Room in the kernel's buffer, told by [`ExchangeInput::Writable`].
    pub(crate) send: bool,
    /// Bytes of the peer.
    pub(crate) receive: Option<Receive>,
    /// The caller's source, which had none, has more, told by [`ExchangeInput::SourceReady`].
    pub(crate) source: bool,
    /// The moment of [`Input::Timeout`].
    pub(crate) deadline: Option<Instant>,
}

/// Where received bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receive {
    /// Into the inbound buffer.
    Inbound,
    /// At most `max` into the slice of the read in progress, and what follows into the inbound buffer.
    Caller {
        /// Most bytes.
        max: u32,
    },
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Begin.
    Start,
    /// The request of the hop that is ready is to be sent.
    Hop,
    /// The redirect that was decided on is to be followed.
    Follow,
    /// At the pool.
    Pool(PoolInput),
    /// In the dial.
    Dial(DialInput),
    /// In the exchange.
    Exchange(ExchangeInput),
    /// The caller asks for at most that many bytes of the body.
    Wanted(usize),
    /// The caller dropped the response.
    BodyClosed,
    /// The deadline of the wait passed.
    Timeout,
    /// The caller gave the call up.
    Cancel(CanceledBy),
    /// An observer aborted the call.
    Aborted(Abort),
}

/// What happened to a connection being made.
#[derive(Debug)]
pub(crate) enum DialInput {
    /// The lookup was begun, or joined if it was under way.
    Asked {
        /// Whether it was under way.
        shared: bool,
    },
    /// A question of the lookup was really asked, after it had waited for a thread.
    QueryBegan {
        /// Which.
        family: Family,
        /// When.
        at: Instant,
    },
    /// One family of a lookup is in.
    Resolved {
        /// Which.
        family: Family,
        /// The answer.
        outcome: Outcome,
        /// Whether the lookup was shared.
        coalesced: bool,
    },
    /// Whether there is a way to an address.
    Route {
        /// Where to.
        addr: SocketAddr,
        /// Whether the system knows one.
        reachable: bool,
    },
    /// A contestant connected or failed; failed, it is closed.
    Connected {
        /// Number of the contestant.
        contestant: u16,
        /// The id of the connection and our address if somebody wants to know it, or the error.
        result: Result<(ConnId, Option<SocketAddr>), io::Error>,
    },
    /// A TLS handshake has begun; no byte of it has left.
    TlsStarted {
        /// Number of the contestant.
        contestant: u16,
        /// Whether it offers to resume a session.
        resumption: bool,
    },
    /// The peer of a TLS handshake said something, and the handshake goes on.
    TlsProgress {
        /// Number of the contestant.
        contestant: u16,
    },
    /// A TLS handshake ended; failed, its contestant is closed.
    TlsDone {
        /// Number of the contestant.
        contestant: u16,
        /// What was agreed on, or why not.
        result: Result<Arc<TlsFacts>, TlsFault>,
    },
    /// Something happened between a contestant and its proxy.
    Tunnel {
        /// Number of the contestant.
        contestant: u16,
        /// What.
        moved: Moved,
    },
}

/// What happened to the bytes between a contestant and its proxy.
#[derive(Debug)]
pub(crate) enum Moved {
    /// The kernel accepted bytes of the outbound buffer.
    Sent(usize),
    /// So many bytes came, and stand at the end of the inbound buffer.
    Received(usize),
    /// The proxy ended the stream.
    Ended,
    /// Sending or receiving failed.
    Failed(io::Error),
    /// TLS with the proxy broke after its handshake.
    TlsBroke(TlsFault),
}

pub(crate) use crate::proto::sending::Begun;

/// What happened on the connection of the call, or to its content.
#[derive(Debug)]
pub(crate) enum ExchangeInput {
    /// The kernel accepted bytes.
    Sent(usize),
    /// The kernel's buffer is full.
    Blocked(Begun),
    /// The kernel's buffer has room again.
    Writable,
    /// The kernel takes no more.
    SendFailed(Begun, io::Error),
    /// Bytes came: into the caller's slice, and into the inbound buffer.
    Received {
        /// Bytes in the caller's slice.
        direct: usize,
        /// Bytes at the end of the inbound buffer.
        buffered: usize,
    },
    /// The peer ended the stream; `clean` means a FIN, under TLS behind a close_notify.
    Ended {
        /// Whether the end is one that the peer meant.
        clean: bool,
    },
    /// Receiving failed.
    ReceiveFailed(io::Error),
    /// TLS broke after the handshake.
    TlsBroke(TlsFault),
    /// The caller's source spoke.
    Pulled(Pulled, Option<io::Error>),
    /// The caller's source, which had none, has more.
    SourceReady,
    /// The caller took bytes of the body from the inbound buffer.
    Consumed(usize),
    /// The rest of the body is read only to keep the connection.
    Drain,
    /// Observers have spoken.
    Wake,
    /// The connection is the caller's.
    Upgraded,
}

/// What the pool said, or what became of a connection that served.
#[derive(Debug)]
pub(crate) enum PoolInput {
    /// What the pool has. Also told when a connection that was handed over is dead.
    Idle(IdleAnswer),
    /// The call is in the queue.
    Queued {
        /// The limit that is reached.
        limit: QueueLimit,
        /// Calls that wait, this one included.
        depth: usize,
    },
    /// A connection that came back was handed to this call, which waited or dialed; it is its connection now.
    Handed(Box<Connection>),
    /// This call, which waited, has the permit to dial.
    MayDial(DialId),
    /// What became of [`Action::MakeRoom`].
    Room {
        /// Number of the contestant.
        contestant: u16,
        /// What there is.
        room: Room,
    },
    /// The pool's answer: idle connections of the key with this one, or why it has no place.
    Place(Result<u32, CloseReason>),
    /// The connection was closed.
    Closed,
}

impl From<PoolInput> for Input {
    fn from(input: PoolInput) -> Self {
        Self::Pool(input)
    }
}

impl From<DialInput> for Input {
    fn from(input: DialInput) -> Self {
        Self::Dial(input)
    }
}

impl From<ExchangeInput> for Input {
    fn from(input: ExchangeInput) -> Self {
        Self::Exchange(input)
    }
}

/// Whether there is a descriptor now for a contestant that got none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// An idle connection was closed for it.
    Made,
    /// Nothing was idle, but this client has connections in use: it is worth waiting.
    InUse {
        /// Descriptors that were given back so far.
        freed: u64,
    },
    /// This client has no connection that could ever give way.
    Nothing,
}

/// What the pool has for a call.
#[derive(Debug)]
pub(crate) enum Offer {
    /// An idle connection; it is the connection of the call now.
    Connection(Box<Connection>),
    /// The permit to dial.
    MayDial(DialId),
    /// Nothing; a limit is reached.
    MustWait,
}

/// What the pool found.
#[derive(Debug)]
pub(crate) struct IdleAnswer {
    pub(crate) found: Offer,
    /// Idle connections of the key before.
    pub(crate) idle: usize,
    /// Connections of the key on loan.
    pub(crate) active: usize,
    /// What was thrown away on the way.
    pub(crate) discarded: Vec<Discarded>,
}

/// An idle connection that was closed.
#[derive(Debug)]
pub(crate) struct Discarded {
    pub(crate) connection: Box<Connection>,
    pub(crate) reason: CloseReason,
    pub(crate) by: ClosedBy,
}

/// Why TLS failed.
#[derive(Debug)]
pub(crate) struct TlsFault {
    pub(crate) failure: TlsFailure,
    pub(crate) alert: Option<u8>,
    /// The cause: an error of the TLS library or of the operating system.
    pub(crate) source: Abort,
}
