//! One hop: the door for middleware.

use std::fmt;
use std::sync::Arc;

use crate::client::Client;
use crate::drive::apply::Running;
use crate::error::{Error, Result};
use crate::ids::CallId;
use crate::message::fields::Fields;
use crate::message::method::Method;
use crate::message::url::Url;
use crate::response::Response;

/// One request and its response: one hop of a call. The client is one; middleware wraps one
/// ([`ClientBuilder::wrap`](crate::ClientBuilder::wrap)) and sees every hop, also those of redirects.
///
/// ```
/// use wirescope::{HopRequest, Response, Result, RoundTrip};
///
/// struct Signed<R>(R);
///
/// impl<R: RoundTrip> RoundTrip for Signed<R> {
///     fn round_trip(&self, mut hop: HopRequest) -> Result<Response> {
///         let signature = format!("{} {}", hop.method(), hop.url().path());
///         hop.set_header("X-Signature", &signature)?;
///         self.0.round_trip(hop)
///     }
/// }
///
/// let client = wirescope::Client::builder().wrap(Signed).build()?;
/// # Ok::<(), wirescope::Error>(())
/// ```
pub trait RoundTrip: Send + Sync {
    /// Sends the request of one hop and waits for the head of its response. A redirect is handed out like any other
    /// response; it is followed, if it is, when the outermost round trip has returned it.
    ///
    /// # Errors
    /// Whatever went wrong; a middleware may add errors of its own by [`Error::other`](crate::Error::other).
    fn round_trip(&self, hop: HopRequest) -> Result<Response>;
}

impl<R: RoundTrip + ?Sized> RoundTrip for Arc<R> {
    fn round_trip(&self, hop: HopRequest) -> Result<Response> {
        (**self).round_trip(hop)
    }
}

impl<R: RoundTrip + ?Sized> RoundTrip for Box<R> {
    fn round_trip(&self, hop: HopRequest) -> Result<Response> {
        (**self).round_trip(hop)
    }
}

/// A hop goes out through the client that made its request, without any middleware.
impl RoundTrip for Client {
    fn round_trip(&self, hop: HopRequest) -> Result<Response> {
        hop.send()
    }
}

/// The client itself, as the innermost round trip.
pub(crate) struct Wire;

impl RoundTrip for Wire {
    fn round_trip(&self, hop: HopRequest) -> Result<Response> {
        hop.send()
    }
}

/// The client as middleware sees it, outermost first.
#[derive(Clone)]
pub(crate) struct Chain(pub(crate) Arc<dyn RoundTrip>);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain")
    }
}

/// The request of one hop, ready to be sent.
///
/// What is changed here holds for this hop and for those that follow it, as if the caller had asked for it; on a
/// change of origin credentials are left behind all the same. Dropping it gives the call up.
pub struct HopRequest {
    running: Box<Running>,
}

impl HopRequest {
    pub(crate) fn new(running: Box<Running>) -> Self {
        Self { running }
    }

    /// The call that the hop belongs to.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.running.call.id()
    }

    /// Number of the hop, from 0: how many redirects were followed before.
    #[must_use]
    pub fn number(&self) -> usize {
        self.running.call.hops().len()
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.running.call.plan().method
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.running.call.plan().url
    }

    /// The field lines that the caller asked for, without those that the client writes by itself.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        self.running.call.plan().fields()
    }

    /// Sets a field; lines of that name that are there give way.
    ///
    /// # Errors
    /// [`ErrorKind::LocalField`](crate::ErrorKind::LocalField) when it cannot be sent, or is one that the client
    /// writes by itself: `Host`, `Connection`, `Expect` and what frames the body.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        self.running.call.plan_mut().set_field(name, value)
    }

    /// Removes all lines of a name and says how many there were.
    pub fn remove_header(&mut self, name: &str) -> usize {
        self.running.call.plan_mut().remove_field(name)
    }

    /// Sends the request and waits for the head of the response.
    fn send(self) -> Result<Response> {
        Response::of_hop(self.running)
    }
}

impl fmt::Debug for HopRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HopRequest")
            .field("number", &self.number())
            .field("method", self.method())
            .field("url", self.url())
            .finish_non_exhaustive()
    }
}

/// Runs a call hop by hop, each through the middleware.
pub(crate) fn run(mut running: Box<Running>, chain: Option<&Chain>) -> Result<Response> {
    running.begin();
    loop {
        if let Some(error) = running.call.take_error() {
            return Err(error);
        }
        let hop = HopRequest::new(running);
        let response = match chain {
            None => hop.send(),
            Some(chain) => chain.0.round_trip(hop),
        }?;
        if !response.is_redirected() {
            return Ok(response);
        }
        running = response.into_next_hop();
    }
}

impl Error {
    /// Makes an error of middleware's own; the cause is its [`source`](std::error::Error::source).
    #[must_use]
    pub fn other(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::middleware(cause.into())
    }
}
