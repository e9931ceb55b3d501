//! The contract between the core and its drivers.
//!
//! A driver gives one input, delivers the events that came of it, and then takes actions until one of them
//! waits, hands out or is done. It decides nothing. A failure is an input like any other, so the core closes
//! every span that it opened.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::error::TlsFailure;
use crate::event::{Abort, CanceledBy, ClosedBy, QueueLimit};
use crate::flow::connection::Connection;
use crate::flow::lookup::localhost;
pub(crate) use crate::flow::pool::{Cause, Wish};
use crate::ids::{ConnId, DialId};
use crate::message::answer::Outcome;
use crate::message::answer::{Address, Family};
use crate::message::close::CloseReason;
use crate::message::overrides::Overrides;
use crate::message::tls::TlsFacts;
use crate::message::url::{Host, Url};
use crate::proto::sending::Pulled;

/// What the core wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
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
    },
    /// Look the host up, both families; answered by [`DialInput::Asked`] and [`DialInput::Resolved`].
    Resolve,
    /// Connect; answered by [`DialInput::Connected`].
    Connect {
        /// Number of the contestant.
        contestant: u16,
        /// Where to.
        addr: SocketAddr,
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
    /// Begin TLS on a connected contestant; answered by [`DialInput::TlsDone`].
    StartTls {
        /// Number of the contestant.
        contestant: u16,
    },
    /// Hand to the kernel, without waiting, the outbound buffer and behind it this range of the body in
    /// memory; answered by [`ExchangeInput::Sent`], [`ExchangeInput::Blocked`] or [`ExchangeInput::SendFailed`].
    Send {
        /// Bytes of the body in memory.
        body: Range<u64>,
    },
    /// Ask the caller's source for at most `max` bytes behind the outbound buffer; answered by [`ExchangeInput::Pulled`].
    PullBody {
        /// Most bytes.
        max: u64,
    },
    /// The machine stopped at a head so that observers could speak; answered by [`ExchangeInput::Wake`].
    Resume,
    /// The response can be handed out, and nothing more happens until the caller asks.
    HandOut,
    /// Ask the pool for a place; answered by [`PoolInput::Place`].
    AskPlace,
    /// Put the connection into the pool.
    PutIdle,
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
        max: usize,
    },
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Begin.
    Start,
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
    /// One family of a lookup is in.
    Resolved {
        /// Which.
        family: Family,
        /// The answer.
        outcome: Outcome,
        /// Whether the lookup was shared.
        coalesced: bool,
    },
    /// A contestant connected or failed.
    Connected {
        /// Number of the contestant.
        contestant: u16,
        /// The id of the connection and our address if somebody wants to know it, or the error.
        result: Result<(ConnId, Option<SocketAddr>), io::Error>,
    },
    /// A TLS handshake ended.
    TlsDone {
        /// Number of the contestant.
        contestant: u16,
        /// What was agreed on, or why not.
        result: Result<Arc<TlsFacts>, TlsFault>,
    },
}

/// What happened on the connection of the call, or to its content.
#[derive(Debug)]
pub(crate) enum ExchangeInput {
    /// The kernel accepted bytes.
    Sent(usize),
    /// The kernel's buffer is full.
    Blocked,
    /// The kernel's buffer has room again.
    Writable,
    /// The kernel takes no more.
    SendFailed(io::Error),
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
    /// The caller took bytes of the body from the inbound buffer.
    Consumed(usize),
    /// The rest of the body is read only to keep the connection.
    Drain,
    /// Observers have spoken.
    Wake,
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
    InUse,
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

impl Names {
    /// Where the addresses of a URL's host come from: its own text, the rule for `localhost` (RFC 6761 §6.3),
    /// the caller's table, or the resolver.
    pub(crate) fn of(url: &Url, overrides: &Overrides, custom: bool) -> Self {
        if let Some(addresses) = overrides.lookup(url.host_str(), url.port()) {
            return Self::Override(addresses.to_vec());
        }
        match url.host() {
            Host::V4(ip) => Self::Literal(IpAddr::from(ip).into()),
            Host::V6(ip, zone) => Self::Literal(Address::in_zone(ip, zone.map_or(0, zone_index))),
            Host::Name(name) => localhost(name).map_or(Self::Ask { custom }, Self::Localhost),
        }
    }
}

/// What has to be known of an address before the dial: where it comes from and what stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// An IP literal.
    Literal(Address),
    /// `localhost`.
    Localhost([Address; 2]),
    /// The caller's table.
    Override(Vec<Address>),
    /// The resolver has to be asked: the system's, or the caller's own.
    Ask {
        /// Whether the resolver is the caller's own.
        custom: bool,
    },
}

/// A zone given as a number; a name of an interface is for the operating system, and reads as none here.
fn zone_index(zone: &str) -> u32 {
    zone.parse().unwrap_or(0)
}
