//! The law of tunnels that a fuzz target checks: what a proxy's answer comes to does not depend on how it was cut, and
//! only an answer that says so opens a tunnel.
//!
//! The first byte of the data chooses the proxy and the limits, the second how the rest is cut.

use std::sync::Arc;

use crate::error::{ErrorKind, ProxyFailure};
use crate::event::{Emitter, Observers, Redaction, Telling};
use crate::flow::tunnel::{Goal, Progress, Tunnel};
use crate::message::proxy::Proxy;
use crate::net::clock;
use crate::proto::buffers::Buffers;
use crate::proto::oracle::Numbers;
use crate::proto::{Rules, Turn};

/// Proxies of each kind, with and without credentials.
const PROXIES: [&str; 4] = [
    "http://p",
    "https://me:pw@p",
    "socks5h://p",
    "socks5h://me:pw@p",
];

/// What is said to the SOCKS proxies, one question behind the other.
const QUESTIONS: [&[u8]; 2] = [
    b"\x05\x01\0\x05\x01\0\x03\x01h\x01\xbb",
    b"\x05\x02\0\x02\x01\x02me\x02pw\x05\x01\0\x03\x01h\x01\xbb",
];

/// What an answer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    end: End,
    /// All that the proxy was told.
    sent: Vec<u8>,
    /// Status and body of a refusal.
    refusal: Option<(u16, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Open,
    Failed(ErrorKind),
}

impl Outcome {
    fn spoke_early(&self) -> bool {
        self.end == End::Failed(ErrorKind::Proxy(ProxyFailure::SpokeEarly))
    }
}

/// Z11: the answer of a proxy.
pub fn tunnel_answer(data: &[u8]) {
    let [choice, seed, answer @ ..] = data else {
        return;
    };
    let mut rules = Rules::default();
    if choice / 4 % 2 == 1 {
        rules.limits.head_bytes = 120;
        rules.limits.field_lines = 3;
        rules.limits.interim_count = 2;
        rules.limits.interim_bytes = 60;
        rules.limits.proxy_refusal_bytes = 5;
    }
    let proxy = PROXIES[usize::from(choice % 4)];
    let mut numbers = Numbers::new(*seed);
    let whole = play(proxy, answer, &rules, || usize::MAX);
    let bytewise = play(proxy, answer, &rules, || 1);
    let cut = play(proxy, answer, &rules, || numbers.up_to(9));
    for other in [&bytewise, &cut] {
        // Only a piece that goes over a question tells that the answer came before it.
        let early = proxy.starts_with("socks") && (whole.spoke_early() || cut.spoke_early());
        assert!(early || *other == whole, "{whole:?} but {other:?}");
    }
    if let Some(questions) = proxy.strip_prefix("socks5h://") {
        let questions = QUESTIONS[usize::from(questions.contains('@'))];
        let offers_login = questions[1] == 2;
        let is_open = bytewise.end == End::Open;
        assert_eq!(is_open, opens(answer, offers_login), "{bytewise:?}");
        let said = if offers_login && answer.starts_with(&[5, 0]) {
            [&questions[..4], &questions[11..]].concat()
        } else {
            questions.to_vec()
        };
        assert!(said.starts_with(&bytewise.sent), "{bytewise:?}");
    } else if whole.end == End::Open {
        assert!(answer.ends_with(b"\n"), "{answer:?}");
        assert!(says_2xx(answer), "{answer:?}");
    }
}

/// A second reader: says whether exactly a whole and good negotiation stands there.
fn opens(answer: &[u8], offers_login: bool) -> bool {
    let reply = match answer {
        [5, 0, reply @ ..] => reply,
        [5, 2, 1, 0, reply @ ..] if offers_login => reply,
        _ => return false,
    };
    match reply {
        [5, 0, 0, 1, address @ ..] => address.len() == 6,
        [5, 0, 0, 4, address @ ..] => address.len() == 18,
        [5, 0, 0, 3, length, address @ ..] => address.len() == usize::from(*length) + 2,
        _ => false,
    }
}

/// Says whether some status line there is a 2xx, which one at the least has to be.
fn says_2xx(answer: &[u8]) -> bool {
    answer
        .split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"HTTP/1.") && line.get(8..10) == Some(b" 2"))
}

