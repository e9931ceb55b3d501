//! A tunnel being asked for: what a proxy is told, and whether its answer opens the way to the origin.
//!
//! The rules guarded here: a proxy learns host and port of the target and what is meant for the proxy, and nothing of
//! the caller's request; what it answers is never taken for the origin's; and nothing that it sends before the first
//! byte goes through the tunnel ever reaches TLS or a response (RFC 9110 §9.3.6); nor does an answer count that came
//! before its question left.
//!
//! ```text
//!   begin --> Connect | Socks --2xx, or reply 0, and nothing behind it--> Open
//!                        |
//!                        +--any other answer, a broken rule, the end of the stream, given up--> Failed
//! ```
//!
//! The driver sends what stands in the outbound buffer, and hands in what it receives. Every tunnel that begins ends
//! with one `ProxyConnectDone`.

mod connect;
mod socks;
mod tell;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Phase, ProxyFailure};
use crate::event::{Emitter, TunnelKind};
use crate::flow::tunnel::connect::Connect;
use crate::flow::tunnel::socks::Socks;
use crate::flow::tunnel::tell::Told;
use crate::message::proxy::{Proxy, ProxyScheme};
use crate::proto::Turn;
use crate::proto::connect::authority_form;

/// Where a tunnel is to lead.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    /// The host, without brackets.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// Its address if that is known and a SOCKS proxy is to get it instead of the name.
    pub(crate) address: Option<IpAddr>,
}

/// A tunnel that a proxy was asked for.
#[derive(Debug)]
pub(crate) struct Tunnel {
    told: Told,
    state: State,
    /// Bytes of the answer that were taken from the inbound buffer.
    taken: u64,
}

#[derive(Debug)]
enum State {
    /// The proxy was asked by CONNECT.
    Connect(Connect),
    /// The proxy is asked by SOCKS5.
    Socks(Socks),
    /// It has ended, well or not, and its end was told.
    Over,
}

/// What a step came to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// More bytes are needed; what stands in the outbound buffer is to be sent.
    GoesOn,
    /// Bytes go to the origin from now on. Both buffers are empty.
    Open,
    /// There will be no tunnel; the connection is of no more use.
    Failed(Error),
}

/// What the answer of a proxy came to, as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Open,
    Failed(ErrorKind),
}

impl Tunnel {
    /// Asks a proxy for a tunnel, on the connection of that contestant: the first message stands in the outbound buffer.
    ///
    /// # Errors
    /// [`ProxyFailure::Target`] or [`ProxyFailure::CredentialsLength`], before any byte is written and any event told.
    pub(crate) fn begin(
        proxy: &Arc<Proxy>,
        goal: &Goal,
        contestant: u16,
        turn: &mut Turn<'_>,
    ) -> Result<Self, Error> {
        let failed = |failure| failed(ErrorKind::Proxy(failure), proxy);
        let target = authority_form(&goal.host, goal.port);
        let target = target.ok_or_else(|| failed(ProxyFailure::Target))?;
        let (state, kind) = match proxy.scheme() {
            ProxyScheme::Http | ProxyScheme::Https => {
                let connect = Connect::begin(proxy, &target, turn);
                (State::Connect(connect), TunnelKind::HttpConnect)
            }
            ProxyScheme::Socks5 | ProxyScheme::Socks5h => {
                let socks = Socks::begin(proxy, goal, turn).map_err(failed)?;
                (State::Socks(socks), TunnelKind::Socks5)
            }
        };
        let told = Told::begin(proxy, contestant, turn.now);
        told.start(kind, target.into(), turn);
        Ok(Self {
            told,
            state,
            taken: 0,
        })
    }

    /// Judges what stands in the inbound buffer. What was read is consumed; more may stand in the outbound buffer.
    pub(crate) fn received(&mut self, turn: &mut Turn<'_>) -> Progress {
        let before = turn.buffers.inbound.len();
        let step = match &mut self.state {
            State::Connect(connect) => connect.read(turn),
            State::Socks(socks) => socks.read(turn),
            State::Over => Step::More,
        };
        let after = turn.buffers.inbound.len();
        self.taken = self
            .taken
            .saturating_add(before.saturating_sub(after) as u64);
        match step {
            Step::More => Progress::GoesOn,
            Step::Open if after > 0 || !turn.buffers.outbound.is_empty() => {
                let kind = ErrorKind::Proxy(ProxyFailure::SpokeEarly);
                Progress::Failed(self.fail(kind, turn.now, turn.emitter))
            }
            Step::Open => self.open(turn),
            Step::Failed(kind) => Progress::Failed(self.fail(kind, turn.now, turn.emitter)),
        }
    }

    /// The proxy ended the stream. A refusal counts as far as it came.
    pub(crate) fn ended(&mut self, turn: &mut Turn<'_>) -> Progress {
        let received = self.taken.saturating_add(turn.buffers.inbound.len() as u64);
        let kind = self.refusal();
        let kind = kind.unwrap_or(ErrorKind::Proxy(ProxyFailure::Ended { received }));
        Progress::Failed(self.fail(kind, turn.now, turn.emitter))
    }

    /// The stream broke for this error, which a refusal goes before, as far as it came.
    pub(crate) fn broke(&mut self, error: Error, turn: &mut Turn<'_>) -> Progress {
        Progress::Failed(match self.refusal() {
            Some(kind) => self.fail(kind, turn.now, turn.emitter),
            None => {
                self.abandon(&error, turn.now, turn.emitter);
                error
            }
        })
    }

    /// There is no more time. A refusal whose body does not come to its end counts as far as it came, and tells more than
    /// the deadline does; without one the tunnel is still to be abandoned.
    pub(crate) fn timed_out(&mut self, now: Instant, emitter: &mut Emitter) -> Option<Error> {
        let kind = self.refusal()?;
        Some(self.fail(kind, now, emitter))
    }

    /// The refusal whose head is in, if it is one.
    fn refusal(&self) -> Option<ErrorKind> {
        match &self.state {
            State::Connect(connect) => connect.refusal(),
            State::Socks(_) | State::Over => None,
        }
    }

    /// The dial is given up for this error.
    pub(crate) fn abandon(&mut self, error: &Error, now: Instant, emitter: &mut Emitter) {
        self.end(Some(error), now, emitter);
    }

    fn open(&mut self, turn: &mut Turn<'_>) -> Progress {
        turn.emitter.marks().proxy_did(turn.now);
        self.end(None, turn.now, turn.emitter);
        Progress::Open
    }

    fn fail(&mut self, kind: ErrorKind, now: Instant, emitter: &mut Emitter) -> Error {
        let error = failed(kind, &self.told.proxy);
        let error = match &self.state {
            State::Connect(connect) => connect.attach(error),
            State::Socks(_) | State::Over => error,
        };
        self.end(Some(&error), now, emitter);
        error
    }

    /// Tells the end, once.
    fn end(&mut self, error: Option<&Error>, now: Instant, emitter: &mut Emitter) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Connect(connect) => self.told.done(connect.said(), error, now, emitter),
            State::Socks(_) => self.told.done(tell::Said::default(), error, now, emitter),
            State::Over => {}
        }
    }
}

/// The error of a proxy behind whose answer bytes stand.
pub(crate) fn spoke_early(proxy: &Proxy) -> Error {
    failed(ErrorKind::Proxy(ProxyFailure::SpokeEarly), proxy)
}

fn failed(kind: ErrorKind, proxy: &Proxy) -> Error {
    Error::new(kind, Phase::Tunnel).with_proxy(proxy)
}
