//! `-H`, as curl reads it: `Name: value` adds, `Name;` adds an empty value, `Name:` leaves a default out.

use wirescope::{Proxy, Request};

use crate::exit::Failure;

/// Fields that the client writes itself and that can be left out.
const DEFAULTS: &[&str] = &["user-agent", "accept"];

/// Fields that no request can do without.
const NEEDED: &[&str] = &["host", "content-length", "transfer-encoding"];

/// The field lines of the command line.
#[derive(Debug, Default)]
pub(crate) struct FieldLines {
    lines: Vec<(String, String)>,
    without: Vec<String>,
}

impl FieldLines {
    pub(crate) fn read(texts: &[String]) -> Result<Self, Failure> {
        let mut fields = Self::default();
        for text in texts {
            fields.add(text)?;
        }
        Ok(fields)
    }

    fn add(&mut self, text: &str) -> Result<(), Failure> {
        if text.starts_with('@') {
            return Err(Failure::usage("-H @FILE is not supported"));
        }
        match (text.split_once(':'), text.strip_suffix(';')) {
            (Some((name, value)), _) if !value.trim().is_empty() => {
                self.lines.push((name.to_owned(), value.trim().to_owned()));
            }
            (Some((name, _)), _) => self.leave_out(name)?,
            (None, Some(name)) => self.lines.push((name.to_owned(), String::new())),
            (None, None) => {
                return Err(Failure::usage("-H needs 'Name: value', 'Name;' or 'Name:'"));
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, name: &str) -> Result<(), Failure> {
        if NEEDED
            .iter()
            .any(|needed| needed.eq_ignore_ascii_case(name))
        {
            return Err(Failure::Unsupported(format!(
                "the field {name} cannot be left out"
            )));
        }
        self.without.push(name.to_owned());
        Ok(())
    }

    /// Says whether the command line speaks of a field at all.
    pub(crate) fn speak_of(&self, name: &str) -> bool {
        let names = self.lines.iter().map(|(name, _)| name).chain(&self.without);
        names
            .into_iter()
            .any(|other| other.eq_ignore_ascii_case(name))
    }

    /// Gives a proxy its fields.
    pub(crate) fn apply_to_proxy(&self, mut proxy: Proxy) -> Result<Proxy, wirescope::Error> {
        for (name, value) in &self.lines {
            proxy = proxy.field(name, value)?;
        }
        Ok(proxy)
    }

    /// Gives a request its fields.
    pub(crate) fn apply(&self, mut request: Request) -> Result<Request, wirescope::Error> {
        for name in &self.without {
            if DEFAULTS
                .iter()
                .any(|default| default.eq_ignore_ascii_case(name))
            {
                request = request.without_default(name);
            }
        }
        for (name, value) in &self.lines {
            request = request.header_bytes(name, value.as_bytes())?;
        }
        Ok(request)
    }
}
