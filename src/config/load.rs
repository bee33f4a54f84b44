//! Reads every source. Only this module opens configuration files and reads the environment.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Config;
use super::document::{self, MAX_BYTES, Node, Position};
use super::error::{ConfigError, ConfigErrors, Origin};
use super::file_mode;
use super::files::read_limited;
use super::finding::{Finding, FindingId};
use super::layer::{Layer, Source};
use super::merged::Merged;
use super::openmetadata::{self, Shape};
use super::parse;
use super::settings::{self, KEYS, Key};
use super::substitution::substitute;
use super::variables::{Variables, has_placeholder};
use super::words::nearest;

/// The file that is read if it exists and no other file is named.
const DEFAULT_FILE: &str = "/etc/metagate/config.yaml";
/// The environment variable that names the file.
const FILE_VARIABLE: &str = "METAGATE_CONFIG";

/// The sources of a configuration.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file that `--config` names.
    pub file: Option<PathBuf>,
    /// The environment variables.
    pub environment: Vec<(String, String)>,
    /// The command-line flags.
    pub flags: Flags,
}

/// Settings that have a command-line flag.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--public-keys`, any number of times.
    pub public_keys: Vec<String>,
    /// `--backend`
    pub backend: Option<String>,
}

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
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Secret files, whose content is part of the configuration.
    pub secret_files: Vec<PathBuf>,
    /// Every value and its origin, for [`super::print()`].
    pub(super) merged: Merged,
}

impl fmt::Debug for Sources {
    /// Omits the values of the environment, because some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("environment", &names)
            .field("flags", &self.flags)
            .finish()
    }
}

impl Sources {
    /// The sources of this process. Bytes of the environment that are not UTF-8 become U+FFFD, which [`load`] refuses
    /// in every value that it reads.
    pub fn from_process(file: Option<PathBuf>, flags: Flags) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { file, environment, flags }
    }

    /// The file to read, whether it exists or not.
    pub fn path(&self) -> PathBuf {
        self.chosen_file().0
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let mut found = self.environment.iter().rev().filter(|(variable, _)| variable == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The file to read, whether it must exist, and what names it.
    fn chosen_file(&self) -> (PathBuf, bool, Option<Origin>) {
        let variable = self.variable(FILE_VARIABLE).filter(|value| !value.is_empty());
        match (&self.file, variable) {
            (Some(file), _) => (file.clone(), true, Some(Origin::Flag("--config".to_owned()))),
            (None, Some(file)) => (file.into(), true, Some(Origin::Environment(FILE_VARIABLE.to_owned()))),
            (None, None) => (DEFAULT_FILE.into(), false, Some(Origin::WholeFile(DEFAULT_FILE.into()))),
        }
    }
}

/// State while the sources are read.
#[derive(Default)]
struct Reading {
    errors: Vec<ConfigError>,
    infos: Vec<String>,
    file: Option<PathBuf>,
    /// Whether the file is OpenMetadata's YAML or its Helm values.
    openmetadata: bool,
    /// Whether a source could not be read. Then missing keys cannot be reported.
    broken: bool,
}

/// Reads and checks a configuration.
///
/// # Errors
/// All errors in all sources.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut reading = Reading::default();
    let mut layers = vec![defaults(KEYS.iter())];
    layers.extend(file_layer(sources, &mut reading));
    layers.extend(foreign_environment(sources, &mut reading.errors));
    layers.extend(own_environment(sources, &mut reading.errors));
    layers.extend(flags(&sources.flags, &mut reading.errors));
    let literal = layers.iter().flat_map(|layer| &layer.literal_secrets).next().cloned();
    let merged = Merged::new(layers);
    if reading.broken {
        return Err(failed(reading.errors));
    }
    let backend = merged.root.get("backend").and_then(|value| merged.origin("backend", value));
    let theirs = reading.openmetadata || sources.variable("AUTHENTICATION_PUBLIC_KEYS").is_some();
    if theirs && backend == Some(Origin::Default) {
        let hint = "backend is generic, where no route is public; `backend: openmetadata` opens its login, health \
                    check and web pages";
        reading.infos.push(hint.to_owned());
    }
    let parsed = parse::parse(&merged, reading.errors);
    let mut infos = reading.infos;
    infos.extend(parsed.infos);
    match (parsed.config, ConfigErrors::from_list(parsed.errors)) {
        (Some(config), None) => {
            let warnings = parsed.warnings.into_iter().chain(open_file(reading.file.as_deref(), literal));
            let (accepted, warnings) = warnings.partition(|warning| warning.is_accepted(&config.accepted));
            Ok(Loaded {
                config,
                warnings,
                accepted,
                infos,
                file: reading.file,
                secret_files: parsed.secret_files,
                merged,
            })
        }
        (_, Some(errors)) => Err(errors),
        (None, None) => Err(failed(Vec::new())),
    }
}

/// Warns if the configuration file contains a secret and other users can read or change it.
fn open_file(file: Option<&Path>, literal_secret: Option<String>) -> Option<Finding> {
    let (path, (message, _)) = (literal_secret?, file_mode::warning(file?)?);
    let help = "chmod 640 it, or 600; or put the secret into a separate file, or write ${NAME}";
    let message = format!("is in the configuration file, and {message}");
    Some(Finding::warning(FindingId::SecretReadable, path, message).help(help))
}

