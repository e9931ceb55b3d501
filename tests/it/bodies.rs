//! Bodies that come and go piece by piece: sources and sinks that say "not now", at both doors, and code of the
//! caller's that fails or panics.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wirescope::body::{BodySink, BodySource, Head, PipeReader, PipeWriter, ToFile, ToWriter, pipe};
use wirescope::error::Timer;
use wirescope::event::EventKind;
use wirescope::testkit::sim::{Caller, Name, Sim};
use wirescope::testkit::{Gate, Peer, Script};
use wirescope::{CancelHandle, Client, Completion, Error, ErrorKind, EventLoop, Phase, Request};

use crate::harness::{Lab, PATIENCE, SHORT, ok, once, serve, took_about};

/// A lab whose peer runs a script, and a loop for its client.
fn looped(script: Script) -> (Lab, EventLoop) {
    let lab = Lab::new([script]);
    let event_loop = EventLoop::new(&lab.client).unwrap();
    (lab, event_loop)
}

fn next(event_loop: &mut EventLoop) -> Completion {
    event_loop.next().unwrap().unwrap()
}

fn failed(event_loop: &mut EventLoop) -> Error {
    next(event_loop).into_result().unwrap_err()
}

/// Bytes that are not all the same.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
}

/// A response with this content.
fn response(content: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    [head.as_bytes(), content].concat()
}

/// What a sink learned, and what it is to do.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A sink whose steps are functions, by default such as take everything.
struct Steps {
    log: Log,
    _drop: Dropped,
    begin: fn() -> io::Result<()>,
    write: fn(&[u8], &Waker) -> Poll<io::Result<usize>>,
    end: fn() -> io::Result<()>,
}

impl Steps {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            _drop: Dropped(log.clone()),
            begin: || Ok(()),
            write: |content, _| Poll::Ready(Ok(content.len())),
            end: || Ok(()),
        }
    }

    fn writing(log: &Log, write: fn(&[u8], &Waker) -> Poll<io::Result<usize>>) -> Self {
        Self {
            write,
            ..Self::new(log)
        }
    }
}

impl BodySink for Steps {
    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        let (status, fields) = (head.status(), head.fields().len());
        self.log.add(format!("begin {status} {fields}"));
        (self.begin)()
    }

    fn poll_write(&mut self, content: &[u8], waker: &Waker) -> Poll<io::Result<usize>> {
        let taken = (self.write)(content, waker);
        if let Poll::Ready(Ok(count)) = taken {
            self.log.add(String::from_utf8_lossy(&content[..count]));
        }
        taken
    }

    fn end(&mut self) -> io::Result<()> {
        self.log.add("end");
        (self.end)()
    }
}

/// Says when a sink is dropped.
struct Dropped(Log);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

fn boom<T>() -> T {
    panic!("boom on purpose")
}

#[test]
fn a_sink_learns_of_the_head_the_content_and_the_end() {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    let (lab, mut event_loop) = looped(serve(answer));
    let log = Log::default();
    let request = lab.request("GET", "/");
    event_loop.submit_to(request, Steps::new(&log)).unwrap();
    let done = next(&mut event_loop).into_result().unwrap();
    assert_eq!((done.body(), done.body_bytes()), (&b""[..], 3));
    assert_eq!(log.lines().concat(), "begin 200 1abcenddropped");
    drop(event_loop);
    lab.finish();
}

#[test]
fn a_sink_of_a_response_without_content_learns_that_too() {
    let (lab, mut event_loop) = looped(serve("HTTP/1.1 204 No Content\r\n\r\n"));
    let log = Log::default();
    event_loop
        .submit_to(lab.request("GET", "/"), Steps::new(&log))
        .unwrap();
    assert!(next(&mut event_loop).into_result().is_ok());
    assert_eq!(log.lines(), ["begin 204 0", "end", "dropped"]);
    drop(event_loop);
    lab.finish();
}

