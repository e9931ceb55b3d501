//! Plays a script on a virtual stream: the same steps as the peer on TCP, as a machine that never blocks.
//!
//! ```text
//!   Playing --nothing to go on with--> Waiting(for bytes, room, a moment, a gate, TLS) --woken--> Playing
//!      \--end, mismatch, client gone--> Over
//! ```

mod reading;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::peer_addr::PeerAddr;
use crate::testkit::bell::Gate;
use crate::testkit::script::{Handler, Script, Step, excerpt};
use crate::testkit::seen::{BodyReader, SeenRequest, head_end, says_close};
use crate::testkit::sim::happening::{Due, Happening, Planner};
use crate::testkit::sim::link::Handshake;
use crate::testkit::sim::network::{Secured, Secures, Side, Stream, StreamId, Unsent};
use crate::testkit::sim::pipe::End;
use crate::testkit::sim::record::Record;

/// The longest that a player waits for one thing, as a peer on TCP does.
const HARD_TIMEOUT: Duration = Duration::from_secs(30);

/// Plays one script on one stream.
#[derive(Debug)]
pub(super) struct Player {
    addr: PeerAddr,
    stream: StreamId,
    connection: usize,
    tls: Option<Handshake>,
    frames: Vec<Frame>,
    state: State,
    inbound: Vec<u8>,
    received_bytes: u64,
    /// The last request, and where the record keeps it.
    request: Option<(SeenRequest, usize)>,
    reading: Reading,
    /// When the next look at a wait is planned.
    timer: Option<Instant>,
}

/// A script under way.
#[derive(Debug)]
struct Frame {
    script: Arc<Script>,
    at: usize,
    again: Again,
}

/// What follows the last step of a script.
#[derive(Debug)]
enum Again {
    Never,
    /// So many rounds more.
    Times(usize),
    /// Rounds until the client leaves between two of them: what had been received when this one began.
    Forever {
        received: u64,
        had: usize,
    },
}

#[derive(Debug)]
enum State {
    /// The next step begins.
    Playing,
    /// The step goes on.
    Doing(Doing),
    /// Nothing can be done before a moment, or before this.
    Waiting(Doing, Until),
    /// The link cut it off: what comes is read and ignored.
    Draining,
    Over,
}

/// A step that has begun.
#[derive(Debug)]
enum Doing {
    /// Reading for the step at hand.
    Read,
    Body(BodyReader),
    /// Bytes to be sent, how many are, how many go into one write, and whether the connection is closed behind them.
    Send(Arc<[u8]>, usize, usize, Then),
    Repeated(u8, u64),
    /// Reading what is sent back at once.
    Echo,
    Pause,
    Gate(Gate),
    Handshake,
    /// Reading and ignoring until the client leaves.
    Ignore(Leaving),
}

/// What follows bytes that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Next,
    /// The end of the connection.
    End,
    /// Reading more to send back.
    Echo,
}

/// What an ignored end of the client means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// The step is done when the client left.
    Gone,
    /// The step is done however the wait ended.
    Stalled,
}

/// What a wait is for, beside its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Bytes(Instant),
    Room(Instant),
    Moment(Instant),
    Gate(Instant),
    Hello(Instant),
}

/// How a wait stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Not,
    Ready,
    Late,
}

/// What is read beside what steps ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    On,
    /// Nothing is read that no step asks for.
    Stopped,
}

/// What a step came to.
#[derive(Debug)]
enum Turn {
    /// The next step.
    Next,
    /// The same step, from here.
    Go(Doing),
    Wait(Doing, Until),
}

/// Why a script goes no further.
#[derive(Debug)]
enum Stop {
    /// It has closed the connection, or the client takes no more bytes.
    Over,
    /// The link cut it off.
    Cut,
    Left(Left),
    Mismatch(String),
}

/// Why no more bytes come from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Eof,
    Notified,
    Reset,
    Silent,
}

impl Left {
    fn text(self) -> &'static str {
        match self {
            Self::Eof => "the client closed the connection",
            Self::Notified => "the client sent a close_notify",
            Self::Reset => "the client reset the connection",
            Self::Silent => "nothing came for 30 s",
        }
    }
}

impl From<Unsent> for Stop {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Gone => Self::Over,
            Unsent::Cut => Self::Cut,
        }
    }
}

/// What a player acts on.
pub(super) struct Stage<'a> {
    pub(super) stream: &'a mut Stream,
    pub(super) planner: &'a mut Planner,
    pub(super) record: &'a mut Record,
}

