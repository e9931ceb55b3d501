//! The laws that fuzz targets check. Each function panics when its law is broken.
//!
//! The first byte of the data chooses strictness and limits, the second how the rest is cut; a seed is
//! therefore two characters and a text.

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "panicking is how a law says that it is broken"
    )
)]

use crate::config::{Limits, Strictness};
use crate::message::anomaly::{Anomalies, Anomaly};
use crate::message::fields::{Fields, check_name, check_value};
use crate::message::proxy::Proxy;
use crate::proto::buffers::Buffer;
use crate::proto::chunked::{
    CHUNK_END, ChunkFault, ChunkedDecoder, Step, chunk_head, write_last_chunk,
};
use crate::proto::connect::{authority_form, write_connect};
use crate::proto::decode::{Head, HeadDecoder, HeadFault};
use crate::proto::encode::USER_AGENT;
use std::net::Ipv6Addr;
use std::num::NonZeroU64;

/// What a head came to: complete with its end, incomplete, or a fault.
pub(crate) type HeadOutcome = Result<Option<(Head, usize)>, HeadFault>;

/// Where a chunked body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// Complete after that many bytes.
    Complete(usize, Fields, Anomalies),
    /// More bytes are needed.
    Incomplete,
    /// Refused.
    Fault(ChunkFault),
}

/// What a chunked body came to: its content and its end.
pub(crate) type BodyOutcome = (Vec<u8>, BodyEnd);

/// Numbers that depend on a seed alone.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u8) -> Self {
        Self(u64::from(seed) << 8 | 0x9e37_79b9_0000_0001)
    }

    /// A number from 1 to `most`.
    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % most.max(1) + 1
    }
}

/// Feeds a head in segments of the given lengths.
pub(crate) fn feed_head(
    input: &[u8],
    limits: &Limits,
    strictness: Strictness,
    mut segment: impl FnMut() -> usize,
) -> HeadOutcome {
    let mut decoder = HeadDecoder::new();
    let mut fed = 0;
    loop {
        fed = (fed + segment()).min(input.len());
        match decoder.decode(&input[..fed], limits, strictness)? {
            Some(head) => {
                let end = head.bytes;
                return Ok(Some((head, end)));
            }
            None => assert_eq!(decoder.received(), fed as u64),
        }
        if fed == input.len() {
            return Ok(None);
        }
    }
}

/// Feeds a chunked body in segments of the given lengths, takes at most `take()` bytes of content at a time, and
/// lets content past the input when `direct` says so.
pub(crate) fn feed_chunked(
    input: &[u8],
    limits: &Limits,
    strictness: Strictness,
    mut segment: impl FnMut() -> usize,
    direct: bool,
) -> BodyOutcome {
    let mut decoder = ChunkedDecoder::new();
    let (mut content, mut start, mut fed) = (Vec::new(), 0, 0);
    loop {
        match decoder.decode(&input[start..fed], limits, strictness) {
            Err(fault) => return (content, BodyEnd::Fault(fault)),
            Ok(Step::End {
                consumed,
                trailers,
                anomalies,
            }) => {
                assert!(decoder.is_done());
                let end = BodyEnd::Complete(start + consumed, trailers, anomalies);
                return (content, end);
            }
            Ok(Step::Data { skip, len }) => {
                let count = segment().min(len);
                assert!(decoder.remaining_in_chunk() >= len as u64 && len > 0);
                content.extend_from_slice(&input[start + skip..start + skip + count]);
                start += skip + count;
                decoder.advance(count as u64);
            }
            Ok(Step::Need { consumed }) => {
                start += consumed;
                assert!(start <= fed);
                if fed == input.len() {
                    return (content, BodyEnd::Incomplete);
                }
                let next = (fed + segment()).min(input.len());
                let left = usize::try_from(decoder.remaining_in_chunk()).unwrap_or(usize::MAX);
                if direct && left > 0 {
                    assert_eq!(start, fed);
                    let count = (next - fed).min(left);
                    content.extend_from_slice(&input[fed..fed + count]);
                    decoder.advance(count as u64);
                    (start, fed) = (fed + count, fed + count);
                } else {
                    fed = next;
                }
            }
        }
    }
}

/// Reads the two bytes in front of the text.
fn settings(data: &[u8]) -> Option<(Limits, Strictness, Numbers, &[u8])> {
    let [choice, seed, text @ ..] = data else {
        return None;
    };
    let strictness = match choice % 3 {
        0 => Strictness::Normal,
        1 => Strictness::Strict,
        _ => Strictness::Lenient,
    };
    let mut limits = Limits::default();
    if choice / 3 % 2 == 1 {
        limits.head_bytes = 120;
        limits.line_bytes = 40;
        limits.field_lines = 3;
        limits.trailer_bytes = 60;
        limits.trailer_lines = 2;
        limits.chunk_extension_bytes = 9;
        limits.chunk_overhead_bytes = 20;
    }
    Some((limits, strictness, Numbers::new(*seed), text))
}

