//! The same behind proxies, and what a proxy says itself, cut behind every byte.

use std::io::ErrorKind as IoKind;

use wirescope::error::{ProxyFailure, TlsFailure};

use super::*;
use crate::ways::Way;

/// A way, and whether TLS is spoken on it. CONNECT is for https.
const WAYS: [(Way, bool); 5] = [
    (Way::Forward, false),
    (Way::Forward, true),
    (Way::Connect, true),
    (Way::Socks, false),
    (Way::Socks, true),
];

fn client(way: Way, is_tls: bool) -> Client {
    let builder = Client::builder().retries(0);
    let builder = way.through(builder, PEER.parse().unwrap(), is_tls);
    builder.build().unwrap()
}

#[test]
fn every_byte_cut_in_the_simulator_ends_typed_through_proxies() {
    let mut count = 0;
    for (way, is_tls) in WAYS {
        let client = client(way, is_tls);
        // What is behind a redirect is reached by another tunnel: its own subject.
        for case in CASES.iter().filter(|case| !case.is_followed()) {
            // Cut before its first byte, it is the proxy that was cut: see below.
            for at in 1..=case.answer.len() {
                for cut in CUTS {
                    let (outcome, marked) = case.run_by(way, &client, at, cut, is_tls);
                    case.judge(at, cut, is_tls, &outcome);
                    let is_marked = case.is_close_delimited() && outcome.error().is_none();
                    assert_eq!(marked, usize::from(is_marked), "{way:?} {}", case.name);
                    count += 1;
                }
            }
        }
    }
    println!("{count} cuts in the simulator, through proxies");
    assert!(count > 6000);
}

/// What a proxy says, cut behind any byte: no tunnel, and no byte of the request has left.
#[test]
fn q22_every_byte_of_a_proxys_answer_cut_in_the_simulator_ends_typed() {
    let mut count = 0;
    let case = &CASES[0];
    for (way, is_tls) in WAYS {
        let client = client(way, is_tls);
        for at in 0..way.opening().len() {
            for cut in CUTS {
                let mut sim = Sim::new(&client);
                let link = Link::new().latency(Duration::from_millis(5));
                listen(
                    &mut sim,
                    way,
                    is_tls,
                    link.cut(cut, at as u64),
                    case.script(),
                );
                let request = client
                    .get(&format!("{}://{PEER}/", way.scheme(is_tls)))
                    .unwrap();
                let outcome = sim.run_as(request, Caller::new());
                let point = format!("{way:?}, {cut:?} behind byte {at}, tls: {is_tls}");
                let error = outcome.error().unwrap_or_else(|| panic!("{point}"));
                assert_eq!(error.phase(), Phase::Tunnel, "{point}: {error:?}");
                assert!(
                    error.proxy().is_some() && error.bytes_sent() == 0,
                    "{point}"
                );
                match (cut, error.kind()) {
                    (Cut::Fin, ErrorKind::Proxy(ProxyFailure::Ended { received })) => {
                        assert_eq!(received, at as u64, "{point}");
                    }
                    (Cut::Reset, ErrorKind::Io { kind, .. }) => {
                        assert_eq!(kind, IoKind::ConnectionReset, "{point}");
                    }
                    (Cut::Stall, ErrorKind::Timeout(Timer::Connect)) => {}
                    (_, kind) => panic!("{point}: {kind:?}"),
                }
                assert_eq!(sim.connections(), (0, 0), "{point}");
                assert!(sim.requests().is_empty(), "{point}");
                sim.finish();
                count += 1;
            }
        }
    }
    println!("{count} cuts of what proxies say");
    assert!(count > 150);
}

/// The end right behind what the proxy says: the tunnel was made, and what it leads to has failed.
#[test]
fn q22_an_end_right_behind_a_proxys_answer_is_that_of_the_tunnel() {
    let case = &CASES[0];
    for (way, is_tls) in WAYS {
        if way.opening().is_empty() {
            continue;
        }
        for cut in CUTS {
            let (outcome, _) = case.run_by(way, &client(way, is_tls), 0, cut, is_tls);
            let error = outcome.error().unwrap();
            let point = format!("{way:?}, {cut:?}, tls: {is_tls}: {error:?}");
            let is_expected = match (cut, error.kind(), error.phase()) {
                (Cut::Fin, ErrorKind::Tls(TlsFailure::Lost), Phase::Tls) => is_tls,
                (
                    Cut::Reset,
                    ErrorKind::Io { .. } | ErrorKind::Tls(TlsFailure::Lost),
                    Phase::Tls,
                ) => is_tls,
                (Cut::Stall, ErrorKind::Timeout(_), Phase::Tls | Phase::FirstByte) => true,
                (Cut::Fin, ErrorKind::PeerClosed, Phase::FirstByte) => !is_tls,
                (Cut::Reset, ErrorKind::Io { .. }, Phase::Send | Phase::FirstByte) => !is_tls,
                _ => false,
            };
            assert!(is_expected, "{point}");
        }
    }
}
