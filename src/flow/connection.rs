//! What is known of one connection, on loan and idle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{ClosedBy, ConnClosed, Emitter, EventKind, Payload};
use crate::flow::pool::{Key, Lifespan, Pooled};
use crate::ids::ConnId;
use crate::message::close::CloseReason;
use crate::message::framing::Version;
use crate::message::peer_addr::PeerAddr;
use crate::message::tls::TlsFacts;

/// The facts of one connection. They travel with it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) key: Arc<Key>,
    pub(crate) remote: PeerAddr,
    /// Our address, if somebody wanted to know it.
    pub(crate) local: Option<Box<SocketAddr>>,
    pub(crate) tls: Option<Arc<TlsFacts>>,
    pub(crate) opened: Instant,
    /// When it ends at the latest, and behind which request.
    pub(crate) lifespan: Lifespan,
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
    /// The number of its next event outside any call and dial.
    pub(crate) seq: u32,
}

impl Connection {
    /// Counts the bytes of an exchange.
    pub(crate) fn count(&mut self, bytes_out: u64, bytes_in: u64) {
        self.bytes_out = self.bytes_out.saturating_add(bytes_out);
        self.bytes_in = self.bytes_in.saturating_add(bytes_in);
    }

    /// The moment after which it is not used again although it was put back, and why. A peer that says how long it
    /// keeps a connection shortens our time, less a second for the way.
    pub(crate) fn good_until(&self, idle_timeout: Duration) -> Option<(Instant, CloseReason)> {
        let peer = self
            .peer_keeps
            .map(|keeps| keeps.saturating_sub(Duration::from_secs(1)));
        let time = peer.map_or(idle_timeout, |peer| peer.min(idle_timeout));
        let idle = self.idle_since?.checked_add(time)?;
        match self.lifespan.until {
            Some(until) if until < idle => Some((until, CloseReason::MaxAge)),
            Some(_) | None => Some((idle, CloseReason::IdleTimeout)),
        }
    }

    /// Why it serves no further request although nothing is wrong with it.
    pub(crate) fn used_up(&self, now: Instant) -> Option<CloseReason> {
        if self.peer_takes == Some(0) || self.has_carried_all() {
            Some(CloseReason::MaxRequests)
        } else {
            let is_old = self.lifespan.until.is_some_and(|until| until <= now);
            is_old.then_some(CloseReason::MaxAge)
        }
    }

    /// Says whether it has carried as many requests as it may, the one under way included.
    pub(crate) fn has_carried_all(&self) -> bool {
        let most = self.lifespan.requests;
        most.is_some_and(|most| self.requests >= most)
    }

    /// Tells that the connection ended, outside any call.
    pub(crate) fn tell_closed_outside(
        &self,
        reason: CloseReason,
        by: ClosedBy,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        emitter.of_connection(self.id, (self.last_event, self.seq), |emitter| {
            self.tell_closed(reason, by, now, emitter);
        });
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

/// A connection in the pool: its byte stream, as its driver has it, and its facts.
#[derive(Debug)]
pub(crate) struct Idle<S> {
    pub(crate) stream: S,
    pub(crate) connection: Box<Connection>,
}

impl<S> Pooled for Idle<S> {
    fn good_until(&self, idle_timeout: Duration) -> Option<(Instant, CloseReason)> {
        self.connection.good_until(idle_timeout)
    }
}
