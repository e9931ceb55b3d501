//! Events as lines, written as they happen.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Phase};
use crate::event::show::{Object, Show};
use crate::event::{Event, EventData, Observer, SCHEMA_VERSION, Verdict, WallClock, wall_at};
use crate::net::clock;

/// The form of a line.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFormat {
    /// `name {json}`.
    Text,
    /// One JSON object, as `docs/events.schema.json` describes it.
    Ndjson,
}

/// An observer that writes one line per event, at once and whole. Clones share the writer.
///
/// Attach it to the client, not to requests: `t_ns` and `ts` count from the first `client_start` that it is
/// told. Without one, `t_ns` counts from its first event and there is no `ts`. `call_done` is flushed.
///
/// When the writer fails, the call is aborted, nothing more is written, and [`EventWriter::failure`] says why.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "testkit")] {
/// use wirescope::export::{EventFormat, EventWriter};
/// use wirescope::testkit::{Peer, Script};
///
/// let peer = Peer::start(Script::new().respond_with(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()))?;
/// let writer = EventWriter::new(EventFormat::Ndjson, Vec::new());
/// let client = wirescope::Client::builder().observe(writer.clone()).build()?;
/// client.get(&peer.url("/"))?.send()?;
/// drop(client);
/// let lines = String::from_utf8(writer.into_inner().unwrap_or_default())?;
/// assert!(lines.lines().all(|line| line.starts_with(r#"{"v":1,"event":""#)));
/// assert_eq!(lines.matches(r#""event":"call_done""#).count(), 1);
/// # }
/// # Ok(())
/// # }
/// ```
pub struct EventWriter<W>(Arc<Mutex<State<W>>>);

struct State<W> {
    format: EventFormat,
    to: W,
    /// [`Event::at`] that `t_ns` counts from, and the wall clock of it if it is known.
    start: Option<(Duration, Option<WallClock>)>,
    line: String,
    failure: Option<(io::ErrorKind, String)>,
}

impl<W: Write + Send> EventWriter<W> {
    /// Makes an observer over a writer.
    #[must_use]
    pub fn new(format: EventFormat, to: W) -> Self {
        Self(Arc::new(Mutex::new(State {
            format,
            to,
            start: None,
            line: String::new(),
            failure: None,
        })))
    }

    /// Why the writer failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<io::Error> {
        let state = self.lock();
        let (kind, text) = state.failure.as_ref()?;
        Some(io::Error::new(*kind, text.clone()))
    }

    /// Writes the `call_done` of a request that could not even be built, so that no client told of it: a URL
    /// that cannot be read, a field that cannot be sent. It belongs to no call and is number 0 of its own.
    pub fn refused(&self, error: &Error) {
        self.refused_for(error.kind().tag(), &error.to_string());
    }

    /// As [`EventWriter::refused`], for a reason of the caller's own, such as a file that is not there.
    pub fn refused_for(&self, kind: &'static str, message: &str) {
        let at = Duration::from_nanos(clock::process().nanos(clock::now()));
        let refusal = Refusal { kind, message };
        let mut state = self.lock();
        let (start, wall) = state.since(at);
        let mut line = std::mem::take(&mut state.line);
        line.clear();
        refusal.write(&mut line, state.format, at.saturating_sub(start), wall);
        state.line = line;
        state.write_line(true);
    }

    /// Gives the writer back, if this is the last clone: drop the client first.
    #[must_use]
    pub fn into_inner(self) -> Option<W> {
        let state = Arc::into_inner(self.0)?;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(state.to)
    }
}

impl<W> EventWriter<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write + Send> Observer for EventWriter<W> {
    fn on_event(&self, event: &Event) -> Verdict {
        let mut state = self.lock();
        state.event(event);
        match &state.failure {
            None => Verdict::Continue,
            Some((kind, text)) => Verdict::Abort(Box::new(io::Error::new(*kind, text.clone()))),
        }
    }
}

impl<W: Write> State<W> {
    fn event(&mut self, event: &Event) {
        if let (EventData::ClientStart(client), None | Some((_, None))) =
            (event.data(), &self.start)
        {
            self.start = Some((event.at(), Some(client.wall_clock())));
        }
        let (start, wall) = self.since(event.at());
        self.line.clear();
        match self.format {
            EventFormat::Text => event.write_text(&mut self.line, start),
            EventFormat::Ndjson => event.write_json(&mut self.line, start, wall),
        }
        self.write_line(matches!(event.data(), EventData::CallDone(_)));
    }

    /// The start that a moment counts from, and the wall clock of the moment.
    fn since(&mut self, at: Duration) -> (Duration, Option<WallClock>) {
        let (start, wall) = *self.start.get_or_insert((at, None));
        let since = at.saturating_sub(start);
        (start, wall.map(|wall| wall_at(wall, since)))
    }

    fn write_line(&mut self, flush: bool) {
        if self.failure.is_some() {
            return;
        }
        self.line.push('\n');
        let mut result = self.to.write_all(self.line.as_bytes());
        if flush {
            result = result.and_then(|()| self.to.flush());
        }
        self.failure = result.err().map(|error| (error.kind(), error.to_string()));
    }
}

impl<W> Clone for EventWriter<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W> fmt::Debug for EventWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWriter")
            .field("format", &self.lock().format)
            .finish_non_exhaustive()
    }
}

/// The end of a call that never began.
struct Refusal<'a> {
    kind: &'static str,
    message: &'a str,
}

impl Refusal<'_> {
    fn write(
        &self,
        line: &mut String,
        format: EventFormat,
        since: Duration,
        wall: Option<WallClock>,
    ) {
        if format == EventFormat::Text {
            line.push_str("call_done ");
        }
        let mut object = Object::open(line);
        if format == EventFormat::Ndjson {
            object.member("v", &SCHEMA_VERSION);
            object.member("event", &"call_done");
        }
        object.member("seq", &0_u32);
        object.member("t_ns", &since);
        if let (Some(wall), EventFormat::Ndjson) = (wall, format) {
            object.member("ts", &wall);
        }
        object.member("status", &None::<u16>);
        object.member("error", self);
        for key in ["hops", "attempts", "bytes_out", "bytes_in"] {
            object.member(key, &0_u32);
        }
        object.member("timings", &NoTimings);
        object.close();
    }
}

impl Show for Refusal<'_> {
    const SCHEMA: &'static str = r#"{"type":"object"}"#;
    fn show(&self, text: &mut String) {
        let mut object = Object::open(text);
        object.member("kind", &self.kind);
        object.member("phase", &Phase::Prepare);
        object.member("message", &Box::<str>::from(self.message));
        object.close();
    }
}

/// The timings of a call that never began: it took no time.
struct NoTimings;

impl Show for NoTimings {
    const SCHEMA: &'static str = r#"{"type":"object"}"#;
    fn show(&self, text: &mut String) {
        let mut object = Object::open(text);
        object.member("total_ns", &Duration::ZERO);
        object.close();
    }
}
