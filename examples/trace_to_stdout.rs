//! Closures for what one wants to know, as Go's `httptrace` has them.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;

use wirescope::Client;
use wirescope::event::Trace;
use wirescope::testkit::{Peer, Script};

fn main() -> Result<(), Box<dyn Error>> {
    let peer = Peer::start(Script::new().forever(Script::new().expect_request().send(
        "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    )))?;

    let trace = Trace::new()
        .on_connect_done(|e| println!("  connected to {} in {:?}", e.addr(), e.elapsed()))
        .on_got_conn(|e| println!("  got a connection, reused: {}", e.reused()))
        .on_wrote_header_field(|e| {
            println!(
                "  wrote {}: {}",
                e.name(),
                String::from_utf8_lossy(e.value())
            )
        })
        .on_got_1xx_response(|e| println!("  interim {}", e.status()))
        .on_got_first_response_byte(|_| println!("  first byte"))
        .on_put_idle_conn(|e| {
            println!("  put back: {:?}", e.error().map_or("yes", |why| why.tag()))
        })
        .on_call_done(|e| println!("  done, {} bytes in", e.bytes_in()));

    let client = Client::builder().observe(trace).build()?;
    for path in ["/first", "/second"] {
        println!("{path}");
        client.get(&peer.url(path))?.send()?.drain()?;
    }
    Ok(())
}
