//! The ids that tie events, errors and responses together.

use std::fmt;
use std::num::NonZeroU64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// Makes an id from a counter that starts at 1; 0 is read as 1.
            pub(crate) fn new(count: u64) -> Self {
                Self(NonZeroU64::new(count).unwrap_or(NonZeroU64::MIN))
            }

            /// The number itself, from 1.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id! {
    /// One call: what the user asked for once, with all its hops and attempts. Counted per process.
    CallId
}
id! {
    /// One connection. Counted per process and never reused.
    ConnId
}
id! {
    /// One dial: a connection being made, with all its contestants. Counted per process.
    DialId
}
