//! Waiting without a descriptor: for calls that wait for nothing but each other.

use std::sync::PoisonError;
use std::time::Instant;

use crate::net::clock::now;
use crate::net::sync::{Condvar, Mutex, lock};

/// A place where one thread sleeps until another wakes it. A wake-up before the wait ends it too.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    /// Ends the wait.
    pub(crate) fn wake(&self) {
        *lock(&self.woken) = true;
        self.changed.notify_one();
    }

    /// Waits until woken or until the deadline, never shorter; says whether woken.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut woken = lock(&self.woken);
        loop {
            if std::mem::take(&mut *woken) {
                return true;
            }
            let Some(deadline) = deadline else {
                woken = self
                    .changed
                    .wait(woken)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return false;
            }
            let result = self.changed.wait_timeout(woken, left);
            woken = result.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_wake_up_before_the_wait_ends_it_and_counts_once() {
        let parker = Parker::default();
        parker.wake();
        parker.wake();
        assert!(parker.wait(None));
        let until = now() + Duration::from_millis(2);
        assert!(!parker.wait(Some(until)));
        assert!(now() >= until);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test has threads of its own")]
    fn another_thread_ends_the_wait() {
        let parker = std::sync::Arc::new(Parker::default());
        let other = parker.clone();
        let thread = std::thread::spawn(move || other.wake());
        assert!(parker.wait(None));
        thread.join().unwrap();
    }
}
