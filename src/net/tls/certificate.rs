//! Reads names and validity out of a certificate: of any bytes whatever, without a panic and within bounds.
//!
//! Nothing is decided here. Trust is the verifier's; this is what we tell about a certificate.

use crate::message::tls::CertificateFacts;

/// Characters of a name that are told. Longer names end in `...`.
const NAME_TEXT_MAX: usize = 512;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Tells what the certificate `der` says. What cannot be read is left out.
pub(super) fn facts(der: &[u8], sha256: Option<[u8; 32]>) -> CertificateFacts {
    let mut facts = CertificateFacts {
        subject: Box::default(),
        issuer: Box::default(),
        not_before: None,
        not_after: None,
        sha256,
        der_len: der.len(),
    };
    // Filled in order, so what stands before a broken place is still told.
    let _ = read(der, &mut facts);
    facts
}

/// RFC 5280 §4.1: version, serial, algorithm, issuer, validity, subject.
fn read(der: &[u8], facts: &mut CertificateFacts) -> Option<()> {
    let mut body = Der(Der(Der(der).take(SEQUENCE)?).take(SEQUENCE)?);
    let (first, _) = body.next()?;
    if first == VERSION {
        body.next()?;
    }
    body.take(SEQUENCE)?;
    facts.issuer = name(body.take(SEQUENCE)?).into_boxed_str();
    let mut validity = Der(body.take(SEQUENCE)?);
    facts.not_before = time(validity.next()?);
    facts.not_after = time(validity.next()?);
    facts.subject = name(body.take(SEQUENCE)?).into_boxed_str();
    Some(())
}

/// A run of elements, read from the front.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            len = digits.iter().try_fold(0usize, |sum, &digit| {
                sum.checked_mul(256)?.checked_add(digit.into())
            })?;
            rest = after;
        }
        let (content, after) = rest.split_at_checked(len)?;
        self.0 = after;
        Some((tag, content))
    }

    /// The content of the next element, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, content)| content)
    }
}

/// The text of a name (RFC 5280 §4.1.2.4), in the order of the certificate.
fn name(der: &[u8]) -> String {
    let mut text = String::new();
    let mut sets = Der(der);
    while let Some(set) = sets.take(SET) {
        let mut parts = Der(set);
        let mut mark = ", ";
        while let Some(part) = parts.take(SEQUENCE) {
            if text.len() > NAME_TEXT_MAX {
                text.truncate(NAME_TEXT_MAX);
                text.push_str("...");
                return text;
            }
            if !text.is_empty() {
                text.push_str(mark);
            }
            mark = "+";
            attribute(&mut Der(part), &mut text);
        }
    }
    text
}

/// One `CN=localhost`. Each character is ASCII, so the text can be cut anywhere.
fn attribute(part: &mut Der<'_>, text: &mut String) {
    let Some(id) = part.take(OBJECT_ID) else {
        return text.push('?');
    };
    match short_name(id) {
        Some(name) => text.push_str(name),
        None => object_id(id, text),
    }
    text.push('=');
    let Some((tag, value)) = part.next() else {
        return;
    };
    // A character of the text is at least one byte of the value, so this bounds the work too.
    let value = &value[..value.len().min(NAME_TEXT_MAX)];
    match tag {
        0x0c | 0x13 | 0x16 | 0x1a => escape(&String::from_utf8_lossy(value), text),
        0x14 => escape(
            &value
                .iter()
                .map(|&byte| char::from(byte))
                .collect::<String>(),
            text,
        ),
        0x1e => {
            let units = value
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            let decoded = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}'));
            escape(&decoded.collect::<String>(), text);
        }
        _ => {
            text.push('#');
            text.extend(value.iter().map(|byte| format!("{byte:02x}")));
        }
    }
}

/// Escapes what is not printable ASCII, and the characters that separate attributes (RFC 4514 §2.4).
fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            ',' | '+' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => text.extend(c.escape_default()),
        }
    }
}

fn short_name(id: &[u8]) -> Option<&'static str> {
    Some(match id {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 5] => "serialNumber",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 9] => "street",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        _ => return None,
    })
}

