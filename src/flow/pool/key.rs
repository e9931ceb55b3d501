//! What a connection is good for.
//!
//! The rule guarded here: two requests share a connection only if they are equal in everything that made it. What
//! two requests can differ in is taken apart below, whole: a new part of a request does not compile until somebody
//! decides whether it is a part of the key.

use std::fmt;

use crate::flow::call::Settings;
use crate::message::url::{Host, Scheme, Url};
use crate::proto::plan::Plan;

/// What a connection is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    scheme: Scheme,
    host: Box<str>,
    /// The zone of an IPv6 literal decides about the interface.
    zone: Option<Box<str>>,
    port: u16,
}

impl Key {
    /// The key of a URL.
    pub(crate) fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme(),
            host: url.host_str().into(),
            zone: zone_of(url).map(Into::into),
            port: url.port(),
        }
    }

    pub(super) fn is_for(&self, url: &Url) -> bool {
        let Self {
            scheme,
            host,
            zone,
            port,
        } = self;
        *scheme == url.scheme()
            && *port == url.port()
            && **host == *url.host_str()
            && zone.as_deref() == zone_of(url)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
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
pub(crate) fn deciding<'a>(plan: &'a Plan, settings: &Settings) -> &'a Url {
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
        // What it forbids is never asked for.
        https_only: _,
        // One client has one table of places to connect to, one profile, one choice of families, and one
        // guard.
        connect_to: _,
        dial_profile: _,
        family: _,
        guard: _,
        // Who finishes a dial does not change what it leads to.
        detached: _,
    } = settings;
    plan.deciding()
}
