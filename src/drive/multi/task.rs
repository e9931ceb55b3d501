//! One call of an event loop: how it goes on without waiting, and what takes the place of its caller.

use std::io;
use std::ops::Range;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::drive::apply::{Rest, Running};
use crate::drive::multi::Taker;
use crate::drive::multi::deadlines::SeatId;
use crate::drive::multi::look::Happened;
use crate::drive::multi::place::{Place, STEPS};
use crate::drive::multi::scratch::Scratch;
use crate::drive::outlook::News;
use crate::drive::waits::Waits;
use crate::error::{Error, ErrorKind, Phase, Timer};
use crate::event::CanceledBy;
use crate::flow::action::{ExchangeInput, Input, Receive};
use crate::net::cancel::CancelHandle;
use crate::net::clock;
use crate::proto::receiving::FinalHead;

/// A call of the loop.
pub(super) struct Task<T> {
    running: Box<Running>,
    stage: Stage,
    place: Place,
    taker: T,
    /// Where its deadline is kept.
    pub(super) seat: Option<SeatId>,
}

/// What is wanted of the call.
enum Stage {
    /// Its response.
    Response,
    /// The content of this one.
    Content(Content),
    /// Nothing: the caller gave it up when nothing but its taker was waited for.
    GivenUp(Content),
}

/// Content on its way to the taker.
struct Content {
    head: Box<FinalHead>,
    /// What was received and not taken yet.
    rest: Vec<u8>,
}

/// On what terms calls go on, one after the other.
pub(super) struct Terms {
    /// When the system had done what it did for them.
    done: Instant,
    /// The time, which goes on with them.
    now: Instant,
    /// What is known of idle connections.
    news: News,
    sending: Sending,
}

impl Terms {
    pub(super) fn new(news: News, sending: Sending) -> Self {
        let now = clock::now();
        Self {
            done: now,
            now,
            news,
            sending,
        }
    }

    /// Code of the caller's may have run, which takes what time it likes.
    pub(super) fn read_clock(&mut self) {
        self.now = clock::now();
    }
}

/// When a call sends that has something to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// When the others of its batch do, if no code of the caller's runs then.
    Together,
    /// At once.
    Alone,
}

/// How far a call came.
pub(super) enum Advanced {
    /// It waits, at the latest until then.
    Parked(Option<Instant>),
    /// Its steps are used up.
    Spent,
    /// Its dial goes on without it: the loop takes that over.
    Parting,
    /// It sends next, with this range of its body, when others do, and goes on with what came of that.
    AboutToSend(Range<u64>),
    /// It is over, or its content is not wanted any more.
    Ended(Result<(), Error>),
}

/// A call that is over.
pub(crate) struct Ended<T> {
    pub(crate) running: Box<Running>,
    /// The head of the response, if there is one.
    pub(crate) head: Option<Box<FinalHead>>,
    pub(crate) taker: T,
    /// Why the call failed, or why its content is not whole.
    pub(crate) error: Option<Error>,
}

/// What the taker did with what it was offered.
enum Offered {
    /// It took all of it.
    Taken,
    /// It took only this many bytes, and will say when it takes more.
    NotNow(usize),
}

/// What is next for a call whose caller has control.
enum Next {
    /// It goes on.
    On,
    /// Its taker is waited for.
    NotNow,
    Ended(Result<(), Error>),
}

impl<T: Taker> Task<T> {
    /// A call that begins when it first goes on, for which the loop queues it.
    pub(super) fn new(mut running: Box<Running>, taker: T, scratch: &mut Scratch) -> Self {
        scratch.lend(&mut running);
        running.input(Input::Start);
        scratch.take_back(&mut running);
        Self {
            running,
            stage: Stage::Response,
            place: Place::Queued,
            taker,
            seat: None,
        }
    }

    /// Notes that the call goes into the ready queue; says whether it was not there.
    pub(super) fn queue(&mut self) -> bool {
        self.place.queue()
    }

