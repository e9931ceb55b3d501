//! What a tunnel tells of itself.

use std::sync::Arc;
use std::time::Instant;

use crate::error::Error;
use crate::event::{
    Emitter, ErrorFacts, EventKind, Payload, ProxyConnectDone, ProxyConnectStart, TunnelKind,
};
use crate::message::anomaly::Anomaly;
use crate::message::fields::Fields;
use crate::message::proxy::Proxy;
use crate::proto::Turn;

/// What stands for a secret that a proxy sends back.
const HIDDEN: &[u8] = b"[redacted]";

/// What the events of one tunnel share.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) proxy: Arc<Proxy>,
    contestant: u16,
    since: Instant,
}

/// What a proxy said by CONNECT, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The status code of the final response.
    pub(super) status: Option<u16>,
    /// Its field lines.
    pub(super) fields: Fields,
    /// The status codes of the interim responses before it.
    pub(super) interim: Vec<u16>,
    /// What was accepted in the heads although it breaks a rule.
    pub(super) anomalies: Vec<Anomaly>,
    /// The first bytes of the body of a refusal.
    pub(super) body: Vec<u8>,
}

impl Told {
    pub(super) fn begin(proxy: &Arc<Proxy>, contestant: u16, now: Instant) -> Self {
        Self {
            proxy: proxy.clone(),
            contestant,
            since: now,
        }
    }

    pub(super) fn start(&self, kind: TunnelKind, target: Arc<str>, turn: &mut Turn<'_>) {
        turn.emitter
            .emit(EventKind::ProxyConnectStart, turn.now, |_| {
                Payload::ProxyConnectStart(Arc::new(ProxyConnectStart {
                    contestant: self.contestant,
                    proxy: self.proxy.authority().into(),
                    target,
                    kind,
                }))
            });
    }

    pub(super) fn done(
        &self,
        said: Said,
        error: Option<&Error>,
        now: Instant,
        emitter: &mut Emitter,
    ) {
        emitter.emit(EventKind::ProxyConnectDone, now, |redaction| {
            let basic = self.proxy.basic();
            let given = self.proxy.connect_fields().get("proxy-authorization");
            let secret = basic.as_deref().map(str::as_bytes).or(given);
            let secret = secret.and_then(|value| value.rsplit(|byte| *byte == b' ').next());
            let body = match secret {
                Some(secret) if !redaction.reveals() => hide(&said.body, secret),
                Some(_) | None => said.body,
            };
            Payload::ProxyConnectDone(Arc::new(ProxyConnectDone {
                contestant: self.contestant,
                status: said.status,
                fields: redaction.fields(&said.fields),
                interim: said.interim,
                anomalies: said.anomalies,
                body: body.into(),
                error: error.map(ErrorFacts::of),
                elapsed: now.saturating_duration_since(self.since),
            }))
        });
    }
}

/// Text without a secret: a proxy may send back what it was asked with.
fn hide(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = match rest.strip_prefix(secret) {
            Some(after) if !secret.is_empty() => {
                shown.extend_from_slice(HIDDEN);
                after
            }
            Some(_) | None => {
                shown.push(*first);
                after
            }
        };
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_comes_back_is_hidden() {
        let check = |text: &str, expected: &str| {
            let shown = hide(text.as_bytes(), b"bWU6cHc=");
            assert_eq!(String::from_utf8(shown).unwrap(), expected);
        };
        check("", "");
        check("no secret", "no secret");
        check("a bWU6cHc= b bWU6cHc=", "a [redacted] b [redacted]");
        check("bWU6cHcbWU6cHc=", "bWU6cHc[redacted]");
    }
}
