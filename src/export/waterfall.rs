//! The waterfall of one call: a pure function from its events to lines.

use std::fmt::Write;
use std::time::Duration;

use crate::event::{ConnectOutcome, Event, EventData, EventKind, Timings, TlsRole};
use crate::export::notes::notes;
use crate::export::shown;

/// How a waterfall is drawn. Default: 80 columns, no colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    columns: usize,
    color: bool,
}

/// Columns before the bars.
const BEFORE_BARS: usize = 36;

/// The least columns that bars get.
const BARS_MIN: usize = 10;

impl Default for Style {
    fn default() -> Self {
        Self {
            columns: 80,
            color: false,
        }
    }
}

impl Style {
    /// The default style.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how wide a line may be. Bars get at least 10 columns.
    #[must_use]
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns;
        self
    }

    /// Switches ANSI colours on or off.
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.color = color;
        self
    }

    fn bars(self) -> usize {
        self.columns.saturating_sub(BEFORE_BARS).max(BARS_MIN)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Draws one call: the status line, a row per phase with its start, its duration and a bar, then notes.
/// Bars start where the phase did; `queue`, `caller` and `other` may be in pieces and have their sum shown.
///
/// Takes the events of one call, `call_done` among them; events of other calls have to be filtered out
/// before. Ends with a line feed; without events it is empty.
#[must_use]
pub fn waterfall(events: &[Event], style: Style) -> String {
    Call::of(events).map_or_else(String::new, |call| call.draw(style))
}

/// The events of one call that has ended.
pub(crate) struct Call<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) timings: &'a Timings,
    start: Duration,
}

impl<'a> Call<'a> {
    fn of(events: &'a [Event]) -> Option<Self> {
        let timings = events.iter().rev().find_map(|event| match event.data() {
            EventData::CallDone(done) => Some(done.timings()),
            _ => None,
        })?;
        Some(Self {
            events,
            timings,
            start: events.first()?.at(),
        })
    }

    fn draw(&self, style: Style) -> String {
        let mut text = self.status_line(style);
        if self.find(EventKind::GetConn).is_some() {
            for row in self.rows() {
                row.draw(&mut text, self.timings.total(), style);
            }
        }
        for note in notes(self) {
            let _ = writeln!(text, "  {} {note}", style.paint("2", "-"));
        }
        text
    }

