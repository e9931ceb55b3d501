//! A process without descriptors. The limit holds for all of it, so the client runs in a child, and the peers here.

use std::fs::File;
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use wirescope::event::EventData;
use wirescope::message::close::CloseReason;
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};
use wirescope::{Error, ErrorKind, EventLoop, Phase, Proxy};

use crate::support::watched;

const THREADS: usize = 200;
const ROUNDS: usize = 3;
/// Descriptors that the child may have.
const DESCRIPTORS: u32 = 64;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Where the child finds the URLs of its peers.
const URLS: &str = "WIRESCOPE_TEST_URLS";

/// Runs one ignored test of this binary in a process of its own, with few descriptors.
fn run_child(test: &str, descriptors: u32, urls: &[String]) {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(URLS, urls.join(" "))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

fn urls() -> Vec<String> {
    let urls = std::env::var(URLS).unwrap_or_default();
    urls.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn two_hundred_threads_with_sixty_descriptors_wait_and_never_see_that_they_are_few() {
    let script = Script::new().respond_with(|_| {
        std::thread::sleep(Duration::from_millis(10));
        OK.into()
    });
    let peers: Vec<_> = (0..2)
        .map(|_| Peer::start(script.clone()).unwrap())
        .collect();
    let urls: Vec<_> = peers.iter().map(|peer| peer.url("/")).collect();
    run_child("descriptors::many_threads", DESCRIPTORS, &urls);
    let requests: usize = peers.iter().map(Peer::request_count).sum();
    assert_eq!(requests, THREADS * ROUNDS);
}

#[test]
#[ignore = "a part of two_hundred_threads_…, in a process of its own"]
fn many_threads() {
    let urls = urls();
    if urls.is_empty() {
        return;
    }
    let (client, events) = watched(|builder| builder.max_idle_per_origin(64));
    let errors: Mutex<Vec<Error>> = Mutex::default();
    let (begun, all_are_there) = (Instant::now(), Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, urls, errors, barrier) = (&client, &urls, &errors, &all_are_there);
            scope.spawn(move || {
                barrier.wait();
                for round in 0..ROUNDS {
                    let request = client.get(&urls[(thread + round) % urls.len()]).unwrap();
                    match request.send().and_then(|mut response| response.collect(10)) {
                        Ok(body) => assert_eq!(body, b"ok"),
                        Err(error) => errors.lock().unwrap().push(error),
                    }
                }
            });
        }
    });
    let took = begun.elapsed();
    let errors = errors.into_inner().unwrap();
    assert!(
        errors.is_empty(),
        "{} errors: {:?}",
        errors.len(),
        errors[0]
    );
    let stats = client.pool_stats();
    drop(client);
    let seen = check(&events);
    let mut waits: Vec<Duration> = Vec::new();
    for event in seen.events() {
        if let EventData::QueueDone(done) = event.data() {
            waits.push(done.waited());
        }
    }
    let starved = seen.matching("queue_start limit=descriptors").len();
    let mean = waits.iter().sum::<Duration>() / u32::try_from(waits.len().max(1)).unwrap();
    println!(
        "{took:?}: {} connections, {} handed, {} evicted, {starved} waits for a descriptor, mean {mean:?}, longest {:?}",
        stats.opened(),
        stats.handed(),
        stats.closed(CloseReason::Evicted),
        waits.iter().max(),
    );
    assert!(starved > 0, "the descriptors never ran out");
    assert!(stats.closed(CloseReason::Evicted) > 0);
    assert!(took < Duration::from_secs(60));
}

#[test]
fn two_hundred_calls_of_a_loop_with_sixty_descriptors_wait_and_never_see_that_they_are_few() {
    let script = Script::new().respond_with(|_| {
        std::thread::sleep(Duration::from_millis(10));
        OK.into()
    });
    let peers: Vec<_> = (0..2)
        .map(|_| Peer::start(script.clone()).unwrap())
        .collect();
    let urls: Vec<_> = peers.iter().map(|peer| peer.url("/")).collect();
    run_child("descriptors::many_calls", DESCRIPTORS, &urls);
    let requests: usize = peers.iter().map(Peer::request_count).sum();
    assert_eq!(requests, THREADS * ROUNDS);
}

