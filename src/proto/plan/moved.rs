//! The request that follows a redirect: what goes along, and what is left behind (RFC 9110 §15.4).

use crate::event::TargetForm;
use crate::message::method::Method;
use crate::message::url::Url;
use crate::message::via::Via;
use crate::proto::encode::RequestFraming;
use crate::proto::plan::Plan;
use crate::proto::sending::BodyPlan;

/// Fields that are for one origin alone, beside those that are secret.
const OF_ORIGIN: &[&str] = &["referer", "origin"];

/// Fields that speak of the content, beside those that begin with `Content-`.
const OF_CONTENT: &[&str] = &["expect", "trailer", "transfer-encoding", "digest"];

/// Fields that ask about the state of one target (RFC 9110 §13.1).
const OF_TARGET: &[&str] = &[
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
];

impl Plan {
    /// Makes the request for the target of a redirect, and names the fields that it has not any more. What is left
    /// behind once does not come back, because the next one is made from this one.
    pub(crate) fn moved(
        &self,
        url: Url,
        method: Method,
        keeps_body: bool,
        keeps_host: bool,
        is_secret: impl Fn(&str) -> bool,
    ) -> (Self, Vec<Box<str>>) {
        let is_cross_origin = !self.url.same_origin(&url);
        let is_partial = self.fields.contains("if-range");
        let is_left = |name: &str| {
            let is_in = |list: &[&str]| list.iter().any(|one| one.eq_ignore_ascii_case(name));
            let prefix = name.get(..8).unwrap_or_default();
            let is_content = prefix.eq_ignore_ascii_case("content-") || is_in(OF_CONTENT);
            is_in(OF_TARGET)
                || (is_partial && name.eq_ignore_ascii_case("range"))
                || (is_cross_origin && (is_in(OF_ORIGIN) || is_secret(name)))
                || (!keeps_body && is_content)
        };
        let mut moved = self.clone();
        let mut left = moved.leave_trailers(|name| is_cross_origin && is_secret(name));
        for line in self.fields.iter().filter(|line| is_left(line.name())) {
            if moved.fields.remove(line.name()) > 0 {
                left.push(line.name().into());
            }
        }
        if is_cross_origin || !keeps_host {
            let special = moved.special.as_mut();
            if special.is_some_and(|special| special.host.take().is_some()) {
                left.push("Host".into());
            }
        }
        if !keeps_body {
            moved.body = BodyPlan::Empty;
            moved.is_replayable = true;
            moved.expect = false;
            moved.framing = RequestFraming::Absent;
        }
        moved.form = TargetForm::Origin;
        moved.via = Via::Nobody;
        moved.url = url;
        moved.method = method;
        (moved, left)
    }

    /// Leaves trailers behind, and names them.
    fn leave_trailers(&mut self, is_left: impl Fn(&str) -> bool) -> Vec<Box<str>> {
        let mut left = Vec::new();
        if let BodyPlan::Source(_, trailers) = &mut self.body {
            let names: Vec<Box<str>> = trailers.names().map(Into::into).collect();
            for name in names.into_iter().filter(|name| is_left(name)) {
                if trailers.remove(&name) {
                    left.push(name);
                }
            }
        }
        left
    }

    /// The same request without its `Expect`, after a 417 (RFC 9110 §10.1.1).
    pub(crate) fn without_expect(&mut self) {
        self.expect = false;
    }
}
