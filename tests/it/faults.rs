//! Code of the caller that fails, and bodies that are read in any way.

use std::io::{self, BufRead, Read};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wirescope::event::{
    Event, EventKind, Interest, Observer, ObserverRef, Overflow, Verdict, channel_with,
};
use wirescope::message::answer::{Answer, Family};
use wirescope::resolver::{Query, Resolve, Sink, Ticket};
use wirescope::testkit::check::{Checked, check};
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, Error, ErrorKind, Response};

use crate::support::{trusted, watched};

/// What a slow consumer spends on an event.
const TICK: Duration = Duration::from_millis(1);

fn hello() -> Script {
    Script::new().respond_with(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec())
}

fn get(client: &Client, url: &str) -> Result<String, Error> {
    let mut response = client.get(url)?.send()?;
    Response::text(&mut response, 1 << 20)
}

/// Gives some bytes, then panics.
struct Panicking(usize);

impl Read for Panicking {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        assert!(self.0 > 0, "the source panics on purpose");
        self.0 -= 1;
        into[..3].copy_from_slice(b"abc");
        Ok(3)
    }
}

#[test]
fn a_panic_in_the_body_source_unwinds_and_leaves_the_client_usable() {
    for pieces in 0..3 {
        let peer = Peer::builder()
            .scripts([Script::new().expect_gone(), hello()])
            .start()
            .unwrap();
        let (client, events) = watched(|builder| builder);
        let request = client.post(&peer.url("/")).unwrap();
        let request = request.body_reader(Panicking(pieces));
        let panic = catch_unwind(AssertUnwindSafe(|| request.send())).unwrap_err();
        let text = panic.downcast_ref::<&str>().copied();
        assert_eq!(text, Some("the source panics on purpose"));
        assert_eq!(get(&client, &peer.url("/")).unwrap(), "hello");
        assert_eq!(client.connections(), (1, 0));
        drop(client);
        let seen = check(&events);
        assert_eq!(seen.matching("call_canceled by=drop").len(), 1);
        assert_eq!(seen.matching("call_done").len(), 2);
        peer.finish();
    }
}

#[test]
fn an_error_of_the_body_source_is_the_source_of_the_error() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let peer = Peer::start(Script::new().expect_gone()).unwrap();
    let (client, events) = watched(|builder| builder);
    let request = client.post(&peer.url("/")).unwrap().body_reader(Failing);
    let error = request.send().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalBodySource);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the disk is gone");
    drop(client);
    check(&events);
    peer.finish();
}

/// Panics at one kind, or aborts the call there.
struct Trouble {
    at: EventKind,
    panics: bool,
    met: Mutex<bool>,
}

impl Observer for Trouble {
    fn interest(&self) -> Interest {
        Interest::NONE.with(self.at)
    }

    fn on_event(&self, _event: &Event) -> Verdict {
        *self.met.lock().unwrap() = true;
        assert!(!self.panics, "the observer panics on purpose");
        Verdict::Abort(format!("no more of {}", self.at).into())
    }
}

impl Observer for &'static Trouble {
    fn interest(&self) -> Interest {
        (**self).interest()
    }

    fn on_event(&self, event: &Event) -> Verdict {
        (**self).on_event(event)
    }
}

/// An exchange that shows as many kinds as there are: a body that waits for a 100, interim heads, a chunked
/// answer with trailers, the second one on a kept connection.
fn rich(client: &Client, url: &str) -> Result<String, Error> {
    let mut last = String::new();
    for _ in 0..2 {
        let request = client
            .post(url)?
            .body_reader(&b"0123456789"[..])
            .trailer("X-Sum", "1")?
            .expect_continue();
        let mut response = request.send()?;
        last = Response::text(&mut response, 1 << 20)?;
    }
    Ok(last)
}

fn rich_answers() -> Script {
    Script::new().forever(
        Script::new()
            .expect_head()
            .send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .expect_body()
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n5\r\nhello\r\n")
            .send("0\r\nX-End: 1\r\n\r\n"),
    )
}

/// Runs the exchange with an observer that makes trouble; says what came of it, and whether trouble was met.
fn with_trouble(at: EventKind, panics: bool) -> (Result<String, Error>, bool, Checked) {
    let (identity, tls) = trusted();
    let peer = Peer::builder()
        .tls(identity)
        .script(rich_answers())
        .start()
        .unwrap();
    let trouble: &'static Trouble = Box::leak(Box::new(Trouble {
        at,
        panics,
        met: Mutex::new(false),
    }));
    let (client, events) = watched(|builder| builder.tls(tls).observe(ObserverRef::new(trouble)));
    let result = rich(&client, &peer.url("/"));
    drop(client);
    let met = *trouble.met.lock().unwrap();
    (result, met, check(&events))
}

