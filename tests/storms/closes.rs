//! A server goes away with all its connections at once.

use std::time::{Duration, Instant};

use wirescope::ErrorKind;
use wirescope::event::{EventData, EventKind};
use wirescope::message::close::CloseReason;
use wirescope::testkit::{Peer, Script};

use crate::crowd::{Crowd, Far, Near, OK};
use crate::many::Many;
use crate::{Alone, PATIENCE, alone, connections, on_processor};

/// Connections with both ends in this process.
const NEAR: usize = 3_000;

/// Connections whose other ends are elsewhere.
const FAR: usize = 10_000;

/// What something took: time on the processor, turns.
pub(crate) type Cost = (Duration, usize);

/// All connections are idle when the crowd closes them: each is told, and closed.
pub(crate) fn while_idle(crowd: &mut dyn Crowd, count: usize) -> Cost {
    let mut many = Many::with(|client| crowd.trusted(client));
    many.idle(crowd, count);
    crowd.close_all();
    let (begun, before) = (Instant::now(), on_processor());
    let turns = many.turn_until(|event_loop| event_loop.pool_stats().total().idle() == 0);
    let cost = (on_processor() - before, turns);
    println!("{count} idle: {cost:?} in {:?}", begun.elapsed());
    assert_eq!(many.event_loop.next_wait(), None);
    let seen = many.finish(count);
    let mut closed = 0;
    for event in seen.only(EventKind::ConnClosed) {
        if let EventData::ConnClosed(data) = event.data() {
            assert_eq!(data.reason(), CloseReason::PeerClosedIdle, "{event}");
            closed += 1;
        }
    }
    assert_eq!(closed, count);
    cost
}

/// Every call waits for its answer when the crowd closes the connections: each ends, once.
pub(crate) fn while_active(crowd: &mut dyn Crowd, count: usize) -> Cost {
    let mut many = Many::with(|client| crowd.trusted(client));
    many.ask(crowd, count);
    crowd.close_all();
    let (begun, before) = (Instant::now(), on_processor());
    let turns = many.turn_until(|event_loop| event_loop.calls() == 0);
    let cost = (on_processor() - before, turns);
    println!("{count} active: {cost:?} in {:?}", begun.elapsed());
    let mut tickets = Vec::new();
    for done in many.take(count) {
        tickets.push(done.ticket());
        let error = done.into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PeerClosed, "{error:?}");
    }
    tickets.sort_unstable();
    tickets.dedup();
    assert_eq!(tickets.len(), count, "each ticket ends once");
    many.finish(count);
    cost
}

/// Four times as many cost about four times as much: sixteen times, were it quadratic.
#[track_caller]
fn grows_with_the_count(alone: &Alone, storm: fn(&mut dyn Crowd, usize) -> Cost) {
    let many = connections(NEAR, 2);
    let run = |count| {
        let mut crowd = Near::start();
        let cost = storm(&mut crowd, count);
        drop(crowd);
        cost
    };
    let few = (0..2).map(|_| run(many / 4).0).max().unwrap();
    let (many, _) = run(many);
    alone.nothing_left();
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    println!("{few:?}, {many:?}: {ratio:.1} times as much for 4 times as many");
    assert!(ratio < 9.0, "{ratio:.1}");
}

#[test]
fn idle_connections_that_are_all_closed_at_once_are_told_and_cost_what_they_are_many() {
    grows_with_the_count(&alone(), while_idle);
}

#[test]
fn calls_whose_connections_are_all_closed_at_once_end_once_and_cost_what_they_are_many() {
    grows_with_the_count(&alone(), while_active);
}

/// The end of the connection comes with the answer: there is one report of both, it names the call, and no other
/// follows.
#[test]
fn a_connection_whose_end_came_with_the_answer_is_not_left_in_the_pool() {
    const CALLS: usize = 20;
    let alone = alone();
    let close = Script::new().expect_request().send(OK).close();
    let peer = Peer::builder().script(close).start().unwrap();
    let mut many = Many::new();
    for call in 1..=CALLS {
        let request = many.client.get(&peer.url("/")).unwrap();
        many.event_loop.submit(request).unwrap();
        // The turn in which the request is sent finds no answer, or only that; else both are there before the next one.
        many.turn_until(|_| peer.request_count() == call);
        assert!(peer.wait_until_closed(PATIENCE));
        assert_eq!(many.take(1)[0].body(), b"ok");
        let begun = Instant::now();
        while many.event_loop.pool_stats().total().idle() > 0 {
            // Without a report this would wait until its time is over.
            let patience = Duration::from_secs(5);
            many.event_loop.turn(Some(patience)).unwrap();
            assert!(begun.elapsed() < patience, "call {call}: nobody was told");
        }
    }
    drop(peer);
    many.finish(CALLS);
    alone.nothing_left();
}

#[test]
#[ignore = "10 000 connections to another process: cargo test --release --all-features --test storms -- --ignored"]
fn ten_thousand_connections_are_closed_at_once() {
    let alone = alone();
    let count = connections(FAR, 1);
    let mut crowd = Far::start();
    while_idle(&mut crowd, count);
    while_active(&mut crowd, count);
    drop(crowd);
    alone.nothing_left();
}
