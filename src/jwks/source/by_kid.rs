//! A source whose keys are fetched one by one.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;
use url::Url;

use super::super::KeysError;
use super::super::by_kid::KeysByKid;
use super::super::fetch::Fetcher;
use super::super::freshness::Freshness;
use super::super::identity::Identity;
use super::{CachedKeys, Source, SourceContext, State};
use crate::config::TrustEntry;

impl Source {
    pub(in crate::jwks) fn by_kid(
        entry: &TrustEntry,
        template: &Url,
        context: &mut SourceContext<'_>,
    ) -> Result<Arc<Self>, KeysError> {
        let identity = Identity::new(entry, template, false, context.config);
        if let Some(known) = context.known(&identity) {
            return Ok(known);
        }
        let fetcher = Fetcher::by_kid(entry, template, context.config)?;
        Ok(Self::new(entry, identity, fetcher, context))
    }

    /// Asks for the key with this kid in the next attempt. Returns whether an attempt may find it. Other sources have
    /// all of their keys in one document.
    pub(in crate::jwks) fn want(&self, kid: Option<&str>) -> bool {
        match (self.fetcher.by_kid_keys(), kid) {
            (None, _) => true,
            (Some(keys), Some(kid)) => keys.want(kid, &self.settings.load()),
            (Some(_), None) => false,
        }
    }

    /// Takes the keys that a failed attempt fetched before it failed.
    pub(super) fn keep_partial(&self, state: &mut State) {
        let Some(keys) = self.fetcher.by_kid_keys().map(KeysByKid::keys) else { return };
        match &mut state.cached {
            Some(cached) => cached.keys = keys,
            None if keys.usable.is_empty() => {}
            None => {
                state.cached = Some(CachedKeys {
                    keys,
                    freshness: Freshness::default(),
                    stale: Instant::now() + self.settings.load().max_stale,
                    fetched_at: SystemTime::now(),
                    document: None,
                    restored: false,
                });
            }
        }
    }
}
