//! What the thread of a loop does. The rule: however it ends, every call that was taken in completes.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::drive::multi::Prepared;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::event_loop::handle::Shared;
use crate::event_loop::{EventLoop, Reply, Takes};
use crate::ids::CallId;
use crate::message::close::CloseReason;
use crate::net::clock;
use crate::net::inlet::Stage;

/// Orders that are taken before a turn: then those have their turn who are under way.
const ORDERS: usize = 256;

/// What other threads want of the loop.
pub(super) enum Order {
    /// A call.
    Begin(Prepared, Takes, Reply),
    /// The end of this call.
    Cancel(CallId),
}

impl Order {
    /// The loop has ended for this reason before it took the order.
    fn fail(self, error: &Error) {
        match self {
            Self::Begin(_, _, reply) => reply.fail(error.again()),
            Self::Cancel(_) => {}
        }
    }

    /// The order was not taken, which the one who gave it is told.
    pub(super) fn withdraw(self) {
        match self {
            Self::Begin(_, _, reply) => reply.withdraw(),
            Self::Cancel(_) => {}
        }
    }
}

/// A loop with the promises that it has made.
pub(super) struct Runner {
    event_loop: EventLoop,
    replies: BTreeMap<CallId, Reply>,
    orders: VecDeque<Order>,
    shared: Arc<Shared>,
}

/// Whether the loop may wait.
enum Now {
    /// For as long as its calls do.
    Waits,
    /// For so long at the most.
    WaitsFor(Duration),
    /// It is over.
    Ends,
}

impl Runner {
    pub(super) fn new(event_loop: EventLoop, shared: Arc<Shared>) -> Self {
        Self {
            event_loop,
            replies: BTreeMap::new(),
            orders: VecDeque::new(),
            shared,
        }
    }

    /// Turns until the loop is to end, then keeps all promises that are left.
    ///
    /// # Errors
    /// The system cannot wait, or code panicked.
    pub(super) fn run(mut self) -> Result<()> {
        let result = catch_unwind(AssertUnwindSafe(|| self.turn()));
        let result = result.unwrap_or_else(|payload| {
            // Dropping what a panic carries may panic again.
            std::mem::forget(payload);
            Err(Error::new(ErrorKind::Internal, Phase::Done))
        });
        let Self {
            event_loop,
            replies,
            orders,
            shared,
        } = self;
        let late = shared.inlet.close();
        if let Err(error) = &result {
            for order in orders.into_iter().chain(late) {
                order.fail(error);
            }
            for reply in replies.into_values() {
                reply.fail(error.again());
            }
        }
        let engine = shared.gate.engine();
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            drop(event_loop);
            engine.close_idle(CloseReason::ClientDropped);
        }));
        if let Err(payload) = dropped {
            std::mem::forget(payload);
        }
        result
    }

    fn turn(&mut self) -> Result<()> {
        loop {
            let timeout = match self.take_orders() {
                Now::Waits => None,
                Now::WaitsFor(left) => Some(left),
                Now::Ends => return Ok(()),
            };
            self.event_loop.turn(timeout)?;
            self.give_completions();
        }
    }

    /// Does what others want.
    fn take_orders(&mut self) -> Now {
        for _ in 0..ORDERS {
            if self.orders.is_empty() {
                let stage = self.shared.inlet.take(&mut self.orders);
                if self.orders.is_empty() {
                    return self.after(stage);
                }
            }
            if let Some(order) = self.orders.pop_front() {
                self.take_order(order);
            }
        }
        Now::WaitsFor(Duration::ZERO)
    }

    fn take_order(&mut self, order: Order) {
        match order {
            Order::Begin(prepared, takes, reply) => {
                self.replies.insert(prepared.call().id(), reply);
                self.event_loop.calls.begin(prepared, takes);
            }
            Order::Cancel(call) => {
                self.event_loop.calls.cancel(call);
            }
        }
    }

    /// What comes next when nobody wants anything.
    fn after(&mut self, stage: Stage) -> Now {
        let until: Option<Instant> = match stage {
            Stage::Open => return Now::Waits,
            Stage::Ending(_) | Stage::Gone if self.event_loop.calls() == 0 => return Now::Ends,
            Stage::Ending(until) => until,
            Stage::Gone => None,
        };
        let Some(until) = until else {
            return Now::Waits;
        };
        let left = until.saturating_duration_since(clock::now());
        if left.is_zero() {
            self.event_loop.calls.cancel_all();
        }
        Now::WaitsFor(left)
    }

    fn give_completions(&mut self) {
        while let Some(done) = self.event_loop.try_next() {
            if let Some(reply) = self.replies.remove(&done.call()) {
                reply.send(done);
            }
        }
    }
}
