//! Reads the configuration files into layers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::document::{self, MAX_BYTES};
use super::error::{ConfigError, Origin};
use super::files::read_limited;
use super::layer::{Layer, Source};
use super::openmetadata::{self, Shape};
use super::sources::{Chosen, Sources, files_of};
use super::substitution::substitute;
use super::variables::{Variables, has_placeholder};

/// What the files contain.
#[derive(Default)]
pub(super) struct Files {
    /// A layer for each file that could be read, in order.
    pub(super) layers: Vec<Layer>,
    /// The backend that the format of a file implies. Every other source wins over it.
    pub(super) implied: Option<(Layer, Origin)>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) infos: Vec<String>,
    /// The files that were read.
    pub(super) read: Vec<PathBuf>,
    /// A file that was looked for and does not exist, which is not an error.
    pub(super) absent: Option<PathBuf>,
    /// Whether a file could not be read. Then missing keys cannot be reported.
    pub(super) broken: bool,
}

/// Reads all files.
pub(super) fn read(sources: &Sources) -> Files {
    let mut files = Files::default();
    for chosen in sources.chosen() {
        match files_of(&chosen.path) {
            None => files.file(sources, &chosen.path, &chosen),
            Some(Ok(paths)) if paths.is_empty() => {
                let directory = chosen.path.display();
                files.infos.push(format!("the directory {directory} has no file that ends in .yaml or .yml"));
            }
            Some(Ok(paths)) => paths.iter().for_each(|path| files.file(sources, path, &chosen)),
            Some(Err(error)) => {
                files.unreadable("directory", &chosen.path, &chosen, &format!("cannot be read: {error}"));
            }
        }
    }
    files
}

impl Files {
    fn file(&mut self, sources: &Sources, path: &Path, chosen: &Chosen) {
        let text = match read_limited(path, MAX_BYTES as u64) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound && !chosen.required => {
                self.absent = Some(path.to_owned());
                return;
            }
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        self.read.push(path.to_owned());
        match text {
            Ok(text) => {
                let layer = self.layer(sources, path, &text);
                self.layers.extend(layer);
            }
            Err(message) => self.unreadable("file", path, chosen, &message),
        }
    }

    /// Which file was looked for, if none was read.
    pub(super) fn note(&self) -> Option<String> {
        let absent = self.absent.as_ref()?.display();
        Some(format!(
            "no configuration file was read: neither --config nor METAGATE_CONFIG names one, and {absent} does not exist"
        ))
    }

    fn unreadable(&mut self, kind: &str, path: &Path, chosen: &Chosen, message: &str) {
        let message = format!("the configuration {kind} {} {message}", path.display());
        self.errors.push(ConfigError::new("", Some(chosen.origin.clone()), message));
        self.broken = true;
    }

    /// Reads the text of a file: our own format, OpenMetadata's YAML or its Helm values.
    fn layer(&mut self, sources: &Sources, path: &Path, text: &str) -> Option<Layer> {
        let lookup = |name: &str| sources.variable(name).map(str::to_owned);
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let substituted = match openmetadata::has_block(text).then(|| substitute(text, &lookup)) {
            Some(Err(at)) => {
                let variables = Variables::Replaced;
                let origin = Source::File { path: path.to_owned(), substituted: None, variables }.at(at);
                let message = "its ${...} expressions make the text too long";
                self.errors.push(ConfigError::new("", Some(origin), message));
                self.broken = true;
                return None;
            }
            Some(Ok(substituted)) => Some(substituted),
            None => None,
        };
        let text = substituted.as_ref().map_or(text, |substituted| &substituted.text);
        let variables = if substituted.is_some() { Variables::Replaced } else { Variables::Named(&lookup) };
        let source = Source::File { path: path.to_owned(), substituted: substituted.as_ref(), variables };
        let document = document::parse(text);
        for problem in document.problems {
            let mut error = ConfigError::new("", Some(source.at(problem.at)), problem.message);
            error.help = problem.help;
            if substituted.is_some() && !document.complete && has_placeholder(text) {
                error = error.help(
                    "a `${...}` that was not replaced may be the cause: set the variable, or write a default",
                );
            }
            self.errors.push(error);
        }
        self.broken |= !document.complete;
        if !document.complete {
            return None;
        }
        let mut layer = Layer::new(&source);
        let shape = openmetadata::shape(&document.root);
        if shape == Shape::Own {
            layer.document(&source, &document.root, &mut self.errors);
        } else {
            let info = openmetadata::read(&mut layer, shape, &document.root, &source, &mut self.errors);
            self.infos.extend(info);
            if self.implied.is_none() {
                self.implied = openmetadata::implied_backend(shape, &document.root, &source);
            }
        }
        Some(layer)
    }
}
