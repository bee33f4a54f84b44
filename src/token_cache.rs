//! Tokens that were verified before.
//!
//! The cache returns an identity, never a decision: rules are judged on every request. It is keyed
//! by a digest, so it holds no usable credential, and only tokens that were verified get in, so a
//! flood of bad ones neither grows it nor drives good ones out.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use crate::claims::VerifiedToken;
use crate::digest::{Sha256, sha256};
use crate::numeric_date::NumericDate;

/// What the cache adds to the weight of each token: key, bookkeeping and allocation.
const OVERHEAD_BYTES: usize = 256;

/// Verified tokens by the digest of their whole text.
#[derive(Debug)]
pub struct TokenCache(Cache<Digest, Entry, foldhash::fast::RandomState>);

/// The SHA-256 of a token's whole text, signature and all.
pub type Digest = Sha256;

#[derive(Clone, Debug)]
struct Entry {
    token: Arc<VerifiedToken>,
    generation: u64,
}

impl TokenCache {
    /// A cache that holds at most about `max_bytes`, each token for at most `max_ttl`.
    pub fn new(max_bytes: u64, max_ttl: Duration) -> Self {
        let weigh = |_: &Digest, entry: &Entry| {
            u32::try_from(entry.token.weight() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(max_bytes).weigher(weigh).time_to_live(max_ttl);
        Self(cache.build_with_hasher(foldhash::fast::RandomState::default()))
    }

    /// The digest under which a token is kept.
    pub fn digest(token: &str) -> Digest {
        sha256(token.as_bytes())
    }

    /// A token that was verified with the keys of this very `generation` and whose times still
    /// hold. A key that left its set takes its tokens with it.
    pub fn get(&self, key: &Digest, generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>> {
        let entry = self.0.get(key)?;
        let good = entry.generation == generation && entry.token.check_times(now).is_ok();
        if !good {
            self.0.invalidate(key);
        }
        good.then_some(entry.token)
    }

    /// Keeps a token that was just verified.
    pub fn insert(&self, key: Digest, token: Arc<VerifiedToken>, generation: u64) {
        self.0.insert(key, Entry { token, generation });
    }
}

#[cfg(test)]
mod tests;
