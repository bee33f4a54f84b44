//! Keeps minted tokens while they are good, and mints new ones before they are not.
//!
//! - A token is kept for one target and one incoming identity ([`Incoming`]). The target's id covers the keys and the
//!   user, so after a reload with other keys or another user no earlier token is found.
//! - Only the first request of an identity waits for a signature. Later ones get the kept token; one that finds it past
//!   half of its life starts its renewal in the background.
//! - Of several requests that find no token, one mints it and the others wait.
//! - It keeps at most [`MAX_BYTES`] and [`MAX_ENTRIES`].

use std::hash::BuildHasher as _;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::backend::TokenFormat;
use crate::mint::{Freshness, MAX_LIFETIME, MintFault, MintTarget, MintedToken, Minter};
use crate::numeric_date::NumericDate;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::step;
use crate::sync::task::{JoinHandle, spawn_blocking};
use crate::token_digest::TokenDigest;

#[cfg(all(test, shuttle))]
mod models;

/// The most memory that kept tokens use, in bytes.
pub const MAX_BYTES: u64 = 8 << 20;
/// The most tokens that are kept.
pub const MAX_ENTRIES: u64 = 8192;
/// What each entry uses in addition to its token: the key and the cache's bookkeeping.
const OVERHEAD_BYTES: usize = 400;
/// How many first tokens are minted at the same time. Identities that share a place wait for one another.
const FLIGHTS: usize = 16;

/// Minted tokens.
#[derive(Debug)]
pub struct MintCache {
    tokens: Tokens,
    flights: [Mutex<()>; FLIGHTS],
}

/// The verified identity that a request came with.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The `iss` of its token, or the name of the entry that verified it.
    pub issuer: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// The moment from which its token is no longer accepted; `None` if it does not expire.
    pub until: Option<NumericDate>,
}

/// The kept tokens. A clone is another handle to the same ones.
#[derive(Clone, Debug)]
struct Tokens(Cache<TokenDigest, Kept, foldhash::fast::RandomState>);

#[derive(Clone, Debug)]
struct Kept {
    token: MintedToken,
    is_renewed: Arc<AtomicBool>,
}

impl Default for MintCache {
    fn default() -> Self {
        let weigh = |_: &TokenDigest, kept: &Kept| {
            let bytes = kept.token.authorization.len() + OVERHEAD_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX).max((MAX_BYTES / MAX_ENTRIES) as u32)
        };
        let cache = Cache::builder()
            .max_capacity(MAX_BYTES)
            .weigher(weigh)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(MAX_LIFETIME);
        let tokens = cache.build_with_hasher(foldhash::fast::RandomState::default());
        Self { tokens: Tokens(tokens), flights: std::array::from_fn(|_| Mutex::new(())) }
    }
}

impl MintCache {
    /// The token with which a request of `incoming` is forwarded as `target`, at `now`. `minter` must be the one that prepared
    /// the target. Call it on a tokio runtime.
    ///
    /// # Errors
    /// [`MintFault::Expired`] if the incoming token has ended; otherwise the token could not be signed.
    pub async fn token(
        &self,
        minter: &Arc<Minter>,
        target: &Arc<MintTarget>,
        incoming: Incoming<'_>,
        now: NumericDate,
    ) -> Result<MintedToken, MintFault> {
        let key = key(target, incoming);
        if let Some((token, _)) = self.kept(&key, minter, target, incoming.until, now) {
            return Ok(token);
        }
        let place = usize::try_from(foldhash::fast::FixedState::default().hash_one(key)).unwrap_or_default();
        let _flight = match self.flights.get(place % FLIGHTS) {
            Some(flight) => Some(flight.lock().await),
            None => None,
        };
        if let Some((token, _)) = self.kept(&key, minter, target, incoming.until, now) {
            return Ok(token);
        }
        let token = match target.format() {
            // Microseconds.
            TokenFormat::DataHub => minter.mint(target, now, incoming.until)?,
            TokenFormat::OpenMetadata => {
                let (minter, target) = (minter.clone(), target.clone());
                let minting = spawn_blocking(move || minter.mint(&target, now, incoming.until));
                // It fails only while the process ends.
                minting.await.unwrap_or(Err(MintFault::Signing))?
            }
        };
        self.tokens.insert(key, token.clone());
        Ok(token)
    }

    /// The kept token, if it can be used, and its renewal if this call has started it.
    fn kept(
        &self,
        key: &TokenDigest,
        minter: &Arc<Minter>,
        target: &Arc<MintTarget>,
        until: Option<NumericDate>,
        now: NumericDate,
    ) -> Option<(MintedToken, Option<JoinHandle<()>>)> {
        let kept = self.tokens.get(key)?;
        match Freshness::of(&kept.token, now, until) {
            Freshness::Fresh => Some((kept.token, None)),
            Freshness::Stale => None,
            Freshness::Due if kept.is_renewed.swap(true, Ordering::AcqRel) => Some((kept.token, None)),
            Freshness::Due => {
                let (tokens, key) = (self.tokens.clone(), *key);
                let (minter, target) = (minter.clone(), target.clone());
                let (token, is_renewed) = (kept.token, kept.is_renewed);
                let renewal = spawn_blocking(move || match minter.mint(&target, now, until) {
                    Ok(token) => tokens.insert(key, token),
                    // The next request tries again.
                    Err(_) => is_renewed.store(false, Ordering::Release),
                });
                Some((token, Some(renewal)))
            }
        }
    }
}

impl Tokens {
    fn get(&self, key: &TokenDigest) -> Option<Kept> {
        step();
        self.0.get(key)
    }

    fn insert(&self, key: TokenDigest, token: MintedToken) {
        step();
        self.0.insert(key, Kept { token, is_renewed: Arc::default() });
    }
}

/// The key of an identity's token: a keyed hash, because clients choose parts of what it is made of.
fn key(target: &MintTarget, incoming: Incoming<'_>) -> TokenDigest {
    TokenDigest::of_parts([target.id(), incoming.issuer.as_bytes(), incoming.subject.as_bytes()])
}

#[cfg(test)]
mod tests;
