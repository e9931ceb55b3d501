//! The virtual network: addresses that listen, and byte streams between a client and its peers.
//!
//! A [`Stream`] has two [`Pipe`]s; each of them keeps one happening in the agenda while anything is on its way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::TlsFailure;
use crate::ids::ConnId;
use crate::message::peer_addr::PeerAddr;
use crate::testkit::script::Script;
use crate::testkit::sim::happening::{Happening, Planner};
use crate::testkit::sim::link::{Accept, Cut, Handshake, Link};
use crate::testkit::sim::pipe::{End, Pace, Parcel, Pipe};
use crate::testkit::sim::player::Player;

/// The first port that the client's side of a stream gets.
const FIRST_PORT: u16 = 40_000;

/// A stream, by number.
pub(super) type StreamId = usize;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To the peer.
    Up,
    /// To the client.
    Down,
}

/// Everything that can be connected to, and everything that was.
#[derive(Debug)]
pub(super) struct Network {
    listeners: BTreeMap<PeerAddr, Listener>,
    pub(super) streams: Vec<Stream>,
    port: u16,
}

/// An address that listens.
#[derive(Debug)]
pub(super) struct Listener {
    /// The scripts of its connections; the last one plays on all later ones.
    pub(super) scripts: Vec<Arc<Script>>,
    /// Their links, in the same way.
    pub(super) links: Vec<Link>,
    pub(super) tls: Option<Handshake>,
    pub(super) secures: Secures,
    /// Connects that were seen, and connections among them.
    pub(super) asked: usize,
    pub(super) accepted: usize,
}

/// When a peer that speaks TLS begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Secures {
    /// With the connection.
    AtOnce,
    /// Where its script says so.
    OnDemand,
}

/// One byte stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// None for a unix socket.
    pub(super) local: Option<SocketAddr>,
    pub(super) link: Link,
    pub(super) client: Side,
    pub(super) server: Side,
    pub(super) secured: Secured,
    /// Bytes that were accepted of what the client gave last: under TLS they count when all of it is.
    pub(super) in_flight: usize,
    /// The call that has it.
    pub(super) owner: Option<usize>,
    pub(super) conn: Option<ConnId>,
    pub(super) player: Option<Box<Player>>,
}

/// Where one end of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The connect is under way.
    Connecting,
    Open,
    /// It sent its FIN and still reads.
    Half,
    /// It is closed: what still comes is answered by a reset.
    Closed,
}

/// Where a stream is with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secured {
    Plain,
    /// The client asked, through TLS that is spoken already if there is any, and the peer knows or will.
    Asked,
    /// The handshake is under way or made.
    Tls,
}

/// What receiving came to.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Nothing is there.
    Nothing,
    Bytes(usize),
    /// A FIN, with or without a close_notify.
    Ended {
        clean: bool,
    },
    Broken(io::Error),
}

/// What an idle stream is found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Liveness {
    Alive,
    Closed,
    Spoke,
}

impl Network {
    pub(super) fn new() -> Self {
        Self {
            listeners: BTreeMap::new(),
            streams: Vec::new(),
            port: FIRST_PORT,
        }
    }

    /// Lets an address listen.
    pub(super) fn listen(&mut self, addr: PeerAddr, listener: Listener) -> &mut Listener {
        match self.listeners.entry(addr) {
            Entry::Vacant(place) => place.insert(listener),
            Entry::Occupied(place) => {
                let place = place.into_mut();
                *place = listener;
                place
            }
        }
    }

    /// Says whether there is a way to an address.
    pub(super) fn has_route(&self, addr: SocketAddr) -> bool {
        let listener = self.listeners.get(&addr.into());
        let link = listener.and_then(|listener| listener.links.first());
        link.is_none_or(|link| link.accept != Accept::Unreachable)
    }

