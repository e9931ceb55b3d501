//! What a caller gives where a URL is asked for.

use super::{Url, UrlError};

/// A URL as it is given: as text, which is read then and there, or as a [`Url`] that was read before.
#[expect(
    clippy::exhaustive_enums,
    reason = "a URL is there as text or as a value, and in no third way"
)]
#[derive(Clone, Copy, Debug)]
pub enum GivenUrl<'a> {
    /// Text, by the rules of [`Url::parse`].
    Text(&'a str),
    /// A URL that was read before. Its clone allocates nothing.
    Read(&'a Url),
}

impl GivenUrl<'_> {
    /// The URL.
    ///
    /// # Errors
    /// As [`Url::parse`], for text only.
    pub(crate) fn read(self) -> Result<Url, UrlError> {
        match self {
            Self::Text(text) => Url::parse(text),
            Self::Read(url) => Ok(url.clone()),
        }
    }
}

impl<'a> From<&'a str> for GivenUrl<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for GivenUrl<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Url> for GivenUrl<'a> {
    fn from(url: &'a Url) -> Self {
        Self::Read(url)
    }
}
