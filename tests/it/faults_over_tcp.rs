//! Random faults over TCP: the scenarios that the simulator draws are played on the loopback interface, many at a time,
//! by the event loop and by the blocking client, and judged by the laws.
//!
//! A failure names its seed; `WIRESCOPE_SEED=… cargo test --all-features --test it faults_over_tcp` plays that one alone.
//! Over TCP it need not fail each time.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wirescope::config::EarlyResponse;
use wirescope::event::{Event, EventData, EventKind, Events, Interest, Overflow, channel_with};
use wirescope::message::fields::Fields;
use wirescope::resolver::from_fn;
use wirescope::testkit::PeerBuilder;
use wirescope::testkit::check::check;
use wirescope::testkit::sim::{Scenario, Secures, Wired, WiredName};
use wirescope::{CancelHandle, Client, ClientBuilder, Error, EventLoop, Ticket};

use crate::harness::{PATIENCE, authority, trusting};

/// Scenarios that are played through the event loop.
const LOOPED: u64 = 2_000;

/// Scenarios that are played by the blocking client.
const BLOCKING: u64 = 600;

/// Scenarios that are played at a time by one client.
const BATCH: u64 = 40;

/// Batches at a time: what they wait for, they wait for together.
const LANES: usize = 5;

/// The limit of each phase.
const LIMIT: Duration = Duration::from_millis(120);

/// How late a deadline may fire on a machine with much else to do.
const LATE: Duration = Duration::from_secs(3);

/// Every so many batches, each event is written out and searched for the secret of all requests.
const SEARCHED: u64 = 8;
const SECRET: &str = "canary-5up3r-53cr3t";

/// What calls came to.
type Outcomes = BTreeMap<&'static str, u64>;

/// One batch.
struct Batch {
    wired: Vec<Wired>,
    client: Client,
    events: Events,
}

/// A call of a batch: of which scenario, and which of its calls.
type Place = (usize, usize);

impl Batch {
    fn new(seeds: std::ops::Range<u64>) -> Self {
        let changes: [fn(ClientBuilder) -> ClientBuilder; 5] = [
            |client| client,
            |client| client.retries(0).early_response(EarlyResponse::Abort),
            |client| client.max_idle_per_origin(1),
            |client| client.max_connections_per_origin(1),
            |client| client.max_connections(30),
        ];
        let change = changes[usize::try_from(seeds.start / BATCH).unwrap() % changes.len()];
        let secure = |peer: PeerBuilder, host: &str, begins| {
            let identity = authority().issue(&[host]).unwrap();
            match begins {
                Secures::OnDemand => peer.tls_on_demand(identity),
                _ => peer.tls(identity),
            }
        };
        let wire = |seed| Scenario::from_seed(seed).wire(&secure).unwrap();
        let wired: Vec<Wired> = seeds.map(wire).collect();
        let names = wired.iter().flat_map(Wired::names);
        let names: BTreeMap<String, WiredName> =
            names.map(|name| (name.host.clone(), name)).collect();
        let resolver = from_fn(move |host| {
            let name = names.get(host).ok_or(std::io::ErrorKind::NotFound)?;
            thread::sleep(name.takes);
            let addresses = name.addresses.clone();
            addresses.ok_or_else(|| std::io::ErrorKind::NotFound.into())
        });
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
        let client = change(Client::builder())
            .observe(observer)
            .resolver(resolver)
            .tls(trusting(authority()))
            .timeouts(|timeouts| {
                timeouts.connect = Some(2 * LIMIT);
                timeouts.expect = LIMIT / 4;
                for limit in [
                    &mut timeouts.lookup,
                    &mut timeouts.tls,
                    &mut timeouts.write_stall,
                    &mut timeouts.first_byte,
                    &mut timeouts.head,
                    &mut timeouts.body_idle,
                ] {
                    *limit = Some(LIMIT);
                }
            })
            .build()
            .unwrap();
        Self {
            wired,
            client,
            events,
        }
    }

