//! What a test of yours can say: a peer as a script, the events checked against the grammar, and assertions on them.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::time::Duration;

use wirescope::Client;
use wirescope::event::{EventKind, channel};
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script};

fn main() -> Result<(), Box<dyn Error>> {
    // The peer closes after its first answer, without having said so.
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let script = Script::new().expect_request().send(answer).close();
    let peer = Peer::builder().scripts([script.clone(), script]).start()?;

    let (observer, events) = channel(1024);
    let client = Client::builder().observe(observer).build()?;
    client.get(&peer.url("/one"))?.send()?.drain()?;
    assert!(peer.wait_until_closed(Duration::from_secs(5)));
    client.get(&peer.url("/two"))?.send()?.drain()?;
    drop(client);

    // Every span has its end, in order, or this panics with a transcript.
    let seen = check(&events);
    assert_eq!(seen.only(EventKind::ConnOpened).len(), 2);
    seen.none(EventKind::CallCanceled);
    seen.assert_sequence([
        "call_done",
        "call_start",
        "conn_closed reason=peer_closed_idle",
        "conn_opened",
        "call_done status=200",
    ]);
    println!("{}", seen.transcript());
    peer.finish();
    Ok(())
}