#[test]
fn a_slow_reader_behind_a_pipe_gets_every_byte_and_holds_nobody() {
    let large = content(3_000_000);
    let (lab, mut event_loop) = looped(once(response(&large)).expect_gone());
    let small = Peer::start(serve(ok("small"))).unwrap();
    let (writer, mut reader) = pipe(5_000);
    event_loop
        .submit_to(lab.request("GET", "/large"), writer)
        .unwrap();
    let gate = Gate::new();
    let opened = gate.clone();
    let reading = thread::spawn(move || {
        assert!(opened.wait(PATIENCE), "the small calls were held");
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all)
    });
    for _ in 0..20 {
        event_loop
            .submit(lab.client.get(&small.url("/")).unwrap())
            .unwrap();
    }
    for _ in 0..20 {
        assert_eq!(next(&mut event_loop).body(), b"small");
    }
    gate.open();
    let done = next(&mut event_loop).into_result().unwrap();
    assert_eq!(done.body_bytes(), 3_000_000);
    assert!(reading.join().unwrap().unwrap() == large);
    drop(event_loop);
    lab.finish();
}

#[test]
fn a_body_that_breaks_off_breaks_the_pipe_off() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let (lab, mut event_loop) = looped(once(head));
    let (writer, mut reader) = pipe(100);
    event_loop
        .submit_to(lab.request("GET", "/"), writer)
        .unwrap();
    let error = failed(&mut event_loop);
    assert!(matches!(error.kind(), ErrorKind::PeerIncompleteBody { .. }));
    let mut all = Vec::new();
    let error = reader.read_to_end(&mut all).unwrap_err();
    assert_eq!(
        (error.kind(), &all[..]),
        (io::ErrorKind::UnexpectedEof, &b"half"[..])
    );
    drop(event_loop);
    lab.finish();
}

#[test]
fn a_sink_that_never_goes_on_ends_with_the_total_of_its_call() {
    // Of the first the rest is still to come; the second is all received, and its connection free, before the sink
    // has taken any.
    for rest in ["", "56789"] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234{rest}");
        let (lab, mut event_loop) = looped(once(answer).expect_gone());
        let log = Log::default();
        let sink = Steps::writing(&log, |_, _| Poll::Pending);
        let begun = Instant::now();
        let request = lab.request("GET", "/").timeout(SHORT);
        event_loop.submit_to(request, sink).unwrap();
        let error = failed(&mut event_loop);
        assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Total), "{rest}");
        assert_eq!(error.phase(), Phase::Receive, "{rest}");
        took_about(begun, SHORT);
        assert_eq!(log.lines(), ["begin 200 1", "dropped"]);
        drop(event_loop);
        lab.finish();
    }
}

#[test]
fn a_call_whose_sink_is_waited_for_can_be_canceled() {
    for rest in ["", "56789"] {
        for by_ticket in [true, false] {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234{rest}");
            let (lab, mut event_loop) = looped(once(answer).expect_gone());
            let handle = CancelHandle::default();
            let asked = Gate::new();
            let sink = Asked(asked.clone());
            let request = lab.request("GET", "/").cancel_by(&handle);
            let ticket = event_loop.submit_to(request, sink).unwrap();
            while !asked.is_open() {
                event_loop.turn(Some(PATIENCE)).unwrap();
            }
            if by_ticket {
                assert!(event_loop.cancel(ticket));
            } else {
                let handle = handle.clone();
                thread::spawn(move || handle.cancel());
            }
            assert!(failed(&mut event_loop).is_canceled(), "{rest} {by_ticket}");
            drop(event_loop);
            lab.finish();
        }
    }
}

/// A sink that opens a gate when it is asked, and takes nothing.
struct Asked(Gate);

impl BodySink for Asked {
    fn poll_write(&mut self, _content: &[u8], _waker: &Waker) -> Poll<io::Result<usize>> {
        self.0.open();
        Poll::Pending
    }
}

