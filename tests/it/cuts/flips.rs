//! No bit of the ciphertext can be turned without a typed error, and never is other content handed out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use wirescope::error::Timer;
use wirescope::testkit::check::check;
use wirescope::{ErrorKind, Phase, Response};

use super::answer::{Answer, End, named};
use super::wire::{Over, Wire, config};
use super::{WORKERS, whole};
use crate::support::{Server, trusted, watched};

/// How long the rest of a record is waited for that now says to be longer.
const REST: Duration = Duration::from_millis(500);

fn reply(wire: &mut Wire, answer: &Answer) -> Result<(), Over> {
    let bytes = answer.bytes();
    let (head, body) = bytes.split_at(answer.head_end());
    wire.shake_hands(|_| ())?;
    wire.head()?;
    wire.send(head, |_| ())?;
    wire.send(body, |_| ())
}

#[test]
fn fault_q11_a_bit_turned_in_any_byte_of_the_ciphertext_ends_typed() {
    let (identity, tls) = trusted();
    let answer = named("length");
    for version in [&TLS13, &TLS12] {
        let config = config(&identity, version);
        let len = whole(answer, &config, &tls).len();
        let (next, typed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                let place = Arc::new(AtomicUsize::new(0));
                let (flip, config, tls) = (place.clone(), config.clone(), tls.clone());
                let (next, typed) = (&next, &typed);
                scope.spawn(move || {
                    let server = Server::start(move |stream| {
                        let wire = Wire::sealed(stream, &config, usize::MAX);
                        let mut wire = wire.flipped(flip.load(Ordering::SeqCst));
                        // The end is the same whether the client left before it or not.
                        let _ = reply(&mut wire, answer);
                        wire.end(End::Bare);
                    });
                    let (client, events) = watched(|builder| {
                        builder
                            .tls(tls)
                            .timeouts(|timeouts| timeouts.tls = Some(REST))
                    });
                    let url = server.url("/").replacen("http", "https", 1);
                    loop {
                        let at = next.fetch_add(1, Ordering::SeqCst);
                        if at >= len {
                            break;
                        }
                        place.store(at, Ordering::SeqCst);
                        let result = client.get(&url).unwrap().send();
                        let result = result.and_then(|mut got| Response::collect(&mut got, 100));
                        client.close_idle();
                        let error = match result {
                            Ok(body) => {
                                assert_eq!(body, b"0123456789", "at {at}");
                                continue;
                            }
                            Err(error) => error,
                        };
                        typed.fetch_add(1, Ordering::SeqCst);
                        let is_expected = match error.kind() {
                            ErrorKind::Tls(_) => true,
                            ErrorKind::Timeout(Timer::Tls) => error.phase() == Phase::Tls,
                            // A record that says to be longer is never whole.
                            ErrorKind::PeerClosed
                            | ErrorKind::PeerIncompleteHead { .. }
                            | ErrorKind::PeerIncompleteBody { .. } => error.phase() > Phase::Tls,
                            _ => false,
                        };
                        assert!(is_expected, "at {at}: {error:?}");
                    }
                    drop(client);
                    check(&events);
                });
            }
        });
        let typed = typed.into_inner();
        println!("{:?}: {len} bits, {typed} typed", version.version);
        assert!(typed > len * 9 / 10, "{typed} of {len}");
    }
}
