//! How the calls of an event loop end when something else than their peer ends them: code of the caller's that panics,
//! and the end of the loop itself.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use wirescope::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};
use wirescope::resolver::from_fn;
use wirescope::testkit::{BlackHole, Gate, Peer, Script};
use wirescope::{CancelHandle, Completion, EventLoop};

use crate::harness::{Lab, PATIENCE, SHORT, echo_target, ok, took_about};

fn run_all(event_loop: &mut EventLoop) -> Vec<Completion> {
    std::iter::from_fn(|| event_loop.next().unwrap()).collect()
}

/// Panics at each event of a kind.
struct Panics(EventKind);

impl Observer for Panics {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, event: &Event) -> Verdict {
        assert!(event.kind() != self.0, "by the test");
        Verdict::Continue
    }
}

#[test]
fn observers_that_panic_cost_no_call() {
    const KINDS: [EventKind; 8] = [
        EventKind::CallStart,
        EventKind::ConnectStart,
        EventKind::GotConn,
        EventKind::WroteRequest,
        EventKind::GotResponseHead,
        EventKind::ResponseBodyDone,
        EventKind::PutIdleConn,
        EventKind::CallDone,
    ];
    const CALLS: usize = 96;
    let peer = Peer::builder().script(echo_target());
    let lab = Lab::with(peer, |client| client.max_connections_per_origin(5));
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    for number in 0..CALLS {
        let panics = ObserverRef::new(Panics(KINDS[number % KINDS.len()]));
        let request = lab.request("GET", &format!("/{number}")).observe(panics);
        event_loop.submit(request).unwrap();
    }
    let done = run_all(&mut event_loop);
    assert_eq!(done.len(), CALLS);
    for done in done {
        let done = done.into_result().unwrap();
        assert_eq!(done.body(), done.url().path().as_bytes());
    }
    drop(event_loop);
    let seen = lab.finish();
    assert_eq!(seen.matching("call_done status=200").len(), CALLS);
}

#[test]
fn finishing_completes_every_call_wherever_it_is() {
    let (hole, gate) = (BlackHole::start().unwrap(), Gate::new());
    let asked = gate.clone();
    let resolver = from_fn(move |_| {
        let _ = asked.wait(PATIENCE);
        Ok(Vec::new())
    });
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let answers = Script::new().respond_with(|request| match request.target() {
        "/quick" => ok("done").into(),
        _ => half.to_vec(),
    });
    let peer = Peer::builder().script(answers);
    let lab = Lab::with(peer, |client| {
        client.resolver(resolver).max_connections_per_origin(2)
    });
    let silent = Peer::start(Script::new().stall()).unwrap();
    let deaf = Peer::builder()
        .receive_buffer_bytes(4096)
        .script(Script::new().expect_head().stop_reading().expect_gone())
        .keep_bodies(false)
        .start()
        .unwrap();
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    let mut places = BTreeMap::new();
    let mut submit = |place: &'static str, url: &str| {
        let request = match place {
            "send" => lab.client.post(url).unwrap().body(vec![b'x'; 32 << 20]),
            _ => lab.client.get(url).unwrap(),
        };
        places.insert(event_loop.submit(request).unwrap(), place);
    };
    submit("", &lab.peer.url("/quick"));
    submit("receive", &lab.peer.url("/half"));
    submit("lookup", "http://slow.test/");
    submit("connect", &format!("http://{}/", hole.addr()));
    submit("tls", &silent.https_url("/"));
    submit("send", &deaf.url("/"));
    submit("first_byte", &silent.url("/one"));
    submit("first_byte", &silent.url("/two"));
    submit("queue", &silent.url("/three"));
    let begun = Instant::now();
    let all = event_loop.finish(2 * SHORT).unwrap();
    took_about(begun, 2 * SHORT);
    assert_eq!(all.len(), places.len());
    for done in all {
        let place = places.remove(&done.ticket()).unwrap();
        if let Err(error) = done.into_result() {
            assert!(error.is_canceled(), "{place}: {error:?}");
            assert_eq!(error.phase().tag(), place);
        } else {
            assert_eq!(place, "");
        }
    }
    assert!(places.is_empty(), "{places:?}");
    gate.open();
    drop((deaf, silent));
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::CallDone).len(), 9);
    assert_eq!(seen.matching("call_canceled by=caller").len(), 8);
}

#[test]
fn finishing_takes_no_time_when_all_is_done_or_canceled() {
    let stalls = Peer::builder().script(Script::new().expect_request().stall());
    let lab = Lab::with(stalls, |client| client);
    let begun = Instant::now();
    assert!(
        EventLoop::new(&lab.client)
            .unwrap()
            .finish(PATIENCE)
            .unwrap()
            .is_empty()
    );
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    let handle = CancelHandle::default();
    for _ in 0..3 {
        let request = lab.request("GET", "/").cancel_by(&handle);
        event_loop.submit(request).unwrap();
    }
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(lab.peer.wait_for_request(3, PATIENCE));
            handle.cancel();
        });
        event_loop.finish(PATIENCE).unwrap()
    });
    assert_eq!(done.len(), 3);
    assert!(begun.elapsed() < PATIENCE / 2);
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    event_loop.submit(lab.request("GET", "/")).unwrap();
    let done = event_loop.finish(Duration::ZERO).unwrap();
    assert!(done[0].error().unwrap().is_canceled());
    lab.finish_unfollowed();
}

/// A source that panics after so many pieces.
struct Breaks(usize);

impl Read for Breaks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        assert!(self.0 > 0, "by the test");
        self.0 -= 1;
        Ok(into.len().min(1_000))
    }
}

#[test]
fn sources_that_panic_fail_their_own_calls_and_no_other() {
    const CALLS: usize = 60;
    let script = Script::new().respond_with(|request| ok(request.target()).into());
    let peer = Peer::builder().script(script);
    let lab = Lab::with(peer, |client| client.max_connections_per_origin(4));
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    for number in 0..CALLS {
        let target = format!("/{number}");
        let request = match number % 6 {
            0 => lab.request("PUT", &target).body_reader(Breaks(0)),
            2 => lab.request("PUT", &target).body_reader(Breaks(5)),
            4 => lab
                .request("PUT", &target)
                .body_sized_reader(Breaks(40), 1_000_000),
            _ => lab.request("GET", &target),
        };
        event_loop.submit(request).unwrap();
    }
    let done = run_all(&mut event_loop);
    assert_eq!(done.len(), CALLS);
    let (broken, whole): (Vec<_>, Vec<_>) = done.iter().partition(|done| done.error().is_some());
    assert_eq!((broken.len(), whole.len()), (CALLS / 2, CALLS / 2));
    for done in whole {
        assert_eq!(done.body(), done.url().path().as_bytes());
    }
    let total = event_loop.pool_stats().total();
    assert_eq!((total.active(), total.waiting()), (0, 0));
    drop(event_loop);
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::CallDone).len(), CALLS);
}