#[test]
fn a_sink_that_fails_fails_its_call_and_costs_its_connection() {
    type Break = fn(&Log) -> Steps;
    let breaks: [Break; 4] = [
        |log| Steps {
            begin: || Err(io::Error::other("no disk")),
            ..Steps::new(log)
        },
        |log| Steps::writing(log, |_, _| Poll::Ready(Err(io::Error::other("no disk")))),
        |log| Steps::writing(log, |_, _| Poll::Ready(Ok(0))),
        |log| Steps {
            end: || Err(io::Error::other("no disk")),
            ..Steps::new(log)
        },
    ];
    for (number, sink) in breaks.into_iter().enumerate() {
        let (lab, mut event_loop) = looped(serve(ok("hello")));
        let log = Log::default();
        event_loop
            .submit_to(lab.request("GET", "/"), sink(&log))
            .unwrap();
        let error = failed(&mut event_loop);
        assert_eq!(error.kind(), ErrorKind::LocalBodySink, "{number}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause.contains("no disk"), number != 2, "{cause}");
        assert_eq!(error.phase(), Phase::Receive);
        let about = lab.peer.addr().to_string();
        assert!(error.call().is_some() && error.to_string().contains(&about));
        assert_eq!(log.lines().last().unwrap(), "dropped");
        drop(event_loop);
        lab.finish();
    }
}

#[test]
fn code_that_panics_fails_its_call_and_no_other() {
    struct Boom;
    impl BodySource for Boom {
        fn poll_read(&mut self, _: &mut [u8], _: &Waker) -> Poll<io::Result<usize>> {
            boom()
        }
    }
    impl Read for Boom {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            boom()
        }
    }
    let (lab, mut event_loop) = looped(serve(ok("hello")));
    let log = Log::default();
    let get = || lab.request("GET", "/");
    let post = || lab.request("POST", "/");
    let mut bad = vec![
        event_loop.submit(post().body_reader(Boom)).unwrap(),
        event_loop.submit(post().body_source(Boom, None)).unwrap(),
        event_loop
            .submit(post().body_source(Boom, Some(5)))
            .unwrap(),
    ];
    let steps = || Steps::new(&log);
    for sink in [
        Steps {
            begin: boom,
            ..steps()
        },
        Steps {
            write: |_, _| boom(),
            ..steps()
        },
        Steps {
            end: boom,
            ..steps()
        },
    ] {
        bad.push(event_loop.submit_to(get(), sink).unwrap());
    }
    let good: Vec<_> = (0..6).map(|_| event_loop.submit(get()).unwrap()).collect();
    let mut all = Vec::new();
    while let Some(done) = event_loop.next().unwrap() {
        all.push(done.ticket());
        let is_bad = bad.contains(&done.ticket());
        assert_eq!(done.error().is_some(), is_bad, "{:?}", done.error());
        if let Some(error) = done.error() {
            assert_eq!(
                (error.kind(), error.call()),
                (ErrorKind::LocalPanic, Some(done.call()))
            );
            let cause = std::error::Error::source(error).unwrap().to_string();
            assert!(cause.contains("boom on purpose"), "{cause}");
        }
    }
    all.sort_unstable();
    let mut wanted = [bad, good].concat();
    wanted.sort_unstable();
    assert_eq!(all, wanted, "each ticket once");
    drop(event_loop);
    lab.finish_unfollowed();
}

