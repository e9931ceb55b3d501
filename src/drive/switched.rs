//! A connection that the caller has: from the moment on that its call gives it up, until it is dropped.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::drive::apply::Running;
use crate::drive::engine::Engine;
use crate::drive::pool::Gone;
use crate::event::{CanceledBy, ClosedBy, Emitter};
use crate::flow::action::{ExchangeInput, Input};
use crate::flow::connection::Connection;
use crate::message::close::CloseReason;
use crate::net::clock;
use crate::net::duplex::{Duplex, Traffic};

/// A connection on which the caller speaks what it likes. Dropped, it is closed, and that is told.
#[derive(Debug)]
pub(crate) struct Switched {
    /// Stands first, and is so dropped first.
    pub(crate) duplex: Duplex,
    pub(crate) ending: Ending,
}

/// What is left to do when the connection is closed.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) connection: Box<Connection>,
    traffic: Arc<Traffic>,
    emitter: Emitter,
    /// The client may be gone by then.
    engine: Weak<Engine>,
}

impl Running {
    /// Takes the connection out of the loop that watches it and out of the reach of a cancel; one that came before ends
    /// the call.
    pub(super) fn upgrade(&mut self) {
        self.block_on_nothing();
        if self.is_canceled() {
            return self.input(Input::Cancel(CanceledBy::Caller));
        }
        let Some(lease) = &mut self.lease else {
            return self.input(ExchangeInput::Ended { clean: false });
        };
        let input = match lease.transport.release() {
            Ok(()) => ExchangeInput::Upgraded,
            Err(error) => ExchangeInput::ReceiveFailed(error),
        };
        self.input(input);
    }

    /// The connection that the call has given up for its caller, with the bytes that came behind the head; once.
    pub(crate) fn take_switched(&mut self) -> Option<Switched> {
        if !self.call.is_over() || self.lease.is_none() {
            return None;
        }
        let connection = self.call.take_connection()?;
        let transport = self.lease.take()?.transport;
        let inbound = self
            .memory
            .as_mut()
            .map(|memory| &mut memory.buffers.inbound);
        let first = inbound.map_or_else(Vec::new, |inbound| {
            let first = inbound.filled().to_vec();
            inbound.consume(first.len());
            first
        });
        let duplex = Duplex::new(transport, first);
        let ending = Ending {
            connection,
            traffic: duplex.traffic(),
            emitter: self.emitter.apart(),
            engine: Arc::downgrade(&self.engine),
        };
        Some(Switched { duplex, ending })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Self {
            connection,
            traffic,
            emitter,
            engine,
        } = self;
        let (reason, now) = (CloseReason::Upgraded, clock::now());
        connection.count(
            traffic.sent.load(Ordering::Relaxed),
            traffic.received.load(Ordering::Relaxed),
        );
        connection.tell_closed_outside(reason, ClosedBy::of(reason), now, emitter);
        emitter.deliver();
        if let Some(engine) = engine.upgrade() {
            engine.closed(Gone::of(connection, reason), now);
        }
    }
}
