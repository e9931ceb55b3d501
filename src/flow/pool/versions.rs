//! Origins whose last response was HTTP/1.0: chunked content may not be sent to them (RFC 9112 §6.1).

use crate::flow::pool::key::Key;
use crate::message::framing::Version;
use crate::message::url::Url;

/// Origins that are remembered to speak HTTP/1.0: they are rare.
const HTTP10_MAX: usize = 64;

/// The origins that are known to speak HTTP/1.0, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Versions(Vec<Key>);

impl Versions {
    /// Remembers the version that an origin answered in, straight or through a tunnel.
    pub(super) fn answered(&mut self, key: &Key, version: Version) {
        if !key.is_of_origin() {
            return;
        }
        let known = self.0.iter().position(|origin| origin == key);
        match (version, known) {
            (Version::Http10, None) => {
                if self.0.len() >= HTTP10_MAX {
                    self.0.remove(0);
                }
                self.0.push(key.clone());
            }
            (Version::Http11, Some(place)) => {
                self.0.remove(place);
            }
            (Version::Http10, Some(_)) | (Version::Http11, None) => {}
        }
    }

    /// Says whether the last response of this origin was HTTP/1.0.
    pub(super) fn speaks_http10(&self, url: &Url) -> bool {
        self.0.iter().any(|origin| origin.is_for(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::peer_addr::UnixAddr;
    use crate::message::proxy::Proxy;
    use crate::message::via::{Destination, Via};

    #[test]
    fn an_origin_behind_a_tunnel_is_remembered_and_no_proxy_in_its_place() {
        let url = Url::parse("http://a.test/").unwrap();
        let proxy = || Proxy::parse("http://proxy.test").unwrap().into();
        let unix = UnixAddr::new("/run/a.sock").unwrap();
        for (via, expected) in [
            (Via::Nobody, true),
            (Via::Tunnel(proxy()), true),
            (Via::Forward(proxy()), false),
            (Via::Unix(unix), false),
        ] {
            let mut versions = Versions::default();
            let (url, via) = (&url, &via);
            let key = Key::of(Destination { url, via });
            versions.answered(&key, Version::Http10);
            assert_eq!(versions.speaks_http10(url), expected, "{key}");
            assert!(!versions.speaks_http10(&Url::parse("http://proxy.test/").unwrap()));
            assert_eq!(versions.0.len(), usize::from(expected));
            versions.answered(&key, Version::Http11);
            assert!(!versions.speaks_http10(url));
        }
    }
}
