//! A request: what is asked for once.

mod conditions;
mod content;

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::body::BodySource;
use crate::client::Client;
use crate::config::Timeouts;
pub(crate) use crate::drive::start::Ready;
use crate::drive::upload::Upload;
use crate::error::{Error, RequestRule, Result};
use crate::event::ObserverRef;
use crate::flow::redirect::RedirectPolicy;
use crate::message::credentials::basic;
use crate::message::fields::{Fields, check_name};
use crate::message::method::Method;
use crate::message::peer_addr::UnixAddr;
use crate::message::proxy::Proxy;
use crate::message::url::{Url, percent_decode};
use crate::net::cancel::CancelHandle;
use crate::proto::plan::{Wish, connect_target};
use crate::proto::sending::TrailerPlan;
use crate::request::content::{Body, Late, Trailers};
use crate::response::Response;

/// A request being built. Each method takes it and gives it back, and fails where the mistake is.
///
/// What goes out by itself: `Host`, `User-Agent: wirescope/x.y`, `Accept: */*`, then these fields in their order,
/// then the framing. Nothing is sent before [`Request::send`]; dropping a request does nothing.
///
/// ```
/// # fn main() -> Result<(), wirescope::Error> {
/// let client = wirescope::Client::new()?;
/// let request = client.post("http://example.com/upload")?
///     .header("Content-Type", "text/plain")?
///     .body("hello");
/// assert!(client.get("http://example.com/\r\nX: y").is_err());
/// assert!(client.get("http://example.com/")?.header("X", "a\r\nY: b").is_err());
/// # drop(request);
/// # Ok(())
/// # }
/// ```
pub struct Request {
    client: Client,
    ready: Ready,
    body: Body,
    trailers: Option<Box<Trailers>>,
}

impl Request {
    pub(crate) fn new(client: Client, method: Method, url: Url) -> Result<Self> {
        let credentials = credentials_of(&url)?;
        let manners = client.engine().manners();
        Ok(Self {
            client,
            ready: Ready {
                wish: Wish::new(method, url, credentials, manners),
                upload: Upload::Empty,
                changes: None,
                observers: Vec::new(),
                cancel: None,
            },
            body: Body::Empty,
            trailers: None,
        })
    }

    /// A CONNECT to the server of the URL, for this target.
    pub(crate) fn connect(client: Client, url: Url, target: &str) -> Result<Self> {
        if url.request_target() != "/" {
            return Err(RequestRule::ConnectTarget.into());
        }
        let mut request = Self::new(client, Method::CONNECT, url)?;
        request.ready.wish.ask_tunnel(connect_target(target)?);
        Ok(request)
    }

