//! What will be asked, checked whole before any I/O.
//!
//! The rule guarded here: a request that leaves says one thing. Framing, Host and the connection's own fields
//! come from here alone, whatever the caller's fields say, and a contradiction is an error.

mod moved;
mod switch;
mod wish;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, FieldError, RequestRule};
use crate::event::TargetForm;
use crate::message::fields::Fields;
use crate::message::method::Method;
use crate::message::range::Validator;
use crate::message::url::Url;
use crate::message::via::{Destination, Via};
use crate::proto::encode::{HeadPlan, RequestFraming};
pub(crate) use crate::proto::plan::switch::{check_protocol, connect_target};
pub(crate) use crate::proto::plan::wish::{Manners, Wish};
use crate::proto::sending::BodyPlan;

/// Fields that belong to one connection and need machinery that a plain request has not (RFC 9110 §7.6.1).
const CONNECTION_OWNED: &[&str] = &[
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "http2-settings",
];

const PROXY_AUTHORIZATION: &str = "proxy-authorization";

/// Fields that a request that is ready has settled.
const SETTLED: &[&str] = &[
    "host",
    "connection",
    "te",
    "expect",
    "content-length",
    "transfer-encoding",
    "trailer",
];

/// One hop, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: BodyPlan,
    form: TargetForm,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) expect: bool,
    pub(crate) close: bool,
    /// Whether the peer is told that trailers are welcome.
    takes_trailers: bool,
    /// Whether the body can be given a second time.
    pub(crate) is_replayable: bool,
    /// By whom the server is reached.
    via: Via,
    fields: Fields,
    special: Option<Box<Special>>,
    framing: RequestFraming,
    user_agent: bool,
    accept: bool,
}

/// What few requests have.
#[derive(Debug, Clone, Default)]
struct Special {
    /// The caller's `Host`.
    host: Option<Box<[u8]>>,
    /// What a CONNECT asks for.
    target: Option<Arc<str>>,
    /// The protocols that are offered instead of HTTP, as a list in the order of preference.
    upgrade: Option<Arc<str>>,
    /// Credentials of the URL, until the plan is settled.
    credentials: Option<Box<str>>,
}

impl Special {
    fn with_credentials(value: Box<str>) -> Box<Self> {
        Box::new(Self {
            credentials: Some(value),
            ..Self::default()
        })
    }
}

/// What most requests have instead.
static ORDINARY: Special = Special {
    host: None,
    target: None,
    upgrade: None,
    credentials: None,
};

impl Plan {
    /// A peer that speaks HTTP/1.0 gets a length or nothing (RFC 9112 §6.1).
    fn check_peer(&self, speaks_http10: impl FnOnce(&Url) -> bool) -> Result<(), Error> {
        if self.is_chunked() && speaks_http10(&self.url) {
            return Err(RequestRule::ChunkedToHttp10.into());
        }
        Ok(())
    }

    /// Says whether the body goes without a length.
    pub(crate) fn is_chunked(&self) -> bool {
        self.framing == RequestFraming::Chunked
    }

    /// Takes what belongs to the client out of the caller's fields, if there are any, and decides on the framing.
    fn settle(&mut self) -> Result<(), Error> {
        let has_fields = !self.fields.is_empty();
        if has_fields {
            self.user_agent &= !self.fields.contains("user-agent");
            self.accept &= !self.fields.contains("accept");
            self.take_host()?;
            self.take_te()?;
            self.take_connection()?;
        }
        self.take_expect()?;
        if has_fields {
            self.take_framing()?;
        }
        self.decide_framing()
    }

