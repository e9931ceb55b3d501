//! Other places to connect to than a URL says, as curl's `--connect-to` does.

use crate::message::overrides::OverrideError;

/// A table of `host:port` to the host and port that are dialed instead; the first entry that fits counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConnectTo {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    from: (Box<str>, u16),
    to: (Box<str>, u16),
}

impl ConnectTo {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds an entry. An empty host and port 0 fit all, and leave what they would replace as it is.
    ///
    /// # Errors
    /// [`OverrideError::Host`] for a host that cannot be one.
    pub(crate) fn add(
        &mut self,
        host: &str,
        port: u16,
        to_host: &str,
        to_port: u16,
    ) -> Result<(), OverrideError> {
        let refused = |byte: u8| byte.is_ascii_control() || matches!(byte, b' ' | b'/' | b'@');
        if host.bytes().chain(to_host.bytes()).any(refused) {
            return Err(OverrideError::Host);
        }
        self.entries.push(Entry {
            from: (host.into(), port),
            to: (to_host.into(), to_port),
        });
        Ok(())
    }

    /// The host and port that are dialed for these, if they are others.
    pub(crate) fn find<'a>(&'a self, host: &'a str, port: u16) -> Option<(&'a str, u16)> {
        let fits = |entry: &&Entry| {
            (entry.from.0.is_empty() || entry.from.0.eq_ignore_ascii_case(host))
                && (entry.from.1 == 0 || entry.from.1 == port)
        };
        let (to_host, to_port) = &self.entries.iter().find(fits)?.to;
        let host = if to_host.is_empty() { host } else { to_host };
        Some((host, if *to_port == 0 { port } else { *to_port }))
    }
}
