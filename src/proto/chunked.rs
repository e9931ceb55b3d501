//! The chunked coding (RFC 9112 §7.1): content in pieces, each with its size in front, then trailers.
//!
//! The rule guarded here: between two pieces of content stands exactly what the grammar says, byte for byte.
//! CRLF means CRLF, a size is hex digits, and whatever else a chunk carries is bounded, for one chunk and in
//! proportion to the content for all of them. Content itself is never touched: the decoder says where it is.
//!
//! ```text
//!   Size -> Blank -> Extension -> SizeLf --size > 0--> Data -> DataCr -> DataLf -> Size
//!                                    \----size = 0--> Trailers -> Done
//! ```

use std::num::NonZeroU64;

use crate::config::{Limits, Strictness};
use crate::error::{ChunkRule, ErrorKind, HeadRule, Limit};
use crate::message::anomaly::{Anomalies, Anomaly};
use crate::message::fields::Fields;
use crate::proto::framing::is_forbidden_trailer;
use crate::proto::section::{HeadFault, TrailerDecoder, is_control};

/// Hex digits that a size may have, leading zeros included.
const SIZE_DIGITS: u8 = 16;

/// Bytes of framing that every chunk may cost beside one per byte of its data.
const FREE_PER_CHUNK: u64 = 16;

/// Why a chunked body was refused. Offsets count from the first byte of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkFault {
    /// The framing of a chunk breaks a rule.
    Chunk {
        /// The rule.
        rule: ChunkRule,
        /// Where.
        offset: u64,
    },
    /// The trailer section breaks a rule.
    Trailer {
        /// The rule.
        rule: HeadRule,
        /// Where.
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

impl From<ChunkFault> for ErrorKind {
    fn from(fault: ChunkFault) -> Self {
        match fault {
            ChunkFault::Chunk { rule, offset } => Self::PeerChunk { rule, offset },
            ChunkFault::Trailer { rule, offset } => Self::PeerTrailer { rule, offset },
            ChunkFault::Limit { limit, max } => Self::Limit { limit, max },
        }
    }
}

/// What a call of [`ChunkedDecoder::decode`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first `consumed` bytes are done with; more input is needed after the rest.
    Need {
        /// Bytes to drop.
        consumed: usize,
    },
    /// The first `skip` bytes are done with, and the `len` bytes after them (at least one) are content. Drop
    /// `skip`, take up to `len`, tell how many by [`ChunkedDecoder::advance`], and ask again.
    Data {
        /// Bytes to drop.
        skip: usize,
        /// Bytes of content after them.
        len: usize,
    },
    /// The body is complete; nothing after the first `consumed` bytes belongs to it.
    End {
        /// Bytes to drop.
        consumed: usize,
        /// The trailer section as it came, kept apart from the header section (RFC 9110 §6.5.1).
        trailers: Fields,
        /// What was accepted although it breaks a rule.
        anomalies: Anomalies,
    },
}

/// Decodes one chunked body.
#[derive(Debug, Clone)]
pub(crate) struct ChunkedDecoder {
    state: State,
    /// Bytes of the body before the input of the next call.
    offset: u64,
    /// Bytes of framing beyond what chunks and their data justify.
    excess: u64,
}

#[derive(Debug, Clone)]
enum State {
    /// In the digits of a size.
    Size(Line),
    /// Behind the digits, in blanks (RFC 9112 §7.1.1 allows bad white space before `;`).
    Blank(Line),
    /// In extensions, which are read over.
    Extension(Line),
    /// Behind the CR of a size line.
    SizeLf(Line),
    /// In content.
    Data { left: u64 },
    /// Behind the content of a chunk.
    DataCr,
    /// Behind the CR after the content of a chunk.
    DataLf,
    /// In the trailer section.
    Trailers(TrailerDecoder),
    /// Behind the body.
    Done,
}

/// A size line so far.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    size: u64,
    digits: u8,
    /// Bytes between the last digit and the CR.
    extension: usize,
}

