//! Calls through either door, judged by the grammar at the end.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use wirescope::event::grammar::Grammar;
use wirescope::event::{Events, Interest, Overflow, channel_with};
use wirescope::message::fields::Fields;
use wirescope::message::range::Partial;
use wirescope::message::tls::TlsFacts;
use wirescope::testkit::Script;
use wirescope::testkit::check::{Checked, check_with};
use wirescope::{Client, ClientBuilder, Error, EventLoop, Parts, Request, Upgraded};

use super::LARGE;
use crate::harness::{authority, trusting};
use crate::nginx::{assert_same, content};

/// By which a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Client,
    Loop,
}

pub(super) const DOORS: [Door; 2] = [Door::Client, Door::Loop];

/// A client behind a door, whose events are kept.
pub(super) struct Caller {
    pub(super) client: Client,
    events: Events,
    looped: Option<EventLoop>,
}

/// A response read to its end.
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<Fields>,
    pub(super) reused: bool,
    pub(super) tls: Option<Arc<TlsFacts>>,
}

impl Got {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Caller {
    /// A client that trusts the authority of the tests, with these settings.
    pub(super) fn new(door: Door, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
        let client = Client::builder()
            .observe(observer)
            .tls(trusting(authority()));
        let client = change(client).build().unwrap();
        let looped = (door == Door::Loop).then(|| {
            let mut event_loop = EventLoop::new(&client).unwrap();
            event_loop.set_body_max(2 * LARGE);
            event_loop
        });
        Self {
            client,
            events,
            looped,
        }
    }

    pub(super) fn get(&self, url: &str) -> Request {
        self.client.get(url).unwrap()
    }

    pub(super) fn post(&self, url: &str) -> Request {
        self.client.post(url).unwrap()
    }

    /// Sends a request and reads the answer to its end.
    pub(super) fn send(&mut self, request: Request) -> Result<Got, Error> {
        let Some(event_loop) = &mut self.looped else {
            let mut response = request.send()?;
            let body = response.collect(2 * LARGE)?;
            return Ok(Got {
                status: response.status(),
                fields: response.fields().clone(),
                body,
                trailers: response.trailers().cloned(),
                reused: response.is_connection_reused(),
                tls: response.tls().cloned(),
            });
        };
        event_loop.submit(request)?;
        let done = event_loop.next()?.unwrap().into_result()?;
        Ok(Got {
            status: done.status().unwrap(),
            fields: done.fields().unwrap().clone(),
            trailers: done.trailers().cloned(),
            reused: done.is_connection_reused(),
            tls: done.tls().cloned(),
            body: done.into_body(),
        })
    }

    /// Sends a request for ranges: what came, and its parts as they came.
    pub(super) fn parts(&mut self, request: Request) -> (Partial, Pieces) {
        let Some(event_loop) = &mut self.looped else {
            let mut response = request.send().unwrap();
            let partial = response.partial().unwrap();
            return (partial, pieces(response.parts().unwrap()));
        };
        event_loop.submit(request).unwrap();
        let done = event_loop.next().unwrap().unwrap();
        let partial = done.partial().unwrap().unwrap();
        (partial, pieces(done.parts().unwrap()))
    }

    /// Sends a request that asks for another protocol, and gives the stream.
    pub(super) fn upgrade(&mut self, request: Request) -> Result<Upgraded, Error> {
        match &mut self.looped {
            None => request.send()?.upgrade(),
            Some(event_loop) => {
                event_loop.submit(request)?;
                event_loop.next()?.unwrap().into_result()?.upgrade()
            }
        }
    }

    /// Ends the client; what was told, which has to be a legal stream.
    #[track_caller]
    pub(super) fn finish(self) -> Checked {
        let Self {
            client,
            events,
            looped,
        } = self;
        drop((looped, client));
        let mut grammar = Grammar::new().strict_seq();
        let told = check_with(grammar.clone(), &events);
        for event in told.iter() {
            grammar.event(event).unwrap();
        }
        if let Err(violation) = grammar.finish_all() {
            panic!("{violation}\n{}", told.transcript());
        }
        told
    }
}

/// Parts of a representation, each with its first position.
pub(super) type Pieces = Vec<(u64, Vec<u8>)>;

fn pieces<R: Read>(mut parts: Parts<R>) -> Pieces {
    let mut pieces = Vec::new();
    while let Some(mut part) = parts.next_part().unwrap() {
        let mut content = Vec::new();
        let first = part.range().first();
        part.read_to_end(&mut content).unwrap();
        pieces.push((first, content));
    }
    pieces
}

/// A peer that speaks websocket, to the key that [`speak`] sends (RFC 6455 §1.3), and then echoes.
pub(super) fn websocket() -> Script {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    Script::new().expect_head().send(answer).echo().close()
}

/// Asks for websocket, says something and hears it again.
#[track_caller]
pub(super) fn speak(caller: &mut Caller, url: &str) {
    let mut request = caller.get(url).upgrade("websocket").unwrap();
    for (name, value) in [
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        request = request.header(name, value).unwrap();
    }
    let mut stream = caller.upgrade(request).unwrap();
    let said = content(100_000);
    for piece in said.chunks(10_000) {
        stream.write_all(piece).unwrap();
        let mut heard = vec![0; piece.len()];
        stream.read_exact(&mut heard).unwrap();
        assert_same(&heard, piece, "an echo");
    }
}

/// Makes calls with pauses, none of which may fail, until one needs another connection because the server ended the
/// idle one.
#[track_caller]
pub(super) fn until_another(caller: &mut Caller, url: &str) {
    let first = caller.send(caller.get(url)).unwrap();
    assert_eq!((first.status, first.reused), (200, false));
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(1_300));
        let next = caller.send(caller.get(url)).unwrap();
        assert_eq!(next.status, 200);
        if !next.reused {
            return;
        }
    }
    panic!("the server never ends an idle connection");
}
