//! What can be asked for, and the fixed bytes of the answers.

/// Bytes of the large body.
const BULK: usize = 64 * 1024;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// Four fields and 12 bytes.
    Tiny,
    /// 64 KiB with their length.
    Bulk,
    /// As `Tiny`, but not before `/release` was asked for on another connection.
    Hold,
}

impl Path {
    /// The request target.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Tiny => "/tiny",
            Self::Bulk => "/64k",
            Self::Hold => "/hold",
        }
    }

    /// Bytes of the body.
    pub(crate) fn body_length(self) -> usize {
        match self {
            Self::Tiny | Self::Hold => TINY_BODY.len(),
            Self::Bulk => BULK,
        }
    }

    /// The whole answer.
    pub(crate) fn answer(self) -> Vec<u8> {
        match self {
            Self::Tiny | Self::Hold => answer(TINY_BODY),
            Self::Bulk => answer(&[b'x'; BULK]),
        }
    }
}

const TINY_BODY: &[u8] = b"hello world\n";

/// An answer with four fields.
pub(crate) fn answer(body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: fixed\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}
