use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::message::answer::Answer;
use crate::testing::origin;

type Shared = Lookup<&'static str, &'static str>;

const HOST: &str = "example.com";

fn lookup() -> Shared {
    Lookup::new(Bounds::default())
}

fn bounded(change: impl FnOnce(&mut Bounds)) -> Shared {
    let mut bounds = Bounds::default();
    change(&mut bounds);
    Lookup::new(bounds)
}

/// Seconds after one moment, the same for all tests.
fn at(seconds: u64) -> Instant {
    static BEGIN: LazyLock<Instant> = LazyLock::new(origin);
    *BEGIN + Duration::from_secs(seconds)
}

fn v4(last: u8) -> Outcome {
    Ok(Answer::new([IpAddr::from([192, 0, 2, last])]))
}

fn v6() -> Outcome {
    Ok(Answer::new([IpAddr::from(Ipv6Addr::LOCALHOST)]))
}

fn none() -> Outcome {
    Ok(Answer::none())
}

fn failed(rule: LookupFailure) -> Outcome {
    Err(LookupError::new(rule).into())
}

fn started(joined: Joined) -> FlightId {
    match joined {
        Joined::Start(flight, _) => flight,
        other => panic!("not started: {other:?}"),
    }
}

fn start(lookup: &mut Shared, now: Instant) -> FlightId {
    started(lookup.join(HOST, 1, "one", now))
}

/// Whom a delivery goes to, and whether the lookup is coalesced.
fn told(delivery: &Delivery<&'static str, &'static str>) -> (Vec<&'static str>, bool) {
    let names = delivery.to.iter().map(|(_, name)| *name).collect();
    (names, delivery.coalesced)
}

fn text(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "?".to_owned(),
        Some(Err(failure)) => failure.to_string(),
        Some(Ok(answer)) => format!("{}:{:?}", answer.source().tag(), answer.addrs().len()),
    }
}

/// What a join finds in the cache, `v4 v6`.
fn cached(lookup: &mut Shared, host: &str, now: Instant) -> Option<String> {
    let known = match lookup.join(host, 99, "probe", now) {
        Joined::Cached(known) | Joined::Start(_, known) => known,
        Joined::Shared(_) | Joined::Full(_) => Families::default(),
    };
    lookup.leave(host, 99);
    let (v4, v6) = (known.v4.as_ref(), known.v6.as_ref());
    (v4.is_some() || v6.is_some()).then(|| format!("{} {}", text(v4), text(v6)))
}

#[test]
fn a_family_of_which_nothing_is_remembered_is_asked_for_beside_the_other() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    lookup.family_done(HOST, flight, Family::V4, v4(1), at(0));
    lookup.leave(HOST, 1);
    let Joined::Start(flight, known) = lookup.join(HOST, 2, "two", at(1)) else {
        panic!("half an answer is not the whole");
    };
    let known = (text(known.v4.as_ref()), text(known.v6.as_ref()));
    assert_eq!(known, ("cache:1".to_owned(), "?".to_owned()));
    lookup.hold(HOST, flight, "ticket");
    let again = lookup.family_done(HOST, flight, Family::V4, v4(2), at(1));
    assert!(again.to.is_empty(), "the first answer counts");
    let missing = lookup.family_done(HOST, flight, Family::V6, v6(), at(1));
    assert_eq!(told(&missing), (vec!["two"], false));
    assert_eq!(missing.ticket, Some("ticket"));
    assert!(matches!(
        lookup.join(HOST, 3, "three", at(2)),
        Joined::Cached(_)
    ));
}

#[test]
fn a_single_call_is_not_coalesced() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    assert_eq!(lookup.hold(HOST, flight, "ticket"), None);

    let first = lookup.family_done(HOST, flight, Family::V4, v4(1), at(0));
    assert_eq!(told(&first), (vec!["one"], false));
    assert_eq!(first.ticket, None);

    let second = lookup.family_done(HOST, flight, Family::V6, v6(), at(0));
    assert_eq!(told(&second), (vec!["one"], false));
    assert_eq!(second.ticket, Some("ticket"));
    assert_eq!(lookup.leave(HOST, 1), Left::NotWaiting);
}

