//! What a client says of itself, in one line to its parent.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::concurrency::Outcome;
use crate::concurrency::machine::cpu_time;

/// Requests, and the time they took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// The begin of a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    wall: Instant,
    cpu: Duration,
}

impl Start {
    pub(crate) fn now() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    pub(crate) fn wall(&self) -> Duration {
        self.wall.elapsed()
    }

    pub(crate) fn sample(&self, requests: u64) -> Sample {
        Sample {
            requests,
            wall: self.wall.elapsed(),
            cpu: cpu_time().saturating_sub(self.cpu),
        }
    }
}

impl Sample {
    /// Requests in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }

    /// Microseconds of the client's CPU for a request.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    /// The share of the time that the client's core was busy for it. Well below one, the client was not the limit.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, cpu) = (self.wall.as_nanos(), self.cpu.as_nanos());
        write!(f, "{} {wall} {cpu}", self.requests)
    }
}

impl FromStr for Sample {
    type Err = Box<dyn std::error::Error>;

    fn from_str(line: &str) -> Outcome<Self> {
        let [requests, wall, cpu] = numbers(line)?;
        Ok(Self {
            requests,
            wall: Duration::from_nanos(wall),
            cpu: Duration::from_nanos(cpu),
        })
    }
}

/// Bytes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) resident: u64,
    /// Zero in a program that does not count them.
    pub(crate) heap: u64,
}

/// Bytes in use without a connection, with all idle of which few were active at once, with all waiting for an answer, and
/// with all idle again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) before: Bytes,
    pub(crate) opened: Bytes,
    pub(crate) active: Bytes,
    pub(crate) idle: Bytes,
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bytes in [self.before, self.opened, self.active, self.idle] {
            write!(f, "{} {} ", bytes.resident, bytes.heap)?;
        }
        Ok(())
    }
}

impl FromStr for Footprint {
    type Err = Box<dyn std::error::Error>;

    fn from_str(line: &str) -> Outcome<Self> {
        let numbers: [u64; 8] = numbers(line)?;
        let at = |index: usize| Bytes {
            resident: numbers[index],
            heap: numbers[index + 1],
        };
        Ok(Self {
            before: at(0),
            opened: at(2),
            active: at(4),
            idle: at(6),
        })
    }
}

fn numbers<const COUNT: usize>(line: &str) -> Outcome<[u64; COUNT]> {
    let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
    numbers?
        .try_into()
        .map_err(|_| format!("{COUNT} numbers were expected, not {line:?}").into())
}
