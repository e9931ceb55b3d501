//! Redaction: secrets are gone before an event, an error or an export leaves the engine.

use std::borrow::Cow;

use crate::message::fields::Fields;
use crate::message::url::Url;

/// Field names whose values are never shown.
const SECRET_FIELDS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "www-authenticate",
    "proxy-authenticate",
    "authentication-info",
    "x-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-csrf-token",
];

/// Parts of field names whose values are never shown.
const SECRET_PARTS: &[&str] = &[
    "token", "secret", "password", "api-key", "apikey", "session",
];

/// Fields whose values are references.
const REFERENCES: &[&str] = &["location", "content-location", "referer"];

/// Query parameters whose values are never shown.
const SECRET_PARAMETERS: &[&str] = &[
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-goog-signature",
    "access_token",
    "token",
    "key",
    "code",
];

/// What is shown of field values and URLs in events, errors and exports.
///
/// The default hides credentials, cookies and everything that is named like a secret: a value is shown as
/// `[redacted 24 B]`, the scheme of a credential kept. Userinfo of a URL is never shown, whatever the
/// setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction {
    mode: Mode,
    fields: Vec<Box<str>>,
    all_queries: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Listed,
    Revealed,
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            mode: Mode::Listed,
            fields: Vec::new(),
            all_queries: false,
        }
    }
}

impl Redaction {
    /// Shows everything but the userinfo of URLs. Secrets then stand in events and exports.
    #[must_use]
    pub fn reveal_secrets() -> Self {
        Self {
            mode: Mode::Revealed,
            ..Self::default()
        }
    }

    /// Hides the values of one more field.
    #[must_use]
    pub fn hide_field(mut self, name: &str) -> Self {
        self.fields.push(name.to_ascii_lowercase().into());
        self
    }

    /// Hides the value of every query parameter.
    #[must_use]
    pub fn hide_queries(mut self) -> Self {
        self.all_queries = true;
        self
    }

    /// A field value as it may be shown.
    pub(crate) fn value<'a>(&self, name: &str, value: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.is_secret_field(name) {
            return self.reference(name, value);
        }
        let hidden = match credential_scheme(name, value) {
            Some((scheme, rest)) => format!("{scheme} [redacted {} B]", rest.len()),
            None => format!("[redacted {} B]", value.len()),
        };
        Cow::Owned(hidden.into_bytes())
    }

    /// All lines of a section as they may be shown.
    pub(crate) fn fields(&self, fields: &Fields) -> Fields {
        let mut shown = Fields::with_capacity_of(fields);
        for line in fields.iter() {
            shown.push_unchecked(line.name(), &self.value(line.name(), line.value()));
        }
        shown
    }

    /// A field value that is a reference, without userinfo and secret parameters.
    fn reference<'a>(&self, name: &str, value: &'a [u8]) -> Cow<'a, [u8]> {
        let is_reference = REFERENCES.iter().any(|one| one.eq_ignore_ascii_case(name));
        if !is_reference || !value.iter().any(|byte| matches!(byte, b'?' | b'@')) {
            return Cow::Borrowed(value);
        }
        let text = String::from_utf8_lossy(value);
        Cow::Owned(self.hide_parameters(&without_userinfo(&text)).into_bytes())
    }

    /// A URL as it may be shown: without userinfo, secret parameters hidden.
    #[must_use]
    pub fn url(&self, url: &Url) -> String {
        self.hide_parameters(&url.to_string())
    }

    fn hide_parameters(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once('?') else {
            return text.to_owned();
        };
        let (query, fragment) = rest
            .split_once('#')
            .map_or((rest, None), |(query, fragment)| (query, Some(fragment)));
        let mut shown = format!("{before}?");
        for (index, parameter) in query.split('&').enumerate() {
            if index > 0 {
                shown.push('&');
            }
            self.push_parameter(&mut shown, parameter);
        }
        if let Some(fragment) = fragment {
            shown.push('#');
            shown.push_str(fragment);
        }
        shown
    }

    fn push_parameter(&self, shown: &mut String, parameter: &str) {
        match parameter.split_once('=') {
            Some((name, value)) if self.is_secret_parameter(name) => {
                shown.push_str(name);
                shown.push_str(&format!("=[redacted {} B]", value.len()));
            }
            _ => shown.push_str(parameter),
        }
    }

    /// Says whether secrets are shown.
    pub(crate) fn reveals(&self) -> bool {
        self.mode == Mode::Revealed
    }

    fn is_secret_field(&self, name: &str) -> bool {
        self.mode == Mode::Listed && self.is_marked(name)
    }

    /// Says whether the values of a field are for one origin only, whether or not they are shown.
    pub(crate) fn is_marked(&self, name: &str) -> bool {
        SECRET_FIELDS
            .iter()
            .any(|secret| secret.eq_ignore_ascii_case(name))
            || self
                .fields
                .iter()
                .any(|secret| secret.eq_ignore_ascii_case(name))
            || SECRET_PARTS
                .iter()
                .any(|part| contains_ignoring_case(name, part))
    }

    fn is_secret_parameter(&self, name: &str) -> bool {
        self.mode == Mode::Listed
            && (self.all_queries
                || SECRET_PARAMETERS
                    .iter()
                    .any(|secret| secret.eq_ignore_ascii_case(name)))
    }
}

