//! Parses `authentication.revocations` and reads the list.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::super::error::{ConfigError, Origin};
use super::super::finding::FindingId;
use super::super::redaction::redacted;
use super::super::revocation_sources::{ListFetching, RevocationSources, StoreAccess};
use super::super::revocations::{ListFormat, RevocationFile, Version};
use super::super::secret::Purpose;
use super::super::words::Introspect;
use super::super::{ClientTls, TlsVersion, TokenEndpointConfig, TrustEntry, values};
use super::identity_files;
use super::issuer_names::names_of_issuers;
use super::revocation_endpoint::{Written, endpoint};
use super::section::Section;
use crate::backend::Backend;
use crate::loopback::{is_loopback, is_on_this_machine};

/// More lists or servers than anyone needs.
const MAX_URLS: usize = 16;

/// `maxStale` is at least this many intervals between two looks.
const INTERVALS: u32 = 3;

/// The sources of revocations.
pub(super) fn revocations(
    root: &Section<'_>,
    trust: &[TrustEntry],
    token_endpoint: Option<&TokenEndpointConfig>,
) -> RevocationSources {
    let salt = root.section("datahub").secret("tokenServiceSalt", Purpose::Salt);
    let section = root.section("authentication").section("revocations");
    let format = ListFormat::new(salt, names_of_issuers(trust));
    let urls = urls(&section);
    let store = store(&section.section("store")).map(Arc::new);
    let file = file(&section, &format);
    let written = match (&store, &file) {
        (Some(_), _) => Written::Store,
        (None, Some((file, _))) => Written::File(file.path()),
        (None, None) => Written::Nowhere,
    };
    let endpoint = endpoint(&section, written, token_endpoint);
    let introspection = introspection(root, &section);
    RevocationSources {
        file,
        endpoint,
        introspection,
        fetching: fetching(&section, &urls),
        urls,
        store,
        format,
    }
}

/// Where the backend is asked about tokens of its bots.
fn introspection(root: &Section<'_>, section: &Section<'_>) -> Option<PathAndQuery> {
    const KEY: &str = "introspect";
    let (word, backend) = (section.word::<Introspect>(KEY), root.word::<Backend>("backend"));
    if word == Introspect::Off {
        return None;
    }
    let preset = backend.preset();
    let Some(path) = preset.bot_introspection else {
        let message = format!("`bots` has no effect with backend {}", backend.as_str());
        section.error_with_help(KEY, message, "only OpenMetadata has bots with a stored token: write `off`");
        return None;
    };
    let base = preset.base_path.and_then(|base| root.section(base.key.0).text(base.key.1));
    let path = format!("{}{path}", base.unwrap_or_default().trim_end_matches('/'));
    // What is wrong with the base path is reported where it is read.
    PathAndQuery::try_from(path).ok()
}

/// Reads the file. A list that cannot be read is an error, because running without it would accept revoked tokens.
fn file(section: &Section<'_>, format: &ListFormat) -> Option<(RevocationFile, Version)> {
    const KEY: &str = "file";
    let file = RevocationFile::new(section.file(KEY)?, format.clone());
    let fault = match file.read(SystemTime::now().into()) {
        Ok(version) => {
            warn_of_unknown_issuers(section, format, &version);
            return Some((file, version));
        }
        Err(fault) => fault,
    };
    if fault.problems.is_empty() {
        section.error(KEY, fault.to_string());
    }
    for problem in fault.problems {
        let origin =
            Origin::File { path: file.path().to_owned(), line: problem.at.line, column: problem.at.column };
        let error = ConfigError::new(section.path(KEY), Some(origin), problem.message);
        section.report.errors.borrow_mut().push(error);
    }
    None
}

/// Warns about entries for unknown issuers, because they revoke nothing.
fn warn_of_unknown_issuers(section: &Section<'_>, format: &ListFormat, version: &Version) {
    for name in format.unknown_issuers(&version.list) {
        let message = format!(
            "{} is neither the name nor the issuer of an entry: its entries in the list revoke nothing",
            values::quote(name)
        );
        let help = "write the name of an entry of authentication.issuers, or its iss; `public-keys` is the simple list";
        section.report.warn(FindingId::RevocationIssuer, &section.path("file"), message, help);
    }
}

fn urls(section: &Section<'_>) -> Vec<Url> {
    let urls = section.need_list("urls", |text| values::url(text, &["http", "https"]));
    check_list(section, "urls", &urls);
    urls
}

fn check_list(section: &Section<'_>, key: &str, urls: &[Url]) {
    if urls.len() > MAX_URLS {
        section.error(key, format!("has {} URLs; accepted: at most {MAX_URLS}", urls.len()));
    }
    if urls.iter().enumerate().any(|(at, url)| urls.iter().take(at).any(|other| other == url)) {
        section.error(key, "names the same URL twice");
    }
}