#[test]
fn a_panicking_observer_changes_nothing() {
    let mut met = 0;
    for at in EventKind::ALL.iter().copied() {
        let (result, was_met, _) = with_trouble(at, true);
        assert_eq!(result.unwrap(), "hello", "{at}");
        met += usize::from(was_met);
    }
    assert!(met > 25, "{met} kinds");
}

#[test]
fn an_observer_aborts_at_any_event_of_a_call() {
    let mut aborted = 0;
    for at in EventKind::ALL.iter().copied() {
        let (result, was_met, seen) = with_trouble(at, false);
        match result {
            Err(error) => {
                assert!(was_met, "{at}");
                assert_eq!(error.kind(), ErrorKind::Aborted, "{at}");
                let source = std::error::Error::source(&error).unwrap();
                assert_eq!(source.to_string(), format!("no more of {at}"));
                assert_eq!(seen.matching("call_canceled by=observer").len(), 1, "{at}");
                aborted += 1;
            }
            // Told when the exchange is over, or outside any call.
            Ok(body) => {
                assert_eq!(body, "hello", "{at}");
                println!("no abort at {at} (met: {was_met})");
            }
        }
    }
    println!("aborted at {aborted} kinds");
    assert!(aborted >= 30, "{aborted}");
}

fn long_answer() -> Script {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n".to_vec();
    answer.resize(answer.len() + 300_000, b'x');
    Script::new().expect_request().send(answer).expect_gone()
}

#[test]
fn a_response_can_be_dropped_in_any_state() {
    for read in [0, 1, 5, 10_000, 300_000] {
        let peer = Peer::start(long_answer()).unwrap();
        let (client, events) = watched(|builder| builder);
        let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
        let mut body = vec![0; read];
        response.read_exact(&mut body).unwrap();
        drop(response);
        assert_eq!(client.connections(), (usize::from(read == 300_000), 0));
        drop(client);
        let seen = check(&events);
        let early = seen.matching("response_body_done how=closed_early").len();
        assert_eq!(early, usize::from(read < 300_000), "{read}");
        assert_eq!(seen.matching("call_done error=null").len(), 1);
        drop(peer);
    }
}

#[test]
fn a_dropped_response_whose_end_is_buffered_keeps_its_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let peer = Peer::start(Script::new().respond_with(|_| answer.into())).unwrap();
        let (client, events) = watched(|builder| builder);
        for round in 0..3 {
            let response = client.get(&peer.url("/")).unwrap().send().unwrap();
            assert_eq!(response.is_connection_reused(), round > 0, "{answer:?}");
        }
        drop(client);
        check(&events);
        peer.finish();
    }
}

#[test]
fn a_dropped_upload_that_the_peer_does_not_read_ends_at_once() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";
    let peer = Peer::builder()
        .receive_buffer_bytes(4096)
        .script(
            Script::new()
                .expect_head()
                .stop_reading()
                .send(answer)
                .stall(),
        )
        .start()
        .unwrap();
    let (client, events) = watched(|builder| builder);
    let request = client.post(&peer.url("/")).unwrap();
    let response = request.body(vec![0; 16 << 20]).send().unwrap();
    assert_eq!(response.status(), 200);
    drop(response);
    drop(client);
    check(&events).assert_sequence([
        "final_response_start early=true",
        "request_body_done aborted=true",
        "response_body_done how=closed_early",
        "call_done",
    ]);
    drop(peer);
}

#[test]
fn reading_nothing_has_no_effect_and_an_error_repeats() {
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
            .close(),
    )
    .unwrap();
    let (client, events) = watched(|builder| builder);
    let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
    assert_eq!(response.read(&mut []).unwrap(), 0);
    let mut body = [0; 100];
    let mut count = 0;
    while count < 5 {
        count += response.read(&mut body).unwrap();
        assert_eq!(response.read(&mut []).unwrap(), 0);
    }
    for _ in 0..3 {
        let error = response.read(&mut body).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let error = error.into_inner().unwrap().downcast::<Error>().unwrap();
        let (received, expected) = (5, Some(10));
        assert_eq!(
            error.kind(),
            ErrorKind::PeerIncompleteBody { received, expected }
        );
        assert!(response.fill_buf().is_err());
        assert_eq!(response.read(&mut []).unwrap(), 0);
    }
    drop((response, client));
    check(&events);
    peer.finish();
}