#[test]
fn a_second_call_shares_and_both_are_coalesced() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    let early = lookup.family_done(HOST, flight, Family::V4, v4(1), at(0));
    assert_eq!(told(&early), (vec!["one"], false));

    let joined = lookup.join("EXAMPLE.com", 2, "two", at(0));
    let Joined::Shared(known) = joined else {
        panic!("not shared: {joined:?}");
    };
    assert_eq!(text(known.get(Family::V4)), "query:1");
    assert_eq!(text(known.get(Family::V6)), "?");
    assert!(!known.is_complete());
    assert!(matches!(
        merge(known.v4.as_ref(), known.v6.as_ref()),
        Merged::Found
    ));

    let late = lookup.family_done(HOST, flight, Family::V6, none(), at(0));
    assert_eq!(told(&late), (vec!["one", "two"], true));
}

#[test]
fn families_may_come_in_any_order_and_count_once() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    let first = lookup.family_done(HOST, flight, Family::V6, v6(), at(0));
    assert_eq!(told(&first), (vec!["one"], false));
    let again = lookup.family_done(HOST, flight, Family::V6, none(), at(0));
    assert_eq!(told(&again), (vec![], false));
    let last = lookup.family_done(HOST, flight, Family::V4, none(), at(0));
    assert_eq!(told(&last), (vec!["one"], false));
}

#[test]
fn names_do_not_share() {
    let mut lookup = lookup();
    let one = start(&mut lookup, at(0));
    let other = started(lookup.join("example.org", 2, "two", at(0)));
    assert_ne!(one, other);
    // A trailing dot switches the search list off: another question.
    started(lookup.join("example.com.", 3, "three", at(0)));
}

#[test]
fn a_deadline_detaches_only_its_own_call() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    lookup.hold(HOST, flight, "ticket");
    lookup.join(HOST, 2, "two", at(0));
    lookup.join(HOST, 3, "three", at(0));

    let left = lookup.leave(HOST, 2);
    assert_eq!(left, Left::Detached);
    assert_eq!(lookup.leave(HOST, 2), Left::NotWaiting);
    assert_eq!(lookup.leave("example.org", 1), Left::NotWaiting);

    let first = lookup.family_done(HOST, flight, Family::V4, v4(1), at(1));
    assert_eq!(told(&first), (vec!["one", "three"], true));
    lookup.leave(HOST, 3);
    // Its company is gone, but it was a shared flight all the same.
    let last = lookup.family_done(HOST, flight, Family::V6, v6(), at(1));
    assert_eq!(told(&last), (vec!["one"], true));
}

#[test]
fn the_last_one_to_leave_ends_the_flight() {
    for (others, coalesced) in [(0, false), (1, true)] {
        let mut lookup = lookup();
        let flight = start(&mut lookup, at(0));
        lookup.hold(HOST, flight, "ticket");
        for id in 0..others {
            lookup.join(HOST, 10 + id, "other", at(0));
            assert_eq!(lookup.leave(HOST, 10 + id), Left::Detached);
        }
        let left = lookup.leave(HOST, 1);
        let ticket = Some("ticket");
        assert_eq!(left, Left::Forgotten { coalesced, ticket });
        assert_ne!(start(&mut lookup, at(0)), flight);
    }
}

#[test]
fn a_ticket_that_comes_too_late_is_given_back() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    lookup.family_done(HOST, flight, Family::V4, v4(1), at(0));
    lookup.family_done(HOST, flight, Family::V6, v6(), at(0));
    assert_eq!(lookup.hold(HOST, flight, "ticket"), Some("ticket"));
}

