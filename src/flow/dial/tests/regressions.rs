//! What other clients got wrong, each by the name of the one that did.

use std::io::ErrorKind as K;

use super::rig::{Fate, World, refusal, zoned};
use super::{ALL, FOUR, RTT, SIX, alive, wins};
use crate::error::LookupFailure;
use crate::event::{EventData, EventKind};
use crate::message::answer::Answer;

#[test]
fn ureq_errors_other_than_refused_do_not_end_the_dial() {
    for kind in [
        K::HostUnreachable,
        K::PermissionDenied,
        K::AddrNotAvailable,
        K::OutOfMemory,
        K::Other,
    ] {
        for fate in [Fate::Fails(5, kind), Fate::FailsAtOnce(kind)] {
            let world = alive(World::new(&[], &FOUR[..2]), &FOUR[1..2]).fate(FOUR[0], fate);
            assert_eq!(world.run().won().0, FOUR[1], "{fate:?}");
        }
    }
}

#[test]
fn hyper_util_a_dead_head_of_each_family_delays_once_for_each() {
    let world = alive(World::new(&SIX[..2], &FOUR[..2]), &ALL[2..4]);
    wins(&world, SIX[1], 250 + RTT);
}

#[test]
fn curl_a_link_local_address_keeps_its_scope() {
    let answer = Answer::new([zoned("fe80::1", 7)]);
    let world = World::new(&[], &[])
        .v6(Some((0, Ok(answer))))
        .fate("fe80::1", Fate::Answers(RTT));
    let outcomes = world.run();
    let start = outcomes.of(EventKind::ConnectStart).next().unwrap().data();
    let EventData::ConnectStart(start) = start else {
        panic!("{start:?}")
    };
    assert_eq!(start.addr().to_string(), "[fe80::1%7]:80");
}

#[test]
fn musl_a_missing_aaaa_is_no_missing_host() {
    let world =
        alive(World::new(&[], &FOUR[..1]), &FOUR[..1]).v6(refusal(0, LookupFailure::NoSuchHost));
    wins(&world, FOUR[0], RTT);
    let outcomes = world.run();
    let done = outcomes.of(EventKind::DnsDone).next().unwrap().data();
    assert!(matches!(done, EventData::DnsDone(done) if done.error().is_none() && done.complete()));
}

#[test]
fn go_dead_ipv4_addresses_are_not_tried_one_by_one_to_their_end() {
    let world = alive(World::new(&[], &FOUR[..3]), &FOUR[2..3]);
    wins(&world, FOUR[2], 250 + RTT);
}

#[test]
fn node_a_slow_address_is_not_killed_for_being_slow() {
    let world = World::new(&[], &FOUR[..2]).fate(FOUR[0], Fate::Answers(300));
    wins(&world, FOUR[0], 300);
    let both_slow = world.fate(FOUR[1], Fate::Answers(300));
    wins(&both_slow, FOUR[0], 300);
}
