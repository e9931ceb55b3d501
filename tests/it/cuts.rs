//! The byte-cut law: an answer cut behind any byte, by FIN, reset or silence, has a typed end that names its
//! phase, none hangs, and no request is sent a second time.
//!
//! What has to come of each cut is told from the parts of the answer (`answer.rs`); the server's side of the
//! wire ends where the test says (`wire.rs`). Each worker has a client, a server and an event stream of its own.

pub(crate) mod answer;
mod flips;
mod proxied;
mod upgraded;
pub(crate) mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use wirescope::config::Timeouts;
use wirescope::error::{Timer, TlsFailure};
use wirescope::testkit::check::check;
use wirescope::{Client, Error, ErrorKind, Phase, Request, Response, TlsConfig};

use crate::support::{Server, target, trusted, watched};
use crate::ways::Way;
use answer::{ANSWERS, Answer, Ask, End, Form, NEXT, Outcome, named};
use wire::{Over, Sealed, Wire, config};

/// Cuts that are tried at a time.
const WORKERS: usize = 16;

/// How long a silence lasts before the timer of its place fires.
const SILENCE: Duration = Duration::from_millis(40);

/// The same where a slow server would be told by the same timer, or where the place is not known before the
/// ciphertext is made.
const LONG_SILENCE: Duration = Duration::from_secs(1);

/// A limit that is reached only by a bug.
const NEVER: Duration = Duration::from_secs(20);

/// A call that takes longer hangs.
const HANG: Duration = Duration::from_secs(10);

const UPLOAD: &str = "upload";

/// By how many bytes two handshakes of one server may differ: the encoding of a signature varies.
const SIGNATURE_SLACK: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Behind so many bytes of the answer.
    Plain(usize),
    /// Behind so many bytes that the server sends under TLS, the handshake included.
    Cipher(usize),
}

/// One cut: what is answered, how much of it, and how the peer ends.
#[derive(Debug, Clone)]
struct Play {
    answer: &'static Answer,
    cut: Cut,
    end: End,
    /// The timers that are to fire early, and how early; all others never do.
    short: &'static [Timer],
    limit: Duration,
}

/// The timers that a silence can end by.
const EACH: &[Timer] = &[Timer::Tls, Timer::FirstByte, Timer::Head, Timer::BodyIdle];

fn alone(timer: Timer) -> &'static [Timer] {
    let place = EACH.iter().position(|one| *one == timer).unwrap();
    &EACH[place..=place]
}

impl Play {
    fn plain(answer: &'static Answer, cut: usize, end: End) -> Self {
        let short = alone(answer.timer(cut));
        // Behind an interim head the timer has already run once, before its first byte.
        let is_between = cut > 0 && short == [Timer::FirstByte];
        Self {
            answer,
            cut: Cut::Plain(cut),
            end,
            short,
            limit: if is_between { LONG_SILENCE } else { SILENCE },
        }
    }

    /// A cut of the ciphertext, of which `probe` is an uncut example.
    fn cipher(answer: &'static Answer, cut: usize, end: End, probe: &Sealed) -> Self {
        let timer = |cut| probe.opened(cut).map(|(plain, _)| answer.timer(plain));
        let before = timer(cut.saturating_sub(SIGNATURE_SLACK));
        let (short, limit) = match before {
            before if before != timer(cut + SIGNATURE_SLACK) => (EACH, LONG_SILENCE),
            Some(timer) => (alone(timer), SILENCE),
            None => (alone(Timer::Tls), SILENCE),
        };
        Self {
            answer,
            cut: Cut::Cipher(cut),
            end,
            short,
            limit,
        }
    }

    fn request(&self, client: &Client, url: &str) -> Result<Request, Error> {
        let request = match self.answer.ask {
            Ask::Get => client.get(url)?,
            Ask::Head => client.head(url)?,
            Ask::Expect => client.post(url)?.body(UPLOAD).expect_continue(),
            Ask::Second => client.post(url)?.body(UPLOAD),
        };
        Ok(request.timeouts(|timeouts| self.limit(timeouts)))
    }

