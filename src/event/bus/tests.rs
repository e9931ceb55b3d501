//! Delivery: what each overflow does, who is told in which order, and what an observer cannot break.

#![expect(
    clippy::disallowed_methods,
    reason = "a test has threads, sockets and times of its own"
)]

use std::sync::OnceLock;
use std::thread;

use super::*;
use crate::event::script::{events, events_of};

/// Some events of one call.
fn some(count: usize) -> Vec<Event> {
    events_of(std::iter::repeat_n("c1 a0 pool_lookup", count))
}

fn deliver(observer: &ObserverRef, events: &[Event]) -> Option<Abort> {
    Observers::of_call(std::slice::from_ref(observer), &[]).deliver(events)
}

/// What a receiver holds: the `seq` of events, and `-n` for an announcement of n lost ones.
fn held(receiver: &Receiver<Event>) -> Vec<i64> {
    let shown = |event: Event| match event.data() {
        EventData::EventsLost(lost) => -i64::try_from(lost.count()).unwrap(),
        _ => i64::from(event.seq()),
    };
    receiver.try_iter().map(shown).collect()
}

#[test]
fn drop_newest_counts_exactly_and_announces() {
    let (observer, received) = channel(3);
    let events = some(9);
    deliver(&observer, &events[..5]);
    assert_eq!(received.lost(), 2);
    assert_eq!(held(&received), [0, 1, 2]);
    deliver(&observer, &events[5..]);
    // The announcement takes one of the three places.
    assert_eq!(received.lost(), 4);
    assert_eq!(held(&received), [-2, 5, 6]);
    deliver(&observer, &some(1));
    assert_eq!(held(&received), [-2, 0]);
    assert_eq!(received.lost(), 4);
}

#[test]
fn an_announcement_waits_for_room_for_the_event_behind_it() {
    let (observer, received) = channel(2);
    let events = some(5);
    deliver(&observer, &events[..3]);
    received.recv().unwrap();
    deliver(&observer, &events[3..4]);
    assert_eq!(held(&received), [1, 3]);
    deliver(&observer, &events[4..]);
    assert_eq!(held(&received), [-1, 4]);
}

#[test]
fn the_smallest_channel_does_not_starve() {
    let (observer, received) = channel(0);
    let mut told = 0;
    for round in 0..10 {
        deliver(&observer, &some(if round == 0 { 3 } else { 1 }));
        told += held(&received).iter().filter(|seq| **seq >= 0).count();
    }
    assert_eq!((told, received.lost()), (11, 1));
}

#[test]
fn drop_oldest_keeps_the_newest() {
    let (observer, received) = channel_with(3, Overflow::DropOldest, Interest::DEFAULT);
    let events = some(20);
    deliver(&observer, &events[..5]);
    assert_eq!(received.lost(), 2);
    assert_eq!(held(&received), [2, 3, 4]);
    deliver(&observer, &events[5..7]);
    assert_eq!(received.lost(), 2);
    // The announcement is the oldest: it gives way, is no loss, and is due again.
    deliver(&observer, &events[7..9]);
    assert_eq!(received.lost(), 3);
    assert_eq!(held(&received), [6, 7, 8]);
    deliver(&observer, &events[9..10]);
    assert_eq!(held(&received), [-3, 9]);
}

#[test]
fn drop_oldest_gives_no_plain_receiver_and_ends_with_its_guard() {
    let (observer, received) = channel_with(3, Overflow::DropOldest, Interest::DEFAULT);
    let received = received.into_receiver().unwrap_err();
    assert_eq!(observer.interest(), Interest::DEFAULT);
    drop(received);
    assert_eq!(observer.interest(), Interest::NONE);
}

#[test]
fn block_waits_and_then_loses() {
    let limit = Duration::from_millis(5);
    let (observer, received) = channel_with(2, Overflow::Block(limit), Interest::DEFAULT);
    deliver(&observer, &some(3));
    assert_eq!(received.lost(), 1);
    assert_eq!(held(&received), [0, 1]);
}

#[test]
fn block_loses_nothing_to_a_reader_in_time() {
    let limit = Duration::from_secs(60);
    let (observer, received) = channel_with(2, Overflow::Block(limit), Interest::DEFAULT);
    let receiver = received.into_receiver().unwrap();
    let reader = thread::spawn(move || receiver.iter().take(50).count());
    deliver(&observer, &some(50));
    assert_eq!(reader.join().unwrap(), 50);
}

#[test]
fn unbounded_loses_nothing() {
    let (observer, received) = channel_with(1, Overflow::Unbounded, Interest::DEFAULT);
    deliver(&observer, &some(5000));
    assert_eq!((received.len(), received.lost()), (5000, 0));
}

#[test]
fn a_plain_receiver_goes_on_after_the_guard() {
    let (observer, received) = channel(8);
    let receiver = received.into_receiver().unwrap();
    deliver(&observer, &some(2));
    assert_eq!(held(&receiver), [0, 1]);
}

#[test]
fn after_the_receiver_is_dropped_nothing_is_wanted() {
    for overflow in [
        Overflow::DropNewest,
        Overflow::Block(Duration::from_secs(60)),
        Overflow::Unbounded,
    ] {
        let (observer, received) = channel_with(2, overflow, Interest::DEFAULT);
        drop(received);
        deliver(&observer, &some(9));
        assert!(
            Observers::of_call(&[observer], &[]).interest().is_empty(),
            "{overflow:?}"
        );
    }
}

