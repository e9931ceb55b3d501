//! Whatever happens: starts keep their distance, whoever begins ends once, errors list everybody, and there is an
//! end. Random worlds from a seed.

use std::collections::BTreeSet;
use std::io::ErrorKind as K;
use std::time::Duration;

use super::rig::{Fate, Outcomes, Reply, Tls, World, ip, refusal, reply};
use crate::error::LookupFailure;
use crate::event::{EventData, TlsHandshakeDone};
use crate::message::dial::DialProfile;

/// Random worlds in all.
const WORLDS: u64 = 100_000;

/// A small generator (xorshift64*): fast in debug builds, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn reply(&mut self, prefix: &str, addresses: &[String]) -> Reply {
        let after = [0, 3, self.roll(60), self.roll(1000)][self.roll(4) as usize];
        match self.roll(10) {
            0 => None,
            1 => refusal(after, LookupFailure::NoSuchHost),
            2 => refusal(after, LookupFailure::Temporary),
            _ => {
                assert!(addresses.iter().all(|one| one.starts_with(prefix)));
                let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
                reply(after, &addresses)
            }
        }
    }

    fn fate(&mut self) -> Fate {
        let rtt = 1 + self.roll(300);
        let kinds = [
            K::ConnectionRefused,
            K::HostUnreachable,
            K::NetworkUnreachable,
            K::TimedOut,
            K::PermissionDenied,
        ];
        let kind = kinds[self.roll(5) as usize];
        match self.roll(6) {
            0 | 1 => Fate::Silence,
            2 => Fate::Answers(rtt),
            3 => Fate::Fails(rtt, kind),
            4 => Fate::FailsAtOnce(kind),
            _ => Fate::LosesFirst(rtt),
        }
    }

    fn world(&mut self) -> World {
        let (six, four) = (self.roll(5), self.roll(5));
        let six: Vec<_> = (0..six).map(|n| format!("2001:db8::{n}")).collect();
        let four: Vec<_> = (0..four).map(|n| format!("192.0.2.{n}")).collect();
        let mut world = World::new(&[], &[]);
        world.v6 = self.reply("2001", &six);
        world.v4 = self.reply("192", &four);
        let is_tls = self.roll(3) == 0;
        for one in six.iter().chain(&four) {
            world.fates.insert(ip(one), self.fate());
            let tls = match self.roll(4) {
                0 => Tls::Silence,
                1 => Tls::Fails(self.roll(500)),
                _ => Tls::Done(self.roll(500), self.roll(100)),
            };
            if is_tls {
                world.tls.insert(ip(one), tls);
            }
            if self.roll(8) == 0 {
                world.no_route.push(ip(one));
            }
        }
        if self.roll(4) == 0 {
            world.profile = DialProfile::Rfc8305;
        }
        world.backwards = self.roll(2) == 0;
        world.deadline = Some(10 + self.roll(4000));
        world
    }
}

fn check(world: &World, outcomes: &Outcomes) {
    let spacing = match world.profile {
        DialProfile::Rfc8305 => 100,
        _ => 10,
    };
    for pair in outcomes.starts.windows(2) {
        let sent = !matches!(world.fates[&pair[0].1], Fate::FailsAtOnce(_));
        let apart = pair[1].0 - pair[0].0;
        assert!(!sent || apart >= spacing, "{:?}", outcomes.starts);
    }
    let mut ended = vec![0; outcomes.starts.len()];
    let mut handshakes = 0;
    for event in &outcomes.events {
        match event.data() {
            EventData::ConnectDone(done) => ended[usize::from(done.contestant())] += 1,
            EventData::TlsHandshakeStart(_) => handshakes += 1,
            EventData::TlsHandshakeDone(TlsHandshakeDone { .. }) => handshakes -= 1,
            _ => {}
        }
    }
    let phases = outcomes.timings.phases();
    assert_eq!(phases.sum(), phases.total, "{phases:?} of {world:#?}");
    assert_eq!(phases.total, Duration::from_millis(outcomes.at));
    assert!(ended.iter().all(|times| *times == 1), "{ended:?}");
    assert_eq!(handshakes, 0);
    if let Err(error) = &outcomes.end {
        let listed: Vec<_> = error.tried().iter().map(|one| one.contestant()).collect();
        let all: Vec<_> = (0..outcomes.starts.len() as u16).collect();
        assert_eq!(listed, all);
        if !error.is_canceled() && !outcomes.starts.is_empty() {
            let tried: BTreeSet<_> = outcomes.starts.iter().map(|(_, ip, _)| *ip).collect();
            assert_eq!(tried, known(world), "a dial fails when all were tried");
        }
    }
}

/// The addresses that the resolver gives.
fn known(world: &World) -> BTreeSet<std::net::IpAddr> {
    let answers = [&world.v6, &world.v4].into_iter().flatten();
    let answers = answers.filter_map(|(_, outcome)| outcome.as_ref().ok());
    answers
        .flat_map(|answer| answer.addrs().iter().map(|address| address.ip()))
        .collect()
}

#[test]
fn in_100_000_random_worlds_the_rules_hold() {
    let share = WORLDS / 2;
    std::thread::scope(|scope| {
        for seed in 1..=2_u64 {
            scope.spawn(move || {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ seed);
                for _ in 0..share {
                    let world = dice.world();
                    check(&world, &world.run());
                }
            });
        }
    });
}
