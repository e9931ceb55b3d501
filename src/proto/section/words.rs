//! Bytes looked at eight at a time.
//!
//! The rule guarded here: a kind of byte is a function that sets the high bit of every such byte in a word, the lowest one
//! exactly; above it there may be wrong ones, so that only the first byte of a kind can be asked for.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Splits before the first byte of a kind; none if there is no such byte.
#[inline(always)]
pub(super) fn split(bytes: &[u8], marks: impl Fn(u64) -> u64) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return split_behind(bytes, rest, first_marked(found));
        }
        rest = behind;
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let place = first_marked(marks(u64::from_le_bytes(last)));
    (place < rest.len()).then(|| split_behind(bytes, rest, place))?
}

/// Splits so many bytes behind the place where the rest begins.
fn split_behind<'a>(bytes: &'a [u8], rest: &[u8], place: usize) -> Option<(&'a [u8], &'a [u8])> {
    let before = bytes.len().wrapping_sub(rest.len());
    bytes.split_at_checked(before.wrapping_add(place))
}

/// The place of the lowest mark; 8 when there is none.
fn first_marked(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// LF.
pub(super) const fn line_feed(word: u64) -> u64 {
    equal(word, b'\n')
}

/// Control bytes, HTAB too.
pub(super) const fn control(word: u64) -> u64 {
    let below_space = word.wrapping_sub(all(b' ')) & !word & HIGHS;
    below_space | equal(word, 0x7f)
}

/// All but letters, digits and `-`, of which nearly all names consist.
pub(super) const fn unusual_in_name(word: u64) -> u64 {
    let low = word & !HIGHS;
    let letter = between(low | all(0x20), b'a', b'z');
    let usual = letter | between(low, b'0', b'9') | between(low, b'-', b'-');
    (!usual | word) & HIGHS
}

const fn all(byte: u8) -> u64 {
    ONES.wrapping_mul(byte as u64)
}

const fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ all(byte);
    difference.wrapping_sub(ONES) & !difference & HIGHS
}

/// Bytes from `least` to `most`, if none is above 0x7f. What stands below the high bits means nothing.
const fn between(word: u64, least: u8, most: u8) -> u64 {
    let at_least = word.wrapping_add(all(0x80_u8.wrapping_sub(least)));
    let beyond = word.wrapping_add(all(0x7f_u8.wrapping_sub(most)));
    at_least & !beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits as [`split`] does, byte by byte.
    fn check(bytes: &[u8], marks: fn(u64) -> u64, is_of_kind: fn(u8) -> bool) {
        let place = bytes.iter().position(|byte| is_of_kind(*byte));
        let expected = place.map(|place| bytes.split_at(place));
        assert_eq!(split(bytes, marks), expected, "{}", bytes.escape_ascii());
    }

    /// Every byte at every place of every length, between neighbours that arithmetic on whole words could mistake.
    fn check_kind(marks: fn(u64) -> u64, is_of_kind: fn(u8) -> bool, neighbours: &[u8]) {
        for neighbour in neighbours {
            for len in 0..20 {
                for place in 0..len {
                    for byte in 0..=u8::MAX {
                        let mut bytes = vec![*neighbour; len];
                        bytes[place] = byte;
                        check(&bytes, marks, is_of_kind);
                        bytes[place..].fill(byte);
                        check(&bytes, marks, is_of_kind);
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_feed_is_found_at_every_place() {
        check_kind(line_feed, |byte| byte == b'\n', &[0x0b, 0x8a, 0]);
    }

    #[test]
    fn control_bytes_are_found_at_every_place() {
        let is_control = |byte: u8| byte.is_ascii_control();
        check_kind(control, is_control, b"a \x20\x80\xff~");
    }

    #[test]
    fn what_is_unusual_in_a_name_is_found_at_every_place() {
        let is_unusual = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'-';
        check_kind(unusual_in_name, is_unusual, b"aZ-09");
    }
}
