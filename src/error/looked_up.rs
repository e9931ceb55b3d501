//! What a lookup came to, for an error that tells it.

use std::fmt;
use std::time::Duration;

use crate::message::answer::{Family, LookupError};

/// What the lookup of one address family came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedUp {
    pub(crate) family: Family,
    pub(crate) result: Result<usize, LookupError>,
    pub(crate) elapsed: Duration,
}

impl LookedUp {
    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// How many addresses there are, or why there are none.
    ///
    /// # Errors
    /// What the resolver said.
    pub fn result(&self) -> Result<usize, LookupError> {
        self.result
    }

    /// Time from the start of the lookup to the answer.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

impl fmt::Display for LookedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = match self.family {
            Family::V4 => "A",
            Family::V6 => "AAAA",
        };
        match self.result {
            Ok(0) => write!(f, "{record}: no address")?,
            Ok(1) => write!(f, "{record}: 1 address")?,
            Ok(count) => write!(f, "{record}: {count} addresses")?,
            Err(error) => write!(f, "{record}: {error}")?,
        }
        write!(f, " in {} ms", self.elapsed.as_millis())
    }
}
