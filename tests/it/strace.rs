//! The budget of system calls as strace sees it: N against 3N requests, so that what a start costs cancels out.
//!
//! The traced program is this test binary again, in [`the_traced_requests`]; the peer stays outside of it.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use wirescope::Client;
use wirescope::testkit::{Peer, Script, syscalls};

/// The URL and the number of requests, for the traced program.
const URL: &str = "WIRESCOPE_TRACED_URL";
const COUNT: &str = "WIRESCOPE_TRACED_COUNT";

/// What the traced program says before the number of calls that it counted itself.
const COUNTED: &str = "counted system calls: ";

/// Those `recvfrom` that take nothing.
const PEEK: &str = "peeks";

fn answering() -> Peer {
    Peer::builder()
        .keep_requests(false)
        .script(
            Script::new()
                .respond_with(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        )
        .start()
        .unwrap()
}

/// Makes requests one after the other, and says how many system calls they were by its own count.
#[test]
#[ignore = "needs strace: .ci/run"]
fn the_traced_requests() {
    let own = std::env::var(URL).is_err().then(answering);
    let url = own
        .as_ref()
        .map_or_else(|| std::env::var(URL).unwrap(), |peer| peer.url("/"));
    let count = std::env::var(COUNT).map_or(1, |count| count.parse().unwrap());
    let client = Client::new().unwrap();
    let before = syscalls::on_this_thread();
    for _ in 0..count {
        let mut response = client.get(&url).unwrap().send().unwrap();
        assert_eq!(response.collect(5).unwrap(), b"hello");
    }
    println!("{COUNTED}{}", syscalls::on_this_thread() - before);
}

/// What a run of that many requests did: calls by name as strace saw them, and their number by our own count.
fn traced(url: &str, count: u64) -> (BTreeMap<String, u64>, u64) {
    let log = std::env::temp_dir().join(format!("wirescope-strace-{}-{count}", std::process::id()));
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "strace::the_traced_requests",
            "--include-ignored",
            "--nocapture",
        ])
        .args(["--test-threads", "1"])
        .env(URL, url)
        .env(COUNT, count.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("strace is needed: see .ci/run");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    let (_, counted) = said
        .split_once(COUNTED)
        .expect("the program says its count");
    let digits: String = counted.chars().take_while(char::is_ascii_digit).collect();
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        if let Some(name) = name_of(line) {
            *calls.entry(name.to_owned()).or_insert(0) += 1;
        }
        // The flags may stand on the line that resumes the call.
        if line.contains("MSG_PEEK") {
            *calls.entry(PEEK.to_owned()).or_insert(0) += 1;
        }
    }
    fs::remove_file(&log).unwrap();
    (calls, digits.parse().unwrap())
}

/// The call on a line `PID name(…`; a line that resumes or ends one has none.
fn name_of(line: &str) -> Option<&str> {
    let (_, call) = line.split_once(' ')?;
    let (name, _) = call.trim_start().split_once('(')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_name).then_some(name)
}

#[test]
#[ignore = "needs strace: .ci/run"]
fn a_kept_connection_costs_a_peek_a_send_and_a_receive() {
    const FEW: u64 = 50;
    let peer = answering();
    let url = peer.url("/");
    let (few, counted_few) = traced(&url, FEW);
    let (many, counted_many) = traced(&url, 3 * FEW);
    let more: BTreeMap<_, _> = many
        .iter()
        .map(|(name, &calls)| {
            (
                name.as_str(),
                calls - few.get(name).copied().unwrap_or(0).min(calls),
            )
        })
        .filter(|(_, calls)| *calls > 0)
        .collect();
    println!("{} more requests: {more:?}", 2 * FEW);
    assert_eq!(counted_many - counted_few, 3 * 2 * FEW);
    let of = |name| more.get(name).copied().unwrap_or(0);
    assert_eq!(
        (of(PEEK), of("sendto"), of("recvfrom")),
        (2 * FEW, 2 * FEW, 2 * 2 * FEW)
    );
    // Of the allocator, say: nothing that grows with each request.
    let others = more.values().sum::<u64>() - of(PEEK) - of("sendto") - of("recvfrom");
    assert!(others < FEW / 5, "{more:?}");
}
