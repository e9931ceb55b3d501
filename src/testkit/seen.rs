//! What a peer has seen: requests and TLS handshakes; and the small reader that finds requests.
//!
//! The reader is simple on purpose and shares no code with the client's own: a peer that judged
//! the client by the client's rules would prove nothing.

use std::fmt;

/// A request as a peer has read it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenRequest {
    /// The connection it came on: 0 for the first one the peer accepted.
    pub connection: usize,
    /// Request line and header section as they came, up to and including the empty line.
    pub head: Vec<u8>,
    /// The content without chunk framing, as far as the script has read it; empty if the peer
    /// was built with `keep_bodies(false)`.
    pub body: Vec<u8>,
    /// How many bytes of content have been read, kept or not.
    pub body_bytes: u64,
    /// The trailer section as it came, without the empty line after it.
    pub trailers: Vec<u8>,
    /// Whether the script has read the request to its end.
    pub is_complete: bool,
}

impl SeenRequest {
    pub(crate) fn new(connection: usize, head: Vec<u8>) -> Self {
        Self {
            connection,
            head,
            body: Vec::new(),
            body_bytes: 0,
            trailers: Vec::new(),
            is_complete: false,
        }
    }

    /// The method; empty if the request line has none.
    #[must_use]
    pub fn method(&self) -> &str {
        self.request_line_part(0)
    }

    /// The request target as it was sent; empty if the request line has none.
    #[must_use]
    pub fn target(&self) -> &str {
        self.request_line_part(1)
    }

    /// The value of the first field line with this name (in any case), without the white space
    /// around it; `None` also if it is not UTF-8.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The values of all field lines with this name, in their order.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        fields(&self.head, name)
    }

    fn request_line_part(&self, index: usize) -> &str {
        let line = lines(&self.head).next().unwrap_or_default();
        let part = line.split(|&byte| byte == b' ').nth(index);
        part.and_then(|part| std::str::from_utf8(part).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenRequest")
            .field("connection", &self.connection)
            .field("head", &format_args!("\"{}\"", self.head.escape_ascii()))
            .field("body_bytes", &self.body_bytes)
            .field("is_complete", &self.is_complete)
            .finish_non_exhaustive()
    }
}

/// A TLS handshake as a peer has seen it, made or failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenHandshake {
    /// The connection it was made on: 0 for the first one the peer accepted.
    pub connection: usize,
    /// The host name that the client asked for (SNI), if it did.
    pub server_name: Option<String>,
    /// The protocol agreed on (ALPN), if any.
    pub protocol: Option<Vec<u8>>,
    /// The TLS version agreed on, such as `TLSv1_3`.
    pub version: Option<String>,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
    /// Why the handshake failed; `None` if it was made.
    pub error: Option<String>,
}

/// Where the head at the start of `bytes` ends, its empty line included.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    find(bytes, b"\r\n\r\n").map(|start| start + 4)
}

/// Where `needle` starts in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    bytes.windows(needle.len()).position(|part| part == needle)
}

/// Whether a head says that the connection is closed after its message (RFC 9112 §9.6).
pub(crate) fn says_close(head: &[u8]) -> bool {
    fields(head, "connection")
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// Reads the body that belongs to one request head, in whatever pieces it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyReader {
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

/// What one call of [`BodyReader::feed`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// How many bytes of the input are used up; none means that more are needed.
    pub(crate) used: usize,
    pub(crate) content: &'a [u8],
    pub(crate) trailer: &'a [u8],
}

impl BodyReader {
    /// The reader for the body after this request head (RFC 9112 §6.3).
    pub(crate) fn for_head(head: &[u8]) -> Result<Self, String> {
        let codings = field(head, "transfer-encoding");
        let length = field(head, "content-length");
        match (codings, length) {
            (Some(_), Some(_)) => Err("both transfer-encoding and content-length".to_owned()),
            (Some(codings), None) => {
                let last = codings.rsplit(',').next().unwrap_or_default().trim();
                if last.eq_ignore_ascii_case("chunked") {
                    Ok(Self::ChunkSize)
                } else {
                    Err(format!("a request whose last coding is {last:?}"))
                }
            }
            (None, Some(length)) => match length.parse() {
                Ok(0) => Ok(Self::Done),
                Ok(bytes) => Ok(Self::Length(bytes)),
                Err(_) => Err(format!("content-length {length:?}")),
            },
            (None, None) => Ok(Self::Done),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Takes the next piece from the start of `input`.
    pub(crate) fn feed<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, String> {
        match *self {
            Self::Length(left) => {
                let (piece, left) = content(input, left);
                *self = if left == 0 {
                    Self::Done
                } else {
                    Self::Length(left)
                };
                Ok(piece)
            }
            Self::ChunkData(left) => {
                let (piece, left) = content(input, left);
                *self = if left == 0 {
                    Self::ChunkEnd
                } else {
                    Self::ChunkData(left)
                };
                Ok(piece)
            }
            Self::ChunkSize | Self::ChunkEnd | Self::Trailers => match find(input, b"\r\n") {
                Some(end) => self.line(&input[..end + 2]),
                None => Ok(Piece::default()),
            },
            Self::Done => Ok(Piece::default()),
        }
    }

    fn line<'a>(&mut self, line: &'a [u8]) -> Result<Piece<'a>, String> {
        let text = &line[..line.len() - 2];
        let mut piece = Piece {
            used: line.len(),
            ..Piece::default()
        };
        *self = match *self {
            Self::ChunkSize => match chunk_size(text)? {
                0 => Self::Trailers,
                bytes => Self::ChunkData(bytes),
            },
            Self::Trailers if text.is_empty() => Self::Done,
            Self::Trailers => {
                piece.trailer = line;
                Self::Trailers
            }
            _ if text.is_empty() => Self::ChunkSize,
            _ => return Err(format!("\"{}\" after a chunk", text.escape_ascii())),
        };
        Ok(piece)
    }
}

