//! The blocking door: requests from the thread that calls, over one pool.

mod fences;
mod naming;
mod proxies;
mod sockets;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use crate::client::proxies::SaidOfProxies;
use crate::client::tls::SaidOfTls;
use crate::config::{EarlyResponse, Limits, Strictness, Timeouts};
use crate::drive::engine::{Engine, Parts};
use crate::drive::start::Ready;
use crate::drive::waits::Waits;
use crate::error::{Error, Result};
use crate::event::{ObserverRef, Redaction};
use crate::flow::call::{DetachedDial, Settings};
use crate::flow::dial::guard::Guard;
use crate::flow::redirect::RedirectPolicy;
use crate::flow::{lookup, pool};
use crate::message::answer::Family;
use crate::message::connect_to::ConnectTo;
use crate::message::dial::DialProfile;
use crate::message::method::Method;
use crate::message::overrides::Overrides;
use crate::message::peer_addr::UnixAddr;
use crate::message::pool::PoolStats;
use crate::message::url::GivenUrl;
use crate::net::random;
use crate::net::resolver::{Resolve, SystemResolver};
use crate::net::setup::SocketSetup;
use crate::proto::Rules;
use crate::request::Request;
use crate::response::Response;
use crate::round_trip::{self, Chain, RoundTrip, Wire};

/// An HTTP/1.1 client. Cloning is cheap and shares everything; it can be used from many threads at once, each
/// call on the thread that makes it. There is no thread of its own, but for those that look names up.
///
/// Dropping the last clone closes all idle connections; responses that are still read are not touched.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "testkit")] {
/// use std::io::Read;
/// use wirescope::testkit::{Peer, Script};
///
/// let peer = Peer::start(Script::new()
///     .expect_request()
///     .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))?;
///
/// let client = wirescope::Client::new()?;
/// let mut response = client.get(&peer.url("/"))?.send()?;
/// let mut body = String::new();
/// response.read_to_string(&mut body)?;
/// assert_eq!((response.status(), &body[..]), (200, "hello"));
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    engine: Arc<Engine>,
    chain: Option<Chain>,
}

/// Sets a [`Client`] up. Every setting has a default; see each method.
#[derive(Debug)]
pub struct ClientBuilder {
    timeouts: Timeouts,
    limits: Limits,
    strictness: Strictness,
    early_response: EarlyResponse,
    keep_alive: bool,
    retries: u16,
    idle_per_key: usize,
    idle_total: usize,
    idle_timeout: Duration,
    connections_per_key: Option<usize>,
    connections_total: Option<usize>,
    max_age: Option<Duration>,
    max_requests: Option<u64>,
    dns_cache: Duration,
    resolver: Option<CustomResolver>,
    overrides: Overrides,
    connect_to: ConnectTo,
    dial_profile: DialProfile,
    family: Option<Family>,
    guard: Guard,
    setup: SocketSetup,
    unix: Option<UnixAddr>,
    tls: SaidOfTls,
    redaction: Redaction,
    observers: Vec<ObserverRef>,
    redirects: RedirectPolicy,
    https_only: bool,
    proxies: SaidOfProxies,
    layers: Vec<Layer>,
}

/// What makes a round trip out of the one that it wraps.
struct Layer(Box<Wrap>);

type Wrap = dyn FnOnce(Arc<dyn RoundTrip>) -> Arc<dyn RoundTrip>;

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layer")
    }
}

struct CustomResolver(Arc<dyn Resolve>);

impl std::fmt::Debug for CustomResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomResolver")
    }
}