impl ChunkedDecoder {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size(Line::default()),
            offset: 0,
            excess: 0,
        }
    }

    /// Reads on. `input` begins where the last call left off: behind what it called consumed or skipped, and
    /// behind the content that was taken.
    ///
    /// # Errors
    /// [`ChunkFault`]. The connection is of no more use, and content that came before is all there is.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        limits: &Limits,
        strictness: Strictness,
    ) -> Result<Step, ChunkFault> {
        let framing = self.read_framing(input, limits)?;
        self.offset = self.offset.saturating_add(framing as u64);
        let rest = input.get(framing..).unwrap_or_default();
        match &mut self.state {
            State::Data { .. } if rest.is_empty() => Ok(Step::Need { consumed: framing }),
            State::Data { left } => Ok(Step::Data {
                skip: framing,
                len: usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len())),
            }),
            State::Trailers(_) => self.read_trailers(rest, framing, limits, strictness),
            State::Done => Ok(Step::End {
                consumed: framing,
                trailers: Fields::new(),
                anomalies: Anomalies::default(),
            }),
            State::Size(_)
            | State::Blank(_)
            | State::Extension(_)
            | State::SizeLf(_)
            | State::DataCr
            | State::DataLf => Ok(Step::Need { consumed: framing }),
        }
    }

    /// Tells that the next `count` bytes of content were taken: from the input, or read past it straight from
    /// the connection. Never more than [`ChunkedDecoder::remaining_in_chunk`].
    pub(crate) fn advance(&mut self, count: u64) {
        if let State::Data { left } = &mut self.state {
            let count = count.min(*left);
            *left = left.saturating_sub(count);
            self.offset = self.offset.saturating_add(count);
            if *left == 0 {
                self.state = State::DataCr;
            }
        }
    }

    /// Bytes of content still to come in the current chunk; 0 between chunks.
    pub(crate) fn remaining_in_chunk(&self) -> u64 {
        if let State::Data { left } = &self.state {
            *left
        } else {
            0
        }
    }

    /// Says whether the body is complete.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Reads framing up to content, trailers or the end of the input; says how many bytes that were.
    fn read_framing(&mut self, input: &[u8], limits: &Limits) -> Result<usize, ChunkFault> {
        for (place, byte) in input.iter().enumerate() {
            let offset = self.offset.saturating_add(place as u64);
            let fault = |rule| ChunkFault::Chunk { rule, offset };
            self.state = match &self.state {
                State::Data { .. } | State::Trailers(_) | State::Done => return Ok(place),
                State::Size(line) => line.digit(*byte, limits, fault)?,
                State::Blank(line) => line.blank(*byte, limits, fault)?,
                State::Extension(line) => line.extension(*byte, limits, fault)?,
                State::SizeLf(line) if *byte == b'\n' => {
                    let line = *line;
                    self.account(line, limits)?;
                    line.end()
                }
                State::DataCr if *byte == b'\r' => State::DataLf,
                State::DataLf if *byte == b'\n' => State::Size(Line::default()),
                State::SizeLf(_) => return Err(fault(ChunkRule::SizeLineEnd)),
                State::DataCr | State::DataLf => return Err(fault(ChunkRule::DataEnd)),
            };
        }
        Ok(input.len())
    }

    /// Counts what a size line costs beyond 16 bytes and one per byte of its data, after Go's rule: a peer may
    /// send a byte at a time, but not framing for ever.
    fn account(&mut self, line: Line, limits: &Limits) -> Result<(), ChunkFault> {
        let free = FREE_PER_CHUNK.saturating_add(line.size);
        self.excess = self
            .excess
            .saturating_add(line.bytes())
            .saturating_sub(free);
        let max = limits.chunk_overhead_bytes as u64;
        if self.excess > max {
            let limit = Limit::ChunkOverhead;
            return Err(ChunkFault::Limit { limit, max });
        }
        Ok(())
    }

    fn read_trailers(
        &mut self,
        section: &[u8],
        consumed: usize,
        limits: &Limits,
        strictness: Strictness,
    ) -> Result<Step, ChunkFault> {
        let State::Trailers(decoder) = &mut self.state else {
            return Ok(Step::Need { consumed });
        };
        let start = self.offset;
        let (trailers, len) = match decoder.decode(section, limits, strictness) {
            Ok(Some(complete)) => complete,
            Ok(None) => return Ok(Step::Need { consumed }),
            Err(fault) => return Err(trailer_fault(fault, start)),
        };
        let mut anomalies = decoder.anomalies().shifted(start);
        for line in trailers.iter() {
            if is_forbidden_trailer(line.name()) {
                anomalies.note(Anomaly::ForbiddenTrailer, start);
            }
        }
        self.state = State::Done;
        self.offset = start.saturating_add(len as u64);
        Ok(Step::End {
            consumed: consumed.saturating_add(len),
            trailers,
            anomalies,
        })
    }
}

fn trailer_fault(fault: HeadFault, start: u64) -> ChunkFault {
    match fault {
        HeadFault::Rule { rule, offset } => ChunkFault::Trailer {
            rule,
            offset: start.saturating_add(offset),
        },
        HeadFault::Limit { limit, max } => ChunkFault::Limit { limit, max },
    }
}

