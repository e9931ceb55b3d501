//! What can be wrong with a stream of events, and how it is told.

use std::fmt;

use crate::event::Event;
use crate::ids::{CallId, ConnId, DialId};

/// Declares the rules: number of the cross rule (0 for a production) and what the rule says.
macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident $number:literal,)+) => {
        /// A production or a cross rule of the grammar.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[doc = $doc])+ $rule,)+ }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Self] = &[$(Self::$rule,)+];

            /// The number of a cross rule; none for a production.
            #[must_use]
            pub const fn number(self) -> Option<u8> {
                match self { $(Self::$rule => match $number { 0 => None, number => Some(number) },)+ }
            }

            /// What the rule says.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$rule => concat!($($doc),+),)+ }
            }

            const fn name(self) -> &'static str {
                match self { $(Self::$rule => stringify!($rule),)+ }
            }
        }
    };
}

rules! {
    /// `client_start` comes once, before anything else.
    Client 0,
    /// Production `call`.
    Call 0,
    /// Production `attempt`.
    Attempt 0,
    /// Production `write`.
    Write 0,
    /// Production `read` with `head`.
    Read 0,
    /// Production `dial`.
    Dial 0,
    /// Production `names`.
    Names 0,
    /// Production `contestant` with `tls`.
    Contestant 0,
    /// Production `conn`.
    Conn 0,
    /// Every event carries the ids of its streams.
    Ids 0,
    /// `seq` rises within a call, a dial, a connection.
    Seq 0,
    /// Events were lost, so nothing more can be said.
    Lost 0,
    /// Every start has exactly one end, and the end says its outcome.
    OneEnd 1,
    /// One `got_conn` or `get_conn_failed` per attempt; after `got_conn` one `put_idle_conn`, and a refused one
    /// is followed by `conn_closed` at once, or, if it is the caller's after an upgrade, by nothing else.
    OneConnection 2,
    /// Nothing of an attempt, a call, a dial or a connection follows its end.
    NothingAfterEnd 3,
    /// What counts as written was accepted by the kernel, field lines in wire order with the whole head.
    Accepted 4,
    /// The end of the response does not wait for the request, and an early response is marked.
    Early 5,
    /// A connection is put back only when both messages are complete and both sides agreed to persist.
    PutBack 6,
    /// `got_conn` says `reused` if and only if an earlier attempt used the connection.
    Reused 7,
    /// Only what asked for a 100 (Continue) waits for one, and what ended the wait decides about the body.
    Expect 8,
    /// Another protocol begins with a final head, a 101 or a 2xx to a CONNECT, and is spoken once the request is sent
    /// whole; the connection then belongs to the caller.
    Upgrade 9,
    /// What ends ends in order: the cause first, the call last.
    Order 10,
    /// `at` never goes back within a stream.
    Time 11,
    /// The number of events is bounded.
    Bounded 14,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => write!(f, "rule {number} ({})", self.name()),
            None => write!(f, "production {}", self.name().to_ascii_lowercase()),
        }
    }
}

/// The stream in which a rule was broken.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Of the client, outside any call.
    Client,
    /// Of a call.
    Call(CallId),
    /// Of a dial.
    Dial(DialId),
    /// Of a connection.
    Connection(ConnId),
}

impl Stream {
    /// The streams of an event, the widest first.
    pub(super) fn of(event: &Event) -> impl Iterator<Item = Self> + use<> {
        let ids = [
            event.call().map(Self::Call),
            event.dial().map(Self::Dial),
            event.connection().map(Self::Connection),
        ];
        ids.into_iter().flatten()
    }

    /// The stream that counts the event.
    pub(super) fn counting(event: &Event) -> Self {
        Self::of(event).next().unwrap_or(Self::Client)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Call(id) => write!(f, "call {id}"),
            Self::Dial(id) => write!(f, "dial {id}"),
            Self::Connection(id) => write!(f, "connection {id}"),
        }
    }
}

/// A broken rule, before it is known where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) rule: Rule,
    pub(super) text: Box<str>,
}

impl Fault {
    pub(super) fn new(rule: Rule, text: impl Into<Box<str>>) -> Self {
        Self {
            rule,
            text: text.into(),
        }
    }

    pub(super) fn at(self, stream: Stream, index: usize, event: Option<&Event>) -> Violation {
        Violation {
            rule: self.rule,
            stream,
            index,
            event: event.map(|event| event.to_string().into()),
            text: self.text,
        }
    }
}

/// Breaks `rule` unless `condition` holds.
pub(super) fn ensure(condition: bool, rule: Rule, text: &str) -> Result<(), Fault> {
    if condition {
        Ok(())
    } else {
        Err(Fault::new(rule, text))
    }
}

/// The first event that breaks a rule of the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    rule: Rule,
    stream: Stream,
    index: usize,
    event: Option<Box<str>>,
    text: Box<str>,
}

impl Violation {
    /// The rule.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The stream in which it was broken.
    #[must_use]
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Number of the event among all that were checked, from 0; their count if something is missing at the
    /// end.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The event as text; none if something is missing at the end.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// What is wrong with it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, stream, .. } = self;
        match &self.event {
            Some(event) => write!(
                f,
                "event {} of {stream} breaks {rule}: {}: {event}",
                self.index, self.text
            ),
            None => write!(f, "the end of {stream} breaks {rule}: {}", self.text),
        }
    }
}

impl std::error::Error for Violation {}
