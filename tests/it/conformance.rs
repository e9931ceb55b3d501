//! Every row of the protocol's rules has a test, a section of the docs, or a reason why not.
//!
//! A test says which rows it covers in its name: `fn rfc_a6_rfc_a11_…`. `conformance.toml` lists each row with the
//! tests that it has; this test finds them in the sources, and fails on any difference. `docs/conformance.md` is
//! the same list for readers, written with `WIRESCOPE_UPDATE=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The groups of rows and how many each has.
const GROUPS: [(char, u16); 8] = [
    ('A', 40),
    ('B', 25),
    ('C', 28),
    ('D', 28),
    ('E', 22),
    ('F', 27),
    ('G', 10),
    ('H', 24),
];

/// The name of a row: its group and number, so that they sort as they are read.
type Row = (char, u16);

/// What the list says about a row.
struct Listed {
    level: String,
    what: String,
    state: State,
}

enum State {
    Tests(Vec<String>),
    Docs(String),
    Pending(String),
}

/// A test function whose name has rows.
struct Found {
    name: String,
    place: String,
    faults: Vec<&'static str>,
}

#[test]
fn every_row_is_tested_documented_or_pending() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = read_list(&root.join("tests/it/conformance.toml"));
    let found = find_tests(root);
    let mut gaps = differences(&list, &found);
    let page = page(&list);
    let path = root.join("docs/conformance.md");
    if std::env::var_os("WIRESCOPE_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    } else if fs::read_to_string(&path).unwrap_or_default() != page {
        gaps.push("docs/conformance.md is old: WIRESCOPE_UPDATE=1 writes it".to_owned());
    }
    for (row, listed) in &list {
        if let State::Docs(section) = &listed.state {
            check_section(root, *row, section, &mut gaps);
        }
    }
    #[expect(clippy::print_stdout, reason = "the count is what is asked for")]
    {
        println!("{}", summary(&list));
    }
    assert!(gaps.is_empty(), "{} gaps:\n{}", gaps.len(), gaps.join("\n"));
}

fn every_row() -> impl Iterator<Item = Row> {
    let rows = |(group, last)| (1..=last).map(move |number| (group, number));
    GROUPS.into_iter().flat_map(rows)
}

fn show((group, number): Row) -> String {
    format!("{group}{number}")
}

fn is_covered(listed: &Listed) -> bool {
    !matches!(listed.state, State::Pending(_))
}

fn summary(list: &BTreeMap<Row, Listed>) -> String {
    let covered = |group: Option<char>| {
        let rows = list
            .iter()
            .filter(|(row, _)| group.is_none_or(|group| row.0 == group));
        rows.filter(|(_, listed)| is_covered(listed)).count()
    };
    let mut text = format!("{} of {} rows covered", covered(None), every_row().count());
    for (group, all) in GROUPS {
        write!(text, ", {group} {}/{all}", covered(Some(group))).unwrap();
    }
    text
}

fn read_list(path: &Path) -> BTreeMap<Row, Listed> {
    let text = fs::read_to_string(path).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let rows = table.iter().map(|(id, entry)| {
        let row = parse_row(id).unwrap_or_else(|| panic!("{id} is no row"));
        (row, read_entry(id, entry))
    });
    rows.collect()
}

fn read_entry(id: &str, entry: &toml::Value) -> Listed {
    let text = |key: &str| entry.get(key).and_then(toml::Value::as_str);
    let tests = entry.get("tests").and_then(toml::Value::as_array);
    let names = |list: &Vec<toml::Value>| {
        let each = list.iter().map(|name| name.as_str().unwrap().to_owned());
        each.collect()
    };
    let state = match (tests.map(names), text("docs"), text("pending")) {
        (Some(names), None, None) => State::Tests(names),
        (None, Some(docs), None) => State::Docs(docs.to_owned()),
        (None, None, Some(reason)) => State::Pending(reason.to_owned()),
        _ => panic!("{id} needs exactly one of tests, docs and pending"),
    };
    let required = |key| {
        text(key)
            .unwrap_or_else(|| panic!("{id} has no {key}"))
            .to_owned()
    };
    Listed {
        level: required("level"),
        what: required("what"),
        state,
    }
}

