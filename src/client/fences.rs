//! Where a client does not go, whoever leads it there: to http, and to addresses that the caller refuses.

use std::net::SocketAddr;

use crate::client::ClientBuilder;
use crate::flow::dial::guard::Guard;

impl ClientBuilder {
    /// Forbids http. Default off.
    ///
    /// On, an http URL is [`RequestRule::HttpsOnly`](crate::error::RequestRule::HttpsOnly) before any I/O, and a
    /// redirect to one is handed out as a response with
    /// [`RedirectRefusal::HttpsOnly`](crate::event::RedirectRefusal::HttpsOnly), whatever its policy allows. It stands
    /// in the place of a store of what hosts have said (RFC 6797), which is not built.
    #[must_use]
    pub fn https_only(mut self, https_only: bool) -> Self {
        self.https_only = https_only;
        self
    }

    /// Asks a closure about each address before it is dialed. Default: all may be.
    ///
    /// It is for programs that fetch what strangers name and that must not be led to hosts of their own network. It
    /// is asked on every hop and for every source: resolver, cache, overrides, `localhost`, and literals in URLs. What
    /// it judges is what is dialed, so a name whose addresses change in between gains nothing; an IPv4 address inside
    /// an IPv6 one is judged as IPv4, while those that a network translates (NAT64, 6to4) are for the closure to know. A
    /// refused address gets no packet, and
    /// [`dial_plan`](crate::event::DialPlan::refused) tells it; a host of which all are refused is
    /// [`LookupFailure::NotAllowed`](crate::error::LookupFailure::NotAllowed).
    ///
    /// With a proxy it is asked about the addresses of the proxy, and about what a `socks5` proxy is told to connect to.
    /// `http`, `https` and `socks5h` proxies look names up themselves: **where they go is for them to judge.**
    ///
    /// ```
    /// let client = wirescope::Client::builder()
    ///     .allow_addresses(|addr| !addr.ip().is_loopback())
    ///     .build()?;
    /// assert!(client.get("http://127.0.0.1:9/")?.send().is_err());
    /// # Ok::<(), wirescope::Error>(())
    /// ```
    #[must_use]
    pub fn allow_addresses(
        mut self,
        judge: impl Fn(&SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.guard = Guard::new(judge);
        self
    }
}
