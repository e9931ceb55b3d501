//! One GET, and where its time went.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use wirescope::Client;
use wirescope::testkit::{Peer, Script};

fn main() -> Result<(), Box<dyn Error>> {
    let peer =
        Peer::start(Script::new().expect_request().send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        ))?;

    let client = Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .build()?;
    let mut response = client.get(&peer.url("/greeting"))?.send()?;
    let mut body = String::new();
    response.read_to_string(&mut body)?;

    println!("{} {body:?}", response.status());
    for line in response.fields().iter() {
        println!(
            "{}: {}",
            line.name(),
            line.value_str().unwrap_or("(no text)")
        );
    }
    let timings = response.timings();
    let phases = timings.phases();
    println!("connected in {:?}", phases.tcp.unwrap_or_default());
    println!(
        "waited {:?} of {:?}",
        phases.wait.unwrap_or_default(),
        phases.total
    );
    Ok(())
}
