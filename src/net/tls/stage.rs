//! One TLS connection as a byte transform, over the unbuffered interface of rustls: records are decrypted in
//! place in our own receive buffer, an idle connection holds no buffer at all, and rustls does no I/O.
//!
//! ```text
//! new ─ Handshaking ──> data ──> Closed (close_notify received)
//!           └─────────────┴────> Failed (the same error from then on; an alert for the peer may be outgoing)
//! ```
//!
//! How to drive it: send `outgoing()` and tell `sent(n)` whenever there is any; append what was received to
//! `incoming()`; then `advance()` in the handshake, `read_plain()` after it, until it says that it needs more.
//! Receive only then, so that what is held stays within one receive.

use std::fmt;

use rustls::client::UnbufferedClientConnection;
use rustls::crypto::hash::Hash;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};

use super::certificate;
use super::engine::{ALPN, TlsClient, TlsName};
use super::hello::offers_resumption;
use super::{PlainRead, Progress, TlsError};
use crate::error::TlsFailure;
use crate::message::tls::{CertificateFacts, TlsFacts, TlsHandshake, TlsVersion};

/// Plaintext that one [`TlsStage::write_plain`] takes at most: four full records, which leave in one send.
pub(super) const WRITE_BATCH: usize = 64 * 1024;

/// Bytes of handshake that a peer may send: three times the largest chain of certificates that is accepted.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 256 * 1024;

/// Bytes of records without data (tickets, key updates) that a peer may send between two records with data, or
/// on an idle connection. Servers send two to four tickets of a few hundred bytes.
pub(super) const QUIET_BYTES_MAX: usize = 64 * 1024;

/// The plaintext of one full record.
const RECORD: usize = 16 * 1024;

/// More than any cipher suite adds to a record.
const RECORD_OVERHEAD: usize = 64;

/// Ciphertext that waits to be sent before more plaintext is taken.
const OUTGOING_MAX: usize = 2 * WRITE_BATCH;

/// One TLS connection of a client.
pub(crate) struct TlsStage {
    conn: UnbufferedClientConnection,
    /// Ciphertext as received; what stands before `taken` is done with.
    incoming: Vec<u8>,
    taken: usize,
    /// Ciphertext to be sent.
    outgoing: Vec<u8>,
    /// Plaintext for which a reader had no room; what stands before `read` is done with.
    plain: Vec<u8>,
    read: usize,
    peer: Peer,
    /// Bytes of records since the last one that held data.
    quiet: usize,
    /// Whether the hello offers to resume a session.
    resumption: bool,
    sha256: Option<&'static dyn Hash>,
}

/// What the peer has done to the connection.
#[derive(Debug)]
enum Peer {
    /// No record of the peer was understood yet.
    Silent,
    /// The peer speaks TLS.
    Speaking,
    /// The peer has sent close_notify.
    Closed,
    /// TLS is over, for this reason.
    Failed(TlsError),
}

