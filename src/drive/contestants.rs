//! The sockets of a dial. One alone with nothing else to wait for connects and shakes hands in blocking calls;
//! otherwise nobody blocks, and one poll waits for all of them, for the resolver, and for a cancel.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::drive::apply::{Running, tls_fault};
use crate::drive::engine::next_connection;
use crate::drive::names::Names;
use crate::error::TlsFailure;
use crate::event::{EventKind, TlsRole};
use crate::flow::action::{DialInput, Input, Moved, TlsFault};
use crate::flow::dial::Dial;
use crate::message::peer_addr::PeerAddr;
use crate::message::tls::TlsFacts;
use crate::net::poll::Owner;
use crate::net::route::has_route;
use crate::net::socket::{Begun, Unconnected};
use crate::net::tls::TlsName;
use crate::net::transport::{Broken, Shaken, Transport, read_timeout};
use crate::net::wait::{Interest, Waker, for_any};

/// The sockets of a dial, by the number of their contestant, and the lookup that may bring more.
#[derive(Debug, Default)]
pub(crate) struct Contestants {
    open: Vec<(u16, Contestant)>,
    pub(crate) names: Option<Box<Names>>,
    /// What a cancel or the pool wakes while sockets are polled without a lookup.
    waker: Option<Arc<Waker>>,
}

/// A socket of the dial.
#[derive(Debug)]
enum Contestant {
    /// To be connected in the next wait, blocking.
    Opening(Unconnected),
    /// Connecting in the background.
    Connecting(Unconnected),
    /// Connected.
    Open(Box<Transport>, Busy),
}

/// What a contestant that is connected is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// It waits for its turn.
    Nothing,
    Handshake,
    /// Bytes are exchanged with its proxy.
    Speaking,
}

impl Contestants {
    /// Closes the socket of a contestant.
    pub(crate) fn close(&mut self, number: u16) {
        drop(self.take(number));
    }

    /// Sets whom the reports about the sockets are for.
    pub(crate) fn give(&self, owner: Owner) {
        for (_, contestant) in &self.open {
            match contestant {
                Contestant::Opening(socket) | Contestant::Connecting(socket) => socket.give(owner),
                Contestant::Open(transport, _) => transport.give(owner),
            }
        }
    }

    /// Gives up memory that is only of use while something is received.
    pub(crate) fn save_memory(&mut self) {
        for (_, contestant) in &mut self.open {
            if let Contestant::Open(transport, Busy::Handshake | Busy::Speaking) = contestant {
                transport.take_back(&mut Vec::new());
            }
        }
    }

    fn take(&mut self, number: u16) -> Option<Contestant> {
        let place = self.open.iter().position(|(of, _)| *of == number)?;
        Some(self.open.remove(place).1)
    }

    fn put(&mut self, number: u16, contestant: Contestant) {
        let place = self.open.partition_point(|(of, _)| *of < number);
        self.open.insert(place, (number, contestant));
    }

    pub(crate) fn transport(&mut self, number: u16) -> Option<(&mut Transport, &mut Busy)> {
        let is_it = |(of, _): &&mut (u16, Contestant)| *of == number;
        match self.open.iter_mut().find(is_it) {
            Some((_, Contestant::Open(transport, busy))) => Some((transport, busy)),
            _ => None,
        }
    }
}

impl Running {
    pub(crate) fn probe_route(&mut self, addr: SocketAddr) {
        let reachable = has_route(addr, &self.engine.setup);
        self.input(DialInput::Route { addr, reachable });
    }

    /// Opens the socket of a contestant, and begins to connect unless that can be done in one blocking call.
    pub(crate) fn open(&mut self, number: u16, addr: PeerAddr) {
        let is_alone = self.call.dialing().is_some_and(Dial::is_alone);
        let setup = &self.engine.setup;
        match addr {
            PeerAddr::Tcp(addr) if is_alone && self.waits.may_block() => {
                match Unconnected::open(addr, setup) {
                    Ok(socket) => self.contestants.put(number, Contestant::Opening(socket)),
                    Err(error) => self.failed_now(number, error),
                }
            }
            PeerAddr::Tcp(_) | PeerAddr::Unix(_) => {
                let begun = Unconnected::begin(addr, setup);
                self.begun(number, begun);
            }
        }
    }

