//! One answer of a random peer: its bytes, its moment, and what comes behind it.

use std::sync::Arc;
use std::time::Duration;

use crate::testkit::script::Script;
use crate::testkit::seen::SeenRequest;
use crate::testkit::sim::link::Cut;
use crate::testkit::sim::proxied::path_of;
use crate::testkit::sim::scenario::{CANARY, content, tag};

/// Writes of one answer over TCP, at the most.
const PIECES: usize = 20;

/// Who answers.
#[derive(Debug, Clone)]
pub(super) struct Answering {
    /// The number of the origin.
    pub(super) origin: usize,
    /// The base of another origin, to which it may lead.
    pub(super) elsewhere: Arc<str>,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnswerPlan {
    pub(super) shape: Shape,
    pub(super) content: usize,
    pub(super) moment: Moment,
    pub(super) pause_ms: u64,
    pub(super) interims: usize,
    pub(super) behind: Behind,
}

/// How an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Length,
    /// Chunks of so many bytes.
    Chunked(usize),
    /// The same, with a trailer.
    Trailer(usize),
    UntilClose,
    NoContent,
    NotModified,
    /// A redirect to the same origin.
    Redirect,
    /// A redirect to another origin.
    Moved,
    /// Nothing that is HTTP.
    Noise,
    /// A length that is no number.
    BadLength,
    /// A length that is told twice.
    Doubled,
    /// A second answer behind the message.
    Leftover,
    /// Bytes behind the message that are no answer.
    Junk,
}

/// When an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Behind the whole request; a 100 goes before the body, if one is expected.
    Asked,
    /// Behind the head, whatever follows.
    Early,
    /// Never: the connection stays silent.
    Never,
}

/// What a peer does behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Keep,
    Close,
    HalfClose,
    Reset,
    Stall,
    /// It reads nothing more, and closes.
    Deaf,
}