    fn places(&self) -> Vec<Place> {
        let each = self.wired.iter().enumerate();
        each.flat_map(|(scenario, wired)| (0..wired.calls()).map(move |call| (scenario, call)))
            .collect()
    }

    /// Judges one call; says what it came to.
    #[track_caller]
    fn judge(
        &self,
        (scenario, call): Place,
        fields: Option<&Fields>,
        body: &[u8],
        error: Option<&Error>,
        redirects: usize,
    ) -> &'static str {
        let wired = &self.wired[scenario];
        if let Err(broken) = wired.judge(call, fields, body, error, redirects) {
            panic!("{broken}");
        }
        error.map_or("response", |error| error.kind().tag())
    }

    /// Ends the client, then the peers, and judges what is left.
    #[track_caller]
    fn finish(self, number: u64) {
        let Self {
            wired,
            client,
            events,
        } = self;
        drop(client);
        let calls: usize = wired.iter().map(Wired::calls).sum();
        for wired in wired {
            if let Err(broken) = wired.finish(PATIENCE) {
                panic!("{broken}");
            }
        }
        let seen = check(&events);
        assert_eq!(seen.only(EventKind::CallStart).len(), calls);
        assert_eq!(seen.only(EventKind::CallDone).len(), calls);
        let opened = seen.only(EventKind::ConnOpened).len();
        assert_eq!(seen.only(EventKind::ConnClosed).len(), opened);
        seen.iter().for_each(judge_event);
        if number % SEARCHED == 0 {
            let secret = seen.find(|event| event.to_string().contains(SECRET));
            assert!(secret.is_none(), "{secret:?}");
        }
    }
}

/// What one event has to say.
#[track_caller]
fn judge_event(event: &Event) {
    match event.data() {
        EventData::TimeoutFired(fired) => {
            let (limit, elapsed) = (fired.limit(), fired.elapsed());
            assert!(elapsed >= limit && elapsed < limit + LATE, "{event}");
        }
        EventData::CallDone(done) => {
            let phases = done.timings().phases();
            let spans = phases.named().into_iter();
            let sum: Duration = spans.filter_map(|(_, span)| span).sum();
            assert_eq!(sum, phases.total, "{event}");
            assert!(done.timings().ttfb_final() <= Some(phases.total), "{event}");
        }
        _ => {}
    }
}

/// Plays a batch through an event loop.
fn through_the_loop(batch: &Batch, outcomes: &mut Outcomes) {
    let mut event_loop = EventLoop::new(&batch.client).unwrap();
    let begun = Instant::now();
    let mut waiting: Vec<(Duration, Place)> = batch
        .places()
        .into_iter()
        .map(|(scenario, call)| (batch.wired[scenario].starts_in(call), (scenario, call)))
        .collect();
    waiting.sort_unstable();
    waiting.reverse();
    let mut running: BTreeMap<Ticket, Place> = BTreeMap::new();
    let mut canceled: Vec<(Instant, Ticket, Option<CancelHandle>)> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while waiting.last().is_some_and(|(at, _)| *at <= begun.elapsed()) {
            let (_, (scenario, call)) = waiting.pop().unwrap();
            let wired = &batch.wired[scenario];
            let mut request = wired.request(&batch.client, call).unwrap();
            // By ticket and by handle in turns.
            let handle = (call % 2 == 0).then(|| request.cancel_handle());
            event_loop.set_body_max(wired.body_max(call).unwrap_or(1 << 20));
            let ticket = event_loop.submit(request).unwrap();
            if let Some(time) = wired.cancels_in(call) {
                canceled.push((Instant::now() + time, ticket, handle));
            }
            running.insert(ticket, (scenario, call));
        }
        canceled.retain(|(at, ticket, handle)| {
            let is_due = *at <= Instant::now();
            match handle {
                Some(handle) if is_due => handle.cancel(),
                None if is_due => drop(event_loop.cancel(*ticket)),
                _ => {}
            }
            !is_due
        });
        event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        while let Some(done) = event_loop.try_next() {
            let place = running.remove(&done.ticket()).expect("it ends once");
            let redirects = done.history().len();
            let came = batch.judge(place, done.fields(), done.body(), done.error(), redirects);
            *outcomes.entry(came).or_default() += 1;
        }
        assert!(
            begun.elapsed() < 3 * PATIENCE,
            "{} never ended",
            running.len()
        );
    }
    let total = event_loop.pool_stats().total();
    assert_eq!(
        (event_loop.calls(), total.active(), total.waiting()),
        (0, 0, 0)
    );
}

