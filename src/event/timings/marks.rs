//! The moments of a call, noted as its events pass, and the pure fold of them into timings.
//!
//! The rule guarded here: the phases sum to the total exactly, whatever happened.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::event::kind::EventKind;
use crate::event::payload::TlsRole;
use crate::event::timings::dialed::Dialed;
use crate::event::timings::{Moments, Phases, Timings};

/// A moment of a call, counted from its first one. There are many of them in every call, so that they are kept small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(NonZeroU64);

impl Moment {
    const FIRST: Self = Self(NonZeroU64::MIN);

    fn since(origin: Instant, now: Instant) -> Self {
        let elapsed = now.saturating_duration_since(origin);
        let nanos = elapsed
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(elapsed.subsec_nanos()));
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(1))
    }
}

/// A time that adds up, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span(u64);

impl Span {
    pub(super) fn add(&mut self, more: Duration) {
        let nanos = u64::try_from(more.as_nanos()).unwrap_or(u64::MAX);
        self.0 = self.0.saturating_add(nanos);
    }

    pub(super) fn get(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// The moments of a call, noted as they pass. What most calls have not is boxed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// The moment from which all others count.
    origin: Option<Instant>,
    /// What was counted last: many events happen at the same time.
    counted: Option<(Instant, Moment)>,
    start: Option<Moment>,
    end: Option<Moment>,
    get_conn: Option<Moment>,
    conn_end: Option<Moment>,
    /// Whether the connection had served before.
    reused: bool,
    first_write: Option<Moment>,
    wrote_request: Option<Moment>,
    first_byte: Option<Moment>,
    final_start: Option<Moment>,
    head: Option<Moment>,
    body_done: Option<Moment>,
    caller_in_receive: Span,
    dialed: Option<Box<Dialed>>,
    paused: Option<Box<Paused>>,
    before: Option<Box<Before>>,
}

/// What held the body of the request back.
#[derive(Debug, Clone, Copy, Default)]
struct Paused {
    expect_start: Option<Moment>,
    expect_done: Option<Moment>,
    /// Time that was spent in the caller's body source.
    caller: Span,
}

/// What was before the attempt under way.
#[derive(Debug, Clone, Default)]
struct Before {
    /// When the hop under way began, if it is not the first.
    hop: Option<Moment>,
    /// The hops before.
    hops: Vec<Phases>,
    /// When the last repeat of the hop began, if there was one.
    repeated: Option<Moment>,
}

impl Marks {
    /// Notes the moment of an event, if any phase counts from it or to it.
    #[inline]
    pub(crate) fn note(&mut self, kind: EventKind, now: Instant) {
        match kind {
            EventKind::CallStart => self.start = Some(self.moment(now)),
            EventKind::CallDone => self.end = Some(self.moment(now)),
            EventKind::GetConn => self.get_conn = Some(self.moment(now)),
            EventKind::GotConn => {
                self.conn_end = Some(self.moment(now));
            }
            EventKind::GetConnFailed => {
                let now = self.moment(now);
                self.conn_end = Some(now);
                if let Some(dialed) = &mut self.dialed {
                    dialed.names_came(now);
                }
            }
            EventKind::DnsStart | EventKind::ConnectStart | EventKind::ProxyConnectStart => {
                self.in_dial(now, |dialed, now| dialed.note(kind, now));
            }
            EventKind::WroteRequest => self.wrote_request = Some(self.moment(now)),
            EventKind::Wait100Continue => {
                let now = self.moment(now);
                self.paused.get_or_insert_default().expect_start = Some(now);
            }
            EventKind::ExpectDone => {
                let now = self.moment(now);
                self.paused.get_or_insert_default().expect_done = Some(now);
            }
            EventKind::GotFirstResponseByte => self.first_byte = Some(self.moment(now)),
            EventKind::FinalResponseStart => self.final_start = Some(self.moment(now)),
            EventKind::GotResponseHead => self.head = Some(self.moment(now)),
            EventKind::Upgraded | EventKind::ResponseBodyDone => {
                self.body_done = Some(self.moment(now))
            }
            _ => {}
        }
    }

