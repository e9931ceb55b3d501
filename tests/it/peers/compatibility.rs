//! The page `docs/compatibility.md`: what was tried with which program, and what came of it.
//!
//! All tests of one run note what they saw, and with `WIRESCOPE_UPDATE=1` each writes the whole page as far as it is
//! known, so that the last one leaves it complete. A run that looks at the page does not fail when it differs: versions
//! are those of the machine.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// A program of the distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tool {
    Squid,
    /// Squid as an https proxy: haproxy takes TLS off before it.
    SquidTls,
    Tinyproxy,
    Dante,
    Nginx,
    Haproxy,
    Apache,
}

impl Tool {
    /// How it is started.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Squid | Self::SquidTls => "squid",
            Self::Tinyproxy => "tinyproxy",
            Self::Dante => "danted",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Apache => "apache2",
        }
    }

    /// What it is here.
    fn role(self) -> &'static str {
        match self {
            Self::Squid | Self::Tinyproxy => "http proxy",
            Self::SquidTls => "https proxy: haproxy takes TLS off before it",
            Self::Dante => "SOCKS5 proxy",
            Self::Nginx | Self::Apache => "origin, and reverse proxy before a peer of the test kit",
            Self::Haproxy => "reverse proxy before nginx and a peer of the test kit",
        }
    }

    /// What it says about its version: so many words of its first line, behind what it may begin with.
    fn version(self) -> String {
        let (words, prefix) = match self {
            Self::Squid | Self::SquidTls => (2, "Squid Cache: "),
            Self::Tinyproxy | Self::Dante => (2, ""),
            Self::Nginx => (2, "nginx version: "),
            Self::Haproxy => (3, ""),
            Self::Apache => (2, "Server version: "),
        };
        let output = Command::new(self.command()).arg("-v").output();
        let output = output.unwrap_or_else(|error| panic!("{self:?} is needed: {error}"));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let line = said.lines().next().unwrap_or_default();
        let line = line.trim_start_matches(prefix);
        let version: Vec<_> = line.split_whitespace().take(words).collect();
        let version = version.join(" ").trim_end_matches('.').to_owned();
        match self {
            Self::Squid => format!("Squid, {version}"),
            Self::SquidTls => format!("Squid, {version}, over TLS"),
            Self::Tinyproxy | Self::Dante | Self::Nginx | Self::Haproxy | Self::Apache => version,
        }
    }
}

type Notes = BTreeMap<Tool, BTreeMap<&'static str, String>>;

static NOTES: Mutex<Notes> = Mutex::new(BTreeMap::new());

/// Notes what came of something.
pub(super) fn note(tool: Tool, what: &'static str, result: &str) {
    let mut notes = NOTES.lock().unwrap();
    notes
        .entry(tool)
        .or_default()
        .insert(what, result.to_owned());
    if std::env::var_os("WIRESCOPE_UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
        std::fs::write(path, page(&notes)).unwrap();
    }
}

fn page(notes: &Notes) -> String {
    let mut page = String::from(
        "# Compatibility\n\n\
        Written by `tests/it/peers` in `.ci/run`, with the programs of the machine it ran on; do not edit.\n\
        Everything was tried through both doors, `Client` and `EventLoop`, unless it says otherwise; all events went\n\
        through the grammar, and all content was compared byte by byte.\n",
    );
    for (tool, rows) in notes {
        write!(page, "\n## {}\n\n", tool.version()).unwrap();
        write!(
            page,
            "{}\n\n| what was tried | what came of it |\n|---|---|\n",
            tool.role()
        )
        .unwrap();
        for (what, result) in rows {
            writeln!(page, "| {what} | {result} |").unwrap();
        }
    }
    page
}
