//! Events checked against the grammar, and assertions on what happened.
//!
//! Every assertion panics with the transcript, so that a failed test shows what happened instead.
//!
//! A pattern is a tag, or a tag and `key=value` words that must stand anywhere in the event: `"got_conn"`,
//! `"got_conn reused=true"`, `"call_done kind=timeout"`, `"wrote_header_field call=1 name=Host"`. A value
//! with white space cannot be asked for this way; use [`Checked::find`].

use std::fmt::Write;
use std::ops::Deref;

use crossbeam_channel::Receiver;

use crate::event::grammar::{Grammar, Violation};
use crate::event::{Event, EventKind, Events};
use crate::ids::CallId;
use crate::testkit::transcript::Transcript;

/// Where events to be checked come from. A receiver is drained of what is in it, without waiting.
pub trait Source {
    /// Takes the events.
    fn take(self) -> Vec<Event>;
}

impl Source for &Events {
    fn take(self) -> Vec<Event> {
        self.try_iter().collect()
    }
}

impl Source for &Receiver<Event> {
    fn take(self) -> Vec<Event> {
        self.try_iter().collect()
    }
}

impl Source for &Receiver<Vec<Event>> {
    fn take(self) -> Vec<Event> {
        self.try_iter().flatten().collect()
    }
}

impl Source for Vec<Event> {
    fn take(self) -> Vec<Event> {
        self
    }
}

impl Source for &[Event] {
    fn take(self) -> Vec<Event> {
        self.to_vec()
    }
}

impl Source for &Vec<Event> {
    fn take(self) -> Vec<Event> {
        self.clone()
    }
}

/// Checks the events that an observer of a client was told against the grammar, with
/// [`Grammar::finish`].
///
/// ```
/// use wirescope::event::channel;
/// use wirescope::testkit::check::check;
/// let (observer, events) = channel(1024);
/// # drop(observer);
/// check(&events).assert_kinds(&[]);
/// ```
///
/// # Panics
/// When a rule is broken: with the violation, and the transcript with an arrow at the event.
#[track_caller]
pub fn check(source: impl Source) -> Checked {
    check_with(Grammar::new(), source)
}

/// As [`check`], for another expectation; an observer that is attached to single requests takes
/// [`Grammar::partial`].
///
/// ```
/// use wirescope::event::{channel, grammar::Grammar};
/// use wirescope::testkit::check::check_with;
/// let (observer, events) = channel(1024);
/// # drop(observer);
/// check_with(Grammar::new().partial(), &events);
/// ```
///
/// # Panics
/// When a rule is broken.
#[track_caller]
pub fn check_with(grammar: Grammar, source: impl Source) -> Checked {
    let checked = Checked {
        events: source.take(),
    };
    if let Err(violation) = run(grammar, &checked.events) {
        let transcript = Transcript::of(&checked.events).with_mark(violation.index());
        panic!("{violation}\n{transcript}");
    }
    checked
}

fn run(mut grammar: Grammar, events: &[Event]) -> Result<(), Violation> {
    events.iter().try_for_each(|event| grammar.event(event))?;
    grammar.finish()
}

/// Events that obey the grammar. Derefs to the slice of them.
#[derive(Debug, Clone)]
pub struct Checked {
    events: Vec<Event>,
}

impl Deref for Checked {
    type Target = [Event];

    fn deref(&self) -> &Self::Target {
        &self.events
    }
}

impl Checked {
    /// The events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events as text.
    #[must_use]
    pub fn transcript(&self) -> Transcript<'_> {
        Transcript::of(&self.events)
    }

    /// The kinds in their order.
    #[must_use]
    pub fn kinds(&self) -> Vec<EventKind> {
        self.events.iter().map(Event::kind).collect()
    }

    /// Asserts that the tags of all events are these, in this order.
    ///
    /// # Panics
    /// With the difference, `-` before what is missing and `+` before what is too much.
    #[track_caller]
    pub fn assert_kinds(&self, expected: &[&str]) {
        let seen: Vec<_> = self.events.iter().map(|event| event.kind().tag()).collect();
        if seen != expected {
            panic!(
                "other events\n{}\n{}",
                difference(expected, &seen),
                self.transcript()
            );
        }
    }

    /// Asserts that events that match these patterns happened in this order, whatever else happened.
    ///
    /// # Panics
    /// With the first pattern that nothing matched, and an arrow at the event after which it was expected.
    #[track_caller]
    pub fn assert_sequence<const N: usize>(&self, patterns: [&str; N]) {
        let mut next = 0;
        for pattern in patterns {
            let found = self.events[next..]
                .iter()
                .position(|event| matches(event, pattern));
            match found {
                Some(offset) => next += offset + 1,
                None => panic!(
                    "no {pattern} after the arrow\n{}",
                    self.transcript().with_mark(next.saturating_sub(1))
                ),
            }
        }
    }

    /// The events of one kind.
    #[must_use]
    pub fn only(&self, kind: EventKind) -> Vec<&Event> {
        let of_kind = self.events.iter().filter(|event| event.kind() == kind);
        of_kind.collect()
    }

    /// The one event of a kind.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[track_caller]
    #[must_use]
    pub fn one(&self, kind: EventKind) -> &Event {
        match self.only(kind).as_slice() {
            [event] => event,
            others => panic!(
                "{} events {kind}, not one\n{}",
                others.len(),
                self.transcript()
            ),
        }
    }

    /// Asserts that there is no event of a kind.
    ///
    /// # Panics
    /// When there is one.
    #[track_caller]
    pub fn none(&self, kind: EventKind) {
        if let Some(index) = self.events.iter().position(|event| event.kind() == kind) {
            panic!("an event {kind}\n{}", self.transcript().with_mark(index));
        }
    }

    /// The first event that the closure wants.
    #[must_use]
    pub fn find(&self, wanted: impl Fn(&Event) -> bool) -> Option<&Event> {
        self.events.iter().find(|event| wanted(event))
    }

    /// The events that match a pattern.
    #[must_use]
    pub fn matching(&self, pattern: &str) -> Vec<&Event> {
        let matching = self.events.iter().filter(|event| matches(event, pattern));
        matching.collect()
    }

    /// The events of one call.
    #[must_use]
    pub fn call(&self, call: CallId) -> Self {
        let of_call = self
            .events
            .iter()
            .filter(|event| event.call() == Some(call));
        Self {
            events: of_call.cloned().collect(),
        }
    }

    /// The calls, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<CallId> {
        let started = self.only(EventKind::CallStart);
        started.into_iter().filter_map(Event::call).collect()
    }
}

