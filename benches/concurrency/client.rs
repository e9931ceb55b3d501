//! A client process: does one job with one client, and says its figures in one line.

use std::net::SocketAddr;
use std::time::Duration;

use crate::concurrency::answers::Path;
use crate::concurrency::control::Control;
use crate::concurrency::crowd::Crowd;
use crate::concurrency::crowds;
use crate::concurrency::figures::{Bytes, Footprint, Sample, Start};
use crate::concurrency::machine;
use crate::concurrency::options::Options;
use crate::concurrency::{Heap, Outcome};

/// Completions between two looks at the clock.
const STRIDE: u64 = 64;

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
    let warm = 2 * connections as u64 + 1000;
    let (mut seen, mut start, mut sample) = (0, None, None);
    crowd.keep(Path::Tiny, connections, &mut || {
        seen += 1;
        if seen == warm {
            start = Some(Start::now());
        }
        if let Some(start) = &start {
            if seen % STRIDE == 0 && start.wall() >= time {
                sample.get_or_insert_with(|| start.sample(seen - warm));
            }
        }
        sample.is_none()
    })?;
    sample.ok_or_else(|| "no request ended".into())
}

/// So many requests, from the first to the last.
fn count(crowd: &mut dyn Crowd, path: Path, connections: usize, requests: u64) -> Outcome<Sample> {
    let in_flight = connections as u64;
    let mut seen = 0;
    let start = Start::now();
    crowd.keep(path, connections, &mut || {
        seen += 1;
        seen + in_flight <= requests
    })?;
    if seen != requests.max(in_flight) {
        return Err(format!("{seen} of {requests} requests came to an end").into());
    }
    Ok(start.sample(seen))
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
    crowd.hold(connections, &mut || {
        Ok(control.get("/held")?.trim().parse() == Ok(connections))
    })?;
    let active = bytes()?;
    control.get("/release")?;
    crowd.settle()?;
    Ok(Footprint {
        before,
        active,
        idle: bytes()?,
    })
}
