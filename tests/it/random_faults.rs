//! Random faults: scenarios drawn from seeds, each judged by the laws.
//!
//! A failure prints its seed, and what is left of the scenario after everything was removed that the failure does not
//! need. `WIRESCOPE_SEED=… cargo test --all-features --test it random_faults` plays that seed alone.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wirescope::config::EarlyResponse;
use wirescope::event::EventKind;
use wirescope::testkit::sim::{Broken, Bug, Report, Scenario};
use wirescope::{Client, ClientBuilder};

/// Calls that are simulated by one test run.
const CALLS: usize = 100_000;

/// Calls more, from seeds of this run alone.
const FRESH: usize = 5_000;

/// Seeds in which a planted bug has to be found.
const HUNTED: u64 = 400;

/// How many clients, of different settings, take turns.
const CLIENTS: usize = 6;

fn clients() -> Vec<Client> {
    let changes: [fn(ClientBuilder) -> ClientBuilder; CLIENTS] = [
        |client| client,
        |client| client.retries(0).early_response(EarlyResponse::Abort),
        |client| client.max_idle_per_origin(1),
        |client| client.max_connections_per_origin(1),
        |client| client.max_connections(1),
        |client| client.timeout(Duration::from_secs(20)),
    ];
    let build = |change: fn(ClientBuilder) -> ClientBuilder| change(Client::builder()).build();
    changes.map(|change| build(change).unwrap()).into()
}

fn client_of(clients: &[Client], seed: u64) -> &Client {
    &clients[usize::try_from(seed).unwrap() % CLIENTS]
}

fn play(clients: &[Client], seed: u64, bug: Option<Bug>) -> (Scenario, Result<Report, Broken>) {
    let scenario = Scenario::from_seed(seed);
    let client = client_of(clients, seed);
    let result = scenario.run_with(client, bug);
    (scenario, result)
}

/// Plays a seed; if a law is broken, tells how to see it again.
#[track_caller]
fn judge(clients: &[Client], seed: u64) -> Report {
    let (scenario, result) = play(clients, seed, None);
    let broken = match result {
        Ok(report) => return report,
        Err(broken) => broken,
    };
    let client = client_of(clients, seed);
    let law = broken.law();
    let simple = scenario.shrink(|scenario| {
        let result = scenario.run(client);
        result.is_err_and(|other| other.law() == law)
    });
    panic!(
        "{broken}\nreplay: WIRESCOPE_SEED={seed} cargo test --all-features --test it random_faults\n{simple:#?}\n{}{}",
        simple.transcript(client),
        simple.run(client).unwrap_err(),
    );
}

/// Plays seeds from a first one on, on two threads, until that many calls were simulated.
fn judge_from(clients: &[Client], first: u64, calls: usize) -> Report {
    let since = Instant::now();
    let (next, simulated) = (AtomicU64::new(first), AtomicUsize::new(0));
    let player = || {
        let mut played = Report::default();
        while simulated.load(Ordering::Relaxed) < calls {
            let report = judge(clients, next.fetch_add(1, Ordering::Relaxed));
            simulated.fetch_add(report.calls(), Ordering::Relaxed);
            played.add(&report);
        }
        played
    };
    let mut total = Report::default();
    thread::scope(|scope| {
        for player in [scope.spawn(player), scope.spawn(player)] {
            total.add(&player.join().unwrap());
        }
    });
    println!(
        "from seed {first}: {} calls, {} events, {} turns in {:?}\n{:?}",
        total.calls(),
        total.events(),
        total.steps(),
        since.elapsed(),
        total.outcomes()
    );
    total
}

#[test]
fn random_faults_break_no_law() {
    let clients = clients();
    if let Ok(seed) = std::env::var("WIRESCOPE_SEED") {
        judge(&clients, seed.parse().unwrap());
        return;
    }
    let total = judge_from(&clients, 1, CALLS);
    // Nothing is proven by scenarios that all end in the same way.
    for outcome in [
        "response", "timeout", "io", "connect", "lookup", "tls", "canceled",
    ] {
        assert!(total.outcomes()[outcome] > 100, "{:?}", total.outcomes());
    }
    // The client's own first event is not simulated, and no event is lost.
    let untold = [EventKind::ClientStart, EventKind::EventsLost];
    for kind in EventKind::ALL.iter().filter(|kind| !untold.contains(kind)) {
        assert!(total.kinds().has(*kind), "{kind} never happened");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    judge_from(&clients, now.as_secs() << 20, FRESH);
}

#[test]
fn planted_bugs_are_found_and_made_simple() {
    let clients = clients();
    for bug in Bug::ALL {
        let found = (1..HUNTED).find_map(|seed| {
            let (scenario, result) = play(&clients, seed, Some(bug));
            Some((seed, scenario, result.err()?))
        });
        let (seed, scenario, broken) = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        let client = client_of(&clients, seed);
        let simple = scenario.shrink(|scenario| scenario.run_with(client, Some(bug)).is_err());
        let (before, behind) = (size(&scenario), size(&simple));
        println!(
            "{bug:?}: seed {seed} breaks {:?}, {before} lines made {behind}",
            broken.law()
        );
        assert!(simple.run_with(client, Some(bug)).is_err());
        assert!(behind <= before && behind < 120, "{simple:#?}");
        // Without the bug the same scenario obeys all laws.
        scenario.run(client).unwrap();
    }
}

fn size(scenario: &Scenario) -> usize {
    format!("{scenario:#?}").lines().count()
}

#[test]
fn a_seed_gives_the_same_events_each_time() {
    let clients = clients();
    for seed in 1..40 {
        let scenario = Scenario::from_seed(seed);
        let first = scenario.transcript(&clients[0]);
        assert_eq!(
            first,
            Scenario::from_seed(seed).transcript(&clients[0]),
            "{seed}"
        );
    }
}
