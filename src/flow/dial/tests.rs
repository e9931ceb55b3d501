//! The rows of the specification on a virtual clock, in exact milliseconds. The round trip is 20 ms.

mod properties;
mod regressions;
mod rfc8305;
mod rig;
mod securing;

use std::io::ErrorKind as K;
use std::net::SocketAddr;
use std::time::Duration;

use self::rig::{Fate, World, ip, refusal, reply};
use crate::error::{ErrorKind, LookupFailure, Phase, TriedOutcome};
use crate::event::{EventData, EventKind};
use crate::message::answer::Family;

const RTT: u64 = 20;

/// IPv6 addresses, as many as a test needs.
const SIX: [&str; 4] = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"];

/// IPv4 addresses, as many as a test needs.
const FOUR: [&str; 4] = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];

/// The addresses in the order in which they are tried.
const ALL: [&str; 8] = [
    SIX[0], FOUR[0], SIX[1], FOUR[1], SIX[2], FOUR[2], SIX[3], FOUR[3],
];

fn alive(world: World, addresses: &[&str]) -> World {
    (addresses.iter()).fold(world, |world, one| world.fate(one, Fate::Answers(RTT)))
}

#[track_caller]
fn wins(world: &World, address: &str, at: u64) {
    assert_eq!(world.run().won(), (address.to_owned(), at));
}

#[test]
fn row_1_a_healthy_first_family_takes_a_round_trip() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &ALL[..2]);
    wins(&world, SIX[0], RTT);
    assert_eq!(world.run().starts.len(), 1);
    let only_four = alive(World::new(&[], &FOUR[..1]), &FOUR[..1]);
    wins(&only_four, FOUR[0], RTT);
}

#[test]
fn row_2_a_black_holed_or_slow_family_costs_the_first_delay() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &FOUR[..1]);
    wins(&world, FOUR[0], 150 + RTT);
    wins(&world.fate(SIX[0], Fate::Answers(400)), FOUR[0], 150 + RTT);
}

#[test]
fn rfc_h24_only_what_may_be_dialed_is_in_the_race() {
    let world = alive(World::new(&SIX[..2], &FOUR[..2]), &ALL);
    let only_four = world.clone().allowing(SocketAddr::is_ipv4);
    wins(&only_four, FOUR[0], RTT);
    assert_eq!(only_four.run().starts.len(), 1);
    // What is refused is not waited for, and does not end the lookup of the others.
    let late = only_four.clone().v4(reply(300, &FOUR));
    wins(&late, FOUR[0], 300 + RTT);
    let early = only_four.v6(reply(1000, &SIX)).v4(reply(0, &FOUR));
    assert!(early.run().won().1 < 1000);
    let none = world.allowing(|_| false);
    for world in [
        none.clone(),
        none.clone().v4(reply(300, &FOUR)),
        none.clone().v4(refusal(0, LookupFailure::NoSuchHost)),
        none.v6(refusal(300, LookupFailure::Temporary)),
    ] {
        let outcomes = world.run();
        let error = outcomes.end.as_ref().unwrap_err();
        let kind = ErrorKind::Lookup(LookupFailure::NotAllowed);
        assert_eq!((error.kind(), error.phase()), (kind, Phase::Lookup));
        assert!(outcomes.starts.is_empty());
        assert!(outcomes.of(EventKind::DialPlan).count() >= 1);
    }
}

#[test]
fn row_3_each_further_dead_address_costs_the_next_delay() {
    for dead in 1..=4 {
        let world = alive(World::new(&SIX, &FOUR), &ALL[dead..]);
        wins(&world, ALL[dead], 150 + 100 * (dead as u64 - 1) + RTT);
    }
}

