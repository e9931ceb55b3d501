//! How payloads are shown: one flat JSON object, the same for text, NDJSON and transcripts.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Phase, Timer};
use crate::ids::{CallId, ConnId, DialId};
use crate::message::fields::Fields;
use crate::message::peer_addr::PeerAddr;

/// One key of a payload in exports.
#[cfg_attr(not(test), allow(dead_code, reason = "a test writes docs/ from it"))]
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) schema: &'static str,
    pub(crate) nullable: bool,
    pub(crate) doc: &'static str,
}

impl Key {
    /// The key of a value of type `T`.
    pub(crate) const fn of<T: Show>(name: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            schema: T::SCHEMA,
            nullable: T::NULLABLE,
            doc,
        }
    }
}

/// A JSON object being written. Writing to it cannot fail: the text is collected in memory.
pub(crate) struct Object<'a> {
    text: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn open(text: &'a mut String) -> Self {
        text.push('{');
        Self { text, empty: true }
    }

    pub(crate) fn member(&mut self, key: &str, value: &impl Show) {
        if !std::mem::replace(&mut self.empty, false) {
            self.text.push(',');
        }
        string(self.text, key);
        self.text.push(':');
        value.show(self.text);
    }

    pub(crate) fn close(self) {
        self.text.push('}');
    }
}

/// A value that stands in a payload.
pub(crate) trait Show {
    /// Its JSON schema.
    const SCHEMA: &'static str;

    /// Whether `null` may stand in its place.
    const NULLABLE: bool = false;

    /// Appends it as JSON.
    fn show(&self, text: &mut String);
}

/// Appends a JSON string.
pub(crate) fn string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if u32::from(control) < 0x20 || control == '\x7f' => {
                display(text, &format_args!("\\u{:04x}", u32::from(control)))
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Appends something by its `Display`; a `String` takes everything.
pub(crate) fn display(text: &mut String, value: &impl fmt::Display) {
    let _ = write!(text, "{value}");
}

/// Shows bytes as text: what is not printable ASCII stands as `\xNN`.
pub(crate) fn bytes(text: &mut String, value: &[u8]) {
    let mut plain = String::with_capacity(value.len());
    for byte in value {
        match byte {
            b'\t' | 0x20..=0x7e => plain.push(char::from(*byte)),
            other => display(&mut plain, &format_args!("\\x{other:02x}")),
        }
    }
    string(text, &plain);
}

/// Values that show by their `Display`, as a number or a string.
macro_rules! shown {
    (number: $($number:ty),+; string: $($string:ty),+ $(,)?) => {
        $(impl Show for $number {
            const SCHEMA: &'static str = r#"{"type":"integer"}"#;
            fn show(&self, text: &mut String) {
                display(text, self);
            }
        })+
        $(impl Show for $string {
            const SCHEMA: &'static str = r#"{"type":"string"}"#;
            fn show(&self, text: &mut String) {
                string(text, &self.to_string());
            }
        })+
    };
}

shown! { number: u16, u32, u64, i64, usize, i32, CallId, ConnId, DialId; string: SocketAddr, PeerAddr, Box<str>, Arc<str>, &'static str }

/// Enums that show as their tag.
macro_rules! tagged {
    ($($tagged:ty),+ $(,)?) => {
        $(impl $crate::event::show::Show for $tagged {
            const SCHEMA: &'static str = r#"{"type":"string"}"#;
            fn show(&self, text: &mut String) {
                $crate::event::show::string(text, self.tag());
            }
        })+
    };
}
pub(crate) use tagged;

tagged! { Phase, Timer }

impl Show for bool {
    const SCHEMA: &'static str = r#"{"type":"boolean"}"#;
    fn show(&self, text: &mut String) {
        display(text, self);
    }
}

/// Nanoseconds; the key says so.
impl Show for Duration {
    const SCHEMA: &'static str = r#"{"type":"integer","minimum":0}"#;
    fn show(&self, text: &mut String) {
        display(text, &self.as_nanos());
    }
}

impl<T: Show> Show for Option<T> {
    const SCHEMA: &'static str = T::SCHEMA;
    const NULLABLE: bool = true;

    fn show(&self, text: &mut String) {
        match self {
            Some(value) => value.show(text),
            None => text.push_str("null"),
        }
    }
}

impl<T: Show> Show for Vec<T> {
    const SCHEMA: &'static str = r#"{"type":"array"}"#;
    fn show(&self, text: &mut String) {
        text.push('[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            value.show(text);
        }
        text.push(']');
    }
}

/// An array of pairs, in wire order and case.
impl Show for Fields {
    const SCHEMA: &'static str = r#"{"type":"array","items":{"type":"array","minItems":2,"maxItems":2,"items":{"type":"string"}}}"#;
    fn show(&self, text: &mut String) {
        text.push('[');
        for (index, line) in self.iter().enumerate() {
            text.push_str(if index > 0 { ",[" } else { "[" });
            string(text, line.name());
            text.push(',');
            bytes(text, line.value());
            text.push(']');
        }
        text.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let check = |value: &str, expected: &str| {
            let mut text = String::new();
            string(&mut text, value);
            assert_eq!(text, expected);
        };
        check("plain", "\"plain\"");
        check(
            "a\"b\\c\r\n\t\0\x1b\x7f",
            r#""a\"b\\c\r\n\t\u0000\u001b\u007f""#,
        );
        check("é", "\"é\"");
    }

    #[test]
    fn cve_15_peer_bytes_are_printable_ascii_and_escaped() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        bytes(&mut text, &all);
        assert!(
            text.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{text}"
        );
    }
}
