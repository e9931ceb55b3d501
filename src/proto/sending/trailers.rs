//! The trailers of a request: those that are known before it begins, and those that are known at the end of its body.
//!
//! The rule guarded here: what stands behind the body was announced before it (RFC 9110 §6.6.2).

use crate::message::fields::Fields;

/// The trailers that a request will have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrailerPlan {
    known: Fields,
    /// Names of those whose values come at the end of the body.
    late: Vec<Box<str>>,
}

/// Trailers that the caller gave at the end of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LateTrailers(Fields);

impl TrailerPlan {
    pub(crate) fn new(known: Fields, late: Vec<Box<str>>) -> Self {
        Self { known, late }
    }

    /// Says whether no trailer is announced.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.late.is_empty()
    }

    /// The names that are announced, in wire order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let known = self.known.iter().map(|line| line.name());
        known.chain(self.late.iter().map(|name| &**name))
    }

    /// Leaves the trailers of a name out; says whether there were any.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.late.len();
        self.late.retain(|late| !late.eq_ignore_ascii_case(name));
        self.known.remove(name) > 0 || self.late.len() < before
    }

    /// All trailers. Late ones that are not announced any more, because a redirect left them behind, are left out.
    pub(super) fn at_the_end(self, late: Option<LateTrailers>) -> Fields {
        let Self {
            mut known,
            late: names,
        } = self;
        let given = late.map(|late| late.0).unwrap_or_default();
        for line in given.iter() {
            if names.iter().any(|name| line.is(name)) {
                known.push_unchecked(line.name(), line.value());
            }
        }
        known
    }
}

impl LateTrailers {
    /// Takes what the caller gave, if all of it was announced.
    ///
    /// # Errors
    /// The name that was not.
    pub(crate) fn announced(given: Fields, names: &[Box<str>]) -> Result<Self, String> {
        let is_announced = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let stray = given.iter().find(|line| !is_announced(line.name()));
        match stray.map(|line| line.name().to_owned()) {
            Some(name) => Err(name),
            None => Ok(Self(given)),
        }
    }
}
