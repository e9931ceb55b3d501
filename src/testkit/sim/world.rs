//! What the calls of one simulation share: the network, the names, the pool, the lookups, the ids.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::event::{ClosedBy, Emitter, ObserverRef, Observers, Telling};
use crate::flow::connection;
use crate::flow::lookup::Lookup;
use crate::flow::pool::{Key, Pool, Served};
use crate::ids::{CallId, ConnId, DialId};
use crate::message::close::CloseReason;
use crate::message::framing::Version;
use crate::message::tls::TlsFacts;
use crate::testkit::sim::bug::Bug;
use crate::testkit::sim::happening::{Due, Planner};
use crate::testkit::sim::interpreter::Actor;
use crate::testkit::sim::names::Names;
use crate::testkit::sim::network::{Liveness, Network, StreamId};
use crate::testkit::sim::record::Record;

/// Everything around the calls.
pub(super) struct World {
    pub(super) planner: Planner,
    pub(super) net: Network,
    pub(super) names: Names,
    pub(super) record: Record,
    pub(super) pool: Pool<Idle, usize>,
    pub(super) lookup: Lookup<usize, ()>,
    pub(super) ids: Ids,
    pub(super) telling: Arc<Telling>,
    pub(super) observers: Vec<ObserverRef>,
    pub(super) keep_alive: bool,
    pub(super) tls: Arc<TlsFacts>,
    pub(super) bug: Option<Bug>,
    /// Calls, and dials that go on without theirs, so far.
    pub(super) actors: usize,
    /// Dials that go on without their calls, until the simulation takes them over.
    pub(super) parted: VecDeque<Box<Actor>>,
}

/// A connection in the pool.
pub(super) type Idle = connection::Idle<StreamId>;

/// Ids, counted from 1 in each simulation.
#[derive(Debug, Default)]
pub(super) struct Ids {
    calls: u64,
    dials: u64,
    conns: u64,
}

impl Ids {
    pub(super) fn call(&mut self) -> CallId {
        self.calls += 1;
        CallId::new(self.calls)
    }

    pub(super) fn dial(&mut self) -> DialId {
        self.dials += 1;
        DialId::new(self.dials)
    }

    pub(super) fn conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId::new(self.conns)
    }
}

impl World {
    pub(super) fn now(&self) -> Instant {
        self.planner.now()
    }

    /// The number of the next call, or dial that goes on without one.
    pub(super) fn next_actor(&mut self) -> usize {
        let number = self.actors;
        self.actors += 1;
        number
    }

    /// An emitter for a call, or for what happens outside any call.
    pub(super) fn emitter(&self, of_call: &[ObserverRef]) -> Emitter {
        let observers = Observers::of_call(of_call, &self.observers);
        Emitter::new(self.telling.clone(), observers)
    }

    pub(super) fn close_stream(&mut self, id: StreamId) {
        self.net.streams[id].close_by_client(id, &mut self.planner);
    }

    /// Counts a connection on loan that was closed.
    pub(super) fn closed(&mut self, key: &Arc<Key>, version: Option<Version>, reason: CloseReason) {
        if let Some(version) = version {
            self.pool.answered(key, version);
        }
        if self.bug != Some(Bug::LeakedLoan) {
            let served = self.pool.closed(key, reason);
            self.serve(served);
        }
    }

    /// Does what a change of the pool asks for: wakes the calls that have mail, closes what gave way.
    pub(super) fn serve(&mut self, served: Served<Idle, usize>) {
        for call in served.wake {
            self.planner.wake(Due::Call(call));
        }
        self.close_all(served.closed);
    }

    /// Closes connections that were idle.
    pub(super) fn close_all(&mut self, idle: impl IntoIterator<Item = (Idle, CloseReason)>) {
        let now = self.now();
        let mut emitter = None;
        for (Idle { stream, connection }, reason) in idle {
            self.close_stream(stream);
            let emitter = emitter.get_or_insert_with(|| self.emitter(&[]));
            connection.tell_closed_outside(reason, ClosedBy::of(reason), now, emitter);
        }
        if let Some(mut emitter) = emitter {
            emitter.deliver();
        }
    }

    /// Why an idle stream cannot be used, if it cannot.
    pub(super) fn death_of(&self, stream: StreamId) -> Option<CloseReason> {
        match self.net.streams[stream].liveness() {
            Liveness::Alive => None,
            Liveness::Closed => Some(CloseReason::PeerClosedIdle),
            Liveness::Spoke => Some(CloseReason::UnsolicitedBytes),
        }
    }
}
