//! A cache of verified tokens.
//!
//! - It returns an identity, never a decision: every request is authorized and checked for revocation.
//! - Its keys are keyed hashes of tokens ([`TokenDigest`]), so clients cannot make two tokens with the same key. Only the
//!   tokens that were just used, at most 64 for each worker, are also kept as text (`recent`).
//! - It contains only verified tokens, so a flood of invalid ones neither fills it nor evicts valid ones.
//! - An entry is valid only for the generation of keys that verified it, and while its times hold.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

mod recent;

use recent::RecentTokens;

use crate::claims::VerifiedToken;
use crate::numeric_date::NumericDate;

pub use crate::token_digest::TokenDigest;

/// What each token uses in addition to its own weight: 272 bytes for the key and the cache's bookkeeping, and what the
/// allocator's pages leave unused. Measured by `tests/token_cache_memory.rs`.
const OVERHEAD_BYTES: usize = 340;

/// Verified tokens, by the digest of their whole text.
#[derive(Debug)]
pub struct TokenCache {
    tokens: Cache<TokenDigest, CachedToken, foldhash::fast::RandomState>,
    /// None if nothing is to be kept.
    recent: Option<RecentTokens>,
}

#[derive(Clone, Debug)]
struct CachedToken {
    token: Arc<VerifiedToken>,
    generation: u64,
}

impl TokenCache {
    /// A cache of about `max_bytes`, which keeps each token for at most `max_ttl`.
    pub fn new(max_bytes: u64, max_ttl: Duration) -> Self {
        let weigh = |_: &TokenDigest, entry: &CachedToken| {
            u32::try_from(entry.token.weight() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(max_bytes).weigher(weigh).time_to_live(max_ttl);
        let tokens = cache.build_with_hasher(foldhash::fast::RandomState::default());
        Self { tokens, recent: (max_bytes > 0 && !max_ttl.is_zero()).then(RecentTokens::default) }
    }

    /// Returns a token that was verified with the keys of this `generation` and whose times still hold. So a token does
    /// not outlive the removal of its key from the set.
    pub fn get(&self, key: &TokenDigest, generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>> {
        let entry = self.tokens.get(key)?;
        let is_valid = entry.generation == generation && entry.token.check_times(now).is_ok();
        if !is_valid {
            self.tokens.invalidate(key);
        }
        is_valid.then_some(entry.token)
    }

    /// Returns the token with this text if [`Self::remember`] was called for it by this thread in the same second.
    pub fn recent(&self, text: &[u8], generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>> {
        self.recent.as_ref()?.get(text, generation, now)
    }

    /// Remembers the text of a token that [`Self::get`] has returned.
    pub fn remember(&self, text: &[u8], token: &Arc<VerifiedToken>, generation: u64, now: NumericDate) {
        if let Some(recent) = &self.recent {
            recent.remember(text, token, generation, now);
        }
    }

    /// About how many bytes the tokens take, of the `max_bytes`.
    pub fn used_bytes(&self) -> u64 {
        // Insertions are weighed later otherwise.
        self.tokens.run_pending_tasks();
        self.tokens.weighted_size()
    }

    /// Inserts a token that was just verified.
    pub fn insert(&self, key: TokenDigest, token: Arc<VerifiedToken>, generation: u64) {
        self.tokens.insert(key, CachedToken { token, generation });
    }
}

#[cfg(test)]
mod tests;
