//! The head of a response, read from an input that grows.
//!
//! The rule guarded here: the same bytes give the same head or the same fault at the same offset, however they
//! were cut, and every byte is looked at a bounded number of times. What may be judged by its first bytes (is
//! this HTTP/1 at all?) is judged by them; everything else when its line is complete. An ordinary head that is there whole
//! is read at once; a property test holds that to the long way.
//!
//! ```text
//!   Begin --first byte that is no CRLF--> StatusLine --LF--> Section --empty line--> Begin
//! ```

use std::fmt;

use crate::config::{Limits, Strictness};
use crate::error::HeadRule;
use crate::message::anomaly::{Anomalies, Anomaly};
use crate::message::fields::Fields;
use crate::message::framing::Version;
use crate::message::status::canonical_reason;
pub(crate) use crate::proto::section::HeadFault;
use crate::proto::section::{
    Bounds, LineCursor, SectionScan, is_control, note_line_end, read_ordinary, split_at_control,
};

/// Bytes of empty lines that are skipped before a status line: two CRLF.
const SKIPPED: usize = 4;

/// Where the reason phrase begins in a status line.
const REASON_AT: usize = 13;

/// A response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code, from 100 to 999.
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) reason: Reason,
    /// The field lines, in wire order and case.
    pub(crate) fields: Fields,
    /// Bytes on the wire, skipped empty lines included: what the head takes from the input.
    pub(crate) bytes: usize,
    /// What was accepted although it breaks a rule.
    pub(crate) anomalies: Anomalies,
}

/// A reason phrase. The one that everybody sends costs no memory. Never used for a decision (RFC 9112 §4).
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The phrase of the registry for this status.
    Canonical(&'static str),
    /// Anything else, as it came.
    Other(Box<[u8]>),
}

impl Reason {
    fn new(status: u16, phrase: &[u8]) -> Self {
        let canonical = canonical_reason(status);
        if phrase == canonical.as_bytes() {
            Self::Canonical(canonical)
        } else {
            Self::Other(phrase.into())
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Canonical(phrase) => phrase.as_bytes(),
            Self::Other(phrase) => phrase,
        }
    }
}

/// Escapes everything that is not printable ASCII: the phrase is the peer's.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Decodes response heads, one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadDecoder {
    state: State,
    anomalies: Anomalies,
    received: usize,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Before the first byte that counts.
    #[default]
    Begin,
    /// In the status line.
    StatusLine(LineCursor),
    /// In the header section.
    Section(StatusLine, SectionScan),
}

/// A complete status line; the reason phrase as offsets into the input.
#[derive(Debug, Clone, Copy)]
struct StatusLine {
    status: u16,
    version: Version,
    reason: (usize, usize),
}

impl HeadDecoder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Bytes of the current head that were seen so far.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn received(&self) -> u64 {
        self.received as u64
    }

    /// Reads on. `input` always begins at the first byte after the message before, with more bytes each time,
    /// until the head is complete. Then drop [`Head::bytes`] from it; the decoder is ready for the next head.
    /// None: more bytes are needed.
    ///
    /// # Errors
    /// [`HeadFault`] with the rule and its offset, or the limit. The connection is of no more use.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        limits: &Limits,
        strictness: Strictness,
    ) -> Result<Option<Head>, HeadFault> {
        if matches!(self.state, State::Begin) {
            if let Some(head) = read_whole(input, limits) {
                return Ok(Some(head));
            }
        }
        self.decode_on(input, &Bounds::head(limits), strictness)
    }

    /// Reads on, line by line.
    fn decode_on(
        &mut self,
        input: &[u8],
        bounds: &Bounds,
        strictness: Strictness,
    ) -> Result<Option<Head>, HeadFault> {
        self.received = input.len();
        if matches!(self.state, State::Begin) {
            let Some(start) = skip_empty_lines(input, strictness)? else {
                return Ok(None);
            };
            for line in 0..start / 2 {
                let offset = (line as u64).saturating_mul(2);
                self.anomalies.note(Anomaly::LeadingEmptyLine, offset);
            }
            self.state = State::StatusLine(LineCursor::at(start));
        }
        if let State::StatusLine(cursor) = &mut self.state {
            let Some((line, next)) =
                read_status_line(cursor, input, bounds, strictness, &mut self.anomalies)?
            else {
                return Ok(None);
            };
            self.state = State::Section(line, SectionScan::at(next));
        }
        let State::Section(line, scan) = &mut self.state else {
            return Ok(None);
        };
        let Some((fields, end)) = scan.decode(input, bounds, strictness, &mut self.anomalies)?
        else {
            return Ok(None);
        };
        let head = line.head(input, fields, end, std::mem::take(&mut self.anomalies));
        *self = Self::new();
        Ok(Some(head))
    }
}

