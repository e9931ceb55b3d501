//! Whole calls without a socket, a thread or a clock: the simulator.
//!
//! The rule of this module: **one seed, one run.** A [`Sim`] is a third interpreter of the actions that the blocking
//! client does, on a virtual network with a virtual clock. It uses the settings, observers and redaction of an
//! ordinary [`Client`], never its sockets, nor what they are set up as; it takes ordinary [`Request`]s; its peers play
//! the same [`Script`]s as the scripted peer on TCP. Nothing in it waits: ten minutes of stall take microseconds.
//!
//! ```text
//!   Request ──► call (the core) ──actions──► interpreter ──► network: links, windows, faults
//!                     ▲                                          │            ▲
//!                     └───────────── inputs ◄── agenda (time) ◄──┘         players (Script)
//! ```
//!
//! ```
//! use std::time::Duration;
//! use wirescope::testkit::Script;
//! use wirescope::testkit::sim::{Link, Name, Sim};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = wirescope::Client::new()?;
//! let mut sim = Sim::new(&client);
//! let script = Script::new()
//!     .expect_request()
//!     .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
//! sim.listen("192.0.2.1:80".parse()?, script)
//!     .link(Link::new().latency(Duration::from_millis(20)));
//! sim.name("example.com", Name::new(&["192.0.2.1".parse()?]));
//!
//! let response = sim.run(client.get("http://example.com/")?)?;
//! assert_eq!((response.status, response.text()), (200, "hello".into()));
//! assert_eq!(sim.elapsed(), Duration::from_millis(80)); // connect and answer: a round trip each
//! print!("{}", sim.finish().transcript().stable_with_times());
//! # Ok(())
//! # }
//! ```
//!
//! Several calls at once are submitted with a [`Caller`] each, and run by [`Sim::run_all`]. What a peer does on one
//! connection is its script; what the way there does is its [`Link`]. TLS is simulated as the core sees it: as facts
//! ([`Handshake`]), round trips, close_notify, and their absence.

mod agenda;
mod answer;
mod bug;
mod caller;
mod draw;
mod happening;
mod interpreter;
mod laws;
mod link;
mod names;
mod network;
mod outcome;
mod pipe;
mod player;
mod proxied;
mod random;
mod reader;
mod record;
mod run;
mod scenario;
mod shrink;
mod source;
mod wired;
mod world;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use self::bug::Bug;
pub use self::caller::Caller;
use self::happening::{Due, Happening, Planner};
use self::interpreter::Actor;
pub use self::laws::{Broken, Law, Report};
pub use self::link::{Accept, Cut, Handshake, Link};
pub use self::names::Name;
use self::names::Names;
pub use self::network::Secures;
use self::network::{Listener, Network, Side};
pub use self::outcome::{Outcome, SimResponse};
use self::record::Record;
pub use self::scenario::Scenario;
pub use self::wired::{Secure, Wired, WiredName};
use self::world::{Ids, World};
use crate::client::Client;
use crate::error::Error;
use crate::event::grammar::{Grammar, Violation};
use crate::event::{Clock, Event, EventKind, Interest, Observer, ObserverRef, Telling, Verdict};
use crate::flow::call::{self, Call, DetachedDial, Settings};
use crate::flow::lookup::Lookup;
use crate::flow::pool::Pool;
use crate::flow::proxy::Proxies;
use crate::ids::ConnId;
use crate::message::close::CloseReason;
use crate::message::peer_addr::{PeerAddr, UnixAddr};
use crate::message::tls::{TlsFacts, TlsHandshake, TlsVersion};
use crate::net::clock;
use crate::request::{Ready, Request};
use crate::testkit::check::{Checked, check_with};
use crate::testkit::script::Script;
use crate::testkit::seen::SeenRequest;

/// A simulation: virtual peers, a virtual clock, and the calls of one client.
pub struct Sim {
    world: World,
    settings: Arc<Settings>,
    calls: Vec<Simulated>,
    start: Instant,
    told: Arc<Told>,
}

/// A call that was submitted.
enum Simulated {
    Running(Box<Actor>),
    Ended(Box<Outcome>),
    /// Its outcome was taken.
    Taken,
}

/// Names a call of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(usize);

