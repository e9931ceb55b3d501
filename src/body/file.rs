//! Content into a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::task::{Poll, Waker};

use crate::body::{BodySink, Head};

/// Writes content into a file, which is made, or emptied, when the head of a response is there: a call that fails
/// before touches no file. What came of a body that breaks off stays there. The disk holds the thread as long as it
/// takes.
#[derive(Debug)]
pub struct ToFile {
    path: PathBuf,
    file: Option<File>,
}

impl ToFile {
    /// Makes a sink of a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            file: None,
        }
    }
}

impl BodySink for ToFile {
    fn begin(&mut self, _head: &Head<'_>) -> io::Result<()> {
        self.file = Some(File::create(&self.path)?);
        Ok(())
    }

    fn poll_write(&mut self, content: &[u8], _waker: &Waker) -> Poll<io::Result<usize>> {
        let written = match &mut self.file {
            Some(file) => file.write_all(content).map(|()| content.len()),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        Poll::Ready(written)
    }
}
