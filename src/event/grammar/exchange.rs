//! One exchange: the request going out and the response coming in, in any interleaving, and the cross rules
//! between the two.

use crate::event::grammar::call::Causes;
use crate::event::grammar::rule::{Fault, Rule, ensure};
use crate::event::grammar::table::{Machine, READ, UPGRADED, WAITING, WRITE};
use crate::event::{
    BodyEnd, EventData, EventKind, ExpectOutcome, GotResponseHead, RequestBodyDone,
    ResponseBodyDone, Upgraded, WriteFailure, WroteRequest,
};
use crate::message::anomaly::Anomaly;
use crate::message::close::CloseReason;
use crate::message::framing::Framing;

/// What an exchange has shown so far.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    write: Machine,
    read: Machine,
    expects: bool,
    out: Out,
    back: Back,
    /// Kinds seen, with the number of the message they were seen in.
    anomalies: Vec<(u32, Anomaly)>,
}

/// What went out.
#[derive(Debug, Clone, Default)]
struct Out {
    fields: u32,
    head_bytes: Option<u64>,
    expect: Option<ExpectOutcome>,
    /// A 100 (Continue) came inside the wait and `got_100_continue` has not followed yet.
    hundred: bool,
    continued: bool,
    framing: Option<Framing>,
    body_total: u64,
    body: Option<(u64, bool)>,
    trailers: u32,
    error: Option<WriteFailure>,
}

/// What came back.
#[derive(Debug, Clone, Default)]
struct Back {
    interims: u32,
    fields: u32,
    head: Option<Head>,
    body_started: bool,
    body_total: u64,
    trailers: u32,
    end: Option<BodyEnd>,
    /// The response ended before the request did.
    ended_early: bool,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    framing: Framing,
    close: Option<CloseReason>,
}

impl Exchange {
    /// An exchange of a call that does or does not wait for a 100 (Continue).
    pub(super) fn new(expects: bool) -> Self {
        Self {
            write: Machine::new(&WRITE),
            read: Machine::new(&READ),
            expects,
            out: Out::default(),
            back: Back::default(),
            anomalies: Vec::new(),
        }
    }

    /// The status of the final response.
    pub(super) fn status(&self) -> Option<u16> {
        self.back.head.map(|head| head.status)
    }

    /// Says whether both directions came to an end without error.
    pub(super) fn has_response(&self) -> bool {
        let end = self.back.end;
        self.is_handed_over() || end.is_some_and(|how| !matches!(how, BodyEnd::Error))
    }

    /// Says whether another protocol can be spoken.
    fn is_handed_over(&self) -> bool {
        self.read.is(UPGRADED) && self.write.is_ended() && self.out.error.is_none()
    }