/// Z1: a head does not depend on how its bytes were cut.
pub fn head_incremental(data: &[u8]) {
    let Some((limits, strictness, mut numbers, text)) = settings(data) else {
        return;
    };
    let whole = feed_head(text, &limits, strictness, || usize::MAX >> 1);
    let bytewise = feed_head(text, &limits, strictness, || 1);
    assert_eq!(whole, bytewise, "byte by byte");
    let cut = feed_head(text, &limits, strictness, || numbers.up_to(9));
    assert_eq!(whole, cut, "in pieces");
    match &whole {
        Ok(Some((head, end))) => check_head(text, head, *end, &limits, strictness),
        Ok(None) => {}
        Err(HeadFault::Rule { offset, .. }) => assert!(*offset <= text.len() as u64),
        Err(HeadFault::Limit { .. }) => {}
    }
    check_strictness(text, &limits, strictness, &whole);
}

/// What holds for every head that was accepted.
fn check_head(text: &[u8], head: &Head, end: usize, limits: &Limits, strictness: Strictness) {
    assert!(end <= text.len() && head.bytes == end && end <= limits.head_bytes.max(16));
    assert!((100..=999).contains(&head.status));
    assert!(text[..end].ends_with(b"\n"));
    let all = || usize::MAX >> 1;
    let early = feed_head(&text[..end - 1], limits, strictness, all);
    assert_eq!(early, Ok(None), "complete before its end");
    assert!(head.fields.len() <= limits.field_lines);
    check_fields(&head.fields);
}

fn check_fields(fields: &Fields) {
    for line in fields.iter() {
        assert_eq!(check_name(line.name()), Ok(()));
        assert_eq!(check_value(line.value()), Ok(()));
    }
}

/// A stricter reader accepts less, and reads what it accepts in the same way.
fn check_strictness(text: &[u8], limits: &Limits, strictness: Strictness, outcome: &HeadOutcome) {
    let all = || usize::MAX >> 1;
    let Ok(Some((head, end))) = outcome else {
        return;
    };
    if strictness == Strictness::Strict {
        let accepted = |anomaly| anomaly == Anomaly::Version;
        assert!(head.anomalies.iter().all(|s| accepted(s.anomaly)));
    }
    for looser in [Strictness::Normal, Strictness::Lenient] {
        if strictness != Strictness::Lenient || looser == Strictness::Lenient {
            let read = feed_head(text, limits, looser, all);
            assert_eq!(read, Ok(Some((head.clone(), *end))), "{looser:?}");
        }
    }
}

/// Z2: a chunked body does not depend on how its bytes were cut, nor on how its content was taken.
pub fn chunked_split(data: &[u8]) {
    let Some((limits, strictness, mut numbers, text)) = settings(data) else {
        return;
    };
    let whole = feed_chunked(text, &limits, strictness, || usize::MAX >> 1, false);
    let bytewise = feed_chunked(text, &limits, strictness, || 1, false);
    assert_eq!(whole, bytewise, "byte by byte");
    for direct in [false, true] {
        let cut = feed_chunked(text, &limits, strictness, || numbers.up_to(7), direct);
        assert_eq!(whole, cut, "in pieces, direct: {direct}");
    }
    let (content, end) = whole;
    assert!(content.len() <= text.len());
    match end {
        BodyEnd::Complete(end, trailers, anomalies) => {
            check_fields(&trailers);
            let alone = feed_chunked(&text[..end], &limits, strictness, || 3, true);
            let complete = BodyEnd::Complete(end, trailers, anomalies);
            assert_eq!(alone, (content, complete), "took a byte past the end");
            let early = feed_chunked(&text[..end - 1], &limits, strictness, || 3, true);
            assert_eq!(early.1, BodyEnd::Incomplete, "complete before its end");
        }
        BodyEnd::Fault(ChunkFault::Chunk { offset, .. } | ChunkFault::Trailer { offset, .. }) => {
            assert!(offset < text.len() as u64);
        }
        BodyEnd::Incomplete | BodyEnd::Fault(ChunkFault::Limit { .. }) => {}
    }
}

/// Z3: what the encoder writes the decoder reads back, and httparse agrees about every size.
pub fn chunked_roundtrip(data: &[u8]) {
    let Some((_, strictness, mut numbers, content)) = settings(data) else {
        return;
    };
    let limits = Limits {
        chunk_overhead_bytes: usize::MAX,
        ..Limits::default()
    };
    let mut wire = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(numbers.up_to(300).min(rest.len()));
        write_chunk(chunk, numbers.up_to(4), &mut wire);
        rest = after;
    }
    let trailers = some_trailers(&mut numbers);
    write_last_chunk(&trailers, &mut wire);
    let end = wire.len();
    wire.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
    let (decoded, decoded_end) =
        feed_chunked(&wire, &limits, strictness, || numbers.up_to(64), true);
    assert_eq!(decoded, content);
    let expected = BodyEnd::Complete(end, trailers, Anomalies::default());
    assert_eq!(decoded_end, expected);
}

