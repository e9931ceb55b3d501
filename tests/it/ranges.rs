//! Ranges: asked for, judged and read through both doors, against a server that knows what it serves.

use std::io::{self, Read, Write};

use wirescope::error::{RangeRule, RequestRule};
use wirescope::message::etag::EntityTag;
use wirescope::message::range::{ByteRange, Held, Partial, Ranges, Validator};
use wirescope::testkit::Script;
use wirescope::{Error, ErrorKind, EventLoop, Parts, Request};

use crate::harness::{Lab, once, serve};

/// What the server has.
fn content() -> Vec<u8> {
    (0..10_000_u32).map(|place| (place % 251) as u8).collect()
}

/// A server of one representation that heeds ranges, with this tag.
fn server(tag: &'static str) -> Script {
    Script::new().respond_with(move |request| {
        let content = content();
        let is_same = request.field("if-range").is_none_or(|asked| asked == tag);
        let asked = request.field("range").filter(|_| is_same);
        let spans: Vec<_> = match asked.map(|text| Ranges::parse(text.as_bytes()).unwrap()) {
            None => return answer("200 OK", tag, "", &content),
            Some(ranges) => ranges
                .iter()
                .filter_map(|range| span(range, content.len()))
                .collect(),
        };
        let complete = content.len();
        let line = |(first, last): (usize, usize)| {
            format!("Content-Range: bytes {first}-{last}/{complete}\r\n")
        };
        match spans[..] {
            [] => answer(
                "416 Range Not Satisfiable",
                tag,
                &format!("Content-Range: bytes */{complete}\r\n"),
                b"",
            ),
            [(first, last)] => answer(
                "206 Partial Content",
                tag,
                &line((first, last)),
                &content[first..=last],
            ),
            _ => {
                let mut parts = Vec::new();
                for (first, last) in spans {
                    write!(
                        parts,
                        "\r\n--cut here\r\nContent-Type: x/y\r\n{}\r\n",
                        line((first, last))
                    )
                    .unwrap();
                    parts.extend_from_slice(&content[first..=last]);
                }
                parts.extend_from_slice(b"\r\n--cut here--\r\n");
                let media = "Content-Type: multipart/byteranges; boundary=\"cut here\"\r\n";
                answer("206 Partial Content", tag, media, &parts)
            }
        }
    })
}

fn span(range: ByteRange, complete: usize) -> Option<(usize, usize)> {
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
    let (first, last) = match range {
        ByteRange::FromTo(first, last) => (at(first), at(last).min(complete - 1)),
        ByteRange::From(first) => (at(first), complete - 1),
        ByteRange::Last(bytes) => (complete.saturating_sub(at(bytes)), complete - 1),
        _ => return None,
    };
    (first < complete).then_some((first, last))
}

