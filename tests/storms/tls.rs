//! A server over TLS goes away with all its connections at once.

use wirescope::testkit::{Authority, Gate, Peer, Script};
use wirescope::{ClientBuilder, TlsConfig};

use crate::crowd::{Crowd, OK};
use crate::{alone, closes, connections};

/// Connections of each storm: a thread of the peer each, and a handshake.
const CONNECTIONS: usize = 200;

/// A crowd over TLS.
struct Secure {
    peer: Peer,
    answer: Gate,
    close: Gate,
    trusts: TlsConfig,
}

/// How its connections end.
#[derive(Clone, Copy)]
enum Closes {
    WithNotify,
    WithoutNotify,
}

impl Secure {
    /// One that answers before it closes.
    fn answering(closes: Closes) -> Self {
        Self::start(closes, |script, answer| script.wait_for(answer).send(OK))
    }

    fn silent(closes: Closes) -> Self {
        Self::start(closes, |script, _| script)
    }

    fn start(closes: Closes, answers: fn(Script, Gate) -> Script) -> Self {
        let authority = Authority::new().unwrap();
        let (answer, close) = (Gate::new(), Gate::new());
        let script = answers(Script::new().expect_request(), answer.clone());
        let script = script.wait_for(close.clone());
        let script = match closes {
            Closes::WithNotify => script.close_notify().close(),
            Closes::WithoutNotify => script.close(),
        };
        let peer = Peer::builder().tls(authority.issue(&["127.0.0.1"]).unwrap());
        let trusts = TlsConfig::new().builtin_roots(false);
        Self {
            peer: peer.script(script).start().unwrap(),
            answer,
            close,
            trusts: trusts.add_ca_pem(authority.pem()).unwrap(),
        }
    }
}

impl Crowd for Secure {
    fn url(&self) -> String {
        self.peer.url("/")
    }

    fn count(&mut self) -> usize {
        self.peer.request_count()
    }

    fn answer_all(&mut self) {
        self.answer.open();
    }

    fn close_all(&mut self) {
        self.close.open();
    }

    fn trusted(&self, client: ClientBuilder) -> ClientBuilder {
        client.tls(self.trusts.clone())
    }
}

#[test]
fn idle_tls_connections_that_are_all_closed_at_once_are_told() {
    let alone = alone();
    let count = connections(CONNECTIONS, 2);
    for closes in [Closes::WithNotify, Closes::WithoutNotify] {
        closes::while_idle(&mut Secure::answering(closes), count);
    }
    alone.nothing_left();
}

#[test]
fn calls_whose_tls_connections_are_all_closed_at_once_end_once() {
    let alone = alone();
    let count = connections(CONNECTIONS, 2);
    for closes in [Closes::WithNotify, Closes::WithoutNotify] {
        closes::while_active(&mut Secure::silent(closes), count);
    }
    alone.nothing_left();
}
