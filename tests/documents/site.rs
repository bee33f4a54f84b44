//! The links of the pages of `docs`, and that nothing is on them twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::read;

/// The pages below `docs`, as paths from the root.
fn pages() -> Vec<String> {
    fn below(folder: &str, found: &mut Vec<String>) {
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(whole).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                below(&path, found);
            } else if path.ends_with(".md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below("docs", &mut found);
    found.sort();
    assert!(found.len() > 60, "only {} pages were found", found.len());
    found
}

/// Everything that people read.
pub fn documents() -> Vec<String> {
    let mut documents: Vec<String> =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned).into();
    documents.extend(pages());
    documents
}

/// The anchors of a document's headings.
pub fn anchors(document: &str) -> Vec<String> {
    let mut fenced = false;
    let headings = document.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced && line.starts_with('#')
    });
    let anchor = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn document_links_resolve() {
    let mut seen = 0;
    for name in documents() {
        let document = read(&name);
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = match file {
                "" => name.to_owned(),
                file => format!("{folder}/{file}").trim_start_matches('/').to_owned(),
            };
            let whole = concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + &path;
            assert!(fs::exists(&whole).unwrap(), "{name}: {link}");
            let there = anchor.is_empty() || anchors(&read(&path)).iter().any(|found| found == anchor);
            assert!(there, "{name}: {link}");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} links were found");
}

/// Merges easily duplicate text.
#[test]
fn documents_have_no_duplicates() {
    for name in documents() {
        let document = read(&name);
        let mut headings = BTreeSet::new();
        let mut section = "";
        for line in document.lines().filter(|line| line.starts_with("## ") || line.starts_with("### ")) {
            if line.starts_with("## ") {
                section = line;
            }
            // A changelog repeats its headings for each version.
            assert!(headings.insert((section, line)), "{name}: {line}");
        }
        let mut rows = BTreeSet::new();
        for line in document.lines().filter(|line| line.starts_with("| ") && line.len() > 60) {
            assert!(rows.insert(line), "{name}: {line}");
        }
    }
    let numbers = read("docs/decisions.md");
    let numbers =
        numbers.lines().filter_map(|line| line.strip_prefix("## ")?.split('.').next()?.parse().ok());
    let numbers: Vec<usize> = numbers.collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    assert!(numbers.len() > 20);
}
