//! Field sections: the header section of a head and the trailer section of a chunked body.
//!
//! The rule guarded here: what is accepted depends on the bytes alone, never on how they were cut. A line is
//! judged when it is complete, a bound when the first byte beyond it has arrived, and of several faults the
//! one that is certain first is told.
//!
//! Two parsers stand side by side. [`read_ordinary`] reads an ordinary section in one pass; whatever it does not take is read
//! by [`Builder`], line by line, which knows folds, the lenient mode and where a fault is. What the first accepts the
//! second accepts with the same result, and so does httparse: a property test holds them to it.

mod bounds;
mod ordinary;
mod words;

use crate::config::{Limits, Strictness};
use crate::error::{ErrorKind, HeadRule, Limit};
use crate::message::anomaly::{Anomalies, Anomaly};
use crate::message::fields::{Fields, Span, is_token_byte};
use crate::proto::section::bounds::Bound;
pub(crate) use crate::proto::section::bounds::Bounds;
pub(crate) use crate::proto::section::ordinary::{read_ordinary, split_at_control};

/// The longest name that a span can hold; matters only where the bound on lines was raised beyond it.
const LONGEST_NAME: Bound = Bound::new(Limit::LineBytes, u16::MAX as usize);

/// Why a head or a trailer section was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    /// A rule was broken.
    Rule {
        /// The rule.
        rule: HeadRule,
        /// Offset from the first byte of the head (of the section for trailers).
        offset: u64,
    },
    /// A bound was reached.
    Limit {
        /// Which bound.
        limit: Limit,
        /// Its value.
        max: u64,
    },
}

impl HeadFault {
    pub(crate) fn rule(rule: HeadRule, offset: usize) -> Self {
        Self::Rule {
            rule,
            offset: offset as u64,
        }
    }
}

impl From<HeadFault> for ErrorKind {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::Rule { rule, offset } => Self::PeerHead { rule, offset },
            HeadFault::Limit { limit, max } => Self::Limit { limit, max },
        }
    }
}

/// A cursor over lines: where the current one begins, and how far it was searched for its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineCursor {
    start: usize,
    searched: usize,
}

impl LineCursor {
    pub(crate) const fn at(start: usize) -> Self {
        Self {
            start,
            searched: start,
        }
    }

    pub(crate) const fn start(self) -> usize {
        self.start
    }

    /// Finds the LF that ends the current line. No byte is looked at twice.
    ///
    /// # Errors
    /// The bound that the line goes beyond.
    pub(crate) fn find_end(
        &mut self,
        input: &[u8],
        bounds: &Bounds,
    ) -> Result<Option<usize>, HeadFault> {
        let (reach, bound) = bounds.reach(self.start);
        let visible = input.get(..reach).unwrap_or(input);
        if let Some(end) = find_lf(visible, self.searched) {
            return Ok(Some(end));
        }
        if input.len() > reach {
            return Err(bound.fault());
        }
        self.searched = visible.len().max(self.searched);
        Ok(None)
    }
}

/// Looks for a complete section in an input that grows, and judges every line once it is complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionScan {
    start: usize,
    line: LineCursor,
    checked: usize,
    fields: usize,
}

impl SectionScan {
    pub(crate) const fn at(start: usize) -> Self {
        Self {
            start,
            line: LineCursor::at(start),
            checked: start,
            fields: 0,
        }
    }

    /// Reads on. The section with everything in it, and its end, once the empty line is there.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        bounds: &Bounds,
        strictness: Strictness,
        anomalies: &mut Anomalies,
    ) -> Result<Option<(Fields, usize)>, HeadFault> {
        let end = match self.scan(input, bounds, strictness, anomalies) {
            Ok(Some(end)) => end,
            Ok(None) => {
                self.check_complete_lines(input, strictness)?;
                return Ok(None);
            }
            Err(fault) => {
                self.check_complete_lines(input, strictness)?;
                return Err(fault);
            }
        };
        let section = input.get(self.start..end).unwrap_or_default();
        let fields = match read_ordinary(section) {
            Some((fields, _)) => fields,
            None => Builder::new(
                self.start,
                section.len(),
                self.fields,
                strictness,
                anomalies,
            )
            .read(section)?,
        };
        Ok(Some((fields, end)))
    }

    /// Finds line ends up to the empty line; returns the offset behind it.
    fn scan(
        &mut self,
        input: &[u8],
        bounds: &Bounds,
        strictness: Strictness,
        anomalies: &mut Anomalies,
    ) -> Result<Option<usize>, HeadFault> {
        while let Some(lf) = self.line.find_end(input, bounds)? {
            let line = input.get(self.line.start..lf).unwrap_or_default();
            let content = note_line_end(line, lf, strictness, anomalies)?;
            let next = lf.saturating_add(1);
            match content.first() {
                None => return Ok(Some(next)),
                Some(b' ' | b'\t') => {}
                Some(_) if self.fields >= bounds.fields.max => return Err(bounds.fields.fault()),
                Some(_) => self.fields = self.fields.saturating_add(1),
            }
            self.line = LineCursor::at(next);
        }
        Ok(None)
    }

    /// Judges the lines that have become complete since the last time.
    fn check_complete_lines(
        &mut self,
        input: &[u8],
        strictness: Strictness,
    ) -> Result<(), HeadFault> {
        let part = input.get(self.checked..self.line.start).unwrap_or_default();
        for (offset, line) in lines(part, self.checked) {
            check_line(line, offset, offset == self.start, strictness)?;
        }
        self.checked = self.line.start;
        Ok(())
    }
}

