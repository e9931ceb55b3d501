//! What is known of one connection, on loan and idle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{ClosedBy, ConnClosed, Emitter, EventKind, Payload};
use crate::flow::pool::Key;
use crate::ids::ConnId;
use crate::message::close::CloseReason;
use crate::message::framing::Version;
use crate::message::tls::TlsFacts;

/// The facts of one connection. They travel with it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) key: Arc<Key>,
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: Option<Arc<TlsFacts>>,
    pub(crate) opened: Instant,
    /// Requests that it carried.
    pub(crate) requests: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    /// Since when it is idle, if it is.
    pub(crate) idle_since: Option<Instant>,
    /// How long the peer keeps it idle, if it said so.
    pub(crate) peer_keeps: Option<Duration>,
    /// How many requests more the peer takes, if it said so.
    pub(crate) peer_takes: Option<u64>,
    /// The version of its last response.
    pub(crate) version: Option<Version>,
    /// When its last event was, so that time never goes back in its stream.
    pub(crate) last_event: u64,
}

impl Connection {
    /// Counts the bytes of an exchange.
    pub(crate) fn count(&mut self, bytes_out: u64, bytes_in: u64) {
        self.bytes_out = self.bytes_out.saturating_add(bytes_out);
        self.bytes_in = self.bytes_in.saturating_add(bytes_in);
    }

    /// How long it may be idle. A peer that says how long it keeps a connection shortens our time, less a second
    /// for the way.
    pub(crate) fn good_until(&self, idle_timeout: Duration) -> Option<Instant> {
        let peer = self
            .peer_keeps
            .map(|keeps| keeps.saturating_sub(Duration::from_secs(1)));
        let time = peer.map_or(idle_timeout, |peer| peer.min(idle_timeout));
        self.idle_since?.checked_add(time)
    }

    /// Tells that the connection ended.
    pub(crate) fn tell_closed(
        &self,
        reason: CloseReason,
        by: ClosedBy,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        emitter.emit(EventKind::ConnClosed, now, |_| {
            Payload::ConnClosed(Arc::new(ConnClosed {
                reason,
                by,
                requests: self.requests,
                bytes_out: self.bytes_out,
                bytes_in: self.bytes_in,
                age: now.saturating_duration_since(self.opened),
                idle: self
                    .idle_since
                    .map(|since| now.saturating_duration_since(since)),
            }))
        });
    }
}
