//! Getting a connection: out of the pool, or by a dial.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{ErrorKind, LookedUp, Tried};
use crate::event::{DialReason, EventKind, GotConn, Payload, PoolLookup, QueueOutcome};
use crate::flow::action::{
    Action, Cause, DialInput, Discarded, IdleAnswer, Offer, Scarce, Wait, Wish,
};
use crate::flow::call::chore::Chore;
use crate::flow::call::detached::Detached;
use crate::flow::call::scarcity::Scarcity;
use crate::flow::call::{Call, ReachedFacts, State};
use crate::flow::connection::Connection;
use crate::flow::dial::legs::Legs;
use crate::flow::dial::target::{Names, Target};
use crate::flow::dial::{Dial, DialFacts, Step, Won};
use crate::flow::pool::Key;
use crate::ids::DialId;
use crate::message::via::Via;
use crate::proto::Turn;
use crate::proto::encode::HeadPlan;
use crate::proto::exchange::Exchange;
use crate::proto::receiving::Asked;

impl Call {
    /// Takes what the pool has, or that what it handed over is dead: then a dial goes on, and a wait is over.
    pub(super) fn idle(&mut self, answer: IdleAnswer, turn: &mut Turn<'_>) {
        let wish = match self.state {
            State::Pooling(wish) | State::Joining(_, wish) => wish,
            State::Queued(queued) => {
                self.leave_queue(queued, QueueOutcome::Handed, turn);
                Wish::Any
            }
            State::Dialing(_) => return tell_discarded(&answer.discarded, turn),
            State::Fresh
            | State::Ready
            | State::Detached(_)
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Left(_)
            | State::Closing(..)
            | State::Over(_) => return,
        };
        tell_discarded(&answer.discarded, turn);
        let to = self.deciding();
        turn.emitter.emit(EventKind::PoolLookup, turn.now, |_| {
            Payload::PoolLookup(Arc::new(PoolLookup {
                key: Key::of(to).to_string().into(),
                idle: answer.idle,
                active: answer.active,
                hit: matches!(answer.found, Offer::Connection(_)),
                discarded: answer
                    .discarded
                    .iter()
                    .map(|discarded| discarded.reason)
                    .collect(),
            }))
        });
        match answer.found {
            Offer::Connection(connection) => self.reuse(connection, turn),
            Offer::MayDial(id) => {
                let why = match wish {
                    Wish::Any => DialReason::NoIdle,
                    Wish::Fresh => DialReason::Retry,
                };
                self.dial(id, why, turn);
            }
            Offer::MustWait => self.state = State::Joining(Cause::Limits, wish),
        }
    }

    /// A connection that was put back serves this call.
    pub(super) fn reuse(&mut self, connection: Box<Connection>, turn: &mut Turn<'_>) {
        turn.emitter
            .join_connection(connection.id, connection.last_event);
        turn.emitter.marks().joined();
        self.got(connection, turn);
    }

    pub(super) fn dial(&mut self, id: DialId, why: DialReason, turn: &mut Turn<'_>) {
        let settings = &self.settings;
        let destination = self.plan.deciding();
        let target = match destination.via.proxy() {
            Some(proxy) => Target::of_proxy(proxy),
            None => Target::of(destination.url, &settings.connect_to),
        };
        let names = match destination.via {
            Via::Unix(addr) => Names::Unix(addr.clone()),
            Via::Nobody | Via::Forward(_) | Via::Tunnel(_) => {
                target.names(&settings.overrides, settings.is_resolver_custom)
            }
        };
        let legs = Legs::of(destination, &settings.connect_to);
        let beyond = legs.wants_address().then(|| {
            let target = Target::of(destination.url, &settings.connect_to);
            let names = target.names(&settings.overrides, settings.is_resolver_custom);
            (target, names)
        });
        let facts = DialFacts {
            id,
            why,
            target,
            legs,
            profile: settings.dial_profile,
            family: settings.family,
            guard: settings.guard.clone(),
            addresses_max: settings.rules.limits.addresses,
            lookup_limit: settings.timeouts.lookup,
            tls_limit: settings.timeouts.tls,
        };
        let (now, timers) = (turn.now, &mut self.timers);
        let dial = Dial::begin(facts, names, beyond, now, turn.emitter, timers);
        self.state = State::Dialing(Box::new(dial));
    }