    /// Begins a connect.
    ///
    /// # Errors
    /// There is no route.
    pub(super) fn connect(
        &mut self,
        addr: PeerAddr,
        owner: usize,
        planner: &mut Planner,
    ) -> io::Result<StreamId> {
        let number = self.streams.len();
        let ip = addr.tcp().map(|addr| addr.ip());
        let (link, player) = match self.listeners.get_mut(&addr) {
            Some(listener) => listener.next(addr, number),
            None => (Link::new().accept(Accept::Refused), None),
        };
        let round_trip = link.latency * 2;
        match link.accept {
            Accept::Unreachable => return Err(errno(rustix::io::Errno::NETUNREACH)),
            Accept::Lost => {}
            Accept::Yes | Accept::Refused | Accept::Reset => {
                planner.plan_in(round_trip, Happening::Connected(number));
            }
        }
        let local = ip.map(|ip| SocketAddr::new(local_ip(ip), self.port));
        self.port = self.port.checked_add(1).unwrap_or(FIRST_PORT);
        self.streams.push(Stream {
            up: Pipe::new(link.window),
            down: Pipe::new(link.window),
            local,
            link,
            client: Side::Connecting,
            server: Side::Connecting,
            secured: Secured::Plain,
            in_flight: 0,
            owner: Some(owner),
            conn: None,
            player,
        });
        Ok(number)
    }

    /// What became of a connect; none if the client gave it up.
    pub(super) fn connected(
        &mut self,
        id: StreamId,
        planner: &mut Planner,
    ) -> Option<io::Result<Option<SocketAddr>>> {
        let stream = &mut self.streams[id];
        if stream.client != Side::Connecting {
            return None;
        }
        if stream.link.accept == Accept::Refused {
            stream.client = Side::Closed;
            return Some(Err(errno(rustix::io::Errno::CONNREFUSED)));
        }
        stream.client = Side::Open;
        stream.server = Side::Open;
        if stream.link.accept == Accept::Reset {
            stream.reset_by_server(id, planner);
            stream.player = None;
        }
        Some(Ok(stream.local))
    }
}

impl Listener {
    /// The link and the player of the next connection.
    fn next(&mut self, addr: PeerAddr, stream: StreamId) -> (Link, Option<Box<Player>>) {
        let nth = |list: &[Link]| list.get(self.asked).or_else(|| list.last()).cloned();
        let link = nth(&self.links).unwrap_or_default();
        self.asked += 1;
        if !link.is_accepted() {
            return (link, None);
        }
        let script = self.scripts.get(self.accepted);
        let script = script.or_else(|| self.scripts.last());
        let player = Player::new(
            script.cloned().unwrap_or_default(),
            (self.tls, self.secures),
            addr,
            stream,
            self.accepted,
        );
        self.accepted += 1;
        (link, Some(Box::new(player)))
    }
}

impl Stream {
    /// What the client sends is not cut: its peer looks for whole requests, whatever the pieces.
    fn pace(&self, way: Way) -> Pace {
        let (segment, spacing) = match way {
            Way::Up => (usize::MAX, Duration::ZERO),
            Way::Down => (self.link.segment, self.link.spacing),
        };
        Pace {
            latency: self.link.latency,
            segment,
            spacing,
        }
    }

    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    fn mark(&mut self, id: StreamId, way: Way, parcel: Parcel, planner: &mut Planner) {
        let pace = self.pace(way);
        let first = self.pipe(way).mark(parcel, planner.now(), pace);
        planner.plan_if(first, Happening::Arrive(id, way));
    }

    /// Takes the next parcel off its way, and plans the one behind it. Bytes for a closed end are answered by a
    /// reset.
    pub(super) fn arrive(&mut self, id: StreamId, way: Way, planner: &mut Planner) {
        let pipe = self.pipe(way);
        let parcel = pipe.arrive();
        let next = pipe.first();
        planner.plan_if(next, Happening::Arrive(id, way));
        let receiver = match way {
            Way::Up => self.server,
            Way::Down => self.client,
        };
        if receiver == Side::Closed && matches!(parcel, Some(Parcel::Bytes(_))) {
            match way {
                Way::Up => self.mark(id, Way::Down, Parcel::Reset, planner),
                Way::Down => self.mark(id, Way::Up, Parcel::Reset, planner),
            }
        }
    }

