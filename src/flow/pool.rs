//! Idle connections, by what they are good for.
//!
//! The rule guarded here: a connection serves only requests whose key is equal in every part, and a key has a
//! part for every setting that two requests of one client can differ in.
//!
//! Pure and generic over what it holds: no clock, no lock, no socket.

use std::fmt;
use std::time::{Duration, Instant};

use crate::message::close::CloseReason;
use crate::message::framing::Version;
use crate::message::url::{Host, Scheme, Url};

/// Origins that are remembered to speak HTTP/1.0: they are rare.
const HTTP10_MAX: usize = 64;

/// What a connection is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    scheme: Scheme,
    host: Box<str>,
    /// The zone of an IPv6 literal decides about the interface.
    zone: Option<Box<str>>,
    port: u16,
}

impl Key {
    /// The key of a URL. Everything else that could matter (TLS configuration, resolver, overrides) is the
    /// same for all requests of a client, and a pool belongs to one client.
    pub(crate) fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme(),
            host: url.host_str().into(),
            zone: zone_of(url).map(Into::into),
            port: url.port(),
        }
    }

    fn is_for(&self, url: &Url) -> bool {
        let Self {
            scheme,
            host,
            zone,
            port,
        } = self;
        *scheme == url.scheme()
            && *port == url.port()
            && **host == *url.host_str()
            && zone.as_deref() == zone_of(url)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

fn zone_of(url: &Url) -> Option<&str> {
    match url.host() {
        Host::V6(_, zone) => zone,
        Host::Name(_) | Host::V4(_) => None,
    }
}

/// Bounds of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Idle connections of one key; 0 keeps none.
    pub(crate) idle_per_key: usize,
    /// Idle connections of all keys.
    pub(crate) idle_total: usize,
    /// Time that a connection may be idle.
    pub(crate) idle_timeout: Duration,
}

/// Something that can be idle.
pub(crate) trait Pooled {
    /// The moment after which it is not used again, within the pool's own limit.
    fn good_until(&self, idle_timeout: Duration) -> Option<Instant>;
    /// Since when it is idle.
    fn idle_since(&self) -> Option<Instant>;
}

/// The idle connections of one client.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    bounds: Bounds,
    slots: Vec<Slot<T>>,
    idle_total: usize,
    /// Origins whose last response was HTTP/1.0, the oldest first.
    http10: Vec<Key>,
    /// Counts the calls of `close_idle`: a connection that was taken before one is not put back after it.
    generation: u64,
}

#[derive(Debug)]
struct Slot<T> {
    key: Key,
    idle: Vec<T>,
    active: usize,
}

/// What [`Pool::take`] found.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    /// The connection that was idle for the shortest time; it counts as active from now on.
    pub(crate) found: Option<T>,
    pub(crate) expired: Vec<T>,
    pub(crate) idle: usize,
    pub(crate) active: usize,
}