#[test]
fn only_the_kinds_asked_for_are_told() {
    let wanted = Interest::NONE.with(EventKind::CallStart);
    let (observer, received) = channel_with(8, Overflow::DropNewest, wanted);
    deliver(
        &observer,
        &events("c1 call_start\nc1 call_canceled\nc1 call_done"),
    );
    assert_eq!(held(&received), [0]);
}

/// An observer made of a closure.
struct Told<F>(F);

impl<F: Fn(&Event) -> Verdict + Send + Sync> Observer for Told<F> {
    fn on_event(&self, event: &Event) -> Verdict {
        (self.0)(event)
    }
}

type Log = Arc<Mutex<Vec<String>>>;

/// An observer that writes its name for each event, and aborts if it is to.
fn logger(log: &Log, name: &'static str, aborts: bool) -> ObserverRef {
    let log = log.clone();
    ObserverRef::new(Told(move |event: &Event| {
        log.lock().unwrap().push(format!("{name}{}", event.seq()));
        match aborts {
            true => Verdict::Abort(name.into()),
            false => Verdict::Continue,
        }
    }))
}

#[test]
fn a_panicking_observer_is_detached_and_nobody_else() {
    let log = Log::default();
    let bad = ObserverRef::new(Told(|_: &Event| panic!("an observer panics")));
    let good = logger(&log, "good", false);
    let observers = Observers::of_call(&[good, bad.clone()], &[]);
    let abort = observers.deliver(&some(2));
    assert!(abort.is_none());
    assert!(bad.is_detached());
    assert_eq!(*log.lock().unwrap(), ["good0", "good1"]);
    assert!(Observers::of_call(&[bad], &[]).interest().is_empty());
}

#[test]
fn a_panic_in_interest_is_caught_too() {
    struct Bad;
    impl Observer for Bad {
        fn interest(&self) -> Interest {
            panic!("interest panics")
        }
        fn on_event(&self, _event: &Event) -> Verdict {
            Verdict::Continue
        }
    }
    let bad = ObserverRef::new(Bad);
    assert!(
        Observers::of_call(std::slice::from_ref(&bad), &[])
            .interest()
            .is_empty()
    );
    assert!(bad.is_detached());
}

#[test]
fn observers_of_the_request_come_first_newest_first_each_once() {
    let log = Log::default();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| logger(&log, name, false));
    let request = [a.clone(), b.clone(), a];
    let client = [c, d, b];
    Observers::of_call(&request, &client).deliver(&some(1));
    assert_eq!(*log.lock().unwrap(), ["a0", "b0", "d0", "c0"]);
}

#[test]
fn the_first_reason_to_abort_is_kept() {
    let log = Log::default();
    let [a, b, c] = ["a", "b", "c"].map(|name| logger(&log, name, name != "c"));
    let abort = Observers::of_call(&[a, b, c], &[]).deliver(&some(1));
    assert_eq!(abort.unwrap().to_string(), "b");
    assert_eq!(*log.lock().unwrap(), ["c0", "b0", "a0"]);
}

#[test]
fn an_abort_outside_a_call_or_after_it_is_ignored() {
    let log = Log::default();
    let observer = logger(&log, "a", true);
    for script in [
        "n1 conn_closed",
        "client_start",
        "d1 dial_done abandoned",
        "c1 call_done status=200",
    ] {
        assert!(deliver(&observer, &events(script)).is_none(), "{script}");
    }
    assert!(deliver(&observer, &events("c1 call_start")).is_some());
}

#[test]
fn a_call_started_inside_an_observer_is_not_shown_to_it() {
    let log = Log::default();
    let other = logger(&log, "other", false);
    let own: Arc<OnceLock<ObserverRef>> = Arc::default();
    let (inside, beside) = (own.clone(), other);
    let nesting = ObserverRef::new(Told(move |_: &Event| {
        let observers = [inside.get().unwrap().clone(), beside.clone()];
        Observers::of_call(&observers, &[]).deliver(&some(1));
        Verdict::Continue
    }));
    own.set(nesting.clone()).unwrap();
    Observers::of_call(std::slice::from_ref(&nesting), &[]).deliver(&some(2));
    assert_eq!(*log.lock().unwrap(), ["other0", "other0"]);
    assert_eq!(nesting.interest(), Interest::DEFAULT);
}

#[test]
fn batches_come_with_the_end_of_their_stream() {
    let (observer, received) = batches(4);
    let script = events(
        "client_start
        c1 call_start
        c2 call_start
        d1 dial_start
        c1 call_done
        d1 dial_done abandoned
        n1 conn_closed
        c2 call_done",
    );
    deliver(&observer, &script[..7]);
    let tags = |batch: Vec<Event>| {
        batch
            .iter()
            .map(|event| event.kind().tag())
            .collect::<Vec<_>>()
    };
    let seen: Vec<_> = received.try_iter().map(tags).collect();
    assert_eq!(
        seen,
        [
            vec!["client_start"],
            vec!["call_start", "call_done"],
            vec!["dial_start", "dial_done"],
            vec!["conn_closed"]
        ]
    );
    deliver(&observer, &script[7..]);
    assert_eq!(received.recv().unwrap().len(), 2);
    drop(received);
    deliver(&observer, &script);
    assert_eq!(observer.interest(), Interest::NONE);
}