/// Plays a batch with the blocking client, each scenario on a thread, its calls one after the other.
fn blocking(batch: &Batch, outcomes: &mut Outcomes) {
    let came = thread::scope(|scope| {
        let threads: Vec<_> = (0..batch.wired.len())
            .map(|scenario| {
                scope.spawn(move || {
                    let calls = 0..batch.wired[scenario].calls();
                    calls
                        .map(|call| blocking_call(batch, (scenario, call)))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let came = threads.into_iter().map(|thread| thread.join().unwrap());
        came.collect::<Vec<_>>().concat()
    });
    for came in came {
        *outcomes.entry(came).or_default() += 1;
    }
    assert_eq!(batch.client.connections().1, 0);
}

fn blocking_call(batch: &Batch, (scenario, call): Place) -> &'static str {
    let wired = &batch.wired[scenario];
    thread::sleep(wired.starts_in(call));
    let mut request = wired.request(&batch.client, call).unwrap();
    let handle = request.cancel_handle();
    thread::scope(|scope| {
        if let Some(time) = wired.cancels_in(call) {
            scope.spawn(move || {
                thread::sleep(time);
                handle.cancel();
            });
        }
        let mut response = match request.send() {
            Ok(response) => response,
            Err(error) => return batch.judge((scenario, call), None, &[], Some(&error), 0),
        };
        let mut body = Vec::new();
        let most = wired.body_max(call).unwrap_or(usize::MAX) as u64;
        let read = response.by_ref().take(most).read_to_end(&mut body);
        let error = read.err().map(|error| {
            let inner = error.into_inner().unwrap();
            *inner.downcast::<Error>().unwrap()
        });
        let (fields, redirects) = (Some(response.fields()), response.history().len());
        batch.judge((scenario, call), fields, &body, error.as_ref(), redirects)
    })
}

/// Plays batches on some threads; says what all calls came to.
fn play(scenarios: u64, through: fn(&Batch, &mut Outcomes)) -> Outcomes {
    if let Ok(seed) = std::env::var("WIRESCOPE_SEED") {
        let seed = seed.parse().unwrap();
        let (batch, mut outcomes) = (Batch::new(seed..seed + 1), Outcomes::new());
        through(&batch, &mut outcomes);
        batch.finish(0);
        return outcomes;
    }
    let (begun, next) = (Instant::now(), AtomicU64::new(0));
    let lane = || {
        let mut outcomes = Outcomes::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let first = number * BATCH;
            if first >= scenarios {
                return outcomes;
            }
            let batch = Batch::new(first..first + BATCH);
            through(&batch, &mut outcomes);
            batch.finish(number);
        }
    };
    let mut all = Outcomes::new();
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            for (came, count) in lane.join().unwrap() {
                *all.entry(came).or_default() += count;
            }
        }
    });
    println!("{scenarios} scenarios in {:?}: {all:?}", begun.elapsed());
    // Nothing is proven by scenarios that all end in the same way.
    for came in [
        "response", "timeout", "io", "connect", "lookup", "tls", "canceled",
    ] {
        assert!(
            all.get(came).is_some_and(|count| *count > 5),
            "{came}: {all:?}"
        );
    }
    all
}

#[test]
fn random_faults_over_tcp_break_no_law_of_the_event_loop() {
    play(LOOPED, through_the_loop);
}

#[test]
fn random_faults_over_tcp_break_no_law_of_the_blocking_client() {
    play(BLOCKING, blocking);
}