#[test]
fn fault_q10_a_late_answer_enters_the_cache_and_reaches_nobody() {
    let mut lookup = lookup();
    let old = start(&mut lookup, at(0));
    lookup.leave(HOST, 1);
    let new = started(lookup.join(HOST, 2, "two", at(5)));

    let late = lookup.family_done(HOST, old, Family::V4, v4(1), at(6));
    assert_eq!(told(&late), (vec![], false));
    assert!(matches!(lookup.leave(HOST, 2), Left::Forgotten { .. }));
    assert_eq!(cached(&mut lookup, HOST, at(7)).unwrap(), "cache:1 ?");

    let later = lookup.family_done(HOST, new, Family::V6, v6(), at(8));
    assert_eq!(told(&later), (vec![], false));
    assert_eq!(cached(&mut lookup, HOST, at(9)).unwrap(), "cache:1 cache:1");
    // The second half does not prolong the first.
    assert_eq!(cached(&mut lookup, HOST, at(16)), None);
}

#[test]
fn answers_are_remembered_for_ten_seconds() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    lookup.family_done(HOST, flight, Family::V4, v4(1), at(1));
    lookup.family_done(HOST, flight, Family::V6, v6(), at(3));
    assert_eq!(cached(&mut lookup, HOST, at(3)).unwrap(), "cache:1 cache:1");
    assert_eq!(
        cached(&mut lookup, "Example.COM", at(10)).unwrap(),
        "cache:1 cache:1"
    );
    assert_eq!(cached(&mut lookup, HOST, at(11)), None);
}

#[test]
fn what_is_remembered() {
    use LookupFailure as F;
    let nodata = || failed(F::NoAddress);
    let table = [
        (v4(1), v6(), Some("cache:1 cache:1")),
        (v4(1), none(), Some("cache:1 cache:0")),
        (v4(1), nodata(), Some("cache:1 the host has no address")),
        (v4(1), failed(F::NoSuchHost), Some("cache:1 no such host")),
        (v4(1), failed(F::Temporary), Some("cache:1 ?")),
        (failed(F::ServerFailure), v6(), Some("? cache:1")),
        (none(), none(), None),
        (nodata(), failed(F::NoSuchHost), None),
        (failed(F::NoSuchHost), failed(F::NoSuchHost), None),
        (failed(F::Temporary), failed(F::Temporary), None),
    ];
    for (four, six, expected) in table {
        for order in [[Family::V4, Family::V6], [Family::V6, Family::V4]] {
            let mut lookup = lookup();
            let flight = start(&mut lookup, at(0));
            for family in order {
                let outcome = match family {
                    Family::V4 => four.clone(),
                    Family::V6 => six.clone(),
                };
                lookup.family_done(HOST, flight, family, outcome, at(0));
            }
            let found = cached(&mut lookup, HOST, at(1));
            assert_eq!(found.as_deref(), expected, "{four:?} {six:?} {order:?}");
        }
    }
}

#[test]
fn times_to_live() {
    // (setting, answer's own) in seconds, and the last second at which the answer is still known.
    let table = [
        (10, None, Some(9)),
        (10, Some(3), Some(2)),
        (10, Some(300), Some(9)),
        (10, Some(0), None),
        (0, None, None),
        (0, Some(300), None),
    ];
    for (setting, own, last) in table {
        let mut lookup = bounded(|bounds| bounds.ttl = Duration::from_secs(setting));
        let flight = start(&mut lookup, at(0));
        let answer = Answer::new([IpAddr::from([192, 0, 2, 1])]);
        let answer = match own {
            Some(ttl) => answer.with_ttl(Duration::from_secs(ttl)),
            None => answer,
        };
        lookup.family_done(HOST, flight, Family::V4, Ok(answer), at(0));
        lookup.family_done(HOST, flight, Family::V6, none(), at(0));
        let known = (0..20).filter(|second| cached(&mut lookup, HOST, at(*second)).is_some());
        assert_eq!(known.last(), last, "{setting} {own:?}");
    }
}

