//! The addresses that were not tried yet, and the order in which they will be: the families in turn, each in the
//! order of the resolver (RFC 8305 §4), and behind them all what has no route.
//!
//! An address is probed for a route when it is about to be tried, if an address of the other family could go
//! instead and no address of its own family is known to have a route. Within one family a probe would say only
//! what the connect itself says at the same price.
//!
//! A unix socket stands in the place of all addresses.

use crate::message::answer::{Address, Family};
use crate::message::peer_addr::UnixAddr;

/// Addresses not tried yet.
#[derive(Debug)]
pub(super) struct Candidates {
    v6: Vec<Address>,
    v4: Vec<Address>,
    /// Known to have no route.
    stranded: Vec<Address>,
    /// A unix socket; then there are no addresses.
    socket: Option<UnixAddr>,
    /// The family whose turn it is.
    turn: Family,
    /// Every address that was ever added or refused.
    seen: Vec<Address>,
    /// May not be dialed.
    refused: Vec<Address>,
    /// Families of which an address has a route.
    routed: Vec<Family>,
    order: Order,
}

/// Whether the order is the one that was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Told,
    New,
}

impl Candidates {
    pub(super) fn new(first: Family) -> Self {
        Self {
            v6: Vec::new(),
            v4: Vec::new(),
            stranded: Vec::new(),
            socket: None,
            turn: first,
            seen: Vec::new(),
            refused: Vec::new(),
            routed: Vec::new(),
            order: Order::Told,
        }
    }

    /// Adds addresses behind those of their family; what was added before is dropped.
    pub(super) fn add(&mut self, addresses: &[Address]) {
        for address in addresses {
            if !self.seen.contains(address) {
                self.seen.push(*address);
                self.queue(address.family()).push(*address);
                self.order = Order::New;
            }
        }
    }

    /// Notes addresses that may not be dialed.
    pub(super) fn refuse(&mut self, addresses: &[Address]) {
        for address in addresses {
            if !self.seen.contains(address) {
                self.seen.push(*address);
                self.refused.push(*address);
                self.order = Order::New;
            }
        }
    }

    /// The addresses that may not be dialed.
    pub(super) fn refused(&self) -> &[Address] {
        &self.refused
    }

    /// The addresses in the order in which they will be tried.
    pub(super) fn order(&self) -> impl Iterator<Item = Address> {
        let (first, second) = match self.turn {
            Family::V6 => (&self.v6, &self.v4),
            Family::V4 => (&self.v4, &self.v6),
        };
        let pair = move |index| [first.get(index), second.get(index)];
        let longest = first.len().max(second.len());
        let routed = (0..longest).flat_map(pair).flatten();
        routed.chain(&self.stranded).copied()
    }

    /// Says once that the order is another one than before.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.order, Order::Told) == Order::New
    }

    /// Sets the unix socket that is to be tried.
    pub(super) fn put_socket(&mut self, socket: UnixAddr) {
        self.socket = Some(socket);
    }

    /// Takes the unix socket, if it is one that is to be tried.
    pub(super) fn take_socket(&mut self) -> Option<UnixAddr> {
        self.socket.take()
    }

    /// Takes the next address; the other family has the turn after it.
    pub(super) fn take_next(&mut self) -> Option<Address> {
        let address = self.order().next()?;
        let family = address.family();
        if self.queue(family).first() == Some(&address) {
            self.queue(family).remove(0);
            self.turn = family.other();
        } else {
            self.stranded.remove(0);
        }
        Some(address)
    }

    /// The next address, if its route is to be probed before it is tried.
    pub(super) fn to_probe(&self) -> Option<Address> {
        let next = self.order().next()?;
        let family = next.family();
        let (own, other) = match family {
            Family::V6 => (&self.v6, &self.v4),
            Family::V4 => (&self.v4, &self.v6),
        };
        let is_open = own.contains(&next) && !self.routed.contains(&family);
        (is_open && !other.is_empty()).then_some(next)
    }

    /// Takes the verdict of a probe: an address without a route goes behind all others.
    pub(super) fn probed(&mut self, address: Address, reachable: bool) {
        let family = address.family();
        if reachable {
            self.routed.push(family);
            return;
        }
        let queue = self.queue(family);
        if let Some(place) = queue.iter().position(|other| *other == address) {
            queue.remove(place);
            self.stranded.push(address);
            self.order = Order::New;
        }
    }

    /// Moves what is left of a family behind all others: one of its addresses turned out to have no route.
    pub(super) fn strand(&mut self, family: Family) {
        let rest = std::mem::take(self.queue(family));
        if !rest.is_empty() {
            self.stranded.extend(rest);
            self.order = Order::New;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.socket.is_none() && self.order().next().is_none()
    }

    /// Says whether there is an address of a family.
    pub(super) fn has(&self, family: Family) -> bool {
        self.order().any(|address| address.family() == family)
    }

    fn queue(&mut self, family: Family) -> &mut Vec<Address> {
        match family {
            Family::V6 => &mut self.v6,
            Family::V4 => &mut self.v4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().unwrap())
    }

    fn order(candidates: &Candidates) -> Vec<String> {
        candidates.order().map(|one| one.to_string()).collect()
    }

    #[test]
    fn the_families_take_turns_and_late_ones_join() {
        let mut candidates = Candidates::new(Family::V6);
        candidates.add(&["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(address));
        assert_eq!(candidates.take_next(), Some(address("10.0.0.1")));
        candidates.add(&["::1", "::2"].map(address));
        let expected = ["::1", "10.0.0.2", "::2", "10.0.0.3"];
        assert_eq!(order(&candidates), expected);
        let taken: Vec<_> = std::iter::from_fn(|| candidates.take_next()).collect();
        assert_eq!(taken, expected.map(address));
        assert!(candidates.is_empty());
    }

    #[test]
    fn duplicates_are_dropped_also_of_what_was_tried() {
        let mut candidates = Candidates::new(Family::V6);
        candidates.add(&["10.0.0.1", "10.0.0.1"].map(address));
        assert!(candidates.take_news());
        candidates.take_next();
        candidates.add(&[address("10.0.0.1")]);
        assert!(candidates.is_empty() && !candidates.take_news());
    }

    #[test]
    fn what_has_no_route_goes_behind_all_others() {
        let mut candidates = Candidates::new(Family::V6);
        candidates.add(&["2001:db8::1", "fd00::1", "10.0.0.1"].map(address));
        assert_eq!(candidates.to_probe(), Some(address("2001:db8::1")));
        candidates.probed(address("2001:db8::1"), false);
        assert_eq!(candidates.to_probe(), Some(address("fd00::1")));
        candidates.probed(address("fd00::1"), true);
        assert_eq!(order(&candidates), ["fd00::1", "10.0.0.1", "2001:db8::1"]);
        assert_eq!(candidates.to_probe(), None);
        candidates.strand(Family::V6);
        assert_eq!(order(&candidates), ["10.0.0.1", "2001:db8::1", "fd00::1"]);
        assert_eq!(candidates.to_probe(), None, "there is no other family");
    }
}
