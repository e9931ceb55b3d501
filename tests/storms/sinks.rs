//! Very many sinks that take nothing: their calls rest, until they are woken or their loop is dropped.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use wirescope::body::BodySink;

use crate::crowd::{Crowd, Near};
use crate::many::Many;
use crate::{alone, connections, on_processor};

const CALLS: usize = 1_000;

/// Bytes of each body: more than the loop receives at once, and no more than sockets hold.
const BYTES: usize = 100_000;

/// All sinks of a loop.
#[derive(Default)]
struct All {
    is_open: Mutex<bool>,
    /// Of those that said "not now".
    wakers: Mutex<Vec<Waker>>,
    ended: AtomicUsize,
    dropped: AtomicUsize,
}

impl All {
    fn waiting(&self) -> usize {
        self.wakers.lock().unwrap().len()
    }

    /// Lets every sink take what comes.
    fn wake(&self) {
        *self.is_open.lock().unwrap() = true;
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap());
        wakers.iter().for_each(Waker::wake_by_ref);
    }
}

struct Sink(Arc<All>);

impl BodySink for Sink {
    fn poll_write(&mut self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>> {
        let is_open = self.0.is_open.lock().unwrap();
        if *is_open {
            return Poll::Ready(Ok(content.len()));
        }
        self.0.wakers.lock().unwrap().push(waker.clone());
        Poll::Pending
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn answer() -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; BYTES]].concat()
}

/// So many calls whose sinks have all said "not now", once.
fn resting(count: usize) -> (Near, Many, Arc<All>) {
    let (mut crowd, mut many) = (Near::answering(answer()), Many::new());
    let all = Arc::<All>::default();
    many.ask_by(&mut crowd, count, |event_loop, request| {
        event_loop.submit_to(request, Sink(all.clone())).unwrap();
    });
    crowd.answer_all();
    many.turn_until(|_| all.waiting() == count);
    (crowd, many, all)
}

#[test]
fn a_thousand_sinks_that_take_nothing_rest_and_all_end_once_they_are_woken() {
    let alone = alone();
    let count = connections(CALLS, 2);
    let (crowd, mut many, all) = resting(count);
    let before = on_processor();
    for _ in 0..3 {
        many.event_loop
            .turn(Some(Duration::from_millis(100)))
            .unwrap();
    }
    let took = on_processor() - before;
    println!("{count} sinks that take nothing: {took:?} in 3 turns");
    assert_eq!((all.waiting(), many.event_loop.calls()), (count, count));
    assert!(took < Duration::from_millis(30), "{took:?}");
    let waking = {
        let all = all.clone();
        std::thread::spawn(move || all.wake())
    };
    let done = many.take(count);
    waking.join().unwrap();
    for done in done {
        assert_eq!(
            (done.error().is_none(), done.body_bytes()),
            (true, BYTES as u64)
        );
    }
    assert_eq!(all.ended.load(Ordering::Relaxed), count);
    assert_eq!(all.dropped.load(Ordering::Relaxed), count);
    many.finish(count);
    drop((crowd, all));
    alone.nothing_left();
}

#[test]
fn a_dropped_loop_frees_a_thousand_sinks_that_take_nothing() {
    let alone = alone();
    let count = connections(CALLS, 2);
    let (crowd, many, all) = resting(count);
    let seen = many.finish(count);
    let early = seen.matching("response_body_done how=closed_early");
    assert_eq!(early.len(), count);
    assert_eq!(all.ended.load(Ordering::Relaxed), 0);
    assert_eq!(all.dropped.load(Ordering::Relaxed), count);
    // Nobody is there to be woken.
    all.wake();
    drop((crowd, all));
    alone.nothing_left();
}
