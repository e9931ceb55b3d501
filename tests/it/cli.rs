//! The command: what it asks, what it writes where, and which code it exits with.

use std::fs;
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wirescope::testkit::{Authority, BlackHole, Peer, RefusedPort, Script, Validity};

use crate::harness::{echo_target, ok};
use crate::support::{Server, read_head};
use crate::unix::Folder;

/// What one run of the command gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().expect("no signal"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirescope"));
    command.args(args).stdin(Stdio::null());
    // Whoever runs the tests may have proxies.
    for name in PROXY_VARIABLES {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

pub(crate) fn run(args: &[&str]) -> Ran {
    command(args).output().unwrap().into()
}

pub(crate) fn run_with_input(args: &[&str], input: &[u8]) -> Ran {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

/// A peer that answers every request with this.
pub(crate) fn answering(response: &str) -> Peer {
    let response = response.as_bytes().to_vec();
    Peer::start(Script::new().respond_with(move |_| response.clone())).unwrap()
}

pub(crate) fn hello() -> Peer {
    answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: test\r\n\r\nhello")
}

/// A file in a folder of its own, which goes with it.
pub(crate) struct Scratch(PathBuf);

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let folder = self.0.parent().unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}

/// A file of this name and content.
pub(crate) fn file(name: &str, content: &[u8]) -> Scratch {
    let own = format!("cli-{}-{name}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(own);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    Scratch(path)
}

/// The lines of NDJSON, each parsed.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

pub(crate) fn calls_done(objects: &[Value]) -> Vec<&Value> {
    let is_done = |object: &&Value| object["event"] == "call_done";
    objects.iter().filter(is_done).collect()
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let after_head = |script: Script| Peer::start(script).unwrap();
    let request = || Script::new().expect_request();
    let refused = RefusedPort::reserve().unwrap();
    let refused = format!("http://{}/", refused.addr());
    let empty = after_head(request().close());
    let reset = after_head(
        request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")
            .reset(),
    );
    let short = after_head(
        request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")
            .close(),
    );
    let garbage = answering("SSH-2.0-OpenSSH_9.6\r\n");
    let missing = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    let stall = after_head(request().stall());
    let not_tls =
        Peer::start(Script::new().send("HTTP/1.1 400 Bad\r\n\r\n").expect_gone()).unwrap();
    let plain = hello();
    let check = |args: &[&str], code: i32| {
        let ran = run(args);
        assert_eq!(ran.code, code, "{args:?}\n{}{}", ran.out, ran.err);
        let lines = ran
            .err
            .lines()
            .filter(|line| line.starts_with("wirescope: "));
        if code > 2 && args.len() < 3 {
            assert_eq!(lines.count(), 1, "one readable line: {}", ran.err);
        }
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    };
    check(&[&plain.url("/")], 0);
    check(&["ftp://example.com/"], 1);
    check(&["-X", "CONNECT", &plain.url("/")], 1);
    check(&[], 2);
    check(&["--no-such-flag", "http://x/"], 2);
    check(&["-H", "no colon", &plain.url("/")], 2);
    check(&["--resolve", "x", &plain.url("/")], 2);
    check(&["-m", "soon", &plain.url("/")], 2);
    check(&["-T", "-", "http://x/", "http://y/"], 2);
    check(&["http://"], 3);
    check(&["http://[::1/"], 3);
    check(&["http://no-such-host.invalid/"], 6);
    check(&[&refused], 7);
    check(&[&missing.url("/")], 0);
    check(&["-f", &missing.url("/")], 22);
    check(&["-o", "/no/such/folder/file", &plain.url("/")], 23);
    check(&["-d", "@/no/such/file", &plain.url("/")], 26);
    check(&["-T", "/no/such/file", &plain.url("/")], 26);
    check(&["-m", "0.2", &stall.url("/")], 28);
    check(&[&not_tls.https_url("/")], 35);
    check(&[&empty.url("/")], 52);
    check(&[&reset.url("/")], 56);
    check(&[&short.url("/")], 56);
    check(&[&garbage.url("/")], 56);
    check(&["--cacert", "/no/such/file", &plain.url("/")], 77);
    check(&[&refused, &plain.url("/"), "http://"], 3);
    check(&["http://", &refused, &plain.url("/")], 7);
}

#[test]
fn an_error_is_one_line_with_what_was_tried() {
    let refused = RefusedPort::reserve().unwrap();
    let ran = run(&["-s", &format!("http://{}/", refused.addr())]);
    assert_eq!((ran.code, ran.out + &ran.err), (7, String::new()));
    let ran = run(&[&format!("http://{}/", refused.addr())]);
    let line = ran.err.lines().next().unwrap();
    let start = format!(
        "wirescope: cannot connect to {}: 1 address tried in ",
        refused.addr()
    );
    assert!(line.starts_with(&start), "{line}");
    assert!(line.contains(" ms: 127.0.0.1 refused ("), "{line}");
    assert!(
        ran.out.starts_with("no response  GET http://"),
        "{}",
        ran.out
    );
}

#[test]
fn timeouts_exit_in_time() {
    let check = |args: &[&str]| {
        let begun = Instant::now();
        let ran = run(args);
        assert_eq!(ran.code, 28, "{args:?} {}", ran.err);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(200), "{args:?} took {took:?}");
        assert!(took < Duration::from_secs(3), "{args:?} took {took:?}");
    };
    let stall = Peer::start(Script::new().expect_request().stall()).unwrap();
    let body = Script::new().expect_request();
    let body = body
        .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        .stall();
    let body = Peer::start(body).unwrap();
    let hole = BlackHole::start().unwrap();
    check(&["-m", "0.25", &stall.url("/")]);
    check(&["--max-time", "0.25", &body.url("/")]);
    check(&[
        "--connect-timeout",
        "0.25",
        &format!("http://{}/", hole.addr()),
    ]);
}

#[test]
fn output_goes_where_it_belongs() {
    let peer = hello();
    let url = peer.url("/");
    let drawing = "HTTP/1.1 200 OK  GET http://";
    let ran = run(&[&url]);
    assert!(
        ran.out.starts_with(drawing) && ran.err.is_empty(),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("█") && ran.out.contains("- new connection to"),
        "{}",
        ran.out
    );
    assert!(
        !ran.out.contains('\x1b') && !ran.out.contains("hello"),
        "{}",
        ran.out
    );

    let ran = run(&["-o", "-", &url]);
    assert_eq!(ran.out, "hello");
    assert!(ran.err.starts_with(drawing), "{}", ran.err);

    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: test\r\n\r\n";
    let ran = run(&["-i", "-o", "-", &url]);
    assert_eq!(ran.out, format!("{head}hello"));
    assert_eq!(run(&["-s", "-i", &url]).out, head);

    let to = file("body.txt", b"old");
    let ran = run(&["-o", to.to_str().unwrap(), &url]);
    assert_eq!(fs::read(&*to).unwrap(), b"hello");
    assert!(ran.out.starts_with(drawing), "{}", ran.out);

    let ran = run(&["--timings", "flat", &url]);
    let flat = &objects(&ran.out)[0];
    assert!(
        flat["total_ms"].is_f64() && flat["dns_ms"].is_null(),
        "{flat}"
    );
    assert_eq!(flat["conn_reused"], false);
    assert!(ran.err.starts_with(drawing), "{}", ran.err);
    let ran = run(&["-s", "--timings", "json", &url]);
    assert!(objects(&ran.out)[0]["total_ns"].is_u64(), "{}", ran.out);
    assert!(ran.err.is_empty());
    assert!(run(&["--timings", "table", &url]).out.contains("total "));
    assert!(run(&["--color", "always", &url]).out.contains("\x1b["));
}

#[test]
fn head_asks_with_head_and_prints_the_fields() {
    let peer = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let ran = run(&["-I", &peer.url("/x")]);
    assert_eq!(ran.out, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(peer.requests()[0].method(), "HEAD");
}

#[test]
fn ndjson_is_valid_and_each_url_ends_once() {
    let peer = hello();
    let refused = RefusedPort::reserve().unwrap();
    let refused = format!("http://{}/", refused.addr());
    let url = peer.url("/");
    let ran = run(&[
        "--events",
        "ndjson",
        &url,
        "ftp://x/",
        &refused,
        "http://[/",
        &url,
    ]);
    assert_eq!(ran.code, 3);
    let objects = objects(&ran.out);
    assert!(
        objects
            .iter()
            .all(|object| object["v"] == 1 && object["ts"].is_string())
    );
    assert_eq!(
        (&objects[0]["event"], &objects[0]["t_ns"]),
        (&"client_start".into(), &0.into())
    );
    let kinds: Vec<_> = calls_done(&objects)
        .iter()
        .map(|done| done["error"]["kind"].as_str().unwrap_or("none").to_owned())
        .collect();
    assert_eq!(kinds, ["none", "local_url", "connect", "local_url", "none"]);
    for number in [2, 3, 4] {
        let line = format!("wirescope: URL {number} of 5: ");
        assert_eq!(ran.err.matches(&line).count(), 1, "{line}{}", ran.err);
    }
    let got: Vec<_> = objects
        .iter()
        .filter(|object| object["event"] == "got_conn")
        .collect();
    assert_eq!(
        (&got[0]["reused"], &got[1]["reused"]),
        (&false.into(), &true.into())
    );
    assert!(ran.err.contains("HTTP/1.1 200 OK"), "{}", ran.err);
}

#[test]
fn a_timeout_has_its_kind_in_ndjson() {
    let stall = Peer::start(Script::new().expect_request().stall()).unwrap();
    let ran = run(&["-s", "-m", "0.2", "--events", "ndjson", &stall.url("/")]);
    let objects = objects(&ran.out);
    let [done] = calls_done(&objects)[..] else {
        panic!("{}", ran.out)
    };
    assert_eq!((ran.code, &done["error"]["kind"]), (28, &"timeout".into()));
    let refused = run(&[
        "-s",
        "--events",
        "ndjson",
        "-H",
        "Expect: x",
        &stall.url("/"),
    ]);
    let objects = self::objects(&refused.out);
    let [done] = calls_done(&objects)[..] else {
        panic!("{}", refused.out)
    };
    assert_eq!(
        (refused.code, &done["error"]["kind"]),
        (2, &"local_field".into())
    );
}

#[test]
fn events_go_to_a_file_or_as_text() {
    let peer = hello();
    let to = file("events.ndjson", b"");
    let ran = run(&["--events-file", to.to_str().unwrap(), &peer.url("/")]);
    assert!(ran.out.starts_with("HTTP/1.1 200 OK"), "{}", ran.out);
    assert_eq!(
        calls_done(&objects(&fs::read_to_string(&*to).unwrap())).len(),
        1
    );
    let ran = run(&["--events", "text", &peer.url("/")]);
    assert!(ran.out.starts_with("client_start {"), "{}", ran.out);
    assert!(
        ran.out
            .lines()
            .any(|line| line.starts_with("call_done {\"seq\":"))
    );
    assert!(
        run(&["--events", "off", &peer.url("/")])
            .out
            .starts_with("HTTP/1.1")
    );
}

#[test]
fn fields_are_read_as_curl_reads_them() {
    let peer = hello();
    let url = peer.url("/");
    let fields = [
        "-H",
        "X-One: 1",
        "-H",
        "X-Empty;",
        "-H",
        "Accept:",
        "-H",
        "User-Agent: me",
    ];
    let fields: Vec<&str> = fields
        .into_iter()
        .chain(["-H", "Host: other.example", &url])
        .collect();
    assert_eq!(run(&fields).code, 0);
    let seen = &peer.requests()[0];
    assert_eq!(seen.field("X-One"), Some("1"));
    assert_eq!(seen.field("X-Empty"), Some(""));
    assert_eq!(seen.field("Accept"), None);
    assert_eq!(seen.field("User-Agent"), Some("me"));
    assert_eq!(seen.field("Host"), Some("other.example"));
    assert_eq!(run(&["-H", "Host:", &url]).code, 1);
    assert_eq!(run(&["-H", "@file", &url]).code, 2);
}

#[test]
fn content_is_sent_as_curl_sends_it() {
    let peer = hello();
    let url = peer.url("/form");
    let lines = file("lines.txt", b"x=1\r\n2\n");
    let lines = format!("@{}", lines.display());
    let check = |args: &[&str], method: &str, kind: Option<&str>, body: &[u8]| {
        let before = peer.request_count();
        let args: Vec<&str> = args.iter().copied().chain([&*url]).collect();
        let ran = run(&args);
        assert_eq!(ran.code, 0, "{args:?} {}", ran.err);
        let seen = &peer.requests()[before];
        assert_eq!(
            (seen.method(), seen.field("Content-Type")),
            (method, kind),
            "{args:?}"
        );
        assert_eq!(seen.body, body, "{args:?}");
    };
    let form = Some("application/x-www-form-urlencoded");
    check(&["-d", "a=1", "-d", "b=2"], "POST", form, b"a=1&b=2");
    check(&["-d", &lines], "POST", form, b"x=12");
    check(&["--data-binary", &lines], "POST", form, b"x=1\r\n2\n");
    check(&["--data-binary", "b", "-d", "d"], "POST", form, b"b&d");
    check(&["-d", "", "-X", "PUT"], "PUT", form, b"");
    check(
        &["-d", "{}", "-H", "Content-Type: application/json"],
        "POST",
        Some("application/json"),
        b"{}",
    );
    check(&["-d", "x", "-H", "Content-Type:"], "POST", None, b"x");
    check(&["-X", "GET", "-d", "x"], "GET", form, b"x");
    let ran = run_with_input(&["-d", "@-", &url], b"in\nput");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(peer.requests().last().unwrap().body, b"input");
}

#[test]
fn files_are_put_and_standard_input_is_streamed() {
    let peer = hello();
    let up = file("up load.bin", b"\0content\r\n");
    let up = up.to_str().unwrap();
    assert_eq!(run(&["-T", up, &peer.url("/dir/")]).code, 0);
    assert_eq!(run(&["-T", up, &peer.url("/name"), "-X", "POST"]).code, 0);
    assert_eq!(
        run_with_input(&["-T", "-", &peer.url("/s")], b"streamed").code,
        0
    );
    let seen = peer.requests();
    assert_eq!(
        (seen[0].method(), seen[0].target()),
        ("PUT", "/dir/up%20load.bin")
    );
    assert_eq!(seen[0].field("Content-Length"), Some("10"));
    assert_eq!(seen[0].body, b"\0content\r\n");
    assert_eq!((seen[1].method(), seen[1].target()), ("POST", "/name"));
    assert_eq!(
        (seen[2].field("Transfer-Encoding"), &seen[2].body[..]),
        (Some("chunked"), &b"streamed"[..])
    );
}

#[test]
fn expect_waits_as_long_as_it_is_told() {
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 204 No Content\r\n\r\n")
            .expect_gone(),
    );
    let peer = peer.unwrap();
    let begun = Instant::now();
    let ran = run(&[
        "-H",
        "Expect: 100-continue",
        "--expect100-timeout",
        "0.1",
        "-d",
        "x",
        &peer.url("/"),
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    let told = ran.out.split_once("no 100 (continue) within ");
    let waited: f64 = told
        .and_then(|(_, rest)| rest.split_once(" ms"))
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or_else(|| panic!("{}", ran.out));
    assert!((100.0..900.0).contains(&waited), "{waited}");
    assert_eq!(peer.requests()[0].field("Expect"), Some("100-continue"));
}

#[test]
fn resolve_gives_addresses_and_urls_need_no_scheme() {
    let peer = hello();
    let port = peer.addr().port();
    let resolve = format!("name.example:{port}:127.0.0.1");
    let ran = run(&["--resolve", &resolve, &format!("name.example:{port}/x")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        peer.requests()[0].field("Host"),
        Some(&*format!("name.example:{port}"))
    );
}

#[test]
fn certificates_are_judged_unless_told_otherwise() {
    let authority = Authority::new().unwrap();
    let serve = |identity| {
        let script = Script::new().respond_with(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
        Peer::builder()
            .tls(identity)
            .script(script)
            .start()
            .unwrap()
    };
    let good = serve(authority.issue(&["127.0.0.1"]).unwrap());
    let other = serve(authority.issue(&["example.com"]).unwrap());
    let expired = serve(
        authority
            .issue_with(&["127.0.0.1"], Validity::Expired)
            .unwrap(),
    );
    let ca = file("ca.pem", authority.pem().as_bytes());
    let ca = ca.to_str().unwrap();
    assert_eq!(run(&[&good.url("/")]).code, 60);
    assert_eq!(run(&["-k", &good.url("/")]).code, 0);
    let ran = run(&["--cacert", ca, &good.url("/")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("- TLSv1.3 TLS_"), "{}", ran.out);
    assert_eq!(run(&["--cacert", ca, &other.url("/")]).code, 60);
    assert_eq!(run(&["--cacert", ca, &expired.url("/")]).code, 60);
}

#[test]
fn fail_writes_no_body() {
    let peer = answering("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nbody");
    let ran = run(&["-f", "-o", "-", &peer.url("/"), &peer.url("/")]);
    assert_eq!((ran.code, &*ran.out), (22, ""));
    assert!(ran.err.contains("HTTP/1.1 500 Oops"), "{}", ran.err);
    assert_eq!(peer.connections(), 1, "a short body costs no connection");
}

#[test]
fn secrets_are_hidden_unless_revealed() {
    let peer =
        answering("HTTP/1.1 200 OK\r\nSet-Cookie: sid=topsecret\r\nContent-Length: 0\r\n\r\n");
    let url = peer
        .url("/?token=topsecret")
        .replace("http://", "http://user:topsecret@");
    let base = ["--events", "ndjson", "-H", "X-Api-Key: topsecret"];
    let run_with = |more: &[&str]| run(&[&base[..], more, &[&url]].concat());
    let ran = run_with(&[]);
    assert!(
        !ran.out.contains("topsecret") && !ran.err.contains("topsecret"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert!(ran.out.contains("Basic [redacted 20 B]"), "{}", ran.out);
    assert!(
        run_with(&["--reveal-secrets"])
            .out
            .contains("sid=topsecret")
    );
    let ran = run(&["-s", "-u", "me:pass:word", &peer.url("/")]);
    assert_eq!(ran.code, 0);
    let seen = peer
        .requests()
        .last()
        .unwrap()
        .field("Authorization")
        .map(str::to_owned);
    assert_eq!(seen.as_deref(), Some("Basic bWU6cGFzczp3b3Jk"));
    let mistyped = run(&["http://user:topsecret@[bad"]);
    assert!(!mistyped.err.contains("topsecret"), "{}", mistyped.err);
}

#[test]
fn several_urls_share_one_pool() {
    let peer = hello();
    let (a, b) = (peer.url("/a"), peer.url("/b"));
    let one = file("one", b"");
    let ran = run(&["-o", one.to_str().unwrap(), "-o", "-", &a, &b]);
    assert_eq!((ran.code, &*ran.out), (0, "hello"));
    assert_eq!(fs::read(&*one).unwrap(), b"hello");
    assert_eq!((peer.connections(), peer.request_count()), (1, 2));
    assert!(
        ran.err.contains("- reused the connection to"),
        "{}",
        ran.err
    );
}

#[test]
fn repetitions_end_with_how_they_spread() {
    let peer = hello();
    let begun = Instant::now();
    let ran = run(&["--repeat", "5", "--interval", "0.05", &peer.url("/")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(peer.request_count(), 5);
    assert_eq!(
        ran.out
            .lines()
            .filter(|line| line.contains("HTTP/1.1 200 OK"))
            .count(),
        5
    );
    let total = ran
        .out
        .lines()
        .find(|line| line.starts_with("total "))
        .unwrap();
    assert!(total.ends_with(" 5"), "{total}");
    let tcp = ran
        .out
        .lines()
        .find(|line| line.starts_with("tcp "))
        .unwrap();
    assert!(tcp.ends_with(" 1"), "one connection was made: {tcp}");
    assert!(ran.out.contains("p50") && ran.out.contains("p95"));
}

/// A peer that sends everybody from `/a` to `/b`, and from `/loop` to itself.
pub(crate) fn moving() -> Peer {
    Peer::start(Script::new().respond_with(|request| {
        let to = match request.target().split('?').next() {
            Some("/a") => "/b",
            Some("/loop") => "/loop",
            _ => return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        };
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into()
    }))
    .unwrap()
}

#[test]
fn redirects_are_followed_with_location_alone() {
    let peer = moving();
    let ran = run(&[&peer.url("/a")]);
    assert_eq!((ran.code, peer.request_count()), (0, 1));
    assert!(ran.out.contains("302 Found") && ran.out.contains("was not followed"));
    let ran = run(&["-L", &peer.url("/a")]);
    assert_eq!((ran.code, peer.request_count()), (0, 3));
    for part in ["200 OK", "  redirect ", "   302 ", "- redirect 302 to "] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = run(&["-L", "-i", "-o", "-", &peer.url("/a")]);
    let heads: Vec<_> = (ran.out.lines())
        .filter(|line| line.starts_with("HTTP/1.1"))
        .collect();
    assert_eq!(heads, ["HTTP/1.1 302 Found", "HTTP/1.1 200 OK"]);
    assert!(ran.out.ends_with("\r\n\r\nok"), "{}", ran.out);
}

#[test]
fn too_many_redirects_exit_with_47() {
    let peer = moving();
    let ran = run(&["-L", "--max-redirs", "3", &peer.url("/loop")]);
    assert_eq!((ran.code, peer.request_count()), (47, 4));
    assert!(ran.err.contains("redirects, at most 3"), "{}", ran.err);
}

#[test]
fn verbose_shows_the_wire_and_no_secret() {
    let peer = moving();
    let url = peer.url("/a?token=canary");
    let ran = run(&["-L", "-v", "-s", "-u", "ann:secret", &url]);
    for line in [
        "> GET /a?token=[redacted 6 B] HTTP/1.1\n",
        "> GET /b HTTP/1.1\n",
        "* Connected to 127.0.0.1:",
        "> Host: 127.0.0.1:",
        "> Authorization: Basic [redacted ",
        "< HTTP/1.1 200 OK\n",
        "< Content-Length: 2\n",
        "* Connection kept\n",
    ] {
        assert!(ran.err.contains(line), "{line}: {}", ran.err);
    }
    assert!(!ran.err.contains("canary"));
}

#[test]
fn retry_tries_again_after_a_transient_status_and_a_timeout() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    let well = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let peer = Peer::builder()
        .scripts([
            Script::new().expect_request().send(busy).close(),
            Script::new().expect_request().stall(),
            Script::new().expect_request().send(well),
        ])
        .start()
        .unwrap();
    let ran = run(&["--retry", "2", "-m", "0.2", "-o", "-", &peer.url("/")]);
    assert_eq!((ran.code, peer.request_count()), (0, 3), "{}", ran.err);
    assert_eq!(ran.out, "ok");
    assert!(ran.err.contains("(1 of 2)") && ran.err.contains("(2 of 2)"));
    let past = "Sunday, 06-Nov-94 08:49:37 GMT";
    for busy in [
        busy.to_owned(),
        busy.replace("After: 0", &format!("After: {past}")),
    ] {
        let peer = answering(&busy);
        let ran = run(&["-f", "--retry", "1", &peer.url("/")]);
        assert_eq!((ran.code, peer.request_count()), (22, 2));
        assert!(
            ran.err.contains("tried again in 0 s (1 of 1)"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let peer = answering(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{}",
        "x".repeat(300_000)
    ));
    for args in [
        &["-o", "-"][..],
        &["--events", "ndjson", "--repeat", "200"],
        &["--repeat", "200"],
    ] {
        let url = peer.url("/");
        let mut child = command(&[args, &[&url]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, 23, "{args:?} {}", ran.err);
        assert!(
            ran.err.contains("cannot write to standard output"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn what_people_type_is_encoded_where_the_grammar_wants_it() {
    let peer = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let ran = run(&[&peer.url("/é?filter[a]={b}&c=%7e")]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert_eq!(
        peer.requests()[0].target(),
        "/%C3%A9?filter%5Ba%5D=%7Bb%7D&c=%7e"
    );
}

#[test]
fn one_family_may_be_chosen() {
    let peer = hello();
    let port = peer.addr().port();
    let url = format!("http://both.test:{port}/");
    let both = format!("both.test:{port}:[::1],127.0.0.1");
    let tried = |flag: &str| {
        let ran = run(&[flag, "--resolve", &both, "--events", "ndjson", &url]);
        let starts: Vec<String> = (objects(&ran.out).iter())
            .filter(|object| object["event"] == "connect_start")
            .map(|object| object["network"].as_str().unwrap().to_owned())
            .collect();
        (ran.code, starts)
    };
    assert_eq!(tried("-4"), (0, vec!["tcp4".to_owned()]));
    assert_eq!(tried("--ipv4"), (0, vec!["tcp4".to_owned()]));
    let (code, networks) = tried("-6");
    assert!(
        code == 7 && networks.iter().all(|one| one == "tcp6"),
        "{networks:?}"
    );
    let raced = |profile: &str| {
        let ran = run(&[
            "--happy-eyeballs",
            profile,
            "--events",
            "ndjson",
            &peer.url("/"),
        ]);
        let objects = objects(&ran.out);
        let plan = objects.iter().find(|object| object["event"] == "dial_plan");
        plan.unwrap()["profile"].as_str().unwrap().to_owned()
    };
    assert_eq!(["fast", "rfc8305"].map(raced), ["fast", "rfc8305"]);
    let literal = peer.url("/");
    assert_eq!(
        run(&["-6", &literal]).code,
        6,
        "the literal is of the other family"
    );
    assert_eq!(run(&["-4", "-6", &literal]).code, 2);
}

#[test]
fn connect_to_changes_where_and_nothing_else() {
    let peer = hello();
    let port = peer.addr().port().to_string();
    for to in [
        format!("shop.test:80:127.0.0.1:{port}"),
        format!("shop.test::127.0.0.1:{port}"),
        format!(":80:127.0.0.1:{port}"),
        format!("::127.0.0.1:{port}"),
    ] {
        let ran = run(&["--connect-to", &to, "http://shop.test/"]);
        assert_eq!(ran.code, 0, "{to}: {}{}", ran.out, ran.err);
        let request = peer.requests().pop().unwrap();
        assert_eq!(request.field("host"), Some("shop.test"), "{to}");
    }
    let other = format!("other.test::127.0.0.1:{port}");
    let here = format!("shop.test:{port}:127.0.0.1:");
    let url = format!("http://shop.test:{port}/");
    let ran = run(&["--connect-to", &other, "--connect-to", &here, &url]);
    assert_eq!(ran.code, 0, "the second entry fits: {}", ran.err);
    let six = RefusedPort::bind("[::1]:0".parse().unwrap());
    if let Ok(six) = six {
        let to = format!("::[::1]:{}", six.addr().port());
        let ran = run(&["--connect-to", &to, "http://shop.test/"]);
        assert_eq!(ran.code, 7, "{}", ran.err);
        assert!(ran.err.contains("[::1]"), "{}", ran.err);
    }
    assert_eq!(run(&["--connect-to", "x", "http://shop.test/"]).code, 2);
    assert_eq!(
        run(&["--connect-to", "a:x:b:1", "http://shop.test/"]).code,
        2
    );
}

#[test]
fn connections_leave_by_what_interface_says() {
    let server = Server::start(|mut stream| {
        let from = stream.peer_addr().unwrap().ip().to_string();
        if read_head(&stream).is_some() {
            stream.write_all(ok(&from).as_bytes()).unwrap();
        }
    });
    let url = server.url("/");
    let check = |interface: &str, code: i32, out: &str, says: &str| {
        let ran = run(&["-o", "-", "--interface", interface, &url]);
        assert_eq!(
            (ran.code, &*ran.out),
            (code, out),
            "{interface}: {}",
            ran.err
        );
        assert!(ran.err.contains(says), "{interface}: {}", ran.err);
    };
    check("127.0.0.2", 0, "127.0.0.2", "");
    check("host!127.0.0.3", 0, "127.0.0.3", "");
    check("192.0.2.1", 45, "", "(192.0.2.1)");
    check("no-such-host.invalid", 45, "", "--interface");
    check("host!no-such-host.invalid", 45, "", "--interface");
    check("if!sixteen-letters-", 45, "", "--interface");
    if cfg!(target_os = "linux") {
        check("lo", 0, "127.0.0.1", "");
        check("if!lo", 0, "127.0.0.1", "");
        check("ifhost!lo!127.0.0.4", 0, "127.0.0.4", "");
        check("if!nowhere0", 45, "", "(nowhere0)");
    }
    let ran = run(&["-6", "--interface", "127.0.0.1", &url]);
    assert_eq!(ran.code, 45, "{}", ran.err);
    let ran = run(&["--keepalive-time", "5", &url]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn a_unix_socket_is_connected_to_whatever_the_host() {
    let folder = Folder::new();
    let peer = Peer::start(echo_target()).unwrap();
    let path = folder.relay("s", &peer);
    let path = path.to_str().unwrap();
    let url = "http://engine.test/x";
    let ran = run(&["-v", "-o", "-", "--unix-socket", path, url, url]);
    assert_eq!((ran.code, &*ran.out), (0, "/x"), "{}", ran.err);
    assert!(ran.err.contains(&format!("Trying {path} (")), "{}", ran.err);
    let again = format!("Reusing the connection to {path}");
    assert!(ran.err.contains(&again), "{}", ran.err);
    let hosts = peer.requests();
    assert!(
        hosts
            .iter()
            .all(|seen| seen.field("host") == Some("engine.test"))
    );
    let ran = run(&["-Z", "2", "--unix-socket", path, url, url, url]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let missing = folder.path("missing");
    let ran = run(&["--unix-socket", missing.to_str().unwrap(), url]);
    assert_eq!(ran.code, 7, "{}", ran.err);
    assert!(ran.err.contains(missing.to_str().unwrap()), "{}", ran.err);
    assert_eq!(run(&["--unix-socket", "", url]).code, 2);
    #[cfg(target_os = "linux")]
    {
        let name = folder.relay_abstract("command", &peer);
        let ran = run(&["-o", "-", "--abstract-unix-socket", &name, url]);
        assert_eq!((ran.code, &*ran.out), (0, "/x"), "{}", ran.err);
        let ran = run(&["--unix-socket", path, "--abstract-unix-socket", &name, url]);
        assert_eq!(ran.code, 2);
    }
}

#[test]
fn the_tour_shows_each_scene() {
    let begun = Instant::now();
    let ran = run(&["--demo"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(begun.elapsed() < Duration::from_secs(3));
    let scenes = [
        "plain",
        "reused",
        "early hints",
        "chunked",
        "slow",
        "tls",
        "redirect",
        "first call",
        "closed idle",
        "dead address",
        "refused",
    ];
    let mut rest = &*ran.out;
    for (index, scene) in scenes.iter().enumerate() {
        let title = format!("\n{}. {scene}: ", index + 1);
        let at = rest
            .find(&title)
            .unwrap_or_else(|| panic!("{title} in order"));
        rest = &rest[at..];
    }
    for shown in [
        "- 103 at ",
        "- trailer X-Checksum: ",
        "- slow: wait took",
        "- TLSv1.3 ",
        "- reused ",
        "- not sent on to ",
        "- an idle connection was not used: the peer closed it while it was idle",
        " lost after 1",
        " ms: another one was quicker",
        " refused (",
    ] {
        assert!(ran.out.contains(shown), "{shown}");
    }
    assert_eq!(ran.out.matches(" ms  call_done {").count(), scenes.len());
    assert!(
        ran.out.contains("Summary: 11 of 11 scenes as expected"),
        "{rest}"
    );
    assert!(!ran.out.contains("code=secret"));
    assert_eq!(run(&["--demo", "http://x/"]).code, 2);
}
