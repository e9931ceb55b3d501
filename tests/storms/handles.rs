//! A loop on a thread of its own: cancels from several threads, and an end while very much is under way.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use wirescope::event::{EventKind, Events, Interest, Overflow, channel_with};
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, EventLoop, Handle, Inbox, Ticket};

use crate::crowd::OK;
use crate::{PATIENCE, Random, alone, connections};

/// Threads that submit and cancel.
const THREADS: usize = 4;

/// Calls of each of them.
const EACH: usize = 250;

/// Connections of one origin: fewer than calls.
const PER_ORIGIN: usize = 50;

fn client() -> (Client, Events) {
    let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
    let client = Client::builder()
        .observe(observer)
        .max_connections_per_origin(PER_ORIGIN);
    (client.build().unwrap(), events)
}

fn spawn(client: &Client) -> Handle {
    EventLoop::new(client).unwrap().spawn().unwrap()
}

/// Takes so many completions: each ticket has one, and no other comes.
#[track_caller]
fn take(inbox: &Inbox, tickets: &[Ticket]) -> (usize, usize) {
    let mut left: BTreeSet<Ticket> = tickets.iter().copied().collect();
    assert_eq!(left.len(), tickets.len());
    let (mut whole, mut canceled) = (0, 0);
    while !left.is_empty() {
        let done = inbox.receiver().recv_timeout(PATIENCE).unwrap();
        assert!(left.remove(&done.ticket()), "it ended twice");
        match done.error() {
            None => whole += 1,
            Some(error) => {
                assert!(error.is_canceled(), "{error:?}");
                canceled += 1;
            }
        }
    }
    assert!(inbox.receiver().try_recv().is_err());
    (whole, canceled)
}

/// Each call has one beginning and one end, and each connection is closed.
#[track_caller]
fn judge(events: &Events, calls: usize) {
    let seen = check(events);
    assert_eq!(seen.only(EventKind::CallStart).len(), calls);
    assert_eq!(seen.only(EventKind::CallDone).len(), calls);
    let opened = seen.only(EventKind::ConnOpened).len();
    assert_eq!(seen.only(EventKind::ConnClosed).len(), opened);
}

/// Every thread submits its calls and cancels all of them in between, from the oldest on; half of the calls are answered
/// unless they are canceled before.
#[test]
fn a_thousand_cancels_from_several_threads_end_each_call_once() {
    let alone = alone();
    connections(2 * PER_ORIGIN, 2);
    let answering = Peer::start(Script::new().respond_with(|_| OK.to_vec())).unwrap();
    let silent = Peer::start(Script::new().expect_request().stall()).unwrap();
    let (client, events) = client();
    let handle = spawn(&client);
    let urls = [answering.url("/"), silent.url("/")];
    let begin = Barrier::new(THREADS);
    let work = |seed: usize| {
        let inbox = handle.inbox();
        let mut random = Random(0x5eed_cafe + seed as u64);
        let (mut tickets, mut canceled) = (Vec::new(), 0);
        begin.wait();
        while canceled < EACH {
            if tickets.len() < EACH && (random.below(3) > 0 || canceled == tickets.len()) {
                let url = &urls[tickets.len() % 2];
                tickets.push(inbox.submit(client.get(url).unwrap()).unwrap());
            } else if canceled < tickets.len() {
                inbox.cancel(tickets[canceled]);
                canceled += 1;
            }
        }
        take(&inbox, &tickets)
    };
    let (mut whole, mut canceled) = (0, 0);
    thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|seed| scope.spawn(move || work(seed)))
            .collect();
        for thread in threads {
            let came = thread.join().unwrap();
            (whole, canceled) = (whole + came.0, canceled + came.1);
        }
    });
    println!("{whole} came whole, {canceled} were canceled");
    assert_eq!((whole + canceled, handle.calls()), (THREADS * EACH, 0));
    assert!(canceled >= THREADS * EACH / 2, "{canceled}");
    handle.shutdown(Duration::ZERO).unwrap();
    drop((handle, client, answering, silent));
    judge(&events, THREADS * EACH);
    alone.nothing_left();
}

/// Threads submit until nobody takes their calls any more.
#[test]
fn a_shutdown_with_work_in_flight_ends_each_call_once() {
    let alone = alone();
    connections(2 * PER_ORIGIN, 2);
    let answering = Peer::start(Script::new().respond_with(|_| OK.to_vec())).unwrap();
    let silent = Peer::start(Script::new().expect_request().stall()).unwrap();
    let (client, events) = client();
    let handle = spawn(&client);
    let urls = [answering.url("/"), silent.url("/")];
    let work = || {
        let inbox = handle.inbox();
        let mut tickets = Vec::new();
        loop {
            if handle.calls() > 2 * EACH {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            let url = &urls[tickets.len() % 2];
            match inbox.submit(client.get(url).unwrap()) {
                Ok(ticket) => tickets.push(ticket),
                Err(_) => break,
            }
        }
        let came = take(&inbox, &tickets);
        (tickets.len(), came)
    };
    let limit = Duration::from_millis(200);
    let (mut calls, mut whole, mut canceled) = (0, 0, 0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        while handle.calls() < EACH {
            thread::yield_now();
        }
        let begun = Instant::now();
        handle.shutdown(limit).unwrap();
        println!("ended in {:?} of {limit:?}", begun.elapsed());
        assert!(begun.elapsed() >= limit, "some are never answered");
        assert_eq!(handle.calls(), 0);
        for thread in threads {
            let came = thread.join().unwrap();
            calls += came.0;
            (whole, canceled) = (whole + came.1.0, canceled + came.1.1);
        }
    });
    println!("{calls} calls: {whole} came whole, {canceled} were canceled");
    assert_eq!(whole + canceled, calls);
    assert!(whole > 0 && canceled > 0, "{whole} {canceled}");
    drop((handle, client, answering, silent));
    judge(&events, calls);
    alone.nothing_left();
}
