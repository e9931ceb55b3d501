//! What one connection of a peer does: a value, apart from whoever plays it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::bell::Gate;
use super::seen::SeenRequest;

/// What a peer does on one connection: a list of steps, played in order.
///
/// A script is a plain value: cloning it is cheap (bytes are shared), and playing it does not
/// change it. After the last step the connection is closed as by [`close`](Self::close), with a
/// close_notify before it under TLS.
///
/// Steps that expect something fail the script if it does not come: the connection is closed and
/// the mismatch is told by [`Peer::failures`](super::Peer::failures). Steps that send never fail
/// the script: a client that has gone away only ends it.
///
/// Under TLS all steps act on plaintext, apart from [`half_close`](Self::half_close),
/// [`reset`](Self::reset) and [`close`](Self::close), which act on the transport.
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<Step>,
}

impl Script {
    /// Makes a script without steps: accept the connection, then close it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // ---- what the client has to do ----

    /// Reads the head of a request, up to and including its empty line, and keeps it as a
    /// [`SeenRequest`]. Its body is left unread: see [`expect_body`](Self::expect_body).
    #[must_use]
    pub fn expect_head(self) -> Self {
        self.then(Step::ExpectHead)
    }

    /// Reads the body that belongs to the last head (RFC 9112 §6.3): chunked, by its
    /// content-length, or nothing.
    #[must_use]
    pub fn expect_body(self) -> Self {
        self.then(Step::ExpectBody)
    }

    /// Reads a whole request: [`expect_head`](Self::expect_head), then
    /// [`expect_body`](Self::expect_body).
    #[must_use]
    pub fn expect_request(self) -> Self {
        self.expect_head().expect_body()
    }

