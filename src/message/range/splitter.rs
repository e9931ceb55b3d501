//! A partial response taken apart: one range, or several parts.

use crate::error::RangeRule;
use crate::message::fields::Fields;
use crate::message::range::delimited::Delimited;
use crate::message::range::{ContentRange, Partial, Ranges};

/// What is to be done with the bytes that are there. All but content is taken at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More bytes are needed, or the end.
    More,
    /// So many bytes are of no account.
    Skip(usize),
    /// So many bytes are the head of a part.
    Part(usize, ContentRange, Fields),
    /// So many bytes at least are content of the part. It is said with [`Splitter::took`] how many were taken.
    Content(usize),
    /// So many bytes end the part.
    PartEnd(usize),
    /// There are no more parts, and no more bytes.
    End,
}

/// Takes the content of a 206 apart.
#[derive(Debug)]
pub(crate) struct Splitter(Form);

#[derive(Debug)]
enum Form {
    /// One range, before its content.
    Range(ContentRange),
    /// The content of one range.
    Content {
        left: u64,
    },
    /// Behind the content of one range.
    Behind,
    Delimited(Box<Delimited>),
}

impl Splitter {
    /// Takes apart what was judged to be partial.
    pub(crate) fn new(partial: &Partial, asked: Ranges) -> Result<Self, RangeRule> {
        match partial {
            Partial::One(range) => Ok(Self(Form::Range(*range))),
            Partial::Several(boundary) => Ok(Self(Form::Delimited(Box::new(Delimited::new(
                boundary, asked,
            ))))),
            Partial::Whole | Partial::Unsatisfied { .. } | Partial::Other => {
                Err(RangeRule::NotPartial)
            }
        }
    }

    /// What stands before the first byte of the content, as it is looked at.
    pub(crate) fn seed(&self) -> &'static [u8] {
        match self.0 {
            Form::Range(_) | Form::Content { .. } | Form::Behind => &[],
            Form::Delimited(_) => Delimited::SEED,
        }
    }

    /// Looks at all that is there and not yet taken, and whether that is the end.
    pub(crate) fn step(&mut self, input: &[u8], is_end: bool) -> Result<Step, RangeRule> {
        match &mut self.0 {
            Form::Range(range) => {
                let range = *range;
                self.0 = Form::Content {
                    left: range.bytes(),
                };
                Ok(Step::Part(0, range, Fields::new()))
            }
            Form::Content { left: 0 } => match (input.is_empty(), is_end) {
                (false, _) => Err(RangeRule::Length),
                (true, false) => Ok(Step::More),
                (true, true) => {
                    self.0 = Form::Behind;
                    Ok(Step::PartEnd(0))
                }
            },
            Form::Content { left } => {
                let count = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                match (count, is_end) {
                    (0, true) => Err(RangeRule::Cut),
                    (0, false) => Ok(Step::More),
                    (count, _) => Ok(Step::Content(count)),
                }
            }
            Form::Behind => Ok(Step::End),
            Form::Delimited(delimited) => delimited.step(input, is_end),
        }
    }

    /// Takes that so many bytes of the content were taken.
    pub(crate) fn took(&mut self, count: usize) {
        match &mut self.0 {
            Form::Content { left } => *left = left.saturating_sub(count as u64),
            Form::Delimited(delimited) => delimited.took(count as u64),
            Form::Range(_) | Form::Behind => {}
        }
    }

    /// Says whether a part is under way.
    pub(crate) fn is_inside(&self) -> bool {
        match &self.0 {
            Form::Content { .. } => true,
            Form::Range(_) | Form::Behind => false,
            Form::Delimited(delimited) => delimited.is_inside(),
        }
    }
}

#[cfg(test)]
mod tests;