/// What the next turn is for.
enum Task<'a> {
    /// Take records in; data goes to the front of this buffer as far as there is room.
    Read(&'a mut [u8]),
    /// Encrypt this.
    Write(&'a [u8]),
    /// Encrypt a close_notify.
    Close,
}

/// What a turn did.
enum Turn {
    /// It consumed or produced records; another turn may do more.
    Again,
    /// So many bytes were read into the buffer of the task, or more than fitted were kept.
    Plain(usize),
    /// So many bytes were encrypted.
    Written(usize),
    /// Nothing more can be done before more is received.
    Blocked,
}

impl TlsStage {
    /// Begins a handshake; the hello is outgoing at once.
    ///
    /// # Errors
    /// `Config` if the configuration offers nothing.
    pub(super) fn new(client: &TlsClient, name: &TlsName) -> Result<Self, TlsError> {
        let conn = UnbufferedClientConnection::new(client.config().clone(), name.0.clone())?;
        let mut stage = Self {
            conn,
            incoming: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            plain: Vec::new(),
            read: 0,
            peer: Peer::Silent,
            quiet: 0,
            resumption: client.knows_old_session(name),
            sha256: client.sha256(),
        };
        stage.advance()?;
        stage.resumption |= offers_resumption(&stage.outgoing);
        Ok(stage)
    }

    /// Says whether the handshake is under way. It ends when the peer is verified, even while our last message
    /// of it is still outgoing, so that message and the first request leave together.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.conn.is_handshaking()
    }

    /// Says whether the hello offers to resume a session.
    pub(crate) fn offers_resumption(&self) -> bool {
        self.resumption
    }

    /// The buffer to which received ciphertext is appended; bytes in it may not be changed or removed.
    pub(crate) fn incoming(&mut self) -> &mut Vec<u8> {
        self.incoming.drain(..self.taken);
        self.taken = 0;
        &mut self.incoming
    }

    /// Takes over a buffer with room for a large receive. Its content is lost, ours is kept.
    pub(crate) fn adopt(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&self.incoming[self.taken..]);
        self.incoming = buffer;
        self.taken = 0;
    }

    /// Gives up the receive buffer and every spare byte, for the time of being idle. Bytes that are not taken
    /// in yet are kept.
    pub(crate) fn give_up(&mut self) -> Vec<u8> {
        let rest = self.incoming[self.taken..].to_vec();
        self.taken = 0;
        self.plain.drain(..self.read);
        self.read = 0;
        self.plain.shrink_to_fit();
        self.outgoing.shrink_to_fit();
        let mut buffer = std::mem::replace(&mut self.incoming, rest);
        buffer.clear();
        buffer
    }

    /// Takes in what was received, up to the next data: the way through a handshake, and the look at an idle
    /// connection.
    ///
    /// # Errors
    /// What the peer broke, then and at each further call. An alert for it may be outgoing.
    pub(crate) fn advance(&mut self) -> Result<Progress, TlsError> {
        loop {
            if self.read < self.plain.len() {
                return Ok(Progress::Plain);
            }
            match self.turn(Task::Read(&mut []))? {
                Turn::Again | Turn::Plain(_) | Turn::Written(_) => {}
                Turn::Blocked => break,
            }
        }
        Ok(match self.peer {
            Peer::Closed => Progress::Closed,
            _ if self.is_handshaking() => Progress::Handshaking,
            _ if self.taken < self.incoming.len() => Progress::Partial,
            _ => Progress::Quiet,
        })
    }

    /// Reads data. With at least 16 KiB of room nothing is copied twice.
    ///
    /// # Errors
    /// As [`advance`](Self::advance), once the data before the error was read.
    pub(crate) fn read_plain(&mut self, out: &mut [u8]) -> Result<PlainRead, TlsError> {
        let mut filled = self.take_kept(out);
        while filled < out.len() {
            match self.turn(Task::Read(&mut out[filled..])) {
                Ok(Turn::Plain(bytes)) => filled += bytes,
                Ok(Turn::Again | Turn::Written(_)) => {}
                Ok(Turn::Blocked) => break,
                // Kept in `peer`, and told when the data before it was read.
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(match self.peer {
            _ if filled > 0 => PlainRead::Bytes(filled),
            Peer::Closed if self.read == self.plain.len() => PlainRead::Closed,
            _ => PlainRead::NeedMore,
        })
    }

    /// Encrypts the front of `data`, at most [`WRITE_BATCH`], and says how much that was. Zero while the
    /// handshake is under way, or while too much is outgoing. Each byte counted is in `outgoing`, no other is.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub(crate) fn write_plain(&mut self, data: &[u8]) -> Result<usize, TlsError> {
        if self.outgoing.len() >= OUTGOING_MAX || data.is_empty() {
            return Ok(0);
        }
        let batch = &data[..data.len().min(WRITE_BATCH)];
        loop {
            match self.turn(Task::Write(batch))? {
                Turn::Written(bytes) => return Ok(bytes),
                Turn::Blocked => return Ok(0),
                Turn::Again | Turn::Plain(_) => {}
            }
        }
    }

    /// Makes a close_notify outgoing (RFC 9112 §9.8). Before the handshake is complete there is none to send;
    /// after a failure the alert has taken its place.
    pub(crate) fn send_close_notify(&mut self) {
        while let Ok(Turn::Again | Turn::Plain(_)) = self.turn(Task::Close) {}
    }

    /// Says whether ciphertext waits to be sent.
    pub(crate) fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Ciphertext that waits to be sent, all of it.
    pub(crate) fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// Removes the front of `outgoing`, which was sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.outgoing.drain(..bytes.min(self.outgoing.len()));
    }

    /// Says whether something that was received has not been read yet.
    pub(crate) fn holds_bytes(&self) -> bool {
        self.taken < self.incoming.len() || self.read < self.plain.len()
    }

    /// Says whether the end of the connection would be the end of the data: the peer has sent close_notify.
    /// Otherwise it is a truncation.
    pub(crate) fn eof_is_clean(&self) -> bool {
        matches!(self.peer, Peer::Closed)
    }

    /// What the handshake agreed on; none before its end. Certificates are read and hashed, which takes some
    /// microseconds.
    pub(crate) fn facts(&self) -> Option<TlsFacts> {
        if self.is_handshaking() {
            return None;
        }
        let suite = self.conn.negotiated_cipher_suite()?;
        Some(TlsFacts {
            version: match self.conn.protocol_version()? {
                ProtocolVersion::TLSv1_2 => TlsVersion::V1_2,
                _ => TlsVersion::V1_3,
            },
            cipher_suite: suite_name(suite.suite()),
            key_exchange: self
                .conn
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str()),
            alpn: self.conn.alpn_protocol().map(|_| ALPN),
            handshake: match self.conn.handshake_kind()? {
                HandshakeKind::Full => TlsHandshake::Full,
                HandshakeKind::FullWithHelloRetryRequest => TlsHandshake::FullWithHelloRetry,
                HandshakeKind::Resumed => TlsHandshake::Resumed,
            },
            certificates: self.certificates(),
        })
    }

    fn certificates(&self) -> Vec<CertificateFacts> {
        self.conn
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|der| certificate::facts(der, self.sha256(der)))
            .collect()
    }

    /// By the hash of the provider, which every provider for TLS 1.2 or 1.3 has.
    fn sha256(&self, der: &[u8]) -> Option<[u8; 32]> {
        self.sha256?.hash(der).as_ref().try_into().ok()
    }

    /// Reads from what was kept.
    fn take_kept(&mut self, out: &mut [u8]) -> usize {
        let bytes = out.len().min(self.plain.len() - self.read);
        out[..bytes].copy_from_slice(&self.plain[self.read..self.read + bytes]);
        self.read += bytes;
        if self.read == self.plain.len() {
            self.plain.clear();
            self.read = 0;
        }
        bytes
    }

    /// One turn of the machine. It consumes, produces, or is blocked; data that a task has no room for is kept.
    fn turn(&mut self, task: Task<'_>) -> Result<Turn, TlsError> {
        if let Peer::Failed(error) = &self.peer {
            return Err(error.clone());
        }
        let handshaking = self.is_handshaking();
        let UnbufferedStatus { discard, state } = self
            .conn
            .process_tls_records(&mut self.incoming[self.taken..]);
        let turn = match state {
            Ok(ConnectionState::ReadTraffic(mut records)) => match records.next_record() {
                Some(Ok(record)) => Ok(keep(record.payload, task, &mut self.plain)),
                Some(Err(error)) => Err(error.into()),
                None => Ok(Turn::Again),
            },
            Ok(ConnectionState::EncodeTlsData(record)) => encode(record, &mut self.outgoing),
            Ok(ConnectionState::TransmitTlsData(records)) => {
                // What was encoded is ours to send from now on.
                records.done();
                Ok(Turn::Again)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => match task {
                Task::Read(_) => Ok(Turn::Blocked),
                Task::Write(data) => encrypt(&mut traffic, data, &mut self.outgoing),
                Task::Close => close(&mut traffic, &mut self.outgoing),
            },
            Ok(ConnectionState::PeerClosed) => {
                self.peer = Peer::Closed;
                Ok(Turn::Again)
            }
            Ok(_) => Ok(Turn::Blocked),
            Err(error) => Err(error.into()),
        };
        let turn = self.judge(turn).and_then(|turn| {
            self.took(discard, handshaking, &turn)?;
            Ok(turn)
        });
        if let Err(error) = &turn {
            self.collect_alert();
            self.peer = Peer::Failed(error.clone());
        }
        turn
    }

    /// Tells a peer that speaks something else from one that breaks TLS.
    fn judge(&self, turn: Result<Turn, TlsError>) -> Result<Turn, TlsError> {
        turn.map_err(|error| match self.peer {
            Peer::Silent if !looks_like_tls(&self.incoming[self.taken..]) => {
                TlsError::new(TlsFailure::NotTls, &error.text)
            }
            _ => error,
        })
    }

    /// Removes what a turn consumed, and holds the peer to its bounds: it may neither send records without
    /// data for ever, nor one without an end.
    fn took(&mut self, bytes: usize, handshaking: bool, turn: &Turn) -> Result<(), TlsError> {
        if bytes > 0 && matches!(self.peer, Peer::Silent) {
            self.peer = Peer::Speaking;
        }
        self.taken = (self.taken + bytes).min(self.incoming.len());
        // What follows a close_notify is ignored (RFC 8446 §6.1).
        if self.taken == self.incoming.len() || matches!(self.peer, Peer::Closed) {
            self.incoming.clear();
            self.taken = 0;
        }
        self.quiet += bytes;
        // When blocked, all that is left is the beginning of something.
        let begun = match turn {
            Turn::Blocked => self.incoming.len() - self.taken,
            _ => 0,
        };
        let max = if handshaking {
            HANDSHAKE_BYTES_MAX
        } else {
            QUIET_BYTES_MAX
        };
        if self.quiet + begun > max {
            let text = "too many bytes of tls records without data";
            return Err(TlsError::new(TlsFailure::Protocol, text));
        }
        if matches!(turn, Turn::Plain(_)) || handshaking != self.is_handshaking() {
            self.quiet = 0;
        }
        Ok(())
    }

    /// Moves the alert that rustls has for a peer that failed to what is outgoing.
    fn collect_alert(&mut self) {
        while self.conn.wants_write() {
            let status = self.conn.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(record)) = status.state else {
                return;
            };
            if encode(record, &mut self.outgoing).is_err() {
                return;
            }
        }
    }
}

