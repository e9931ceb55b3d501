//! What the caller asked for, as it was asked: a plan that nobody has checked.

use std::sync::Arc;

use crate::error::{Error, FieldError, RequestRule};
use crate::event::TargetForm;
use crate::message::fields::Fields;
use crate::message::method::Method;
use crate::message::url::{Scheme, Url};
use crate::message::via::Via;
use crate::proto::encode::RequestFraming;
use crate::proto::framing::is_forbidden_trailer;
use crate::proto::plan::{Plan, Special, check_condition, check_protocol, refused};
use crate::proto::sending::{BodyPlan, TrailerPlan};

/// Fields that may stand once only (RFC 9110 §5.3).
const SINGLE: &[&str] = &[
    "authorization",
    "user-agent",
    "referer",
    "content-type",
    "range",
    "if-range",
    "if-modified-since",
    "if-unmodified-since",
];

/// A request as its caller puts it together. It is the plan already, and is checked where it stands, since it is large;
/// but the plan comes out only for who shows that it was checked.
#[derive(Debug)]
pub(crate) struct Wish {
    plan: Plan,
    /// A body may go where it has no defined meaning.
    pub(crate) allow_body: bool,
    pub(crate) allow_trace: bool,
    pub(crate) manners: Manners,
}

/// What a client asks of all its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    pub(crate) keep_alive: bool,
    pub(crate) https_only: bool,
}

/// Shows that a wish is settled.
#[derive(Debug)]
pub(crate) struct Settled(());

impl Wish {
    /// Wishes for nothing but this. The credentials are sent unless the caller's fields have some.
    pub(crate) fn new(
        method: Method,
        url: Url,
        credentials: Option<Box<str>>,
        manners: Manners,
    ) -> Self {
        let special = credentials.map(Special::with_credentials);
        Self {
            plan: Plan {
                method,
                url,
                body: BodyPlan::Empty,
                form: TargetForm::Origin,
                label: None,
                expect: false,
                close: false,
                takes_trailers: false,
                is_replayable: true,
                via: Via::Nobody,
                fields: Fields::new(),
                special,
                framing: RequestFraming::Absent,
                user_agent: true,
                accept: true,
            },
            allow_body: false,
            allow_trace: false,
            manners,
        }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.plan.method
    }

    pub(crate) fn url(&self) -> &Url {
        &self.plan.url
    }

    /// The caller's field lines.
    pub(crate) fn fields(&self) -> &Fields {
        &self.plan.fields
    }

    pub(crate) fn fields_mut(&mut self) -> &mut Fields {
        &mut self.plan.fields
    }

    /// Gives it a body, and says whether that can be given a second time.
    pub(crate) fn set_body(&mut self, body: BodyPlan, is_replayable: bool) {
        self.plan.body = body;
        self.plan.is_replayable = is_replayable;
    }

    /// Asks to hold the body back until the peer wants it.
    pub(crate) fn expect_continue(&mut self) {
        self.plan.expect = true;
    }

    /// Asks about the server as a whole.
    pub(crate) fn ask_all(&mut self) {
        self.plan.form = TargetForm::Asterisk;
    }

    /// Asks for a tunnel to `host:port`.
    pub(crate) fn ask_tunnel(&mut self, target: Arc<str>) {
        self.plan.form = TargetForm::Authority;
        self.plan.special.get_or_insert_default().target = Some(target);
    }

    /// Offers a protocol, which is liked less than those before.
    ///
    /// # Errors
    /// [`FieldError::Protocol`].
    pub(crate) fn offer(&mut self, protocol: &str) -> Result<(), Error> {
        check_protocol(protocol)?;
        let offered = &mut self.plan.special.get_or_insert_default().upgrade;
        *offered = Some(match offered {
            Some(before) => [before, ", ", protocol].concat().into(),
            None => protocol.into(),
        });
        Ok(())
    }

    /// Leaves out a field that goes out by itself, if it is one.
    pub(crate) fn leave_out(&mut self, name: &str) {
        self.plan.user_agent &= !name.eq_ignore_ascii_case("user-agent");
        self.plan.accept &= !name.eq_ignore_ascii_case("accept");
    }

