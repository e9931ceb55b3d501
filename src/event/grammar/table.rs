//! The productions as tables, and the machine that runs one.
//!
//! A row says: in any of these states this kind leads to that state. To add a kind, add its rows here, its
//! group in `group`, and its line to the text of the grammar.

use crate::event::EventKind as K;
use crate::event::grammar::rule::{Fault, Rule};

/// The name of a state.
pub(super) type State = &'static str;

/// One production.
#[derive(Debug)]
pub(super) struct Table {
    rule: Rule,
    start: State,
    /// The states in which it may end.
    ends: &'static [State],
    rows: &'static [Row],
}

/// In any of these states, this kind leads to that state.
#[derive(Debug)]
struct Row(&'static [State], K, State);

/// `call = CallStart ( ProxySelected? ( attempt ( Retry attempt )* Retry? )? )* CallDone`; each round is a hop
pub(super) const CALL: Table = Table {
    rule: Rule::Call,
    start: "unknown",
    ends: &["done"],
    rows: &[
        Row(&["unknown"], K::CallStart, "started"),
        Row(&["started", MOVED], K::ProxySelected, "chosen"),
        Row(
            &["started", "chosen", "retrying", MOVED],
            K::GetConn,
            "attempt",
        ),
        Row(&["attempt"], K::AttemptDone, "between"),
        Row(&["between"], K::Retry, "retrying"),
        Row(
            &["started", "chosen", "between", "retrying", MOVED],
            K::CallDone,
            "done",
        ),
    ],
};

/// The state of a call behind a response whose redirect is followed.
pub(super) const MOVED: State = "moved";

/// `attempt = GetConn PoolLookup* ( GetConnFailed | GotConn ( write || read ) PutIdleConn ) AttemptDone`
/// `attempt = GetConn ( PoolLookup | QueueStart QueueDone )*
/// ( GetConnFailed | GotConn ( write || read ) PutIdleConn ) AttemptDone`
pub(super) const ATTEMPT: Table = Table {
    rule: Rule::Attempt,
    start: "unknown",
    ends: &["done"],
    rows: &[
        Row(&["unknown"], K::GetConn, GETTING),
        Row(&[GETTING], K::PoolLookup, GETTING),
        Row(&[GETTING], K::QueueStart, QUEUEING),
        Row(&[QUEUEING], K::QueueDone, GETTING),
        Row(&[GETTING], K::GetConnFailed, "given up"),
        Row(&[GETTING], K::GotConn, USING),
        Row(&[USING], K::PutIdleConn, "given up"),
        Row(&["given up"], K::AttemptDone, "done"),
    ],
};

/// The state of an attempt that waits for a connection.
pub(super) const GETTING: State = "getting";
/// The state of an attempt that waits in the queue.
pub(super) const QUEUEING: State = "queueing";
/// The state of an attempt that has a connection.
pub(super) const USING: State = "using";

/// `write`: the request going out.
pub(super) const WRITE: Table = Table {
    rule: Rule::Write,
    start: "unsent",
    ends: &["sent"],
    rows: &[
        Row(&["unsent", "fields"], K::WroteHeaderField, "fields"),
        Row(&["fields"], K::WroteHeaders, "head"),
        Row(&["head"], K::Wait100Continue, WAITING),
        Row(&[WAITING], K::Got100Continue, CONTINUED),
        Row(&[WAITING, CONTINUED], K::ExpectDone, "decided"),
        Row(&["head", "decided"], K::RequestBodyStart, "body"),
        Row(&["body"], K::RequestBodyChunk, "body"),
        Row(&["body"], K::RequestBodyDone, "body done"),
        Row(&["body done", "trailers"], K::WroteTrailerField, "trailers"),
        Row(
            &["unsent", "head", "decided", "body done", "trailers"],
            K::WroteRequest,
            "sent",
        ),
    ],
};

/// The state of a request whose body waits for a 100 (Continue).
pub(super) const WAITING: State = "waiting";
/// The state of a request whose 100 (Continue) came.
pub(super) const CONTINUED: State = "continued";

/// `read` with `head`: the response coming in.
pub(super) const READ: Table = Table {
    rule: Rule::Read,
    start: "silent",
    ends: &["silent", "interim", "final", UPGRADED, "done"],
    rows: &[
        Row(&["silent"], K::GotFirstResponseByte, "interim"),
        Row(&["interim"], K::Got1xxResponse, "interim"),
        Row(&["interim"], K::FinalResponseStart, "final"),
        Row(&["final", "fields"], K::GotHeaderField, "fields"),
        Row(&["final", "fields"], K::GotResponseHead, "head"),
        Row(&["head"], K::Redirect, "redirected"),
        Row(&["head"], K::Upgraded, UPGRADED),
        Row(&["head", "redirected"], K::ResponseBodyStart, "body"),
        Row(&["body"], K::ResponseBodyChunk, "body"),
        Row(
            &["head", "redirected", "body", "trailers"],
            K::GotTrailerField,
            "trailers",
        ),
        Row(
            &["head", "redirected", "body", "trailers"],
            K::ResponseBodyDone,
            "done",
        ),
    ],
};

/// The state of a response behind which another protocol is spoken.
pub(super) const UPGRADED: State = "upgraded";

/// `dial = DialStart ( names || DialPlan* || contestant* ) DialDone`. `ready` is after `ConnOpened`.
pub(super) const DIAL: Table = Table {
    rule: Rule::Dial,
    start: "unknown",
    ends: &["done"],
    rows: &[
        Row(&["unknown"], K::DialStart, RACING),
        Row(&[RACING], K::DialPlan, RACING),
        Row(&[RACING], K::ConnOpened, "ready"),
        Row(&[RACING, "ready"], K::DialDone, "done"),
    ],
};

/// The state of a dial that has no connection yet.
pub(super) const RACING: State = "racing";

/// `names = name name?` and `name = DnsSkipped | DnsStart DnsFamilyDone* DnsDone`: a proxy may have to be given an address
pub(super) const NAMES: Table = Table {
    rule: Rule::Names,
    start: "unasked",
    ends: &["named", "both named"],
    rows: &[
        Row(&["named"], K::DnsSkipped, "both named"),
        Row(&["named"], K::DnsStart, "second asked"),
        Row(
            &["second asked", "second partly named"],
            K::DnsFamilyDone,
            "second partly named",
        ),
        Row(
            &["second asked", "second partly named"],
            K::DnsDone,
            "both named",
        ),
        Row(&["unasked"], K::DnsSkipped, "named"),
        Row(&["unasked"], K::DnsStart, "asked"),
        Row(&["asked", "partly named"], K::DnsFamilyDone, "partly named"),
        Row(&["asked", "partly named"], K::DnsDone, "named"),
    ],
};

/// The states in which an address can be known.
pub(super) const NAMED: &[State] = &["partly named", "named", "second partly named", "both named"];

/// `contestant = ConnectStart ConnectDone ( tls? ( ( ProxyConnectStart ProxyConnectDone )+ tls? )? )`
pub(super) const CONTESTANT: Table = Table {
    rule: Rule::Contestant,
    start: "unknown",
    ends: &[CONNECTED, SECURED, ANSWERED, SECURED_INSIDE],
    rows: &[
        Row(&["unknown"], K::ConnectStart, "connecting"),
        Row(&["connecting"], K::ConnectDone, CONNECTED),
        Row(&[CONNECTED], K::TlsHandshakeStart, "handshaking"),
        Row(&["handshaking"], K::TlsHandshakeDone, SECURED),
        Row(
            &[CONNECTED, SECURED, ANSWERED],
            K::ProxyConnectStart,
            "asking",
        ),
        Row(&["asking"], K::ProxyConnectDone, ANSWERED),
        Row(&[ANSWERED], K::TlsHandshakeStart, "handshaking inside"),
        Row(&["handshaking inside"], K::TlsHandshakeDone, SECURED_INSIDE),
    ],
};

/// The state of a contestant whose connect has ended.
pub(super) const CONNECTED: State = "connected";
/// The state of a contestant whose handshake with its peer has ended.
pub(super) const SECURED: State = "secured";
/// The state of a contestant whose proxy has answered.
pub(super) const ANSWERED: State = "answered";
/// The state of a contestant whose handshake through the tunnel has ended.
pub(super) const SECURED_INSIDE: State = "secured inside";

/// `conn = ConnOpened PutIdleConn? ( GotConn PutIdleConn )* ConnClosed`
pub(super) const CONN: Table = Table {
    rule: Rule::Conn,
    start: UNOPENED,
    ends: &["closed"],
    rows: &[
        Row(&[UNOPENED], K::ConnOpened, "fresh"),
        Row(&["fresh", IDLE], K::GotConn, "on loan"),
        Row(&["fresh", "on loan"], K::PutIdleConn, IDLE),
        Row(&["fresh", IDLE], K::ConnClosed, "closed"),
    ],
};

/// The state of a connection that nothing is known of.
pub(super) const UNOPENED: State = "unopened";
/// The state of a connection that was put back, or is about to be closed.
pub(super) const IDLE: State = "idle";

/// A production being run.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    table: &'static Table,
    state: State,
}

