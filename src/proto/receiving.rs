//! The response side of an exchange.
//!
//! The rule guarded here: content is handed out exactly as its framing says, never a byte of what follows, and
//! only the end of the framing is an end.
//!
//! ```text
//!   Head --1xx--> Interim --resume--> Head --final--> AfterHead --resume--> Reading --> Complete
//!                                                            \--another protocol--> Switched
//! ```
//!
//! The machine stops at every head, so that an observer can speak before the next byte is looked at.

mod body;

use std::sync::Arc;

use crate::error::{ErrorKind, FramingRule, Limit, Phase};
use crate::event::{
    Anomaly, BodyEnd, EventKind, FieldRecord, FinalResponseStart, Got1xxResponse,
    GotFirstResponseByte, GotHeaderField, GotResponseHead, Payload,
};
use crate::message::anomaly::Anomalies;
use crate::message::close::CloseReason;
use crate::message::fields::{Fields, list_elements};
use crate::message::framing::{Framing, Persistence};
use crate::proto::decode::{Head, HeadDecoder};
use crate::proto::framing::{RequestFacts, Verdict, response_framing};
use crate::proto::receiving::body::{Body, DIRECT_LEAST, Form, Reader, tell_body_done};
use crate::proto::{Fault, Turn};

/// Interim heads whose anomalies are told: enough to see that the peer is odd, and a bound on the events.
const ANOMALOUS_INTERIMS: usize = 3;

/// Most entries of `Server-Timing` that are kept.
const SERVER_TIMINGS: usize = 32;

/// The trailers of a body that has none, or none yet.
static NO_TRAILERS: Fields = Fields::new();

/// Bytes of another protocol that may come before the request is fully sent: what a peer that reads to the end before it
/// speaks can never reach.
const AHEAD: usize = 64 * 1024;

/// What the request side tells that decides how the response is read.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) is_connect: bool,
    pub(crate) said_close: bool,
    /// The protocols that were offered, as they were sent.
    pub(crate) upgrade: Option<Arc<str>>,
}

/// The response side of one exchange.
#[derive(Debug)]
pub(crate) struct Receiving {
    state: State,
    asked: Asked,
    seen: Seen,
    bytes: u64,
    interim_count: usize,
    interim_bytes: usize,
}

/// How much of the response was noticed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Nothing,
    FirstByte,
    FinalStart,
}

#[derive(Debug)]
enum State {
    /// In a head, interim or final.
    Head(HeadDecoder),
    /// Behind an interim head; observers speak.
    Interim,
    /// Behind the final head.
    Content(Stage, Body),
}

/// How far the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// None is looked at; observers speak.
    AfterHead,
    /// It comes.
    Reading,
    /// There is none: what follows is another protocol, and not looked at.
    Switched,
    /// The message is complete; content of it may still stand in the inbound buffer.
    Complete,
    /// The response will not be read on.
    Failed,
}

/// The final head, handed to the caller.
#[derive(Debug)]
pub(crate) struct FinalHead {
    pub(crate) head: Head,
    pub(crate) framing: Framing,
}

impl FinalHead {
    /// The protocol that a 101 names.
    pub(crate) fn protocol(&self) -> Option<Arc<str>> {
        let names = (self.head.status == 101).then(|| self.head.fields.elements("upgrade"))?;
        let names: Vec<_> = names.collect();
        Some(names.join(&b", "[..]).escape_ascii().to_string().into())
    }
}

/// What a step of the response side came to.
#[derive(Debug)]
pub(crate) enum Received {
    /// More bytes are needed, or the caller has to take what is there.
    Waiting,
    /// An interim head; resume.
    Interim(u16),
    /// The final head; resume. The response may close its connection.
    Final(Box<FinalHead>, Option<CloseReason>),
    /// The message is complete.
    Complete,
}

impl Receiving {
    pub(crate) fn new(asked: Asked) -> Self {
        Self {
            state: State::Head(HeadDecoder::new()),
            asked,
            seen: Seen::Nothing,
            bytes: 0,
            interim_count: 0,
            interim_bytes: 0,
        }
    }