/// The dotted form of an object identifier, at most its first twenty bytes.
fn object_id(id: &[u8], text: &mut String) {
    let mut value = 0u64;
    let mut first = true;
    for &byte in id.iter().take(20) {
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if first {
            let root = (value / 40).min(2);
            text.push_str(&format!("{root}.{}", value - root * 40));
            first = false;
        } else {
            text.push_str(&format!(".{value}"));
        }
        value = 0;
    }
}

/// Seconds since 1970 of a `UTCTime` or a `GeneralizedTime` (RFC 5280 §4.1.2.5).
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = text.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year = decimal(text.get(..2)?)?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                text.get(2..)?,
            )
        }
        GENERALIZED_TIME => (decimal(text.get(..4)?)?, text.get(4..)?),
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let mut pairs = rest.chunks_exact(2).map(decimal);
    let mut part = |range: std::ops::RangeInclusive<i64>| {
        pairs.next().flatten().filter(|value| range.contains(value))
    };
    let (month, day) = (part(1..=12)?, part(1..=31)?);
    let (hour, minute, second) = (part(0..=23)?, part(0..=59)?, part(0..=60)?);
    Some(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn decimal(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

/// Days from the beginning of 1970 to this day of the Gregorian calendar. Years begin in March, so that the
/// leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check =
            |tag, text: &str, want| assert_eq!(time((tag, text.as_bytes())), want, "{text}");
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(UTC_TIME, "500101000000Z", Some(-631_152_000));
        check(GENERALIZED_TIME, "20000229120000Z", Some(951_825_600));
        check(GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
        check(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        check(GENERALIZED_TIME, "00000101000000Z", Some(-62_167_219_200));
        check(GENERALIZED_TIME, "20501301000000Z", None);
        check(GENERALIZED_TIME, "20500101000000", None);
        check(GENERALIZED_TIME, "20500101000000.5Z", None);
        check(UTC_TIME, "7001010000Z", None);
        check(UTC_TIME, "70010a000000Z", None);
        check(UTC_TIME, "Z", None);
        check(0x02, "700101000000Z", None);
    }

    #[test]
    fn names_are_escaped_and_bounded() {
        let part = |id: &[u8], tag: u8, value: &[u8]| {
            let mut inner = vec![OBJECT_ID, id.len() as u8];
            inner.extend(id);
            inner.extend([tag, 0x82, (value.len() >> 8) as u8, value.len() as u8]);
            inner.extend(value);
            let wrap = |tag: u8, inner: &[u8]| {
                let mut out = vec![tag, 0x82, (inner.len() >> 8) as u8, inner.len() as u8];
                out.extend(inner);
                out
            };
            wrap(SET, &wrap(SEQUENCE, &inner))
        };
        let cn = [0x55, 4, 3];
        assert_eq!(name(&part(&cn, 0x0c, b"localhost")), "CN=localhost");
        assert_eq!(
            name(&part(&cn, 0x0c, b"a,\r\n\xff")),
            "CN=a\\,\\r\\n\\u{fffd}"
        );
        assert_eq!(name(&part(&cn, 0x14, b"M\xfcller")), "CN=M\\u{fc}ller");
        assert_eq!(name(&part(&cn, 0x1e, b"\0a\xd8\0")), "CN=a\\u{fffd}");
        assert_eq!(
            name(&part(&[0x55, 4, 99], 0x03, b"\x01\xff")),
            "2.5.4.99=#01ff"
        );
        let two = [part(&cn, 0x0c, b"a"), part(&[0x55, 4, 10], 0x13, b"b")].concat();
        assert_eq!(name(&two), "CN=a, O=b");
        let many = part(&cn, 0x0c, &[b'x'; 400]).repeat(100);
        assert!(name(&many).len() <= NAME_TEXT_MAX + 3);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x85\0\0\0\0\0",
            b"\x30\x84\xff\xff\xff\xff\0",
        ] {
            let facts = facts(der, None);
            assert_eq!(
                (facts.subject(), facts.not_after(), facts.der_len()),
                ("", None, der.len())
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(der: Vec<u8>, tag: u8) {
            facts(&der, None);
            name(&der);
            time((UTC_TIME, &der));
            time((GENERALIZED_TIME, &der));
            object_id(&der, &mut String::new());
            let wrapped = [&[SEQUENCE, 0x80 | (tag & 0x03)][..], &der].concat();
            facts(&wrapped, None);
        }
    }
}