#[test]
fn row_4_refusals_cost_half_a_round_trip_each() {
    for kind in [K::ConnectionRefused, K::HostUnreachable, K::ConnectionReset] {
        for (dead, at) in [(1, 40), (2, 50), (3, 60), (4, 70), (5, 80)] {
            let world = alive(World::new(&SIX, &FOUR), &ALL[dead..]);
            let refuses = |world: World, one: &&str| world.fate(one, Fate::Fails(RTT, kind));
            let world = ALL[..dead].iter().fold(world, refuses);
            wins(&world, ALL[dead], at);
        }
    }
}

#[test]
fn row_5_a_late_aaaa_is_waited_for_and_not_punished_twice() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &ALL[..2]);
    wins(&world.clone().v6(reply(10, &SIX[..1])), SIX[0], 10 + RTT);
    wins(&world.clone().v6(reply(30, &SIX[..1])), FOUR[0], 20 + RTT);
    wins(&world.clone().v6(reply(1000, &SIX[..1])), FOUR[0], 20 + RTT);
    wins(&world.clone().v6(None), FOUR[0], 20 + RTT);
    wins(&world.clone().v6(reply(5, &[])), FOUR[0], 5 + RTT);
    let late = world.fate(FOUR[0], Fate::Silence).v6(reply(35, &SIX[..1]));
    wins(&late, SIX[0], 35 + RTT);
    let expected = [
        (20, FOUR[0].to_owned(), "first"),
        (35, SIX[0].to_owned(), "late_aaaa"),
    ];
    assert_eq!(late.run().started(), expected);
    wins(&late.v6(reply(22, &SIX[..1])), SIX[0], 30 + RTT);
}

#[test]
fn the_wait_for_aaaa_begins_when_it_is_asked_and_20_ms_later_at_most() {
    let world = alive(World::new(&[], &FOUR[..1]), &FOUR[..1]).v6(None);
    for (aaaa_asked, started) in [(Some(0), 20), (Some(7), 27), (Some(30), 40), (None, 40)] {
        let world = World {
            aaaa_asked,
            ..world.clone()
        };
        wins(&world, FOUR[0], started + RTT);
    }
}

#[test]
fn row_6_a_late_a_is_not_waited_for() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &ALL[..2]);
    for v4 in [reply(1000, &FOUR[..1]), None] {
        let outcomes = world.clone().v4(v4).run();
        assert_eq!(outcomes.won(), (SIX[0].to_owned(), RTT));
        let done = outcomes.of(EventKind::DnsDone).next().unwrap().data();
        assert!(matches!(done, EventData::DnsDone(done) if !done.complete()));
    }
}

#[test]
fn row_7_a_lost_first_packet_costs_the_first_delay_if_there_is_another_address() {
    let world = alive(World::new(&SIX[..2], &[]), &SIX[1..2]);
    wins(
        &world.fate(SIX[0], Fate::LosesFirst(RTT)),
        SIX[1],
        150 + RTT,
    );
}

#[test]
fn row_8_a_lost_first_packet_to_a_lone_address_is_hedged() {
    let world = World::new(&[], &FOUR[..1]).fate(FOUR[0], Fate::LosesFirst(RTT));
    wins(&world, FOUR[0], 250 + RTT);
    let expected = [
        (0, FOUR[0].to_owned(), "first"),
        (250, FOUR[0].to_owned(), "hedge"),
    ];
    assert_eq!(world.run().started(), expected);
}

#[test]
fn hedges_are_two_at_most_and_one_for_an_address() {
    let world = World::new(&SIX[..2], &FOUR[..2]);
    let world = World {
        deadline: Some(9000),
        ..world
    };
    let outcomes = world.run();
    let hedges: Vec<_> = outcomes
        .started()
        .into_iter()
        .filter(|(.., why)| *why == "hedge")
        .collect();
    let expected = [
        (450, SIX[0].to_owned(), "hedge"),
        (550, FOUR[0].to_owned(), "hedge"),
    ];
    assert_eq!(hedges, expected);
    assert_eq!(outcomes.error().tried().len(), 6);
}

