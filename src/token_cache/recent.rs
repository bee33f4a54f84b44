//! The tokens that a worker has just looked up, by their text.
//!
//! A client that is busy sends the same token many times a second. Comparing it with the text of the last time takes a
//! fiftieth of the instructions of hashing it and looking it up.

use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretSlice};

use crate::claims::VerifiedToken;
use crate::numeric_date::NumericDate;
use crate::sharded::Sharded;

/// How many tokens a worker remembers.
const SLOTS: usize = 64;
/// Longer tokens are not remembered.
const MAX_TEXT_BYTES: usize = 4 * 1024;

/// Tokens that were looked up in the current second. Those of earlier seconds stay in memory, but are not returned.
#[derive(Debug, Default)]
pub(super) struct RecentTokens(Sharded<Mutex<Vec<Option<Recent>>>>);

#[derive(Debug)]
struct Recent {
    text: SecretSlice<u8>,
    token: Arc<VerifiedToken>,
    generation: u64,
    now: NumericDate,
}

impl RecentTokens {
    /// What was looked up with the same text, for the same generation of keys and in the same second. These three
    /// decide whether a token verifies, so nothing is checked again.
    pub(super) fn get(&self, text: &[u8], generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>> {
        let slots = self.0.own().lock().unwrap_or_else(PoisonError::into_inner);
        let recent = slots.get(slot(text)?)?.as_ref()?;
        let same =
            recent.now == now && recent.generation == generation && recent.text.expose_secret() == text;
        same.then(|| recent.token.clone())
    }

    /// Remembers a token that is in the cache.
    pub(super) fn remember(
        &self,
        text: &[u8],
        token: &Arc<VerifiedToken>,
        generation: u64,
        now: NumericDate,
    ) {
        if text.len() > MAX_TEXT_BYTES {
            return;
        }
        let mut slots = self.0.own().lock().unwrap_or_else(PoisonError::into_inner);
        if slots.is_empty() {
            slots.resize_with(SLOTS, || None);
        }
        let Some(place) = slot(text).and_then(|slot| slots.get_mut(slot)) else { return };
        match place {
            // Another second.
            Some(known) if known.text.expose_secret() == text => {
                known.token.clone_from(token);
                (known.generation, known.now) = (generation, now);
            }
            _ => *place = Some(Recent { text: text.to_vec().into(), token: token.clone(), generation, now }),
        }
    }
}

/// The slot of a token, from the end of its signature. A token whose signature has fewer bytes has none.
fn slot(text: &[u8]) -> Option<usize> {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let end = u64::from_le_bytes(*text.last_chunk()?);
    Some((end.wrapping_mul(FACTOR) >> 32) as usize % SLOTS)
}