/// Reads `a6` or `A6`.
fn parse_row(id: &str) -> Option<Row> {
    let group = id.chars().next()?.to_ascii_uppercase();
    let digits = id.get(1..)?;
    let number = digits.parse().ok().filter(|_| !digits.starts_with('+'))?;
    every_row().find(|row| *row == (group, number))
}

/// The rows in the name of a function: the words behind each `rfc`. `Err` has a word that is no row.
fn rows_of(name: &str) -> Result<BTreeSet<Row>, String> {
    let mut words = name.split('_');
    let mut rows = BTreeSet::new();
    while let Some(word) = words.next() {
        let Some(id) = (word == "rfc").then(|| words.next()).flatten() else {
            continue;
        };
        // The number of a document, as in `rfc_3339`, is no row.
        if !id.starts_with(|first: char| first.is_ascii_digit()) {
            rows.insert(parse_row(id).ok_or(id)?);
        }
    }
    Ok(rows)
}

fn find_tests(root: &Path) -> Vec<Found> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect_sources(&root.join(folder), &mut files);
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let shown = file.strip_prefix(root).unwrap().display().to_string();
        // This file has examples of bad tests.
        if shown.ends_with("it/conformance.rs") {
            continue;
        }
        scan(&text, &shown, &mut found);
    }
    found
}

fn collect_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Finds functions with `rfc` in their names, and what is wrong with them as tests.
fn scan(text: &str, file: &str, found: &mut Vec<Found>) {
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        if rows_of(name).is_ok_and(|rows| rows.is_empty()) {
            continue;
        }
        let above = lines[..index].iter().rev().map(|line| line.trim());
        let above: Vec<_> = above
            .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
            .collect();
        let mut faults = Vec::new();
        if !above.contains(&"#[test]") {
            faults.push("no #[test] directly above");
        }
        if above.iter().any(|line| line.starts_with("#[ignore")) {
            faults.push("ignored");
        }
        if is_empty_body(&lines[index..]) {
            faults.push("an empty body");
        }
        found.push(Found {
            name: name.to_owned(),
            place: format!("{file}:{}", index + 1),
            faults,
        });
    }
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    rest[end..].starts_with('(').then(|| &rest[..end])
}

/// Whether nothing but comments stands between the braces of the function that begins here.
fn is_empty_body(lines: &[&str]) -> bool {
    let Some(open) = lines.iter().position(|line| line.trim_end().ends_with('{')) else {
        return true;
    };
    let body = lines[open + 1..].iter().map(|line| line.trim());
    let mut code = body.filter(|line| !line.is_empty() && !line.starts_with("//"));
    code.next().is_none_or(|line| line.starts_with('}'))
}

/// Everything in which the list and the sources disagree.
fn differences(list: &BTreeMap<Row, Listed>, found: &[Found]) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut by_row: BTreeMap<Row, BTreeSet<&str>> = BTreeMap::new();
    for test in found {
        for fault in &test.faults {
            gaps.push(format!("{} {}: {fault}", test.place, test.name));
        }
        match rows_of(&test.name) {
            Ok(rows) => {
                for row in rows {
                    by_row.entry(row).or_default().insert(&test.name);
                }
            }
            Err(id) => gaps.push(format!("{} {}: {id} is no row", test.place, test.name)),
        }
    }
    for row in every_row() {
        let tests = by_row.remove(&row).unwrap_or_default();
        let Some(listed) = list.get(&row) else {
            gaps.push(format!("{} is not in the list", show(row)));
            continue;
        };
        match &listed.state {
            State::Tests(names) => {
                let names: BTreeSet<_> = names.iter().map(String::as_str).collect();
                if names.is_empty() {
                    gaps.push(format!("{} lists no test and no reason", show(row)));
                }
                for name in names.difference(&tests) {
                    gaps.push(format!("{}: there is no test {name}", show(row)));
                }
                for name in tests.difference(&names) {
                    gaps.push(format!("{}: the test {name} is not listed", show(row)));
                }
            }
            State::Pending(reason) | State::Docs(reason) => {
                if reason.is_empty() {
                    gaps.push(format!("{} has no reason", show(row)));
                }
                for name in tests {
                    gaps.push(format!("{}: the test {name} is not listed", show(row)));
                }
            }
        }
    }
    gaps
}

