//! An engine that listens on a unix socket, as Docker's does: the URL gives the path and `Host`, the socket is where the
//! connection goes. The events say so.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use wirescope::Client;
use wirescope::event::Trace;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("wirescope-engine-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    thread::Builder::new().spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(&stream);
        }
    })?;

    let client = Client::builder()
        .unix_socket(&path)?
        .observe(
            Trace::new()
                .on_connect_start(|e| println!("{} {}", e.network(), e.addr()))
                .on_got_conn(|e| println!("reused: {}", e.reused())),
        )
        .build()?;
    for target in ["/version", "/info"] {
        let mut response = client.get(&format!("http://localhost{target}"))?.send()?;
        println!("{} {}", response.status(), response.text(1000)?);
    }
    std::fs::remove_file(&path)?;
    Ok(())
}

/// Answers each request on a connection with its request line.
fn answer(stream: &UnixStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(first) = lines.next().transpose()? {
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let (mut to, length) = (stream, first.len());
        write!(
            to,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{first}"
        )?;
    }
    Ok(())
}
