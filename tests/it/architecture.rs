//! The absences that ARCHITECTURE.md promises: which folder may not know what.
//!
//! Change a rule by changing a table here, with its reason. A breach is told as `file:line`, and an exception that
//! nothing needs any more is a breach too. Test code is not looked at, except for its length.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Arrows only go down: what the code of a module may name by `crate::`. A module that is not here may name
/// nothing.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("config", &[]),
    ("error", &["ids"]),
    ("message", &["error"]),
    ("body", &["message"]),
    ("event", &["error", "ids", "message"]),
    ("proto", &["config", "error", "event", "message"]),
    (
        "flow",
        &["config", "error", "event", "ids", "message", "proto"],
    ),
    ("net", &["error", "message"]),
    (
        "drive",
        &[
            "body", "config", "error", "event", "flow", "ids", "message", "net", "proto",
        ],
    ),
    // The doors know each other.
    ("client", DOORS),
    ("event_loop", DOORS),
    ("request", DOORS),
    ("response", DOORS),
    ("round_trip", DOORS),
    ("upgraded", DOORS),
    // Beside the doors: what reads events, and what tests need.
    ("export", &["error", "event", "ids", "message"]),
    // The simulator in it is a third interpreter of actions, and takes the settings of a client.
    (
        "testkit",
        &[
            "client", "drive", "error", "event", "flow", "ids", "message", "net", "proto",
            "request",
        ],
    ),
    // What the benchmarks measure one by one: hidden, compiled for tests and the test kit only.
    (
        "bench",
        &["config", "event", "ids", "message", "net", "proto"],
    ),
    ("lib", &["*"]),
    // The command is a crate of its own: it sees the public interface, and `crate::` is itself.
    ("bin", &["*"]),
];

const DOORS: &[&str] = &[
    "body",
    "client",
    "config",
    "drive",
    "error",
    "event",
    "flow",
    "ids",
    "message",
    "net",
    "proto",
    "request",
    "response",
    "round_trip",
    "upgraded",
];

/// Arrows that go up all the same: from a file to a module, and why.
const UP_ALL_THE_SAME: &[(&str, &str, &str)] = &[
    (
        "src/error.rs",
        "message",
        "the rules that a URL can break stand beside their parser",
    ),
    (
        "src/error/kind.rs",
        "message",
        "a kind says which rule of URLs was broken",
    ),
    (
        "src/error/report.rs",
        "message",
        "what a redirect could not follow has fields",
    ),
    (
        "src/error/tried.rs",
        "message",
        "what was tried is an address of a peer",
    ),
    (
        "src/error/looked_up.rs",
        "message",
        "what a lookup came to is of one family",
    ),
    (
        "src/error/rule.rs",
        "message",
        "a redirect breaks the rules of URLs",
    ),
    (
        "src/error/proxy.rs",
        "message",
        "what a proxy said has fields",
    ),
    (
        "src/net/clock.rs",
        "event",
        "the origin of the clock is a type of events",
    ),
    (
        "src/export/writer.rs",
        "net",
        "a line about the writer itself says when it was written",
    ),
];

/// Names that the code of a folder may not have, and why.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    ("src/proto/", PURE, "the wire is pure"),
    ("src/flow/", PURE, "policy is pure"),
    (
        "src/message/",
        PURE_BUT_FOR_MEMORY,
        "values know nothing of the world",
    ),
    (
        "src/net/",
        &[
            "content-length",
            "transfer-encoding",
            "content_length",
            "transfer_encoding",
            "keep-alive",
            "StatusCode",
            "status_code",
            "Method",
            "Fields",
            "Emitter",
            "EventKind",
        ],
        "the system knows no HTTP and emits nothing",
    ),
    (
        "src/drive/",
        &[
            "Method",
            "GET",
            "HEAD",
            "POST",
            "CONNECT",
            "status",
            "header",
            "Fields",
            "content-length",
            "transfer-encoding",
            "expect-continue",
        ],
        "drivers decide nothing",
    ),
];

const PURE: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "socket2",
    "rustix",
    "thread",
    "Mutex",
    "RwLock",
    "Condvar",
    "crossbeam_channel",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "RandomState",
    "getrandom",
    "rand",
];

const PURE_BUT_FOR_MEMORY: &[&str] = &[
    "TcpStream",
    "socket2",
    "rustix",
    "thread",
    "Mutex",
    "Instant::now",
    "SystemTime",
    "HashMap",
];

/// What is written in one place only.
const ONE_PLACE: &[(&str, &str)] = &[
    ("Event {", "src/event/emitter.rs"),
    ("unsafe", "src/net/sys.rs"),
];

/// A file that is longer asks whether it holds a second noun.
const LINES_MAX: usize = 640;

