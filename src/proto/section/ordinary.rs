//! Ordinary field sections, read by httparse.

use crate::message::fields::{Fields, Span};
use crate::proto::section::work;

/// Field lines that the first parser holds; a section with more is read by the second.
const FAST_LINES: usize = 32;

/// Bytes of a section that has only a few lines, or of what begins with one.
const SHORT: usize = 256;

/// Field lines of most responses; preparing room for more than these takes time.
const FEW_LINES: usize = 8;

/// Reads an ordinary section; none when there is anything out of the ordinary in it.
pub(super) fn read_fast(section: &[u8], fields: usize) -> Option<Fields> {
    match fields {
        0 => None,
        1..=FEW_LINES => parse::<FEW_LINES>(section),
        _ if fields <= FAST_LINES => parse::<FAST_LINES>(section),
        _ => None,
    }
    .filter(|(read, used)| *used == section.len() && read.len() == fields)
    .map(|(read, _)| read)
}

/// Reads an ordinary section of at most `N` lines at the front of something; and how long it is.
fn parse<const N: usize>(section: &[u8]) -> Option<(Fields, usize)> {
    work(section.len());
    let mut headers = [httparse::EMPTY_HEADER; N];
    let Ok(httparse::Status::Complete((used, headers))) =
        httparse::parse_headers(section, &mut headers)
    else {
        return None;
    };
    let base = section.as_ptr() as usize;
    let mut spans = Vec::with_capacity(headers.len());
    for header in headers {
        spans.push(Span {
            name: offset_in(base, header.name.as_bytes())?,
            name_len: u16::try_from(header.name.len()).ok()?,
            value: offset_in(base, header.value)?,
            value_len: u32::try_from(header.value.len()).ok()?,
        });
    }
    let section = section.get(..used)?;
    Some((Fields::from_parts(section.to_vec(), spans), used))
}

/// Says whether each line of a section that was read ends with CRLF: httparse takes a bare LF too.
pub(super) fn has_crlf_only(section: &[u8], fields: &Fields) -> bool {
    let is_end = |end: usize| {
        let before = section.get(..end);
        before.is_some_and(|before| before.ends_with(b"\r\n"))
    };
    section.ends_with(b"\r\n\r\n")
        && fields
            .spans()
            .iter()
            .skip(1)
            .all(|span| is_end(span.name as usize))
}

fn offset_in(base: usize, part: &[u8]) -> Option<u32> {
    u32::try_from((part.as_ptr() as usize).checked_sub(base)?).ok()
}

/// Reads an ordinary section at the front of something, with what little room its length asks for.
pub(super) fn read_front(visible: &[u8]) -> Option<(Fields, usize)> {
    if visible.len() <= SHORT {
        parse::<FEW_LINES>(visible)
    } else {
        parse::<FAST_LINES>(visible)
    }
}
