//! Origins that are gone to through a proxy.

use std::net::SocketAddr;

use wirescope::testkit::{Peer, RefusedPort, Script, SeenRequest};

use super::program::port;
use crate::harness::authority;

/// Peers of the test kit behind a proxy. They answer with the content they got, else with the target.
pub(super) struct Origins {
    pub(super) plain: Peer,
    pub(super) secure: Peer,
    /// One whose port the proxy has a rule against.
    pub(super) forbidden: Peer,
    /// A port that the proxy may go to, where nobody listens.
    pub(super) nobody: RefusedPort,
    /// A port that the proxy may go to, for one more peer of a test.
    pub(super) spare: SocketAddr,
}

impl Origins {
    pub(super) fn start() -> Self {
        let identity = || authority().issue(&["127.0.0.1", "localhost"]).unwrap();
        let peer = || Peer::builder().script(Script::new().respond_with(echo));
        Self {
            plain: peer().start().unwrap(),
            secure: peer().tls(identity()).start().unwrap(),
            forbidden: peer().tls(identity()).start().unwrap(),
            nobody: RefusedPort::reserve().unwrap(),
            spare: port(),
        }
    }

    /// The ports that a proxy may make tunnels to, beside 443.
    pub(super) fn allowed(&self) -> [u16; 4] {
        [
            self.plain.addr().port(),
            self.secure.addr().port(),
            self.nobody.addr().port(),
            self.spare.port(),
        ]
    }

    /// The same through the one and through the other scheme.
    pub(super) fn urls(&self, target: &str) -> [String; 2] {
        [self.plain.url(target), self.secure.url(target)]
    }

    /// Nothing of a proxy's own has reached an origin.
    #[track_caller]
    pub(super) fn judge(&self) {
        for bytes in [self.plain.received(), self.secure.received()].concat() {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            for secret in ["canary", "proxy-authorization", "connect "] {
                assert!(!text.contains(secret), "an origin saw {secret}");
            }
        }
    }
}

/// Content comes back as it came; without any the target does. `/moved` leads to where its query says.
pub(super) fn echo(request: &SeenRequest) -> Vec<u8> {
    if let Some(to) = request.target().strip_prefix("/moved?") {
        return format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into();
    }
    let body = match request.body.as_slice() {
        [] => request.target().as_bytes(),
        body => body,
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// As [`echo`], and everybody is asked for content.
pub(super) fn continuing() -> Script {
    let one = Script::new()
        .expect_head()
        .send("HTTP/1.1 100 Continue\r\n\r\n")
        .expect_body()
        .reply_with(echo);
    Script::new().forever(one)
}
