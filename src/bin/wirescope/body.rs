//! The content of a request: `-d`, `--data-binary`, `-T`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use wirescope::Request;

use crate::exit::Failure;

/// One `-d` or `--data-binary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataPart {
    text: String,
    is_binary: bool,
}

impl DataPart {
    pub(crate) fn new(text: &str, is_binary: bool) -> Self {
        Self {
            text: text.to_owned(),
            is_binary,
        }
    }

    /// Says whether it reads standard input.
    pub(crate) fn is_stdin(&self) -> bool {
        self.text == "@-"
    }

    /// The bytes it stands for: a leading `@` names a file, of which `-d` leaves CR, LF and NUL out.
    fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let Some(name) = self.text.strip_prefix('@') else {
            return Ok(self.text.clone().into_bytes());
        };
        let mut bytes = read(name).map_err(|error| Failure::read(name, &error))?;
        if !self.is_binary {
            bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
        }
        Ok(bytes)
    }
}

/// All parts joined by `&`, as a form has them.
pub(crate) fn joined(parts: &[DataPart]) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            all.push(b'&');
        }
        all.append(&mut part.bytes()?);
    }
    Ok(all)
}

fn read(name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if name == "-" {
        io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        File::open(name)?.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Gives a request the file as its body: with its length if it is a plain file, else chunked.
pub(crate) fn upload(request: Request, file: &Path) -> Result<Request, Failure> {
    if file.as_os_str() == "-" {
        return Ok(request.body_reader(io::stdin()));
    }
    let open = || {
        let file = File::open(file)?;
        let facts = file.metadata()?;
        io::Result::Ok((file, facts))
    };
    let (open, facts) = open().map_err(|error| Failure::read(&file.to_string_lossy(), &error))?;
    Ok(if facts.is_file() {
        request.body_sized_reader(open, facts.len())
    } else {
        request.body_reader(open)
    })
}

/// The URL that a file is put to: one that ends in a slash, or has no path, gets the name of the file.
pub(crate) fn put_to(url: &str, file: &Path) -> String {
    let Some(name) = file.file_name().filter(|_| file.as_os_str() != "-") else {
        return url.to_owned();
    };
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, rest) = url.split_at(end);
    let authority = path.find("://").map_or(0, |at| at + 3);
    let slash = match path[authority..].find('/') {
        None => "/",
        Some(_) if path.ends_with('/') => "",
        Some(_) => return url.to_owned(),
    };
    let name = percent_encoded(name.as_encoded_bytes());
    format!("{path}{slash}{name}{rest}")
}

fn percent_encoded(name: &[u8]) -> String {
    let mut text = String::new();
    for byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte))
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_names_a_folder_gets_the_name_of_the_file() {
        let check = |url: &str, file: &str, expected: &str| {
            assert_eq!(put_to(url, Path::new(file)), expected, "{url} {file}");
        };
        check("http://h/dir/", "a/b c.txt", "http://h/dir/b%20c.txt");
        check("http://h", "b", "http://h/b");
        check("http://h?q", "b", "http://h/b?q");
        check("http://h/x", "b", "http://h/x");
        check("http://h/", "-", "http://h/");
        check("http://h/?a/", "b", "http://h/b?a/");
    }
}
