//! Request methods.

use std::borrow::Cow;
use std::fmt;

use crate::error::RequestRule;
use crate::message::fields::is_token_byte;

/// A request method (RFC 9110 §9). Case matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Method(Cow<'static, str>);

/// The methods that cost no allocation.
const KNOWN: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY",
];

impl Method {
    /// GET.
    pub const GET: Self = Self(Cow::Borrowed("GET"));
    /// HEAD.
    pub const HEAD: Self = Self(Cow::Borrowed("HEAD"));
    /// POST.
    pub const POST: Self = Self(Cow::Borrowed("POST"));
    /// PUT.
    pub const PUT: Self = Self(Cow::Borrowed("PUT"));
    /// DELETE.
    pub const DELETE: Self = Self(Cow::Borrowed("DELETE"));
    /// OPTIONS.
    pub const OPTIONS: Self = Self(Cow::Borrowed("OPTIONS"));
    /// PATCH.
    pub const PATCH: Self = Self(Cow::Borrowed("PATCH"));
    /// QUERY.
    pub const QUERY: Self = Self(Cow::Borrowed("QUERY"));

    /// CONNECT, of requests that [`Client::connect`](crate::Client::connect) makes.
    pub const CONNECT: Self = Self(Cow::Borrowed("CONNECT"));

    /// Takes any token as a method (RFC 9110 §9.1).
    ///
    /// # Errors
    /// [`RequestRule::Method`] if it is empty or has a byte that is no token byte;
    /// [`RequestRule::ConnectMethod`] for CONNECT, which is not a request for a resource.
    pub fn new(name: &str) -> Result<Self, RequestRule> {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(RequestRule::Method);
        }
        if name == "CONNECT" {
            return Err(RequestRule::ConnectMethod);
        }
        let known = KNOWN.iter().find(|known| **known == name);
        Ok(Self(known.map_or_else(
            || Cow::Owned(name.to_owned()),
            |known| Cow::Borrowed(*known),
        )))
    }

    /// The method as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether a repeat has the same effect as one request (RFC 9110 §9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.as_str(),
            "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE" | "QUERY"
        )
    }

    /// Says whether a body has a meaning without further agreement (RFC 9110 §9.3).
    pub(crate) fn expects_body(&self) -> bool {
        !matches!(
            self.as_str(),
            "GET" | "HEAD" | "DELETE" | "OPTIONS" | "TRACE"
        )
    }

    /// Says whether an empty body is worth a `Content-Length: 0` (RFC 9110 §8.6).
    pub(crate) fn announces_empty_body(&self) -> bool {
        matches!(self.as_str(), "POST" | "PUT" | "PATCH" | "QUERY")
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<&str> for Method {
    type Error = RequestRule;

    fn try_from(name: &str) -> Result<Self, RequestRule> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_tokens() {
        for good in ["GET", "get", "PROPFIND", "M-SEARCH", "!#$%&'*+-.^_`|~09"] {
            assert_eq!(Method::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "GE T", "GET\r\nX: y", "GET\0", "GÉT", "G,", "(x)"] {
            assert_eq!(Method::new(bad), Err(RequestRule::Method), "{bad:?}");
        }
        assert_eq!(Method::new("CONNECT"), Err(RequestRule::ConnectMethod));
    }
}
