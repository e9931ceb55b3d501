//! Uploads whose sources say "not now".

use wirescope::Request;
use wirescope::testkit::Script;

use super::bodies::Supply;
use super::table::Case;
use super::{Ask, Play, ask, get};
use crate::harness::{SHORT, ok, serve};

/// A PUT of a body that comes in pieces.
pub(super) fn put(body: &'static [u8], piece: usize, length: Option<u64>) -> Ask {
    ask("PUT", "/up").supplied(Supply {
        body,
        piece,
        length,
    })
}

/// The peer has the whole body of known length, although its source has not said that there is no more, and answers.
fn whole(call: &Ask) -> Script {
    let supply = call.supply.as_ref().unwrap();
    Script::new().expect_bytes(supply.body).send(ok("done"))
}

pub(super) fn supplies() -> Vec<Case> {
    const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    const HELLO: &[u8] = b"hello world";
    vec![
        (
            "chunked, in pieces",
            Box::new(|| {
                let call = put(HELLO, 4, None);
                let call = call.with(|request| request.trailer("X-Sum", "1").unwrap());
                Play::new(vec![serve(ok("done"))], vec![call, get()])
            }),
        ),
        (
            "sized, in pieces",
            Box::new(|| {
                let calls = vec![put(HELLO, 5, Some(11)), put(HELLO, 1, Some(11))];
                let script = calls.iter().fold(Script::new(), |script, call| {
                    script.expect_head().followed_by(whole(call))
                });
                Play::new(vec![script.expect_gone()], calls)
            }),
        ),
        (
            "nothing, after a while",
            Box::new(|| Play::new(vec![serve(ok("done"))], vec![put(b"", 1, None)])),
        ),
        (
            "too short, after a while",
            Box::new(|| {
                let script = Script::new().expect_head().expect_gone();
                Play::new(vec![script], vec![put(b"he", 1, Some(5))])
            }),
        ),
        (
            "behind a 100",
            Box::new(|| {
                let script = Script::new()
                    .expect_contains("\r\nExpect: 100-continue\r\n")
                    .send(INTERIM);
                let call = put(HELLO, 6, Some(11)).with(Request::expect_continue);
                let script = script.followed_by(whole(&call)).expect_gone();
                Play::new(vec![script], vec![call])
            }),
        ),
        (
            "answered while nothing comes",
            Box::new(|| {
                let script = Script::new().expect_head().send(ok("early")).expect_gone();
                Play::new(vec![script, serve(ok("a"))], vec![put(b"", 0, None), get()])
            }),
        ),
        (
            "out of time while nothing comes",
            Box::new(|| {
                let call = put(b"", 0, Some(5)).with(|request| request.timeout(SHORT));
                Play::new(vec![Script::new().expect_head().expect_gone()], vec![call])
            }),
        ),
    ]
}
