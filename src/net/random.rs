//! Random bits of the system: taken here, handed down from here.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Random bits. Good enough to tell two clients apart, not to keep a secret.
pub(crate) fn bits() -> u64 {
    RandomState::new().build_hasher().finish()
}
