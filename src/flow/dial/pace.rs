//! When the next contestant may start.
//!
//! The first of these that holds is the reason, and each keeps its distance to the start before unless that one
//! sent no packet:
//!
//! 1. nothing is open;
//! 2. a failure has earned a start;
//! 3. a start is owed: a lone IPv4 contestant had to go before the IPv6 addresses came, or a peer stalls in TLS;
//! 4. the delay since the last start has passed;
//! 5. no address is left and the oldest contestant does not answer: a second socket to its address.
//!
//! Failures restart no timer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::flow::dial::contestants::{Contestant, Contestants};
use crate::flow::dial::profile::{CREDITS_MAX, NO_ROOM_DOUBLED, NO_ROOM_FIRST, Profile};
use crate::message::answer::Family;
use crate::message::dial::ConnectReason;

/// What decides when the next one starts, beside who is open.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last_start: Option<Instant>,
    /// Before this nothing starts.
    floor: Option<Instant>,
    credits: u8,
    /// A start that waits for no delay, and why.
    owed: Option<ConnectReason>,
    /// The family that was waited for in vain before the first start.
    missed: Option<Family>,
    /// Addresses that had their second socket.
    hedged: Vec<SocketAddr>,
    /// How often a listener had no room.
    no_room: u32,
}

/// A start to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) reason: ConnectReason,
    pub(super) to: Target,
}

/// Where a contestant goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// To the next candidate.
    Next,
    /// To an address that was tried and does not answer.
    Again(SocketAddr),
}

impl Pace {
    /// The next start, if there can be one without anything else happening.
    pub(super) fn due(
        &self,
        contestants: &Contestants,
        has_candidate: bool,
        profile: &Profile,
        now: Instant,
    ) -> Option<Due> {
        if !has_candidate {
            return self.hedge_due(contestants, profile);
        }
        let (at, reason) = match (contestants.begun(), self.owed) {
            (0, _) => (now, ConnectReason::First),
            _ if contestants.is_empty() || self.credits > 0 => (now, ConnectReason::Credit),
            (_, Some(reason)) => (now, reason),
            (begun, None) => {
                let delay = if begun == 1 {
                    profile.first_delay
                } else {
                    profile.next_delay
                };
                (after(self.last_start?, delay)?, ConnectReason::Delay)
            }
        };
        Some(Due {
            at: self.floor.map_or(at, |floor| at.max(floor)),
            reason,
            to: Target::Next,
        })
    }

    fn hedge_due(&self, contestants: &Contestants, profile: &Profile) -> Option<Due> {
        let hedging = profile.hedge?;
        if self.hedged.len() >= hedging.most || contestants.len() >= profile.open_max {
            return None;
        }
        let may = |one: &Contestant| {
            let addr = one.addr.tcp().filter(|_| one.is_connecting())?;
            (!self.is_hedged(addr)).then_some((one.since, addr))
        };
        let (since, addr) = contestants.iter().find_map(may)?;
        let at = after(since, hedging.after)?;
        let apart = after(self.last_start?, profile.next_delay)?;
        Some(Due {
            at: at.max(apart),
            reason: ConnectReason::Hedge,
            to: Target::Again(addr),
        })
    }

    /// Takes that a contestant starts.
    pub(super) fn started(&mut self, due: &Due, profile: &Profile, now: Instant) {
        self.last_start = Some(now);
        self.floor = after(now, profile.spacing);
        self.owed = None;
        if due.reason == ConnectReason::Credit {
            self.credits = self.credits.saturating_sub(1);
        }
        if let Target::Again(addr) = due.to {
            self.hedged.push(addr);
        }
    }

    /// Takes that a contestant failed; a second socket earns nothing.
    pub(super) fn failed(&mut self, reason: ConnectReason, profile: &Profile) {
        if reason != ConnectReason::Hedge {
            let earned = self.credits.saturating_add(profile.credits);
            self.credits = earned.min(CREDITS_MAX);
        }
    }

    /// Takes that the last start sent no packet: it is no reason to wait.
    pub(super) fn sent_nothing(&mut self) {
        self.floor = None;
    }

    /// Takes that a listener had no room, and that the next start waits for it: each time longer.
    pub(super) fn found_no_room(&mut self, now: Instant) {
        let wait = NO_ROOM_FIRST.saturating_mul(1 << self.no_room.min(NO_ROOM_DOUBLED));
        self.no_room = self.no_room.saturating_add(1);
        self.floor = after(now, wait);
    }

    /// Takes that the first start does not wait for a family any longer.
    pub(super) fn missed(&mut self, family: Family) {
        self.missed = Some(family);
    }

    /// Takes that addresses of a family came: one that was missed by a lone contestant is not punished twice.
    pub(super) fn came(&mut self, family: Family, begun: u16) {
        if begun == 1 && self.missed == Some(family) {
            self.owed = Some(ConnectReason::LateAaaa);
        }
    }

    /// Says whether an address had its second socket.
    pub(super) fn is_hedged(&self, addr: SocketAddr) -> bool {
        self.hedged.contains(&addr)
    }

    /// Takes that a peer stalls in TLS.
    pub(super) fn stalled(&mut self) {
        self.owed = Some(ConnectReason::TlsStalled);
    }
}

fn after(since: Instant, delay: Duration) -> Option<Instant> {
    since.checked_add(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_without_room_gets_more_time_each_time() {
        let now = crate::testing::origin();
        let mut pace = Pace::default();
        let waits = std::iter::repeat_with(|| {
            pace.found_no_room(now);
            (pace.floor.unwrap() - now).as_millis()
        });
        let waits: Vec<_> = waits.take(10).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 640, 640]);
    }
}
