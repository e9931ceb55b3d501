//! An observer of one's own: it counts, and it aborts what it does not like.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wirescope::Client;
use wirescope::event::{Event, EventData, EventKind, Interest, Observer, Verdict};
use wirescope::message::framing::Framing;
use wirescope::testkit::{Peer, Script};

/// Refuses what is larger than its limit as soon as the head says so, and counts new connections.
struct Guard {
    max_bytes: u64,
    connections: Arc<AtomicU64>,
}

impl Observer for Guard {
    fn interest(&self) -> Interest {
        Interest::NONE
            .with(EventKind::ConnOpened)
            .with(EventKind::GotResponseHead)
    }

    fn on_event(&self, event: &Event) -> Verdict {
        match event.data() {
            EventData::ConnOpened(_) => {
                self.connections.fetch_add(1, Ordering::Relaxed);
                Verdict::Continue
            }
            EventData::GotResponseHead(head) => match head.framing() {
                Framing::Length(bytes) if bytes > self.max_bytes => {
                    Verdict::Abort("larger than I like".into())
                }
                _ => Verdict::Continue,
            },
            _ => Verdict::Continue,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let peer = Peer::start(
        Script::new().respond_with(|request| match request.target() {
            "/large" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec(),
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall".to_vec(),
        }),
    )?;

    let connections = Arc::new(AtomicU64::new(0));
    let guard = Guard {
        max_bytes: 1_000,
        connections: connections.clone(),
    };
    let client = Client::builder().observe(guard).build()?;
    for path in ["/small", "/large", "/small"] {
        let result = client.get(&peer.url(path))?.send();
        match result.and_then(|mut response| response.text(1_000)) {
            Ok(text) => println!("{path}: {text:?}"),
            Err(error) => println!("{path}: {error}, because it is {}", reason(&error)),
        }
    }
    println!("{} connections", connections.load(Ordering::Relaxed));
    Ok(())
}

fn reason(error: &dyn Error) -> String {
    error.source().map_or_else(String::new, ToString::to_string)
}