#[test]
fn a_file_and_a_writer_take_content() {
    let large = content(200_000);
    let path = std::env::temp_dir().join(format!("wirescope-bodies-{}", std::process::id()));
    let (lab, mut event_loop) = looped(serve(response(&large)));
    let writer = Shared::default();
    let buffered = io::BufWriter::with_capacity(1 << 20, writer.clone());
    event_loop
        .submit_to(lab.request("GET", "/"), ToFile::new(&path))
        .unwrap();
    event_loop
        .submit_to(lab.request("GET", "/"), ToWriter::new(buffered))
        .unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut event_loop).body_bytes(), 200_000);
    }
    assert!(std::fs::read(&path).unwrap() == large);
    assert!(*writer.0.lock().unwrap() == large);
    std::fs::remove_file(&path).unwrap();
    let unwritable = ToFile::new("/nowhere/at/all");
    event_loop
        .submit_to(lab.request("GET", "/"), unwritable)
        .unwrap();
    assert_eq!(failed(&mut event_loop).kind(), ErrorKind::LocalBodySink);
    drop(event_loop);
    lab.finish();
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes into a pipe from another thread, in pieces, with pauses in which the source most likely has nothing.
fn slowly(mut writer: PipeWriter, pieces: Vec<Vec<u8>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for piece in pieces {
            thread::sleep(Duration::from_millis(5));
            writer.write_all(&piece).unwrap();
        }
        writer.finish();
    })
}

/// The door that sends an upload.
#[derive(Debug, Clone, Copy)]
enum Door {
    Blocking,
    Loop,
}

impl Door {
    const BOTH: [Self; 2] = [Self::Blocking, Self::Loop];

    fn send(self, client: &Client, request: Request) -> Result<(u16, Vec<u8>), Error> {
        match self {
            Self::Blocking => {
                let mut response = request.send()?;
                Ok((response.status(), response.collect(1 << 20)?))
            }
            Self::Loop => {
                let mut event_loop = EventLoop::new(client).unwrap();
                event_loop.submit(request)?;
                let done = next(&mut event_loop).into_result()?;
                Ok((done.status().unwrap(), done.into_body()))
            }
        }
    }
}

#[test]
fn a_source_that_says_not_now_is_sent_as_it_comes() {
    let pieces = vec![b"one ".to_vec(), content(40_000), b"three".to_vec()];
    let whole = pieces.concat();
    for door in Door::BOTH {
        for length in [None, Some(whole.len() as u64)] {
            let lab = Lab::new([Script::new().expect_request().send(ok("got it"))]);
            let (writer, reader) = pipe(1_000);
            let writing = slowly(writer, pieces.clone());
            let request = lab.request("POST", "/").body_source(reader, length);
            let (status, body) = door.send(&lab.client, request).unwrap();
            assert_eq!(
                (status, &body[..]),
                (200, &b"got it"[..]),
                "{door:?} {length:?}"
            );
            writing.join().unwrap();
            assert!(lab.peer.requests()[0].body == whole);
            lab.finish();
        }
    }
}

#[test]
fn a_source_that_says_not_now_works_under_tls() {
    for door in Door::BOTH {
        let lab = Lab::tls([Script::new().expect_request().send(ok("got it"))]);
        let (writer, reader) = pipe(1_000);
        let writing = slowly(writer, vec![b"one ".to_vec(), content(40_000)]);
        let request = lab.request("PUT", "/").body_source(reader, None);
        let result = door.send(&lab.client, request);
        assert_eq!(result.unwrap().0, 200, "{door:?} {:?}", lab.peer.failures());
        writing.join().unwrap();
        lab.finish();
    }
}

#[test]
fn an_answer_that_comes_while_the_source_says_not_now_is_seen() {
    for door in Door::BOTH {
        let answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
        let lab = Lab::new([Script::new().expect_head().send(answer).expect_gone()]);
        let (writer, reader) = pipe(10);
        let request = lab.request("POST", "/").body_source(reader, None);
        let (status, body) = door.send(&lab.client, request).unwrap();
        assert_eq!((status, &body[..]), (413, &b"no"[..]), "{door:?}");
        drop(writer);
        lab.finish();
    }
}

#[test]
fn a_source_that_never_goes_on_ends_with_the_total_of_its_call() {
    for door in Door::BOTH {
        let lab = Lab::new([Script::new().expect_head().expect_gone()]);
        let (_writer, reader) = pipe(10);
        let begun = Instant::now();
        let request = lab.request("POST", "/").timeout(SHORT);
        let request = request.body_source(reader, None);
        let error = door.send(&lab.client, request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Timer::Total), "{door:?}");
        took_about(begun, SHORT);
        lab.finish();
    }
}