    /// Takes bytes: `direct` went past the buffer into the caller's slice, `buffered` stand at the end of the
    /// inbound buffer.
    ///
    /// # Errors
    /// What the peer sent breaks a rule or a limit.
    pub(crate) fn received(
        &mut self,
        direct: usize,
        buffered: usize,
        early: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Received, Fault> {
        self.bytes = self
            .bytes
            .saturating_add(direct as u64)
            .saturating_add(buffered as u64);
        self.notice_first_byte(turn);
        if let State::Content(Stage::Reading, body) = &mut self.state {
            body.direct(direct as u64, turn);
        }
        self.read_on(early, turn)
    }

    /// Goes on behind a head, after observers spoke.
    ///
    /// # Errors
    /// As [`Receiving::received`].
    pub(crate) fn resume(&mut self, early: bool, turn: &mut Turn<'_>) -> Result<Received, Fault> {
        match &mut self.state {
            State::Interim => self.state = State::Head(HeadDecoder::new()),
            State::Content(stage @ Stage::AfterHead, body) => {
                *stage = match body.persistence {
                    Persistence::Switched => Stage::Switched,
                    Persistence::Persistent | Persistence::Close(_) => Stage::Reading,
                }
            }
            State::Head(_)
            | State::Content(
                Stage::Reading | Stage::Switched | Stage::Complete | Stage::Failed,
                _,
            ) => {}
        }
        self.read_on(early, turn)
    }

    /// Gives content up that the caller took from the inbound buffer.
    ///
    /// # Errors
    /// What stands behind it breaks a rule.
    pub(crate) fn consume(&mut self, count: usize, turn: &mut Turn<'_>) -> Result<Received, Fault> {
        let State::Content(stage, body) = &mut self.state else {
            return Ok(Received::Waiting);
        };
        let count = count.min(body.lent);
        body.lent = body.lent.saturating_sub(count);
        turn.buffers.inbound.consume(count);
        match stage {
            Stage::Reading => self.read_on(false, turn),
            Stage::AfterHead | Stage::Switched | Stage::Complete | Stage::Failed => {
                Ok(Received::Waiting)
            }
        }
    }

    /// Takes the end of the stream; `clean` is a FIN, under TLS behind a close_notify.
    ///
    /// # Errors
    /// The message is incomplete.
    pub(crate) fn ended(
        &mut self,
        clean: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Received, ErrorKind> {
        match &mut self.state {
            State::Head(_) | State::Interim | State::Content(Stage::AfterHead, _)
                if self.bytes == 0 =>
            {
                Err(ErrorKind::PeerClosed)
            }
            State::Head(_) | State::Interim | State::Content(Stage::AfterHead, _) => {
                let received = turn.buffers.inbound.len() as u64;
                Err(ErrorKind::PeerIncompleteHead { received })
            }
            State::Content(Stage::Reading, body) => {
                body.ended(clean)?;
                self.complete(turn);
                Ok(Received::Complete)
            }
            State::Content(Stage::Switched, _) => Err(ErrorKind::PeerClosed),
            State::Content(Stage::Complete | Stage::Failed, _) => Ok(Received::Waiting),
        }
    }

    /// Gives the rest of the response up. What began gets its end.
    pub(crate) fn stop(&mut self, how: BodyEnd, turn: &mut Turn<'_>) {
        if let State::Content(stage @ (Stage::AfterHead | Stage::Reading), body) = &mut self.state {
            tell_body_done(body.received, how, turn);
            *stage = Stage::Failed;
        }
    }

    /// The rest of the body is thrown away; its end says so.
    pub(crate) fn drain(&mut self) {
        if let State::Content(Stage::AfterHead | Stage::Reading, body) = &mut self.state {
            body.reader = Reader::Drain;
        }
    }

    /// Why reading the rest of the body is not worth it, as far as that is known: what is not kept, and what is
    /// longer than so many bytes.
    pub(crate) fn not_worth_draining(&self, max: u64) -> Option<CloseReason> {
        let Some(body) = self.body() else {
            return Some(CloseReason::BodyNotRead);
        };
        let is_short = match &body.form {
            Form::Length { left } => *left <= max,
            Form::Chunked(_) => body.received <= max,
            Form::UntilClose => false,
            Form::Over(_) => true,
        };
        match body.persistence {
            Persistence::Close(reason) => Some(reason),
            Persistence::Switched => Some(CloseReason::ProtocolError),
            Persistence::Persistent => (!is_short).then_some(CloseReason::BodyNotRead),
        }
    }

    /// Content at the front of the inbound buffer that the caller may take.
    pub(crate) fn lent(&self) -> usize {
        self.body().map_or(0, |body| body.lent)
    }

    /// How much may be read straight into a caller's slice of that size, if it is worth it.
    pub(crate) fn direct_max(&self, wanted: usize, inbound_len: usize) -> Option<usize> {
        let State::Content(Stage::Reading, body) = &self.state else {
            return None;
        };
        if wanted < DIRECT_LEAST || body.lent > 0 || inbound_len > 0 {
            return None;
        }
        let left = match &body.form {
            Form::Length { left } => *left,
            Form::Chunked(decoder) => decoder.remaining_in_chunk(),
            Form::UntilClose => u64::MAX,
            Form::Over(_) => 0,
        };
        let max = usize::try_from(left).map_or(wanted, |left| left.min(wanted));
        (max >= DIRECT_LEAST.min(wanted)).then_some(max)
    }

    /// Says whether the machine stopped at a head and has to be resumed.
    pub(crate) fn is_at_head(&self) -> bool {
        matches!(
            self.state,
            State::Interim | State::Content(Stage::AfterHead, _)
        )
    }

    /// Says whether the final head is in and begins another protocol.
    pub(crate) fn is_switch(&self) -> bool {
        self.body()
            .is_some_and(|body| body.persistence == Persistence::Switched)
    }

    /// Says whether what follows is another protocol, and observers have spoken about its head.
    pub(crate) fn has_switched(&self) -> bool {
        matches!(self.state, State::Content(Stage::Switched, _))
    }

    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Content(Stage::Complete, _))
    }

