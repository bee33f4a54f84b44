//! A view of one map of the merged configuration. It knows its path and collects errors and warnings.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::{Dict, Value};
use secrecy::SecretSlice;

use super::super::error::{ConfigError, Origin};
use super::super::finding::{Finding, FindingId};
use super::super::merged::Merged;
use super::super::secret::{self, AbsentSecrets, Purpose};
use super::super::words::Word;
use super::super::{file_mode, settings, values};

/// The errors, warnings and remarks found while parsing.
pub(super) struct Report {
    pub(super) errors: RefCell<Vec<ConfigError>>,
    pub(super) warnings: RefCell<Vec<Finding>>,
    pub(super) infos: RefCell<Vec<String>>,
    pub(super) secret_files: RefCell<Vec<PathBuf>>,
    pub(super) absent_secrets: AbsentSecrets,
    pub(super) api_server: Option<String>,
}

impl Report {
    pub(super) fn warn(
        &self,
        id: FindingId,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.warnings.borrow_mut().push(Finding::warning(id, path, message).help(help));
    }

    pub(super) fn info(&self, message: String) {
        self.infos.borrow_mut().push(message);
    }

    /// Whether there is an error at `path` or below it.
    pub(super) fn knows(&self, path: &str) -> bool {
        let below = |other: &str| {
            other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.errors.borrow().iter().any(|error| below(&error.path))
    }
}

/// One map: the root, a section, or an element of a list.
#[derive(Clone)]
pub(super) struct Section<'a> {
    merged: &'a Merged,
    pub(super) report: &'a Report,
    dict: Option<&'a Dict>,
    /// Where the list element begins, if this is one.
    element_origin: Option<Origin>,
    path: String,
}

impl<'a> Section<'a> {
    pub(super) fn root(merged: &'a Merged, report: &'a Report) -> Self {
        Self { merged, report, dict: Some(&merged.root), element_origin: None, path: String::new() }
    }

    /// The path of a key here.
    pub(super) fn path(&self, name: &str) -> String {
        settings::join(&self.path, name)
    }

