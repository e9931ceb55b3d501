//! Tables of single rules, and a model that is run against the pool over random operations.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

impl<T> Heard<T> {
    fn is_silent(&self) -> bool {
        !matches!(self, Self::Mail(_))
    }
}
use crate::message::pool::{KeyStats, PoolCounts};
use crate::message::via::Destination;

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) struct Conn(pub(super) u64, pub(super) Instant);

impl Pooled for Conn {
    fn good_until(&self, idle_timeout: Duration) -> Option<(Instant, CloseReason)> {
        Some((self.1.checked_add(idle_timeout)?, CloseReason::IdleTimeout))
    }
}

type TestPool = Pool<Conn, u64>;

pub(super) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

pub(super) fn key(text: &str) -> Arc<Key> {
    Arc::new(Key::of(Destination::straight(&url(text))))
}

pub(super) const FREE: Bounds = Bounds {
    idle_per_key: 8,
    idle_total: 128,
    idle_timeout: Duration::from_secs(30),
    per_key: None,
    total: None,
};

/// Dials for a call; the connection is on loan to it.
fn open(pool: &mut TestPool, text: &str, call: u64, now: Instant) {
    let taken = pool.take(Destination::straight(&url(text)), call, Wish::Any, now);
    assert!(matches!(taken.found, Found::MayDial), "{taken:?}");
    let served = pool.dialed(call, true);
    assert!(served.wake.is_empty());
}

fn put(pool: &mut TestPool, text: &str, number: u64, now: Instant) -> Option<u64> {
    let generation = pool.generation();
    let served = pool.put(&key(text), Conn(number, now), generation);
    served.closed.first().map(|(conn, _)| conn.0)
}

fn open_and_put(pool: &mut TestPool, text: &str, number: u64, now: Instant) -> Option<u64> {
    // What is idle is left alone: the connection is counted as one that was made beside it.
    let slot = pool.slots.open(&key(text));
    pool.dialing(slot, number, Wish::Any);
    pool.dialed(number, true);
    put(pool, text, number, now)
}

