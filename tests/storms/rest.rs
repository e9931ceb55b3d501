//! An event loop that has nothing to do, and many connections.

use std::time::{Duration, Instant};

use crate::crowd::Near;
use crate::many::Many;
use crate::{alone, connections, on_processor};

const IDLE: usize = 1_000;

/// How long one turn has nothing to do.
const PAUSE: Duration = Duration::from_millis(500);

#[test]
fn a_thousand_idle_connections_take_no_time() {
    let alone = alone();
    let count = connections(IDLE, 2);
    let (mut crowd, mut many) = (Near::start(), Many::new());
    many.idle(&mut crowd, count);
    // What the last answers brought about is done.
    while many.event_loop.next_wait() == Some(Duration::ZERO) {
        many.event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    let next = many.event_loop.next_wait();
    assert!(
        next.is_none_or(|next| next > Duration::from_secs(60)),
        "{next:?}"
    );
    let (begun, before) = (Instant::now(), on_processor());
    for _ in 0..3 {
        many.event_loop.turn(Some(PAUSE)).unwrap();
    }
    let (passed, took) = (begun.elapsed(), on_processor() - before);
    println!("{count} idle connections: {took:?} of {passed:?}");
    assert!(passed >= PAUSE * 3, "it woke up: {passed:?}");
    assert!(took < passed / 100, "{took:?} of {passed:?}");
    many.finish(count);
    drop(crowd);
    alone.nothing_left();
}