    fn limit(&self, timeouts: &mut Timeouts) {
        let limit = |timer| {
            let is_short = self.end == End::Stall && self.short.contains(&timer);
            Some(if is_short { self.limit } else { NEVER })
        };
        // Ends what hangs, so that it is told.
        timeouts.total = Some(NEVER);
        timeouts.connect = Some(NEVER);
        timeouts.tls = limit(Timer::Tls);
        timeouts.first_byte = limit(Timer::FirstByte);
        timeouts.head = limit(Timer::Head);
        timeouts.body_idle = limit(Timer::BodyIdle);
        timeouts.expect = match self.cut {
            Cut::Plain(cut) if self.end == End::Stall && self.answer.is_body_held(cut) => {
                Duration::from_millis(5)
            }
            Cut::Plain(_) | Cut::Cipher(_) => NEVER,
        };
    }

    /// Asks, and reads the body to its end.
    fn run(&self, client: &Client, url: &str) -> Result<(u16, Vec<u8>), Error> {
        if self.answer.ask == Ask::Second {
            Response::collect(&mut client.get(url)?.send()?, 100)?;
        }
        let mut response = self.request(client, url)?.send()?;
        let status = response.status();
        Ok((status, Response::collect(&mut response, 1000)?))
    }

    /// What has to come of it, and the bytes of the answer that the client has to have seen.
    fn expected(&self, sealed: &Sealed) -> (Outcome, usize) {
        let (cut, end) = match self.cut {
            Cut::Plain(cut) => (cut, self.end),
            Cut::Cipher(cut) => match sealed.opened(cut) {
                Some((plain, true)) => (plain, End::Fin),
                Some((plain, false)) => (plain, self.end),
                None => {
                    let kind = match self.end {
                        End::Stall => ErrorKind::Timeout(Timer::Tls),
                        End::Fin | End::Bare | End::Reset => ErrorKind::Tls(TlsFailure::Lost),
                    };
                    return (Outcome::Error(kind, Phase::Tls), 0);
                }
            },
        };
        (self.answer.outcome(cut, end), cut)
    }

    /// Says whether a timer is as short as it can be.
    fn is_hasty(&self) -> bool {
        self.end == End::Stall && self.limit < LONG_SILENCE
    }

    fn patient(&self) -> Self {
        Self {
            limit: LONG_SILENCE,
            ..self.clone()
        }
    }

    fn judge(&self, sealed: &Sealed, result: Result<(u16, Vec<u8>), Error>) {
        let (expected, seen) = self.expected(sealed);
        let point = || {
            let Self {
                answer, cut, end, ..
            } = self;
            format!("{}, {end:?} behind {cut:?} of {sealed:?}", answer.name)
        };
        match result {
            Ok((_, body)) => assert_eq!(Outcome::Content(body), expected, "{}", point()),
            Err(error) => {
                assert_eq!(Outcome::of(&error), expected, "{}: {error:?}", point());
                assert_eq!(
                    error.bytes_received(),
                    seen as u64,
                    "{}: {error:?}",
                    point()
                );
                assert_eq!(error.is_timeout(), self.end == End::Stall, "{}", point());
            }
        }
    }
}

/// What a worker and its server know of each other.
#[derive(Debug, Default)]
struct Desk {
    play: Option<Play>,
    sealed: Sealed,
    /// Requests that were to be answered by a cut.
    requests: usize,
}

fn serve(mut wire: Wire, play: &Play, desk: &Mutex<Desk>) {
    // The end is the same whether the cut was reached or the client left before it.
    let _ = reply(&mut wire, play, desk);
    wire.end(play.end);
}

fn reply(wire: &mut Wire, play: &Play, desk: &Mutex<Desk>) -> Result<(), Over> {
    let told = |sealed: &Sealed| desk.lock().unwrap().sealed = sealed.clone();
    let bytes = play.answer.bytes();
    wire.shake_hands(told)?;
    if play.answer.ask == Ask::Second {
        wire.head()?;
        wire.send(&bytes, told)?;
    }
    let head = wire.head()?;
    if head.starts_with("GET ") && target(&head).ends_with("/next") {
        return wire.send(NEXT.as_bytes(), told);
    }
    desk.lock().unwrap().requests += 1;
    if play.answer.ask == Ask::Second {
        wire.skip(UPLOAD.len())?;
    }
    let head_end = play.answer.head_end();
    let cut = match play.cut {
        Cut::Plain(cut) => cut,
        Cut::Cipher(_) => {
            wire.send(&bytes[..head_end], told)?;
            if head_end < bytes.len() {
                wire.send(&bytes[head_end..], told)?;
            }
            return wire.notify(told);
        }
    };
    let mut sent = 0;
    if play.answer.ask == Ask::Expect {
        sent = cut.min(play.answer.interim_end());
        wire.send(&bytes[..sent], told)?;
        // A body that was sent and is not read would make the FIN a reset.
        if !play.answer.is_body_held(cut) || play.end == End::Stall {
            wire.skip(UPLOAD.len())?;
        }
    }
    if sent < cut {
        wire.send(&bytes[sent..cut], told)?;
    }
    if play.end == End::Fin {
        wire.notify(told)?;
    }
    Ok(())
}

