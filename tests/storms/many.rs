//! Very many calls of one event loop, each on a connection of its own.

use std::time::{Duration, Instant};

use wirescope::event::{EventKind, Events, Interest, Overflow, channel_with};
use wirescope::testkit::check::{Checked, check};
use wirescope::{Client, ClientBuilder, Completion, EventLoop, Request};

use crate::PATIENCE;
use crate::crowd::Crowd;

/// Calls whose connects are under way at once: fewer than a listener lets wait.
const WAVE: usize = 500;

pub(crate) struct Many {
    pub(crate) event_loop: EventLoop,
    pub(crate) client: Client,
    events: Events,
}

impl Many {
    pub(crate) fn new() -> Self {
        Self::with(|client| client)
    }

    pub(crate) fn with(change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
        let client = change(Client::builder())
            .max_idle(usize::MAX)
            .max_idle_per_origin(usize::MAX)
            .idle_timeout(Duration::from_secs(600))
            .observe(observer)
            .build()
            .unwrap();
        let event_loop = EventLoop::new(&client).unwrap();
        Self {
            event_loop,
            client,
            events,
        }
    }

    /// Submits so many calls, and turns until the crowd has their requests.
    pub(crate) fn ask(&mut self, crowd: &mut dyn Crowd, calls: usize) {
        self.ask_by(crowd, calls, |event_loop, request| {
            event_loop.submit(request).unwrap();
        });
    }

    /// As [`Many::ask`], for calls that are submitted in another way.
    pub(crate) fn ask_by(
        &mut self,
        crowd: &mut dyn Crowd,
        calls: usize,
        submit: impl Fn(&mut EventLoop, Request),
    ) {
        let url = crowd.url();
        let before = crowd.count();
        let mut asked = 0;
        while asked < calls {
            let wave = WAVE.min(calls - asked);
            for _ in 0..wave {
                let request = self.client.get(&url).unwrap();
                submit(&mut self.event_loop, request);
            }
            asked += wave;
            self.turn_until(|_| crowd.count() == before + asked);
        }
    }

    /// So many idle connections.
    pub(crate) fn idle(&mut self, crowd: &mut dyn Crowd, connections: usize) {
        self.ask(crowd, connections);
        crowd.answer_all();
        let done = self.take(connections);
        assert!(done.iter().all(|done| done.body() == b"ok"));
        assert_eq!(self.event_loop.pool_stats().total().idle(), connections);
    }

    /// Takes so many completions: there are no more of them.
    pub(crate) fn take(&mut self, calls: usize) -> Vec<Completion> {
        let done: Vec<_> = std::iter::from_fn(|| self.event_loop.next().unwrap()).collect();
        assert_eq!((done.len(), self.event_loop.calls()), (calls, 0));
        done
    }

    /// Turns until something is the case; says how many turns that took.
    #[track_caller]
    pub(crate) fn turn_until(&mut self, mut is_so: impl FnMut(&EventLoop) -> bool) -> usize {
        let begun = Instant::now();
        let mut turns = 0;
        while !is_so(&self.event_loop) {
            assert!(begun.elapsed() < PATIENCE, "it never came");
            let tick = Duration::from_millis(5);
            self.event_loop.turn(Some(tick)).unwrap();
            turns += 1;
        }
        turns
    }

    /// Ends the loop and its client, and judges the events: of so many calls, each with one end.
    #[track_caller]
    pub(crate) fn finish(self, calls: usize) -> Checked {
        let Self {
            event_loop,
            client,
            events,
        } = self;
        drop((event_loop, client));
        let seen = check(&events);
        for (kind, count) in [
            (EventKind::CallStart, calls),
            (EventKind::CallDone, calls),
            (
                EventKind::ConnClosed,
                seen.only(EventKind::ConnOpened).len(),
            ),
        ] {
            assert_eq!(seen.only(kind).len(), count, "{kind}");
        }
        seen
    }
}
