//! What a simulated call asks of the pool, and how it waits there.

use crate::event::{CanceledBy, ClosedBy};
use crate::flow::action::{self, Discarded, IdleAnswer, Input, Offer, PoolInput};
use crate::flow::connection::Connection;
use crate::flow::pool::{Found, Heard, Mail, Wish};
use crate::message::close::CloseReason;
use crate::testkit::sim::bug::Bug;
use crate::testkit::sim::happening::Due;
use crate::testkit::sim::interpreter::{Lease, Stage};
use crate::testkit::sim::world::Idle;

impl Stage<'_> {
    pub(super) fn take_idle(&mut self, wish: Wish) {
        let (now, call) = (self.world.now(), self.actor.call.id().get());
        let mut discarded = Vec::new();
        let (mut idle, mut active) = (0, 0);
        let found = loop {
            let url = self.actor.call.deciding();
            let taken = self.world.pool.take(url, call, wish, now);
            if idle == 0 {
                (idle, active) = (taken.idle, taken.active);
            }
            for (idle, reason) in taken.expired {
                discarded.push(self.discard(idle, reason));
            }
            let evicted = taken.evicted.map(|idle| (idle, CloseReason::Evicted));
            self.world.close_all(evicted);
            match taken.found {
                Found::Idle(found) => match self.world.death_of(found.stream) {
                    None => break Offer::Connection(self.lend(found)),
                    Some(reason) => {
                        let key = found.connection.key.clone();
                        discarded.push(self.discard(found, reason));
                        self.world.closed(&key, None, reason);
                    }
                },
                Found::MayDial => break self.offer(call),
                Found::MustWait(_) => break Offer::MustWait,
            }
        };
        self.input(PoolInput::Idle(IdleAnswer {
            found,
            idle,
            active,
            discarded,
        }));
    }

    /// A permit to dial, unless the bug has something better.
    pub(super) fn offer(&mut self, call: u64) -> Offer {
        if self.world.bug == Some(Bug::MixedAnswers) {
            if let Some(connection) = self.take_any(call) {
                return Offer::Connection(connection);
            }
        }
        Offer::MayDial(self.world.ids.dial())
    }

    /// The bug: whatever connection is idle is taken, whomever it leads to.
    pub(super) fn take_any(&mut self, call: u64) -> Option<Box<Connection>> {
        let mut is_first = true;
        let mut taken = self
            .world
            .pool
            .take_if(|_| std::mem::take(&mut is_first).then_some(CloseReason::Evicted));
        let (idle, _) = taken.pop()?;
        let served = self.world.pool.dialed(call, true);
        self.world.serve(served);
        Some(self.lend(idle))
    }

    pub(super) fn discard(&mut self, idle: Idle, reason: CloseReason) -> Discarded {
        self.world.close_stream(idle.stream);
        Discarded {
            connection: idle.connection,
            reason,
            by: ClosedBy::of(reason),
        }
    }

    /// Takes a connection on loan.
    pub(super) fn lend(&mut self, Idle { stream, connection }: Idle) -> Box<Connection> {
        let generation = self.world.pool.generation();
        self.world.net.streams[stream].owner = Some(self.actor.number);
        self.actor.lease = Some(Lease { stream, generation });
        connection
    }

    pub(super) fn wait_pool(&mut self, cause: action::Cause, wish: Wish) {
        let (number, call) = (self.actor.number, self.actor.call.id().get());
        let url = self.actor.call.deciding();
        let joined = self.world.pool.join(url, call, (cause, wish), number);
        let evicted = joined.evicted.map(|idle| (idle, CloseReason::Evicted));
        self.world.close_all(evicted);
        if let Some(dial) = joined.gives_way {
            self.world.planner.wake(Due::Call(dial));
        }
        match joined.found {
            Found::MustWait(limit) => {
                let depth = joined.depth;
                self.input(PoolInput::Queued { limit, depth });
            }
            Found::Idle(idle) => {
                let generation = self.world.pool.generation();
                self.take_mail(Mail::Handed(idle, generation));
            }
            Found::MayDial => self.take_mail(Mail::MayDial),
        }
    }

    /// Looks whether something was left for a call that has no connection, and takes it.
    pub(in crate::testkit::sim) fn hears(&mut self) -> bool {
        if !self.actor.call.awaits_connection() && !self.actor.call.is_detached() {
            return false;
        }
        let call = self.actor.call.id().get();
        match self.world.pool.listen(call, self.actor.number) {
            Heard::Mail(mail) => {
                self.take_mail(mail);
                true
            }
            Heard::GiveUp => {
                self.input(Input::Cancel(CanceledBy::Drop));
                true
            }
            Heard::Nothing | Heard::Nobody => false,
        }
    }

    pub(super) fn take_mail(&mut self, mail: Mail<Idle>) {
        let handed = match mail {
            Mail::MayDial => {
                let dial = self.world.ids.dial();
                return self.input(PoolInput::MayDial(dial));
            }
            Mail::Handed(handed, _) => handed,
        };
        let Some(reason) = self.world.death_of(handed.stream) else {
            let connection = self.lend(handed);
            return self.input(PoolInput::Handed(connection));
        };
        let (key, call) = (handed.connection.key.clone(), self.actor.call.id().get());
        let served = self.world.pool.died(&key, call, reason);
        let active = self.world.pool.counts().1;
        self.world.serve(served);
        let answer = IdleAnswer {
            found: Offer::MayDial(self.world.ids.dial()),
            idle: 1,
            active,
            discarded: vec![self.discard(handed, reason)],
        };
        self.input(PoolInput::Idle(answer));
    }

    pub(super) fn leave_pool(&mut self) {
        let served = self.world.pool.leave(self.actor.call.id().get());
        self.world.serve(served);
    }

    /// The virtual network has descriptors for everybody.
    pub(super) fn make_room(&mut self, contestant: u16) {
        self.input(PoolInput::Room {
            contestant,
            room: action::Room::Nothing,
        });
    }

    pub(super) fn ask_place(&mut self) {
        let place = match (&self.actor.lease, self.actor.call.connection()) {
            _ if self.actor.cancel.is_canceled() => Err(CloseReason::Canceled),
            (Some(_), Some(_)) if !self.world.keep_alive => Err(CloseReason::KeepAlivesDisabled),
            (Some(lease), Some(connection)) => {
                self.world.pool.place(&connection.key, lease.generation)
            }
            _ => Err(CloseReason::ConnectionLost),
        };
        self.input(PoolInput::Place(place));
        self.put_idle();
    }

    fn put_idle(&mut self) {
        let Some(connection) = self.actor.call.take_connection() else {
            return;
        };
        let Some(lease) = self.actor.lease.take() else {
            return;
        };
        self.world.net.streams[lease.stream].owner = None;
        let key = connection.key.clone();
        if let Some(version) = connection.version {
            self.world.pool.answered(&key, version);
        }
        let idle = Idle {
            stream: lease.stream,
            connection,
        };
        let served = self.world.pool.put(&key, idle, lease.generation);
        self.world.serve(served);
    }

    pub(super) fn close(&mut self) {
        if let Some(lease) = self.actor.lease.take() {
            self.world.close_stream(lease.stream);
        }
        let gone = self.actor.call.closing().map(|(connection, reason)| {
            let key = connection.key.clone();
            (key, connection.version, reason)
        });
        self.input(PoolInput::Closed);
        if let Some((key, version, reason)) = gone {
            self.world.closed(&key, version, reason);
        }
    }
}
