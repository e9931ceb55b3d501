//! The constants of the race, by profile; each with its reason.

use std::time::Duration;

use crate::message::dial::DialProfile;

/// The start-up of the thread that asks for IPv6 addresses, as far as it is forgiven: their wait begins when the
/// question was really asked, and at most this long after it was handed over.
pub(super) const START_UP: Duration = Duration::from_millis(20);

/// Starts that failures may have earned at one time.
pub(super) const CREDITS_MAX: u8 = 4;

/// The first wait after the listener of a unix socket had no room. The system says so at once, where it lets the peer of
/// a TCP socket try again.
pub(super) const NO_ROOM_FIRST: Duration = Duration::from_millis(5);

/// How often that wait is doubled: to 640 ms.
pub(super) const NO_ROOM_DOUBLED: u32 = 7;

/// The constants of one profile.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) name: DialProfile,
    /// What is waited for IPv6 addresses when there are IPv4 ones.
    pub(super) aaaa_wait: AaaaWait,
    /// From the first start to the second.
    pub(super) first_delay: Duration,
    /// From any later start to the next.
    pub(super) next_delay: Duration,
    /// Least time between two starts of which the first sent a packet.
    pub(super) spacing: Duration,
    /// Starts that a failure earns.
    pub(super) credits: u8,
    pub(super) hedge: Option<Hedging>,
    /// Contestants at once; the oldest gives way.
    pub(super) open_max: usize,
    /// How long a peer may take to say its first byte to TLS before others start again; at least four times the
    /// time its connect took. Without it, TLS is spoken with one peer at a time.
    pub(super) tls_grace: Option<Duration>,
}

/// A wait for IPv6 addresses.
#[derive(Debug, Clone, Copy)]
pub(super) enum AaaaWait {
    /// Counted from the moment they were asked for.
    FromQuery(Duration),
    /// Counted from the first IPv4 address (RFC 8305 §3).
    FromA(Duration),
}

/// A second socket to an address that does not answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hedging {
    /// How long the first socket gets.
    pub(super) after: Duration,
    /// Most within one dial; never more than one for an address.
    pub(super) most: usize,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Below every peer: libcurl waits 25 ms for addresses and 200 ms between contestants, the kernel a second before
/// it sends a SYN again. Middleboxes that take any connection have 300 ms to carry a byte of TLS.
static FAST: Profile = Profile {
    name: DialProfile::Fast,
    aaaa_wait: AaaaWait::FromQuery(ms(20)),
    first_delay: ms(150),
    next_delay: ms(100),
    spacing: ms(10),
    credits: 2,
    hedge: Some(Hedging {
        after: ms(250),
        most: 2,
    }),
    open_max: 8,
    tls_grace: Some(ms(300)),
};

/// RFC 8305 §3 and §5; no contestant less than 100 ms behind another, as §5 recommends.
static RFC8305: Profile = Profile {
    name: DialProfile::Rfc8305,
    aaaa_wait: AaaaWait::FromA(ms(50)),
    first_delay: ms(250),
    next_delay: ms(250),
    spacing: ms(100),
    credits: 1,
    hedge: None,
    open_max: 6,
    tls_grace: None,
};

impl Profile {
    pub(super) fn of(name: DialProfile) -> &'static Self {
        match name {
            DialProfile::Fast => &FAST,
            DialProfile::Rfc8305 => &RFC8305,
        }
    }
}
