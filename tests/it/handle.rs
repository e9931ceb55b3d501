//! The loop on a thread of its own: every ticket completes once, whoever submits, cancels, leaves or shuts down.

use std::io::{self, Read};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crossbeam_channel::{never, select};
use wirescope::body::BodySink;
use wirescope::error::RequestRule;
use wirescope::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict, channel};
use wirescope::testkit::{Gate, Peer, PeerBuilder, Script};
use wirescope::{
    Client, ClientBuilder, Completion, ErrorKind, EventLoop, Handle, Inbox, Pending, Phase, Ticket,
};

use crate::harness::{Lab, PATIENCE, SHORT, echo_target, ok, took_about};

/// A loop on a thread of its own, for the client of a lab.
fn spawned(
    peer: PeerBuilder,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Lab, Handle) {
    let lab = Lab::with(peer, change);
    let handle = EventLoop::new(&lab.client).unwrap().spawn().unwrap();
    (lab, handle)
}

fn plain(script: Script) -> (Lab, Handle) {
    spawned(Peer::builder().script(script), |client| client)
}

/// A peer that answers each request once the gate is open.
fn gated(gate: &Gate) -> (Lab, Handle) {
    let answers = Script::new()
        .expect_request()
        .wait_for(gate.clone())
        .send(ok("there"));
    plain(answers)
}

fn submit(lab: &Lab, handle: &Handle, target: &str) -> Pending {
    handle.submit(lab.request("GET", target)).unwrap()
}

/// Waits until something is the case.
#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never came");
        std::thread::yield_now();
    }
}

fn rule_of<T>(result: Result<T, wirescope::Error>) -> Option<RequestRule> {
    match result.map_err(|error| error.kind()) {
        Err(ErrorKind::LocalRequest(rule)) => Some(rule),
        _ => None,
    }
}

fn is_canceled(done: &Completion) -> bool {
    done.error().is_some_and(wirescope::Error::is_canceled)
}

/// Does something at each event of a kind.
struct At<F>(EventKind, F);

impl<F: Fn() + Send + Sync> Observer for At<F> {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, event: &Event) -> Verdict {
        if event.kind() == self.0 {
            self.1();
        }
        Verdict::Continue
    }
}

#[test]
fn handles_can_be_shared_and_sent() {
    fn shared<T: Send + Sync>() {}
    shared::<Handle>();
    shared::<Inbox>();
    shared::<Pending>();
    fn sent<T: Send>() {}
    sent::<EventLoop>();
    sent::<Completion>();
}

#[test]
fn a_call_completes_on_the_thread_that_waits() {
    let (lab, handle) = plain(echo_target());
    for (number, target) in ["/a", "/b", "/c"].into_iter().enumerate() {
        let pending = submit(&lab, &handle, target);
        let ticket = pending.ticket();
        let done = pending.wait().unwrap();
        assert_eq!((done.ticket(), done.body()), (ticket, target.as_bytes()));
        assert_eq!(done.is_connection_reused(), number > 0);
    }
    assert_eq!(handle.calls(), 0);
    assert_eq!(handle.pool_stats().total().idle(), 1);
    handle.shutdown(PATIENCE).unwrap();
    assert_eq!(handle.pool_stats().total().idle(), 0);
    let seen = lab.finish();
    assert_eq!(seen.only(EventKind::ConnOpened).len(), 1);
    assert_eq!(seen.only(EventKind::CallDone).len(), 3);
}

#[test]
fn what_contradicts_itself_is_refused_on_the_thread_that_submits() {
    let (lab, handle) = plain(Script::new());
    let this = std::thread::current().id();
    let observer = At(EventKind::CallDone, move || {
        assert_eq!(std::thread::current().id(), this);
    });
    let request = lab.request("GET", "/").body("not with GET");
    let error = handle
        .submit(request.observe(ObserverRef::new(observer)))
        .unwrap_err();
    assert_eq!(error.phase(), Phase::Prepare);
    let stranger = Client::new().unwrap().get(&lab.peer.url("/")).unwrap();
    assert_eq!(rule_of(handle.submit(stranger)), Some(RequestRule::Setting));
    assert_eq!(handle.calls(), 0);
    handle.shutdown(PATIENCE).unwrap();
    let seen = lab.finish();
    seen.assert_sequence(["call_start", "call_done"]);
}

