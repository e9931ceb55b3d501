//! Quoted strings (RFC 9110 §5.6.4), read and written.
//!
//! The rule guarded here: what was quoted reads back as it was, and no more is escaped than has to be. A control but
//! for the tab stands in no quoted string, whichever way.

use std::borrow::Cow;

/// Reads a quoted string, its quotes included: each `\` gives the octet behind it. `None` for what is none, whole.
///
/// ```
/// use wirescope::message::quoted::unquote;
///
/// assert_eq!(unquote(br#""say \"hi\"""#).as_deref(), Some(&b"say \"hi\""[..]));
/// assert_eq!(unquote(b"token"), None);
/// ```
#[must_use]
pub fn unquote(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inside.iter().any(|byte| is_control(*byte)) {
        return None;
    }
    if !inside.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Some(Cow::Borrowed(inside));
    }
    let mut plain = Vec::with_capacity(inside.len());
    let mut rest = inside.iter();
    while let Some(byte) = rest.next() {
        plain.push(match byte {
            b'"' => return None,
            b'\\' => *rest.next()?,
            other => *other,
        });
    }
    Some(Cow::Owned(plain))
}

/// Writes a quoted string: only `"` and `\` get a `\` before them. `None` if a control is to be quoted.
///
/// ```
/// use wirescope::message::quoted::quote;
///
/// assert_eq!(quote(br"a\b").as_deref(), Some(&br#""a\\b""#[..]));
/// assert_eq!(quote(b"two\r\nlines"), None);
/// ```
#[must_use]
pub fn quote(text: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quoted.push(b'"');
    for byte in text {
        match byte {
            byte if is_control(*byte) => return None,
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'"');
    Some(quoted)
}

fn is_control(byte: u8) -> bool {
    byte != b'\t' && byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_c21_a_quoted_pair_is_its_second_octet() {
        let check = |text: &[u8], expected: Option<&[u8]>| {
            let shown = text.escape_ascii();
            assert_eq!(unquote(text).as_deref(), expected, "{shown}");
        };
        check(br#""""#, Some(b""));
        check(br#""plain, text; a=b""#, Some(b"plain, text; a=b"));
        check(br#""\"\\\a\ ""#, Some(br#""\a "#));
        check(b"\"tab\t and \\\t\"", Some(b"tab\t and \t"));
        check(b"\"\xfc and \\\xfc\"", Some(b"\xfc and \xfc"));
        for bad in [
            &b""[..],
            b"\"",
            b"x",
            b"\"a",
            b"a\"",
            b"\"a\"b\"",
            b"\"a\"b",
            b"\"\\\"",
            b"\"\\",
            b" \"a\"",
            b"'a'",
            b"\"a\r\nb\"",
            b"\"\\\0\"",
            b"\"\x7f\"",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn rfc_a27_only_the_quote_and_the_backslash_are_escaped() {
        let quoted = quote(b"a \"b\" \\c, d; 'e' \t\xfc/").unwrap();
        assert_eq!(quoted, b"\"a \\\"b\\\" \\\\c, d; 'e' \t\xfc/\"");
        for byte in 0..=u8::MAX {
            let length = match byte {
                b'\t' => Some(3),
                0..=0x1f | 0x7f => None,
                b'"' | b'\\' => Some(4),
                _ => Some(3),
            };
            assert_eq!(quote(&[byte]).map(|text| text.len()), length, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn rfc_c21_rfc_a27_what_is_quoted_reads_back(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            match quote(&text) {
                Some(quoted) => prop_assert_eq!(unquote(&quoted), Some(Cow::Owned(text))),
                None => prop_assert!(text.iter().any(|byte| is_control(*byte))),
            }
        }

        #[test]
        fn rfc_c21_what_reads_quotes_again(text in "\"[ab\"\\\\]{0,12}\"") {
            if let Some(plain) = unquote(text.as_bytes()) {
                let again = quote(&plain).unwrap();
                prop_assert_eq!(unquote(&again), Some(plain));
            }
        }
    }
}