    /// A section below this one; empty if it is not set.
    pub(super) fn section(&self, name: &str) -> Section<'a> {
        let dict = self.value(name).and_then(Value::as_dict);
        Section { dict, path: self.path(name), ..self.clone() }
    }

    /// The elements of a list of maps.
    pub(super) fn entries(&self, name: &str) -> Vec<Section<'a>> {
        let values = self.value(name).and_then(Value::as_array).unwrap_or_default();
        let elements = values.iter().enumerate().map(|(index, value)| {
            let path = format!("{}[{index}]", self.path(name));
            let element_origin = self.merged.origin(&path, value);
            Section { dict: value.as_dict(), element_origin, path, ..self.clone() }
        });
        elements.collect()
    }

    /// Whether the elements of a list are maps.
    pub(super) fn has_entries(&self, name: &str) -> bool {
        self.entries(name).iter().any(|entry| entry.dict.is_some())
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.dict?.get(name).filter(|value| !matches!(value, Value::Empty(..)))
    }

    /// Where a key is written. For a missing key, where the list element begins.
    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        let value = self.dict.and_then(|dict| dict.get(name));
        value
            .and_then(|value| self.merged.origin(&self.path(name), value))
            .or_else(|| self.element_origin.clone())
    }

    /// Whether a key has a value other than the built-in default.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.value(name).is_some() && self.origin(name) != Some(Origin::Default)
    }

    /// Records an error about a key.
    pub(super) fn error(&self, name: &str, message: impl Into<String>) {
        self.push(ConfigError::new(self.path(name), self.origin(name), message));
    }

    /// Records an error about a key, with advice.
    pub(super) fn error_with_help(&self, name: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(ConfigError::new(self.path(name), self.origin(name), message).help(help));
    }

    fn push(&self, error: ConfigError) {
        self.report.errors.borrow_mut().push(error);
    }

    /// Whether there is already an error about a key. Then it only appears to be missing.
    pub(super) fn in_error(&self, name: &str) -> bool {
        self.report.knows(&self.path(name))
    }

    /// Records that a key is missing, unless there is already an error about it, or about the section itself.
    pub(super) fn missing(&self, name: &str, message: &str, help: &str) {
        let is_this = |error: &ConfigError| !self.path.is_empty() && error.path == self.path;
        let in_error = self.in_error(name) || self.report.errors.borrow().iter().any(is_this);
        if !in_error {
            self.error_with_help(name, message, help);
        }
    }

    /// Whether a key or a section is present.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The text of a key.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name).and_then(Value::as_str)
    }

    /// The value of an optional key.
    pub(super) fn read<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.text(name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.error(name, message);
                None
            }
        }
    }

    /// The value of a key with a default. Defaults are a layer, so there always is a value. `None`, with an error, if
    /// it is invalid.
    pub(super) fn need<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.require(name);
        self.read(name, parse)
    }

    /// Records an error if a key with a default has no value at all.
    pub(super) fn require(&self, name: &str) {
        if self.value(name).is_none() {
            self.missing(name, "has no value", "leave the key out for its default");
        }
    }

    /// The text of a key that has a default.
    pub(super) fn need_text(&self, name: &str) -> &'a str {
        self.require(name);
        self.text(name).unwrap_or_default()
    }

    /// The items of a list that has a default.
    pub(super) fn need_list<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.require(name);
        self.list(name, parse).unwrap_or_default()
    }

    /// The value of a key with a default, or a substitute if it is invalid. The error prevents the configuration from
    /// being used, so the substitute has no effect.
    pub(super) fn need_value<T: Default>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        self.need(name, parse).unwrap_or_default()
    }

    /// A word that has a default.
    pub(super) fn word<W: Word + Default>(&self, name: &str) -> W {
        self.need_value(name, W::from_word)
    }

    pub(super) fn boolean(&self, name: &str) -> bool {
        self.need_value(name, values::boolean)
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        self.need_value(name, values::duration)
    }

    /// A number of bytes.
    pub(super) fn size<T: TryFrom<u64> + Default>(&self, name: &str) -> T {
        self.need_value(name, |text| values::size(text).and_then(fits))
    }

    pub(super) fn count<T: TryFrom<u64> + Default>(&self, name: &str) -> T {
        self.need_value(name, |text| values::integer(text).and_then(fits))
    }

    /// The items of a list; `None` if it is not set.
    pub(super) fn list<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let texts = self.value(name)?.as_array()?.iter().filter_map(Value::as_str);
        let mut items = Vec::new();
        for (index, text) in texts.enumerate() {
            match parse(text) {
                Ok(item) => items.push(item),
                Err(message) => self.error(name, format!("item {}: {message}", index + 1)),
            }
        }
        Some(items)
    }

    /// A list of texts; empty if it is not set.
    pub(super) fn texts(&self, name: &str) -> Vec<Box<str>> {
        self.list(name, |text| Ok(text.into())).unwrap_or_default()
    }

    /// A map from texts to lists of texts.
    pub(super) fn text_lists(&self, name: &str) -> Vec<(&'a str, Vec<Box<str>>)> {
        let Some(dict) = self.value(name).and_then(Value::as_dict) else { return Vec::new() };
        let texts = |value: &Value| {
            value.as_array().unwrap_or_default().iter().filter_map(Value::as_str).map(Into::into).collect()
        };
        dict.iter().map(|(key, value)| (key.as_str(), texts(value))).collect()
    }

    /// A path.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A secret that passes [`secret::check`], from the key itself or from the file named by `<key>File`.
    pub(super) fn secret(&self, name: &str, purpose: Purpose) -> Option<SecretSlice<u8>> {
        let twin = format!("{name}File");
        let file = self.file(&twin);
        let bytes = match (self.text(name), file) {
            (Some(_), Some(_)) => {
                let other = self.origin(name).map(|origin| format!(" ({origin})")).unwrap_or_default();
                self.error(&twin, format!("{}{other} is also set; set only one of them", self.path(name)));
                return None;
            }
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(file)) => match secret::read(&file) {
                Ok(bytes) => {
                    self.warn_of_mode(&twin, &file);
                    self.report.secret_files.borrow_mut().push(file);
                    bytes
                }
                Err(_) if self.report.absent_secrets == AbsentSecrets::Replaced && !file.exists() => {
                    let key = self.path(&twin);
                    self.report.info(format!("skipped: {key}: the file {} is not here", file.display()));
                    return Some(secret::unknown().into());
                }
                Err(message) => {
                    self.error(&twin, format!("the file {} cannot be read: {message}", file.display()));
                    return None;
                }
            },
            (None, None) => return None,
        };
        let Err(fault) = secret::check(&bytes, purpose) else { return Some(bytes.into()) };
        let key = self.secret_key(name);
        if fault.harmless {
            self.report.warn(
                FindingId::PublishedSalt,
                &self.path(&key),
                fault.message,
                fault.help.unwrap_or_default(),
            );
            return Some(bytes.into());
        }
        let mut error = ConfigError::new(self.path(&key), self.origin(&key), fault.message);
        error.help = fault.help.map(str::to_owned);
        self.push(error);
        None
    }

    /// Warns if other users of the machine can access a file with a secret.
    pub(super) fn warn_of_mode(&self, name: &str, file: &Path) {
        if let Some((message, help)) = file_mode::warning(file) {
            self.report.warn(FindingId::SecretReadable, &self.path(name), message, help);
        }
    }

    /// Whether one of a secret's two keys has a value.
    pub(super) fn has_secret(&self, name: &str) -> bool {
        self.value(name).is_some() || self.value(&format!("{name}File")).is_some()
    }

    /// The one of a secret's two keys that is set.
    pub(super) fn secret_key(&self, name: &str) -> String {
        let twin = format!("{name}File");
        if self.value(&twin).is_some() { twin } else { name.to_owned() }
    }
}

fn fits<T: TryFrom<u64>>(number: u64) -> Result<T, String> {
    T::try_from(number).map_err(|_| "is too large".to_owned())
}