#[test]
fn eight_threads_submit_a_thousand_calls_each_and_every_ticket_completes_once() {
    const THREADS: usize = 8;
    const CALLS: usize = 1000;
    let (lab, handle) = spawned(Peer::builder().script(echo_target()), |client| {
        let client = client
            .max_connections_per_origin(16)
            .max_idle_per_origin(16);
        client.timeouts(|timeouts| timeouts.queue = Some(12 * PATIENCE))
    });
    let each = |thread: usize| {
        let request = |number: usize| lab.request("GET", &format!("/{thread}/{number}"));
        if thread % 2 == 0 {
            let pending: Vec<Pending> = (0..CALLS)
                .map(|number| handle.submit(request(number)).unwrap())
                .collect();
            let done = pending.into_iter().map(|pending| {
                let (ticket, done) = (pending.ticket(), pending.wait().unwrap());
                assert_eq!(done.ticket(), ticket);
                done
            });
            return done.collect();
        }
        let inbox = handle.inbox();
        let mut tickets: Vec<Ticket> = (0..CALLS)
            .map(|number| inbox.submit(request(number)).unwrap())
            .collect();
        let done: Vec<Completion> = inbox.receiver().iter().take(CALLS).collect();
        let mut completed: Vec<Ticket> = done.iter().map(Completion::ticket).collect();
        completed.sort_unstable();
        tickets.sort_unstable();
        assert_eq!(completed, tickets);
        assert!(inbox.receiver().is_empty());
        done
    };
    let all: Vec<Completion> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || each(thread)))
            .collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.flatten().collect()
    });
    for done in &all {
        assert!(done.error().is_none(), "{:?}", done.error());
        assert_eq!(done.body(), done.url().path().as_bytes());
    }
    let mut tickets: Vec<Ticket> = all.iter().map(Completion::ticket).collect();
    tickets.sort_unstable();
    tickets.dedup();
    assert_eq!((tickets.len(), handle.calls()), (THREADS * CALLS, 0));
    handle.shutdown(PATIENCE).unwrap();
    let seen = lab.finish();
    assert_eq!(seen.only(EventKind::CallDone).len(), THREADS * CALLS);
    assert!(seen.only(EventKind::ConnOpened).len() <= 16);
}

#[test]
fn completions_and_events_are_selected_together() {
    const CALLS: usize = 20;
    let (lab, handle) = plain(echo_target());
    let (observer, events) = channel(4096);
    let inbox = handle.inbox();
    let gate = Gate::new();
    let opened = gate.clone();
    let late = lab
        .request("GET", "/late")
        .observe(ObserverRef::new(At(EventKind::CallDone, move || {
            opened.open()
        })));
    for number in 0..CALLS {
        let request = lab.request("GET", &format!("/{number}"));
        inbox.submit(request.observe(observer.clone())).unwrap();
    }
    let late = handle.submit(late).unwrap();
    let (mut completed, mut ended, mut late_done) = (0, 0, None);
    let nothing = never();
    while completed < CALLS || ended < CALLS || late_done.is_none() {
        let late = if late_done.is_none() {
            late.receiver()
        } else {
            &nothing
        };
        select! {
            recv(inbox.receiver()) -> done => {
                assert!(done.unwrap().error().is_none());
                completed += 1;
            }
            recv(events) -> event => {
                ended += usize::from(event.unwrap().kind() == EventKind::CallDone);
            }
            recv(late) -> done => late_done = Some(done.unwrap()),
            default(PATIENCE) => panic!("{completed} completed, {ended} ended"),
        }
    }
    assert!(gate.wait(PATIENCE));
    handle.shutdown(PATIENCE).unwrap();
    lab.finish();
}