    /// Adds a field line behind those that are there.
    ///
    /// # Errors
    /// [`ErrorKind::LocalField`](crate::ErrorKind::LocalField) when name or value cannot be sent (RFC 9110 §5.1, RFC 9110 §5.5).
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        self.ready
            .wish
            .fields_mut()
            .append(name, value)
            .map_err(|rule| Error::from(rule).about(name))?;
        Ok(self)
    }

    /// Adds a field line whose value may hold bytes from 0x80.
    ///
    /// # Errors
    /// As [`Request::header`].
    pub fn header_bytes(mut self, name: &str, value: &[u8]) -> Result<Self> {
        self.ready
            .wish
            .fields_mut()
            .append_bytes(name, value)
            .map_err(|rule| Error::from(rule).about(name))?;
        Ok(self)
    }

    /// Leaves a field out that would go out by itself: `User-Agent` or `Accept`.
    #[must_use]
    pub fn without_default(mut self, name: &str) -> Self {
        self.ready.wish.leave_out(name);
        self
    }

    /// Tells the peer that trailers are welcome: `TE: trailers`, named in `Connection` (RFC 9110 §10.1.4). Trailers
    /// are read without it as well; some servers only send them to who asked.
    ///
    /// A `TE` field of the caller's may say the same and nothing else: there is no transfer coding but chunked.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(feature = "testkit")] {
    /// # use wirescope::testkit::{Peer, Script};
    /// # let peer = Peer::start(Script::new().expect_request().send(
    /// #     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 209\r\n\r\n"))?;
    /// let client = wirescope::Client::new()?;
    /// let mut response = client.get(&peer.url("/"))?.te_trailers()?.send()?;
    /// let content = response.collect(1 << 20)?;
    /// let sum = response.trailers().and_then(|trailers| trailers.get_str("X-Sum"));
    /// assert_eq!((&content[..], sum), (&b"hi"[..], Some("209")));
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Request::header`].
    pub fn te_trailers(self) -> Result<Self> {
        self.header("TE", "trailers")
    }

    /// Adds a field line behind the body (RFC 9110 §6.5), which is then sent chunked; a reader with a length cannot have
    /// any. `Trailer` announces it.
    ///
    /// # Errors
    /// As [`Request::header`]; fields that may not stand there are refused by [`Request::send`].
    pub fn trailer(mut self, name: &str, value: &str) -> Result<Self> {
        let trailers = &mut self.trailers.get_or_insert_default().known;
        trailers
            .append(name, value)
            .map_err(|rule| Error::from(rule).about(name))?;
        Ok(self)
    }

    /// Announces trailers whose values are known when the body has ended, a checksum of it for example, and asks for them
    /// then: each time that the body is sent. Those that [`Request::trailer`] gave go before them. Else as there.
    ///
    /// Without names, nothing is asked. What is given may leave announced names out, and may have no others: that fails the call with
    /// [`LocalBodySource`](crate::ErrorKind::LocalBodySource), and so does an error of its own.
    ///
    /// # Errors
    /// [`ErrorKind::LocalField`](crate::ErrorKind::LocalField) when a name cannot be sent; fields that may not stand there are refused by [`Request::send`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(feature = "testkit")] {
    /// # use wirescope::testkit::{Peer, Script};
    /// # let peer = Peer::start(Script::new().expect_request().send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))?;
    /// use std::io::Read;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use wirescope::message::fields::Fields;
    ///
    /// /// Counts what is read through it.
    /// struct Counted<R>(R, Arc<AtomicU64>);
    ///
    /// impl<R: Read> Read for Counted<R> {
    ///     fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
    ///         let count = self.0.read(into)?;
    ///         self.1.fetch_add(count as u64, Ordering::Relaxed);
    ///         Ok(count)
    ///     }
    /// }
    ///
    /// let client = wirescope::Client::new()?;
    /// let count = Arc::new(AtomicU64::new(0));
    /// let body = Counted(&b"hello"[..], count.clone());
    /// let request = client.post(&peer.url("/"))?.body_reader(body);
    /// let response = request.trailers_from(&["X-Length"], move || {
    ///     let mut trailers = Fields::new();
    ///     let length = count.load(Ordering::Relaxed).to_string();
    ///     trailers.append("X-Length", &length).map_err(std::io::Error::other)?;
    ///     Ok(trailers)
    /// })?.send()?;
    /// # drop(response);
    /// assert_eq!(peer.requests()[0].trailers, b"X-Length: 5\r\n");
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    pub fn trailers_from(
        mut self,
        names: &[&str],
        make: impl Fn() -> std::io::Result<Fields> + Send + 'static,
    ) -> Result<Self> {
        for name in names {
            check_name(name).map_err(|rule| Error::from(rule).about(name))?;
        }
        self.trailers.get_or_insert_default().late = Some(Late {
            names: names.iter().map(|name| (*name).into()).collect(),
            make: Box::new(make),
        });
        Ok(self)
    }

    /// Sends these bytes. They leave together with the head and are never copied.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Vec(bytes.into());
        self
    }

    /// Sends bytes that somebody else holds too.
    #[must_use]
    pub fn body_shared(mut self, bytes: Arc<[u8]>) -> Self {
        self.body = Body::Bytes(bytes);
        self
    }

    /// Sends what a reader gives, of unknown length: chunked (RFC 9112 §7.1).
    ///
    /// Waiting inside the reader is not bounded by any deadline of ours. The reader may outlive `send` within
    /// the response, if the response comes before the body is sent.
    #[must_use]
    pub fn body_reader(mut self, reader: impl Read + Send + 'static) -> Self {
        self.body = Body::Source(Box::new(reader), None);
        self
    }

    /// Sends what a reader gives, of this length in bytes. A reader that gives less or more is an error:
    /// [`LocalBodyShort`](crate::ErrorKind::LocalBodyShort), [`LocalBodyLong`](crate::ErrorKind::LocalBodyLong). Else as [`Request::body_reader`].
    #[must_use]
    pub fn body_sized_reader(mut self, reader: impl Read + Send + 'static, bytes: u64) -> Self {
        self.body = Body::Source(Box::new(reader), Some(bytes));
        self
    }

    /// Sends what readers give that are made as often as the body is needed, so that it can be sent again: after a
    /// redirect that keeps it (307, 308), and in a repeat. Each is of this length in bytes, or, without one, is sent
    /// chunked. Else as [`Request::body_reader`].
    ///
    /// ```
    /// # fn main() -> Result<(), wirescope::Error> {
    /// let client = wirescope::Client::new()?;
    /// let request = client.put("http://example.com/log")?
    ///     .body_from(|| std::fs::File::open("/var/log/today"), None);
    /// # drop(request);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn body_from<R: Read + Send + 'static>(
        mut self,
        make: impl Fn() -> std::io::Result<R> + Send + 'static,
        bytes: Option<u64>,
    ) -> Self {
        let make = move || make().map(|reader| Box::new(reader) as Box<dyn Read + Send>);
        self.body = Body::Made(Box::new(make), bytes);
        self
    }

    /// Sends what a source gives that may say "not now", of this length in bytes or, without one, chunked. What waits
    /// meanwhile is this call alone. Of a known length, the body is over when so many bytes have come and the source says
    /// "not now" or that there are no more. Else as [`Request::body_reader`]; like that, it cannot be sent again.
    #[must_use]
    pub fn body_source(mut self, source: impl BodySource + 'static, bytes: Option<u64>) -> Self {
        self.body = Body::Polled(Box::new(source), bytes);
        self
    }

    /// Holds the body back until the peer says 100 (Continue), at most for [`Timeouts::expect`]
    /// (RFC 9110 §10.1.1). Without a body it has no effect.
    #[must_use]
    pub fn expect_continue(mut self) -> Self {
        self.ready.wish.expect_continue();
        self
    }

    /// Sends credentials by the Basic scheme (RFC 7617).
    ///
    /// # Errors
    /// [`RequestRule::Credentials`] when the user name has a colon, or either a control character.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Result<Self> {
        let value = authorization(user.as_bytes(), password.as_bytes())?;
        self.ready.wish.fields_mut().set("Authorization", &value)?;
        Ok(self)
    }

    /// Asks about the server as a whole: the target is `*`, for OPTIONS only (RFC 9112 §3.2.4).
    #[must_use]
    pub fn asterisk(mut self) -> Self {
        self.ready.wish.ask_all();
        self
    }

    /// Offers to speak another protocol on this connection, by its name, which may have a version behind a `/`
    /// (RFC 9110 §7.8). Called again, it offers one more, which is liked less. The client writes `Upgrade` and
    /// `Connection: Upgrade`.
    ///
    /// A peer that agrees answers 101, and [`Response::upgrade`] gives the stream; whoever does not answers as if nothing
    /// had been offered. A 101 that names what was not offered is an error. The request is sent whole before the other
    /// protocol can be spoken: a 101 that comes while its body is on the way waits for that, whatever
    /// [`EarlyResponse`](crate::config::EarlyResponse) says. Every proxy of the client's is asked for a tunnel, also for
    /// http: the offer is for the server alone.
    ///
    /// ```
    /// # fn main() -> Result<(), wirescope::Error> {
    /// let client = wirescope::Client::new()?;
    /// let request = client.get("http://example.com/chat")?
    ///     .header("Sec-WebSocket-Version", "13")?
    ///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")?
    ///     .upgrade("websocket")?;
    /// # drop(request);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`FieldError::Protocol`](crate::error::FieldError::Protocol) for what is no name of a protocol. Together with
    /// `Connection: close`, [`Request::send`] refuses it
    /// ([`RequestRule::CloseBeforeSwitch`]).
    pub fn upgrade(mut self, protocol: &str) -> Result<Self> {
        self.ready.wish.offer(protocol)?;
        Ok(self)
    }

    /// Allows a body with GET, HEAD or DELETE, where it has no defined meaning (RFC 9110 §9.3.1).
    #[must_use]
    pub fn allow_body(mut self) -> Self {
        self.ready.wish.allow_body = true;
        self
    }

    /// Allows TRACE, which sends back what it got (RFC 9110 §9.3.8). Credentials are refused all the same.
    #[must_use]
    pub fn allow_trace(mut self) -> Self {
        self.ready.wish.allow_trace = true;
        self
    }

    /// Gives the call a label that its `call_start` shows.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.ready.wish.set_label(label.into());
        self
    }

    /// Sets how long the whole call may take, to the end of the body. Default: that of the client.
    #[must_use]
    pub fn timeout(self, total: Duration) -> Self {
        self.timeouts(|timeouts| timeouts.total = Some(total))
    }

    /// Changes timeouts for this request alone.
    ///
    /// ```
    /// # fn main() -> Result<(), wirescope::Error> {
    /// # use std::time::Duration;
    /// # let client = wirescope::Client::new()?;
    /// let request = client.get("http://example.com/")?
    ///     .timeouts(|t| t.first_byte = Some(Duration::from_secs(5)));
    /// # drop(request);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn timeouts(mut self, change: impl FnOnce(&mut Timeouts)) -> Self {
        let default = &self.client.engine().settings.timeouts;
        change(
            self.ready
                .changes
                .get_or_insert_default()
                .timeouts
                .get_or_insert_with(|| default.clone()),
        );
        self
    }

    /// Sets which redirects this call follows. Default: the policy of the client.
    #[must_use]
    pub fn redirects(mut self, policy: RedirectPolicy) -> Self {
        self.ready.changes.get_or_insert_default().redirects = Some(policy);
        self
    }

    /// Sets the proxy of this call, of all its hops, or that there is none. Default: that of the client. The hosts that
    /// the client reaches without a proxy by [`no_proxy`](crate::ClientBuilder::no_proxy) are so here too.
    ///
    /// ```
    /// # fn main() -> Result<(), wirescope::Error> {
    /// # let client = wirescope::Client::new()?;
    /// use wirescope::Proxy;
    ///
    /// let proxy = Proxy::parse("http://proxy.example:3128")?;
    /// let requests = [
    ///     client.get("http://example.com/")?.proxy(proxy),
    ///     client.get("http://example.com/")?.proxy(None),
    /// ];
    /// # drop(requests);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.ready.changes.get_or_insert_default().proxy = Some(proxy.into().into());
        self
    }

    /// Connects to a unix socket instead of the host of the URL, on all hops of this call; see
    /// [`ClientBuilder::unix_socket`](crate::ClientBuilder::unix_socket). It comes before that of the client, and before
    /// any proxy.
    ///
    /// # Errors
    /// As there.
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.ready.changes.get_or_insert_default().unix = Some(UnixAddr::read(path)?);
        Ok(self)
    }

    /// Attaches an observer to this call. It is told before those of the client, and the newest first.
    #[must_use]
    pub fn observe(mut self, observer: impl Into<ObserverRef>) -> Self {
        self.ready.observers.push(observer.into());
        self
    }

    /// The observers attached to this request, oldest first; those of the client are not among them.
    #[must_use]
    pub fn observers(&self) -> &[ObserverRef] {
        &self.ready.observers
    }

    /// A handle that cancels this call from any thread, before or while it is sent.
    pub fn cancel_handle(&mut self) -> CancelHandle {
        self.ready
            .cancel
            .get_or_insert_with(CancelHandle::default)
            .clone()
    }

    /// Lets an existing handle cancel this call too.
    #[must_use]
    pub fn cancel_by(mut self, handle: &CancelHandle) -> Self {
        self.ready.cancel = Some(handle.clone());
        self
    }

    /// Sends the request and waits for the head of the final response. A status of 400 or above is a response,
    /// not an error.
    ///
    /// Blocks this thread, at most as long as the timeouts say.
    ///
    /// # Errors
    /// `Local…` before any I/O when the request contradicts itself, told by `call_start` and `call_done`; then whatever went wrong, with its phase.
    pub fn send(self) -> Result<Response> {
        let client = self.client.clone();
        client.start(self.ready())
    }

    /// Puts its body to it, as its driver takes it.
    pub(crate) fn ready(mut self) -> Ready {
        let wish = &mut self.ready.wish;
        self.ready.upload = match self.trailers {
            None => self.body.split(TrailerPlan::default(), wish),
            Some(trailers) => trailers.end(self.body, wish),
        };
        self.ready
    }

    /// The client that it was begun with.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

/// What is to be sent of the user information in a URL, if it has any.
fn credentials_of(url: &Url) -> Result<Option<Box<str>>> {
    let Some(user) = url.username() else {
        return Ok(None);
    };
    let user = percent_decode(user);
    let password = percent_decode(url.password().unwrap_or_default());
    Ok(Some(authorization(&user, &password)?.into()))
}

/// Credentials by the Basic scheme.
fn authorization(user: &[u8], password: &[u8]) -> Result<String> {
    basic(user, password).ok_or_else(|| RequestRule::Credentials.into())
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.ready.wish.method())
            .field("url", self.ready.wish.url())
            .field("fields", self.ready.wish.fields())
            .finish_non_exhaustive()
    }
}
