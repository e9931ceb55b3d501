//! Ordinary field sections, read in one pass.
//!
//! The rule guarded here: what is read here would be read the long way with the same result, in every mode, and without an
//! anomaly. Whatever is out of the ordinary is not judged here.

use crate::message::fields::{Fields, Span};
use crate::proto::section::{words, work};

/// Field lines of most responses: room for them is made at once.
const FEW_LINES: usize = 8;

/// Reads an ordinary section at the front of something, and says how long it is. Its lines have a name of letters, digits
/// and `-`, then `: `, a value without control bytes, and CRLF.
pub(crate) fn read_ordinary(bytes: &[u8]) -> Option<(Fields, usize)> {
    let place_of = |rest: &[u8]| bytes.len().wrapping_sub(rest.len());
    let mut spans = Vec::new();
    let mut rest = bytes;
    let behind = loop {
        if let [b'\r', b'\n', behind @ ..] = rest {
            break behind;
        }
        let (name, [b':', b' ', from_value @ ..]) = words::split(rest, words::unusual_in_name)?
        else {
            return None;
        };
        let (value, [b'\r', b'\n', behind @ ..]) = split_at_control(from_value)? else {
            return None;
        };
        if name.is_empty() || matches!(value, [b' ', ..] | [.., b' ']) {
            return None;
        }
        let span = Span {
            name: u32::try_from(place_of(rest)).ok()?,
            name_len: u16::try_from(name.len()).ok()?,
            value: u32::try_from(place_of(from_value)).ok()?,
            value_len: u32::try_from(value.len()).ok()?,
        };
        if spans.capacity() == 0 {
            spans = Vec::with_capacity(FEW_LINES);
        }
        spans.push(span);
        rest = behind;
    };
    let used = place_of(behind);
    work(used);
    Some((Fields::from_parts(bytes.get(..used)?.to_vec(), spans), used))
}

/// Splits before the first control byte; HTAB is one here.
pub(crate) fn split_at_control(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    words::split(bytes, words::control)
}
