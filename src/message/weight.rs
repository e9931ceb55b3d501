//! Weights of what is preferred (RFC 9110 §12.4.2), read and written: the `q=` of `Accept` and its like.
//!
//! The rule guarded here: a weight has three decimals at most and lies between 0 and 1, whichever way. One that is not
//! so makes its element of no account, and no other.

use std::fmt;

use crate::message::fields::{list_elements, parameters};

/// How much something is preferred, from 0 (not at all) to 1, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// Not acceptable.
    pub const ZERO: Self = Self(0);
    /// Preferred most; what an element without a weight has.
    pub const ONE: Self = Self(1000);

    /// A weight of so many thousandths. None beyond 1000.
    #[must_use]
    pub const fn of_thousandths(thousandths: u16) -> Option<Self> {
        if thousandths > 1000 {
            return None;
        }
        Some(Self(thousandths))
    }

    /// The weight in thousandths.
    #[must_use]
    pub const fn thousandths(self) -> u16 {
        self.0
    }

    /// Reads a weight: `0` or `1` with three decimals at most.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (first, rest) = value.split_first()?;
        let decimals = match rest {
            [] => rest,
            [b'.', decimals @ ..] => decimals,
            _ => return None,
        };
        let is_number = decimals.len() <= 3 && decimals.iter().all(u8::is_ascii_digit);
        if !is_number || !matches!(first, b'0' | b'1') {
            return None;
        }
        let digits = decimals.iter().copied().chain(std::iter::repeat(b'0'));
        let fraction = digits
            .take(3)
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        Self::of_thousandths(u16::from(first - b'0') * 1000 + fraction)
    }
}

/// As a field has it, without zeros at the end.
impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Writes a list of what is preferred, in its order; a weight of 1 is left out.
///
/// ```
/// use wirescope::message::weight::{Weight, preferences};
///
/// let tenth = Weight::of_thousandths(100).unwrap();
/// let accept = preferences([("text/html", Weight::ONE), ("*/*", tenth)]);
/// assert_eq!(accept, "text/html, */*;q=0.1");
/// ```
#[must_use]
pub fn preferences<'a>(elements: impl IntoIterator<Item = (&'a str, Weight)>) -> String {
    let mut list = String::new();
    for (element, weight) in elements {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(element);
        if weight != Weight::ONE {
            list.push_str(&format!(";q={weight}"));
        }
    }
    list
}

/// Reads a list of what is preferred, in its order, each without its weight. An element whose weight is none is left
/// out; parameters that are not `q` stay with theirs.
pub fn read_preferences(value: &[u8]) -> impl Iterator<Item = (&[u8], Weight)> {
    list_elements(value).filter_map(weighted)
}

/// An element without its weight, and that. A weight is the last parameter.
fn weighted(element: &[u8]) -> Option<(&[u8], Weight)> {
    let is_empty = |byte: &u8| matches!(byte, b';' | b' ' | b'\t');
    let length = element.iter().rposition(|byte| !is_empty(byte))? + 1;
    let element = element.get(..length)?;
    let last = parameters(element).skip(1).last();
    let weight = last.and_then(|last| match last {
        [b'q' | b'Q', b'=', weight @ ..] => Some((last, weight)),
        _ => None,
    });
    let Some((parameter, weight)) = weight else {
        return Some((element, Weight::ONE));
    };
    let end = element.len().checked_sub(parameter.len())?;
    let preferred = element.get(..end)?.trim_ascii_end();
    let preferred = preferred.strip_suffix(b";")?.trim_ascii_end();
    Some((preferred, Weight::parse(weight)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_a36_a_weight_has_three_decimals_at_most() {
        let check = |thousandths: u16, expected: &str| {
            let weight = Weight::of_thousandths(thousandths).unwrap();
            assert_eq!(weight.to_string(), expected);
        };
        check(0, "0");
        check(1, "0.001");
        check(10, "0.01");
        check(100, "0.1");
        check(500, "0.5");
        check(123, "0.123");
        check(999, "0.999");
        check(1000, "1");
        assert_eq!(Weight::of_thousandths(1001), None);
    }

    #[test]
    fn a_weight_is_read_to_the_letter() {
        let check = |value: &str, expected: Option<u16>| {
            let weight = Weight::parse(value.as_bytes());
            assert_eq!(weight.map(Weight::thousandths), expected, "{value:?}");
        };
        check("0", Some(0));
        check("0.", Some(0));
        check("0.5", Some(500));
        check("0.05", Some(50));
        check("0.125", Some(125));
        check("1", Some(1000));
        check("1.", Some(1000));
        check("1.000", Some(1000));
        for bad in [
            "", ".", ".5", "1.001", "2", "0.1234", "00.5", "0,5", "-0", "+1", " 1", "1 ", "0.x",
            "0.5.5", "10",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_list_is_read_element_by_element() {
        let check = |value: &str, expected: &[(&str, u16)]| {
            let read: Vec<_> = read_preferences(value.as_bytes())
                .map(|(text, weight)| (std::str::from_utf8(text).unwrap(), weight.thousandths()))
                .collect();
            assert_eq!(read, expected, "{value:?}");
        };
        check("", &[]);
        check("a", &[("a", 1000)]);
        check(
            "a;q=0.5, b ;Q=0.25,c",
            &[("a", 500), ("b", 250), ("c", 1000)],
        );
        check("text/html;level=1 ; q=0.4", &[("text/html;level=1", 400)]);
        check("a;x=\"1,2;q=0\";q=1", &[("a;x=\"1,2;q=0\"", 1000)]);
        check("a;q=2, b;q=, c;q=0.1", &[("c", 100)]);
        check("a;quality=0", &[("a;quality=0", 1000)]);
        check("q=0.5", &[("q=0.5", 1000)]);
        check("a;q=0.5; ;, b;, ;", &[("a", 500), ("b", 1000)]);
    }

    proptest! {
        #[test]
        fn rfc_a36_what_is_written_reads_back(
            elements in proptest::collection::vec(("[a-z]{1,6}(/[a-z]{1,6})?", 0..=1000_u16), 0..6)
        ) {
            let weight = |thousandths| Weight::of_thousandths(thousandths).unwrap();
            let given: Vec<_> = elements.iter().map(|(text, thousandths)| (&text[..], weight(*thousandths))).collect();
            let list = preferences(given.iter().copied());
            let read: Vec<_> = read_preferences(list.as_bytes()).collect();
            let expected: Vec<_> = given.iter().map(|(text, weight)| (text.as_bytes(), *weight)).collect();
            prop_assert_eq!(read, expected);
            for number in list.split("q=").skip(1) {
                let number = number.split(',').next().unwrap();
                prop_assert!(number.split('.').nth(1).unwrap_or_default().len() <= 3);
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in "[aq=;,.\" 01]{0,24}") {
            read_preferences(&bytes).for_each(drop);
            read_preferences(text.as_bytes()).for_each(drop);
        }
    }
}
