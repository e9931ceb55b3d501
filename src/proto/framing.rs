//! Where a response ends and what becomes of its connection (RFC 9112 §6.3, RFC 9112 §9.3).
//!
//! The rule guarded here: a response whose end could be read in two ways is refused, or read in the one way
//! that no other reader contradicts and its connection closed. A length or a coding that is not spelled exactly
//! is never guessed at.

use std::time::Duration;

use crate::config::Strictness;
use crate::error::FramingRule;
use crate::message::anomaly::{Anomalies, Anomaly};
use crate::message::close::CloseReason;
use crate::message::fields::{Fields, list_elements};
use crate::message::framing::{Framing, Persistence, Version};
use crate::proto::decode::Head;
use crate::proto::section::trim_ows;

/// What framing has to know about the request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestFacts<'a> {
    /// The method is HEAD.
    pub(crate) is_head: bool,
    /// The method is CONNECT.
    pub(crate) is_connect: bool,
    /// The request said `Connection: close`.
    pub(crate) said_close: bool,
    /// The value of the `Upgrade` field that was sent.
    pub(crate) upgrade: Option<&'a [u8]>,
}

/// How a response is to be read and what becomes of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) framing: Framing,
    pub(crate) persistence: Persistence,
    /// What the framing fields break and is accepted; beside those of the head.
    pub(crate) anomalies: Anomalies,
}

/// Decides on framing and persistence from a head and its request. For an interim response other than 101
/// there is no body and the connection goes on (RFC 9110 §15.2).
///
/// # Errors
/// The rule that the framing fields break, or an unasked 101. The connection is of no more use.
pub(crate) fn response_framing(
    request: RequestFacts<'_>,
    head: &Head,
    strictness: Strictness,
) -> Result<Verdict, FramingRule> {
    match head.status {
        101 if switches_as_asked(request, head) => {
            return Ok(Verdict::bodiless(Persistence::Switched));
        }
        101 => return Err(FramingRule::SwitchNotAsked),
        100..=199 => return Ok(Verdict::bodiless(Persistence::Persistent)),
        200..=299 if request.is_connect => return Ok(Verdict::bodiless(Persistence::Switched)),
        _ => {}
    }
    let mut anomalies = Anomalies::default();
    let said = Said::read(&head.fields, strictness, &mut anomalies)?;
    let coding = said.coding(head.version, strictness, &mut anomalies)?;
    let has_body = !request.is_head && !matches!(head.status, 204 | 304);
    let (framing, fault) = match coding {
        Coding::None => (
            said.length.map_or(Framing::UntilClose, Framing::Length),
            None,
        ),
        Coding::Chunked if said.length.is_none() => (Framing::Chunked, None),
        Coding::Chunked if strictness == Strictness::Strict => {
            return Err(FramingRule::LengthAndCoding);
        }
        Coding::Chunked => {
            anomalies.note(Anomaly::LengthAndTransferEncoding, 0);
            (
                Framing::Chunked,
                Some(CloseReason::LengthAndTransferEncoding),
            )
        }
        Coding::InHttp10 => (
            Framing::UntilClose,
            Some(CloseReason::TransferEncodingInHttp10),
        ),
    };
    let framing = if has_body { framing } else { Framing::None };
    let reason = fault.or_else(|| close_reason(request, head.version, &said, framing));
    Ok(Verdict {
        framing,
        persistence: reason.map_or(Persistence::Persistent, Persistence::Close),
        anomalies,
    })
}

impl Verdict {
    fn bodiless(persistence: Persistence) -> Self {
        Self {
            framing: Framing::None,
            persistence,
            anomalies: Anomalies::default(),
        }
    }
}

/// Says whether a 101 names a protocol, and only protocols, that the request offered (RFC 9110 §7.8).
fn switches_as_asked(request: RequestFacts<'_>, head: &Head) -> bool {
    let Some(offered) = request.upgrade else {
        return false;
    };
    let is_offered =
        |name: &[u8]| list_elements(offered).any(|offer| offer.eq_ignore_ascii_case(name));
    let mut named = head.fields.elements("upgrade").peekable();
    head.version == Version::Http11 && named.peek().is_some() && named.all(is_offered)
}

/// What the field lines say that decide on framing and persistence.
#[derive(Default)]
struct Said<'a> {
    length: Option<u64>,
    /// The first Transfer-Encoding line.
    coding: Option<&'a [u8]>,
    codings: usize,
    /// The connection options (RFC 9110 §7.6.1) that matter.
    close: bool,
    keep_alive: bool,
}

impl<'a> Said<'a> {
    /// Reads all lines once.
    fn read(
        fields: &'a Fields,
        strictness: Strictness,
        anomalies: &mut Anomalies,
    ) -> Result<Self, FramingRule> {
        let mut said = Self::default();
        for line in fields.raw() {
            if line.is(b"content-length") {
                said.add_length(line.value(), strictness, anomalies)?;
            } else if line.is(b"transfer-encoding") {
                said.coding = said.coding.or_else(|| Some(line.value()));
                said.codings = said.codings.saturating_add(1);
            } else if line.is(b"connection") {
                said.add_options(line.value());
            }
        }
        Ok(said)
    }

