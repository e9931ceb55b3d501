//! Bodies that come and go piece by piece, at the pace of the slower side.
//!
//! A [`BodySource`] gives the content of a request, a [`BodySink`] takes that of a response. Both may say "not now":
//! they keep the [`Waker`] they were lent, and wake it, from any thread, when they can go on. While one waits,
//! nothing is read from the peer, or nothing is sent to it, and no deadline of ours passes but that of the whole call.
//!
//! [`pipe`] is both at once, for a program whose content is written or read by another thread.

mod file;
mod head;
mod pipe;
mod writer;

use std::io;
use std::task::{Poll, Waker};

pub use crate::body::file::ToFile;
pub use crate::body::head::Head;
pub use crate::body::pipe::{PipeReader, PipeWriter, pipe};
pub use crate::body::writer::ToWriter;

/// Gives the content of a request, piece by piece.
///
/// A panic in it fails the call: in an [`EventLoop`](crate::EventLoop) with
/// [`ErrorKind::LocalPanic`](crate::ErrorKind::LocalPanic) and nothing else; on a thread that blocks, it goes on
/// unwinding there.
///
/// ```
/// use std::io;
/// use std::task::{Poll, Waker};
/// use wirescope::body::BodySource;
///
/// /// As many zeros as are wanted.
/// struct Zeros(u64);
///
/// impl BodySource for Zeros {
///     fn poll_read(&mut self, into: &mut [u8], _waker: &Waker) -> Poll<io::Result<usize>> {
///         let count = usize::try_from(self.0).unwrap_or(usize::MAX).min(into.len());
///         into[..count].fill(0);
///         self.0 -= count as u64;
///         Poll::Ready(Ok(count))
///     }
/// }
///
/// # fn main() -> Result<(), wirescope::Error> {
/// let client = wirescope::Client::new()?;
/// let request = client.put("http://example.com/zeros")?.body_source(Zeros(1 << 30), Some(1 << 30));
/// # drop(request);
/// # Ok(())
/// # }
/// ```
pub trait BodySource: Send {
    /// Writes some content into a slice that is not empty, and says how many bytes; 0 is the end. It must not block.
    ///
    /// `Pending` says "not now": the waker is to be woken, once, when there is more. It may also be asked without
    /// having been woken.
    ///
    /// # Errors
    /// Its own, which fails the call with [`ErrorKind::LocalBodySource`](crate::ErrorKind::LocalBodySource).
    fn poll_read(&mut self, into: &mut [u8], waker: &Waker) -> Poll<io::Result<usize>>;
}

/// Takes the content of a response, piece by piece. See
/// [`EventLoop::submit_to`](crate::EventLoop::submit_to).
///
/// It is dropped when the call is over; if [`end`](BodySink::end) was not called by then, the content is not whole.
/// Its errors fail the call with [`ErrorKind::LocalBodySink`](crate::ErrorKind::LocalBodySink), and a panic in it with
/// [`ErrorKind::LocalPanic`](crate::ErrorKind::LocalPanic); either costs the connection, unless all was received. The
/// completion says so; events tell of it as of a response that is dropped: the body was closed early.
pub trait BodySink: Send {
    /// Learns of a response whose redirect was followed, by its head; of each in their order, before
    /// [`begin`](BodySink::begin). Does nothing by default.
    ///
    /// # Errors
    /// As of [`begin`](BodySink::begin).
    fn redirected(&mut self, head: &Head<'_>) -> io::Result<()> {
        let _ = head;
        Ok(())
    }

    /// Learns of the response whose content follows, by its head. Does nothing by default.
    ///
    /// # Errors
    /// Its own: the content is not wanted.
    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        let _ = head;
        Ok(())
    }

    /// Takes some of the content, which is not empty, and says how many bytes; 0 is an error
    /// ([`WriteZero`](io::ErrorKind::WriteZero)). It should not block: all calls of the loop wait for it.
    ///
    /// `Pending` says "not now": the waker is to be woken, once, when there is room. It may also be asked without
    /// having been woken.
    ///
    /// # Errors
    /// Its own.
    fn poll_write(&mut self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>>;

    /// Learns that the content came whole and was taken. Does nothing by default.
    ///
    /// # Errors
    /// Its own: what was taken could not be kept.
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: BodySource + ?Sized> BodySource for Box<S> {
    fn poll_read(&mut self, into: &mut [u8], waker: &Waker) -> Poll<io::Result<usize>> {
        (**self).poll_read(into, waker)
    }
}

impl<S: BodySink + ?Sized> BodySink for Box<S> {
    fn redirected(&mut self, head: &Head<'_>) -> io::Result<()> {
        (**self).redirected(head)
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        (**self).begin(head)
    }

    fn poll_write(&mut self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>> {
        (**self).poll_write(content, waker)
    }

    fn end(&mut self) -> io::Result<()> {
        (**self).end()
    }
}
