//! Content of the calls of `-Z`, as it comes: into the file that it is for, or nowhere.
//!
//! The rule here: **a body is in memory as a whole only where several may be written to the same place.** There each is
//! written when it is complete, so that they are not mixed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::task::{Poll, Waker};

use wirescope::body::{BodySink, Head};

use crate::again::{Again, is_transient};
use crate::args::Args;
use crate::output::head_as_it_came;

/// Where the content of a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goes<'a> {
    Nowhere,
    /// Into a file of its own.
    File(&'a Path),
    /// To where that of other calls goes too.
    Shared(&'a Path),
}

impl<'a> Goes<'a> {
    /// Where that of the URL of this index goes: standard output, and a file that is for several calls, are shared.
    pub(crate) fn of(args: &'a Args, index: usize) -> Self {
        let Some(to) = args.output.get(index) else {
            return Self::Nowhere;
        };
        let places = args.output.iter().filter(|other| *other == to).count();
        if to.as_os_str() == "-" || args.repeat > 1 || places > 1 {
            Self::Shared(to)
        } else {
            Self::File(to)
        }
    }
}

/// Takes the content of a call.
#[derive(Debug)]
pub(crate) struct Content {
    to: To,
    unwanted: Unwanted,
}

#[derive(Debug)]
enum To {
    Nowhere,
    /// Made when the final head is in, so that a failed call leaves none; it may begin with the heads that came.
    Path {
        path: PathBuf,
        heads: Option<Vec<u8>>,
    },
    File(File),
}

/// Of which responses the content is not written.
#[derive(Debug, Clone, Copy)]
struct Unwanted {
    /// Those that `-f` makes errors.
    errors: bool,
    /// Those after which the call is tried again.
    transient: bool,
}

impl Unwanted {
    fn has(self, status: u16) -> bool {
        (self.errors && status >= 400) || (self.transient && is_transient(status))
    }
}

impl Content {
    /// Content that goes nowhere.
    pub(crate) fn nowhere() -> Self {
        let unwanted = Unwanted {
            errors: false,
            transient: false,
        };
        Self {
            to: To::Nowhere,
            unwanted,
        }
    }

    /// Content that is for a file.
    pub(crate) fn to_file(args: &Args, path: &Path, again: &Again) -> Self {
        let to = To::Path {
            path: path.to_owned(),
            heads: (args.include || args.head).then(Vec::new),
        };
        let unwanted = Unwanted {
            errors: args.fail,
            transient: again.may_be(),
        };
        Self { to, unwanted }
    }
}

impl BodySink for Content {
    fn redirected(&mut self, head: &Head<'_>) -> io::Result<()> {
        if let To::Path {
            heads: Some(heads), ..
        } = &mut self.to
        {
            heads.extend(head_as_it_came(head));
        }
        Ok(())
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        if self.unwanted.has(head.status()) {
            self.to = To::Nowhere;
        }
        if let To::Path { path, heads } = &mut self.to {
            let mut file = File::create(path)?;
            if let Some(heads) = heads {
                heads.extend(head_as_it_came(head));
                file.write_all(heads)?;
            }
            self.to = To::File(file);
        }
        Ok(())
    }

    fn poll_write(&mut self, content: &[u8], _waker: &Waker) -> Poll<io::Result<usize>> {
        let written = match &mut self.to {
            To::Nowhere | To::Path { .. } => Ok(()),
            To::File(file) => file.write_all(content),
        };
        Poll::Ready(written.map(|()| content.len()))
    }
}