/// `docs/file.md#a-section` has to be there.
fn check_section(root: &Path, row: Row, section: &str, gaps: &mut Vec<String>) {
    let (file, anchor) = section.split_once('#').unwrap_or((section, ""));
    let text = fs::read_to_string(root.join(file)).unwrap_or_default();
    let is_there = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| {
            let title = line.trim_start_matches('#').trim().to_ascii_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -".contains(*c));
            kept.collect::<String>().replace(' ', "-") == anchor
        });
    if !is_there {
        gaps.push(format!("{}: there is no section {section}", show(row)));
    }
}

fn page(list: &BTreeMap<Row, Listed>) -> String {
    let mut text = String::from(
        "# HTTP/1.1 conformance\n\n\
         Written by `tests/it/conformance.rs` from `tests/it/conformance.toml`; do not edit.\n\
         Levels: M = MUST, S = SHOULD, m = MAY that was decided, L = a law of our own.\n\n",
    );
    writeln!(text, "{}.\n", summary(list)).unwrap();
    text += "| row | level | what | state | tests |\n|---|---|---|---|---|\n";
    for (row, listed) in list {
        let (state, tests) = match &listed.state {
            State::Tests(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                ("tested", names.join("<br>"))
            }
            State::Docs(section) => ("documented", section.clone()),
            State::Pending(reason) => ("pending", reason.clone()),
        };
        let (id, level, what) = (show(*row), &listed.level, &listed.what);
        writeln!(text, "| {id} | {level} | {what} | {state} | {tests} |").unwrap();
    }
    text
}

#[test]
fn the_scan_finds_what_is_wrong() {
    let source = "
        #[test]
        fn rfc_a1_rfc_b2_good() {
            assert!(true);
        }
        fn rfc_a2_no_attribute() {
            work();
        }
        #[test]
        #[ignore]
        fn rfc_a3_ignored() {
            work();
        }
        #[test]
        fn rfc_a4_empty() {
            // later
        }
        proptest! {
            /// A property.
            #[test]
            fn rfc_a5_property(bytes in any::<Vec<u8>>(), _ in \"[a-z]{1,3}\") {
                work(bytes);
            }
        }
        fn moments_read_as_rfc_3339() {}";
    let mut found = Vec::new();
    scan(source, "x.rs", &mut found);
    let faults: Vec<_> = found
        .iter()
        .map(|test| (test.place.as_str(), test.faults.join(", ")))
        .collect();
    let none = String::new;
    assert_eq!(
        faults,
        [
            ("x.rs:3", none()),
            ("x.rs:6", "no #[test] directly above".to_owned()),
            ("x.rs:11", "ignored".to_owned()),
            ("x.rs:15", "an empty body".to_owned()),
            ("x.rs:21", none()),
        ]
    );
    let rows = rows_of("rfc_a1_rfc_b2_good").unwrap();
    assert_eq!(rows.into_iter().collect::<Vec<_>>(), [('A', 1), ('B', 2)]);
    assert_eq!(rows_of("rfc_a41_x"), Err("a41".to_owned()));
    assert_eq!(rows_of("rfc_x1_x"), Err("x1".to_owned()));
}
