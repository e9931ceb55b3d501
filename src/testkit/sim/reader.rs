//! How the simulated caller takes a response: as the blocking response does, read by read.
//!
//! ```text
//!   Before --head--> Between --read--> Asking --content--> Copying --> Between … --> Over
//! ```

use std::time::Duration;

use crate::error::Error;
use crate::event::CanceledBy;
use crate::flow::action::{ExchangeInput, Input, Wait};
use crate::proto::receiving::FinalHead;
use crate::testkit::sim::bug::Bug;
use crate::testkit::sim::caller::Reads;
use crate::testkit::sim::happening::{Due, Happening};
use crate::testkit::sim::interpreter::speaking::Speech;
use crate::testkit::sim::interpreter::{Place, Rest, Stage};

/// How long collecting a whole body may take, as the response's own helper has it.
const COLLECT_LIMIT: Duration = Duration::from_secs(300);

/// What a caller has read.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    piece: Vec<u8>,
    pub(super) head: Option<Box<FinalHead>>,
    pub(super) body: Vec<u8>,
    pub(super) redirects: u32,
    pub(super) error: Option<Error>,
}

/// Where the caller is with the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no response.
    Before,
    /// There is one, and nothing is asked for.
    Between,
    /// A read waits for content.
    Asking,
    /// A read has taken so many bytes.
    Copying(usize),
    /// The response was dropped.
    Dropping,
    /// The connection is the caller's, who speaks another protocol.
    Speaking(Speech),
    Over,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            state: State::Before,
            piece: Vec::new(),
            head: None,
            body: Vec::new(),
            redirects: 0,
            error: None,
        }
    }

    /// The slice of the read in progress.
    pub(super) fn slice(&mut self) -> &mut [u8] {
        &mut self.piece
    }
}

impl Stage<'_> {
    /// Goes on with the call until it waits, its caller rests, or it is over.
    pub(super) fn go(&mut self) {
        while self.world.planner.turn() {
            if self.is_canceled() {
                self.input(Input::Cancel(CanceledBy::Caller));
            }
            match self.apply() {
                Rest::Wait(_) if self.hears() => {}
                Rest::Wait(wait) => match self.ready(&wait) {
                    Some(input) => self.take(input),
                    None => return self.park(wait),
                },
                Rest::Pulling => {
                    self.actor.place = Place::Pulling;
                    return;
                }
                rest @ (Rest::HandOut | Rest::Done) => {
                    let now = self.world.now();
                    self.actor.call.hand_out(now);
                    if !self.served(matches!(rest, Rest::Done)) {
                        return;
                    }
                }
            }
        }
    }

    fn park(&mut self, wait: Wait) {
        self.actor.place = Place::Waiting(wait);
        let is_deaf = self.world.bug == Some(Bug::NoDeadline);
        let Some(deadline) = wait.deadline.filter(|_| !is_deaf) else {
            return;
        };
        if self.actor.timer.is_none_or(|timer| timer > deadline) {
            self.actor.timer = Some(deadline);
            let look = Happening::Deadline(self.actor.number);
            self.world.planner.plan(deadline, look);
        }
    }

    /// Gives the input that ended a wait. Bytes that went straight to the caller end its read.
    fn take(&mut self, input: Input) {
        let direct = match input {
            Input::Exchange(ExchangeInput::Received { direct, .. }) => direct,
            _ => 0,
        };
        self.input(input);
        if direct > 0 {
            let reader = &mut self.actor.reader;
            reader.body.extend_from_slice(&reader.piece[..direct]);
            reader.state = State::Between;
            self.input(Input::Wanted(0));
        }
    }

    /// The caller has control; says whether the call goes on at once.
    fn served(&mut self, is_over: bool) -> bool {
        match self.actor.reader.state {
            State::Before => self.responded(),
            State::Between => self.next_read(),
            State::Asking if is_over && self.actor.call.lent() == 0 => self.end(),
            State::Asking => self.copy(0),
            State::Copying(copied) => self.copy(copied),
            State::Dropping => self.over(),
            State::Speaking(speech) => self.speak_on(speech),
            State::Over => false,
        }
    }

    /// The response is there, or the error instead.
    fn responded(&mut self) -> bool {
        if self.actor.call.is_redirected() {
            self.actor.reader.redirects += 1;
            self.input(Input::Follow);
            return true;
        }
        match self.actor.call.take_response() {
            Ok(head) => self.actor.reader.head = Some(head),
            Err(error) => {
                self.actor.reader.error = Some(error);
                return self.over();
            }
        }
        if self.actor.caller.reads == Reads::Collect {
            self.actor
                .call
                .limit_total(COLLECT_LIMIT, &self.actor.emitter);
        }
        if let Some(gate) = &self.actor.caller.gate {
            gate.open();
            self.world.planner.wake(Due::Gates);
        }
        if self.actor.call.is_switch() && self.actor.caller.speaks.is_some() {
            let speech = self.hear_first();
            return self.speak_on(speech);
        }
        self.next_read()
    }

    /// Speaks as far as that goes; says whether the call goes on at once.
    fn speak_on(&mut self, speech: Speech) -> bool {
        match self.converse(speech) {
            Some((speech, wait)) => {
                self.actor.reader.state = State::Speaking(speech);
                self.park(wait);
                false
            }
            None => self.over(),
        }
    }

    /// Reads on, now or after a pause, or drops the response.
    fn next_read(&mut self) -> bool {
        let reader = &mut self.actor.reader;
        reader.state = State::Between;
        let has_enough = |enough: usize| reader.body.len() >= enough;
        if self.actor.caller.drops.is_some_and(has_enough) {
            return self.drop_response();
        }
        let pause = self.actor.caller.reads.pause();
        if pause.is_zero() {
            return self.read();
        }
        self.actor.place = Place::WithCaller;
        let read = Happening::Read(self.actor.number);
        self.world.planner.plan_in(pause, read);
        false
    }

    /// Begins a read; says whether the call goes on.
    pub(super) fn read(&mut self) -> bool {
        if self.actor.call.lent() > 0 {
            return self.copy(0);
        }
        if self.actor.call.is_over() {
            return self.end();
        }
        let piece = self.actor.caller.reads.piece();
        let reader = &mut self.actor.reader;
        if reader.piece.is_empty() {
            reader.piece = vec![0; piece];
        }
        reader.state = State::Asking;
        self.input(Input::Wanted(piece));
        true
    }

    /// Copies lent content into the slice of the read; says whether the call goes on.
    fn copy(&mut self, copied: usize) -> bool {
        let lent = self.actor.call.lent();
        let room = self.actor.caller.reads.piece() - copied;
        let count = lent.min(room);
        if count == 0 {
            return self.next_read();
        }
        let inbound = self.actor.buffers.inbound.filled();
        self.actor.reader.body.extend_from_slice(&inbound[..count]);
        self.actor.reader.state = State::Copying(copied + count);
        self.input(ExchangeInput::Consumed(count));
        true
    }

    /// The end of the body, or why it is none.
    fn end(&mut self) -> bool {
        self.actor.reader.error = self.actor.call.take_error();
        self.over()
    }

    fn drop_response(&mut self) -> bool {
        if self.actor.call.is_over() {
            return self.over();
        }
        self.actor.reader.state = State::Dropping;
        self.input(Input::BodyClosed);
        true
    }

    fn over(&mut self) -> bool {
        self.hang_up(Speech::default());
        self.actor.reader.state = State::Over;
        self.actor.reader.piece = Vec::new();
        self.actor.place = Place::Over;
        false
    }
}
