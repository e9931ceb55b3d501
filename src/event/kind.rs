//! The table of events: every kind with its tag, its documentation and its payload.

use std::fmt;
use std::sync::Arc;

use crate::event::payload::*;
use crate::event::show::{Key, Object};

/// Declares the kinds, the payload of each, and everything that has one line per kind.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident $tag:literal $method:ident $asked:ident $stored:ty;)+) => {
        /// The kind of an event. The order is that of docs/events.md, not of time.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum EventKind { $($(#[doc = $doc])+ $kind,)+ }

        impl EventKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The name in exports, snake case.
            #[must_use]
            pub const fn tag(self) -> &'static str {
                match self { $(Self::$kind => $tag,)+ }
            }

            /// What the event says, one or a few sentences.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$kind => concat!($($doc, "\n",)+),)+ }
            }

            /// Says whether the kind is off unless asked for.
            #[must_use]
            pub const fn on_request(self) -> bool {
                match self { $(Self::$kind => on_request!($asked),)+ }
            }

            /// The keys of the payload in exports, for the schema.
            #[cfg_attr(not(test), allow(dead_code, reason = "a test writes docs/ from it"))]
            pub(crate) fn keys(self) -> &'static [Key] {
                match self { $(Self::$kind => $kind::KEYS,)+ }
            }
        }

        /// The payload of an event, stored: inline, or behind one [`Arc`].
        #[derive(Clone)]
        pub(crate) enum Payload { $($kind($stored),)+ }

        impl Payload {
            pub(crate) fn kind(&self) -> EventKind {
                match self { $(Self::$kind(_) => EventKind::$kind,)+ }
            }

            pub(crate) fn data(&self) -> EventData<'_> {
                match self { $(Self::$kind(payload) => EventData::$kind(payload),)+ }
            }
        }

        /// What an event says: one variant per kind, each with accessors for its payload.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug)]
        pub enum EventData<'a> { $($(#[doc = $doc])+ $kind(&'a $kind),)+ }

        impl EventData<'_> {
            /// The kind.
            #[must_use]
            pub const fn kind(&self) -> EventKind {
                match self { $(Self::$kind(_) => EventKind::$kind,)+ }
            }

            pub(crate) fn show(&self, object: &mut Object<'_>) {
                match self { $(Self::$kind(payload) => payload.show(object),)+ }
            }
        }

        /// Closures as an observer: one method per kind, and a kind without a closure costs nothing.
        ///
        /// ```
        /// use wirescope::event::Trace;
        /// let trace = Trace::new().on_got_conn(|e| println!("reused {}", e.reused()));
        /// ```
        #[derive(Default)]
        pub struct Trace { interest: Interest, $($method: Option<Closure<$kind>>,)+ }

        impl Trace {
            $(
                /// Calls the closure for each event of this kind. A closure set earlier is replaced.
                ///
                $(#[doc = $doc])+
                #[must_use]
                pub fn $method(mut self, closure: impl Fn(&$kind) + Send + Sync + 'static) -> Self {
                    self.$method = Some(Box::new(closure));
                    self.interest = self.interest.with(EventKind::$kind);
                    self
                }
            )+

            pub(crate) fn call(&self, data: EventData<'_>) {
                match data {
                    $(EventData::$kind(payload) => if let Some(closure) = &self.$method { closure(payload) },)+
                }
            }
        }
    };
}

macro_rules! on_request {
    (always) => {
        false
    };
    (asked) => {
        true
    };
}

type Closure<P> = Box<dyn Fn(&P) + Send + Sync>;

