//! The parts of `multipart/byteranges`, found in bytes that come piece by piece (RFC 9110 §14.6, RFC 2046 §5.1.1).
//!
//! The rule guarded here: a byte is given as one of a part only when it is sure that no delimiter begins with it, a part
//! ends exactly where its own range says, nothing is looked for without a bound, and no content is looked at twice, be it
//! taken in pieces however small.
//!
//! ```text
//!   Preamble ─► Line ─► Head ─► Data ─► Between ─► Line ─► …
//!                 └──────────────────────────────► Epilogue
//! ```

use crate::error::RangeRule;
use crate::message::fields::Fields;
use crate::message::range::partial::range_of;
use crate::message::range::splitter::Step;
use crate::message::range::{Boundary, Ranges};

/// Bytes before the first delimiter, and behind the last one: usually a line end, and nobody reads them.
const AROUND_MAX: usize = 1024;

/// Bytes of white space between a boundary and the end of its line.
const PADDING_MAX: usize = 64;

/// Bytes of the fields of one part.
const PART_FIELDS_MAX: usize = 8 * 1024;

/// Field lines of one part.
const PART_LINES_MAX: usize = 32;

const LINE_END: &[u8] = b"\r\n";
const FIELDS_END: &[u8] = b"\r\n\r\n";

#[derive(Debug)]
pub(super) struct Delimited {
    /// CR LF, two dashes and the boundary.
    delimiter: Vec<u8>,
    asked: Ranges,
    parts: usize,
    /// What every part says that knows it.
    complete: Option<u64>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before the first delimiter.
    Preamble { skipped: usize },
    /// Behind a delimiter, on its line.
    Line,
    /// The fields of a part.
    Head,
    /// The content of a part, of whose next bytes so many are sure: no delimiter begins in them.
    Data { left: u64, sure: usize },
    /// Behind the content of a part, where its delimiter has to stand.
    Between,
    /// Behind the last delimiter.
    Epilogue { skipped: usize },
}

impl Delimited {
    /// What is read has to begin with a line end of our own: the first delimiter may stand at the very start.
    pub(super) const SEED: &[u8] = LINE_END;