    /// Keeps a contestant whose connect was begun.
    fn begun(&mut self, number: u16, begun: std::io::Result<Begun>) {
        let watched = begun.and_then(|mut begun| {
            let (Begun::UnderWay(socket) | Begun::Connected(socket)) = &mut begun;
            self.watch(socket).map(|()| begun)
        });
        match watched {
            Ok(Begun::UnderWay(socket)) => {
                self.contestants.put(number, Contestant::Connecting(socket));
            }
            Ok(Begun::Connected(socket)) => {
                self.read_clock();
                self.opened(number, socket);
            }
            Err(error) => self.failed_now(number, error),
        }
    }

    fn failed_now(&mut self, number: u16, error: std::io::Error) {
        self.read_clock();
        self.failed(number, error);
    }

    fn failed(&mut self, number: u16, error: std::io::Error) {
        self.input(DialInput::Connected {
            contestant: number,
            result: Err(error),
        });
    }

    /// Tells the core that a contestant connected.
    fn opened(&mut self, number: u16, socket: Unconnected) {
        let has_address = socket.is_tcp();
        let socket = match socket.into_socket(self.read_timeout()) {
            Ok(socket) => socket,
            Err(error) => return self.failed(number, error),
        };
        let local = (has_address && self.wants_local())
            .then(|| socket.local_addr())
            .flatten();
        let transport = Box::new(Transport::plain(socket));
        let contestant = Contestant::Open(transport, Busy::Nothing);
        self.contestants.put(number, contestant);
        self.input(DialInput::Connected {
            contestant: number,
            result: Ok((next_connection(), local)),
        });
    }

