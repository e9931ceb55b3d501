//! Delivery: observers, channels, batches. No lock is held and no machine borrowed while an observer runs.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::event::emitter::events_lost;
use crate::event::kind::{EventData, EventKind, Interest, Trace};
use crate::event::{Event, Scope};
use crate::ids::{CallId, ConnId, DialId};

#[cfg(test)]
mod tests;

/// The reason an observer gives for aborting a call; it becomes the error's `source`.
pub type Abort = Box<dyn std::error::Error + Send + Sync>;

/// What an observer says to an event.
#[non_exhaustive]
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Abort the call with this reason. Ignored for events outside a call, and when the call was over before it was
    /// told: from the `put_idle_conn` of its last connection on, if that was put back.
    Abort(Abort),
}

/// Somebody who is told what happens.
///
/// Runs on the thread of the call, between two steps of it, with no lock held: what it spends, the call
/// waits. A panic is caught, and the observer is not called again. A call that an observer starts is not
/// shown to that observer. It is a call like others: the connection of the call that is told about is free for it only
/// when that call's last event was told, so under a limit of one connection it waits in vain.
pub trait Observer: Send + Sync {
    /// The kinds it wants to be told. Asked at the start of each call.
    fn interest(&self) -> Interest {
        Interest::DEFAULT
    }

    /// Says whether telling it may wait, for whoever reads for example. False by default. An
    /// [`EventLoop`](crate::EventLoop) refuses such an observer: all its calls would wait.
    fn may_wait(&self) -> bool {
        false
    }

    /// Is told an event.
    fn on_event(&self, event: &Event) -> Verdict;
}

impl Observer for Trace {
    fn interest(&self) -> Interest {
        self.kinds()
    }

    fn on_event(&self, event: &Event) -> Verdict {
        self.call(event.data());
        Verdict::Continue
    }
}

/// An observer, shared. Attaching the same one twice does not multiply events.
#[derive(Clone)]
pub struct ObserverRef(Arc<Attached>);

struct Attached {
    panics: AtomicU64,
    observer: Box<dyn Observer>,
}

impl ObserverRef {
    /// Makes an observer ready to be attached to requests and clients.
    pub fn new(observer: impl Observer + 'static) -> Self {
        Self(Arc::new(Attached {
            panics: AtomicU64::new(0),
            observer: Box::new(observer),
        }))
    }

    /// Says whether both are the same observer.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Says whether the observer panicked and is therefore no longer called.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.0.panics.load(Ordering::Relaxed) > 0
    }

    fn interest(&self) -> Interest {
        if self.is_detached() || self.is_delivering() {
            Interest::NONE
        } else {
            self.0
                .guard(|| self.0.observer.interest())
                .unwrap_or_default()
        }
    }

    /// Says whether telling it may make a call wait.
    pub(crate) fn may_wait(&self) -> bool {
        self.0
            .guard(|| self.0.observer.may_wait())
            .unwrap_or_default()
    }

    fn is_delivering(&self) -> bool {
        DELIVERING.with_borrow(|stack| stack.contains(&self.address()))
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Tells one event; a panic detaches the observer.
    fn tell(&self, interest: Interest, event: &Event) -> Option<Abort> {
        if !interest.has(event.kind()) || self.is_detached() {
            return None;
        }
        match self.0.guard(|| self.0.observer.on_event(event)) {
            Some(Verdict::Abort(reason)) => Some(reason),
            Some(Verdict::Continue) | None => None,
        }
    }
}

impl Attached {
    /// Runs code of the observer; a panic in it is caught and counted.
    fn guard<T>(&self, code: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(code));
        if result.is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
        result.ok()
    }
}

impl<T: Observer + 'static> From<T> for ObserverRef {
    fn from(observer: T) -> Self {
        Self::new(observer)
    }
}

impl fmt::Debug for ObserverRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserverRef")
            .field("interest", &self.interest())
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The observers that are being told something on this thread, innermost last.
    static DELIVERING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The observers of one call, in the order in which they are told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observers {
    list: Box<[(ObserverRef, Interest)]>,
}

impl Observers {
    /// Those of the request, newest first, then those of the client, newest first; each once, without those
    /// that started this call themselves.
    pub(crate) fn of_call(request: &[ObserverRef], client: &[ObserverRef]) -> Self {
        // Of that size at once: a list that is made shorter is made anew.
        let mut list: Vec<(ObserverRef, Interest)> =
            Vec::with_capacity(request.len() + client.len());
        for observer in request.iter().rev().chain(client.iter().rev()) {
            let interest = observer.interest();
            if !interest.is_empty() && !list.iter().any(|(other, _)| other.is_same(observer)) {
                list.push((observer.clone(), interest));
            }
        }
        Self { list: list.into() }
    }