#[test]
fn a_completion_is_waited_for_and_taken_once() {
    let gate = Gate::new();
    let (lab, handle) = gated(&gate);
    let pending = submit(&lab, &handle, "/");
    assert!(pending.try_wait().is_none());
    let begun = Instant::now();
    assert!(pending.wait_timeout(SHORT).is_none());
    took_about(begun, SHORT);
    assert_eq!(handle.calls(), 1);
    gate.open();
    let done = pending.wait_timeout(PATIENCE).unwrap();
    assert_eq!((done.status(), handle.calls()), (Some(200), 0));
    assert!(pending.wait_timeout(PATIENCE).is_none() && pending.try_wait().is_none());
    assert_eq!(rule_of(pending.wait()), Some(RequestRule::CompletionTaken));
    handle.shutdown(PATIENCE).unwrap();
    lab.finish();
}

#[test]
fn a_call_is_canceled_from_any_thread() {
    let (lab, handle) = plain(Script::new().expect_request().stall());
    let other = EventLoop::new(&lab.client).unwrap().spawn().unwrap();
    let inbox = handle.inbox();
    let by_ticket = submit(&lab, &handle, "/ticket");
    let by_pending = submit(&lab, &handle, "/pending");
    let in_inbox = inbox.submit(lab.request("GET", "/inbox")).unwrap();
    let on_drop = submit(&lab, &handle, "/drop").cancel_on_drop();
    let mut request = lab.request("GET", "/handle");
    let by_request = request.cancel_handle();
    let on_request = handle.submit(request).unwrap();
    until(|| lab.peer.request_count() == 5);
    other.cancel(by_ticket.ticket());
    assert!(by_ticket.wait_timeout(SHORT).is_none(), "of another loop");
    std::thread::scope(|scope| {
        scope.spawn(|| handle.cancel(by_ticket.ticket()));
        scope.spawn(|| by_pending.cancel());
        scope.spawn(|| inbox.cancel(in_inbox));
        scope.spawn(|| by_request.cancel());
        scope.spawn(|| drop(on_drop));
    });
    let ticket = by_ticket.ticket();
    for pending in [by_ticket, by_pending, on_request] {
        assert!(is_canceled(&pending.wait().unwrap()));
    }
    let done = inbox.receiver().recv_timeout(PATIENCE).unwrap();
    assert!(is_canceled(&done) && done.ticket() == in_inbox);
    until(|| handle.calls() == 0);
    handle.cancel(ticket);
    handle.shutdown(PATIENCE).unwrap();
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::CallCanceled).len(), 5);
}

#[test]
fn a_call_is_canceled_before_the_loop_has_seen_it() {
    let (lab, handle) = plain(echo_target());
    for _ in 0..100 {
        let pending = submit(&lab, &handle, "/");
        pending.cancel();
        let done = pending.wait().unwrap();
        assert!(done.error().is_none() || is_canceled(&done));
    }
    handle.shutdown(PATIENCE).unwrap();
    lab.finish_unfollowed();
}

#[test]
fn what_nobody_waits_for_goes_on() {
    let gate = Gate::new();
    let (lab, handle) = gated(&gate);
    let inbox = handle.inbox();
    drop(submit(&lab, &handle, "/pending"));
    inbox.submit(lab.request("GET", "/inbox")).unwrap();
    drop(inbox);
    until(|| lab.peer.request_count() == 2);
    gate.open();
    until(|| handle.calls() == 0);
    handle.shutdown(PATIENCE).unwrap();
    let seen = lab.finish();
    assert_eq!(seen.only(EventKind::CallCanceled).len(), 0);
    assert_eq!(seen.matching("response_body_done").len(), 2);
}

#[test]
fn the_last_handle_lets_calls_end_and_then_the_thread() {
    let gate = Gate::new();
    // Closed by then, so that after the last completion nothing more is told.
    let answers = Script::new()
        .expect_request()
        .wait_for(gate.clone())
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nthere");
    let (lab, handle) = plain(answers);
    let inbox = handle.inbox();
    let first = submit(&lab, &handle, "/a");
    drop(handle.clone());
    let second = submit(&lab, &handle, "/b");
    drop(handle);
    let third = inbox.submit(lab.request("GET", "/c")).unwrap();
    assert!(lab.peer.wait_for_request(3, PATIENCE));
    let completions = inbox.receiver().clone();
    drop(inbox);
    second.cancel();
    assert!(is_canceled(&second.wait().unwrap()), "that still works");
    gate.open();
    assert_eq!(first.wait().unwrap().body(), b"there");
    let done: Vec<Ticket> = completions.iter().map(|done| done.ticket()).collect();
    assert_eq!(done, [third]);
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::CallCanceled).len(), 1);
    assert_eq!(seen.only(EventKind::CallDone).len(), 3);
}