impl Line {
    /// Takes a byte where a digit is due, or behind the last one.
    fn digit(
        mut self,
        byte: u8,
        limits: &Limits,
        fault: impl Fn(ChunkRule) -> ChunkFault,
    ) -> Result<State, ChunkFault> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            if self.digits == 0 {
                return Err(fault(ChunkRule::SizeSyntax));
            }
            return self.blank(byte, limits, fault);
        };
        if self.digits == SIZE_DIGITS {
            return Err(fault(ChunkRule::SizeOverflow));
        }
        self.digits = self.digits.saturating_add(1);
        self.size = self.size.wrapping_shl(4) | u64::from(digit);
        Ok(State::Size(self))
    }

    /// Takes a byte behind the digits, before any extension.
    fn blank(
        self,
        byte: u8,
        limits: &Limits,
        fault: impl Fn(ChunkRule) -> ChunkFault,
    ) -> Result<State, ChunkFault> {
        match byte {
            b'\r' => Ok(State::SizeLf(self)),
            b'\n' => Err(fault(ChunkRule::SizeLineEnd)),
            b' ' | b'\t' => Ok(State::Blank(self.longer(limits)?)),
            b';' => Ok(State::Extension(self.longer(limits)?)),
            _ => Err(fault(ChunkRule::SizeSyntax)),
        }
    }

    /// Takes a byte of an extension.
    fn extension(
        self,
        byte: u8,
        limits: &Limits,
        fault: impl Fn(ChunkRule) -> ChunkFault,
    ) -> Result<State, ChunkFault> {
        match byte {
            b'\r' => Ok(State::SizeLf(self)),
            b'\n' => Err(fault(ChunkRule::SizeLineEnd)),
            _ if is_control(byte) => Err(fault(ChunkRule::Extension)),
            _ => Ok(State::Extension(self.longer(limits)?)),
        }
    }

    /// Counts a byte that is neither a digit nor the end of the line.
    fn longer(mut self, limits: &Limits) -> Result<Self, ChunkFault> {
        self.extension = self.extension.saturating_add(1);
        if self.extension > limits.chunk_extension_bytes {
            return Err(ChunkFault::Limit {
                limit: Limit::ChunkExtension,
                max: limits.chunk_extension_bytes as u64,
            });
        }
        Ok(self)
    }

    /// Bytes of the whole line with its CRLF.
    fn bytes(self) -> u64 {
        u64::from(self.digits)
            .saturating_add(self.extension as u64)
            .saturating_add(2)
    }

    /// What follows the line.
    fn end(self) -> State {
        match self.size {
            0 => State::Trailers(TrailerDecoder::new()),
            left => State::Data { left },
        }
    }
}

/// Bytes that a chunk head needs at most: 16 digits and CRLF. Room of this size in front of the data is enough
/// for any chunk.
pub(crate) const CHUNK_HEAD_ROOM: usize = 18;

/// What stands behind the data of a chunk.
pub(crate) const CHUNK_END: &[u8] = b"\r\n";

/// A chunk size and its CRLF, right-aligned so that it can be laid straight before the data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkHead {
    bytes: [u8; CHUNK_HEAD_ROOM],
    len: usize,
}

impl ChunkHead {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        let start = CHUNK_HEAD_ROOM.saturating_sub(self.len);
        self.bytes.get(start..).unwrap_or_default()
    }
}

/// Writes the head of a chunk. There is none for no data: a size of zero is the end of the body.
pub(crate) fn chunk_head(size: NonZeroU64) -> ChunkHead {
    let mut bytes = [0; CHUNK_HEAD_ROOM];
    let mut len = 0;
    let mut left = size.get();
    for (place, byte) in bytes.iter_mut().rev().enumerate() {
        *byte = match place {
            0 => b'\n',
            1 => b'\r',
            _ if left == 0 => break,
            _ => {
                let digit = u32::try_from(left & 0xf).unwrap_or_default();
                left >>= 4;
                char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8)
            }
        };
        len = place.saturating_add(1);
    }
    ChunkHead { bytes, len }
}

/// Appends the last chunk, the trailer section and the empty line (RFC 9112 §7.1).
pub(crate) fn write_last_chunk(trailers: &Fields, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for line in trailers.iter() {
        out.extend_from_slice(line.name().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(line.value());
        out.extend_from_slice(CHUNK_END);
    }
    out.extend_from_slice(CHUNK_END);
}

#[cfg(test)]
mod tests;
