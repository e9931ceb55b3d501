//! Ordinary heads, read in one pass.
//!
//! The rule guarded here: what is read here would be read the long way with the same result, in every mode, and without an
//! anomaly. It is there whole, and so short that no line of it can be too long. Any other is not judged here.

use crate::config::Limits;
use crate::message::anomaly::Anomalies;
use crate::message::framing::Version;
use crate::proto::decode::{Head, Reason};
use crate::proto::section::{read_ordinary, split_at_control};

/// Reads an ordinary head at the front of something.
pub(super) fn read(input: &[u8], limits: &Limits) -> Option<Head> {
    let reach = limits.line_bytes.min(limits.head_bytes);
    let visible = input.get(..reach).unwrap_or(input);
    let (version, line) = split_version(visible)?;
    let (digits, [b' ', line @ ..]) = line.split_first_chunk()? else {
        return None;
    };
    let (phrase, [b'\r', b'\n', section @ ..]) = split_at_control(line)? else {
        return None;
    };
    let status = parse_status(digits)?;
    let (fields, section_bytes) = read_ordinary(section)?;
    if fields.len() > limits.field_lines {
        return None;
    }
    let line_bytes = visible.len().saturating_sub(section.len());
    Some(Head {
        status,
        version,
        reason: Reason::new(status, phrase),
        fields,
        bytes: line_bytes.saturating_add(section_bytes),
        anomalies: Anomalies::default(),
    })
}

/// Splits a version that has no anomaly from what follows it.
fn split_version(line: &[u8]) -> Option<(Version, &[u8])> {
    match line.strip_prefix(b"HTTP/1.1 ") {
        Some(rest) => Some((Version::Http11, rest)),
        None => Some((Version::Http10, line.strip_prefix(b"HTTP/1.0 ")?)),
    }
}

fn parse_status(digits: &[u8; 3]) -> Option<u16> {
    let [
        hundreds @ b'1'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
    ] = digits
    else {
        return None;
    };
    let [hundreds, tens, ones] = [hundreds, tens, ones].map(|digit| u16::from(digit & 0xf));
    Some(
        hundreds
            .wrapping_mul(100)
            .wrapping_add(tens.wrapping_mul(10))
            .wrapping_add(ones),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Strictness;
    use crate::proto::oracle::feed_head;

    /// Reads byte by byte, so that the head is never there whole at the first look.
    fn read_by_line(head: &str, limits: &Limits) -> Option<Head> {
        let outcome = feed_head(head.as_bytes(), limits, Strictness::Strict, || 1);
        Some(outcome.ok()??.0)
    }

    #[test]
    fn ordinary_heads_are_read_at_once_and_as_by_line() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 999 \r\nA: 1\r\n\r\nbody",
            "HTTP/1.1 100 Go on \u{e9}\r\nServer: a\r\nContent-Length: 5\r\n\r\n",
        ] {
            let read = read(head.as_bytes(), &Limits::default());
            assert!(read.is_some(), "{head:?}");
            assert_eq!(read, read_by_line(head, &Limits::default()), "{head:?}");
        }
    }

    #[test]
    fn what_is_not_ordinary_is_left_to_the_long_way() {
        for head in [
            "",
            "HTTP/1.1 200 OK\r\n\r",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 20: OK\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 O\tK\r\n\r\n",
            "HTTP/1.1 200 OK\n\r\n",
            "HTTP/1.1 200 OK\r\nA: 1\n\r\n",
        ] {
            assert_eq!(read(head.as_bytes(), &Limits::default()), None, "{head:?}");
        }
    }

    #[test]
    fn nothing_beyond_a_limit_is_read_at_once() {
        let head = "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\n";
        let limited = |line_bytes, head_bytes, field_lines| Limits {
            line_bytes,
            head_bytes,
            field_lines,
            ..Limits::default()
        };
        let len = head.len();
        assert!(read(head.as_bytes(), &limited(len, len, 2)).is_some());
        for limits in [
            limited(len - 1, len, 2),
            limited(len, len - 1, 2),
            limited(len, len, 1),
        ] {
            assert_eq!(read(head.as_bytes(), &limits), None, "{limits:?}");
        }
    }

    proptest! {
        /// Heads that are nearly ordinary.
        #[test]
        fn the_ordinary_way_is_a_part_of_the_long_one(
            line in "HTTP/1\\.[012] [0-9]{2,4} [ -~\u{0}é]{0,9}",
            fields in prop::collection::vec("[aB0-]{1,5}:? [!-~é \u{0}]{0,9}", 0..4),
            end in prop::sample::select(&["\r\n", "\n"]),
            choice in 0_usize..40,
        ) {
            let text = format!("{line}{end}{}\r\n", fields.iter().map(|line| format!("{line}\r\n")).collect::<String>());
            let limits = Limits { line_bytes: choice + 30, field_lines: choice % 4, ..Limits::default() };
            if let Some(head) = read(text.as_bytes(), &limits) {
                prop_assert_eq!(read_by_line(&text, &limits), Some(head));
            }
        }
    }
}
