//! What tests need, yours and ours: events checked against the grammar, assertions on them, transcripts.
//!
//! ```
//! use wirescope::event::channel;
//! use wirescope::testkit::check::check;
//! let (observer, events) = channel(1024);
//! // … calls that `observer` is attached to …
//! # drop(observer);
//! let seen = check(&events);
//! seen.assert_kinds(&[]);
//! seen.none(wirescope::event::EventKind::TimeoutFired);
//! ```

pub mod check;
pub mod transcript;
