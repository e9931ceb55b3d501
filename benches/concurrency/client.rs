//! A client process: does one job with one client, and says its figures in one line.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::concurrency::answers::Path;
use crate::concurrency::control::Control;
use crate::concurrency::crowd::{Crowd, Tally};
use crate::concurrency::crowds;
use crate::concurrency::figures::{Bytes, Footprint, Sample, Start};
use crate::concurrency::machine;
use crate::concurrency::options::Options;
use crate::concurrency::{Heap, Outcome};

/// The clock is looked at when these bits of the number of completions are zero.
const STRIDE: u64 = 63;

/// Does the job that the parent's options name.
pub(crate) fn run(options: &Options, heap: Option<Heap>) -> Outcome<()> {
    machine::raise_descriptor_limit()?;
    machine::pin(options.required("core")?)?;
    let addr: SocketAddr = options.required("addr")?;
    let connections: usize = options.required("connections")?;
    let name: String = options.required("client")?;
    let job: String = options.required("job")?;
    let authority = options.value("authority");
    let mut crowd = crowds::named(&name, addr, authority, connections)?;
    if job == "memory" {
        let control = Control::connect(options.required("control")?)?;
        let footprint = memory(crowd.as_mut(), control, connections, heap)?;
        println!("{footprint}");
        return Ok(());
    }
    crowd.open(connections)?;
    let sample = match job.as_str() {
        "rate" => {
            let seconds = Duration::from_secs_f64(options.required("seconds")?);
            rate(crowd.as_mut(), connections, seconds)?
        }
        "count" => {
            let requests = options.required("requests")?;
            count(crowd.as_mut(), Path::Tiny, connections, requests)?
        }
        "bulk" => count(crowd.as_mut(), Path::Bulk, connections, connections as u64)?,
        "rest" => {
            let start = Start::now();
            crowd.rest(Duration::from_secs_f64(options.required("seconds")?))?;
            start.sample(0)
        }
        other => return Err(format!("no job {other}").into()),
    };
    println!("{sample}");
    Ok(())
}

/// The requests of so long a time, after each connection had its turn.
fn rate(crowd: &mut dyn Crowd, connections: usize, time: Duration) -> Outcome<Sample> {
    let timed = Rc::new(Timed {
        time,
        warm: 2 * connections as u64 + 1000,
        ended: Cell::new(0),
        start: Cell::new(None),
        sample: Cell::new(None),
    });
    let tally: Rc<dyn Tally> = timed.clone();
    crowd.keep(Path::Tiny, connections, &tally)?;
    timed.sample.get().ok_or_else(|| "no request ended".into())
}

/// So many requests, from the first to the last.
fn count(crowd: &mut dyn Crowd, path: Path, connections: usize, requests: u64) -> Outcome<Sample> {
    let counted = Rc::new(Counted {
        to_begin: Cell::new(requests.saturating_sub(connections as u64)),
        ended: Cell::new(0),
    });
    let tally: Rc<dyn Tally> = counted.clone();
    let start = Start::now();
    crowd.keep(path, connections, &tally)?;
    let sample = start.sample(counted.ended.get());
    if sample.requests != requests.max(connections as u64) {
        return Err(format!("{} of {requests} requests ended", sample.requests).into());
    }
    Ok(sample)
}

/// Goes on for a time, which begins when some have ended.
struct Timed {
    time: Duration,
    warm: u64,
    ended: Cell<u64>,
    start: Cell<Option<Start>>,
    sample: Cell<Option<Sample>>,
}

impl Tally for Timed {
    fn ended(&self) -> bool {
        let ended = self.ended.get() + 1;
        self.ended.set(ended);
        if ended == self.warm {
            self.start.set(Some(Start::now()));
        } else if ended > self.warm && ended & STRIDE == 0 && self.sample.get().is_none() {
            let start = self.start.get().filter(|start| start.wall() >= self.time);
            self.sample
                .set(start.map(|start| start.sample(ended - self.warm)));
        }
        self.sample.get().is_none()
    }
}

/// Goes on for a number of requests.
struct Counted {
    to_begin: Cell<u64>,
    ended: Cell<u64>,
}

impl Tally for Counted {
    fn ended(&self) -> bool {
        self.ended.set(self.ended.get() + 1);
        let left = self.to_begin.get();
        self.to_begin.set(left.saturating_sub(1));
        left > 0
    }
}

fn memory(
    crowd: &mut dyn Crowd,
    mut control: Control,
    connections: usize,
    heap: Option<Heap>,
) -> Outcome<Footprint> {
    let bytes = || -> Outcome<Bytes> {
        Ok(Bytes {
            resident: machine::resident()? as u64,
            heap: heap.map_or(0, |heap| heap() as u64),
        })
    };
    let before = bytes()?;
    crowd.open_few_at_once(connections)?;
    let opened = bytes()?;
    crowd.hold(connections, &mut || {
        Ok(control.get("/held")?.trim().parse() == Ok(connections))
    })?;
    let active = bytes()?;
    control.get("/release")?;
    crowd.settle()?;
    Ok(Footprint {
        before,
        opened,
        active,
        idle: bytes()?,
    })
}