    pub(crate) fn interest(&self) -> Interest {
        self.list
            .iter()
            .fold(Interest::NONE, |all, (_, interest)| all.union(*interest))
    }

    /// Tells all observers all events; the first reason to abort is kept.
    pub(crate) fn deliver(&self, events: &[Event]) -> Option<Abort> {
        let mut abort = None;
        for (observer, interest) in &self.list {
            DELIVERING.with_borrow_mut(|stack| stack.push(observer.address()));
            for event in events {
                let reason = observer.tell(*interest, event);
                if event.scope.call.is_some() && event.kind() != EventKind::CallDone {
                    abort = abort.or(reason);
                }
            }
            DELIVERING.with_borrow_mut(|stack| stack.pop());
        }
        abort
    }
}

/// What a full channel does with one more event.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The new event is lost.
    DropNewest,
    /// The oldest event in the channel is lost.
    DropOldest,
    /// The call waits for room at most that long, then the new event is lost. Not for calls of an
    /// [`EventLoop`](crate::EventLoop), which refuses such a channel: all its calls would wait.
    Block(Duration),
    /// There is always room; memory grows with what is not read.
    Unbounded,
}

/// The receiving end of [`channel`]: derefs to a [`crossbeam_channel::Receiver`], so `select!`, `iter` and
/// `try_iter` work on it. Dropping it tells the sender, and from the next call on nothing is built for it.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    overflow: Overflow,
    closed: AtomicBool,
    lost: AtomicU64,
}

impl Events {
    /// Counts the events lost so far, exactly.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Acquire)
    }

    /// Gives the plain receiver; dropping its last clone ends the channel.
    ///
    /// # Errors
    /// Gives the events back when the channel drops its oldest, because it then holds a receiver of its own.
    pub fn into_receiver(self) -> Result<Receiver<Event>, Self> {
        match self.shared.overflow {
            Overflow::DropOldest => Err(self),
            Overflow::DropNewest | Overflow::Block(_) | Overflow::Unbounded => {
                Ok(self.receiver.clone())
            }
        }
    }
}

impl Deref for Events {
    type Target = Receiver<Event>;

    fn deref(&self) -> &Self::Target {
        &self.receiver
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if self.shared.overflow == Overflow::DropOldest {
            self.shared.closed.store(true, Ordering::Release);
        }
    }
}

/// Makes an observer that sends every event of [`Interest::DEFAULT`] into a channel for `capacity` events;
/// when it is full the newest event is lost, counted, and announced by `events_lost`.
#[must_use]
pub fn channel(capacity: usize) -> (ObserverRef, Events) {
    channel_with(capacity, Overflow::DropNewest, Interest::DEFAULT)
}

/// Makes an observer that sends the events of some kinds into a channel.
///
/// A capacity below 2 reads as 2: the announcement of a loss takes a place beside the event behind it.
/// `Overflow::Unbounded` ignores the capacity.
#[must_use]
pub fn channel_with(
    capacity: usize,
    overflow: Overflow,
    interest: Interest,
) -> (ObserverRef, Events) {
    let (sender, receiver) = match overflow {
        Overflow::Unbounded => crossbeam_channel::unbounded(),
        _ => crossbeam_channel::bounded(capacity.max(CAPACITY_MIN)),
    };
    let shared = Arc::new(Shared {
        overflow,
        closed: AtomicBool::new(false),
        lost: AtomicU64::new(0),
    });
    let oldest = (overflow == Overflow::DropOldest).then(|| receiver.clone());
    let observer = ChannelObserver {
        interest,
        sender,
        oldest,
        unannounced: AtomicU64::new(0),
        shared: shared.clone(),
    };
    (ObserverRef::new(observer), Events { receiver, shared })
}

/// Room for an announcement and the event behind it.
const CAPACITY_MIN: usize = 2;

#[derive(Debug)]
struct ChannelObserver {
    interest: Interest,
    sender: Sender<Event>,
    /// The other end, where the oldest event has to give way.
    oldest: Option<Receiver<Event>>,
    unannounced: AtomicU64,
    shared: Arc<Shared>,
}

impl Observer for ChannelObserver {
    fn interest(&self) -> Interest {
        if self.shared.closed.load(Ordering::Acquire) {
            Interest::NONE
        } else {
            self.interest
        }
    }

    fn may_wait(&self) -> bool {
        matches!(self.shared.overflow, Overflow::Block(_))
    }

    fn on_event(&self, event: &Event) -> Verdict {
        self.announce_loss(event);
        self.send(event.clone());
        Verdict::Continue
    }
}

