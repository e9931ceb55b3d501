//! By whom a hop goes: over a unix socket, or the choice of its proxy, told before its first attempt.

use std::sync::Arc;

use crate::error::Error;
use crate::event::{EventKind, Payload, ProxySelected};
use crate::flow::call::{Call, State};
use crate::flow::pool::Wish;
use crate::flow::proxy::Choice;
use crate::message::via::Via;
use crate::proto::Turn;

impl Call {
    /// A hop begins: its proxy is chosen, and a connection is wanted. Without a choice there is no hop.
    pub(super) fn begin_hop(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::Ready) {
            return;
        }
        match self.choose(turn) {
            Ok(()) => self.begin_attempt(Wish::Any, turn),
            Err(error) => {
                let error = error.with_report(self.report(None, turn));
                self.state = State::Over(None);
                self.fail_between(error, turn);
            }
        }
    }

    /// Whom the caller asks for a tunnel is asked straight. What another protocol may follow is for the server alone, so
    /// every proxy passes it on (RFC 9110 §7.8). A unix socket comes before any proxy, and serves every hop: what is
    /// asked of it does not leave the machine.
    fn choose(&mut self, turn: &mut Turn<'_>) -> Result<(), Error> {
        if let Some(addr) = &self.settings.unix {
            return self.plan.send_via(Via::Unix(addr.clone()));
        }
        if self.plan.is_connect() {
            return Ok(());
        }
        let Some(choice) = self.settings.proxies.choose(&self.plan.url)? else {
            return Ok(());
        };
        tell(&choice, turn);
        match choice.proxy {
            Some(proxy) if self.plan.may_switch() => self.plan.send_via(Via::Tunnel(proxy)),
            Some(proxy) => self.plan.send_via(Via::of(proxy, &self.plan.url)),
            None => self.plan.send_past_proxy(),
        }
    }
}

fn tell(choice: &Choice, turn: &mut Turn<'_>) {
    turn.emitter.emit(EventKind::ProxySelected, turn.now, |_| {
        let proxy = choice.proxy.as_deref();
        Payload::ProxySelected(Arc::new(ProxySelected {
            scheme: proxy.map(|proxy| proxy.scheme()),
            host: proxy.map(|proxy| proxy.host().into()),
            port: proxy.map(|proxy| proxy.port()),
            source: choice.source,
            rule: choice.rule.clone(),
        }))
    });
}
