use std::cell::Cell;

use proptest::prelude::*;

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

/// Reads a section the long way; none if there is a fault or an anomaly in it.
fn read_by_line(section: &[u8]) -> Option<(Fields, usize)> {
    let bounds = Bounds::head(&Limits::default());
    let mut anomalies = Anomalies::default();
    let mut scan = SectionScan::at(0);
    let end = scan
        .scan(section, &bounds, Strictness::Strict, &mut anomalies)
        .ok()??;
    let builder = Builder::new(0, end, scan.fields, Strictness::Strict, &mut anomalies);
    let fields = builder.read(&section[..end]).ok()?;
    anomalies.is_empty().then_some((fields, end))
}

/// Reads a section as httparse does.
fn read_by_httparse(section: &[u8]) -> Option<(Fields, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let (end, headers) = match httparse::parse_headers(section, &mut headers) {
        Ok(httparse::Status::Complete(complete)) => complete,
        Ok(httparse::Status::Partial) | Err(_) => return None,
    };
    let mut fields = Fields::new();
    for header in headers {
        fields.push_unchecked(header.name, header.value);
    }
    Some((fields, end))
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
fn ordinary_sections_are_read_at_once_and_as_by_others() {
    let many = "Name-1: some value\r\n".repeat(32) + "\r\n";
    for text in [
        "\r\n",
        "\r\nA: 1",
        "A: 1\r\n\r\n",
        "A: \r\nB: b \"c\": d,\r\n\r\nbody",
        "set-cookie: \u{e9}\r\nX-0-Z: ~\r\n\r\n\r\n",
        &many,
    ] {
        let read = read_ordinary(text.as_bytes());
        assert!(read.is_some(), "{text:?}");
        assert_eq!(read, read_by_line(text.as_bytes()), "{text:?}");
        assert_eq!(read, read_by_httparse(text.as_bytes()), "{text:?}");
    }
}

#[test]
fn what_is_not_ordinary_is_left_to_the_long_way() {
    let long = format!("{}: 1\r\n\r\n", "n".repeat(65_536));
    for text in [
        "",
        "A: 1\r\n",
        "A: 1\r\n\r",
        "A: 1\n\r\n",
        "A: 1\r\n\n",
        "A: 1\r\n 2\r\n\r\n",
        "A:1\r\n\r\n",
        "A:  1\r\n\r\n",
        "A: 1 \r\n\r\n",
        "A:\t1\r\n\r\n",
        "A: 1\t2\r\n\r\n",
        "A : 1\r\n\r\n",
        "A_B: 1\r\n\r\n",
        "A\r: 1\r\n\r\n",
        ": 1\r\n\r\n",
        "A: \0\r\n\r\n",
        "A: 1\r2\r\n\r\n",
        &long,
    ] {
        assert_eq!(
            read_ordinary(text.as_bytes()),
            None,
            "{}",
            text.escape_debug()
        );
    }
}

proptest! {
    /// What is read at once is read by line with the same result and without an anomaly, and so by httparse.
    #[test]
    fn the_ordinary_way_is_a_part_of_the_long_one(
        lines in prop::collection::vec(("[aB\\-_9 \r\u{0}é]{1,9}", "[aB:9\t \r\u{0}\u{7f}é,]{0,9}"), 0..5),
        parts in prop::sample::select(&[(": ", "\r\n"), (":", "\r\n"), (": ", "\n"), (" ", "\r")]),
        odd in 0_usize..8,
    ) {
        let mut text = String::new();
        for (index, (name, value)) in lines.iter().enumerate() {
            let (colon, end) = if index == odd { parts } else { (": ", "\r\n") };
            text.extend([name, colon, value, end]);
        }
        text.push_str("\r\n");
        if let Some(read) = read_ordinary(text.as_bytes()) {
            prop_assert_eq!(read_by_line(text.as_bytes()), Some(read.clone()));
            prop_assert_eq!(read_by_httparse(text.as_bytes()), Some(read));
        }
    }

    /// Names and values that everybody sends are ordinary.
    #[test]
    fn what_everybody_sends_is_ordinary(
        lines in prop::collection::vec(("[a-zA-Z0-9\\-]{1,30}", "([!-~é]|[!-~é][ -~é]{0,60}[!-~é])?"), 0..=32),
    ) {
        let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = text + "\r\n";
        let read = read_ordinary(text.as_bytes());
        prop_assert_eq!(read.as_ref().map(|(fields, used)| (fields.len(), *used)), Some((lines.len(), text.len())));
        prop_assert_eq!(&read, &read_by_line(text.as_bytes()));
        prop_assert_eq!(read, read_by_httparse(text.as_bytes()));
    }
}
