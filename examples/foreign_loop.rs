//! An event loop inside another: the program polls a descriptor of its own and that of the event loop, in one call.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, EventLoop};

fn main() -> Result<(), Box<dyn Error>> {
    let peer = Peer::start(Script::new().respond_with(|request| {
        let body = request.target().to_owned();
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    }))?;
    let client = Client::new()?;
    let mut event_loop = EventLoop::new(&client)?;

    // Whatever else the program waits for: here, lines that say what to fetch.
    let (mut orders, mut orderer) = UnixStream::pair()?;
    let orderer = thread::Builder::new().spawn(move || {
        for path in ["/one", "/two", "/three"] {
            thread::sleep(Duration::from_millis(20));
            orderer.write_all(format!("{path}\n").as_bytes())?;
        }
        std::io::Result::Ok(())
    })?;

    let mut is_open = true;
    while is_open || event_loop.calls() > 0 {
        if wait(&event_loop, is_open.then_some(&orders))? {
            let mut lines = [0; 256];
            let count = orders.read(&mut lines)?;
            is_open = count > 0;
            for path in std::str::from_utf8(&lines[..count])?.lines() {
                println!("order {path}");
                event_loop.submit(client.get(&peer.url(path))?)?;
            }
        }
        // What is ready goes on; nothing is waited for.
        event_loop.turn(Some(Duration::ZERO))?;
        while let Some(done) = event_loop.try_next() {
            let done = done.into_result()?;
            let (path, conn) = (done.url().path(), done.connection());
            println!("done  {path} {:?} over {conn:?}", done.status());
        }
    }
    orderer.join().map_err(|_| "the orderer panicked")??;
    Ok(())
}

/// Waits for an order or for the event loop, as long as that allows; says whether there is an order.
fn wait(event_loop: &EventLoop, orders: Option<&UnixStream>) -> Result<bool, Box<dyn Error>> {
    // Of what it can do without the system the descriptor says nothing, and neither of deadlines.
    let timeout = event_loop.next_wait().map(|wait| Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    let mut polled = vec![PollFd::from_borrowed_fd(event_loop.as_fd(), PollFlags::IN)];
    polled.extend(orders.map(|orders| PollFd::new(orders, PollFlags::IN)));
    poll(&mut polled, timeout.as_ref())?;
    let order = polled.get(1);
    Ok(order.is_some_and(|order| !order.revents().is_empty()))
}
