//! Heap allocations of one keep-alive GET, counted on the thread of the call. A binary of its own, because a
//! global allocator counts for all of it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "measured numbers are shown on request"
)]
#![allow(
    unsafe_code,
    reason = "a global allocator that counts can only be written with unsafe code"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wirescope::event::{Event, EventKind, Interest, Observer, ObserverRef, Verdict};
use wirescope::testkit::{Authority, Peer, Script, syscalls};
use wirescope::{Client, TlsConfig};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Prints where each allocation comes from, to find one that is too many.
    static SHOW: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    COUNT.with(|count| count.set(count.get() + 1));
    if SHOW.replace(false) {
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
        SHOW.set(true);
    }
}

// SAFETY: every call goes to the system's allocator with the layout it came with; counting allocates nothing
// that is counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and system calls of one request with its small answer.
fn cost_of_get(client: &Client, url: &str) -> (u64, u64) {
    let mut body = [0; 64];
    let before = (COUNT.with(Cell::get), syscalls::on_this_thread());
    SHOW.set(std::env::var_os("SHOW_ALLOCATIONS").is_some());
    let mut response = client.get(url).unwrap().send().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.read(&mut body).unwrap(), 5);
    assert_eq!(response.read(&mut body).unwrap(), 0);
    drop(response);
    SHOW.set(false);
    (
        COUNT.with(Cell::get) - before.0,
        syscalls::on_this_thread() - before.1,
    )
}

fn answering() -> Script {
    Script::new().respond_with(|_| {
        b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: x\r\n\
          Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
            .to_vec()
    })
}

/// Wants one kind of event and counts what it is told.
struct Probe(Arc<AtomicUsize>, Interest);

impl Observer for Probe {
    fn interest(&self) -> Interest {
        self.1
    }

    fn on_event(&self, _event: &Event) -> Verdict {
        self.0.fetch_add(1, Ordering::Relaxed);
        Verdict::Continue
    }
}

#[test]
fn a_keep_alive_get_costs_six_allocations() {
    let peer = Peer::start(answering()).unwrap();
    let client = Client::new().unwrap();
    let url = peer.url("/a/path?and=query");
    for _ in 0..3 {
        cost_of_get(&client, &url);
    }
    let costs: Vec<_> = (0..10).map(|_| cost_of_get(&client, &url)).collect();
    println!("plain keep-alive GET (allocations, system calls): {costs:?}");
    assert!(costs.iter().all(|&(count, _)| count <= 6), "{costs:?}");
    assert!(costs.iter().all(|&(_, calls)| calls == 3), "{costs:?}");
    drop(client);
    peer.finish();
}

#[test]
fn a_keep_alive_get_over_tls_costs_what_it_costs() {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["127.0.0.1"]).unwrap();
    let peer = Peer::builder()
        .tls(identity)
        .script(answering())
        .start()
        .unwrap();
    let tls = TlsConfig::new()
        .builtin_roots(false)
        .add_ca_pem(authority.pem())
        .unwrap();
    let client = Client::builder().tls(tls).build().unwrap();
    let url = peer.url("/a/path?and=query");
    for _ in 0..3 {
        cost_of_get(&client, &url);
    }
    let costs: Vec<_> = (0..10).map(|_| cost_of_get(&client, &url)).collect();
    println!("TLS keep-alive GET (allocations, system calls): {costs:?}");
    assert!(costs.iter().all(|&(_, calls)| calls == 3), "{costs:?}");
    assert!(costs.iter().all(|&(count, _)| count <= 16), "{costs:?}");
    let before = COUNT.with(Cell::get);
    client.close_expired();
    let looking = COUNT.with(Cell::get) - before;
    assert_eq!(looking, 0, "a look at an idle connection takes no memory");
    assert_eq!(client.connections(), (1, 0));
    drop(client);
    peer.finish();
}

#[test]
fn without_interest_no_payload_is_built() {
    let peer = Peer::start(answering()).unwrap();
    let url = peer.url("/");
    let told = Arc::new(AtomicUsize::new(0));
    let cost = |interest: Option<Interest>| {
        let mut builder = Client::builder();
        if let Some(interest) = interest {
            builder = builder.observe(ObserverRef::new(Probe(told.clone(), interest)));
        }
        let client = builder.build().unwrap();
        for _ in 0..3 {
            cost_of_get(&client, &url);
        }
        told.store(0, Ordering::Relaxed);
        let (count, calls) = cost_of_get(&client, &url);
        assert_eq!(calls, 3);
        (count, told.load(Ordering::Relaxed))
    };
    let (silent, _) = cost(None);
    let (idle, told_idle) = cost(Some(Interest::NONE.with(EventKind::Anomaly)));
    let (full, told_full) = cost(Some(Interest::DEFAULT));
    println!(
        "allocations: no observer {silent}, one for another kind {idle}, one for all {full} ({told_full} events)"
    );
    assert_eq!(told_idle, 0);
    assert!(told_full >= 12);
    // Only the list of observers and room for events that nobody sends, but no payload.
    assert!(idle <= silent + 1, "{idle}, {silent}");
    assert!(full > idle);
    peer.finish();
}
