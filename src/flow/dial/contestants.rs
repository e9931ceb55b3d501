//! The contestants of a dial: each begins once, ends once, and leaves what became of it.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Tried, TriedOutcome};
use crate::event::TlsRole;
use crate::ids::ConnId;
use crate::message::dial::ConnectReason;
use crate::message::peer_addr::PeerAddr;
use crate::message::tls::TlsFacts;

/// Those that are open, and what became of the others.
#[derive(Debug, Default)]
pub(super) struct Contestants {
    open: Vec<Contestant>,
    ended: Vec<Tried>,
    gravest: Option<Gravest>,
    begun: u16,
}

/// One address being tried.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) number: u16,
    pub(super) addr: PeerAddr,
    pub(super) reason: ConnectReason,
    pub(super) since: Instant,
    pub(super) stage: Stage,
}

/// How far a contestant is.
#[derive(Debug)]
pub(super) enum Stage {
    /// The driver has been told; an answer before it asks again means that no packet left.
    Opening,
    /// The peer has not answered.
    Connecting,
    /// Connected.
    Reached(Reached),
    /// In a TLS handshake.
    Securing(Reached, TlsRole, Handshake),
    /// A TLS handshake is done.
    Secured(Reached, TlsRole, Arc<TlsFacts>),
    /// The proxy is asked for a tunnel.
    Tunneling(Reached),
    /// The tunnel is there.
    Tunneled(Reached),
}

/// A connection that a contestant has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    pub(super) conn: ConnId,
    pub(super) local: Option<SocketAddr>,
    pub(super) at: Instant,
}

/// A TLS handshake under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handshake {
    pub(super) since: Instant,
    pub(super) peer: Peer,
}

/// What the peer of a handshake has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Nothing; nor has it been spoken to.
    Unasked,
    /// Nothing, and it still has time.
    Silent,
    /// Something.
    Speaking,
    /// Nothing in its time.
    Stalled,
}

/// The failure that tells most: of a tunnel, TLS, then refused, then unreachable, then anything else; of equals the first.
#[derive(Debug)]
pub(super) struct Gravest {
    /// The more, the more it tells.
    pub(super) weight: u8,
    pub(super) number: u16,
    pub(super) error: Error,
}

impl Contestants {
    /// A contestant begins; says its number.
    pub(super) fn begin(&mut self, addr: PeerAddr, reason: ConnectReason, now: Instant) -> u16 {
        let number = self.begun;
        self.begun = number.saturating_add(1);
        self.open.push(Contestant {
            number,
            addr,
            reason,
            since: now,
            stage: Stage::Opening,
        });
        number
    }

    /// The driver asks again: whoever was told to open and has no answer has sent a packet.
    pub(super) fn under_way(&mut self) {
        for one in &mut self.open {
            if matches!(one.stage, Stage::Opening) {
                one.stage = Stage::Connecting;
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many ever began.
    pub(super) fn begun(&self) -> u16 {
        self.begun
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Contestant> {
        self.open.iter()
    }

    /// The first, by number, that is of this kind.
    pub(super) fn first(&self, is: impl Fn(&Contestant) -> bool) -> Option<u16> {
        self.open.iter().find(|one| is(one)).map(|one| one.number)
    }

    pub(super) fn get_mut(&mut self, number: u16) -> Option<&mut Contestant> {
        self.open.iter_mut().find(|one| one.number == number)
    }

    pub(super) fn get(&self, number: u16) -> Option<&Contestant> {
        self.open.iter().find(|one| one.number == number)
    }

    /// Takes one out that wins.
    pub(super) fn take(&mut self, number: u16) -> Option<Contestant> {
        let place = self.open.iter().position(|one| one.number == number)?;
        Some(self.open.remove(place))
    }

    /// Takes one out that has come to its end, and keeps what became of it.
    pub(super) fn end(
        &mut self,
        number: u16,
        outcome: TriedOutcome,
        now: Instant,
    ) -> Option<Contestant> {
        let one = self.take(number)?;
        self.ended.push(Tried {
            addr: one.addr.clone(),
            contestant: number,
            reason: one.reason,
            outcome,
            elapsed: now.saturating_duration_since(one.since),
        });
        Some(one)
    }

    /// Keeps the error of one that failed, if it tells more than those before.
    pub(super) fn blame(&mut self, new: Gravest) {
        let key = |one: &Gravest| (Reverse(one.weight), one.number);
        if self.gravest.as_ref().is_none_or(|old| key(&new) < key(old)) {
            self.gravest = Some(new);
        }
    }

    pub(super) fn take_gravest(&mut self) -> Option<Gravest> {
        self.gravest.take()
    }

    /// What became of those that ended, in the order in which they began.
    pub(super) fn tried(&self) -> Vec<Tried> {
        let mut tried = self.ended.clone();
        tried.sort_by_key(|one| one.contestant);
        tried
    }
}

impl Contestant {
    /// Says whether the peer has not answered.
    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.stage, Stage::Opening | Stage::Connecting)
    }

    /// Says whether it is connected and waits for its turn.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Reached(_))
    }

    /// The connection that it has.
    pub(super) fn reached(&self) -> Option<Reached> {
        match &self.stage {
            Stage::Opening | Stage::Connecting => None,
            Stage::Reached(reached)
            | Stage::Securing(reached, ..)
            | Stage::Secured(reached, ..)
            | Stage::Tunneling(reached)
            | Stage::Tunneled(reached) => Some(*reached),
        }
    }

    /// Says whether it is in its TLS handshake.
    pub(super) fn is_securing(&self) -> bool {
        matches!(self.stage, Stage::Securing(..))
    }

    /// When its peer has taken too long to say a byte, if it can still come to that.
    pub(super) fn grace_ends(&self, least: Duration) -> Option<Instant> {
        let Stage::Securing(reached, _, handshake) = &self.stage else {
            return None;
        };
        let rtt = reached.at.saturating_duration_since(self.since);
        let grace = least.max(rtt.saturating_mul(4));
        (handshake.peer == Peer::Silent)
            .then(|| handshake.since.checked_add(grace))
            .flatten()
    }
}
