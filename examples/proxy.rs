//! Goes through proxies: one for all calls, one that a function chooses by the URL, none for some hosts; and says which
//! way each hop went, and why.
//!
//! `cargo run --features testkit --example proxy`

#![expect(clippy::print_stdout, reason = "an example shows something")]

use wirescope::event::Trace;
use wirescope::testkit::{Peer, Relay, Script};
use wirescope::{Client, NoProxy, Proxy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = Peer::start(Script::new().respond_with(|request| {
        let body = format!("asked for {}", request.target());
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        (head + &body).into()
    }))?;
    let http = Relay::http()
        .credentials("me", "s3cret")
        .lead("example.com", 80, origin.addr())
        .start()?;
    let socks = Relay::socks5()
        .lead("example.org", 80, origin.addr())
        .start()?;

    let first = http.proxy()?.with_credentials("me", "s3cret")?;
    let second = Proxy::parse(&socks.url().replace("socks5", "socks5h"))?;
    let client = Client::builder()
        .proxy_with(move |url| match url.host_str() {
            "example.org" => Ok(Some(second.clone())),
            _ => Ok(Some(first.clone())),
        })
        .no_proxy(NoProxy::parse("localhost, 127.0.0.0/8"))
        .observe(
            Trace::new().on_proxy_selected(|e| match (e.scheme(), e.port()) {
                (Some(scheme), Some(port)) => println!("  by {scheme}, port {port}"),
                _ => println!(
                    "  straight, because of {}",
                    e.rule().map_or("", |rule| rule)
                ),
            }),
        )
        .build()?;

    for url in [
        "http://example.com/a",
        "http://example.org/b",
        &origin.url("/c"),
    ] {
        println!("{url}");
        println!("  {}", client.get(url)?.send()?.text(100)?);
    }
    println!(
        "a call of its own: {}",
        client.get(&origin.url("/d"))?.proxy(None).send()?.status()
    );
    Ok(())
}
