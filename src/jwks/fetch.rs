//! Fetches a key set over HTTP, by OpenID Connect Discovery, or from a file.

use std::io;
use std::path::PathBuf;

use http::header::{ACCEPT, ACCEPT_ENCODING, IF_NONE_MATCH};
use reqwest::{Client, Proxy, StatusCode};
use serde::Deserialize;
use url::Url;

use super::KeysError;
use super::by_kid::KeysByKid;
use super::document::{read_body, usable};
use super::fault::FetchError;
use super::freshness::{Freshness, Validator};
use crate::config::{Config, Jwks, TrustEntry};
use crate::jose::{KeyDialect, KeySetFault, ParsedKeys};

/// Fetches one source.
#[derive(Debug)]
pub(super) enum Fetcher {
    Http {
        client: KeyClient,
        url: Url,
        dialect: KeyDialect,
    },
    Discovery {
        client: KeyClient,
        issuer: Url,
        expected: Vec<Box<str>>,
    },
    File {
        path: PathBuf,
    },
    ByKid(KeysByKid),
    #[cfg(test)]
    Scripted(super::tests::Script),
}

/// The result of a successful fetch.
#[derive(Debug)]
pub(super) enum Fetched {
    Keys {
        keys: ParsedKeys,
        freshness: Freshness,
        document: String,
    },
    /// 304 (Not Modified).
    Unchanged(Freshness),
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
        let client = KeyClient::new(entry, config, url)?;
        Ok(Self::Http { client, url: url.clone(), dialect })
    }

    pub(super) fn discovery(entry: &TrustEntry, issuer: &Url, config: &Config) -> Result<Self, KeysError> {
        let client = KeyClient::new(entry, config, issuer)?;
        let expected = entry.rules.issuers.clone();
        Ok(Self::Discovery { client, issuer: issuer.clone(), expected })
    }

    /// A source with one URL for each key, from a template.
    pub(super) fn by_kid(entry: &TrustEntry, template: &Url, config: &Config) -> Result<Self, KeysError> {
        let client = client(entry, config, template, &FetchPolicy::new(template))?;
        Ok(Self::ByKid(KeysByKid::new(client, template.clone())))
    }

    /// Its keys, if they are fetched one by one.
    pub(super) fn by_kid_keys(&self) -> Option<&KeysByKid> {
        match self {
            Self::ByKid(keys) => Some(keys),
            _ => None,
        }
    }

    /// How to read its documents.
    pub(super) fn dialect(&self) -> KeyDialect {
        match self {
            Self::Http { dialect, .. } => *dialect,
            Self::Discovery { .. } | Self::File { .. } | Self::ByKid(_) => KeyDialect::Standard,
            #[cfg(test)]
            Self::Scripted(_) => KeyDialect::Standard,
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Makes one attempt, which takes at most `timeout` in total.
    pub(super) async fn fetch(
        &self,
        settings: &Jwks,
        known: Option<&Validator>,
    ) -> Result<Fetched, FetchError> {
        let attempt = async {
            match self {
                Self::Http { client, url, dialect } => {
                    fetch_keys(client, url.clone(), *dialect, settings, known).await
                }
                Self::Discovery { client, issuer, expected } => {
                    let url = discover(client, issuer, expected, settings).await?;
                    client.admit(issuer, &url).map_err(FetchError::Discovery)?;
                    fetch_keys(client, url, KeyDialect::Standard, settings, known).await
                }
                Self::File { path } => read_file(path.clone(), settings.max_bytes).await,
                Self::ByKid(keys) => {
                    let (keys, document) = (keys.fetch(settings).await?, String::new());
                    Ok(Fetched::Keys { keys, freshness: Freshness::default(), document })
                }
                #[cfg(test)]
                Self::Scripted(script) => script.fetch(known).await,
            }
        };
        tokio::time::timeout(settings.timeout, attempt).await.unwrap_or(Err(FetchError::Timeout))
    }
}

/// Where a source is. The backend itself and this machine are never reached through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NetworkScope {
    Upstream,
    Loopback,
    Anywhere,
}

impl NetworkScope {
    pub(super) fn of(url: &Url, config: &Config) -> Self {
        let is_same = |upstream: &Url| {
            url.host() == upstream.host() && url.port_or_known_default() == upstream.port_or_known_default()
        };
        if config.upstream.urls().any(is_same) {
            Self::Upstream
        } else if is_on_this_machine(url) {
            Self::Loopback
        } else {
            Self::Anywhere
        }
    }

