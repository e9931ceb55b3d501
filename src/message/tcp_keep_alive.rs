//! Probes on a quiet connection.

use std::time::Duration;

/// Seconds that the system takes for a time at the most.
const SECONDS_MAX: u64 = 32_767;

/// Probes that the system takes at the most.
const COUNT_MAX: u32 = 127;

/// How the system probes whether the peer of a quiet connection is still there (RFC 9293 §3.8.4).
///
/// ```
/// use std::time::Duration;
/// use wirescope::message::tcp_keep_alive::TcpKeepAlive;
///
/// let probes = TcpKeepAlive::new().idle(Duration::from_secs(60)).count(3);
/// let client = wirescope::Client::builder().tcp_keep_alive(Some(probes)).build()?;
/// # drop(client);
/// # Ok::<(), wirescope::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpKeepAlive {
    idle: u64,
    interval: u64,
    count: u32,
}

impl Default for TcpKeepAlive {
    fn default() -> Self {
        Self::new()
    }
}

impl TcpKeepAlive {
    /// Probes as Go's: the first after 15 s, then one every 15 s, and 9 without an answer end the connection.
    #[must_use]
    pub fn new() -> Self {
        Self {
            idle: 15,
            interval: 15,
            count: 9,
        }
    }

    /// Sets how long a connection is quiet before the first probe. Default 15 s. The system counts seconds: what is
    /// between two is rounded up, and it is at least 1 s and at most 32 767 s.
    #[must_use]
    pub fn idle(mut self, quiet: Duration) -> Self {
        self.idle = seconds(quiet);
        self
    }

    /// Sets the time between two probes, in seconds as for [`idle`](Self::idle). Default 15 s.
    #[must_use]
    pub fn interval(mut self, between: Duration) -> Self {
        self.interval = seconds(between);
        self
    }

    /// Sets how many probes without an answer end the connection, from 1 to 127. Default 9.
    #[must_use]
    pub fn count(mut self, probes: u32) -> Self {
        self.count = probes.clamp(1, COUNT_MAX);
        self
    }

    pub(crate) fn parts(self) -> (Duration, Duration, u32) {
        let Self {
            idle,
            interval,
            count,
        } = self;
        (
            Duration::from_secs(idle),
            Duration::from_secs(interval),
            count,
        )
    }
}

fn seconds(time: Duration) -> u64 {
    let up = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(up).clamp(1, SECONDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_that_the_system_takes() {
        for (asked, kept) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (Duration::from_millis(1001), 2),
            (Duration::from_secs(60), 60),
            (Duration::MAX, SECONDS_MAX),
        ] {
            let (idle, interval, _) = TcpKeepAlive::new().idle(asked).interval(asked).parts();
            assert_eq!((idle, interval), (Duration::from_secs(kept), idle));
        }
        assert_eq!(TcpKeepAlive::new().count(0).parts().2, 1);
        assert_eq!(TcpKeepAlive::new().count(u32::MAX).parts().2, COUNT_MAX);
    }
}