/// Plays an answer in pieces; a proxy that goes on behind its answer has spoken early.
fn play(text: &str, answer: &[u8], rules: &Rules, mut piece: impl FnMut() -> usize) -> Outcome {
    let proxy = Arc::new(Proxy::parse(text).expect("a proxy"));
    let goal = Goal {
        host: "h".into(),
        port: 443,
        address: None,
    };
    let telling = Telling::new(clock::process(), Redaction::default());
    let mut emitter = Emitter::new(telling.into(), Observers::default());
    let mut buffers = Buffers::default();
    let now = clock::now();
    let mut turn = Turn {
        buffers: &mut buffers,
        now,
        emitter: &mut emitter,
        rules,
    };
    let mut tunnel = Tunnel::begin(&proxy, &goal, 0, &mut turn).expect("a tunnel");
    let (mut sent, mut rest) = (Vec::new(), answer);
    let mut refusal = None;
    let end = loop {
        let outbound = &mut turn.buffers.outbound;
        sent.extend_from_slice(outbound.filled());
        outbound.consume(outbound.len());
        let (now, later) = rest.split_at(piece().min(rest.len()));
        rest = later;
        let progress = if now.is_empty() {
            tunnel.ended(&mut turn)
        } else {
            turn.buffers.inbound.append(now);
            tunnel.received(&mut turn)
        };
        match progress {
            Progress::GoesOn => assert!(!now.is_empty(), "the end of the stream is the end"),
            Progress::Open => {
                assert!(turn.buffers.is_empty(), "bytes are left in the buffers");
                let early = ErrorKind::Proxy(ProxyFailure::SpokeEarly);
                break if rest.is_empty() {
                    End::Open
                } else {
                    End::Failed(early)
                };
            }
            Progress::Failed(error) => {
                let said = error.proxy_refusal();
                refusal = said.map(|said| (said.status(), said.body().to_vec()));
                break End::Failed(error.kind());
            }
        }
    };
    Outcome { end, sent, refusal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    /// Answers that come far.
    const ANSWERS: &[(u8, &[u8])] = &[
        (0, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
        (0, b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 \r\n\r\nHTTP/1.0 299 x\r\n\r\n"),
        (1, b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        (0, b"\r\nHTTP/1.1 403\nContent-Length: 10\n\n0123456789"),
        (0, b"HTTP/1.1 502 x\r\n\r\nuntil close"),
        (2, b"\x05\0\x05\0\0\x01\x7f\0\0\x01\0\x50"),
        (2, b"\x05\0\x05\0\0\x03\x02hx\0\x50"),
        (3, b"\x05\x02\x01\0\x05\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50"),
        (3, b"\x05\0\x05\x04"),
    ];

    fn with(choice: u8, seed: u8, answer: &[u8]) -> Vec<u8> {
        [&[choice, seed], answer].concat()
    }

    #[test]
    fn every_byte_of_an_answer_cut_changed_and_followed() {
        for (choice, answer) in ANSWERS {
            for choice in [*choice, choice + 4] {
                tunnel_answer(&with(choice, 1, answer));
                tunnel_answer(&with(choice, 2, &[answer, &b"\x16"[..]].concat()));
                for at in 0..answer.len() {
                    tunnel_answer(&with(choice, 3, &answer[..at]));
                    for byte in [0, 1, 5, b'\r', b'\n', b' ', b'9', 0xff] {
                        let mut lie = answer.to_vec();
                        lie[at] = byte;
                        tunnel_answer(&with(choice, at as u8, &lie));
                    }
                }
            }
        }
    }

    #[test]
    fn seeds_of_tunnel_answer_hold() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/tunnel_answer");
        let seeds: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
        assert!(seeds.len() >= 15, "{}", folder.display());
        for seed in seeds {
            let data = std::fs::read(seed.unwrap().path()).unwrap();
            for choice in 0..8 {
                tunnel_answer(&with(choice, data[1], &data[2..]));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(choice in 0_u8..8, seed: u8, answer: Vec<u8>) {
            tunnel_answer(&with(choice, seed, &answer));
        }

        #[test]
        fn an_answer_and_any_bytes(which in 0..ANSWERS.len(), seed: u8, cut: u8, tail: Vec<u8>) {
            let (choice, answer) = ANSWERS[which];
            let cut = usize::from(cut) % (answer.len() + 1);
            tunnel_answer(&with(choice, seed, &[&answer[..cut], &tail[..]].concat()));
        }
    }
}