/// Reads an ordinary head that is there whole, and so short that no line of it can be too long; none for any other.
fn read_whole(input: &[u8], limits: &Limits) -> Option<Head> {
    let reach = limits.line_bytes.min(limits.head_bytes);
    let visible = input.get(..reach).unwrap_or(input);
    let (version, line) = split_version(visible)?;
    let (digits, [b' ', line @ ..]) = line.split_first_chunk()? else {
        return None;
    };
    let (phrase, [b'\r', b'\n', section @ ..]) = split_at_control(line)? else {
        return None;
    };
    let status = ordinary_status(digits)?;
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

fn ordinary_status(digits: &[u8; 3]) -> Option<u16> {
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

impl StatusLine {
    fn head(self, input: &[u8], fields: Fields, bytes: usize, anomalies: Anomalies) -> Head {
        let (start, end) = self.reason;
        Head {
            status: self.status,
            version: self.version,
            reason: Reason::new(self.status, input.get(start..end).unwrap_or_default()),
            fields,
            bytes,
            anomalies,
        }
    }
}

/// Finds the first byte of the status line behind at most two CRLF (RFC 9112 §2.2). None: not there yet.
fn skip_empty_lines(input: &[u8], strictness: Strictness) -> Result<Option<usize>, HeadFault> {
    let mut rest = input;
    loop {
        let start = input.len().saturating_sub(rest.len());
        rest = match rest {
            [] => return Ok(None),
            [b'\r', ..] if start == SKIPPED || strictness == Strictness::Strict => {
                return Err(HeadFault::rule(HeadRule::EmptyLines, start));
            }
            [b'\r'] => return Ok(None),
            [b'\r', b'\n', rest @ ..] => rest,
            [b'\r', ..] => return Err(HeadFault::rule(HeadRule::BareCr, start)),
            _ => return Ok(Some(start)),
        };
    }
}

/// Reads the status line once it is complete; its first bytes are judged as they come.
fn read_status_line(
    cursor: &mut LineCursor,
    input: &[u8],
    bounds: &Bounds,
    strictness: Strictness,
    anomalies: &mut Anomalies,
) -> Result<Option<(StatusLine, usize)>, HeadFault> {
    let start = cursor.start();
    check_version(input.get(start..).unwrap_or_default(), start)?;
    let Some(lf) = cursor.find_end(input, bounds)? else {
        return Ok(None);
    };
    let line = input.get(start..lf).unwrap_or_default();
    let line = note_line_end(line, lf, strictness, anomalies)?;
    let status_line = parse_status_line(line, start, strictness, anomalies)?;
    Ok(Some((status_line, lf.saturating_add(1))))
}

/// Judges `HTTP/1.x SP` byte by byte (RFC 9112 §2.3, RFC 9112 §4).
fn check_version(line: &[u8], start: usize) -> Result<(), HeadFault> {
    for (place, (byte, expected)) in line.iter().zip(b"HTTP/1.0 ").enumerate() {
        let rule = match (place, byte) {
            (7, b'0'..=b'9') => continue,
            _ if byte == expected => continue,
            (0..=4, _) => HeadRule::NotHttp,
            (8, b'0'..=b'9') | (5..=7, _) => HeadRule::Version,
            _ => HeadRule::StatusLine,
        };
        return Err(HeadFault::rule(rule, start.saturating_add(place)));
    }
    Ok(())
}

/// Reads what stands behind the version (RFC 9112 §4).
fn parse_status_line(
    line: &[u8],
    start: usize,
    strictness: Strictness,
    anomalies: &mut Anomalies,
) -> Result<StatusLine, HeadFault> {
    let fault = |rule, place: usize| HeadFault::rule(rule, start.saturating_add(place));
    let status = parse_status(line).map_err(|(rule, place)| fault(rule, place))?;
    let phrase = line.get(REASON_AT..).unwrap_or_default();
    match line.get(12) {
        Some(b' ') => {}
        None if strictness == Strictness::Strict => return Err(fault(HeadRule::StatusLine, 12)),
        None => anomalies.note(Anomaly::NoReason, start.saturating_add(12) as u64),
        Some(b'0'..=b'9') => return Err(fault(HeadRule::StatusCode, 12)),
        Some(_) => return Err(fault(HeadRule::StatusLine, 12)),
    }
    if let Some(place) = phrase.iter().position(|byte| is_control(*byte)) {
        let rule = match phrase.get(place) {
            Some(b'\r') => HeadRule::BareCr,
            _ => HeadRule::Reason,
        };
        return Err(fault(rule, place.saturating_add(REASON_AT)));
    }
    let version = match line.get(7) {
        Some(b'0') => Version::Http10,
        Some(b'1') => Version::Http11,
        _ => {
            anomalies.note(Anomaly::Version, start.saturating_add(7) as u64);
            Version::Http11
        }
    };
    let reason_start = start.saturating_add(REASON_AT);
    Ok(StatusLine {
        status,
        version,
        reason: (reason_start, reason_start.saturating_add(phrase.len())),
    })
}

/// Reads the three digits; a fault with its place in the line.
fn parse_status(line: &[u8]) -> Result<u16, (HeadRule, usize)> {
    let mut status: u16 = 0;
    for place in 9..12 {
        let digit = match line.get(place) {
            Some(byte @ b'0'..=b'9') => byte.wrapping_sub(b'0'),
            None | Some(b' ' | b'\t') if place == 9 => return Err((HeadRule::StatusLine, place)),
            _ => return Err((HeadRule::StatusCode, place)),
        };
        status = status.saturating_mul(10).saturating_add(u16::from(digit));
    }
    if status < 100 {
        return Err((HeadRule::StatusCode, 9));
    }
    Ok(status)
}

#[cfg(test)]
mod tests;
