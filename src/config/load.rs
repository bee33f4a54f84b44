//! Reads every source and merges them.

use std::path::PathBuf;

use figment::value::Value;

use super::Config;
use super::document::{self, Node, Position, Value};
use super::environment_layers::{foreign_environment, own_environment};
use super::error::{ConfigError, ConfigErrors, Origin};
use super::file_layer::{self, Files};
use super::file_mode;
use super::finding::{Finding, FindingId};
use super::layer::{Layer, Source};
use super::merged::Merged;
use super::parse;
use super::secret::AbsentSecrets;
use super::settings::{self, KEYS, Key};
use super::sources::{Flags, Sources};

/// A loaded configuration with its warnings.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Settings that are weak or probably not intended, without those that `check.accept` names.
    pub warnings: Vec<Finding>,
    /// The warnings that `check.accept` names.
    pub accepted: Vec<Finding>,
    /// Remarks for the log.
    pub infos: Vec<String>,
    /// Where its values came from.
    pub used: Used,
    /// Secret files, whose content is part of the configuration.
    pub secret_files: Vec<PathBuf>,
    /// Every value and its origin, for [`super::print()`].
    pub(super) merged: Merged,
}

/// The sources that a configuration was made of.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// The file that would have been read if it existed.
    pub absent: Option<PathBuf>,
    /// The names of the environment variables that set a key.
    pub environment: Vec<String>,
    /// The flags that set a key.
    pub flags: Vec<String>,
}

impl Used {
    /// The names of the files, separated by blanks; `None` without any.
    pub fn file_names(&self) -> Option<String> {
        let names: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        (!names.is_empty()).then(|| names.join(" "))
    }

    /// The names of the files, or which file was looked for.
    pub fn described_files(&self) -> String {
        match (self.file_names(), &self.absent) {
            (Some(names), _) => names,
            (None, Some(absent)) => format!("none: {} does not exist", absent.display()),
            (None, None) => "none".to_owned(),
        }
    }

    fn of(files: &Files, environment: &[Vec<Layer>], flags: &[Layer]) -> Self {
        let name = |layer: &Layer| {
            layer.metadata.source.as_ref().and_then(|source| source.custom()).map(str::to_owned)
        };
        Self {
            files: files.read.clone(),
            absent: files.absent.clone(),
            environment: environment.iter().flatten().filter_map(name).collect(),
            flags: flags.iter().filter_map(name).collect(),
        }
    }
}

impl Loaded {
    /// The text at a path such as `authentication.issuers[0].caFile`, and where it is written.
    pub fn text_at(&self, path: &str) -> Option<(&str, Option<Origin>)> {
        self.merged.text_at(path)
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// All errors in all sources.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut reading = Reading::default();
    let (merged, literal) = merged(sources, &mut reading);
    if reading.broken {
        return Err(failed(reading.errors));
    }
    let parsed = parse::parse_with(&merged, errors, absent);
    let mut infos = files.infos.clone();
    infos.extend(ignored);
    infos.extend(about_backend(sources, &merged, implied_at));
    infos.extend(parsed.infos);
    match parsed.config {
        Some(config) if parsed.errors.is_empty() => {
            let warnings = parsed.warnings.into_iter().chain(literals.into_iter().filter_map(open_file));
            let (accepted, warnings) = warnings.partition(|warning| warning.is_accepted(&config.accepted));
            Ok(Loaded { config, warnings, accepted, infos, used, secret_files: parsed.secret_files, merged })
        }
        _ => failed(parsed.errors),
    }
}

/// The file that `authentication.revocations.file` names, also if the rest of the configuration is invalid: revoking a
/// token must not wait for that.
///
/// # Errors
/// The sources cannot be read at all.
pub fn revocation_file(sources: &Sources) -> Result<Option<PathBuf>, ConfigErrors> {
    let mut reading = Reading::default();
    let merged = merged(sources, &mut reading).0;
    if reading.broken {
        return Err(failed(reading.errors));
    }
    let section = merged.root.get("authentication").and_then(|section| section.find_ref("revocations.file"));
    Ok(section.and_then(Value::as_str).map(PathBuf::from))
}

/// Every source, merged, and the first secret that is written in the file.
fn merged(sources: &Sources, reading: &mut Reading) -> (Merged, Option<String>) {
    let mut layers = vec![defaults(KEYS.iter())];
    layers.extend(file_layer(sources, reading));
    layers.extend(foreign_environment(sources, &mut reading.errors));
    layers.extend(own_environment(sources, &mut reading.errors));
    layers.extend(flags(&sources.flags, &mut reading.errors));
    let literal = layers.iter().flat_map(|layer| &layer.literal_secrets).next().cloned();
    (Merged::new(layers), literal)
}

/// Warns if the configuration file contains a secret and other users can read or change it.
fn open_file(file: Option<&Path>, literal_secret: Option<String>) -> Option<Finding> {
    let (path, (message, _)) = (literal_secret?, file_mode::warning(file?)?);
    let help =
        Some("chmod 640 it, or 600; or put the secret into a separate file, or write ${NAME}".to_owned());
    let message = format!("is in the configuration file, and {message}");
    Some(Finding::warning(FindingId::SecretReadable, path, message).help(help))
}

/// The errors, or a generic one if there are none.
fn failed(errors: Vec<ConfigError>, files: &Files) -> ConfigErrors {
    let unknown = || ConfigError::new("", None, "the configuration cannot be read");
    let errors = ConfigErrors::from_list(errors, &files.read);
    errors.unwrap_or_else(|| ConfigErrors::single(unknown())).with_note(files.note())
}

/// A layer with the defaults of these keys. The parser has no defaults of its own.
pub(super) fn defaults(keys: impl Iterator<Item = &'static Key>) -> Layer {
    let mut layer = Layer::new(&Source::Default);
    let mut errors = Vec::new();
    for key in keys.filter(|key| !key.default.is_empty()) {
        layer.put(key, &document::parse(key.default).root, &Source::Default, &mut errors);
    }
    debug_assert!(errors.is_empty(), "the table's defaults are valid: {errors:?}");
    layer
}

fn flags(flags: &Flags, errors: &mut Vec<ConfigError>) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut put = |path: &str, name: &'static str, value: Value| {
        if let Some(key) = settings::find(path) {
            let source = Source::Flag(name);
            let mut layer = Layer::new(&source);
            layer.put(key, &Node { at: Position::START, value }, &source, errors);
            layers.push(layer);
        }
    };
    let text = |text: &String| Node::text(text, Position::START);
    let single = [
        ("listen", "--listen", &flags.listen),
        ("upstream.url", "--upstream", &flags.upstream),
        ("backend", "--backend", &flags.backend),
    ];
    for (path, name, value) in single {
        if let Some(value) = value {
            put(path, name, text(value).value);
        }
    }
    if !flags.public_keys.is_empty() {
        let list = Value::List(flags.public_keys.iter().map(text).collect());
        put("authentication.publicKeyUrls", "--public-keys", list);
    }
    layers
}
