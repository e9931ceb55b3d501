//! Request heads, written.
//!
//! The rule guarded here: what is written reads back as exactly one head with exactly these lines. Every part
//! was checked when it was made (method and names are tokens, values and target have no control byte), so
//! nothing here can end a line but the CRLF written here.

use std::num::NonZeroU64;

use crate::event::AddedBy;
use crate::message::fields::Fields;
use crate::message::proxy::Proxy;
use crate::proto::buffers::Buffer;
use crate::proto::chunked::{self, CHUNK_END};
use crate::proto::sending::TrailerPlan;

/// A `User-Agent` of ours: product and version, no more (RFC 9110 §10.1.5).
pub(crate) const USER_AGENT: &str = concat!("wirescope/", env!("CARGO_PKG_VERSION"));

/// How the body of a request is framed (RFC 9112 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestFraming {
    /// No framing field: there is no body, and none is expected of the method.
    Absent,
    /// `Content-Length`, which may be 0.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Everything that a head is written from, in the order in which it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadPlan<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) host: &'a [u8],
    /// The proxy that is given the request.
    pub(crate) proxy: Option<&'a Proxy>,
    pub(crate) user_agent: bool,
    pub(crate) accept: bool,
    /// The caller's lines, without those that are written from the other members.
    pub(crate) fields: &'a Fields,
    pub(crate) host_by_user: bool,
    pub(crate) expect: bool,
    pub(crate) close: bool,
    /// The protocols that are offered instead of this one, as a list.
    pub(crate) upgrade: Option<&'a str>,
    /// Whether the peer is told that trailers are welcome.
    pub(crate) takes_trailers: bool,
    pub(crate) framing: RequestFraming,
    /// Names of the trailers that will follow a chunked body.
    pub(crate) trailers: Option<&'a TrailerPlan>,
}

impl HeadPlan<'_> {
    /// Appends the head and says how many bytes and lines it has.
    pub(crate) fn write(&self, out: &mut Buffer) -> (usize, u32) {
        let before = out.len();
        let mut lines = 0_u32;
        let (method, target) = (self.method.as_bytes(), self.target.as_bytes());
        out.append_all([method, b" ", target, b" HTTP/1.1\r\n"]);
        self.each_line(|name, value, _| {
            out.append_all([name.as_bytes(), b": ", value, b"\r\n"]);
            lines = lines.saturating_add(1);
        });
        out.append(b"\r\n");
        (out.len().saturating_sub(before), lines)
    }

    /// What the peer is told of the connection; a field for one connection is named there (RFC 9110 §7.6.1).
    fn connection_options(&self) -> Option<&'static [u8]> {
        match (self.close, self.upgrade.is_some(), self.takes_trailers) {
            (false, true, true) => Some(b"Upgrade, TE"),
            (false, true, false) => Some(b"Upgrade"),
            (true, _, true) => Some(b"close, TE"),
            (true, _, false) => Some(b"close"),
            (false, false, true) => Some(b"TE"),
            (false, false, false) => None,
        }
    }

    /// Goes through the lines in wire order: Host first (RFC 9110 §7.2), our defaults, the caller's lines in
    /// their order, then what concerns the connection and the framing.
    pub(crate) fn each_line(&self, mut line: impl FnMut(&str, &[u8], AddedBy)) {
        let host_by = if self.host_by_user {
            AddedBy::User
        } else {
            AddedBy::Client
        };
        let is_of_proxy = |name| {
            let proxy = self.proxy;
            proxy.is_some_and(|proxy| proxy.request_fields().contains(name))
        };
        line("Host", self.host, host_by);
        if self.user_agent && !is_of_proxy("user-agent") {
            line("User-Agent", USER_AGENT.as_bytes(), AddedBy::Client);
        }
        if self.accept && !is_of_proxy("accept") {
            line("Accept", b"*/*", AddedBy::Client);
        }
        if let Some(proxy) = self.proxy {
            self.each_line_of(proxy, &mut line);
        }
        for field in self.fields.iter() {
            line(field.name(), field.value(), AddedBy::User);
        }
        if self.expect {
            line("Expect", b"100-continue", AddedBy::User);
        }
        if self.takes_trailers {
            line("TE", b"trailers", AddedBy::User);
        }
        if let Some(options) = self.connection_options() {
            line("Connection", options, AddedBy::Client);
        }
        if let Some(protocols) = self.upgrade {
            line("Upgrade", protocols.as_bytes(), AddedBy::User);
        }
        if let Some(trailers) = self.trailers.filter(|trailers| !trailers.is_empty()) {
            line("Trailer", &announced(trailers), AddedBy::Client);
        }
        match self.framing {
            RequestFraming::Absent => {}
            RequestFraming::Length(length) => {
                line(
                    "Content-Length",
                    decimal(length).as_bytes(),
                    AddedBy::Client,
                );
            }
            RequestFraming::Chunked => line("Transfer-Encoding", b"chunked", AddedBy::Client),
        }
    }

    /// Goes through the lines that are for the proxy, but for those that the request has itself: who asks
    /// (RFC 9110 §11.7.2), and the fields that are sent to it with whatever is.
    fn each_line_of(&self, proxy: &Proxy, line: &mut impl FnMut(&str, &[u8], AddedBy)) {
        const NAME: &str = "Proxy-Authorization";
        if let Some(credentials) = proxy.basic().filter(|_| !self.fields.contains(NAME)) {
            line(NAME, credentials.as_bytes(), AddedBy::Client);
        }
        let fields = proxy.request_fields().iter();
        for field in fields.filter(|field| !self.fields.contains(field.name())) {
            line(field.name(), field.value(), AddedBy::User);
        }
    }
}

