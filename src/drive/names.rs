//! The lookup of a call: asked for or joined, and left when the dial is over.

use std::sync::Arc;

use crate::drive::apply::Running;
use crate::drive::engine::{Engine, Letter, Mailbox};
use crate::drive::waits::{Alert, Waits};
use crate::error::LookupFailure;
use crate::flow::action::DialInput;
use crate::flow::dial::Dial;
use crate::flow::lookup::{Families, Joined};
use crate::ids::CallId;
use crate::message::answer::{Answer, Failure, Family, LookupError};
use crate::net::poll::Owner;
use crate::net::resolver::{Query, Sink};

/// A lookup that the call takes part in.
#[derive(Debug)]
pub(crate) struct Names {
    host: Box<str>,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Running {
    pub(crate) fn resolve(&mut self) {
        // There may have been another name before.
        self.leave_lookup(false);
        let alert = match self.alert() {
            Ok(alert) => alert,
            Err(error) => return self.lookup_failed(&error),
        };
        let mailbox = Arc::new(Mailbox::new(alert));
        let host: Box<str> = self
            .call
            .dialing()
            .map(Dial::host)
            .unwrap_or_default()
            .into();
        self.contestants.names = Some(Box::new(Names {
            host: host.clone(),
            mailbox: mailbox.clone(),
        }));
        let waiter = self.call.id().get();
        let joined = self.engine.lookup().join(&host, waiter, mailbox, self.now);
        match joined {
            Joined::Start(flight, known) => {
                self.input(DialInput::Asked { shared: false });
                self.known(&known, false);
                let only = self.call.settings().family;
                let began = {
                    let (engine, name) = (Arc::downgrade(&self.engine), host.clone());
                    move |family| Engine::deliver_began(&engine, &name, flight, family)
                };
                let (engine, name) = (Arc::downgrade(&self.engine), host.clone());
                let sink = Sink::telling(began, move |family, outcome| {
                    Engine::deliver_answer(&engine, &name, flight, family, outcome);
                });
                if let Some(only) = only {
                    sink.family(only.other(), Ok(Answer::none()));
                }
                let query = Query::new(&host).only(only);
                let ticket = self.engine.resolver.resolve(&query, sink);
                let over = self.engine.lookup().hold(&host, flight, ticket);
                drop(over);
            }
            Joined::Shared(families) => {
                self.input(DialInput::Asked { shared: true });
                self.known(&families, true);
            }
            Joined::Cached(families) => {
                self.input(DialInput::Asked { shared: false });
                self.known(&families, false);
            }
            Joined::Full(max) => {
                let text = format!("{max} lookups wait, and no more may");
                self.lookup_failed(&std::io::Error::other(text));
            }
        }
    }

    fn known(&mut self, families: &Families, coalesced: bool) {
        for family in Family::BOTH {
            if let Some(outcome) = families.get(family).cloned() {
                self.input(DialInput::Resolved {
                    family,
                    outcome,
                    coalesced,
                });
            }
        }
    }

    /// Answers for a resolver that cannot be asked or waited for.
    pub(crate) fn lookup_failed(&mut self, error: &std::io::Error) {
        for family in Family::BOTH {
            let cause = std::io::Error::new(error.kind(), error.to_string());
            let failure = LookupError::new(LookupFailure::System);
            let outcome = Err(Failure::caused(failure, cause));
            self.input(DialInput::Resolved {
                family,
                outcome,
                coalesced: false,
            });
        }
    }

    /// Tells the core what the resolver has said so far; true if that was anything.
    pub(crate) fn read_answers(&mut self) -> bool {
        let mailbox = self.contestants.names.as_ref().map(|names| &names.mailbox);
        let letters = mailbox.map(|mailbox| mailbox.take()).unwrap_or_default();
        let has_said = !letters.is_empty();
        for letter in letters {
            match letter {
                Letter::Began(family, at) => self.input(DialInput::QueryBegan { family, at }),
                Letter::Answer(family, outcome, coalesced) => {
                    self.input(DialInput::Resolved {
                        family,
                        outcome,
                        coalesced,
                    });
                }
            }
        }
        has_said
    }

    /// Lets another call take part in the lookup in place of this one, woken by its own alert.
    pub(crate) fn hand_over_names(&mut self, to: CallId, waits: &Waits) -> Option<Box<Names>> {
        let names = self.contestants.names.take()?;
        let mut lookup = self.engine.lookup();
        lookup.rename(&names.host, self.call.id().get(), to.get());
        drop(lookup);
        if matches!(waits, Waits::InLoop) {
            let bell = self.engine.bell.to(Owner::One(to.get()));
            let before = names.mailbox.wake_by(Alert::Bell(bell));
            before.end(&self.engine.wakers);
        }
        Some(names)
    }

    /// Leaves the lookup, and forgets its answers if they are of no use.
    pub(crate) fn leave_lookup(&mut self, forget: bool) {
        self.block_on_nothing();
        let names = self.contestants.names.take();
        let Some(Names { host, mailbox }) = names.map(|names| *names) else {
            return;
        };
        let left = self.engine.lookup().leave(&host, self.call.id().get());
        drop(left);
        if forget {
            self.engine.lookup().evict(&host);
        }
        if let Some(mailbox) = Arc::into_inner(mailbox) {
            mailbox.into_alert().end(&self.engine.wakers);
        }
    }
}
