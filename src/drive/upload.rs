//! The body of a request as the driver holds it: in memory, or where it comes from.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::body::BodySource;
use crate::flow::action::ExchangeInput;
use crate::proto::buffers::Buffer;
use crate::proto::sending::{LateTrailers, Pulled};

/// The body of a request as the driver holds it.
pub(crate) enum Upload {
    Empty,
    Bytes(Arc<[u8]>),
    Vec(Vec<u8>),
    Source(Box<dyn Read + Send>),
    /// It can be made as often as it is needed.
    Made(Box<Made>),
    /// It may say "not now".
    Polled(Box<dyn BodySource>),
    /// It has trailers that are known at its end.
    Trailed(Box<Trailed>),
}

/// A body whose source is made anew when it is needed again.
pub(crate) struct Made {
    make: Make,
    last: Option<Box<dyn Read + Send>>,
}

/// A body with what gives its trailers at its end.
pub(crate) struct Trailed {
    body: Upload,
    make: MakeTrailers,
}

/// Gives the trailers of a body that has ended, as often as it is sent.
pub(crate) type MakeTrailers = Box<dyn Fn() -> io::Result<LateTrailers> + Send>;

/// Makes a source of the body, as often as it is needed.
pub(crate) type Make = Box<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send>;

impl Upload {
    /// A body whose source that makes.
    pub(crate) fn made(make: Make) -> Self {
        Self::Made(Box::new(Made { make, last: None }))
    }

    /// A body that ends with what that gives.
    pub(crate) fn trailed(body: Self, make: MakeTrailers) -> Self {
        Self::Trailed(Box::new(Trailed { body, make }))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Empty | Self::Source(_) | Self::Made(_) | Self::Polled(_) | Self::Trailed(_) => {
                &[]
            }
            Self::Bytes(bytes) => bytes,
            Self::Vec(bytes) => bytes,
        }
    }

    /// The source of the body, made anew when the body begins if that can be done.
    fn source(&mut self, is_first: bool) -> io::Result<Option<&mut (dyn Read + Send)>> {
        match self {
            Self::Empty | Self::Bytes(_) | Self::Vec(_) | Self::Polled(_) | Self::Trailed(_) => {
                Ok(None)
            }
            Self::Source(source) => Ok(Some(&mut **source)),
            Self::Made(made) => {
                if is_first || made.last.is_none() {
                    made.last = Some((made.make)()?);
                }
                Ok(made.last.as_mut().map(|last| &mut **last as _))
            }
        }
    }

    /// A range of a body in memory.
    pub(crate) fn range(&self, body: Range<u64>) -> &[u8] {
        let range = usize::try_from(body.start).unwrap_or(usize::MAX)
            ..usize::try_from(body.end).unwrap_or(usize::MAX);
        self.bytes().get(range).unwrap_or_default()
    }

    /// Says whether the source may say "not now", and is lent a waker for that.
    pub(crate) fn is_polled(&self) -> bool {
        match self {
            Self::Polled(_) => true,
            Self::Trailed(trailed) => trailed.body.is_polled(),
            Self::Empty | Self::Bytes(_) | Self::Vec(_) | Self::Source(_) | Self::Made(..) => false,
        }
    }

    /// Asks the caller's source, if there is one, for at most `max` bytes behind a buffer.
    pub(crate) fn pull(
        &mut self,
        max: u64,
        is_first: bool,
        waker: &Waker,
        outbound: &mut Buffer,
    ) -> Option<ExchangeInput> {
        if let Self::Trailed(trailed) = self {
            let pulled = trailed.body.pull(max, is_first, waker, outbound)?;
            if let ExchangeInput::Pulled(Pulled::End(_), _) = pulled {
                return Some(with_trailers((trailed.make)()));
            }
            return Some(pulled);
        }
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let result = if let Self::Polled(source) = self {
            read(max, outbound, |room| source.poll_read(room, waker))
        } else {
            match self.source(is_first) {
                Ok(source) => {
                    let source = source?;
                    read(max, outbound, |room| Poll::Ready(source.read(room)))
                }
                Err(error) => Poll::Ready(Err(error)),
            }
        };
        Some(match result {
            Poll::Pending => ExchangeInput::Pulled(Pulled::NotNow, None),
            Poll::Ready(Ok(0)) => ExchangeInput::Pulled(Pulled::End(None), None),
            Poll::Ready(Ok(count)) => ExchangeInput::Pulled(Pulled::Bytes(count), None),
            Poll::Ready(Err(error)) => ExchangeInput::Pulled(Pulled::Failed, Some(error)),
        })
    }
}

/// The end of a body, with its trailers if they could be given.
fn with_trailers(made: io::Result<LateTrailers>) -> ExchangeInput {
    match made {
        Ok(late) => ExchangeInput::Pulled(Pulled::End(Some(Box::new(late))), None),
        Err(error) => ExchangeInput::Pulled(Pulled::Failed, Some(error)),
    }
}

/// Reads at most `max` bytes behind a buffer. A source that says it wrote more than it could did not.
fn read(
    max: usize,
    outbound: &mut Buffer,
    mut read: impl FnMut(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let room = outbound.spare(max);
    let room = room.get_mut(..max).unwrap_or_default();
    loop {
        match read(room) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(Ok(count)) => {
                let count = count.min(max);
                outbound.fill(count);
                return Poll::Ready(Ok(count));
            }
            done @ (Poll::Pending | Poll::Ready(Err(_))) => return done,
        }
    }
}