    /// Forgets the moments of an attempt that is made again; its time counts as `retry`.
    pub(crate) fn repeat(&mut self, now: Instant) {
        let now = self.moment(now);
        let mut before = self.before.take().unwrap_or_default();
        before.repeated = Some(now);
        self.begin_again(before);
    }

    /// Keeps the phases of a hop that is left; its time counts as `redirect`.
    pub(crate) fn next_hop(&mut self, now: Instant) {
        let now = self.moment(now);
        let mut before = self.before.take().unwrap_or_default();
        let began = before.hop.or(self.start).unwrap_or(now);
        before
            .hops
            .push(self.phases(began, None, before.repeated, now));
        before.hop = Some(now);
        before.repeated = None;
        self.begin_again(before);
    }

    fn begin_again(&mut self, before: Box<Before>) {
        *self = Self {
            origin: self.origin,
            start: self.start,
            before: Some(before),
            ..Self::default()
        };
    }

    /// Notes when the contestant that connected had started.
    pub(crate) fn connected(&mut self, started: Instant, now: Instant) {
        let started = self.moment(started);
        self.in_dial(now, |dialed, now| dialed.connected(started, now));
    }

    /// Notes that a handshake began.
    pub(crate) fn tls_began(&mut self, to: TlsRole, now: Instant) {
        self.in_dial(now, |dialed, now| dialed.tls_began(to, now));
    }

    /// Notes that a handshake ended, well or not.
    pub(crate) fn tls_ended(&mut self, to: TlsRole, now: Instant) {
        self.in_dial(now, |dialed, now| dialed.tls_ended(to, now));
    }

    /// Notes that a proxy did what it was asked for: the handshake, or the tunnel.
    pub(crate) fn proxy_did(&mut self, now: Instant) {
        self.in_dial(now, Dialed::proxy_did);
    }

    /// Notes that the race has nobody to start until names come.
    pub(crate) fn blocked_on_names(&mut self, now: Instant) {
        self.in_dial(now, Dialed::blocked_on_names);
    }

    fn in_dial(&mut self, now: Instant, note: impl FnOnce(&mut Dialed, Moment)) {
        let now = self.moment(now);
        note(self.dialed.get_or_insert_default(), now);
    }

    /// Notes that a connection came which was not dialed for this attempt: the phases of a dial do not count, and waiting
    /// for it was waiting for a connection.
    pub(crate) fn joined(&mut self) {
        self.dialed = None;
    }

    /// Notes whether the connection of the attempt had served before.
    pub(crate) fn reused(&mut self, reused: bool) {
        self.reused = reused;
    }

    /// Notes that the first byte of the request was handed to the kernel.
    pub(crate) fn first_write(&mut self, now: Instant) {
        let now = self.moment(now);
        self.first_write = self.first_write.or(Some(now));
    }

    /// Adds time that was spent in the caller's body source.
    pub(crate) fn caller_sends(&mut self, spent: Duration) {
        if self.final_start.is_none() {
            self.paused.get_or_insert_default().caller.add(spent);
        } else {
            self.caller_in_receive.add(spent);
        }
    }

    /// Adds time that the response waited for its reader.
    pub(crate) fn caller_reads(&mut self, spent: Duration) {
        self.caller_in_receive.add(spent);
    }

    /// When the call began, if it did.
    pub(crate) fn started(&self) -> Option<Instant> {
        self.instant(self.start?)
    }

    /// When the connection was wanted, if it was.
    pub(crate) fn wanted(&self) -> Option<Instant> {
        self.instant(self.get_conn?)
    }

