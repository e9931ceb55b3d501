//! Field lines: order, case and duplicates kept, in one flat buffer with spans.
//!
//! The rule guarded here: what goes into a [`Fields`] through its public methods can be written to the wire
//! as it stands. A name is a token, a value has no control byte but a tab, and neither can end its line.

use std::borrow::Cow;
use std::fmt;

use crate::error::FieldError;

/// A list of field lines in the order they were added or received.
///
/// Names keep the case they were written in and compare without case; several lines may share a name, and
/// their order is kept (RFC 9110 §5.3). All bytes live in one buffer, so cloning costs two allocations
/// whatever the number of lines, and an empty list costs none.
#[derive(Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    lines: Vec<Span>,
}

/// Where one field line stands in the buffer. A value always begins after its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) name: u32,
    pub(crate) name_len: u16,
    pub(crate) value: u32,
    pub(crate) value_len: u32,
}

/// One field line, borrowed from its [`Fields`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldLine<'a> {
    name: &'a str,
    value: &'a [u8],
}

impl Fields {
    /// Creates an empty list without allocating.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Takes over a received header or trailer section whose lines the decoder has checked.
    pub(crate) fn from_parts(bytes: Vec<u8>, lines: Vec<Span>) -> Self {
        Self { bytes, lines }
    }

    /// Creates an empty list with room for so many lines of so many bytes.
    pub(crate) fn with_room(lines: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            lines: Vec::with_capacity(lines),
        }
    }

    /// Creates an empty list with room for as much as another holds.
    pub(crate) fn with_capacity_of(other: &Self) -> Self {
        Self::with_room(other.lines.len(), other.bytes.len() + 32)
    }

    /// Adds a line that is only shown, never sent: a redacted one, or one that the decoder has checked.
    pub(crate) fn push_unchecked(&mut self, name: &str, value: &[u8]) {
        let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(value);
        let span = Span {
            name: at(start),
            name_len,
            value: at(start + name.len()),
            value_len: at(value.len()),
        };
        self.lines.push(span);
    }

    /// Adds a line after all others.
    ///
    /// # Errors
    /// [`FieldError`] when the name is not a token, or the value has a control byte (a tab may stand), or
    /// begins or ends with white space (RFC 9110 §5.1, RFC 9110 §5.5). Bytes from 0x80 are obs-text, which
    /// goes out only through [`Fields::append_bytes`].
    pub fn append(&mut self, name: &str, value: &str) -> Result<(), FieldError> {
        if let Some(offset) = value.bytes().position(|byte| byte >= 0x80) {
            return Err(FieldError::ValueByte { offset });
        }
        self.append_bytes(name, value.as_bytes())
    }

    /// Adds a line whose value may hold bytes from 0x80 (obs-text).
    ///
    /// # Errors
    /// As [`Fields::append`], but for obs-text.
    pub fn append_bytes(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        check_name(name)?;
        check_value(value)?;
        let (Ok(start), Ok(name_len), Ok(value_len)) = (
            u32::try_from(self.bytes.len()),
            u16::try_from(name.len()),
            u32::try_from(value.len()),
        ) else {
            return Err(FieldError::TooLong);
        };
        let Some(value_start) = start.checked_add(u32::from(name_len)) else {
            return Err(FieldError::TooLong);
        };
        if value_start.checked_add(value_len).is_none() {
            return Err(FieldError::TooLong);
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(value);
        self.lines.push(Span {
            name: start,
            name_len,
            value: value_start,
            value_len,
        });
        Ok(())
    }

    /// Replaces every line of that name by this one line, which takes the place of the first of them.
    ///
    /// # Errors
    /// As [`Fields::append`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), FieldError> {
        let place = self
            .lines
            .iter()
            .position(|span| self.name_of(*span).eq_ignore_ascii_case(name));
        self.append(name, value)?;
        let Some(place) = place else { return Ok(()) };
        if let Some(line) = self.lines.pop() {
            self.remove(name);
            self.lines.insert(place.min(self.lines.len()), line);
        }
        Ok(())
    }

    /// Removes every line of that name and says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let before = self.lines.len();
        let bytes = &self.bytes;
        self.lines
            .retain(|span| !name_in(bytes, *span).eq_ignore_ascii_case(name));
        before - self.lines.len()
    }

    /// Returns the first value of that name, if any.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.named(name).next()
    }

    /// Returns the first value of that name as text, if there is one and it is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the values of all lines of that name, in order (RFC 9110 §5.3).
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.named(name)
    }

    /// Returns the elements of a list-based field over all its lines: split at commas outside quoted
    /// strings, white space trimmed, empty elements left out (RFC 9110 §5.6.1).
    pub fn elements<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).flat_map(list_elements)
    }

    /// Joins the values of all lines of that name by `, `, in order (RFC 9110 §5.3). None when there is no
    /// line, and for several `Set-Cookie` lines, which cannot be joined.
    #[must_use]
    pub fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut values = self
            .iter()
            .filter(|line| line.is(name))
            .map(|line| line.value);
        let mut joined = Cow::Borrowed(values.next()?);
        for value in values {
            if name.eq_ignore_ascii_case("set-cookie") {
                return None;
            }
            let bytes = joined.to_mut();
            bytes.extend_from_slice(b", ");
            bytes.extend_from_slice(value);
        }
        Some(joined)
    }

    /// Says whether there is a line of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Iterates over all lines in wire order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FieldLine<'_>> + Clone {
        self.lines.iter().map(|span| self.line_of(*span))
    }

    /// Iterates over all lines in wire order, to look for some: what is not looked for is not cut out.
    pub(crate) fn raw(&self) -> impl Iterator<Item = RawLine<'_>> {
        let bytes = &self.bytes;
        self.lines.iter().map(|span| RawLine { bytes, span: *span })
    }

    /// Returns the line at that place, counted from 0.
    #[must_use]
    pub fn line(&self, index: usize) -> Option<FieldLine<'_>> {
        self.lines.get(index).map(|span| self.line_of(*span))
    }

    /// Counts the lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Says whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The values of that name. Names are compared as bytes: most lookups find nothing, and none needs text.
    fn named<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let is_named = move |span: &&Span| {
            usize::from(span.name_len) == name.len()
                && name_bytes(&self.bytes, **span).eq_ignore_ascii_case(name.as_bytes())
        };
        self.lines
            .iter()
            .filter(is_named)
            .map(|span| self.value_of(*span))
    }

    fn value_of(&self, span: Span) -> &[u8] {
        value_in(&self.bytes, span)
    }

    fn line_of(&self, span: Span) -> FieldLine<'_> {
        FieldLine {
            name: self.name_of(span),
            value: self.value_of(span),
        }
    }

    fn name_of(&self, span: Span) -> &str {
        name_in(&self.bytes, span)
    }
}