/// Takes the CR from the end of a line; notes or refuses its absence.
pub(crate) fn note_line_end<'a>(
    line: &'a [u8],
    lf: usize,
    strictness: Strictness,
    anomalies: &mut Anomalies,
) -> Result<&'a [u8], HeadFault> {
    match line.split_last() {
        Some((b'\r', content)) => Ok(content),
        _ if strictness == Strictness::Strict => Err(HeadFault::rule(HeadRule::BareLf, lf)),
        _ => {
            anomalies.note(Anomaly::BareLf, lf as u64);
            Ok(line)
        }
    }
}

/// Reads a complete section line by line: unfolds, strips, and finds the offset of a fault.
struct Builder<'a> {
    start: usize,
    strictness: Strictness,
    anomalies: &'a mut Anomalies,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl<'a> Builder<'a> {
    fn new(
        start: usize,
        len: usize,
        fields: usize,
        strictness: Strictness,
        anomalies: &'a mut Anomalies,
    ) -> Self {
        let len = if fields == 0 { 0 } else { len };
        Self {
            start,
            strictness,
            anomalies,
            bytes: Vec::with_capacity(len),
            spans: Vec::with_capacity(fields),
        }
    }

    fn read(mut self, section: &[u8]) -> Result<Fields, HeadFault> {
        for (offset, line) in lines(section, self.start) {
            if line.is_empty() {
                break;
            }
            match check_line(line, offset, offset == self.start, self.strictness)? {
                Line::Fold(content) => {
                    self.anomalies.note(Anomaly::ObsFold, offset as u64);
                    self.fold(content);
                }
                Line::Field { name, value, space } => {
                    if let Some(space) = space {
                        self.anomalies.note(Anomaly::SpaceBeforeColon, space as u64);
                    }
                    self.trim_last();
                    self.field(name, value)?;
                }
            }
        }
        self.trim_last();
        Ok(Fields::from_parts(self.bytes, self.spans))
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadFault> {
        let start = self.bytes.len();
        let (Ok(name_len), Ok(start), Ok(value_start), Ok(value_len)) = (
            u16::try_from(name.len()),
            u32::try_from(start),
            u32::try_from(start.saturating_add(name.len())),
            u32::try_from(value.len()),
        ) else {
            return Err(LONGEST_NAME.fault());
        };
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.spans.push(Span {
            name: start,
            name_len,
            value: value_start,
            value_len,
        });
        Ok(())
    }

    /// Adds a folded line to the last value: one SP for the fold (RFC 9112 §5.2).
    fn fold(&mut self, content: &[u8]) {
        let Some(last) = self.spans.last_mut() else {
            return;
        };
        let before = self.bytes.len();
        if last.value_len > 0 {
            self.bytes.push(b' ');
        }
        self.bytes.extend_from_slice(content);
        let added = self.bytes.len().saturating_sub(before);
        last.value_len = last
            .value_len
            .saturating_add(u32::try_from(added).unwrap_or(u32::MAX));
    }

    /// Takes the spaces from the end of the last value that empty folds left there.
    fn trim_last(&mut self) {
        let Some(last) = self.spans.last_mut() else {
            return;
        };
        while last.value_len > 0 && self.bytes.last() == Some(&b' ') {
            self.bytes.pop();
            last.value_len = last.value_len.saturating_sub(1);
        }
    }
}

/// One line of a section.
enum Line<'a> {
    /// A continuation of the line before (RFC 9112 §5.2).
    Fold(&'a [u8]),
    /// A field line, white space stripped; `space` is the offset of white space before the colon.
    Field {
        name: &'a [u8],
        value: &'a [u8],
        space: Option<usize>,
    },
}

