//! One call of an event loop: how it goes on without waiting, and what takes the place of its caller.

use std::time::{Duration, Instant};

use crate::drive::apply::{Rest, Running};
use crate::drive::multi::Taker;
use crate::error::Error;
use crate::event::CanceledBy;
use crate::flow::action::{ExchangeInput, Input, Receive, Wait};
use crate::flow::pool::Heard;
use crate::net::wait::Interest;
use crate::proto::receiving::FinalHead;

/// Steps of one call in one turn. A step is a receive, a wake-up, or a piece of content that is taken.
const STEPS: usize = 16;

/// A call of the loop.
pub(super) struct Task<T> {
    running: Box<Running>,
    stage: Stage,
    place: Place,
    collect_limit: Duration,
    taker: T,
    /// The planned look at the deadline.
    pub(super) plan: Option<Instant>,
}

/// What is wanted of the call.
enum Stage {
    /// Its response.
    Response,
    /// The content of this one.
    Content(Box<FinalHead>),
}

/// Where a call is between its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Parked,
    /// In the ready queue.
    Queued,
}

/// How far a call came.
pub(super) enum Advanced {
    /// It waits, at the latest until then.
    Parked(Option<Instant>),
    /// Its steps are used up.
    Spent,
    /// It is over, or its content is not wanted any more.
    Ended(Result<(), Error>),
}

/// A call that is over.
pub(crate) struct Ended<T> {
    pub(crate) number: u64,
    pub(crate) running: Box<Running>,
    /// The head of the response, if there is one.
    pub(crate) head: Option<FinalHead>,
    pub(crate) taker: T,
    /// Why the call failed, or why its content is not whole.
    pub(crate) error: Option<Error>,
}

/// What ended a wait.
enum Happened {
    Nothing,
    /// The core was told.
    Told,
    /// This is to be told.
    Input(Input),
}

impl<T: Taker> Task<T> {
    /// A call that begins.
    pub(super) fn begin(mut running: Box<Running>, collect_limit: Duration, taker: T) -> Self {
        running.input(Input::Start);
        Self {
            running,
            stage: Stage::Response,
            place: Place::Parked,
            collect_limit,
            taker,
            plan: None,
        }
    }

    /// Notes that the call goes into the ready queue; says whether it was not there.
    pub(super) fn queue(&mut self) -> bool {
        std::mem::replace(&mut self.place, Place::Queued) == Place::Parked
    }

    pub(super) fn is_canceled(&self) -> bool {
        self.running.is_canceled()
    }

    pub(super) fn cancel(&mut self) {
        self.running.read_clock();
        self.running.input(Input::Cancel(CanceledBy::Caller));
    }

    /// Goes on as far as possible.
    pub(super) fn advance(&mut self, shared: &mut [u8]) -> Advanced {
        self.place = Place::Parked;
        self.running.read_clock();
        for _ in 0..STEPS {
            match self.running.go() {
                Rest::Wait(wait) => {
                    let room = self.taker.room().min(shared.len());
                    let into = shared.get_mut(..room).unwrap_or_default();
                    match self.running.look(wait, into) {
                        Happened::Nothing => return Advanced::Parked(wait.deadline),
                        Happened::Told => {}
                        Happened::Input(input) => {
                            let direct = self.running.resume(Some(input));
                            self.taker.take(into.get(..direct).unwrap_or_default());
                        }
                    }
                }
                Rest::Spent => return Advanced::Spent,
                Rest::BeginHop => self.running.input(Input::Hop),
                Rest::HandOut | Rest::Done => {
                    self.running.call.hand_out(self.running.now);
                    if let Some(result) = self.serve(shared.len()) {
                        return Advanced::Ended(result);
                    }
                }
            }
        }
        Advanced::Spent
    }

    /// Does what a caller would that has control; says how it ended if that is the end.
    fn serve(&mut self, most: usize) -> Option<Result<(), Error>> {
        match self.stage {
            Stage::Response => self.respond(most),
            Stage::Content(_) => self.read(most),
        }
    }

    fn respond(&mut self, most: usize) -> Option<Result<(), Error>> {
        let head = match self.running.call.take_response() {
            Ok(head) => head,
            Err(error) => return Some(Err(error)),
        };
        if self.running.call.is_redirected() {
            self.running.read_clock();
            self.running.input(Input::Follow);
            return None;
        }
        self.stage = Stage::Content(Box::new(head));
        let Running { call, emitter, .. } = &mut *self.running;
        call.limit_total(self.collect_limit, emitter);
        self.read(most)
    }

    fn read(&mut self, most: usize) -> Option<Result<(), Error>> {
        let room = self.taker.room().min(most);
        if room == 0 {
            return Some(Ok(()));
        }
        let Running { call, memory, .. } = &mut *self.running;
        let lent = memory.buffers.inbound.filled().get(..call.lent());
        let piece = lent.unwrap_or_default();
        let piece = piece.get(..room).unwrap_or(piece);
        let input = match piece.len() {
            0 if call.is_over() => return Some(call.take_error().map_or(Ok(()), Err)),
            0 => {
                self.running.read_clock();
                Input::Wanted(room)
            }
            count => {
                self.taker.take(piece);
                ExchangeInput::Consumed(count).into()
            }
        };
        self.running.input(input);
        None
    }

    /// The call as it ended; what is left of it is given up.
    pub(super) fn end(mut self, number: u64, result: Result<(), Error>) -> Ended<T> {
        self.running.give_up();
        Ended {
            number,
            running: self.running,
            head: match self.stage {
                Stage::Response => None,
                Stage::Content(head) => Some(*head),
            },
            taker: self.taker,
            error: result.err(),
        }
    }
}

impl Running {
    /// Looks whether something has happened that the call waits for, without waiting. What has happened counts before
    /// the deadline, as it does in a poll.
    fn look(&mut self, wait: Wait, into: &mut [u8]) -> Happened {
        let happened = match wait.receive {
            None => self.look_for_connection(),
            Some(receive) => self.look_at_peer(wait, receive, into),
        };
        let is_due = wait.deadline.is_some_and(|deadline| deadline <= self.now);
        if is_due && matches!(happened, Happened::Nothing) {
            return Happened::Input(Input::Timeout);
        }
        happened
    }

    /// What is left for the call goes before what came of its dial.
    fn look_for_connection(&mut self) -> Happened {
        self.hear();
        let alarm = self.ear.get_or_insert_default().listen();
        match self.engine.listen(self.call.id(), alarm) {
            Heard::Mail(mail) => {
                self.take_mail(mail);
                Happened::Told
            }
            Heard::Nothing | Heard::Nobody if self.look_at_dial() => Happened::Told,
            Heard::Nothing | Heard::Nobody => Happened::Nothing,
        }
    }

    fn look_at_peer(&mut self, wait: Wait, receive: Receive, into: &mut [u8]) -> Happened {
        let Some(lease) = &self.lease else {
            return Happened::Input(ExchangeInput::Ended { clean: false }.into());
        };
        let may_send = wait.send
            && lease.transport.may_be_ready(Interest {
                read: false,
                write: true,
            });
        if lease.transport.may_receive() {
            if let Some(input) = self.receive_ready(receive, into) {
                return Happened::Input(input);
            }
            // What came is no whole record, and there may be more, of which nobody will report.
            let more = Interest {
                read: true,
                write: false,
            };
            let lease = self.lease.as_ref();
            if lease.is_some_and(|lease| lease.transport.may_be_ready(more)) {
                return Happened::Told;
            }
        }
        if may_send {
            return Happened::Input(ExchangeInput::Writable.into());
        }
        Happened::Nothing
    }
}