/// Without a byte of what is carried.
impl fmt::Debug for TlsStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStage")
            .field("peer", &self.peer)
            .field("handshaking", &self.is_handshaking())
            .field("incoming", &(self.incoming.len() - self.taken))
            .field("outgoing", &self.outgoing.len())
            .field("plain", &(self.plain.len() - self.read))
            .finish_non_exhaustive()
    }
}

/// Hands data to the task, and keeps what it has no room for.
fn keep(data: &[u8], task: Task<'_>, kept: &mut Vec<u8>) -> Turn {
    let mut bytes = 0;
    if let Task::Read(out) = task {
        bytes = out.len().min(data.len());
        out[..bytes].copy_from_slice(&data[..bytes]);
    }
    kept.extend_from_slice(&data[bytes..]);
    Turn::Plain(bytes)
}

/// Appends a record that is ready.
fn encode<D>(mut record: EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) -> Result<Turn, TlsError> {
    let at = outgoing.len();
    if let Err(EncodeError::InsufficientSize(need)) = record.encode(&mut []) {
        outgoing.resize(at + need.required_size, 0);
    }
    match record.encode(&mut outgoing[at..]) {
        Ok(bytes) => {
            outgoing.truncate(at + bytes);
            Ok(Turn::Again)
        }
        Err(error) => Err(TlsError::new(TlsFailure::Protocol, &error.to_string())),
    }
}