impl Player {
    pub(super) fn new(
        script: Arc<Script>,
        (tls, secures): (Option<Handshake>, Secures),
        addr: PeerAddr,
        stream: StreamId,
        connection: usize,
    ) -> Self {
        let state = match (tls, secures) {
            (Some(_), Secures::AtOnce) => State::Doing(Doing::Handshake),
            (None, _) | (_, Secures::OnDemand) => State::Playing,
        };
        let whole = Frame {
            script,
            at: 0,
            again: Again::Never,
        };
        Self {
            addr,
            stream,
            connection,
            tls,
            frames: vec![whole],
            state,
            inbound: Vec::new(),
            received_bytes: 0,
            request: None,
            reading: Reading::On,
            timer: None,
        }
    }

    /// Says whether the player waits at a gate.
    pub(super) fn is_at_gate(&self) -> bool {
        matches!(self.state, State::Waiting(_, Until::Gate(_)))
    }

    /// Goes on as far as possible.
    pub(super) fn play(&mut self, stage: &mut Stage<'_>) {
        while stage.planner.turn() {
            let result = match std::mem::replace(&mut self.state, State::Playing) {
                State::Playing => self.begin(stage),
                State::Doing(doing) => self.go_on(doing, stage),
                State::Waiting(doing, until) => match Self::woken(&doing, until, stage) {
                    Woken::Ready => self.go_on(doing, stage),
                    Woken::Late => Self::late(&doing),
                    Woken::Not => {
                        self.plan_wait(until, stage);
                        self.state = State::Waiting(doing, until);
                        return;
                    }
                },
                State::Draining => {
                    self.drain(stage);
                    self.state = State::Draining;
                    return;
                }
                State::Over => {
                    self.state = State::Over;
                    return;
                }
            };
            match result {
                Ok(Turn::Next) => self.state = State::Playing,
                Ok(Turn::Go(doing)) => self.state = State::Doing(doing),
                Ok(Turn::Wait(doing, until)) => {
                    self.plan_wait(until, stage);
                    self.state = State::Waiting(doing, until);
                    return;
                }
                Err(stop) => self.stop(stop, stage),
            }
        }
    }

    /// Says whether a wait is over, and how.
    fn woken(doing: &Doing, until: Until, stage: &Stage<'_>) -> Woken {
        let (up, down) = (&stage.stream.up, &stage.stream.down);
        let (at, is_ready) = match until {
            Until::Bytes(at) => (at, !up.readable().is_empty() || up.end() != End::Open),
            Until::Room(at) => (at, down.has_room() || up.end_arrived() == End::Reset),
            Until::Moment(at) => (at, false),
            Until::Gate(at) => (at, matches!(doing, Doing::Gate(gate) if gate.is_open())),
            Until::Hello(at) => (at, stage.stream.secured == Secured::Asked),
        };
        if is_ready {
            Woken::Ready
        } else if at <= stage.planner.now() {
            Woken::Late
        } else {
            Woken::Not
        }
    }

    /// What becomes of a step whose wait has lasted as long as it may.
    fn late(doing: &Doing) -> Result<Turn, Stop> {
        match doing {
            Doing::Pause | Doing::Ignore(Leaving::Stalled) => Ok(Turn::Next),
            Doing::Gate(_) => Err(Stop::Mismatch("the gate stayed closed for 30 s".to_owned())),
            Doing::Read
            | Doing::Body(_)
            | Doing::Echo
            | Doing::Handshake
            | Doing::Ignore(Leaving::Gone) => Err(Stop::Left(Left::Silent)),
            Doing::Send(..) | Doing::Repeated(..) => Err(Stop::Over),
        }
    }

    /// Plans a look at the wait, unless one is planned before it.
    fn plan_wait(&mut self, until: Until, stage: &mut Stage<'_>) {
        let (Until::Bytes(at)
        | Until::Room(at)
        | Until::Moment(at)
        | Until::Gate(at)
        | Until::Hello(at)) = until;
        if self.timer.is_none_or(|timer| timer > at) {
            self.timer = Some(at);
            stage.planner.plan(at, Happening::Play(self.stream));
        }
    }

    /// A look that was planned happens now.
    pub(super) fn looked(&mut self) {
        self.timer = None;
    }

    fn patience(stage: &Stage<'_>) -> Instant {
        stage.planner.now() + HARD_TIMEOUT
    }

    /// Begins the next step, or what follows the last one.
    fn begin(&mut self, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        let Some(frame) = self.frames.last_mut() else {
            return self.end(stage);
        };
        let Some(step) = frame.script.steps().get(frame.at).cloned() else {
            return self.round_over(stage);
        };
        frame.at += 1;
        self.step(step, stage)
    }

    fn round_over(&mut self, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        let (received, had) = (self.received_bytes, self.inbound.len());
        let Some(frame) = self.frames.last_mut() else {
            return Ok(Turn::Next);
        };
        match &mut frame.again {
            Again::Times(left) if *left > 0 => {
                *left -= 1;
                frame.at = 0;
            }
            again @ Again::Forever { .. } => {
                *again = Again::Forever { received, had };
                frame.at = 0;
            }
            Again::Never | Again::Times(_) => {
                self.frames.pop();
                if self.frames.is_empty() {
                    return self.end(stage);
                }
            }
        }
        Ok(Turn::Next)
    }

