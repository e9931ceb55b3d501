//! The rows under the constants of RFC 8305, and what it demands.

use std::io::ErrorKind as K;

use super::rig::{Fate, World, reply};
use super::{ALL, FOUR, RTT, SIX, alive, wins};
use crate::event::EventKind;
use crate::message::dial::DialProfile;

fn world(v6: &[&str], v4: &[&str]) -> World {
    World::new(v6, v4).profile(DialProfile::Rfc8305)
}

#[test]
fn the_rows_take_its_constants() {
    let both = alive(world(&SIX[..1], &FOUR[..1]), &ALL[..2]);
    wins(&both, SIX[0], RTT);
    wins(
        &both.clone().fate(SIX[0], Fate::Silence),
        FOUR[0],
        250 + RTT,
    );
    for dead in 1..=4 {
        let world = alive(world(&SIX, &FOUR), &ALL[dead..]);
        wins(&world, ALL[dead], 250 * dead as u64 + RTT);
    }
    for (dead, at) in [(1, 100 + RTT), (2, 200 + RTT), (3, 300 + RTT)] {
        let world = alive(world(&SIX, &FOUR), &ALL[dead..]);
        let refuses = Fate::Fails(RTT, K::ConnectionRefused);
        let world = (ALL[..dead].iter()).fold(world, |world, one| world.fate(one, refuses));
        wins(&world, ALL[dead], at);
    }
    wins(&both.v4(None), SIX[0], RTT);
    let lost = alive(world(&SIX[..2], &[]), &SIX[1..2]);
    wins(&lost.fate(SIX[0], Fate::LosesFirst(RTT)), SIX[1], 250 + RTT);
    let lone = world(&[], &FOUR[..1]).fate(FOUR[0], Fate::LosesFirst(RTT));
    wins(&lone, FOUR[0], 1000 + RTT);
}

#[test]
fn rfc_h12_aaaa_goes_first_and_is_waited_for_50_ms() {
    let both = alive(world(&SIX[..1], &FOUR[..1]), &ALL[..2]);
    let a_at_7 = both.v4(reply(7, &FOUR[..1]));
    wins(&a_at_7.clone().v6(reply(56, &SIX[..1])), SIX[0], 56 + RTT);
    wins(&a_at_7.clone().v6(reply(58, &SIX[..1])), FOUR[0], 57 + RTT);
    wins(&a_at_7.v6(None), FOUR[0], 57 + RTT);
}

#[test]
fn rfc_h13_families_alternate_in_the_order_of_the_resolver() {
    let outcomes = World {
        deadline: Some(2100),
        ..world(&SIX, &FOUR)
    }
    .run();
    let tried: Vec<_> = (outcomes.starts.iter())
        .map(|(_, ip, _)| ip.to_string())
        .collect();
    assert_eq!(tried, ALL);
    let lopsided = World {
        deadline: Some(2100),
        ..world(&SIX[..1], &FOUR[..3])
    };
    let tried: Vec<_> = (lopsided.run().starts.iter())
        .map(|(_, ip, _)| ip.to_string())
        .collect();
    assert_eq!(tried, [SIX[0], FOUR[0], FOUR[1], FOUR[2]]);
}

#[test]
fn rfc_h14_attempts_are_250_ms_apart_and_one_wins() {
    let outcomes = alive(world(&SIX[..2], &FOUR[..2]), &FOUR[1..2]).run();
    let starts: Vec<_> = outcomes.starts.iter().map(|(at, ..)| *at).collect();
    assert_eq!(starts, [0, 250, 500, 750]);
    assert_eq!(outcomes.won(), (FOUR[1].to_owned(), 750 + RTT));
    assert_eq!(outcomes.of(EventKind::ConnectDone).count(), 4);
    assert_eq!(outcomes.of(EventKind::ConnOpened).count(), 1);
}

#[test]
fn rfc_h15_attempts_are_never_simultaneous_and_a_failure_starts_the_next() {
    let refuses = Fate::Fails(120, K::ConnectionRefused);
    let outcomes = alive(world(&SIX[..2], &FOUR[..2]), &SIX[1..2])
        .fate(SIX[0], refuses)
        .fate(FOUR[0], refuses)
        .run();
    let starts: Vec<_> = outcomes.started();
    let expected = [
        (0, SIX[0].to_owned(), "first"),
        (120, FOUR[0].to_owned(), "credit"),
        (240, SIX[1].to_owned(), "credit"),
    ];
    assert_eq!(starts, expected);
    let at_once = alive(world(&SIX[..1], &FOUR[..1]), &FOUR[..1])
        .fate(SIX[0], Fate::FailsAtOnce(K::NetworkUnreachable));
    wins(&at_once, FOUR[0], RTT);
}
