//! The certificates, keys and authorities that `run` reads: whether they can be used, and until when.

use std::iter;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::admin::CertificateView;
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
    ends(loaded).into_iter().filter_map(|certificate| finding(certificate, now)).collect()
}

fn finding(certificate: CertificateView, now: SystemTime) -> Option<Finding> {
    let CertificateView { setting, file, is_authorities, ends_at } = certificate;
    let what = if is_authorities { "the last certificate in" } else { "the certificate in" };
    let text = |verb| format!("{what} {file} {verb} at {}", humantime::format_rfc3339_seconds(ends_at));
    if ends_at < now {
        return Some(Finding::error(FindingId::CertificateExpired, setting, text("expired")));
    }
    let is_soon = ends_at.duration_since(now).is_ok_and(|left| left < SOON);
    is_soon.then(|| {
        Finding::warning(FindingId::CertificateExpires, setting, text("expires"))
            .help("replace the file; metagate notices it and needs no restart")
    })
}

/// Every file of certificates that `run` uses, with its end. Entries may share a file.
pub(crate) fn ends(loaded: &Loaded) -> Vec<CertificateView> {
    let mut found = Vec::<CertificateView>::new();
    for (section, role, path) in files(loaded) {
        let (setting, file) = (section.key(loaded, role, path), path.display().to_string());
        if found.iter().any(|known| known.setting == setting && known.file == file) {
            continue;
        }
        if let Some(ends_at) = tls::end(path, role) {
            let is_authorities = role == Role::Authorities;
            found.push(CertificateView { setting, file, is_authorities, ends_at });
        }
    }
    found
}

/// Every file of certificates that `run` uses.
fn files(loaded: &Loaded) -> impl Iterator<Item = (Section, Role, &Path)> {
    let config = &loaded.config;
    let listener = config.tls.iter().flat_map(|tls| {
        let authorities = tls.client_ca_file.iter().map(|path| (Section::Listener, Role::Authorities, path));
        iter::once((Section::Listener, Role::Certificate, &tls.cert_file)).chain(authorities)
    });
    let upstream = iter::once(&config.upstream.tls).filter(move |_| is_https(loaded));
    let store = config.revocations.store.iter().map(|store| (Section::Store, &store.tls));
    let spans = loaded.spans.iter().map(|export| (Section::Spans, &export.tls));
    let clients = upstream.map(|tls| (Section::Upstream, tls)).chain(store).chain(spans);
    let clients = clients.flat_map(|(section, tls)| of_client(section, &tls.ca_file, &tls.identity));
    let entries = config.trust.iter();
    let entries = entries.flat_map(|entry| of_client(Section::Keys, &entry.ca_file, &entry.access.identity));
    let lists = of_client(Section::Revocations, &config.revocations.fetching.ca_file, &None);
    let all = listener.chain(clients).chain(entries).chain(lists);
    all.map(|(section, role, path)| (section, role, path.as_path()))
}

/// The files of certificates for outgoing requests.
fn of_client<'f>(
    section: Section,
    ca_file: &'f Option<PathBuf>,
    identity: &'f Option<(PathBuf, PathBuf)>,
) -> impl Iterator<Item = (Section, Role, &'f PathBuf)> {
    let chain = identity.iter().map(move |(chain, _)| (section, Role::Certificate, chain));
    ca_file.iter().map(move |path| (section, Role::Authorities, path)).chain(chain)
}

/// The sections of the configuration that name files.
#[derive(Clone, Copy)]
enum Section {
    Listener,
    Upstream,
    Keys,
    Revocations,
    Store,
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
            Self::Revocations => format!("authentication.revocations.{name}"),
            Self::Store => format!("authentication.revocations.store.{name}"),
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
    let store = config.revocations.store.iter().flat_map(|store| tls::client_faults(&store.tls));
    found.extend(store.map(|error| (Section::Store, error)));
    let lists = ClientTls { ca_file: config.revocations.fetching.ca_file.clone(), ..ClientTls::default() };
    found.extend(tls::client_faults(&lists).into_iter().map(|error| (Section::Revocations, error)));
    // Also for an http collector, because a proxy in between may use TLS.
    if let Some(export) = &loaded.spans {
        found.extend(tls::client_faults(&export.tls).into_iter().map(|error| (Section::Spans, error)));
    }
    found
}

fn is_https(loaded: &Loaded) -> bool {
    loaded.config.upstream.url.scheme() == "https"
}
