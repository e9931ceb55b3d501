//! Events on a crossbeam channel, read by another thread while the call is under way.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::thread;
use std::time::Duration;

use wirescope::event::{EventData, channel};
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, Result};

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let peer = Peer::start(
        Script::new()
            .expect_request()
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .pause(Duration::from_millis(30))
            .send("5\r\nhello\r\n")
            .pause(Duration::from_millis(30))
            .send("0\r\n\r\n"),
    )?;

    let (observer, events) = channel(1024);
    let client = Client::builder().observe(observer).build()?;
    let reader = thread::Builder::new().spawn(move || {
        // `events` is a receiver: it iterates, and `select!` works on it. It ends with the client.
        for event in &*events {
            match event.data() {
                EventData::CallDone(done) => {
                    println!("{:>9.1?}  status {:?}", event.at(), done.status())
                }
                _ => println!("{:>9.1?}  {}", event.at(), event.kind()),
            }
        }
        println!("{} events lost", events.lost());
    })?;

    fetch(&client, &peer.url("/"))?;
    drop(client);
    reader.join().map_err(|_| "the reader panicked")?;
    Ok(())
}

fn fetch(client: &Client, url: &str) -> Result<String> {
    client.get(url)?.send()?.text(1_000)
}
