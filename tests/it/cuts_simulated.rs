//! The byte-cut law in the simulator: every answer, cut behind every byte, by FIN, reset and silence, plain and under
//! TLS, with the default deadlines.

mod proxied;
mod upgraded;

use std::time::Duration;

use wirescope::error::Timer;
use wirescope::testkit::Script;
use wirescope::testkit::sim::{Caller, Cut, Handshake, Link, Outcome, Sim};
use wirescope::{Client, ErrorKind, Phase, Request};

use crate::ways::Way;

const PEER: &str = "192.0.2.1:80";

/// Where a redirect leads, and what is there, whole.
const MOVED: &str = "192.0.2.2:80";
const THERE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere";

/// How long a phase waits for the peer, by default.
const MINUTE: Duration = Duration::from_secs(60);

/// The deadline law: at most that late.
const LATE: Duration = Duration::from_millis(10);

/// An answer, and what it answers.
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

const CASES: [Case; 10] = [
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
        name: "302 followed",
        ask: Ask::Get,
        answer: "HTTP/1.1 302 Found\r\nLocation: //192.0.2.2:80/there\r\nContent-Length: 5\r\n\r\nmoved",
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

const CUTS: [Cut; 3] = [Cut::Fin, Cut::Reset, Cut::Stall];

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

    fn is_followed(&self) -> bool {
        self.name == "302 followed"
    }

    /// Says whether an answer of that many bytes, ended so, is a whole one.
    fn succeeds(&self, at: usize, cut: Cut, is_tls: bool) -> bool {
        if self.is_close_delimited() {
            return !is_tls && cut == Cut::Fin && at >= self.final_head().1;
        }
        if self.is_followed() {
            return at >= self.final_head().1;
        }
        at == self.answer.len()
    }

    fn script(&self) -> Script {
        let answer = Script::new().expect_head();
        match self.ask {
            Ask::Get | Ask::Head => answer.send(self.answer),
            Ask::Second => Script::new().repeat(2, answer.send(self.answer)),
            Ask::Expect => {
                let (interim, last) = self.answer.split_at(self.final_head().0);
                answer.send(interim).expect_body().send(last)
            }
        }
        .stall()
    }

    fn request(&self, client: &Client, url: &str) -> Request {
        match self.ask {
            Ask::Get | Ask::Second => client.get(url).unwrap(),
            Ask::Head => client.head(url).unwrap(),
            Ask::Expect => client.post(url).unwrap().body("upload").expect_continue(),
        }
    }

    /// Asks, and reads the body to its end.
    fn run(&self, client: &Client, at: usize, cut: Cut, is_tls: bool) -> (Outcome, usize) {
        self.run_by(Way::Direct, client, at, cut, is_tls)
    }

    /// The same by this way; what the proxy says before is not cut.
    fn run_by(
        &self,
        way: Way,
        client: &Client,
        at: usize,
        cut: Cut,
        is_tls: bool,
    ) -> (Outcome, usize) {
        let mut sim = Sim::new(client);
        let mut before = way.opening().len();
        if self.ask == Ask::Second {
            before += self.answer.len();
        }
        let link = Link::new()
            .latency(Duration::from_millis(5))
            .cut(cut, (before + at) as u64);
        listen(&mut sim, way, is_tls, link, self.script());
        let there = Script::new().expect_head().send(THERE).stall();
        let listening = sim.listen(MOVED.parse().unwrap(), there);
        if is_tls {
            listening.tls(Handshake::Made { trips: 2 });
        }
        let url = format!("{}://{PEER}/", way.scheme(is_tls));
        if self.ask == Ask::Second {
            sim.run(self.request(client, &url)).unwrap();
        }
        let outcome = sim.run_as(self.request(client, &url), Caller::new());
        let seen = sim.finish();
        let marked = seen.matching("response_body_done how=delimited_by_close");
        (outcome, marked.len())
    }

    fn judge(&self, at: usize, cut: Cut, is_tls: bool, outcome: &Outcome) {
        let point = format!("{}, {cut:?} behind byte {at}, tls: {is_tls}", self.name);
        let Some(error) = outcome.error() else {
            assert!(self.succeeds(at, cut, is_tls), "{point}: {outcome:?}");
            assert!(!self.is_followed() || outcome.body() == b"there", "{point}");
            return;
        };
        assert!(!self.succeeds(at, cut, is_tls), "{point}: {error:?}");
        let (begin, end) = self.final_head();
        let (has_head, phase) = (at >= end, error.phase());
        let waits = self.ask == Ask::Expect && at < begin;
        let is_named = match phase {
            Phase::Receive => has_head,
            Phase::Head => !has_head && at > 0,
            Phase::FirstByte => at == 0 || at == begin || waits,
            Phase::Expect => waits,
            _ => false,
        };
        assert!(is_named, "{point}: {error:?}");
        match (cut, error.kind()) {
            (Cut::Fin, ErrorKind::PeerClosed) => assert_eq!(at, 0, "{point}"),
            (Cut::Fin, ErrorKind::PeerIncompleteHead { .. }) => {
                assert!(at > 0 && !has_head, "{point}")
            }
            (Cut::Fin, ErrorKind::PeerIncompleteBody { .. }) => assert!(has_head, "{point}"),
            (Cut::Fin, ErrorKind::PeerTlsTruncated { .. }) => {
                assert!(is_tls && self.is_close_delimited() && has_head, "{point}");
            }
            (Cut::Reset, ErrorKind::Io { .. }) => {}
            (Cut::Stall, ErrorKind::Timeout(timer)) => {
                self.judge_stall(&point, at, timer, outcome);
            }
            (_, kind) => panic!("{point}: {kind:?}"),
        }
    }

    fn judge_stall(&self, point: &str, at: usize, timer: Timer, outcome: &Outcome) {
        let (begin, end) = self.final_head();
        let expected = if at >= end {
            Timer::BodyIdle
        } else if at == 0 || at == begin {
            Timer::FirstByte
        } else {
            Timer::Head
        };
        assert_eq!(timer, expected, "{point}");
        let took = outcome.ended() - outcome.started();
        // Beside the wait: connect, handshake, request and answer, and a second for a 100 that does not come.
        let set_up = Duration::from_millis(50) + Duration::from_secs(1);
        assert!(
            took >= MINUTE && took <= MINUTE + set_up + LATE,
            "{point}: {took:?}"
        );
    }
}