/// Keeps every event of a simulation.
#[derive(Debug, Default)]
struct Told {
    events: Mutex<Vec<Event>>,
    silent: Option<EventKind>,
}

impl Observer for Arc<Told> {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, event: &Event) -> Verdict {
        if self.silent != Some(event.kind()) {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.push(event.clone());
        }
        Verdict::Continue
    }
}

/// Why a simulation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stuck {
    /// Nothing is planned any more, and calls have not ended.
    Silent,
    /// More happened than any honest simulation needs.
    Endless,
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Silent => "a call waits for what will never happen",
            Self::Endless => "the simulation does not come to an end",
        })
    }
}

impl std::error::Error for Stuck {}

/// The settings without what the environment of this process said about proxies.
fn without_environment(settings: &Arc<Settings>) -> Arc<Settings> {
    match settings.proxies.are_of_environment() {
        true => Arc::new(Settings {
            proxies: Proxies::default(),
            ..(**settings).clone()
        }),
        false => settings.clone(),
    }
}

impl Sim {
    /// Makes a simulation for a client: its settings, overrides, redaction and observers count, but no proxies of the
    /// environment, which are not of this world. Ids count from 1.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self::with_bug(client, None)
    }

    /// As [`new`](Self::new), with a bug planted, to see whether something finds it.
    #[must_use]
    pub fn with_bug(client: &Client, bug: Option<Bug>) -> Self {
        let engine = client.engine();
        let start = clock::now();
        let (pool, lookup) = engine.bounds();
        let told = Arc::new(Told {
            events: Mutex::default(),
            silent: (bug == Some(Bug::SilentEnd)).then_some(EventKind::AttemptDone),
        });
        let mut observers = engine.observers.clone();
        observers.push(ObserverRef::new(told.clone()));
        let clock = Clock::new(start, SystemTime::UNIX_EPOCH);
        let telling = Telling::new(clock, engine.telling.redaction().clone());
        let world = World {
            planner: Planner::new(start),
            net: Network::new(),
            names: Names::default(),
            record: Record::default(),
            pool: Pool::new(pool),
            lookup: Lookup::new(lookup),
            ids: Ids::default(),
            telling: Arc::new(telling),
            observers,
            keep_alive: engine.keep_alive,
            tls: Arc::new(default_facts()),
            bug,
            actors: 0,
            parted: VecDeque::new(),
        };
        Self {
            world,
            settings: without_environment(&engine.settings),
            calls: Vec::new(),
            start,
            told,
        }
    }

    /// Lets dials go on that their calls do not need any more, as an event loop does. Else they are given up, as by the
    /// blocking client.
    #[must_use]
    pub(super) fn finishing_dials(mut self) -> Self {
        self.settings = Arc::new(Settings {
            detached: DetachedDial::Finish,
            ..(*self.settings).clone()
        });
        self
    }

    // ---- the world ----

    /// Lets an address listen; the script is played on each of its connections. More is said to what it gives.
    pub fn listen(&mut self, addr: SocketAddr, script: Script) -> Listening<'_> {
        self.listen_at(addr.into(), script)
    }

    /// As [`listen`](Self::listen), for a unix socket.
    pub fn listen_unix(&mut self, addr: UnixAddr, script: Script) -> Listening<'_> {
        self.listen_at(PeerAddr::Unix(addr), script)
    }

    fn listen_at(&mut self, addr: PeerAddr, script: Script) -> Listening<'_> {
        let listener = Listener {
            scripts: vec![Arc::new(script)],
            links: Vec::new(),
            tls: None,
            secures: Secures::AtOnce,
            asked: 0,
            accepted: 0,
        };
        Listening(self.world.net.listen(addr, listener))
    }

    /// Gives a host its addresses. Every other host does not exist.
    pub fn name(&mut self, host: &str, name: Name) {
        self.world.names.set(host, name);
    }

    /// Sets what a handshake agrees on. Default: TLS 1.3, without certificates.
    pub fn tls_facts(&mut self, facts: Arc<TlsFacts>) {
        self.world.tls = facts;
    }

    // ---- calls ----

    /// Runs one call to its end, its body read whole.
    ///
    /// # Errors
    /// What the call failed with, exactly as the blocking client fails.
    ///
    /// # Panics
    /// When the simulation cannot go on: see [`Stuck`].
    pub fn run(&mut self, request: Request) -> Result<SimResponse, Error> {
        self.run_as(request, Caller::new()).into_result()
    }

    /// Runs one call to its end.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn run_as(&mut self, request: Request, caller: Caller) -> Outcome {
        let ticket = self.submit(request, caller);
        if let Err(stuck) = self.run_all() {
            panic!("{stuck}\n{}", self.transcript());
        }
        match self.take(ticket) {
            Some(outcome) => outcome,
            None => unreachable!("a call that was run has ended"),
        }
    }

    /// Adds a call; it runs with the next [`run_all`](Self::run_all).
    pub fn submit(&mut self, request: Request, caller: Caller) -> Ticket {
        let number = self.world.next_actor();
        let simulated = match self.admit(number, request, caller) {
            Ok(actor) => {
                let starts = actor.caller.starts;
                self.world.planner.plan_in(starts, Happening::Begin(number));
                Simulated::Running(actor)
            }
            Err(error) => Simulated::Ended(Box::new(Outcome {
                started: self.elapsed(),
                ended: self.elapsed(),
                head: None,
                body: Vec::new(),
                trailers: None,
                is_reused: false,
                redirects: 0,
                error: Some(error),
            })),
        };
        self.calls.push(simulated);
        Ticket(number)
    }

    fn admit(
        &mut self,
        number: usize,
        request: Request,
        caller: Caller,
    ) -> Result<Box<Actor>, Error> {
        let Ready {
            mut wish,
            upload,
            changes,
            observers,
            cancel,
        } = request.ready();
        let id = self.world.ids.call();
        let mut emitter = self.world.emitter(&observers);
        let settled = wish.settle(|url| self.world.pool.speaks_http10(url));
        let settled = settled.inspect_err(|error| {
            let now = self.world.now();
            call::refuse(id, wish.unsettled(), error, now, &mut emitter);
            emitter.deliver();
        })?;
        let settings = match changes {
            None => self.settings.clone(),
            Some(changes) => Arc::new(self.settings.changed(*changes)),
        };
        let call = Call::new(id, wish.into_plan(settled), settings.clone());
        Ok(Box::new(Actor {
            upload,
            cancel: cancel.unwrap_or_default(),
            caller,
            ..Actor::new(number, call, settings, emitter)
        }))
    }

    /// Runs until every call has ended.
    ///
    /// # Errors
    /// The simulation cannot go on.
    pub fn run_all(&mut self) -> Result<(), Stuck> {
        // Somebody may have opened a gate between two runs.
        self.world.planner.wake(Due::Gates);
        self.settle();
        while self.is_running() {
            let happening = self.world.planner.next().ok_or(Stuck::Silent)?;
            self.happen(happening);
            self.settle();
            if self.world.planner.is_endless() {
                return Err(Stuck::Endless);
            }
        }
        Ok(())
    }

    /// Lets time pass without any call: what is on its way arrives, and scripts go on.
    ///
    /// # Errors
    /// As [`run_all`](Self::run_all).
    pub fn pass(&mut self, time: Duration) -> Result<(), Stuck> {
        let until = self.world.now() + time;
        self.world.planner.wake(Due::Gates);
        self.settle();
        while let Some(happening) = self.world.planner.next_until(until) {
            self.happen(happening);
            self.settle();
            if self.world.planner.is_endless() {
                return Err(Stuck::Endless);
            }
        }
        Ok(())
    }

    /// Takes what became of a call that has ended; once.
    pub fn take(&mut self, ticket: Ticket) -> Option<Outcome> {
        let place = self.calls.get_mut(ticket.0)?;
        match std::mem::replace(place, Simulated::Taken) {
            Simulated::Ended(outcome) => Some(*outcome),
            other => {
                *place = other;
                None
            }
        }
    }

    // ---- what was seen ----

    /// The time on the virtual clock.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.now().saturating_duration_since(self.start)
    }

    /// How much has happened.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.world.planner.turns()
    }

    /// The requests that reached a peer, with its address, in the order in which their heads were read.
    #[must_use]
    pub fn requests(&self) -> &[(PeerAddr, SeenRequest)] {
        &self.world.record.requests
    }

    /// What went against the scripts.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.world.record.failures
    }

    /// Counts connections of the pool: idle ones, and ones on loan.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        self.world.pool.counts()
    }

    /// Bytes that the network carried on a connection: to the peer, and taken by the client. Under TLS, what was sent
    /// counts when all that was given at once was accepted.
    #[must_use]
    pub fn carried(&self, connection: ConnId) -> Option<(u64, u64)> {
        let mut streams = self.world.net.streams.iter();
        let stream = streams.find(|stream| stream.conn == Some(connection))?;
        let pending = u64::try_from(stream.in_flight).unwrap_or(u64::MAX);
        let sent = stream.up.accepted().saturating_sub(pending);
        Some((sent, stream.down.taken()))
    }

    /// Says what was left behind, after all idle connections were closed.
    fn nothing_left(&self) -> Result<(), String> {
        let stats = self.world.pool.stats();
        let total = stats.total();
        if total.connections() > 0 || total.waiting() > 0 {
            return Err(format!("in the pool: {total:?}"));
        }
        let open = self.world.net.streams.iter();
        let open = open.filter(|stream| stream.client != Side::Closed).count();
        if open > 0 {
            return Err(format!("{open} streams are open"));
        }
        match self.world.lookup.flights() {
            0 => Ok(()),
            flights => Err(format!("{flights} lookups are under way")),
        }
    }

    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.told().clone()
    }

    fn told(&self) -> MutexGuard<'_, Vec<Event>> {
        let events = self.told.events.lock();
        events.unwrap_or_else(PoisonError::into_inner)
    }

    /// The events so far as text, with virtual times.
    #[must_use]
    pub fn transcript(&self) -> String {
        let events = self.events();
        let transcript = crate::testkit::transcript::Transcript::of(&events);
        transcript.stable_with_times().to_string()
    }

    /// Closes all idle connections, as dropping a client does.
    pub fn close_idle(&mut self) {
        let all = self.world.pool.take_all(CloseReason::ClientDropped);
        self.world.close_all(all);
        self.settle();
    }

    /// Ends the simulation: closes idle connections and judges all events by the whole grammar.
    ///
    /// # Panics
    /// When an event breaks a rule.
    #[track_caller]
    pub fn finish(mut self) -> Checked {
        self.close_idle();
        check_with(Grammar::new().strict_seq(), self.events())
    }

    /// As [`finish`](Self::finish), without a panic: the first rule that an event breaks.
    ///
    /// # Errors
    /// The violation.
    pub fn judge(&mut self) -> Result<(), Violation> {
        self.close_idle();
        let events = self.told();
        let mut grammar = Grammar::new().strict_seq();
        events.iter().try_for_each(|event| grammar.event(event))?;
        grammar.finish_all()
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim")
            .field("elapsed", &self.elapsed())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

/// An address that listens; what else it does is said here.
#[derive(Debug)]
pub struct Listening<'a>(&'a mut Listener);

impl Listening<'_> {
    /// Plays this script on the connection behind those that have one, and on all later ones.
    pub fn then(self, script: Script) -> Self {
        self.0.scripts.push(Arc::new(script));
        self
    }

    /// Lets the connect behind those that have one, and all later ones, go over this link.
    pub fn link(self, link: Link) -> Self {
        self.0.links.push(link);
        self
    }

    /// Speaks TLS from the first byte on; the handshake is made before the script begins. [`Script::start_tls`] then begins
    /// TLS inside, as it is spoken through an `https` proxy.
    pub fn tls(self, handshake: Handshake) -> Self {
        self.0.tls = Some(handshake);
        self
    }

    /// Makes this handshake where the script says so, with [`Script::start_tls`].
    pub fn tls_on_demand(self, handshake: Handshake) -> Self {
        self.0.tls = Some(handshake);
        self.0.secures = Secures::OnDemand;
        self
    }
}

fn default_facts() -> TlsFacts {
    TlsFacts {
        version: TlsVersion::V1_3,
        cipher_suite: "TLS_AES_256_GCM_SHA384",
        key_exchange: Some("X25519"),
        alpn: Some("http/1.1"),
        handshake: TlsHandshake::Full,
        certificates: Vec::new(),
    }
}
