//! Parts of a representation (RFC 9110 §14): asked for, judged, taken apart and joined. No I/O.
//!
//! The rule guarded here: bytes count as those of a range only if the response says so without contradiction, the range
//! was asked for, and the content is as long as it. Parts are joined only if the same strong validator names what they
//! are parts of.
//!
//! ```text
//!   Ranges ──► request ──► response ──► Partial ──► Parts (reads)
//!      ▲                                  │
//!      └──── Held::missing ◄── Held::add ─┘
//! ```
//!
//! [`Request::range`](crate::Request::range) asks, [`Response::partial`](crate::Response::partial) judges,
//! [`Response::parts`](crate::Response::parts) reads.

mod asked;
mod boundary;
mod content_range;
mod delimited;
mod held;
mod partial;
mod splitter;
mod validator;

pub use self::asked::{ByteRange, Ranges};
pub use self::boundary::Boundary;
pub use self::content_range::ContentRange;
pub use self::held::Held;
pub use self::partial::Partial;
pub(crate) use self::splitter::{Splitter, Step};
pub use self::validator::Validator;
