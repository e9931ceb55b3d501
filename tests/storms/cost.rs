//! What a call of an event loop costs when there are many: about as much as when there are few.

use std::net::IpAddr;
use std::time::Duration;

use wirescope::testkit::{BlackHole, Gate, Peer, Script};
use wirescope::{CancelHandle, ClientBuilder};

use crate::crowd::{Near, OK};
use crate::many::Many;
use crate::{PATIENCE, alone, connections, on_processor};

/// Calls that are many; few are a sixteenth.
const MANY: usize = 4_000;

/// Runs something with few calls and with many, and compares what each of them costs. A cost that grows with the count
/// would be up to sixteen times as much.
#[track_caller]
fn each_costs_the_same(what: &str, run: impl Fn(usize) -> Duration) {
    let alone = alone();
    let many = connections(MANY, 2);
    let few = many / 16;
    let of_few = (0..2).map(|_| run(few)).min().unwrap();
    let mut of_many = run(many);
    // Whoever else was on the processor took its caches too.
    for _ in 0..2 {
        if of_many >= of_few * 4 {
            of_many = of_many.min(run(many));
        }
    }
    alone.nothing_left();
    println!("{what}: {of_few:?} each of {few}, {of_many:?} each of {many}");
    assert!(of_many < of_few * 4, "{what}: {of_many:?}, not {of_few:?}");
}

fn per(took: Duration, calls: usize) -> Duration {
    took / u32::try_from(calls).unwrap()
}

fn serving() -> Peer {
    Peer::start(Script::new().respond_with(|_| OK.to_vec())).unwrap()
}

/// What one call costs beside so many connections of another origin.
fn beside(count: usize, are_idle: bool) -> Duration {
    const CALLS: usize = 500;
    let peer = serving();
    let (mut crowd, mut many) = (Near::start(), Many::new());
    if are_idle {
        many.idle(&mut crowd, count);
    } else {
        many.ask(&mut crowd, count);
    }
    let before = on_processor();
    for _ in 0..CALLS {
        let request = many.client.get(&peer.url("/")).unwrap();
        let ticket = many.event_loop.submit(request).unwrap();
        let done = many.event_loop.next().unwrap().unwrap();
        assert_eq!((done.ticket(), done.status()), (ticket, Some(200)));
    }
    let each = per(on_processor() - before, CALLS);
    many.finish(count + CALLS);
    each
}

#[test]
fn a_call_costs_the_same_beside_many_idle_connections() {
    each_costs_the_same("beside idle connections", |count| beside(count, true));
}

#[test]
fn a_call_costs_the_same_beside_many_calls_that_wait() {
    each_costs_the_same("beside calls that wait", |count| beside(count, false));
}

/// Submits so many calls of one origin, over few connections, and runs them.
fn submitted(
    url: &str,
    count: usize,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Duration {
    let mut many = Many::with(|client| change(client).max_connections_per_origin(4));
    let before = on_processor();
    for _ in 0..count {
        let request = many.client.get(url).unwrap();
        many.event_loop.submit(request).unwrap();
    }
    let done = many.take(count);
    let each = per(on_processor() - before, count);
    assert!(done.iter().all(|done| done.body() == b"ok"));
    many.finish(count);
    each
}

#[test]
fn a_call_costs_the_same_in_a_long_queue() {
    each_costs_the_same("in the queue", |count| {
        let peer = serving();
        submitted(&peer.url("/"), count, |client| client)
    });
}

#[test]
fn a_call_costs_the_same_when_many_wait_for_one_lookup() {
    each_costs_the_same("waiting for a lookup", |count| {
        let peer = serving();
        let url = format!("http://shared.example:{}/", peer.addr().port());
        let gate = Gate::new();
        let asked = gate.clone();
        let resolver = wirescope::resolver::from_fn(move |_| {
            assert!(asked.wait(PATIENCE));
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        });
        let mut many = Many::with(|client| client.resolver(resolver).max_connections(64));
        let before = on_processor();
        for _ in 0..count {
            let request = many.client.get(&url).unwrap();
            many.event_loop.submit(request).unwrap();
        }
        gate.open();
        many.take(count);
        let each = per(on_processor() - before, count);
        many.finish(count);
        each
    });
}

/// What canceled calls wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitFor {
    /// A peer that answers no SYN.
    Connect,
    /// A connection of an origin that has few.
    Connection,
    /// Any connection, each of an origin of its own.
    Any,
}

/// How they are canceled, all at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Ticket,
    /// Each by a handle of its own.
    Handle,
}

/// What canceling so many calls costs each.
fn canceled(count: usize, wait: WaitFor, by: By) -> Duration {
    let hole = BlackHole::bind(([0, 0, 0, 0], 0).into()).unwrap();
    let peer = Peer::start(Script::new().stall()).unwrap();
    let (few, any) = (4, usize::MAX);
    let (per_origin, in_all) = match wait {
        WaitFor::Connect => (any, any),
        WaitFor::Connection => (few, any),
        WaitFor::Any => (any, few),
    };
    let mut many = Many::with(|client| {
        let client = client.max_connections_per_origin(per_origin);
        client.max_connections(in_all)
    });
    let (mut handles, mut tickets) = (Vec::new(), Vec::new());
    for number in 0..count {
        let port = hole.addr().port();
        let url = match wait {
            WaitFor::Connect => format!("http://127.0.0.1:{port}/"),
            WaitFor::Connection => peer.url("/"),
            WaitFor::Any => format!("http://127.1.{}.{}:{port}/", number / 256, number % 256),
        };
        let mut request = many.client.get(&url).unwrap();
        if by == By::Handle {
            handles.push(request.cancel_handle());
        }
        tickets.push(many.event_loop.submit(request).unwrap());
    }
    let before = on_processor();
    match by {
        By::Ticket => {
            let mut tickets = tickets.into_iter();
            assert!(tickets.all(|ticket| many.event_loop.cancel(ticket)));
        }
        By::Handle => handles.iter().for_each(CancelHandle::cancel),
    }
    let done = many.take(count);
    let each = per(on_processor() - before, count);
    let are_canceled = done.iter().all(|done| done.error().unwrap().is_canceled());
    assert!(are_canceled);
    many.finish(count);
    each
}

#[test]
fn a_cancel_by_ticket_costs_the_same_among_many() {
    each_costs_the_same("canceled by ticket", |count| {
        canceled(count, WaitFor::Connect, By::Ticket)
    });
}

#[test]
fn a_cancel_by_a_handle_of_its_own_costs_the_same_among_many() {
    each_costs_the_same("canceled by handle", |count| {
        canceled(count, WaitFor::Connect, By::Handle)
    });
}

#[test]
fn a_cancel_costs_the_same_in_a_long_queue() {
    each_costs_the_same("canceled in the queue", |count| {
        canceled(count, WaitFor::Connection, By::Ticket)
    });
}

#[test]
fn a_cancel_costs_the_same_in_a_long_queue_of_many_origins() {
    each_costs_the_same("canceled in the queue of many origins", |count| {
        canceled(count, WaitFor::Any, By::Ticket)
    });
}
