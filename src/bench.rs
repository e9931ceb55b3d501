//! The parts of the hot path that `benches/` measures one by one. No part of the public interface.

use std::sync::Arc;
use std::time::Instant;

use crate::config::{Limits, Strictness};
use crate::event::{
    BodyEnd, CallDone, Emitter, EventKind, ObserverRef, Observers, Payload, Redaction,
    ResponseBodyDone, Telling,
};
use crate::ids::CallId;
use crate::message::fields::Fields;
use crate::net::clock;
use crate::proto::buffers::Buffer;
use crate::proto::chunked::{ChunkedDecoder, Step};
use crate::proto::decode::HeadDecoder;
use crate::proto::encode::{HeadPlan, RequestFraming};

/// Writes the head of a GET, again and again into one buffer.
#[derive(Debug)]
pub struct Encoder {
    fields: Fields,
    out: Buffer,
}

impl Encoder {
    /// With these fields of the caller's.
    #[must_use]
    pub fn new(fields: Fields) -> Self {
        Self {
            fields,
            out: Buffer::default(),
        }
    }

    /// Writes the head and gives its length.
    pub fn encode(&mut self) -> usize {
        let plan = HeadPlan {
            proxy: None,
            method: "GET",
            target: "/a/path?with=a&query",
            host: b"www.example.com",
            user_agent: true,
            accept: true,
            fields: &self.fields,
            host_by_user: false,
            expect: false,
            close: false,
            upgrade: None,
            takes_trailers: false,
            framing: RequestFraming::Absent,
            trailers: None,
        };
        let (bytes, _) = plan.write(&mut self.out);
        self.out.consume(bytes);
        bytes
    }
}

/// Reads a head that is there whole, and counts its field lines; none if it is refused or incomplete.
#[must_use]
pub fn decode_head(input: &[u8], limits: &Limits) -> Option<usize> {
    let head = HeadDecoder::new().decode(input, limits, Strictness::Normal);
    Some(head.ok()??.fields.len())
}

/// Reads a chunked body that is there whole, and counts its content; none if it is refused or incomplete.
#[must_use]
pub fn decode_chunked(input: &[u8], limits: &Limits) -> Option<u64> {
    let mut decoder = ChunkedDecoder::new();
    let (mut rest, mut content) = (input, 0_u64);
    loop {
        match decoder.decode(rest, limits, Strictness::Normal).ok()? {
            Step::End { .. } => return Some(content),
            Step::Need { consumed } if consumed > 0 => rest = rest.get(consumed..)?,
            Step::Need { .. } => return None,
            Step::Data { skip, len } => {
                content = content.saturating_add(len as u64);
                decoder.advance(len as u64);
                rest = rest.get(skip.checked_add(len)?..)?;
            }
        }
    }
}

/// An emitter within a call, with these observers.
#[derive(Debug)]
pub struct Emitting {
    emitter: Emitter,
    now: Instant,
}

impl Emitting {
    /// Begins a call.
    #[must_use]
    pub fn new(observers: &[ObserverRef]) -> Self {
        let observers = Observers::of_call(observers, &[]);
        let telling = Telling::new(clock::process(), Redaction::default());
        let mut emitter = Emitter::new(telling.into(), observers);
        emitter.begin_call(CallId::new(1));
        Self {
            emitter,
            now: clock::now(),
        }
    }

    /// Emits so many events without reading the clock, the last one being the end of the call, and delivers them.
    pub fn emit(&mut self, count: u64) {
        for bytes in 1..count {
            self.emitter
                .emit(EventKind::ResponseBodyDone, self.now, |_| {
                    Payload::ResponseBodyDone(ResponseBodyDone {
                        bytes,
                        how: BodyEnd::Complete,
                    })
                });
        }
        if self.emitter.wants(EventKind::CallDone) {
            let timings = Box::new(self.emitter.timings(self.now));
            self.emitter.emit(EventKind::CallDone, self.now, |_| {
                Payload::CallDone(Arc::new(CallDone {
                    status: Some(200),
                    error: None,
                    hops: 1,
                    attempts: 1,
                    bytes_out: 0,
                    bytes_in: 0,
                    timings,
                }))
            });
        }
        self.emitter.deliver();
    }
}
