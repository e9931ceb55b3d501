//! The laws that every simulation obeys, whatever strikes it. Judged after each run, by nothing but what was seen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::event::{Event, EventData, Interest};
use crate::message::fields::Fields;
use crate::message::framing::Framing;
use crate::message::peer_addr::PeerAddr;
use crate::testkit::seen::SeenRequest;
use crate::testkit::sim::outcome::Outcome;
use crate::testkit::sim::proxied::path_of;
use crate::testkit::sim::scenario::{Asks, CANARY, CallPlan, ReadPlan, Scenario, content, tag};
use crate::testkit::sim::{Sim, Ticket};

/// How late a deadline may fire.
const LATE: Duration = Duration::from_millis(10);

/// How long a hop may take whose caller does not dawdle: every phase of two attempts at its deadline.
const HOP_MAX: Duration = Duration::from_secs(600);

/// Most bytes of an answer.
const CONTENT_MAX: u32 = 20_000;

/// Every so many seeds, each event is written out and searched for secrets: writing costs more than simulating.
const SEARCHED: u64 = 16;

/// A law that a simulation broke.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Each call ends, exactly once.
    End,
    /// With a response or a typed error.
    Typed,
    /// No call outlasts its deadlines, and no deadline fires early or late.
    Deadline,
    /// The events obey the grammar.
    Grammar,
    /// What a call is given is the answer to its own request, and whole.
    Tag,
    /// A request that is not idempotent reaches a peer once at the most.
    AtMostOnce,
    /// Nothing is left behind: no connection, no loan, no lookup.
    Leftover,
    /// No secret is in an event or an error.
    Secret,
    /// Credentials reach the origin they are for, and no other.
    Credentials,
    /// Events count the bytes that the network carried.
    Bytes,
}

/// A broken law, with what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub(super) law: Law,
    pub(super) seed: u64,
    pub(super) text: String,
}

impl Broken {
    /// The law.
    #[must_use]
    pub fn law(&self) -> Law {
        self.law
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { law, seed, text } = self;
        write!(f, "seed {seed} breaks the law {law:?}: {text}")
    }
}

impl std::error::Error for Broken {}

/// What a call was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    /// The field lines of the final response, if one came.
    pub(super) fields: Option<&'a Fields>,
    /// Whether it said where its content ends.
    pub(super) is_delimited: bool,
    pub(super) body: &'a [u8],
    pub(super) error: Option<&'a Error>,
    pub(super) redirects: usize,
}

/// What a simulation that obeyed all laws came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub(super) calls: usize,
    pub(super) steps: u64,
    pub(super) events: usize,
    pub(super) kinds: Interest,
    pub(super) outcomes: BTreeMap<&'static str, u64>,
    pub(super) faults: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Counts the calls.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Counts what happened.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Counts the events.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events
    }

    /// The kinds of the events.
    #[must_use]
    pub fn kinds(&self) -> Interest {
        self.kinds
    }

    /// Counts the calls by what they came to: `response`, or the kind of their error.
    #[must_use]
    pub fn outcomes(&self) -> &BTreeMap<&'static str, u64> {
        &self.outcomes
    }

    /// Counts the faults that were planned, by their kind.
    #[must_use]
    pub fn faults(&self) -> &BTreeMap<&'static str, u64> {
        &self.faults
    }

    /// Adds what another simulation came to.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.steps += other.steps;
        self.events += other.events;
        self.kinds = self.kinds.union(other.kinds);
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        for (fault, count) in &other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
    }
}