#[test]
#[ignore = "a part of two_hundred_calls_…, in a process of its own"]
fn many_calls() {
    let urls = urls();
    if urls.is_empty() {
        return;
    }
    let (client, events) = watched(|builder| builder.max_idle_per_origin(64));
    let mut event_loop = EventLoop::new(&client).unwrap();
    let begun = Instant::now();
    for call in 0..THREADS * ROUNDS {
        let request = client.get(&urls[call % urls.len()]).unwrap();
        event_loop.submit(request).unwrap();
    }
    let mut completed = 0;
    while let Some(done) = event_loop.next().unwrap() {
        assert_eq!(done.into_result().unwrap().body(), b"ok");
        completed += 1;
    }
    let took = begun.elapsed();
    let stats = event_loop.pool_stats();
    drop((event_loop, client));
    let seen = check(&events);
    let starved = seen.matching("queue_start limit=descriptors").len();
    println!(
        "{took:?}: {} connections, {} handed, {} evicted, {starved} waits for a descriptor",
        stats.opened(),
        stats.handed(),
        stats.closed(CloseReason::Evicted),
    );
    assert_eq!(completed, THREADS * ROUNDS);
    assert!(starved > 0, "the descriptors never ran out");
    assert!(took < Duration::from_secs(60));
}

#[test]
fn a_client_without_any_connection_shows_the_error_of_the_system() {
    let peer = Peer::start(Script::new()).unwrap();
    run_child(
        "descriptors::nothing_to_wait_for",
        DESCRIPTORS,
        &[peer.url("/")],
    );
    assert_eq!(peer.connections(), 0);
}

#[test]
#[ignore = "a part of a_client_without_…, in a process of its own"]
fn nothing_to_wait_for() {
    let urls = urls();
    let Some(url) = urls.first() else {
        return;
    };
    let (client, events) = watched(|builder| builder);
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    let error = client.get(url).unwrap().send().unwrap_err();
    drop(held);
    assert_eq!(error.kind(), ErrorKind::Connect);
    let tried = error.tried();
    assert_eq!(tried.len(), 1, "{error:?}");
    assert!(format!("{:?}", tried[0]).contains("24"), "{tried:?}");
    assert_eq!(client.pool_stats().total().connections(), 0);
    drop(client);
    check(&events).assert_sequence([
        "connect_done outcome=failed code=24",
        "dial_done kind=connect",
        "get_conn_failed",
    ]);
}

/// A call that can be canceled polls while its proxy is asked for a tunnel, and needs a descriptor more for that. Without
/// one it fails, and does not try again and again.
#[test]
fn a_tunnel_that_cannot_be_waited_for_is_an_error() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("socks5h://{}", proxy.local_addr().unwrap());
    run_child("descriptors::no_waker_in_a_tunnel", DESCRIPTORS, &[url]);
}

#[test]
#[ignore = "a part of a_tunnel_that_…, in a process of its own"]
fn no_waker_in_a_tunnel() {
    let urls = urls();
    let Some(proxy) = urls.first().map(|url| Proxy::parse(url).unwrap()) else {
        return;
    };
    let held: Arc<Mutex<Vec<File>>> = Arc::default();
    let holds = held.clone();
    let (client, events) = watched(|builder| {
        builder.proxy(proxy).socket_hook(move |_, _| {
            let files = std::iter::from_fn(|| File::open("/dev/null").ok());
            holds.lock().unwrap().extend(files);
            Ok(())
        })
    });
    let mut request = client.get("http://a.test/").unwrap();
    let _handle = request.cancel_handle();
    let error = request.send().unwrap_err();
    held.lock().unwrap().clear();
    assert_eq!(error.phase(), Phase::Tunnel, "{error}");
    assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
    assert_eq!(client.pool_stats().total().connections(), 0);
    drop(client);
    check(&events).assert_sequence(["proxy_connect_start", "proxy_connect_done", "dial_done"]);
}