/// Tries every cut, and says how many ended in an error that was as it has to be.
fn sweep(what: &str, plays: &[Play], tls: Option<(&Arc<ServerConfig>, &TlsConfig)>) -> usize {
    sweep_by(Way::Direct, what, plays, tls)
}

/// The same by this way; what the proxy says before is not cut.
fn sweep_by(
    way: Way,
    what: &str,
    plays: &[Play],
    tls: Option<(&Arc<ServerConfig>, &TlsConfig)>,
) -> usize {
    let (begun, typed) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let own = plays.iter().skip(worker).step_by(WORKERS);
            let typed = &typed;
            scope.spawn(move || typed.fetch_add(work(way, own, tls), Ordering::Relaxed));
        }
    });
    let (points, typed) = (plays.len(), typed.into_inner());
    println!(
        "{what}: {points} points, {typed} typed, 0 hangs, {:?}",
        begun.elapsed()
    );
    typed
}

fn work<'a>(
    way: Way,
    plays: impl Iterator<Item = &'a Play>,
    tls: Option<(&Arc<ServerConfig>, &TlsConfig)>,
) -> usize {
    let desk = Arc::new(Mutex::new(Desk::default()));
    let (served, is_served) = channel();
    let (desks, server_config) = (desk.clone(), tls.map(|(config, _)| config.clone()));
    let server = Server::start(move |mut stream| {
        let Some(play) = desks.lock().unwrap().play.clone() else {
            return;
        };
        if way.open(&mut stream).is_err() {
            return;
        }
        let left = match play.cut {
            Cut::Plain(_) => usize::MAX,
            Cut::Cipher(cut) => cut,
        };
        let wire = match &server_config {
            Some(config) => Wire::sealed(stream, config, left),
            None => Wire::plain(stream),
        };
        serve(wire, &play, &desks);
        let _ = served.send(());
    });
    let (client, events) = watched(|builder| {
        let builder = way.through(builder, server.addr(), tls.is_some());
        match tls {
            Some((_, trusting)) => builder.tls(trusting.clone()),
            None => builder,
        }
    });
    let url = format!("{}://{}/", way.scheme(tls.is_some()), server.addr());
    let (mut typed, mut marked) = (0, 0);
    let mut plays = plays.cloned();
    let mut again = None;
    while let Some(play) = again.take().or_else(|| plays.next()) {
        // A redirect that is followed is served by a connection of its own.
        while is_served.try_recv().is_ok() {}
        *desk.lock().unwrap() = Desk {
            play: Some(play.clone()),
            ..Desk::default()
        };
        let begun = Instant::now();
        let result = play.run(&client, &url);
        assert!(begun.elapsed() < HANG, "{play:?} hangs");
        if result.is_err() {
            assert_eq!(client.connections(), (0, 0), "{play:?}");
        }
        client.close_idle();
        // A client that did not wait for the server may be done before it.
        is_served.recv_timeout(HANG).unwrap();
        let (sealed, requests) = {
            let desk = desk.lock().unwrap();
            (desk.sealed.clone(), desk.requests)
        };
        let late = |error: &Error| {
            (play.expected(&sealed).0 != Outcome::of(error)).then(|| play.patient())
        };
        if let Some(Some(patient)) = result.as_ref().err().map(late).filter(|_| play.is_hasty()) {
            // The machine was too busy for so short a limit: the same with a long one has to come right.
            again = Some(patient);
            continue;
        }
        let is_refused = matches!(play.cut, Cut::Cipher(cut) if cut < sealed.flight);
        assert_eq!(requests, usize::from(!is_refused), "{play:?}");
        typed += usize::from(result.is_err());
        marked += usize::from(result.is_ok() && play.answer.form == Form::UntilClose);
        play.judge(&sealed, result);
    }
    drop(client);
    let seen = check(&events);
    let told = seen.matching("response_body_done how=delimited_by_close");
    assert_eq!(told.len(), marked);
    typed
}