    /// Says whether the handle of the call was used.
    pub(super) fn is_canceled(&self) -> bool {
        let handle = self.running.cancel.as_ref();
        handle.is_some_and(CancelHandle::is_canceled)
    }

    /// Gives the call up, or what is left of it.
    pub(super) fn cancel(&mut self) {
        self.running.read_clock();
        if !self.running.call.is_over() {
            self.running.input(Input::Cancel(CanceledBy::Caller));
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Response) {
            Stage::Content(content) => Stage::GivenUp(content),
            other @ (Stage::Response | Stage::GivenUp(_)) => other,
        };
    }

    /// The dial that goes on without the call.
    pub(super) fn part(&mut self) -> Option<Box<Running>> {
        self.running.part(Waits::InLoop)
    }

    pub(super) fn phase(&self) -> Phase {
        self.running.call.phase()
    }

    /// Receives what the call waits for, if that is all it waits for, and content does not go past its buffer.
    pub(super) fn receive(&mut self, scratch: &mut Scratch) -> Option<Input> {
        let receive = self.running.awaits.filter(|to| *to == Receive::Inbound)?;
        if self.is_canceled() || !self.is_plain() || !self.running.is_about_to_receive() {
            return None;
        }
        scratch.lend(&mut self.running);
        let input = self.running.receive_ready(receive, &mut []);
        if self.running.emitter.is_heard() {
            self.running.read_clock();
        }
        input
    }

    /// Sends, unless the call was canceled since it wanted to. If that was a while ago, there is later news of its
    /// connection, which nothing was sent on yet.
    pub(super) fn send(&mut self, body: Range<u64>, later: Option<News>) -> Option<Input> {
        if self.is_canceled() {
            return None;
        }
        if later.is_some_and(|news| self.running.has_lost_connection(news)) {
            let lost = io::ErrorKind::ConnectionReset.into();
            return Some(ExchangeInput::ReceiveFailed(lost).into());
        }
        Some(self.running.send(body))
    }

    /// Says whether the call sends and receives by the system alone: what TLS was given may be code of the caller's.
    fn is_plain(&self) -> bool {
        let lease = self.running.lease.as_ref();
        lease.is_some_and(|lease| lease.transport.is_plain())
    }

    /// Goes on as far as possible, in the memory of the loop, with what the system did for it.
    pub(super) fn advance(
        &mut self,
        outcome: &mut Option<Input>,
        terms: &mut Terms,
        scratch: &mut Scratch,
    ) -> Advanced {
        self.place = Place::Parked;
        self.running.news = terms.news;
        scratch.lend(&mut self.running);
        if let Some(input) = outcome.take().filter(|input| self.is_told(input)) {
            if !self.running.emitter.is_heard() {
                self.running.now = terms.done;
            }
            self.running.input(input);
        }
        self.running.now = terms.now;
        if self.running.emitter.is_heard() {
            self.running.read_clock();
        }
        let advanced = self.go_on(&mut scratch.content, terms.sending);
        if !matches!(advanced, Advanced::AboutToSend(_)) {
            scratch.take_back(&mut self.running);
        }
        if self.taker.is_polled() || self.running.emitter.is_heard() || self.is_dialing() {
            terms.read_clock();
        } else {
            terms.now = self.running.now;
        }
        advanced
    }

    /// Who was canceled learns of nothing more but of what has left.
    fn is_told(&self, input: &Input) -> bool {
        let sent = matches!(
            input,
            Input::Exchange(ExchangeInput::Sent(_) | ExchangeInput::Blocked(_))
        );
        sent || !self.is_canceled()
    }

    /// A resolver of the caller's may have been asked.
    fn is_dialing(&self) -> bool {
        self.running.lease.is_none() && !self.running.call.is_over()
    }