/// The errors, or a generic one if there are none.
fn failed(errors: Vec<ConfigError>) -> ConfigErrors {
    let unknown = || ConfigError::new("", None, "the configuration cannot be read");
    match ConfigErrors::from_list(errors) {
        Some(errors) => errors,
        None => ConfigErrors::single(unknown()),
    }
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

fn file_layer(sources: &Sources, reading: &mut Reading) -> Option<Layer> {
    let (path, required, origin) = sources.chosen_file();
    let text = match read_limited(&path, MAX_BYTES as u64) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound && !required => return None,
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    let layer = match text {
        Ok(text) => file_text(sources, &path, &text, reading),
        Err(message) => {
            let error =
                ConfigError::new("", origin, format!("the configuration file {} {message}", path.display()));
            reading.errors.push(error);
            reading.broken = true;
            None
        }
    };
    reading.file = Some(path);
    layer
}

/// Reads the text of a file: our own format, OpenMetadata's YAML or its Helm values.
fn file_text(sources: &Sources, path: &Path, text: &str, reading: &mut Reading) -> Option<Layer> {
    let lookup = |name: &str| sources.variable(name).map(str::to_owned);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let substituted = match openmetadata::has_block(text).then(|| substitute(text, &lookup)) {
        Some(Err(at)) => {
            let variables = Variables::Replaced;
            let origin = Source::File { path: path.to_owned(), substituted: None, variables }.at(at);
            let message = "its ${...} expressions make the text too long";
            reading.errors.push(ConfigError::new("", Some(origin), message));
            reading.broken = true;
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
        if substituted.is_some() && !document.complete && has_placeholder(text) {
            error = error.help(
                "a `${...}` that was not replaced may be the cause: set the variable, or write a default",
            );
        }
        reading.errors.push(error);
    }
    reading.broken |= !document.complete;
    if !document.complete {
        return None;
    }
    let mut layer = Layer::new(&source);
    let shape = openmetadata::shape(&document.root);
    reading.openmetadata = shape != Shape::Own;
    let info = match shape {
        Shape::Own => {
            layer.document(&source, &document.root, &mut reading.errors);
            None
        }
        Shape::OpenMetadata => {
            openmetadata::read_yaml(&mut layer, &document.root, &source, &mut reading.errors)
        }
        Shape::Helm => openmetadata::read_helm(&mut layer, &document.root, &source, &mut reading.errors),
    };
    reading.infos.extend(info);
    Some(layer)
}

fn foreign_environment(sources: &Sources, errors: &mut Vec<ConfigError>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (name, path) in openmetadata::ENVIRONMENT {
        let value = sources.variable(name).filter(|value| !openmetadata::is_unset(value));
        if let (Some(value), Some(key)) = (value, settings::find(path)) {
            layers.extend(variable_layer(key, name, value, errors));
        }
    }
    layers
}

pub(super) fn own_environment(sources: &Sources, errors: &mut Vec<ConfigError>) -> Vec<Layer> {
    let mut layers = Vec::new();
    let known = settings::environment_names();
    for (name, value) in &sources.environment {
        if !name.starts_with("METAGATE_") || name == FILE_VARIABLE {
            continue;
        }
        let path = known.iter().find(|(known, _)| known == name).map(|(_, path)| *path);
        match path.and_then(settings::find) {
            Some(key) => layers.extend(variable_layer(key, name, value, errors)),
            None if is_service_link(name) => {}
            None => errors.push(unknown_variable(name, &known)),
        }
    }
    layers
}

fn variable_layer(key: &Key, name: &str, value: &str, errors: &mut Vec<ConfigError>) -> Option<Layer> {
    let source = Source::Environment(name);
    if value.contains('\u{fffd}') {
        errors.push(ConfigError::new(key.path, Some(source.at(Position::START)), "is not UTF-8 text"));
        return None;
    }
    let mut layer = Layer::new(&source);
    layer.put(key, &openmetadata::environment_node(key.kind, value), &source, errors);
    Some(layer)
}

fn unknown_variable(name: &str, known: &[(String, &'static str)]) -> ConfigError {
    let near = nearest(name, known.iter().map(|(known, _)| known.as_str()));
    let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let shown = super::layer::shown(name);
    let origin = Some(Origin::Environment(shown.clone()));
    ConfigError::new("", origin, format!("unknown environment variable {shown}{hint}"))
}

/// Whether Kubernetes or Docker sets this variable for a service that is named `metagate...`.
fn is_service_link(name: &str) -> bool {
    let tail = name.trim_start_matches("METAGATE_");
    let port = |tail: &str| {
        let number = tail.rsplit_once("PORT_").map(|(_, rest)| rest);
        number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    !name.contains("__")
        && (tail.ends_with("SERVICE_HOST")
            || tail.contains("SERVICE_PORT")
            || tail == "PORT"
            || tail.ends_with("_PORT")
            || port(tail))
}

fn flags(flags: &Flags, errors: &mut Vec<ConfigError>) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut put = |path: &str, name: &'static str, value: document::Value| {
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
        let list = document::Value::List(flags.public_keys.iter().map(text).collect());
        put("authentication.publicKeyUrls", "--public-keys", list);
    }
    layers
}
