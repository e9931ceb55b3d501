//! Reads out of a ClientHello of ours what it offers: what is told is what leaves.

use std::borrow::Cow;

const SESSION_TICKET: usize = 35;
const PRE_SHARED_KEY: usize = 41;

/// Says whether a hello, as the records that leave, offers to resume a session: by a pre-shared key
/// (RFC 8446 §4.2.11) or a ticket that is not empty (RFC 5077 §3.2).
pub(super) fn offers_resumption(records: &[u8]) -> bool {
    read(records).unwrap_or(false)
}

fn read(records: &[u8]) -> Option<bool> {
    let hello = message(records)?;
    // Message header (4), version (2), random (32).
    let mut rest = hello.get(4 + 2 + 32..)?;
    vector(&mut rest, 1)?;
    vector(&mut rest, 2)?;
    vector(&mut rest, 1)?;
    let mut extensions = vector(&mut rest, 2)?;
    while let Some(kind) = number(&mut extensions, 2) {
        let content = vector(&mut extensions, 2)?;
        match kind {
            PRE_SHARED_KEY => return Some(true),
            SESSION_TICKET if !content.is_empty() => return Some(true),
            _ => {}
        }
    }
    Some(false)
}

/// What the records hold: one, unless a caller's own configuration wants them smaller.
fn message(mut records: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut hello = Cow::Borrowed(&[][..]);
    while !records.is_empty() {
        // Type (1), version (2).
        records = records.get(3..)?;
        let content = vector(&mut records, 2)?;
        match hello.is_empty() {
            true => hello = Cow::Borrowed(content),
            false => hello.to_mut().extend_from_slice(content),
        }
    }
    Some(hello)
}

/// A number of so many bytes.
fn number(bytes: &mut &[u8], count: usize) -> Option<usize> {
    let (digits, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(
        digits
            .iter()
            .fold(0, |sum, &digit| sum << 8 | usize::from(digit)),
    )
}

/// The content of a vector whose length has so many bytes (RFC 8446 §3.4).
fn vector<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let len = number(bytes, count)?;
    let (content, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(content)
}
