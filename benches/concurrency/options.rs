//! Options of the command line: `--name value`.

use std::str::FromStr;

use crate::concurrency::Outcome;

/// Names and values, in their order.
#[derive(Debug, Default)]
pub(crate) struct Options(Vec<(String, String)>);

impl Options {
    /// The mode and its options. One without a value has the value `yes`.
    pub(crate) fn of_command_line() -> Outcome<(String, Self)> {
        let mut words = std::env::args().skip(1).peekable();
        let mode = words.next().unwrap_or_else(|| "rate".to_owned());
        let mut options = Vec::new();
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix("--")
                .ok_or_else(|| format!("{word} is no option"))?;
            let value = words.next_if(|next| !next.starts_with("--"));
            options.push((name.to_owned(), value.unwrap_or_else(|| "yes".to_owned())));
        }
        Ok((mode, Self(options)))
    }

    /// The value of an option, if it was given.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let given = self.0.iter().rev().find(|(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }

    /// The value of an option that must be given.
    pub(crate) fn required<T: FromStr>(&self, name: &str) -> Outcome<T> {
        let value = self.value(name).ok_or_else(|| format!("--{name}?"))?;
        parsed(name, value)
    }

    /// The value of an option.
    pub(crate) fn or<T: FromStr>(&self, name: &str, default: T) -> Outcome<T> {
        self.value(name)
            .map_or(Ok(default), |value| parsed(name, value))
    }

    /// Values with commas between.
    pub(crate) fn list<T: FromStr>(&self, name: &str, default: &str) -> Outcome<Vec<T>> {
        let value = self.value(name).unwrap_or(default);
        value.split(',').map(|value| parsed(name, value)).collect()
    }
}

fn parsed<T: FromStr>(name: &str, value: &str) -> Outcome<T> {
    value
        .parse()
        .map_err(|_| format!("--{name} cannot be {value}").into())
}