/// Files that are longer, and why they hold one noun all the same.
const LONG: &[(&str, &str)] = &[
    ("src/event/payload.rs", "one table: what each event says"),
    ("src/event/script.rs", "one table: a payload for each kind"),
    ("src/event/grammar/tests.rs", "tables of faults"),
    ("src/message/url/tests.rs", "tables of URLs"),
    ("src/flow/pool/tests.rs", "tables, and one model"),
    ("src/net/tls/tests.rs", "one rig, many endings"),
];

/// Places on one machine, which say nothing to a reader.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/Users/", "/work/"];

/// A source file: its path from the root, and its lines without comments and test code.
struct Source {
    path: String,
    lines: Vec<(usize, String)>,
    length: usize,
}

#[test]
fn arrows_only_go_down() {
    let mut used = BTreeSet::new();
    let mut breaches = Vec::new();
    for source in code() {
        breaches.extend(wrong_arrows(&source, &mut used));
    }
    for (file, module, _) in UP_ALL_THE_SAME {
        if !used.contains(&((*file).to_owned(), (*module).to_owned())) {
            breaches.push(format!("{file}: the exception for {module} is not needed"));
        }
    }
    none(&breaches);
}

#[test]
fn folders_do_not_know_what_they_may_not() {
    let breaches: Vec<_> = code().iter().flat_map(forbidden_names).collect();
    none(&breaches);
}

#[test]
fn some_things_are_written_in_one_place() {
    let breaches: Vec<_> = code().iter().flat_map(out_of_place).collect();
    none(&breaches);
}

/// What makes a stage of TLS, and what judges certificates: each is called once, so that no way to a peer has one of
/// its own.
const TLS_MAKERS: &[&str] = &[
    "UnbufferedClientConnection::new(",
    "WebPkiServerVerifier::builder",
    "TlsStage::new(",
];

#[test]
fn rfc_g9_tls_is_begun_in_one_place() {
    for maker in TLS_MAKERS {
        let sources = code();
        let calls = sources.iter().flat_map(|source| {
            let calls = source.lines.iter().filter(|(_, line)| line.contains(maker));
            calls.map(|(number, _)| format!("{}:{number}", source.path))
        });
        let calls: Vec<_> = calls.collect();
        assert_eq!(calls.len(), 1, "{maker} {calls:?}");
    }
}

#[test]
fn a_long_file_has_a_reason() {
    let mut breaches = Vec::new();
    let mut long = BTreeSet::new();
    for (path, text) in files("src") {
        let length = text.lines().count();
        if length > LINES_MAX {
            long.insert(path.clone());
            if !LONG.iter().any(|(file, _)| *file == path) {
                breaches.push(format!("{path}:1: {length} lines without a reason"));
            }
        }
    }
    for (file, _) in LONG {
        if !long.contains(*file) {
            breaches.push(format!("{file}: is not that long any more"));
        }
    }
    none(&breaches);
}

#[test]
fn no_text_names_a_place_on_a_machine() {
    let mut breaches = Vec::new();
    for folder in ["src", "tests", "docs", "examples"] {
        for (path, text) in files(folder) {
            // This file has to name them.
            if path == "tests/it/architecture.rs" {
                continue;
            }
            for (number, line) in (1..).zip(text.lines()) {
                for name in MACHINE_PATHS.iter().filter(|name| line.contains(**name)) {
                    breaches.push(format!("{path}:{number}: {name}"));
                }
            }
        }
    }
    none(&breaches);
}

#[track_caller]
fn none(breaches: &[String]) {
    assert!(
        breaches.is_empty(),
        "{} breaches:\n{}",
        breaches.len(),
        breaches.join("\n")
    );
}

fn wrong_arrows(source: &Source, used: &mut BTreeSet<(String, String)>) -> Vec<String> {
    let from = module_of(&source.path);
    let may = MAY_USE.iter().find(|(module, _)| *module == from);
    let may = may.map_or(&[][..], |(_, may)| may);
    let mut breaches = Vec::new();
    for (number, line) in &source.lines {
        for to in named_modules(line) {
            if to == from || may.contains(&to) || may.contains(&"*") {
                continue;
            }
            let is_known = UP_ALL_THE_SAME
                .iter()
                .any(|(file, module, _)| *file == source.path && *module == to);
            if is_known {
                used.insert((source.path.clone(), to.to_owned()));
            } else {
                breaches.push(format!("{}:{number}: {from} uses {to}", source.path));
            }
        }
    }
    breaches
}

fn forbidden_names(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    for (folder, names, why) in FORBIDDEN {
        if !source.path.starts_with(folder) {
            continue;
        }
        for (number, line) in &source.lines {
            for name in names.iter().filter(|name| has_word(line, name)) {
                breaches.push(format!("{}:{number}: {name} ({why})", source.path));
            }
        }
    }
    breaches
}

fn out_of_place(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    for (what, place) in ONE_PLACE {
        if source.path == *place {
            continue;
        }
        for (number, line) in &source.lines {
            let is_type = ["struct ", "impl", "-> ", "for "];
            if has_word(line, what) && !is_type.iter().any(|word| line.contains(word)) {
                breaches.push(format!("{}:{number}: {what} outside {place}", source.path));
            }
        }
    }
    breaches
}

