//! Draws a scenario from a seed. Most of what is drawn is ordinary, so that faults strike something that works.

use std::time::Duration;

use crate::error::{LookupFailure, TlsFailure};
use crate::flow::call::DetachedDial;
use crate::testkit::sim::answer::{AnswerPlan, Behind, Moment, Shape};
use crate::testkit::sim::link::{Accept, Cut, Handshake, Link};
use crate::testkit::sim::proxied::Proxied;
use crate::testkit::sim::random::Random;
use crate::testkit::sim::scenario::{
    AddressPlan, Asks, CallPlan, ConnectionPlan, Named, OriginPlan, ReadPlan, Scenario,
};
use crate::testkit::sim::source::Pace;

/// Bytes of an answer's body: mostly few, seldom more than a buffer takes at once.
const LENGTHS: [usize; 12] = [0, 1, 2, 5, 17, 40, 40, 100, 100, 300, 2_000, 20_000];

/// Bytes of a request's body.
const UPLOADS: [usize; 12] = [0, 1, 1, 5, 5, 17, 17, 40, 100, 300, 1_500, 20_000];

/// Segments of one answer's body, at the most: each is a happening of its own.
const SEGMENTS_MAX: usize = 60;

/// Windows: mostly wide; a narrow one makes every write short.
const WINDOWS: [usize; 8] = [
    1 << 24,
    1 << 24,
    1 << 24,
    1 << 24,
    1 << 24,
    64 * 1024,
    1000,
    150,
];

impl Scenario {
    /// Draws a scenario: 1 to 4 calls, 1 to 3 origins. The same seed draws the same one, in each version that
    /// draws in the same way.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let origins = 1 + random.below(3);
        let calls = 1 + random.below(4);
        Self {
            seed,
            origins: (0..origins).map(|_| origin(&mut random)).collect(),
            calls: (0..calls).map(|_| call(&mut random, origins)).collect(),
            detached: match random.below(2) {
                0 => DetachedDial::Abort,
                _ => DetachedDial::Finish,
            },
        }
    }
}

fn call(random: &mut Random, origins: u64) -> CallPlan {
    let length = random.pick(&UPLOADS);
    let asks = match random.below(14) {
        0..=4 => Asks::Get,
        5 => Asks::Head,
        6 => Asks::Delete,
        7 | 8 => Asks::Post(length),
        9 => Asks::Expect(length),
        10 => Asks::Keyed(length),
        11 => Asks::Switch,
        12 => Asks::SwitchPut(length),
        _ => Asks::Put(length),
    };
    let reads = match random.below(10) {
        0 => ReadPlan::Slowly(1 + below(random, 30), random.pick(&[0, 1, 50])),
        1 => ReadPlan::Dropped(below(random, 200)),
        2 => ReadPlan::Dropped(0),
        _ => ReadPlan::Whole,
    };
    CallPlan {
        origin: below(random, origins),
        asks,
        starts_ms: random.pick(&[0, 0, 1, 40, 200, 3_000, 40_000]),
        reads,
        cancels_ms: random.one_in(12).then(|| random.below(150)),
        source: random.pick(&[
            Pace::AtOnce,
            Pace::AtOnce,
            Pace::NotNow(Duration::from_millis(7)),
            Pace::Blocks(Duration::from_millis(7)),
        ]),
    }
}

fn origin(random: &mut Random) -> OriginPlan {
    let named = match random.below(16) {
        0..=4 => Named::Literal,
        5..=9 => Named::After(random.below(30), random.below(30)),
        10 => Named::After(random.below(3_000), random.below(3_000)),
        11 | 12 => Named::Half(random.below(30)),
        13 if random.one_in(3) => Named::Silent,
        14 if random.one_in(3) => Named::Empty,
        15 if random.one_in(3) => Named::Failed(random.pick(&[
            LookupFailure::NoSuchHost,
            LookupFailure::Temporary,
            LookupFailure::ServerFailure,
        ])),
        _ => Named::After(0, 0),
    };
    let tls = match random.below(12) {
        0 | 1 => Some(Handshake::Made { trips: 1 }),
        2 => Some(Handshake::Made { trips: 2 }),
        3 if random.one_in(2) => Some(Handshake::Failed(TlsFailure::NoAgreement)),
        4 if random.one_in(4) => Some(Handshake::Stalled),
        _ => None,
    };
    let addresses = 1 + random.below(3);
    OriginPlan {
        proxied: Proxied::draw(random, tls.is_some()),
        named,
        tls,
        addresses: (0..addresses).map(|_| address(random)).collect(),
    }
}