    fn go_on(&mut self, shared: &mut [u8], sending: Sending) -> Advanced {
        for _ in 0..STEPS {
            let next = match self.running.go() {
                Rest::Send(body) => {
                    let is_heard = self.running.emitter.is_heard();
                    if sending == Sending::Together && self.is_plain() && !is_heard {
                        return Advanced::AboutToSend(body);
                    }
                    self.running.send_now(body);
                    Next::On
                }
                Rest::Wait(wait) => {
                    let room = self.taker.room().min(shared.len());
                    let into = shared.get_mut(..room).unwrap_or_default();
                    match self.running.look(wait, into) {
                        Happened::Nothing => return Advanced::Parked(wait.deadline),
                        Happened::Told => Next::On,
                        Happened::Input(input) => {
                            let direct = self.running.resume(Some(input));
                            self.received(into.get(..direct).unwrap_or_default())
                        }
                    }
                }
                Rest::Spent => return Advanced::Spent,
                Rest::Parting => return Advanced::Parting,
                Rest::BeginHop => {
                    self.running.input(Input::Hop);
                    Next::On
                }
                Rest::HandOut | Rest::Done => {
                    self.running.call.hand_out(self.running.now);
                    self.serve(shared.len())
                }
            };
            match next {
                Next::On => {}
                Next::NotNow => match self.wait_for_taker() {
                    Next::NotNow => return Advanced::Parked(self.deadline()),
                    Next::On => {}
                    Next::Ended(result) => return Advanced::Ended(result),
                },
                Next::Ended(result) => return Advanced::Ended(result),
            }
        }
        Advanced::Spent
    }

    /// Does what a caller would that has control.
    fn serve(&mut self, most: usize) -> Next {
        let result = match &mut self.stage {
            Stage::Response => self.respond(),
            Stage::Content(content) if !content.rest.is_empty() => self.offer_rest(),
            Stage::Content(_) => self.read(most),
            Stage::GivenUp(_) => return self.over(ErrorKind::Canceled),
        };
        result.unwrap_or_else(|error| Next::Ended(Err(error)))
    }

    /// The call is over for this reason, unless it failed for another.
    fn over(&mut self, kind: ErrorKind) -> Next {
        let error = self.running.call.take_error();
        Next::Ended(Err(
            error.unwrap_or_else(|| Error::new(kind, Phase::Receive))
        ))
    }

    fn respond(&mut self) -> Result<Next, Error> {
        let head = self.running.call.take_response()?;
        if self.running.call.is_redirected() {
            self.running.read_clock();
            self.running.input(Input::Follow);
            return Ok(Next::On);
        }
        if let Some(limit) = self.taker.limit() {
            let Running { call, emitter, .. } = &mut *self.running;
            call.limit_total(limit, emitter);
        }
        let begun = self.taker.begin(self.running.call.hops(), &head);
        self.stage = Stage::Content(Content {
            head,
            rest: Vec::new(),
        });
        begun.map(|()| Next::On).map_err(sink_failed)
    }

    fn read(&mut self, most: usize) -> Result<Next, Error> {
        let room = self.taker.room().min(most);
        if room == 0 {
            return Ok(Next::Ended(Ok(())));
        }
        let waker = self.waker()?;
        let Running { call, memory, .. } = &mut *self.running;
        let inbound = &memory.get_or_insert_default().buffers.inbound;
        let lent = inbound.filled().get(..call.lent());
        let piece = lent.unwrap_or_default();
        let piece = piece.get(..room).unwrap_or(piece);
        if piece.is_empty() {
            return self.read_on(room);
        }
        let count = match offer(&mut self.taker, piece, &waker)? {
            Offered::Taken => piece.len(),
            Offered::NotNow(0) => return Ok(Next::NotNow),
            Offered::NotNow(count) => count,
        };
        self.running.input(ExchangeInput::Consumed(count));
        Ok(Next::On)
    }