/// Appends the records of `data`.
fn encrypt<D>(
    traffic: &mut WriteTraffic<'_, D>,
    data: &[u8],
    outgoing: &mut Vec<u8>,
) -> Result<Turn, TlsError> {
    let at = outgoing.len();
    let mut room = data.len() + (data.len() / RECORD + 2) * RECORD_OVERHEAD;
    loop {
        outgoing.resize(at + room, 0);
        match traffic.encrypt(data, &mut outgoing[at..]) {
            Ok(bytes) => {
                outgoing.truncate(at + bytes);
                return Ok(Turn::Written(data.len()));
            }
            // Smaller records by configuration, or a key update before them.
            Err(EncryptError::InsufficientSize(need)) if need.required_size > room => {
                room = need.required_size;
            }
            Err(error) => {
                outgoing.truncate(at);
                return Err(TlsError::new(TlsFailure::Protocol, &error.to_string()));
            }
        }
    }
}

/// Appends a close_notify, once.
fn close<D>(traffic: &mut WriteTraffic<'_, D>, outgoing: &mut Vec<u8>) -> Result<Turn, TlsError> {
    let at = outgoing.len();
    outgoing.resize(at + 2 * RECORD_OVERHEAD, 0);
    let written = traffic.queue_close_notify(&mut outgoing[at..]);
    outgoing.truncate(at + *written.as_ref().unwrap_or(&0));
    match written {
        Ok(bytes) => Ok(Turn::Written(bytes)),
        // It is queued behind something larger, and comes out at the next turn.
        Err(EncryptError::InsufficientSize(_)) => Ok(Turn::Again),
        Err(error) => Err(TlsError::new(TlsFailure::Protocol, &error.to_string())),
    }
}

/// Says whether bytes begin as a record does (RFC 8446 §5.1).
fn looks_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=24, 3, ..])
}

/// The name that IANA gives a cipher suite.
fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_AES_128_CCM_SHA256 => "TLS_AES_128_CCM_SHA256",
        CipherSuite::TLS13_AES_128_CCM_8_SHA256 => "TLS_AES_128_CCM_8_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}