/// A source that opens a gate when it is asked, and has nothing.
struct Empty(Gate);

impl BodySource for Empty {
    fn poll_read(&mut self, _into: &mut [u8], _waker: &Waker) -> Poll<io::Result<usize>> {
        self.0.open();
        Poll::Pending
    }
}

#[test]
fn a_call_whose_source_is_waited_for_can_be_canceled() {
    for door in Door::BOTH {
        let lab = Lab::new([Script::new().expect_head().expect_gone()]);
        let asked = Gate::new();
        let source = Empty(asked.clone());
        let mut request = lab.request("POST", "/").body_source(source, None);
        let handle = request.cancel_handle();
        let canceling = thread::spawn(move || {
            assert!(asked.wait(PATIENCE));
            handle.cancel();
        });
        let error = door.send(&lab.client, request).unwrap_err();
        assert!(error.is_canceled(), "{door:?} {error}");
        canceling.join().unwrap();
        lab.finish();
    }
}

#[test]
fn a_body_of_known_length_is_over_although_its_source_has_not_said_so() {
    for door in Door::BOTH {
        let lab = Lab::new([Script::new().expect_request().send(ok("got it"))]);
        let (mut writer, reader) = pipe(10);
        writer.write_all(b"hello").unwrap();
        let request = lab.request("POST", "/").body_source(reader, Some(5));
        let (status, _) = door.send(&lab.client, request).unwrap();
        assert_eq!(status, 200, "{door:?}");
        drop(writer);
        let seen = lab.finish();
        let put = seen.only(EventKind::PutIdleConn);
        assert!(put[0].to_string().contains("\"error\":null"), "{}", put[0]);
    }
}

#[test]
fn a_source_that_breaks_off_or_lies_fails_its_call() {
    type Case = (fn(PipeWriter), Option<u64>, fn(ErrorKind) -> bool);
    let cases: [Case; 3] = [
        (
            |writer| drop(writer),
            None,
            |kind| kind == ErrorKind::LocalBodySource,
        ),
        (PipeWriter::finish, Some(5), |kind| {
            kind == ErrorKind::LocalBodyShort {
                sent: 0,
                declared: 5,
            }
        }),
        (
            |mut writer| {
                writer.write_all(b"123456").unwrap();
                writer.finish();
            },
            Some(5),
            |kind| kind == ErrorKind::LocalBodyLong { declared: 5 },
        ),
    ];
    for door in Door::BOTH {
        for (end, length, is_right) in cases {
            let lab = Lab::new([Script::new().expect_head().expect_gone()]);
            let (writer, reader): (PipeWriter, PipeReader) = pipe(10);
            let ending = thread::spawn(move || end(writer));
            let request = lab.request("POST", "/").body_source(reader, length);
            let error = door.send(&lab.client, request).unwrap_err();
            assert!(is_right(error.kind()), "{door:?} {error}");
            ending.join().unwrap();
            drop(lab);
        }
    }
}

#[test]
fn waiting_for_a_source_is_the_callers_time_in_the_simulator_too() {
    let pause = Duration::from_millis(250);
    let run = |caller: Caller| {
        let client = Client::new().unwrap();
        let mut sim = Sim::new(&client);
        sim.name("example.com", Name::new(&["192.0.2.1".parse().unwrap()]));
        let script = Script::new().expect_request().send(ok("ok"));
        sim.listen("192.0.2.1:80".parse().unwrap(), script);
        let request = client.post("http://example.com/").unwrap();
        let request = request.body_reader(io::Cursor::new(content(1000)));
        let outcome = sim.run_as(request, caller);
        let times = (outcome.ended(), outcome.status());
        let seen = sim.finish();
        let done = seen.only(EventKind::CallDone).len();
        (times, done)
    };
    let blocked = run(Caller::new().source_takes(pause));
    let polled = run(Caller::new().source_says_not_now(pause));
    assert_eq!(blocked, polled);
}
