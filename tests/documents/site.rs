//! The pages of `docs`: where they are listed, how they end, and that their links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::read;

const SUMMARY: &str = "docs/SUMMARY.md";

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

/// The pages that the summary lists, in its order, each with the part that it is in.
fn listed(summary: &str) -> Vec<(&str, String)> {
    let (mut part, mut found) = ("", Vec::new());
    for line in summary.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            part = name;
        } else if let Some(path) = line.split_once("](").and_then(|(_, rest)| rest.strip_suffix(')')) {
            found.push((part, format!("docs/{path}")));
        }
    }
    found
}

#[test]
fn the_summary_lists_every_page_once() {
    let summary = read(SUMMARY);
    let mut listed: Vec<String> = listed(&summary).into_iter().map(|(_, page)| page).collect();
    listed.sort();
    let pages: Vec<String> = pages().into_iter().filter(|page| page != SUMMARY).collect();
    assert_eq!(listed, pages, "docs/SUMMARY.md must list every page once");
}

/// Whoever does a job must see at the end whether it worked. Pages of reference are no jobs.
#[test]
fn pages_about_a_job_end_with_how_to_see_that_it_works() {
    let summary = read(SUMMARY);
    let jobs = listed(&summary).into_iter().filter(|(part, _)| !["Summary", "Reference"].contains(part));
    let mut seen = 0;
    for (_, page) in jobs {
        let text = read(&page);
        let mut lines = text.lines();
        let title = lines.next().unwrap_or_default();
        assert!(title.starts_with("# ") && lines.next() == Some(""), "{page}: a title");
        let opening = lines.next().unwrap_or_default();
        let is_text = opening.starts_with(|c: char| c.is_alphabetic() || "*`".contains(c));
        assert!(is_text, "{page}: the first paragraph says what the job is");
        let last = text.lines().rfind(|line| line.starts_with("## "));
        assert_eq!(last, Some("## See that it works"), "{page}: its last section");
        seen += 1;
    }
    assert!(seen > 45, "only {seen} pages were found");
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
