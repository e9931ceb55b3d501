//! Bodies at the pace of the caller: readers that say "not now" to an event loop, and sources that say it to everybody.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use wirescope::Request;
use wirescope::body::{BodySink, BodySource, Head};
use wirescope::testkit::sim::Caller;

/// A reader of an event loop: it takes a piece, says "not now", and takes the next one when it was woken.
#[derive(Clone)]
pub(super) struct Slow {
    /// Bytes of a piece.
    piece: usize,
    /// Bytes after which it refuses the rest.
    enough: usize,
    took: Arc<Mutex<Took>>,
}

#[derive(Default)]
struct Took {
    body: Vec<u8>,
    state: State,
}

#[derive(Default)]
enum State {
    /// It takes nothing until it was woken.
    #[default]
    Resting,
    /// It said "not now".
    Waiting(Waker),
    /// It takes a piece.
    Woken,
    Refused,
}

impl Slow {
    /// Reads all in pieces of so many bytes.
    pub(super) fn reads(piece: usize) -> Self {
        Self {
            piece,
            enough: usize::MAX,
            took: Arc::default(),
        }
    }

    /// Refuses what comes behind so many bytes, at the head if that is none.
    pub(super) fn refuses_after(enough: usize) -> Self {
        Self {
            piece: enough,
            enough,
            took: Arc::default(),
        }
    }

    pub(super) fn sink(&self) -> impl BodySink + use<> {
        self.clone()
    }

    /// Lets it take the next piece, if it said "not now".
    pub(super) fn wake(&self) {
        let mut took = self.took();
        if let State::Waiting(waker) = &took.state {
            let waker = waker.clone();
            took.state = State::Woken;
            drop(took);
            waker.wake();
        }
    }

    pub(super) fn has_refused(&self) -> bool {
        matches!(self.took().state, State::Refused)
    }

    pub(super) fn body(&self) -> Vec<u8> {
        self.took().body.clone()
    }

    fn took(&self) -> MutexGuard<'_, Took> {
        self.took.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Took {
    fn refuse(&mut self) -> io::Error {
        self.state = State::Refused;
        io::Error::other("that is enough")
    }
}

impl BodySink for Slow {
    fn begin(&mut self, _head: &Head<'_>) -> io::Result<()> {
        match self.enough {
            0 => Err(self.took().refuse()),
            _ => Ok(()),
        }
    }

    fn poll_write(&mut self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>> {
        let mut took = self.took();
        if !matches!(took.state, State::Woken) {
            took.state = State::Waiting(waker.clone());
            return Poll::Pending;
        }
        let room = self.piece.min(self.enough - took.body.len());
        if room == 0 {
            return Poll::Ready(Err(took.refuse()));
        }
        let piece = &content[..content.len().min(room)];
        took.body.extend_from_slice(piece);
        took.state = State::Resting;
        Poll::Ready(Ok(piece.len()))
    }
}

/// How long a source lets everybody wait.
const PAUSE: Duration = Duration::from_millis(2);

/// A body in pieces: before each of them, and before its end, its source says "not now".
#[derive(Clone)]
pub(super) struct Supply {
    pub(super) body: &'static [u8],
    /// Bytes of a piece; none comes if there are none.
    pub(super) piece: usize,
    /// What the head says of the length.
    pub(super) length: Option<u64>,
}

impl Supply {
    /// The request with a source that threads wake.
    pub(super) fn of_threads(&self, request: Request) -> Request {
        let source = Threaded {
            ready: self.ready(),
            stock: Arc::default(),
        };
        request.body_source(source, self.length)
    }

    /// The request with a source that never waits, and a caller that does in its place.
    pub(super) fn simulated(&self, request: Request, caller: Caller) -> (Request, Caller) {
        let pause = match self.piece {
            0 => Duration::from_secs(3600),
            _ => PAUSE,
        };
        let request = request.body_source(self.ready(), self.length);
        (request, caller.source_says_not_now(pause))
    }

    fn ready(&self) -> Ready {
        Ready {
            left: self.body,
            piece: self.piece,
        }
    }
}

struct Ready {
    left: &'static [u8],
    piece: usize,
}

impl BodySource for Ready {
    fn poll_read(&mut self, into: &mut [u8], _waker: &Waker) -> Poll<io::Result<usize>> {
        let count = self.left.len().min(self.piece).min(into.len());
        let (now, later) = self.left.split_at(count);
        into[..count].copy_from_slice(now);
        self.left = later;
        Poll::Ready(Ok(count))
    }
}

struct Threaded {
    ready: Ready,
    stock: Arc<Mutex<Stock>>,
}

/// What a source has that threads fill.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stock {
    #[default]
    Nothing,
    Coming,
    Piece,
}

impl BodySource for Threaded {
    fn poll_read(&mut self, into: &mut [u8], waker: &Waker) -> Poll<io::Result<usize>> {
        let mut stock = self.stock.lock().unwrap();
        if *stock == Stock::Piece {
            *stock = Stock::Nothing;
            return self.ready.poll_read(into, waker);
        }
        if *stock == Stock::Nothing && self.ready.piece > 0 {
            *stock = Stock::Coming;
            let (stock, waker) = (self.stock.clone(), waker.clone());
            thread::spawn(move || {
                thread::sleep(PAUSE);
                *stock.lock().unwrap() = Stock::Piece;
                waker.wake();
            });
        }
        Poll::Pending
    }
}