    fn read_timeout(&self) -> Option<Duration> {
        let timeouts = &self.call.settings().timeouts;
        let reads = [
            timeouts.total,
            timeouts.first_byte,
            timeouts.head,
            timeouts.body_idle,
            timeouts.tls,
        ];
        read_timeout(reads.into_iter().flatten().min())
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

    pub(crate) fn start_tls(&mut self, number: u16, to: TlsRole) {
        let begun = self.begin_tls(number, to);
        self.input(DialInput::TlsStarted {
            contestant: number,
            resumption: matches!(begun, Ok(true)),
        });
        if let Err(fault) = begun {
            self.shaken(number, Err(fault));
        }
    }

    /// Says whether the resumption of a session is offered.
    fn begin_tls(&mut self, number: u16, to: TlsRole) -> Result<bool, TlsFault> {
        let client = self.engine.tls.as_ref().map_err(|error| TlsFault {
            failure: error.tls_failure().unwrap_or(TlsFailure::Config),
            alert: None,
            source: Box::new(error.again()),
        })?;
        let name = self.call.dialing().map(|dial| dial.server_name(to));
        let name = TlsName::new(&name.unwrap_or_default()).map_err(|failure| TlsFault {
            failure,
            alert: None,
            source: "the host is not a name that a certificate can speak for".into(),
        })?;
        let client = client.client(to);
        let Some((transport, busy)) = self.contestants.transport(number) else {
            return Ok(false);
        };
        transport.start_tls(&client, &name).map_err(tls_fault)?;
        *busy = Busy::Handshake;
        Ok(transport.offers_resumption())
    }

    /// Tells the core how a handshake ended. A contestant that failed says its alert and is closed.
    fn shaken(&mut self, number: u16, result: Result<Arc<TlsFacts>, TlsFault>) {
        if result.is_err() {
            if let Some(Contestant::Open(transport, _)) = self.contestants.take(number) {
                transport.close();
            }
        } else if let Some((_, busy)) = self.contestants.transport(number) {
            *busy = Busy::Nothing;
        }
        self.input(DialInput::TlsDone {
            contestant: number,
            result,
        });
    }

    /// Leaves the lookup, keeps the winner, closes the others.
    pub(crate) fn end_dial(&mut self, winner: Option<u16>, forget: bool) {
        self.leave_lookup(forget);
        if let Some(waker) = self.contestants.waker.take() {
            self.engine.wakers.give_back(waker);
        }
        let mut won = None;
        for (number, contestant) in std::mem::take(&mut self.contestants.open) {
            match contestant {
                Contestant::Open(transport, _) if winner == Some(number) => won = Some(transport),
                Contestant::Open(transport, _) => transport.close(),
                Contestant::Opening(_) | Contestant::Connecting(_) => {}
            }
        }
        let (generation, key) = self.engine.dialed(self.call.id(), won.is_some(), self.now);
        self.call.share_key(key);
        if let Some(transport) = won {
            self.adopt(*transport, generation);
        } else if let Some(lease) = &self.lease {
            // A connection came back while the call dialed.
            self.wait_on(lease);
        }
    }

    /// Waits for what a dial waits for; no input means that the core is to be asked again. A call that `listens` for a
    /// connection that comes back polls, so that it can be woken without harm to its own sockets.
    pub(crate) fn wait_for_dial(
        &mut self,
        listens: bool,
        deadline: Option<Instant>,
    ) -> Option<Input> {
        let is_alone = !listens && self.call.dialing().is_some_and(Dial::is_alone);
        match self.contestants.open.first() {
            Some((number, Contestant::Opening(_))) if is_alone => self.connect(*number, deadline),
            Some((number, Contestant::Opening(_))) => self.begin_polled(*number),
            Some((number, Contestant::Open(_, Busy::Handshake))) if is_alone => {
                self.handshake(*number, deadline)
            }
            _ => self.poll_contestants(listens, deadline),
        }
    }

    fn begin_polled(&mut self, number: u16) -> Option<Input> {
        if let Some(Contestant::Opening(socket)) = self.contestants.take(number) {
            self.begun(number, socket.begin_polled());
        }
        None
    }

    fn connect(&mut self, number: u16, deadline: Option<Instant>) -> Option<Input> {
        let Some(Contestant::Opening(socket)) = self.contestants.take(number) else {
            return None;
        };
        if let Some(cancel) = &self.cancel {
            cancel.block_on_socket(self.call.id().get(), socket.shared());
        }
        if self.is_canceled() {
            return None;
        }
        let result = socket.connect(deadline, self.cancel.is_some());
        self.read_clock();
        if self.is_canceled() {
            return None;
        }
        match result {
            Ok(true) => self.opened(number, socket),
            Ok(false) => {
                self.contestants.put(number, Contestant::Connecting(socket));
                return deadline
                    .is_some_and(|deadline| deadline <= self.now)
                    .then_some(Input::Timeout);
            }
            Err(error) => self.failed(number, error),
        }
        None
    }

    fn handshake(&mut self, number: u16, deadline: Option<Instant>) -> Option<Input> {
        let (transport, _) = self.contestants.transport(number)?;
        if let Some(cancel) = &self.cancel {
            cancel.block_on_socket(self.call.id().get(), transport.shared());
            if cancel.is_canceled() {
                return None;
            }
        }
        let result = transport.handshake(deadline);
        self.read_clock();
        if self.is_canceled() {
            return None;
        }
        match result {
            Ok(None) => return Some(Input::Timeout),
            Ok(Some(facts)) => self.shaken(number, Ok(facts)),
            Err(broken) => self.shaken(number, Err(fault_of(broken))),
        }
        None
    }

    /// Waits for all at once, and tells the core of everything that happened before it is asked again.
    fn poll_contestants(&mut self, listens: bool, deadline: Option<Instant>) -> Option<Input> {
        if self.read_answers() {
            return None;
        }
        let waker = match self.waker(listens) {
            Ok(waker) => waker,
            Err(error) => return self.cannot_wait(&error),
        };
        if self.is_canceled() {
            return None;
        }
        let has_words = self.has_words();
        let open = self.contestants.open.iter();
        let polled = open.filter_map(|(number, one)| Some((*number, one.interest(has_words)?)));
        let (numbers, sockets): (Vec<u16>, Vec<_>) = polled.unzip();
        let ready = for_any(&sockets, waker.as_deref(), deadline);
        self.read_clock();
        if self.is_canceled() {
            return None;
        }
        let ready = match ready {
            Ok(ready) => ready,
            Err(error) => return self.cannot_wait(&error),
        };
        let mut happened = self.read_answers();
        for (number, ready) in numbers.into_iter().zip(ready) {
            if ready.is_any() {
                happened = true;
                self.go_on(number);
            }
        }
        (!happened && deadline.is_some_and(|deadline| deadline <= self.now))
            .then_some(Input::Timeout)
    }

    /// What cannot be waited for has failed, with this error.
    fn cannot_wait(&mut self, error: &std::io::Error) -> Option<Input> {
        self.lookup_failed(error);
        let again = || std::io::Error::new(error.kind(), error.to_string());
        for number in self.waited_for() {
            drop(self.contestants.take(number));
            self.failed(number, again());
            self.moved(number, Moved::Failed(again()));
            let (failure, alert) = (TlsFailure::Lost, None);
            let source = Box::new(again());
            self.shaken(
                number,
                Err(TlsFault {
                    failure,
                    alert,
                    source,
                }),
            );
        }
        None
    }

    /// The contestants that wait for something, and not only for their turn.
    fn waited_for(&self) -> Vec<u16> {
        let open = self.contestants.open.iter();
        let waits = |(number, one): &(u16, Contestant)| one.interest(false).map(|_| *number);
        open.filter_map(waits).collect()
    }

    /// The wake-up that ends the poll: the resolver's, or one for a cancel and a connection that comes back.
    fn waker(&mut self, listens: bool) -> std::io::Result<Option<Arc<Waker>>> {
        let contestants = &mut self.contestants;
        let is_needed = listens || self.cancel.is_some();
        let mailbox = contestants.names.as_ref().map(|names| &names.mailbox);
        let waker = match mailbox {
            Some(mailbox) => mailbox.waker(),
            None if !is_needed => None,
            None => match &contestants.waker {
                Some(waker) => Some(waker.clone()),
                None => {
                    contestants.waker = Some(self.engine.wakers.lease()?);
                    contestants.waker.clone()
                }
            },
        };
        if let Some(waker) = &waker {
            self.block_on(|handle, call| handle.block_on_waker(call, waker.clone()));
        }
        Ok(waker)
    }

    /// Does what can be done of a dial without waiting; says whether anything happened.
    pub(crate) fn look_at_dial(&mut self) -> bool {
        let mut happened = self.read_answers();
        let has_words = self.has_words();
        let reported =
            |(number, one): &(u16, Contestant)| one.is_reported(has_words).then_some(*number);
        let numbers: Vec<u16> = self.contestants.open.iter().filter_map(reported).collect();
        for number in numbers {
            happened = true;
            self.go_on(number);
        }
        happened
    }

    /// A contestant that was found ready goes on.
    fn go_on(&mut self, number: u16) {
        match self.contestants.take(number) {
            Some(Contestant::Opening(socket) | Contestant::Connecting(socket)) => {
                match socket.finish() {
                    Ok(true) => self.opened(number, socket),
                    Ok(false) => self.contestants.put(number, Contestant::Connecting(socket)),
                    Err(error) => self.failed(number, error),
                }
            }
            Some(open @ Contestant::Open(..)) => {
                self.contestants.put(number, open);
                self.shake(number);
                self.speak_on(number);
            }
            None => {}
        }
    }

    /// A handshake goes on as far as it can.
    fn shake(&mut self, number: u16) {
        let Some((transport, Busy::Handshake)) = self.contestants.transport(number) else {
            return;
        };
        match transport.handshake_now() {
            Ok(Shaken::Silent) => {}
            Ok(Shaken::Heard) => self.input(DialInput::TlsProgress { contestant: number }),
            Ok(Shaken::Done(facts)) => self.shaken(number, Ok(facts)),
            Err(broken) => self.shaken(number, Err(fault_of(broken))),
        }
    }
}

impl Busy {
    /// What its socket has to be ready for; nothing on a connection that waits for its turn.
    fn interest(self, transport: &Transport, has_words: bool) -> Option<Interest> {
        match self {
            Self::Nothing => None,
            Self::Handshake => Some(transport.handshake_interest()),
            Self::Speaking => Some(Interest {
                read: true,
                write: has_words,
            }),
        }
    }
}

impl Contestant {
    /// Says whether an event loop has something new of its socket.
    fn is_reported(&self, has_words: bool) -> bool {
        match self {
            Self::Opening(socket) | Self::Connecting(socket) => socket.take_report(),
            Self::Open(transport, busy) => (busy.interest(transport, has_words))
                .is_some_and(|what| transport.may_be_ready(what)),
        }
    }

    /// What the poll is to look for.
    fn interest(&self, has_words: bool) -> Option<(BorrowedFd<'_>, Interest)> {
        match self {
            Self::Opening(socket) | Self::Connecting(socket) => {
                Some((socket.as_fd(), Interest::WRITE))
            }
            Self::Open(transport, busy) => {
                (busy.interest(transport, has_words)).map(|what| (transport.as_fd(), what))
            }
        }
    }
}

fn fault_of(broken: Broken) -> TlsFault {
    match broken {
        Broken::Tls(error) => tls_fault(error),
        Broken::Io(error) => TlsFault {
            failure: TlsFailure::Lost,
            alert: None,
            source: Box::new(error),
        },
    }
}
