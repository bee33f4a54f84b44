//! A list that is fetched over HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use http::header::ETAG;
use reqwest::StatusCode;
use tokio::time::timeout;
use url::Url;

use super::source::SourceState;
use crate::config::{Config, KeyAccess};
use crate::digest::sha256;
use crate::jwks::{FetchError, KeyClient, KeysError, ServerAccess, read_body};

/// The maximum size of a document.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// How often the copy on disk is renewed although nothing changes, so that it does not become too old to be used.
const COPY_INTERVAL: Duration = Duration::from_secs(600);

/// The document of the current list.
#[derive(Clone, Debug)]
struct Known {
    digest: [u8; 32],
    etag: Option<HeaderValue>,
    /// When it was last received.
    at: Instant,
}

/// The list at one URL.
#[derive(Debug)]
pub(super) struct UrlList {
    pub(super) state: Arc<SourceState>,
    client: KeyClient,
    url: Url,
    pub(super) interval: Duration,
    timeout: Duration,
    known: Mutex<Option<Known>>,
}

impl UrlList {
    pub(super) fn new(state: SourceState, url: &Url, config: &Config) -> Result<Self, KeysError> {
        let fetching = &config.revocations.fetching;
        let access =
            KeyAccess { bearer_token_file: fetching.bearer_token_file.clone(), ..KeyAccess::default() };
        let server = ServerAccess {
            name: "authentication.revocations.urls",
            ca_file: fetching.ca_file.as_ref(),
            proxy: None,
            access: &access,
        };
        Ok(Self {
            state: Arc::new(state),
            client: KeyClient::new(server, config, url)?,
            url: url.clone(),
            interval: fetching.interval,
            timeout: config.jwks.timeout,
            known: Mutex::default(),
        })
    }

    /// Fetches the list once.
    pub(super) async fn fetch(&self) {
        let fetched = timeout(self.timeout, self.document()).await;
        let fetched = fetched.unwrap_or_else(|_| Err("timed out".to_owned()));
        let now = SystemTime::now();
        match fetched {
            Ok(None) => self.state.is_unchanged(now),
            Ok(Some((document, etag))) => {
                let (state, before) = (self.state.clone(), self.known().map(|known| known.digest));
                let read = move || {
                    let digest = sha256(document.as_bytes());
                    if before == Some(digest) && !state.has_ended_entries(now) {
                        state.is_unchanged(now);
                    } else {
                        let read = state.format().read(state.name(), document.as_bytes(), now.into());
                        state.has_list(read.map_err(|fault| fault.to_string())?, now);
                    }
                    state.keep_copy(|| document.into(), now);
                    Ok(digest)
                };
                // A long list takes a while, and other tasks wait on this thread.
                let read = tokio::task::spawn_blocking(read).await;
                match read.unwrap_or_else(|_| Err("reading it panicked".to_owned())) {
                    Ok(digest) => {
                        let known = Known { digest, etag, at: Instant::now() };
                        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                    }
                    Err(cause) => self.state.failed(cause, now),
                }
            }
            Err(cause) => self.state.failed(cause, now),
        }
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The document and its validator; `None` if it is the known one.
    async fn document(&self) -> Result<Option<(String, Option<HeaderValue>)>, String> {
        const ACCEPT: &str = "application/json, application/yaml;q=0.9, */*;q=0.1";
        let known = self.known().filter(|known| {
            let copy_is_new = !self.state.has_copy() || known.at.elapsed() < COPY_INTERVAL;
            copy_is_new && !self.state.has_ended_entries(SystemTime::now())
        });
        let etag = known.as_ref().and_then(|known| known.etag.as_ref());
        let response = self.client.get(&self.url, ACCEPT, etag).await.map_err(|error| error.to_string())?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(None),
            status => return Err(format!("answered {status}")),
        }
        let etag = response.headers().get(ETAG).cloned();
        let body = read_body(response, MAX_BYTES).await.map_err(|error| match error {
            FetchError::TooLarge => format!("the list is longer than {MAX_BYTES} bytes"),
            error => error.to_string(),
        })?;
        let document = String::from_utf8(body).map_err(|_| "it is not UTF-8 text".to_owned())?;
        Ok(Some((document, etag)))
    }
}