#[test]
fn eviction_and_change_of_network() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    lookup.family_done(HOST, flight, Family::V4, v4(1), at(0));
    lookup.family_done(HOST, flight, Family::V6, v6(), at(0));
    assert!(cached(&mut lookup, HOST, at(1)).is_some());
    lookup.evict("EXAMPLE.COM");
    assert_eq!(cached(&mut lookup, HOST, at(1)), None);

    let before = start(&mut lookup, at(2));
    lookup.clear();
    let done = lookup.family_done(HOST, before, Family::V4, v4(1), at(3));
    assert_eq!(told(&done), (vec!["one"], false));
    lookup.family_done(HOST, before, Family::V6, v6(), at(3));
    assert_eq!(cached(&mut lookup, HOST, at(3)), None);

    let after = start(&mut lookup, at(4));
    lookup.family_done(HOST, after, Family::V4, v4(1), at(4));
    lookup.leave(HOST, 1);
    assert!(cached(&mut lookup, HOST, at(4)).is_some());
}

#[test]
fn the_cache_is_bounded_and_drops_what_expires_first() {
    let mut lookup = bounded(|bounds| bounds.names = 3);
    for (second, host) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let now = at(second as u64);
        let flight = started(lookup.join(host, 1, "one", now));
        lookup.family_done(host, flight, Family::V4, v4(1), now);
        lookup.family_done(host, flight, Family::V6, none(), now);
    }
    assert_eq!(lookup.cache.len(), 3);
    let known = |host| cached(&mut lookup, host, at(4)).is_some();
    assert_eq!(["a", "b", "c", "d"].map(known), [false, true, true, true]);
}

#[test]
fn answers_go_out_in_the_order_of_joining_whatever_the_numbers_of_the_calls() {
    let mut lookup = lookup();
    let flight = started(lookup.join(HOST, 7, "first", at(0)));
    for (id, name) in [(3, "second"), (9, "third"), (1, "fourth")] {
        assert!(matches!(
            lookup.join(HOST, id, name, at(0)),
            Joined::Shared(_)
        ));
    }
    assert_eq!(lookup.leave(HOST, 9), Left::Detached);
    let order = ["first", "second", "fourth"];
    assert_eq!(lookup.waiting(HOST, flight), order);
    for (family, outcome) in [(Family::V4, v4(1)), (Family::V6, v6())] {
        let delivery = lookup.family_done(HOST, flight, family, outcome, at(0));
        assert_eq!(told(&delivery).0, order);
    }
}

proptest! {
    /// What the cache is searched by for its oldest entry names what is in it, and nothing else.
    #[test]
    fn the_ends_of_entries_are_in_step_with_the_cache(
        answers in prop::collection::vec((0u8..12, 0u64..20, 0u64..15, 0u8..4), 1..60),
    ) {
        let mut lookup = bounded(|bounds| bounds.names = 5);
        let mut now = 0;
        for (host, ttl, later, what) in answers {
            let host = format!("host-{host}.example");
            now += later / 5;
            let ttl = Duration::from_secs(ttl);
            let outcome = v4(1).map(|answer| answer.with_ttl(ttl));
            match what {
                0 => lookup.evict(&host),
                _ => match lookup.join(&host, 1, "one", at(now)) {
                    Joined::Start(flight, _) => {
                        lookup.family_done(&host, flight, Family::V6, v6(), at(now));
                        lookup.family_done(&host, flight, Family::V4, outcome, at(now));
                        lookup.leave(&host, 1);
                    }
                    Joined::Shared(_) | Joined::Cached(_) | Joined::Full(_) => {}
                },
            }
            let of_cache = lookup.cache.iter().map(|(host, entry)| (entry.until, host.clone()));
            prop_assert_eq!(of_cache.collect::<BTreeSet<_>>(), lookup.ends.clone());
            prop_assert!(lookup.cache.len() <= 5);
        }
    }
}

#[test]
fn flights_and_waiters_are_bounded() {
    let mut lookup = bounded(|bounds| {
        bounds.flights = 2;
        bounds.waiters = 2;
    });
    started(lookup.join("a", 1, "one", at(0)));
    started(lookup.join("b", 1, "one", at(0)));
    assert!(matches!(lookup.join("c", 1, "one", at(0)), Joined::Full(2)));
    assert!(matches!(
        lookup.join("a", 2, "two", at(0)),
        Joined::Shared(..)
    ));
    assert!(matches!(
        lookup.join("a", 3, "three", at(0)),
        Joined::Full(2)
    ));
    lookup.leave("b", 1);
    started(lookup.join("c", 1, "one", at(0)));
}

