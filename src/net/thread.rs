//! A thread of its own for one piece of work that goes on until it ends by itself.

use std::io;
use std::thread::{self, JoinHandle, ThreadId};

use crate::net::sync::{Mutex, lock};

/// A thread under way. Dropping this lets it go on.
#[derive(Debug)]
pub(crate) struct Thread<T> {
    id: ThreadId,
    handle: Mutex<Option<JoinHandle<T>>>,
}

/// How waiting for a thread ended.
#[derive(Debug)]
pub(crate) enum Joined<T> {
    /// It has ended with this.
    Ended(T),
    /// It has ended with a panic.
    Panicked,
    /// It has ended, and somebody else was told how.
    Told,
    /// It asks itself, and so goes on.
    Itself,
}

impl<T: Send + 'static> Thread<T> {
    /// Starts a thread. Linux shows 15 bytes of its name.
    pub(crate) fn start(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let handle = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self {
            id: handle.thread().id(),
            handle: Mutex::new(Some(handle)),
        })
    }

    /// Waits for its end, whoever else does so too.
    pub(crate) fn join(&self) -> Joined<T> {
        if thread::current().id() == self.id {
            return Joined::Itself;
        }
        let mut handle = lock(&self.handle);
        match handle.take().map(JoinHandle::join) {
            Some(Ok(result)) => Joined::Ended(result),
            Some(Err(payload)) => {
                // Dropping what a panic carries may panic again.
                std::mem::forget(payload);
                Joined::Panicked
            }
            None => Joined::Told,
        }
    }
}