    /// The moment that counts for now; the first one is that from which the others count.
    fn moment(&mut self, now: Instant) -> Moment {
        match self.counted {
            Some((at, moment)) if at == now => moment,
            _ => {
                let moment = match self.origin {
                    Some(origin) => Moment::since(origin, now),
                    None => {
                        self.origin = Some(now);
                        Moment::FIRST
                    }
                };
                self.counted = Some((now, moment));
                moment
            }
        }
    }

    fn instant(&self, moment: Moment) -> Option<Instant> {
        self.origin?.checked_add(moment.elapsed())
    }

    /// Folds the moments into timings; a call that has not ended is taken to end now.
    pub(crate) fn timings(&self, now: Instant) -> Timings {
        let now = Moment::since(self.origin.unwrap_or(now), now);
        let start = self.start.unwrap_or(now);
        let end = self.end.unwrap_or(now).max(start);
        let since = |mark: Option<Moment>| mark.map(|at| length(start, at));
        let Before {
            hop,
            hops,
            repeated,
        } = self.before.as_deref().cloned().unwrap_or_default();
        let dialed = self.of_dial();
        Timings {
            phases: self.phases(start, hop, repeated, end),
            hops,
            ttfb: since(self.first_byte),
            ttfb_final: since(self.final_start),
            connect_win: dialed
                .connect_won
                .map(|(started, won)| length(started, won)),
            headers: span(self.final_start, self.head),
            early_response: self.early_response(),
            reused: self.reused,
            at: Moments {
                lookup: since(dialed.connect_first.or(self.conn_end)),
                connect: since(dialed.connect_won.map(|(_, won)| won).or(self.conn_end)),
                tls: since(dialed.tls_done),
                send: since(self.first_write.or(self.conn_end)),
                sent: since(self.wrote_request),
            },
        }
    }

    fn early_response(&self) -> Option<Duration> {
        let early = span(self.final_start, self.wrote_request)?;
        (!early.is_zero()).then_some(early)
    }

    /// The moments of the dial, none if there was no dial.
    fn of_dial(&self) -> Dialed {
        self.dialed.as_deref().copied().unwrap_or_default()
    }

