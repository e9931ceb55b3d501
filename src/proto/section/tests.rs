use std::cell::Cell;

use proptest::prelude::*;

use super::ordinary::read_fast;
use super::*;

thread_local! {
    static WORK: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that were looked at on this thread.
pub(super) fn work(bytes: usize) {
    WORK.set(WORK.get() + bytes);
}

/// Runs something and says how many bytes it looked at.
pub(crate) fn work_of(run: impl FnOnce()) -> usize {
    WORK.set(0);
    run();
    WORK.get()
}

fn read_slow(section: &[u8], fields: usize) -> Option<Fields> {
    let mut anomalies = Anomalies::default();
    Builder::new(0, section.len(), fields, Strictness::Normal, &mut anomalies)
        .read(section)
        .ok()
}

#[test]
fn find_lf_finds_the_first_at_every_place() {
    for len in 0..40 {
        for place in 0..len {
            for from in 0..=len {
                // 0x0b directly behind, and 0x8a, are what the word trick could mistake for a LF.
                let mut bytes = vec![0x0b; len];
                bytes[place] = b'\n';
                if let Some(before) = place.checked_sub(1) {
                    bytes[before] = 0x8a;
                }
                let expected = (from <= place).then_some(place);
                assert_eq!(find_lf(&bytes, from), expected, "{len} {place} {from}");
            }
        }
        assert_eq!(find_lf(&vec![0x0b; len], 0), None);
    }
    assert_eq!(find_lf(b"abc", 9), None);
}

#[test]
fn both_parsers_read_ordinary_sections_alike() {
    for text in [
        "A: 1\r\n\r\n",
        "A:\r\nB: \r\nC:\t\r\n\r\n",
        "A:  x y \t \r\nset-cookie: é\n\n",
        "a:b:c\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",
    ] {
        let fields = text.lines().count() - 1;
        let fast = read_fast(text.as_bytes(), fields);
        assert!(fast.is_some(), "{text:?}");
        assert_eq!(fast, read_slow(text.as_bytes(), fields), "{text:?}");
    }
}

proptest! {
    /// What httparse accepts, our own parser accepts with the same result.
    #[test]
    fn the_fast_parser_is_a_part_of_the_slow_one(
        lines in prop::collection::vec("[aB:\\-\t \r\u{0}\u{7f}é,]{1,9}", 1..5),
        bare in any::<bool>(),
    ) {
        let end = if bare { "\n" } else { "\r\n" };
        let mut text = lines.join(end);
        text.push_str(end);
        text.push_str(end);
        let fields = lines.iter().filter(|line| !line.starts_with([' ', '\t'])).count();
        if let Some(fast) = read_fast(text.as_bytes(), fields) {
            prop_assert_eq!(Some(fast), read_slow(text.as_bytes(), fields));
        }
    }
}
