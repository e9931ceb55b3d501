//! The parts of a partial response, read one behind the other.

use std::fmt;
use std::io::{self, Read};

use crate::error::{Error, ErrorKind, Phase, RangeRule, Result};
use crate::message::fields::Fields;
use crate::message::range::{ContentRange, Partial, Ranges, Splitter, Step};

/// Bytes that are read at a time.
const PIECE: usize = 8 * 1024;

/// The parts of a 206, in the order in which they come: one, or those of `multipart/byteranges`.
///
/// Each is as long as the range it says, and that range was asked for; else it is an error, told as soon as it is seen:
/// what a part gave before that is as it came, so keep it only when the part has ended. At most 16 KiB and the fields of
/// one part are held.
///
/// **Drop** leaves the rest unread. A response whose parts were read to the end has given its connection back.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "testkit")] {
/// # use wirescope::testkit::{Peer, Script};
/// # let peer = Peer::start(Script::new().expect_request().send(concat!(
/// #     "HTTP/1.1 206 Partial Content\r\nContent-Length: 102\r\n",
/// #     "Content-Type: multipart/byteranges; boundary=x\r\n\r\n",
/// #     "--x\r\nContent-Range: bytes 0-4/1000\r\n\r\nfirst\r\n",
/// #     "--x\r\nContent-Range: bytes 500-505/1000\r\n\r\nsecond\r\n--x--\r\n")))?;
/// use std::io::Read;
/// use wirescope::message::range::Ranges;
///
/// let client = wirescope::Client::new()?;
/// let ranges = Ranges::new([0..=4, 500..=505])?;
/// let mut response = client.get(&peer.url("/"))?.ranges(&ranges)?.send()?;
/// let mut parts = response.parts()?;
/// let mut content = String::new();
/// while let Some(mut part) = parts.next_part()? {
///     println!("{}", part.range());
///     part.read_to_string(&mut content)?;
/// }
/// assert_eq!(content, "firstsecond");
/// # }
/// # Ok(())
/// # }
/// ```
pub struct Parts<R> {
    body: R,
    splitter: Splitter,
    /// What was read and is not yet taken, from `taken` on.
    buffer: Vec<u8>,
    taken: usize,
    input: Input,
}

/// What becomes of the next read.
#[derive(Debug, Clone, Copy)]
enum Input {
    Open,
    End,
    /// A rule was broken, and every further read tells it again.
    Broken(RangeRule),
}

/// One part of a partial response: its content through [`Read`], which ends with it.
pub struct Part<'a, R> {
    parts: &'a mut Parts<R>,
    range: ContentRange,
    fields: Fields,
}

impl<R: Read> Parts<R> {
    pub(crate) fn new(body: R, partial: &Partial, asked: Ranges) -> Result<Self> {
        let splitter = Splitter::new(partial, asked).map_err(broken)?;
        Ok(Self {
            body,
            buffer: splitter.seed().to_vec(),
            splitter,
            taken: 0,
            input: Input::Open,
        })
    }

    /// The next part; none when all were read, and with them the body. What is left of the part before is read and thrown
    /// away.
    ///
    /// # Errors
    /// [`ErrorKind::PeerRange`] with the rule that the parts break, or what the body breaks.
    pub fn next_part(&mut self) -> Result<Option<Part<'_, R>>> {
        loop {
            match self.step().map_err(from_io)? {
                Step::Part(_, range, fields) => {
                    return Ok(Some(Part {
                        parts: self,
                        range,
                        fields,
                    }));
                }
                Step::Content(count) => self.took(count),
                Step::End => return Ok(None),
                Step::More | Step::Skip(_) | Step::PartEnd(_) => {}
            }
        }
    }

    /// Looks at what is there, and reads when that is not enough. All but content is taken.
    fn step(&mut self) -> io::Result<Step> {
        if let Input::Broken(rule) = self.input {
            return Err(broken(rule).into_io());
        }
        let is_end = matches!(self.input, Input::End);
        let there = self.buffer.get(self.taken..).unwrap_or_default();
        let step = self.splitter.step(there, is_end).map_err(|rule| {
            self.input = Input::Broken(rule);
            broken(rule).into_io()
        })?;
        match step {
            Step::More => self.fill()?,
            Step::Skip(count) | Step::Part(count, ..) | Step::PartEnd(count) => self.taken += count,
            Step::Content(_) | Step::End => {}
        }
        Ok(step)
    }

    /// Takes content.
    fn took(&mut self, count: usize) {
        self.taken += count;
        self.splitter.took(count);
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + PIECE, 0);
        let result = self.body.read(&mut self.buffer[before..]);
        let count = *result.as_ref().unwrap_or(&0);
        self.buffer.truncate(before + count.min(PIECE));
        match result {
            Ok(0) => self.input = Input::End,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }
}

impl<R> Part<'_, R> {
    /// The range that the content is.
    #[must_use]
    pub fn range(&self) -> ContentRange {
        self.range
    }

    /// The fields of the part; empty if it is the only one, which has those of the response.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }
}

/// The end is the end of the part. `read(&mut [])` is `Ok(0)` without effect.
impl<R: Read> Read for Part<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !into.is_empty() && self.parts.splitter.is_inside() {
            if let Step::Content(there) = self.parts.step()? {
                let count = there.min(into.len());
                let from = self.parts.taken;
                into[..count].copy_from_slice(&self.parts.buffer[from..from + count]);
                self.parts.took(count);
                return Ok(count);
            }
        }
        Ok(0)
    }
}

impl<R> fmt::Debug for Parts<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Part<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("range", &self.range)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

pub(super) fn broken(rule: RangeRule) -> Error {
    Error::new(ErrorKind::PeerRange(rule), Phase::Receive)
}

/// Our error out of the one of a reader.
fn from_io(error: io::Error) -> Error {
    let kind = ErrorKind::Io {
        kind: error.kind(),
        code: error.raw_os_error(),
    };
    error
        .downcast::<Error>()
        .unwrap_or_else(|other| Error::new(kind, Phase::Receive).with_source(other.into()))
}
