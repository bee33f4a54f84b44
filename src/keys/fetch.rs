//! Getting a key set: over HTTP with reqwest, by OpenID Connect Discovery, or from a file.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, AGE, CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, Proxy, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{KeysError, guard};
use crate::config::{ClientTls, Config, Jwks, TrustEntry};
use crate::jose::{KeyDialect, KeySetFault, ParsedKeys};
use crate::tls;

/// What HTTP caching may do to the time between fetches.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(60);
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Fetches one source.
#[derive(Debug)]
pub(super) enum Fetcher {
    Http { client: Client, url: Url, dialect: KeyDialect },
    Discovery { client: Client, issuer: Url, expected: Vec<Box<str>> },
    File { path: PathBuf },
}

/// How long keys are fresh, and how to ask for newer ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Freshness {
    /// From `Cache-Control` or `Expires`; `None` leaves it to `refreshInterval`.
    pub(super) lifetime: Option<Duration>,
    pub(super) etag: Option<HeaderValue>,
}

/// A fetch that worked.
#[derive(Debug)]
pub(super) enum Fetched {
    Keys {
        keys: ParsedKeys,
        freshness: Freshness,
        document: String,
    },
    /// 304.
    Unchanged(Freshness),
}

/// Why a fetch did not bring keys.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FetchError {
    #[error("timed out")]
    Timeout,
    #[error("{0}")]
    Connection(String),
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("body is larger than maxBytes")]
    TooLarge,
    #[error("{0}")]
    NotAKeySet(KeySetFault),
    #[error("no key of the set can be used: {0}")]
    NoUsableKey(String),
    #[error("discovery document: {0}")]
    Discovery(&'static str),
    #[error("{0}")]
    File(io::Error),
}

impl FetchError {
    /// A word for the metric.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection(_) => "connection",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::NotAKeySet(_) => "not_a_key_set",
            Self::NoUsableKey(_) => "no_usable_key",
            Self::Discovery(_) => "discovery",
            Self::File(_) => "file",
        }
    }
}

impl Fetcher {
    pub(super) fn key_set(
        entry: &TrustEntry,
        url: &Url,
        dialect: KeyDialect,
        config: &Config,
    ) -> Result<Self, KeysError> {
        if url.scheme() == "file"
            && let Ok(path) = url.to_file_path()
        {
            return Ok(Self::File { path });
        }
        let upstream = &config.upstream.url;
        let same_port = url.port_or_known_default() == upstream.port_or_known_default();
        let reach = if url.host() == upstream.host() && same_port {
            Reach::Upstream
        } else if guard::is_loopback(url) {
            Reach::Loopback
        } else {
            Reach::Anywhere
        };
        Ok(Self::Http { client: client(entry, config, reach)?, url: url.clone(), dialect })
    }

    pub(super) fn discovery(entry: &TrustEntry, issuer: &Url, config: &Config) -> Result<Self, KeysError> {
        let client = client(
            entry,
            config,
            if guard::is_loopback(issuer) { Reach::Loopback } else { Reach::Anywhere },
        )?;
        Ok(Self::Discovery { client, issuer: issuer.clone(), expected: entry.rules.issuers.clone() })
    }

