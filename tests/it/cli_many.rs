//! The command with many calls at a time (`-Z`), and with URLs from a file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use wirescope::testkit::{Peer, RefusedPort, Script};

use crate::cli::{
    Ran, Scratch, answering, calls_done, command, file, hello, moving, objects, run, run_with_input,
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A peer that answers with the target of the request.
fn echoing() -> Peer {
    let script = Script::new().respond_with(|request| {
        let (target, length) = (request.target(), request.target().len());
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}").into()
    });
    Peer::start(script).unwrap()
}

/// A file of URLs.
fn list(name: &str, urls: impl IntoIterator<Item = String>) -> Scratch {
    let lines: String = urls.into_iter().map(|url| url + "\n").collect();
    file(name, lines.as_bytes())
}

fn targets(peer: &Peer) -> Vec<String> {
    let requests = peer.requests();
    (requests.iter())
        .map(|request| request.target().to_owned())
        .collect()
}

/// The lines about single calls.
fn lines(text: &str) -> Vec<&str> {
    (text.lines())
        .filter(|line| line.contains("  http://"))
        .collect()
}

/// The summary: its first line without the times, the counts by name, and the rows of the table by phase.
struct Summary {
    title: String,
    counts: BTreeMap<String, String>,
    phases: BTreeMap<String, Vec<f64>>,
}

impl Summary {
    #[track_caller]
    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let title = lines.find(|line| line.ends_with(" at a time"));
        let title = title.unwrap_or_else(|| panic!("a summary in {text}"));
        let mut summary = Self {
            title: title.split(" in ").next().unwrap().to_owned(),
            counts: BTreeMap::new(),
            phases: BTreeMap::new(),
        };
        for line in lines {
            if let Some(count) = line.strip_prefix("  ") {
                let (name, what) = count.split_at(12);
                let what = what.trim().to_owned();
                summary.counts.insert(name.trim().to_owned(), what);
            } else if !line.starts_with("phase, ms") {
                let (name, numbers) = line.split_once(' ').unwrap();
                let numbers = numbers.split_whitespace();
                let numbers = numbers.map(|number| number.parse().unwrap()).collect();
                summary.phases.insert(name.to_owned(), numbers);
            }
        }
        summary
    }

    fn count(&self, name: &str) -> &str {
        self.counts.get(name).map_or("", |what| what)
    }

    /// How many calls a phase happened in.
    fn calls(&self, phase: &str) -> f64 {
        self.phases
            .get(phase)
            .map_or(0.0, |row| *row.last().unwrap())
    }
}

#[test]
fn each_url_is_fetched_once_and_counted() {
    let peer = echoing();
    let urls: Vec<_> = (0..200)
        .map(|number| peer.url(&format!("/{number:03}")))
        .collect();
    let from = list("each.txt", urls[1..].iter().cloned());
    let ran = run(&["-Z", "8", "--url-file", from.to_str().unwrap(), &urls[0]]);
    assert_eq!(
        (ran.code, &*ran.err),
        (0, ""),
        "nothing is told where there is no terminal"
    );
    assert!(!ran.out.contains(['\r', '\x1b']), "{}", ran.out);
    let mut asked = targets(&peer);
    asked.sort();
    let expected: Vec<_> = (0..200).map(|number| format!("/{number:03}")).collect();
    assert_eq!(asked, expected);
    let mut shown: Vec<_> = (lines(&ran.out).into_iter())
        .map(|line| line.split("  ").last().unwrap().to_owned())
        .collect();
    shown.sort();
    assert_eq!(shown, urls);
    assert!(
        (lines(&ran.out).iter()).all(|line| line.starts_with("200 ") && line.contains(" 4 B ")),
        "{}",
        ran.out
    );

    let summary = Summary::read(&ran.out);
    assert_eq!(summary.title, "200 calls");
    assert_eq!(summary.count("statuses"), "2xx 200");
    assert!(summary.count("content").starts_with("800 B, "));
    let opened = peer.connections();
    assert!(opened <= 8, "{opened}");
    let share = (200 - opened) as f64 / 2.0;
    assert_eq!(
        summary.count("connections"),
        format!("{opened} opened, {share:.1} % of the calls reused one")
    );
    for phase in ["send", "wait", "receive", "total", "ttfb"] {
        assert_eq!(summary.calls(phase), 200.0, "{phase}: {}", ran.out);
        let row = &summary.phases[phase];
        assert!(row[..6].is_sorted(), "{phase} {row:?}");
    }
    assert_eq!(summary.calls("tcp"), opened as f64);
    assert_eq!(
        (summary.calls("dns"), summary.count("errors")),
        (0.0, ""),
        "{}",
        ran.out
    );
}

