//! The head of the response whose content a sink takes.

use crate::message::fields::Fields;
use crate::message::framing::Version;

/// The head of a response, lent to the [`BodySink`](crate::body::BodySink) that takes its content.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    version: Version,
    status: u16,
    reason: &'a [u8],
    fields: &'a Fields,
}

impl<'a> Head<'a> {
    /// Makes a head, as a test of a sink needs one.
    #[must_use]
    pub fn new(version: Version, status: u16, reason: &'a [u8], fields: &'a Fields) -> Self {
        Self {
            version,
            status,
            reason,
            fields,
        }
    }

    /// The version of the response.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The status code, from 200 to 999 (or 101).
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase as it came. It decides nothing (RFC 9112 §4).
    #[must_use]
    pub fn reason(&self) -> &'a [u8] {
        self.reason
    }

    /// The field lines, in wire order and case.
    #[must_use]
    pub fn fields(&self) -> &'a Fields {
        self.fields
    }
}
