//! Responses that are parts, and what says of which representation.

use std::time::SystemTime;

use crate::error::Result;
use crate::message::etag::EntityTag;
use crate::message::fields::Fields;
use crate::message::range::{Partial, Ranges, Validator};
use crate::response::Response;
use crate::response::moments::named;
use crate::response::parts::{Parts, broken};

impl Response {
    /// What the response is to a request for ranges: a part, several, the whole, or none of that
    /// (RFC 9110 §15.3.7). A server need not heed ranges, so ask this before the body is taken for a part.
    ///
    /// # Errors
    /// [`ErrorKind::PeerRange`](crate::ErrorKind::PeerRange) with the rule that a 206 breaks: it contradicts itself, or is
    /// not what was asked for.
    pub fn partial(&self) -> Result<Partial> {
        judge(self.asked().as_ref(), self.status(), self.fields())
    }

    /// The parts of a 206, to be read one behind the other.
    ///
    /// # Errors
    /// As [`Response::partial`], and [`NotPartial`](crate::error::RangeRule::NotPartial) for another status.
    pub fn parts(&mut self) -> Result<Parts<&mut Self>> {
        let asked = self.asked();
        let partial = self.partial()?;
        parts(self, &partial, asked)
    }

    /// The entity tag, if there is one and it is well-formed (RFC 9110 §8.8.3).
    #[must_use]
    pub fn etag(&self) -> Option<EntityTag> {
        EntityTag::parse(self.fields().get("etag")?)
    }

    /// When the representation changed last, as `Last-Modified` says; none without one, or if it is no date
    /// (RFC 9110 §8.8.2).
    #[must_use]
    pub fn last_modified(&self) -> Option<SystemTime> {
        named(self.fields(), "last-modified")
    }

    /// The strong validator, by which later parts can be joined with this one. See [`Validator::of`].
    #[must_use]
    pub fn validator(&self) -> Option<Validator> {
        Validator::of(self.fields())
    }

    /// The ranges that the last hop asked for.
    fn asked(&self) -> Option<Ranges> {
        Ranges::parse(self.running.call.plan().fields().get("range")?)
    }
}

/// Judges a response, with the error of the interface.
pub(crate) fn judge(asked: Option<&Ranges>, status: u16, fields: &Fields) -> Result<Partial> {
    Partial::judge(asked, status, fields).map_err(broken)
}

/// Takes a body apart. Ranges that nobody asked for were refused before.
pub(crate) fn parts<R: std::io::Read>(
    body: R,
    partial: &Partial,
    asked: Option<Ranges>,
) -> Result<Parts<R>> {
    let asked = asked.ok_or_else(|| broken(crate::error::RangeRule::NotPartial))?;
    Parts::new(body, partial, asked)
}