    /// Takes an event of the request, of the response, or an anomaly.
    pub(super) fn event(&mut self, data: EventData<'_>, causes: &Causes) -> Result<(), Fault> {
        let kind = data.kind();
        self.write.step_if_known(kind)?;
        self.read.step_if_known(kind)?;
        match data {
            EventData::WroteHeaderField(field) => {
                in_order(u32::from(field.index()), &mut self.out.fields)
            }
            EventData::WroteTrailerField(field) => {
                in_order(u32::from(field.index()), &mut self.out.trailers)
            }
            EventData::GotHeaderField(field) => {
                in_order(u32::from(field.index()), &mut self.back.fields)
            }
            EventData::GotTrailerField(field) => {
                in_order(u32::from(field.index()), &mut self.back.trailers)
            }
            EventData::WroteHeaders(head) => self.wrote_headers(head.count(), head.bytes()),
            EventData::Wait100Continue(_) => ensure(
                self.expects,
                Rule::Expect,
                "the call does not wait for a 100 (continue)",
            ),
            EventData::Got1xxResponse(head) => self.got_interim(head.status(), head.ordinal()),
            EventData::Got100Continue(_) => self.got_continue(),
            EventData::ExpectDone(done) => self.expect_done(done.outcome(), causes),
            EventData::RequestBodyStart(start) => self.body_start(start.framing()),
            EventData::RequestBodyChunk(chunk) => {
                add_up(chunk.bytes(), chunk.total(), &mut self.out.body_total)
            }
            EventData::RequestBodyDone(done) => self.body_done(done),
            EventData::WroteRequest(wrote) => self.wrote_request(wrote, causes),
            EventData::FinalResponseStart(start) => ensure(
                start.early() != self.write.is_ended(),
                Rule::Early,
                "early means that wrote_request has not come yet",
            ),
            EventData::GotResponseHead(head) => self.got_head(head),
            EventData::Upgraded(upgraded) => self.upgraded(upgraded),
            EventData::ResponseBodyStart(_) => {
                self.back.body_started = true;
                Ok(())
            }
            EventData::ResponseBodyChunk(chunk) => {
                add_up(chunk.bytes(), chunk.total(), &mut self.back.body_total)
            }
            EventData::ResponseBodyDone(done) => self.response_done(done),
            EventData::Anomaly(anomaly) => self.anomaly(anomaly.anomaly(), anomaly.count()),
            _ => Ok(()),
        }
    }

    /// Checks that the connection may be given up now, and with that outcome.
    pub(super) fn put_idle(&self, error: Option<CloseReason>) -> Result<(), Fault> {
        self.write.ended()?;
        self.read.ended()?;
        let is_callers = error == Some(CloseReason::Upgraded);
        ensure(
            is_callers == self.is_handed_over() || error.is_some() && !is_callers,
            Rule::Upgrade,
            "the connection is the caller's after upgraded and a request sent whole, and only then",
        )?;
        if error.is_some() {
            return Ok(());
        }
        let head = self.back.head;
        ensure(
            matches!(self.back.end, Some(BodyEnd::Complete | BodyEnd::Drained)),
            Rule::PutBack,
            "the response has not ended cleanly",
        )?;
        ensure(
            self.out.error.is_none(),
            Rule::PutBack,
            "the request was not sent whole",
        )?;
        ensure(
            head.is_some_and(|head| head.close.is_none() && head.framing != Framing::UntilClose),
            Rule::PutBack,
            "the head does not let the connection persist",
        )
    }

    /// Says whether the body waits for a 100 (Continue).
    pub(super) fn is_waiting(&self) -> bool {
        self.write.is(WAITING)
    }

    /// Says whether something was ended before its time, so that the cause must have come already.
    pub(super) fn is_breaking(&self) -> bool {
        let stopped = self.out.body.is_some_and(|(_, aborted)| aborted)
            || self.out.expect.is_some_and(is_broken_wait);
        stopped && !self.write.is_ended()
            || matches!(self.back.end, Some(BodyEnd::Error | BodyEnd::ClosedEarly))
            || matches!(
                self.out.error,
                Some(WriteFailure::Timeout | WriteFailure::Canceled)
            )
    }

    fn wrote_headers(&mut self, count: u32, bytes: u64) -> Result<(), Fault> {
        self.out.head_bytes = Some(bytes);
        ensure(
            count == self.out.fields,
            Rule::Accepted,
            "the count is not that of the wrote_header_field events",
        )
    }

    fn got_interim(&mut self, status: u16, ordinal: u16) -> Result<(), Fault> {
        in_order(u32::from(ordinal), &mut self.back.interims)?;
        self.out.hundred |= status == 100 && self.write.is(WAITING);
        Ok(())
    }

    fn got_continue(&mut self) -> Result<(), Fault> {
        self.out.continued = true;
        ensure(
            std::mem::take(&mut self.out.hundred),
            Rule::Expect,
            "no 100 came inside the wait",
        )
    }