/// Runs a simulation to its end and judges it.
pub(super) fn judge(
    scenario: &Scenario,
    sim: &mut Sim,
    tickets: &[Ticket],
) -> Result<Report, Broken> {
    let broken = |law, text: String| Broken {
        law,
        seed: scenario.seed,
        text,
    };
    sim.run_all()
        .map_err(|stuck| broken(Law::End, stuck.to_string()))?;
    let mut report = Report {
        calls: tickets.len(),
        steps: sim.steps(),
        ..Report::default()
    };
    for fault in scenario.faults() {
        *report.faults.entry(fault).or_default() += 1;
    }
    for (number, ticket) in tickets.iter().enumerate() {
        let outcome = sim
            .take(*ticket)
            .ok_or_else(|| broken(Law::End, format!("call {number} has no outcome")))?;
        judge_call(scenario, number, &outcome).map_err(|(law, text)| broken(law, text))?;
        let came = outcome
            .error()
            .map_or("response", |error| error.kind().tag());
        *report.outcomes.entry(came).or_default() += 1;
    }
    let requests = sim.requests().iter();
    let origin_at = |addr: &PeerAddr| scenario.origin_at(addr.tcp()?.ip());
    let requests = requests.map(|(addr, seen)| (origin_at(addr), seen));
    judge_requests(scenario, requests).map_err(|(law, text)| broken(law, text))?;
    sim.judge()
        .map_err(|violation| broken(Law::Grammar, violation.to_string()))?;
    sim.nothing_left()
        .map_err(|text| broken(Law::Leftover, text))?;
    let (events, kinds) = judge_events(scenario, sim).map_err(|(law, text)| broken(law, text))?;
    Ok(Report {
        events,
        kinds,
        ..report
    })
}

pub(super) type Verdict = Result<(), (Law, String)>;

fn judge_call(scenario: &Scenario, number: usize, outcome: &Outcome) -> Verdict {
    let plan = &scenario.calls[number];
    let took = outcome.ended() - outcome.started();
    if took > HOP_MAX * (1 + outcome.redirects()) + dawdles(plan) {
        return Err((Law::Deadline, format!("call {number} took {took:?}")));
    }
    let head = outcome.head.as_ref();
    let given = Given {
        fields: head.map(|head| &head.head.fields),
        is_delimited: head
            .is_some_and(|head| head.framing != Framing::UntilClose && head.head.status != 101),
        body: outcome.body(),
        error: outcome.error(),
        redirects: usize::try_from(outcome.redirects()).unwrap_or(usize::MAX),
    };
    judge_given(scenario, number, &given)
}

/// What a call was given is typed, tells no secret, and is its own.
pub(super) fn judge_given(scenario: &Scenario, number: usize, given: &Given<'_>) -> Verdict {
    if let Some(error) = given.error {
        if error.kind() == ErrorKind::Internal {
            return Err((Law::Typed, format!("call {number}: {error:?}")));
        }
        let shown = format!("{error} {error:?}");
        if shown.contains(CANARY) {
            return Err((Law::Secret, shown));
        }
    }
    own_answer(scenario, number, given).map_err(|text| (Law::Tag, format!("call {number}: {text}")))
}

/// The fields name this call, the content is that of its answer, and one that ended well is whole.
fn own_answer(scenario: &Scenario, number: usize, given: &Given<'_>) -> Result<(), String> {
    let plan = &scenario.calls[number];
    let Some(fields) = given.fields else {
        return match given.error {
            Some(_) => Ok(()),
            None => Err("neither head nor error".to_owned()),
        };
    };
    let target = CallPlan::target(number);
    let named = fields.get_str("x-tag").unwrap_or_default();
    let may_give = |origin| origin == plan.origin || given.redirects > 0;
    let origins = (0..scenario.origins.len()).filter(|origin| may_give(*origin));
    let Some(expected) = origins
        .map(|origin| tag(origin, &target))
        .find(|expected| expected == named)
    else {
        return Err(format!("{named:?} is not for {target} at {}", plan.origin));
    };
    let length = fields
        .get_str("x-length")
        .and_then(|text| text.parse().ok());
    let whole = content(&expected, length.unwrap_or(0));
    let body = given.body;
    if !whole.starts_with(body) {
        return Err(format!("other content: {}", body.escape_ascii()));
    }
    let is_read_whole = !matches!(plan.reads, ReadPlan::Dropped(_)) && plan.asks != Asks::Head;
    let is_short = body.len() < whole.len();
    if given.error.is_none() && is_read_whole && given.is_delimited && is_short {
        return Err(format!("{} of {} bytes", body.len(), whole.len()));
    }
    Ok(())
}