    /// The phases from a start to an end; what lies before the start of a later hop was spent on redirects, and before
    /// that of a repeat on what was tried in vain.
    fn phases(
        &self,
        start: Moment,
        hop: Option<Moment>,
        repeated: Option<Moment>,
        end: Moment,
    ) -> Phases {
        let conn_end = self.conn_end.unwrap_or(end);
        let [dns, tcp, proxy, tls] = self.of_dial().phases(conn_end);
        let made = sum([dns, tcp, proxy, tls]);
        let queue = self
            .get_conn
            .map(|from| length(from, conn_end).saturating_sub(made));
        // A final response ends the wait for a 100 with its first byte, although the head has yet to say what it is.
        let received = self.final_start.unwrap_or(end);
        let paused = self.paused.as_deref().copied().unwrap_or_default();
        let wait100 = paused
            .expect_start
            .map(|from| length(from, paused.expect_done.unwrap_or(end).min(received)));
        let sent = self.wrote_request.unwrap_or(end).min(received);
        let caller_in_send = paused.caller.get();
        let caller_in_receive = self.caller_in_receive.get();
        let send = self.first_write.map(|from| {
            length(from, sent)
                .saturating_sub(wait100.unwrap_or_default())
                .saturating_sub(caller_in_send)
        });
        let wait = self.wrote_request.map(|from| length(from, received));
        let receive = self.final_start.map(|from| {
            length(from, self.body_done.unwrap_or(end)).saturating_sub(caller_in_receive)
        });
        let caller = caller_in_send + caller_in_receive;
        let caller = (!caller.is_zero()).then_some(caller);
        let total = length(start, end);
        let redirect = hop.map(|began| length(start, began));
        let retry = repeated.map(|until| length(hop.unwrap_or(start), until));
        let known = sum([
            queue, dns, tcp, proxy, tls, send, wait100, wait, receive, caller, retry, redirect,
        ]);
        Phases {
            queue,
            dns,
            tcp,
            proxy,
            tls,
            send,
            wait100,
            wait,
            receive,
            caller,
            retry,
            redirect,
            other: total.saturating_sub(known),
            total,
        }
    }
}

pub(super) fn length(from: Moment, to: Moment) -> Duration {
    to.elapsed().saturating_sub(from.elapsed())
}

pub(super) fn span(from: Option<Moment>, to: Option<Moment>) -> Option<Duration> {
    Some(length(from?, to?))
}

fn sum<const N: usize>(spans: [Option<Duration>; N]) -> Duration {
    spans.into_iter().flatten().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventKind as K;
    use proptest::prelude::*;

    fn fold(marks: &[(EventKind, u64)]) -> Timings {
        let origin = crate::testing::origin();
        let mut fold = Marks::default();
        for (kind, ms) in marks {
            fold.note(*kind, origin + Duration::from_millis(*ms));
        }
        fold.first_write(origin + Duration::from_millis(60));
        fold.timings(origin + Duration::from_millis(1000))
    }

    #[test]
    fn phases_of_a_plain_call() {
        let timings = fold(&[
            (K::CallStart, 0),
            (K::GetConn, 1),
            (K::DnsStart, 2),
            (K::ConnectStart, 20),
            (K::GotConn, 60),
            (K::WroteRequest, 61),
            (K::GotFirstResponseByte, 100),
            (K::FinalResponseStart, 110),
            (K::GotResponseHead, 112),
            (K::ResponseBodyDone, 150),
            (K::CallDone, 151),
        ]);
        let phases = timings.phases();
        assert_eq!(phases.dns, Some(Duration::from_millis(18)));
        assert_eq!(phases.tcp, Some(Duration::from_millis(40)));
        assert_eq!(phases.tls, None);
        assert_eq!(phases.wait, Some(Duration::from_millis(49)));
        assert_eq!(phases.receive, Some(Duration::from_millis(40)));
        assert_eq!(timings.ttfb(), Some(Duration::from_millis(100)));
        assert_eq!(timings.ttfb_final(), Some(Duration::from_millis(110)));
        assert_eq!(timings.headers(), Some(Duration::from_millis(2)));
        assert_eq!(phases.sum(), phases.total);
    }

    /// A step of a dial through a proxy, at its millisecond.
    type Step = fn(&mut Marks, Instant);

    fn connected(marks: &mut Marks, now: Instant) {
        marks.connected(now - Duration::from_millis(5), now);
    }

    fn proxied(steps: &[(u64, Step)]) -> Phases {
        let origin = crate::testing::origin();
        let at = |ms| origin + Duration::from_millis(ms);
        let mut marks = Marks::default();
        for (kind, ms) in [(K::CallStart, 0), (K::GetConn, 0), (K::ConnectStart, 5)] {
            marks.note(kind, at(ms));
        }
        for (ms, step) in steps {
            step(&mut marks, at(*ms));
        }
        marks.note(K::GotConn, at(100));
        let timings = marks.timings(at(100));
        assert_eq!(timings.phases().sum(), timings.total());
        *timings.phases()
    }

    const ASK: Step = |marks, now| marks.note(K::ProxyConnectStart, now);
    const OPEN: Step = Marks::proxy_did;
    const PROXY_TLS: Step = |marks, now| marks.tls_began(TlsRole::Proxy, now);
    const PROXY_SECURED: Step = |marks, now| marks.tls_ended(TlsRole::Proxy, now);
    const TLS: Step = |marks, now| marks.tls_began(TlsRole::Origin, now);
    const SECURED: Step = |marks, now| marks.tls_ended(TlsRole::Origin, now);

    #[test]
    fn proxy_is_tls_with_it_and_the_tunnel_and_tls_is_with_the_origin() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let check = |steps: &[(u64, Step)], expected: [Option<Duration>; 3]| {
            let phases = proxied(steps);
            assert_eq!([phases.tcp, phases.proxy, phases.tls], expected);
        };
        let whole: [(u64, Step); 7] = [
            (10, connected),
            (10, PROXY_TLS),
            (30, PROXY_SECURED),
            (30, ASK),
            (60, OPEN),
            (60, TLS),
            (100, SECURED),
        ];
        check(&whole, [ms(5), ms(50), ms(40)]);
        // No tunnel, no TLS with the origin, neither.
        check(&whole[..3], [ms(5), ms(20), None]);
        check(&[whole[0], whole[3], whole[4]], [ms(5), ms(30), None]);
        check(&[whole[0], whole[5], whole[6]], [ms(5), None, ms(40)]);
        // What did not come to its end lasted until the connection was given up.
        check(&whole[..4], [ms(5), ms(90), None]);
        check(&whole[..2], [ms(5), ms(90), None]);
        check(&whole[..6], [ms(5), ms(50), ms(40)]);
        // Of two contestants, what lies behind the connect of the winner.
        let second: [(u64, Step); 4] = [(70, connected), (70, ASK), (80, OPEN), (80, TLS)];
        let both = [&whole[..5], &second[..]].concat();
        check(&both, [ms(65), ms(10), ms(20)]);
    }