/// Says whether an event matches a pattern: its tag, and every `key=value` somewhere in its JSON.
fn matches(event: &Event, pattern: &str) -> bool {
    let mut words = pattern.split_whitespace();
    let tag = words.next().unwrap_or_default();
    if tag != event.kind().tag() {
        return false;
    }
    let json = event.to_string();
    words.all(|word| match word.split_once('=') {
        Some((key, value)) => has_member(&json, key, value),
        None => panic!("a pattern is a tag and key=value words, not {pattern:?}"),
    })
}

/// Says whether a key has a value, as a number or word or as text.
fn has_member(json: &str, key: &str, value: &str) -> bool {
    let bare = format!("\"{key}\":{value}");
    let text = format!("\"{key}\":\"{value}\"");
    let ends = |at: usize| json[at..].starts_with([',', '}', ']']);
    json.contains(&text)
        || json
            .match_indices(&bare)
            .any(|(at, _)| ends(at + bare.len()))
}

/// The difference of two lists: common heads and tails as they are, what is between as `-` and `+`.
fn difference(expected: &[&str], seen: &[&str]) -> String {
    let common = |pairs: &mut dyn Iterator<Item = bool>| pairs.take_while(|same| *same).count();
    let head = common(&mut expected.iter().zip(seen).map(|(one, other)| one == other));
    let (expected_rest, seen_rest) = (&expected[head..], &seen[head..]);
    let backwards = expected_rest.iter().rev().zip(seen_rest.iter().rev());
    let tail = common(&mut backwards.map(|(one, other)| one == other));
    let mut text = String::new();
    let mut list = |sign: char, tags: &[&str]| {
        for tag in tags {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{sign} {tag}");
        }
    };
    list(' ', &expected[..head]);
    list('-', &expected_rest[..expected_rest.len() - tail]);
    list('+', &seen_rest[..seen_rest.len() - tail]);
    list(' ', &expected_rest[expected_rest.len() - tail..]);
    text
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::event::script::events;

    const FAILED: &str = "
        c4 call_start method=PUT
        c4 a0 get_conn
        c4 a0 get_conn_failed error=connect
        c4 a0 attempt_done error=connect
        c4 call_done error=connect";

    fn message(assertion: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(assertion)).expect_err("it panics");
        panic.downcast_ref::<String>().expect("a message").clone()
    }

    #[test]
    fn legal_events_can_be_asked() {
        let seen = check(events(FAILED));
        assert_eq!(seen.len(), 5);
        assert_eq!(seen.kinds()[1], EventKind::GetConn);
        seen.assert_kinds(&[
            "call_start",
            "get_conn",
            "get_conn_failed",
            "attempt_done",
            "call_done",
        ]);
        seen.assert_sequence([
            "call_start method=PUT call=4",
            "call_done kind=connect attempts=1",
        ]);
        assert_eq!(seen.one(EventKind::CallDone).call(), Some(CallId::new(4)));
        seen.none(EventKind::GotConn);
        assert_eq!(seen.calls(), [CallId::new(4)]);
        assert_eq!(seen.call(CallId::new(4)).len(), 5);
        assert_eq!(seen.call(CallId::new(5)).len(), 0);
        assert_eq!(seen.matching("call_start method=PUT").len(), 1);
        assert!(seen.matching("call_start method=PU").is_empty());
        assert!(seen.matching("call_done attempts=11").is_empty());
        assert!(
            seen.find(|event| event.kind() == EventKind::Anomaly)
                .is_none()
        );
    }

    #[test]
    fn an_illegal_stream_is_shown_with_an_arrow() {
        let lines = FAILED.replace("c4 a0 get_conn\n", "");
        let message = message(|| drop(check(events(&lines))));
        assert!(
            message.starts_with("event 1 of call 4 breaks rule 3"),
            "{message}"
        );
        assert!(message.contains("\n-->      1.000 ms  call 4"), "{message}");
        let cut = FAILED.replace("c4 call_done error=connect", "");
        let message = self::message(|| drop(check(events(&cut))));
        assert!(message.ends_with("--> (end)\n"), "{message}");
    }

    #[test]
    fn failed_assertions_show_the_difference() {
        let seen = check(events(FAILED));
        let message = message(|| seen.assert_kinds(&["call_start", "got_conn", "call_done"]));
        let expected = "other events\n  call_start\n- got_conn\n+ get_conn\n+ get_conn_failed\n+ attempt_done\n  call_done\n";
        assert!(message.starts_with(expected), "{message}");
        let message = self::message(|| seen.assert_sequence(["get_conn", "call_start"]));
        assert!(
            message.starts_with("no call_start after the arrow\n"),
            "{message}"
        );
        assert!(message.contains("\n-->      1.000 ms"), "{message}");
        let message = self::message(|| drop(seen.one(EventKind::GotConn).clone()));
        assert!(
            message.starts_with("0 events got_conn, not one"),
            "{message}"
        );
    }
}