fn fetching(section: &Section<'_>, urls: &[Url]) -> ListFetching {
    let bearer_token_file = section.file("bearerTokenFile");
    if let Some(file) = &bearer_token_file {
        section.warn_of_mode("bearerTokenFile", file);
        for url in urls.iter().filter(|url| url.scheme() != "https" && !is_on_this_machine(url)) {
            let message = format!("would be sent to {} without encryption", redacted(url.as_str()));
            section.error_with_help("bearerTokenFile", message, "use https:// in urls");
        }
    }
    let ca_file = section.file("caFile");
    for (key, given) in [("bearerTokenFile", bearer_token_file.is_some()), ("caFile", ca_file.is_some())] {
        if given && urls.is_empty() && !section.in_error("urls") {
            section.error(key, "requires urls; store has keys of its own");
        }
    }
    let interval = section.duration("refreshInterval");
    let max_stale = max_stale(section, "refreshInterval", interval);
    if max_stale.is_some() && urls.is_empty() && !section.in_error("urls") {
        section.error("maxStale", "requires urls; store has a key of its own");
    }
    ListFetching { interval, max_stale, bearer_token_file, ca_file }
}

/// For how long a list that is not confirmed stays in force. One lost answer must not end it.
fn max_stale(section: &Section<'_>, key: &str, interval: Duration) -> Option<Duration> {
    const KEY: &str = "maxStale";
    let max_stale = section.read(KEY, values::duration)?;
    let least = interval * INTERVALS;
    if max_stale < least {
        let (max_stale, least) = (humantime::format_duration(max_stale), humantime::format_duration(least));
        let message = format!("{max_stale} is shorter than {INTERVALS} times {}", section.path(key));
        section.error_with_help(KEY, message, format!("write at least {least}"));
    }
    Some(max_stale)
}

/// The store, if it is configured.
pub(super) fn store(section: &Section<'_>) -> Option<StoreAccess> {
    const OTHERS: [&str; 7] = [
        "maxStale",
        "sentinelMaster",
        "username",
        "password",
        "passwordFile",
        "sentinelPassword",
        "sentinelPasswordFile",
    ];
    let (namespace, poll) = (section.need("namespace", values::name), section.duration("poll"));
    let read = |text: &str| values::url(text, &["redis", "rediss"]);
    let urls = section.list("url", read).or_else(|| section.read("url", read).map(|url| vec![url]));
    let urls = urls.unwrap_or_default();
    let Some(first) = urls.first() else {
        if let Some(key) = OTHERS.into_iter().chain(["caFile", "certFile"]).find(|key| section.has(key)) {
            section.missing(
                "url",
                &format!("is missing, and {} is set", section.path(key)),
                "write the server's URL, like rediss://redis.example:6379/0",
            );
        }
        return None;
    };
    check_list(section, "url", &urls);
    check_urls(section, &urls);
    let sentinel_master = section.text("sentinelMaster").filter(|name| !name.is_empty()).map(Into::into);
    let sentinel_password = password(section, "sentinelPassword");
    if sentinel_password.is_some() && sentinel_master.is_none() {
        section.error(&section.secret_key("sentinelPassword"), "requires sentinelMaster");
    }
    let password = password(section, "password");
    if password.is_some() && first.scheme() == "redis" && !urls.iter().all(is_local) {
        section.report.warn(
            FindingId::StoreUnencrypted,
            &section.path("url"),
            "the password and the revocations cross the network without encryption",
            "use rediss://",
        );
    }
    let username: Option<Box<str>> = section.text("username").filter(|name| !name.is_empty()).map(Into::into);
    if username.is_some() && !section.has_secret("password") {
        section.error("username", "requires password or passwordFile");
    }
    Some(StoreAccess {
        sentinel_master,
        namespace: namespace?,
        username,
        password,
        sentinel_password,
        tls: tls(section, first),
        poll,
        max_stale: max_stale(section, "poll", poll),
        urls,
    })
}

/// Whether a server is on this machine. The hosts of these schemes are not parsed as addresses.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

fn check_urls(section: &Section<'_>, urls: &[Url]) {
    let Some(first) = urls.first() else { return };
    if urls.iter().any(|url| url.scheme() != first.scheme() || url.path() != first.path()) {
        section.error("url", "is a list of URLs that differ in scheme or database");
    }
    let database = first.path().trim_matches('/');
    if !database.is_empty() && database.parse::<u16>().is_err() {
        section.error(
            "url",
            format!("{} is not the number of a database, like /0", values::quote(first.path())),
        );
    }
    if urls.iter().any(|url| url.query().is_some()) {
        section.error("url", "must not have a query");
    }
}

fn tls(section: &Section<'_>, url: &Url) -> ClientTls {
    let tls = ClientTls {
        ca_file: section.file("caFile"),
        identity: identity_files(section),
        min_version: TlsVersion::V12,
        server_name: None,
    };
    if url.scheme() != "rediss"
        && let Some(key) = ["caFile", "certFile"].into_iter().find(|key| section.has(key))
    {
        section.error_with_help(
            key,
            "requires rediss://: without it the connection is not encrypted",
            "use rediss:// in url",
        );
    }
    tls
}

fn password(section: &Section<'_>, key: &str) -> Option<SecretString> {
    let secret = section.secret(key, Purpose::Sent)?;
    let Ok(text) = str::from_utf8(secret.expose_secret()) else {
        section.error(&section.secret_key(key), "is not UTF-8 text");
        return None;
    };
    Some(text.into())
}
