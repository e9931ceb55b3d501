//! The byte-cut law: an answer cut after any byte, by FIN, reset or silence, has a typed end that names its phase.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wirescope::error::Timer;
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, Error, ErrorKind, Phase, Response};

use crate::support::{Server, read_head, reset, trusted, wait_until_gone, watched};

/// An answer, and what it answers.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    ask: Ask,
    answer: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Get,
    Head,
    /// POST with a body that waits for a 100.
    Expect,
    /// A first request is answered whole, the second is cut.
    Second,
}

const CASES: [Case; 9] = [
    Case {
        name: "length",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    },
    Case {
        name: "chunked with trailer",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\nX-End: 1\r\n\r\n",
    },
    Case {
        name: "103 then 200",
        ask: Ask::Get,
        answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    },
    Case {
        name: "expect",
        ask: Ask::Expect,
        answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    },
    Case {
        name: "head",
        ask: Ask::Head,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    },
    Case {
        name: "close-delimited",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nX: y\r\n\r\n0123456789",
    },
    Case {
        name: "second request",
        ask: Ask::Second,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    },
    Case {
        name: "204",
        ask: Ask::Get,
        answer: "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    },
    Case {
        name: "empty",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    /// FIN under TLS, without a close_notify before it.
    Bare,
    Reset,
    Stall,
}

impl Case {
    /// Where the final head begins and ends.
    fn final_head(&self) -> (usize, usize) {
        let begin = self.answer.rfind("HTTP/1.1").unwrap();
        let end = begin + self.answer[begin..].find("\r\n\r\n").unwrap() + 4;
        (begin, end)
    }

    fn is_close_delimited(&self) -> bool {
        self.name == "close-delimited"
    }

    /// Says whether an answer of that many bytes, ended so, is a whole one.
    fn succeeds(&self, cut: usize, end: End) -> bool {
        if self.is_close_delimited() {
            return end == End::Fin && cut >= self.final_head().1;
        }
        cut == self.answer.len()
    }

    fn has_head(&self, cut: usize) -> bool {
        cut >= self.final_head().1
    }

    /// Asks, and reads the body to its end.
    fn run(&self, client: &Client, url: &str) -> Result<Vec<u8>, Error> {
        let request = match self.ask {
            Ask::Head => client.head(url)?,
            Ask::Expect => client.post(url)?.body("upload").expect_continue(),
            Ask::Get => client.get(url)?,
            Ask::Second => {
                Response::collect(&mut client.get(url)?.send()?, 100)?;
                client.get(url)?
            }
        };
        Response::collect(&mut request.send()?, 1000)
    }

    fn judge(&self, cut: usize, end: End, result: &Result<Vec<u8>, Error>) {
        let point = format!("{}, {end:?} behind byte {cut}", self.name);
        let error = match result {
            Ok(body) => {
                assert!(self.succeeds(cut, end), "{point}: {body:?}");
                return;
            }
            Err(error) => error,
        };
        assert!(!self.succeeds(cut, end), "{point}: {error:?}");
        let (begin, _) = self.final_head();
        let phase = error.phase();
        if self.has_head(cut) {
            assert_eq!(phase, Phase::Receive, "{point}: {error:?}");
        } else if cut == 0 {
            let waits = self.ask == Ask::Expect;
            assert!(
                phase == Phase::FirstByte || waits && phase == Phase::Expect,
                "{point}: {error:?}"
            );
        } else {
            let interim = cut <= begin && begin > 0;
            assert!(
                phase == Phase::Head
                    || interim && matches!(phase, Phase::Expect | Phase::FirstByte),
                "{point}: {error:?}"
            );
        }
        match (end, error.kind()) {
            (End::Fin | End::Bare, ErrorKind::PeerClosed) => assert_eq!(cut, 0, "{point}"),
            (End::Fin | End::Bare, ErrorKind::PeerIncompleteHead { .. }) => {
                assert!(cut > 0 && !self.has_head(cut), "{point}");
            }
            (End::Fin | End::Bare, ErrorKind::PeerIncompleteBody { .. }) => {
                assert!(self.has_head(cut), "{point}");
            }
            (End::Fin | End::Bare, ErrorKind::PeerTlsTruncated { .. }) => {
                assert!(self.is_close_delimited() && self.has_head(cut), "{point}");
            }
            (End::Reset, ErrorKind::Io { .. }) => {}
            (End::Stall, ErrorKind::Timeout(timer)) => {
                let expected = if self.has_head(cut) {
                    Timer::BodyIdle
                } else if cut == 0 || cut == begin {
                    Timer::FirstByte
                } else {
                    Timer::Head
                };
                assert_eq!(timer, expected, "{point}");
            }
            (_, kind) => panic!("{point}: {kind:?}"),
        }
    }
}

/// What the server does next: how much of which answer, and how it ends.
type Order = Arc<Mutex<(Case, usize, End)>>;

fn serve(mut stream: TcpStream, order: &Order) {
    let Some(_) = read_head(&stream) else { return };
    let (case, cut, end) = *order.lock().unwrap();
    if case.ask == Ask::Second {
        stream.write_all(case.answer.as_bytes()).unwrap();
        let Some(_) = read_head(&stream) else { return };
    }
    stream.write_all(&case.answer.as_bytes()[..cut]).unwrap();
    if case.ask == Ask::Expect && (cut >= case.final_head().0 || end == End::Stall) {
        // Bytes left unread would make the FIN a reset.
        let _ = stream.read_exact(&mut [0; 6]);
    }
    match end {
        End::Fin | End::Bare => {
            let _ = stream.shutdown(std::net::Shutdown::Write);
            wait_until_gone(&stream);
        }
        End::Reset => reset(stream),
        End::Stall => wait_until_gone(&stream),
    }
}

fn cut_each(ends: &[End], timeout: Duration, points: impl Fn(&Case) -> Vec<usize>) -> usize {
    let order: Order = Arc::new(Mutex::new((CASES[0], 0, End::Fin)));
    let orders = order.clone();
    let server = Server::start(move |stream| serve(stream, &orders));
    let (client, events) = watched(|builder| {
        builder
            .timeouts(|timeouts| {
                timeouts.expect = Duration::from_millis(10);
                timeouts.first_byte = Some(timeout);
                timeouts.head = Some(timeout);
                timeouts.body_idle = Some(timeout);
            })
            // A cut before the first byte of a second answer would be made good by a repeat.
            .retries(0)
    });
    let (mut count, mut marked) = (0, 0);
    for case in &CASES {
        for cut in points(case) {
            for &end in ends {
                *order.lock().unwrap() = (*case, cut, end);
                let result = case.run(&client, &server.url("/"));
                case.judge(cut, end, &result);
                client.close_idle();
                count += 1;
                marked += usize::from(result.is_ok() && case.is_close_delimited());
            }
        }
    }
    drop(client);
    let seen = check(&events);
    assert_eq!(
        seen.matching("response_body_done how=delimited_by_close")
            .len(),
        marked
    );
    count
}

#[test]
fn every_byte_cut_by_fin_or_reset_ends_typed() {
    let every = |case: &Case| (0..=case.answer.len()).collect();
    let count = cut_each(&[End::Fin, End::Reset], Duration::from_secs(5), every);
    println!("{count} cuts over plain sockets");
    assert!(count > 1000);
}

#[test]
fn a_stall_at_any_byte_fires_the_timer_of_its_phase() {
    let sampled = |case: &Case| {
        let (begin, end) = case.final_head();
        let mut points = vec![0, 1, begin, begin + 1, begin + 20, end - 1, end, end + 1];
        points.retain(|&cut| !case.succeeds(cut, End::Stall) && cut < case.answer.len());
        points.sort_unstable();
        points.dedup();
        points
    };
    cut_each(&[End::Stall], Duration::from_millis(25), sampled);
}

#[test]
fn cuts_under_tls_end_typed_too() {
    let (identity, tls) = trusted();
    let (client, events) = watched(|builder| builder.tls(tls).retries(0));
    let mut count = 0;
    for case in &CASES {
        let (_, head_end) = case.final_head();
        let mut points: Vec<usize> = (0..case.answer.len()).step_by(9).collect();
        points.extend([head_end, case.answer.len() - 1]);
        points.retain(|&cut| cut < case.answer.len());
        let ends = [End::Bare, End::Reset];
        let plays = points.iter().flat_map(|&cut| ends.map(|end| (cut, end)));
        let plays: Vec<(usize, End)> = plays.collect();
        let scripts = plays.iter().map(|&(cut, end)| {
            let script = match case.ask {
                Ask::Second => Script::new().expect_head().send(case.answer).expect_head(),
                Ask::Expect | Ask::Get | Ask::Head => Script::new().expect_head(),
            };
            let script = script.send(&case.answer.as_bytes()[..cut]);
            match end {
                End::Bare => script.half_close().expect_gone(),
                _ => script.reset(),
            }
        });
        let peer = Peer::builder()
            .tls(identity.clone())
            .scripts(scripts)
            .start()
            .unwrap();
        for &(cut, end) in &plays {
            let result = case.run(&client, &peer.url("/"));
            assert!(result.is_err(), "{}: {end:?} behind {cut}", case.name);
            case.judge(cut, end, &result);
            client.close_idle();
            count += 1;
        }
    }
    println!("{count} cuts under TLS");
    drop(client);
    check(&events);
}

#[test]
fn a_close_delimited_body_ended_by_close_notify_is_whole() {
    let (identity, tls) = trusted();
    let (client, events) = watched(|builder| builder.tls(tls).retries(0));
    let peer = Peer::builder()
        .tls(identity)
        .script(
            Script::new()
                .expect_request()
                .send("HTTP/1.1 200 OK\r\n\r\n0123456789")
                .close_notify()
                .expect_gone(),
        )
        .start()
        .unwrap();
    let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
    assert_eq!(
        Response::collect(&mut response, 100).unwrap(),
        b"0123456789"
    );
    drop((response, client));
    let seen = check(&events);
    assert_eq!(
        seen.matching("response_body_done how=delimited_by_close")
            .len(),
        1
    );
}
