//! Answers in parts, and what a client has to make of one that is cut: told from the parts alone.

use std::io::ErrorKind::ConnectionReset;

use wirescope::error::Timer;
use wirescope::{Error, ErrorKind, Phase};

/// What the client asks, and so how the answer is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Get,
    Head,
    /// A POST whose body waits for a 100.
    Expect,
    /// A POST on a connection that has served a request before.
    Second,
}

/// How the end of the body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// By the message itself; so many bytes of content are announced, if they are.
    Framed(Option<u64>),
    UntilClose,
}

/// A run of bytes with one meaning.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Interim(&'static str),
    Head(&'static str),
    Content(&'static str),
    /// What stands around content: sizes, line ends, trailers.
    Framing(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) name: &'static str,
    pub(super) ask: Ask,
    pub(super) form: Form,
    parts: &'static [Part],
}

/// How the peer ends its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// FIN; under TLS behind a close_notify.
    Fin,
    /// FIN under TLS, without a close_notify.
    Bare,
    Reset,
    /// Not at all: it says nothing more.
    Stall,
}

/// Where a cut falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first byte.
    Nothing,
    /// In a head of which so many bytes came; behind an interim head, none of the next.
    Head(u64),
    /// Behind the final head; so much content came.
    Body(u64),
    Whole,
}

/// What becomes of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This content, whole.
    Content(Vec<u8>),
    Error(ErrorKind, Phase),
}

impl Outcome {
    pub(super) fn of(error: &Error) -> Self {
        Self::Error(error.kind(), error.phase())
    }
}

use Part::{Content, Framing, Head, Interim};

/// What the server says to the request behind a redirect.
pub(super) const NEXT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext";

