//! Which proxy a hop goes through, if any.
//!
//! The rule guarded here: the choice is made when a hop begins, from the URL of that hop and nothing else, so that a
//! redirect cannot carry the proxy of one host to another.

mod environment;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ProxyRule};
pub(crate) use crate::flow::proxy::environment::Environment;
use crate::message::no_proxy::NoProxy;
use crate::message::proxy::{Proxy, ProxySource};
use crate::message::url::Url;

/// The proxy that a caller gives for one request.
#[derive(Debug, Clone)]
pub(crate) enum GivenProxy {
    /// None.
    Nobody,
    /// This one.
    One(Arc<Proxy>),
}

/// How proxies are chosen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    rule: Rule,
    /// The caller's list of hosts that are reached without a proxy.
    exempt: Option<Arc<NoProxy>>,
}

/// Where a proxy comes from.
#[derive(Clone, Default)]
enum Rule {
    /// From nowhere.
    #[default]
    Off,
    /// From the caller.
    One(Arc<Proxy>),
    /// From the environment.
    Environment(Arc<Environment>),
    /// From the caller's function.
    Function(Arc<Choose>),
}

/// A function of the caller's.
pub(crate) type Choose = dyn Fn(&Url) -> Result<Option<Proxy>, Failure> + Send + Sync;

/// What a function of the caller's may fail with.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What was decided about a hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) proxy: Option<Arc<Proxy>>,
    pub(crate) source: ProxySource,
    /// The variable, or the entry of a list, that decided.
    pub(crate) rule: Option<Arc<str>>,
}

impl Proxies {
    /// This proxy for all hops, or none.
    pub(crate) fn one(given: GivenProxy) -> Self {
        let rule = match given {
            GivenProxy::Nobody => Rule::Off,
            GivenProxy::One(proxy) => Rule::One(proxy),
        };
        Self { rule, exempt: None }
    }

    /// What the environment says.
    pub(crate) fn of_environment(environment: Environment) -> Self {
        let rule = match environment.is_empty() {
            true => Rule::Off,
            false => Rule::Environment(Arc::new(environment)),
        };
        Self { rule, exempt: None }
    }

    /// What a function of the caller's says.
    pub(crate) fn function(choose: Arc<Choose>) -> Self {
        Self {
            rule: Rule::Function(choose),
            exempt: None,
        }
    }

    /// The same but for hosts that are reached without a proxy; a list of the environment is replaced by this one.
    pub(crate) fn but_for(self, exempt: Option<Arc<NoProxy>>) -> Self {
        Self { exempt, ..self }
    }

    /// Says whether they come from the environment.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn are_of_environment(&self) -> bool {
        matches!(self.rule, Rule::Environment(_))
    }

    /// Another proxy for all hops, or none; the caller's list stays.
    pub(crate) fn replaced(&self, given: GivenProxy) -> Self {
        Self::one(given).but_for(self.exempt.clone())
    }

    /// Decides about a hop; nothing if there is nothing to decide.
    ///
    /// # Errors
    /// [`ProxyRule::Choice`] when the caller's function fails.
    pub(crate) fn choose(&self, url: &Url) -> Result<Option<Choice>, Error> {
        Ok(match &self.rule {
            Rule::Off => None,
            Rule::One(proxy) => Some(self.exempted(url).unwrap_or_else(|| Choice {
                proxy: Some(proxy.clone()),
                source: ProxySource::Explicit,
                rule: None,
            })),
            Rule::Environment(environment) => environment.choose(url, self.exempt.as_deref()),
            Rule::Function(choose) => Some(match self.exempted(url) {
                Some(exempted) => exempted,
                None => Choice {
                    proxy: choose(url).map_err(failed)?.map(Arc::new),
                    source: ProxySource::Function,
                    rule: None,
                },
            }),
        })
    }

    fn exempted(&self, url: &Url) -> Option<Choice> {
        let rule = self.exempt.as_deref()?.rule_for(url)?;
        Some(Choice::exempt(rule))
    }
}

impl From<Option<Proxy>> for GivenProxy {
    fn from(proxy: Option<Proxy>) -> Self {
        proxy.map_or(Self::Nobody, |proxy| Self::One(Arc::new(proxy)))
    }
}

impl Choice {
    fn exempt(rule: &str) -> Self {
        Self {
            proxy: None,
            source: ProxySource::NoProxy,
            rule: Some(rule.into()),
        }
    }
}

fn failed(cause: Failure) -> Error {
    Error::from(ProxyRule::Choice).with_source(cause)
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::One(proxy) => proxy.fmt(f),
            Self::Environment(environment) => environment.fmt(f),
            Self::Function(_) => f.write_str("Function"),
        }
    }
}