impl Client {
    /// Makes a client with the defaults.
    ///
    /// # Errors
    /// As [`ClientBuilder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Begins to set a client up.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Begins a GET request. The URL is given as text, or as a [`Url`](crate::message::url::Url), so that one that
    /// is asked for often is read once.
    ///
    /// ```
    /// # fn main() -> Result<(), wirescope::Error> {
    /// # let client = wirescope::Client::new()?;
    /// use wirescope::message::url::Url;
    ///
    /// let url = Url::parse("http://example.com/")?;
    /// let requests = [client.get("http://example.com/")?, client.get(&url)?];
    /// # drop(requests);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::LocalUrl`](crate::ErrorKind::LocalUrl) with the rule that the URL breaks.
    pub fn get<'a>(&self, url: impl Into<GivenUrl<'a>>) -> Result<Request> {
        self.request(Method::GET, url)
    }

    /// Begins a HEAD request.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn head<'a>(&self, url: impl Into<GivenUrl<'a>>) -> Result<Request> {
        self.request(Method::HEAD, url)
    }

    /// Begins a POST request.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post<'a>(&self, url: impl Into<GivenUrl<'a>>) -> Result<Request> {
        self.request(Method::POST, url)
    }

    /// Begins a PUT request.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn put<'a>(&self, url: impl Into<GivenUrl<'a>>) -> Result<Request> {
        self.request(Method::PUT, url)
    }

    /// Begins a DELETE request.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn delete<'a>(&self, url: impl Into<GivenUrl<'a>>) -> Result<Request> {
        self.request(Method::DELETE, url)
    }

    /// Begins a CONNECT request: asks the server of a URL, a proxy, for a tunnel to `target`, which is `host:port`
    /// (RFC 9110 §9.3.6). It is sent straight to that server, whatever the client's own proxies are.
    ///
    /// The URL names the server and no path; with https, TLS is spoken to it. Credentials in it go out as
    /// `Proxy-Authorization`. The target has a port; an IPv6 address stands in brackets. There is no body.
    ///
    /// Any 2xx makes the tunnel, which [`Response::upgrade`](crate::Response::upgrade) gives as a stream. Any other
    /// answer is an ordinary response, whose connection is closed after it; no redirect is followed.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::io::Write;
    ///
    /// let client = wirescope::Client::new()?;
    /// let response = client.connect("http://proxy.example:3128/", "db.example:5432")?.send()?;
    /// let mut tunnel = response.upgrade()?;
    /// tunnel.write_all(b"hello")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::get`], and [`RequestRule::ConnectTarget`](crate::error::RequestRule::ConnectTarget) when the URL has
    /// a path or a query, or the target is not a host and a port.
    pub fn connect<'a>(&self, url: impl Into<GivenUrl<'a>>, target: &str) -> Result<Request> {
        Request::connect(self.clone(), url.into().read()?, target)
    }

    /// Begins a request with any method, given by name or as a [`Method`]. The URL is given as for [`Client::get`].
    ///
    /// ```
    /// # fn main() -> Result<(), wirescope::Error> {
    /// # let client = wirescope::Client::new()?;
    /// use wirescope::message::method::Method;
    ///
    /// let url = "http://example.com/";
    /// let requests = [client.request("PROPFIND", url)?, client.request(Method::GET, url)?];
    /// # drop(requests);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::get`], and [`RequestRule::Method`](crate::error::RequestRule::Method) when the method is no
    /// token; CONNECT has a door of its own, [`Client::connect`].
    pub fn request<'a, M>(&self, method: M, url: impl Into<GivenUrl<'a>>) -> Result<Request>
    where
        M: TryInto<Method>,
        Error: From<M::Error>,
    {
        Request::new(self.clone(), method.try_into()?, url.into().read()?)
    }

    /// Closes idle connections that were idle for too long, that the peer closed, or that it spoke on. This
    /// client has no thread of its own: what happens to an idle connection is noticed here, and when a request
    /// asks for a connection of the same origin.
    pub fn close_expired(&self) {
        self.engine.close_expired();
    }

    /// Closes all idle connections; those in use now are closed when they would become idle.
    pub fn close_idle(&self) {
        self.engine
            .close_idle(crate::message::close::CloseReason::CloseIdleCalled);
    }

    /// Forgets all addresses, after the network has changed. Connections are kept; see [`Client::close_idle`].
    pub fn network_changed(&self) {
        self.engine.forget_addresses();
    }

    /// Counts connections: idle ones, and ones in use.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        self.engine.pool_counts()
    }

    /// Says what the pool holds now, by origin, and what it has done so far.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        self.engine.pool_stats()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Says whether this and the other are clones of one client.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.engine, &other.engine)
    }

    /// Says whether middleware wraps the client.
    pub(crate) fn is_wrapped(&self) -> bool {
        self.chain.is_some()
    }

    /// Starts a call and waits for its response or its error.
    pub(crate) fn start(&self, ready: Ready) -> Result<Response> {
        let running = self.engine.prepare(ready, Waits::OnThread(None))?;
        round_trip::run(running, self.chain.as_ref())
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientBuilder {
    fn new() -> Self {
        Self {
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            strictness: Strictness::default(),
            early_response: EarlyResponse::default(),
            keep_alive: true,
            retries: 1,
            idle_per_key: 8,
            idle_total: 128,
            idle_timeout: Duration::from_secs(30),
            connections_per_key: None,
            connections_total: None,
            max_age: None,
            max_requests: None,
            dns_cache: Duration::from_secs(10),
            resolver: None,
            overrides: Overrides::new(),
            connect_to: ConnectTo::new(),
            dial_profile: DialProfile::default(),
            family: None,
            guard: Guard::default(),
            setup: SocketSetup::default(),
            unix: None,
            tls: SaidOfTls::default(),
            redaction: Redaction::default(),
            observers: Vec::new(),
            redirects: RedirectPolicy::new(),
            https_only: false,
            proxies: SaidOfProxies::default(),
            layers: Vec::new(),
        }
    }

    /// Sets how long a whole call may take, to the end of the body. Default none.
    #[must_use]
    pub fn timeout(mut self, total: Duration) -> Self {
        self.timeouts.total = Some(total);
        self
    }

    /// Sets how long getting a connection may take: lookup, connects, the tunnel of a proxy, TLS. Default 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.connect = Some(limit);
        self
    }

    /// Changes any of the timeouts.
    #[must_use]
    pub fn timeouts(mut self, change: impl FnOnce(&mut Timeouts)) -> Self {
        change(&mut self.timeouts);
        self
    }

    /// Changes any of the limits.
    #[must_use]
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Sets how strictly responses are read. Default [`Strictness::Normal`].
    #[must_use]
    pub fn strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }

    /// Sets what becomes of a request body when the response comes first. Default [`EarlyResponse::Finish`].
    #[must_use]
    pub fn early_response(mut self, early_response: EarlyResponse) -> Self {
        self.early_response = early_response;
        self
    }

    /// Switches keeping connections on or off; off, every request says `Connection: close` (RFC 9112 §9.3).
    /// Default on.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: bool) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Sets how often a broken attempt may be made again without asking. Default 1; 0 never does it.
    ///
    /// It is done only on a connection that had served before, when no byte of a response came, the body can be
    /// given again, and the method is idempotent, the request has an `Idempotency-Key`, or none of its bytes left
    /// (RFC 9110 §9.2.2). Each time is told by `retry`.
    #[must_use]
    pub fn retries(mut self, most: u16) -> Self {
        self.retries = most;
        self
    }

    /// Sets which redirects are followed. Default: at most 20, none from https to http (RFC 9110 §15.4).
    #[must_use]
    pub fn redirects(mut self, policy: RedirectPolicy) -> Self {
        self.redirects = policy;
        self
    }

    /// Wraps the client in middleware, which sees the request and the response of every hop. What is added later is
    /// further out: it is asked first, and sees the response last. See [`RoundTrip`].
    #[must_use]
    pub fn wrap<R: RoundTrip + 'static>(
        mut self,
        layer: impl FnOnce(Arc<dyn RoundTrip>) -> R + 'static,
    ) -> Self {
        self.layers
            .push(Layer(Box::new(|next| Arc::new(layer(next)))));
        self
    }

    /// Sets how many connections of one origin are kept idle. Default 8.
    #[must_use]
    pub fn max_idle_per_origin(mut self, connections: usize) -> Self {
        self.idle_per_key = connections;
        self
    }

    /// Sets how many connections are kept idle in all. Default 128.
    #[must_use]
    pub fn max_idle(mut self, connections: usize) -> Self {
        self.idle_total = connections;
        self
    }

    /// Sets how long a connection is kept idle. Default 30 s; less if the peer says less by `Keep-Alive`.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// Sets how many connections of one origin there may be: idle, in use, and being made. Default none: a client
    /// that makes as many as it has threads does not make too many. A call beyond it waits, for [`Timeouts::queue`]
    /// at the most, and the oldest that waits gets the next connection; 0 counts as 1 (RFC 9112 §9.4).
    #[must_use]
    pub fn max_connections_per_origin(mut self, connections: usize) -> Self {
        self.connections_per_key = Some(connections.max(1));
        self
    }

    /// Sets how many connections there may be in all, as [`max_connections_per_origin`](Self::max_connections_per_origin)
    /// does for one origin. Default none. Before a call waits, the oldest idle connection of another origin is closed.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.connections_total = Some(connections.max(1));
        self
    }

    /// Sets how old a connection may become. Default none: it is for servers behind an address that changes. An older
    /// one is closed when it would become idle or be used again; each ends up to a tenth earlier, by chance, so that
    /// those that were opened together do not end together.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets how many requests a connection carries. Default none. Each ends up to a tenth earlier, by chance, as with
    /// [`max_age`](Self::max_age); 0 counts as 1.
    #[must_use]
    pub fn max_requests(mut self, requests: u64) -> Self {
        self.max_requests = Some(requests);
        self
    }

    /// Sets what events, errors and exports show of secrets. Default: nothing.
    #[must_use]
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// Attaches an observer to all calls of this client, and to what happens between them.
    #[must_use]
    pub fn observe(mut self, observer: impl Into<ObserverRef>) -> Self {
        self.observers.push(observer.into());
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`](crate::ErrorKind::Tls) when the TLS configuration cannot be used. A build without TLS
    /// is no error here; an https request will be one. [`ErrorKind::LocalProxy`](crate::ErrorKind::LocalProxy) when a
    /// variable of the environment that has a proxy cannot be read; see [`proxy`](Self::proxy).
    /// [`RequestRule::Setting`](crate::error::RequestRule::Setting) when the local address is of another family than
    /// the one that is to be used.
    pub fn build(self) -> Result<Client> {
        let tls = self.tls.settle()?;
        let family = self.family()?;
        let rules = Rules {
            strictness: self.strictness,
            early_response: self.early_response,
            expect_limit: self.timeouts.expect,
            limits: self.limits.clone(),
        };
        let is_resolver_custom = self.resolver.is_some();
        let resolver = self.resolver.map_or_else(
            || Arc::new(SystemResolver::new()) as Arc<dyn Resolve>,
            |custom| custom.0,
        );
        let engine = Engine::new(Parts {
            settings: Settings {
                rules,
                timeouts: self.timeouts,
                retries: self.retries,
                redirects: self.redirects,
                https_only: self.https_only,
                proxies: self.proxies.settle()?,
                unix: self.unix,
                life: pool::Life {
                    age: self.max_age,
                    requests: self.max_requests,
                    seed: random::bits(),
                },
                overrides: self.overrides,
                connect_to: self.connect_to,
                dial_profile: self.dial_profile,
                family,
                guard: self.guard,
                is_resolver_custom,
                detached: DetachedDial::Abort,
            },
            resolver,
            setup: self.setup,
            tls,
            keep_alive: self.keep_alive,
            redaction: self.redaction,
            observers: self.observers,
            pool: pool::Bounds {
                idle_per_key: self.idle_per_key,
                idle_total: self.idle_total,
                idle_timeout: self.idle_timeout,
                per_key: self.connections_per_key,
                total: self.connections_total,
            },
            lookup: lookup::Bounds {
                ttl: self.dns_cache,
                addresses: self.limits.addresses,
                ..lookup::Bounds::default()
            },
        });
        let chain = (!self.layers.is_empty()).then(|| {
            let wire: Arc<dyn RoundTrip> = Arc::new(Wire);
            Chain(
                self.layers
                    .into_iter()
                    .fold(wire, |next, layer| (layer.0)(next)),
            )
        });
        Ok(Client {
            engine: Arc::new(engine),
            chain,
        })
    }
}
