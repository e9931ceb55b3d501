//! How a dial ends: somebody wins, all fail, or it is given up. Whoever began gets an end, and every address that
//! was tried is listed.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{
    Error, ErrorKind, LookedUp, Phase, ProxyFailure, TlsFailure, Tried, TriedOutcome,
};
use crate::event::{
    ConnOpened, ConnectOutcome, DialDone, Emitter, ErrorFacts, EventKind, Payload, TlsRole,
};
use crate::flow::dial::contestants::{Contestant, Peer, Reached, Stage};
use crate::flow::dial::legs::Come;
use crate::flow::dial::tell::{tell_connect_done, tell_tls_done};
use crate::flow::dial::{Dial, State, Won};

/// Why a contestant that is open has to end.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'a> {
    /// Another one is the connection of the dial.
    Lost,
    /// There are too many.
    Pruned,
    /// The dial is given up, for this error.
    Abandoned(&'a Error),
}

impl End<'_> {
    fn of_connect(self) -> ConnectOutcome {
        match self {
            Self::Lost => ConnectOutcome::Lost,
            Self::Pruned => ConnectOutcome::Pruned,
            Self::Abandoned(_) => ConnectOutcome::Canceled,
        }
    }

    fn of_tls(self) -> ErrorFacts {
        match self {
            Self::Lost | Self::Pruned => {
                let kind = ErrorKind::Tls(TlsFailure::Overtaken);
                ErrorFacts::of(&Error::new(kind, Phase::Tls))
            }
            Self::Abandoned(error) => ErrorFacts::of(error),
        }
    }

    fn outcome(self, stage: &Stage) -> TriedOutcome {
        let stalled = matches!(stage, Stage::Securing(_, _, shake) if shake.peer == Peer::Stalled);
        match (self, stage) {
            _ if stalled => TriedOutcome::TlsStalled,
            (Self::Lost, _) => TriedOutcome::Lost,
            (Self::Pruned, _) => TriedOutcome::Pruned,
            (Self::Abandoned(_), Stage::Securing(..)) => TriedOutcome::TlsStalled,
            (Self::Abandoned(_), Stage::Tunneling(_)) => TriedOutcome::Tunnel,
            (Self::Abandoned(_), Stage::Reached(_) | Stage::Secured(..) | Stage::Tunneled(_)) => {
                TriedOutcome::Lost
            }
            (Self::Abandoned(_), Stage::Opening | Stage::Connecting) => TriedOutcome::Unanswered,
        }
    }
}

