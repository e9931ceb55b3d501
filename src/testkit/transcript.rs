//! Events as text, one line per event.
//!
//! ```text
//!     12.345 ms  call 1 conn 1         got_conn {"reused":false,"was_idle":false,…}
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::event::Event;

/// An ordered rendering of events.
///
/// As it is, it shows the real ids and times, counted from its first event. [`stable`](Self::stable) makes a
/// form that is the same in each run, for snapshots.
///
/// ```
/// use wirescope::testkit::transcript::Transcript;
/// assert_eq!(Transcript::of(&[]).stable().to_string(), "");
/// ```
#[derive(Debug, Clone)]
pub struct Transcript<'a> {
    events: &'a [Event],
    form: Form,
    mark: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Everything as it was.
    Real,
    /// The same in each run; the times too, because the clock was virtual.
    Virtual,
    /// The same in each run, times as 0.
    Stable,
}

impl<'a> Transcript<'a> {
    /// Makes a transcript of those events, in their order.
    #[must_use]
    pub fn of(events: &'a [Event]) -> Self {
        Self {
            events,
            form: Form::Real,
            mark: None,
        }
    }

    /// Shows what is the same in each run: ids numbered from 1 in order of appearance, times and durations as
    /// 0, and `*` for ports from 1024 on, versions, fingerprints, the wall clock.
    #[must_use]
    pub fn stable(mut self) -> Self {
        self.form = Form::Stable;
        self
    }

    /// As [`stable`](Self::stable), with the real times and durations, for events of a virtual clock.
    #[must_use]
    pub fn stable_with_times(mut self) -> Self {
        self.form = Form::Virtual;
        self
    }

    /// Points at the line of an event, counted from 0; at the end if there is no such event.
    #[must_use]
    pub fn with_mark(mut self, index: usize) -> Self {
        self.mark = Some(index);
        self
    }

    fn line(&self, event: &Event, start: Duration, ids: &mut Ids) -> String {
        let time = match self.form {
            Form::Stable => Duration::ZERO,
            Form::Real | Form::Virtual => event.at().saturating_sub(start),
        };
        let micros = time.as_micros();
        let envelope = self.envelope(event, ids);
        let payload = match self.form {
            Form::Real => event.payload_json(),
            form => normalised(&event.payload_json(), form, ids),
        };
        let (millis, rest) = (micros / 1000, micros % 1000);
        format!(
            "{millis:>6}.{rest:03} ms  {envelope:<24}  {} {payload}",
            event.kind()
        )
    }

    fn envelope(&self, event: &Event, ids: &mut Ids) -> String {
        let mut words = Vec::new();
        let named = [
            ("call", event.call().map(|id| id.get())),
            ("dial", event.dial().map(|id| id.get())),
            ("conn", event.connection().map(|id| id.get())),
        ];
        for (stream, id) in named {
            if let Some(id) = id {
                words.push(format!("{stream} {}", self.id(stream, id, ids)));
            }
            if let ("call", Some(attempt @ 1..)) = (stream, event.attempt()) {
                words.push(format!("attempt {attempt}"));
            }
        }
        words.join(" ")
    }

    fn id(&self, stream: &'static str, id: u64, ids: &mut Ids) -> u64 {
        match self.form {
            Form::Real => id,
            Form::Virtual | Form::Stable => ids.number(stream, id),
        }
    }
}

impl fmt::Display for Transcript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.events.first().map_or(Duration::ZERO, Event::at);
        let mut ids = Ids::default();
        for (index, event) in self.events.iter().enumerate() {
            let line = self.line(event, start, &mut ids);
            match self.mark {
                None => writeln!(f, "{line}")?,
                Some(mark) if mark == index => writeln!(f, "--> {line}")?,
                Some(_) => writeln!(f, "    {line}")?,
            }
        }
        match self.mark {
            Some(mark) if mark >= self.events.len() => writeln!(f, "--> (end)"),
            _ => Ok(()),
        }
    }
}

