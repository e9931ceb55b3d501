//! A call that waits is cancelled from another thread; another meets its deadline. Both say where they were.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use wirescope::Client;
use wirescope::testkit::{Peer, Script};

#[expect(
    clippy::disallowed_methods,
    reason = "an example measures with its own clock"
)]
fn main() -> Result<(), Box<dyn Error>> {
    // Takes the request, and says nothing.
    let silent = Peer::start(Script::new().expect_request().stall())?;
    let client = Client::new()?;
    let begun = Instant::now();

    let mut request = client.get(&silent.url("/"))?;
    let handle = request.cancel_handle();
    let canceler = thread::Builder::new().spawn(move || {
        thread::sleep(Duration::from_millis(50));
        handle.cancel();
    })?;
    match request.send() {
        Ok(response) => println!("unexpected: {}", response.status()),
        Err(error) => println!(
            "{:>6.0?}  canceled: {}  {error}",
            begun.elapsed(),
            error.is_canceled()
        ),
    }
    canceler.join().map_err(|_| "the canceler panicked")?;

    let request = client
        .get(&silent.url("/"))?
        .timeouts(|t| t.first_byte = Some(Duration::from_millis(100)));
    match request.send() {
        Ok(response) => println!("unexpected: {}", response.status()),
        Err(error) => println!(
            "{:>6.0?}  timeout: {}  {error}",
            begun.elapsed(),
            error.is_timeout()
        ),
    }
    Ok(())
}