    /// The first event of a kind in the attempt that counts, which is the last; of the call itself, the first.
    fn find(&self, kind: EventKind) -> Option<&'a Event> {
        let (before, attempt) = self.events.split_at(self.last_attempt());
        let mut events = attempt.iter().chain(before);
        events.find(|event| event.kind() == kind)
    }

    /// Where the attempt begins that counts.
    fn last_attempt(&self) -> usize {
        let begins = |event: &Event| event.kind() == EventKind::GetConn;
        self.events.iter().rposition(begins).unwrap_or(0)
    }

    /// When the first event of a kind happened, from the start of the call.
    pub(crate) fn at(&self, kind: EventKind) -> Option<Duration> {
        self.find(kind).map(|event| self.since(event))
    }

    /// When an event happened, from the start of the call.
    pub(crate) fn since(&self, event: &Event) -> Duration {
        event.at().saturating_sub(self.start)
    }

    fn status_line(&self, style: Style) -> String {
        let (mut asked, mut answer, mut bytes) = (String::new(), None, 0);
        for event in self.events {
            match event.data() {
                EventData::CallStart(call) => asked = format!("{} {}", call.method(), call.url()),
                EventData::GotResponseHead(head) => answer = Some(head),
                EventData::ResponseBodyDone(body) => bytes = body.bytes(),
                _ => {}
            }
        }
        let (status, color) = match answer {
            Some(head) => {
                let text = format!("{} {} {}", head.version(), head.status(), head.reason());
                let color = if head.status() < 400 { "1;32" } else { "1;31" };
                (text.trim_end().to_owned(), color)
            }
            None => ("no response".to_owned(), "1;31"),
        };
        let status = style.paint(color, &status);
        let total = shown(self.timings.total());
        format!("{status}  {asked}  {bytes} B in {total}\n")
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (name, duration) in self.timings.phases().named() {
            let Some(length) = duration else { continue };
            if name == "other" && length.is_zero() {
                continue;
            }
            rows.push(Row {
                label: name.to_owned(),
                start: self.start_of(name),
                length,
                color: color_of(name),
            });
            match name {
                "tcp" => rows.extend(self.losers()),
                "redirect" => rows.extend(self.hops()),
                _ => {}
            }
        }
        rows.push(Row {
            label: "total".to_owned(),
            start: Some(Duration::ZERO),
            length: self.timings.total(),
            color: "2",
        });
        rows
    }

    fn start_of(&self, phase: &str) -> Option<Duration> {
        match phase {
            "redirect" => Some(Duration::ZERO),
            "queue" => self.at(EventKind::GetConn),
            "dns" => self.at(EventKind::DnsStart),
            "tcp" => self.at(EventKind::ConnectStart),
            "proxy" => [
                self.handshake(TlsRole::Proxy),
                self.at(EventKind::ProxyConnectStart),
            ]
            .into_iter()
            .flatten()
            .min(),
            "tls" => self.handshake(TlsRole::Origin),
            "send" => self.at(EventKind::GotConn),
            "wait100" => self.at(EventKind::Wait100Continue),
            "wait" => self.at(EventKind::WroteRequest),
            "receive" => self.at(EventKind::FinalResponseStart),
            _ => None,
        }
    }

    /// When TLS with that peer was begun.
    fn handshake(&self, peer: TlsRole) -> Option<Duration> {
        let (_, attempt) = self.events.split_at(self.last_attempt());
        let begins = |event: &&Event| match event.data() {
            EventData::TlsHandshakeStart(start) => start.to() == peer,
            _ => false,
        };
        attempt.iter().find(begins).map(|event| self.since(event))
    }

    /// A row for each hop before the last.
    fn hops(&self) -> Vec<Row> {
        let followed = self.events.iter().filter_map(|event| match event.data() {
            EventData::Redirect(redirect) if redirect.followed() => Some(redirect.status()),
            _ => None,
        });
        let mut start = Duration::ZERO;
        let mut rows = Vec::new();
        for (status, hop) in followed.zip(self.timings.hops()) {
            rows.push(Row {
                label: format!(" {status}"),
                start: Some(start),
                length: hop.total,
                color: "2",
            });
            start += hop.total;
        }
        rows
    }

    /// A row for each contestant that did not connect.
    fn losers(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let (_, attempt) = self.events.split_at(self.last_attempt());
        for event in attempt {
            let EventData::ConnectDone(done) = event.data() else {
                continue;
            };
            if done.outcome() != ConnectOutcome::Connected {
                rows.push(Row {
                    label: format!(" {}", done.outcome().tag()),
                    start: Some(self.since(event).saturating_sub(done.elapsed())),
                    length: done.elapsed(),
                    color: "31",
                });
            }
        }
        rows
    }
}

/// One line with a bar.
struct Row {
    label: String,
    start: Option<Duration>,
    length: Duration,
    color: &'static str,
}

impl Row {
    fn draw(&self, text: &mut String, total: Duration, style: Style) {
        let start = self.start.map(shown).unwrap_or_default();
        let (before, bar) = self.bar(total, style.bars());
        let _ = writeln!(
            text,
            "  {:<9} {start:>11} {:>11} {before}{}",
            self.label,
            shown(self.length),
            style.paint(self.color, &bar)
        );
    }

    /// The space before the bar and the bar. What is too short for half a column is a thin line.
    fn bar(&self, total: Duration, columns: usize) -> (String, String) {
        let Some(start) = self.start.filter(|_| !total.is_zero()) else {
            return (String::new(), String::new());
        };
        let column = |at: Duration| at.as_secs_f64() / total.as_secs_f64() * columns as f64;
        let first = (column(start).floor() as usize).min(columns - 1);
        let width = column(self.length);
        let bar = if width < 0.5 {
            "▏".to_owned()
        } else {
            "█".repeat((width.round() as usize).clamp(1, columns - first))
        };
        (" ".repeat(first), bar)
    }
}

fn color_of(phase: &str) -> &'static str {
    match phase {
        "dns" => "36",
        "tcp" => "32",
        "proxy" => "31",
        "tls" => "35",
        "send" => "34",
        "wait" | "wait100" => "33",
        "receive" => "34",
        _ => "2",
    }
}

#[cfg(test)]
mod tests;