    /// Nothing is there that could be taken: asks for more, unless that was all.
    fn read_on(&mut self, room: usize) -> Result<Next, Error> {
        let call = &mut self.running.call;
        if !call.is_over() {
            self.running.read_clock();
            self.running.input(Input::Wanted(room));
            return Ok(Next::On);
        }
        match call.take_error() {
            Some(error) => Err(error),
            None => self
                .taker
                .end()
                .map(|()| Next::Ended(Ok(())))
                .map_err(sink_failed),
        }
    }

    /// Content was received past the buffer: what the taker does not take now is kept for it.
    fn received(&mut self, content: &[u8]) -> Next {
        if content.is_empty() {
            return Next::On;
        }
        let offered = self
            .waker()
            .and_then(|waker| offer(&mut self.taker, content, &waker));
        match (offered, &mut self.stage) {
            (Ok(Offered::NotNow(count)), Stage::Content(of)) => {
                of.rest.extend(content.iter().skip(count));
                Next::On
            }
            (Ok(_), _) => Next::On,
            (Err(error), _) => Next::Ended(Err(error)),
        }
    }

    fn offer_rest(&mut self) -> Result<Next, Error> {
        let waker = self.waker()?;
        let Stage::Content(content) = &mut self.stage else {
            return Ok(Next::On);
        };
        match offer(&mut self.taker, &content.rest, &waker)? {
            Offered::Taken => {
                content.rest = Vec::new();
                Ok(Next::On)
            }
            Offered::NotNow(count) => {
                content.rest.drain(..count);
                Ok(Next::NotNow)
            }
        }
    }

    fn waker(&mut self) -> Result<Waker, Error> {
        if !self.taker.is_polled() {
            return Ok(Waker::noop().clone());
        }
        self.running.lend_waker().map_err(sink_failed)
    }

    /// The taker said "not now": unless it spoke since, or the time of the call is over, it is waited for.
    fn wait_for_taker(&mut self) -> Next {
        if self.running.take_nudge() {
            return Next::On;
        }
        if self.is_canceled() && self.running.call.is_over() {
            return self.over(ErrorKind::Canceled);
        }
        if self
            .deadline()
            .is_none_or(|deadline| deadline > self.running.now)
        {
            return Next::NotNow;
        }
        if self.running.call.is_over() {
            return self.over(ErrorKind::Timeout(Timer::Total));
        }
        self.running.input(Input::Timeout);
        Next::On
    }

    /// Until when the taker is waited for: as long as the whole call may take.
    fn deadline(&self) -> Option<Instant> {
        self.running.call.own_end(&self.running.emitter)
    }

    /// The call as it ended; what is left of it is given up.
    pub(super) fn end(mut self, result: Result<(), Error>, terms: &mut Terms) -> Ended<T> {
        self.running.give_up();
        if self.running.emitter.is_heard() {
            terms.read_clock();
        }
        let error = result.err().map(|error| self.running.explain(error));
        Ended {
            running: self.running,
            head: match self.stage {
                Stage::Response => None,
                Stage::Content(content) | Stage::GivenUp(content) => Some(content.head),
            },
            taker: self.taker,
            error,
        }
    }
}

/// Offers content until it is taken, or the taker says "not now".
fn offer(taker: &mut impl Taker, content: &[u8], waker: &Waker) -> Result<Offered, Error> {
    let mut taken = 0;
    while let Some(left) = content.get(taken..).filter(|left| !left.is_empty()) {
        match taker.take(left, waker) {
            Poll::Pending => return Ok(Offered::NotNow(taken)),
            Poll::Ready(Ok(0)) => return Err(sink_failed(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(count)) => taken += count.min(left.len()),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(Err(error)) => return Err(sink_failed(error)),
        }
    }
    Ok(Offered::Taken)
}

fn sink_failed(error: io::Error) -> Error {
    Error::new(ErrorKind::LocalBodySink, Phase::Receive).with_source(Box::new(error))
}
