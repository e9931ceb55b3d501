//! What connections that were upgraded leave behind, however they end: no descriptor, no thread. A binary of its own
//! with one test, because both are counted for the whole process.

#![expect(clippy::disallowed_methods, reason = "a test has times of its own")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use wirescope::testkit::{Authority, Peer, Script};
use wirescope::{Client, EventLoop, Request, TlsConfig, Upgraded};

const ROUNDS: usize = 60;

const PATIENCE: Duration = Duration::from_secs(10);

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nfirst";

fn count(of: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{of}"))
        .unwrap()
        .count()
}

/// Waits until a count is back where it was: the peer's end of a connection is closed soon after ours.
fn settles(of: &str, before: usize) -> bool {
    let begun = Instant::now();
    while count(of) > before && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    count(of) <= before
}

struct Stage {
    peers: [Peer; 2],
    client: Client,
}

impl Stage {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let tls = TlsConfig::new().builtin_roots(false);
        let tls = tls.add_ca_pem(authority.pem()).unwrap();
        let script = Script::new().expect_head().send(SWITCH).echo();
        let secure = Peer::builder()
            .script(script.clone().close_notify().expect_gone())
            .tls(authority.issue(&["127.0.0.1"]).unwrap());
        Self {
            peers: [
                Peer::start(script.half_close().expect_gone()).unwrap(),
                secure.start().unwrap(),
            ],
            client: Client::builder().tls(tls).build().unwrap(),
        }
    }

    fn request(&self, round: usize) -> Request {
        let url = self.peers[round % 2].url("/");
        self.client.get(&url).unwrap().upgrade("echo").unwrap()
    }

    /// A call by one of the doors, whose loop is gone by then; every fourth is dropped without its stream.
    fn upgraded(&self, round: usize) -> Option<Upgraded> {
        let (request, is_kept) = (self.request(round), round % 4 != 3);
        match round % 3 {
            0 => {
                let response = request.send().unwrap();
                is_kept.then(|| response.upgrade().unwrap())
            }
            1 => {
                let mut event_loop = EventLoop::new(&self.client).unwrap();
                event_loop.submit(request).unwrap();
                let done = event_loop.next().unwrap().unwrap();
                is_kept.then(|| done.upgrade().unwrap())
            }
            _ => {
                let handle = EventLoop::new(&self.client).unwrap().spawn().unwrap();
                let done = handle.submit(request).unwrap().wait().unwrap();
                handle.shutdown(PATIENCE).unwrap();
                is_kept.then(|| done.upgrade().unwrap())
            }
        }
    }

    fn one(&self, round: usize) {
        let Some(mut stream) = self.upgraded(round) else {
            return;
        };
        match round % 5 {
            // Dropped with bytes unread.
            0 => {}
            1 => {
                stream.write_all(b"hello").unwrap();
                stream.shutdown_write().unwrap();
                let mut heard = String::new();
                stream.read_to_string(&mut heard).unwrap();
                assert_eq!(heard, "firsthello");
            }
            2 => stream.shutdown().unwrap(),
            3 => {
                stream.set_read_timeout(Some(Duration::ZERO));
                while stream.read(&mut [0; 8]).is_ok() {}
            }
            _ => stream.shutdown_write().unwrap(),
        }
    }
}

#[test]
fn upgraded_connections_leave_nothing_behind() {
    let stage = Stage::new();
    // What the first use of anything keeps for good is there from now on.
    for round in 0..6 {
        stage.one(round);
    }
    let is_quiet = stage
        .peers
        .iter()
        .all(|peer| peer.wait_until_closed(PATIENCE));
    assert!(is_quiet, "a connection outlives its stream");
    let (descriptors, threads) = (count("fd"), count("task"));
    for round in 0..ROUNDS {
        stage.one(round);
    }
    let (now, running) = (count("fd"), count("task"));
    assert!(
        settles("fd", descriptors),
        "{now} descriptors, {descriptors} before"
    );
    assert!(
        settles("task", threads),
        "{running} threads, {threads} before"
    );
    assert_eq!(stage.client.connections(), (0, 0));
}