fn name_in(bytes: &[u8], span: Span) -> &str {
    std::str::from_utf8(name_bytes(bytes, span)).unwrap_or_default()
}

fn name_bytes(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.name as usize;
    bytes
        .get(start..start + usize::from(span.name_len))
        .unwrap_or_default()
}

fn value_in(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.value as usize;
    bytes
        .get(start..start + span.value_len as usize)
        .unwrap_or_default()
}

/// One field line of which nothing is cut out yet.
#[derive(Clone, Copy)]
pub(crate) struct RawLine<'a> {
    bytes: &'a [u8],
    span: Span,
}

impl<'a> RawLine<'a> {
    /// Compares the name without case with one of lower-case letters and `-` (RFC 9110 §5.1): in those, and in no other
    /// byte of a token, setting one bit makes upper case lower and changes nothing else.
    pub(crate) fn is<const N: usize>(self, lower: &[u8; N]) -> bool {
        if usize::from(self.span.name_len) != N {
            return false;
        }
        let differ = |name: &[u8; N]| {
            let bytes = name.iter().zip(lower);
            bytes.fold(0, |seen, (byte, lower)| seen | ((byte | 0x20) ^ lower))
        };
        name_bytes(self.bytes, self.span)
            .first_chunk()
            .is_some_and(|name| differ(name) == 0)
    }

    /// The field value.
    pub(crate) fn value(self) -> &'a [u8] {
        value_in(self.bytes, self.span)
    }
}

impl<'a> FieldLine<'a> {
    pub(crate) const fn new(name: &'a str, value: &'a [u8]) -> Self {
        Self { name, value }
    }

    /// The field name as it stands on the wire.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The field value, white space around it stripped.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The field value as text, if it is UTF-8.
    #[must_use]
    pub fn value_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value).ok()
    }

    /// Compares the name without case (RFC 9110 §5.1).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Equal when the lines are, in order and case; where they came from makes no difference.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

/// Shows names and the length of each value: a value may be a secret.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for FieldLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{} B]", self.name, self.value.len())
    }
}

/// Splits one value of a list-based field into its elements (RFC 9110 §5.6.1).
pub(crate) fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    pieces(value, b',')
}

/// Splits what has parameters: the value, and each parameter behind it (RFC 9110 §5.6.6).
pub(crate) fn parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    pieces(value, b';')
}

/// What stands between bytes of this kind outside of quoted strings, trimmed; empty pieces are left out.
fn pieces(value: &[u8], between: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let end = piece_end(text, between);
            rest = text.get(end + 1..);
            let element = text.get(..end).unwrap_or_default().trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
    })
}

/// Finds the byte that ends the first piece, or the end of the text.
fn piece_end(text: &[u8], between: u8) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if !quoted && *byte == between => return index,
            _ => {}
        }
    }
    text.len()
}

