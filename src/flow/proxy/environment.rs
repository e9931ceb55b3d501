//! What the environment says about proxies.
//!
//! `http_proxy` is for `http` URLs, `https_proxy` for `https` ones, `all_proxy` for either where its own is not set; the
//! hosts of `no_proxy` are reached straight. Lower case goes before upper case, and an empty variable is as none.
//! `HTTP_PROXY` does not count where `REQUEST_METHOD` is set: there it may be a field of somebody's request
//! (CVE-2016-5386). No proxy of the environment is asked for this machine, be it `localhost` or an address of the
//! loopback.

use std::sync::Arc;

use crate::error::Error;
use crate::flow::lookup::localhost;
use crate::flow::proxy::Choice;
use crate::message::no_proxy::NoProxy;
use crate::message::proxy::{Proxy, ProxySource};
use crate::message::url::{Host, Scheme, Url};

/// What the environment says about proxies.
#[derive(Debug)]
pub(crate) struct Environment {
    http: Option<Set>,
    https: Option<Set>,
    exempt: NoProxy,
}

/// A variable that is set to a proxy.
#[derive(Debug, Clone)]
struct Set {
    variable: Arc<str>,
    proxy: Arc<Proxy>,
}

/// Set by a server that runs a program for a request, and puts the fields of that request beside it (RFC 3875 §4.1.12).
const REQUEST_METHOD: &str = "REQUEST_METHOD";

impl Environment {
    /// Reads the variables that are asked for by name, and changes each proxy that is there.
    ///
    /// # Errors
    /// [`ErrorKind::LocalProxy`](crate::ErrorKind::LocalProxy) about the variable whose proxy cannot be read; what the
    /// change fails with.
    pub(crate) fn read(
        variable: impl Fn(&str) -> Option<String>,
        change: impl Fn(Proxy) -> Result<Proxy, Error>,
    ) -> Result<Self, Error> {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        let first = |names: &[&str]| {
            let set = |name: &&str| {
                Some((*name, filled(name)?)).map(|(name, value)| (Arc::<str>::from(name), value))
            };
            names.iter().find_map(set)
        };
        let proxy = |found: Option<(Arc<str>, String)>| match found {
            Some((variable, value)) => Proxy::parse(&value)
                .and_then(&change)
                .map_err(|error| error.about(&variable))
                .map(|proxy| {
                    Some(Set {
                        proxy: Arc::new(proxy),
                        variable,
                    })
                }),
            None => Ok(None),
        };
        let http: &[&str] = match variable(REQUEST_METHOD) {
            Some(_) => &["http_proxy"],
            None => &["http_proxy", "HTTP_PROXY"],
        };
        let http = proxy(first(http))?;
        let https = proxy(first(&["https_proxy", "HTTPS_PROXY"]))?;
        let all = proxy(first(&["all_proxy", "ALL_PROXY"]))?;
        let exempt = first(&["no_proxy", "NO_PROXY"]);
        Ok(Self {
            http: http.or_else(|| all.clone()),
            https: https.or(all),
            exempt: exempt.map_or_else(NoProxy::default, |(_, list)| NoProxy::parse(&list)),
        })
    }

    /// Says whether no proxy is set.
    pub(super) fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// Decides about a URL. A list of the caller's stands in the place of that of the environment.
    pub(super) fn choose(&self, url: &Url, exempt: Option<&NoProxy>) -> Option<Choice> {
        let set = match url.scheme() {
            Scheme::Http => self.http.as_ref()?,
            Scheme::Https => self.https.as_ref()?,
        };
        if is_loopback(&url.host()) {
            return Some(Choice {
                proxy: None,
                source: ProxySource::Loopback,
                rule: None,
            });
        }
        let exempted = exempt.unwrap_or(&self.exempt).rule_for(url);
        Some(exempted.map_or_else(|| set.choice(), Choice::exempt))
    }
}

impl Set {
    fn choice(&self) -> Choice {
        Choice {
            proxy: Some(self.proxy.clone()),
            source: ProxySource::Environment,
            rule: Some(self.variable.clone()),
        }
    }
}

/// Says whether a host is this machine, by its name or its address.
fn is_loopback(host: &Host<'_>) -> bool {
    match host {
        Host::Name(name) => localhost(name).is_some(),
        Host::V4(ip) => ip.is_loopback(),
        Host::V6(ip, _) => ip.to_canonical().is_loopback(),
    }
}