fn content(input: &[u8], left: u64) -> (Piece<'_>, u64) {
    let used = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    let content = &input[..used];
    (
        Piece {
            used,
            content,
            trailer: &[],
        },
        left - used as u64,
    )
}

fn chunk_size(line: &[u8]) -> Result<u64, String> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| format!("chunk size line \"{}\"", line.escape_ascii()))
}

fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    fields(head, name).next()
}

fn fields<'a>(head: &'a [u8], name: &str) -> impl Iterator<Item = &'a str> {
    lines(head).skip(1).filter_map(move |line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (found, value) = (&line[..colon], &line[colon + 1..]);
        found
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| std::str::from_utf8(value).ok().map(str::trim))?
    })
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> SeenRequest {
        SeenRequest::new(0, head.as_bytes().to_vec())
    }

    /// Reads `body` in pieces of `step` bytes; returns content, trailers and what is left over.
    fn read(head: &str, body: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>, usize), String> {
        let mut reader = BodyReader::for_head(head.as_bytes())?;
        let (mut pending, mut content, mut trailers) = (Vec::new(), Vec::new(), Vec::new());
        for bytes in body.chunks(step) {
            pending.extend_from_slice(bytes);
            loop {
                let piece = reader.feed(&pending)?;
                content.extend_from_slice(piece.content);
                trailers.extend_from_slice(piece.trailer);
                let used = piece.used;
                pending.drain(..used);
                if used == 0 {
                    break;
                }
            }
        }
        assert!(reader.is_done(), "{reader:?}");
        Ok((content, trailers, pending.len()))
    }

    #[test]
    fn a_request_gives_its_parts() {
        let seen = request("GET /a?b HTTP/1.1\r\nHost: x\r\nX-A:  1 \r\nx-a: 2\r\n\r\n");
        assert_eq!((seen.method(), seen.target()), ("GET", "/a?b"));
        assert_eq!(seen.field("host"), Some("x"));
        assert_eq!(seen.fields("x-a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(seen.field("x-b"), None);
        assert_eq!(request("").method(), "");
    }

    #[test]
    fn bodies_are_read_in_any_pieces() {
        let chunked = "P / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n";
        let coded = b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nt: 1\r\n\r\nGET";
        for step in 1..=coded.len() {
            let (content, trailers, left) = read(chunked, coded, step).unwrap();
            assert_eq!(content, b"abc0123456789");
            assert_eq!((&trailers[..], left), (&b"t: 1\r\n"[..], 3));
            let sized = "P / HTTP/1.1\r\ncontent-length: 5\r\n\r\n";
            assert_eq!(read(sized, b"hello", step).unwrap().0, b"hello");
        }
        assert_eq!(read("G / HTTP/1.1\r\n\r\n", b"", 1).unwrap().0, b"");
    }

    #[test]
    fn bad_framing_is_told() {
        for (head, body) in [
            (
                "P /\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                "",
            ),
            ("P /\r\ncontent-length: x\r\n\r\n", ""),
            ("P /\r\ntransfer-encoding: gzip\r\n\r\n", ""),
            ("P /\r\ntransfer-encoding: chunked\r\n\r\n", "+1\r\na\r\n"),
            ("P /\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nab\r\n"),
        ] {
            assert!(read(head, body.as_bytes(), 1).is_err(), "{head:?} {body:?}");
        }
    }

    #[test]
    fn connection_options_are_looked_up_in_any_case() {
        assert!(says_close(
            b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n"
        ));
        assert!(!says_close(
            b"HTTP/1.1 200 OK\r\nconnection: closed\r\n\r\nclose"
        ));
    }
}
