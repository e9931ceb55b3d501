//! Canceling at random moments, and what is left afterwards: no descriptor, no thread. A binary of its own with
//! one test, because both are counted for the whole process.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test has threads and times of its own, and shows what it measured"
)]

use std::io::Read;
use std::net::IpAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use wirescope::event::{Events, Interest, Overflow, channel_with};
use wirescope::testkit::check::check;
use wirescope::testkit::{BlackHole, Peer, Script};
use wirescope::{CancelHandle, Client, Error};

const CANCELS: u64 = 1000;

/// The places where a call can be blocked, and one where it is not.
const PLACES: [&str; 9] = [
    "lookup", "connect", "race", "tls", "head", "body", "upload", "reader", "answered",
];

fn count(of: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{of}"))
        .unwrap()
        .count()
}

/// Waits until a count is back where it was: threads of resolvers end soon after their client.
fn settles(of: &str, before: usize) -> bool {
    let begun = Instant::now();
    while count(of) > before && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
    count(of) <= before
}

/// Random numbers of a seed: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

struct Stage {
    hole: BlackHole,
    /// Two addresses that are raced and never answer.
    holes: [IpAddr; 2],
    _other_hole: BlackHole,
    silent: Peer,
    partial: Peer,
    deaf: Peer,
    answering: Peer,
}

impl Stage {
    fn new() -> Self {
        let start = |script: Script| Peer::start(script).unwrap();
        let hole = BlackHole::start().unwrap();
        let beside = ([127, 0, 0, 2], hole.addr().port()).into();
        let other_hole = BlackHole::bind(beside).unwrap();
        Self {
            holes: [hole.addr().ip(), other_hole.addr().ip()],
            hole,
            _other_hole: other_hole,
            silent: start(Script::new().stall()),
            partial: start(
                Script::new()
                    .expect_request()
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
                    .expect_gone(),
            ),
            deaf: Peer::builder()
                .receive_buffer_bytes(4096)
                .script(Script::new().expect_head().stop_reading().stall())
                .keep_bodies(false)
                .start()
                .unwrap(),
            answering: start(
                Script::new().respond_with(|_| {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()
                }),
            ),
        }
    }

    fn url(&self, place: &str, round: u64) -> String {
        match place {
            "lookup" => format!("http://slow{round}.example/"),
            "connect" => format!("http://{}/", self.hole.addr()),
            "race" => format!("http://race.example:{}/", self.hole.addr().port()),
            "tls" => self.silent.https_url("/"),
            "head" => self.silent.url("/"),
            "body" => self.partial.url("/"),
            "upload" | "reader" => self.deaf.url("/"),
            _ => self.answering.url("/"),
        }
    }
}

fn client(stage: &Stage) -> (Client, Events) {
    let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
    let resolver = wirescope::resolver::from_fn(|_| {
        std::thread::sleep(Duration::from_millis(60));
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    });
    let client = Client::builder()
        .observe(observer)
        .resolver(resolver)
        .resolve_override("race.example", stage.hole.addr().port(), &stage.holes)
        .unwrap()
        .build()
        .unwrap();
    (client, events)
}

/// One call to its end, with a handle that is canceled after a while.
fn call(
    client: &Client,
    stage: &Stage,
    (place, round): (&str, u64),
    delay: Duration,
    canceler: &Sender<(CancelHandle, Duration)>,
) -> Result<(), Error> {
    let url = stage.url(place, round);
    let mut request = match place {
        "upload" => client.post(&url)?.body(vec![0; 16 * 1024 * 1024]),
        "reader" => client.post(&url)?.body_reader(std::io::repeat(0)),
        _ => client.get(&url)?,
    };
    canceler.send((request.cancel_handle(), delay)).unwrap();
    let mut response = request.send()?;
    let mut body = [0; 8192];
    loop {
        match response.read(&mut body) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                let error = error.into_inner().unwrap();
                return Err(*error.downcast::<Error>().unwrap());
            }
        }
    }
}

fn thousand_cancels() {
    let stage = Stage::new();
    let (client, events) = client(&stage);
    let (canceler, orders) = channel::<(CancelHandle, Duration)>();
    let (canceled, moments) = channel();
    let thread = std::thread::spawn(move || {
        for (handle, delay) in orders {
            std::thread::sleep(delay);
            let moment = Instant::now();
            handle.cancel();
            canceled.send(moment).unwrap();
        }
    });
    let mut random = Random(0x5eed_cafe_f00d_0001);
    let mut latencies = Vec::new();
    let mut phases = std::collections::BTreeMap::new();
    let mut answered = 0;
    for round in 0..CANCELS {
        let place = PLACES[usize::try_from(round % PLACES.len() as u64).unwrap()];
        // A quarter of the moments lies about the beginning of the call.
        let longest = if random.below(4) == 0 { 300 } else { 6_000 };
        let longest = if place == "answered" { 700 } else { longest };
        let delay = Duration::from_micros(random.below(longest));
        let result = call(&client, &stage, (place, round), delay, &canceler);
        let returned = Instant::now();
        match result {
            Err(error) => {
                assert!(error.is_canceled(), "{place} {delay:?}: {error:?}");
                *phases.entry((place, error.phase().tag())).or_insert(0) += 1;
            }
            Ok(()) if place == "answered" => answered += 1,
            Ok(()) => panic!("{place} {delay:?} came to an end of its own"),
        }
        let moment = moments.recv().unwrap();
        latencies.push((returned.saturating_duration_since(moment), place));
    }
    drop(canceler);
    thread.join().unwrap();
    latencies.sort();
    let (median, last) = (
        latencies[latencies.len() / 2],
        latencies[latencies.len() - 1],
    );
    println!(
        "{CANCELS} cancels: median {median:?}, longest {last:?}, {answered} were answered first"
    );
    let late = latencies
        .iter()
        .filter(|(time, _)| *time > Duration::from_millis(50));
    // A loaded machine may stop us now and then; a lost cancel would wait for seconds.
    let late: Vec<_> = late.collect();
    assert!(late.len() <= 5, "{late:?}");
    assert!(last.0 < Duration::from_millis(500), "{last:?}");
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("call_start").len() as u64, CANCELS);
    assert_eq!(seen.matching("call_done").len() as u64, CANCELS);
    println!("canceled by place and phase: {phases:?}");
    for (place, phase) in [
        ("lookup", "lookup"),
        ("connect", "connect"),
        ("race", "connect"),
        ("tls", "tls"),
        ("head", "first_byte"),
        ("body", "receive"),
        ("upload", "send"),
        ("reader", "send"),
    ] {
        let canceled = phases.get(&(place, phase)).copied().unwrap_or(0);
        assert!(canceled > 50, "{place}: {phases:?}");
    }
}

#[test]
fn a_thousand_cancels_leave_nothing_behind() {
    // What the first use of anything keeps for good is there from now on.
    drop(client(&Stage::new()));
    let (descriptors, threads) = (count("fd"), count("task"));
    thousand_cancels();
    assert!(
        settles("task", threads),
        "{} threads, {threads} before",
        count("task")
    );
    assert!(
        settles("fd", descriptors),
        "{} descriptors, {descriptors} before",
        count("fd")
    );
}
