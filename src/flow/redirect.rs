//! Whether a redirect is followed, where it leads, and as what.
//!
//! The rule guarded here: a peer may choose the next target, and nothing else. It gets no credential of another
//! origin, no scheme but http and https, no way back into TLS-less http unless that was allowed, and no body that
//! cannot be given again (RFC 9110 §15.4).

use std::fmt;
use std::sync::Arc;

use crate::error::{ErrorKind, Limit, RedirectRule, UrlError};
use crate::event::RedirectRefusal;
use crate::message::fields::Fields;
use crate::message::method::Method;
use crate::message::url::{Scheme, Url, encode_stray};

/// How many redirects one call follows by default: the limit of the Fetch standard.
const MAX: u16 = 20;

/// Which redirects are followed (RFC 9110 §15.4).
///
/// By default at most 20, from https to http not. A 303 turns every method but HEAD into GET, 301 and 302 turn POST
/// into GET; the others keep method and body. On a change of origin (scheme, host or port) credentials are left
/// behind: `Authorization`, `Cookie`, `Proxy-Authorization`, `Referer`, `Origin` and every field that
/// [`Redaction`](crate::event::Redaction) marks as secret. They do not come back on a later hop.
///
/// What is not followed is handed out as a response, and [`Response::redirect_refusal`](crate::Response::redirect_refusal)
/// says why; a `Location` that cannot be used and a chain that is too long are errors.
///
/// ```
/// use wirescope::RedirectPolicy;
///
/// let client = wirescope::Client::builder()
///     .redirects(RedirectPolicy::new().max(3).follow_if(|redirect| !redirect.is_cross_origin()))
///     .build()?;
/// # Ok::<(), wirescope::Error>(())
/// ```
#[derive(Clone)]
pub struct RedirectPolicy {
    mode: Mode,
    max: u16,
    downgrades: bool,
    judge: Option<Judge>,
}

type Judge = Arc<dyn Fn(&Redirection<'_>) -> bool + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Follow,
    HandOut,
}

impl RedirectPolicy {
    /// Follows redirects, at most 20 in one call, and none from https to http.
    #[must_use]
    pub fn new() -> Self {
        Self {
            mode: Mode::Follow,
            max: MAX,
            downgrades: false,
            judge: None,
        }
    }

    /// Follows none: every response is handed out as it is.
    #[must_use]
    pub fn none() -> Self {
        Self {
            mode: Mode::HandOut,
            ..Self::new()
        }
    }

    /// Sets how many redirects one call follows. Default 20. One more is an error with the limit's name.
    #[must_use]
    pub fn max(mut self, redirects: u16) -> Self {
        self.max = redirects;
        self
    }

    /// Allows redirects from https to http, or forbids them. Default: forbidden.
    #[must_use]
    pub fn allow_downgrade(mut self, allowed: bool) -> Self {
        self.downgrades = allowed;
        self
    }

    /// Asks a closure about each redirect that would be followed; what it refuses is handed out as a response.
    #[must_use]
    pub fn follow_if(
        mut self,
        judge: impl Fn(&Redirection<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.judge = Some(Arc::new(judge));
        self
    }
}

impl Default for RedirectPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RedirectPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectPolicy")
            .field("mode", &self.mode)
            .field("max", &self.max)
            .field("downgrades", &self.downgrades)
            .field("judged", &self.judge.is_some())
            .finish()
    }
}

/// A redirect that is about to be followed, as [`RedirectPolicy::follow_if`] sees it.
#[derive(Debug, Clone, Copy)]
pub struct Redirection<'a> {
    status: u16,
    from: &'a Url,
    to: &'a Url,
    method: &'a Method,
    followed: u16,
}

impl Redirection<'_> {
    /// The status code of the response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The URL that was asked for.
    #[must_use]
    pub fn from(&self) -> &Url {
        self.from
    }

    /// The URL that it leads to.
    #[must_use]
    pub fn to(&self) -> &Url {
        self.to
    }

    /// The method of the next request.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.method
    }

    /// How many redirects the call has followed before.
    #[must_use]
    pub fn followed(&self) -> u16 {
        self.followed
    }

    /// Says whether scheme, host or port change.
    #[must_use]
    pub fn is_cross_origin(&self) -> bool {
        !self.from.same_origin(self.to)
    }
}

/// A response as far as it decides about a redirect, and the request that it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered<'a> {
    pub(crate) status: u16,
    pub(crate) fields: &'a Fields,
    pub(crate) url: &'a Url,
    pub(crate) method: &'a Method,
    /// The request has a body.
    pub(crate) has_body: bool,
    /// The body can be given a second time.
    pub(crate) is_replayable: bool,
    /// The body has no length, and the response says that its peer speaks HTTP/1.0.
    pub(crate) is_chunked_to_http10: bool,
    /// Redirects that the call has followed before.
    pub(crate) followed: u16,
    /// The client is for https only.
    pub(crate) is_https_only: bool,
}

/// What is done about a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is no redirect.
    NotOne,
    /// It is handed out as it is.
    HandOut(RedirectRefusal, Option<Url>),
    /// It cannot be followed, which is an error.
    Fail(RedirectRefusal, Option<Url>, ErrorKind),
    /// It is followed.
    Follow(Move),
}