#[test]
fn a_shutdown_lets_calls_end_and_takes_no_new_ones() {
    let gate = Gate::new();
    let (lab, handle) = gated(&gate);
    let inbox = handle.inbox();
    let under_way = submit(&lab, &handle, "/under_way");
    until(|| lab.peer.request_count() == 1);
    std::thread::scope(|scope| {
        let shutdowns = [1, 2].map(|_| scope.spawn(|| handle.clone().shutdown(PATIENCE)));
        let mut taken = 0;
        until(|| match inbox.submit(lab.request("GET", "/more")) {
            Ok(_) => {
                taken += 1;
                false
            }
            refused => rule_of(refused) == Some(RequestRule::LoopEnded),
        });
        let refused = handle.submit(lab.request("GET", "/late"));
        assert_eq!(rule_of(refused), Some(RequestRule::LoopEnded));
        gate.open();
        for shutdown in shutdowns {
            shutdown.join().unwrap().unwrap();
        }
        assert_eq!(inbox.receiver().try_iter().count(), taken);
    });
    assert_eq!(under_way.try_wait().unwrap().body(), b"there");
    assert_eq!(handle.calls(), 0);
    handle.shutdown(PATIENCE).unwrap();
    handle.cancel(under_way.ticket());
    let seen = lab.finish();
    assert_eq!(seen.only(EventKind::CallCanceled).len(), 0);
}

#[test]
fn a_shutdown_cancels_what_is_left_at_its_limit() {
    const CALLS: usize = 50;
    let (lab, handle) = plain(Script::new().expect_request().stall());
    let inbox = handle.inbox();
    for number in 0..CALLS {
        let request = lab.request("GET", &format!("/{number}"));
        inbox.submit(request).unwrap();
    }
    let pending = submit(&lab, &handle, "/");
    until(|| lab.peer.request_count() == CALLS + 1);
    let begun = Instant::now();
    handle.shutdown(SHORT).unwrap();
    took_about(begun, SHORT);
    let done: Vec<Completion> = inbox.receiver().try_iter().collect();
    assert_eq!(done.len(), CALLS, "all have completed by then");
    assert!(done.iter().all(is_canceled));
    assert!(is_canceled(&pending.try_wait().unwrap()));
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::CallCanceled).len(), CALLS + 1);
}

#[test]
fn submits_race_with_a_shutdown_and_each_completes_or_is_refused() {
    for round in 0..10 {
        let (lab, handle) = spawned(Peer::builder().script(echo_target()), |client| {
            client.max_connections_per_origin(4)
        });
        let submitting = || {
            let inbox = handle.inbox();
            let mut tickets = Vec::new();
            loop {
                match inbox.submit(lab.request("GET", "/")) {
                    Ok(ticket) => {
                        tickets.push(ticket);
                        // Not more than the loop has time for.
                        until(|| handle.calls() < 20);
                    }
                    refused => {
                        assert_eq!(rule_of(refused), Some(RequestRule::LoopEnded));
                        break;
                    }
                }
            }
            handle.shutdown(PATIENCE).unwrap();
            let done = inbox.receiver().try_iter();
            let mut completed: Vec<Ticket> = done.map(|done| done.ticket()).collect();
            completed.sort_unstable();
            assert_eq!(completed, tickets);
        };
        std::thread::scope(|scope| {
            scope.spawn(submitting);
            scope.spawn(submitting);
            until(|| lab.peer.request_count() > 5);
            handle.shutdown(Duration::from_millis(round)).unwrap();
        });
        lab.finish_unfollowed();
    }
}

