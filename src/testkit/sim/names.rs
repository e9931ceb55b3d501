//! The resolver of a simulation: names, how long their answers take, and how they fail.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::error::LookupFailure;
use crate::message::answer::{Answer, Family, LookupError, Outcome};

/// What the simulated resolver says of one name. The default has no address of either family.
///
/// ```
/// use std::time::Duration;
/// use wirescope::error::LookupFailure;
/// use wirescope::message::answer::Family;
/// use wirescope::testkit::sim::Name;
///
/// let half = Name::new(&["192.0.2.1".parse()?])
///     .family(Family::V6, Duration::from_millis(40), Err(LookupFailure::ServerFailure));
/// # drop(half);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Name {
    v4: Reply,
    v6: Reply,
}

#[derive(Debug, Clone)]
enum Reply {
    After(Duration, Result<Vec<IpAddr>, LookupFailure>),
    Never,
}

impl Default for Reply {
    fn default() -> Self {
        Self::After(Duration::ZERO, Ok(Vec::new()))
    }
}

impl Name {
    /// A name with these addresses, answered at once.
    #[must_use]
    pub fn new(addresses: &[IpAddr]) -> Self {
        Self::default().delayed(Duration::ZERO, addresses)
    }

    /// Answers for both families after this time, with the addresses of each.
    #[must_use]
    pub fn delayed(self, after: Duration, addresses: &[IpAddr]) -> Self {
        self.family(Family::V4, after, Ok(addresses))
            .family(Family::V6, after, Ok(addresses))
    }

    /// Answers for one family after this time: with those of the addresses that are of it, or with a failure.
    #[must_use]
    pub fn family(
        mut self,
        family: Family,
        after: Duration,
        answer: Result<&[IpAddr], LookupFailure>,
    ) -> Self {
        let of_family = |ip: &IpAddr| Family::of(*ip) == family;
        let answer = answer.map(|all| all.iter().copied().filter(of_family).collect());
        *self.reply(family) = Reply::After(after, answer);
        self
    }

    /// Never answers for one family.
    #[must_use]
    pub fn silent(mut self, family: Family) -> Self {
        *self.reply(family) = Reply::Never;
        self
    }

    fn reply(&mut self, family: Family) -> &mut Reply {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// All names that there are.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<Box<str>, Name>);

impl Names {
    pub(super) fn set(&mut self, host: &str, name: Name) {
        self.0.insert(host.to_ascii_lowercase().into(), name);
    }

    /// How long the answer takes; none if there is never one.
    pub(super) fn delay(&self, host: &str, family: Family) -> Option<Duration> {
        match self.reply(host, family) {
            Some(Reply::After(time, _)) => Some(*time),
            Some(Reply::Never) => None,
            None => Some(Duration::ZERO),
        }
    }

    pub(super) fn answer(&self, host: &str, family: Family) -> Outcome {
        let known = match self.reply(host, family) {
            Some(Reply::After(_, answer)) => answer.clone(),
            Some(Reply::Never) | None => Err(LookupFailure::NoSuchHost),
        };
        match known {
            Ok(addresses) => Ok(Answer::new(addresses)),
            Err(failure) => Err(LookupError::new(failure).into()),
        }
    }

    fn reply(&self, host: &str, family: Family) -> Option<&Reply> {
        let name = self.0.get(&*host.to_ascii_lowercase())?;
        Some(match family {
            Family::V4 => &name.v4,
            Family::V6 => &name.v6,
        })
    }
}