/// These requests reached peers, each an origin. None that may be made once only was made twice, and none carried
/// credentials that are for another origin.
pub(super) fn judge_requests<'a>(
    scenario: &Scenario,
    requests: impl Iterator<Item = (Option<usize>, &'a SeenRequest)> + Clone,
) -> Verdict {
    let all = requests.clone().map(|(_, seen)| seen);
    at_most_once(scenario, all).map_err(|text| (Law::AtMostOnce, text))?;
    own_credentials(scenario, requests).map_err(|text| (Law::Credentials, text))
}

fn at_most_once<'a>(
    scenario: &Scenario,
    requests: impl Iterator<Item = &'a SeenRequest> + Clone,
) -> Result<(), String> {
    for (number, _) in scenario
        .calls
        .iter()
        .enumerate()
        .filter(|(_, call)| !call.may_repeat())
    {
        let target = CallPlan::target(number);
        let reached = requests
            .clone()
            .filter(|seen| seen.method() == "POST")
            .filter(|seen| path_of(seen) == target)
            .count();
        if reached > 1 {
            return Err(format!("call {number} reached a peer {reached} times"));
        }
    }
    Ok(())
}

fn own_credentials<'a>(
    scenario: &Scenario,
    requests: impl Iterator<Item = (Option<usize>, &'a SeenRequest)>,
) -> Result<(), String> {
    for (origin, seen) in requests {
        let carries = seen
            .fields("authorization")
            .any(|value| value.contains(CANARY))
            || seen.target().contains(CANARY);
        let mut calls = scenario.calls.iter().enumerate();
        let path = path_of(seen);
        let owner = calls.find(|(number, _)| CallPlan::target(*number) == path);
        let meant = owner.map(|(_, call)| call.origin);
        if carries && meant != origin {
            return Err(format!("origin {origin:?} was given those of {path}"));
        }
    }
    Ok(())
}

/// The plan of the call that an event is of: their ids are counted from 1.
fn plan_of<'a>(scenario: &'a Scenario, event: &Event) -> Option<&'a CallPlan> {
    let number = usize::try_from(event.call()?.get()).ok()?;
    scenario.calls.get(number.checked_sub(1)?)
}

/// How long the caller has control between its reads, at the most.
fn dawdles(plan: &CallPlan) -> Duration {
    match plan.reads {
        ReadPlan::Slowly(_, pause) => Duration::from_millis(pause) * CONTENT_MAX,
        ReadPlan::Whole | ReadPlan::Dropped(_) => Duration::ZERO,
    }
}

/// What single events have to say; how many there are, and of which kinds.
fn judge_events(scenario: &Scenario, sim: &Sim) -> Result<(usize, Interest), (Law, String)> {
    let events = sim.told();
    let mut ends = 0;
    let mut kinds = Interest::NONE;
    for event in events.iter() {
        kinds = kinds.with(event.kind());
        match event.data() {
            EventData::CallDone(_) => ends += 1,
            EventData::TimeoutFired(fired) => {
                let (limit, elapsed) = (fired.limit(), fired.elapsed());
                // While the caller has control, the call cannot end.
                let plan = plan_of(scenario, event);
                let late = LATE + plan.map_or(Duration::ZERO, dawdles);
                if elapsed < limit || elapsed > limit + late {
                    let text = format!("{elapsed:?} of {limit:?}: {event}");
                    return Err((Law::Deadline, text));
                }
            }
            EventData::ConnClosed(closed) => {
                let told = (closed.bytes_out(), closed.bytes_in());
                let carried = event.connection().and_then(|conn| sim.carried(conn));
                if carried != Some(told) {
                    let text = format!("{carried:?} were carried: {event}");
                    return Err((Law::Bytes, text));
                }
            }
            _ => {}
        }
    }
    if ends != scenario.calls.len() {
        return Err((Law::End, format!("{ends} calls ended")));
    }
    if scenario.seed % SEARCHED == 0 {
        let shown = |event| format!("{event}");
        if let Some(leak) = events.iter().map(shown).find(|text| text.contains(CANARY)) {
            return Err((Law::Secret, leak));
        }
    }
    Ok((events.len(), kinds))
}
