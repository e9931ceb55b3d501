//! A server closes its idle connections about when they are used again.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wirescope::event::{EventData, Events};
use wirescope::testkit::check::check;
use wirescope::{Client, Error, ErrorKind, EventLoop, Request};

use crate::support::{read_head, target, watched};

const RACES: u64 = 10_000;
const THREADS: u64 = 4;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

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

/// How often each target was asked for.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// Answers, and a moment after each answer closes every second connection, whatever comes.
fn serve(mut stream: TcpStream, counts: &Counts, seed: u64) {
    let mut random = Random(seed);
    stream.set_nodelay(true).unwrap();
    while let Some(head) = read_head(&stream) {
        *counts
            .lock()
            .unwrap()
            .entry(target(&head).to_owned())
            .or_default() += 1;
        if stream.write_all(OK).is_err() {
            return;
        }
        // What comes in between is not read: for the server the connection was idle.
        std::thread::sleep(Duration::from_micros(random.below(200)));
        if random.below(2) == 0 {
            return;
        }
    }
}

fn start(counts: &Counts) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let counts = counts.clone();
    std::thread::spawn(move || {
        for (number, stream) in (1..).zip(listener.incoming()) {
            let (stream, counts) = (stream.unwrap(), counts.clone());
            std::thread::spawn(move || serve(stream, &counts, number * 0x9e37_79b9));
        }
    });
    format!("http://{addr}")
}

fn request(client: &Client, origin: &str, id: u64) -> Request {
    if id % 3 == 0 {
        client.post(&format!("{origin}/post/{id}")).unwrap()
    } else {
        client.get(&format!("{origin}/get/{id}")).unwrap()
    }
}

/// What came of a race; says whether it was a POST that was lost.
#[track_caller]
fn judge(id: u64, result: Result<Vec<u8>, Error>) -> bool {
    match result {
        Ok(body) => {
            assert_eq!(body, b"ok");
            false
        }
        Err(error) if id % 3 == 0 => {
            let kind = error.kind();
            let is_typed = matches!(kind, ErrorKind::PeerClosed | ErrorKind::Io { .. });
            assert!(is_typed, "{error:?}");
            assert_eq!(error.connection_reused(), Some(true), "{error:?}");
            true
        }
        Err(error) => panic!("GET {id}: {error:?}"),
    }
}

/// No request that may come only once came twice, every repeat is told, and there were some.
#[track_caller]
fn judge_all(events: &Events, counts: &Counts, posts_lost: u64) {
    let seen = check(events);
    let counts = counts.lock().unwrap();
    for (target, count) in counts.iter() {
        assert!(
            *count == 1 || target.starts_with("/get"),
            "{target} came {count} times"
        );
    }
    let mut repeats = 0;
    for event in seen.events() {
        if let EventData::CallDone(done) = event.data() {
            repeats += usize::from(done.attempts()) - 1;
        }
    }
    let retries = seen.matching("retry").len();
    assert_eq!(repeats, retries);
    println!(
        "{retries} repeats, {posts_lost} posts lost, {} idle connections found closed",
        seen.matching("conn_closed reason=peer_closed_idle").len()
    );
    assert!(retries > 0, "no race was ever lost");
}

#[test]
fn q16_ten_thousand_races_with_a_server_that_closes_idle_connections() {
    let counts = Counts::default();
    let origin = start(&counts);
    let (client, events) = watched(|builder| builder);
    let posts_lost = Mutex::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, origin, posts_lost) = (&client, &origin, &posts_lost);
            scope.spawn(move || {
                let mut random = Random(0x5eed + thread);
                for round in 0..RACES / THREADS {
                    let id = round * THREADS + thread;
                    let until = Instant::now() + Duration::from_micros(random.below(300));
                    let result = request(client, origin, id).send();
                    let result = result.and_then(|mut response| response.collect(10));
                    *posts_lost.lock().unwrap() += u64::from(judge(id, result));
                    while Instant::now() < until {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    drop(client);
    judge_all(&events, &counts, posts_lost.into_inner().unwrap());
}

#[test]
fn q16_ten_thousand_races_of_an_event_loop() {
    let counts = Counts::default();
    let origin = start(&counts);
    let (client, events) = watched(|builder| builder);
    let mut event_loop = EventLoop::new(&client).unwrap();
    let mut random = Random(0x5eed);
    let (mut begun, mut ended, mut posts_lost) = (0, 0, 0);
    let mut calls = BTreeMap::new();
    while ended < RACES {
        // Between none and as many at a time as the client had threads.
        while begun < RACES && (event_loop.calls() as u64) < random.below(THREADS + 1) {
            let ticket = event_loop.submit(request(&client, &origin, begun)).unwrap();
            calls.insert(ticket, begun);
            begun += 1;
        }
        let until = Instant::now() + Duration::from_micros(random.below(100));
        while Instant::now() < until {
            std::thread::yield_now();
        }
        let patience = Duration::from_micros(random.below(500));
        event_loop.turn(Some(patience)).unwrap();
        while let Some(done) = event_loop.try_next() {
            let id = calls.remove(&done.ticket()).unwrap();
            ended += 1;
            let result = done.into_result().map(|done| done.into_body());
            posts_lost += u64::from(judge(id, result));
        }
    }
    assert_eq!((event_loop.calls(), calls.len()), (0, 0));
    drop((event_loop, client));
    judge_all(&events, &counts, posts_lost);
}