/// A reference without the userinfo of its authority, whether or not it is one that can be used.
fn without_userinfo(text: &str) -> Cow<'_, str> {
    let Some((before, rest)) = text.split_once("//") else {
        return Cow::Borrowed(text);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{before}//{host}{after}")),
        None => Cow::Borrowed(text),
    }
}

/// Splits a credential into its scheme and the rest (RFC 9110 §11.4).
fn credential_scheme<'a>(name: &str, value: &'a [u8]) -> Option<(&'a str, &'a [u8])> {
    if !name.eq_ignore_ascii_case("authorization")
        && !name.eq_ignore_ascii_case("proxy-authorization")
    {
        return None;
    }
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at_checked(space)?;
    let scheme = std::str::from_utf8(scheme)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    Some((scheme, rest.trim_ascii_start()))
}

fn contains_ignoring_case(name: &str, part: &str) -> bool {
    name.as_bytes()
        .windows(part.len())
        .any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_are_hidden_and_schemes_kept() {
        let check = |name: &str, value: &str, expected: &str| {
            let shown = Redaction::default()
                .value(name, value.as_bytes())
                .into_owned();
            assert_eq!(String::from_utf8(shown).unwrap(), expected, "{name}");
        };
        check("AUTHORIZATION", "Bearer abcdef", "Bearer [redacted 6 B]");
        check("authorization", "rawsecret", "[redacted 9 B]");
        check("Set-Cookie", "a=b; Path=/", "[redacted 11 B]");
        check("X-My-Session-Id", "1234", "[redacted 4 B]");
        check("X-APIKEY", "1234", "[redacted 4 B]");
        check("Content-Type", "text/plain", "text/plain");
        check("Location", "/a?b=1", "/a?b=1");
        check(
            "location",
            "http://u:p@w@h/a?code=12&x=1#y",
            "http://h/a?code=[redacted 2 B]&x=1#y",
        );
        check("Referer", "//u@h", "//h");
        let more = Redaction::default().hide_field("X-Mine");
        assert_eq!(more.value("x-mine", b"123").as_ref(), b"[redacted 3 B]");
        assert_eq!(
            Redaction::reveal_secrets().value("Cookie", b"a=b").as_ref(),
            b"a=b"
        );
    }

    #[test]
    fn cve_73_secret_parameters_and_userinfo_are_hidden_in_urls() {
        let check = |redaction: &Redaction, url: &str, expected: &str| {
            assert_eq!(redaction.url(&Url::parse(url).unwrap()), expected);
        };
        let listed = Redaction::default();
        check(&listed, "http://u:pw@h/p", "http://h/p");
        check(
            &listed,
            "http://h/p?a=1&Token=xyz&sig=",
            "http://h/p?a=1&Token=[redacted 3 B]&sig=[redacted 0 B]",
        );
        check(
            &listed,
            "http://h/?key=1#f",
            "http://h/?key=[redacted 1 B]#f",
        );
        check(
            &listed.hide_queries(),
            "http://h/?a=1&b",
            "http://h/?a=[redacted 1 B]&b",
        );
        check(
            &Redaction::reveal_secrets(),
            "http://u:pw@h/?key=1",
            "http://h/?key=1",
        );
    }
}