    /// Says whether the final head is in.
    pub(crate) fn has_head(&self) -> bool {
        matches!(self.state, State::Content(..))
    }

    pub(crate) fn has_first_byte(&self) -> bool {
        self.seen >= Seen::FirstByte
    }

    /// Bytes that were received are no part of the response.
    pub(crate) fn leave_behind(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count as u64);
    }

    /// Bytes received.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The trailer section, without what may not stand there; empty before the end.
    pub(crate) fn trailers(&self) -> Option<&Fields> {
        let body = self.body()?;
        Some(body.trailers.as_deref().unwrap_or(&NO_TRAILERS))
    }

    /// Why the connection serves no further request, as far as the response decides.
    pub(crate) fn close_reason(&self, inbound_len: usize) -> Option<CloseReason> {
        let State::Content(Stage::Complete, body) = &self.state else {
            return Some(CloseReason::BodyNotRead);
        };
        match body.persistence {
            Persistence::Close(reason) => Some(reason),
            Persistence::Switched => Some(CloseReason::ProtocolError),
            Persistence::Persistent if inbound_len > body.lent.saturating_add(body.behind) => {
                Some(CloseReason::LeftoverBytes)
            }
            Persistence::Persistent => None,
        }
    }

    fn body(&self) -> Option<&Body> {
        match &self.state {
            State::Content(_, body) => Some(body),
            State::Head(_) | State::Interim => None,
        }
    }

    fn notice_first_byte(&mut self, turn: &mut Turn<'_>) {
        if self.seen == Seen::Nothing && self.bytes > 0 {
            self.seen = Seen::FirstByte;
            turn.emitter
                .emit(EventKind::GotFirstResponseByte, turn.now, |_| {
                    Payload::GotFirstResponseByte(GotFirstResponseByte {})
                });
        }
    }

    /// The tenth byte of a head is the first digit of its status: it tells a final response as it begins.
    fn notice_final_start(&mut self, early: bool, turn: &mut Turn<'_>) {
        let mut head = turn.buffers.inbound.filled();
        while let [b'\r' | b'\n', rest @ ..] = head {
            head = rest;
        }
        if head.get(9).is_some_and(|digit| *digit != b'1') {
            self.final_start(early, turn);
        }
    }

    fn final_start(&mut self, early: bool, turn: &mut Turn<'_>) {
        if self.seen < Seen::FinalStart {
            self.seen = Seen::FinalStart;
            turn.emitter
                .emit(EventKind::FinalResponseStart, turn.now, |_| {
                    Payload::FinalResponseStart(FinalResponseStart { early })
                });
        }
    }

    fn read_on(&mut self, early: bool, turn: &mut Turn<'_>) -> Result<Received, Fault> {
        match &mut self.state {
            State::Head(_) => self.read_head(early, turn),
            State::Content(Stage::Reading, body) => {
                let result = body.read_on(turn);
                body.tell_progress(turn);
                result?;
                if matches!(body.form, Form::Over(_)) {
                    self.complete(turn);
                    return Ok(Received::Complete);
                }
                Ok(Received::Waiting)
            }
            State::Content(Stage::Switched, _) if early && turn.buffers.inbound.len() > AHEAD => {
                let kind = ErrorKind::PeerFraming(FramingRule::SwitchTooSoon);
                Err(Fault::new(kind, Phase::Receive))
            }
            State::Interim
            | State::Content(
                Stage::AfterHead | Stage::Switched | Stage::Complete | Stage::Failed,
                _,
            ) => Ok(Received::Waiting),
        }
    }

    fn read_head(&mut self, early: bool, turn: &mut Turn<'_>) -> Result<Received, Fault> {
        self.notice_final_start(early, turn);
        let State::Head(decoder) = &mut self.state else {
            return Ok(Received::Waiting);
        };
        let head = match decoder.decode(
            turn.buffers.inbound.filled(),
            &turn.rules.limits,
            turn.rules.strictness,
        ) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Received::Waiting),
            Err(fault) => return Err(Fault::new(fault, Phase::Head)),
        };
        turn.buffers.inbound.consume(head.bytes);
        let asked = RequestFacts {
            is_head: self.asked.is_head,
            is_connect: self.asked.is_connect,
            said_close: self.asked.said_close,
            upgrade: self.asked.upgrade.as_deref().map(str::as_bytes),
        };
        let verdict = response_framing(asked, &head, turn.rules.strictness)
            .map_err(|rule| Fault::new(ErrorKind::PeerFraming(rule), Phase::Head))?;
        if self.interim_count < ANOMALOUS_INTERIMS || head.status >= 200 {
            tell_anomalies(&head.anomalies, turn);
        }
        if verdict.persistence != Persistence::Switched && (100..200).contains(&head.status) {
            return self.interim(&head, turn);
        }
        Ok(self.final_head(head, verdict, early, turn))
    }

    fn interim(&mut self, head: &Head, turn: &mut Turn<'_>) -> Result<Received, Fault> {
        let limits = &turn.rules.limits;
        let over = |limit, max: usize| {
            Err(Fault::new(
                ErrorKind::Limit {
                    limit,
                    max: max as u64,
                },
                Phase::Head,
            ))
        };
        let ordinal = u16::try_from(self.interim_count).unwrap_or(u16::MAX);
        self.interim_count = self.interim_count.saturating_add(1);
        self.interim_bytes = self.interim_bytes.saturating_add(head.bytes);
        if self.interim_count > limits.interim_count {
            return over(Limit::InterimCount, limits.interim_count);
        }
        if self.interim_bytes > limits.interim_bytes {
            return over(Limit::InterimBytes, limits.interim_bytes);
        }
        let status = head.status;
        turn.emitter
            .emit(EventKind::Got1xxResponse, turn.now, |redaction| {
                let record = Arc::new(FieldRecord::of(redaction.fields(&head.fields)));
                Payload::Got1xxResponse(Got1xxResponse {
                    record,
                    status,
                    ordinal,
                })
            });
        self.state = State::Interim;
        Ok(Received::Interim(status))
    }

    fn final_head(
        &mut self,
        head: Head,
        verdict: Verdict,
        early: bool,
        turn: &mut Turn<'_>,
    ) -> Received {
        self.final_start(early, turn);
        let close = match verdict.persistence {
            Persistence::Close(reason) => Some(reason),
            Persistence::Persistent | Persistence::Switched => None,
        };
        tell_anomalies(&verdict.anomalies, turn);
        tell_header_fields(&head, turn);
        turn.emitter
            .emit(EventKind::GotResponseHead, turn.now, |redaction| {
                Payload::GotResponseHead(Arc::new(GotResponseHead {
                    status: head.status,
                    reason: head.reason.to_string().into(),
                    version: head.version.tag(),
                    fields: redaction.fields(&head.fields),
                    bytes: head.bytes as u64,
                    framing: verdict.framing,
                    close,
                    server_timing: server_timings(&head.fields),
                }))
            });
        let framing = verdict.framing;
        self.state = State::Content(Stage::AfterHead, Body::new(&verdict));
        Received::Final(Box::new(FinalHead { head, framing }), close)
    }

    fn complete(&mut self, turn: &mut Turn<'_>) {
        let State::Content(stage @ Stage::Reading, body) = &mut self.state else {
            return;
        };
        let how = match body.form {
            Form::Over(BodyEnd::Complete) if body.reader == Reader::Drain => BodyEnd::Drained,
            Form::Over(how) => how,
            Form::Length { .. } | Form::Chunked(_) | Form::UntilClose => BodyEnd::Error,
        };
        tell_body_done(body.received, how, turn);
        *stage = Stage::Complete;
    }
}