kinds! {
    /// A client begins to live; the event ties the monotonic clock to the wall clock.
    ClientStart "client_start" on_client_start always Arc<ClientStart>;
    /// A call begins.
    CallStart "call_start" on_call_start always Arc<CallStart>;
    /// By whom the next hop goes, where something decides about it: a proxy, or none by a rule. Told before its first
    /// attempt; nothing is told where no proxy is set.
    ProxySelected "proxy_selected" on_proxy_selected always Arc<ProxySelected>;
    /// What is done about a redirect: followed or not, and why not. Told right after its head (RFC 9110 §15.4).
    Redirect "redirect" on_redirect always Arc<Redirect>;
    /// The attempt before is made again; a refusal to do so stands in no event of its own.
    Retry "retry" on_retry always Arc<Retry>;
    /// A deadline passed. The error, or for `expect` the sending of the body, follows from it.
    TimeoutFired "timeout_fired" on_timeout_fired always Arc<TimeoutFired>;
    /// The call is given up by its caller, by dropping, or by an observer.
    CallCanceled "call_canceled" on_call_canceled always CallCanceled;
    /// A call ended; nothing of it follows.
    CallDone "call_done" on_call_done always Arc<CallDone>;

    /// A connection is wanted for an attempt.
    GetConn "get_conn" on_get_conn always Arc<GetConn>;
    /// The pool was looked at.
    PoolLookup "pool_lookup" on_pool_lookup always Arc<PoolLookup>;
    /// A limit of connections is reached; the attempt waits for one to come back, or for the permit to make one.
    QueueStart "queue_start" on_queue_start always Arc<QueueStart>;
    /// The wait in the queue ended.
    QueueDone "queue_done" on_queue_done always Arc<QueueDone>;
    /// A connection is being made.
    DialStart "dial_start" on_dial_start always DialStart;
    /// The dial ended: with a connection, with an error, or abandoned.
    DialDone "dial_done" on_dial_done always Arc<DialDone>;
    /// The lookup of a name begins.
    DnsStart "dns_start" on_dns_start always Arc<DnsStart>;
    /// No lookup was needed; stands instead of `dns_start` and `dns_done`.
    DnsSkipped "dns_skipped" on_dns_skipped always DnsSkipped;
    /// One address family of a lookup is in.
    DnsFamilyDone "dns_family_done" on_dns_family_done always Arc<DnsFamilyDone>;
    /// The lookup ended, or the dial that waited for it did.
    DnsDone "dns_done" on_dns_done always Arc<DnsDone>;
    /// The order in which the addresses known so far will be tried.
    DialPlan "dial_plan" on_dial_plan always Arc<DialPlan>;
    /// A contestant of the dial begins to connect.
    ConnectStart "connect_start" on_connect_start always Arc<ConnectStart>;
    /// A contestant ended. Who won the dial stands in `dial_done`.
    ConnectDone "connect_done" on_connect_done always Arc<ConnectDone>;
    /// A proxy is asked for a tunnel to the origin.
    ProxyConnectStart "proxy_connect_start" on_proxy_connect_start always Arc<ProxyConnectStart>;
    /// The proxy answered, or the wait for its answer ended. Without error: bytes go to the origin from now on.
    ProxyConnectDone "proxy_connect_done" on_proxy_connect_done always Arc<ProxyConnectDone>;
    /// A TLS handshake begins.
    TlsHandshakeStart "tls_handshake_start" on_tls_handshake_start always Arc<TlsHandshakeStart>;
    /// A TLS handshake ended, the certificate judged.
    TlsHandshakeDone "tls_handshake_done" on_tls_handshake_done always Arc<TlsHandshakeDone>;
    /// A connection is ready for its first request.
    ConnOpened "conn_opened" on_conn_opened always Arc<ConnOpened>;
    /// The attempt has a connection.
    GotConn "got_conn" on_got_conn always Arc<GotConn>;
    /// The attempt got no connection.
    GetConnFailed "get_conn_failed" on_get_conn_failed always Arc<GetConnFailed>;

    /// The kernel accepted this field line, with the whole head. One event per line, in wire order.
    WroteHeaderField "wrote_header_field" on_wrote_header_field always WroteHeaderField;
    /// The kernel accepted the whole request head.
    WroteHeaders "wrote_headers" on_wrote_headers always WroteHeaders;
    /// The body is held back until the peer says 100 (Continue).
    Wait100Continue "wait_100_continue" on_wait_100_continue always Wait100Continue;
    /// The 100 (Continue) that was waited for came.
    Got100Continue "got_100_continue" on_got_100_continue always Got100Continue;
    /// The wait for 100 (Continue) ended.
    ExpectDone "expect_done" on_expect_done always Arc<ExpectDone>;
    /// The sending of the request body begins.
    RequestBodyStart "request_body_start" on_request_body_start always RequestBodyStart;
    /// The kernel accepted a piece of the request body; at most one event per 16 KiB.
    RequestBodyChunk "request_body_chunk" on_request_body_chunk asked RequestBodyChunk;
    /// The sending of the request body ended.
    RequestBodyDone "request_body_done" on_request_body_done always RequestBodyDone;
    /// The kernel accepted this field line of the trailer section.
    WroteTrailerField "wrote_trailer_field" on_wrote_trailer_field always WroteTrailerField;
    /// The sending of the request ended. Without error: the kernel accepted every byte.
    WroteRequest "wrote_request" on_wrote_request always Arc<WroteRequest>;

    /// The first byte of anything came back, be it an interim response.
    GotFirstResponseByte "got_first_response_byte" on_got_first_response_byte always GotFirstResponseByte;
    /// An interim response (1xx).
    Got1xxResponse "got_1xx_response" on_got_1xx_response always Got1xxResponse;
    /// The first byte of the final response.
    FinalResponseStart "final_response_start" on_final_response_start always FinalResponseStart;
    /// A field line of the final head.
    GotHeaderField "got_header_field" on_got_header_field asked GotHeaderField;
    /// The final head is complete, framing and persistence are decided.
    GotResponseHead "got_response_head" on_got_response_head always Arc<GotResponseHead>;
    /// The final head ends HTTP on this connection: a 101 that was asked for, or a 2xx to a CONNECT. The caller gets it as
    /// a stream once the request is fully sent (RFC 9110 §7.8, RFC 9110 §9.3.6).
    Upgraded "upgraded" on_upgraded always Arc<Upgraded>;
    /// The first byte of the response body.
    ResponseBodyStart "response_body_start" on_response_body_start always ResponseBodyStart;
    /// A piece of the response body arrived; at most one event per 16 KiB.
    ResponseBodyChunk "response_body_chunk" on_response_body_chunk asked ResponseBodyChunk;
    /// A field line of the trailer section.
    GotTrailerField "got_trailer_field" on_got_trailer_field always GotTrailerField;
    /// The response body ended, one way or another.
    ResponseBodyDone "response_body_done" on_response_body_done always ResponseBodyDone;
    /// The peer deviates from the rules in a way that is accepted, or a name has more addresses than are used. One
    /// event per kind and message or dial.
    Anomaly "anomaly" on_anomaly always Anomaly;

    /// The attempt gives its connection up: into the pool, or the reason why not.
    PutIdleConn "put_idle_conn" on_put_idle_conn always PutIdleConn;
    /// An attempt ended.
    AttemptDone "attempt_done" on_attempt_done always Arc<AttemptDone>;
    /// A connection ended.
    ConnClosed "conn_closed" on_conn_closed always Arc<ConnClosed>;
    /// A channel was full and lost events.
    EventsLost "events_lost" on_events_lost always EventsLost;
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("kinds", &self.kinds())
            .finish()
    }
}

