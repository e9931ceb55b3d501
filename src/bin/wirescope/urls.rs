//! The URLs to fetch: those of the command line, then those of `--url-file`.
//!
//! The rule here: **a file is read as its URLs are wanted.** What is held of it is a piece and the beginning of a line,
//! however long it is and however slowly it comes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::args::Args;
use crate::exit::Failure;

/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// Bytes of a line at the most: four times what a request line may be long.
const LINE_MAX: usize = 64 * 1024;

/// A URL to fetch.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Its number among all URLs, from 0: which `-o` is for it.
    pub(crate) index: usize,
    /// Its number among all that is asked, repetitions counted.
    pub(crate) number: u64,
    pub(crate) url: String,
    /// Where it stands, in front of an error; empty where it is the only one.
    pub(crate) label: String,
}

/// What there is to fetch next.
#[derive(Debug)]
pub(crate) enum Next {
    Url(Asked),
    /// What the file says next has not come yet.
    NotYet,
    End,
}

/// URLs in order.
#[derive(Debug)]
pub(crate) struct Urls<'a> {
    given: &'a [String],
    index: usize,
    number: u64,
    /// How often each is asked.
    times: u32,
    /// What is asked again, and how often.
    again: Option<(Asked, u32)>,
    lines: Option<Lines>,
}

impl<'a> Urls<'a> {
    pub(crate) fn open(args: &'a Args) -> Result<Self, Failure> {
        Ok(Self {
            given: &args.urls,
            index: 0,
            number: 0,
            times: 1,
            again: None,
            lines: args.url_file.as_deref().map(Lines::open).transpose()?,
        })
    }

    /// The same, each so often in a row.
    pub(crate) fn repeated(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// How many are asked in all; none where a file has to be read to know it.
    pub(crate) fn count(&self) -> Option<u64> {
        match self.lines {
            None => Some(self.given.len() as u64 * u64::from(self.times)),
            Some(_) => None,
        }
    }

    /// The next one, however long it takes to come.
    pub(crate) fn wait(&mut self) -> Result<Option<Asked>, Failure> {
        loop {
            match self.held() {
                Next::Url(asked) => return Ok(Some(asked)),
                Next::NotYet => self.read()?,
                Next::End => return Ok(None),
            }
        }
    }

    /// The next one, if it is there.
    pub(crate) fn try_next(&mut self) -> Result<Next, Failure> {
        loop {
            match self.held() {
                Next::NotYet if self.lines.as_ref().is_some_and(Lines::is_readable) => {
                    self.read()?;
                }
                next => return Ok(next),
            }
        }
    }

    /// Gives up what was not read.
    pub(crate) fn end(&mut self) {
        self.index = self.given.len();
        self.again = None;
        self.lines = None;
    }

    /// What becomes readable when there is more.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.lines.as_ref()?.from.as_ref().map(File::as_fd)
    }

    fn held(&mut self) -> Next {
        if let Some((asked, left)) = self.again.take() {
            return self.ask(asked, left);
        }
        let index = self.index;
        let (url, label) = match self.given.get(index) {
            Some(url) => (url.clone(), self.label(index + 1)),
            None => match self.lines.as_mut().map(Lines::take) {
                None | Some(Line::End) => return Next::End,
                Some(Line::NotYet) => return Next::NotYet,
                Some(Line::Url(url, label)) => (url, label),
            },
        };
        self.index += 1;
        let asked = Asked {
            index,
            number: 0,
            url,
            label,
        };
        self.ask(asked, self.times)
    }

    /// Asks it once of so often.
    fn ask(&mut self, mut asked: Asked, left: u32) -> Next {
        asked.number = self.number;
        self.number += 1;
        if left > 1 {
            self.again = Some((asked.clone(), left - 1));
        }
        Next::Url(asked)
    }

    fn label(&self, number: usize) -> String {
        match (self.given.len(), &self.lines) {
            (1, None) => String::new(),
            (count, None) => format!("URL {number} of {count}: "),
            (_, Some(_)) => format!("URL {number}: "),
        }
    }

    fn read(&mut self) -> Result<(), Failure> {
        self.lines.as_mut().map_or(Ok(()), Lines::read)
    }
}

/// A file of URLs.
#[derive(Debug)]
struct Lines {
    name: String,
    /// None: it was read to its end.
    from: Option<File>,
    held: Vec<u8>,
    /// How much of what is held was taken.
    taken: usize,
    /// The line that was taken last, from 1.
    number: u64,
}

enum Line {
    /// A URL, and where it stands.
    Url(String, String),
    NotYet,
    End,
}

impl Lines {
    fn open(file: &Path) -> Result<Self, Failure> {
        let (name, from) = if file.as_os_str() == "-" {
            let stdin = io::stdin().as_fd().try_clone_to_owned();
            ("(standard input)".to_owned(), stdin.map(File::from))
        } else {
            (file.display().to_string(), File::open(file))
        };
        Ok(Self {
            from: Some(from.map_err(|error| Failure::read(&name, &error))?),
            name,
            held: Vec::new(),
            taken: 0,
            number: 0,
        })
    }

