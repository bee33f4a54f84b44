//! The layers of an input. Each begins with a line that names it, and ends at the next such line:
//!
//! - `@@@ file`, a configuration file, as is what stands before the first such line;
//! - `@@@ env NAME`, a variable of the environment;
//! - `@@@ flag --upstream`, a flag, `--public-keys` any number of times.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use metagate::config::{Flags, Origin, Sources};
use tempfile::TempDir;

const MARK: &str = "@@@ ";
const MAX_FILES: usize = 4;

pub struct Layers {
    pub sources: Sources,
    /// The texts of the files, in their order.
    pub files: Vec<String>,
    directory: TempDir,
}

impl Layers {
    pub fn of(text: &str) -> Self {
        let mut files = vec![String::new()];
        let mut variables = BTreeMap::new();
        let mut flags = Flags::default();
        let mut layer = ("file", "");
        let mut content = String::new();
        let mut end = |(kind, name): (&str, &str), content: &mut String| {
            let content = std::mem::take(content);
            let one_line = || content.strip_suffix('\n').unwrap_or(&content).to_owned();
            match (kind, name) {
                ("file", _) => files.push(content),
                // It names files, and there always is one.
                ("env", "METAGATE_CONFIG") => {}
                ("env", name) => drop(variables.insert(name.to_owned(), one_line())),
                ("flag", "--listen") => flags.listen = Some(one_line()),
                ("flag", "--upstream") => flags.upstream = Some(one_line()),
                ("flag", "--backend") => flags.backend = Some(one_line()),
                ("flag", "--public-keys") => flags.public_keys.push(one_line()),
                _ => {}
            }
        };
        for line in text.split_inclusive('\n') {
            if let Some(name) = line.strip_prefix(MARK) {
                end(layer, &mut content);
                layer = name.trim_end_matches('\n').split_once(' ').unwrap_or((name.trim_end(), ""));
            } else {
                content.push_str(line);
            }
        }
        end(layer, &mut content);
        files.truncate(MAX_FILES);
        let directory = tempfile::tempdir().expect("a directory");
        let sources = Sources { files: Vec::new(), environment: variables.into_iter().collect(), flags };
        let mut layers = Self { sources, files: Vec::new(), directory };
        for file in files {
            let at = layers.files.len();
            layers.insert(at, &file);
        }
        layers
    }

    /// The same with one more file.
    pub fn with_file(&self, at: usize, text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut layers = Self { sources: self.sources.clone(), files: self.files.clone(), directory };
        layers.insert(at, text);
        layers
    }

    /// Another file with this text and nothing else, but with the variables that are no layers.
    pub fn only(&self, text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let is_layer =
            |name: &str| name.starts_with("METAGATE_") || super::origins::foreign_path(name).is_some();
        let variables = self.sources.environment.iter().filter(|(name, _)| !is_layer(name));
        let sources = Sources { environment: variables.cloned().collect(), ..Sources::default() };
        let mut layers = Self { sources, files: Vec::new(), directory };
        layers.insert(0, text);
        layers
    }

    fn insert(&mut self, at: usize, text: &str) {
        let path = self.directory.path().join(format!("{}.yaml", self.files.len()));
        fs::write(&path, text).expect("a file");
        self.files.insert(at, text.to_owned());
        self.sources.files.insert(at, path);
    }

    pub fn path(&self, file: usize) -> PathBuf {
        self.sources.files[file].clone()
    }

    /// A number that differs from input to input.
    pub fn number(&self) -> usize {
        let add = |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte));
        self.files.iter().flat_map(|text| text.bytes()).fold(7, add) >> 4
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.sources.environment.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Asserts that a place that was reported exists in the layers.
    pub fn assert_exists(&self, origin: &Origin) {
        match origin {
            Origin::Default => {}
            Origin::WholeFile(path) => assert!(self.sources.files.contains(path), "{origin}"),
            Origin::File { path, line, column } => {
                let at = self.sources.files.iter().position(|file| file == path).expect("one of the files");
                // YAML also ends a line with a carriage return.
                let text = self.files[at].replace("\r\n", "\n").replace('\r', "\n");
                let lines: Vec<&str> = text.split('\n').collect();
                assert!((1..=lines.len()).contains(line), "{origin}");
                assert!((1..=lines[line - 1].chars().count() + 1).contains(column), "{origin}");
            }
            Origin::Environment(name) => {
                assert!(self.variable(name).is_some() || name.starts_with('"'), "{origin}")
            }
            Origin::Flag(name) => assert!(name.starts_with("--"), "{origin}"),
        }
    }
}
