//! Errors in a configuration, which stop the program.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A built-in default.
    Default,
    /// A place in a file; both numbers count from 1.
    #[expect(missing_docs, reason = "the names say it")]
    File { path: PathBuf, line: usize, column: usize },
    /// A file as a whole.
    WholeFile(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// A flag of the command line, by name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// An error in a configuration.
///
/// No field ever contains the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key it is about; empty if it is about no key.
    pub path: String,
    /// Where it is written.
    pub origin: Option<Origin>,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
}

impl ConfigError {
    /// An error about `path`.
    pub(crate) fn new(path: impl Into<String>, origin: Option<Origin>, message: impl Into<String>) -> Self {
        Self { path: path.into(), origin, message: message.into(), help: None }
    }

    /// Adds advice on how to fix it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(origin) = self.origin.as_ref().filter(|origin| **origin != Origin::Default) {
            write!(f, "\n  --> {origin}")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  = help: {}", help.replace('\n', "\n          ")),
            None => Ok(()),
        }
    }
}

/// All errors in a configuration: never empty, in the order of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    /// What is worth knowing about all of them.
    note: Option<String>,
}

impl ConfigErrors {
    /// Sorts the errors by source and removes duplicates; `None` if there are none. `files` are in the order in which
    /// they were read.
    pub(crate) fn from_list(mut errors: Vec<ConfigError>, files: &[PathBuf]) -> Option<Self> {
        errors.sort_by_key(|error| rank(error, files));
        errors.dedup();
        (!errors.is_empty()).then_some(Self { errors, note: None })
    }

    /// A single error.
    pub(super) fn single(error: ConfigError) -> Self {
        Self { errors: vec![error], note: None }
    }

    /// Adds a note.
    pub(super) fn with_note(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }

    /// The errors in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.errors.iter()
    }
}

/// Files by line, then the environment, then flags, then errors without a location. The sort is stable.
fn rank(error: &ConfigError, files: &[PathBuf]) -> (u8, usize, usize, usize) {
    match &error.origin {
        Some(Origin::File { path, line, column }) => {
            let file = files.iter().position(|file| file == path);
            (1, file.unwrap_or(usize::MAX), *line, *column)
        }
        Some(Origin::WholeFile(_)) => (0, 0, 0, 0),
        Some(Origin::Environment(_)) => (2, 0, 0, 0),
        Some(Origin::Flag(_)) => (3, 0, 0, 0),
        Some(Origin::Default) | None => (4, 0, 0, 0),
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{error}")?;
        }
        match &self.note {
            Some(note) => write!(f, "\n\nnote: {note}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigErrors {}
