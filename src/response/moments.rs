//! The moments that a response names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::message::date;
use crate::message::fields::Fields;
use crate::net::clock;
use crate::response::Response;

impl Response {
    /// When the message was made, as its `Date` says; none without one, or if it is no date (RFC 9110 §6.6.1).
    ///
    /// A year of two digits is taken as the one nearest to now. When the response came is told by the time of
    /// `got_response_head`, whatever the field says.
    #[must_use]
    pub fn date(&self) -> Option<SystemTime> {
        named(self.fields(), "date")
    }

    /// How long the peer asks to wait before the request is made again, as its `Retry-After` says: seconds, or a date
    /// that is compared with `now`, zero if it has passed. None without one, or if it is neither (RFC 9110 §10.2.3).
    ///
    /// Nothing waits by itself, and nothing bounds the answer: a peer may ask for centuries.
    #[must_use]
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        retry_after(self.fields(), now)
    }
}

/// What the `Retry-After` of a response asks for.
pub(crate) fn retry_after(fields: &Fields, now: SystemTime) -> Option<Duration> {
    let value = fields.get("retry-after")?;
    if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        let digits = std::str::from_utf8(value).ok()?;
        return Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)));
    }
    let at = moment(date::parse(value, since_1970(now))?)?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// The moment that a field names. A year of two digits is taken as the one nearest to now.
pub(crate) fn named(fields: &Fields, name: &str) -> Option<SystemTime> {
    let now = clock::process().wall(clock::now()).time();
    moment(date::parse(fields.get(name)?, since_1970(now))?)
}

/// Whole seconds from 1970 to a moment, negative before.
pub(crate) fn since_1970(moment: SystemTime) -> i64 {
    let (seconds, sign) = match moment.duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_secs(), 1),
        Err(before) => (before.duration().as_secs(), -1),
    };
    i64::try_from(seconds).unwrap_or(i64::MAX) * sign
}

fn moment(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}
