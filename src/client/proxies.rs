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
enum Source {
    /// The environment; the caller may change each of them.
    Environment(Option<Box<Change>>),
    Given(GivenProxy),
    Function(Arc<Choose>),
}

/// What a caller makes of a proxy of the environment.
type Change = dyn Fn(Proxy) -> Result<Proxy> + Send + Sync;

impl Default for Source {
    fn default() -> Self {
        Self::Environment(None)
    }
}

impl SaidOfProxies {
    /// How proxies are chosen. Here, and here only, the environment is read.
    ///
    /// # Errors
    /// [`ErrorKind::LocalProxy`](crate::ErrorKind::LocalProxy) about a variable that cannot be read.
    pub(super) fn settle(self) -> Result<Proxies> {
        let proxies = match self.source {
            Source::Environment(None) => Proxies::of_environment(Environment::read(variable, Ok)?),
            Source::Environment(Some(change)) => {
                Proxies::of_environment(Environment::read(variable, change)?)
            }
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

    /// Takes the proxies of the environment, as without any proxy of one's own, and has a function change each: credentials
    /// or fields that the environment does not have. It is asked by [`build`](Self::build), once for
    /// each variable that is set to a proxy. What it adds goes wherever the environment says, which somebody else
    /// may have set.
    ///
    /// An error of the function is one of `build`, about the variable.
    ///
    /// ```
    /// use wirescope::Client;
    ///
    /// let client = Client::builder()
    ///     .proxy_of_environment(|proxy| match proxy.has_credentials() {
    ///         true => Ok(proxy),
    ///         false => proxy.with_credentials("me", "secret"),
    ///     })
    ///     .build()?;
    /// # drop(client);
    /// # Ok::<(), wirescope::Error>(())
    /// ```
    #[must_use]
    pub fn proxy_of_environment(
        mut self,
        change: impl Fn(Proxy) -> Result<Proxy> + Send + Sync + 'static,
    ) -> Self {
        self.proxies.source = Source::Environment(Some(Box::new(change)));
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
            Self::Environment(None) => f.write_str("Environment"),
            Self::Environment(Some(_)) => f.write_str("Environment, changed"),
            Self::Given(given) => given.fmt(f),
            Self::Function(_) => f.write_str("Function"),
        }
    }
}
