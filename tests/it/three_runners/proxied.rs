//! Calls through proxies: what they are asked, what they say, and what they do not.

use wirescope::Request;
use wirescope::testkit::Script;

use super::table::Case;
use super::{Ask, On, Play, Reading, TARGET, ask, get};
use crate::harness::{ok, once, serve};
use crate::ways::{Way, socks_request};

/// A redirect to another origin, and back.
const MOVED: &str =
    "HTTP/1.1 302 Found\r\nLocation: http://b.test:8000/there\r\nContent-Length: 0\r\n\r\n";

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: Echo\r\n\r\nfirst ";

/// A proxy that is given whole requests.
fn forward(script: Script, calls: Vec<Ask>) -> Play {
    Play::new(vec![script], calls).by(Way::Forward)
}

/// A tunnel, and what is behind it.
fn tunnel(way: Way, script: Script) -> Script {
    way.script(TARGET.0, TARGET.1).followed_by(script)
}

fn secure(way: Way, script: Script) -> Script {
    let opened = way.script(TARGET.0, TARGET.1);
    opened.start_tls().followed_by(script)
}

/// What a proxy says to a CONNECT, and then nothing.
fn says(answer: impl AsRef<[u8]>) -> Play {
    let script = Script::new().expect_contains("\r\n\r\n");
    let script = script.send(answer).expect_gone();
    Play::new(vec![script], vec![get()])
        .by(Way::Connect)
        .on(On::Tls)
}

/// What a proxy says to a CONNECT, and its end.
fn ends(answer: &'static str) -> Play {
    let script = Script::new().expect_contains("\r\n\r\n");
    let script = script.send(answer).close();
    Play::new(vec![script], vec![get()])
        .by(Way::Connect)
        .on(On::Tls)
}

/// What a SOCKS proxy says to the first question, and to the second.
fn socks(first: &'static [u8], second: Option<&'static [u8]>) -> Script {
    let script = Script::new().expect_bytes([5, 1, 0]).send(first);
    match second {
        None => script,
        Some(second) => script
            .expect_bytes(socks_request(TARGET.0, TARGET.1))
            .send(second),
    }
}

fn by_socks(script: Script) -> Play {
    Play::new(vec![script], vec![get()]).by(Way::Socks)
}

fn upgrade() -> Ask {
    let offering = |request: Request| request.upgrade("echo").unwrap();
    get().with(offering).speaks("hello")
}

fn forwarded() -> Vec<Case> {
    vec![
        (
            "forward",
            Box::new(|| forward(serve(ok("a")), vec![get(), get()])),
        ),
        (
            "forward, post",
            Box::new(|| {
                let post = ask("POST", "/").with(|request| request.body("hello"));
                forward(serve(ok("a")), vec![post, get()])
            }),
        ),
        (
            "forward, 407",
            Box::new(|| {
                let who =
                    "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno";
                forward(serve(who), vec![get()])
            }),
        ),
        (
            "forward, to another origin by the same connection",
            Box::new(|| forward(once(MOVED).followed_by(serve(ok("b"))), vec![get(), get()])),
        ),
        (
            "forward, cut in the head",
            Box::new(|| forward(once("HTTP/1.1 200").close(), vec![get()])),
        ),
        (
            "forward, cut in the body",
            Box::new(|| {
                let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel";
                forward(once(cut).close(), vec![get()])
            }),
        ),
        (
            "forward, ended at once",
            Box::new(|| {
                forward(Script::new().expect_head().close(), vec![get()])
                    .client(|client| client.retries(0))
            }),
        ),
        (
            "forward, dropped",
            Box::new(|| {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello";
                let script = once(answer).expect_gone();
                forward(script, vec![get().read(Reading::Dropped(3))])
            }),
        ),
        (
            "forward, canceled",
            Box::new(|| forward(serve(ok("a")), vec![get().read(Reading::Canceled)])),
        ),
        (
            "forward, https proxy",
            Box::new(|| forward(serve(ok("a")), vec![get(), get()]).on(On::Tls)),
        ),
        (
            "forward, nobody listens",
            Box::new(|| forward(serve(ok("a")), vec![get()]).on(On::Refused)),
        ),
    ]
}