/// Checks that a name is a token (RFC 9110 §5.6.2).
pub(crate) fn check_name(name: &str) -> Result<(), FieldError> {
    if name.is_empty() {
        return Err(FieldError::EmptyName);
    }
    match name.bytes().position(|byte| !is_token_byte(byte)) {
        Some(offset) => Err(FieldError::NameByte { offset }),
        None => Ok(()),
    }
}

/// Checks that a value has neither control bytes nor white space around it (RFC 9110 §5.5).
pub(crate) fn check_value(value: &[u8]) -> Result<(), FieldError> {
    if let Some(offset) = value
        .iter()
        .position(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f)
    {
        return Err(FieldError::ValueByte { offset });
    }
    let around = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if around(value.first()) || around(value.last()) {
        return Err(FieldError::ValueSpace);
    }
    Ok(())
}

/// Says whether a byte may stand in a token (RFC 9110 §5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fields;

    #[test]
    fn rfc_a21_names_are_tokens_and_keep_their_case() {
        let fields = fields(&[("X-MiXed", "1"), ("x-mixed", "2")]);
        let names: Vec<&str> = fields.iter().map(|line| line.name()).collect();
        assert_eq!(names, ["X-MiXed", "x-mixed"]);
        assert_eq!(fields.get("X-MIXED"), Some(&b"1"[..]));
        for bad in ["", "a b", "a:", "a\r\n", "é", "a\0", "(a)"] {
            assert!(Fields::new().append(bad, "v").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rfc_a22_values_have_no_controls_and_no_space_around() {
        for good in ["", "a", "a\tb", "a b", "\"q\""] {
            assert!(Fields::new().append("n", good).is_ok(), "{good:?}");
        }
        for bad in [
            " a",
            "a ",
            "\ta",
            "a\r\nb: c",
            "a\rb",
            "a\nb",
            "a\0",
            "\x7f",
            "\x1b[0m",
            "é",
        ] {
            assert!(Fields::new().append("n", bad).is_err(), "{bad:?}");
        }
        assert!(Fields::new().append_bytes("n", &[0x80, 0xff]).is_ok());
        assert!(Fields::new().append_bytes("n", b"a\r").is_err());
    }

    #[test]
    fn rfc_a26_order_of_lines_with_one_name_is_kept() {
        let fields = fields(&[("a", "1"), ("b", "x"), ("A", "2"), ("a", "3")]);
        let values: Vec<&[u8]> = fields.get_all("a").collect();
        assert_eq!(values, [b"1", b"2", b"3"]);
    }

    #[test]
    fn rfc_c16_lines_of_one_name_join_in_order_and_set_cookie_never() {
        let fields = fields(&[
            ("A", "1"),
            ("set-cookie", "x"),
            ("a", "2"),
            ("Set-Cookie", "y"),
            ("b", ""),
        ]);
        assert_eq!(fields.joined("a").as_deref(), Some(&b"1, 2"[..]));
        assert_eq!(fields.joined("B").as_deref(), Some(&b""[..]));
        assert_eq!(fields.joined("SET-COOKIE"), None);
        assert_eq!(fields.joined("c"), None);
    }

    #[test]
    fn equality_is_about_lines_and_not_about_where_the_bytes_lie() {
        let mut changed = fields(&[("a", "1"), ("b", "x")]);
        changed.set("a", "2").unwrap();
        assert_eq!(changed, fields(&[("a", "2"), ("b", "x")]));
        assert_ne!(changed, fields(&[("A", "2"), ("b", "x")]));
    }

    #[test]
    fn set_replaces_in_place_and_remove_counts() {
        let mut fields = fields(&[("a", "1"), ("b", "x"), ("A", "2")]);
        fields.set("A", "9").unwrap();
        let all: Vec<_> = fields
            .iter()
            .map(|line| (line.name(), line.value_str().unwrap()))
            .collect();
        assert_eq!(all, [("A", "9"), ("b", "x")]);
        assert_eq!(fields.remove("B"), 1);
        assert_eq!(fields.len(), 1);
    }

    #[test]
    fn rfc_c20_list_parser_ignores_empty_elements_and_minds_quotes() {
        let check = |value: &str, expected: &[&str]| {
            let got: Vec<&str> = list_elements(value.as_bytes())
                .map(|e| std::str::from_utf8(e).unwrap())
                .collect();
            assert_eq!(got, expected, "{value:?}");
        };
        check("", &[]);
        check(", ,,a, ,b ,", &["a", "b"]);
        check("a;q=\"x,y\", b", &["a;q=\"x,y\"", "b"]);
        check("a=\"\\\",\" , c", &["a=\"\\\",\"", "c"]);
        check("\"open, never closed", &["\"open, never closed"]);
    }

    #[test]
    fn debug_shows_no_value() {
        let text = format!("{:?}", fields(&[("Authorization", "secret")]));
        assert_eq!(text, "[Authorization: [6 B]]");
    }
}