fn write_chunk(chunk: &[u8], extensions: usize, wire: &mut Vec<u8>) {
    let Some(size) = NonZeroU64::new(chunk.len() as u64) else {
        return;
    };
    let head = chunk_head(size);
    let complete = httparse::Status::Complete((head.as_bytes().len(), size.get()));
    assert_eq!(httparse::parse_chunk_size(head.as_bytes()), Ok(complete));
    let digits = &head.as_bytes()[..head.as_bytes().len() - 2];
    wire.extend_from_slice(digits);
    for _ in 1..extensions {
        wire.extend_from_slice(b";name=\"a; value\"");
    }
    wire.extend_from_slice(CHUNK_END);
    wire.extend_from_slice(chunk);
    wire.extend_from_slice(CHUNK_END);
}

fn some_trailers(numbers: &mut Numbers) -> Fields {
    let mut trailers = Fields::new();
    for index in 1..numbers.up_to(4) {
        let value = "v".repeat(numbers.up_to(20) - 1);
        let added = trailers.append(&format!("X-Trailer-{index}"), &value);
        assert_eq!(added, Ok(()));
    }
    trailers
}

/// Z5: a request for a tunnel reads back as exactly one head with exactly what it is made of, or is not made. The text is
/// host, user name, password, and names and values of fields, with a record separator between them.
pub fn connect_writer(data: &[u8]) {
    let [high, low, text @ ..] = data else {
        return;
    };
    let port = u16::from_be_bytes([*high, *low]);
    let text = String::from_utf8_lossy(text);
    let mut parts = text.split('\x1e');
    let mut next = || parts.next().unwrap_or_default();
    let (host, user, password) = (next(), next(), next());
    let Some(target) = authority_form(host, port) else {
        return;
    };
    let Ok(mut proxy) = Proxy::parse("http://proxy.test") else {
        return;
    };
    if !user.is_empty() {
        proxy = proxy
            .clone()
            .with_credentials(user, password)
            .unwrap_or(proxy);
    }
    loop {
        let (name, value) = (next(), next());
        if name.is_empty() {
            break;
        }
        proxy = proxy.clone().connect_field(name, value).unwrap_or(proxy);
    }
    let mut out = Buffer::default();
    write_connect(&target, &proxy, &mut out);
    let wire = String::from_utf8_lossy(out.filled());
    let lines = read_strictly(&wire);
    let mut expected = vec![
        format!("CONNECT {target} HTTP/1.1"),
        format!("Host: {target}"),
    ];
    if !proxy.connect_fields().contains("user-agent") {
        expected.push(format!("User-Agent: {USER_AGENT}"));
    }
    expected.extend(
        proxy
            .basic()
            .map(|value| format!("Proxy-Authorization: {value}")),
    );
    for line in proxy.connect_fields().iter() {
        let value = String::from_utf8_lossy(line.value());
        expected.push(format!("{}: {value}", line.name()));
    }
    assert_eq!(lines, expected);
    check_authority(&target, port);
}

/// Reads a head that has nothing but lines that end in CRLF, and nothing behind the empty one.
fn read_strictly(wire: &str) -> Vec<&str> {
    let head = wire.strip_suffix("\r\n\r\n");
    let lines: Vec<_> = head
        .into_iter()
        .flat_map(|head| head.split("\r\n"))
        .collect();
    assert!(!lines.is_empty(), "{wire:?}");
    for line in &lines {
        assert!(
            !line.is_empty() && !line.contains(['\r', '\n', '\0']),
            "{wire:?}"
        );
    }
    lines
}

/// Holds a target to be what every reader takes for the same host and port.
fn check_authority(target: &str, port: u16) {
    let (host, end) = target.rsplit_once(':').unwrap_or_default();
    assert!(port != 0 && end == port.to_string(), "{target:?}");
    let inside = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inside {
        Some(address) => assert!(address.parse::<Ipv6Addr>().is_ok(), "{target:?}"),
        None => assert!(
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
            "{target:?}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    /// Replays every file of the seeds of one target.
    fn replay(target: &str, law: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            for choice in 0..6 {
                let mut varied = data.clone();
                varied[0] = choice;
                law(&varied);
            }
            count += 1;
        }
        assert!(count >= 15, "{count} seeds in {}", folder.display());
    }

    #[test]
    fn seeds_of_head_incremental_hold() {
        replay("head_incremental", head_incremental);
    }

    #[test]
    fn seeds_of_chunked_split_hold() {
        replay("chunked_split", chunked_split);
    }

    #[test]
    fn seeds_of_connect_writer_hold() {
        replay("connect_writer", connect_writer);
    }

    proptest! {
        #[test]
        fn cve_6_no_host_no_credentials_and_no_field_adds_a_line_to_connect(
            port: [u8; 2], parts in prop::collection::vec("[ -~\\r\\n\\t\\x00é:@]{0,9}", 0..9)
        ) {
            connect_writer(&[&port[..], parts.join("\x1e").as_bytes()].concat());
            let named = ["h.test", &parts.join("\x1e")].join("\x1e");
            connect_writer(&[&port[..], named.as_bytes()].concat());
        }
    }

    #[test]
    fn seeds_of_chunked_roundtrip_hold() {
        replay("chunked_roundtrip", chunked_roundtrip);
    }
}
