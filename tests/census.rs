//! Canceling at random moments, by both doors, with and without proxies, and what is left afterwards: no descriptor, no
//! thread. A binary of its own with one test, because both are counted for the whole process.

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
use wirescope::testkit::{Authority, BlackHole, Peer, Relay, Script};
use wirescope::{CancelHandle, Client, Error, EventLoop, Proxy, Request, TlsConfig};

const CANCELS: u64 = 1600;

/// The places where a call can be blocked, and some where it is not.
const PLACES: [&str; 20] = [
    "lookup",
    "connect",
    "race",
    "tls",
    "head",
    "body",
    "upload",
    "reader",
    "answered",
    "connect to proxy",
    "tls with proxy",
    "connect in proxy",
    "socks",
    "second tls",
    "head in tunnel",
    "body in tunnel",
    "upload in tunnel",
    "upload to proxy",
    "answered in tunnel",
    "upgraded in tunnel",
];

/// What is behind the proxies, by the names that they know.
const TARGET: &str = "https://a.test/";
const PLAIN_TARGET: &str = "http://a.test/";

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
    behind: Behind,
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
            behind: Behind::new(),
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
            "answered" => self.answering.url("/"),
            "connect to proxy" | "upload to proxy" => PLAIN_TARGET.to_owned(),
            _ => TARGET.to_owned(),
        }
    }

    /// The proxy that listens there.
    fn proxy(&self, place: &str) -> Option<Proxy> {
        let silent = self.silent.addr();
        let url = match place {
            "connect to proxy" => format!("http://{}", self.hole.addr()),
            "tls with proxy" => format!("https://{silent}"),
            "connect in proxy" => format!("http://{silent}"),
            "socks" => format!("socks5h://{silent}"),
            "second tls" => self.behind.relay.url(),
            "head in tunnel" => self.behind.silent.http_url(""),
            "body in tunnel" => self.behind.partial.http_url(""),
            "upload in tunnel" => self.behind.deaf.http_url(""),
            "upload to proxy" => self.deaf.http_url(""),
            "answered in tunnel" => self.behind.answering.http_url(""),
            "upgraded in tunnel" => self.behind.switching.http_url(""),
            _ => return None,
        };
        Some(Proxy::parse(&url).unwrap())
    }

    fn request(&self, client: &Client, place: &str, round: u64) -> Result<Request, Error> {
        let url = self.url(place, round);
        let request = match place {
            "upload" | "upload in tunnel" => client.post(&url)?.body(vec![0; 16 * 1024 * 1024]),
            "reader" | "upload to proxy" => client.post(&url)?.body_reader(std::io::repeat(0)),
            "upgraded in tunnel" => client.get(&url)?.upgrade("echo")?,
            _ => client.get(&url)?,
        };
        Ok(request.proxy(self.proxy(place)))
    }
}

/// Proxies and what they lead to. All but the relay, which is an https proxy, are both at once.
struct Behind {
    relay: Relay,
    silent: Peer,
    partial: Peer,
    deaf: Peer,
    answering: Peer,
    switching: Peer,
    tls: TlsConfig,
    _mute: Peer,
}

impl Behind {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let identity = authority.issue(&["a.test", "127.0.0.1"]).unwrap();
        let tunnel = |script: Script| {
            let opened = Script::new()
                .expect_contains("\r\n\r\n")
                .send("HTTP/1.1 200 OK\r\n\r\n");
            Peer::builder()
                .receive_buffer_bytes(4096)
                .script(opened.start_tls().followed_by(script))
                .keep_bodies(false)
                .tls_on_demand(identity.clone())
                .start()
                .unwrap()
        };
        let mute = Peer::start(Script::new().stall()).unwrap();
        Self {
            relay: Relay::https(identity.clone())
                .lead("a.test", 443, mute.addr())
                .start()
                .unwrap(),
            _mute: mute,
            silent: tunnel(Script::new().stall()),
            partial: tunnel(
                Script::new()
                    .expect_request()
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
                    .expect_gone(),
            ),
            deaf: tunnel(Script::new().expect_head().stop_reading().stall()),
            answering: tunnel(
                Script::new().respond_with(|_| {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()
                }),
            ),
            switching: tunnel(
                Script::new()
                    .expect_head()
                    .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nfirst")
                    .expect_gone(),
            ),
            tls: TlsConfig::new()
                .builtin_roots(false)
                .add_ca_pem(authority.pem())
                .unwrap(),
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
        .tls(stage.behind.tls.clone())
        .resolver(resolver)
        .resolve_override("race.example", stage.hole.addr().port(), &stage.holes)
        .unwrap()
        .build()
        .unwrap();
    (client, events)
}

/// One call to its end by one of the doors, with a handle that is canceled after a while.
fn call(
    client: &Client,
    stage: &Stage,
    (place, round): (&str, u64),
    delay: Duration,
    canceler: &Sender<(CancelHandle, Duration)>,
) -> Result<(), Error> {
    let mut request = stage.request(client, place, round)?;
    canceler.send((request.cancel_handle(), delay)).unwrap();
    if (round / PLACES.len() as u64) % 2 == 1 {
        let mut event_loop = EventLoop::new(client)?;
        event_loop.submit(request)?;
        let done = event_loop.next()?.unwrap().into_result()?;
        if done.is_upgraded() {
            drop(done.upgrade()?);
        }
        return Ok(());
    }
    let mut response = request.send()?;
    if response.is_upgraded() {
        return response.upgrade().map(drop);
    }
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

fn all_cancels() {
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
        let longest = match place {
            "answered" => 700,
            // Where handshakes come first.
            "second tls" => 20_000,
            _ if place.ends_with("in tunnel") => 50_000,
            _ => longest,
        };
        let delay = Duration::from_micros(random.below(longest));
        let result = call(&client, &stage, (place, round), delay, &canceler);
        let returned = Instant::now();
        match result {
            Err(error) => {
                assert!(error.is_canceled(), "{place} {delay:?}: {error:?}");
                *phases.entry((place, error.phase().tag())).or_insert(0) += 1;
            }
            Ok(()) if place.starts_with("answered") || place.starts_with("upgraded") => {
                answered += 1
            }
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
    assert!(late.len() as u64 * 1000 <= CANCELS * 5, "{late:?}");
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
        ("connect to proxy", "connect"),
        ("tls with proxy", "tls"),
        ("connect in proxy", "tunnel"),
        ("socks", "tunnel"),
        ("second tls", "tls"),
        ("head in tunnel", "first_byte"),
        ("body in tunnel", "receive"),
        ("upload in tunnel", "send"),
        ("upload to proxy", "send"),
    ] {
        let canceled = phases.get(&(place, phase)).copied().unwrap_or(0);
        assert!(
            canceled * 20 > CANCELS / PLACES.len() as u64 * 9,
            "{place}: {phases:?}"
        );
    }
}

#[test]
fn many_cancels_leave_nothing_behind() {
    // What the first use of anything keeps for good is there from now on.
    drop(client(&Stage::new()));
    let (descriptors, threads) = (count("fd"), count("task"));
    all_cancels();
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
