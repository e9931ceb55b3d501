//! Which addresses may be dialed at all, as the caller says.
//!
//! The rule guarded here: every address is judged where it enters a dial, wherever it came from, and what is judged is
//! what is dialed. So nobody who answers for a name can show one address and be dialed at another.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::flow::dial::Dial;
use crate::message::answer::Address;

/// The caller's judgement about addresses; without one all may be dialed.
#[derive(Clone, Default)]
pub(crate) struct Guard(Option<Arc<Judge>>);

type Judge = dyn Fn(&SocketAddr) -> bool + Send + Sync;

impl Guard {
    pub(crate) fn new(judge: impl Fn(&SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(judge)))
    }

    /// Says whether anything is judged.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Says whether a host with these addresses may not be reached at all: there are some, and none may be dialed.
    pub(crate) fn forbids(&self, addresses: &[Address], port: u16) -> bool {
        let may = |address: &Address| self.allows(address.with_port(port));
        !addresses.is_empty() && !addresses.iter().any(may)
    }

    /// Says whether an address may be dialed. An IPv4 address inside an IPv6 one is judged as what it is: the system
    /// dials the same host for both.
    fn allows(&self, addr: SocketAddr) -> bool {
        let judged = match addr.ip().to_canonical() {
            ip if ip == addr.ip() => addr,
            ip => SocketAddr::new(ip, addr.port()),
        };
        self.0.as_ref().is_none_or(|judge| judge(&judged))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judged = if self.0.is_some() { "judged" } else { "all" };
        write!(f, "Guard({judged})")
    }
}

impl Dial {
    /// Takes addresses that may be tried, and notes those that may not. Says whether one may.
    pub(super) fn admit(&mut self, addresses: &[Address]) -> bool {
        let port = self.named().port;
        let (allowed, refused): (Vec<_>, Vec<_>) = addresses
            .iter()
            .copied()
            .partition(|address| self.facts.guard.allows(address.with_port(port)));
        self.candidates.add(&allowed);
        self.candidates.refuse(&refused);
        !allowed.is_empty()
    }
}
