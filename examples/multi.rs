//! A thousand calls on one thread, over sixteen connections.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::time::Duration;

use wirescope::testkit::{Peer, Script};
use wirescope::{Client, EventLoop};

const CALLS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let peer = Peer::start(Script::new().respond_with(|request| {
        let body = request.target().to_owned();
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    }))?;

    let client = Client::builder().max_connections_per_origin(16).build()?;
    let mut event_loop = EventLoop::new(&client)?;
    for number in 0..CALLS {
        event_loop.submit(client.get(&peer.url(&format!("/{number}")))?)?;
    }
    let (mut bytes, mut reused, mut slowest) = (0, 0, Duration::ZERO);
    while let Some(done) = event_loop.next()? {
        let done = done.into_result()?;
        bytes += done.body().len();
        slowest = slowest.max(done.timings().total());
        reused += usize::from(done.is_connection_reused());
    }

    println!("{CALLS} calls, the last of them complete after {slowest:?}");
    println!("{bytes} bytes of content, {reused} over a connection that was there");
    Ok(())
}