/// Judges one complete line, given without its end.
fn check_line(
    line: &[u8],
    offset: usize,
    first: bool,
    strictness: Strictness,
) -> Result<Line<'_>, HeadFault> {
    work(line.len());
    if matches!(line.first(), Some(b' ' | b'\t')) {
        if first {
            return Err(HeadFault::rule(HeadRule::FoldFirst, offset));
        }
        if strictness == Strictness::Strict {
            return Err(HeadFault::rule(HeadRule::Fold, offset));
        }
        check_value(line, offset)?;
        return Ok(Line::Fold(trim_ows(line)));
    }
    let name_end = line
        .iter()
        .position(|byte| !is_token_byte(*byte))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(name_end).unwrap_or_default();
    let fault_offset = offset.saturating_add(name_end);
    let (space, value) = match rest.split_first() {
        Some((b':', value)) => (None, value),
        Some((b' ' | b'\t', _)) => match trim_ows(rest).split_first() {
            Some((b':', value)) if allows_space(name, strictness) => (Some(fault_offset), value),
            _ => return Err(name_fault(rest, offset, fault_offset)),
        },
        _ => return Err(name_fault(rest, offset, fault_offset)),
    };
    if name.is_empty() {
        return Err(HeadFault::rule(HeadRule::EmptyName, offset));
    }
    if name.len() > LONGEST_NAME.max {
        return Err(LONGEST_NAME.fault());
    }
    let value_offset = offset
        .saturating_add(line.len())
        .saturating_sub(value.len());
    check_value(value, value_offset)?;
    Ok(Line::Field {
        name,
        value: trim_ows(value),
        space,
    })
}

/// Says which rule the end of a name breaks; `rest` begins with the first byte that is no token byte.
fn name_fault(rest: &[u8], line: usize, offset: usize) -> HeadFault {
    match rest.first() {
        Some(b'\r') => HeadFault::rule(HeadRule::BareCr, offset),
        _ if !rest.contains(&b':') => HeadFault::rule(HeadRule::NoColon, line),
        Some(b' ' | b'\t') if trim_ows(rest).first() == Some(&b':') => {
            let empty = offset == line;
            let rule = if empty {
                HeadRule::EmptyName
            } else {
                HeadRule::SpaceBeforeColon
            };
            HeadFault::rule(rule, offset)
        }
        _ => HeadFault::rule(HeadRule::NameByte, offset),
    }
}

/// White space before a colon is stripped in lenient mode only, and never for a field that decides the
/// framing: that difference between two readers is what request smuggling lives on.
fn allows_space(name: &[u8], strictness: Strictness) -> bool {
    strictness == Strictness::Lenient
        && !name.is_empty()
        && !name.eq_ignore_ascii_case(b"content-length")
        && !name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// Refuses control bytes but HTAB in a value (RFC 9110 §5.5).
fn check_value(value: &[u8], offset: usize) -> Result<(), HeadFault> {
    match value.iter().position(|byte| is_control(*byte)) {
        None => Ok(()),
        Some(place) => {
            let rule = match value.get(place) {
                Some(b'\r') => HeadRule::BareCr,
                _ => HeadRule::ValueByte,
            };
            Err(HeadFault::rule(rule, offset.saturating_add(place)))
        }
    }
}

/// Says whether a byte is a control byte that may not stand in a value, a reason phrase or an extension.
pub(crate) const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Strips optional white space, which is SP and HTAB only (RFC 9110 §5.6.3).
pub(crate) fn trim_ows(mut value: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = value.split_first() {
        value = rest;
    }
    while let Some((b' ' | b'\t', rest)) = value.split_last() {
        value = rest;
    }
    value
}

/// Splits complete lines; each with its offset and without its end.
fn lines(part: &[u8], start: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = start;
    part.split_inclusive(|byte| *byte == b'\n')
        .map(move |line| {
            let offset = at;
            at = at.saturating_add(line.len());
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            (offset, line.strip_suffix(b"\r").unwrap_or(line))
        })
}

#[cfg(test)]
use tests::work;

/// Counts bytes that are looked at. Only the tests that show linear work listen.
#[cfg(not(test))]
const fn work(_bytes: usize) {}

/// Finds the first LF from an offset on.
fn find_lf(bytes: &[u8], from: usize) -> Option<usize> {
    let found = words::split(bytes.get(from..)?, words::line_feed)
        .map(|(before, _)| before.len().saturating_add(from));
    work(
        found
            .unwrap_or(bytes.len())
            .saturating_add(1)
            .saturating_sub(from),
    );
    found
}

/// Reads the trailer section of a chunked body (RFC 9112 §7.1.2). As for a head, the input always begins at
/// the first byte of the section, with more bytes each time.
#[derive(Clone, Debug)]
pub(crate) struct TrailerDecoder {
    scan: SectionScan,
    anomalies: Anomalies,
}

impl TrailerDecoder {
    pub(crate) fn new() -> Self {
        Self {
            scan: SectionScan::at(0),
            anomalies: Anomalies::default(),
        }
    }

    /// Reads on; the fields and the wire length of the section once it is complete.
    ///
    /// # Errors
    /// As for a head; offsets count from the first byte of the section.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        limits: &Limits,
        strictness: Strictness,
    ) -> Result<Option<(Fields, usize)>, HeadFault> {
        let bounds = Bounds::trailers(limits);
        self.scan
            .decode(input, &bounds, strictness, &mut self.anomalies)
    }

    /// What was accepted although it breaks a rule; offsets count from the first byte of the section.
    pub(crate) fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }
}

#[cfg(test)]
pub(crate) mod tests;
