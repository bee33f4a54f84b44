//! The documents say what the code does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use metagate::challenge;
use metagate::decision::Reason;

fn read(path: &str) -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + path).expect(path)
}

/// The lines of every fenced block of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(info) => inside = !inside && info == language,
            None if inside => lines.push(line),
            None => {}
        }
    }
    lines
}

#[test]
fn commands_in_the_documents_are_understood() {
    let mut seen = 0;
    for document in ["README.md", "docs/operations.md", "docs/configuration.md", "CONTRIBUTING.md"] {
        for line in blocks(&read(document), "sh") {
            let arguments = line
                .trim()
                .strip_prefix("cargo run --release -- ")
                .or_else(|| line.trim().strip_prefix("metagate "));
            let Some(arguments) = arguments else { continue };
            let words =
                arguments.split(['#', '|', '<', '>', '&']).next().unwrap_or_default().split_whitespace();
            let arguments: Vec<OsString> =
                std::iter::once("metagate").chain(words).map(|word| word.trim_matches('\'').into()).collect();
            if let Err(error) = metagate::command::understands(arguments) {
                panic!("{document}: {line}: {error}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} commands were found");
}

#[test]
fn the_decision_table_of_the_readme_is_the_one_in_force() {
    let readme = read("README.md");
    let rows: BTreeMap<&str, (&str, &str)> = readme
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
            let [reason, status, message] = cells[..] else { return None };
            status.parse::<u16>().ok()?;
            Some((reason.trim_end_matches('`'), (status, message.trim_end_matches(" |"))))
        })
        .collect();
    assert_eq!(rows.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let row = challenge::row(reason);
        let (status, message) =
            rows.get(reason.as_str()).unwrap_or_else(|| panic!("no row for {}", reason.as_str()));
        assert_eq!(*status, row.status.as_str(), "{}", reason.as_str());
        assert_eq!(*message, row.message, "{}", reason.as_str());
    }
}

#[test]
fn every_reason_has_a_line_in_troubleshooting() {
    let operations = read("docs/operations.md");
    for reason in Reason::ALL {
        assert!(operations.contains(&format!("`{}`", reason.as_str())), "{}", reason.as_str());
    }
}

#[test]
fn links_of_the_readme_lead_somewhere() {
    let readme = read("README.md");
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut seen = 0;
    for link in links.filter(|link| !link.starts_with("http")) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + link;
        assert!(fs::exists(&path).unwrap(), "{link}");
        seen += 1;
    }
    assert!(seen > 5);
}