    fn step(&mut self, step: Step, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        match step {
            Step::ExpectHead
            | Step::ExpectBytes(_)
            | Step::ExpectContains(_)
            | Step::ExpectEof
            | Step::ExpectCloseNotify => Ok(Turn::Go(Doing::Read)),
            Step::ExpectBody => self.begin_body(),
            Step::ExpectGone => Ok(Turn::Go(Doing::Ignore(Leaving::Gone))),
            Step::Send(bytes) => Ok(Turn::Go(Doing::Send(bytes.0, 0, usize::MAX, Then::Next))),
            Step::SendEach(bytes, segment) => {
                Ok(Turn::Go(Doing::Send(bytes.0, 0, segment, Then::Next)))
            }
            Step::SendRepeated(byte, count) => Ok(Turn::Go(Doing::Repeated(byte, count))),
            Step::Reply(handler) => self.reply(&handler),
            Step::Echo => Ok(Turn::Go(Doing::Echo)),
            Step::Pause(time) => {
                let until = Until::Moment(stage.planner.now() + time);
                Ok(Turn::Wait(Doing::Pause, until))
            }
            Step::WaitFor(gate) => Ok(Turn::Go(Doing::Gate(gate))),
            Step::OpenGate(gate) => {
                gate.open();
                stage.planner.wake(Due::Gates);
                Ok(Turn::Next)
            }
            Step::Stall if self.reading == Reading::Stopped => {
                let until = Until::Moment(Self::patience(stage));
                Ok(Turn::Wait(Doing::Pause, until))
            }
            Step::Stall => Ok(Turn::Go(Doing::Ignore(Leaving::Stalled))),
            Step::StopReading => {
                self.reading = Reading::Stopped;
                Ok(Turn::Next)
            }
            Step::HalfClose => {
                stage.stream.half_close(self.stream, stage.planner);
                Ok(Turn::Next)
            }
            Step::CloseNotify => self.close_notify(stage).map(|()| Turn::Next),
            Step::Close => Err(Stop::Over),
            Step::Reset => {
                stage.stream.reset_by_server(self.stream, stage.planner);
                Err(Stop::Over)
            }
            Step::StartTls if self.tls.is_none() => {
                Err(Stop::Mismatch("the peer has no TLS identity".to_owned()))
            }
            Step::StartTls => Ok(Turn::Go(Doing::Handshake)),
            Step::Repeat(times, script) => {
                if let Some(left) = times.checked_sub(1) {
                    self.enter(script, Again::Times(left));
                }
                Ok(Turn::Next)
            }
            Step::Forever(script) => {
                let (received, had) = (self.received_bytes, self.inbound.len());
                self.enter(script, Again::Forever { received, had });
                Ok(Turn::Next)
            }
        }
    }

    fn enter(&mut self, script: Arc<Script>, again: Again) {
        self.frames.push(Frame {
            script,
            at: 0,
            again,
        });
    }

    fn go_on(&mut self, doing: Doing, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        match doing {
            Doing::Read => self.read_for_step(stage),
            Doing::Body(reader) => self.read_body(reader, stage),
            Doing::Send(bytes, sent, segment, then) => self.send(bytes, sent, segment, then, stage),
            Doing::Repeated(byte, left) => self.send_repeated(byte, left, stage),
            Doing::Echo => self.echo(stage),
            Doing::Pause => Ok(Turn::Next),
            Doing::Gate(gate) if gate.is_open() => Ok(Turn::Next),
            Doing::Gate(gate) => {
                let until = Until::Gate(Self::patience(stage));
                Ok(Turn::Wait(Doing::Gate(gate), until))
            }
            Doing::Handshake => self.handshake(stage),
            Doing::Ignore(leaving) => self.ignore(leaving, stage),
        }
    }

    // ---- sending ----

    fn send(
        &self,
        bytes: Arc<[u8]>,
        mut sent: usize,
        segment: usize,
        then: Then,
        stage: &mut Stage<'_>,
    ) -> Result<Turn, Stop> {
        while sent < bytes.len() {
            let end = sent.saturating_add(segment).min(bytes.len());
            let count = stage
                .stream
                .serve(self.stream, &bytes[sent..end], stage.planner)?;
            if count == 0 {
                let until = Until::Room(Self::patience(stage));
                return Ok(Turn::Wait(Doing::Send(bytes, sent, segment, then), until));
            }
            sent += count;
        }
        match then {
            Then::Next => Ok(Turn::Next),
            Then::End => self.end(stage),
            Then::Echo => Ok(Turn::Go(Doing::Echo)),
        }
    }