impl ChannelObserver {
    /// Tells of a loss as soon as there is room for both the announcement and the event behind it.
    fn announce_loss(&self, before: &Event) {
        if self.unannounced.load(Ordering::Relaxed) == 0 || !self.has_room_for_two() {
            return;
        }
        let count = self.unannounced.swap(0, Ordering::AcqRel);
        if count > 0 && self.sender.try_send(events_lost(before, count)).is_err() {
            self.unannounced.fetch_add(count, Ordering::AcqRel);
        }
    }

    fn has_room_for_two(&self) -> bool {
        self.sender
            .capacity()
            .is_none_or(|capacity| self.sender.len() + CAPACITY_MIN <= capacity)
    }

    fn send(&self, event: Event) {
        let result = match self.shared.overflow {
            Overflow::Block(limit) => self
                .sender
                .send_timeout(event, limit)
                .map_err(|error| error.is_disconnected()),
            _ => self
                .sender
                .try_send(event)
                .or_else(|error| self.make_room(error))
                .map_err(|error| error.is_disconnected()),
        };
        match result {
            Ok(()) => {}
            Err(true) => self.shared.closed.store(true, Ordering::Release),
            Err(false) => self.lose(1),
        }
    }

    /// Where the oldest has to give way, takes it out and sends again.
    fn make_room(&self, error: TrySendError<Event>) -> Result<(), TrySendError<Event>> {
        let (Some(oldest), TrySendError::Full(event)) = (&self.oldest, error.clone()) else {
            return Err(error);
        };
        if let Ok(oldest) = oldest.try_recv() {
            self.forget(&oldest);
        }
        self.sender.try_send(event)
    }

    /// Counts an event that gave way. An announcement that did is due again, and is no loss itself.
    fn forget(&self, event: &Event) {
        match event.data() {
            EventData::EventsLost(lost) => {
                self.unannounced.fetch_add(lost.count(), Ordering::AcqRel);
            }
            _ => self.lose(1),
        }
    }

    fn lose(&self, count: u64) {
        self.shared.lost.fetch_add(count, Ordering::AcqRel);
        self.unannounced.fetch_add(count, Ordering::AcqRel);
    }
}

/// The receiving end of [`batches`].
pub type Batches = Receiver<Vec<Event>>;

/// Makes an observer that delivers all events of a call in one send, at its `call_done`; events outside a
/// call go out with the end of their dial or connection. When the channel has no room for one more batch,
/// that batch is lost. After the receiver is dropped nothing is built for it from the next call on.
#[must_use]
pub fn batches(capacity: usize) -> (ObserverRef, Batches) {
    let (sender, receiver) = crossbeam_channel::bounded(capacity.max(1));
    let observer = BatchObserver {
        sender,
        closed: AtomicBool::new(false),
        open: Mutex::new(Vec::new()),
    };
    (ObserverRef::new(observer), receiver)
}

#[derive(Debug)]
struct BatchObserver {
    sender: Sender<Vec<Event>>,
    closed: AtomicBool,
    open: Mutex<Vec<(Stream, Vec<Event>)>>,
}

/// The widest stream of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Client,
    Call(CallId),
    Dial(DialId),
    Connection(ConnId),
}

impl Stream {
    fn of(scope: &Scope) -> Self {
        match (scope.call, scope.dial, scope.conn) {
            (Some(call), _, _) => Self::Call(call),
            (None, Some(dial), _) => Self::Dial(dial),
            (None, None, Some(conn)) => Self::Connection(conn),
            (None, None, None) => Self::Client,
        }
    }

    fn ends_with(self, data: EventData<'_>) -> bool {
        match self {
            Self::Client => true,
            Self::Call(_) => matches!(data, EventData::CallDone(_)),
            Self::Dial(_) => matches!(data, EventData::DialDone(_)),
            Self::Connection(_) => {
                matches!(data, EventData::ConnClosed(_) | EventData::PutIdleConn(_))
            }
        }
    }
}

impl Observer for BatchObserver {
    fn interest(&self) -> Interest {
        if self.closed.load(Ordering::Acquire) {
            Interest::NONE
        } else {
            Interest::DEFAULT
        }
    }

    fn on_event(&self, event: &Event) -> Verdict {
        let stream = Stream::of(&event.scope);
        let mut open = self.lock();
        let place = open
            .iter()
            .position(|(other, _)| *other == stream)
            .unwrap_or_else(|| {
                open.push((stream, Vec::with_capacity(24)));
                open.len() - 1
            });
        open[place].1.push(event.clone());
        if stream.ends_with(event.data()) {
            let (_, batch) = open.swap_remove(place);
            drop(open);
            self.send(batch);
        }
        Verdict::Continue
    }
}

impl BatchObserver {
    fn send(&self, batch: Vec<Event>) {
        if let Err(TrySendError::Disconnected(_)) = self.sender.try_send(batch) {
            self.closed.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Stream, Vec<Event>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
