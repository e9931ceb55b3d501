//! System calls of this thread, counted by kind. Compiled for tests and the test kit only; otherwise nothing.

/// A system call that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syscall {
    /// `socket`.
    Socket,
    /// `connect`.
    Connect,
    /// `setsockopt`, `getsockopt`, `getsockname`, `bind`.
    Option,
    /// `sendto`, `sendmsg`.
    Send,
    /// `recvfrom`, `readv`.
    Receive,
    /// `recvfrom` that takes nothing, without waiting.
    Peek,
    /// `poll`.
    Poll,
}

#[cfg(feature = "testkit")]
mod counted {
    use std::cell::Cell;

    use super::Syscall;

    thread_local! {
        static COUNTS: [Cell<u64>; 7] = const { [const { Cell::new(0) }; 7] };
    }

    pub(crate) fn syscall(kind: Syscall) {
        COUNTS.with(|counts| {
            let count = &counts[kind as usize];
            count.set(count.get() + 1);
        });
    }

    /// Those of one kind.
    #[cfg(test)]
    pub(crate) fn on_this_thread_of(kind: Syscall) -> u64 {
        COUNTS.with(|counts| counts[kind as usize].get())
    }

    /// System calls that wirescope made on this thread for connections, since the thread began.
    #[must_use]
    pub fn on_this_thread() -> u64 {
        COUNTS.with(|counts| counts.iter().map(Cell::get).sum())
    }
}

#[cfg(feature = "testkit")]
pub use counted::on_this_thread;
#[cfg(all(test, feature = "testkit"))]
pub(crate) use counted::on_this_thread_of;
#[cfg(feature = "testkit")]
pub(crate) use counted::syscall;

#[cfg(not(feature = "testkit"))]
pub(crate) fn syscall(_kind: Syscall) {}
