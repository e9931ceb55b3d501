//! One entry of `Server-Timing` for readers: its name, how long it took, and what it is about.

use std::borrow::Cow;

use crate::message::fields::parameters;
use crate::message::quoted::unquote;

/// Shows an entry; one that is none is shown as it came.
pub(crate) fn shown(entry: &[u8]) -> String {
    let mut pieces = parameters(entry);
    let name = pieces.next().unwrap_or_default();
    let mut text = printable(name);
    let (mut dur, mut desc) = (None, None);
    for piece in pieces {
        let end = piece.iter().position(|byte| *byte == b'=');
        let (key, value) = piece.split_at(end.unwrap_or(piece.len()));
        let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
        match key.trim_ascii().to_ascii_lowercase().as_slice() {
            b"dur" => dur = dur.or(Some(value)),
            b"desc" => desc = desc.or(Some(value)),
            _ => {}
        }
    }
    if let Some(dur) = dur {
        match milliseconds(dur) {
            Some(length) => text.push_str(&format!(" took {length} ms")),
            None => return entry.escape_ascii().to_string(),
        }
    }
    let desc = desc.map(plain).unwrap_or_default();
    if !desc.is_empty() {
        text.push_str(&format!(" ({})", printable(&desc)));
    }
    text
}

/// A length as the entry has it; nobody else's digits are added to it.
fn milliseconds(dur: &[u8]) -> Option<String> {
    let text = String::from_utf8(plain(dur).into_owned()).ok()?;
    let is_length = text
        .parse()
        .is_ok_and(|length: f64| length.is_finite() && length >= 0.0);
    is_length.then_some(text)
}

/// A token, or what a quoted string stands for.
fn plain(value: &[u8]) -> Cow<'_, [u8]> {
    unquote(value).unwrap_or(Cow::Borrowed(value))
}

/// As it is, if a terminal shows it so.
fn printable(text: &[u8]) -> String {
    if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        String::from_utf8_lossy(text).into_owned()
    } else {
        text.escape_ascii().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_c21_entries_are_shown_without_their_quotes() {
        let check = |entry: &str, expected: &str| assert_eq!(shown(entry.as_bytes()), expected);
        check("miss", "miss");
        check("db;dur=53", "db took 53 ms");
        check(
            "db; dur=53.20 ; desc=\"Main DB\"",
            "db took 53.20 ms (Main DB)",
        );
        check(
            "cache;desc=\"Cache \\\"Read\\\"; \\\\a\\b\";dur=23.2",
            "cache took 23.2 ms (Cache \"Read\"; \\ab)",
        );
        check("app;DESC=plain;x=1;desc=second", "app (plain)");
        check("app;desc=\"\";dur=\"7\"", "app took 7 ms");
        check("app;dur=soon", "app;dur=soon");
        check("app;dur=-1", "app;dur=-1");
        check("app;dur=NaN", "app;dur=NaN");
        check("app;dur", "app;dur");
        check("app;desc=\"open", "app (\"open)");
        check("app;desc=\"\u{9b}31m\"", "app (\\xc2\\x9b31m)");
        check("", "");
    }
}