#[test]
fn a_timeout_repeats_as_timed_out() {
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            .stall(),
    )
    .unwrap();
    let (client, events) = watched(|builder| {
        builder.timeouts(|timeouts| timeouts.body_idle = Some(Duration::from_millis(10)))
    });
    let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
    for _ in 0..3 {
        let error = response.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
    drop((response, client));
    check(&events);
    drop(peer);
}

#[test]
fn lines_are_read_as_any_bufread_gives_them() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                  4\r\none\n\r\n5\r\ntwo\nt\r\n6\r\nhree\nf\r\n3\r\nour\r\n0\r\n\r\n";
    for segment in [1, 7, 1000] {
        let peer = Peer::start(
            Script::new()
                .expect_request()
                .send_each(answer, segment)
                .expect_gone(),
        )
        .unwrap();
        let (client, events) = watched(|builder| builder);
        let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
        assert_eq!(response.fill_buf().unwrap()[..1], *b"o");
        response.consume(0);
        assert_eq!(response.fill_buf().unwrap()[..1], *b"o");
        let lines: Vec<String> = response.by_ref().lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two", "three", "four"]);
        assert!(response.fill_buf().unwrap().is_empty());
        drop((response, client));
        check(&events);
        peer.finish();
    }
}

#[test]
fn a_slow_reader_gets_every_byte() {
    let answer = long_answer();
    let peer = Peer::start(answer).unwrap();
    let (client, events) = watched(|builder| {
        builder.timeouts(|timeouts| timeouts.body_idle = Some(Duration::from_millis(20)))
    });
    let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
    let mut total = 0;
    let mut piece = [0; 20_000];
    loop {
        // The time between reads is the caller's.
        std::thread::sleep(Duration::from_millis(if total == 0 { 60 } else { 2 }));
        match response.read(&mut piece).unwrap() {
            0 => break,
            count => total += count,
        }
    }
    assert_eq!(total, 300_000);
    drop((response, client));
    check(&events);
    peer.finish();
}

#[test]
fn a_response_moves_to_another_thread_and_feeds_another_call() {
    let source = Peer::start(long_answer()).unwrap();
    let sink = Peer::start(Script::new().respond_with(|request| {
        let length = request.body.len();
        let body = length.to_string();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }))
    .unwrap();
    let (client, events) = watched(|builder| builder);
    let download = client.get(&source.url("/")).unwrap().send().unwrap();
    let uploaded = std::thread::scope(|scope| {
        let upload = || {
            let request = client.post(&sink.url("/")).unwrap();
            let mut response = request.body_reader(download).send().unwrap();
            Response::text(&mut response, 100).unwrap()
        };
        scope.spawn(upload).join().unwrap()
    });
    assert_eq!(uploaded, "300000");
    drop(client);
    check(&events);
    source.finish();
    sink.finish();
}

#[test]
fn eight_threads_share_one_client() {
    let peer = Peer::start(Script::new().respond_with(|request| {
        let target = request.target();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
            target.len()
        )
        .into_bytes()
    }))
    .unwrap();
    let (client, events) = watched(|builder| builder);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (client, peer) = (&client, &peer);
            scope.spawn(move || {
                for round in 0..200 {
                    let target = format!("/{thread}/{round}");
                    assert_eq!(get(client, &peer.url(&target)).unwrap(), target);
                }
            });
        }
    });
    assert!(peer.connections() <= 16, "{}", peer.connections());
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("call_done error=null").len(), 1600);
    peer.finish();
}

#[test]
fn a_handle_of_the_response_cancels_the_read_in_progress() {
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
            .expect_gone(),
    )
    .unwrap();
    let (client, events) = watched(|builder| builder);
    let mut response = client.get(&peer.url("/")).unwrap().send().unwrap();
    let handle = response.cancel_handle();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            handle.cancel();
        });
        response.read_to_end(&mut Vec::new()).unwrap_err()
    });
    let error = error.into_inner().unwrap().downcast::<Error>().unwrap();
    assert!(error.is_canceled());
    drop((response, client));
    check(&events).assert_sequence([
        "call_canceled by=caller phase=receive",
        "response_body_done how=error",
        "put_idle_conn error=canceled",
        "conn_closed reason=canceled",
        "call_done kind=canceled",
    ]);
    peer.finish();
}