impl Trace {
    /// Creates a trace without a closure.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn kinds(&self) -> Interest {
        self.interest
    }
}

/// A set of event kinds: what an observer wants to be told.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Interest(u64);

const _: () = assert!(EventKind::ALL.len() <= 64, "Interest is one word");

impl Interest {
    /// No kind.
    pub const NONE: Self = Self(0);

    /// Every kind that is not off unless asked for.
    pub const DEFAULT: Self = {
        let mut interest = Self::NONE;
        let mut index = 0;
        while index < EventKind::ALL.len() {
            if !EventKind::ALL[index].on_request() {
                interest = interest.with(EventKind::ALL[index]);
            }
            index += 1;
        }
        interest
    };

    /// Every kind, also those that are off unless asked for.
    pub const ALL: Self = {
        let mut interest = Self::NONE;
        let mut index = 0;
        while index < EventKind::ALL.len() {
            interest = interest.with(EventKind::ALL[index]);
            index += 1;
        }
        interest
    };

    /// Adds a kind.
    #[must_use]
    pub const fn with(self, kind: EventKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Takes a kind out.
    #[must_use]
    pub const fn without(self, kind: EventKind) -> Self {
        Self(self.0 & !(1 << kind as u8))
    }

    /// Says whether a kind is in the set.
    #[must_use]
    pub const fn has(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Says whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = EventKind::ALL.iter().filter(|kind| self.has(**kind));
        f.debug_set().entries(kinds).finish()
    }
}
