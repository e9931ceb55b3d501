//! What a request costs, part by part: heads, chunks, events, and a GET over a kept connection on loopback.
//!
//! `cargo bench --manifest-path benches/Cargo.toml`. The GET includes the peer, which runs in a thread of this
//! process; pin the process to one core to compare runs (`taskset -c 0`).

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Read;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wirescope::bench::{Emitting, Encoder, decode_chunked, decode_head};
use wirescope::config::Limits;
use wirescope::event::{Interest, Overflow, batches, channel_with};
use wirescope::message::fields::Fields;
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, event};

/// Events of one round: about as many as a request has.
const EVENTS: u64 = 16;

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    let mut fields = Fields::new();
    for (name, value) in [
        ("X-Request-Id", "7f3a"),
        ("Accept-Language", "en"),
        ("Cookie", "a=b; c=d"),
    ] {
        fields.append(name, value).expect("fields that can be sent");
    }
    let mut encoder = Encoder::new(fields);
    group.bench_function("encode, 6 lines", |bencher| {
        bencher.iter(|| encoder.encode())
    });

    let limits = Limits::default();
    for lines in [4, 20] {
        let head = head_of(lines);
        assert_eq!(decode_head(head.as_bytes(), &limits), Some(lines));
        group.bench_function(format!("decode, {lines} lines"), |bencher| {
            bencher.iter(|| decode_head(black_box(head.as_bytes()), &limits));
        });
    }
    group.finish();
}

fn head_of(lines: usize) -> String {
    let mut head =
        String::from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: a-server/1.2.3\r\n");
    for line in 2..lines {
        write!(
            head,
            "X-Field-Name-{line:02}: a value of usual length, {line:04}\r\n"
        )
        .expect("a string grows");
    }
    head + "\r\n"
}

fn chunks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunked");
    let limits = Limits::default();
    for (size, count) in [(16, 256), (4_096, 64), (65_536, 16)] {
        let body = format!("{size:x}\r\n{}\r\n", "x".repeat(size)).repeat(count) + "0\r\n\r\n";
        let content = (size * count) as u64;
        assert_eq!(decode_chunked(body.as_bytes(), &limits), Some(content));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("decode, {count} chunks of {size} B"), |bencher| {
            bencher.iter(|| decode_chunked(black_box(body.as_bytes()), &limits));
        });
    }
    group.finish();
}

fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(EVENTS));

    let mut nobody = Emitting::new(&[]);
    group.bench_function("nobody listens", |bencher| {
        bencher.iter(|| nobody.emit(EVENTS))
    });

    let (observer, events) = channel_with(1024, Overflow::DropNewest, Interest::ALL);
    let mut channel = Emitting::new(&[observer]);
    group.bench_function("channel", |bencher| {
        bencher.iter(|| {
            channel.emit(EVENTS);
            events.try_iter().count()
        });
    });

    let (observer, events) = batches(1024);
    let mut batched = Emitting::new(&[observer]);
    group.bench_function("batches", |bencher| {
        bencher.iter(|| {
            batched.emit(EVENTS);
            events.try_iter().count()
        });
    });
    group.finish();
}

fn get(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("keep-alive GET");
    let peer = Peer::builder()
        .keep_requests(false)
        .script(
            Script::new()
                .respond_with(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        )
        .start()
        .expect("a peer on loopback");
    let url = peer.url("/");
    let fetch = |client: &Client| {
        let mut response = client.get(&url).expect("a URL").send().expect("an answer");
        let mut body = [0; 16];
        response.read(&mut body).expect("a body")
    };

    let quiet = Client::new().expect("a client");
    group.bench_function("nobody listens", |bencher| bencher.iter(|| fetch(&quiet)));

    let (observer, events) = event::channel(1024);
    let told = Client::builder()
        .observe(observer)
        .build()
        .expect("a client");
    group.bench_function("channel", |bencher| {
        bencher.iter(|| {
            fetch(&told);
            events.try_iter().count()
        });
    });

    let (observer, events) = batches(1024);
    let told = Client::builder()
        .observe(observer)
        .build()
        .expect("a client");
    group.bench_function("batches", |bencher| {
        bencher.iter(|| {
            fetch(&told);
            events.try_iter().count()
        });
    });
    group.finish();
}

criterion_group!(benches, heads, chunks, events, get);
criterion_main!(benches);
