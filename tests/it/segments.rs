//! An exchange in pieces of any size: the same result, and the same events except for sizes and times.

use std::io::{self, Read};

use serde_json::Value;
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, Error, ErrorKind, Request};

use crate::harness::{Lab, authority, trusting};

/// How many bytes go at a time.
#[derive(Debug, Clone, Copy)]
struct Pieces {
    /// In one write of the peer; under TLS in one record.
    sent: usize,
    /// In one read of the response.
    read: usize,
    /// In one read of the source of a request body.
    given: usize,
}

const WHOLE: Pieces = Pieces {
    sent: usize::MAX,
    read: 64 * 1024,
    given: usize::MAX,
};

const SMALL: [Pieces; 4] = [
    Pieces { sent: 1, ..WHOLE },
    Pieces { read: 1, ..WHOLE },
    Pieces {
        sent: 1,
        read: 1,
        given: 1,
    },
    Pieces {
        sent: 7,
        read: 3,
        given: 2,
    },
];

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Get,
    Head,
    Post,
    Sized,
    Chunked,
    Expect,
}

/// A scenario: what is asked twice in a row, and what the peer says to each.
struct Scenario {
    name: &'static str,
    ask: Ask,
    answer: &'static str,
}

const SCENARIOS: [Scenario; 14] = [
    Scenario {
        name: "length",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX: y\r\n\r\n0123456789",
    },
    Scenario {
        name: "chunked with a trailer",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n005;a=\"b\"\r\n56789\r\n0\r\nX-End: 1\r\n\r\n",
    },
    Scenario {
        name: "interim responses",
        ask: Ask::Get,
        answer: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    },
    Scenario {
        name: "expect",
        ask: Ask::Expect,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    },
    Scenario {
        name: "close-delimited",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789",
    },
    Scenario {
        name: "head",
        ask: Ask::Head,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    },
    Scenario {
        name: "no content",
        ask: Ask::Get,
        answer: "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    },
    Scenario {
        name: "post",
        ask: Ask::Post,
        answer: "HTTP/1.1 201 Created\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n",
    },
    Scenario {
        name: "sized reader",
        ask: Ask::Sized,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    },
    Scenario {
        name: "chunked reader with a trailer",
        ask: Ask::Chunked,
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    },
    Scenario {
        name: "anomalies",
        ask: Ask::Get,
        answer: "\r\nHTTP/1.1 200\nA: b\r\n c\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    },
    Scenario {
        name: "incomplete body",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n0123456789",
    },
    Scenario {
        name: "bad chunk",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n01234\r\nx\r\n",
    },
    Scenario {
        name: "bad head",
        ask: Ask::Get,
        answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nA : b\r\n\r\n",
    },
];

/// A source that gives few bytes at a time.
struct Little(&'static [u8], usize);

impl Read for Little {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.1).min(self.0.len());
        let (given, rest) = self.0.split_at(count);
        into[..count].copy_from_slice(given);
        self.0 = rest;
        Ok(count)
    }
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Got(u16, Vec<u8>, Vec<(String, Vec<u8>)>),
    Failed(ErrorKind),
}

impl Scenario {
    fn script(&self, pieces: Pieces, is_tls: bool) -> Script {
        let once = match self.ask {
            Ask::Expect => Script::new()
                .expect_head()
                .send_each("HTTP/1.1 100 Continue\r\n\r\n", pieces.sent)
                .expect_body(),
            _ => Script::new().expect_request(),
        };
        let once = once.send_each(self.answer, pieces.sent);
        match (self.answer.contains("Connection: close"), is_tls) {
            (true, true) => once.close_notify().half_close().expect_gone(),
            (true, false) => once.half_close().expect_gone(),
            (false, _) => Script::new().forever(once),
        }
    }

    fn request(&self, client: &Client, url: &str, pieces: Pieces) -> Result<Request, Error> {
        let little = || Little(b"hello, world", pieces.given);
        Ok(match self.ask {
            Ask::Get => client.get(url)?,
            Ask::Head => client.head(url)?,
            Ask::Post => client.post(url)?.body("hello, world"),
            Ask::Sized => client.post(url)?.body_sized_reader(little(), 12),
            Ask::Chunked => client
                .post(url)?
                .body_reader(little())
                .trailer("X-Sum", "1")?,
            Ask::Expect => client.post(url)?.body("hello, world").expect_continue(),
        })
    }

    /// Asks twice; gives what came of it and what the events say of it.
    fn run(&self, pieces: Pieces, is_tls: bool) -> (Vec<Outcome>, Vec<String>) {
        let mut peer = Peer::builder().script(self.script(pieces, is_tls));
        if is_tls {
            peer = peer.tls(authority().issue(&["127.0.0.1"]).unwrap());
        }
        let lab = Lab::with(peer, |client| client.tls(trusting(authority())));
        let outcomes = (0..2).map(|_| {
            let request = self.request(&lab.client, &lab.peer.url("/"), pieces);
            match collect(request.unwrap(), pieces.read) {
                Ok((status, body, trailers)) => Outcome::Got(status, body, trailers),
                Err(kind) => Outcome::Failed(kind),
            }
        });
        let outcomes = outcomes.collect();
        for request in lab.peer.requests() {
            let body: &[u8] = match self.ask {
                Ask::Get | Ask::Head => b"",
                Ask::Post | Ask::Sized | Ask::Chunked | Ask::Expect => b"hello, world",
            };
            assert_eq!(request.body, body, "{}", self.name);
        }
        let seen = lab.finish_unfollowed();
        let told = seen.iter().map(|event| {
            let mut payload = serde_json::from_str(&event.payload_json()).unwrap();
            strip(&mut payload);
            format!("{} {payload}", event.kind().tag())
        });
        (outcomes, told.collect())
    }
}

type Collected = (u16, Vec<u8>, Vec<(String, Vec<u8>)>);

fn collect(request: Request, read: usize) -> Result<Collected, ErrorKind> {
    let mut response = request.send().map_err(|error| error.kind())?;
    let (mut body, mut piece) = (Vec::new(), vec![0; read]);
    loop {
        match response.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => body.extend_from_slice(&piece[..count]),
            Err(error) => {
                let error = error.into_inner().unwrap().downcast::<Error>().unwrap();
                return Err(error.kind());
            }
        }
    }
    let trailers = response
        .trailers()
        .into_iter()
        .flat_map(|fields| fields.iter());
    let trailers = trailers.map(|line| (line.name().to_owned(), line.value().to_vec()));
    Ok((response.status(), body, trailers.collect()))
}