/// Panics when it is asked for the first time.
#[derive(Default)]
struct PanicsOnce(AtomicBool);

impl Resolve for PanicsOnce {
    fn resolve(&self, _: &Query, sink: Sink) -> Ticket {
        assert!(
            self.0.swap(true, Ordering::SeqCst),
            "the resolver panics on purpose"
        );
        sink.family(Family::V4, Ok(Answer::new([IpAddr::from([127, 0, 0, 1])])));
        sink.family(Family::V6, Ok(Answer::none()));
        Ticket::done()
    }
}

#[test]
fn fault_q13_a_panic_in_the_resolver_unwinds_and_the_same_name_is_asked_again() {
    let peer = Peer::builder()
        .host("twice.example")
        .script(hello())
        .start()
        .unwrap();
    let (client, events) = watched(|builder| builder.resolver(PanicsOnce::default()));
    let panic = catch_unwind(AssertUnwindSafe(|| get(&client, &peer.url("/")))).unwrap_err();
    let text = panic.downcast_ref::<&str>().copied();
    assert_eq!(text, Some("the resolver panics on purpose"));
    assert_eq!(get(&client, &peer.url("/")).unwrap(), "hello");
    drop(client);
    let seen = check(&events);
    assert_eq!(seen.matching("call_canceled by=drop").len(), 1);
    assert_eq!(seen.matching("dns_start").len(), 2);
    peer.finish();
}

/// Who reads the events, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consumer {
    Nobody,
    /// Its end of the channel is dropped before the call.
    Gone,
    /// Its end of the channel is dropped behind the third event.
    Leaves,
    Slow,
}

#[test]
fn fault_q14_no_consumer_changes_what_comes_of_a_call() {
    let brief = Overflow::Block(Duration::from_millis(1));
    for (overflow, consumer) in [
        (Overflow::DropNewest, Consumer::Nobody),
        (Overflow::DropOldest, Consumer::Nobody),
        (Overflow::Unbounded, Consumer::Nobody),
        (brief, Consumer::Nobody),
        (Overflow::DropNewest, Consumer::Gone),
        (Overflow::DropOldest, Consumer::Gone),
        (Overflow::Block(Duration::from_secs(60)), Consumer::Gone),
        (Overflow::DropNewest, Consumer::Leaves),
        (Overflow::DropOldest, Consumer::Leaves),
        (Overflow::Block(Duration::from_secs(60)), Consumer::Leaves),
        (Overflow::DropNewest, Consumer::Slow),
        (Overflow::Block(Duration::from_secs(60)), Consumer::Slow),
    ] {
        consumed(overflow, consumer);
    }
}

fn consumed(overflow: Overflow, consumer: Consumer) {
    let point = format!("{overflow:?}, {consumer:?}");
    let peer = Peer::start(rich_answers()).unwrap();
    let (observer, events) = channel_with(2, overflow, Interest::DEFAULT);
    let (client, witness) = watched(|builder| builder.observe(observer));
    let (result, held) = std::thread::scope(|scope| {
        let reading = scope.spawn(move || match consumer {
            Consumer::Nobody => (Some(events), 0),
            Consumer::Gone => (None, 0),
            Consumer::Leaves => (None, events.iter().take(3).count()),
            Consumer::Slow => {
                let read = events.iter().inspect(|_| std::thread::sleep(TICK));
                let read = read.filter(|event| event.kind() != EventKind::EventsLost);
                let count = read.count();
                (Some(events), count)
            }
        });
        let (reading, early) = match consumer {
            Consumer::Nobody | Consumer::Gone => (None, Some(reading.join().unwrap())),
            Consumer::Leaves | Consumer::Slow => (Some(reading), None),
        };
        let result = rich(&client, &peer.url("/"));
        drop(client);
        let held = early.or_else(|| reading.map(|reading| reading.join().unwrap()));
        (result, held.unwrap())
    });
    assert_eq!(result.unwrap(), "hello", "{point}");
    let seen = check(&witness);
    assert_eq!(seen.matching("call_done error=null").len(), 2, "{point}");
    if let (Some(events), read) = held {
        let waiting = events.try_iter();
        let waiting = waiting.filter(|event| event.kind() != EventKind::EventsLost);
        let known = read + waiting.count() + events.lost() as usize;
        assert_eq!(known, seen.len(), "{point}");
    }
    peer.finish();
}
