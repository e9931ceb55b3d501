//! The wire, pure: bytes in, messages out, and back. No socket, no clock, no thread, no randomness.

pub(crate) mod chunked;
pub(crate) mod decode;
pub(crate) mod framing;
#[cfg(any(test, feature = "testkit"))]
pub(crate) mod oracle;
pub(crate) mod section;