    /// The file with CA certificates to trust in addition to the platform's, if one is configured.
    pub(super) fn authorities(self, entry: &TrustEntry, config: &Config) -> Option<PathBuf> {
        let upstreams = config.upstream.tls.ca_file.as_ref().filter(|_| self == Self::Upstream);
        entry.ca_file.as_ref().or(upstreams).cloned()
    }
}

fn client(
    entry: &TrustEntry,
    config: &Config,
    url: &Url,
    policy: &Arc<FetchPolicy>,
) -> Result<Client, KeysError> {
    let scope = NetworkScope::of(url, config);
    let files = ClientTls {
        ca_file: scope.authorities(entry, config),
        identity: None,
        min_version: TlsVersion::V12,
        server_name: None,
    };
    let tls = tls::client_config(&files).map_err(|error| KeysError::Tls(entry.name.clone(), error))?;
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("metagate/", env!("CARGO_PKG_VERSION")))
        .redirect(policy.redirects())
        .dns_resolver(policy.resolver())
        .referer(false)
        .pool_max_idle_per_host(1);
    let builder = match &entry.proxy {
        _ if scope != NetworkScope::Anywhere => builder.no_proxy(),
        Some(proxy) => {
            let proxy = Proxy::all(proxy.as_str())
                .map_err(|error| KeysError::Client(entry.name.clone(), error.without_url()))?;
            builder.no_proxy().proxy(proxy)
        }
        // HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply.
        None => builder,
    };
    builder.build().map_err(|error| KeysError::Client(entry.name.clone(), error.without_url()))
}

async fn fetch_keys(
    client: &KeyClient,
    url: Url,
    dialect: KeyDialect,
    settings: &Jwks,
    known: Option<&Validator>,
) -> Result<Fetched, FetchError> {
    const ACCEPT: &str = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1";
    let known = known.filter(|known| known.url == url);
    let response = client.get(&url, ACCEPT, known.map(|known| &known.etag)).await?;
    let freshness = Freshness::read(&url, response.headers());
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Fetched::Unchanged(freshness)),
        status => return Err(FetchError::Status(status)),
    }
    let body = read_body(response, settings.max_bytes).await?;
    parse(body, dialect, freshness)
}

fn parse(body: Vec<u8>, dialect: KeyDialect, freshness: Freshness) -> Result<Fetched, FetchError> {
    let document = String::from_utf8(body).map_err(|_| FetchError::NotAKeySet(KeySetFault::NotAKeySet))?;
    let keys = usable(document.as_bytes(), dialect, settings.max_keys)?;
    Ok(Fetched::Keys { keys, freshness, document })
}

/// Reads the URL of the key set from the discovery document (OpenID Connect Discovery 1.0 section 4). The issuer in
/// the document must be the expected one (section 4.3).
async fn discover(
    client: &KeyClient,
    issuer: &Url,
    expected: &[Box<str>],
    settings: &Jwks,
) -> Result<Url, FetchError> {
    let mut url = issuer.clone();
    let path = format!("{}/.well-known/openid-configuration", issuer.path().trim_end_matches('/'));
    url.set_path(&path);
    let response = client.get(&url, "application/json", None).await?;
    if response.status() != StatusCode::OK {
        return Err(at(FetchError::Status(response.status())));
    }
    let body = body::read(response, settings.max_bytes).await?;
    let document: Document = serde_json::from_slice(&body)
        .map_err(|_| FetchError::Discovery("it is not JSON with issuer and jwks_uri"))?;
    if !expected.iter().any(|expected| **expected == *document.issuer) {
        return Err(FetchError::Discovery("its issuer is not the one that is configured"));
    }
    Url::parse(&uri).map_err(|_| Detail::of(format_args!("its jwks_uri {} is not a URL", Quoted(&uri))))
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
    let keys = usable(&body, KeyDialect::Standard, settings.max_keys)?;
    // Only what comes over a network is stored, so this need not be text.
    let document = String::from_utf8(body).unwrap_or_default();
    Ok(Fetched::Keys { keys, freshness: Freshness::default(), document })
}
