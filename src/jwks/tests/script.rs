//! A scripted fetcher for tests of the schedule. It uses no sockets, so that a paused clock can advance.

use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::{Instant, sleep};

use super::{Config, Jwks, Keys, Metrics, from_urls, refresh};
use crate::admission::Refresh;
use crate::jose::{KeyDialect, ParsedKeys};
use crate::jwks::fault::FetchError;
use crate::jwks::fetch::Fetched;
use crate::jwks::freshness::{Freshness, Validator};

type FetchResult = Result<Fetched, FetchError>;

/// One fetch: what it waits for and how it ends.
pub(in crate::jwks) struct Step(Pin<Box<dyn Future<Output = ()> + Send>>, FetchResult);

/// Scripts the fetches of one source, and records when each started.
#[derive(Clone)]
pub(in crate::jwks) struct Script(Arc<Inner>);

struct Inner {
    attempts: Mutex<Vec<Attempt>>,
    script: Mutex<Box<dyn FnMut(usize) -> Step + Send>>,
}

#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) at: Instant,
    pub(super) etag: Option<HeaderValue>,
}

impl Script {
    /// `script` gets the number of the fetch, from 0.
    pub(super) fn new(script: impl FnMut(usize) -> Step + Send + 'static) -> Self {
        Self(Arc::new(Inner { attempts: Mutex::default(), script: Mutex::new(Box::new(script)) }))
    }

    pub(in crate::jwks) async fn fetch(&self, known: Option<&Validator>) -> FetchResult {
        let number = {
            let mut attempts = self.0.attempts.lock().unwrap();
            attempts.push(Attempt { at: Instant::now(), etag: known.map(|known| known.etag.clone()) });
            attempts.len() - 1
        };
        // A script may panic on purpose and be used again.
        let Step(wait, result) = (self.0.script.lock().unwrap_or_else(PoisonError::into_inner))(number);
        wait.await;
        result
    }

    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.0.attempts.lock().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.attempts().len()
    }

    /// The seconds between one fetch and the next.
    pub(super) fn gaps(&self) -> Vec<f64> {
        self.attempts().windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

/// These keys at once, fresh for as long as the configuration says.
pub(super) fn keys(document: String) -> Step {
    keys_for(document, None)
}

/// These keys with a lifetime and an entity tag.
pub(super) fn keys_for(document: String, lifetime: Option<u64>) -> Step {
    let keys = ParsedKeys::parse(document.as_bytes(), KeyDialect::Standard).unwrap();
    Step(Box::pin(ready(())), Ok(Fetched::Keys { keys, freshness: freshness(lifetime), document }))
}

pub(super) fn unchanged(lifetime: Option<u64>) -> Step {
    Step(Box::pin(ready(())), Ok(Fetched::Unchanged(Freshness { validator: None, ..freshness(lifetime) })))
}

pub(super) fn failed(cause: &str) -> Step {
    Step(Box::pin(ready(())), Err(FetchError::Connection(cause.to_owned())))
}

fn freshness(lifetime: Option<u64>) -> Freshness {
    let validator =
        Validator { url: "http://keys.test/".parse().unwrap(), etag: HeaderValue::from_static("\"v1\"") };
    Freshness { lifetime: lifetime.map(Duration::from_secs), validator: Some(validator) }
}

impl Step {
    pub(super) fn after(self, seconds: u64) -> Self {
        self.when(sleep(Duration::from_secs(seconds)))
    }

    /// The same once `wait` has ended.
    pub(in crate::jwks) fn when(self, wait: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(wait), self.1)
    }
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// The default configuration, except for an interval so long that no fetch is due.
pub(super) fn settings(sources: usize) -> Config {
    let urls: Vec<_> = (0..sources).map(|number| format!("http://keys.test/{number}")).collect();
    let mut config = from_urls(&urls);
    config.jwks = Jwks {
        refresh_interval: 10 * HOUR,
        unknown_key_cooldown: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        max_stale: 24 * HOUR,
        max_wait: Duration::from_secs(5),
        ..config.jwks
    };
    config
}

/// Keys whose first entry has these scripts as sources, not fetched yet.
pub(super) fn idle(config: &Config, metrics: &Arc<Metrics>, scripts: &[&Script]) -> Arc<Keys> {
    let mut keys = Keys::new(config, metrics).unwrap();
    let sources = &mut Arc::get_mut(&mut keys).unwrap().entries[0].sources;
    assert_eq!(sources.len(), scripts.len());
    for (source, script) in sources.iter_mut().zip(scripts) {
        source.script((*script).clone());
    }
    keys
}

pub(super) fn running(config: &Config, scripts: &[&Script]) -> Arc<Keys> {
    let keys = idle(config, &Arc::default(), scripts);
    keys.start();
    keys
}

pub(super) fn ask(keys: &Arc<Keys>) -> tokio::task::JoinHandle<Refresh> {
    let keys = keys.clone();
    tokio::spawn(async move { refresh(&keys, 0).await })
}

pub(super) async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// Runs every task that is ready.
pub(super) async fn settle() {
    sleep(Duration::from_millis(5)).await;
}
