//! Head and body of responses: where `-o`, `-i` and `-I` want them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use wirescope::body::Head;
use wirescope::{Completion, Hop, Response};

use crate::args::Args;
use crate::exit::Failure;

/// Writes what is wanted of a response, and reads its body to the end in any case.
///
/// Without `-o` the body goes nowhere, and the head of `-i` or `-I` to standard output. A file is made when
/// the head is in, so that a failed call leaves none.
pub(crate) fn write(args: &Args, index: usize, response: &mut Response) -> Result<(), Failure> {
    let (mut body, name) = begin(args, index, || {
        let (version, status) = (response.version(), response.status());
        let (reason, fields) = (response.reason(), response.fields());
        heads(
            response.history(),
            Head::new(version, status, reason, fields),
        )
    })?;
    response
        .copy_to(&mut body)
        .and_then(|_| body.flush())
        .map_err(|error| told_apart(name, error))
}

/// As [`write`], for a response that is over: its body is there as a whole, or went nowhere.
pub(crate) fn write_done(args: &Args, index: usize, done: &Completion) -> Result<(), Failure> {
    let heads = || match (done.version(), done.status(), done.fields()) {
        (Some(version), Some(status), Some(fields)) => heads(
            done.history(),
            Head::new(version, status, done.reason(), fields),
        ),
        _ => Vec::new(),
    };
    let (mut body, name) = begin(args, index, heads)?;
    body.write_all(done.body())
        .and_then(|()| body.flush())
        .map_err(|error| Failure::write(name, &error))
}

/// Writes the heads, where they are wanted, and says where the body goes.
fn begin(
    args: &Args,
    index: usize,
    heads: impl FnOnce() -> Vec<u8>,
) -> Result<(Box<dyn Write>, &Path), Failure> {
    let to = args.output.get(index).map(|file| &**file);
    let name = to.unwrap_or_else(|| Path::new("-"));
    let mut body: Box<dyn Write> = match to {
        Some(file) => open(file)?,
        None => Box::new(io::sink()),
    };
    if args.include || args.head {
        let result = match to {
            Some(_) => body.write_all(&heads()),
            None => io::stdout().lock().write_all(&heads()),
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

/// The heads of all responses of a call: of those whose redirects were followed, and of the last.
fn heads(followed: &[Hop], last: Head<'_>) -> Vec<u8> {
    let head = |hop: &Hop| {
        let (version, status) = (hop.version(), hop.status());
        head_as_it_came(&Head::new(version, status, hop.reason(), hop.fields()))
    };
    let mut heads: Vec<u8> = followed.iter().flat_map(head).collect();
    heads.extend(head_as_it_came(&last));
    heads
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
