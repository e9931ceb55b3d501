//! The event loop, used as its documentation says: a call is submitted for each that completes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use wirescope::body::BodySink;
use wirescope::event::{Event, Interest, Observer, ObserverRef, Verdict};
use wirescope::{Client, Completion, EventLoop, TlsConfig, Url};

use crate::concurrency::Outcome;
use crate::concurrency::answers::Path;
use crate::concurrency::crowd::{Crowd, Tally};

/// Connections that are begun between two turns, so that those that wait for being accepted stay few.
const STEP: usize = 128;

/// How long a dial takes at the most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any measurement.
const IDLE: Duration = Duration::from_secs(3600);

/// A client and its event loop.
pub(super) struct Calls {
    client: Client,
    event_loop: EventLoop,
    scheme: &'static str,
    addr: SocketAddr,
    /// Whether content is thrown away as it comes.
    sinks: bool,
    told: Option<Told>,
}

/// Throws content away.
struct Discard;

impl BodySink for Discard {
    fn poll_write(&mut self, content: &[u8], _: &Waker) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(content.len()))
    }
}

/// Counts what it is told, of every kind.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<AtomicU64>);

impl Observer for Told {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, _: &Event) -> Verdict {
        self.0.fetch_add(1, Ordering::Relaxed);
        Verdict::Continue
    }
}

impl Calls {
    pub(super) fn new(
        addr: SocketAddr,
        authority: Option<&str>,
        connections: usize,
        told: Option<Told>,
    ) -> Outcome<Self> {
        let mut builder = Client::builder()
            .max_idle(connections)
            .max_idle_per_origin(connections)
            .idle_timeout(IDLE)
            .resolve_override("*", addr.port(), &[addr.ip()])?;
        if let Some(told) = &told {
            builder = builder.observe(ObserverRef::new(told.clone()));
        }
        let mut scheme = "http";
        if let Some(pem) = authority {
            let tls = TlsConfig::new().builtin_roots(false).add_ca_pem(pem)?;
            builder = builder.tls(tls);
            scheme = "https";
        }
        let client = builder.build()?;
        Ok(Self {
            event_loop: EventLoop::new(&client)?,
            client,
            scheme,
            addr,
            sinks: false,
            told,
        })
    }

    /// It is parsed once, as what the others send is made once.
    fn url(&self, path: Path) -> Outcome<Url> {
        let text = format!("{}://{}{}", self.scheme, self.addr, path.target());
        Ok(Url::parse(&text)?)
    }

    /// The same server by another name: calls for one name do not use the connections of another.
    fn url_by_name(&self, name: usize, path: Path) -> Outcome<Url> {
        let (scheme, port) = (self.scheme, self.addr.port());
        let text = format!("{scheme}://{name}.crowd.test:{port}{}", path.target());
        Ok(Url::parse(&text)?)
    }

    /// The same, with sinks that throw content away, as the others do.
    pub(super) fn into_sinks(self) -> Self {
        Self {
            sinks: true,
            ..self
        }
    }

    fn submit(&mut self, url: &Url) -> Outcome<()> {
        let request = self.client.get(url)?;
        if self.sinks {
            self.event_loop.submit_to(request, Discard)?;
        } else {
            self.event_loop.submit(request)?;
        }
        Ok(())
    }

    /// Takes the next completion, if there is a call left.
    fn next(&mut self, path: Path) -> Outcome<Option<()>> {
        let Some(done) = self.event_loop.next()? else {
            return Ok(None);
        };
        check(&done, path).map(Some)
    }

    fn idle(&self) -> usize {
        self.event_loop.pool_stats().total().idle()
    }

    fn are_idle(&self, connections: usize) -> Outcome<()> {
        match self.idle() {
            idle if idle == connections => Ok(()),
            idle => Err(format!("{idle} connections are idle, not {connections}").into()),
        }
    }
}

fn check(done: &Completion, path: Path) -> Outcome<()> {
    let is_whole = done.error().is_none() && done.body_bytes() == path.body_length() as u64;
    if done.status() != Some(200) || !is_whole {
        return Err(format!("{done:?} has {} bytes", done.body_bytes()).into());
    }
    Ok(())
}

impl Crowd for Calls {
    fn open(&mut self, connections: usize) -> Outcome<()> {
        let url = self.url(Path::Tiny)?;
        let mut wanted = 0;
        while wanted < connections {
            wanted = connections.min(wanted + STEP);
            for _ in self.event_loop.calls()..wanted {
                self.submit(&url)?;
            }
            if wanted < connections {
                self.event_loop.turn(Some(Duration::ZERO))?;
                while let Some(done) = self.event_loop.try_next() {
                    check(&done, Path::Tiny)?;
                }
            }
        }
        while self.next(Path::Tiny)?.is_some() {}
        self.are_idle(connections)
    }

    fn open_few_at_once(&mut self, connections: usize) -> Outcome<()> {
        let mut opened = 0;
        while opened < connections {
            let url = self.url_by_name(opened / STEP, Path::Tiny)?;
            opened = connections.min(opened + STEP);
            for _ in self.idle()..opened {
                self.submit(&url)?;
            }
            while self.next(Path::Tiny)?.is_some() {}
            // A call that was served by the connection of another has left its dial.
            let begun = Instant::now();
            while self.idle() < opened && begun.elapsed() < PATIENCE {
                self.event_loop.turn(Some(Duration::from_millis(10)))?;
            }
        }
        self.are_idle(connections)
    }

    fn keep(&mut self, path: Path, in_flight: usize, tally: &Rc<dyn Tally>) -> Outcome<()> {
        let url = self.url(path)?;
        let (mut ended, before) = (0, self.told.as_ref().map(Told::count));
        for _ in 0..in_flight {
            self.submit(&url)?;
        }
        while self.next(path)?.is_some() {
            ended += 1;
            if tally.ended() {
                self.submit(&url)?;
            }
        }
        if let (Some(told), Some(before)) = (&self.told, before) {
            let events = (told.count() - before) / ended;
            if events < 12 {
                return Err(format!("{events} events for a call are too few").into());
            }
        }
        self.are_idle(in_flight)
    }

    fn hold(
        &mut self,
        connections: usize,
        are_held: &mut dyn FnMut() -> Outcome<bool>,
    ) -> Outcome<()> {
        for number in 0..connections {
            let url = self.url_by_name(number / STEP, Path::Hold)?;
            self.submit(&url)?;
            if number % STEP == 0 {
                self.event_loop.turn(Some(Duration::ZERO))?;
            }
        }
        while !are_held()? {
            self.event_loop.turn(Some(Duration::from_millis(10)))?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome<()> {
        let held = self.event_loop.calls();
        while self.next(Path::Hold)?.is_some() {}
        self.are_idle(held)
    }

    fn rest(&mut self, time: Duration) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.event_loop.turn(Some(Duration::from_secs(1)))?;
        }
        Ok(())
    }
}

impl Told {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
