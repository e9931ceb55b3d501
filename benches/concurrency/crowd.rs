//! What every client can do with very many connections.

use std::rc::Rc;
use std::time::Duration;

use crate::concurrency::Outcome;
use crate::concurrency::answers::Path;

/// Is told each answer.
pub(crate) trait Tally {
    /// A checked answer is whole; says whether another GET is to be begun.
    fn ended(&self) -> bool;
}

/// A client with its connections, all in one thread. Whatever it does, it checks status and length of each answer.
pub(crate) trait Crowd {
    /// Opens so many connections, and leaves them idle.
    fn open(&mut self, connections: usize) -> Outcome<()>;

    /// Opens so many connections and leaves them idle, with only a few requests at a time, so that no memory is left over
    /// from all of them being active at once.
    fn open_few_at_once(&mut self, connections: usize) -> Outcome<()> {
        self.open(connections)
    }

    /// Begins a GET on so many connections, which are open, and asks at the end of each whether another is to be begun.
    /// Ends when none is under way.
    fn keep(&mut self, path: Path, in_flight: usize, tally: &Rc<dyn Tally>) -> Outcome<()>;

    /// Sends a GET of `/hold` on each of so many connections, which were opened few at once, and waits until all of them
    /// are said to be held.
    fn hold(
        &mut self,
        connections: usize,
        are_held: &mut dyn FnMut() -> Outcome<bool>,
    ) -> Outcome<()>;

    /// Waits for the answers of those that were held, which is no more the case.
    fn settle(&mut self) -> Outcome<()>;

    /// Waits that long for what does not happen, at most a second at a time.
    fn rest(&mut self, time: Duration) -> Outcome<()>;
}