fn answer(status: &str, tag: &str, lines: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head =
        format!("HTTP/1.1 {status}\r\nETag: {tag}\r\n{lines}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), content].concat()
}

type Pieces = Vec<(u64, Vec<u8>)>;

/// The parts of a response, each with its first position.
fn pieces<R: Read>(mut parts: Parts<R>) -> Result<Pieces, Error> {
    let mut pieces = Vec::new();
    while let Some(mut part) = parts.next_part()? {
        let mut content = Vec::new();
        let first = part.range().first();
        let read = part.read_to_end(&mut content);
        read.map_err(|error| error.downcast::<Error>().unwrap())?;
        pieces.push((first, content));
    }
    Ok(pieces)
}

/// What a request comes to, through both doors.
fn ask(
    lab: &Lab,
    change: impl Fn(Request) -> Request,
) -> (Result<Partial, Error>, Result<Pieces, Error>) {
    let request = || change(lab.request("GET", "/"));
    let mut response = request().send().unwrap();
    let partial = response.partial();
    let read = response.parts().and_then(pieces);
    drop(response);

    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    event_loop.submit(request()).unwrap();
    let done = event_loop.next().unwrap().unwrap();
    let looped = (
        done.partial().map(Option::unwrap),
        done.parts().and_then(pieces),
    );
    let shown = |result: &(Result<Partial, Error>, Result<Pieces, Error>)| {
        let kind = |error: &Error| error.kind();
        let (partial, read) = (
            result.0.as_ref().map_err(kind),
            result.1.as_ref().map_err(kind),
        );
        format!("{partial:?} {read:?}")
    };
    let blocking = (partial, read);
    assert_eq!(shown(&blocking), shown(&looped));
    blocking
}

#[test]
fn rfc_d26_rfc_a39_ranges_come_as_they_were_asked_for() {
    let lab = Lab::new([server("\"a\"")]);
    let content = content();
    let check = |wished: &[ByteRange], expected: &[(usize, usize)]| {
        let ranges = Ranges::new(wished.iter().copied()).unwrap();
        let (partial, read) = ask(&lab, |request| request.ranges(&ranges).unwrap());
        let one = matches!(partial.unwrap(), Partial::One(_));
        assert_eq!(one, expected.len() == 1, "{wished:?}");
        let piece =
            |(first, last): &(usize, usize)| (*first as u64, content[*first..=*last].to_vec());
        let expected: Vec<_> = expected.iter().map(piece).collect();
        assert!(read.unwrap() == expected, "{wished:?}");
    };
    check(&[ByteRange::FromTo(0, 499)], &[(0, 499)]);
    check(&[ByteRange::From(9500)], &[(9500, 9999)]);
    check(&[ByteRange::Last(1)], &[(9999, 9999)]);
    check(&[ByteRange::Last(20_000)], &[(0, 9999)]);
    check(&[ByteRange::FromTo(9990, 20_000)], &[(9990, 9999)]);
    check(
        &[
            ByteRange::FromTo(7000, 7999),
            ByteRange::FromTo(0, 0),
            ByteRange::Last(10),
        ],
        &[(0, 0), (7000, 7999), (9990, 9999)],
    );
    check(
        &[ByteRange::FromTo(0, 9), ByteRange::FromTo(20, 29)],
        &[(0, 29)],
    );
    check(
        &[ByteRange::FromTo(0, 9), ByteRange::From(20_000)],
        &[(0, 9)],
    );
    let (partial, read) = ask(&lab, |request| request.range(20_000..).unwrap());
    assert_eq!(
        partial.unwrap(),
        Partial::Unsatisfied {
            complete: Some(10_000)
        }
    );
    let kind = ErrorKind::PeerRange(RangeRule::NotPartial);
    assert_eq!(read.unwrap_err().kind(), kind);
    lab.finish();
}

#[test]
fn rfc_d26_the_connection_is_kept_when_the_parts_are_read() {
    let lab = Lab::new([server("\"a\"")]);
    for _ in 0..3 {
        let ranges = Ranges::new([0..=9, 5000..=5009]).unwrap();
        let request = lab.request("GET", "/").ranges(&ranges).unwrap();
        let mut response = request.send().unwrap();
        let mut parts = response.parts().unwrap();
        // What is not read of a part is passed over.
        while parts.next_part().unwrap().is_some() {}
        assert!(parts.next_part().unwrap().is_none());
    }
    assert_eq!(lab.peer.connections(), 1);
    lab.finish();
}

#[test]
fn rfc_a38_rfc_d28_what_changed_comes_whole_and_is_not_joined() {
    let lab = Lab::new([server("\"b\"")]);
    let response = lab.request("GET", "/").send().unwrap();
    let now = response.validator().unwrap();
    assert_eq!(response.etag(), EntityTag::parse(b"\"b\""));
    drop(response);
    let before = lab
        .request("GET", "/")
        .range(0..5000)
        .unwrap()
        .send()
        .unwrap();
    let mut held = Held::new(now.clone());
    let Partial::One(range) = before.partial().unwrap() else {
        panic!("no range");
    };
    held.add(&range, before.fields()).unwrap();
    drop(before);

    let rest = held.missing().unwrap();
    let ask_rest = |validator: &Validator| {
        let validator = validator.clone();
        let rest = rest.clone();
        ask(&lab, move |request| {
            let request = request.ranges(&rest).unwrap();
            request.if_range(&validator).unwrap()
        })
        .0
        .unwrap()
    };
    assert!(matches!(ask_rest(&now), Partial::One(range) if range.first() == 5000));
    let mut fields = wirescope::message::fields::Fields::new();
    fields.append("ETag", "\"a\"").unwrap();
    let old = Validator::of(&fields).unwrap();
    assert_eq!(ask_rest(&old), Partial::Whole);
    drop(lab.finish_unfollowed());
}

#[test]
fn rfc_a38_if_range_without_a_range_is_refused_before_any_io() {
    let lab = Lab::new([serve("")]);
    let mut fields = wirescope::message::fields::Fields::new();
    fields.append("ETag", "\"a\"").unwrap();
    let validator = Validator::of(&fields).unwrap();
    let request = lab.request("GET", "/").if_range(&validator).unwrap();
    let kind = ErrorKind::LocalRequest(RequestRule::IfRange);
    assert_eq!(request.send().unwrap_err().kind(), kind);
    let weak = lab.request("GET", "/").range(0..9).unwrap();
    let weak = weak.header("If-Range", "W/\"a\"").unwrap();
    assert_eq!(weak.send().unwrap_err().kind(), kind);
    assert_eq!(lab.peer.connections(), 0);
    lab.finish();
}

#[test]
fn rfc_d26_rfc_d27_a_206_that_lies_is_a_typed_error() {
    let check = |lines: &str, body: &str, expected: RangeRule| {
        let length = body.len();
        let head =
            format!("HTTP/1.1 206 Partial Content\r\n{lines}Content-Length: {length}\r\n\r\n");
        let lab = Lab::new([serve(format!("{head}{body}"))]);
        let ranges = Ranges::new([0..=4, 100..=104]).unwrap();
        let (_, read) = ask(&lab, |request| request.ranges(&ranges).unwrap());
        let error = read.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::PeerRange(expected),
            "{lines:?} {body:?}"
        );
        drop(lab.finish_unfollowed());
    };
    let range = "Content-Range: bytes 0-4/1000\r\n";
    let media = "Content-Type: multipart/byteranges; boundary=x\r\n";
    check("", "hello", RangeRule::Missing);
    check(
        "Content-Range: bytes 4-0/1000\r\n",
        "hello",
        RangeRule::Order,
    );
    check(
        "Content-Range: bytes 0-4/4\r\n",
        "hello",
        RangeRule::CompleteLength,
    );
    check(
        "Content-Range: lines 0-4/1000\r\n",
        "hello",
        RangeRule::Unit,
    );
    check(
        "Content-Range: bytes 1-6/1000\r\n",
        "hello!",
        RangeRule::NotAsked,
    );
    check(range, "hello!", RangeRule::Length);
    check(range, "hell", RangeRule::Length);
    check(&format!("{range}{media}"), "hello", RangeRule::Several);
    check(media, "hello", RangeRule::Cut);
    check(
        media,
        "--x\r\nContent-Range: bytes 0-4/1000\r\n\r\nhell\r\n--x--",
        RangeRule::Length,
    );
    check(
        media,
        "--x\r\nContent-Range: bytes 0-4/1000\r\n\r\nhello\r\n--y",
        RangeRule::Length,
    );
    check(
        media,
        "--x\r\nContent-Range: bytes 0-4/1000\r\n\r\nhello",
        RangeRule::Cut,
    );
}

