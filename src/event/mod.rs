//! The event bus: everything that happens, typed, as it happens.
//!
//! An event says what has happened, never what is about to be tried, unless its name ends in `Start`. The
//! pure machines emit events on the transition that makes them true; nothing else does.
//!
//! ```text
//! client      ClientStart
//!   call      CallStart ................................................ CallDone
//!     attempt   GetConn … GotConn  write || read  PutIdleConn  AttemptDone
//!   dial          DialStart  names || contestants  DialDone
//!   connection      ConnOpened … GotConn … PutIdleConn … ConnClosed
//! ```
//!
//! Three ways to listen: [`channel`] (a crossbeam receiver, the usual one), [`Trace`] (closures), or an
//! [`Observer`] of your own. [`docs/events.md`](https://docs.rs/wirescope) lists every kind and key.

mod bus;
#[cfg(test)]
mod docs;
mod emitter;
pub mod grammar;
mod kind;
mod payload;
mod redact;
#[cfg(test)]
pub(crate) mod script;
pub(crate) mod show;
mod timings;
mod wall;

use std::fmt;
use std::time::Duration;

pub(crate) use self::bus::Observers;
pub use self::bus::{
    Abort, Batches, Events, Observer, ObserverRef, Overflow, Verdict, batches, channel,
    channel_with,
};
#[cfg(feature = "export")]
pub(crate) use self::emitter::wall_at;
pub(crate) use self::emitter::{Clock, Emitter, Telling};
pub(crate) use self::kind::Payload;
pub use self::kind::{EventData, EventKind, Interest, Trace};
pub(crate) use self::payload::FieldRecord;
pub use self::payload::*;
pub use self::redact::Redaction;
use self::show::Object;
pub(crate) use self::timings::Marks;
pub use self::timings::{CurlTimes, Phases, Timings};
use crate::ids::{CallId, ConnId, DialId};

/// Version of the event schema: keys are only added within one version.
pub const SCHEMA_VERSION: u32 = 1;

/// Something that happened: when, to what, and what it was. At most 64 bytes; cloning does not allocate.
#[derive(Clone)]
pub struct Event {
    at: u64,
    scope: Scope,
    attempt: Option<Attempt>,
    seq: u32,
    payload: Payload,
}

const _: () = assert!(size_of::<Event>() <= 64, "an event is at most 64 bytes");

/// The streams that an event belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) call: Option<CallId>,
    pub(crate) dial: Option<DialId>,
    pub(crate) conn: Option<ConnId>,
}

/// One try of one hop on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) hop: u8,
    pub(crate) number: u8,
}

impl Event {
    /// Number of the event within its call, else its dial, else its connection. Without gaps for an observer
    /// of everything that is emitted.
    #[must_use]
    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// Time since the first moment of this process that wirescope knows. Never goes back within a stream.
    #[must_use]
    pub fn at(&self) -> Duration {
        Duration::from_nanos(self.at)
    }

    /// The call, if the event belongs to one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        self.scope.call
    }

    /// Redirects followed before, if the event belongs to an attempt.
    #[must_use]
    pub fn hop(&self) -> Option<u16> {
        self.attempt.map(|attempt| u16::from(attempt.hop))
    }

    /// Sends within the call before, whatever their cause, if the event belongs to an attempt.
    #[must_use]
    pub fn attempt(&self) -> Option<u16> {
        self.attempt.map(|attempt| u16::from(attempt.number))
    }

    /// The connection, if the event belongs to one.
    #[must_use]
    pub fn connection(&self) -> Option<ConnId> {
        self.scope.conn
    }

    /// The dial, if the event belongs to one.
    #[must_use]
    pub fn dial(&self) -> Option<DialId> {
        self.scope.dial
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.payload.kind()
    }

    #[cfg(test)]
    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// What the event says.
    #[must_use]
    pub fn data(&self) -> EventData<'_> {
        self.payload.data()
    }

    /// The payload as a JSON object without the envelope, as transcripts show it.
    #[must_use]
    pub fn payload_json(&self) -> String {
        let mut text = String::new();
        let mut object = Object::open(&mut text);
        self.data().show(&mut object);
        object.close();
        text
    }

    /// Appends the event as one JSON object with its envelope; `t_ns` counts from `start`, an earlier
    /// [`Event::at`], and `wall` is the wall clock of the event.
    #[cfg(any(test, feature = "export"))]
    pub(crate) fn write_json(&self, text: &mut String, start: Duration, wall: Option<WallClock>) {
        let mut object = Object::open(text);
        object.member("v", &SCHEMA_VERSION);
        object.member("event", &self.kind().tag());
        self.show_envelope(&mut object, start, wall);
        self.data().show(&mut object);
        object.close();
    }

    /// Appends the event as its tag and a JSON object; `t_ns` counts from `start`, an earlier [`Event::at`].
    pub(crate) fn write_text(&self, text: &mut String, start: Duration) {
        text.push_str(self.kind().tag());
        text.push(' ');
        let mut object = Object::open(text);
        self.show_envelope(&mut object, start, None);
        self.data().show(&mut object);
        object.close();
    }

    fn show_envelope(&self, object: &mut Object<'_>, start: Duration, wall: Option<WallClock>) {
        object.member("seq", &self.seq);
        object.member("t_ns", &self.at().saturating_sub(start));
        if let Some(wall) = wall {
            object.member("ts", &wall);
        }
        if let Some(call) = self.scope.call {
            object.member("call", &call);
        }
        if let (Some(hop), Some(attempt)) = (self.hop(), self.attempt()) {
            object.member("hop", &hop);
            object.member("attempt", &attempt);
        }
        if let Some(conn) = self.scope.conn {
            object.member("conn", &conn);
        }
        if let Some(dial) = self.scope.dial {
            object.member("dial", &dial);
        }
    }
}

/// The event as one line: its tag and a JSON object with its ids and payload.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_text(&mut text, Duration::ZERO);
        f.write_str(&text)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
