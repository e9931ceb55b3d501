//! What the runners play: scripts, and the calls that meet them.

use std::io;

use wirescope::config::{EarlyResponse, Strictness};
use wirescope::message::fields::Fields;
use wirescope::testkit::{Gate, Script};
use wirescope::{RedirectPolicy, Request};

use super::supplies::put;
use super::{After, On, Play, Reading, ask, get};
use crate::harness::{SHORT, ok, once, serve};

/// A redirect to another path of the same peer.
const MOVED: &str = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";

pub(super) type Case = (&'static str, Box<dyn Fn() -> Play>);

/// Bytes that answer one GET before the peer closes.
const ANSWERS: &[(&str, &str)] = &[
    (
        "length",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ),
    ("empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("204", "HTTP/1.1 204 No Content\r\n\r\n"),
    (
        "304",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "404",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    ),
    (
        "302 that leads nowhere",
        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "chunked with trailer",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-End: 1\r\nSet-Cookie: a=b\r\n\r\n",
    ),
    (
        "103 then 200",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "100 unasked",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("close-delimited", "HTTP/1.1 200 OK\r\n\r\nuntil the end"),
    (
        "says close",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("http 1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (
        "http 1.0 kept",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "keep-alive max 0",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=0\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "leftover",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    ),
    (
        "length and coding",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "equal lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    ),
    (
        "different lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
    ),
    (
        "bad length",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    ),
    (
        "bad coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    ),
    (
        "bad chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ),
    ("bad status line", "HTTP/1.1 OK\r\n\r\n"),
    ("not http", "SSH-2.0-OpenSSH_9.6\r\n"),
    ("bad field", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    (
        "101 unasked",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ),
    ("nothing", ""),
    ("cut in the head", "HTTP/1.1 200 OK\r\nContent-Le"),
    (
        "cut behind the head",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "cut in the body",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    ),
    (
        "cut in a chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ),
    ("cut behind 103", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    (
        "bare line feeds",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    ),
    (
        "folded",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "empty lines first",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
];

pub(super) fn answers() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for &(name, answer) in ANSWERS {
        cases.push((
            name,
            Box::new(move || Play::new(vec![once(answer).close()], vec![get()])),
        ));
    }
    cases
}

/// What an answer becomes when its body is read in another way, or by other settings.
pub(super) fn readers() -> Vec<Case> {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    vec![
        (
            "read in pieces",
            Box::new(|| {
                Play::new(
                    vec![once(CHUNKED).expect_gone()],
                    vec![get().read(Reading::Pieces(3))],
                )
            }),
        ),
        (
            "dropped at the head",
            Box::new(|| {
                let script =
                    once("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello").expect_gone();
                Play::new(vec![script], vec![get().read(Reading::Dropped(0))])
            }),
        ),
        (
            "dropped at the head with all buffered",
            Box::new(|| {
                let call = get().read(Reading::Dropped(0));
                Play::new(vec![serve(CHUNKED)], vec![call, get()])
            }),
        ),
        (
            "dropped at the head of nothing",
            Box::new(|| {
                let call = get().read(Reading::Dropped(0));
                Play::new(vec![serve(ok(""))], vec![call, get()])
            }),
        ),
        (
            "read byte by byte",
            Box::new(|| {
                let call = || get().read(Reading::Pieces(1));
                Play::new(vec![serve(ok("hello world"))], vec![call(), call()])
            }),
        ),
        (
            "read in pieces until the end",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\n\r\nuntil the end").close();
                Play::new(vec![script], vec![get().read(Reading::Pieces(4))])
            }),
        ),
        (
            "read in pieces and cut",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel").close();
                Play::new(vec![script], vec![get().read(Reading::Pieces(2))])
            }),
        ),
        (
            "read in pieces behind a gate",
            Box::new(|| {
                let gate = Gate::new();
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                    .wait_for(gate.clone())
                    .send("hello")
                    .expect_gone();
                let call = get().opens(&gate).read(Reading::Pieces(2));
                Play::new(vec![script], vec![call])
            }),
        ),
        (
            "dropped in the body",
            Box::new(|| {
                let script =
                    once("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello").expect_gone();
                Play::new(vec![script], vec![get().read(Reading::Dropped(3))])
            }),
        ),
        (
            "dropped with the rest buffered",
            Box::new(|| {
                Play::new(
                    vec![serve(CHUNKED)],
                    vec![get().read(Reading::Dropped(2)), get()],
                )
            }),
        ),
        (
            "body behind a gate",
            Box::new(|| {
                let gate = Gate::new();
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                    .wait_for(gate.clone())
                    .send("hello")
                    .expect_gone();
                Play::new(vec![script], vec![get().opens(&gate)])
            }),
        ),
        (
            "reset behind a gate",
            Box::new(|| {
                let gate = Gate::new();
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
                    .wait_for(gate.clone())
                    .reset();
                Play::new(vec![script], vec![get().opens(&gate)])
            }),
        ),
        (
            "reset at once",
            Box::new(|| {
                let script = Script::new().expect_request().reset();
                Play::new(vec![script], vec![get()])
            }),
        ),
        (
            "strict",
            Box::new(|| {
                let both = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
                Play::new(vec![once(both).close()], vec![get()])
                    .client(|client| client.strictness(Strictness::Strict))
            }),
        ),
        (
            "a limit",
            Box::new(|| {
                let many = "X: y\r\n".repeat(10);
                Play::new(
                    vec![once(format!("HTTP/1.1 200 OK\r\n{many}\r\n")).close()],
                    vec![get()],
                )
                .client(|client| client.limits(|limits| limits.field_lines = 5))
            }),
        ),
        (
            "canceled before",
            Box::new(|| {
                Play::new(
                    vec![serve(ok("a"))],
                    vec![get().read(Reading::Canceled), get()],
                )
            }),
        ),
        (
            "refused",
            Box::new(|| Play::new(vec![Script::new()], vec![get()]).on(On::Refused)),
        ),
        (
            "refused before any i/o",
            Box::new(|| {
                let call = get().with(|request| request.body("not with GET"));
                Play::new(vec![Script::new()], vec![call])
            }),
        ),
    ]
}

/// Requests of all shapes.
pub(super) fn requests() -> Vec<Case> {
    const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let expecting =
        || Script::new().expect_contains("\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let post = || ask("POST", "/up").with(|request| request.body("hello"));
    let expect = || ask("POST", "/up").with(|request| request.body("hello").expect_continue());
    vec![
        (
            "head",
            Box::new(|| {
                let head = serve("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
                Play::new(vec![head], vec![ask("HEAD", "/"), ask("HEAD", "/again")])
            }),
        ),
        (
            "post",
            Box::new(move || Play::new(vec![serve(ok("done"))], vec![post(), post()])),
        ),
        (
            "chunked upload",
            Box::new(|| {
                let call = ask("PUT", "/up").with(|request| {
                    let request = request.body_reader(&b"hello world"[..]);
                    request.trailer("X-Sum", "1").unwrap()
                });
                Play::new(vec![serve(ok("done"))], vec![call])
            }),
        ),
        (
            "late trailers",
            Box::new(|| {
                let call = ask("PUT", "/up").with(|request| {
                    let request = request.body_reader(&b"hello world"[..]);
                    let request = request.trailer("X-First", "1").unwrap();
                    let late = || {
                        let mut trailers = Fields::new();
                        trailers.append("X-Sum", "2").map_err(io::Error::other)?;
                        Ok(trailers)
                    };
                    request.trailers_from(&["X-Sum", "X-Never"], late).unwrap()
                });
                Play::new(vec![serve(ok("done"))], vec![call])
            }),
        ),
        (
            "trailers are asked for",
            Box::new(|| {
                let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n";
                let call = || get().with(|request| request.te_trailers().unwrap());
                let asked = "\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
                let script = Script::new().expect_contains(asked).send(answer);
                Play::new(vec![script], vec![call()])
            }),
        ),
        (
            "sized upload",
            Box::new(|| {
                let call =
                    ask("PUT", "/up").with(|request| request.body_sized_reader(&b"hello"[..], 5));
                Play::new(vec![serve(ok("done"))], vec![call])
            }),
        ),
        (
            "short source",
            Box::new(|| {
                let call =
                    ask("PUT", "/up").with(|request| request.body_sized_reader(&b"he"[..], 5));
                Play::new(vec![Script::new().expect_head().expect_gone()], vec![call])
            }),
        ),
        (
            "options",
            Box::new(|| {
                let call = ask("OPTIONS", "/").with(Request::asterisk);
                Play::new(vec![serve(ok(""))], vec![call])
            }),
        ),
        (
            "labels and fields",
            Box::new(|| {
                let call = get().with(|request| {
                    let request = request.label("one").without_default("Accept");
                    request.header("X-Token", "secret").unwrap()
                });
                Play::new(vec![serve(ok("a"))], vec![call])
            }),
        ),
        (
            "expect and 100",
            Box::new(move || {
                let script = expecting()
                    .send(INTERIM)
                    .expect_bytes("hello")
                    .send(ok("done"));
                Play::new(vec![script], vec![expect()])
            }),
        ),
        (
            "expect and a final response",
            Box::new(move || {
                let script = expecting().send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
                Play::new(vec![script.expect_gone()], vec![expect()])
            }),
        ),
        (
            "expect and nothing",
            Box::new(move || {
                let script = expecting().expect_bytes("hello").send(ok("done"));
                Play::new(vec![script], vec![expect()])
                    .client(|client| client.timeouts(|timeouts| timeouts.expect = SHORT))
            }),
        ),
        (
            "expect and a close",
            Box::new(move || Play::new(vec![expecting().close()], vec![expect()])),
        ),
        (
            "early answer, small body",
            Box::new(move || {
                let script = Script::new().expect_head().send(ok("early")).expect_body();
                Play::new(vec![script], vec![post()])
                    .client(|client| client.early_response(EarlyResponse::Abort))
            }),
        ),
        (
            "no keep-alive",
            Box::new(|| {
                Play::new(vec![serve(ok("a"))], vec![get(), get()])
                    .client(|client| client.keep_alive(false))
            }),
        ),
    ]
}

/// Several calls on one pool, deadlines, repeats.
pub(super) fn sequences() -> Vec<Case> {
    vec![
        (
            "reuse",
            Box::new(|| {
                let calls = vec![
                    get(),
                    ask("POST", "/b").with(|request| request.body("x")),
                    ask("DELETE", "/c"),
                ];
                Play::new(vec![serve(ok("a"))], calls)
            }),
        ),
        (
            "closed while idle",
            Box::new(|| {
                let scripts = vec![once(ok("a")).close(), serve(ok("b"))];
                Play::new(scripts, vec![get(), get().after(After::Closed)])
            }),
        ),
        (
            "spoke while idle",
            Box::new(|| {
                let (gate, sent) = (Gate::new(), Gate::new());
                let speaks = once(ok("a"))
                    .wait_for(gate.clone())
                    .send("x")
                    .open_gate(sent.clone())
                    .expect_gone();
                let first = get().opens(&gate);
                Play::new(
                    vec![speaks, serve(ok("b"))],
                    vec![first, get().after(After::Gate(sent))],
                )
            }),
        ),
        (
            "made again",
            Box::new(|| {
                let dying = once(ok("a")).expect_request().close();
                Play::new(vec![dying, serve(ok("b"))], vec![get(), get()])
            }),
        ),
        (
            "not made again",
            Box::new(|| {
                let dying = once(ok("a")).expect_request().close();
                let post = ask("POST", "/").with(|request| request.body("x"));
                Play::new(vec![dying, serve(ok("b"))], vec![get(), post, get()])
            }),
        ),
        (
            "made again with its body",
            Box::new(|| {
                let dying = once(ok("a")).expect_request().close();
                let post = ask("POST", "/")
                    .with(|request| request.body("x").header("Idempotency-Key", "1").unwrap());
                Play::new(vec![dying, serve(ok("b"))], vec![get(), post])
            }),
        ),
        (
            "no repeats",
            Box::new(|| {
                let dying = once(ok("a")).expect_request().close();
                Play::new(vec![dying, serve(ok("b"))], vec![get(), get()])
                    .client(|client| client.retries(0))
            }),
        ),
        (
            "first byte timeout",
            Box::new(|| {
                Play::new(vec![Script::new().expect_request().stall()], vec![get()])
                    .client(|client| client.timeouts(|timeouts| timeouts.first_byte = Some(SHORT)))
            }),
        ),
        (
            "head timeout",
            Box::new(|| {
                Play::new(vec![once("HTTP/1.1 200").stall()], vec![get()])
                    .client(|client| client.timeouts(|timeouts| timeouts.head = Some(SHORT)))
            }),
        ),
        (
            "body timeout",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel").stall();
                Play::new(vec![script], vec![get()])
                    .client(|client| client.timeouts(|timeouts| timeouts.body_idle = Some(SHORT)))
            }),
        ),
        (
            "total timeout",
            Box::new(|| {
                Play::new(
                    vec![Script::new().stall()],
                    vec![get().with(|request| request.timeout(SHORT))],
                )
            }),
        ),
        (
            "redirect on the same connection",
            Box::new(|| {
                let script = once(MOVED).expect_head().send(ok("there"));
                Play::new(vec![script], vec![get()])
            }),
        ),
        (
            "redirect on a new connection",
            Box::new(|| {
                let moved = MOVED.replace("Location", "Connection: close\r\nLocation");
                Play::new(vec![once(moved).close(), serve(ok("there"))], vec![get()])
            }),
        ),
        (
            "redirect of a body",
            Box::new(|| {
                let moved = MOVED.replace("302 Found", "307 Temporary Redirect");
                let post = ask("POST", "/up").with(|request| request.body("hello"));
                let script = once(moved).expect_request().send(ok("there"));
                Play::new(vec![script], vec![post])
            }),
        ),
        (
            "redirect that turns a POST to a GET",
            Box::new(|| {
                let post = ask("POST", "/up").with(|request| request.body("hello"));
                let script = once(MOVED).expect_head().send(ok("there"));
                Play::new(vec![script], vec![post])
            }),
        ),
        (
            "redirect handed out",
            Box::new(|| {
                let call = get().with(|request| request.redirects(RedirectPolicy::none()));
                Play::new(vec![once(MOVED).close()], vec![call])
            }),
        ),
        (
            "one redirect too many",
            Box::new(|| {
                let call = get().with(|request| request.redirects(RedirectPolicy::new().max(1)));
                let script = once(MOVED).expect_head().send(MOVED).expect_gone();
                Play::new(vec![script], vec![call])
            }),
        ),
        (
            "417 without the expectation",
            Box::new(|| {
                let refused = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
                let expecting = Script::new().expect_head().send(refused).expect_gone();
                let call =
                    ask("POST", "/up").with(|request| request.body("hello").expect_continue());
                Play::new(vec![expecting, serve(ok("done"))], vec![call])
            }),
        ),
        (
            "no pool",
            Box::new(|| {
                Play::new(vec![serve(ok("a"))], vec![get(), get()])
                    .client(|client| client.max_idle(0))
            }),
        ),
    ]
}

/// The same under TLS, whose facts the simulator is given.
pub(super) fn secured() -> Vec<Case> {
    vec![
        (
            "tls",
            Box::new(|| Play::new(vec![serve(ok("a"))], vec![get(), get()]).on(On::Tls)),
        ),
        (
            "tls, ended well",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\n\r\nuntil the end")
                    .close_notify()
                    .expect_gone();
                Play::new(vec![script], vec![get()]).on(On::Tls)
            }),
        ),
        (
            "tls, cut",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\n\r\nuntil the").close();
                Play::new(vec![script], vec![get()]).on(On::Tls)
            }),
        ),
        (
            "tls, incomplete",
            Box::new(|| {
                let script = once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel").close();
                Play::new(vec![script], vec![get()]).on(On::Tls)
            }),
        ),
        (
            "tls, post",
            Box::new(|| {
                let post = ask("POST", "/").with(|request| request.body("hello"));
                Play::new(vec![serve(ok("a"))], vec![post]).on(On::Tls)
            }),
        ),
        (
            "tls, put in pieces",
            Box::new(|| {
                let call = put(b"hello world", 4, None);
                Play::new(vec![serve(ok("a"))], vec![call]).on(On::Tls)
            }),
        ),
        (
            "tls, read in pieces",
            Box::new(|| {
                let call = get().read(Reading::Pieces(2));
                Play::new(vec![serve(ok("hello"))], vec![call, get()]).on(On::Tls)
            }),
        ),
    ]
}
