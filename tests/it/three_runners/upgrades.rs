//! Calls behind which another protocol is spoken.

use wirescope::Request;
use wirescope::testkit::Script;

use super::table::Case;
use super::{Ask, On, Play, Reading, ask, get};
use crate::harness::{ok, once, serve};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: Echo\r\n\r\n";

const TUNNEL: &str = "HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\n";

fn upgrade() -> Ask {
    get().with(offering).speaks("hello")
}

fn offering(request: Request) -> Request {
    request.upgrade("echo").unwrap()
}

fn connect() -> Ask {
    ask("CONNECT", "db.example:5432").speaks("hello")
}

/// Sends everything back until the client has said all, and ends then.
fn echoes(head: &str, piece: usize) -> Script {
    let answer = format!("{head}first ");
    Script::new().expect_head().send_each(answer, piece).echo()
}

fn plain(head: &str, piece: usize) -> Script {
    echoes(head, piece).half_close().expect_gone()
}

fn secure(head: &str) -> Script {
    echoes(head, usize::MAX).close_notify().expect_gone()
}

pub(super) fn upgrades() -> Vec<Case> {
    vec![
        (
            "upgrade",
            Box::new(|| {
                let scripts = vec![plain(SWITCH, usize::MAX), serve(ok("a"))];
                Play::new(scripts, vec![upgrade(), get()])
            }),
        ),
        (
            "upgrade, byte by byte",
            Box::new(|| Play::new(vec![plain(SWITCH, 1)], vec![upgrade()])),
        ),
        (
            "upgrade on a kept connection",
            Box::new(|| {
                let script = once(ok("a")).followed_by(plain(SWITCH, usize::MAX));
                Play::new(vec![script], vec![get(), upgrade()])
            }),
        ),
        (
            "upgrade behind a body",
            Box::new(|| {
                let script = once(SWITCH).echo().half_close().expect_gone();
                let put = ask("PUT", "/").speaks("hello");
                let put = put.with(|request| offering(request).body("body"));
                Play::new(vec![script], vec![put])
            }),
        ),
        (
            "upgrade, dropped",
            Box::new(|| {
                let script = once(SWITCH).expect_gone();
                let call = get().with(offering).read(Reading::Dropped(0));
                Play::new(vec![script, serve(ok("a"))], vec![call, get()])
            }),
        ),
        (
            "upgrade, dropped with bytes unread",
            Box::new(|| {
                let script = once(format!("{SWITCH}first")).expect_gone();
                let call = get().with(offering).read(Reading::Dropped(0));
                Play::new(vec![script], vec![call])
            }),
        ),
        (
            "upgrade, not taken",
            Box::new(|| Play::new(vec![serve(ok("a"))], vec![upgrade(), upgrade()])),
        ),
        (
            "upgrade, another protocol",
            Box::new(|| {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n";
                Play::new(vec![once(answer).close()], vec![upgrade()])
            }),
        ),
        (
            "upgrade instead of a 100",
            Box::new(|| {
                let put = ask("PUT", "/").speaks("hello");
                let put = put.with(|request| offering(request).body("x").expect_continue());
                let script = Script::new().expect_head().send(SWITCH).expect_gone();
                Play::new(vec![script], vec![put])
            }),
        ),
        (
            "upgrade, ended by the peer",
            Box::new(|| {
                let script = once(format!("{SWITCH}bye")).half_close();
                Play::new(
                    vec![script.expect_bytes("hello").expect_gone()],
                    vec![upgrade()],
                )
            }),
        ),
        (
            "upgrade over tls",
            Box::new(|| Play::new(vec![secure(SWITCH)], vec![upgrade()]).on(On::Tls)),
        ),
        (
            "connect",
            Box::new(|| {
                let scripts = vec![plain(TUNNEL, usize::MAX), serve(ok("a"))];
                Play::new(scripts, vec![connect(), get()])
            }),
        ),
        (
            "connect, with interim answers",
            Box::new(|| {
                let head = format!("HTTP/1.1 103 Early Hints\r\n\r\n{TUNNEL}");
                Play::new(vec![plain(&head, 7)], vec![connect()])
            }),
        ),
        (
            "connect, refused",
            Box::new(|| {
                let answer = "HTTP/1.1 407 Auth\r\nContent-Length: 4\r\n\r\nnope";
                let scripts = vec![once(answer).expect_gone(), serve(ok("a"))];
                Play::new(scripts, vec![connect(), get()])
            }),
        ),
        (
            "connect, over tls",
            Box::new(|| Play::new(vec![secure(TUNNEL)], vec![connect()]).on(On::Tls)),
        ),
    ]
}
