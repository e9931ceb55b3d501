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
    /// Remembers the version that an origin answered in.
    pub(super) fn answered(&mut self, key: &Key, version: Version) {
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