    fn send_repeated(&self, byte: u8, left: u64, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        const BLOCK: usize = 4096;
        let mut left = left;
        while left > 0 {
            let block = [byte; BLOCK];
            let piece = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            let count = stage
                .stream
                .serve(self.stream, &block[..piece], stage.planner)?;
            if count == 0 {
                let until = Until::Room(Self::patience(stage));
                return Ok(Turn::Wait(Doing::Repeated(byte, left), until));
            }
            left -= count as u64;
        }
        Ok(Turn::Next)
    }

    fn reply(&self, handler: &Handler) -> Result<Turn, Stop> {
        let Some((request, _)) = &self.request else {
            return Err(Stop::Mismatch("no request was read before".to_owned()));
        };
        let answer = catch_unwind(AssertUnwindSafe(|| (handler.0)(request)))
            .map_err(|_| Stop::Mismatch("the function of reply_with panicked".to_owned()))?;
        let head = &answer[..head_end(&answer).unwrap_or_default()];
        let is_last = says_close(&request.head) || says_close(head);
        let then = if is_last { Then::End } else { Then::Next };
        Ok(Turn::Go(Doing::Send(answer.into(), 0, usize::MAX, then)))
    }

    // ---- ends ----

    fn close_notify(&self, stage: &mut Stage<'_>) -> Result<(), Stop> {
        if stage.stream.secured != Secured::Tls {
            return Err(Stop::Mismatch("needs TLS".to_owned()));
        }
        stage.stream.notify(self.stream, stage.planner);
        Ok(())
    }

    /// Closes as at the end of a script.
    fn end(&self, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        if stage.stream.secured == Secured::Tls {
            self.close_notify(stage)?;
        }
        Err(Stop::Over)
    }

    /// The innermost step that was begun, for messages.
    fn place(&self) -> String {
        let innermost = self.frames.last().and_then(|frame| {
            let index = frame.at.checked_sub(1)?;
            Some((index, frame.script.steps().get(index)?.name()))
        });
        match innermost {
            Some((index, name)) => format!("step {index} ({name})"),
            None => "script".to_owned(),
        }
    }

    fn stop(&mut self, stop: Stop, stage: &mut Stage<'_>) {
        let place = self.place();
        let what = match stop {
            Stop::Cut => {
                self.state = State::Draining;
                return;
            }
            Stop::Left(left) if self.leave_forever(left) => {
                self.state = State::Playing;
                return;
            }
            Stop::Over => None,
            Stop::Left(left) => Some(left.text().to_owned()),
            Stop::Mismatch(what) => Some(what),
        };
        if let Some(what) = what {
            self.failed(&format!("{place}: {what}"), stage);
        }
        self.state = State::Over;
        if self.reading == Reading::On {
            self.drain(stage);
        }
        stage.stream.close_by_server(self.stream, stage.planner);
    }

    /// A client that leaves between two rounds of a `forever` ends it well.
    fn leave_forever(&mut self, _: Left) -> bool {
        while let Some(frame) = self.frames.pop() {
            if let Again::Forever { received, had } = frame.again {
                return had == 0 && received == self.received_bytes;
            }
        }
        false
    }

    fn failed(&self, what: &str, stage: &mut Stage<'_>) {
        let mut text = format!("{} connection {}, {what}", self.addr, self.connection);
        if !self.inbound.is_empty() {
            text += &format!("; unread: {}", excerpt(&self.inbound));
        }
        stage.record.failures.push(text);
    }

    // ---- TLS ----

    fn handshake(&self, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        match stage.stream.secured {
            Secured::Plain | Secured::Tls => {
                let until = Until::Hello(Self::patience(stage));
                if !stage.stream.up.readable().is_empty() {
                    return Err(Stop::Mismatch("bytes came before the handshake".to_owned()));
                }
                Ok(Turn::Wait(Doing::Handshake, until))
            }
            Secured::Asked => {
                stage.stream.secured = Secured::Tls;
                let (trips, result) = match self.tls {
                    Some(Handshake::Made { trips }) => {
                        let extra = stage.stream.link.latency * 2 * trips.saturating_sub(1);
                        let until = Until::Moment(stage.planner.now() + extra);
                        (trips, Ok(Turn::Wait(Doing::Pause, until)))
                    }
                    Some(Handshake::Failed(_)) => (1, Err(Stop::Over)),
                    Some(Handshake::Stalled) | None => return Err(Stop::Cut),
                };
                let at = stage.stream.handshake_done(trips, stage.planner.now());
                stage.planner.plan(at, Happening::Secured(self.stream));
                result
            }
        }
    }

    /// The handshake that this player makes, if it makes one.
    pub(super) fn tls(&self) -> Option<Handshake> {
        self.tls
    }

    fn is_open(stage: &Stage<'_>) -> bool {
        stage.stream.server != Side::Closed
    }
}
