//! Mistakes that new users make in a configuration, and what metagate says about each.
//!
//! `tests/data/mistakes.txt` has one block for each: a title, files, environment and flags, and the output. Read a new
//! output as the person who made the mistake: it must say what to write instead.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use metagate::config::{Flags, Sources, load};

use super::read;

const DATA: &str = "tests/data/mistakes.txt";

/// One mistake: its parts by name, in order.
struct Case<'a> {
    title: &'a str,
    parts: Vec<(&'a str, &'a str)>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let blocks = text.split("\n=== ").skip(1);
    let case = |block| -> Case<'_> {
        let (title, rest): (&str, &str) = str::split_once(block, '\n').expect("a title");
        let parts = rest.split("--- ").skip(1);
        let part = |part| str::split_once(part, '\n').expect("the name of a part");
        Case { title, parts: parts.map(part).collect() }
    };
    blocks.map(case).collect()
}

impl Case<'_> {
    /// What `metagate check --offline` and `run` say about this configuration.
    fn output(&self) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
        let mut sources = Sources::default();
        for (name, text) in &self.parts {
            match *name {
                "output" => {}
                "environment" => {
                    let variables = text.lines().filter_map(|line| line.split_once('='));
                    sources
                        .environment
                        .extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
                }
                "flags" => sources.flags = flags(text),
                file => {
                    let path = directory.path().join(file);
                    fs::write(&path, text).expect("a file");
                    sources.files.push(path);
                }
            }
        }
        let mut output = match load(&sources) {
            Err(errors) => format!("{errors}\n"),
            Ok(loaded) => {
                let infos = loaded.infos.iter().map(|info| format!("info: {info}\n"));
                loaded.warnings.iter().map(|warning| format!("{warning}\n")).chain(infos).collect()
            }
        };
        if output.is_empty() {
            output.push_str("nothing\n");
        }
        output.replace(&format!("{}/", directory.path().display()), "")
    }
}

fn flags(text: &str) -> Flags {
    let mut flags = Flags::default();
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        match name {
            "--listen" => flags.listen = Some(value.to_owned()),
            "--upstream" => flags.upstream = Some(value.to_owned()),
            "--backend" => flags.backend = Some(value.to_owned()),
            "--public-keys" => flags.public_keys.push(value.to_owned()),
            _ => panic!("{name}"),
        }
    }
    flags
}

#[test]
fn mistakes_are_explained() {
    let text = read(DATA);
    let (introduction, _) = text.split_once("\n=== ").expect("cases");
    let mut expected = introduction.to_owned();
    let cases = cases(&text);
    for case in &cases {
        write!(expected, "\n=== {}\n", case.title).unwrap();
        for (name, content) in case.parts.iter().filter(|(name, _)| *name != "output") {
            write!(expected, "--- {name}\n{content}").unwrap();
        }
        write!(expected, "--- output\n{}", case.output()).unwrap();
    }
    if text != expected && std::env::var_os("METAGATE_WRITE_DOCUMENTATION").is_some() {
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + DATA, expected).unwrap();
        return;
    }
    for (line, (written, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(written, expected, "{DATA}:{}: METAGATE_WRITE_DOCUMENTATION=1 writes it", line + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count());
    assert!(cases.len() >= 75, "{} mistakes", cases.len());
}