    /// The caller's field lines.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Sets a field of the caller's, of those that a request that is ready can still have.
    ///
    /// # Errors
    /// [`ErrorKind::LocalField`] when it cannot be sent, or belongs to the client.
    pub(crate) fn set_field(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let is_owned = |owned: &&str| owned.eq_ignore_ascii_case(name);
        if CONNECTION_OWNED.iter().chain(SETTLED).any(is_owned) {
            return Err(refused(name, FieldError::ConnectionOwned));
        }
        if name.eq_ignore_ascii_case("if-range") {
            check_condition(&self.fields, value.as_bytes())?;
        }
        self.fields
            .set(name, value)
            .map_err(|rule| Error::from(rule).about(name))?;
        self.user_agent = self.user_agent && !name.eq_ignore_ascii_case("user-agent");
        self.accept = self.accept && !name.eq_ignore_ascii_case("accept");
        Ok(())
    }

    /// Removes a field of the caller's, all its lines. `If-Range` goes with its `Range`.
    pub(crate) fn remove_field(&mut self, name: &str) -> usize {
        if name.eq_ignore_ascii_case("range") {
            self.fields.remove("if-range");
        }
        self.fields.remove(name)
    }

    fn special(&self) -> &Special {
        self.special.as_deref().unwrap_or(&ORDINARY)
    }

