//! A 101 and what stands behind it, cut behind any byte: before the end of the head the call fails as with any head,
//! and behind it the stream gives what came, and then the end.

use std::io::{ErrorKind as IoKind, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wirescope::error::Timer;
use wirescope::testkit::check::check;
use wirescope::{ErrorKind, EventLoop, Phase, Upgraded};

use super::answer::End;
use super::wire::{Over, Wire, config};
use super::{NEVER, SILENCE};
use crate::support::{Server, trusted, watched};
use crate::ways::Way;

use rustls::version::TLS13;

const HEAD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";
const BEHIND: &str = "hello";

/// Which door the call goes through.
#[derive(Debug, Clone, Copy)]
enum Door {
    Client,
    Loop,
}

/// What a cut at this place comes to.
fn judge(door: Door, cut: usize, end: End, got: Result<Upgraded, wirescope::Error>) {
    let point = format!("{door:?}, {end:?} behind {cut}");
    let mut stream = match got {
        Ok(stream) => stream,
        Err(error) => {
            assert!(cut < HEAD.len(), "{point}: {error:?}");
            let received = cut as u64;
            let phase = if cut == 0 {
                Phase::FirstByte
            } else {
                Phase::Head
            };
            assert_eq!(error.phase(), phase, "{point}");
            match (end, error.kind()) {
                (End::Fin | End::Bare, kind) if cut == 0 => {
                    assert_eq!(kind, ErrorKind::PeerClosed, "{point}")
                }
                (End::Fin | End::Bare, kind) => {
                    assert_eq!(kind, ErrorKind::PeerIncompleteHead { received }, "{point}");
                }
                (End::Reset, ErrorKind::Io { kind, .. }) => {
                    assert_eq!(kind, IoKind::ConnectionReset, "{point}");
                }
                (End::Stall, ErrorKind::Timeout(Timer::FirstByte)) if cut == 0 => {}
                (End::Stall, ErrorKind::Timeout(Timer::Head)) if cut > 0 => {}
                (_, kind) => panic!("{point}: {kind:?}"),
            }
            return;
        }
    };
    assert!(cut >= HEAD.len(), "{point}");
    stream.set_read_timeout(Some(SILENCE));
    let mut heard = Vec::new();
    let ended = stream.read_to_end(&mut heard);
    let came = &BEHIND.as_bytes()[..cut - HEAD.len()];
    match (end, ended.as_ref().map_err(std::io::Error::kind)) {
        (End::Fin, Ok(_)) => assert_eq!(heard, came, "{point}"),
        // What had come may be lost with the connection, but nothing else is given.
        (End::Reset, Err(IoKind::ConnectionReset)) => assert!(came.starts_with(&heard), "{point}"),
        (End::Bare, Err(IoKind::UnexpectedEof)) => assert_eq!(heard, came, "{point}"),
        (End::Stall, Err(IoKind::TimedOut | IoKind::WouldBlock)) => {
            assert_eq!(heard, came, "{point}")
        }
        (_, _) => panic!("{point}: {ended:?}"),
    }
}

fn reply(wire: &mut Wire, cut: usize, end: End) -> Result<(), Over> {
    wire.shake_hands(|_| ())?;
    wire.head()?;
    let bytes = [HEAD, BEHIND].concat();
    if cut > 0 {
        wire.send(&bytes.as_bytes()[..cut], |_| ())?;
    }
    if end == End::Fin {
        wire.notify(|_| ())?;
    }
    Ok(())
}

fn cut_everywhere(way: Way, is_tls: bool, ends: &'static [End]) {
    let (identity, tls) = trusted();
    let config = config(&identity, &TLS13);
    let (next, last) = (AtomicUsize::new(0), HEAD.len() + BEHIND.len());
    std::thread::scope(|scope| {
        for _ in 0..super::WORKERS {
            let (next, tls, config) = (&next, tls.clone(), config.clone());
            scope.spawn(move || {
                loop {
                    let cut = next.fetch_add(1, Ordering::SeqCst);
                    if cut > last {
                        return;
                    }
                    for (end, door) in ends
                        .iter()
                        .flat_map(|end| [(*end, Door::Client), (*end, Door::Loop)])
                    {
                        let config = config.clone();
                        let server = Server::start(move |mut stream| {
                            if way.open(&mut stream).is_err() {
                                return;
                            }
                            let mut wire = match is_tls {
                                true => Wire::sealed(stream, &config, usize::MAX),
                                false => Wire::plain(stream),
                            };
                            let _ = reply(&mut wire, cut, end);
                            wire.end(end);
                        });
                        let (client, events) = watched(|client| {
                            let client = way.through(client, server.addr(), is_tls);
                            client.tls(tls.clone()).timeouts(|timeouts| {
                                let is_silent = end == End::Stall && cut < HEAD.len();
                                let limit = if is_silent {
                                    Duration::from_millis(300)
                                } else {
                                    NEVER
                                };
                                timeouts.first_byte = Some(limit);
                                timeouts.head = Some(limit);
                            })
                        });
                        let url = format!("{}://{}/", way.scheme(is_tls), server.addr());
                        let request = client.get(&url).unwrap().upgrade("echo").unwrap();
                        let got = match door {
                            Door::Client => request.send().and_then(|response| response.upgrade()),
                            Door::Loop => {
                                let mut event_loop = EventLoop::new(&client).unwrap();
                                event_loop.submit(request).unwrap();
                                let done = event_loop.next().unwrap().unwrap();
                                done.into_result().and_then(|done| done.upgrade())
                            }
                        };
                        judge(door, cut, end, got);
                        assert_eq!(client.connections(), (0, 0));
                        drop(client);
                        check(&events);
                    }
                }
            });
        }
    });
}

#[test]
fn fault_q1_every_byte_of_a_101_and_behind_it_cut_in_each_way_ends_typed() {
    cut_everywhere(Way::Direct, false, &[End::Fin, End::Reset, End::Stall]);
}

#[test]
fn fault_q11_every_byte_of_a_101_under_tls_cut_in_each_way_ends_typed() {
    cut_everywhere(
        Way::Direct,
        true,
        &[End::Fin, End::Bare, End::Reset, End::Stall],
    );
}

#[test]
fn q22_every_byte_of_a_101_through_a_tunnel_cut_in_each_way_ends_typed() {
    cut_everywhere(Way::Socks, false, &[End::Fin, End::Reset]);
    // For another protocol, an http proxy is asked for a tunnel to an http URL too.
    cut_everywhere(Way::Connect, false, &[End::Fin, End::Reset]);
    cut_everywhere(Way::Connect, true, &[End::Fin, End::Bare]);
}
