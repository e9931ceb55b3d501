//! The grammar of events, executable: what is guaranteed on every path, checked event by event.
//!
//! Success, error, cancel, timeout, drop, a panic in the caller's code: the order is always that of
//! [`TEXT`], and the [`Rule`]s hold. The checker is pure and looks at nothing but the events.
//!
//! ```
//! use wirescope::event::{channel, grammar};
//! let (observer, events) = channel(1024);
//! // … calls that `observer` is attached to …
//! # drop(observer);
//! let events: Vec<_> = events.try_iter().collect();
//! grammar::check(&events)?;
//! # Ok::<(), grammar::Violation>(())
//! ```
//!
//! ```text
//! event ─┬─ call ──── attempt ─┬─ write        each is a table (table.rs) that says what can follow,
//!        │                     └─ read         and the cross rules beside it
//!        ├─ dial ──── names, contestants
//!        └─ connection
//! ```

mod call;
mod conn;
mod dial;
mod exchange;
mod group;
mod rule;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use self::call::Call;
use self::conn::Conn;
use self::dial::Dial;
pub use self::group::Group;
use self::rule::{Fault, ensure};
pub use self::rule::{Rule, Stream, Violation};
use crate::event::{Event, EventKind};
use crate::ids::{CallId, ConnId, DialId};

/// The productions, as docs/events.md shows them. `||` is any interleaving.
pub const TEXT: &str = "\
call       = CallStart hop* CallDone               -- no hop: refused before any I/O, or canceled before it
hop        = ProxySelected? ( attempt ( Retry attempt )* Retry? )?
                                                  -- the next one follows a redirect
attempt    = GetConn PoolLookup* ( GetConnFailed | GotConn ( write || read ) PutIdleConn ) AttemptDone
write      = ( WroteHeaderField+ WroteHeaders ( Wait100Continue Got100Continue? ExpectDone )?
               ( RequestBodyStart RequestBodyChunk* RequestBodyDone WroteTrailerField* )? )? WroteRequest
read       = ( GotFirstResponseByte Got1xxResponse* ( FinalResponseStart head? )? )?
head       = GotHeaderField* GotResponseHead Redirect?
             ( Upgraded | ( ResponseBodyStart ResponseBodyChunk* )? GotTrailerField* ResponseBodyDone )
dial       = DialStart ( names || DialPlan* || contestant* ) ConnOpened? DialDone
names      = name name?                            -- the second one of a proxy that is given an address
name       = DnsSkipped | DnsStart DnsFamilyDone* DnsDone
contestant = ConnectStart ConnectDone ( tls? ( ( ProxyConnectStart ProxyConnectDone )+ tls? )? )
tls        = TlsHandshakeStart TlsHandshakeDone   -- with the proxy before proxy_connect_start, else with the origin
conn       = ConnOpened PutIdleConn? ( GotConn PutIdleConn )* ConnClosed
                                                  -- PutIdleConn?: a finished dial that lost its caller
floating, inside their stream: TimeoutFired CallCanceled Anomaly EventsLost
";

/// The checker. It takes the events that one observer of one client was told, in their order.
///
/// It expects an observer of at least [`Interest::DEFAULT`](crate::event::Interest::DEFAULT) that was there
/// from the beginning and lost nothing; [`partial`](Self::partial) and [`allow_loss`](Self::allow_loss)
/// expect less, [`strict_seq`](Self::strict_seq) expects more. It remembers every id it has seen.
#[derive(Debug, Clone, Default)]
pub struct Grammar {
    partial: bool,
    loss_allowed: bool,
    strict_seq: bool,
    lost: bool,
    index: usize,
    last: BTreeMap<Stream, Last>,
    calls: BTreeMap<CallId, Call>,
    dials: BTreeMap<DialId, Dial>,
    conns: BTreeMap<ConnId, Conn>,
}

/// The last event of a stream.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    at: Duration,
    /// The number that may come next at the earliest.
    seq: u32,
}

