//! What becomes of the content of a response: it is collected, or goes into a sink.

use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::body::{BodySink, Head};
use crate::drive::multi::Taker;
use crate::error::Error;
use crate::flow::call::Hop;
use crate::message::framing::Framing;
use crate::proto::receiving::FinalHead;
use crate::response::{COLLECT_LIMIT, too_long};

/// Most bytes of room that are made for a body because its head announced that many.
const ROOM: usize = 256 * 1024;

/// Where content goes.
pub(super) enum Takes {
    /// One byte more than is wanted shows that there is too much.
    Collected {
        body: Vec<u8>,
        max: usize,
    },
    Sink {
        sink: Box<dyn BodySink>,
        bytes: u64,
    },
}

/// What a completion has of the content.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) body: Vec<u8>,
    pub(super) bytes: u64,
    /// Why the content was not wanted to its end.
    pub(super) error: Option<Error>,
}

impl Takes {
    pub(super) fn collected(max: usize) -> Self {
        Self::Collected {
            body: Vec::new(),
            max,
        }
    }

    pub(super) fn sink(sink: impl BodySink + 'static) -> Self {
        Self::Sink {
            sink: Box::new(sink),
            bytes: 0,
        }
    }

    pub(super) fn into_taken(self) -> Taken {
        match self {
            Self::Collected { mut body, max } => {
                let error = (body.len() > max).then(|| too_long(max));
                body.truncate(max);
                Taken {
                    bytes: body.len() as u64,
                    body,
                    error,
                }
            }
            Self::Sink { bytes, .. } => Taken {
                body: Vec::new(),
                bytes,
                error: None,
            },
        }
    }
}

impl Taker for Takes {
    fn is_polled(&self) -> bool {
        matches!(self, Self::Sink { .. })
    }

    fn limit(&self) -> Option<Duration> {
        match self {
            Self::Collected { .. } => Some(COLLECT_LIMIT),
            Self::Sink { .. } => None,
        }
    }

    fn begin(&mut self, hops: &[Hop], head: &FinalHead) -> io::Result<()> {
        match self {
            Self::Collected { body, max } => {
                if let Framing::Length(length) = head.framing {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    *body = Vec::with_capacity(length.min(*max).min(ROOM));
                }
                Ok(())
            }
            Self::Sink { sink, .. } => {
                for hop in hops {
                    let (version, status) = (hop.version(), hop.status());
                    sink.redirected(&Head::new(version, status, hop.reason(), hop.fields()))?;
                }
                let head = &head.head;
                let reason = head.reason.as_bytes();
                sink.begin(&Head::new(head.version, head.status, reason, &head.fields))
            }
        }
    }

    fn room(&self) -> usize {
        match self {
            Self::Collected { body, max } => max.saturating_add(1).saturating_sub(body.len()),
            Self::Sink { .. } => usize::MAX,
        }
    }

    fn take(&mut self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>> {
        match self {
            Self::Collected { body, .. } => {
                body.extend_from_slice(content);
                Poll::Ready(Ok(content.len()))
            }
            Self::Sink { sink, bytes } => {
                let taken = sink.poll_write(content, waker);
                if let Poll::Ready(Ok(count)) = taken {
                    *bytes += count.min(content.len()) as u64;
                }
                taken
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Collected { .. } => Ok(()),
            Self::Sink { sink, .. } => sink.end(),
        }
    }
}