impl<T: Pooled> Pool<T> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            slots: Vec::new(),
            idle_total: 0,
            http10: Vec::new(),
            generation: 0,
        }
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Which generation a connection taken or made now belongs to.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes the newest idle connection for this URL, and throws out those that were idle for too long.
    pub(crate) fn take(&mut self, url: &Url, now: Instant) -> Taken<T> {
        let timeout = self.bounds.idle_timeout;
        let place = self.slots.iter().position(|slot| slot.key.is_for(url));
        let Some((place, slot)) = place.and_then(|place| Some((place, self.slots.get_mut(place)?)))
        else {
            return Taken {
                found: None,
                expired: Vec::new(),
                idle: 0,
                active: 0,
            };
        };
        let (idle, active) = (slot.idle.len(), slot.active);
        let is_expired = |conn: &T| conn.good_until(timeout).is_none_or(|until| until <= now);
        let expired = split_off_if(&mut slot.idle, |conn| is_expired(conn));
        let found = slot.idle.pop();
        slot.active = slot.active.saturating_add(usize::from(found.is_some()));
        let gone = expired.len().saturating_add(usize::from(found.is_some()));
        self.idle_total = self.idle_total.saturating_sub(gone);
        if slot.active == 0 && slot.idle.is_empty() {
            self.slots.swap_remove(place);
        }
        Taken {
            found,
            expired,
            idle,
            active,
        }
    }

    /// Counts a connection that was made for a key.
    pub(crate) fn opened(&mut self, key: &Key) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.key == *key) {
            slot.active = slot.active.saturating_add(1);
        } else {
            self.slots.push(Slot {
                key: key.clone(),
                idle: Vec::new(),
                active: 1,
            });
        }
    }

    /// Counts a connection on loan that was closed.
    pub(crate) fn closed(&mut self, key: &Key) {
        if let Some(place) = self.slots.iter().position(|slot| slot.key == *key) {
            if let Some(slot) = self.slots.get_mut(place) {
                slot.active = slot.active.saturating_sub(1);
                if slot.active == 0 && slot.idle.is_empty() {
                    self.slots.swap_remove(place);
                }
            }
        }
    }

    /// Remembers the version that an origin answered in: chunked content may not be sent to HTTP/1.0
    /// (RFC 9112 §6.1).
    pub(crate) fn answered(&mut self, key: &Key, version: Version) {
        let known = self.http10.iter().position(|origin| origin == key);
        match (version, known) {
            (Version::Http10, None) => {
                if self.http10.len() >= HTTP10_MAX {
                    self.http10.remove(0);
                }
                self.http10.push(key.clone());
            }
            (Version::Http11, Some(place)) => {
                self.http10.remove(place);
            }
            (Version::Http10, Some(_)) | (Version::Http11, None) => {}
        }
    }

    /// Says whether the last response of this origin was HTTP/1.0.
    pub(crate) fn speaks_http10(&self, url: &Url) -> bool {
        self.http10.iter().any(|origin| origin.is_for(url))
    }

    /// Says how many idle connections of a key there are with one more, or why that one has no place.
    pub(crate) fn place(&self, key: &Key, generation: u64) -> Result<u32, CloseReason> {
        if self.bounds.idle_per_key == 0 || self.bounds.idle_total == 0 {
            return Err(CloseReason::KeepAlivesDisabled);
        }
        if generation != self.generation {
            return Err(CloseReason::CloseIdleCalled);
        }
        let idle = self
            .slots
            .iter()
            .find(|slot| slot.key == *key)
            .map_or(0, |slot| slot.idle.len());
        let with_it = idle.saturating_add(1).min(self.bounds.idle_per_key);
        Ok(u32::try_from(with_it).unwrap_or(u32::MAX))
    }

    /// Puts a connection on loan back. The oldest of its key, or of all, gives way when there is no place.
    pub(crate) fn put(&mut self, key: &Key, conn: T) -> Option<T> {
        let per_key = self.bounds.idle_per_key;
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.key == *key) else {
            return Some(conn);
        };
        slot.active = slot.active.saturating_sub(1);
        slot.idle.push(conn);
        if slot.idle.len() > per_key {
            return Some(slot.idle.remove(0));
        }
        self.idle_total = self.idle_total.saturating_add(1);
        if self.idle_total > self.bounds.idle_total {
            self.evict_oldest()
        } else {
            None
        }
    }

    fn evict_oldest(&mut self) -> Option<T> {
        let since = |slot: &Slot<T>| slot.idle.first().and_then(Pooled::idle_since);
        let slot = self
            .slots
            .iter_mut()
            .filter(|slot| !slot.idle.is_empty())
            .min_by_key(|slot| since(slot))?;
        self.idle_total = self.idle_total.saturating_sub(1);
        Some(slot.idle.remove(0))
    }

    /// Takes out what was idle for too long.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<T> {
        let timeout = self.bounds.idle_timeout;
        self.take_if(|conn| conn.good_until(timeout).is_none_or(|until| until <= now))
    }

    /// Takes out all idle connections; those on loan now will not be put back.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        self.generation = self.generation.saturating_add(1);
        self.take_if(|_| true)
    }

    /// Takes out the idle connections that something holds for.
    pub(crate) fn take_if(&mut self, mut gone: impl FnMut(&mut T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for slot in &mut self.slots {
            taken.extend(split_off_if(&mut slot.idle, &mut gone));
        }
        self.slots
            .retain(|slot| slot.active > 0 || !slot.idle.is_empty());
        self.idle_total = self.idle_total.saturating_sub(taken.len());
        taken
    }

    /// Counts idle connections and connections on loan.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (
            self.idle_total,
            self.slots.iter().map(|slot| slot.active).sum(),
        )
    }
}

