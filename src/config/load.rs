//! Reads every source and merges them.

use std::path::PathBuf;

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
use super::{Config, EnvironmentProxies, SpanExport, StoreAccess, values};

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
    /// Where spans are sent, if they are. Only the environment says so.
    pub spans: Option<SpanExport>,
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

    /// Where the value at a path is written, whatever its form. `None` if there is none.
    pub fn origin_at(&self, path: &str) -> Option<Origin> {
        let value = self.merged.value_at(path)?;
        self.merged.origin(path, value)
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// All errors in all sources.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    load_with(sources, AbsentSecrets::Refused)
}

/// Like [`load`], for a machine without the secrets: a file with one that does not exist is a remark, and a random
/// secret takes its place.
///
/// # Errors
/// All errors in all sources.
pub fn load_without_secrets(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    load_with(sources, AbsentSecrets::Replaced)
}

fn load_with(sources: &Sources, absent: AbsentSecrets) -> Result<Loaded, ConfigErrors> {
    let Read { merged, files, errors, literals, implied_at, ignored, used } = read(sources);
    let failed = |errors| Err(failed(errors, &files));
    if files.broken {
        return failed(errors);
    }
    let mut parsed = parse::parse_with(&merged, errors, absent, parse::api_server(sources));
    let spans = SpanExport::of(sources, &mut parsed.errors, &mut parsed.warnings);
    let mut infos = files.infos.clone();
    infos.extend(ignored);
    infos.extend(about_backend(sources, &merged, implied_at));
    infos.extend(parsed.infos);
    match parsed.config {
        Some(mut config) if parsed.errors.is_empty() => {
            config.proxies = EnvironmentProxies::of(sources, &mut infos);
            infos.extend(spans.as_ref().map(SpanExport::remark));
            let warnings = parsed.warnings.into_iter().chain(literals.into_iter().filter_map(open_file));
            let (accepted, warnings) = warnings.partition(|warning| warning.is_accepted(&config.accepted));
            Ok(Loaded {
                config,
                warnings,
                accepted,
                infos,
                used,
                secret_files: parsed.secret_files,
                spans,
                merged,
            })
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
    let Read { merged, files, errors, .. } = read(sources);
    if files.broken {
        return Err(failed(errors, &files));
    }
    Ok(merged.text_at("authentication.revocations.file").map(|(path, _)| PathBuf::from(path)))
}

/// The file of the allow-list of bots (`issuer.bots.file`), as the sources name it.
///
/// # Errors
/// The sources cannot be read at all.
pub fn bots_file(sources: &Sources) -> Result<Option<PathBuf>, ConfigErrors> {
    let Read { merged, files, errors, .. } = read(sources);
    if files.broken {
        return Err(failed(errors, &files));
    }
    Ok(merged.text_at("issuer.bots.file").map(|(path, _)| PathBuf::from(path)))
}

/// Whether the allow-list of bots is in the store (`issuer.bots.store`), as the sources say.
///
/// # Errors
/// The sources cannot be read at all.
pub fn bots_are_in_store(sources: &Sources) -> Result<bool, ConfigErrors> {
    let Read { merged, files, errors, .. } = read(sources);
    if files.broken {
        return Err(failed(errors, &files));
    }
    let text = merged.text_at("issuer.bots.store").map(|(text, _)| text);
    Ok(text.is_some_and(|text| values::boolean(text) == Ok(true)))
}

/// The store that `authentication.revocations.store` names, also if the rest of the configuration is invalid.
///
/// # Errors
/// The sources cannot be read at all, or the store is not configured correctly.
pub fn revocation_store(sources: &Sources) -> Result<Option<StoreAccess>, ConfigErrors> {
    let Read { merged, files, errors, .. } = read(sources);
    if files.broken {
        return Err(failed(errors, &files));
    }
    let wrong = |errors: Vec<ConfigError>| failed(errors, &files);
    let is_ours = |error: &ConfigError| error.path.starts_with("authentication.revocations.store");
    let errors = errors.into_iter().filter(is_ours).collect();
    parse::revocation_store(&merged, errors).map_err(wrong)
}

/// What the sources say, before it is checked.
struct Read {
    merged: Merged,
    files: Files,
    errors: Vec<ConfigError>,
    /// See [`literal_secrets`].
    literals: Vec<(PathBuf, String)>,
    /// Where a file says which backend it is for by its form.
    implied_at: Option<Origin>,
    /// Remarks about environment variables that are ignored.
    ignored: Option<String>,
    used: Used,
}

fn read(sources: &Sources) -> Read {
    let mut files = file_layer::read(sources);
    let mut errors = std::mem::take(&mut files.errors);
    let literals = literal_secrets(&files.layers);
    let mut layers = vec![defaults(KEYS.iter())];
    let (implied, implied_at) = files.implied.take().unzip();
    layers.extend(implied);
    layers.append(&mut files.layers);
    let foreign = foreign_environment(sources, &mut errors);
    let (own, ignored) = own_environment(sources, &mut errors);
    let environment = [foreign, own];
    let flags = flags(&sources.flags, &mut errors);
    let used = Used::of(&files, &environment, &flags);
    layers.extend(environment.into_iter().flatten().chain(flags));
    Read { merged: Merged::new(layers), files, errors, literals, implied_at, ignored, used }
}

/// A remark about a backend that is not set although the sources are OpenMetadata's.
fn about_backend(sources: &Sources, merged: &Merged, implied: Option<Origin>) -> Option<String> {
    let origin = merged.origin("backend", merged.root.get("backend")?)?;
    if implied.as_ref() == Some(&origin) {
        return Some(format!(
            "backend is openmetadata, because a configuration of OpenMetadata's begins at {origin}; set `backend` to \
             choose another"
        ));
    }
    let theirs = origin == Origin::Default && sources.variable("AUTHENTICATION_PUBLIC_KEYS").is_some();
    theirs.then(|| {
        "backend is generic, where no route is public; `backend: openmetadata` opens its login, health check and web \
         pages"
            .to_owned()
    })
}

/// The first secret that is written in each file.
fn literal_secrets(layers: &[Layer]) -> Vec<(PathBuf, String)> {
    let first = |layer: &Layer| Some((layer.file()?.to_owned(), layer.literal_secrets.first()?.clone()));
    layers.iter().filter_map(first).collect()
}

/// Warns if a configuration file contains a secret and other users can read or change it.
fn open_file((file, path): (PathBuf, String)) -> Option<Finding> {
    let (message, _) = file_mode::warning(&file)?;
    let help = "chmod 640 it, or 600; or put the secret into a separate file, or write ${NAME}";
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