#[test]
fn rfc_d26_a_chunked_part_is_as_long_as_it_says() {
    let check = |chunk: &str, expected: Option<RangeRule>| {
        let answer = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{chunk}\r\n0\r\n\r\n",
            chunk.len()
        );
        let lab = Lab::new([serve(answer)]);
        let (_, read) = ask(&lab, |request| request.range(0..=4).unwrap());
        match (read, expected) {
            (Ok(read), None) => assert_eq!(read, [(0, chunk.as_bytes().to_vec())]),
            (Err(error), Some(rule)) => assert_eq!(error.kind(), ErrorKind::PeerRange(rule)),
            (read, expected) => panic!("{read:?} {expected:?}"),
        }
        drop(lab.finish_unfollowed());
    };
    check("hello", None);
    check("hell", Some(RangeRule::Cut));
    check("hello!", Some(RangeRule::Length));
}

#[test]
fn rfc_d26_b29_parts_do_not_end_the_body_by_themselves() {
    let parts = "--x\r\nContent-Range: bytes 0-4/9\r\n\r\nhello\r\n--x--\r\n";
    let head =
        "HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\n\r\n";
    let lab = Lab::new([once(format!("{head}{parts}")).close()]);
    let request = lab.request("GET", "/").range(0..=4).unwrap();
    let mut response = request.send().unwrap();
    assert_eq!(
        response.framing(),
        wirescope::message::framing::Framing::UntilClose
    );
    let read = pieces(response.parts().unwrap()).unwrap();
    assert_eq!(read, [(0, b"hello".to_vec())]);
    drop(response);
    lab.finish();
}

#[test]
fn rfc_d26_a_body_that_is_cut_is_the_error_of_the_body() {
    let answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhel";
    let lab = Lab::new([once(answer).close()]);
    let request = lab.request("GET", "/").range(0..=4).unwrap();
    let mut response = request.send().unwrap();
    let mut parts = response.parts().unwrap();
    let mut part = parts.next_part().unwrap().unwrap();
    let mut content = Vec::new();
    let error = part.read_to_end(&mut content).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    let kind = error.downcast::<Error>().unwrap().kind();
    assert!(
        matches!(kind, ErrorKind::PeerIncompleteBody { received: 3, .. }),
        "{kind:?}"
    );
    assert_eq!(content, b"hel");
    drop(response);
    lab.finish();
}