    pub(super) fn new(boundary: &Boundary, asked: Ranges) -> Self {
        Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            asked,
            parts: 0,
            complete: None,
            state: State::Preamble { skipped: 0 },
        }
    }

    /// Looks at all that is there and not yet taken.
    pub(super) fn step(&mut self, input: &[u8], is_end: bool) -> Result<Step, RangeRule> {
        match self.state {
            State::Preamble { skipped } => self.preamble(skipped, input, is_end),
            State::Line => self.line(input, is_end),
            State::Head => self.head(input, is_end),
            State::Data { sure: 0, left } => self.data(left, input, is_end),
            State::Data { sure, .. } => Ok(Step::Content(sure)),
            State::Between => self.between(input, is_end),
            State::Epilogue { skipped } => {
                let skipped = skipped.saturating_add(input.len());
                self.state = State::Epilogue { skipped };
                match (skipped > AROUND_MAX, input.is_empty(), is_end) {
                    (true, ..) => Err(RangeRule::Delimiter),
                    (false, true, true) => Ok(Step::End),
                    (false, true, false) => Ok(Step::More),
                    (false, false, _) => Ok(Step::Skip(input.len())),
                }
            }
        }
    }

    /// Takes that so many bytes of the content were taken.
    pub(super) fn took(&mut self, count: u64) {
        if let State::Data { left, sure } = &mut self.state {
            *left = left.saturating_sub(count);
            *sure = sure.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
            if *left == 0 {
                self.state = State::Between;
            }
        }
    }

    pub(super) fn is_inside(&self) -> bool {
        matches!(self.state, State::Data { .. } | State::Between)
    }

    fn preamble(&mut self, before: usize, input: &[u8], is_end: bool) -> Result<Step, RangeRule> {
        let found = find(input, &self.delimiter);
        let skip = match found {
            Some(place) => place,
            None => safe(input, &self.delimiter),
        };
        let skipped = before.saturating_add(skip);
        if skipped > AROUND_MAX {
            return Err(RangeRule::Delimiter);
        }
        if found.is_some() {
            self.state = State::Line;
            return Ok(Step::Skip(skip + self.delimiter.len()));
        }
        self.state = State::Preamble { skipped };
        match (skip, is_end) {
            (_, true) => Err(RangeRule::Cut),
            (0, false) => Ok(Step::More),
            (_, false) => Ok(Step::Skip(skip)),
        }
    }

    /// The rest of the line of a delimiter: two dashes behind the last part, or white space.
    fn line(&mut self, input: &[u8], is_end: bool) -> Result<Step, RangeRule> {
        if input.starts_with(b"--") {
            if self.parts == 0 {
                return Err(RangeRule::Missing);
            }
            self.state = State::Epilogue { skipped: 0 };
            return Ok(Step::Skip(2));
        }
        let padding = input.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
        let padding = padding.count();
        let rest = input.get(padding..).unwrap_or_default();
        if rest.starts_with(LINE_END) && padding <= PADDING_MAX {
            self.state = State::Head;
            return Ok(Step::Skip(padding + LINE_END.len()));
        }
        // The dashes, or the line end, may be cut in two.
        let may_come = rest.is_empty() || rest == b"\r" || input == b"-";
        match (may_come && padding <= PADDING_MAX, is_end) {
            (true, true) => Err(RangeRule::Cut),
            (true, false) => Ok(Step::More),
            (false, _) => Err(RangeRule::Delimiter),
        }
    }

    fn head(&mut self, input: &[u8], is_end: bool) -> Result<Step, RangeRule> {
        if input.starts_with(LINE_END) {
            return Err(RangeRule::Missing);
        }
        let end = find(input, FIELDS_END);
        let least = end.unwrap_or_else(|| (input.len() + 1).saturating_sub(FIELDS_END.len()));
        if least > PART_FIELDS_MAX {
            return Err(RangeRule::PartFields);
        }
        let lines = match end {
            Some(end) => input.get(..end).unwrap_or_default(),
            None if is_end => return Err(RangeRule::Cut),
            None => return Ok(Step::More),
        };
        self.parts += 1;
        if self.parts > self.asked.iter().len() {
            return Err(RangeRule::TooManyParts);
        }
        let fields = fields_of(lines)?;
        let range = range_of(&self.asked, &fields)?;
        let complete = self.complete.or_else(|| range.complete());
        if range
            .complete()
            .is_some_and(|length| complete != Some(length))
        {
            return Err(RangeRule::CompleteLength);
        }
        self.complete = complete;
        let left = range.bytes();
        self.state = State::Data { left, sure: 0 };
        Ok(Step::Part(lines.len() + FIELDS_END.len(), range, fields))
    }

    /// No delimiter begins in the content.
    fn data(&mut self, left: u64, input: &[u8], is_end: bool) -> Result<Step, RangeRule> {
        let whole = usize::try_from(left).unwrap_or(usize::MAX);
        let enough = whole.saturating_add(self.delimiter.len());
        let looked_at = input.get(..enough).unwrap_or(input);
        if find(looked_at, &self.delimiter).is_some_and(|place| place < whole) {
            return Err(RangeRule::Length);
        }
        let sure = safe(looked_at, &self.delimiter).min(whole);
        self.state = State::Data { left, sure };
        match (sure, is_end) {
            (0, true) => Err(RangeRule::Cut),
            (0, false) => Ok(Step::More),
            (sure, _) => Ok(Step::Content(sure)),
        }
    }

    fn between(&mut self, input: &[u8], is_end: bool) -> Result<Step, RangeRule> {
        if input.starts_with(&self.delimiter) {
            self.state = State::Line;
            return Ok(Step::PartEnd(self.delimiter.len()));
        }
        match (self.delimiter.starts_with(input), is_end) {
            (true, true) => Err(RangeRule::Cut),
            (true, false) => Ok(Step::More),
            (false, _) => Err(RangeRule::Length),
        }
    }
}

/// Bytes at the front with which no delimiter can begin; all, if one is there whole.
fn safe(input: &[u8], delimiter: &[u8]) -> usize {
    let least = input.len().saturating_sub(delimiter.len() - 1);
    let may_begin = |place: &usize| {
        let rest = input.get(*place..);
        rest.is_some_and(|rest| delimiter.starts_with(rest))
    };
    (least..input.len()).find(may_begin).unwrap_or(input.len())
}

/// Where something that begins with a CR stands first.
fn find(input: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = input.get(from..)?;
        let place = from + rest.iter().position(|byte| *byte == b'\r')?;
        if input.get(place..)?.starts_with(what) {
            return Some(place);
        }
        from = place + 1;
    }
}

/// The fields of a part, each on a line of its own.
fn fields_of(mut lines: &[u8]) -> Result<Fields, RangeRule> {
    let mut fields = Fields::new();
    while !lines.is_empty() {
        let end = find(lines, LINE_END).unwrap_or(lines.len());
        let (line, rest) = lines.split_at(end);
        lines = rest.get(LINE_END.len()..).unwrap_or_default();
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.ok_or(RangeRule::PartFields)?);
        let name = std::str::from_utf8(name).map_err(|_| RangeRule::PartFields)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        fields
            .append_bytes(name, value)
            .map_err(|_| RangeRule::PartFields)?;
    }
    if fields.len() > PART_LINES_MAX {
        return Err(RangeRule::PartFields);
    }
    Ok(fields)
}