impl Grammar {
    /// Makes a checker that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For an observer that is attached to single requests, or came later than the client: connections may
    /// have been opened and used before, and what happens outside its calls is not shown to it.
    #[must_use]
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// Accepts `events_lost`. After a loss only `at` and `seq` can be checked.
    #[must_use]
    pub fn allow_loss(mut self) -> Self {
        self.loss_allowed = true;
        self
    }

    /// For an observer of [`Interest::ALL`](crate::event::Interest::ALL): the numbers of a call have no gap.
    #[must_use]
    pub fn strict_seq(mut self) -> Self {
        self.strict_seq = true;
        self
    }

    /// Says whether events were lost.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.lost
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// The rule that it breaks. The checker is of no use afterwards.
    pub fn event(&mut self, event: &Event) -> Result<(), Violation> {
        let index = self.index;
        self.index += 1;
        let located = |stream| move |fault: Fault| fault.at(stream, index, Some(event));
        if event.kind() == EventKind::EventsLost {
            return self.loss().map_err(located(Stream::Client));
        }
        for stream in Stream::of(event) {
            self.time(stream, event).map_err(located(stream))?;
        }
        let counting = Stream::counting(event);
        self.seq(counting, event).map_err(located(counting))?;
        if self.lost {
            return Ok(());
        }
        ids(event).map_err(located(counting))?;
        self.client(event).map_err(located(Stream::Client))?;
        self.streams(event)
            .map_err(|(stream, fault)| fault.at(stream, index, Some(event)))
    }

    /// Checks that every call and dial has ended and no connection is on loan. Idle ones may be open.
    ///
    /// # Errors
    /// What has not ended, and where.
    pub fn finish(&self) -> Result<(), Violation> {
        if self.lost {
            return Ok(());
        }
        let missing = |stream| move |fault: Fault| fault.at(stream, self.index, None);
        for (id, call) in &self.calls {
            call.ended().map_err(missing(Stream::Call(*id)))?;
        }
        for (id, dial) in self.dials.iter().filter(|_| !self.partial) {
            dial.ended().map_err(missing(Stream::Dial(*id)))?;
        }
        for (id, conn) in &self.conns {
            conn.given_back()
                .map_err(missing(Stream::Connection(*id)))?;
        }
        Ok(())
    }

    /// Checks as [`finish`](Self::finish) does, and that every connection was closed.
    ///
    /// # Errors
    /// What has not ended, and where.
    pub fn finish_all(&self) -> Result<(), Violation> {
        self.finish()?;
        if self.lost || self.partial {
            return Ok(());
        }
        for (id, conn) in &self.conns {
            conn.ended()
                .map_err(|fault| fault.at(Stream::Connection(*id), self.index, None))?;
        }
        Ok(())
    }

    fn loss(&mut self) -> Result<(), Fault> {
        self.lost = true;
        ensure(self.loss_allowed, Rule::Lost, "events were lost")
    }

    fn time(&mut self, stream: Stream, event: &Event) -> Result<(), Fault> {
        let last = self.last.entry(stream).or_default();
        let forward = event.at() >= last.at;
        last.at = event.at();
        ensure(forward, Rule::Time, "at goes back")
    }

    fn seq(&mut self, stream: Stream, event: &Event) -> Result<(), Fault> {
        let last = self.last.entry(stream).or_default();
        let next = last.seq;
        last.seq = event.seq().saturating_add(1);
        let gap = self.strict_seq && !self.lost && event.call().is_some() && event.seq() != next;
        ensure(event.seq() >= next, Rule::Seq, "seq does not rise")?;
        ensure(!gap, Rule::Seq, "seq has a gap")
    }

    fn client(&self, event: &Event) -> Result<(), Fault> {
        let first = self.index == 1;
        ensure(
            event.kind() != EventKind::ClientStart || first,
            Rule::Client,
            "client_start comes once and first",
        )
    }