/// The first folder or file below `src`.
fn module_of(path: &str) -> &str {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The modules behind each `crate::`; a name of the crate's root counts as `lib`.
fn named_modules(line: &str) -> Vec<&str> {
    let each = line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        match &rest[..end.unwrap_or(rest.len())] {
            name if name.starts_with(|first: char| first.is_lowercase()) => name,
            _ => "lib",
        }
    });
    each.collect()
}

/// Whether a name stands in a line as a word, in this case.
fn has_word(line: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let behind = line[at + name.len()..].chars().next();
        let ends = name.ends_with(|c: char| !is_part(c));
        !before.is_some_and(is_part) && (ends || !behind.is_some_and(is_part))
    })
}

/// The sources of the library and the command, without test code.
fn code() -> Vec<Source> {
    let files = files("src");
    let tests: Vec<_> = files
        .iter()
        .flat_map(|(path, text)| test_modules(path, text))
        .collect();
    let is_test = |path: &str| {
        let stem = path.strip_suffix(".rs").unwrap_or(path);
        tests
            .iter()
            .any(|test| stem == test || stem.starts_with(&format!("{test}/")))
    };
    files
        .iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| parse(path, text))
        .collect()
}

/// The modules in files of their own that only tests have, as paths without `.rs`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let folder = match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder,
        _ => stem,
    };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| is_for_tests(pair[0]))
        .filter_map(|pair| {
            let item = pair[1].strip_prefix("pub(crate) ").unwrap_or(pair[1]);
            item.strip_prefix("mod ")?.strip_suffix(';')
        })
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// Says whether what follows is compiled for tests only.
fn is_for_tests(attribute: &str) -> bool {
    attribute == "#[cfg(test)]" || attribute.starts_with("#[cfg(all(test, ")
}

fn parse(path: &str, text: &str) -> Source {
    let all: Vec<&str> = text.lines().collect();
    let mut lines = Vec::new();
    let mut at = 0;
    while at < all.len() {
        let line = all[at];
        if is_for_tests(line.trim()) {
            at = behind_item(&all, at + 1);
            continue;
        }
        let code = line.trim();
        if !code.starts_with("//") {
            let end = code.find(" // ").unwrap_or(code.len());
            lines.push((at + 1, code[..end].to_owned()));
        }
        at += 1;
    }
    Source {
        path: path.to_owned(),
        lines,
        length: all.len(),
    }
}

/// The line behind an item: its closing brace stands where the item begins.
fn behind_item(lines: &[&str], start: usize) -> usize {
    let Some(first) = lines.get(start) else {
        return start;
    };
    if first.ends_with(';') || first.ends_with('}') {
        return start + 1;
    }
    let indent = &first[..first.len() - first.trim_start().len()];
    let end = (start + 1..lines.len()).find(|at| {
        lines[*at]
            .strip_prefix(indent)
            .is_some_and(|rest| rest.starts_with('}'))
    });
    end.map_or(lines.len(), |end| end + 1)
}

/// The text files below a folder, as path from the root and text.
fn files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join(folder), &mut paths);
    paths.sort();
    let text = |path: &PathBuf| {
        let shown = path.strip_prefix(root).unwrap().display().to_string();
        Some((shown, fs::read_to_string(path).ok()?))
    };
    paths.iter().filter_map(text).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

#[test]
fn the_scan_finds_breaches() {
    let text = "\
use crate::flow::call::Call;
// crate::client in a comment
use crate::proto::Turn; // crate::client behind code
fn now() -> Instant { Instant::now() }
#[cfg(test)]
mod tests {
    use crate::client::Client;
}
let map: HashMap<u8, u8>;
let event = Event {
";
    let source = parse("src/proto/x.rs", text);
    assert_eq!(source.length, 10);
    let arrows = wrong_arrows(&source, &mut BTreeSet::new());
    assert_eq!(arrows, ["src/proto/x.rs:1: proto uses flow"]);
    let names = forbidden_names(&source);
    assert_eq!(
        names,
        [
            "src/proto/x.rs:4: Instant::now (the wire is pure)",
            "src/proto/x.rs:9: HashMap (the wire is pure)",
        ]
    );
    assert_eq!(
        out_of_place(&source),
        ["src/proto/x.rs:10: Event { outside src/event/emitter.rs"]
    );
    assert_eq!(
        test_modules("src/net/tls.rs", "#[cfg(test)]\nmod tests;"),
        ["src/net/tls/tests"]
    );
    assert_eq!(
        test_modules(
            "src/net/tls.rs",
            "#[cfg(all(test, feature = \"x\"))]\nmod tests;"
        ),
        ["src/net/tls/tests"]
    );
    assert!(has_word("a Mutex<b>", "Mutex") && !has_word("a Mutexes", "Mutex"));
}