#[test]
fn of_several_completions_at_one_moment_the_first_start_wins() {
    let world = World::new(&SIX[..1], &FOUR[..1])
        .fate(SIX[0], Fate::Answers(200))
        .fate(FOUR[0], Fate::Answers(50));
    for backwards in [false, true] {
        let world = World {
            backwards,
            ..world.clone()
        };
        let outcomes = world.run();
        assert_eq!(outcomes.won(), (SIX[0].to_owned(), 200));
        assert_eq!(outcomes.of(EventKind::ConnectDone).count(), 2);
    }
}

#[test]
fn losers_end_as_lost_between_the_winner_and_the_end() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &FOUR[..1]);
    let outcomes = world.run();
    let tags: Vec<_> = (outcomes.events.iter().rev().take(4).rev())
        .map(|event| event.kind().tag())
        .collect();
    assert_eq!(
        tags,
        ["connect_done", "connect_done", "conn_opened", "dial_done"]
    );
    let last = outcomes.of(EventKind::DialDone).next().unwrap().data();
    let EventData::DialDone(done) = last else {
        panic!("{last:?}")
    };
    assert_eq!(done.winner(), Some(1));
    assert_eq!(done.tried()[0].outcome(), TriedOutcome::Lost);
}

#[test]
fn too_many_open_prune_the_oldest() {
    let many: Vec<String> = (1..=12).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let world = alive(World::new(&[], &many), &many[11..]);
    let outcomes = world.run();
    assert_eq!(outcomes.won(), (many[11].to_owned(), 150 + 100 * 10 + RTT));
    let last = outcomes.of(EventKind::DialDone).next().unwrap().data();
    let EventData::DialDone(done) = last else {
        panic!("{last:?}")
    };
    let pruned = (done.tried().iter()).filter(|one| one.outcome() == TriedOutcome::Pruned);
    let pruned: Vec<_> = pruned.map(|one| one.contestant()).collect();
    assert_eq!(pruned, [0, 1, 2, 3], "the twelfth is the fifth too many");
}

#[test]
fn an_address_without_a_route_goes_behind_all_others() {
    let world = World {
        no_route: vec![ip(SIX[0])],
        ..alive(World::new(&SIX[..1], &FOUR[..2]), &FOUR[..2])
    };
    let outcomes = world.run();
    assert_eq!(outcomes.won(), (FOUR[0].to_owned(), RTT));
    assert_eq!(outcomes.of(EventKind::DialPlan).count(), 2);
}

#[test]
fn a_start_that_sends_nothing_is_followed_at_once_and_strands_its_family() {
    let world = alive(World::new(&SIX[..3], &FOUR[..1]), &FOUR[..1])
        .fate(SIX[0], Fate::FailsAtOnce(K::NetworkUnreachable));
    let expected = [
        (0, SIX[0].to_owned(), "first"),
        (0, FOUR[0].to_owned(), "credit"),
        (10, SIX[1].to_owned(), "credit"),
    ];
    assert_eq!(world.run().started(), expected);
}

#[test]
fn when_all_fail_all_are_listed_and_the_gravest_is_the_source() {
    let world = World::new(&SIX[..1], &FOUR[..2])
        .fate(SIX[0], Fate::FailsAtOnce(K::NetworkUnreachable))
        .fate(FOUR[0], Fate::Fails(30, K::TimedOut))
        .fate(FOUR[1], Fate::Fails(50, K::ConnectionRefused));
    let outcomes = world.run();
    let error = outcomes.error();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Connect, Phase::Connect)
    );
    let source = std::error::Error::source(error).unwrap();
    let source = source.downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), K::ConnectionRefused);
    let tried: Vec<_> = (error.tried().iter())
        .map(|one| {
            (
                one.contestant(),
                one.addr().tcp().unwrap().ip().to_string(),
                one.reason().tag(),
            )
        })
        .collect();
    let expected = [
        (0, SIX[0].to_owned(), "first"),
        (1, FOUR[0].to_owned(), "credit"),
        (2, FOUR[1].to_owned(), "credit"),
    ];
    assert_eq!(tried, expected);
    assert_eq!(error.looked_up().len(), 2);
}

