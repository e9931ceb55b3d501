//! Head and body of responses: where `-o`, `-i` and `-I` want them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use wirescope::body::Head;
use wirescope::{Completion, HopRequest, Response, RoundTrip};

use crate::args::Args;
use crate::exit::Failure;

/// The heads of responses whose redirects were followed, until they are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heads(Arc<Mutex<Vec<u8>>>);

impl Heads {
    /// Keeps the heads of all responses that a round trip gives.
    pub(crate) fn keeping<R: RoundTrip>(self, next: R) -> impl RoundTrip + use<R> {
        Keeping(self, next)
    }

    /// Takes what was kept, but for the head that is handed out in the end.
    fn take(&self, last: &[u8]) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heads = std::mem::take(&mut *kept);
        if heads.ends_with(last) {
            heads.truncate(heads.len() - last.len());
        }
        heads
    }
}

struct Keeping<R>(Heads, R);

impl<R: RoundTrip> RoundTrip for Keeping<R> {
    fn round_trip(&self, hop: HopRequest) -> wirescope::Result<Response> {
        let response = self.1.round_trip(hop)?;
        let mut kept = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&head_of(&response));
        Ok(response)
    }
}

/// Writes what is wanted of a response, and reads its body to the end in any case.
///
/// Without `-o` the body goes nowhere, and the head of `-i` or `-I` to standard output. A file is made when
/// the head is in, so that a failed call leaves none.
pub(crate) fn write(
    args: &Args,
    index: usize,
    response: &mut Response,
    heads: &Heads,
) -> Result<(), Failure> {
    let last = head_of(response);
    let (mut body, name) = begin(args, index, || [heads.take(&last), last].concat())?;
    response
        .copy_to(&mut body)
        .and_then(|_| body.flush())
        .map_err(|error| told_apart(name, error))
}

/// As [`write`], for a response that is over: its body is there as a whole, or went nowhere. The heads of redirects are
/// not kept.
pub(crate) fn write_done(args: &Args, index: usize, done: &Completion) -> Result<(), Failure> {
    let head = || match (done.version(), done.status(), done.fields()) {
        (Some(version), Some(status), Some(fields)) => {
            head_as_it_came(&Head::new(version, status, done.reason(), fields))
        }
        _ => Vec::new(),
    };
    let (mut body, name) = begin(args, index, head)?;
    body.write_all(done.body())
        .and_then(|()| body.flush())
        .map_err(|error| Failure::write(name, &error))
}

/// Writes the head, where it is wanted, and says where the body goes.
fn begin(
    args: &Args,
    index: usize,
    head: impl FnOnce() -> Vec<u8>,
) -> Result<(Box<dyn Write>, &Path), Failure> {
    let to = args.output.get(index).map(|file| &**file);
    let name = to.unwrap_or_else(|| Path::new("-"));
    let mut body: Box<dyn Write> = match to {
        Some(file) => open(file)?,
        None => Box::new(io::sink()),
    };
    if args.include || args.head {
        let result = match to {
            Some(_) => body.write_all(&head()),
            None => io::stdout().lock().write_all(&head()),
        };
        result.map_err(|error| Failure::write(name, &error))?;
    }
    Ok((body, name))
}

fn open(file: &Path) -> Result<Box<dyn Write>, Failure> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdout()));
    }
    match File::create(file) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(Failure::write(file, &error)),
    }
}

/// An error of the library comes from the peer, any other from the writer.
fn told_apart(to: &Path, error: io::Error) -> Failure {
    match error.downcast::<wirescope::Error>() {
        Ok(error) => Failure::Call(error),
        Err(error) => Failure::write(to, &error),
    }
}

fn head_of(response: &Response) -> Vec<u8> {
    let (version, status) = (response.version(), response.status());
    let (reason, fields) = (response.reason(), response.fields());
    head_as_it_came(&Head::new(version, status, reason, fields))
}

/// The head as it came: status line, field lines, empty line.
pub(crate) fn head_as_it_came(head: &Head<'_>) -> Vec<u8> {
    let mut bytes = format!("{} {} ", head.version(), head.status()).into_bytes();
    bytes.extend_from_slice(head.reason());
    bytes.extend_from_slice(b"\r\n");
    for line in head.fields().iter() {
        bytes.extend_from_slice(line.name().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(line.value());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
