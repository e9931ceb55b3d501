//! docs/events.md and docs/events.schema.json, written from the code. `WIRESCOPE_UPDATE=1 cargo test docs_`
//! writes them; without it the test compares.

mod json;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use self::json::Value;
use crate::event::grammar::{Group, Rule, TEXT};
use crate::event::script::events_of;
use crate::event::show::{Key, string};
use crate::event::{Event, EventKind, SCHEMA_VERSION, WallClock};

/// The keys that every event may have beside its payload: name, schema, whether it always stands there, doc.
const ENVELOPE: &[(&str, &str, bool, &str)] = &[
    (
        "v",
        r#"{"const":1}"#,
        true,
        "Version of the schema; keys are only added within one version.",
    ),
    ("event", "", true, "The tag of the kind."),
    (
        "seq",
        r#"{"type":"integer","minimum":0}"#,
        true,
        "Number within the call, else the dial, else the connection.",
    ),
    (
        "t_ns",
        r#"{"type":"integer","minimum":0}"#,
        true,
        "Nanoseconds since `client_start`.",
    ),
    (
        "ts",
        r#"{"type":"string","format":"date-time"}"#,
        false,
        "The wall clock, RFC 3339.",
    ),
    (
        "call",
        r#"{"type":"integer","minimum":1}"#,
        false,
        "The call.",
    ),
    (
        "hop",
        r#"{"type":"integer","minimum":0}"#,
        false,
        "Redirects followed before.",
    ),
    (
        "attempt",
        r#"{"type":"integer","minimum":0}"#,
        false,
        "Sends within the call before.",
    ),
    (
        "conn",
        r#"{"type":"integer","minimum":1}"#,
        false,
        "The connection.",
    ),
    (
        "dial",
        r#"{"type":"integer","minimum":1}"#,
        false,
        "The dial.",
    ),
];

fn markdown() -> String {
    let mut text = String::from(HEADER);
    for kind in EventKind::ALL {
        line(
            &mut text,
            format_args!(
                "| `{kind:?}` | `{kind}` | {} | {} | {} |",
                Group::of(*kind).name(),
                told(*kind),
                one_line(kind.doc())
            ),
        );
    }
    text.push_str("\n## Envelope\n\nIds that do not apply are absent.\n\n| key | type | meaning |\n| --- | --- | --- |\n");
    for (name, schema, _, doc) in ENVELOPE {
        let schema = if schema.is_empty() {
            r#"{"type":"string"}"#
        } else {
            schema
        };
        line(
            &mut text,
            format_args!("| `{name}` | {} | {doc} |", type_of(name, schema, false)),
        );
    }
    text.push_str("\n## Payloads\n");
    EventKind::ALL
        .iter()
        .for_each(|kind| payload(&mut text, *kind));
    line(
        &mut text,
        format_args!("\n## Grammar\n\n`||` is any interleaving.\n\n```text\n{TEXT}```\n"),
    );
    let is_production = |rule: &Rule| rule.doc().contains("Production");
    for rule in Rule::ALL.iter().filter(|rule| !is_production(rule)) {
        line(
            &mut text,
            format_args!("- {rule}: {}", one_line(rule.doc())),
        );
    }
    text
}

const HEADER: &str = "\
# Events

Written from the code by a test; `WIRESCOPE_UPDATE=1 cargo test docs_` writes it anew.

Every event that wirescope emits, as `name {json}` in text and one JSON object per line in NDJSON
(`docs/events.schema.json`). Kinds that are told when asked for are not in `Interest::DEFAULT`.

## Kinds

| kind | tag | stream | told | what it says |
| --- | --- | --- | --- | --- |
";

fn payload(text: &mut String, kind: EventKind) {
    line(
        text,
        format_args!("\n### `{kind}`\n\n{}\n", one_line(kind.doc())),
    );
    if kind.keys().is_empty() {
        text.push_str("No payload.\n");
        return;
    }
    text.push_str("| key | type | meaning |\n| --- | --- | --- |\n");
    for key in kind.keys() {
        let shown = type_of(key.name, key.schema, key.nullable);
        line(
            text,
            format_args!("| `{}` | {shown} | {} |", key.name, one_line(key.doc)),
        );
    }
}

fn told(kind: EventKind) -> &'static str {
    if kind.on_request() {
        "when asked for"
    } else {
        "always"
    }
}

/// The type of a key in words, with its unit.
fn type_of(name: &str, schema: &str, nullable: bool) -> String {
    let schema = Value::parse(schema);
    let mut words = match schema.get("type") {
        Some(Value::Text(word)) => word.clone(),
        Some(Value::List(words)) => words
            .iter()
            .map(Value::text)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "integer".into(),
    };
    if name.ends_with("_ns") {
        words.push_str(", ns");
    }
    if name == "bytes" || name.ends_with("_bytes") || name.starts_with("bytes_") {
        words.push_str(", bytes");
    }
    if nullable {
        words.push_str(", or null");
    }
    words
}