    /// How its documents are to be read.
    pub(super) fn dialect(&self) -> KeyDialect {
        match self {
            Self::Http { dialect, .. } => *dialect,
            Self::Discovery { .. } | Self::File { .. } => KeyDialect::Standard,
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// One attempt, within `timeout` altogether.
    pub(super) async fn fetch(
        &self,
        settings: &Jwks,
        etag: Option<&HeaderValue>,
    ) -> Result<Fetched, FetchError> {
        let attempt = async {
            match self {
                Self::Http { client, url, dialect } => {
                    fetch_keys(client, url.clone(), *dialect, settings, etag).await
                }
                Self::Discovery { client, issuer, expected } => {
                    let url = discover(client, issuer, expected, settings).await?;
                    fetch_keys(client, url, KeyDialect::Standard, settings, etag).await
                }
                Self::File { path } => read_file(path.clone(), settings.max_bytes).await,
            }
        };
        tokio::time::timeout(settings.timeout, attempt).await.unwrap_or(Err(FetchError::Timeout))
    }
}

/// Where a source is. The backend itself and this machine are never reached through a proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Upstream,
    Loopback,
    Anywhere,
}

fn client(entry: &TrustEntry, config: &Config, reach: Reach) -> Result<Client, KeysError> {
    let upstreams = config.upstream.tls.ca_file.clone().filter(|_| reach == Reach::Upstream);
    let files = ClientTls { ca_file: entry.ca_file.clone().or(upstreams), identity: None };
    let tls = tls::client_config(&files).map_err(|error| KeysError::Tls(entry.name.clone(), error))?;
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("metagate/", env!("CARGO_PKG_VERSION")))
        .redirect(guard::redirects())
        .dns_resolver(guard::resolver())
        .connect_timeout(config.jwks.timeout)
        .referer(false)
        .pool_max_idle_per_host(1);
    let builder = match &entry.proxy {
        _ if reach != Reach::Anywhere => builder.no_proxy(),
        Some(proxy) => {
            let proxy =
                Proxy::all(proxy.as_str()).map_err(|error| KeysError::Client(entry.name.clone(), error))?;
            builder.no_proxy().proxy(proxy)
        }
        // HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply.
        None => builder,
    };
    builder.build().map_err(|error| KeysError::Client(entry.name.clone(), error))
}

async fn fetch_keys(
    client: &Client,
    url: Url,
    dialect: KeyDialect,
    settings: &Jwks,
    etag: Option<&HeaderValue>,
) -> Result<Fetched, FetchError> {
    let mut request =
        client.get(url).header(ACCEPT, "application/jwk-set+json, application/json;q=0.9, */*;q=0.1");
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let response = request.send().await.map_err(|error| connection_error(&error))?;
    let freshness = Freshness {
        lifetime: lifetime(response.headers(), SystemTime::now()),
        etag: response.headers().get(ETAG).cloned(),
    };
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Fetched::Unchanged(freshness)),
        status => return Err(FetchError::Status(status)),
    }
    let body = read_body(response, settings.max_bytes).await?;
    parse(body, dialect, freshness)
}

fn parse(body: Vec<u8>, dialect: KeyDialect, freshness: Freshness) -> Result<Fetched, FetchError> {
    let document = String::from_utf8(body).map_err(|_| FetchError::NotAKeySet(KeySetFault::NotAKeySet))?;
    let keys = usable(&document, dialect)?;
    Ok(Fetched::Keys { keys, freshness, document })
}

/// The keys of a document, if any of them can be used.
pub(super) fn usable(document: &str, dialect: KeyDialect) -> Result<ParsedKeys, FetchError> {
    let keys = ParsedKeys::parse(document.as_bytes(), dialect).map_err(FetchError::NotAKeySet)?;
    // An empty set would lock everybody out: more likely a broken issuer than a wish.
    if keys.usable.is_empty() {
        let causes: Vec<_> = keys.skipped.iter().map(|key| key.fault.to_string()).collect();
        return Err(FetchError::NoUsableKey(if causes.is_empty() {
            "it is empty".to_owned()
        } else {
            causes.join("; ")
        }));
    }
    Ok(keys)
}

/// OpenID Connect Discovery 1.0 section 4; the issuer in the document must be the one asked for
/// (section 4.3).
async fn discover(
    client: &Client,
    issuer: &Url,
    expected: &[Box<str>],
    settings: &Jwks,
) -> Result<Url, FetchError> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        jwks_uri: Url,
    }
    let mut url = issuer.clone();
    let path = format!("{}/.well-known/openid-configuration", issuer.path().trim_end_matches('/'));
    url.set_path(&path);
    let response = client
        .get(url)
        .header(ACCEPT, "application/json")
        .send()
        .await
        .map_err(|error| connection_error(&error))?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let body = read_body(response, settings.max_bytes).await?;
    let document: Document = serde_json::from_slice(&body)
        .map_err(|_| FetchError::Discovery("it is not JSON with issuer and jwks_uri"))?;
    if !expected.iter().any(|expected| **expected == *document.issuer) {
        return Err(FetchError::Discovery("its issuer is not the one that is configured"));
    }
    if !matches!(document.jwks_uri.scheme(), "http" | "https")
        || (issuer.scheme() == "https" && document.jwks_uri.scheme() != "https")
    {
        return Err(FetchError::Discovery("its jwks_uri has a weaker scheme"));
    }
    Ok(document.jwks_uri)
}