    /// The next URL of what is held.
    fn take(&mut self) -> Line {
        loop {
            let rest = self.held.get(self.taken..).unwrap_or_default();
            let (line, used) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&rest[..end], end + 1),
                None if self.from.is_some() => return Line::NotYet,
                None if rest.is_empty() => return Line::End,
                None => (rest, rest.len()),
            };
            let url = url_of(line);
            self.taken += used;
            self.number += 1;
            if let Some(url) = url {
                return Line::Url(url, format!("{}:{}: ", self.name, self.number));
            }
        }
    }

    /// Reads once. What is not a plain file may block, unless it is readable.
    fn read(&mut self) -> Result<(), Failure> {
        let Some(from) = &mut self.from else {
            return Ok(());
        };
        self.held.drain(..self.taken);
        self.taken = 0;
        let before = self.held.len();
        if before >= LINE_MAX {
            let (name, number) = (&self.name, self.number + 1);
            let text = format!("cannot read {name}: line {number} is longer than {LINE_MAX} bytes");
            return Err(Failure::Read(text));
        }
        self.held.resize(before + PIECE, 0);
        let result = from.read(&mut self.held[before..]);
        self.held
            .truncate(before + result.as_ref().copied().unwrap_or(0));
        match result {
            Ok(0) => self.from = None,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::read(&self.name, &error)),
        }
        Ok(())
    }

    /// Says whether a read would not wait. Where that cannot be asked, it is tried.
    fn is_readable(&self) -> bool {
        let Some(from) = &self.from else {
            return true;
        };
        let mut one = [PollFd::new(from, PollFlags::IN)];
        !matches!(poll(&mut one, Some(&Timespec::default())), Ok(0))
    }
}

/// The URL of a line; none if it is blank or a comment. Bytes that are no UTF-8 are percent-encoded.
fn url_of(line: &[u8]) -> Option<String> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let mut url = String::new();
    for chunk in line.utf8_chunks() {
        url.push_str(chunk.valid());
        for byte in chunk.invalid() {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn a_line_is_a_url_unless_it_is_blank_or_a_comment() {
        let check = |line: &[u8], expected: Option<&str>| {
            assert_eq!(url_of(line).as_deref(), expected, "{}", line.escape_ascii());
        };
        check(b"http://a/", Some("http://a/"));
        check(b" \thttp://a/ b \r", Some("http://a/ b"));
        check(b"http://a/#part", Some("http://a/#part"));
        check("http://a/é".as_bytes(), Some("http://a/é"));
        check(b"http://a/\xe9", Some("http://a/%E9"));
        check(b"", None);
        check(b" \r", None);
        check(b"# http://a/", None);
        check(b"  # http://a/", None);
    }

    fn lines(content: &[u8]) -> Lines {
        let path =
            std::env::temp_dir().join(format!("wirescope-urls-{:p}", std::ptr::from_ref(content)));
        let mut file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        Lines {
            name: "f".to_owned(),
            from: Some(file),
            held: Vec::new(),
            taken: 0,
            number: 0,
        }
    }

    fn urls(content: &[u8]) -> Result<Vec<String>, Failure> {
        let mut urls = Urls {
            given: &["http://first/".to_owned()],
            index: 0,
            number: 0,
            times: 1,
            again: None,
            lines: Some(lines(content)),
        };
        let mut all = Vec::new();
        while let Some(asked) = urls.wait()? {
            assert_eq!(asked.index, all.len());
            assert!(urls.lines.as_ref().unwrap().held.len() <= PIECE + LINE_MAX);
            all.push(format!("{}{}", asked.label, asked.url));
        }
        Ok(all)
    }

    #[test]
    fn lines_come_behind_the_command_line_with_their_numbers() {
        let all = urls(b"\n# a comment\nhttp://a/\r\n\n  http://b/").unwrap();
        let expected = ["URL 1: http://first/", "f:3: http://a/", "f:5: http://b/"];
        assert_eq!(all, expected);
        assert_eq!(urls(b"").unwrap().len(), 1);
    }

    #[test]
    fn a_long_file_is_read_in_pieces_and_a_long_line_is_refused() {
        let many: String = (0..20_000)
            .map(|number| format!("http://a/{number}\n"))
            .collect();
        let all = urls(many.as_bytes()).unwrap();
        assert_eq!(
            (all.len(), &*all[20_000]),
            (20_001, "f:20000: http://a/19999")
        );
        let long = format!("http://a/\n{}", "x".repeat(2 * LINE_MAX));
        let failure = urls(long.as_bytes()).unwrap_err();
        assert_eq!(
            (failure.code(), &*failure.line()),
            (26, "cannot read f: line 2 is longer than 65536 bytes")
        );
    }
}
