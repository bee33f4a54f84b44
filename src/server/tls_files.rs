//! The certificates, keys and authorities that `run` reads: whether they can be used, and until when.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::config::{
    ClientTls, ConfigError, Finding, FindingId, KeySource, Loaded, OTLP_CERTIFICATE, OTLP_CLIENT_CERTIFICATE,
    OTLP_CLIENT_KEY, TlsVersion,
};
use crate::tls::{self, Role, TlsError};

/// A certificate that ends within this time is a warning.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What is wrong with the files, with the key that names each.
pub(crate) fn errors(loaded: &Loaded) -> Vec<ConfigError> {
    faults(loaded).iter().map(|(section, error)| named(loaded, *section, error)).collect()
}

/// An error about a file of the listener, with the key that names it.
pub(super) fn of_listener(loaded: &Loaded, error: &TlsError) -> ConfigError {
    named(loaded, Section::Listener, error)
}

fn named(loaded: &Loaded, section: Section, error: &TlsError) -> ConfigError {
    let key = section.key(loaded, error.role, error.path());
    let origin = loaded.text_at(&key).and_then(|(_, origin)| origin);
    ConfigError::new(key, origin, error.to_string())
}

/// Splits off the errors about files that do not exist, as remarks: they may exist where the proxy runs.
pub(crate) fn without_absent_files(loaded: &Loaded) -> (Vec<ConfigError>, Vec<Finding>) {
    let absent: Vec<String> = faults(loaded)
        .iter()
        .filter(|(_, error)| error.is_absent())
        .map(|(_, error)| error.to_string())
        .collect();
    let (skipped, errors): (Vec<_>, Vec<_>) =
        errors(loaded).into_iter().partition(|error| absent.contains(&error.message));
    let remark = |error: ConfigError| Finding::info(format!("skipped: {}: {}", error.path, error.message));
    (errors, skipped.into_iter().map(remark).collect())
}

/// The certificates that have expired or will soon.
pub(crate) fn expiry(loaded: &Loaded, now: SystemTime) -> Vec<Finding> {
    let config = &loaded.config;
    let mut files = Vec::new();
    if let Some(listener) = &config.tls {
        files.push((Section::Listener, Role::Certificate, &listener.cert_file));
        files.extend(listener.client_ca_file.iter().map(|path| (Section::Listener, Role::Authorities, path)));
    }
    let upstream = config.upstream.tls.ca_file.iter().filter(|_| is_https(loaded));
    files.extend(upstream.map(|path| (Section::Upstream, Role::Authorities, path)));
    let identity = config.upstream.tls.identity.iter().filter(|_| is_https(loaded));
    files.extend(identity.map(|(path, _)| (Section::Upstream, Role::Certificate, path)));
    let entries = config.trust.iter().filter_map(|entry| entry.ca_file.as_ref());
    files.extend(entries.map(|path| (Section::Keys, Role::Authorities, path)));
    let identities = config.trust.iter().filter_map(|entry| entry.access.identity.as_ref());
    files.extend(identities.map(|(path, _)| (Section::Keys, Role::Certificate, path)));
    let mut found = Vec::new();
    for (section, role, path) in files {
        let key = section.key(loaded, role, path);
        let finding = tls::end(path, role).and_then(|end| ends(key, path, role, end, now));
        // Entries may share a file.
        if let Some(finding) = finding.filter(|finding| !found.contains(finding)) {
            found.push(finding);
        }
    }
    found
}

fn ends(key: String, path: &Path, role: Role, end: SystemTime, now: SystemTime) -> Option<Finding> {
    let what = if role == Role::Authorities { "the last certificate in" } else { "the certificate in" };
    let text =
        |verb| format!("{what} {} {verb} at {}", path.display(), humantime::format_rfc3339_seconds(end));
    if end < now {
        return Some(Finding::error(FindingId::CertificateExpired, key, text("expired")));
    }
    let is_soon = end.duration_since(now).is_ok_and(|left| left < SOON);
    is_soon.then(|| {
        Finding::warning(FindingId::CertificateExpires, key, text("expires"))
            .help("replace the file; metagate notices it and needs no restart")
    })
}

/// The sections of the configuration that name files.
#[derive(Clone, Copy)]
enum Section {
    Listener,
    Upstream,
    Keys,
    Spans,
}

impl Section {
    /// The key that names a file.
    fn key(self, loaded: &Loaded, role: Role, path: &Path) -> String {
        let name = match (self, role) {
            (Self::Keys, Role::Certificate) => "clientCertFile",
            (Self::Keys, Role::Key) => "clientKeyFile",
            (_, Role::Certificate) => "certFile",
            (_, Role::Key) => "keyFile",
            (Self::Listener, _) => "clientCaFile",
            (_, Role::Authorities) => "caFile",
            (_, Role::Url) => return "upstream.url".to_owned(),
        };
        match self {
            Self::Spans => match role {
                Role::Certificate => OTLP_CLIENT_CERTIFICATE.to_owned(),
                Role::Key => OTLP_CLIENT_KEY.to_owned(),
                _ => OTLP_CERTIFICATE.to_owned(),
            },
            Self::Listener => format!("tls.{name}"),
            Self::Upstream => format!("upstream.tls.{name}"),
            Self::Keys => {
                let of_entry = |index: usize| {
                    let entry = format!("authentication.issuers[{index}]");
                    [format!("{entry}.{name}"), format!("{entry}.kubernetes.{name}")]
                };
                let names =
                    |key: &String| loaded.text_at(key).is_some_and(|(text, _)| Path::new(text) == path);
                let mut entries = (0..loaded.config.trust.len()).flat_map(of_entry);
                entries.find(names).unwrap_or_else(|| format!("authentication.{name}"))
            }
        }
    }
}

/// What is wrong with each file that `run` would read.
fn faults(loaded: &Loaded) -> Vec<(Section, TlsError)> {
    let config = &loaded.config;
    let mut found = Vec::new();
    let listener = config.tls.iter().flat_map(tls::server_faults);
    found.extend(listener.map(|error| (Section::Listener, error)));
    if is_https(loaded) {
        let upstream = tls::client_faults(&config.upstream.tls).into_iter();
        // `upstream.tls.serverName` replaces the names of the URLs.
        let urls = config.upstream.urls().filter(|_| config.upstream.tls.server_name.is_none());
        let name = urls.filter_map(|url| tls::server_name(url).err()).next();
        found.extend(upstream.chain(name).map(|error| (Section::Upstream, error)));
    }
    let fetches = |keys: &KeySource| match keys {
        KeySource::Urls(urls) => urls.iter().any(|url| url.scheme() != "file"),
        KeySource::Discovery(_) | KeySource::ByKid(_) => true,
        KeySource::Inline(_) | KeySource::SharedSecret(_) => false,
    };
    for entry in config.trust.iter().filter(|entry| fetches(&entry.keys)) {
        let min_version = TlsVersion::default();
        let files = ClientTls {
            ca_file: entry.ca_file.clone(),
            identity: entry.access.identity.clone(),
            min_version,
            server_name: None,
        };
        found.extend(tls::client_faults(&files).into_iter().map(|error| (Section::Keys, error)));
    }
    // Also for an http collector, because a proxy in between may use TLS.
    if let Some(export) = &loaded.spans {
        found.extend(tls::client_faults(&export.tls).into_iter().map(|error| (Section::Spans, error)));
    }
    found
}

fn is_https(loaded: &Loaded) -> bool {
    loaded.config.upstream.url.scheme() == "https"
}