/// The names of trailers as a list (RFC 9110 §6.6.2).
fn announced(trailers: &TrailerPlan) -> Vec<u8> {
    let mut names = Vec::new();
    for name in trailers.names() {
        if !names.is_empty() {
            names.extend_from_slice(b", ");
        }
        names.extend_from_slice(name.as_bytes());
    }
    names
}

/// A decimal number on the stack.
struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

fn decimal(number: u64) -> Decimal {
    let mut digits = [b'0'; 20];
    let mut left = number;
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' | u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        start = start.saturating_sub(1);
        if left == 0 {
            break;
        }
    }
    Decimal { digits, start }
}

/// Room for the head of a chunk that is laid out before its size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkRoom {
    room: usize,
}

impl ChunkRoom {
    /// Leaves room in `out` for the head of a chunk of at most `max` bytes.
    pub(crate) fn leave(out: &mut Buffer, max: NonZeroU64) -> Self {
        let head = chunked::chunk_head(max);
        out.append(head.as_bytes());
        Self {
            room: head.as_bytes().len(),
        }
    }

    /// Closes the chunk around the last `count` bytes of `out`; without any, takes the room back.
    pub(crate) fn close(self, out: &mut Buffer, count: usize) {
        let Some(size) = NonZeroU64::new(count as u64) else {
            out.close_gap(0, self.room);
            return;
        };
        let head = chunked::chunk_head(size);
        let len = head.as_bytes().len();
        out.close_gap(count, self.room.saturating_sub(len));
        if let Some(place) = out.tail_mut(count.saturating_add(len)).get_mut(..len) {
            place.copy_from_slice(head.as_bytes());
        }
        out.append(CHUNK_END);
    }
}