fn tell_anomalies(anomalies: &Anomalies, turn: &mut Turn<'_>) {
    if anomalies.is_empty() {
        return;
    }
    for seen in anomalies.iter() {
        let offset = u32::try_from(seen.offset).unwrap_or(u32::MAX);
        let count = seen.count;
        turn.emitter.emit(EventKind::Anomaly, turn.now, |_| {
            Payload::Anomaly(Anomaly {
                anomaly: seen.anomaly,
                offset,
                count,
            })
        });
    }
}

fn tell_header_fields(head: &Head, turn: &mut Turn<'_>) {
    if !turn.emitter.wants(EventKind::GotHeaderField) {
        return;
    }
    let record = Arc::new(FieldRecord::of(
        turn.emitter.redaction().fields(&head.fields),
    ));
    for index in 0..u16::try_from(record.len()).unwrap_or(u16::MAX) {
        let record = record.clone();
        turn.emitter.emit(EventKind::GotHeaderField, turn.now, |_| {
            Payload::GotHeaderField(GotHeaderField { record, index })
        });
    }
}

fn server_timings(fields: &Fields) -> Vec<Box<str>> {
    fields
        .get_all("server-timing")
        .flat_map(list_elements)
        .take(SERVER_TIMINGS)
        .map(|entry| entry.escape_ascii().to_string().into())
        .collect()
}
