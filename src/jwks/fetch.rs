//! Fetches a key set over HTTP, by OpenID Connect Discovery, or from a file.

use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;
use url::Url;

use super::KeysError;
use super::body;
use super::by_kid::KeysByKid;
use super::client::KeyClient;
use super::document::{DiscoveryDocument, usable};
use super::fault::FetchError;
use super::freshness::{Freshness, Validator};
use super::status::display_url;
use crate::config::{Config, Jwks, TrustEntry};
use crate::diagnosis::{Detail, Quoted, Words};
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
        let client = KeyClient::new(entry, config, template)?;
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
                    let uri = || Detail::of(format_args!("jwks_uri {}", Quoted(url.as_str()))).finish();
                    client
                        .admit(issuer, &url)
                        .map_err(|why| FetchError::Discovery(format!("{}: {why}", uri()).into()))?;
                    let keys = fetch_keys(client, url.clone(), KeyDialect::Standard, settings, known).await;
                    keys.map_err(|cause| FetchError::At { what: uri(), cause: cause.into() })
                }
                Self::File { path } => read_file(path.clone(), settings).await,
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
    let body = body::read(response, settings.max_bytes).await?;
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
    let at = |cause: FetchError| {
        let what = format!("discovery document {}", display_url(&url));
        FetchError::At { what: what.into(), cause: cause.into() }
    };
    let response = client.get(&url, "application/json", None).await.map_err(at)?;
    if response.status() != StatusCode::OK {
        return Err(at(FetchError::Status(response.status())));
    }
    let body = body::read(response, settings.max_bytes).await.map_err(at)?;
    key_set_url(&body, expected).map_err(|detail| FetchError::Discovery(detail.finish()))
}

/// The URL of the key set in a discovery document, or what is wrong with the document.
fn key_set_url(body: &[u8], expected: &[Box<str>]) -> Result<Url, Detail> {
    let failed = |why: &str| Err(Detail::of(format_args!("{why}")));
    let Ok(document) = serde_json::from_slice::<DiscoveryDocument>(body) else {
        let is_html = body.trim_ascii_start().starts_with(b"<");
        return failed(if is_html { "it is HTML: is this a login page?" } else { "it is not a JSON object" });
    };
    let Some(found) = document.issuer else { return failed("it has no issuer") };
    let Some(uri) = document.jwks_uri else { return failed("it has no jwks_uri") };
    if !expected.iter().any(|expected| **expected == *found) {
        let expected = Words(expected.iter().map(|issuer| &**issuer));
        return Err(Detail::of(format_args!(
            "its issuer is {}, and the configured ones are {expected}; its jwks_uri is {}",
            Quoted(&found),
            Quoted(&uri)
        )));
    }
    Url::parse(&uri).map_err(|_| Detail::of(format_args!("its jwks_uri {} is not a URL", Quoted(&uri))))
}

async fn read_file(path: PathBuf, settings: &Jwks) -> Result<Fetched, FetchError> {
    let limit = settings.max_bytes;
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
