//! Content into a writer.

use std::io::{self, Write};
use std::task::{Poll, Waker};

use crate::body::BodySink;

/// Writes content into a writer as it comes, and flushes it at the end. The writer must not block for long: all calls
/// of a loop wait for it. One that cannot take more now is an error; for that there is [`pipe`](crate::body::pipe).
#[derive(Debug)]
pub struct ToWriter<W>(W);

impl<W: Write + Send> ToWriter<W> {
    /// Makes a sink of a writer.
    pub fn new(writer: W) -> Self {
        Self(writer)
    }
}

impl<W: Write + Send> BodySink for ToWriter<W> {
    fn poll_write(&mut self, content: &[u8], _waker: &Waker) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write_all(content).map(|()| content.len()))
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
