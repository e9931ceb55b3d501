//! Descriptors: as many as calls at a time want, if the system allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::Args;

/// Descriptors beside those of the calls: standard streams, files, the loop, resolvers.
const BESIDE: u64 = 64;

/// Raises the soft limit of descriptors as far as the calls want it and the hard limit allows; says what the limit is
/// where that is too few. Calls that find no descriptor wait for one.
pub(crate) fn make(args: &Args, at_once: usize) -> Option<u64> {
    let each = if args.upload.is_some() { 2 } else { 1 };
    let wanted = BESIDE + each * at_once as u64;
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |most: Option<u64>| most.is_none_or(|most| most >= wanted);
    if is_enough(limit.current) {
        return None;
    }
    let most = limit.maximum.map_or(wanted, |most| most.min(wanted));
    let raised = Rlimit {
        current: Some(most),
        ..limit
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => Some(most),
        Err(_) => limit.current,
    };
    now.filter(|_| !is_enough(now))
}
