//! The moments that a response names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wirescope::testkit::{Peer, Script};
use wirescope::{Completion, EventLoop, Response};

/// The response to a request that is answered with these field lines.
fn answered(lines: &str) -> Response {
    let response = format!("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n{lines}\r\n");
    let peer = Peer::start(Script::new().expect_request().send(response)).unwrap();
    let client = wirescope::Client::new().unwrap();
    client.get(&peer.url("/")).unwrap().send().unwrap()
}

/// The same of an event loop.
fn completed(lines: &str) -> Completion {
    let response = format!("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n{lines}\r\n");
    let peer = Peer::start(Script::new().expect_request().send(response)).unwrap();
    let client = wirescope::Client::new().unwrap();
    let mut event_loop = EventLoop::new(&client).unwrap();
    event_loop
        .submit(client.get(&peer.url("/")).unwrap())
        .unwrap();
    event_loop.next().unwrap().unwrap()
}

#[test]
fn rfc_c22_date_and_retry_after_are_read_from_a_response() {
    let seconds = Duration::from_secs;
    let example = UNIX_EPOCH + seconds(784_111_777);
    let date = |lines: &str| answered(lines).date();
    assert_eq!(
        date("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        Some(example)
    );
    assert_eq!(
        date("Date: Sunday, 06-Nov-94 08:49:37 GMT\r\n"),
        Some(example)
    );
    assert_eq!(date("date: Sun Nov  6 08:49:37 1994\r\n"), Some(example));
    let before = Some(UNIX_EPOCH - seconds(1));
    assert_eq!(date("Date: Wed, 31 Dec 1969 23:59:59 GMT\r\n"), before);
    assert_eq!(date("Date: now\r\n"), None);
    assert_eq!(date(""), None);
    assert_eq!(
        completed("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n").date(),
        Some(example)
    );
    assert_eq!(completed("").date(), None);

    let asked = |lines: &str, now: SystemTime| answered(lines).retry_after(now);
    let at = "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(asked(at, example - seconds(90)), Some(seconds(90)));
    assert_eq!(asked(at, example + seconds(1)), Some(Duration::ZERO));
    assert_eq!(
        asked(at, UNIX_EPOCH - seconds(1)),
        Some(seconds(784_111_778))
    );
    assert_eq!(asked("Retry-After: 120\r\n", example), Some(seconds(120)));
    assert_eq!(asked("Retry-After: 0\r\n", example), Some(Duration::ZERO));
    let endless = "Retry-After: 99999999999999999999\r\n";
    assert_eq!(asked(endless, example), Some(seconds(u64::MAX)));
    for none in [
        "",
        "Retry-After:\r\n",
        "Retry-After: -1\r\n",
        "Retry-After: 1.5\r\n",
        "Retry-After: soon\r\n",
    ] {
        assert_eq!(asked(none, example), None, "{none:?}");
    }
}