#[test]
fn fault_q10_1000_addresses_are_capped_for_everybody() {
    let mut lookup = lookup();
    let flight = start(&mut lookup, at(0));
    let many = (0..1000_u32).map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
    let all = Ok(Answer::new(many));
    let done = lookup.family_done(HOST, flight, Family::V4, all, at(0));
    let answer = done.outcome.unwrap();
    assert_eq!((answer.addrs().len(), answer.surplus()), (64, 936));
    lookup.leave(HOST, 1);
    assert_eq!(cached(&mut lookup, HOST, at(0)).unwrap(), "cache:64 ?");
}

#[test]
fn fault_q10_two_families_are_merged() {
    use LookupFailure as F;
    let is = |rule| Some(failed(rule));
    // The result stands for either order of the families.
    let table = [
        (None, None, "waiting"),
        (None, Some(v4(1)), "found"),
        (None, Some(none()), "waiting"),
        (None, is(F::NoSuchHost), "waiting"),
        (None, is(F::Temporary), "waiting"),
        (Some(v4(1)), Some(v6()), "found"),
        (Some(v4(1)), Some(none()), "found"),
        (Some(v4(1)), is(F::NoAddress), "found"),
        (Some(v4(1)), is(F::NoSuchHost), "found"),
        (Some(v4(1)), is(F::Temporary), "found"),
        (is(F::NoSuchHost), is(F::NoSuchHost), "no such host"),
        (
            is(F::NoSuchHost),
            is(F::NoAddress),
            "the host has no address",
        ),
        (is(F::NoSuchHost), Some(none()), "the host has no address"),
        (is(F::NoAddress), Some(none()), "the host has no address"),
        (Some(none()), Some(none()), "the host has no address"),
        (
            is(F::Temporary),
            is(F::NoSuchHost),
            "temporary failure of the name server",
        ),
        (
            is(F::Temporary),
            is(F::ServerFailure),
            "the name server failed",
        ),
        (is(F::Custom), Some(none()), "the custom resolver failed"),
        (
            is(F::System),
            is(F::Temporary),
            "the system could not look the name up",
        ),
    ];
    let show = |merged| match merged {
        Merged::Waiting => "waiting".to_owned(),
        Merged::Found => "found".to_owned(),
        Merged::Failed(failure) => failure.to_string(),
    };
    for (one, other, expected) in &table {
        let (one, other) = (one.as_ref(), other.as_ref());
        assert_eq!(show(merge(one, other)), *expected, "{one:?} {other:?}");
        assert_eq!(show(merge(other, one)), *expected, "{other:?} {one:?}");
    }
}

#[test]
fn of_two_equal_failures_the_one_of_ipv4_is_told() {
    let four = Err(LookupError::new(LookupFailure::Temporary)
        .with_code(4)
        .into());
    let six = Err(LookupError::new(LookupFailure::Temporary)
        .with_code(6)
        .into());
    let Merged::Failed(failure) = merge(Some(&four), Some(&six)) else {
        panic!("both failed");
    };
    assert_eq!(failure.error().code(), Some(4));
}

#[test]
fn rfc_h23_localhost_is_never_asked_for() {
    for name in [
        "localhost",
        "LocalHost",
        "localhost.",
        "a.localhost",
        "a.b.LOCALHOST.",
    ] {
        let found = localhost(name).map(|addrs| addrs.map(|addr| addr.to_string()));
        assert_eq!(found.unwrap(), ["::1", "127.0.0.1"], "{name}");
    }
    for name in [
        "localhost.example",
        "xlocalhost",
        "localhost..",
        "localhos",
        "",
        ".",
    ] {
        assert_eq!(localhost(name), None, "{name}");
    }
}
