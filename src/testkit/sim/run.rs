//! What happens, happening by happening: each is handed to whom it concerns, and then everybody goes on who has
//! something to do at that moment.

use crate::flow::action::{DialInput, Input};
use crate::testkit::sim::happening::{Due, Happening};
use crate::testkit::sim::interpreter::{Place, Stage};
use crate::testkit::sim::link::Handshake;
use crate::testkit::sim::network::{StreamId, Way};
use crate::testkit::sim::outcome::Outcome;
use crate::testkit::sim::player;
use crate::testkit::sim::{Sim, Simulated};

impl Sim {
    pub(super) fn is_running(&self) -> bool {
        let is_running = |call: &Simulated| matches!(call, Simulated::Running(_));
        self.calls.iter().rev().any(is_running)
    }

    /// Lets everybody go on who has something to do at this moment.
    pub(super) fn settle(&mut self) {
        while let Some(due) = self.world.planner.next_due() {
            match due {
                Due::Call(number) => self.with_call(number, |stage| {
                    if matches!(stage.actor.place, Place::Waiting(_)) {
                        stage.go();
                    }
                }),
                Due::Player(stream) => self.play(stream),
                Due::Gates => self.open_gates(),
            }
        }
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Begin(number) => self.begin(number),
            Happening::Deadline(number) => self.with_call(number, |stage| {
                stage.actor.timer = None;
                if matches!(stage.actor.place, Place::Waiting(_)) {
                    stage.go();
                }
            }),
            Happening::Read(number) => self.with_call(number, |stage| {
                if stage.actor.place == Place::WithCaller && stage.read() {
                    stage.go();
                }
            }),
            Happening::Pull(number, max, is_first) => self.with_call(number, |stage| {
                stage.pulled(max, is_first);
                stage.go();
            }),
            Happening::Supply(number) => {
                self.with_call(number, |stage| stage.supplied());
                self.world.planner.wake(Due::Call(number));
            }
            Happening::Cancel(number) => {
                self.with_call(number, |stage| stage.actor.cancel.cancel());
                self.world.planner.wake(Due::Call(number));
            }
            Happening::Connected(stream) => self.connected(stream),
            Happening::Arrive(stream, way) => {
                self.world.net.streams[stream].arrive(stream, way, &mut self.world.planner);
                match way {
                    Way::Up => self.world.planner.wake(Due::Player(stream)),
                    Way::Down => self.arrived(stream),
                }
            }
            Happening::Room(stream, Way::Up) => {
                self.world.net.streams[stream].up.credited();
                self.wake_owner(stream);
            }
            Happening::Room(stream, Way::Down) => {
                self.world.net.streams[stream].down.credited();
                self.world.planner.wake(Due::Player(stream));
            }
            Happening::Hello(stream) => {
                self.world.net.streams[stream].asked_for_tls();
                self.world.planner.wake(Due::Player(stream));
            }
            Happening::Secured(stream) => {
                let player = self.world.net.streams[stream].player.as_ref();
                let said = player.and_then(|player| player.tls());
                self.secured(stream, said);
            }
            Happening::Answer(host, flight, family) => {
                let outcome = self.world.names.answer(&host, family);
                let now = self.world.now();
                let lookup = &mut self.world.lookup;
                let delivery = lookup.family_done(&host, flight, family, outcome, now);
                for (_, number) in delivery.to {
                    let letter = DialInput::Resolved {
                        family,
                        outcome: delivery.outcome.clone(),
                        coalesced: delivery.coalesced,
                    };
                    self.with_call(number, |stage| stage.actor.letters.push_back(letter));
                    self.world.planner.wake(Due::Call(number));
                }
            }
            Happening::Play(stream) => {
                if let Some(player) = &mut self.world.net.streams[stream].player {
                    player.looked();
                }
                self.play(stream);
            }
        }
    }

    fn begin(&mut self, number: usize) {
        let elapsed = self.elapsed();
        self.with_call(number, |stage| {
            stage.actor.started = elapsed;
            if let Some(time) = stage.actor.caller.cancels {
                let cancel = Happening::Cancel(number);
                stage.world.planner.plan_in(time, cancel);
            }
            stage.input(Input::Start);
            stage.go();
        });
    }

    /// Lets something be done with a call that runs, and keeps what became of it if that was its end.
    fn with_call(&mut self, number: usize, act: impl FnOnce(&mut Stage<'_>)) {
        let elapsed = self.elapsed();
        let Some(Simulated::Running(actor)) = self.calls.get_mut(number) else {
            return;
        };
        let world = &mut self.world;
        act(&mut Stage { actor, world });
        if actor.place == Place::Over {
            let trailers = actor.call.trailers().cloned();
            self.calls[number] = Simulated::Ended(Box::new(Outcome {
                started: actor.started,
                ended: elapsed,
                head: actor.reader.head.take(),
                body: std::mem::take(&mut actor.reader.body),
                trailers,
                is_reused: actor.call.reached().is_some_and(|reached| reached.reused),
                redirects: actor.reader.redirects,
                error: actor.reader.error.take(),
            }));
        }
        self.take_over();
    }

    /// Takes over the dials that go on without their calls.
    fn take_over(&mut self) {
        while let Some(parted) = self.world.parted.pop_front() {
            self.world.planner.wake(Due::Call(parted.number));
            self.calls.push(Simulated::Running(parted));
        }
    }

    fn wake_owner(&mut self, stream: StreamId) {
        if let Some(owner) = self.world.net.streams[stream].owner {
            self.world.planner.wake(Due::Call(owner));
        }
    }

    fn connected(&mut self, id: StreamId) {
        let planner = &mut self.world.planner;
        let Some(result) = self.world.net.connected(id, planner) else {
            return;
        };
        planner.wake(Due::Player(id));
        if let Some(owner) = self.world.net.streams[id].owner {
            self.with_call(owner, |stage| stage.connected(id, result));
        }
        self.wake_owner(id);
    }

    /// Something came to a client: it may break a handshake that is under way.
    fn arrived(&mut self, stream: StreamId) {
        self.secured(stream, None);
    }

    fn secured(&mut self, stream: StreamId, said: Option<Handshake>) {
        if let Some(owner) = self.world.net.streams[stream].owner {
            self.with_call(owner, |stage| stage.secured(stream, said));
        }
        self.wake_owner(stream);
    }

    fn play(&mut self, id: StreamId) {
        let stream = &mut self.world.net.streams[id];
        let Some(mut player) = stream.player.take() else {
            return;
        };
        player.play(&mut player::Stage {
            stream,
            planner: &mut self.world.planner,
            record: &mut self.world.record,
        });
        self.world.net.streams[id].player = Some(player);
    }

    fn open_gates(&mut self) {
        for id in 0..self.world.net.streams.len() {
            let player = self.world.net.streams[id].player.as_ref();
            if player.is_some_and(|player| player.is_at_gate()) {
                self.play(id);
            }
        }
    }
}