    /// The client hands bytes to its side of the network, without waiting; 0 means that it is full.
    pub(super) fn send(
        &mut self,
        id: StreamId,
        slices: [&[u8]; 2],
        planner: &mut Planner,
    ) -> io::Result<usize> {
        match self.down.end_arrived() {
            End::Reset => {
                self.down.reset_told();
                return Err(errno(rustix::io::Errno::CONNRESET));
            }
            End::Gone => return Err(errno(rustix::io::Errno::PIPE)),
            End::Open | End::Notified | End::Fin => {}
        }
        let pace = self.pace(Way::Up);
        let mut sent = 0;
        let mut before = self.in_flight;
        for slice in slices {
            let skipped = before.min(slice.len());
            before -= skipped;
            sent += skipped;
            let slice = &slice[skipped..];
            if slice.is_empty() {
                continue;
            }
            let (count, first) = self.up.send(slice, planner.now(), pace);
            planner.plan_if(first, Happening::Arrive(id, Way::Up));
            sent += count;
            if count < slice.len() {
                break;
            }
        }
        let is_counted = self.secured != Secured::Tls || sent == slices.concat().len();
        self.in_flight = if is_counted { 0 } else { sent };
        Ok(if is_counted { sent } else { 0 })
    }

    /// The client receives what is there, into the first slice and then the second.
    pub(super) fn receive(
        &mut self,
        id: StreamId,
        first: &mut [u8],
        second: &mut [u8],
        planner: &mut Planner,
    ) -> Incoming {
        let readable = self.down.readable();
        if !readable.is_empty() {
            let into_first = readable.len().min(first.len());
            first[..into_first].copy_from_slice(&readable[..into_first]);
            let rest = &readable[into_first..];
            let into_second = rest.len().min(second.len());
            second[..into_second].copy_from_slice(&rest[..into_second]);
            let count = into_first + into_second;
            self.take(id, Way::Down, count, planner);
            return Incoming::Bytes(count);
        }
        match self.down.end() {
            End::Open => Incoming::Nothing,
            End::Notified => Incoming::Ended { clean: true },
            End::Fin | End::Gone => Incoming::Ended {
                clean: self.secured != Secured::Tls,
            },
            End::Reset => {
                self.down.reset_told();
                Incoming::Broken(errno(rustix::io::Errno::CONNRESET))
            }
        }
    }

    /// Takes arrived bytes, and sends the news of room to a sender that waits for it.
    pub(super) fn take(&mut self, id: StreamId, way: Way, count: usize, planner: &mut Planner) {
        let latency = self.link.latency;
        if self.pipe(way).take(count) {
            planner.plan_in(latency, Happening::Room(id, way));
        }
    }

    /// Says whether a receive would say anything.
    pub(super) fn is_readable(&self) -> bool {
        !self.down.readable().is_empty() || self.down.end() != End::Open
    }

    pub(super) fn is_writable(&self) -> bool {
        self.up.has_room() || matches!(self.down.end_arrived(), End::Reset | End::Gone)
    }

    /// The peer learns that the client wants TLS.
    pub(super) fn asked_for_tls(&mut self) {
        self.secured = Secured::Asked;
    }

    /// Says whether a handshake under way is broken by what came, and how.
    pub(super) fn handshake_failure(&self) -> Option<TlsFailure> {
        match (self.secured, self.is_readable()) {
            (Secured::Tls, _) | (_, false) => None,
            _ if self.down.readable().is_empty() => Some(TlsFailure::Lost),
            _ => Some(TlsFailure::NotTls),
        }
    }

    pub(super) fn liveness(&self) -> Liveness {
        if !self.down.readable().is_empty() {
            Liveness::Spoke
        } else if self.down.end() == End::Open {
            Liveness::Alive
        } else {
            Liveness::Closed
        }
    }

    /// The client ends its direction and goes on reading: by FIN, under TLS by a close_notify.
    pub(super) fn end_by_client(&mut self, id: StreamId, planner: &mut Planner) {
        if self.client == Side::Open {
            self.client = Side::Half;
            let parcel = match self.secured {
                Secured::Tls => Parcel::Notify,
                Secured::Plain | Secured::Asked => Parcel::Fin,
            };
            self.mark(id, Way::Up, parcel, planner);
        }
    }