    fn expect_done(&mut self, outcome: ExpectOutcome, causes: &Causes) -> Result<(), Fault> {
        self.out.expect = Some(outcome);
        let because = match outcome {
            ExpectOutcome::Continue => self.out.continued,
            ExpectOutcome::TimedOut => causes.has_expect(),
            ExpectOutcome::FinalResponse => !matches!(self.read.state(), "silent" | "interim"),
            ExpectOutcome::Canceled => causes.is_canceled(),
            ExpectOutcome::Deadline => causes.has_deadline(),
            ExpectOutcome::ConnectionLost => true,
        };
        ensure(
            because,
            Rule::Expect,
            "what ended the wait has not happened",
        )?;
        let ignored = self.out.continued != (outcome == ExpectOutcome::Continue)
            || self.out.hundred && !is_broken_wait(outcome);
        ensure(
            !ignored,
            Rule::Expect,
            "the 100 (continue) that came ends the wait",
        )
    }

    fn body_start(&mut self, framing: Framing) -> Result<(), Fault> {
        self.out.framing = Some(framing);
        ensure(
            self.out.expect.is_none_or(lets_the_body_go),
            Rule::Expect,
            "the wait did not end with leave to send the body",
        )
    }

    fn body_done(&mut self, done: &RequestBodyDone) -> Result<(), Fault> {
        self.out.body = Some((done.bytes(), done.aborted()));
        let whole = match self.out.framing {
            Some(Framing::Length(length)) => done.bytes() == length,
            _ => true,
        };
        ensure(
            done.bytes() >= self.out.body_total && (done.aborted() || whole),
            Rule::Accepted,
            "the bytes are not those of the body",
        )
    }

    fn wrote_request(&mut self, wrote: &WroteRequest, causes: &Causes) -> Result<(), Fault> {
        self.out.error = wrote.error();
        let skipped = self.out.expect == Some(ExpectOutcome::FinalResponse);
        ensure(
            skipped == (wrote.error() == Some(WriteFailure::BodySkipped)),
            Rule::Expect,
            "body_skipped is the error when a final response ended the wait, and only then",
        )?;
        ensure(
            !self.back.ended_early || wrote.error().is_some(),
            Rule::Early,
            "the request cannot be whole after the end of the response",
        )?;
        let because = match wrote.error() {
            Some(WriteFailure::Canceled) => causes.is_canceled(),
            Some(WriteFailure::Timeout) => causes.has_deadline(),
            _ => true,
        };
        ensure(because, Rule::Order, "the cause comes first")?;
        match wrote.error() {
            None => self.sent_whole(wrote),
            Some(_) => Ok(()),
        }
    }

    /// Checks a request without error: every byte was accepted.
    fn sent_whole(&self, wrote: &WroteRequest) -> Result<(), Fault> {
        ensure(
            self.out.head_bytes == Some(wrote.head_bytes()),
            Rule::Accepted,
            "the head was not written whole",
        )?;
        let body = match self.out.body {
            None => self.out.framing.is_none() && wrote.body_bytes() == 0,
            Some((bytes, aborted)) => !aborted && wrote.body_bytes() >= bytes,
        };
        ensure(body, Rule::Accepted, "the body was not written whole")?;
        ensure(
            self.out.expect.is_none() || self.out.body.is_some(),
            Rule::Expect,
            "the body that waited was not sent",
        )
    }

    fn got_head(&mut self, head: &GotResponseHead) -> Result<(), Fault> {
        self.back.head = Some(Head {
            status: head.status(),
            framing: head.framing(),
            close: head.close(),
        });
        ensure(
            self.back.fields == 0 || usize::try_from(self.back.fields) == Ok(head.fields().len()),
            Rule::Accepted,
            "the fields are not those of the got_header_field events",
        )
    }

    /// A 101 names the protocol; a tunnel has none.
    fn upgraded(&self, upgraded: &Upgraded) -> Result<(), Fault> {
        let fits = self
            .status()
            .is_some_and(|status| match upgraded.protocol() {
                Some(_) => status == 101,
                None => (200..300).contains(&status),
            });
        ensure(
            fits && self.out.expect != Some(ExpectOutcome::FinalResponse),
            Rule::Upgrade,
            "the head does not begin another protocol",
        )
    }

