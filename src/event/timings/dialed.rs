//! The moments of a connection that was made for an attempt, and their part of the fold.

use std::time::Duration;

use crate::event::TlsRole;
use crate::event::kind::EventKind;
use crate::event::timings::marks::{Moment, Span, length, span};

/// The moments of a dial.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dialed {
    dns_start: Option<Moment>,
    pub(super) connect_first: Option<Moment>,
    /// When the contestant that connected had started, and when it connected.
    pub(super) connect_won: Option<(Moment, Moment)>,
    /// Since when the race is blocked on nothing but names, if it is.
    names_since: Option<Moment>,
    /// How long it was, after its first contestant.
    names_later: Span,
    /// When a proxy was first spoken to, and when it did what it was asked for last.
    proxy_start: Option<Moment>,
    proxy_done: Option<Moment>,
    tls_start: Option<Moment>,
    pub(super) tls_done: Option<Moment>,
}

impl Dialed {
    /// Notes the moment of an event, if a phase counts from it.
    pub(super) fn note(&mut self, kind: EventKind, now: Moment) {
        match kind {
            // What lies behind a proxy may be looked up before the proxy.
            EventKind::DnsStart => self.dns_start = self.dns_start.or(Some(now)),
            EventKind::ConnectStart => {
                self.connect_first = self.connect_first.or(Some(now));
                self.names_came(now);
            }
            EventKind::ProxyConnectStart => self.proxy_began(now),
            _ => {}
        }
    }

    pub(super) fn connected(&mut self, started: Moment, now: Moment) {
        self.connect_won = Some((started, now));
    }

    pub(super) fn tls_began(&mut self, to: TlsRole, now: Moment) {
        match to {
            TlsRole::Origin => self.tls_start = Some(now),
            TlsRole::Proxy => self.proxy_began(now),
        }
    }

    pub(super) fn tls_ended(&mut self, to: TlsRole, now: Moment) {
        match to {
            TlsRole::Origin => self.tls_done = Some(now),
            TlsRole::Proxy => self.proxy_did(now),
        }
    }

    fn proxy_began(&mut self, now: Moment) {
        self.proxy_start = self.proxy_start.or(Some(now));
        self.proxy_done = None;
    }

    pub(super) fn proxy_did(&mut self, now: Moment) {
        self.proxy_done = Some(now);
    }

    pub(super) fn blocked_on_names(&mut self, now: Moment) {
        self.names_since = self.names_since.or(Some(now));
    }

    /// The race is not blocked on names any more, if it was.
    pub(super) fn names_came(&mut self, now: Moment) {
        if let Some(since) = self.names_since.take() {
            self.names_later.add(length(since, now));
        }
    }

    /// The lookup, the connect, the proxy and the TLS handshake, of a dial that was over by then.
    pub(super) fn phases(self, end: Moment) -> [Option<Duration>; 4] {
        let blocked = self.names_since.map(|from| length(from, end));
        let names_later = self.names_later.get() + blocked.unwrap_or_default();
        let dns = self
            .dns_start
            .map(|from| length(from, self.connect_first.unwrap_or(end)) + names_later);
        let connected = self.connect_won.map(|(_, won)| won);
        let tcp = self
            .connect_first
            .map(|from| length(from, connected.unwrap_or(end)).saturating_sub(names_later));
        // Of several contestants, what lies behind the connect of the winner.
        let behind = |from: Moment| connected.map_or(from, |at| from.max(at));
        let asked = self.proxy_start.map(behind);
        let answered = asked.map(|from| {
            let done = self.proxy_done.filter(|done| *done >= from);
            done.unwrap_or(end)
        });
        let proxy = span(asked, answered);
        let tls = self.tls_start.map(|from| {
            let from = behind(from);
            length(
                answered.map_or(from, |at| from.max(at)),
                self.tls_done.unwrap_or(end),
            )
        });
        [dns, tcp, proxy, tls]
    }
}
