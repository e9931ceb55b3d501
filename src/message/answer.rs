//! What a lookup gives: addresses of one family, or the reason why there are none.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use crate::error::LookupFailure;

/// An address family. A name is looked up once for each.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 (A records).
    V4,
    /// IPv6 (AAAA records).
    V6,
}

impl Family {
    /// Both, the preferred one first (RFC 6724).
    pub(crate) const BOTH: [Self; 2] = [Self::V6, Self::V4];

    /// The family of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The one that it is not.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// An address without a port, with the zone that a link-local IPv6 address needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    ip: IpAddr,
    zone: u32,
}

impl Address {
    /// An IPv6 address in a zone: the index of the interface (RFC 4007 §11). Zone 0 is no zone.
    #[must_use]
    pub fn in_zone(ip: Ipv6Addr, zone: u32) -> Self {
        Self {
            ip: ip.into(),
            zone,
        }
    }

    /// The address itself.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// The index of the interface; 0 when there is no zone, and always for IPv4.
    #[must_use]
    pub fn zone(self) -> u32 {
        self.zone
    }

    /// The family it belongs to.
    #[must_use]
    pub fn family(self) -> Family {
        Family::of(self.ip)
    }

    /// Adds a port; the zone becomes the scope id.
    #[must_use]
    pub fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.zone).into(),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self { ip, zone: 0 }
    }
}

/// Drops the port and keeps the scope id as zone.
impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        let zone = match addr {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Self {
            ip: addr.ip(),
            zone,
        }
    }
}

/// The address, and `%zone` when there is one.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone {
            0 => write!(f, "{}", self.ip),
            zone => write!(f, "{}%{zone}", self.ip),
        }
    }
}

/// Where an answer comes from.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerSource {
    /// Asked now, by this call or by another one that it shared the lookup with.
    Query,
    /// Asked by an earlier call and remembered.
    Cache,
    /// Given by the caller in advance.
    Override,
}

impl AnswerSource {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Cache => "cache",
            Self::Override => "override",
        }
    }
}

/// The addresses of one family, in the order in which they should be tried. Cheap to clone.
///
/// An answer without addresses says that the name has none of this family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    addrs: Arc<[Address]>,
    ttl: Option<Duration>,
    source: AnswerSource,
    surplus: usize,
}

impl Answer {
    /// An answer of a resolver. Time to live: not known. Source: [`AnswerSource::Query`].
    pub fn new<A: Into<Address>>(addrs: impl IntoIterator<Item = A>) -> Self {
        Self {
            addrs: addrs.into_iter().map(Into::into).collect(),
            ttl: None,
            source: AnswerSource::Query,
            surplus: 0,
        }
    }

    /// The name has no address of this family.
    #[must_use]
    pub fn none() -> Self {
        Self::new::<IpAddr>([])
    }

    /// Says how long the answer may be remembered. The client never remembers it for longer than its own
    /// setting, and not at all when this is zero.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..self
        }
    }

    #[must_use]
    pub(crate) fn with_source(self, source: AnswerSource) -> Self {
        Self { source, ..self }
    }

    /// The addresses, best first.
    #[must_use]
    pub fn addrs(&self) -> &[Address] {
        &self.addrs
    }

    /// Says whether there is no address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addrs.is_empty()
    }

    /// How long the answer may be remembered; none when the resolver does not know.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> AnswerSource {
        self.source
    }

    /// Addresses that were left out because there were more than
    /// [`Limits::addresses`](crate::config::Limits::addresses).
    #[must_use]
    pub fn surplus(&self) -> usize {
        self.surplus
    }

    /// Keeps the first `max` different addresses of `family`, in order, and counts what is beyond.
    #[must_use]
    pub(crate) fn tidy(self, family: Family, max: usize) -> Self {
        let mut kept: Vec<Address> = Vec::with_capacity(self.addrs.len().min(max));
        let mut surplus = self.surplus;
        for addr in self.addrs.iter().filter(|addr| addr.family() == family) {
            if kept.contains(addr) {
                continue;
            }
            if kept.len() < max {
                kept.push(*addr);
            } else {
                surplus += 1;
            }
        }
        Self {
            addrs: kept.into(),
            surplus,
            ..self
        }
    }
}

