//! The body of a response as it is received: what may be lent, what is framing, where it ends.

use std::sync::Arc;

use crate::error::{ErrorKind, Phase};
use crate::event::{
    BodyEnd, EventKind, FieldRecord, GotTrailerField, Payload, ResponseBodyChunk, ResponseBodyDone,
    ResponseBodyStart,
};
use crate::message::fields::Fields;
use crate::message::framing::{Framing, Persistence};
use crate::proto::chunked::{ChunkedDecoder, Step};
use crate::proto::framing::{Verdict, is_forbidden_trailer};
use crate::proto::receiving::tell_anomalies;
use crate::proto::{Fault, Turn};

/// Least bytes between two `response_body_chunk` events.
const CHUNK_EVENT: u64 = 16 * 1024;

/// Least size of a caller's slice that is read into directly.
pub(super) const DIRECT_LEAST: usize = 4 * 1024;

/// The body as it is received: first `lent` bytes of content, then `behind` bytes of framing stand at the front
/// of the inbound buffer.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) form: Form,
    pub(super) persistence: Persistence,
    pub(super) lent: usize,
    pub(super) behind: usize,
    pub(super) received: u64,
    /// Content that `tell_progress` has looked at.
    pub(super) noted: u64,
    pub(super) untold: u64,
    /// Those that may be used; few bodies have any.
    pub(super) trailers: Option<Box<Fields>>,
    pub(super) reader: Reader,
}

/// Who takes the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Caller,
    Drain,
}

#[derive(Debug)]
pub(super) enum Form {
    Length {
        left: u64,
    },
    /// Boxed: it is larger than all that a response without a body needs.
    Chunked(Box<ChunkedDecoder>),
    UntilClose,
    /// The end of the framing was reached.
    Over(BodyEnd),
}

impl Body {
    pub(super) fn new(verdict: &Verdict) -> Self {
        let form = match verdict.framing {
            Framing::None => Form::Over(BodyEnd::Complete),
            Framing::Length(left) => Form::Length { left },
            Framing::Chunked => Form::Chunked(Box::new(ChunkedDecoder::new())),
            Framing::UntilClose => Form::UntilClose,
        };
        Self {
            form,
            persistence: verdict.persistence,
            lent: 0,
            behind: 0,
            received: 0,
            noted: 0,
            untold: 0,
            trailers: None,
            reader: Reader::Caller,
        }
    }

    /// Counts content that went straight into the caller's slice.
    pub(super) fn direct(&mut self, count: u64, turn: &mut Turn<'_>) {
        if count == 0 {
            return;
        }
        self.received = self.received.saturating_add(count);
        match &mut self.form {
            Form::Length { left } => *left = left.saturating_sub(count),
            Form::Chunked(decoder) => decoder.advance(count),
            Form::UntilClose | Form::Over(_) => {}
        }
        self.tell_progress(turn);
    }

    /// Looks at what the inbound buffer holds behind the content that is lent already.
    pub(super) fn read_on(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if self.lent == 0 {
            turn.buffers
                .inbound
                .consume(std::mem::take(&mut self.behind));
        }
        match &mut self.form {
            Form::Length { left } => {
                let room = turn.buffers.inbound.len().saturating_sub(self.lent);
                let more = usize::try_from(*left).map_or(room, |left| left.min(room));
                *left = left.saturating_sub(more as u64);
                self.lent = self.lent.saturating_add(more);
                self.received = self.received.saturating_add(more as u64);
                if *left == 0 {
                    self.form = Form::Over(BodyEnd::Complete);
                }
                Ok(())
            }
            Form::UntilClose => {
                let more = turn.buffers.inbound.len().saturating_sub(self.lent);
                self.lent = self.lent.saturating_add(more);
                self.received = self.received.saturating_add(more as u64);
                Ok(())
            }
            Form::Chunked(_) => self.read_chunks(turn),
            Form::Over(_) => Ok(()),
        }
    }

