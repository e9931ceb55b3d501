//! Content between two threads, at most so many bytes of it at a time.
//!
//! The rule guarded here: **only a writer that says so has ended.** One that is dropped before broke off, and its
//! reader learns it, so that half a body is never taken for a whole one.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::body::{BodySink, BodySource};

/// Makes a pipe that holds at most so many bytes, at least one.
///
/// Each end blocks as [`Write`] and [`Read`], or serves a call without blocking, as [`BodySink`] and [`BodySource`]. So
/// the body of a response is read on another thread than that of the loop, and one of a request is written there:
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "testkit")] {
/// use std::io::Read;
/// # use wirescope::testkit::{Peer, Script};
/// # let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// # let peer = Peer::start(Script::new().respond_with(move |_| answer.to_vec()))?;
/// let client = wirescope::Client::new()?;
/// let mut event_loop = wirescope::EventLoop::new(&client)?;
/// let (writer, mut reader) = wirescope::body::pipe(64 * 1024);
/// event_loop.submit_to(client.get(&peer.url("/"))?, writer)?;
/// let reading = std::thread::spawn(move || {
///     let mut text = String::new();
///     reader.read_to_string(&mut text).map(|_| text)
/// });
/// while event_loop.next()?.is_some() {}
/// assert_eq!(reading.join().unwrap()?, "hi");
/// # }
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn pipe(bytes: usize) -> (PipeWriter, PipeReader) {
    let pipe = Arc::new(Pipe {
        inner: Mutex::new(Inner {
            content: VecDeque::new(),
            max: bytes.max(1),
            writer: End::Open(None),
            reader: End::Open(None),
        }),
        changed: Condvar::new(),
    });
    (PipeWriter(pipe.clone()), PipeReader(pipe))
}

/// The end of a [`pipe`] that content goes into.
///
/// **Drop** without [`finish`](PipeWriter::finish) breaks the content off: the reader gets an error.
#[derive(Debug)]
pub struct PipeWriter(Arc<Pipe>);

/// The end of a [`pipe`] that content comes out of.
///
/// **Drop** makes every further write fail with [`BrokenPipe`](io::ErrorKind::BrokenPipe).
#[derive(Debug)]
pub struct PipeReader(Arc<Pipe>);

#[derive(Debug)]
struct Pipe {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    content: VecDeque<u8>,
    max: usize,
    writer: End,
    reader: End,
}

/// One end of the pipe.
#[derive(Debug)]
enum End {
    /// It is used, and may wait to be woken.
    Open(Option<Waker>),
    /// It said that there is no more.
    Finished,
    Dropped,
}

impl End {
    /// The waker of an end that waits.
    fn woken(&mut self) -> Option<Waker> {
        match self {
            Self::Open(waker) => waker.take(),
            Self::Finished | Self::Dropped => None,
        }
    }

    fn wait(&mut self, by: &Waker) {
        if let Self::Open(waker) = self {
            *waker = Some(by.clone());
        }
    }
}

impl Inner {
    /// Takes some content in; not now, if there is no room.
    fn write(&mut self, content: &[u8]) -> Poll<io::Result<usize>> {
        if matches!(self.reader, End::Dropped) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = self.max.saturating_sub(self.content.len());
        let count = content.len().min(room);
        if count == 0 && !content.is_empty() {
            return Poll::Pending;
        }
        self.content.extend(&content[..count]);
        Poll::Ready(Ok(count))
    }

    /// Gives some content out; not now, if there is none and more may come.
    fn read(&mut self, mut into: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = self.content.len().min(into.len());
        if count == 0 && !into.is_empty() {
            return match self.writer {
                End::Open(_) => Poll::Pending,
                End::Finished => Poll::Ready(Ok(0)),
                End::Dropped => Poll::Ready(Err(broken_off())),
            };
        }
        let (first, second) = self.content.as_slices();
        for piece in [first, second] {
            let count = piece.len().min(into.len());
            let (now, rest) = into.split_at_mut(count);
            now.copy_from_slice(&piece[..count]);
            into = rest;
        }
        self.content.drain(..count);
        Poll::Ready(Ok(count))
    }
}

fn broken_off() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the writer of the pipe was dropped before it finished",
    )
}

