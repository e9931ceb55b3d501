//! Getting a connection: out of the pool, or by a dial.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{ErrorKind, Report, Tried};
use crate::event::{DialReason, EventKind, GotConn, Payload, PoolLookup, QueueOutcome};
use crate::flow::action::{Action, Cause, DialInput, Discarded, IdleAnswer, Names, Offer, Wish};
use crate::flow::call::{Call, ReachedFacts, State};
use crate::flow::connection::Connection;
use crate::flow::dial::{Dial, DialPlanFacts, Outcomes, Won};
use crate::flow::pool::Key;
use crate::ids::DialId;
use crate::message::url::Scheme;
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
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Returned(_)
            | State::Closing(..)
            | State::Over(_) => return,
        };
        tell_discarded(&answer.discarded, turn);
        let url = &self.plan.url;
        turn.emitter.emit(EventKind::PoolLookup, turn.now, |_| {
            Payload::PoolLookup(Arc::new(PoolLookup {
                key: Key::of(url).to_string().into(),
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
        self.got(connection, turn);
    }

    pub(super) fn dial(&mut self, id: DialId, why: DialReason, turn: &mut Turn<'_>) {
        let timeouts = &self.settings.timeouts;
        let host = self.plan.url.host_str();
        let facts = DialPlanFacts {
            id,
            why,
            host: host.trim_matches(['[', ']']).into(),
            port: self.plan.url.port(),
            is_tls: self.plan.url.scheme() == Scheme::Https,
            lookup_limit: timeouts.lookup,
            tls_limit: timeouts.tls,
            deadline: self.timers.next(),
        };
        let dial = Dial::begin(
            facts,
            Names::of(
                &self.plan.url,
                &self.settings.overrides,
                self.settings.is_resolver_custom,
            ),
            turn.now,
            turn.emitter,
            &mut self.timers,
        );
        self.state = State::Dialing(Box::new(dial));
    }

    pub(super) fn dial_input(&mut self, input: DialInput, turn: &mut Turn<'_>) {
        let State::Dialing(dial) = &mut self.state else {
            return;
        };
        let (now, emitter, timers) = (turn.now, &mut *turn.emitter, &mut self.timers);
        let outcome = match input {
            DialInput::Asked { shared } => {
                dial.asked(shared);
                Outcomes::Going
            }
            DialInput::Resolved {
                family,
                outcome,
                coalesced,
            } => dial.resolved(family, outcome, coalesced, now, emitter, timers),
            DialInput::Connected { contestant, result } => {
                let Some(result) = self.scarcity.sift(contestant, result) else {
                    self.chore = Some(Action::MakeRoom { contestant });
                    return;
                };
                dial.connected(contestant, result, now, emitter)
            }
            DialInput::TlsDone { contestant, result } => {
                dial.secured(contestant, result, now, emitter, timers)
            }
        };
        self.follow_dial(outcome, turn);
    }

    pub(super) fn follow_dial(&mut self, outcome: Outcomes, turn: &mut Turn<'_>) {
        match outcome {
            Outcomes::Going => {}
            Outcomes::Drop(contestant) => self.chore = Some(Action::AbortConnect { contestant }),
            Outcomes::Won(won) => {
                self.chore = Some(Action::EndDial {
                    winner: Some(won.contestant),
                    forget: false,
                });
                let connection = self.opened(won, turn.now);
                self.got(connection, turn);
            }
            Outcomes::Failed(error) => {
                // No address of the host could be connected to: the next call asks for new ones.
                let forget = error.kind() == ErrorKind::Connect;
                self.chore = Some(Action::EndDial {
                    winner: None,
                    forget,
                });
                let tried = self.take_tried();
                let report = Report {
                    tried,
                    ..self.report(None, turn)
                };
                self.conn_failed(error.with_report(report), turn);
            }
        }
    }

    pub(super) fn take_tried(&mut self) -> Vec<Tried> {
        match &mut self.state {
            State::Dialing(dial) => dial.take_tried(),
            State::Fresh
            | State::Pooling(_)
            | State::Joining(..)
            | State::Queued(_)
            | State::Exchanging(..)
            | State::Returning(..)
            | State::Returned(_)
            | State::Closing(..)
            | State::Over(_) => Vec::new(),
        }
    }

    pub(super) fn opened(&self, won: Won, now: Instant) -> Box<Connection> {
        Box::new(Connection {
            id: won.conn,
            key: Arc::new(Key::of(&self.plan.url)),
            remote: won.remote,
            local: won.local,
            tls: won.tls,
            opened: now,
            lifespan: self.settings.life.of(won.conn, now),
            requests: 0,
            bytes_out: 0,
            bytes_in: 0,
            idle_since: None,
            peer_keeps: None,
            peer_takes: None,
            version: None,
            last_event: 0,
        })
    }

    /// A connection is there: the request goes out.
    pub(super) fn got(&mut self, mut connection: Box<Connection>, turn: &mut Turn<'_>) {
        self.timers.keep_total();
        let reused = connection.requests > 0;
        let idle = connection
            .idle_since
            .take()
            .map(|since| turn.now.saturating_duration_since(since));
        turn.emitter.emit(EventKind::GotConn, turn.now, |_| {
            Payload::GotConn(Arc::new(GotConn {
                reused,
                was_idle: idle.is_some(),
                idle,
                local: connection.local,
                remote: connection.remote,
                requests: connection.requests,
                age: turn.now.saturating_duration_since(connection.opened),
            }))
        });
        self.reached = Some(ReachedFacts {
            conn: connection.id,
            remote: connection.remote,
            reused,
            tls: connection.tls.clone(),
        });
        connection.requests = connection.requests.saturating_add(1);
        // What we mean to close is told to be closed (RFC 9112 §9.6).
        let close = self.plan.close || connection.has_carried_all();
        let asked = Asked {
            is_head: self.plan.is_head(),
            said_close: close,
        };
        let head = HeadPlan {
            close,
            ..self.plan.head()
        };
        let exchange = Exchange::begin(&head, &self.plan.body, self.plan.form, asked, turn);
        self.state = State::Exchanging(exchange, connection);
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
        turn.emitter
            .of_connection(connection.id, connection.last_event, |emitter| {
                connection.tell_closed(*reason, *by, turn.now, emitter);
            });
    }
}