    /// Reads exactly these bytes.
    #[must_use]
    pub fn expect_bytes(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::ExpectBytes(Bytes::copy(bytes)))
    }

    /// Reads until these bytes have come, whatever comes before them (at most 1 MiB).
    #[must_use]
    pub fn expect_contains(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::ExpectContains(Bytes::copy(bytes)))
    }

    /// Waits for the client to close its side: nothing more may come, and a reset is a mismatch.
    /// Under TLS the close_notify may be missing.
    #[must_use]
    pub fn expect_eof(self) -> Self {
        self.then(Step::ExpectEof)
    }

    /// Waits for the client's close_notify: nothing more may come before it. Only under TLS.
    #[must_use]
    pub fn expect_close_notify(self) -> Self {
        self.then(Step::ExpectCloseNotify)
    }

    /// Waits for the client to go away in any way, by FIN or reset; what still comes before that
    /// is read and ignored.
    #[must_use]
    pub fn expect_gone(self) -> Self {
        self.then(Step::ExpectGone)
    }

    // ---- what the peer sends ----

    /// Sends bytes with as few writes as the socket takes. TCP_NODELAY is always on.
    #[must_use]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(Bytes::copy(bytes)))
    }

    /// Sends bytes that are shared with other scripts, without a copy of their own.
    #[must_use]
    pub fn send_shared(self, bytes: Arc<[u8]>) -> Self {
        self.then(Step::Send(Bytes(bytes)))
    }

    /// Sends bytes with one write for each `segment_bytes` of them (0 counts as 1); under TLS each
    /// is a record of its own.
    ///
    /// One write is one TCP segment, but a client that reads late may find several at once. Where
    /// that matters, put a [`wait_for`](Self::wait_for) between two sends.
    #[must_use]
    pub fn send_each(self, bytes: impl AsRef<[u8]>, segment_bytes: usize) -> Self {
        let bytes = Bytes::copy(bytes);
        self.then(Step::SendEach(bytes, segment_bytes.max(1)))
    }

    /// Sends `byte` `count` times, without holding them all in memory.
    #[must_use]
    pub fn send_repeated(self, byte: u8, count: u64) -> Self {
        self.then(Step::SendRepeated(byte, count))
    }

    /// Sends what `answer` makes of the last request read. If the request or the answer says
    /// `connection: close`, the script ends after it.
    ///
    /// A panic of `answer` is a mismatch. Dropping the peer waits for an `answer` that is running.
    #[must_use]
    pub fn reply_with<F>(self, answer: F) -> Self
    where
        F: Fn(&SeenRequest) -> Vec<u8> + Send + Sync + 'static,
    {
        self.then(Step::Reply(Handler(Arc::new(answer))))
    }

    /// Answers request after request on this connection until the client leaves:
    /// [`forever`](Self::forever) over [`expect_request`](Self::expect_request) and
    /// [`reply_with`](Self::reply_with).
    ///
    /// ```
    /// use wirescope::testkit::Script;
    ///
    /// let echo_target = Script::new().respond_with(|request| {
    ///     let body = request.target();
    ///     format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    /// });
    /// # drop(echo_target);
    /// ```
    #[must_use]
    pub fn respond_with<F>(self, answer: F) -> Self
    where
        F: Fn(&SeenRequest) -> Vec<u8> + Send + Sync + 'static,
    {
        self.forever(Self::new().expect_request().reply_with(answer))
    }

    /// Sends back everything that comes, until the client closes its side: for what follows an
    /// upgrade or a tunnel.
    #[must_use]
    pub fn echo(self) -> Self {
        self.then(Step::Echo)
    }

    // ---- time and signals ----

    /// Does nothing for a while. Prefer [`wait_for`](Self::wait_for) where a test can give a sign.
    #[must_use]
    pub fn pause(self, duration: Duration) -> Self {
        self.then(Step::Pause(duration))
    }

    /// Waits until the gate is open; 30 s without it are a mismatch.
    #[must_use]
    pub fn wait_for(self, gate: Gate) -> Self {
        self.then(Step::WaitFor(gate))
    }

    /// Opens the gate: tells the test that the script has come this far.
    #[must_use]
    pub fn open_gate(self, gate: Gate) -> Self {
        self.then(Step::OpenGate(gate))
    }

    /// Holds the connection open and says nothing, until the client leaves or the peer is dropped,
    /// at most 30 s without a byte. What comes is read and ignored, except after
    /// [`stop_reading`](Self::stop_reading).
    #[must_use]
    pub fn stall(self) -> Self {
        self.then(Step::Stall)
    }

    // ---- faults and ends ----

    /// Reads nothing that no later step asks for: the client's writes get stuck once the buffers
    /// between are full (make them small with
    /// [`receive_buffer_bytes`](super::PeerBuilder::receive_buffer_bytes)), a
    /// [`stall`](Self::stall) does not notice that the client left, and a [`close`](Self::close)
    /// with unread bytes becomes a reset, as it does in the kernel.
    #[must_use]
    pub fn stop_reading(self) -> Self {
        self.then(Step::StopReading)
    }

    /// Sends FIN and goes on reading. Under TLS no close_notify goes before it.
    #[must_use]
    pub fn half_close(self) -> Self {
        self.then(Step::HalfClose)
    }

    /// Sends a close_notify and nothing after it; the transport stays open. Only under TLS.
    #[must_use]
    pub fn close_notify(self) -> Self {
        self.then(Step::CloseNotify)
    }

    /// Closes the connection with FIN and ends the script. Under TLS no close_notify goes before
    /// it: the client sees an incomplete stream.
    ///
    /// Bytes that have arrived are read first, so that the kernel sends FIN and not RST; bytes
    /// that arrive later are answered with RST.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Closes the connection with RST and ends the script.
    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Makes the TLS handshake here, with the identity of
    /// [`tls_on_demand`](super::PeerBuilder::tls_on_demand): for what comes after a CONNECT. A
    /// failed handshake ends the script and is told by
    /// [`Peer::handshakes`](super::Peer::handshakes).
    #[must_use]
    pub fn start_tls(self) -> Self {
        self.then(Step::StartTls)
    }

    // ---- repetition ----

    /// Plays `script` `times` times.
    #[must_use]
    pub fn repeat(self, times: usize, script: Self) -> Self {
        self.then(Step::Repeat(times, Arc::new(script)))
    }

    /// Plays `script` again and again until the client leaves (or says nothing for 30 s) between
    /// two rounds; then goes on with the next step. A client that leaves within a round is a
    /// mismatch.
    #[must_use]
    pub fn forever(self, script: Self) -> Self {
        self.then(Step::Forever(Arc::new(script)))
    }

    /// Appends the steps of another script.
    #[must_use]
    pub fn followed_by(mut self, script: Self) -> Self {
        self.steps.extend(script.steps);
        self
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// One step of a script. Closed: who plays scripts matches it without a wildcard.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    ExpectHead,
    ExpectBody,
    ExpectBytes(Bytes),
    ExpectContains(Bytes),
    ExpectEof,
    ExpectCloseNotify,
    ExpectGone,
    Send(Bytes),
    /// Bytes, and how many of them go into one write (at least 1).
    SendEach(Bytes, usize),
    SendRepeated(u8, u64),
    Reply(Handler),
    Echo,
    Pause(Duration),
    WaitFor(Gate),
    OpenGate(Gate),
    Stall,
    StopReading,
    HalfClose,
    CloseNotify,
    Close,
    Reset,
    StartTls,
    Repeat(usize, Arc<Script>),
    Forever(Arc<Script>),
}