    /// Adds a Content-Length line (RFC 9110 §8.6). Equal values count as one (RFC 9112 §6.3).
    fn add_length(
        &mut self,
        value: &[u8],
        strictness: Strictness,
        anomalies: &mut Anomalies,
    ) -> Result<(), FramingRule> {
        for element in value.split(|byte| *byte == b',') {
            let next = decimal(trim_ows(element))?;
            match self.length {
                None => self.length = Some(next),
                Some(first) if first != next => return Err(FramingRule::LengthsDiffer),
                Some(_) if strictness == Strictness::Strict => {
                    return Err(FramingRule::LengthSyntax);
                }
                Some(_) => anomalies.note(Anomaly::EqualLengths, 0),
            }
        }
        Ok(())
    }

    /// Adds a Connection line. Options compare without case.
    fn add_options(&mut self, value: &[u8]) {
        for option in list_elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Accepts exactly one Transfer-Encoding line with exactly `chunked`, in any case (RFC 9112 §6.1).
    fn coding(
        &self,
        version: Version,
        strictness: Strictness,
        anomalies: &mut Anomalies,
    ) -> Result<Coding, FramingRule> {
        let Some(coding) = self.coding else {
            return Ok(Coding::None);
        };
        if version == Version::Http10 {
            if strictness == Strictness::Strict {
                return Err(FramingRule::CodingInHttp10);
            }
            anomalies.note(Anomaly::TransferEncodingInHttp10, 0);
            return Ok(Coding::InHttp10);
        }
        if self.codings > 1 || !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(FramingRule::TransferCoding);
        }
        Ok(Coding::Chunked)
    }
}

/// Reads decimal digits, and nothing but digits, into 64 bits.
fn decimal(text: &[u8]) -> Result<u64, FramingRule> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(FramingRule::LengthSyntax);
    }
    text.iter()
        .try_fold(0_u64, |value, byte| {
            value
                .checked_mul(10)?
                .checked_add(u64::from(byte.wrapping_sub(b'0')))
        })
        .ok_or(FramingRule::LengthOverflow)
}

/// What the Transfer-Encoding lines say.
enum Coding {
    None,
    Chunked,
    /// There is one, in a response that cannot have any; what it says does not matter.
    InHttp10,
}

/// Says why a well-framed response ends its connection (RFC 9112 §9.3); none when it does not.
fn close_reason(
    request: RequestFacts<'_>,
    version: Version,
    said: &Said<'_>,
    framing: Framing,
) -> Option<CloseReason> {
    if framing == Framing::UntilClose {
        Some(CloseReason::DelimitedByClose)
    } else if request.is_connect {
        Some(CloseReason::ConnectRefused)
    } else if request.said_close {
        Some(CloseReason::CloseRequested)
    } else if said.close {
        Some(CloseReason::PeerClose)
    } else if version == Version::Http10 && !said.keep_alive {
        Some(CloseReason::Http10)
    } else {
        None
    }
}

/// What a server says about how long it keeps an idle connection. Only ever shortens our own time
/// (RFC 9112 §9.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeepAliveHint {
    /// Time that the connection may be idle.
    pub(crate) timeout: Option<Duration>,
    /// Requests that may still follow.
    pub(crate) max: Option<u64>,
}

impl KeepAliveHint {
    /// Reads `Keep-Alive: timeout=N, max=M`; what is not understood is not there, of several the least counts.
    pub(crate) fn parse(fields: &Fields) -> Self {
        let mut hint = Self::default();
        for line in fields.raw().filter(|line| line.is(b"keep-alive")) {
            list_elements(line.value()).for_each(|element| hint.add(element));
        }
        hint
    }

    fn add(&mut self, element: &[u8]) {
        let mut parts = element.splitn(2, |byte| *byte == b'=');
        let name = trim_ows(parts.next().unwrap_or_default());
        let Ok(value) = decimal(trim_ows(parts.next().unwrap_or_default())) else {
            return;
        };
        if name.eq_ignore_ascii_case(b"timeout") {
            let timeout = Duration::from_secs(value);
            self.timeout = Some(self.timeout.map_or(timeout, |least| least.min(timeout)));
        } else if name.eq_ignore_ascii_case(b"max") {
            self.max = Some(self.max.map_or(value, |least| least.min(value)));
        }
    }
}

/// Fields that frame or route a message, authenticate, carry cookies, or tell how to handle request, response
/// or content: of no use, or of harm, when they come after the content (RFC 9110 §6.5.1).
const NOT_IN_TRAILERS: [&str; 38] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "cookie2",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
];

/// Content fields whose value is known only after the content, so that trailers are their place
/// (RFC 9530 §2).
const CONTENT_TRAILERS: [&str; 2] = ["content-digest", "content-md5"];

/// Says whether a field may not stand in a trailer section (RFC 9110 §6.5.1).
pub(crate) fn is_forbidden_trailer(name: &str) -> bool {
    let among = |names: &[&str]| names.iter().any(|listed| name.eq_ignore_ascii_case(listed));
    let is_content = name
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("content-"));
    among(&NOT_IN_TRAILERS) || (is_content && !among(&CONTENT_TRAILERS))
}

#[cfg(test)]
mod tests;
