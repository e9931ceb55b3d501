//! What other threads bring to a loop. The rule: **what was taken in is taken out**, by the loop or by the one who
//! closes; and what would come too late is given back at once.
//!
//! ```text
//!   Open --end--> Ending --close--> Gone        what is put in:  taken         given back   given back
//!     \-------------close-------------^         a note:          taken         taken        dropped
//! ```
//!
//! A loop that is awake looks by itself, so only the first who comes while it sleeps wakes it.

use std::collections::VecDeque;
use std::time::Instant;

use crate::net::sync::{Mutex, MutexGuard, lock};

/// Wakes a loop.
pub(crate) trait Ring {
    /// Ends its wait, or the next one.
    fn ring(&self);
}

/// A queue into a loop.
#[derive(Debug)]
pub(crate) struct Inlet<M, B> {
    state: Mutex<State<M>>,
    bell: B,
}

#[derive(Debug)]
struct State<M> {
    stage: Stage,
    mail: VecDeque<M>,
    reader: Reader,
}

/// What is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Everything.
    Open,
    /// Nothing new; what is under way goes on until that moment, or to its end.
    Ending(Option<Instant>),
    /// Nothing.
    Gone,
}

/// What the loop does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// It will look again before it waits.
    Awake,
    /// It found nothing the last time, and may wait.
    Asleep,
}

impl<M, B: Ring> Inlet<M, B> {
    pub(crate) fn new(bell: B) -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Open,
                mail: VecDeque::new(),
                reader: Reader::Awake,
            }),
            bell,
        }
    }

    /// Puts something in.
    ///
    /// # Errors
    /// Gives it back when the loop is ending.
    pub(crate) fn put(&self, mail: M) -> Result<(), M> {
        let mut state = lock(&self.state);
        if state.stage != Stage::Open {
            return Err(mail);
        }
        state.mail.push_back(mail);
        self.wake(state);
        Ok(())
    }

    /// Leaves a note about what was put in before. It is of no effect once all of that is over.
    pub(crate) fn note(&self, mail: M) {
        let mut state = lock(&self.state);
        if state.stage != Stage::Gone {
            state.mail.push_back(mail);
            self.wake(state);
        }
    }

    /// Takes nothing new in from now on; what is under way may go on until then. Of several such moments the first counts.
    pub(crate) fn end(&self, until: Option<Instant>) {
        let mut state = lock(&self.state);
        state.stage = match state.stage {
            Stage::Open => Stage::Ending(until),
            Stage::Ending(before) => Stage::Ending(before.into_iter().chain(until).min()),
            Stage::Gone => return,
        };
        self.wake(state);
    }

    /// Takes out all that is there; only the loop does. If it is nothing the loop may wait, and is woken by the next.
    pub(crate) fn take(&self, into: &mut VecDeque<M>) -> Stage {
        let mut state = lock(&self.state);
        state.reader = if state.mail.is_empty() {
            Reader::Asleep
        } else {
            Reader::Awake
        };
        into.append(&mut state.mail);
        state.stage
    }

    /// Takes nothing in any more, and gives what nobody took out.
    pub(crate) fn close(&self) -> VecDeque<M> {
        let mut state = lock(&self.state);
        state.stage = Stage::Gone;
        std::mem::take(&mut state.mail)
    }

    fn wake(&self, mut state: MutexGuard<'_, State<M>>) {
        let before = std::mem::replace(&mut state.reader, Reader::Awake);
        drop(state);
        if before == Reader::Asleep {
            self.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Rings(Cell<usize>);

    impl Ring for Rings {
        fn ring(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn taken(inlet: &Inlet<u8, Rings>) -> (Vec<u8>, Stage) {
        let mut mail = VecDeque::new();
        let stage = inlet.take(&mut mail);
        (mail.into(), stage)
    }

    #[test]
    fn only_the_first_wakes_a_loop_that_sleeps() {
        let inlet = Inlet::new(Rings::default());
        inlet.put(1).unwrap();
        assert_eq!(inlet.bell.0.get(), 0, "it is awake");
        assert_eq!(taken(&inlet), (vec![1], Stage::Open));
        inlet.put(2).unwrap();
        assert_eq!(inlet.bell.0.get(), 0, "it found something and looks again");
        assert_eq!(taken(&inlet).0, [2]);
        assert!(taken(&inlet).0.is_empty());
        inlet.put(3).unwrap();
        inlet.note(4);
        assert_eq!(inlet.bell.0.get(), 1);
        assert_eq!(taken(&inlet).0, [3, 4]);
    }

    #[test]
    fn what_comes_too_late_is_given_back() {
        let inlet = Inlet::new(Rings::default());
        let now = crate::testing::origin();
        let later = now + Duration::from_secs(1);
        inlet.put(1).unwrap();
        inlet.end(None);
        assert_eq!(inlet.put(2), Err(2));
        inlet.end(Some(later));
        inlet.end(Some(now));
        inlet.end(Some(later));
        inlet.note(3);
        assert_eq!(taken(&inlet), (vec![1, 3], Stage::Ending(Some(now))));
        inlet.note(4);
        assert_eq!(inlet.close(), [4]);
        inlet.note(5);
        inlet.end(None);
        assert_eq!(inlet.put(6), Err(6));
        assert_eq!(taken(&inlet), (vec![], Stage::Gone));
    }
}
