//! The addresses that were not tried yet, and the order in which they will be: the families in turn, each in the
//! order of the resolver.

use crate::message::answer::{Address, Family};

/// Addresses not tried yet.
#[derive(Debug)]
pub(super) struct Candidates {
    v6: Vec<Address>,
    v4: Vec<Address>,
    /// The family whose turn it is.
    turn: Family,
}

impl Candidates {
    pub(super) fn new() -> Self {
        Self {
            v6: Vec::new(),
            v4: Vec::new(),
            turn: Family::V6,
        }
    }

    pub(super) fn add(&mut self, addresses: &[Address]) {
        for address in addresses {
            self.queue(address.family()).push(*address);
        }
    }

    /// The addresses in the order in which they will be tried.
    pub(super) fn order(&self) -> impl Iterator<Item = Address> {
        let (first, second) = match self.turn {
            Family::V6 => (&self.v6, &self.v4),
            Family::V4 => (&self.v4, &self.v6),
        };
        let pair = move |index| [first.get(index), second.get(index)];
        let longest = first.len().max(second.len());
        (0..longest).flat_map(pair).flatten().copied()
    }

    /// Takes the next address; the other family has the turn after it.
    pub(super) fn take_next(&mut self) -> Option<Address> {
        let address = self.order().next()?;
        self.queue(address.family()).remove(0);
        self.turn = match address.family() {
            Family::V6 => Family::V4,
            Family::V4 => Family::V6,
        };
        Some(address)
    }

    pub(super) fn len(&self) -> usize {
        self.v6.len().saturating_add(self.v4.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether there is an address of the family that is preferred.
    pub(super) fn has_v6(&self) -> bool {
        !self.v6.is_empty()
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

    #[test]
    fn the_families_take_turns_and_late_ones_join() {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        let mut candidates = Candidates::new();
        candidates.add(&["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(address));
        assert_eq!(candidates.take_next(), Some(address("10.0.0.1")));
        candidates.add(&["::1", "::2"].map(address));
        let order: Vec<_> = candidates.order().collect();
        let expected = ["::1", "10.0.0.2", "::2", "10.0.0.3"].map(address);
        assert_eq!(order, expected);
        let taken: Vec<_> = std::iter::from_fn(|| candidates.take_next()).collect();
        assert_eq!(taken, expected);
        assert!(candidates.is_empty());
    }
}
