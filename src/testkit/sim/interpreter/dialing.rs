//! What a simulated dial does: lookups, connects, handshakes.

use std::net::SocketAddr;

use crate::error::LookupFailure;
use crate::flow::action::{DialInput, Moved, TlsFault, Wait};
use crate::flow::dial::Dial;
use crate::flow::lookup::{Families, FlightId, Joined};
use crate::message::answer::{Answer, Family, LookupError};
use crate::message::peer_addr::PeerAddr;
use crate::testkit::sim::happening::Happening;
use crate::testkit::sim::interpreter::{Actor, Busy, Contestant, Lease, Place, ROOM, Stage};
use crate::testkit::sim::link::Handshake;
use crate::testkit::sim::network::{Incoming, StreamId};

/// A wait that whatever happens ends.
const ANYTHING: Wait = Wait {
    send: false,
    receive: None,
    source: false,
    deadline: None,
};

impl Stage<'_> {
    pub(super) fn resolve(&mut self) {
        let dial = self.actor.call.dialing();
        let host: Box<str> = dial.map(Dial::host).unwrap_or_default().into();
        let now = self.world.now();
        let waiter = self.actor.call.id().get();
        // There may have been another name before.
        if let Some(before) = self.actor.asked.replace(host.clone()) {
            let _ = self.world.lookup.leave(&before, waiter);
        }
        let number = self.actor.number;
        let joined = self.world.lookup.join(&host, waiter, number, now);
        match joined {
            Joined::Start(flight, known) => {
                self.input(DialInput::Asked { shared: false });
                self.known(&known, false);
                self.ask(&host, flight);
            }
            Joined::Shared(families) => {
                self.input(DialInput::Asked { shared: true });
                self.known(&families, true);
            }
            Joined::Cached(families) => {
                self.input(DialInput::Asked { shared: false });
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
    pub(super) fn ask(&mut self, host: &str, flight: FlightId) {
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

    pub(super) fn known(&mut self, families: &Families, coalesced: bool) {
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

    pub(super) fn probe_route(&mut self, addr: SocketAddr) {
        let reachable = self.world.net.has_route(addr);
        self.input(DialInput::Route { addr, reachable });
    }

    pub(super) fn connect(&mut self, number: u16, addr: PeerAddr) {
        let owner = self.actor.number;
        match self.world.net.connect(addr, owner, &mut self.world.planner) {
            Ok(stream) => {
                self.actor.contestants.push(Contestant {
                    number,
                    stream,
                    busy: Busy::Nothing,
                });
            }
            Err(error) => self.input(DialInput::Connected {
                contestant: number,
                result: Err(error),
            }),
        }
    }

    pub(super) fn abort_connect(&mut self, number: u16) {
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
    pub(super) fn end_dial(&mut self, winner: Option<u16>, forget: bool) {
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

    /// Makes a call of its own of the dial that goes on without this one, with its streams and its lookup. If there is no
    /// point in it, it is given up first of all.
    pub(super) fn part(&mut self) {
        let (before, id) = (self.actor.call.id(), self.world.ids.call());
        let Some(call) = self.actor.call.take_detached(id) else {
            return;
        };
        let Some(dial) = call.dialing().map(Dial::id) else {
            return;
        };
        let number = self.world.next_actor();
        let (is_kept, served) = self.world.pool.detach(before.get(), id.get());
        self.world.serve(served);
        let asked = self.actor.asked.take();
        if let Some(host) = &asked {
            let lookup = &mut self.world.lookup;
            if let Some(waiter) = lookup.rename(host, before.get(), id.get()) {
                *waiter = number;
            }
        }
        let contestants = std::mem::take(&mut self.actor.contestants);
        for contestant in &contestants {
            self.world.net.streams[contestant.stream].owner = Some(number);
        }
        let emitter = self.actor.emitter.of_dial(dial);
        let parted = Actor {
            contestants,
            asked,
            letters: std::mem::take(&mut self.actor.letters),
            place: Place::Waiting(ANYTHING),
            ..Actor::new(number, *call, self.actor.settings.clone(), emitter)
        };
        if !is_kept || !self.world.keep_alive {
            parted.cancel.cancel();
        }
        self.world.parted.push_back(Box::new(parted));
    }

    pub(super) fn start_tls(&mut self, number: u16) {
        let contestants = &mut self.actor.contestants;
        let Some(contestant) = contestants.iter_mut().find(|each| each.number == number) else {
            return;
        };
        contestant.busy = Busy::Handshake;
        let stream = contestant.stream;
        let latency = self.world.net.streams[stream].link.latency;
        self.world
            .planner
            .plan_in(latency, Happening::Hello(stream));
        self.input(DialInput::TlsStarted {
            contestant: number,
            resumption: false,
        });
    }

    /// Begins to speak with a proxy, or says more.
    pub(super) fn speak(&mut self, number: u16) {
        let contestants = &mut self.actor.contestants;
        let Some(contestant) = contestants.iter_mut().find(|each| each.number == number) else {
            return;
        };
        contestant.busy = Busy::Speaking;
        let id = contestant.stream;
        let words = self.actor.buffers.outbound.filled();
        let stream = &mut self.world.net.streams[id];
        let moved = match stream.send(id, [words, &[]], &mut self.world.planner) {
            Ok(0) => return,
            Ok(count) => Moved::Sent(count),
            Err(error) => Moved::Failed(error),
        };
        self.input(DialInput::Tunnel {
            contestant: number,
            moved,
        });
    }

    /// What a proxy says, or that it takes more, if it does.
    pub(super) fn hear_proxy(&mut self) -> Option<DialInput> {
        let speaks = |each: &&Contestant| each.busy == Busy::Speaking;
        let Contestant { number, stream, .. } = *self.actor.contestants.iter().find(speaks)?;
        let (net, planner) = (&mut self.world.net, &mut self.world.planner);
        let (buffers, id) = (&mut self.actor.buffers, stream);
        let stream = &mut net.streams[id];
        let words = buffers.outbound.filled();
        let moved = if !words.is_empty() && stream.is_writable() {
            match stream.send(id, [words, &[]], planner) {
                Ok(count) => Moved::Sent(count),
                Err(error) => Moved::Failed(error),
            }
        } else if stream.is_readable() {
            match stream.receive(id, buffers.inbound.spare(ROOM), &mut [], planner) {
                Incoming::Nothing => return None,
                Incoming::Bytes(count) => {
                    buffers.inbound.fill(count);
                    Moved::Received(count)
                }
                Incoming::Ended { .. } => Moved::Ended,
                Incoming::Broken(error) => Moved::Failed(error),
            }
        } else {
            return None;
        };
        Some(DialInput::Tunnel {
            contestant: number,
            moved,
        })
    }

    /// Takes what became of a connect.
    pub(in crate::testkit::sim) fn connected(
        &mut self,
        stream: StreamId,
        result: std::io::Result<Option<SocketAddr>>,
    ) {
        let contestants = &self.actor.contestants;
        let Some(contestant) = contestants.iter().find(|each| each.stream == stream) else {
            return;
        };
        let number = contestant.number;
        let result = result.map(|local| (self.world.ids.conn(), local));
        if let Ok((conn, _)) = &result {
            self.world.net.streams[stream].conn = Some(*conn);
        }
        self.actor.letters.push_back(DialInput::Connected {
            contestant: number,
            result,
        });
    }

    /// Takes what became of a TLS handshake: what the peer says, or else what came instead.
    pub(in crate::testkit::sim) fn secured(&mut self, stream: StreamId, said: Option<Handshake>) {
        let contestants = &mut self.actor.contestants;
        let Some(contestant) = contestants.iter_mut().find(|each| each.stream == stream) else {
            return;
        };
        if contestant.busy != Busy::Handshake {
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
        contestant.busy = Busy::Nothing;
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
}