    /// The client closes: by FIN, or by a reset if it leaves bytes unread.
    pub(super) fn close_by_client(&mut self, id: StreamId, planner: &mut Planner) {
        let was = std::mem::replace(&mut self.client, Side::Closed);
        self.owner = None;
        let is_tls = self.secured == Secured::Tls;
        if matches!(was, Side::Connecting | Side::Closed) {
            return;
        }
        if was == Side::Open && is_tls {
            self.mark(id, Way::Up, Parcel::Notify, planner);
        }
        let parcel = if self.down.readable().is_empty() {
            Parcel::Fin
        } else {
            Parcel::Reset
        };
        if was == Side::Open || is_tls || parcel == Parcel::Reset {
            self.mark(id, Way::Up, parcel, planner);
        }
    }

    // ---- the peer's end ----

    /// The peer sends bytes; 0 means that the window is full.
    ///
    /// # Errors
    /// The client has gone away, or the link cut the peer off.
    pub(super) fn serve(
        &mut self,
        id: StreamId,
        bytes: &[u8],
        planner: &mut Planner,
    ) -> Result<usize, Unsent> {
        if self.server != Side::Open || matches!(self.up.end_arrived(), End::Reset | End::Gone) {
            return Err(Unsent::Gone);
        }
        let room = self.link.cut.map_or(usize::MAX, |(_, at)| {
            usize::try_from(at.saturating_sub(self.down.accepted())).unwrap_or(usize::MAX)
        });
        let pace = self.pace(Way::Down);
        let offered = &bytes[..bytes.len().min(room)];
        let (count, first) = self.down.send(offered, planner.now(), pace);
        planner.plan_if(first, Happening::Arrive(id, Way::Down));
        if count < room {
            return Ok(count);
        }
        match self.link.cut.map(|(cut, _)| cut) {
            Some(Cut::Fin) => self.half_close(id, planner),
            Some(Cut::Reset) => self.reset_by_server(id, planner),
            Some(Cut::Stall) | None => {}
        }
        Err(Unsent::Cut)
    }

    /// The peer sends its FIN and goes on reading.
    pub(super) fn half_close(&mut self, id: StreamId, planner: &mut Planner) {
        if self.server == Side::Open {
            self.server = Side::Half;
            self.mark(id, Way::Down, Parcel::Fin, planner);
        }
    }

    pub(super) fn notify(&mut self, id: StreamId, planner: &mut Planner) {
        if self.server == Side::Open {
            self.mark(id, Way::Down, Parcel::Notify, planner);
        }
    }

    /// The peer closes: by FIN, or by a reset if it leaves bytes unread.
    pub(super) fn close_by_server(&mut self, id: StreamId, planner: &mut Planner) {
        match std::mem::replace(&mut self.server, Side::Closed) {
            Side::Connecting | Side::Closed => {}
            Side::Open | Side::Half if !self.up.readable().is_empty() => {
                self.mark(id, Way::Down, Parcel::Reset, planner);
            }
            Side::Open => self.mark(id, Way::Down, Parcel::Fin, planner),
            Side::Half => {}
        }
    }

    pub(super) fn reset_by_server(&mut self, id: StreamId, planner: &mut Planner) {
        if self.server != Side::Closed {
            self.server = Side::Closed;
            self.mark(id, Way::Down, Parcel::Reset, planner);
        }
    }

    /// When the client knows what becomes of a handshake that the peer has agreed to, or refuses.
    pub(super) fn handshake_done(&self, trips: u32, now: Instant) -> Instant {
        now + self.link.latency * trips.saturating_mul(2).saturating_sub(1)
    }
}

/// Why a peer cannot send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// Nobody takes what it sends.
    Gone,
    /// The link cut it off.
    Cut,
}

/// The address from which a peer is reached.
fn local_ip(remote: IpAddr) -> IpAddr {
    match remote {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 254).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe).into(),
    }
}

fn errno(errno: rustix::io::Errno) -> io::Error {
    errno.into()
}