/// Requests that are being answered, and how many were at the most.
#[derive(Default)]
struct Inside {
    now: usize,
    most: usize,
}

/// A peer that answers when so many requests are there at once.
fn crowded(wanted: usize) -> (Peer, Arc<(Mutex<Inside>, Condvar)>) {
    let inside = Arc::new((Mutex::new(Inside::default()), Condvar::new()));
    let seen = inside.clone();
    let script = Script::new().respond_with(move |_| {
        let (inside, changed) = &*seen;
        let mut count = inside.lock().unwrap();
        count.now += 1;
        count.most = count.most.max(count.now);
        changed.notify_all();
        let waited = changed.wait_timeout_while(count, PATIENCE, |count| count.most < wanted);
        waited.unwrap().0.now -= 1;
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    (Peer::start(script).unwrap(), inside)
}

#[test]
fn there_are_as_many_calls_at_once_as_were_asked_for_and_no_more() {
    for at_once in [1, 4, 100] {
        let (peer, inside) = crowded(at_once);
        let (most, url) = (at_once.to_string(), peer.url("/"));
        let ran = run(&["-s", "-Z", &most, "--repeat", "150", &url]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        assert_eq!(peer.request_count(), 150);
        assert_eq!(inside.0.lock().unwrap().most, at_once);
        assert!(peer.connections() <= at_once, "{}", peer.connections());
        assert_eq!(Summary::read(&ran.out).title, "150 calls");
    }
}

/// URLs of every fate, and the number of calls that go well.
struct Fates {
    _peers: [Peer; 3],
    _refused: RefusedPort,
    urls: Vec<String>,
}

fn fates() -> Fates {
    let well = hello();
    let missing = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    let short = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")
            .close(),
    );
    let short = short.unwrap();
    let refused = RefusedPort::reserve().unwrap();
    let urls = vec![
        well.url("/1"),
        "ftp://x/".to_owned(),
        format!("http://{}/", refused.addr()),
        "http://[/".to_owned(),
        missing.url("/2"),
        short.url("/"),
        well.url("/3"),
    ];
    Fates {
        _peers: [well, missing, short],
        _refused: refused,
        urls,
    }
}

#[test]
fn errors_stop_nobody_and_are_counted_by_kind() {
    let fates = fates();
    let urls: Vec<&str> = fates.urls.iter().map(|url| &**url).collect();
    let ran = run(&[&["-Z", "3"][..], &urls].concat());
    assert_eq!(ran.code, 56, "that of the last URL that failed");
    for number in [2, 3, 4, 6] {
        let line = format!("wirescope: URL {number} of 7: ");
        assert_eq!(ran.err.matches(&line).count(), 1, "{line}{}", ran.err);
    }
    assert_eq!(
        (ran.err.lines().count(), lines(&ran.out).len()),
        (4, 3),
        "a line for each: {}{}",
        ran.err,
        ran.out
    );
    let summary = Summary::read(&ran.out);
    assert_eq!(summary.title, "7 calls");
    assert_eq!(summary.count("statuses"), "2xx 2, 4xx 1");
    assert_eq!(
        summary.count("errors"),
        "connect 1, local_url 2, peer_incomplete_body 1"
    );
    assert_eq!(summary.calls("total"), 3.0, "those that went well");

    let ran = run(&[&["-s", "-f", "-Z", "3"][..], &urls[..5]].concat());
    assert_eq!((ran.code, &*ran.err), (22, ""), "the summary and no error");
    let summary = Summary::read(&ran.out);
    assert_eq!(
        summary.count("errors"),
        "connect 1, local_url 2, status 1",
        "{}",
        ran.out
    );
    assert_eq!(summary.count("statuses"), "2xx 1, 4xx 1");
    assert!(lines(&ran.out).is_empty(), "{}", ran.out);
}

#[test]
fn each_url_has_one_call_done() {
    let fates = fates();
    let urls: Vec<&str> = fates.urls.iter().map(|url| &**url).collect();
    let flags = ["-Z", "4", "--events", "ndjson", "--repeat", "2"];
    let ran = run(&[&flags[..], &urls].concat());
    let objects = objects(&ran.out);
    assert!(objects.iter().all(|object| object["v"] == 1));
    let mut kinds: Vec<_> = calls_done(&objects)
        .iter()
        .map(|done| done["error"]["kind"].as_str().unwrap_or("none").to_owned())
        .collect();
    kinds.sort();
    let twice = |kind: &'static str| [kind; 2];
    let expected = [
        twice("connect"),
        twice("local_url"),
        twice("local_url"),
        twice("none"),
        twice("none"),
        twice("none"),
        twice("peer_incomplete_body"),
    ];
    assert_eq!(kinds, expected.concat());
    assert_eq!(Summary::read(&ran.err).title, "14 calls", "{}", ran.err);

    let to = file("many.ndjson", b"");
    let path = to.to_str().unwrap();
    let ran = run(&["-Z", "4", "--events-file", path, urls[0], urls[6]]);
    assert_eq!((ran.code, lines(&ran.out).len()), (0, 2), "{}", ran.err);
    let written = self::objects(&fs::read_to_string(path).unwrap());
    assert_eq!(calls_done(&written).len(), 2);
    let url = ["-H", "Expect: x", urls[0]];
    let ran = run(&[&["-s", "-Z", "4", "--events", "ndjson"], &url[..]].concat());
    let refused = self::objects(&ran.out);
    let [done] = calls_done(&refused)[..] else {
        panic!("{}", ran.out)
    };
    assert_eq!(
        (ran.code, &done["error"]["kind"]),
        (2, &"local_field".into())
    );
}

#[test]
fn a_file_of_urls_comes_behind_the_command_line() {
    let peer = echoing();
    let content = format!(
        "# comment\n\n  {} \r\n\t# another\n{}",
        peer.url("/b"),
        peer.url("/c").trim_start_matches("http://")
    );
    let from = file("urls.txt", content.as_bytes());
    let from = from.to_str().unwrap();
    let ran = run(&["-i", "-o", "-", "--url-file", from, &peer.url("/a")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(targets(&peer), ["/a", "/b", "/c"]);
    assert_eq!(ran.err.matches("HTTP/1.1 200 OK  GET").count(), 3);
    assert!(
        ran.out.contains("/aHTTP/1.1 200 OK\r\n") && ran.out.ends_with("Length: 2\r\n\r\n"),
        "-o is for the first, -i for all: {}",
        ran.out
    );
    for flags in [&["-s"][..], &["-s", "-Z", "2"]] {
        let flags = [flags, &["--url-file", "-"]].concat();
        let ran = run_with_input(&flags, content.as_bytes());
        assert_eq!(ran.code, 0, "{flags:?} {}", ran.err);
    }
    let mut asked = targets(&peer);
    asked.sort();
    assert_eq!(asked, ["/a", "/b", "/b", "/b", "/c", "/c", "/c"]);

    let bad = file("bad.txt", b"\n#\nhttp://[/\n");
    let bad = bad.to_str().unwrap();
    for flags in [&["--url-file", bad][..], &["-Z", "2", "--url-file", bad]] {
        let ran = run(flags);
        let place = format!("wirescope: {bad}:3: ");
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(ran.err.starts_with(&place), "{}", ran.err);
    }
}

#[test]
fn a_file_that_cannot_be_read_fails() {
    let url = hello().url("/");
    let long = file("long.txt", &[b'x'; 200_000]);
    let (folder, long) = (long.parent().unwrap(), long.to_str().unwrap());
    let folder = folder.to_str().unwrap();
    for at_once in [&[][..], &["-Z", "3"]] {
        let check = |from: &str, said: &str| {
            let ran = run(&[at_once, &["--url-file", from, &url]].concat());
            assert_eq!(ran.code, 26, "{from} {}{}", ran.out, ran.err);
            assert!(ran.err.contains(said), "{}", ran.err);
        };
        check("/no/such/file", "cannot read /no/such/file: No such file");
        check(folder, &format!("cannot read {folder}: Is a directory"));
        check(long, "long.txt: line 1 is longer than 65536 bytes");
    }
}

#[test]
fn urls_are_fetched_as_they_come() {
    for flags in [
        &["--url-file", "-"][..],
        &["-Z", "10", "--url-file", "-"],
        &["-Z", "1", "--url-file", "-"],
    ] {
        let peer = echoing();
        let mut child = command(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let mut from = BufReader::new(child.stdout.take().unwrap());
        for number in 1..=5 {
            let url = peer.url(&format!("/{number}"));
            let (begin, end) = url.split_at(9);
            to.write_all(begin.as_bytes()).unwrap();
            to.write_all(format!("{end}\n").as_bytes()).unwrap();
            let mut line = String::new();
            while !line.contains(&url) {
                line.clear();
                assert_ne!(from.read_line(&mut line).unwrap(), 0, "{flags:?}");
            }
            assert_eq!(peer.request_count(), number, "{flags:?}");
        }
        drop(to);
        let rest = from.lines().map(Result::unwrap).collect::<Vec<_>>();
        assert!(child.wait().unwrap().success(), "{rest:?}");
    }
}

#[test]
fn bodies_heads_and_timings_go_where_they_belong() {
    let peer = echoing();
    let urls: Vec<_> = (1..=3)
        .map(|number| peer.url(&format!("/{number}")))
        .collect();
    let (one, two) = (file("one.txt", b""), file("two.txt", b""));
    let (first, second) = (one.to_str().unwrap(), two.to_str().unwrap());
    let urls = [&*urls[0], &*urls[1], &*urls[2]];
    let to = ["-o", first, "-i", "-o", second, "-Z", "3"];
    let ran = run(&[&to[..], &urls].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(fs::read_to_string(&*one).unwrap(), format!("{head}/1"));
    assert_eq!(fs::read_to_string(&*two).unwrap(), format!("{head}/2"));
    assert_eq!(ran.out, head, "that of the third");
    assert_eq!(lines(&ran.err).len(), 3, "{}", ran.err);

    let ran = run(&[&["-Z", "2", "-o", "-", "-o", "-"], &urls[..2]].concat());
    assert!(
        ["/1/2", "/2/1"].contains(&&*ran.out),
        "whole bodies: {}",
        ran.out
    );
    let ran = run(&[&["-Z", "2", "--timings", "flat"], &urls[..]].concat());
    let flat = objects(&ran.out);
    assert!(flat.len() == 3 && flat.iter().all(|one| one["total_ms"].is_f64()));
    let ran = run(&["-Z", "2", "-o", "/no/such/folder/file", urls[0]]);
    assert_eq!(ran.code, 23, "{}", ran.err);
    assert_eq!(Summary::read(&ran.out).count("errors"), "aborted 1");
}

/// As without `-Z`, and as curl does: those of redirects too.
#[test]
fn heads_of_redirects_are_written_wherever_content_goes() {
    let peer = moving();
    let own = file("heads.txt", b"");
    let url = peer.url("/a");
    let heads = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    for flags in [&["-L", "-i"][..], &["-L", "-i", "-Z", "2"]] {
        let ran = run(&[flags, &["-o", own.to_str().unwrap(), &url]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let written = fs::read_to_string(&*own).unwrap();
        assert_eq!(written, format!("{heads}ok"), "{flags:?}");
        let ran = run(&[flags, &["-o", "-", &url]].concat());
        assert_eq!(ran.out, format!("{heads}ok"), "{flags:?}");
        let ran = run(&[flags, &[&*url]].concat());
        assert_eq!(ran.out, heads, "{flags:?}");
    }
}

#[test]
fn options_of_the_request_hold_for_all_calls() {
    let peer = hello();
    let url = peer.url("/");
    let flags = ["-s", "-Z", "4", "--repeat", "8"];
    let ran = run(&[&flags[..], &["-d", "a=1", "-H", "X-One: 1", &url]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for request in peer.requests() {
        assert_eq!((request.method(), &*request.body), ("POST", &b"a=1"[..]));
        assert_eq!(request.field("X-One"), Some("1"));
    }
    let moving = moving();
    let ran = run(&[&flags[1..], &["-L", &moving.url("/a?token=secret")]].concat());
    assert_eq!(moving.request_count(), 16, "{}", ran.err);
    let line = format!(
        "{} -> {}",
        moving.url("/a?token=[redacted 6 B]"),
        moving.url("/b")
    );
    assert_eq!(ran.out.matches(&line).count(), 8, "{}", ran.out);
    let summary = Summary::read(&ran.out);
    assert_eq!(summary.count("statuses"), "2xx 8", "those of the last hops");
    let ran = run(&[&flags[..], &["-m", "0.2", &stalling().url("/")]].concat());
    assert_eq!(ran.code, 28);
    assert_eq!(Summary::read(&ran.out).count("errors"), "timeout 8");
}

fn stalling() -> Peer {
    Peer::start(Script::new().expect_request().stall()).unwrap()
}

#[test]
fn a_call_is_tried_again_while_others_go_on() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    let busy = answering(busy);
    let well = hello();
    let urls = [busy.url("/"), well.url("/"), well.url("/")];
    let urls = [&*urls[0], &*urls[1], &*urls[2]];
    let ran = run(&[&["-Z", "1", "-f", "--retry", "2"], &urls[..]].concat());
    assert_eq!((ran.code, busy.request_count()), (22, 3), "{}", ran.err);
    for number in 1..=2 {
        let line = format!("URL 1 of 3: tried again in 0 s ({number} of 2)");
        assert!(ran.err.contains(&line), "{}", ran.err);
    }
    let summary = Summary::read(&ran.out);
    assert_eq!(summary.title, "3 calls");
    assert_eq!(summary.count("tried again"), "2 times");
    assert_eq!(summary.count("statuses"), "2xx 2, 5xx 1");
    assert_eq!(summary.count("errors"), "status 1");
}

#[test]
fn verbose_draws_each_call_as_a_whole() {
    let peer = echoing();
    let urls: Vec<_> = (1..=5)
        .map(|number| peer.url(&format!("/{number}")))
        .collect();
    let urls: Vec<&str> = urls.iter().map(|url| &**url).collect();
    let ran = run(&[&["-Z", "5", "-v"], &urls[..]].concat());
    assert_eq!(ran.out.matches("HTTP/1.1 200 OK  GET http://").count(), 5);
    assert!(lines(&ran.out).iter().all(|line| line.contains("  GET ")));
    let wire: Vec<_> = (ran.err.lines())
        .filter(|line| {
            ["> GET", "< HTTP", "* Connection kept"].map(|mark| line.starts_with(mark))
                != [false; 3]
        })
        .map(|line| line.split('/').next().unwrap())
        .collect();
    let one = ["> GET ", "< HTTP", "* Connection kept"];
    assert_eq!(wire, [one; 5].concat(), "not mixed: {}", ran.err);
}

#[test]
fn usage_errors_exit_with_2() {
    let check = |args: &[&str], said: &str| {
        let ran = run(args);
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.err.contains(said), "{args:?} {}", ran.err);
    };
    check(&["-Z", "0", "http://x/"], "0 is not in 1..=10000");
    check(&["-Z", "10001", "http://x/"], "10001 is not in 1..=10000");
    check(
        &["-Z", "http://x/"],
        "invalid value 'http://x/' for '-Z <N>'",
    );
    check(&["-Z", "5"], "URL");
    check(&["--demo", "-Z", "5"], "cannot be used with");
    check(
        &["--url-file", "-", "-d", "@-"],
        "cannot both read standard input",
    );
    check(
        &["--url-file", "x", "-T", "-"],
        "-T - can be sent once only",
    );
}

#[test]
fn a_closed_pipe_ends_all_calls() {
    let peer = hello();
    for flags in [&[][..], &["--events", "ndjson"], &["--timings", "flat"]] {
        let url = peer.url("/");
        let all = ["-Z", "3", "--repeat", "5000", &url];
        let mut child = command(&[flags, &all].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, 23, "{flags:?} {}", ran.err);
        let said = "cannot write to standard output";
        assert_eq!(ran.err.matches(said).count(), 1, "{}", ran.err);
    }
    assert!(peer.request_count() < 5_000, "{}", peer.request_count());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_the_reason_and_not_what_it_broke() {
    let url = hello().url("/");
    for at_once in [&[][..], &["-Z", "3"]] {
        let ran = run(&[at_once, &["--events-file", "/dev/full", &url]].concat());
        assert_eq!(ran.code, 23, "{at_once:?} {}", ran.err);
        let said = "wirescope: cannot write to /dev/full: ";
        assert!(ran.err.starts_with(said), "{at_once:?} {}", ran.err);
    }
}

#[test]
fn few_descriptors_are_said_and_no_call_fails() {
    let peer = hello();
    let line = format!(
        "ulimit -n 40 && exec {} -Z 100 --repeat 300 {}",
        env!("CARGO_BIN_EXE_wirescope"),
        peer.url("/")
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &line])
        .output()
        .unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let said =
        "wirescope: 40 descriptors at the most (ulimit -n) are few for -Z 100: calls will wait\n";
    assert_eq!(ran.err, said);
    let summary = Summary::read(&ran.out);
    assert_eq!(summary.count("statuses"), "2xx 300", "{}", ran.out);
}
