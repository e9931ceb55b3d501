//! TLS in the race.

use std::time::Duration;

use super::rig::{Fate, Outcomes, Tls, World};
use super::{ALL, FOUR, RTT, SIX, alive, wins};
use crate::error::{ErrorKind, Phase, TlsFailure, TriedOutcome};
use crate::event::{EventData, EventKind};
use crate::message::dial::DialProfile;
use crate::message::proxy::Proxy;
use crate::message::via::Via;

fn done(world: World, addresses: &[&str]) -> World {
    (addresses.iter()).fold(world, |world, one| world.tls(one, Tls::Done(20, 5)))
}

fn lost(outcomes: &Outcomes) -> Vec<TriedOutcome> {
    let last = outcomes.of(EventKind::DialDone).next().unwrap().data();
    let EventData::DialDone(done) = last else {
        panic!("{last:?}")
    };
    done.tried().iter().map(|one| one.outcome()).collect()
}

#[test]
fn a_handshake_that_goes_well_starts_nobody_else() {
    let world = done(
        alive(World::new(&SIX[..2], &FOUR[..2]), &ALL[..4]),
        &ALL[..4],
    );
    wins(&world, SIX[0], RTT + 25);
    assert_eq!(world.run().starts.len(), 1);
}

#[test]
fn a_silent_peer_has_its_grace_and_then_others_start() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &ALL[..2]);
    let world = done(world, &FOUR[..1]).tls(SIX[0], Tls::Silence);
    let outcomes = world.run();
    assert_eq!(outcomes.won(), (FOUR[0].to_owned(), RTT + 300 + RTT + 25));
    let expected = [
        (0, SIX[0].to_owned(), "first"),
        (RTT + 300, FOUR[0].to_owned(), "tls_stalled"),
    ];
    assert_eq!(outcomes.started(), expected);
    assert_eq!(lost(&outcomes), [TriedOutcome::TlsStalled]);
}

/// The winner has its tunnel made without the deadline of a handshake that another one lost.
#[test]
fn a_handshake_with_a_proxy_that_was_lost_leaves_no_deadline_behind() {
    let world = alive(World::new(&SIX[..1], &FOUR[..1]), &ALL[..2]);
    let world = done(world, &FOUR[..1]).tls(SIX[0], Tls::Silence);
    let proxy = Proxy::parse("https://proxy.test").unwrap();
    let world = World {
        via: Via::Tunnel(proxy.into()),
        tls_limit: Some(Duration::from_secs(10)),
        ..world
    };
    let outcomes = world.run();
    assert_eq!(outcomes.won().0, FOUR[0]);
    assert_eq!(outcomes.of(EventKind::TlsHandshakeStart).count(), 3);
}

#[test]
fn a_long_way_has_a_longer_grace() {
    let far = World::new(&[], &FOUR[..2]).fate(FOUR[0], Fate::Answers(140));
    let world = done(alive(far, &FOUR[1..2]), &FOUR[1..2]).tls(FOUR[0], Tls::Silence);
    let expected = [
        (0, FOUR[0].to_owned(), "first"),
        (140 + 560, FOUR[1].to_owned(), "tls_stalled"),
    ];
    assert_eq!(world.run().started(), expected);
}

#[test]
fn a_stalled_peer_can_still_win() {
    let world = alive(World::new(&[], &FOUR[..2]), &FOUR[..1]);
    let world = world.tls(FOUR[0], Tls::Done(500, 10));
    wins(&world, FOUR[0], RTT + 510);
}

#[test]
fn a_peer_that_spoke_is_waited_for() {
    let world = alive(World::new(&[], &FOUR[..2]), &FOUR[..2]);
    let world = world.tls(FOUR[0], Tls::Done(200, 700));
    wins(&world, FOUR[0], RTT + 900);
    assert_eq!(world.run().starts.len(), 1);
}

#[test]
fn a_failed_handshake_leaves_the_race_going() {
    let world = alive(World::new(&[], &FOUR[..2]), &FOUR[..2]);
    let world = done(world, &FOUR[1..2]).tls(FOUR[0], Tls::Fails(30));
    wins(&world, FOUR[1], RTT + 30 + RTT + 25);
    let all_fail = world.tls(FOUR[1], Tls::Fails(30));
    let outcomes = all_fail.run();
    let error = outcomes.error();
    let kind = ErrorKind::Tls(TlsFailure::Expired);
    assert_eq!((error.kind(), error.phase()), (kind, Phase::Tls));
    assert_eq!(error.tried().len(), 2);
}

#[test]
fn a_failure_of_tls_is_graver_than_a_refusal() {
    let world = alive(World::new(&[], &FOUR[..2]), &FOUR[1..2])
        .fate(
            FOUR[0],
            Fate::Fails(5, std::io::ErrorKind::ConnectionRefused),
        )
        .tls(FOUR[1], Tls::Fails(30));
    let outcomes = world.run();
    let error = outcomes.error();
    assert_eq!(error.kind(), ErrorKind::Tls(TlsFailure::Expired));
    assert_eq!(error.tried().len(), 2);
}

#[test]
fn a_contestant_that_connects_meanwhile_waits_for_its_turn() {
    let world = World::new(&[], &FOUR[..2])
        .fate(FOUR[0], Fate::Answers(200))
        .fate(FOUR[1], Fate::Answers(70))
        .tls(FOUR[0], Tls::Fails(100));
    let world = done(world, &FOUR[1..2]);
    wins(&world, FOUR[1], 300 + 25);
    let starts: Vec<_> = world.run().starts.iter().map(|(at, ..)| *at).collect();
    assert_eq!(starts, [0, 150]);
}

#[test]
fn under_rfc8305_tls_is_not_raced() {
    let world = World::new(&[], &FOUR[..3])
        .profile(DialProfile::Rfc8305)
        .fate(FOUR[1], Fate::Answers(RTT))
        .tls(FOUR[1], Tls::Done(5000, 10));
    let outcomes = world.run();
    assert_eq!(outcomes.won(), (FOUR[1].to_owned(), 250 + RTT + 5010));
    assert_eq!(outcomes.starts.len(), 2);
    assert_eq!(lost(&outcomes), [TriedOutcome::Lost]);
}
