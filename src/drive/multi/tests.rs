//! What the loop knows of idle connections without looking at each, what a batch does for all, and how far a turn goes.
//! What calls come to is tested through the door.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::drive::multi::COMPLETED;
use crate::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};
use crate::net::count::{Syscall, on_this_thread_of};
use crate::testkit::{Peer, Script};
use crate::{Client, EventLoop, Url};

/// Calls at a time.
const CALLS: u64 = 20;

/// Notes, for each event of a kind, how many system calls of a kind this thread had made by then.
#[derive(Clone)]
struct Counts {
    at: EventKind,
    of: Syscall,
    seen: Arc<Mutex<Vec<u64>>>,
}

impl Counts {
    fn new(at: EventKind, of: Syscall) -> Self {
        let seen = Arc::default();
        Self { at, of, seen }
    }

    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Observer for Counts {
    fn interest(&self) -> Interest {
        Interest::NONE.with(self.at)
    }

    fn on_event(&self, _: &Event) -> Verdict {
        self.seen.lock().unwrap().push(on_this_thread_of(self.of));
        Verdict::Continue
    }
}

fn answering() -> (Peer, Url, Client, EventLoop) {
    answering_to(Client::new().unwrap())
}

fn answering_to(client: Client) -> (Peer, Url, Client, EventLoop) {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let peer = Peer::start(Script::new().respond_with(move |_| answer.to_vec())).unwrap();
    let url = Url::parse(&peer.url("/")).unwrap();
    let event_loop = EventLoop::new(&client).unwrap();
    (peer, url, client, event_loop)
}

fn answering_heard_by(counts: &Counts) -> (Peer, Url, Client, EventLoop) {
    let client = Client::builder().observe(ObserverRef::new(counts.clone()));
    answering_to(client.build().unwrap())
}

fn round(event_loop: &mut EventLoop, client: &Client, url: &Url) -> u64 {
    let before = on_this_thread_of(Syscall::Peek);
    for _ in 0..CALLS {
        event_loop.submit(client.get(url).unwrap()).unwrap();
    }
    while let Some(done) = event_loop.next().unwrap() {
        assert_eq!(done.into_result().unwrap().body(), b"hello");
    }
    on_this_thread_of(Syscall::Peek) - before
}

#[test]
fn calls_that_begin_together_need_no_look_of_their_own() {
    let (peer, url, client, mut event_loop) = answering();
    round(&mut event_loop, &client, &url);
    // A thread that is stopped in between knows nothing new any more, and looks.
    let mut looks = (0..200).map(|_| round(&mut event_loop, &client, &url));
    assert!(looks.any(|looks| looks == 0));
    drop(looks);
    drop(event_loop);
    peer.finish();
}

#[test]
fn a_turn_ends_some_calls_and_no_call_waits_for_completions_to_be_taken() {
    let (peer, url, client, mut event_loop) = answering();
    let calls = 3 * COMPLETED;
    for _ in 0..calls {
        event_loop.submit(client.get(&url).unwrap()).unwrap();
    }
    let mut left = calls;
    while left > 0 {
        event_loop.turn(None).unwrap();
        let now = event_loop.calls();
        assert!(left - now <= COMPLETED, "{} in one turn", left - now);
        left = now;
    }
    assert_eq!(std::iter::from_fn(|| event_loop.try_next()).count(), calls);
    drop(event_loop);
    peer.finish();
}

#[test]
fn calls_that_begin_together_send_when_all_have_their_connections() {
    let counts = Counts::new(EventKind::GotConn, Syscall::Send);
    let (peer, url, client, mut event_loop) = answering_heard_by(&counts);
    round(&mut event_loop, &client, &url);
    counts.take();
    let before = on_this_thread_of(Syscall::Send);
    round(&mut event_loop, &client, &url);
    assert_eq!(counts.take(), vec![before; CALLS as usize]);
    drop(event_loop);
    peer.finish();
}

#[test]
fn calls_whose_answers_are_there_receive_before_any_goes_on() {
    let counts = Counts::new(EventKind::GotResponseHead, Syscall::Receive);
    let (peer, url, client, mut event_loop) = answering_heard_by(&counts);
    // An answer that comes late is received later.
    let mut all_at_once = (1..=200).map(|round: u64| {
        for _ in 0..CALLS {
            event_loop.submit(client.get(&url).unwrap()).unwrap();
        }
        let all = usize::try_from(round * CALLS).unwrap();
        while peer.request_count() < all {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        let before = on_this_thread_of(Syscall::Receive);
        counts.take();
        while event_loop.next().unwrap().is_some() {}
        counts.take() == vec![before + CALLS; CALLS as usize]
    });
    assert!(all_at_once.any(|is_so| is_so));
    drop(all_at_once);
    drop(event_loop);
    peer.finish();
}