    /// Lends the next content, and looks ahead behind it: the end of the body may be in the buffer already.
    pub(super) fn read_chunks(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        while let Form::Chunked(decoder) = &mut self.form {
            let ahead = turn
                .buffers
                .inbound
                .filled()
                .get(self.lent.saturating_add(self.behind)..)
                .unwrap_or_default();
            let step = decoder
                .decode(ahead, &turn.rules.limits, turn.rules.strictness)
                .map_err(|fault| Fault::new(fault, Phase::Receive))?;
            match step {
                Step::Need { consumed } => {
                    self.behind = self.behind.saturating_add(consumed);
                    self.drop_framing(turn);
                    return Ok(());
                }
                Step::Data { skip, len } => {
                    self.behind = self.behind.saturating_add(skip);
                    if self.lent > 0 && self.behind > 0 {
                        return Ok(());
                    }
                    decoder.advance(len as u64);
                    self.drop_framing(turn);
                    self.lent = self.lent.saturating_add(len);
                    self.received = self.received.saturating_add(len as u64);
                }
                Step::End {
                    consumed,
                    trailers,
                    anomalies,
                } => {
                    self.behind = self.behind.saturating_add(consumed);
                    self.drop_framing(turn);
                    self.form = Form::Over(BodyEnd::Complete);
                    self.tell_progress(turn);
                    tell_anomalies(&anomalies, turn);
                    self.trailers = take_trailers(&trailers, turn);
                }
            }
        }
        Ok(())
    }

    /// Drops framing at the front of the buffer; behind lent content it has to stay.
    pub(super) fn drop_framing(&mut self, turn: &mut Turn<'_>) {
        if self.lent == 0 {
            turn.buffers
                .inbound
                .consume(std::mem::take(&mut self.behind));
        }
    }

    pub(super) fn ended(&mut self, clean: bool) -> Result<(), ErrorKind> {
        let received = self.received;
        match &self.form {
            Form::Length { left } => Err(ErrorKind::PeerIncompleteBody {
                received,
                expected: Some(received.saturating_add(*left)),
            }),
            Form::Chunked(_) => Err(ErrorKind::PeerIncompleteBody {
                received,
                expected: None,
            }),
            Form::UntilClose if !clean => Err(ErrorKind::PeerTlsTruncated { received }),
            Form::UntilClose => {
                self.form = Form::Over(BodyEnd::DelimitedByClose);
                Ok(())
            }
            Form::Over(_) => Ok(()),
        }
    }

    /// Tells the first byte of the body, and then a piece of it from time to time.
    pub(super) fn tell_progress(&mut self, turn: &mut Turn<'_>) {
        let before = std::mem::replace(&mut self.noted, self.received);
        if before == 0 && self.received > 0 {
            turn.emitter
                .emit(EventKind::ResponseBodyStart, turn.now, |_| {
                    Payload::ResponseBodyStart(ResponseBodyStart {})
                });
        }
        self.untold = self
            .untold
            .saturating_add(self.received.saturating_sub(before));
        if self.untold >= CHUNK_EVENT {
            let (bytes, total) = (std::mem::take(&mut self.untold), self.received);
            turn.emitter
                .emit(EventKind::ResponseBodyChunk, turn.now, |_| {
                    Payload::ResponseBodyChunk(ResponseBodyChunk { bytes, total })
                });
        }
    }
}

/// Tells every trailer and keeps those that may be used (RFC 9110 §6.5.1).
fn take_trailers(trailers: &Fields, turn: &mut Turn<'_>) -> Option<Box<Fields>> {
    if trailers.is_empty() {
        return None;
    }
    let mut used = Fields::new();
    for line in trailers
        .iter()
        .filter(|line| !is_forbidden_trailer(line.name()))
    {
        used.push_unchecked(line.name(), line.value());
    }
    if turn.emitter.wants(EventKind::GotTrailerField) {
        let record = Arc::new(FieldRecord::of(turn.emitter.redaction().fields(trailers)));
        for (index, line) in (0..u16::MAX).zip(trailers.iter()) {
            let (record, used) = (record.clone(), !is_forbidden_trailer(line.name()));
            turn.emitter
                .emit(EventKind::GotTrailerField, turn.now, |_| {
                    Payload::GotTrailerField(GotTrailerField {
                        record,
                        index,
                        used,
                    })
                });
        }
    }
    Some(Box::new(used))
}

pub(super) fn tell_body_done(bytes: u64, how: BodyEnd, turn: &mut Turn<'_>) {
    turn.emitter
        .emit(EventKind::ResponseBodyDone, turn.now, |_| {
            Payload::ResponseBodyDone(ResponseBodyDone { bytes, how })
        });
}
