//! Which proxies a client goes through: those of the environment, one, or those that a function chooses.

use std::fmt;
use std::sync::Arc;

use crate::client::ClientBuilder;
use crate::error::Result;
use crate::flow::proxy::{Choose, Environment, Failure, GivenProxy, Proxies};
use crate::message::no_proxy::NoProxy;
use crate::message::proxy::Proxy;
use crate::message::url::Url;

/// What was said about proxies.
#[derive(Debug, Default)]
pub(super) struct SaidOfProxies {
    source: Source,
    exempt: Option<Arc<NoProxy>>,
}

/// Where proxies come from.
#[derive(Default)]
enum Source {
    #[default]
    Environment,
    Given(GivenProxy),
    Function(Arc<Choose>),
}

impl SaidOfProxies {
    /// How proxies are chosen. Here, and here only, the environment is read.
    ///
    /// # Errors
    /// [`ErrorKind::LocalProxy`](crate::ErrorKind::LocalProxy) about a variable that cannot be read.
    pub(super) fn settle(self) -> Result<Proxies> {
        let proxies = match self.source {
            Source::Environment => Proxies::of_environment(Environment::read(variable)?),
            Source::Given(given) => Proxies::one(given),
            Source::Function(choose) => Proxies::function(choose),
        };
        Ok(proxies.but_for(self.exempt))
    }
}

/// A variable of the environment. What is no text in it becomes U+FFFD, which nobody takes for a part of a host.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

impl ClientBuilder {
    /// Sets the proxy of all calls, or that there is none. Default: what the environment says.
    ///
    /// The environment is read once, by [`build`](Self::build): `http_proxy` for http URLs, `https_proxy` for https
    /// ones, `all_proxy` where those are not set, and `no_proxy` for hosts that are reached without; in lower case
    /// first, else in upper case, and empty as if not set. `HTTP_PROXY` in upper case does not count where
    /// `REQUEST_METHOD` is set, as in CGI, where it may be a field of somebody's request. What the environment says
    /// never holds for `localhost` and the addresses of the loopback; a proxy that is given here holds for these too.
    ///
    /// Credentials belong to the [`Proxy`], and go to it alone. A `Proxy-Authorization` field of a request goes along only
    /// where a proxy is given the whole request; where the server would get it, in a tunnel or past the proxy, the call
    /// fails with [`ErrorKind::LocalField`](crate::ErrorKind::LocalField).
    ///
    /// ```
    /// use wirescope::{Client, Proxy};
    ///
    /// let proxy = Proxy::parse("socks5h://proxy.example")?.with_credentials("me", "secret")?;
    /// let clients = [Client::builder().proxy(proxy).build()?, Client::builder().proxy(None).build()?];
    /// # drop(clients);
    /// # Ok::<(), wirescope::Error>(())
    /// ```
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxies.source = Source::Given(proxy.into().into());
        self
    }

    /// Sets which hosts are reached without a proxy, wherever it comes from. Default: none, or for proxies of the
    /// environment what `no_proxy` says, in whose place this list stands.
    #[must_use]
    pub fn no_proxy(mut self, hosts: NoProxy) -> Self {
        self.proxies.exempt = Some(Arc::new(hosts));
        self
    }

    /// Has a function choose the proxy of each hop, by its URL; it is asked when the hop begins, on the thread that
    /// drives the call, and should not wait. Proxies that differ in anything, a field for CONNECT among it, share no
    /// connections.
    ///
    /// An error of the function fails the call before anything is dialed, with
    /// [`ProxyRule::Choice`](crate::error::ProxyRule::Choice), and is its source.
    ///
    /// ```
    /// use wirescope::{Client, Proxy};
    ///
    /// let proxy = Proxy::parse("proxy.example:3128")?;
    /// let client = Client::builder()
    ///     .proxy_with(move |url| match url.port() {
    ///         8443 => Ok(None),
    ///         _ => Ok(Some(proxy.clone())),
    ///     })
    ///     .build()?;
    /// # drop(client);
    /// # Ok::<(), wirescope::Error>(())
    /// ```
    #[must_use]
    pub fn proxy_with(
        mut self,
        choose: impl Fn(&Url) -> std::result::Result<Option<Proxy>, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.proxies.source = Source::Function(Arc::new(choose));
        self
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("Environment"),
            Self::Given(given) => given.fmt(f),
            Self::Function(_) => f.write_str("Function"),
        }
    }
}