/// Where a redirect leads, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) url: Url,
    pub(crate) method: Method,
    /// Whether the body goes along.
    pub(crate) keeps_body: bool,
    /// Whether the `Location` names no authority, so that a Host of the caller's still holds.
    pub(crate) is_relative: bool,
}

/// Decides about a response.
pub(crate) fn verdict(policy: &RedirectPolicy, answered: Answered<'_>) -> Verdict {
    let is_one = matches!(answered.status, 301 | 302 | 303 | 307 | 308);
    // A CONNECT names no resource that could have moved.
    if !is_one || *answered.method == Method::CONNECT {
        return Verdict::NotOne;
    }
    let target = match location(answered.fields) {
        Ok(None) => return Verdict::HandOut(RedirectRefusal::NoLocation, None),
        Ok(Some(location)) => join(answered.url, &location),
        Err(rule) => Err((RedirectRefusal::TwoLocations, rule)),
    };
    match (policy.mode, target) {
        (Mode::HandOut, target) => {
            let to = target.ok().map(|(to, _)| to);
            Verdict::HandOut(RedirectRefusal::SwitchedOff, to)
        }
        (Mode::Follow, Err((RedirectRefusal::Scheme, _))) => {
            Verdict::HandOut(RedirectRefusal::Scheme, None)
        }
        (Mode::Follow, Err((refusal, rule))) => {
            Verdict::Fail(refusal, None, ErrorKind::PeerRedirect(rule))
        }
        (Mode::Follow, Ok((to, is_relative))) => judge(policy, answered, to, is_relative),
    }
}

/// Resolves a `Location`, and says whether it names no authority.
fn join(from: &Url, location: &str) -> Result<(Url, bool), (RedirectRefusal, RedirectRule)> {
    let refusal = |rule| {
        if rule == UrlError::Scheme {
            RedirectRefusal::Scheme
        } else {
            RedirectRefusal::BadLocation
        }
    };
    from.join(location)
        .map(|to| (to, !has_authority(location)))
        .map_err(|rule| (refusal(rule), RedirectRule::Location(rule)))
}

/// Decides about a redirect whose target is known.
fn judge(policy: &RedirectPolicy, answered: Answered<'_>, to: Url, is_relative: bool) -> Verdict {
    let (method, keeps_body) = next_method(answered.status, answered.method);
    if answered.is_https_only && to.scheme() == Scheme::Http {
        return Verdict::HandOut(RedirectRefusal::HttpsOnly, Some(to));
    }
    let leaves_tls = answered.url.scheme() == Scheme::Https && to.scheme() == Scheme::Http;
    if leaves_tls && !policy.downgrades {
        return Verdict::HandOut(RedirectRefusal::Downgrade, Some(to));
    }
    if keeps_body && answered.has_body && !answered.is_replayable {
        return Verdict::HandOut(RedirectRefusal::BodyNotReplayable, Some(to));
    }
    if keeps_body && answered.is_chunked_to_http10 && answered.url.same_origin(&to) {
        return Verdict::HandOut(RedirectRefusal::ChunkedToHttp10, Some(to));
    }
    if answered.followed >= policy.max {
        let kind = ErrorKind::Limit {
            limit: Limit::Redirects,
            max: policy.max.into(),
        };
        return Verdict::Fail(RedirectRefusal::TooMany, Some(to), kind);
    }
    let redirection = Redirection {
        status: answered.status,
        from: answered.url,
        to: &to,
        method: &method,
        followed: answered.followed,
    };
    let judge = policy.judge.as_ref();
    if judge.is_some_and(|judge| !judge(&redirection)) {
        return Verdict::HandOut(RedirectRefusal::Judgement, Some(to));
    }
    Verdict::Follow(Move {
        url: to,
        method,
        keeps_body,
        is_relative,
    })
}

/// The `Location`, made ASCII as browsers and other clients do (RFC 3987 §3.1); equal repeated ones count as one.
fn location(fields: &Fields) -> Result<Option<String>, RedirectRule> {
    let mut locations = fields.get_all("location");
    let Some(first) = locations.next() else {
        return Ok(None);
    };
    if locations.any(|other| other != first) {
        return Err(RedirectRule::TwoLocations);
    }
    let mut text = String::with_capacity(first.len());
    for byte in first {
        match byte {
            b' ' | 0x80.. => text.push_str(&format!("%{byte:02X}")),
            other => text.push(char::from(*other)),
        }
    }
    Ok(Some(encode_stray(&text).into_owned()))
}

fn has_authority(reference: &str) -> bool {
    let before = reference.split(['/', '?', '#']).next().unwrap_or_default();
    reference.starts_with("//") || before.ends_with(':')
}

/// The method of the next request, and whether the body goes along (RFC 9110 §15.4.2, RFC 9110 §15.4.3,
/// RFC 9110 §15.4.4).
fn next_method(status: u16, method: &Method) -> (Method, bool) {
    let name = method.as_str();
    let becomes_get = match status {
        303 => !matches!(name, "GET" | "HEAD"),
        301 | 302 => name == "POST",
        _ => false,
    };
    if becomes_get {
        (Method::GET, false)
    } else {
        (method.clone(), status != 303)
    }
}

#[cfg(test)]
mod tests;
