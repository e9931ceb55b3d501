//! What the loop knows of idle connections without looking at each, and how far a turn goes. What calls come to is tested
//! through the door.

use crate::drive::multi::COMPLETED;
use crate::net::count::{Syscall, on_this_thread_of};
use crate::testkit::{Peer, Script};
use crate::{Client, EventLoop, Url};

/// Calls at a time.
const CALLS: u64 = 20;

fn answering() -> (Peer, Url, Client, EventLoop) {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let peer = Peer::start(Script::new().respond_with(move |_| answer.to_vec())).unwrap();
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
