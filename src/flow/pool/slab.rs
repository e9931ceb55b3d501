//! Values that keep their place while others come and go. A place costs no memory of its own, and is used again.

use std::num::NonZeroU32;

/// The place of a value, until that value is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(NonZeroU32);

/// The values. It keeps the memory of the most that it ever held at once.
#[derive(Debug)]
pub(super) struct Slab<T> {
    cells: Vec<Cell<T>>,
    free: Option<Id>,
}

#[derive(Debug)]
enum Cell<T> {
    Used(T),
    /// With the next that is free.
    Free(Option<Id>),
}

impl Id {
    fn of(place: usize) -> Self {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        Self(NonZeroU32::MIN.saturating_add(place))
    }

    fn place(self) -> usize {
        self.0.get().saturating_sub(1) as usize
    }
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            cells: Vec::new(),
            free: None,
        }
    }

    pub(super) fn get(&self, id: Id) -> Option<&T> {
        match self.cells.get(id.place())? {
            Cell::Used(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.cells.get_mut(id.place())? {
            Cell::Used(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    pub(super) fn insert(&mut self, value: T) -> Id {
        let id = self.free.unwrap_or_else(|| Id::of(self.cells.len()));
        match self.cells.get_mut(id.place()) {
            Some(cell) => {
                self.free = match *cell {
                    Cell::Free(next) => next,
                    Cell::Used(_) => None,
                };
                *cell = Cell::Used(value);
            }
            None => {
                self.make_room();
                self.cells.push(Cell::Used(value));
            }
        }
        id
    }

    /// Grows by a quarter: what is unused of many thousand is memory too.
    fn make_room(&mut self) {
        let len = self.cells.len();
        if len == self.cells.capacity() {
            self.cells.reserve_exact((len >> 2).max(4));
        }
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        let cell = self.cells.get_mut(id.place())?;
        match std::mem::replace(cell, Cell::Free(self.free)) {
            Cell::Used(value) => {
                self.free = Some(id);
                Some(value)
            }
            Cell::Free(next) => {
                *cell = Cell::Free(next);
                None
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.cells.iter().filter_map(|cell| match cell {
            Cell::Used(value) => Some(value),
            Cell::Free(_) => None,
        })
    }
}
