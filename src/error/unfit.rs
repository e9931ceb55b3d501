//! Why a socket could not be set up before its connect.

use std::fmt;
use std::io;

use crate::error::SocketRule;

/// An error of the system, or of the caller's hook, with the step of the set-up that it stopped. It travels inside the
/// error of a contestant that did not get as far as its connect.
#[derive(Debug)]
pub(crate) struct Unfit {
    pub(crate) rule: SocketRule,
    /// The interface or the address, if it is about one.
    pub(crate) subject: Option<Box<str>>,
    pub(crate) cause: io::Error,
}

impl Unfit {
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::new(self.cause.kind(), self)
    }

    /// The set-up that failed, if that is the error.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)
    }
}

impl std::error::Error for Unfit {}

/// The code of the operating system in the error of a contestant.
pub(crate) fn code_of(error: &io::Error) -> Option<i32> {
    Unfit::of(error)
        .map_or(error, |unfit| &unfit.cause)
        .raw_os_error()
}
