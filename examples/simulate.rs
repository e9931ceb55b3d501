//! Thousands of calls with random faults, on a virtual network: `simulate [CALLS] [SEED]`.
//!
//! Every scenario is judged by the laws; one that breaks a law is made simpler and shown, with its seed.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wirescope::Client;
use wirescope::testkit::sim::{Report, Scenario};

/// Calls that are simulated unless the command line says otherwise.
const CALLS: usize = 10_000;

#[expect(
    clippy::disallowed_methods,
    reason = "the rate is counted in real time, and a seed may come from it"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let calls = arguments.next().map_or(Ok(CALLS), |text| text.parse())?;
    let first: u64 = match arguments.next() {
        Some(seed) => seed.parse()?,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() << 20,
    };
    let client = Client::new()?;
    let since = Instant::now();
    let mut total = Report::default();
    let mut last = first;
    for seed in first.. {
        let scenario = Scenario::from_seed(seed);
        match scenario.run(&client) {
            Ok(report) => total.add(&report),
            Err(broken) => {
                let simple = scenario.shrink(|scenario| scenario.run(&client).is_err());
                println!("{simple:#?}\n{}", simple.transcript(&client));
                return Err(broken.into());
            }
        }
        last = seed;
        if total.calls() >= calls {
            break;
        }
    }
    let elapsed = since.elapsed();
    println!("seeds {first} to {last}");
    println!(
        "{} calls in {elapsed:.1?}: {:.0} a second; {} events, {} turns",
        total.calls(),
        total.calls() as f64 / elapsed.as_secs_f64(),
        total.events(),
        total.steps(),
    );
    println!("faults");
    for (fault, count) in total.faults() {
        println!("  {fault:<22} {count:>9}");
    }
    println!("outcomes");
    for (outcome, count) in total.outcomes() {
        println!("  {outcome:<22} {count:>9}");
    }
    Ok(())
}
