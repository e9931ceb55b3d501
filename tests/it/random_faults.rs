//! Random faults: scenarios drawn from seeds, each judged by the laws.
//!
//! A failure prints its seed, and what is left of the scenario after everything was removed that the failure does not
//! need. `WIRESCOPE_SEED=… cargo test --all-features --test it random_faults` plays that seed alone.

use std::time::{Duration, Instant};

use wirescope::config::EarlyResponse;
use wirescope::testkit::sim::{Broken, Bug, Report, Scenario};
use wirescope::{Client, ClientBuilder};

/// Calls that are simulated by one test run.
const CALLS: usize = 30_000;

/// The first of the seeds that are the same in each run.
const FIXED: u64 = 1;

fn clients() -> Vec<Client> {
    let changes: [fn(ClientBuilder) -> ClientBuilder; 4] = [
        |client| client,
        |client| client.retries(0).early_response(EarlyResponse::Abort),
        |client| client.max_idle_per_origin(1),
        |client| client.timeout(Duration::from_secs(20)),
    ];
    let build = |change: fn(ClientBuilder) -> ClientBuilder| change(Client::builder()).build();
    changes.map(|change| build(change).unwrap()).into()
}

fn play(clients: &[Client], seed: u64, bug: Option<Bug>) -> (Scenario, Result<Report, Broken>) {
    let scenario = Scenario::from_seed(seed);
    let client = &clients[usize::try_from(seed % 4).unwrap()];
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
    let client = &clients[usize::try_from(seed % 4).unwrap()];
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

#[test]
fn random_faults_break_no_law() {
    let clients = clients();
    if let Ok(seed) = std::env::var("WIRESCOPE_SEED") {
        judge(&clients, seed.parse().unwrap());
        return;
    }
    let since = Instant::now();
    let mut total = Report::default();
    for seed in FIXED.. {
        total.add(&judge(&clients, seed));
        if total.calls() >= CALLS {
            break;
        }
    }
    println!(
        "{} calls, {} events, {} happenings in {:?}: {:?}",
        total.calls(),
        total.events(),
        total.steps(),
        since.elapsed(),
        total.outcomes()
    );
}