    /// What the head is written from.
    pub(crate) fn head(&self) -> HeadPlan<'_> {
        let Special {
            host,
            target,
            upgrade,
            credentials: _,
        } = self.special();
        HeadPlan {
            method: self.method.as_str(),
            target: self.target(),
            host: match (host, target) {
                (Some(host), _) => host,
                (None, Some(target)) => target.as_bytes(),
                (None, None) => self.url.authority().as_bytes(),
            },
            proxy: match &self.via {
                Via::Forward(proxy) => Some(proxy),
                Via::Nobody | Via::Tunnel(_) | Via::Unix(_) => None,
            },
            user_agent: self.user_agent,
            accept: self.accept,
            fields: &self.fields,
            host_by_user: host.is_some(),
            expect: self.expect,
            close: self.close,
            upgrade: upgrade.as_deref(),
            takes_trailers: self.takes_trailers,
            framing: self.framing,
            trailers: match &self.body {
                BodyPlan::Source(None, trailers) => Some(trailers),
                BodyPlan::Empty | BodyPlan::Memory(_) | BodyPlan::Source(..) => None,
            },
        }
    }

    /// The form of the request target (RFC 9112 §3.2).
    pub(crate) fn form(&self) -> TargetForm {
        match self.via {
            Via::Forward(_) => TargetForm::Absolute,
            Via::Nobody | Via::Tunnel(_) | Via::Unix(_) => self.form,
        }
    }

    fn target(&self) -> &str {
        let is_forwarded = matches!(self.via, Via::Forward(_));
        match self.form {
            TargetForm::Asterisk if is_forwarded => self.url.without_path(),
            TargetForm::Asterisk => "*",
            TargetForm::Authority => self.special().target.as_deref().unwrap_or_default(),
            TargetForm::Origin if is_forwarded => self.url.absolute_form(),
            TargetForm::Origin | TargetForm::Absolute => self.url.request_target(),
        }
    }

    /// By whom the server is reached.
    pub(crate) fn via(&self) -> &Via {
        &self.via
    }

    /// Decides by whom the server is reached.
    ///
    /// # Errors
    /// [`ErrorKind::LocalField`] when the caller's fields have credentials for a proxy, and it would be the server that
    /// gets them (RFC 9110 §11.7.2).
    pub(crate) fn send_via(&mut self, via: Via) -> Result<(), Error> {
        if matches!(via, Via::Tunnel(_)) {
            self.send_past_proxy()?;
        }
        self.via = via;
        Ok(())
    }

    /// Decides that the server is reached without the proxy that others are reached through.
    ///
    /// # Errors
    /// As [`send_via`](Self::send_via).
    pub(crate) fn send_past_proxy(&self) -> Result<(), Error> {
        if self.fields.contains(PROXY_AUTHORIZATION) {
            return Err(refused("Proxy-Authorization", FieldError::ConnectionOwned));
        }
        Ok(())
    }

    /// The part that decides which connection may serve. A new part does not compile until somebody decides.
    pub(crate) fn deciding(&self) -> Destination<'_> {
        let Self {
            url,
            via,
            // What is asked and sent does not change who is reached. A `Host` of the caller's does not either:
            // address, name in TLS and key are those of the URL.
            method: _,
            body: _,
            form: _,
            expect: _,
            takes_trailers: _,
            fields: _,
            framing: _,
            user_agent: _,
            accept: _,
            // Whether the connection is kept after it is asked at its end.
            close: _,
            // What is spoken after an upgrade or a CONNECT is the caller's, who has the connection then.
            special: _,
            // What is done when an attempt breaks, and what events show.
            is_replayable: _,
            label: _,
        } = self;
        Destination { url, via }
    }

    /// Length of the body, if it is known.
    pub(crate) fn body_bytes(&self) -> Option<u64> {
        match &self.body {
            BodyPlan::Empty => Some(0),
            BodyPlan::Memory(length) => Some(*length),
            BodyPlan::Source(length, _) => *length,
        }
    }

    /// Says whether a repeat has the same effect as one request: by the method (RFC 9110 §9.2.2), or because the
    /// caller gave an `Idempotency-Key`.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.method.is_idempotent() || self.fields.contains("idempotency-key")
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method.as_str() == "HEAD"
    }

    /// Says whether another protocol may follow on the connection.
    pub(crate) fn may_switch(&self) -> bool {
        let special = self.special();
        special.upgrade.is_some() || special.target.is_some()
    }

    /// The protocols that are offered instead of HTTP, as a list in the order of preference.
    pub(crate) fn upgrade(&self) -> Option<&Arc<str>> {
        self.special().upgrade.as_ref()
    }

    pub(crate) fn is_connect(&self) -> bool {
        self.special().target.is_some()
    }

    /// The credentials of the URL give way to the caller's. Whoever makes a tunnel is a proxy (RFC 9110 §11.7.2).
    fn take_credentials(&mut self) -> Result<(), Error> {
        let is_connect = self.is_connect();
        let special = self.special.as_mut();
        let Some(value) = special.and_then(|special| special.credentials.take()) else {
            return Ok(());
        };
        let name = match is_connect {
            true => "Proxy-Authorization",
            false => "Authorization",
        };
        if !self.fields.contains(name) {
            self.fields.append(name, &value)?;
        }
        Ok(())
    }

    /// The caller's Host goes first and replaces ours (RFC 9110 §7.2).
    fn take_host(&mut self) -> Result<(), Error> {
        let Some(host) = self.fields.get("host") else {
            return Ok(());
        };
        let is_authority =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(byte);
        if self.fields.get_all("host").count() > 1 {
            return Err(refused("Host", FieldError::Repeated));
        }
        if let Some(offset) = host.iter().position(|byte| !is_authority(byte)) {
            return Err(refused("Host", FieldError::ValueByte { offset }));
        }
        self.special.get_or_insert_default().host = Some(host.into());
        self.fields.remove("host");
        Ok(())
    }

    /// `TE: trailers` is a wish that is granted, with the option of `Connection` that goes with it. A coding that is
    /// named there would be one that we cannot read, and `chunked` is never named (RFC 9112 §7.4).
    fn take_te(&mut self) -> Result<(), Error> {
        for coding in self.fields.elements("te") {
            if !coding.eq_ignore_ascii_case(b"trailers") {
                return Err(refused("TE", FieldError::ConnectionOwned));
            }
            self.takes_trailers = true;
        }
        self.fields.remove("te");
        Ok(())
    }

    /// `Connection: close` is a wish that is granted; every other option belongs to the client.
    fn take_connection(&mut self) -> Result<(), Error> {
        for name in CONNECTION_OWNED {
            if self.fields.contains(name) {
                return Err(refused(name, FieldError::ConnectionOwned));
            }
        }
        for option in self.fields.elements("connection") {
            if option.eq_ignore_ascii_case(b"close") {
                if self.may_switch() {
                    return Err(RequestRule::CloseBeforeSwitch.into());
                }
                self.close = true;
                continue;
            }
            let is_te = self.takes_trailers && option.eq_ignore_ascii_case(b"te");
            if !is_te && !option.eq_ignore_ascii_case(b"keep-alive") {
                return Err(refused("Connection", FieldError::ConnectionOwned));
            }
        }
        self.fields.remove("connection");
        Ok(())
    }

    /// Only 100-continue can be expected, and only with a body (RFC 9110 §10.1.1).
    fn take_expect(&mut self) -> Result<(), Error> {
        if self.fields.contains("expect") {
            if !self
                .fields
                .get_all("expect")
                .all(|value| value.eq_ignore_ascii_case(b"100-continue"))
            {
                return Err(refused("Expect", FieldError::Expect));
            }
            self.expect = true;
            self.fields.remove("expect");
        }
        self.expect &= !matches!(
            self.body,
            BodyPlan::Empty | BodyPlan::Memory(0) | BodyPlan::Source(Some(0), _)
        );
        Ok(())
    }

    /// The caller's framing fields may choose chunked or confirm the length.
    fn take_framing(&mut self) -> Result<(), Error> {
        let chunked = self.wants_chunked()?;
        let declared = self.declared_length()?;
        if chunked && declared.is_some() {
            return Err(refused("Content-Length", FieldError::Framing));
        }
        let length = self.body_bytes();
        match (&mut self.body, declared) {
            (BodyPlan::Source(length, _), _) if chunked => *length = None,
            (BodyPlan::Source(length @ None, trailers), Some(declared)) if trailers.is_empty() => {
                *length = Some(declared)
            }
            (_, Some(declared)) if length != Some(declared) => {
                return Err(refused("Content-Length", FieldError::Framing));
            }
            _ => {}
        }
        if chunked && !matches!(self.body, BodyPlan::Source(..)) {
            return Err(refused("Transfer-Encoding", FieldError::Framing));
        }
        self.fields.remove("content-length");
        self.fields.remove("transfer-encoding");
        self.fields.remove("trailer");
        Ok(())
    }

    /// The body decides on the framing.
    fn decide_framing(&mut self) -> Result<(), Error> {
        match &self.body {
            BodyPlan::Source(Some(_), trailers) if !trailers.is_empty() => {
                return Err(refused("Trailer", FieldError::Framing));
            }
            BodyPlan::Empty | BodyPlan::Memory(_) | BodyPlan::Source(..) => {}
        }
        self.framing = match &self.body {
            BodyPlan::Empty if self.method.announces_empty_body() => RequestFraming::Length(0),
            BodyPlan::Empty => RequestFraming::Absent,
            BodyPlan::Memory(length) | BodyPlan::Source(Some(length), _) => {
                RequestFraming::Length(*length)
            }
            BodyPlan::Source(None, _) => RequestFraming::Chunked,
        };
        Ok(())
    }

    fn wants_chunked(&self) -> Result<bool, Error> {
        let mut codings = self.fields.get_all("transfer-encoding");
        match (codings.next(), codings.next()) {
            (None, _) => Ok(false),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
            _ => Err(refused("Transfer-Encoding", FieldError::Framing)),
        }
    }

    fn declared_length(&self) -> Result<Option<u64>, Error> {
        let mut lengths = self.fields.get_all("content-length");
        let Some(length) = lengths.next() else {
            return Ok(None);
        };
        if lengths.next().is_some() {
            return Err(refused("Content-Length", FieldError::Repeated));
        }
        let digits = std::str::from_utf8(length)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok());
        number
            .map(Some)
            .ok_or_else(|| refused("Content-Length", FieldError::Framing))
    }
}

fn refused(name: &str, rule: FieldError) -> Error {
    Error::local(ErrorKind::LocalField(rule)).about(name)
}

fn check_condition(fields: &Fields, value: &[u8]) -> Result<(), Error> {
    if fields.contains("range") && Validator::parse(value).is_some() {
        Ok(())
    } else {
        Err(RequestRule::IfRange.into())
    }
}

#[cfg(test)]
mod tests;
