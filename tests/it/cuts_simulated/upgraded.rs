//! A 101 and what stands behind it, cut behind every byte.

use super::*;
use crate::ways::Way;

const HEAD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";
const BEHIND: &str = "hello";

#[test]
fn every_byte_of_a_101_cut_in_the_simulator_ends_typed() {
    let mut count = 0;
    // For another protocol, an http proxy is asked for a tunnel to an http URL too.
    for (way, is_tls) in [
        (Way::Direct, false),
        (Way::Direct, true),
        (Way::Connect, false),
        (Way::Connect, true),
        (Way::Socks, false),
        (Way::Socks, true),
    ] {
        let builder = Client::builder().retries(0);
        let builder = way.through(builder, PEER.parse().unwrap(), is_tls);
        let client = builder.build().unwrap();
        for at in 1..=HEAD.len() + BEHIND.len() {
            for cut in CUTS {
                let mut sim = Sim::new(&client);
                let link = Link::new().latency(Duration::from_millis(5));
                let link = link.cut(cut, (way.opening().len() + at) as u64);
                let script = Script::new().expect_head().send(HEAD).send(BEHIND).stall();
                listen(&mut sim, way, is_tls, link, script);
                let url = format!("{}://{PEER}/", way.scheme(is_tls));
                let request = client.get(&url).unwrap().upgrade("echo").unwrap();
                let outcome = sim.run_as(request, Caller::new().speaks("words"));
                let point = format!("{way:?}, {cut:?} behind byte {at}, tls: {is_tls}");
                judge(&point, at, cut, is_tls, &outcome);
                assert_eq!(sim.connections(), (0, 0), "{point}");
                let seen = sim.finish();
                let told = seen.matching("upgraded").len();
                assert_eq!(told, usize::from(at >= HEAD.len()), "{point}");
                count += 1;
            }
        }
    }
    println!("{count} cuts of a 101");
    assert!(count > 900);
}

fn judge(point: &str, at: usize, cut: Cut, is_tls: bool, outcome: &Outcome) {
    let kind = outcome.error().map(|error| (error.kind(), error.phase()));
    let point = format!("{point}: {kind:?}");
    if at < HEAD.len() {
        let received = at as u64;
        let is_expected = match (cut, kind) {
            (Cut::Fin, Some((kind, Phase::Head))) => {
                kind == ErrorKind::PeerIncompleteHead { received }
            }
            (Cut::Reset, Some((ErrorKind::Io { .. }, Phase::Head))) => true,
            (Cut::Stall, Some((ErrorKind::Timeout(Timer::Head), Phase::Head))) => true,
            _ => false,
        };
        return assert!(is_expected, "{point}");
    }
    assert_eq!(
        outcome.body(),
        &BEHIND.as_bytes()[..at - HEAD.len()],
        "{point}"
    );
    let is_expected = match (cut, kind) {
        (Cut::Fin, None) => !is_tls,
        (Cut::Fin, Some((ErrorKind::PeerTlsTruncated { received }, _))) => {
            is_tls && received == (at - HEAD.len()) as u64
        }
        (Cut::Reset | Cut::Stall, Some((ErrorKind::Io { .. }, Phase::Done))) => true,
        _ => false,
    };
    assert!(is_expected, "{point}");
}