/// Ids in order of appearance.
#[derive(Debug, Default)]
struct Ids(BTreeMap<(&'static str, u64), u64>);

impl Ids {
    fn number(&mut self, stream: &'static str, id: u64) -> u64 {
        let of_stream = self.0.keys().filter(|(of, _)| *of == stream).count();
        let next = u64::try_from(of_stream)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        *self.0.entry((stream, id)).or_insert(next)
    }
}

/// Keys whose text differs from run to run.
const VOLATILE: &[&str] = &[
    "wall_clock",
    "crate_version",
    "sha256",
    "not_before",
    "not_after",
];

/// The smallest port that may differ from run to run.
const PORT_MIN: u32 = 1024;

/// Rewrites a payload so that it is the same in each run.
fn normalised(json: &str, form: Form, ids: &mut Ids) -> String {
    let mut shown = String::with_capacity(json.len());
    let mut key = "";
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let length = token(rest);
        let (word, after) = rest.split_at(length);
        rest = after;
        match first {
            '"' if rest.starts_with(':') => {
                key = word.trim_matches('"');
                shown.push_str(word);
            }
            '"' => shown.push_str(&text(key, word, form)),
            '0'..='9' | '-' => shown.push_str(&number(key, word, form, ids)),
            _ => shown.push_str(word),
        }
    }
    shown
}

/// The length of the token that begins the text: a string, a number, or one character.
fn token(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    match text.as_bytes().first() {
        Some(b'"') => string_end(text),
        Some(b'0'..=b'9' | b'-') => text
            .find(|c: char| !c.is_ascii_digit() && c != '-')
            .unwrap_or(text.len()),
        _ => first,
    }
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

fn text(key: &str, word: &str, form: Form) -> String {
    if VOLATILE.contains(&key) {
        return "\"*\"".into();
    }
    let version = concat!("wirescope/", env!("CARGO_PKG_VERSION"));
    let word = without_ports(&word.replace(version, "wirescope/*"));
    match form {
        Form::Stable if key == "message" => without_elapsed(word),
        Form::Stable | Form::Virtual | Form::Real => word,
    }
}

/// Writes `*` for the times in the message of an error.
fn without_elapsed(message: String) -> String {
    let mut pieces = message.split(" ms");
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let kept = shown.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        if kept < shown.len() {
            shown.truncate(kept);
            shown.push('*');
        }
        shown.push_str(" ms");
        shown.push_str(piece);
    }
    shown
}

fn number(key: &str, word: &str, form: Form, ids: &mut Ids) -> String {
    let value: u64 = word.parse().unwrap_or_default();
    let is_port = key == "port" && value >= u64::from(PORT_MIN);
    let is_time = key.ends_with("_ns") && key != "limit_ns" && form == Form::Stable;
    match key {
        "connection" => ids.number("conn", value).to_string(),
        _ if is_port || is_time || key == "pid" || VOLATILE.contains(&key) => "0".into(),
        _ => word.into(),
    }
}

/// Writes `*` for the ports of authorities and addresses.
fn without_ports(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon + 1);
        shown.push_str(before);
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (number, behind) = after.split_at(digits);
        let is_port = number
            .parse::<u32>()
            .is_ok_and(|port| (PORT_MIN..=65_535).contains(&port))
            && ends_a_host(before)
            && !goes_on(behind);
        shown.push_str(if is_port { "*" } else { number });
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

/// Says whether what follows a number makes it a part of something longer: of a name, or of an IPv6 address.
fn goes_on(behind: &str) -> bool {
    let mut chars = behind.chars();
    match chars.next() {
        Some(':') => chars
            .next()
            .is_some_and(|c| c == ':' || c.is_ascii_alphanumeric()),
        first => first.is_some_and(|c| c == ']' || c.is_ascii_alphanumeric()),
    }
}

fn ends_a_host(before: &str) -> bool {
    before
        .strip_suffix(':')
        .is_some_and(|host| host.ends_with(|c: char| c.is_ascii_alphanumeric() || c == ']'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::script::events;

    const SCRIPT: &str = "
        client_start
        c7 call_start url=http://127.0.0.1:40123/
        c7 a0 get_conn target=127.0.0.1:80
        c7 a0 d9 dial_start
        c7 a0 d9 n5 dial_done winner=0 connection=5
        c8 a1 n5 got_conn was_idle addr=[::1]:50000
        n6 conn_closed";

    #[test]
    fn a_transcript_shows_what_happened() {
        let events = events(SCRIPT);
        let text = Transcript::of(&events[2..4]).to_string();
        let expected = "     0.000 ms  call 7                    get_conn {\"target\":\"127.0.0.1:80\",\"url\":\"http://h/\",\"proxy\":null}\n     1.000 ms  call 7 dial 9             dial_start {\"why\":\"no_idle\"}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_stable_form_is_the_same_in_each_run() {
        let events = events(SCRIPT);
        let expected = r#"     0.000 ms                            client_start {"wall_clock":"*","pid":0,"crate_version":"*","schema_version":1}
     0.000 ms  call 1                    call_start {"method":"GET","url":"http://127.0.0.1:*/","body_bytes":null,"expect":false,"label":null}
     0.000 ms  call 1                    get_conn {"target":"127.0.0.1:80","url":"http://h/","proxy":null}
     0.000 ms  call 1 dial 1             dial_start {"why":"no_idle"}
     0.000 ms  call 1 dial 1 conn 1      dial_done {"winner":0,"connection":1,"error":null,"abandoned":false,"tried":[],"elapsed_ns":0}
     0.000 ms  call 2 attempt 1 conn 1   got_conn {"reused":false,"was_idle":true,"idle_ns":0,"local":null,"remote":"[::1]:*","requests":0,"age_ns":0}
     0.000 ms  conn 2                    conn_closed {"reason":"peer_close","by":"local","requests":1,"bytes_out":0,"bytes_in":0,"age_ns":0,"idle_ns":null}
"#;
        assert_eq!(Transcript::of(&events).stable().to_string(), expected);
        let timed = Transcript::of(&events).stable_with_times().to_string();
        assert!(timed.contains("     6.000 ms  conn 2"), "{timed}");
    }

    #[test]
    fn volatile_values_are_normalised() {
        let check = |json: &str, expected: &str| {
            assert_eq!(
                normalised(json, Form::Stable, &mut Ids::default()),
                expected
            );
        };
        check(
            r#"{"elapsed_ns":123,"limit_ns":45}"#,
            r#"{"elapsed_ns":0,"limit_ns":45}"#,
        );
        check(
            r#"{"a":{"b_ns":7},"c":[1,2]}"#,
            r#"{"a":{"b_ns":0},"c":[1,2]}"#,
        );
        check(r#"["Host","h:8080"]"#, r#"["Host","h:*"]"#);
        check(r#"["Host","h:443"]"#, r#"["Host","h:443"]"#);
        check(
            r#"{"ip":"2001:db8::1:5678:9"}"#,
            r#"{"ip":"2001:db8::1:5678:9"}"#,
        );
        check(r#"{"port":40000}"#, r#"{"port":0}"#);
        check(
            r#"{"message":"cannot connect, after 12 ms: a refused (3 ms) msg"}"#,
            r#"{"message":"cannot connect, after * ms: a refused (* ms) msg"}"#,
        );
        check(
            r#"{"text":"say \"x:4000\" \\"}"#,
            r#"{"text":"say \"x:*\" \\"}"#,
        );
    }
}
