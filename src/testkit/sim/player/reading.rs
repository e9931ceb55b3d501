//! The steps of a script that read.
//!
//! They take from what was read and not yet asked for; a step that finds too little reads more, or waits.

use super::{Doing, Leaving, Left, Player, Stage, Stop, Then, Turn, Until};
use crate::testkit::script::{Step, excerpt};
use crate::testkit::seen::{BodyReader, SeenRequest, find, head_end};
use crate::testkit::sim::network::Way;
use crate::testkit::sim::pipe::End;

/// How much a step may look through for what it expects.
const SEARCH_BYTES_MAX: usize = 1024 * 1024;

/// What reading more came to.
enum More {
    Bytes,
    /// Nothing is there now.
    Nothing,
    Left(Left),
}

impl Player {
    /// Reads what has arrived.
    fn read_more(&mut self, stage: &mut Stage<'_>) -> More {
        let arrived = stage.stream.up.readable();
        if arrived.is_empty() {
            return match stage.stream.up.end() {
                End::Open if !Self::is_open(stage) => More::Left(Left::Reset),
                End::Open => More::Nothing,
                End::Notified => More::Left(Left::Notified),
                End::Fin => More::Left(Left::Eof),
                End::Reset | End::Gone => More::Left(Left::Reset),
            };
        }
        let count = arrived.len();
        self.inbound.extend_from_slice(arrived);
        self.received_bytes += count as u64;
        stage
            .stream
            .take(self.stream, Way::Up, count, stage.planner);
        More::Bytes
    }

    /// Reads more, or waits with the step as it is.
    fn or_wait(&mut self, doing: Doing, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        match self.read_more(stage) {
            More::Bytes => Ok(Turn::Go(doing)),
            More::Left(left) => Err(Stop::Left(left)),
            More::Nothing => Ok(Turn::Wait(doing, Until::Bytes(Self::patience(stage)))),
        }
    }

    pub(super) fn read_for_step(&mut self, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        let frame = self.frames.last();
        let step = frame.and_then(|frame| frame.script.steps().get(frame.at.wrapping_sub(1)));
        let done = match step {
            Some(Step::ExpectHead) => match head_end(&self.inbound) {
                Some(end) => {
                    let head = self.inbound.drain(..end).collect();
                    self.request_begun(SeenRequest::new(self.connection, head), stage);
                    true
                }
                None => false,
            },
            Some(Step::ExpectBytes(bytes)) => {
                let common = bytes.0.len().min(self.inbound.len());
                if self.inbound[..common] != bytes.0[..common] {
                    let text = format!("expected {}", excerpt(&bytes.0));
                    return Err(Stop::Mismatch(text));
                }
                let is_whole = common == bytes.0.len();
                if is_whole {
                    self.inbound.drain(..common);
                }
                is_whole
            }
            Some(Step::ExpectContains(needle)) => match find(&self.inbound, &needle.0) {
                Some(at) => {
                    let end = at + needle.0.len();
                    self.inbound.drain(..end);
                    true
                }
                None => false,
            },
            Some(Step::ExpectEof) => return self.expect_end(&[Left::Eof, Left::Notified], stage),
            Some(Step::ExpectCloseNotify) => return self.expect_end(&[Left::Notified], stage),
            _ => true,
        };
        if done {
            return Ok(Turn::Next);
        }
        if self.inbound.len() > SEARCH_BYTES_MAX {
            let what = format!("did not come within {SEARCH_BYTES_MAX} bytes");
            return Err(Stop::Mismatch(what));
        }
        self.or_wait(Doing::Read, stage)
    }

    fn request_begun(&mut self, request: SeenRequest, stage: &mut Stage<'_>) {
        let index = stage
            .record
            .request_begun(self.addr.clone(), stage.planner.now(), &request);
        self.request = Some((request, index));
    }

    pub(super) fn begin_body(&self) -> Result<Turn, Stop> {
        let Some((request, _)) = &self.request else {
            return Err(Stop::Mismatch("no head was read before".to_owned()));
        };
        let reader = BodyReader::for_head(&request.head).map_err(Stop::Mismatch)?;
        Ok(Turn::Go(Doing::Body(reader)))
    }

    pub(super) fn read_body(
        &mut self,
        mut reader: BodyReader,
        stage: &mut Stage<'_>,
    ) -> Result<Turn, Stop> {
        let Some((request, index)) = &mut self.request else {
            return Ok(Turn::Next);
        };
        while !reader.is_done() {
            let piece = reader.feed(&self.inbound).map_err(Stop::Mismatch)?;
            request.body_bytes += piece.content.len() as u64;
            request.body.extend_from_slice(piece.content);
            request.trailers.extend_from_slice(piece.trailer);
            let used = piece.used;
            self.inbound.drain(..used);
            if used == 0 {
                return self.or_wait(Doing::Body(reader), stage);
            }
        }
        request.is_complete = true;
        stage.record.request_read(*index, request);
        Ok(Turn::Next)
    }

    /// Waits for an end that is one of `allowed`; any byte before it is a mismatch.
    fn expect_end(&mut self, allowed: &[Left], stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        if self.inbound.is_empty() {
            match self.or_wait(Doing::Read, stage) {
                Err(Stop::Left(left)) if allowed.contains(&left) => return Ok(Turn::Next),
                other => return other,
            }
        }
        Err(Stop::Mismatch("expected no more bytes".to_owned()))
    }

    pub(super) fn echo(&mut self, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        if !self.inbound.is_empty() {
            let bytes = std::mem::take(&mut self.inbound);
            return Ok(Turn::Go(Doing::Send(
                bytes.into(),
                0,
                usize::MAX,
                Then::Echo,
            )));
        }
        match self.or_wait(Doing::Echo, stage) {
            Err(Stop::Left(left)) if left != Left::Silent => Ok(Turn::Next),
            other => other,
        }
    }

    pub(super) fn ignore(&mut self, leaving: Leaving, stage: &mut Stage<'_>) -> Result<Turn, Stop> {
        self.inbound.clear();
        match (leaving, self.or_wait(Doing::Ignore(leaving), stage)) {
            (Leaving::Stalled, Err(Stop::Left(_))) => Ok(Turn::Next),
            (Leaving::Gone, Err(Stop::Left(left))) if left != Left::Silent => Ok(Turn::Next),
            (_, other) => other,
        }
    }

    /// Reads and ignores what has arrived.
    pub(super) fn drain(&mut self, stage: &mut Stage<'_>) {
        while matches!(self.read_more(stage), More::Bytes) {}
    }
}
