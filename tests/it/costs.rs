//! What a request costs in system calls. Allocations are counted in a binary of their own.

use std::io::Read;

use wirescope::testkit::check::check;
use wirescope::testkit::{Authority, Peer, Script, syscalls};
use wirescope::{Client, EventLoop, TlsConfig, event};

fn answering() -> Script {
    Script::new().respond_with(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec())
}

fn get(client: &Client, url: &str) -> u64 {
    let before = syscalls::on_this_thread();
    let mut response = client.get(url).unwrap().send().unwrap();
    let mut body = [0; 64];
    assert_eq!(response.read(&mut body).unwrap(), 5);
    assert_eq!(response.read(&mut body).unwrap(), 0);
    syscalls::on_this_thread() - before
}

#[test]
fn a_plain_request_costs_three_system_calls_and_a_new_connection_eight_at_most() {
    let peer = Peer::start(answering()).unwrap();
    let url = peer.url("/");
    let client = Client::new().unwrap();
    let costs: Vec<_> = (0..5).map(|_| get(&client, &url)).collect();
    println!("plain, from a new connection on: {costs:?}");
    assert!(costs[0] <= 8, "{costs:?}");
    assert!(costs[1..].iter().all(|&cost| cost == 3), "{costs:?}");
    drop(client);
    peer.finish();
}

#[test]
fn a_plain_request_through_the_event_loop_costs_four_system_calls() {
    let peer = Peer::start(answering()).unwrap();
    let url = peer.url("/");
    let client = Client::new().unwrap();
    let mut event_loop = EventLoop::new(&client).unwrap();
    let mut cost = || {
        let before = syscalls::on_this_thread();
        event_loop.submit(client.get(&url).unwrap()).unwrap();
        let done = event_loop.next().unwrap().unwrap();
        assert_eq!(done.into_result().unwrap().body(), b"hello");
        syscalls::on_this_thread() - before
    };
    let costs: Vec<_> = (0..5).map(|_| cost()).collect();
    println!("event loop, from a new connection on: {costs:?}");
    assert!(costs[0] <= 12, "{costs:?}");
    // An answer may be there before it is waited for, or a wake-up come in vain.
    assert!(costs[1..].contains(&4), "{costs:?}");
    drop(event_loop);
    peer.finish();
}

#[test]
fn an_observer_or_a_cancel_handle_costs_no_call_on_a_kept_connection() {
    let peer = Peer::start(answering()).unwrap();
    let url = peer.url("/");
    let (observer, events) = event::channel(1024);
    let client = Client::builder().observe(observer).build().unwrap();
    let first = get(&client, &url);
    assert!(first <= 9, "our own address is asked for once: {first}");
    assert_eq!(get(&client, &url), 3);
    let before = syscalls::on_this_thread();
    let mut request = client.get(&url).unwrap();
    let handle = request.cancel_handle();
    let mut body = String::new();
    let mut response = request.send().unwrap();
    response.read_to_string(&mut body).unwrap();
    assert_eq!(syscalls::on_this_thread() - before, 3);
    handle.cancel();
    assert_eq!(
        get(&client, &url),
        3,
        "a late cancel touches no idle connection"
    );
    assert_eq!(peer.connections(), 1);
    drop(client);
    check(&events);
    peer.finish();
}

#[test]
fn a_kept_tls_connection_costs_three_system_calls_too() {
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
    let url = peer.url("/");
    let costs: Vec<_> = (0..5).map(|_| get(&client, &url)).collect();
    println!("TLS, from a new connection on: {costs:?}");
    // The tickets of the peer may arrive with the first answer or while the connection is idle.
    assert!(costs[2..].iter().all(|&cost| cost == 3), "{costs:?}");
    drop(client);
    peer.finish();
}
