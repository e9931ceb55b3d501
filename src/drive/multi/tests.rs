//! What the loop knows of idle connections without looking at each, what a batch does for all, and how far a turn goes.
//! What calls come to is tested through the door.

use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::body::BodySink;
use crate::drive::multi::COMPLETED;
use crate::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};
use crate::net::count::{Syscall, on_this_thread_of};
use crate::testkit::{Gate, Peer, Script};
use crate::{CancelHandle, Client, Error, EventLoop, Url};

/// How long something takes at the most that takes no time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls at a time.
const CALLS: u64 = 20;

/// Does something at each event of a kind.
struct At<F>(EventKind, F);

impl<F: Fn() + Send + Sync + 'static> Observer for At<F> {
    fn interest(&self) -> Interest {
        Interest::NONE.with(self.0)
    }

    fn on_event(&self, _: &Event) -> Verdict {
        (self.1)();
        Verdict::Continue
    }
}

/// Does something when content comes.
struct OnContent<F>(F);

impl<F: FnMut() + Send> BodySink for OnContent<F> {
    fn poll_write(&mut self, content: &[u8], _: &Waker) -> Poll<io::Result<usize>> {
        (self.0)();
        Poll::Ready(Ok(content.len()))
    }
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn answering() -> (Peer, Url, Client, EventLoop) {
    of(Peer::start(Script::new().respond_with(move |_| ANSWER.to_vec())).unwrap())
}

fn of(peer: Peer) -> (Peer, Url, Client, EventLoop) {
    let url = Url::parse(&peer.url("/")).unwrap();
    let client = Client::new().unwrap();
    let event_loop = EventLoop::new(&client).unwrap();
    (peer, url, client, event_loop)
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
fn calls_that_begin_together_send_when_all_have_begun() {
    let (peer, url, client, mut event_loop) = answering();
    round(&mut event_loop, &client, &url);
    let before = on_this_thread_of(Syscall::Send);
    for _ in 1..CALLS {
        event_loop.submit(client.get(&url).unwrap()).unwrap();
    }
    let sent = Arc::new(Mutex::new(None));
    let seen = sent.clone();
    let look = move || *seen.lock().unwrap() = Some(on_this_thread_of(Syscall::Send));
    let last = client.get(&url).unwrap();
    let last = last.observe(ObserverRef::new(At(EventKind::GotConn, look)));
    event_loop.submit(last).unwrap();
    while event_loop.next().unwrap().is_some() {}
    assert_eq!(*sent.lock().unwrap(), Some(before));
    assert_eq!(on_this_thread_of(Syscall::Send), before + CALLS);
    drop(event_loop);
    peer.finish();
}

#[test]
fn calls_whose_answers_are_there_receive_before_any_goes_on() {
    let (peer, url, client, mut event_loop) = answering();
    let received = Arc::new(Mutex::new(Vec::new()));
    // An answer that comes late is received later.
    let mut all_at_once = (1..=200).map(|round: u64| {
        for _ in 0..CALLS {
            let received = received.clone();
            let look = move || {
                received
                    .lock()
                    .unwrap()
                    .push(on_this_thread_of(Syscall::Receive))
            };
            let request = client.get(&url).unwrap();
            event_loop.submit_to(request, OnContent(look)).unwrap();
        }
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        let all = usize::try_from(round * CALLS).unwrap();
        assert!(peer.wait_for_request(all, PATIENCE));
        let before = on_this_thread_of(Syscall::Receive);
        while event_loop.next().unwrap().is_some() {}
        std::mem::take(&mut *received.lock().unwrap()) == vec![before + CALLS; CALLS as usize]
    });
    assert!(all_at_once.any(|is_so| is_so));
    drop(all_at_once);
    drop(event_loop);
    peer.finish();
}

#[test]
fn a_server_that_speaks_while_a_call_waits_for_others_to_begin_is_not_its_answer() {
    let (speaks, spoken) = (Gate::new(), Gate::new());
    let first = Script::new().expect_request().send(ANSWER);
    let first = first.wait_for(speaks.clone());
    let first = first.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
    let others = Script::new().respond_with(move |_| ANSWER.to_vec());
    let first = first.open_gate(spoken.clone()).expect_gone();
    let scripts = [first, others.clone(), others];
    let peer = Peer::builder().scripts(scripts).start().unwrap();
    let (peer, url, client, mut event_loop) = of(peer);
    event_loop.submit(client.get(&url).unwrap()).unwrap();
    while event_loop.next().unwrap().is_some() {}

    // It takes the idle connection, and the next one the time of its observer.
    event_loop.submit(client.post(&url).unwrap()).unwrap();
    let slow = move || {
        speaks.open();
        assert!(spoken.wait(PATIENCE));
        std::thread::sleep(Duration::from_millis(1));
    };
    let second = client.get(&url).unwrap();
    let second = second.observe(ObserverRef::new(At(EventKind::GetConn, slow)));
    event_loop.submit(second).unwrap();
    while let Some(done) = event_loop.next().unwrap() {
        assert_eq!(done.into_result().unwrap().body(), b"hello");
    }
    assert_eq!(peer.connections(), 3);
    drop(event_loop);
    peer.finish();
}

#[test]
fn a_call_that_is_canceled_by_code_of_another_of_its_batch_is_canceled() {
    let (begin, first_there, both_there) = (Gate::new(), Gate::new(), Gate::new());
    let first = Script::new().expect_request().wait_for(begin.clone());
    let first = first.send(ANSWER).open_gate(first_there.clone());
    let second = Script::new().expect_request().wait_for(first_there);
    let second = second.send(ANSWER).open_gate(both_there.clone());
    let scripts = [first.expect_gone(), second.expect_gone()];
    let (peer, url, client, mut event_loop) = of(Peer::builder().scripts(scripts).start().unwrap());
    let canceled = CancelHandle::default();
    let by = canceled.clone();
    let cancels = OnContent(move || by.cancel());
    let first = client.get(&url).unwrap();
    let first = event_loop.submit_to(first, cancels).unwrap();
    let second = client.get(&url).unwrap().cancel_by(&canceled);
    event_loop.submit(second).unwrap();
    while peer.request_count() < 2 {
        event_loop.turn(Some(Duration::from_millis(1))).unwrap();
    }
    begin.open();
    assert!(both_there.wait(PATIENCE));
    while let Some(done) = event_loop.next().unwrap() {
        let is_canceled = done.error().is_some_and(Error::is_canceled);
        assert_eq!(is_canceled, done.ticket() != first, "{done:?}");
    }
    drop(event_loop);
    peer.finish();
}