impl Dial {
    /// Ends a contestant that is open.
    pub(super) fn end_one(
        &mut self,
        number: u16,
        end: End<'_>,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        let Some(one) = self.contestants.get(number) else {
            return;
        };
        match &one.stage {
            Stage::Opening | Stage::Connecting => {
                tell_connect_done(one, end.of_connect(), None, None, now, emitter);
            }
            Stage::Securing(_, role, shake) if shake.peer != Peer::Unasked => {
                let handshake = (*role, shake.since);
                tell_tls_done(number, Err(end.of_tls()), None, handshake, now, emitter);
            }
            Stage::Tunneling(_) => {
                if let State::Tunneling(tunneling) = &mut self.state {
                    match end {
                        End::Abandoned(error) => tunneling.abandon(error, now, emitter),
                        End::Lost | End::Pruned => {
                            let kind = ErrorKind::Proxy(ProxyFailure::Overtaken);
                            let lost = Error::new(kind, Phase::Tunnel);
                            tunneling.abandon(&lost, now, emitter);
                        }
                    }
                }
            }
            Stage::Reached(_) | Stage::Securing(..) | Stage::Secured(..) | Stage::Tunneled(_) => {}
        }
        let outcome = end.outcome(&one.stage);
        self.contestants.end(number, outcome, now);
    }

    fn end_all(&mut self, end: End<'_>, now: Instant, emitter: &mut Emitter) {
        while let Some(number) = self.contestants.first(|_| true) {
            self.end_one(number, end, now, emitter);
        }
    }

    /// Says whether a contestant has won, so that the dial ends as soon as it is asked.
    pub(crate) fn is_complete(&self) -> bool {
        self.winner().is_some()
    }

    fn winner(&self) -> Option<u16> {
        let is_there = |one: &Contestant| self.facts.legs.come(&one.stage) == Come::There;
        self.contestants.first(is_there)
    }

    /// The first contestant, by number, that is what the dial is for; the others end as lost.
    pub(super) fn win(&mut self, now: Instant, emitter: &mut Emitter) -> Option<Won> {
        let number = self.winner()?;
        let winner = self.contestants.take(number)?;
        let reached = winner.reached()?;
        let tls = match winner.stage {
            Stage::Secured(_, TlsRole::Origin, facts) => Some(facts),
            Stage::Opening
            | Stage::Connecting
            | Stage::Reached(_)
            | Stage::Securing(..)
            | Stage::Secured(_, TlsRole::Proxy, _)
            | Stage::Tunneling(_)
            | Stage::Tunneled(_) => None,
        };
        emitter.marks().connected(winner.since, reached.at);
        self.end_lookup(None, now, emitter);
        self.end_all(End::Lost, now, emitter);
        emitter.join_connection(reached.conn, 0);
        let setup = now.saturating_duration_since(self.started);
        emitter.emit(EventKind::ConnOpened, now, |_| {
            Payload::ConnOpened(Arc::new(ConnOpened {
                local: reached.local,
                remote: winner.addr.clone(),
                proxied: self.facts.legs.via().is_some(),
                tls: tls.is_some(),
                setup,
            }))
        });
        self.tell_done(DialEnd::Won(number, reached), now, emitter);
        Some(Won {
            contestant: number,
            conn: reached.conn,
            remote: winner.addr,
            local: reached.local,
            tls,
            carried: self.carried,
        })
    }

    /// Nobody is left to be tried. The error is that of the failure that tells most.
    pub(super) fn fail(&mut self, now: Instant, emitter: &mut Emitter) -> Error {
        let error = match self.contestants.take_gravest() {
            None => Error::new(ErrorKind::Connect, Phase::Connect),
            Some(gravest) => gravest.error,
        };
        self.failed_for(error, now, emitter)
    }

    /// The dial ends with this error.
    pub(super) fn failed_for(
        &mut self,
        error: Error,
        now: Instant,
        emitter: &mut Emitter,
    ) -> Error {
        let error = self.name_proxy(error);
        self.end_lookup(None, now, emitter);
        self.tell_done(DialEnd::Failed(&error), now, emitter);
        error
    }

    /// An error of the dial as it is; of the way to a proxy, it says to which.
    pub(crate) fn name_proxy(&self, error: Error) -> Error {
        let is_before_origin = match error.phase() {
            Phase::Tls => self.is_securing_proxy(),
            // What lies behind the proxy may be looked up before it.
            Phase::Lookup => self.beyond.is_none(),
            Phase::Connect | Phase::Tunnel => true,
            Phase::Prepare
            | Phase::Queue
            | Phase::Send
            | Phase::Expect
            | Phase::FirstByte
            | Phase::Head
            | Phase::Receive
            | Phase::Done => false,
        };
        match self.facts.legs.via() {
            Some(proxy) if is_before_origin => error.with_proxy(proxy),
            Some(_) | None => error,
        }
    }

    /// Gives the dial up: everything that began gets its end.
    pub(crate) fn abandon(&mut self, error: &Error, now: Instant, emitter: &mut Emitter) {
        self.end_all(End::Abandoned(error), now, emitter);
        self.end_lookup(Some(error), now, emitter);
        self.tell_done(DialEnd::Abandoned(error), now, emitter);
    }

    /// Gives the dial up because the call has another connection: whoever is open has lost.
    pub(crate) fn overtaken(&mut self, now: Instant, emitter: &mut Emitter) {
        self.end_lookup(None, now, emitter);
        self.end_all(End::Lost, now, emitter);
        self.tell_done(DialEnd::Overtaken, now, emitter);
    }

    /// Gives the dial up because the system has no descriptor for its only contestant.
    pub(crate) fn starve(
        &mut self,
        contestant: u16,
        cause: io::Error,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        let again = io::Error::from(cause.kind());
        self.connected(contestant, Err(cause), now, emitter);
        let error = Error::new(ErrorKind::Connect, Phase::Connect).with_source(Box::new(again));
        self.abandon(&error, now, emitter);
    }

    /// Every address that was tried and did not win, in the order of their starts.
    pub(crate) fn tried(&self) -> Vec<Tried> {
        self.contestants.tried()
    }

    /// What the lookup of each family came to.
    pub(crate) fn take_names(&mut self) -> Vec<LookedUp> {
        std::mem::take(&mut self.names)
    }

    fn tell_done(&self, end: DialEnd<'_>, now: Instant, emitter: &mut Emitter) {
        let (winner, error, abandoned) = match end {
            DialEnd::Won(number, reached) => (Some((number, reached.conn)), None, false),
            DialEnd::Failed(error) => (None, Some(error), false),
            DialEnd::Abandoned(error) => (None, Some(error), true),
            DialEnd::Overtaken => (None, None, true),
        };
        emitter.emit(EventKind::DialDone, now, |_| {
            Payload::DialDone(Arc::new(DialDone {
                winner: winner.map(|(number, _)| number),
                connection: winner.map(|(_, conn)| conn),
                error: error.map(ErrorFacts::of),
                abandoned,
                tried: self.tried(),
                elapsed: now.saturating_duration_since(self.started),
            }))
        });
        emitter.set_dial(None);
    }
}

/// How the dial ends.
#[derive(Debug, Clone, Copy)]
enum DialEnd<'a> {
    Won(u16, Reached),
    Failed(&'a Error),
    Abandoned(&'a Error),
    Overtaken,
}
