//! A cancel at every event of a call: by each way, by both doors, and whatever the call is doing then. It ends once, as
//! canceled, and its connection with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::version::TLS13;
use wirescope::event::{Event, EventKind, Interest, Observer, Verdict};
use wirescope::testkit::Relay;
use wirescope::testkit::check::check;
use wirescope::{CancelHandle, Client, Error, EventLoop, Proxy, Request};

use crate::cuts::wire::{Over, Wire, config};
use crate::harness::{authority, trusting};
use crate::support::{Server, watched};
use crate::ways::Way;

/// Cancels at one of the events, counted from 0.
#[derive(Debug)]
struct Canceler {
    handle: CancelHandle,
    left: AtomicUsize,
}

impl Observer for Canceler {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, _: &Event) -> Verdict {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.handle.cancel();
        }
        Verdict::Continue
    }
}

/// By which door the call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Client,
    Loop,
}

/// What is asked, and what the server says.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Get,
    Post,
    Upgrade,
}

impl Asked {
    fn request(self, client: &Client, url: &str) -> Request {
        match self {
            Self::Get => client.get(url).unwrap(),
            Self::Post => client.post(url).unwrap().body("hello").expect_continue(),
            Self::Upgrade => client.get(url).unwrap().upgrade("echo").unwrap(),
        }
    }

    fn answers(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
            Self::Post => &[
                "HTTP/1.1 100 Continue\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            ],
            Self::Upgrade => &["HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhello"],
        }
    }

    fn serve(self, wire: &mut Wire) -> Result<(), Over> {
        wire.shake_hands(|_| ())?;
        wire.head()?;
        for (place, answer) in self.answers().iter().enumerate() {
            if place > 0 {
                wire.skip("hello".len())?;
            }
            wire.send(answer.as_bytes(), |_| ())?;
        }
        wire.head().map(drop)
    }
}

fn send(request: Request, client: &Client, door: Door) -> Result<Vec<u8>, Error> {
    match door {
        Door::Client => {
            let mut response = request.send()?;
            if response.is_upgraded() {
                return response.upgrade().map(|_| Vec::new());
            }
            response.collect(100)
        }
        Door::Loop => {
            let mut event_loop = EventLoop::new(client)?;
            event_loop.submit(request)?;
            let done = event_loop.next()?.unwrap().into_result()?;
            if done.is_upgraded() {
                return done.upgrade().map(|_| Vec::new());
            }
            Ok(done.into_body())
        }
    }
}

/// Cancels at every event of such a call, one after the other; says how many calls that were.
fn everywhere(way: Way, is_tls: bool, has_relay: bool, asked: Asked, door: Door) -> usize {
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    let tls = config(&identity, &TLS13);
    let server = Server::start(move |mut stream| {
        if way.open(&mut stream).is_err() {
            return;
        }
        let mut wire = match is_tls {
            true => Wire::sealed(stream, &tls, usize::MAX),
            false => Wire::plain(stream),
        };
        let _ = asked.serve(&mut wire);
    });
    let relay = has_relay.then(|| {
        let identity = authority().issue(&["127.0.0.1"]).unwrap();
        Relay::https(identity).start().unwrap()
    });
    let url = format!("{}://{}/", way.scheme(is_tls), server.addr());
    for number in 0.. {
        let (client, events) = watched(|client| {
            let client = client.tls(trusting(authority()));
            match &relay {
                None => way.through(client, server.addr(), is_tls),
                Some(relay) => client.proxy(Proxy::parse(&relay.url()).unwrap()),
            }
        });
        let mut request = asked.request(&client, &url);
        let handle = request.cancel_handle();
        let request = request.observe(Canceler {
            handle: handle.clone(),
            left: AtomicUsize::new(number),
        });
        let result = send(request, &client, door);
        let point = format!("{way:?} tls={is_tls} {asked:?} {door:?} at event {number}");
        if let Err(error) = &result {
            assert!(error.is_canceled(), "{point}: {error:?}");
            assert_eq!(client.connections(), (0, 0), "{point}");
        }
        drop(client);
        let seen = check(&events);
        assert_eq!(seen.only(EventKind::CallDone).len(), 1, "{point}");
        let is_told = seen.only(EventKind::CallCanceled).len();
        assert_eq!(is_told, usize::from(result.is_err()), "{point}");
        if result.is_ok() {
            // All was there by then, or the call has fewer events.
            assert_eq!(seen.only(EventKind::GotResponseHead).len(), 1, "{point}");
        }
        if !handle.is_canceled() {
            return number;
        }
    }
    unreachable!("a call has an end")
}

fn in_each(ways: &[(Way, bool, bool)]) {
    for &(way, is_tls, has_relay) in ways {
        for asked in [Asked::Get, Asked::Post, Asked::Upgrade] {
            // For another protocol, an http proxy is asked for a tunnel, which is not what it does here.
            if way == Way::Forward && matches!(asked, Asked::Upgrade) {
                continue;
            }
            for door in [Door::Client, Door::Loop] {
                let count = everywhere(way, is_tls, has_relay, asked, door);
                println!("{way:?} tls={is_tls} {asked:?} {door:?}: {count} cancels");
                assert!(count >= 15, "{count}");
            }
        }
    }
}

#[test]
fn a_cancel_at_any_event_ends_a_call_once() {
    in_each(&[(Way::Direct, false, false), (Way::Direct, true, false)]);
}

/// What a cancel did to the socket was told for its cause while a proxy was asked for a tunnel.
#[test]
fn a_cancel_at_any_event_ends_a_call_through_a_proxy_once() {
    in_each(&[
        (Way::Forward, false, false),
        (Way::Forward, true, false),
        (Way::Connect, true, false),
        (Way::Socks, false, false),
        (Way::Socks, true, false),
        (Way::Direct, true, true),
    ]);
}
