//! Requests for parts, and requests under conditions (RFC 9110 §13, RFC 9110 §14).

use std::time::SystemTime;

use crate::error::{Error, RequestRule, Result};
use crate::message::date;
use crate::message::etag::EntityTag;
use crate::message::range::{ByteRange, Ranges, Validator};
use crate::request::Request;
use crate::response::since_1970;

impl Request {
    /// Asks for one range of bytes, counted from 0: `0..=499`, `500..`, or [`ByteRange::Last`]. A server may answer with
    /// the whole all the same: see [`Response::partial`](crate::Response::partial).
    ///
    /// # Errors
    /// [`RequestRule::Ranges`] when the range is empty or ends before it begins.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(feature = "testkit")] {
    /// # use wirescope::testkit::{Peer, Script};
    /// # let peer = Peer::start(Script::new().expect_request().send(
    /// #     "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 6-10/11\r\nContent-Length: 5\r\n\r\nworld"))?;
    /// use wirescope::message::range::Partial;
    ///
    /// let client = wirescope::Client::new()?;
    /// let mut response = client.get(&peer.url("/"))?.range(6..)?.send()?;
    /// match response.partial()? {
    ///     Partial::One(range) => assert_eq!((range.first(), range.complete()), (6, Some(11))),
    ///     other => panic!("{other:?}"),
    /// }
    /// assert_eq!(response.text(100)?, "world");
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    pub fn range(self, range: impl Into<ByteRange>) -> Result<Self> {
        let ranges = Ranges::new([range])?;
        self.ranges(&ranges)
    }

    /// Asks for several ranges. The answer may be one part, several, or the whole:
    /// [`Response::parts`](crate::Response::parts) reads the first two.
    ///
    /// # Errors
    /// As [`Request::header`].
    pub fn ranges(mut self, ranges: &Ranges) -> Result<Self> {
        self.ready
            .wish
            .fields_mut()
            .set("Range", &ranges.to_string())?;
        Ok(self)
    }

    /// Asks for the ranges only if the representation is still that of this validator, and else for the whole
    /// (RFC 9110 §13.1.5). Without a range the request is refused when it is sent.
    ///
    /// # Errors
    /// As [`Request::header`].
    pub fn if_range(mut self, validator: &Validator) -> Result<Self> {
        self.ready.wish.fields_mut().remove("If-Range");
        self.ready
            .wish
            .fields_mut()
            .append_bytes("If-Range", &validator.to_value())?;
        Ok(self)
    }

    /// Asks for what happens only if one of these tags is the current one, compared strongly (RFC 9110 §13.1.1); 412 says
    /// that none is.
    ///
    /// # Errors
    /// [`RequestRule::WeakTag`] for a weak tag, which never matches, and as [`Request::header`].
    pub fn if_match<'a>(self, tags: impl IntoIterator<Item = &'a EntityTag>) -> Result<Self> {
        let tags: Vec<_> = tags.into_iter().collect();
        if tags.iter().any(|tag| tag.is_weak()) {
            return Err(RequestRule::WeakTag.into());
        }
        self.tagged("If-Match", tags)
    }

    /// Asks for what happens only if there is any current representation (RFC 9110 §13.1.1).
    ///
    /// # Errors
    /// As [`Request::header`].
    pub fn if_match_any(mut self) -> Result<Self> {
        self.ready.wish.fields_mut().set("If-Match", "*")?;
        Ok(self)
    }

    /// Asks for what happens only if none of these tags is the current one, compared weakly (RFC 9110 §13.1.2); 304, or
    /// 412 if the method changes something, says that one is.
    ///
    /// # Errors
    /// As [`Request::header`].
    pub fn if_none_match<'a>(self, tags: impl IntoIterator<Item = &'a EntityTag>) -> Result<Self> {
        self.tagged("If-None-Match", tags)
    }

    /// Asks for what happens only if there is no current representation, so that nothing is overwritten
    /// (RFC 9110 §13.1.2).
    ///
    /// # Errors
    /// As [`Request::header`].
    pub fn if_none_match_any(mut self) -> Result<Self> {
        self.ready.wish.fields_mut().set("If-None-Match", "*")?;
        Ok(self)
    }

    /// Asks for the content only if it changed after that moment, of which parts of a second are left out
    /// (RFC 9110 §13.1.3); 304 says that it did not. A server does not look at it beside `If-None-Match`.
    ///
    /// # Errors
    /// [`RequestRule::Date`] if the year has not four digits.
    pub fn if_modified_since(self, moment: SystemTime) -> Result<Self> {
        self.dated("If-Modified-Since", moment)
    }

    /// Asks for what happens only if nothing changed after that moment, of which parts of a second are left out
    /// (RFC 9110 §13.1.4); 412 says that something did. A server does not look at it beside `If-Match`.
    ///
    /// # Errors
    /// [`RequestRule::Date`] if the year has not four digits.
    pub fn if_unmodified_since(self, moment: SystemTime) -> Result<Self> {
        self.dated("If-Unmodified-Since", moment)
    }

    /// Sets a list of tags; without any, the field is left as it is.
    fn tagged<'a>(
        mut self,
        name: &str,
        tags: impl IntoIterator<Item = &'a EntityTag>,
    ) -> Result<Self> {
        let tags: Vec<_> = tags.into_iter().map(EntityTag::as_bytes).collect();
        if !tags.is_empty() {
            self.ready.wish.fields_mut().remove(name);
            self.ready
                .wish
                .fields_mut()
                .append_bytes(name, &tags.join(&b", "[..]))?;
        }
        Ok(self)
    }

    fn dated(mut self, name: &str, moment: SystemTime) -> Result<Self> {
        let text = date::write(since_1970(moment));
        let text = text.ok_or_else(|| Error::from(RequestRule::Date).about(name))?;
        self.ready.wish.fields_mut().set(name, &text)?;
        Ok(self)
    }
}