impl Step {
    /// The name of the method that makes this step, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::ExpectHead => "expect_head",
            Self::ExpectBody => "expect_body",
            Self::ExpectBytes(_) => "expect_bytes",
            Self::ExpectContains(_) => "expect_contains",
            Self::ExpectEof => "expect_eof",
            Self::ExpectCloseNotify => "expect_close_notify",
            Self::ExpectGone => "expect_gone",
            Self::Send(_) => "send",
            Self::SendEach(..) => "send_each",
            Self::SendRepeated(..) => "send_repeated",
            Self::Reply(_) => "reply_with",
            Self::Echo => "echo",
            Self::Pause(_) => "pause",
            Self::WaitFor(_) => "wait_for",
            Self::OpenGate(_) => "open_gate",
            Self::Stall => "stall",
            Self::StopReading => "stop_reading",
            Self::HalfClose => "half_close",
            Self::CloseNotify => "close_notify",
            Self::Close => "close",
            Self::Reset => "reset",
            Self::StartTls => "start_tls",
            Self::Repeat(..) => "repeat",
            Self::Forever(_) => "forever",
        }
    }
}

/// Shared bytes that show themselves escaped, and long ones by their beginning.
#[derive(Clone)]
pub(crate) struct Bytes(pub(crate) Arc<[u8]>);

impl Bytes {
    fn copy(bytes: impl AsRef<[u8]>) -> Self {
        Self(Arc::from(bytes.as_ref()))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&excerpt(&self.0))
    }
}

/// The function behind [`Script::reply_with`].
#[derive(Clone)]
pub(crate) struct Handler(pub(crate) Arc<Answer>);

/// Makes a response of a request.
pub(crate) type Answer = dyn Fn(&SeenRequest) -> Vec<u8> + Send + Sync;

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// How many bytes of a mismatch are shown.
const EXCERPT_BYTES: usize = 80;

/// Bytes as a quoted, escaped string, for messages.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    match bytes.get(..EXCERPT_BYTES) {
        Some(begin) if bytes.len() > EXCERPT_BYTES => {
            format!("\"{}\"… ({} bytes)", begin.escape_ascii(), bytes.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_shows_its_steps() {
        let script = Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\n\r\n")
            .repeat(2, Script::new().reset());
        let shown = format!("{script:?}");
        assert!(
            shown.contains(r#"Send("HTTP/1.1 200 OK\r\n\r\n")"#),
            "{shown}"
        );
        assert!(
            shown.contains("Repeat(2, Script { steps: [Reset] })"),
            "{shown}"
        );
        assert_eq!(script.steps()[1].name(), "expect_body");
    }

    #[test]
    fn long_bytes_are_shown_by_their_beginning() {
        let shown = excerpt(&[b'a'; 1000]);
        assert!(
            shown.len() < 120 && shown.ends_with("(1000 bytes)"),
            "{shown}"
        );
    }
}