#[test]
fn an_observer_may_use_the_handle_on_the_thread_of_the_loop() {
    let (lab, handle) = plain(echo_target());
    let inbox = Arc::new(handle.inbox());
    let (by_observer, next) = (inbox.clone(), lab.request("GET", "/next"));
    let next = std::sync::Mutex::new(Some(next));
    let first = lab.request("GET", "/first");
    let by_loop = handle.clone();
    let submits = At(EventKind::CallDone, move || {
        let next = next.lock().unwrap().take().unwrap();
        by_observer.submit(next).unwrap();
        // It cannot wait for its own thread.
        by_loop.shutdown(PATIENCE).unwrap();
    });
    inbox
        .submit(first.observe(ObserverRef::new(submits)))
        .unwrap();
    let done = inbox.receiver().iter().take(2);
    let done: Vec<Vec<u8>> = done.map(Completion::into_body).collect();
    assert_eq!(done, [b"/first".to_vec(), b"/next".to_vec()]);
    handle.shutdown(PATIENCE).unwrap();
    lab.finish();
}

#[test]
fn code_that_panics_fails_its_call_and_no_other() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("a reader of the caller's");
        }
    }
    let (lab, handle) = plain(Script::new().expect_head().stall());
    let inbox = handle.inbox();
    let beside = inbox.submit(lab.request("GET", "/")).unwrap();
    assert!(lab.peer.wait_for_connection(1, PATIENCE));
    let panics = lab.request("POST", "/").body_reader(Panics);
    let error = handle.submit(panics).unwrap().wait().unwrap();
    assert_eq!(error.error().unwrap().kind(), ErrorKind::LocalPanic);
    assert!(inbox.receiver().is_empty());
    handle.cancel(beside);
    let done = inbox.receiver().recv_timeout(PATIENCE).unwrap();
    assert!(done.ticket() == beside && is_canceled(&done));
    handle.shutdown(PATIENCE).unwrap();
    let refused = handle.submit(lab.request("GET", "/"));
    assert_eq!(rule_of(refused), Some(RequestRule::LoopEnded));
    lab.finish_unfollowed();
}

#[test]
fn a_body_goes_into_a_sink_on_the_thread_of_the_loop() {
    struct Sent(crossbeam_channel::Sender<Vec<u8>>);
    impl BodySink for Sent {
        fn poll_write(&mut self, content: &[u8], _: &Waker) -> Poll<io::Result<usize>> {
            self.0.send(content.to_vec()).unwrap();
            Poll::Ready(Ok(content.len()))
        }
    }
    let (lab, handle) = plain(echo_target());
    let (sender, contents) = crossbeam_channel::unbounded();
    let pending = handle.submit_to(lab.request("GET", "/pending"), Sent(sender.clone()));
    let done = pending.unwrap().wait().unwrap();
    assert_eq!((done.body_bytes(), done.body()), (8, &b""[..]));
    let inbox = handle.inbox();
    inbox
        .submit_to(lab.request("GET", "/inbox"), Sent(sender))
        .unwrap();
    assert_eq!(inbox.receiver().recv().unwrap().body_bytes(), 6);
    assert_eq!(
        contents.try_iter().collect::<Vec<_>>().concat(),
        b"/pending/inbox"
    );
    handle.shutdown(PATIENCE).unwrap();
    lab.finish();
}

#[test]
fn calls_of_before_go_on_and_nobody_is_told() {
    let lab = Lab::with(Peer::builder().script(echo_target()), |client| client);
    let mut event_loop = EventLoop::new(&lab.client).unwrap();
    let before = event_loop.submit(lab.request("GET", "/before")).unwrap();
    event_loop.set_body_max(3);
    let handle = event_loop.spawn().unwrap();
    handle.cancel(before);
    let after = submit(&lab, &handle, "/after");
    assert!(before < after.ticket());
    let done = after.wait().unwrap();
    assert_eq!(done.body(), b"/af");
    assert!(matches!(
        done.error().unwrap().kind(),
        ErrorKind::Limit { max: 3, .. }
    ));
    handle.shutdown(PATIENCE).unwrap();
    let seen = lab.finish_unfollowed();
    assert_eq!(seen.only(EventKind::CallDone).len(), 2);
}
