//! What the system says of this process, and what it is asked for it.

use std::fs;
use std::time::Duration;

use cpu_time::ProcessTime;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::concurrency::Outcome;

/// Keeps this process on a core.
pub(crate) fn pin(core: usize) -> Outcome<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// Allows as many descriptors as there may be.
pub(crate) fn raise_descriptor_limit() -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?)
}

/// CPU time of this process so far, of all threads. Not read by rustix, which valgrind cannot run.
pub(crate) fn cpu_time() -> Duration {
    ProcessTime::now().as_duration()
}

/// Resident memory of this process in bytes.
pub(crate) fn resident() -> Outcome<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: usize = kib.ok_or("no VmRSS")?.parse()?;
    Ok(kib * 1024)
}

/// One line about the machine and how busy it is.
pub(crate) fn conditions() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    format!(
        "{cores} cores, Linux {}, load {}",
        kernel.trim(),
        load.join(" ")
    )
}
