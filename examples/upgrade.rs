//! Another protocol on a connection of ours: one thread reads while another writes. Then a tunnel through a proxy.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::thread;

use wirescope::Client;
use wirescope::event::Trace;
use wirescope::testkit::{Peer, Script};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nwelcome\n";

fn main() -> Result<(), Box<dyn Error>> {
    // Agrees to speak "lines", and sends every line back.
    let echoing = Script::new().expect_request().send(SWITCH).echo();
    let server = Peer::start(echoing.half_close().expect_gone())?;
    let client = Client::builder()
        .observe(
            Trace::new()
                .on_upgraded(|event| println!("upgraded to {:?}", event.protocol()))
                .on_conn_closed(|event| println!("closed: {}", event.reason())),
        )
        .build()?;

    let response = client.get(&server.url("/"))?.upgrade("lines")?.send()?;
    println!("{} {:?}", response.status(), response.header("upgrade"));
    let stream = response.upgrade()?;
    thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let writer = scope.spawn(|| {
            (&stream).write_all(b"one\ntwo\n")?;
            stream.shutdown_write()
        });
        for line in BufReader::new(&stream).lines() {
            println!("heard {}", line?);
        }
        writer.join().map_err(|_| "the writer panicked")??;
        Ok(())
    })?;
    drop(stream);

    // Makes a tunnel wherever it is asked to, and this one ends in an echo.
    let tunnel = "HTTP/1.1 200 Connection established\r\n\r\n";
    let proxying = Script::new().expect_request().send(tunnel).echo();
    let proxy = Peer::start(proxying.half_close().expect_gone())?;
    let response = client.connect(&proxy.url("/"), "db.example:5432")?.send()?;
    let mut tunnel = response.upgrade()?;
    tunnel.write_all(b"through the tunnel")?;
    tunnel.shutdown_write()?;
    let mut heard = String::new();
    tunnel.read_to_string(&mut heard)?;
    println!("heard {heard}");
    Ok(())
}