impl Pipe {
    /// A panic elsewhere leaves the pipe consistent: it changes in one step.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the other end go on, without the lock: a waker is code of others.
    fn changed(&self, inner: MutexGuard<'_, Inner>, woken: Option<Waker>) {
        drop(inner);
        self.changed.notify_all();
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    fn write(&self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        let written = inner.write(content);
        if written.is_pending() {
            inner.writer.wait(waker);
        } else {
            let woken = inner.reader.woken();
            self.changed(inner, woken);
        }
        written
    }

    fn read(&self, into: &mut [u8], waker: &Waker) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        let read = inner.read(into);
        if read.is_pending() {
            inner.reader.wait(waker);
        } else {
            let woken = inner.writer.woken();
            self.changed(inner, woken);
        }
        read
    }

    /// Does something that may have to be waited for, then wakes the other end.
    fn block<T>(
        &self,
        mut go: impl FnMut(&mut Inner) -> Poll<T>,
        other: fn(&mut Inner) -> &mut End,
    ) -> T {
        let mut inner = self.lock();
        loop {
            if let Poll::Ready(done) = go(&mut inner) {
                let woken = other(&mut inner).woken();
                self.changed(inner, woken);
                return done;
            }
            inner = self
                .changed
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The writer is not used any more.
    fn end_writing(&self, end: End) {
        let mut inner = self.lock();
        if matches!(inner.writer, End::Open(_)) {
            inner.writer = end;
        }
        let woken = inner.reader.woken();
        self.changed(inner, woken);
    }
}

impl PipeWriter {
    /// Says that all content was written: the reader comes to an end behind it.
    pub fn finish(self) {
        self.0.end_writing(End::Finished);
    }
}

impl Write for PipeWriter {
    /// Blocks while the pipe is full.
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.0
            .block(|inner| inner.write(content), |inner| &mut inner.reader)
    }

    /// Does nothing: content is there for the reader at once.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BodySink for PipeWriter {
    fn poll_write(&mut self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>> {
        self.0.write(content, waker)
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.end_writing(End::Finished);
        Ok(())
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.end_writing(End::Dropped);
    }
}

impl Read for PipeReader {
    /// Blocks while the pipe is empty and its writer open.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0
            .block(|inner| inner.read(into), |inner| &mut inner.writer)
    }
}

impl BodySource for PipeReader {
    fn poll_read(&mut self, into: &mut [u8], waker: &Waker) -> Poll<io::Result<usize>> {
        self.0.read(into, waker)
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.reader = End::Dropped;
        inner.content = VecDeque::new();
        let woken = inner.writer.woken();
        self.0.changed(inner, woken);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), count.into())
    }

    fn woken(count: &Count) -> usize {
        count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn each_end_waits_for_the_other_and_is_woken_once() {
        let (mut writer, mut reader) = pipe(4);
        let (writes, by_room) = waker();
        let (reads, by_content) = waker();
        let mut into = [0; 3];
        assert!(reader.poll_read(&mut into, &by_content).is_pending());
        let written = writer.poll_write(b"abcdef", &by_room);
        assert!(matches!(written, Poll::Ready(Ok(4))));
        assert_eq!((woken(&writes), woken(&reads)), (0, 1));
        assert!(writer.poll_write(b"ef", &by_room).is_pending());
        let read = reader.poll_read(&mut into, &by_content);
        assert!(matches!(read, Poll::Ready(Ok(3))) && into == *b"abc");
        assert_eq!((woken(&writes), woken(&reads)), (1, 1));
        let written = writer.poll_write(b"ef", &by_room);
        assert!(matches!(written, Poll::Ready(Ok(2))));
        writer.finish();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "def");
        assert_eq!((woken(&writes), woken(&reads)), (1, 1));
    }

    #[test]
    fn an_end_that_is_dropped_breaks_the_other_off() {
        let (mut writer, mut reader) = pipe(4);
        writer.write_all(b"ab").unwrap();
        drop(writer);
        let mut into = Vec::new();
        let error = reader.read_to_end(&mut into).unwrap_err();
        assert_eq!(
            (error.kind(), &into[..]),
            (io::ErrorKind::UnexpectedEof, &b"ab"[..])
        );

        let (mut writer, reader) = pipe(1);
        let (count, by_room) = waker();
        writer.write_all(b"a").unwrap();
        assert!(writer.poll_write(b"b", &by_room).is_pending());
        drop(reader);
        assert_eq!(woken(&count), 1);
        let error = writer.write(b"b").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test has threads of its own")]
    fn two_threads_pass_more_than_the_pipe_holds() {
        let (mut writer, mut reader) = pipe(7);
        let sent: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let content = sent.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&content).unwrap();
            writer.finish();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        writing.join().unwrap();
        assert!(received == sent);
    }
}
