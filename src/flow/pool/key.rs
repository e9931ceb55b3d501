//! What a connection is good for.
//!
//! The rule guarded here: two requests share a connection only if they are equal in everything that made it. What
//! two requests can differ in is taken apart below, whole: a new part of a request does not compile until somebody
//! decides whether it is a part of the key.
//!
//! Keys have an order, for finding one among many, and a URL has its place in that order without a key being made
//! of it. A digest of the parts comes first, so that few comparisons look further. Who picks names with equal digests
//! gains nothing: among those the parts decide.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::flow::call::Settings;
use crate::message::url::{Host, Scheme, Url};
use crate::message::via::{Destination, Via};
use crate::proto::plan::Plan;

/// What a connection is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    digest: u64,
    scheme: Scheme,
    host: Box<str>,
    /// The zone of an IPv6 literal decides about the interface.
    zone: Option<Box<str>>,
    port: u16,
    via: Via,
}

impl Key {
    /// The key of a destination.
    pub(crate) fn of(destination: Destination<'_>) -> Self {
        let Parts {
            port,
            is_https,
            host,
            zone,
            via,
        } = parts_of(destination);
        Self {
            digest: digest_of(destination),
            scheme: if is_https {
                Scheme::Https
            } else {
                Scheme::Http
            },
            host: host.into(),
            zone: zone.map(Into::into),
            port,
            via: via.clone(),
        }
    }

    /// Says whether it is the key of a destination.
    pub(super) fn is_to(&self, destination: Destination<'_>) -> bool {
        self.parts() == parts_of(destination)
    }

    /// Says whether it names one origin, whose own server answers: no proxy in its place, and nobody on this machine.
    pub(super) fn is_of_origin(&self) -> bool {
        match self.via {
            Via::Nobody | Via::Tunnel(_) => true,
            Via::Forward(_) | Via::Unix(_) => false,
        }
    }

    /// Says whether it names the origin of a URL.
    pub(super) fn is_for(&self, url: &Url) -> bool {
        let straight = parts_of(Destination::straight(url));
        let via = straight.via;
        self.is_of_origin()
            && Parts {
                via,
                ..self.parts()
            } == straight
    }
}

/// What has a place in the order of keys.
pub(super) trait Placed {
    fn digest(&self) -> u64;
    fn parts(&self) -> Parts<'_>;
}

/// What keys are equal in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parts<'a> {
    port: u16,
    is_https: bool,
    host: &'a str,
    zone: Option<&'a str>,
    via: &'a Via,
}

impl Placed for Key {
    fn digest(&self) -> u64 {
        self.digest
    }

    fn parts(&self) -> Parts<'_> {
        let Self {
            digest: _,
            scheme,
            host,
            zone,
            port,
            via,
        } = self;
        Parts {
            port: *port,
            is_https: *scheme == Scheme::Https,
            host,
            zone: zone.as_deref(),
            via,
        }
    }
}

/// A destination that is looked for, with its digest.
pub(super) struct Sought<'a> {
    digest: u64,
    destination: Destination<'a>,
}

impl<'a> Sought<'a> {
    pub(super) fn new(destination: Destination<'a>) -> Self {
        Self {
            digest: digest_of(destination),
            destination,
        }
    }
}

impl Placed for Sought<'_> {
    fn digest(&self) -> u64 {
        self.digest
    }

    fn parts(&self) -> Parts<'_> {
        parts_of(self.destination)
    }
}

/// A key in an ordered map, with its digest beside it: most comparisons do not follow the pointer.
#[derive(Debug)]
pub(super) struct Ordered {
    digest: u64,
    key: Arc<Key>,
}

impl Ordered {
    pub(super) fn new(key: Arc<Key>) -> Self {
        Self {
            digest: key.digest,
            key,
        }
    }
}

impl Placed for Ordered {
    fn digest(&self) -> u64 {
        self.digest
    }

    fn parts(&self) -> Parts<'_> {
        self.key.parts()
    }
}