#[test]
fn fault_q7_q8_what_the_system_refuses_is_one_failure_among_others() {
    let kinds = [
        K::OutOfMemory,
        K::PermissionDenied,
        K::AddrNotAvailable,
        K::NetworkUnreachable,
    ];
    for dead in 1..=kinds.len() {
        let mut world = alive(World::new(&[], &FOUR), &FOUR);
        for (address, kind) in FOUR.iter().zip(kinds).take(dead) {
            world = world.fate(address, Fate::FailsAtOnce(kind));
        }
        let outcomes = world.run();
        match FOUR.get(dead) {
            Some(next) => assert_eq!(outcomes.won(), ((*next).to_owned(), RTT)),
            None => {
                let tried = outcomes.error().tried().iter();
                let seen: Vec<_> = tried.map(|one| one.outcome()).collect();
                let code = None;
                let all = kinds.map(|kind| TriedOutcome::Failed { kind, code });
                assert_eq!(seen, all);
            }
        }
    }
}

#[test]
fn without_an_address_the_lookup_is_the_error() {
    let missing = refusal(3, LookupFailure::NoSuchHost);
    let world = World::new(&[], &[]).v6(missing.clone()).v4(missing);
    let outcomes = world.run();
    let error = outcomes.error();
    let kind = ErrorKind::Lookup(LookupFailure::NoSuchHost);
    assert_eq!((error.kind(), error.phase()), (kind, Phase::Lookup));
    let text = error.to_string();
    assert!(
        text.ends_with(" (AAAA: no such host in 3 ms; A: no such host in 3 ms)"),
        "{text}"
    );
}

#[test]
fn one_family_only_is_asked_for_and_tried() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &ALL[..2]);
    let world = World {
        family: Some(Family::V4),
        ..world
    };
    let outcomes = world.run();
    assert_eq!(outcomes.won(), (FOUR[0].to_owned(), RTT));
    assert_eq!(outcomes.of(EventKind::DnsFamilyDone).count(), 1);
}

#[test]
fn a_given_up_dial_lists_what_was_tried() {
    let world = World {
        deadline: Some(400),
        ..World::new(&SIX[..2], &FOUR[..2])
    };
    let outcomes = world.run();
    let tried = outcomes.error().tried();
    assert_eq!(tried.len(), 4);
    assert!(
        tried
            .iter()
            .all(|one| one.outcome() == TriedOutcome::Unanswered)
    );
}

#[test]
fn fault_q10_more_addresses_than_are_used_are_told_once() {
    let many: Vec<String> = (0..1000_u32)
        .map(|n| format!("10.0.{}.{}", n / 250, n % 250 + 1))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let world = alive(World::new(&[], &many), &many);
    let outcomes = world.run();
    let told: Vec<_> = outcomes.of(EventKind::Anomaly).collect();
    let [one] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(matches!(one.data(), EventData::Anomaly(seen) if seen.count() == 936));
}

#[test]
fn a_lookup_that_goes_on_without_contestants_counts_as_dns() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &SIX[..1])
        .v6(reply(500, &SIX[..1]))
        .fate(FOUR[0], Fate::Fails(30, K::ConnectionRefused));
    let outcomes = world.run();
    assert_eq!(outcomes.won(), (SIX[0].to_owned(), 500 + RTT));
    let phases = outcomes.timings.phases();
    let ms = Duration::from_millis;
    assert_eq!(
        phases.dns,
        Some(ms(20 + 450)),
        "to the first start, and after its failure"
    );
    assert_eq!(phases.tcp, Some(ms(30 + RTT)), "both connects");
}
