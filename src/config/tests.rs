//! Loads configurations as users write them.

mod by_kid;
mod cors;
mod datahub_actor;
mod defaults;
mod documentation;
mod environment;
mod errors;
mod files;
mod findings;
mod foreign;
mod forward_auth;
mod hostile;
mod identity;
mod impersonation;
mod issuer;
mod issuer_names;
mod large;
mod key_access;
mod layers;
mod limits;
mod meaning;
mod mint;
mod own_tokens;
mod public_keys;
mod path_prefix;
mod resource_metadata;
mod revocation_sources;
mod revocations;
mod rule_tests;
mod routes;
mod secrets;
mod spans;
mod token_endpoint;
mod token_exchange;
mod token_headers;
mod token_kinds;
mod unbound;
mod upstream;
mod variables;
mod words;

use std::net::IpAddr;
use std::path::PathBuf;

use super::*;

/// A configuration to load: a file and variables.
pub(super) struct Case {
    sources: Sources,
    _directory: tempfile::TempDir,
}

pub(super) const KEYS_URL: (&str, &str) = ("AUTHENTICATION_PUBLIC_KEYS", "https://idp.example/jwks");
pub(super) const UPSTREAM: (&str, &str) = ("METAGATE_UPSTREAM__URL", "http://10.0.0.1:8585");

/// Only a file with this text.
pub(super) fn file(text: &str) -> Case {
    // Other users must not have access, which would be a warning.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let directory = tempfile::Builder::new().permissions(mode).tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    Case { sources: Sources { files: vec![path], ..Sources::default() }, _directory: directory }
}

/// Only these variables.
pub(super) fn environment(variables: &[(&str, &str)]) -> Case {
    // An empty file, so that no file of this machine is read.
    file("").with(variables)
}

impl Case {
    pub(super) fn with(mut self, variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.sources.environment.extend(variables.iter().map(owned));
        self
    }

    pub(super) fn flags(mut self, flags: Flags) -> Self {
        self.sources.flags = flags;
        self
    }

    /// Another file in the directory of the configuration.
    pub(super) fn beside(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self._directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(super) fn result(&self) -> Result<Loaded, ConfigErrors> {
        load(&self.sources)
    }

    #[track_caller]
    pub(super) fn loaded(&self) -> Loaded {
        self.result().unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[track_caller]
    pub(super) fn config(&self) -> Config {
        self.loaded().config
    }

    /// Each error as `path @ line:column | message`, or with a variable's or flag's name.
    #[track_caller]
    pub(super) fn errors(&self) -> Vec<String> {
        let errors = self.result().err().unwrap_or_else(|| panic!("it loads"));
        errors.iter().map(shown).collect()
    }
}

fn shown(error: &ConfigError) -> String {
    let place = match &error.origin {
        Some(Origin::File { line, column, .. }) => format!("{line}:{column}"),
        Some(Origin::WholeFile(_)) => "file".to_owned(),
        Some(Origin::Environment(name)) => name.clone(),
        Some(Origin::Flag(name)) => name.clone(),
        Some(Origin::Default) => "default".to_owned(),
        None => "-".to_owned(),
    };
    format!("{} @ {place} | {}", error.path, error.message)
}

#[track_caller]
pub(super) fn assert_error(errors: &[String], start: &str) {
    assert!(errors.iter().any(|error| error.starts_with(start)), "no error `{start}` in {errors:#?}");
}

pub(super) fn urls(entry: &TrustEntry) -> Vec<&str> {
    match &entry.keys {
        KeySource::Urls(urls) => urls.iter().map(url::Url::as_str).collect(),
        _ => panic!("no URLs: {entry:?}"),
    }
}