impl<'a> Borrow<dyn Placed + 'a> for Ordered {
    fn borrow(&self) -> &(dyn Placed + 'a) {
        self
    }
}

impl Ord for dyn Placed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        #[cfg(test)]
        comparisons::count();
        let digests = self.digest().cmp(&other.digest());
        digests.then_with(|| self.parts().cmp(&other.parts()))
    }
}

impl PartialOrd for dyn Placed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Placed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Placed + '_ {}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        let other: &dyn Placed = other;
        (self as &dyn Placed).cmp(other)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ordered {}

/// A proxy that is given whole requests is one destination, whatever it is asked for.
fn parts_of<'a>(Destination { url, via }: Destination<'a>) -> Parts<'a> {
    match via {
        Via::Forward(proxy) => Parts {
            port: proxy.port(),
            is_https: false,
            host: proxy.host(),
            zone: None,
            via,
        },
        Via::Nobody | Via::Tunnel(_) | Via::Unix(_) => Parts {
            port: url.port(),
            is_https: url.scheme() == Scheme::Https,
            host: url.host_str(),
            zone: zone_of(url),
            via,
        },
    }
}

/// Equal for equal keys. Zones and what lies between, which are rare, are left to the parts.
fn digest_of(destination: Destination<'_>) -> u64 {
    let Parts { host, port, .. } = parts_of(destination);
    let mut rest = host.as_bytes();
    let mut digest = u64::from(port);
    while let Some((word, after)) = rest.split_first_chunk() {
        digest = spread(digest, u64::from_le_bytes(*word));
        rest = after;
    }
    let last = rest
        .iter()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte));
    spread(digest, last)
}

/// Lets every bit of a word and of what came before it have its say.
fn spread(digest: u64, word: u64) -> u64 {
    let product = (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scheme, host, port, ..
        } = self;
        match &self.via {
            Via::Nobody => write!(f, "{scheme}://{host}:{port}"),
            Via::Forward(proxy) => write!(f, "{scheme}://* via {proxy}"),
            Via::Tunnel(proxy) => write!(f, "{scheme}://{host}:{port} via {proxy}"),
            Via::Unix(addr) => write!(f, "{scheme}://{host}:{port} via unix:{addr}"),
        }
    }
}

fn zone_of(url: &Url) -> Option<&str> {
    match url.host() {
        Host::V6(_, zone) => zone,
        Host::Name(_) | Host::V4(_) => None,
    }
}

/// The part of a request that decides about its connection. Everything else about it is named here with the reason
/// why it does not.
pub(crate) fn deciding<'a>(plan: &'a Plan, settings: &Settings) -> Destination<'a> {
    let Settings {
        // How bytes are read does not change who sent them; what a machine read before is forgotten.
        rules: _,
        // Deadlines belong to the call. A connection that one call gave up is closed, not kept.
        timeouts: _,
        // How often a call is made again changes nothing about a connection.
        retries: _,
        // How long a connection lives is fixed when it is made, and equal for all calls of a client.
        life: _,
        // Addresses and resolver are the client's, and a pool belongs to one client.
        overrides: _,
        is_resolver_custom: _,
        // A hop is a request of its own, with a key of its own.
        redirects: _,
        // What is chosen stands in the plan, and is decided there.
        proxies: _,
        unix: _,
        // What it forbids is never asked for.
        https_only: _,
        // One client has one table of places to connect to, one profile, one choice of families, and one
        // guard. What its sockets are bound to and set up as is the client's too, and stands in no settings of a call.
        connect_to: _,
        dial_profile: _,
        family: _,
        guard: _,
        // Who finishes a dial does not change what it leads to.
        detached: _,
    } = settings;
    plan.deciding()
}

/// Counts the comparisons of keys, by thread, that is, by test.
#[cfg(test)]
pub(super) mod comparisons {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        COUNT.set(COUNT.get() + 1);
    }

    pub(in crate::flow::pool) fn so_far() -> usize {
        COUNT.get()
    }
}