    pub(super) fn dial_input(&mut self, input: DialInput, turn: &mut Turn<'_>) {
        let (dial, has_call) = match &mut self.state {
            State::Dialing(dial) => (dial, true),
            State::Detached(Detached::Dialing(dial)) => (dial, false),
            State::Fresh
            | State::Ready
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Detached(_)
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Closing(..)
            | State::Left(_)
            | State::Over(_) => return,
        };
        let (now, emitter, timers) = (turn.now, &mut *turn.emitter, &mut self.timers);
        match input {
            DialInput::Asked { shared } => dial.asked(shared, now),
            DialInput::QueryBegan { family, at } => dial.query_began(family, at),
            DialInput::Resolved {
                family,
                outcome,
                coalesced,
            } => dial.resolved(family, outcome, coalesced, now, emitter, timers),
            DialInput::Route { addr, reachable } => dial.routed(addr, reachable),
            DialInput::Connected { contestant, result } if !has_call => {
                dial.connected(contestant, result, now, emitter);
            }
            DialInput::Connected { contestant, result } => {
                let Some(result) = Scarcity::sift(&mut self.scarcity, contestant, result) else {
                    let otherwise = if dial.has_only(contestant) {
                        Scarce::GivesUp
                    } else {
                        Scarce::GoesOn
                    };
                    self.chore = Some(Chore::MakeRoom {
                        contestant,
                        otherwise,
                    });
                    return;
                };
                dial.connected(contestant, result, now, emitter);
            }
            DialInput::TlsStarted {
                contestant,
                resumption,
            } => dial.tls_started(contestant, resumption, now, emitter),
            DialInput::TlsProgress { contestant } => {
                self.moved = Some(now);
                dial.tls_progress(contestant);
            }
            DialInput::TlsDone { contestant, result } => {
                dial.secured(contestant, result, now, emitter, timers);
            }
            DialInput::Tunnel { contestant, moved } => {
                self.moved = Some(now);
                dial.tunneled(contestant, moved, turn);
            }
        }
    }

    /// Does what the dial says. When it is over, observers speak before anything else is done.
    pub(super) fn follow_dial(&mut self, step: Step, turn: &mut Turn<'_>) -> Action {
        match step {
            Step::Do(action) => action,
            Step::Wait(_) if self.is_overdue(self.timers.next()) => self.time_out(turn),
            Step::Wait(until) => Action::Wait(Wait {
                send: false,
                receive: None,
                source: false,
                deadline: [until, self.timers.next()].into_iter().flatten().min(),
            }),
            Step::Won(won) => {
                self.chore = Some(Chore::EndDial {
                    winner: Some(won.contestant),
                    forget: false,
                });
                let connection = self.opened(won, turn.now);
                self.got(connection, turn);
                Action::Resume
            }
            Step::Failed(error) => {
                // No address of the host could be connected to: the next call asks for new ones.
                let forget = error.kind() == ErrorKind::Connect;
                self.chore = Some(Chore::EndDial {
                    winner: None,
                    forget,
                });
                let (tried, looked_up) = self.take_tried();
                let report = self.report(None, turn);
                let error = error.with_report(report).with_tried(tried, looked_up);
                self.conn_failed(error, turn);
                Action::Resume
            }
        }
    }

    fn take_tried(&mut self) -> (Vec<Tried>, Vec<LookedUp>) {
        let State::Dialing(dial) = &mut self.state else {
            return (Vec::new(), Vec::new());
        };
        (dial.tried(), dial.take_names())
    }

    pub(super) fn opened(&self, won: Won, now: Instant) -> Box<Connection> {
        Box::new(Connection {
            id: won.conn,
            key: Arc::new(Key::of(self.deciding())),
            remote: won.remote,
            local: won.local.map(Box::new),
            tls: won.tls,
            opened: now,
            lifespan: self.settings.life.of(won.conn, now),
            requests: 0,
            bytes_out: won.carried.0,
            bytes_in: won.carried.1,
            idle_since: None,
            peer_keeps: None,
            peer_takes: None,
            version: None,
            last_event: 0,
            seq: 0,
        })
    }

    /// A connection is there: the request goes out.
    pub(super) fn got(&mut self, mut connection: Box<Connection>, turn: &mut Turn<'_>) {
        self.timers.keep_total();
        let reused = connection.requests > 0;
        turn.emitter.marks().reused(reused);
        let idle_since = connection.idle_since.take();
        turn.emitter.emit(EventKind::GotConn, turn.now, |_| {
            Payload::GotConn(Arc::new(GotConn {
                reused,
                was_idle: idle_since.is_some(),
                idle: idle_since.map(|since| turn.now.saturating_duration_since(since)),
                local: connection.local.as_deref().copied(),
                remote: connection.remote.clone(),
                requests: connection.requests,
                age: turn.now.saturating_duration_since(connection.opened),
            }))
        });
        self.reached = Some(ReachedFacts {
            conn: connection.id,
            remote: connection.remote.clone(),
            reused,
            was_idle: idle_since.is_some(),
            tls: connection.tls.clone(),
        });
        connection.requests = connection.requests.saturating_add(1);
        // What we mean to close is told to be closed (RFC 9112 §9.6).
        let close = self.plan.close || (connection.has_carried_all() && !self.plan.may_switch());
        let asked = Asked {
            is_head: self.plan.is_head(),
            is_connect: self.plan.is_connect(),
            said_close: close,
            upgrade: self.plan.upgrade().cloned(),
        };
        let head = HeadPlan {
            close,
            ..self.plan.head()
        };
        let exchange = Exchange::begin(&head, &self.plan.body, self.plan.form(), asked, turn);
        self.state = State::Exchanging(Box::new(exchange), connection);
    }
}

/// Tells of connections that were closed on the way.
fn tell_discarded(discarded: &[Discarded], turn: &mut Turn<'_>) {
    for Discarded {
        connection,
        reason,
        by,
    } in discarded
    {
        connection.tell_closed_outside(*reason, *by, turn.now, turn.emitter);
    }
}