    #[test]
    fn a_lookup_for_a_proxy_and_then_one_of_it_are_dns_both() {
        const ASKED: Step = |marks, now| marks.note(K::DnsStart, now);
        let phases = proxied(&[(1, ASKED), (3, ASKED), (10, connected)]);
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!((phases.queue, phases.dns), (ms(91), ms(4)));
    }

    #[test]
    fn what_did_not_happen_is_none_and_never_zero() {
        let phases = *fold(&[(K::CallStart, 0), (K::CallDone, 5)]).phases();
        assert_eq!(
            (
                phases.dns,
                phases.tcp,
                phases.tls,
                phases.wait,
                phases.receive
            ),
            (None, None, None, None, None)
        );
        assert_eq!(phases.total, Duration::from_millis(5));
    }

    proptest! {
        /// Moments in the order of the grammar, any of the later ones missing: the phases sum to the total.
        #[test]
        fn phases_sum_to_the_total(steps in prop::collection::vec(0u64..50, 16), stop in 1usize..16, early in any::<bool>(), slow_head in any::<bool>()) {
            let mut order = [K::CallStart, K::GetConn, K::DnsStart, K::ConnectStart, K::ProxyConnectStart,
                K::ProxyConnectDone, K::TlsHandshakeStart, K::TlsHandshakeDone,
                K::GotConn, K::Wait100Continue, K::ExpectDone, K::WroteRequest, K::GotFirstResponseByte,
                K::FinalResponseStart, K::ResponseBodyDone, K::CallDone];
            if slow_head {
                // The first byte of a final head ends no wait for a 100 as long as its status is not read.
                let [.., done, wrote, first, begun, _, _] = &mut order;
                (*done, *wrote, *first, *begun) = (*first, *begun, *done, *wrote);
            }
            let origin = crate::testing::origin();
            let mut marks = Marks::default();
            let mut now = origin;
            for (index, (kind, step)) in order.iter().zip(&steps).enumerate() {
                if index >= stop && *kind != K::CallDone || early && *kind == K::WroteRequest {
                    continue;
                }
                now += Duration::from_millis(*step);
                if *kind == K::ProxyConnectStart {
                    marks.connected(origin, now);
                }
                if *kind == K::Wait100Continue {
                    marks.first_write(now);
                }
                match kind {
                    K::TlsHandshakeStart => marks.tls_began(TlsRole::Origin, now),
                    K::TlsHandshakeDone => marks.tls_ended(TlsRole::Origin, now),
                    K::ProxyConnectDone => marks.proxy_did(now),
                    _ => {}
                }
                marks.note(*kind, now);
            }
            let timings = marks.timings(now);
            prop_assert_eq!(timings.phases().sum(), timings.total());
        }
    }
}