    pub(crate) fn set_label(&mut self, label: Arc<str>) {
        self.plan.label = Some(label);
    }

    /// Checks it and makes it ready. Whether the peer is known to speak HTTP/1.0 is asked only if that matters.
    ///
    /// # Errors
    /// [`ErrorKind::LocalField`](crate::ErrorKind::LocalField) or
    /// [`ErrorKind::LocalRequest`](crate::ErrorKind::LocalRequest) with the rule that is broken.
    pub(crate) fn settle(
        &mut self,
        speaks_http10: impl FnOnce(&Url) -> bool,
    ) -> Result<Settled, Error> {
        // Nothing may be sent behind a request that says close (RFC 9112 §9.6).
        self.plan.close = !self.manners.keep_alive && !self.plan.may_switch();
        self.plan.take_credentials()?;
        self.check()?;
        self.plan.settle()?;
        self.plan.check_peer(speaks_http10)?;
        Ok(Settled(()))
    }

    /// What would have been asked, for the events of a wish that is refused.
    pub(crate) fn unsettled(&self) -> &Plan {
        &self.plan
    }

    /// The plan, once it is settled.
    pub(crate) fn into_plan(self, _: Settled) -> Plan {
        self.plan
    }

    /// Checks what does not hang on the framing.
    fn check(&self) -> Result<(), Error> {
        self.check_scheme()?;
        self.check_method()?;
        let fields = &self.plan.fields;
        if !fields.is_empty() {
            check_single(fields)?;
            check_if_range(fields)?;
        }
        match &self.plan.body {
            BodyPlan::Source(_, trailers) => check_trailers(trailers),
            BodyPlan::Empty | BodyPlan::Memory(_) => Ok(()),
        }
    }

    fn check_scheme(&self) -> Result<(), Error> {
        match self.plan.url.scheme() {
            Scheme::Http if self.manners.https_only => Err(RequestRule::HttpsOnly.into()),
            Scheme::Http | Scheme::Https => Ok(()),
        }
    }

    fn check_method(&self) -> Result<(), Error> {
        let plan = &self.plan;
        let has_body = !matches!(plan.body, BodyPlan::Empty);
        let method = plan.method.as_str();
        if plan.form == TargetForm::Asterisk && method != "OPTIONS" {
            return Err(RequestRule::AsteriskForm.into());
        }
        let is_connect = method == "CONNECT";
        if is_connect != plan.is_connect() || (is_connect && has_body) {
            return Err(RequestRule::ConnectMethod.into());
        }
        if method == "TRACE" {
            let credentials = ["authorization", "cookie", "proxy-authorization"];
            if !self.allow_trace
                || has_body
                || credentials.iter().any(|name| plan.fields.contains(name))
            {
                return Err(RequestRule::TraceMethod.into());
            }
        }
        if method == "OPTIONS" && has_body && !plan.fields.contains("content-type") {
            return Err(RequestRule::OptionsContentType.into());
        }
        if has_body && !plan.method.expects_body() && !self.allow_body && method != "OPTIONS" {
            return Err(RequestRule::BodyNotAllowed.into());
        }
        Ok(())
    }
}

fn check_single(fields: &Fields) -> Result<(), Error> {
    match SINGLE.iter().find(|name| fields.get_all(name).count() > 1) {
        Some(name) => Err(refused(name, FieldError::Repeated)),
        None => Ok(()),
    }
}

/// `If-Range` goes with `Range` only, and has what names octets for sure (RFC 9110 §13.1.5).
fn check_if_range(fields: &Fields) -> Result<(), Error> {
    match fields.get("if-range") {
        Some(value) => check_condition(fields, value),
        None => Ok(()),
    }
}

fn check_trailers(trailers: &TrailerPlan) -> Result<(), Error> {
    match trailers.names().find(|name| is_forbidden_trailer(name)) {
        Some(name) => Err(refused(name, FieldError::NotInTrailers)),
        None => Ok(()),
    }
}