fn limit_of<T: std::fmt::Debug>(found: Found<T>) -> QueueLimit {
    match found {
        Found::MustWait(limit) => limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_newest_is_taken_first_and_the_old_are_thrown_out() {
    let now = crate::testing::origin();
    let mut pool = TestPool::new(FREE);
    let later = now + Duration::from_secs(29);
    open_and_put(&mut pool, "http://a/", 1, now);
    open_and_put(&mut pool, "http://a/", 2, later);
    open_and_put(&mut pool, "http://a/", 3, later);
    let taken = pool.take(
        Destination::straight(&url("http://a/x")),
        9,
        Wish::Any,
        now + Duration::from_secs(30),
    );
    let Found::Idle(found) = taken.found else {
        panic!("{taken:?}");
    };
    assert_eq!((found.0, taken.idle, taken.active), (3, 3, 0));
    let expired: Vec<_> = taken.expired.iter().map(|(conn, _)| conn.0).collect();
    assert_eq!(expired, [1]);
    assert_eq!(pool.counts(), (1, 1));
}

/// A connection that counts how often it is asked how long it is good.
#[derive(Debug, Clone)]
struct Watched(Instant, Rc<Cell<usize>>);

impl Pooled for Watched {
    fn good_until(&self, idle_timeout: Duration) -> Option<(Instant, CloseReason)> {
        self.1.set(self.1.get() + 1);
        Some((self.0.checked_add(idle_timeout)?, CloseReason::IdleTimeout))
    }
}

#[test]
fn idle_connections_are_looked_at_only_when_the_time_of_one_may_be_over() {
    let now = crate::testing::origin();
    let (asked, url) = (Rc::new(Cell::new(0)), url("http://a/"));
    let mut pool = Pool::<Watched, u64>::new(Bounds {
        idle_per_key: 100,
        ..FREE
    });
    for number in 0..100 {
        pool.take(Destination::straight(&url), number, Wish::Fresh, now);
        pool.dialed(number, true);
        let since = now + Duration::from_millis(number);
        pool.put(&key("http://a/"), Watched(since, asked.clone()), 0);
    }
    asked.set(0);
    let mut take = |seconds| {
        let taken = pool.take(
            Destination::straight(&url),
            1000,
            Wish::Any,
            now + Duration::from_secs(seconds),
        );
        taken.expired.len()
    };
    assert_eq!((take(1), take(29), asked.get()), (0, 0, 0));
    assert_eq!((take(30), take(31)), (1, 96));
    assert!(asked.get() > 96);
}

#[test]
fn cve_78_p20_a_key_differs_in_scheme_host_or_port() {
    let now = crate::testing::origin();
    for other in [
        "https://a:80/",
        "http://b/",
        "http://a:81/",
        "http://a./",
        "http://[fe80::1%25eth0]/",
    ] {
        let mut pool = TestPool::new(FREE);
        open_and_put(&mut pool, "http://a/", 1, now);
        let taken = pool.take(Destination::straight(&url(other)), 8, Wish::Any, now);
        assert!(matches!(taken.found, Found::MayDial), "{other}");
        let taken = pool.take(
            Destination::straight(&url("http://A:80/y")),
            9,
            Wish::Any,
            now,
        );
        assert!(matches!(taken.found, Found::Idle(_)));
    }
}

#[test]
fn rfc_e19_p07_the_oldest_gives_way_within_a_key_and_over_all() {
    let now = crate::testing::origin();
    let later = |seconds| now + Duration::from_secs(seconds);
    let mut pool = TestPool::new(Bounds {
        idle_per_key: 2,
        idle_total: 3,
        ..FREE
    });
    assert_eq!(open_and_put(&mut pool, "http://a/", 1, later(0)), None);
    assert_eq!(open_and_put(&mut pool, "http://a/", 2, later(1)), None);
    assert_eq!(open_and_put(&mut pool, "http://a/", 3, later(2)), Some(1));
    assert_eq!(open_and_put(&mut pool, "http://b/", 4, later(3)), None);
    assert_eq!(open_and_put(&mut pool, "http://b/", 5, later(4)), Some(2));
    assert_eq!(pool.counts(), (3, 0));
    assert_eq!(pool.stats().closed(CloseReason::Evicted), 2);
}

#[test]
fn close_idle_takes_all_and_refuses_those_on_loan() {
    let now = crate::testing::origin();
    let mut pool = TestPool::new(FREE);
    open_and_put(&mut pool, "http://a/", 1, now);
    let before = pool.generation();
    open(&mut pool, "http://b/", 2, now);
    let reason = CloseReason::CloseIdleCalled;
    assert_eq!(pool.take_all(reason).len(), 1);
    assert_eq!(pool.place(&key("http://b/"), before), Err(reason));
    assert_eq!(pool.place(&key("http://b/"), pool.generation()), Ok(1));
    let served = pool.put(&key("http://b/"), Conn(2, now), before);
    assert_eq!(served.closed, [(Conn(2, now), reason)]);
}

#[test]
fn rfc_e19_p13_beyond_the_limit_of_an_origin_calls_wait_in_their_order() {
    let now = crate::testing::origin();
    let bounds = Bounds {
        per_key: Some(1),
        ..FREE
    };
    let mut pool = TestPool::new(bounds);
    let (a, b) = (url("http://a/"), url("http://b/"));
    assert!(matches!(
        pool.take(Destination::straight(&a), 1, Wish::Any, now)
            .found,
        Found::MayDial
    ));
    // A dial under way counts.
    for call in [2, 3] {
        assert_eq!(
            limit_of(
                pool.take(Destination::straight(&a), call, Wish::Any, now)
                    .found
            ),
            QueueLimit::PerOrigin
        );
        let joined = pool.join(
            Destination::straight(&a),
            call,
            (Cause::Limits, Wish::Any),
            call,
        );
        assert_eq!(limit_of(joined.found), QueueLimit::PerOrigin);
        assert_eq!(joined.depth as u64, call - 1);
    }
    assert!(matches!(
        pool.take(Destination::straight(&b), 9, Wish::Any, now)
            .found,
        Found::MayDial
    ));
    assert!(pool.dialed(1, true).wake.is_empty());
    // What comes back goes to the oldest, and to nobody who comes in between.
    let generation = pool.generation();
    let served = pool.put(&key("http://a/"), Conn(1, now), generation);
    assert_eq!(served.wake, [2]);
    assert_eq!(
        limit_of(
            pool.take(Destination::straight(&a), 4, Wish::Any, now)
                .found
        ),
        QueueLimit::PerOrigin
    );
    assert!(matches!(pool.read(2), Some(Mail::Handed(Conn(1, _), _))));
    // A connection that is closed leaves its permit to the next.
    let served = pool.closed(&key("http://a/"), CloseReason::PeerClose);
    assert_eq!(served.wake, [3]);
    assert!(matches!(pool.read(3), Some(Mail::MayDial)));
    assert!(pool.dialed(3, false).wake.is_empty());
    assert_eq!(pool.stats().total().connections(), 1);
}

#[test]
fn a_call_that_leaves_gives_its_mail_to_the_next() {
    let now = crate::testing::origin();
    let bounds = Bounds {
        per_key: Some(1),
        ..FREE
    };
    let mut pool = TestPool::new(bounds);
    let a = url("http://a/");
    open(&mut pool, "http://a/", 1, now);
    for call in [2, 3] {
        pool.join(
            Destination::straight(&a),
            call,
            (Cause::Limits, Wish::Any),
            call,
        );
    }
    let generation = pool.generation();
    let served = pool.put(&key("http://a/"), Conn(1, now), generation);
    assert_eq!(served.wake, [2]);
    assert_eq!(pool.leave(2).wake, [3]);
    assert!(matches!(pool.read(3), Some(Mail::Handed(Conn(1, _), _))));
    // The permit too.
    for call in [4, 5] {
        pool.join(
            Destination::straight(&a),
            call,
            (Cause::Limits, Wish::Any),
            call,
        );
    }
    let served = pool.closed(&key("http://a/"), CloseReason::PeerClose);
    assert_eq!(served.wake, [4]);
    assert_eq!(pool.leave(4).wake, [5]);
    assert!(matches!(pool.read(5), Some(Mail::MayDial)));
}

#[test]
fn rfc_e19_the_total_limit_closes_an_idle_connection_of_another_origin_before_anybody_waits() {
    let now = crate::testing::origin();
    let mut pool = TestPool::new(Bounds {
        total: Some(2),
        ..FREE
    });
    let b = url("http://b/");
    open_and_put(&mut pool, "http://a/", 1, now);
    open(&mut pool, "http://c/", 2, now);
    let taken = pool.take(Destination::straight(&b), 3, Wish::Any, now);
    assert!(matches!(taken.found, Found::MayDial));
    assert_eq!(taken.evicted, Some(Conn(1, now)));
    // Nothing is idle now: the next waits, and what comes back is closed for it.
    assert_eq!(
        limit_of(
            pool.take(Destination::straight(&b), 4, Wish::Any, now)
                .found
        ),
        QueueLimit::Total
    );
    pool.join(Destination::straight(&b), 4, (Cause::Limits, Wish::Any), 4);
    let generation = pool.generation();
    let served = pool.put(&key("http://c/"), Conn(2, now), generation);
    assert_eq!(served.closed, [(Conn(2, now), CloseReason::Evicted)]);
    assert_eq!(served.wake, [4]);
    assert!(matches!(pool.read(4), Some(Mail::MayDial)));
}

#[test]
fn p14_a_connection_that_comes_back_is_handed_to_the_oldest_dial() {
    let now = crate::testing::origin();
    let mut pool = TestPool::new(FREE);
    open(&mut pool, "http://a/", 1, now);
    for call in [2, 3] {
        let taken = pool.take(
            Destination::straight(&url("http://a/")),
            call,
            Wish::Any,
            now,
        );
        assert!(matches!(taken.found, Found::MayDial));
        assert!(pool.listen(call, call).is_silent());
    }
    let generation = pool.generation();
    let served = pool.put(&key("http://a/"), Conn(1, now), generation);
    assert_eq!(served.wake, [2]);
    // Unread when its dial is complete: it goes on to the next.
    assert_eq!(pool.dialed(2, true).wake, [3]);
    assert!(matches!(pool.read(3), Some(Mail::Handed(Conn(1, _), _))));
    assert!(pool.dialed(3, false).closed.is_empty());
    assert_eq!(pool.counts(), (0, 2));
}

#[test]
fn a_dial_that_listens_late_finds_what_is_idle() {
    let now = crate::testing::origin();
    let mut pool = TestPool::new(FREE);
    open(&mut pool, "http://a/", 1, now);
    pool.take(Destination::straight(&url("http://a/")), 2, Wish::Any, now);
    assert_eq!(put(&mut pool, "http://a/", 1, now), None);
    assert!(matches!(
        pool.listen(2, 2),
        Heard::Mail(Mail::Handed(Conn(1, _), _))
    ));
}

#[test]
fn a_call_that_needs_a_new_connection_gets_no_other_and_the_place_of_one() {
    let now = crate::testing::origin();
    let bounds = Bounds {
        per_key: Some(2),
        ..FREE
    };
    let mut pool = TestPool::new(bounds);
    let a = url("http://a/");
    open_and_put(&mut pool, "http://a/", 1, now);
    let taken = pool.take(Destination::straight(&a), 2, Wish::Fresh, now);
    assert!(matches!(taken.found, Found::MayDial) && taken.evicted.is_none());
    assert!(pool.listen(2, 2).is_silent());
    pool.dialed(2, true);
    let taken = pool.take(Destination::straight(&a), 3, Wish::Fresh, now);
    assert!(matches!(taken.found, Found::MayDial));
    assert_eq!(taken.evicted, Some(Conn(1, now)));
    let taken = pool.take(Destination::straight(&a), 4, Wish::Fresh, now);
    assert_eq!(limit_of(taken.found), QueueLimit::PerOrigin);
    pool.join(
        Destination::straight(&a),
        4,
        (Cause::Limits, Wish::Fresh),
        4,
    );
    let generation = pool.generation();
    let served = pool.put(&key("http://a/"), Conn(2, now), generation);
    assert_eq!(served.wake, [4]);
    assert_eq!(served.closed, [(Conn(2, now), CloseReason::Evicted)]);
    assert!(matches!(pool.read(4), Some(Mail::MayDial)));
}

#[test]
fn a_dead_connection_becomes_the_permit_of_the_call_that_waited() {
    let now = crate::testing::origin();
    let bounds = Bounds {
        per_key: Some(1),
        ..FREE
    };
    let mut pool = TestPool::new(bounds);
    open(&mut pool, "http://a/", 1, now);
    for call in [2, 3] {
        pool.join(
            Destination::straight(&url("http://a/")),
            call,
            (Cause::Limits, Wish::Any),
            call,
        );
    }
    let generation = pool.generation();
    pool.put(&key("http://a/"), Conn(1, now), generation);
    assert!(pool.read(2).is_some());
    let served = pool.died(&key("http://a/"), 2, CloseReason::PeerClosedIdle);
    assert!(served.wake.is_empty(), "the permit is kept");
    assert_eq!(pool.dialed(2, false).wake, [3]);
}

#[test]
fn without_descriptors_an_idle_connection_gives_way_or_the_call_waits_or_nothing_helps() {
    let now = crate::testing::origin();
    let mut pool = TestPool::new(FREE);
    let a = url("http://a/");
    assert!(matches!(
        pool.take(Destination::straight(&a), 1, Wish::Any, now)
            .found,
        Found::MayDial
    ));
    assert!(matches!(pool.make_room(1, Scarce::GivesUp), Room::Nothing));
    pool.dialed(1, true);
    open_and_put(&mut pool, "http://b/", 2, now);
    assert!(matches!(
        pool.take(Destination::straight(&a), 3, Wish::Any, now)
            .found,
        Found::MayDial
    ));
    let room = pool.make_room(3, Scarce::GivesUp);
    assert!(matches!(room, Room::Made(Conn(2, _))));
    let cause = scarce(&mut pool, 3);
    assert!(pool.dialed(3, false).wake.is_empty());
    let joined = pool.join(Destination::straight(&a), 3, (cause, Wish::Any), 3);
    assert_eq!(limit_of(joined.found), QueueLimit::Descriptors);
    // A newcomer does not take the descriptor that becomes free, whatever its origin.
    assert_eq!(
        limit_of(
            pool.take(Destination::straight(&url("http://c/")), 4, Wish::Any, now)
                .found
        ),
        QueueLimit::Descriptors
    );
    let joined = pool.join(
        Destination::straight(&url("http://c/")),
        4,
        (Cause::Limits, Wish::Any),
        4,
    );
    assert_eq!(limit_of(joined.found), QueueLimit::Descriptors);
    let served = pool.closed(&key("http://a/"), CloseReason::PeerClose);
    assert_eq!(served.wake, [3]);
    // Nothing of this client is left that could free one: the next tries.
    assert_eq!(pool.dialed(3, false).wake, [4]);
}

/// A dial is given up for want of a descriptor, while connections are in use.
fn scarce(pool: &mut TestPool, call: u64) -> Cause {
    match pool.make_room(call, Scarce::GivesUp) {
        Room::InUse { freed } => Cause::Descriptors { freed },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_descriptor_that_is_freed_between_giving_up_and_joining_is_not_forgotten() {
    for closes in [false, true] {
        let now = crate::testing::origin();
        let mut pool = TestPool::new(FREE);
        open(&mut pool, "http://b/", 1, now);
        open(&mut pool, "http://c/", 2, now);
        let a = url("http://a/");
        pool.take(Destination::straight(&a), 3, Wish::Any, now);
        let cause = scarce(&mut pool, 3);
        if closes {
            let served = pool.closed(&key("http://b/"), CloseReason::PeerClose);
            assert!(served.wake.is_empty());
        }
        pool.dialed(3, false);
        let joined = pool.join(Destination::straight(&a), 3, (cause, Wish::Any), 3);
        assert_eq!(matches!(joined.found, Found::MayDial), closes);
    }
}

#[test]
fn a_dial_that_goes_on_without_one_contestant_listens_and_gives_its_descriptor_back() {
    let now = crate::testing::origin();
    for is_heard in [false, true] {
        let mut pool = TestPool::new(FREE);
        let a = url("http://a/");
        open(&mut pool, "http://a/", 1, now);
        pool.take(Destination::straight(&a), 2, Wish::Any, now);
        let room = pool.make_room(2, Scarce::GoesOn);
        assert!(matches!(room, Room::InUse { .. }));
        if is_heard {
            put(&mut pool, "http://a/", 1, now);
            let heard = pool.listen(2, 2);
            assert!(matches!(heard, Heard::Mail(Mail::Handed(..))), "{heard:?}");
            continue;
        }
        pool.take(Destination::straight(&url("http://b/")), 3, Wish::Any, now);
        let cause = scarce(&mut pool, 3);
        pool.dialed(3, false);
        let joined = pool.join(
            Destination::straight(&url("http://b/")),
            3,
            (cause, Wish::Any),
            3,
        );
        assert_eq!(limit_of(joined.found), QueueLimit::Descriptors);
        assert_eq!(pool.dialed(2, false).wake, [3]);
    }
}

/// What an operation may cost with 10 000 keys: the way down a tree of four levels, twice.
const COMPARISONS_MAX: usize = 100;

#[test]
fn ten_thousand_keys_and_as_many_calls_that_wait_cost_a_few_comparisons_each() {
    const KEYS: u64 = 10_000;
    let now = crate::testing::origin();
    let mut pool = TestPool::new(Bounds {
        per_key: Some(1),
        idle_total: 20_000,
        ..FREE
    });
    let urls: Vec<_> = (0..KEYS)
        .map(|number| url(&format!("http://host-{number}.example/")))
        .collect();
    let keys: Vec<_> = urls
        .iter()
        .map(|url| Arc::new(Key::of(Destination::straight(url))))
        .collect();
    let before = key::comparisons::so_far();
    let mut operations = 0;
    for (call, url) in (0..).zip(&urls) {
        assert!(matches!(
            pool.take(Destination::straight(url), call, Wish::Any, now)
                .found,
            Found::MayDial
        ));
        let late = KEYS + call;
        assert!(matches!(
            pool.take(Destination::straight(url), late, Wish::Any, now)
                .found,
            Found::MustWait(_)
        ));
        pool.join(
            Destination::straight(url),
            late,
            (Cause::Limits, Wish::Any),
            late,
        );
        operations += 3;
    }
    for (call, key) in (0..).zip(&keys) {
        pool.dialed(call, true);
        assert_eq!(pool.put(key, Conn(call, now), 0).wake, [KEYS + call]);
        operations += 2;
    }
    for (late, key) in (KEYS..).zip(&keys) {
        assert!(matches!(pool.read(late), Some(Mail::Handed(..))));
        assert_eq!(pool.place(key, 0), Ok(1));
        pool.put(key, Conn(late, now), 0);
        operations += 3;
    }
    let (first, last) = keys.split_at(keys.len() / 2);
    for ((call, key), url) in (0..).zip(last).zip(&urls[first.len()..]) {
        let taken = pool.take(Destination::straight(url), call, Wish::Any, now);
        assert!(matches!(taken.found, Found::Idle(_)));
        pool.closed(key, CloseReason::PeerClose);
        operations += 2;
    }
    for late in KEYS..KEYS + first.len() as u64 {
        let room = pool.make_room(0, Scarce::GivesUp);
        assert!(matches!(room, Room::Made(Conn(oldest, _)) if oldest == late));
        operations += 1;
    }
    let comparisons = key::comparisons::so_far() - before;
    assert!(
        comparisons < operations * COMPARISONS_MAX,
        "{comparisons} comparisons in {operations} operations"
    );
}

/// What a call of the model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Waiting,
    /// For a descriptor.
    Starving,
    Dialing,
    /// Out of descriptors, and its dial is to be ended, when that many had been freed.
    GivingUp(Cause, u64),
    /// Its dial is ended, and it is to join the queue.
    Joining(Cause, u64),
    Using(u64, u64),
}

/// The calls of a model and the connections they have, beside the pool.
struct Model {
    pool: TestPool,
    calls: Vec<(u64, usize, Doing)>,
    next: u64,
    now: Instant,
    /// Calls that were woken and have not read their mail.
    woken: Vec<u64>,
    /// Connections that were closed and dials that failed.
    freed: u64,
    bounds: Bounds,
}

const KEYS: [&str; 3] = ["http://a/", "http://b/", "https://a/"];

impl Model {
    fn serve(&mut self, served: Served<Conn, u64>) {
        for woken in served.wake {
            let place = self
                .calls
                .iter()
                .find(|one| one.0 == woken)
                .map(|one| one.1);
            let is_passed_over = |(call, other, doing): &(u64, usize, Doing)| {
                *call < woken
                    && Some(*other) == place
                    && *doing == Doing::Waiting
                    && !self.woken.contains(call)
            };
            assert!(
                !self.calls.iter().any(is_passed_over),
                "{woken} was not the oldest"
            );
            self.woken.push(woken);
        }
    }

    fn want(&mut self, place: usize, wish: Wish) {
        let call = self.next;
        self.next += 1;
        let (url, now) = (url(KEYS[place]), self.now);
        let older: Vec<_> = self.calls.iter().filter(|one| one.1 == place).collect();
        let others_wait = older
            .iter()
            .any(|one| one.2 == Doing::Waiting && !self.woken.contains(&one.0));
        match self
            .pool
            .take(Destination::straight(&url), call, wish, now)
            .found
        {
            Found::Idle(conn) => {
                assert!(!others_wait, "a newcomer overtook a call that waits");
                let using = Doing::Using(conn.0, self.pool.generation());
                self.calls.push((call, place, using));
            }
            Found::MayDial => {
                assert!(!others_wait, "a newcomer overtook a call that waits");
                self.calls.push((call, place, Doing::Dialing));
            }
            Found::MustWait(_) => {
                let joined = self.pool.join(
                    Destination::straight(&url),
                    call,
                    (Cause::Limits, wish),
                    call,
                );
                let doing = match limit_of(joined.found) {
                    QueueLimit::Descriptors => Doing::Starving,
                    QueueLimit::PerOrigin | QueueLimit::Total => Doing::Waiting,
                };
                self.calls.push((call, place, doing));
            }
        }
    }

    fn read(&mut self, index: usize) {
        let (call, place, doing) = self.calls[index];
        let mail = self.pool.read(call);
        self.woken.retain(|woken| *woken != call);
        match (mail, doing) {
            (None, Doing::Waiting | Doing::Starving) => {
                assert!(self.pool.listen(call, call).is_silent())
            }
            (None, _) => {}
            (Some(Mail::MayDial), Doing::Waiting | Doing::Starving) => {
                self.calls[index].2 = Doing::Dialing
            }
            (Some(Mail::Handed(conn, generation)), _) => {
                self.calls[index].2 = Doing::Using(conn.0, generation);
                if doing == Doing::Dialing {
                    let served = self.pool.dialed(call, false);
                    self.serve(served);
                }
            }
            (mail, doing) => panic!("{call} of {place}: {mail:?} while {doing:?}"),
        }
    }

    /// One operation of the call at this index.
    fn step(&mut self, index: usize, choice: u8) {
        let (call, place, doing) = self.calls[index];
        match (doing, choice % 4) {
            (Doing::Waiting | Doing::Starving, 0) => {
                self.calls.remove(index);
                self.woken.retain(|woken| *woken != call);
                let served = self.pool.leave(call);
                self.serve(served);
            }
            (Doing::Waiting | Doing::Starving | Doing::Dialing, 1) => self.read(index),
            (Doing::Waiting | Doing::Starving, _) => {}
            (Doing::Dialing, _) if choice > 200 => self.starve(index),
            (Doing::Dialing, 2) => {
                if let Heard::Mail(Mail::Handed(conn, generation)) = self.pool.listen(call, call) {
                    self.woken.retain(|woken| *woken != call);
                    self.calls[index].2 = Doing::Using(conn.0, generation);
                    let served = self.pool.dialed(call, false);
                    self.serve(served);
                }
            }
            (Doing::GivingUp(cause, freed), _) => {
                self.woken.retain(|woken| *woken != call);
                let served = self.pool.dialed(call, false);
                self.serve(served);
                self.calls[index].2 = Doing::Joining(cause, freed);
            }
            (Doing::Joining(..), 0) => drop(self.calls.remove(index)),
            (Doing::Joining(cause, freed), _) => self.join(index, cause, freed),
            (Doing::Dialing, way) => {
                let is_won = way == 3;
                self.freed += u64::from(!is_won);
                self.woken.retain(|woken| *woken != call);
                let served = self.pool.dialed(call, is_won);
                self.serve(served);
                if is_won {
                    self.next += 1;
                    self.calls[index].2 = Doing::Using(self.next, self.pool.generation());
                } else {
                    self.calls.remove(index);
                }
            }
            (Doing::Using(..), 0) => {
                self.freed += 1;
                self.calls.remove(index);
                let served = self.pool.closed(&key(KEYS[place]), CloseReason::PeerClose);
                self.serve(served);
            }
            (Doing::Using(conn, generation), _) => {
                self.calls.remove(index);
                let conn = Conn(conn, self.now);
                let served = self.pool.put(&key(KEYS[place]), conn, generation);
                self.serve(served);
            }
        }
    }

    /// The system has no descriptor for a dial.
    fn starve(&mut self, index: usize) {
        let call = self.calls[index].0;
        if let Room::InUse { freed } = self.pool.make_room(call, Scarce::GivesUp) {
            self.calls[index].2 = Doing::GivingUp(Cause::Descriptors { freed }, self.freed);
        }
    }

    /// A call that got no descriptor joins the queue, unless one was freed in the meantime.
    fn join(&mut self, index: usize, cause: Cause, freed: u64) {
        let (call, place, _) = self.calls[index];
        let is_full = self.is_full(place);
        let joined = self.pool.join(
            Destination::straight(&url(KEYS[place])),
            call,
            (cause, Wish::Any),
            call,
        );
        self.calls[index].2 = match joined.found {
            Found::Idle(conn) => Doing::Using(conn.0, self.pool.generation()),
            Found::MayDial => Doing::Dialing,
            Found::MustWait(_) => {
                assert!(
                    is_full || freed == self.freed,
                    "{call} forgets what was freed"
                );
                Doing::Starving
            }
        };
    }

    /// Says whether a limit forbids one connection more.
    fn is_full(&self, place: usize) -> bool {
        let stats = self.pool.stats();
        let name = key(KEYS[place]).to_string();
        let of_key = stats.keys().iter().find(|one| one.key() == name);
        let count = of_key.map_or(0, |key| key.counts().connections());
        (self.bounds.per_key).is_some_and(|max| count >= max)
            || (self.bounds.total).is_some_and(|max| stats.total().connections() >= max)
    }

    /// What always holds.
    fn check(&self, bounds: Bounds) {
        let stats = self.pool.stats();
        let total = stats.total();
        let sum = |of: fn(&PoolCounts) -> usize| -> usize {
            stats.keys().iter().map(|key| of(&key.counts())).sum()
        };
        assert_eq!(sum(PoolCounts::idle), total.idle());
        assert_eq!(sum(PoolCounts::active), total.active());
        assert_eq!(sum(PoolCounts::dialing), total.dialing());
        assert!(bounds.total.is_none_or(|max| total.connections() <= max));
        for key in stats.keys() {
            let count = key.counts().connections();
            assert!(bounds.per_key.is_none_or(|max| count <= max), "{key:?}");
        }
        let using = |one: &&(u64, usize, Doing)| matches!(one.2, Doing::Using(..));
        // What lies in a mailbox is on loan already.
        assert!(self.calls.iter().filter(using).count() <= total.active());
        assert_eq!(
            self.calls.iter().filter(using).count()
                + self
                    .calls
                    .iter()
                    .filter(|one| matches!(one.2, Doing::Dialing | Doing::GivingUp(..)))
                    .count()
                + total.idle()
                + self.woken.len(),
            total.connections(),
        );
        self.check_waiting(bounds, total);
    }

    /// Nobody waits for what there is.
    fn check_waiting(&self, bounds: Bounds, total: PoolCounts) {
        let stats = self.pool.stats();
        for (call, place, doing) in &self.calls {
            if self.woken.contains(call) {
                continue;
            }
            match doing {
                Doing::Waiting => {}
                Doing::Starving => {
                    let name = key(KEYS[*place]).to_string();
                    let of_key = stats.keys().iter().find(|one| one.key() == name);
                    let count = of_key.map_or(0, |key| key.counts().connections());
                    let is_full = bounds.per_key.is_some_and(|max| count >= max);
                    assert!(total.connections() > 0, "{call} waits for nobody");
                    assert!(
                        is_full || total.idle() == 0,
                        "{call} waits beside idle ones"
                    );
                    continue;
                }
                Doing::Dialing | Doing::GivingUp(..) | Doing::Joining(..) | Doing::Using(..) => {
                    continue;
                }
            }
            let name = key(KEYS[*place]).to_string();
            let of_key = stats.keys().iter().find(|one| one.key() == name);
            let of_key = of_key.map_or_else(PoolCounts::default, KeyStats::counts);
            assert_eq!(of_key.idle(), 0, "{call} waits beside an idle connection");
            let key_is_full = bounds
                .per_key
                .is_some_and(|max| of_key.connections() >= max);
            let total_is_full = bounds
                .total
                .is_some_and(|max| total.connections() >= max && total.idle() == 0);
            assert!(key_is_full || total_is_full, "{call} waits for nothing");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Over random operations no limit is exceeded, no permit is lost, no call waits for what there is; and when
    /// everybody goes on, everybody is served.
    #[test]
    fn limits_hold_and_nobody_is_forgotten(
        per_key in prop::option::of(1usize..4),
        total in prop::option::of(1usize..5),
        idle in 1usize..3,
        operations in prop::collection::vec((0u8..8, any::<u8>(), any::<prop::sample::Index>()), 1..120),
    ) {
        let bounds = Bounds { per_key, total, idle_per_key: idle, ..FREE };
        let mut model = Model {
            pool: TestPool::new(bounds),
            calls: Vec::new(),
            next: 1,
            now: crate::testing::origin(),
            woken: Vec::new(),
            freed: 0,
            bounds,
        };
        for (what, choice, index) in operations {
            model.now += Duration::from_millis(1);
            match what {
                0..=2 => {
                    let wish = if choice > 200 { Wish::Fresh } else { Wish::Any };
                    model.want(usize::from(choice) % KEYS.len(), wish);
                }
                3 if choice < 16 => drop(model.pool.take_all(CloseReason::CloseIdleCalled)),
                _ if model.calls.is_empty() => {}
                _ => {
                    let index = index.index(model.calls.len());
                    model.step(index, choice);
                }
            }
            model.check(bounds);
        }
        for _ in 0..10_000 {
            let Some(index) = model.calls.iter().position(|(call, _, doing)| {
                let waits = matches!(doing, Doing::Waiting | Doing::Starving);
                !waits || model.woken.contains(call)
            }) else {
                break;
            };
            let choice = match model.calls[index].2 {
                Doing::Waiting | Doing::Starving => 1,
                Doing::Dialing | Doing::GivingUp(..) | Doing::Joining(..) | Doing::Using(..) => 3,
            };
            model.step(index, choice);
            model.check(bounds);
        }
        prop_assert!(model.calls.is_empty(), "{:?}", model.calls);
        let left = model.pool.stats().total();
        prop_assert_eq!((left.active(), left.dialing(), left.waiting()), (0, 0, 0));
    }
}

/// A pool in which a dial of call 1 to `http://a/` goes on as 100.
fn with_detached(bounds: Bounds) -> (TestPool, bool) {
    let now = crate::testing::origin();
    let mut pool = TestPool::new(bounds);
    let taken = pool.take(Destination::straight(&url("http://a/")), 1, Wish::Any, now);
    assert!(matches!(taken.found, Found::MayDial));
    let (is_kept, served) = pool.detach(1, 100);
    assert!(served.wake.is_empty() && served.closed.is_empty());
    (pool, is_kept)
}

#[test]
fn a_dial_without_its_call_counts_and_takes_nothing() {
    let now = crate::testing::origin();
    let (mut pool, is_kept) = with_detached(FREE);
    assert!(is_kept);
    assert_eq!(pool.stats().total().dialing(), 1);
    open(&mut pool, "http://a/", 2, now);
    assert!(pool.listen(100, 7).is_silent());
    assert_eq!(put(&mut pool, "http://a/", 5, now), None);
    assert_eq!(pool.counts(), (1, 0), "it is idle, and left for nobody");
    assert!(pool.listen(100, 7).is_silent());
    let served = pool.dialed(100, true);
    assert!(served.wake.is_empty());
    assert_eq!(pool.stats().total().dialing(), 0);
    assert_eq!(pool.counts(), (1, 1));
}

#[test]
fn of_dials_without_their_calls_there_are_as_many_as_may_be_idle() {
    let now = crate::testing::origin();
    for (per_key, total) in [(2, 8), (8, 2)] {
        let mut pool = TestPool::new(Bounds {
            idle_per_key: per_key,
            idle_total: total,
            ..FREE
        });
        open_and_put(&mut pool, "http://a/", 1, now);
        for (call, is_kept) in [(2, true), (3, false)] {
            pool.take(
                Destination::straight(&url("http://a/")),
                call,
                Wish::Fresh,
                now,
            );
            assert_eq!(pool.detach(call, call + 100).0, is_kept);
        }
    }
}

#[test]
fn what_was_left_for_a_call_goes_to_the_next_when_its_dial_is_left() {
    let now = crate::testing::origin();
    let mut pool = TestPool::new(FREE);
    open(&mut pool, "http://a/", 1, now);
    for call in [2, 3] {
        pool.take(
            Destination::straight(&url("http://a/")),
            call,
            Wish::Any,
            now,
        );
        assert!(pool.listen(call, call).is_silent());
    }
    assert_eq!(put(&mut pool, "http://a/", 9, now), None);
    let (is_kept, served) = pool.detach(2, 102);
    assert!(is_kept);
    assert_eq!(served.wake, [3]);
    assert!(matches!(pool.read(3), Some(Mail::Handed(Conn(9, _), _))));
}

#[test]
fn a_dial_without_its_call_gives_way_to_a_call_of_another_key() {
    let now = crate::testing::origin();
    let one = Bounds {
        total: Some(1),
        ..FREE
    };
    let (mut pool, _) = with_detached(one);
    assert!(pool.listen(100, 7).is_silent());
    let wish = (Cause::Limits, Wish::Any);
    let joined = pool.join(Destination::straight(&url("http://a/")), 2, wish, 2);
    assert_eq!(joined.gives_way, None, "it can use what comes of it");
    pool.leave(2);
    let joined = pool.join(Destination::straight(&url("http://b/")), 3, wish, 3);
    assert_eq!(joined.gives_way, Some(7));
    assert!(matches!(pool.listen(100, 7), Heard::GiveUp));
    assert_eq!(pool.dialed(100, false).wake, [3]);
    pool.dialed(3, true);
    put(&mut pool, "http://b/", 1, now);
    assert_eq!(pool.counts(), (1, 0));

    let mut pool = TestPool::new(one);
    pool.take(
        Destination::straight(&url("http://a/")),
        1,
        Wish::Fresh,
        now,
    );
    let joined = pool.join(Destination::straight(&url("http://b/")), 2, wish, 2);
    assert_eq!(joined.gives_way, None, "it is the dial of a call");
    assert!(!pool.detach(1, 100).0, "another one waits for the place");
}