fn one_line(doc: &str) -> String {
    doc.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// Adds a line; a `String` takes everything.
fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}

fn schema() -> String {
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| schema_of(*kind)).collect();
    let mut text = String::from("{\n");
    line(
        &mut text,
        format_args!(r#"  "$schema": "https://json-schema.org/draft/2020-12/schema","#),
    );
    line(
        &mut text,
        format_args!(r#"  "title": "wirescope events, version {SCHEMA_VERSION}","#),
    );
    line(&mut text, format_args!(r#"  "oneOf": ["#));
    line(&mut text, format_args!("{}\n  ]\n}}", kinds.join(",\n")));
    text
}

fn schema_of(kind: EventKind) -> String {
    let envelope = ENVELOPE.iter().map(|(name, schema, _, doc)| match *name {
        "event" => property(name, &format!(r#"{{"const":"{kind}"}}"#), doc),
        _ => property(name, schema, doc),
    });
    let keys = kind
        .keys()
        .iter()
        .map(|key| property(key.name, &nullable(key), key.doc));
    let always = ENVELOPE
        .iter()
        .filter(|(_, _, always, _)| *always)
        .map(|(name, ..)| *name);
    let required: Vec<_> = always
        .chain(kind.keys().iter().map(|key| key.name))
        .map(|name| format!("\"{name}\""))
        .collect();
    let properties: Vec<_> = envelope.chain(keys).collect();
    format!(
        "    {{\n      \"title\": \"{kind}\",\n      \"description\": {},\n      \"type\": \"object\",\n      \"required\": [{}],\n      \"properties\": {{\n{}\n      }},\n      \"additionalProperties\": true\n    }}",
        quoted(&one_line(kind.doc())),
        required.join(", "),
        properties.join(",\n"),
    )
}

fn nullable(key: &Key) -> String {
    if key.nullable {
        format!(r#"{{"anyOf":[{},{{"type":"null"}}]}}"#, key.schema)
    } else {
        key.schema.into()
    }
}

/// One property: its schema with the doc as description.
fn property(name: &str, schema: &str, doc: &str) -> String {
    let inner = schema.strip_suffix('}').unwrap_or(schema);
    format!(
        "        \"{name}\": {inner},\"description\":{}}}",
        quoted(&one_line(doc))
    )
}

fn quoted(value: &str) -> String {
    let mut text = String::new();
    string(&mut text, value);
    text
}

/// Compares a file with what it should be, or writes it.
fn compare(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    if std::env::var_os("WIRESCOPE_UPDATE").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{name} is out of date: WIRESCOPE_UPDATE=1 cargo test docs_events_are_up_to_date"
    );
}

#[test]
fn docs_events_are_up_to_date() {
    compare("events.md", &markdown());
    compare("events.schema.json", &schema());
}

/// One event of each kind.
fn one_of_each() -> Vec<Event> {
    let line = |kind: &EventKind| match kind {
        EventKind::GetConnFailed | EventKind::Retry => {
            format!("c1 a0 n1 d1 {kind} error=connect")
        }
        _ => format!("c1 a0 n1 d1 {kind}"),
    };
    let lines: Vec<_> = EventKind::ALL.iter().map(line).collect();
    events_of(lines.iter().map(String::as_str))
}

fn ndjson(event: &Event) -> String {
    let mut text = String::new();
    let wall = WallClock(std::time::SystemTime::UNIX_EPOCH);
    event.write_json(&mut text, Duration::ZERO, Some(wall));
    text
}

#[test]
fn ndjson_has_exactly_the_keys_announced() {
    for event in one_of_each() {
        let value = Value::parse(&ndjson(&event));
        let keys = event.kind().keys().iter().map(|key| key.name);
        let expected: Vec<_> = ENVELOPE
            .iter()
            .map(|(name, ..)| *name)
            .chain(keys)
            .collect();
        assert_eq!(value.keys(), expected, "{event}");
        let mut distinct = expected.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(
            distinct.len(),
            expected.len(),
            "a key stands twice: {event}"
        );
    }
}

#[test]
fn ndjson_fits_one_entry_of_the_schema() {
    let schema = Value::parse(&schema());
    let entries = schema.get("oneOf").unwrap().list();
    for event in one_of_each() {
        let value = Value::parse(&ndjson(&event));
        let fitting = entries.iter().filter(|entry| entry.accepts(&value)).count();
        assert_eq!(fitting, 1, "{}", ndjson(&event));
    }
}