/// Takes out the elements that something holds for; both parts keep their order. Without any, nothing is
/// allocated.
fn split_off_if<T>(list: &mut Vec<T>, mut gone: impl FnMut(&mut T) -> bool) -> Vec<T> {
    let marks: Vec<bool> = match list.iter_mut().position(&mut gone) {
        None => return Vec::new(),
        Some(first) => {
            let rest = list.iter_mut().skip(first.saturating_add(1)).map(&mut gone);
            std::iter::repeat_n(false, first)
                .chain([true])
                .chain(rest)
                .collect()
        }
    };
    let (taken, kept): (Vec<_>, Vec<_>) = std::mem::take(list)
        .into_iter()
        .zip(marks)
        .partition(|(_, gone)| *gone);
    *list = kept.into_iter().map(|(element, _)| element).collect();
    taken.into_iter().map(|(element, _)| element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Clone, Copy)]
    struct Conn(u32, Instant);

    impl Pooled for Conn {
        fn good_until(&self, idle_timeout: Duration) -> Option<Instant> {
            self.1.checked_add(idle_timeout)
        }
        fn idle_since(&self) -> Option<Instant> {
            Some(self.1)
        }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn pool(per_key: usize, total: usize) -> Pool<Conn> {
        Pool::new(Bounds {
            idle_per_key: per_key,
            idle_total: total,
            idle_timeout: Duration::from_secs(30),
        })
    }

    fn put(pool: &mut Pool<Conn>, text: &str, number: u32, now: Instant) -> Option<u32> {
        let key = Key::of(&url(text));
        pool.opened(&key);
        pool.put(&key, Conn(number, now)).map(|conn| conn.0)
    }

    #[test]
    fn the_newest_is_taken_first_and_the_old_are_thrown_out() {
        let now = crate::testing::origin();
        let mut pool = pool(8, 128);
        let later = now + Duration::from_secs(29);
        put(&mut pool, "http://a/", 1, now);
        put(&mut pool, "http://a/", 2, later);
        put(&mut pool, "http://a/", 3, later);
        let taken = pool.take(&url("http://a/x"), now + Duration::from_secs(30));
        assert_eq!(
            (taken.found.map(|conn| conn.0), taken.idle, taken.active),
            (Some(3), 3, 0)
        );
        assert_eq!(
            taken.expired.iter().map(|conn| conn.0).collect::<Vec<_>>(),
            [1]
        );
        assert_eq!(pool.counts(), (1, 1));
    }

    #[test]
    fn cve_78_a_key_differs_in_scheme_host_or_port() {
        let now = crate::testing::origin();
        for other in [
            "https://a:80/",
            "http://b/",
            "http://a:81/",
            "http://a./",
            "http://[fe80::1%25eth0]/",
        ] {
            let mut pool = pool(8, 128);
            put(&mut pool, "http://a/", 1, now);
            assert!(pool.take(&url(other), now).found.is_none(), "{other}");
            assert!(pool.take(&url("http://A:80/y"), now).found.is_some());
        }
    }

    #[test]
    fn rfc_e19_the_oldest_gives_way_within_a_key_and_over_all() {
        let now = crate::testing::origin();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut pool = pool(2, 3);
        assert_eq!(put(&mut pool, "http://a/", 1, later(0)), None);
        assert_eq!(put(&mut pool, "http://a/", 2, later(1)), None);
        assert_eq!(put(&mut pool, "http://a/", 3, later(2)), Some(1));
        assert_eq!(put(&mut pool, "http://b/", 4, later(3)), None);
        assert_eq!(put(&mut pool, "http://b/", 5, later(4)), Some(2));
        assert_eq!(pool.counts(), (3, 0));
    }

    #[test]
    fn close_idle_takes_all_and_refuses_those_on_loan() {
        let now = crate::testing::origin();
        let mut pool = pool(8, 128);
        put(&mut pool, "http://a/", 1, now);
        let before = pool.generation();
        assert_eq!(pool.take_all().len(), 1);
        let key = Key::of(&url("http://a/"));
        assert_eq!(pool.place(&key, before), Err(CloseReason::CloseIdleCalled));
        assert_eq!(pool.place(&key, pool.generation()), Ok(1));
    }
}