impl Machine {
    pub(super) fn new(table: &'static Table) -> Self {
        Self {
            table,
            state: table.start,
        }
    }

    /// A machine that was not seen from its beginning.
    pub(super) fn resumed(table: &'static Table, state: State) -> Self {
        Self { table, state }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn is(&self, state: State) -> bool {
        self.state == state
    }

    /// Says whether the production speaks of that kind.
    pub(super) fn knows(&self, kind: K) -> bool {
        self.table.rows.iter().any(|Row(_, of, _)| *of == kind)
    }

    /// Takes one step.
    pub(super) fn step(&mut self, kind: K) -> Result<(), Fault> {
        let row = self
            .table
            .rows
            .iter()
            .find(|Row(from, of, _)| *of == kind && from.contains(&self.state));
        match row {
            Some(Row(_, _, to)) => {
                self.state = to;
                Ok(())
            }
            None => Err(self.refusal(kind)),
        }
    }

    /// Takes a step if the production speaks of that kind.
    pub(super) fn step_if_known(&mut self, kind: K) -> Result<(), Fault> {
        if self.knows(kind) {
            self.step(kind)
        } else {
            Ok(())
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.table.ends.contains(&self.state)
    }

    /// Breaks rule 1 if the production has not ended.
    pub(super) fn ended(&self) -> Result<(), Fault> {
        if self.is_ended() {
            return Ok(());
        }
        let text = format!("{} and has not ended", self.here());
        Err(Fault::new(Rule::OneEnd, text))
    }

    fn refusal(&self, kind: K) -> Fault {
        let next: Vec<_> = self
            .table
            .rows
            .iter()
            .filter(|Row(from, _, _)| from.contains(&self.state))
            .map(|Row(_, of, _)| of.tag())
            .collect();
        let next = if next.is_empty() {
            "nothing".into()
        } else {
            next.join(", ")
        };
        let text = format!("{}; {kind} cannot follow, but {next}", self.here());
        Fault::new(self.table.rule, text)
    }

    fn here(&self) -> String {
        let production = format!("{:?}", self.table.rule).to_ascii_lowercase();
        format!("the {production} is {}", self.state)
    }
}
