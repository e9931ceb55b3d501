//! Resumes a download that broke off, and begins anew when the file has changed meanwhile.
//!
//! `cargo run --features testkit --example resume`

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::io::Read;

use wirescope::Client;
use wirescope::message::range::{Partial, Validator};
use wirescope::testkit::{Peer, Script, SeenRequest};

/// A download in memory: its bytes, and of which state of the file they are.
struct Download {
    bytes: Vec<u8>,
    state: Option<Validator>,
}

impl Download {
    /// Reads on from where the bytes end, until the body ends or breaks off. Says whether all is there.
    fn go_on(&mut self, client: &Client, url: &str) -> Result<bool, Box<dyn Error>> {
        let there = self.bytes.len() as u64;
        let mut request = client.get(url)?;
        if let Some(state) = self.state.as_ref().filter(|_| there > 0) {
            request = request.range(there..)?.if_range(state)?;
        }
        let mut response = request.send()?.error_for_status()?;
        match (response.partial()?, &self.state) {
            // Bytes are joined only if the same strong validator names what they are part of.
            (Partial::One(range), Some(state))
                if range.first() == there && state.is_of(response.fields()) =>
            {
                println!("goes on: {range}");
            }
            (Partial::Whole, _) => {
                self.bytes.clear();
                self.state = response.validator();
                println!("begins at the start");
            }
            (other, _) => return Err(format!("of no use: {other:?}").into()),
        }
        // What came before an error is kept: the next request asks for the rest.
        let result = response.read_to_end(&mut self.bytes);
        println!("{} bytes are there", self.bytes.len());
        if let Err(error) = &result {
            println!("broke off: {error}");
        }
        Ok(result.is_ok())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let peer = Peer::builder().scripts([breaks_off(), serves()]).start()?;
    let url = peer.url("/file");
    let client = Client::new()?;
    let mut download = Download {
        bytes: Vec::new(),
        state: None,
    };
    while !download.go_on(&client, &url)? {}
    assert_eq!(download.bytes, content());
    Ok(())
}

fn content() -> Vec<u8> {
    b"0123456789".repeat(1000)
}

/// A server that closes in the middle of the file.
fn breaks_off() -> Script {
    let head = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10000\r\n\r\n";
    Script::new()
        .expect_request()
        .send([head.as_bytes(), &content()[..4321]].concat())
        .close()
}

/// A server that heeds ranges.
fn serves() -> Script {
    Script::new().respond_with(|request: &SeenRequest| {
        let content = content();
        let first = request
            .field("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
            .unwrap_or(0);
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes {first}-9999/10000\r\n\
             Content-Length: {}\r\n\r\n",
            content.len() - first
        );
        [head.as_bytes(), &content[first..]].concat()
    })
}