/// Appends the end of a chunked body.
pub(crate) fn write_last_chunk(trailers: &Fields, out: &mut Buffer) {
    let mut end = Vec::new();
    chunked::write_last_chunk(trailers, &mut end);
    out.append(&end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(fields: &Fields) -> HeadPlan<'_> {
        HeadPlan {
            proxy: None,
            method: "GET",
            target: "/a?b",
            host: b"example.com",
            user_agent: true,
            accept: true,
            fields,
            host_by_user: false,
            expect: false,
            close: false,
            upgrade: None,
            takes_trailers: false,
            framing: RequestFraming::Absent,
            trailers: None,
        }
    }

    fn text(plan: &HeadPlan<'_>) -> String {
        let mut out = Buffer::default();
        let (bytes, _) = plan.write(&mut out);
        assert_eq!(bytes, out.len());
        String::from_utf8(out.filled().to_vec()).unwrap()
    }

    #[test]
    fn rfc_a4_rfc_a13_one_space_between_the_parts_and_host_first() {
        let head = text(&plan(&Fields::new()));
        let expected = format!(
            "GET /a?b HTTP/1.1\r\nHost: example.com\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\r\n"
        );
        assert_eq!(head, expected);
    }

    #[test]
    fn rfc_a20_the_version_sent_is_1_1() {
        assert!(text(&plan(&Fields::new())).starts_with("GET /a?b HTTP/1.1\r\n"));
    }

    #[test]
    fn rfc_b6_length_and_coding_never_stand_together() {
        for framing in [
            RequestFraming::Absent,
            RequestFraming::Length(7),
            RequestFraming::Chunked,
        ] {
            let head = text(&HeadPlan {
                framing,
                ..plan(&Fields::new())
            });
            assert!(
                !(head.contains("Content-Length") && head.contains("Transfer-Encoding")),
                "{head}"
            );
        }
        assert!(
            text(&HeadPlan {
                framing: RequestFraming::Length(u64::MAX),
                ..plan(&Fields::new())
            })
            .contains("Content-Length: 18446744073709551615\r\n")
        );
        assert!(
            text(&HeadPlan {
                framing: RequestFraming::Length(0),
                ..plan(&Fields::new())
            })
            .contains("Content-Length: 0\r\n")
        );
    }

    #[test]
    fn rfc_a29_rfc_a31_te_and_close_are_named_in_one_connection_field() {
        let check = |close, takes_trailers, upgrade, expected: &str| {
            let head = text(&HeadPlan {
                close,
                takes_trailers,
                upgrade,
                ..plan(&Fields::new())
            });
            let (_, behind) = head.split_once("Accept: */*\r\n").unwrap();
            assert_eq!(behind, format!("{expected}\r\n"));
        };
        check(false, false, None, "");
        check(true, false, None, "Connection: close\r\n");
        check(false, true, None, "TE: trailers\r\nConnection: TE\r\n");
        check(
            false,
            true,
            Some("x"),
            "TE: trailers\r\nConnection: Upgrade, TE\r\nUpgrade: x\r\n",
        );
        check(
            true,
            true,
            None,
            "TE: trailers\r\nConnection: close, TE\r\n",
        );
    }

    #[test]
    fn rfc_b10_trailers_are_announced() {
        let mut trailers = Fields::new();
        trailers.append("X-Sum", "1").unwrap();
        trailers.append("X-More", "2").unwrap();
        let trailers = TrailerPlan::new(trailers, vec!["X-Late".into()]);
        let head = text(&HeadPlan {
            framing: RequestFraming::Chunked,
            trailers: Some(&trailers),
            ..plan(&Fields::new())
        });
        assert!(
            head.contains("Trailer: X-Sum, X-More, X-Late\r\n"),
            "{head}"
        );
    }

    #[test]
    fn a_chunk_closes_around_what_came() {
        let check = |max: u64, data: &str, expected: &str| {
            let mut out = Buffer::default();
            out.append(b"head|");
            let room = ChunkRoom::leave(&mut out, NonZeroU64::new(max).unwrap());
            out.append(data.as_bytes());
            room.close(&mut out, data.len());
            assert_eq!(out.filled(), format!("head|{expected}").as_bytes());
        };
        check(65536, "abc", "3\r\nabc\r\n");
        check(65536, "", "");
        check(16, "0123456789abcdef", "10\r\n0123456789abcdef\r\n");
        check(4, "abcd", "4\r\nabcd\r\n");
    }

    /// A strict reader of our own: exactly one head, split at CRLF, names and values as given.
    fn read_back(head: &str) -> Option<(String, Vec<(String, String)>)> {
        let body = head.strip_suffix("\r\n\r\n")?;
        let mut lines = body.split("\r\n");
        let first = lines.next()?.to_owned();
        let fields = lines
            .map(|line| {
                line.split_once(": ")
                    .map(|(n, v)| (n.to_owned(), v.to_owned()))
            })
            .collect::<Option<_>>()?;
        Some((first, fields))
    }

    proptest! {
        /// Whatever fields the public interface takes, they read back as they are and nothing else does.
        #[test]
        fn rfc_a1_rfc_a18_rfc_a23_rfc_a24_what_is_written_reads_back(
            lines in prop::collection::vec((".{0,12}", ".{0,24}"), 0..6)
        ) {
            let mut fields = Fields::new();
            let kept: Vec<_> = lines.into_iter().filter(|(name, value)| fields.append(name, value).is_ok()).collect();
            let head = text(&plan(&fields));
            prop_assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']));
            let (first, read) = read_back(&head).unwrap();
            prop_assert_eq!(first, "GET /a?b HTTP/1.1");
            prop_assert_eq!(&read[3..], &kept[..]);
        }
    }
}