/// Why the addresses of one family could not be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LookupError {
    failure: LookupFailure,
    code: Option<i32>,
}

impl LookupError {
    /// A failure without a code. [`LookupFailure::NoAddress`] says that the name exists and has no address of
    /// this family; [`LookupFailure::NoSuchHost`] counts only when both families say so.
    #[must_use]
    pub fn new(failure: LookupFailure) -> Self {
        Self {
            failure,
            code: None,
        }
    }

    /// Adds the raw code of the system or of the resolver.
    #[must_use]
    pub fn with_code(self, code: i32) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// The rule.
    #[must_use]
    pub fn failure(self) -> LookupFailure {
        self.failure
    }

    /// The raw code: that of `getaddrinfo`, or the `errno` where that says only that the system failed.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        self.code
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{} (code {code})", self.failure),
            None => write!(f, "{}", self.failure),
        }
    }
}

impl StdError for LookupError {}

/// A [`LookupError`] with the error that caused it, as it travels from the resolver to the caller. Becomes the
/// source of the call's error.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    error: LookupError,
    cause: Option<Arc<io::Error>>,
}

impl Failure {
    pub(crate) fn caused(error: LookupError, cause: io::Error) -> Self {
        Self {
            error,
            cause: Some(Arc::new(cause)),
        }
    }

    pub(crate) fn error(&self) -> LookupError {
        self.error
    }

    pub(crate) fn rule(&self) -> LookupFailure {
        self.error.failure
    }
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        Self { error, cause: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// What one family came to.
pub(crate) type Outcome = Result<Answer, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> Address {
        IpAddr::from([192, 0, 2, last]).into()
    }

    #[test]
    fn zone_becomes_scope_id() {
        let addr = Address::in_zone("fe80::1".parse().unwrap(), 7);
        assert_eq!(addr.with_port(80).to_string(), "[fe80::1%7]:80");
        assert_eq!(Address::from(addr.with_port(80)), addr);
        assert_eq!(addr.to_string(), "fe80::1%7");
        assert_eq!(v4(1).with_port(8080).to_string(), "192.0.2.1:8080");
        assert_eq!(Address::from(v4(1).with_port(1)).to_string(), "192.0.2.1");
    }

    #[test]
    fn fault_q10_duplicates_are_dropped_and_order_is_kept() {
        let answer = Answer::new([v4(3), v4(1), v4(3), v4(2), v4(1)]).tidy(Family::V4, 64);
        assert_eq!(answer.addrs(), [v4(3), v4(1), v4(2)]);
        assert_eq!(answer.surplus(), 0);
    }

    #[test]
    fn fault_q10_of_1000_addresses_64_are_used() {
        let many = (0..1000_u32).map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
        let answer = Answer::new(many).tidy(Family::V4, 64);
        assert_eq!(answer.addrs().len(), 64);
        assert_eq!(answer.surplus(), 936);
        assert_eq!(answer.addrs()[63].to_string(), "10.0.0.63");
    }

    #[test]
    fn addresses_of_the_other_family_are_dropped() {
        let mixed = [v4(1), Address::in_zone(Ipv6Addr::LOCALHOST, 0)];
        assert_eq!(Answer::new(mixed).tidy(Family::V6, 64).addrs(), &mixed[1..]);
        assert!(Answer::new([v4(1)]).tidy(Family::V6, 64).is_empty());
    }

    #[test]
    fn errors_tell_the_code_and_keep_the_cause() {
        let error = LookupError::new(LookupFailure::Temporary).with_code(-3);
        assert_eq!(
            error.to_string(),
            "temporary failure of the name server (code -3)"
        );
        let failure = Failure::caused(error, io::Error::other("the dog ate it"));
        assert_eq!(failure.to_string(), error.to_string());
        assert_eq!(failure.source().unwrap().to_string(), "the dog ate it");
        assert!(Failure::from(error).source().is_none());
    }
}
