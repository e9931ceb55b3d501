//! A name that is looked up here for a proxy: SOCKS5 that is given addresses (RFC 1928 §4).
//!
//! It comes first, and only then the proxy is looked up and dialed. The proxy is given the address that would be tried
//! first without it: the order of families, routes and the caller's guard count, and there is no race. All of this holds
//! for a host that is an address too.

use crate::error::Timer;
use crate::flow::action::Action;
use crate::flow::dial::candidates::Candidates;
use crate::flow::dial::naming::lookup_error;
use crate::flow::dial::pace::Pace;
use crate::flow::dial::target::{Names, Target};
use crate::flow::dial::{Dial, State, Step};
use crate::flow::timers::Timers;
use crate::message::answer::{Address, Family};
use crate::proto::Turn;

/// What lies behind a proxy and is looked up before it.
#[derive(Debug)]
pub(crate) struct Beyond {
    pub(crate) target: Target,
    /// Where the addresses of the proxy come from, when it is its turn.
    pub(crate) then: Names,
}

impl Dial {
    /// Whose addresses are looked up: what lies behind the proxy, as long as it has none, then whoever is dialed.
    pub(super) fn named(&self) -> &Target {
        (self.beyond.as_ref()).map_or(&self.facts.target, |beyond| &beyond.target)
    }

    /// What is to be done for the address that the proxy is given, if it is its turn.
    pub(super) fn look_beyond(&mut self, turn: &mut Turn<'_>, timers: &mut Timers) -> Option<Step> {
        let port = self.beyond.as_ref()?.target.port;
        match &self.state {
            State::Asking => {
                self.state = State::Resolving;
                Some(Step::Do(Action::Resolve))
            }
            State::Nameless(failure) => {
                let host = self.named().host.clone();
                let error = lookup_error(failure.clone()).about(&host);
                Some(Step::Failed(self.failed_for(error, turn.now, turn.emitter)))
            }
            State::Resolving if !self.may_race(turn.now) => Some(Step::Wait(self.asked_v6_until())),
            State::Resolving | State::Racing => match self.candidates.to_probe() {
                Some(address) => {
                    let addr = address.with_port(port);
                    Some(Step::Do(Action::ProbeRoute { addr }))
                }
                None => {
                    let address = self.candidates.take_next();
                    self.turn_to_proxy(address, turn, timers);
                    None
                }
            },
            State::Securing(_) | State::Tunneling(_) => None,
        }
    }

    /// The address is known; what was looked up is left, and the proxy comes.
    fn turn_to_proxy(
        &mut self,
        address: Option<Address>,
        turn: &mut Turn<'_>,
        timers: &mut Timers,
    ) {
        let Some(Beyond { then, .. }) = self.beyond.take() else {
            return;
        };
        let address = address.map(|address| address.ip().to_canonical());
        self.facts.legs.lead_to(address);
        timers.disarm(Timer::Lookup);
        self.end_lookup(None, turn.now, turn.emitter);
        self.names.clear();
        self.candidates = Candidates::new(Family::V6);
        self.pace = Pace::default();
        self.state = State::Resolving;
        self.name(then, turn.now, turn.emitter, timers);
    }
}