fn address(random: &mut Random) -> AddressPlan {
    let connections = if random.one_in(8) {
        0
    } else {
        1 + random.below(3)
    };
    AddressPlan {
        is_v6: random.one_in(3),
        connections: (0..connections).map(|_| connection(random)).collect(),
    }
}

fn connection(random: &mut Random) -> ConnectionPlan {
    let answers = 1 + random.below(3);
    let link = link(random);
    ConnectionPlan {
        answers: (0..answers).map(|_| answer(random, &link)).collect(),
        link,
    }
}

fn link(random: &mut Random) -> Link {
    let latency = Duration::from_millis(random.pick(&[0, 0, 1, 20, 100]));
    let segment = random.pick(&[usize::MAX, usize::MAX, usize::MAX, 100, 7, 1]);
    let spacing = Duration::from_micros(random.pick(&[0, 0, 0, 500]));
    let accept = match random.below(24) {
        0 => Accept::Refused,
        1 => Accept::Lost,
        2 => Accept::Unreachable,
        3 => Accept::Reset,
        _ => Accept::Yes,
    };
    let link = Link::new()
        .latency(latency)
        .segment_bytes(segment)
        .spacing(spacing)
        .window_bytes(random.pick(&WINDOWS))
        .accept(accept);
    if random.one_in(4) {
        let cut = random.pick(&[Cut::Fin, Cut::Reset, Cut::Stall]);
        return link.cut(cut, random.below(400));
    }
    link
}

fn answer(random: &mut Random, link: &Link) -> AnswerPlan {
    let content_max = link.segment.min(link.window).saturating_mul(SEGMENTS_MAX);
    let shape = match random.below(24) {
        0..=8 => Shape::Length,
        9..=12 => Shape::Chunked(1 + below(random, 50)),
        13 | 14 => Shape::Trailer(1 + below(random, 50)),
        15 | 16 => Shape::UntilClose,
        17 => Shape::NoContent,
        18 => Shape::NotModified,
        19 => Shape::Redirect,
        20 if random.one_in(2) => Shape::Moved,
        20 => Shape::Noise,
        21 if random.one_in(2) => Shape::BadLength,
        21 => Shape::Doubled,
        // A second answer that arrives behind the first one, in the moment of the next request, cannot be told from
        // the answer to it, by no client: it has to come in one piece with the first.
        22 if link.is_in_one_piece() => Shape::Leftover,
        22 => Shape::Junk,
        _ => Shape::Length,
    };
    let moment = match random.below(16) {
        0 | 1 => Moment::Early,
        2 if random.one_in(2) => Moment::Never,
        _ => Moment::Asked,
    };
    let behind = match random.below(16) {
        _ if shape == Shape::UntilClose => Behind::Close,
        0 | 1 => Behind::Close,
        2 => Behind::HalfClose,
        3 => Behind::Reset,
        4 => Behind::Stall,
        5 => Behind::Deaf,
        _ => Behind::Keep,
    };
    AnswerPlan {
        shape,
        content: random.pick(&LENGTHS).min(content_max),
        moment,
        pause_ms: random.pick(&[0, 0, 0, 5, 1_500]),
        interims: random.pick(&[0, 0, 0, 0, 1, 2]),
        behind,
    }
}

fn below(random: &mut Random, bound: u64) -> usize {
    usize::try_from(random.below(bound)).unwrap_or(0)
}
