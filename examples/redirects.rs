//! Follows redirects through middleware of its own, and prints for each hop whether its connection was reused.
//!
//! `cargo run --features testkit --example redirects`

#![expect(clippy::print_stdout, reason = "an example shows something")]

use wirescope::testkit::{Peer, Script};
use wirescope::{Client, HopRequest, RedirectPolicy, Response, Result, RoundTrip};

/// Prints what every hop asks and gets.
struct Print<R>(R);

impl<R: RoundTrip> RoundTrip for Print<R> {
    fn round_trip(&self, hop: HopRequest) -> Result<Response> {
        let asked = format!("hop {}: {} {}", hop.number(), hop.method(), hop.url());
        let response = self.0.round_trip(hop)?;
        let reused = match response.is_connection_reused() {
            true => "reused connection",
            false => "new connection",
        };
        println!("{asked} -> {} over a {reused}", response.status());
        Ok(response)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let other = Peer::start(Script::new().respond_with(|request| {
        let secret = request.field("authorization").is_some();
        let body = format!("credentials arrived: {secret}");
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into()
    }))?;
    let elsewhere = other.url("/end");
    let peer = Peer::start(Script::new().respond_with(move |request| {
        let next = match request.target() {
            "/start" => "middle?x=1",
            _ => &elsewhere,
        };
        format!("HTTP/1.1 302 Found\r\nLocation: {next}\r\nContent-Length: 0\r\n\r\n").into()
    }))?;

    let client = Client::builder()
        .redirects(RedirectPolicy::new().max(5))
        .wrap(Print)
        .build()?;
    let request = client.get(&peer.url("/start"))?;
    let mut response = request.basic_auth("user", "password")?.send()?;
    println!("{}", response.text(1000)?);
    for hop in response.history() {
        println!("left: {} {}", hop.status(), hop.url());
    }
    let phases = *response.timings().phases();
    println!("redirects took {:?} of {:?}", phases.redirect, phases.total);
    Ok(())
}