    fn response_done(&mut self, done: &ResponseBodyDone) -> Result<(), Fault> {
        self.back.end = Some(done.how());
        self.back.ended_early = !self.write.is_ended();
        ensure(
            self.write.is_ended() || !self.is_cut(done.how()),
            Rule::Order,
            "wrote_request comes before a response that is cut short ends",
        )?;
        ensure(
            (done.bytes() == 0 || self.back.body_started) && done.bytes() >= self.back.body_total,
            Rule::Read,
            "the bytes are not those of the body",
        )?;
        ensure(
            self.status() != Some(101) || self.is_cut(done.how()),
            Rule::Upgrade,
            "a 101 has no content",
        )?;
        let framing = self.back.head.map(|head| head.framing);
        let fits = match (done.how(), framing) {
            (BodyEnd::Complete | BodyEnd::Drained, Some(Framing::Length(length))) => {
                done.bytes() == length
            }
            (BodyEnd::Complete | BodyEnd::Drained, Some(Framing::None)) => done.bytes() == 0,
            (BodyEnd::Complete, Some(Framing::UntilClose)) => false,
            (BodyEnd::DelimitedByClose, framing) => framing == Some(Framing::UntilClose),
            _ => true,
        };
        ensure(fits, Rule::Read, "the framing says another end")
    }

    fn is_cut(&self, how: BodyEnd) -> bool {
        matches!(how, BodyEnd::Error | BodyEnd::ClosedEarly)
    }

    fn anomaly(&mut self, anomaly: Anomaly, count: u32) -> Result<(), Fault> {
        let message = self.back.interims + u32::from(self.back.head.is_some());
        let sighting = (message, anomaly);
        let fresh = !self.anomalies.contains(&sighting);
        self.anomalies.push(sighting);
        ensure(
            fresh && count > 0,
            Rule::Bounded,
            "one anomaly per kind and message, with its count",
        )
    }
}

/// What of a kind comes at most once per line of a section or message, numbered from 0.
fn in_order(index: u32, next: &mut u32) -> Result<(), Fault> {
    let expected = *next;
    *next += 1;
    if index == expected {
        return Ok(());
    }
    let text = format!("number {expected} is next");
    Err(Fault::new(Rule::Accepted, text))
}

/// Pieces of a body add up to their total.
fn add_up(bytes: u64, total: u64, so_far: &mut u64) -> Result<(), Fault> {
    *so_far += bytes;
    ensure(
        bytes > 0 && total == *so_far,
        Rule::Accepted,
        "the pieces of the body do not add up to the total",
    )
}

fn lets_the_body_go(outcome: ExpectOutcome) -> bool {
    matches!(outcome, ExpectOutcome::Continue | ExpectOutcome::TimedOut)
}

fn is_broken_wait(outcome: ExpectOutcome) -> bool {
    matches!(
        outcome,
        ExpectOutcome::Canceled | ExpectOutcome::Deadline | ExpectOutcome::ConnectionLost
    )
}

/// Says whether an event may come after the cause that breaks its call: only ends do.
pub(super) fn may_follow_cause(kind: EventKind) -> bool {
    use EventKind as K;
    matches!(
        kind,
        K::RequestBodyDone
            | K::ExpectDone
            | K::WroteRequest
            | K::ResponseBodyDone
            | K::PutIdleConn
            | K::ConnClosed
            | K::AttemptDone
            | K::CallDone
            | K::DnsFamilyDone
            | K::DnsDone
            | K::ConnectDone
            | K::ProxyConnectDone
            | K::TlsHandshakeDone
            | K::DialDone
            | K::QueueDone
            | K::GetConnFailed
            | K::Anomaly
    )
}
