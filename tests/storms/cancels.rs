//! Calls of an event loop that are canceled at random moments of their lives: by ticket, by handle from another thread,
//! and by dropping the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use wirescope::event::{EventKind, Events, Interest, Overflow, channel_with};
use wirescope::testkit::check::check;
use wirescope::testkit::{BlackHole, Peer, Script};
use wirescope::{CancelHandle, Client, Completion, EventLoop, Request, Ticket};

use crate::{PATIENCE, Random, alone, connections};

/// Calls that are canceled in each of the three ways.
const CANCELS: u64 = 500;

/// Calls of one loop.
const CALLS: u64 = 100;

/// Where a call can be when it is canceled, and one place where it may have ended.
const PLACES: [&str; 8] = [
    "lookup", "connect", "tls", "head", "body", "upload", "reader", "answered",
];

/// Connections of one origin: fewer than calls, so that some wait for one.
const PER_ORIGIN: usize = 3;

struct Stage {
    hole: BlackHole,
    silent: Peer,
    partial: Peer,
    deaf: Peer,
    answering: Peer,
}

impl Stage {
    fn new() -> Self {
        let start = |script: Script| Peer::start(script).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc";
        Self {
            hole: BlackHole::start().unwrap(),
            silent: start(Script::new().stall()),
            partial: start(Script::new().expect_request().send(half).expect_gone()),
            deaf: Peer::builder()
                .receive_buffer_bytes(4096)
                .script(Script::new().expect_head().stop_reading().expect_gone())
                .keep_bodies(false)
                .start()
                .unwrap(),
            answering: start(Script::new().respond_with(|_| answer.to_vec())),
        }
    }

    fn request(&self, client: &Client, place: &str, number: u64) -> Request {
        let url = match place {
            // Where it leads to is silent.
            "lookup" => format!("http://slow{number}.example:{}/", self.silent.addr().port()),
            "connect" => format!("http://{}/", self.hole.addr()),
            "tls" => self.silent.https_url("/"),
            "head" => self.silent.url("/"),
            "body" => self.partial.url("/"),
            "upload" | "reader" => self.deaf.url("/"),
            _ => self.answering.url("/"),
        };
        match place {
            "upload" => client.post(&url).unwrap().body(vec![0; 4 << 20]),
            "reader" => client.post(&url).unwrap().body_reader(std::io::repeat(0)),
            _ => client.get(&url).unwrap(),
        }
    }
}

fn client() -> (Client, Events) {
    let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
    let resolver = wirescope::resolver::from_fn(|_| {
        std::thread::sleep(Duration::from_millis(20));
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    });
    let client = Client::builder()
        .observe(observer)
        .resolver(resolver)
        .max_connections_per_origin(PER_ORIGIN);
    (client.build().unwrap(), events)
}

/// How the calls of one loop are canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Ticket,
    Handle,
    Drop,
}

/// A call that is to be canceled then.
struct Planned {
    ticket: Ticket,
    place: &'static str,
    at: Instant,
}

/// Where the canceled calls were.
type Phases = BTreeMap<(&'static str, &'static str), u64>;

/// One loop, its calls, and a random moment for each of them.
fn storm(client: &Client, stage: &Stage, by: By, random: &mut Random, phases: &mut Phases) {
    let mut event_loop = EventLoop::new(client).unwrap();
    let (orders, canceler) = channel::<(CancelHandle, Instant)>();
    let thread = std::thread::spawn(move || {
        for (handle, at) in canceler {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            handle.cancel();
        }
    });
    let mut calls = Vec::new();
    for number in 0..CALLS {
        let place = PLACES[usize::try_from(number).unwrap() % PLACES.len()];
        // A quarter of the moments lies about the beginning of the call.
        let longest = match (random.below(4), place) {
            (0, _) => 500,
            (_, "body") => 150_000,
            _ => 40_000,
        };
        let at = Instant::now() + Duration::from_micros(random.below(longest));
        let mut request = stage.request(client, place, number);
        if by == By::Handle {
            orders.send((request.cancel_handle(), at)).unwrap();
        }
        let ticket = event_loop.submit(request).unwrap();
        calls.push(Planned { ticket, place, at });
    }
    drop(orders);
    if by == By::Drop {
        let until = Instant::now() + Duration::from_micros(random.below(40_000));
        while Instant::now() < until {
            event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        }
        let completed = std::iter::from_fn(|| event_loop.try_next()).count();
        assert_eq!(completed + event_loop.calls(), calls.len());
    } else {
        let mut left: BTreeSet<Ticket> = calls.iter().map(|call| call.ticket).collect();
        let begun = Instant::now();
        while !left.is_empty() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{} calls never ended",
                left.len()
            );
            for call in calls.iter().filter(|call| call.at <= Instant::now()) {
                if by == By::Ticket && left.contains(&call.ticket) {
                    event_loop.cancel(call.ticket);
                }
            }
            event_loop.turn(Some(Duration::from_millis(1))).unwrap();
            while let Some(done) = event_loop.try_next() {
                assert!(left.remove(&done.ticket()), "it ended twice");
                let place = calls.iter().find(|call| call.ticket == done.ticket());
                judge(place.unwrap().place, &done, phases);
            }
        }
        assert_eq!(event_loop.calls(), 0);
    }
    drop(event_loop);
    thread.join().unwrap();
}

fn judge(place: &'static str, done: &Completion, phases: &mut Phases) {
    match done.error() {
        Some(error) => {
            assert!(error.is_canceled(), "{place}: {error:?}");
            *phases.entry((place, error.phase().tag())).or_default() += 1;
        }
        None => assert_eq!((place, done.body()), ("answered", &b"hello"[..])),
    }
}

#[test]
fn cancels_at_random_moments_end_each_call_once_and_leave_nothing_behind() {
    let alone = alone();
    connections(1_000, 2);
    let stage = Stage::new();
    let (client, events) = client();
    let mut random = Random(0x5eed_cafe_f00d_0002);
    let mut phases = Phases::new();
    for by in [By::Ticket, By::Handle, By::Drop] {
        for _ in 0..CANCELS / CALLS {
            storm(&client, &stage, by, &mut random, &mut phases);
        }
    }
    drop((client, stage));
    let seen = check(&events);
    let calls = usize::try_from(3 * CANCELS).unwrap();
    assert_eq!(seen.only(EventKind::CallStart).len(), calls);
    assert_eq!(seen.only(EventKind::CallDone).len(), calls);
    let opened = seen.only(EventKind::ConnOpened).len();
    assert_eq!(seen.only(EventKind::ConnClosed).len(), opened);
    let dropped = seen.matching("call_canceled by=drop").len();
    println!("{calls} calls, {opened} connections, {dropped} dropped with their loop: {phases:?}");
    for expected in [
        ("lookup", "lookup"),
        ("connect", "connect"),
        ("tls", "tls"),
        ("head", "first_byte"),
        ("body", "receive"),
        ("upload", "send"),
        ("reader", "send"),
    ] {
        assert!(phases.contains_key(&expected), "{expected:?}: {phases:?}");
    }
    assert!(dropped > 100, "{dropped}");
    alone.nothing_left();
}
