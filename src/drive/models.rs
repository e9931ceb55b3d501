//! A model of handing a connection over, as [`crate::net::models`] has others: the pool of an engine, and the slot
//! by which a call that waits is woken.

#![cfg(loom)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use loom::thread;

use crate::client::Client;
use crate::drive::engine::{Engine, next_call, next_connection};
use crate::drive::lease::Idle;
use crate::drive::outlook::News;
use crate::drive::pool::Gone;
use crate::flow::connection::Connection;
use crate::flow::pool::{Cause, Found, Heard, Key, Lifespan, Mail, Wish};
use crate::ids::CallId;
use crate::message::close::CloseReason;
use crate::message::url::Url;
use crate::message::via::Destination;
use crate::net::cancel::CancelHandle;
use crate::net::clock;
use crate::net::models::model;
use crate::net::park::Parker;
use crate::net::setup::SocketSetup;
use crate::net::socket::Unconnected;
use crate::net::transport::Transport;

fn url() -> Url {
    Url::parse("http://a.test/").unwrap()
}

/// A client whose one connection is on loan.
fn client() -> Client {
    let client = Client::builder().max_connections(1).build().unwrap();
    let (engine, call) = (client.engine(), next_call());
    let (_, answer) = engine.take_idle(
        Destination::straight(&url()),
        call,
        Wish::Any,
        News::Unknown,
        clock::now(),
    );
    assert_eq!((answer.idle, answer.active), (0, 0));
    engine.dialed(call, true, clock::now());
    client
}

/// That connection; its socket leads nowhere.
fn connection() -> Idle {
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let socket = Unconnected::open(remote, &SocketSetup::default())
        .unwrap()
        .into_socket(None)
        .unwrap();
    let now = clock::now();
    Idle {
        stream: Transport::plain(socket),
        connection: Box::new(Connection {
            id: next_connection(),
            key: Arc::new(Key::of(Destination::straight(&url()))),
            remote: remote.into(),
            local: None,
            tls: None,
            opened: now,
            lifespan: Lifespan::default(),
            requests: 1,
            bytes_out: 0,
            bytes_in: 0,
            idle_since: Some(now),
            peer_keeps: None,
            peer_takes: None,
            version: None,
            last_event: 0,
            seq: 0,
        }),
    }
}

/// A call that waits on its thread.
struct Waiter {
    call: CallId,
    ear: CancelHandle,
    parker: Arc<Parker>,
}

impl Waiter {
    fn new() -> Self {
        let mut waiter = Self {
            call: next_call(),
            ear: CancelHandle::default(),
            parker: Arc::default(),
        };
        waiter.sleep_anew();
        waiter
    }

    /// Gets a new place to sleep.
    fn sleep_anew(&mut self) {
        self.parker = Arc::default();
        let (call, parker) = (self.call.get(), self.parker.clone());
        self.ear.block_on_parker(call, parker);
    }

    /// Joins the queue; something may be there by now.
    fn join(&self, engine: &Engine) -> Option<Mail<Idle>> {
        let (cause, alarm) = ((Cause::Limits, Wish::Any), self.ear.listen());
        let (joined, generation) = engine.join_pool(
            Destination::straight(&url()),
            self.call,
            cause,
            alarm,
            clock::now(),
        );
        match joined.found {
            Found::MustWait(_) => None,
            Found::Idle(idle) => Some(Mail::Handed(idle, generation)),
            Found::MayDial => Some(Mail::MayDial),
        }
    }

    /// Waits until there is mail, as a call in the queue does.
    fn wait(&self, engine: &Engine) -> Mail<Idle> {
        loop {
            let alarm = self.ear.listen();
            if let Heard::Mail(mail) = engine.listen(self.call, alarm) {
                return mail;
            }
            assert!(self.parker.wait(None));
            self.ear.stop_listening();
            if let Some(mail) = engine.read_mail(self.call) {
                return mail;
            }
        }
    }

    /// What comes late finds a call that does something else by now.
    fn is_left_alone(&mut self) -> bool {
        self.ear.stop_listening();
        self.sleep_anew();
        thread::yield_now();
        !self.is_woken()
    }

    fn is_woken(&self) -> bool {
        self.parker.wait(Some(crate::testing::origin()))
    }
}

#[test]
fn model_a_call_that_waits_gets_the_connection_that_comes_back() {
    model(|| {
        let client = client();
        let returning = client.clone();
        let idle = connection();
        let id = idle.connection.id;
        let returner = thread::spawn(move || returning.engine().put(idle, 0, clock::now()));
        let mut waiter = Waiter::new();
        let joined = waiter.join(client.engine());
        let mail = joined.unwrap_or_else(|| waiter.wait(client.engine()));
        assert!(matches!(&mail, Mail::Handed(idle, _) if idle.connection.id == id));
        assert!(waiter.is_left_alone());
        returner.join().unwrap();
        assert!(!waiter.is_woken(), "a late alarm touched the next wait");
        assert_eq!(client.connections(), (0, 1));
    });
}

#[test]
fn model_a_late_alarm_ends_no_later_wait_of_the_same_slot() {
    model(|| {
        let client = client();
        let returning = client.clone();
        let idle = connection();
        let returner = thread::spawn(move || returning.engine().put(idle, 0, clock::now()));
        let mut waiter = Waiter::new();
        let joined = waiter.join(client.engine());
        joined.unwrap_or_else(|| waiter.wait(client.engine()));
        waiter.sleep_anew();
        let _of_the_next_wait = waiter.ear.listen();
        returner.join().unwrap();
        assert!(!waiter.is_woken());
    });
}

#[test]
fn model_what_is_left_for_a_call_that_leaves_goes_on() {
    model(|| {
        let client = client();
        let returning = client.clone();
        let idle = connection();
        let returner = thread::spawn(move || returning.engine().put(idle, 0, clock::now()));
        let other = client.clone();
        let leaver = thread::spawn(move || {
            let waiter = Waiter::new();
            if let Some(Mail::Handed(idle, generation)) = waiter.join(other.engine()) {
                other.engine().put(idle, generation, clock::now());
            } else {
                other.engine().leave_pool(waiter.call, clock::now());
            }
        });
        let waiter = Waiter::new();
        let joined = waiter.join(client.engine());
        let mail = joined.unwrap_or_else(|| waiter.wait(client.engine()));
        assert!(matches!(mail, Mail::Handed(..)));
        leaver.join().unwrap();
        returner.join().unwrap();
        assert_eq!(client.connections(), (0, 1));
    });
}

#[test]
fn model_a_connection_that_dies_leaves_its_place_to_who_waits() {
    model(|| {
        let client = client();
        let closing = client.clone();
        let idle = connection();
        let closer = thread::spawn(move || {
            let gone = Gone::of(&idle.connection, CloseReason::PeerClose);
            closing.engine().closed(gone, clock::now());
        });
        let waiter = Waiter::new();
        let joined = waiter.join(client.engine());
        let mail = joined.unwrap_or_else(|| waiter.wait(client.engine()));
        assert!(matches!(mail, Mail::MayDial));
        closer.join().unwrap();
        client.engine().dialed(waiter.call, false, clock::now());
        assert_eq!(client.connections(), (0, 0));
    });
}
