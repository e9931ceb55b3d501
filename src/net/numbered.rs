//! Places for many things of one kind, each under a number that nothing else gets.
//!
//! A number is that of the place and how often the place was given: looking something up is one step, and a number of
//! what is gone finds nothing. Neither zero nor the largest number is ever given.

/// Bits of a number that say which place; what is left says how often it was given.
const PLACE_BITS: u32 = 24;

/// A table of places.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    places: Vec<Place<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Place<T> {
    /// How often it was given.
    given: u64,
    thing: Option<T>,
}

impl<T> Place<T> {
    const EMPTY: Self = Self {
        given: 0,
        thing: None,
    };
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Numbered<T> {
    /// Puts something in, and says its number. None: every place is taken.
    pub(crate) fn insert(&mut self, thing: T) -> Option<u64> {
        let number = self.next()?;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::EMPTY);
            self.places.len() - 1
        });
        let entry = self.places.get_mut(place)?;
        entry.given = number >> PLACE_BITS;
        entry.thing = Some(thing);
        Some(number)
    }

    /// The number of what is put in next.
    pub(crate) fn next(&self) -> Option<u64> {
        let place = self.free.last().copied().unwrap_or(self.places.len());
        let given = self.places.get(place).map_or(0, |place| place.given);
        let given = given % (u64::MAX >> PLACE_BITS) + 1;
        let place = u64::try_from(place).ok()?;
        (place >> PLACE_BITS == 0).then_some(given << PLACE_BITS | place)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        let place = self.places.get(index(number))?;
        let is_it = place.given == number >> PLACE_BITS;
        place.thing.as_ref().filter(|_| is_it)
    }

    /// Takes something out; its number finds nothing from now on.
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.places.get_mut(index(number))?;
        let is_it = place.given == number >> PLACE_BITS;
        let thing = place.thing.take_if(|_| is_it)?;
        self.free.push(index(number));
        Some(thing)
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number & ((1 << PLACE_BITS) - 1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_finds_what_it_was_given_for_and_nothing_later() {
        let mut table = Numbered::default();
        assert_eq!(table.next(), Some(1 << PLACE_BITS));
        let first = table.insert('a').unwrap();
        let second = table.insert('b').unwrap();
        assert_eq!(table.remove(first), Some('a'));
        let third = table.insert('c').unwrap();
        assert_eq!(index(first), index(third), "the place is used again");
        assert!(table.get(first).is_none() && table.remove(first).is_none());
        assert_eq!(table.get(second), Some(&'b'));
        assert_eq!(table.get(third), Some(&'c'));
        assert!(table.get(0).is_none() && table.get(u64::MAX).is_none());
    }
}
