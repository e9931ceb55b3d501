//! Every knob and every limit: unit, default, and the reason for the default.

use std::time::Duration;

/// Bounds on what a peer can make us hold or do. Each appears in the error when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one response head. Default 64 KiB: larger than any honest head, small enough for thousands of
    /// connections.
    pub head_bytes: usize,
    /// Bytes of one line of a head. Default 16 KiB: twice what RFC 9110 §2.3 asks us to manage.
    pub line_bytes: usize,
    /// Field lines of one head. Default 128.
    pub field_lines: usize,
    /// Interim responses before the final one. Default 16. Holds whether or not anybody listens.
    pub interim_count: usize,
    /// Bytes of all interim responses together. Default 64 KiB.
    pub interim_bytes: usize,
    /// Bytes of a trailer section. Default 16 KiB.
    pub trailer_bytes: usize,
    /// Field lines of a trailer section. Default 32.
    pub trailer_lines: usize,
    /// Bytes of the extensions of one chunk. Default 256: nobody needs them.
    pub chunk_extension_bytes: usize,
    /// Bytes of chunk framing beyond 16 per chunk and one per byte of data. Default 16 KiB.
    pub chunk_overhead_bytes: usize,
    /// Bytes of an unread body that `drain` reads before it gives the connection up. Default 64 KiB.
    pub drain_bytes: usize,
    /// Time that `drain` takes before it gives the connection up. Default 20 ms.
    pub drain_time: Duration,
    /// Addresses of one name that are used. Default 64.
    pub addresses: usize,
    /// Bytes of the body of a proxy's refusal that are read and kept for the error and the event. Default 8 KiB: a page
    /// that says why.
    pub proxy_refusal_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            line_bytes: 16 * 1024,
            field_lines: 128,
            interim_count: 16,
            interim_bytes: 64 * 1024,
            trailer_bytes: 16 * 1024,
            trailer_lines: 32,
            chunk_extension_bytes: 256,
            chunk_overhead_bytes: 16 * 1024,
            drain_bytes: 64 * 1024,
            drain_time: Duration::from_millis(20),
            addresses: 64,
            proxy_refusal_bytes: 8 * 1024,
        }
    }
}

/// How to read responses that break a rule in a way that real servers do. HTTP.md's decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strictness {
    /// Harmless deviations are accepted and reported as `Anomaly` events.
    #[default]
    Normal,
    /// Every deviation is an error.
    Strict,
    /// As `Normal`, and white space before a colon is stripped, never for framing fields.
    Lenient,
}

/// What becomes of a request body when the final response comes before it is fully sent (RFC 9112 §9.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EarlyResponse {
    /// Bytes in memory go on being sent while the response is read; a source is not asked again. The connection
    /// is kept only if both sides finished.
    #[default]
    Finish,
    /// Nothing more is sent, and the connection is closed after the response.
    Abort,
}

/// How long each phase of a call may take. `None` is without end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// The whole call, to the end of the body. Default none: a stream may last. The helpers that collect a
    /// whole body have 5 minutes of their own.
    pub total: Option<Duration>,
    /// From the wish for a connection until there is one: lookup, connects, the tunnel of a proxy, TLS. Default 10 s. Stands still while
    /// the call waits in the queue.
    pub connect: Option<Duration>,
    /// How long a call waits for a connection because a limit of them is reached, all waits of one attempt
    /// together. Default 30 s: longer than an honest answer takes, shorter than anybody's patience.
    pub queue: Option<Duration>,
    /// The lookup of a name, within `connect`. Default 10 s.
    pub lookup: Option<Duration>,
    /// The TLS handshake, within `connect`. Default 10 s.
    pub tls: Option<Duration>,
    /// The wait for a 100 (Continue), after which the body is sent. Default 1 s; zero does not wait
    /// (RFC 9110 §10.1.1).
    pub expect: Duration,
    /// How long the peer may take no byte of the request, until the final head is in. Default 60 s.
    pub write_stall: Option<Duration>,
    /// From the end of the request to the first byte of a response. Default 60 s.
    pub first_byte: Option<Duration>,
    /// From the first byte of a head to its last. Default 60 s.
    pub head: Option<Duration>,
    /// How long a read of the body waits for the next byte. Runs only while a read is pending. Default 60 s.
    pub body_idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Some(Duration::from_secs(60));
        let ten = Some(Duration::from_secs(10));
        Self {
            total: None,
            connect: ten,
            queue: Some(Duration::from_secs(30)),
            lookup: ten,
            tls: ten,
            expect: Duration::from_secs(1),
            write_stall: minute,
            first_byte: minute,
            head: minute,
            body_idle: minute,
        }
    }
}