fn connected() -> Vec<Case> {
    let made = |script: Script, calls| {
        Play::new(vec![secure(Way::Connect, script)], calls)
            .by(Way::Connect)
            .on(On::Tls)
    };
    vec![
        (
            "connect",
            Box::new(move || made(serve(ok("a")), vec![get(), get()])),
        ),
        (
            "connect, byte by byte",
            Box::new(|| {
                let script = Script::new()
                    .expect_contains("\r\n\r\n")
                    .send_each("HTTP/1.1 200 Fine\r\nX: y\r\n\r\n", 1)
                    .start_tls()
                    .followed_by(serve(ok("a")));
                Play::new(vec![script], vec![get()])
                    .by(Way::Connect)
                    .on(On::Tls)
            }),
        ),
        (
            "connect, wordy",
            Box::new(|| {
                let script = Script::new()
                    .expect_contains("\r\n\r\n")
                    .send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 201 Made\r\nContent-Length: 5\r\n\r\n")
                    .start_tls()
                    .followed_by(serve(ok("a")));
                Play::new(vec![script], vec![get()])
                    .by(Way::Connect)
                    .on(On::Tls)
            }),
        ),
        (
            "connect, cut behind the tunnel",
            Box::new(move || {
                let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel";
                made(once(cut).close(), vec![get()])
            }),
        ),
        (
            "connect, upgraded behind the tunnel",
            Box::new(move || {
                let script = Script::new().expect_head().send(SWITCH).echo();
                made(script.close_notify().expect_gone(), vec![upgrade()])
            }),
        ),
        (
            "connect for another protocol",
            Box::new(|| {
                let script = Script::new().expect_head().send(SWITCH).echo();
                let script = tunnel(Way::Connect, script.half_close().expect_gone());
                Play::new(vec![script], vec![upgrade()]).by(Way::Connect)
            }),
        ),
        (
            "connect, refused",
            Box::new(|| says("HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nnope")),
        ),
        (
            "connect, refused without a length",
            Box::new(|| ends("HTTP/1.1 502 Bad\r\n\r\nnowhere")),
        ),
        (
            "connect, who are you",
            Box::new(|| {
                says("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            }),
        ),
        ("connect, cut", Box::new(|| ends("HTTP/1.1 200 Fi"))),
        ("connect, ended at once", Box::new(|| ends(""))),
        (
            "connect, reset",
            Box::new(|| {
                let script = Script::new().expect_contains("\r\n\r\n").reset();
                Play::new(vec![script], vec![get()])
                    .by(Way::Connect)
                    .on(On::Tls)
            }),
        ),
        (
            "connect, early bytes",
            Box::new(|| says("HTTP/1.1 200 OK\r\n\r\nearly")),
        ),
        (
            "connect, noise",
            Box::new(|| says("SSH-2.0-OpenSSH_9.6\r\n\r\n")),
        ),
        (
            "connect, nobody listens",
            Box::new(|| {
                Play::new(vec![serve(ok("a"))], vec![upgrade()])
                    .by(Way::Connect)
                    .on(On::Refused)
            }),
        ),
    ]
}

fn by_tunnels_of_socks() -> Vec<Case> {
    vec![
        (
            "socks",
            Box::new(|| {
                let script = tunnel(Way::Socks, serve(ok("a")));
                Play::new(vec![script], vec![get(), get()]).by(Way::Socks)
            }),
        ),
        (
            "socks, tls",
            Box::new(|| {
                let script = secure(Way::Socks, serve(ok("a")));
                Play::new(vec![script], vec![get(), get()])
                    .by(Way::Socks)
                    .on(On::Tls)
            }),
        ),
        (
            "socks, wordy",
            Box::new(|| {
                let script = socks(&[5, 0], Some(b"\x05\0\0\x03\x09somewhere\x01\x02"));
                by_socks(script.followed_by(serve(ok("a"))))
            }),
        ),
        (
            "socks, upgraded behind the tunnel",
            Box::new(|| {
                let script = Script::new().expect_head().send(SWITCH).echo();
                let script = tunnel(Way::Socks, script.half_close().expect_gone());
                Play::new(vec![script], vec![upgrade()]).by(Way::Socks)
            }),
        ),
        (
            "socks, refused",
            Box::new(|| {
                let script = socks(&[5, 0], Some(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]));
                by_socks(script.expect_gone())
            }),
        ),
        (
            "socks, no method",
            Box::new(|| by_socks(socks(&[5, 255], None).expect_gone())),
        ),
        (
            "socks, another version",
            Box::new(|| by_socks(socks(&[4, 0], None).expect_gone())),
        ),
        (
            "socks, cut in the first answer",
            Box::new(|| by_socks(socks(&[5], None).close())),
        ),
        (
            "socks, cut in the second answer",
            Box::new(|| by_socks(socks(&[5, 0], Some(&[5, 0, 0, 1])).close())),
        ),
        (
            "socks, early bytes",
            Box::new(|| {
                let script = socks(&[5, 0], Some(b"\x05\0\0\x01\0\0\0\0\0\0early"));
                by_socks(script.expect_gone())
            }),
        ),
    ]
}

pub(super) fn proxied() -> Vec<Case> {
    let mut all = forwarded();
    all.extend(connected());
    all.extend(by_tunnels_of_socks());
    all
}
