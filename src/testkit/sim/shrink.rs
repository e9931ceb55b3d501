//! Makes a scenario that fails simpler, as long as it still fails.

use crate::flow::call::DetachedDial;
use crate::testkit::sim::answer::{AnswerPlan, Behind, Moment, Shape};
use crate::testkit::sim::link::{Accept, Handshake, Link};
use crate::testkit::sim::proxied::{Proxied, Tongue};
use crate::testkit::sim::scenario::{
    Asks, CallPlan, ConnectionPlan, Named, OriginPlan, ReadPlan, Scenario,
};
use crate::testkit::sim::source::Pace;

/// Tries of one shrinking.
const TRIES_MAX: usize = 5_000;

impl Scenario {
    /// Removes calls, answers, connections and faults, as long as what is left still fails. What is left has the
    /// seed of the whole, and is no longer drawn by it: its `Debug` form says what it is.
    #[must_use]
    pub fn shrink(&self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut best = self.clone();
        let mut tries = 0;
        'simpler: loop {
            for candidate in best.simpler() {
                tries += 1;
                if tries > TRIES_MAX {
                    return best;
                }
                if fails(&candidate) {
                    best = candidate;
                    continue 'simpler;
                }
            }
            return best;
        }
    }

    /// Everything that is one step simpler, the largest steps first.
    fn simpler(&self) -> Vec<Self> {
        let mut simpler = vec![Self {
            detached: DetachedDial::Abort,
            ..self.clone()
        }];
        for place in 0..self.calls.len() {
            if self.calls.len() > 1 {
                let mut next = self.clone();
                next.calls.remove(place);
                simpler.push(next);
            }
        }
        for place in 0..self.origins.len() {
            let is_asked = self.calls.iter().any(|call| call.origin == place);
            if !is_asked {
                let mut next = self.clone();
                next.origins.remove(place);
                for call in &mut next.calls {
                    call.origin -= usize::from(call.origin > place);
                }
                simpler.push(next);
            }
            simpler.extend(origins(&self.origins[place]).into_iter().map(|origin| {
                let mut next = self.clone();
                next.origins[place] = origin;
                next
            }));
        }
        for (place, call) in self.calls.iter().enumerate() {
            simpler.extend(calls(call).into_iter().map(|call| {
                let mut next = self.clone();
                next.calls[place] = call;
                next
            }));
        }
        simpler.retain(|next| next != self);
        simpler
    }
}

fn calls(call: &CallPlan) -> Vec<CallPlan> {
    let with = |change: &dyn Fn(&mut CallPlan)| {
        let mut next = call.clone();
        change(&mut next);
        next
    };
    vec![
        with(&|next| next.cancels_ms = None),
        with(&|next| next.reads = ReadPlan::Whole),
        with(&|next| next.asks = Asks::Get),
        with(&|next| next.starts_ms = 0),
        with(&|next| next.source = Pace::AtOnce),
    ]
}

fn origins(origin: &OriginPlan) -> Vec<OriginPlan> {
    let with = |change: &dyn Fn(&mut OriginPlan)| {
        let mut next = origin.clone();
        change(&mut next);
        next
    };
    let mut simpler = vec![
        with(&|next| next.named = Named::Literal),
        // Never away from the simplest: a step back would be taken again and again.
        with(&|next| match next.named {
            Named::Literal => {}
            _ => next.named = Named::After(0, 0),
        }),
        with(&|next| next.proxied = Proxied::No),
        with(&|next| next.proxied = next.proxied.well_done()),
        with(&|next| next.proxied = next.proxied.over_tcp()),
        // CONNECT is for https.
        with(&|next| match next.proxied {
            Proxied::Tunnel(Tongue::Connect | Tongue::SecureConnect, _) => {}
            Proxied::No | Proxied::Forward | Proxied::Tunnel(Tongue::Socks, _) => next.tls = None,
        }),
        with(&|next| next.tls = next.tls.map(|_| Handshake::Made { trips: 1 })),
    ];
    for (place, address) in origin.addresses.iter().enumerate() {
        if origin.addresses.len() > 1 {
            simpler.push(with(&|next| drop(next.addresses.remove(place))));
        }
        simpler.push(with(&|next| next.addresses[place].is_v6 = false));
        for (number, connection) in address.connections.iter().enumerate() {
            if address.connections.len() > 1 {
                simpler.push(with(&|next| {
                    drop(next.addresses[place].connections.remove(number));
                }));
            }
            simpler.extend(connections(connection).into_iter().map(|simple| {
                with(&|next| {
                    next.addresses[place].connections[number].clone_from(&simple);
                })
            }));
        }
    }
    simpler
}

fn connections(connection: &ConnectionPlan) -> Vec<ConnectionPlan> {
    let with = |change: &dyn Fn(&mut ConnectionPlan)| {
        let mut next = connection.clone();
        change(&mut next);
        next
    };
    let wide = Link::new();
    let mut simpler = vec![
        with(&|next| next.link = Link::new()),
        with(&|next| next.link.cut = None),
        with(&|next| next.link.window = wide.window),
        with(&|next| next.link.segment = wide.segment),
        with(&|next| next.link.spacing = wide.spacing),
        with(&|next| next.link.latency = wide.latency),
        with(&|next| next.link.accept = Accept::Yes),
    ];
    for (place, answer) in connection.answers.iter().enumerate() {
        if connection.answers.len() > 1 {
            simpler.push(with(&|next| {
                next.answers.remove(place);
            }));
        }
        let plain = AnswerPlan {
            shape: Shape::Length,
            content: 5,
            moment: Moment::Asked,
            pause_ms: 0,
            interims: 0,
            behind: Behind::Keep,
        };
        let (shape, content) = (plain.shape, plain.content);
        for simple in [
            plain,
            AnswerPlan { shape, ..*answer },
            AnswerPlan { content, ..*answer },
            AnswerPlan {
                moment: plain.moment,
                ..*answer
            },
            AnswerPlan {
                pause_ms: 0,
                ..*answer
            },
            AnswerPlan {
                interims: 0,
                ..*answer
            },
            AnswerPlan {
                behind: plain.behind,
                ..*answer
            },
        ] {
            simpler.push(with(&|next| next.answers[place] = simple));
        }
    }
    simpler
}