/// Lets the peer play this script, behind the proxy's part if there is one.
fn listen(sim: &mut Sim, way: Way, is_tls: bool, link: Link, script: Script) {
    let handshake = Handshake::Made { trips: 2 };
    let peer = PEER.parse().unwrap();
    match way {
        Way::Direct | Way::Forward if is_tls => {
            sim.listen(peer, script).link(link).tls(handshake);
        }
        Way::Connect | Way::Socks if is_tls => {
            let script = way.script("192.0.2.1", 80).start_tls().followed_by(script);
            let listening = sim.listen(peer, script).link(link);
            listening.tls_on_demand(handshake);
        }
        Way::Direct | Way::Forward | Way::Connect | Way::Socks => {
            sim.listen(peer, way.script("192.0.2.1", 80).followed_by(script))
                .link(link);
        }
    }
}

fn cut_everywhere(is_tls: bool) -> usize {
    // A cut before the first byte of a second answer would be made good by a repeat.
    let client = Client::builder().retries(0).build().unwrap();
    let mut count = 0;
    for case in &CASES {
        // Cut before its first byte, the second answer leaves an idle connection that ended: another subject.
        let first = usize::from(case.ask == Ask::Second);
        for at in first..=case.answer.len() {
            for cut in CUTS {
                let (outcome, marked) = case.run(&client, at, cut, is_tls);
                case.judge(at, cut, is_tls, &outcome);
                let is_marked = case.is_close_delimited() && outcome.error().is_none();
                assert_eq!(marked, usize::from(is_marked), "{}", case.name);
                count += 1;
            }
        }
    }
    count
}

#[test]
fn every_byte_cut_in_the_simulator_ends_typed() {
    let count = cut_everywhere(false);
    println!("{count} cuts in the simulator, plain");
    assert!(count > 1500);
}

#[test]
fn every_byte_cut_in_the_simulator_ends_typed_under_tls() {
    let count = cut_everywhere(true);
    println!("{count} cuts in the simulator, under TLS");
    assert!(count > 1500);
}