/// Reads at most `limit` bytes, however many are announced or sent.
async fn read_body(mut response: Response, limit: u64) -> Result<Vec<u8>, FetchError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| connection_error(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn read_file(path: PathBuf, limit: u64) -> Result<Fetched, FetchError> {
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut body = Vec::new();
        std::fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut body)?;
        Ok(body)
    });
    let body =
        read.await.map_err(|error| FetchError::File(io::Error::other(error)))?.map_err(FetchError::File)?;
    if body.len() as u64 > limit {
        return Err(FetchError::TooLarge);
    }
    parse(body, KeyDialect::Standard, Freshness::default())
}

/// The cause that a person can act on, from the end of the chain of errors.
fn connection_error(error: &reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::Timeout;
    }
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(io::ErrorKind::ConnectionReset) => "connection reset".to_owned(),
        Some(io::ErrorKind::UnexpectedEof) => "connection closed in the middle".to_owned(),
        _ => cause.to_string(),
    };
    FetchError::Connection(match text {
        text if text.contains("UnknownIssuer") => "certificate signed by unknown authority".to_owned(),
        text if text.contains("NotValidForName") => "certificate is for another name".to_owned(),
        text if text.contains("Expired") => "certificate has expired".to_owned(),
        text if text.contains("failed to lookup address") => "name cannot be resolved".to_owned(),
        text => text,
    })
}

/// RFC 9111 section 4.2.1: `max-age` goes before `Expires`; `Age` has been used up already.
/// `None` where the answer says nothing.
fn lifetime(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| fields.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let directives = || text(CACHE_CONTROL).unwrap_or_default().split(',').map(str::trim);
    let max_age = directives().find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse::<u64>().ok())?
    });
    let uncached = directives().any(|directive| {
        directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache")
    });
    let stated = match max_age {
        Some(secs) => {
            let age = text(AGE).and_then(|age| age.parse::<u64>().ok()).unwrap_or(0);
            Duration::from_secs(secs.saturating_sub(age))
        }
        None if uncached => return None,
        None => {
            let expires = httpdate::parse_http_date(text(EXPIRES)?).ok()?;
            expires.duration_since(now).unwrap_or_default()
        }
    };
    Some(stated.clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(http::HeaderName, &'static str)]) -> Option<u64> {
        let fields =
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 00:00:00 GMT").unwrap();
        lifetime(&fields, now).map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn caching_is_followed_within_bounds() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[(CACHE_CONTROL, "public, max-age=3600")]), Some(3600));
        assert_eq!(read(&[(CACHE_CONTROL, "Max-Age=\"3600\""), (AGE, "600")]), Some(3000));
        assert_eq!(read(&[(CACHE_CONTROL, "max-age=0")]), Some(60));
        assert_eq!(read(&[(CACHE_CONTROL, "max-age=1000000000000")]), Some(86_400));
        assert_eq!(read(&[(CACHE_CONTROL, "max-age=99999999999999999999")]), None);
        assert_eq!(read(&[(CACHE_CONTROL, "no-store")]), None);
        assert_eq!(read(&[(EXPIRES, "Sun, 22 Nov 2026 01:00:00 GMT")]), Some(3600));
        assert_eq!(read(&[(EXPIRES, "Sat, 21 Nov 2026 01:00:00 GMT")]), Some(60));
        assert_eq!(read(&[(EXPIRES, "0")]), None);
        assert_eq!(
            read(&[(EXPIRES, "Sun, 22 Nov 2026 01:00:00 GMT"), (CACHE_CONTROL, "max-age=120")]),
            Some(120)
        );
    }
}