    /// Hands the event to each of its streams, then looks across them.
    fn streams(&mut self, event: &Event) -> Result<(), (Stream, Fault)> {
        if let Some(id) = event.call() {
            let stream = Stream::Call(id);
            self.closed_at_once(id, event)
                .and_then(|()| self.calls.entry(id).or_insert_with(Call::new).event(event))
                .map_err(|fault| (stream, fault))?;
        }
        if let Some(id) = event.dial() {
            let dial = self.dials.entry(id).or_insert_with(Dial::new);
            dial.event(event)
                .map_err(|fault| (Stream::Dial(id), fault))?;
        }
        if let Some(id) = event.connection() {
            let stream = Stream::Connection(id);
            self.dialed(id, event)
                .and_then(|()| self.conn(id, event.kind()).event(event))
                .map_err(|fault| (stream, fault))?;
        }
        Ok(())
    }

    fn conn(&mut self, id: ConnId, kind: EventKind) -> &mut Conn {
        let late = self.partial && kind != EventKind::ConnOpened;
        let make = if late { Conn::late } else { Conn::new };
        self.conns.entry(id).or_insert_with(make)
    }

    /// Rule 2: nothing of the call comes between a refused `put_idle_conn` and its `conn_closed`.
    fn closed_at_once(&self, id: CallId, event: &Event) -> Result<(), Fault> {
        let Some(owed) = self.calls.get(&id).and_then(Call::owed) else {
            return Ok(());
        };
        let closes = event.kind() == EventKind::ConnClosed && event.connection() == Some(owed);
        let closed = self.conns.get(&owed).is_some_and(Conn::is_closed);
        ensure(
            closes || closed,
            Rule::OneConnection,
            "a connection that is not put back is closed at once",
        )
    }

    /// Rule 10: the dial ends before its connection is handed out.
    fn dialed(&self, id: ConnId, event: &Event) -> Result<(), Fault> {
        let given = matches!(
            event.kind(),
            EventKind::GotConn | EventKind::PutIdleConn | EventKind::ConnClosed
        );
        let dial = self.conns.get(&id).and_then(Conn::dial);
        let open = dial.is_some_and(|dial| !self.dials.get(&dial).is_some_and(Dial::is_ended));
        ensure(
            !(given && open),
            Rule::Order,
            "dial_done comes before the connection is used",
        )
    }
}

/// Checks that an event carries the ids of its streams.
fn ids(event: &Event) -> Result<(), Fault> {
    let call = event.call().is_some();
    let attempt = call && event.attempt().is_some();
    let dial = event.dial().is_some();
    let conn = event.connection().is_some();
    let complete = match event.kind() {
        EventKind::GetConn
        | EventKind::PoolLookup
        | EventKind::QueueStart
        | EventKind::QueueDone
        | EventKind::GetConnFailed
        | EventKind::AttemptDone => attempt,
        EventKind::GotConn => attempt && conn,
        EventKind::PutIdleConn => conn && call == attempt,
        EventKind::ConnOpened => dial && conn,
        // A dial that goes on without its call has deadlines of its own.
        EventKind::TimeoutFired => call || dial,
        EventKind::CallCanceled => call,
        kind => match Group::of(kind) {
            Group::Call => call && event.attempt().is_none(),
            Group::Attempt | Group::Write | Group::Read => attempt && conn,
            Group::Dial => dial && call == attempt,
            Group::Connection => conn,
            Group::Client => !call && !dial && !conn,
            Group::Floating => true,
        },
    };
    ensure(
        complete,
        Rule::Ids,
        "the event does not carry the ids of its streams",
    )
}

/// Checks a whole list of events: each of them, and [`Grammar::finish`].
///
/// # Errors
/// The first violation.
pub fn check<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<(), Violation> {
    let mut grammar = Grammar::new();
    for event in events {
        grammar.event(event)?;
    }
    grammar.finish()
}