pub(super) static ANSWERS: [Answer; 11] = [
    Answer {
        name: "length",
        ask: Ask::Get,
        form: Form::Framed(Some(10)),
        parts: &[
            Head("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
            Content("0123456789"),
        ],
    },
    Answer {
        name: "chunked with trailer",
        ask: Ask::Get,
        form: Form::Framed(None),
        parts: &[
            Head("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Framing("5\r\n"),
            Content("01234"),
            Framing("\r\n5;x=y\r\n"),
            Content("56789"),
            Framing("\r\n0\r\nX-End: 1\r\n\r\n"),
        ],
    },
    Answer {
        name: "103 then 200",
        ask: Ask::Get,
        form: Form::Framed(Some(10)),
        parts: &[
            Interim("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
            Head("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
            Content("0123456789"),
        ],
    },
    Answer {
        name: "100 then 200",
        ask: Ask::Expect,
        form: Form::Framed(Some(10)),
        parts: &[
            Interim("HTTP/1.1 100 Continue\r\n\r\n"),
            Head("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
            Content("0123456789"),
        ],
    },
    Answer {
        name: "head",
        ask: Ask::Head,
        form: Form::Framed(Some(10)),
        parts: &[Head("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")],
    },
    Answer {
        name: "close-delimited",
        ask: Ask::Get,
        form: Form::UntilClose,
        parts: &[
            Head("HTTP/1.1 200 OK\r\nX: y\r\n\r\n"),
            Content("0123456789"),
        ],
    },
    Answer {
        name: "close-delimited in HTTP/1.0",
        ask: Ask::Get,
        form: Form::UntilClose,
        parts: &[Head("HTTP/1.0 200 OK\r\n\r\n"), Content("0123456789")],
    },
    Answer {
        name: "redirect with a body",
        ask: Ask::Get,
        form: Form::Framed(Some(10)),
        parts: &[
            Head("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 10\r\n\r\n"),
            Content("0123456789"),
        ],
    },
    Answer {
        name: "second request",
        ask: Ask::Second,
        form: Form::Framed(Some(10)),
        parts: &[
            Head("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
            Content("0123456789"),
        ],
    },
    Answer {
        name: "no content",
        ask: Ask::Get,
        form: Form::Framed(None),
        parts: &[Head("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n")],
    },
    Answer {
        name: "length zero",
        ask: Ask::Get,
        form: Form::Framed(Some(0)),
        parts: &[Head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
    },
];

/// The answer of that name.
pub(super) fn named(name: &str) -> &'static Answer {
    ANSWERS.iter().find(|answer| answer.name == name).unwrap()
}

impl Part {
    fn text(&self) -> &'static str {
        match self {
            Interim(text) | Head(text) | Content(text) | Framing(text) => text,
        }
    }
}

impl Answer {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.parts
            .iter()
            .flat_map(|part| part.text().bytes())
            .collect()
    }

    /// Bytes to the end of the final head.
    pub(super) fn head_end(&self) -> usize {
        let heads = self.parts.iter().map_while(|part| match part {
            Interim(text) | Head(text) => Some(text.len()),
            Content(_) | Framing(_) => None,
        });
        heads.sum()
    }

    /// Bytes to the end of the first head.
    pub(super) fn interim_end(&self) -> usize {
        self.parts.first().map_or(0, |part| part.text().len())
    }

    pub(super) fn is_redirect(&self) -> bool {
        self.bytes().starts_with(b"HTTP/1.1 302")
    }

    /// Says whether the body of the request is still held back when so many bytes came.
    pub(super) fn is_body_held(&self, cut: usize) -> bool {
        self.ask == Ask::Expect && cut < self.interim_end()
    }

    /// Says whether the final head came, and so whether a client may act on it.
    pub(super) fn has_head(&self, cut: usize) -> bool {
        cut >= self.head_end()
    }

    fn place(&self, cut: usize) -> Place {
        let mut place = Place::Nothing;
        let (mut left, mut content) = (cut, 0);
        for part in self.parts {
            let len = part.text().len();
            let came = left.min(len) as u64;
            if left == 0 {
                return place;
            }
            let is_all = left >= len;
            place = match part {
                Interim(_) if is_all => Place::Head(0),
                Interim(_) => Place::Head(came),
                Head(_) if !is_all => Place::Head(came),
                Content(_) => {
                    content += came;
                    Place::Body(content)
                }
                Head(_) | Framing(_) => Place::Body(content),
            };
            left -= left.min(len);
            if !is_all {
                return place;
            }
        }
        match self.form {
            Form::UntilClose => place,
            Form::Framed(_) => Place::Whole,
        }
    }

    /// The content of the first bytes of the answer.
    fn content(&self, cut: usize) -> Vec<u8> {
        let mut left = cut;
        let mut content = Vec::new();
        for part in self.parts {
            let came = left.min(part.text().len());
            if let Content(text) = part {
                content.extend_from_slice(&text.as_bytes()[..came]);
            }
            left -= came;
        }
        content
    }

    /// What becomes of a call whose answer is cut behind so many bytes.
    pub(super) fn outcome(&self, cut: usize, end: End) -> Outcome {
        // Whatever becomes of the rest of a redirect, its head is followed.
        if self.is_redirect() && self.has_head(cut) {
            return Outcome::Content(b"next".to_vec());
        }
        let place = self.place(cut);
        let is_close_the_end = self.form == Form::UntilClose && end == End::Fin;
        if place == Place::Whole || is_close_the_end && matches!(place, Place::Body(_)) {
            return Outcome::Content(self.content(cut));
        }
        let is_held = self.is_body_held(cut);
        let phase = match place {
            // The wait for a 100 is over before any timer of an error can fire.
            Place::Nothing | Place::Head(_) if is_held && end != End::Stall => Phase::Expect,
            Place::Nothing => Phase::FirstByte,
            Place::Head(_) => Phase::Head,
            Place::Body(_) | Place::Whole => Phase::Receive,
        };
        let kind = match end {
            End::Fin | End::Bare => self.lost(place, end),
            End::Reset => ErrorKind::Io {
                kind: ConnectionReset,
                code: Some(rustix::io::Errno::CONNRESET.raw_os_error()),
            },
            End::Stall => ErrorKind::Timeout(self.timer(cut)),
        };
        Outcome::Error(kind, phase)
    }

    /// The timer that a silence behind so many bytes ends by.
    pub(super) fn timer(&self, cut: usize) -> Timer {
        match self.place(cut) {
            Place::Nothing | Place::Head(0) => Timer::FirstByte,
            Place::Head(_) => Timer::Head,
            Place::Body(_) | Place::Whole => Timer::BodyIdle,
        }
    }

    fn lost(&self, place: Place, end: End) -> ErrorKind {
        match (place, self.form) {
            (Place::Nothing, _) => ErrorKind::PeerClosed,
            (Place::Head(received), _) => ErrorKind::PeerIncompleteHead { received },
            (Place::Body(received), Form::UntilClose) if end == End::Bare => {
                ErrorKind::PeerTlsTruncated { received }
            }
            (Place::Body(received), Form::Framed(expected)) => {
                ErrorKind::PeerIncompleteBody { received, expected }
            }
            (Place::Body(_), Form::UntilClose) | (Place::Whole, _) => unreachable!("an end"),
        }
    }
}
