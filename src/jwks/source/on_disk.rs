//! A source's key set on disk, which survives a restart.

use std::time::SystemTime;

use tokio::time::Instant;

use super::super::document;
use super::super::freshness::Freshness;
use super::{CachedKeys, Source};
use crate::config::Jwks;

impl Source {
    /// Loads the key set that an earlier process stored. It is refreshed at once; until that succeeds it is used,
    /// at most until `maxStale`.
    pub(super) fn restore(&self, settings: &Jwks) {
        let Some(store) = &self.store else { return };
        let now = SystemTime::now();
        let stored = match store.read(settings.max_stale, now) {
            Ok(Some(stored)) => stored,
            Ok(None) => return,
            Err(error) => return self.reporter.not_restored(&error),
        };
        let keys =
            match document::usable(stored.document.as_bytes(), self.fetcher.dialect(), settings.max_keys) {
                Ok(keys) => keys,
                Err(error) => return self.reporter.not_restored(&error),
            };
        let fetched_at = stored.fetched_at;
        let age = now.duration_since(fetched_at).unwrap_or_default();
        let mut state = self.state();
        self.reporter.restored(keys.usable.len(), age.as_secs());
        self.reporter.set_keys(keys.usable.len(), Some(fetched_at));
        self.reporter.change(&mut state.logged, None, &keys);
        state.cached = Some(CachedKeys {
            keys,
            freshness: Freshness::default(),
            stale: Instant::now() + settings.max_stale.saturating_sub(age),
            fetched_at,
            document: Some(stored.document.into()),
            restored: true,
        });
    }

    /// Writes the cached document to disk, on another thread.
    pub(super) fn store(&self) {
        let state = self.state();
        let Some(cached) = state.cached.as_ref().filter(|cached| !cached.restored) else { return };
        if let (Some(store), Some(document)) = (&self.store, &cached.document) {
            store.write_soon(document.clone(), cached.fetched_at, &self.reporter.name);
        }
    }
}