impl AnswerPlan {
    pub(super) fn faults(self) -> impl Iterator<Item = &'static str> {
        let shape = match self.shape {
            Shape::Noise => Some("not http"),
            Shape::BadLength => Some("bad length"),
            Shape::Leftover => Some("second answer"),
            Shape::Junk => Some("bytes behind"),
            _ => None,
        };
        let moment = match self.moment {
            Moment::Asked => None,
            Moment::Early => Some("early answer"),
            Moment::Never => Some("no answer"),
        };
        let behind = match self.behind {
            Behind::Keep => None,
            Behind::Close => Some("close"),
            Behind::HalfClose => Some("half close"),
            Behind::Reset => Some("reset"),
            Behind::Stall => Some("stall"),
            Behind::Deaf => Some("close, unread"),
        };
        [shape, moment, behind].into_iter().flatten()
    }

    /// What the peer does from a request on.
    pub(super) fn steps(self, answering: Answering) -> Script {
        let reply = Script::new().reply_with(move |request| self.bytes(&answering, request));
        self.around(reply)
    }

    /// The same for a peer over TCP, which does itself what a link does: segments, and a cut behind so many bytes or
    /// behind the whole.
    pub(super) fn steps_over_tcp(
        self,
        answering: &Answering,
        segment: usize,
        cut: Option<(Cut, u64)>,
    ) -> Script {
        let until = cut.map_or(usize::MAX, |(_, until)| {
            usize::try_from(until).unwrap_or(usize::MAX)
        });
        // What says close ends the script: it goes in one piece.
        let pieces = match self.shape {
            Shape::UntilClose => 1,
            _ if segment == usize::MAX => 1,
            _ => PIECES,
        };
        let mut reply = Script::new();
        for piece in 0..pieces {
            let answering = answering.clone();
            reply = reply.reply_with(move |request| {
                let mut bytes = self.bytes(&answering, request);
                bytes.truncate(until);
                let begin = segment.saturating_mul(piece).min(bytes.len());
                let is_last = piece + 1 == pieces;
                let end = if is_last {
                    bytes.len()
                } else {
                    begin.saturating_add(segment)
                };
                bytes.truncate(end);
                bytes.split_off(begin)
            });
        }
        let reply = match cut {
            None => reply,
            Some((Cut::Fin, _)) => reply.close(),
            Some((Cut::Reset, _)) => reply.reset(),
            Some((Cut::Stall, _)) => reply.stall(),
        };
        self.around(reply)
    }

    fn around(self, reply: Script) -> Script {
        let script = Script::new().expect_head();
        let script = match self.moment {
            Moment::Never => return script.stall(),
            Moment::Early => script,
            Moment::Asked => script
                .reply_with(|request| match request.field("expect") {
                    Some(_) => b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
                    None => Vec::new(),
                })
                .expect_body(),
        };
        let script = match self.pause_ms {
            0 => script,
            pause => script.pause(Duration::from_millis(pause)),
        };
        let script = script
            .repeat(
                self.interims,
                Script::new().send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
            )
            .followed_by(reply);
        let script = match (self.moment, self.behind) {
            (Moment::Early, Behind::Keep) => script.expect_body(),
            _ => script,
        };
        match self.behind {
            Behind::Keep => script,
            Behind::Close => script.close(),
            Behind::HalfClose => script.half_close().expect_gone(),
            Behind::Reset => script.reset(),
            Behind::Stall => script.stall(),
            Behind::Deaf => script.stop_reading().close(),
        }
    }

    /// The answer to a request.
    fn bytes(self, answering: &Answering, request: &SeenRequest) -> Vec<u8> {
        let path = path_of(request);
        let tag = tag(answering.origin, path);
        let length = match self.shape {
            Shape::NoContent | Shape::NotModified => 0,
            _ => self.content,
        };
        let content = content(&tag, length);
        let offered = request.field("upgrade");
        if let (Some(protocol), Shape::Length | Shape::UntilClose) = (offered, self.shape) {
            return switch(protocol, &tag, &content);
        }
        let status = match self.shape {
            Shape::NoContent => "204 No Content",
            Shape::NotModified => "304 Not Modified",
            Shape::Redirect => "303 See Other",
            Shape::Moved => "302 Found",
            Shape::Noise => return b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(),
            _ => "200 OK",
        };
        let framing = match self.shape {
            Shape::Chunked(_) | Shape::Trailer(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
            Shape::UntilClose => "Connection: close\r\n".to_owned(),
            Shape::NoContent | Shape::NotModified => String::new(),
            Shape::Redirect => format!("Location: {path}?moved\r\nContent-Length: {length}\r\n"),
            Shape::Moved => format!(
                "Location: {}{path}?moved\r\nContent-Length: {length}\r\n",
                answering.elsewhere
            ),
            Shape::BadLength => "Content-Length: five\r\n".to_owned(),
            Shape::Doubled => format!("Content-Length: {length}, {length}\r\n"),
            _ => format!("Content-Length: {length}\r\n"),
        };
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nX-Tag: {tag}\r\nX-Length: {length}\r\nSet-Cookie: {CANARY}\r\n{framing}\r\n"
        )
        .into_bytes();
        if request.method() == "HEAD" {
            return bytes;
        }
        match self.shape {
            Shape::Chunked(piece) | Shape::Trailer(piece) => {
                for chunk in content.chunks(piece.max(1)) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                let trailer = match self.shape {
                    Shape::Trailer(_) => "0\r\nX-End: 1\r\n\r\n",
                    _ => "0\r\n\r\n",
                };
                bytes.extend_from_slice(trailer.as_bytes());
            }
            Shape::Leftover => {
                bytes.extend_from_slice(&content);
                bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            Shape::Junk => {
                bytes.extend_from_slice(&content);
                bytes.extend_from_slice(b"what nobody asked for\r\n\r\n");
            }
            _ => bytes.extend_from_slice(&content),
        }
        bytes
    }
}

/// The answer that takes an offer, and content as what is said behind it.
fn switch(protocol: &str, tag: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nX-Tag: {tag}\r\nX-Length: {length}\r\nSet-Cookie: {CANARY}\r\nUpgrade: {protocol}\r\n\r\n"
    );
    [head.as_bytes(), content].concat()
}
