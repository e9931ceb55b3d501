//! What became of a simulated call.

use std::time::Duration;

use crate::error::Error;
use crate::message::fields::Fields;
use crate::message::framing::Framing;
use crate::proto::receiving::FinalHead;

/// A response whose body was read to its end, or as far as its caller wanted.
#[derive(Debug)]
#[non_exhaustive]
pub struct SimResponse {
    /// The status code.
    pub status: u16,
    /// The field lines, in wire order and case.
    pub fields: Fields,
    /// How the body is framed.
    pub framing: Framing,
    /// What was read of the body, or of what the peer said behind an upgrade.
    pub body: Vec<u8>,
    /// The trailers that may be used.
    pub trailers: Option<Fields>,
    /// Whether the connection had served an earlier request.
    pub is_connection_reused: bool,
}

impl SimResponse {
    /// The body as text, what is not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What became of a simulated call, and when.
#[derive(Debug)]
pub struct Outcome {
    pub(super) started: Duration,
    pub(super) ended: Duration,
    pub(super) head: Option<Box<FinalHead>>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<Fields>,
    pub(super) is_reused: bool,
    pub(super) redirects: u32,
    pub(super) error: Option<Error>,
}

impl Outcome {
    /// When the call began, on the virtual clock.
    #[must_use]
    pub fn started(&self) -> Duration {
        self.started
    }

    /// When its caller had done with it.
    #[must_use]
    pub fn ended(&self) -> Duration {
        self.ended
    }

    /// The status code, if the final head came.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|head| head.head.status)
    }

    /// What was read of the body, also of one that broke.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many redirects the call followed.
    #[must_use]
    pub fn redirects(&self) -> u32 {
        self.redirects
    }

    /// Why the call failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The response, if the call did not fail.
    ///
    /// # Errors
    /// What the call, or reading its body, failed with.
    pub fn into_result(self) -> Result<SimResponse, Error> {
        match (self.error, self.head.map(|head| *head)) {
            (Some(error), _) => Err(error),
            (None, Some(FinalHead { head, framing })) => Ok(SimResponse {
                status: head.status,
                fields: head.fields,
                framing,
                body: self.body,
                trailers: self.trailers,
                is_connection_reused: self.is_reused,
            }),
            (None, None) => Err(Error::new(
                crate::error::ErrorKind::Internal,
                crate::error::Phase::Done,
            )),
        }
    }
}