/// Every cut of every answer, ended in each of these ways.
fn every(ends: &[End]) -> Vec<Play> {
    let mut plays = Vec::new();
    for answer in &ANSWERS {
        let len = answer.bytes().len();
        for cut in 0..=len {
            // A silence behind a whole answer is none.
            let ends = ends.iter().filter(|end| cut < len || **end != End::Stall);
            plays.extend(ends.map(|end| Play::plain(answer, cut, *end)));
        }
    }
    plays
}

/// How many of these have to end in an error.
fn errors(plays: &[Play]) -> usize {
    let outcomes = plays.iter().map(|play| play.expected(&Sealed::default()).0);
    outcomes
        .filter(|outcome| matches!(outcome, Outcome::Error(..)))
        .count()
}

#[test]
fn fault_q1_fault_q2_every_byte_cut_by_fin_or_reset_ends_typed() {
    let plays = every(&[End::Fin, End::Reset]);
    let typed = sweep("plain, FIN and reset", &plays, None);
    assert_eq!(typed, errors(&plays));
}

#[test]
fn fault_q3_a_silence_behind_every_byte_ends_by_the_timer_of_its_place() {
    let plays = every(&[End::Stall]);
    let typed = sweep("plain, silence", &plays, None);
    assert_eq!(typed, errors(&plays));
}

#[test]
fn fault_q11_every_byte_under_tls_cut_in_each_way_ends_typed() {
    let (identity, tls) = trusted();
    let config = config(&identity, &TLS13);
    let plays = every(&[End::Fin, End::Bare, End::Reset, End::Stall]);
    let typed = sweep("tls, by plaintext", &plays, Some((&config, &tls)));
    assert_eq!(typed, errors(&plays));
}

/// What the server puts on the wire for an answer that is not cut.
fn whole(answer: &'static Answer, config: &Arc<ServerConfig>, tls: &TlsConfig) -> Sealed {
    let sealed = Arc::new(Mutex::new(Sealed::default()));
    let (told, config) = (sealed.clone(), config.clone());
    let server = Server::start(move |stream| {
        let mut wire = Wire::sealed(stream, &config, usize::MAX);
        let desk = Mutex::new(Desk::default());
        let play = Play {
            cut: Cut::Cipher(usize::MAX),
            ..Play::plain(answer, 0, End::Bare)
        };
        if reply(&mut wire, &play, &desk).is_ok() {
            *told.lock().unwrap() = wire.sealed.clone();
            wire.end(End::Bare);
        }
    });
    let (client, _) = watched(|builder| builder.tls(tls.clone()));
    let url = server.url("/").replacen("http", "https", 1);
    Response::collect(&mut client.get(&url).unwrap().send().unwrap(), 100).unwrap();
    drop((client, server));
    sealed.lock().unwrap().clone()
}

#[test]
fn fault_q11_every_byte_of_the_ciphertext_cut_in_each_way_ends_typed() {
    let (identity, tls) = trusted();
    for (version, name) in [
        (&TLS13, "length"),
        (&TLS13, "close-delimited"),
        (&TLS12, "length"),
    ] {
        let config = config(&identity, version);
        let answer = named(name);
        let sealed = whole(answer, &config, &tls);
        // The handshake is the same for each answer.
        let first = match name {
            "length" => 0,
            _ => sealed.flight,
        };
        let mut plays = Vec::new();
        for cut in first..=sealed.len() + SIGNATURE_SLACK {
            let ends = [End::Bare, End::Reset, End::Stall];
            plays.extend(ends.map(|end| Play::cipher(answer, cut, end, &sealed)));
        }
        let what = format!("{:?}, {name}, by ciphertext", version.version);
        let typed = sweep(&what, &plays, Some((&config, &tls)));
        assert!(typed > plays.len() / 2, "{typed} of {}", plays.len());
    }
}