/// Takes out what is another on every run: times, addresses, and how much went at a time.
fn strip(payload: &mut Value) {
    const OTHER: [&str; 19] = [
        "timings",
        "write_calls",
        "local",
        "remote",
        "addr",
        "addrs",
        "url",
        "target",
        "key",
        "certificates",
        "value",
        "bytes_out",
        "pid",
        "wall_clock",
        "order",
        "connection",
        "message",
        "body_bytes",
        "bytes_in",
    ];
    match payload {
        Value::Object(members) => {
            members.retain(|key, _| !key.ends_with("_ns") && !OTHER.contains(&key.as_str()));
            members.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn fault_q4_pieces_of_any_size_give_the_same_result_and_the_same_events() {
    for scenario in &SCENARIOS {
        for is_tls in [false, true] {
            let (outcomes, told) = scenario.run(WHOLE, is_tls);
            for pieces in SMALL {
                let point = format!("{}, tls {is_tls}, {pieces:?}", scenario.name);
                let (others, told_again) = scenario.run(pieces, is_tls);
                assert_eq!(others, outcomes, "{point}");
                for (again, once) in told_again.iter().zip(&told) {
                    assert_eq!(again, once, "{point}\n{told_again:#?}");
                }
                assert_eq!(told_again.len(), told.len(), "{point}");
            }
        }
    }
}
