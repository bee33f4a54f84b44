//! The keys of the verified tokens, each with the number of requests that had its tokens.

use std::sync::{Arc, Mutex, PoisonError};

use crate::claims::{KeyUse, VerifiedToken};
use crate::numeric_date::NumericDate;

/// How many keys are kept. Issuers replace them, some every day.
const MAX_KEYS: usize = 256;

/// Keys, each with the time at which a token of it was last verified.
#[derive(Debug, Default)]
pub(super) struct Keys(Mutex<Vec<(Arc<KeyUse>, NumericDate)>>);

impl Keys {
    /// The key of a token that was just verified. If there are too many, the one whose tokens were not verified for the
    /// longest time gives way, and requests with those that are still cached are no longer counted.
    pub(super) fn find(&self, token: &VerifiedToken, now: NumericDate) -> Arc<KeyUse> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, verified)) = keys.iter_mut().find(|(known, _)| known.is_of(token)) {
            *verified = now;
            return known.clone();
        }
        let oldest = keys.iter().enumerate().min_by_key(|(_, (_, verified))| *verified).map(|(at, _)| at);
        if let Some(oldest) = oldest.filter(|_| keys.len() >= MAX_KEYS) {
            keys.swap_remove(oldest);
        }
        let key = Arc::new(KeyUse::of(token));
        keys.push((key.clone(), now));
        key
    }

    /// Each key with its requests since the start.
    pub(super) fn requests(&self) -> Vec<(Arc<KeyUse>, u64)> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|(key, _)| (key.clone(), key.requests())).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::claims::Origin;
    use crate::test_support::{NOW, verified};
    use crate::tokens_in_use::TokensInUse;

    const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);

    fn origin() -> Origin {
        let (issuer, fingerprint) = ("https://corp.example".into(), "0".repeat(64).into());
        Origin { issuer, id: None, key_ids: Vec::new(), fingerprint, issued_at: None }
    }

    fn by_key(tokens: &TokensInUse) -> Vec<(String, u64)> {
        let requests = tokens.requests_by_key();
        requests.iter().map(|(key, requests)| (key.entry().to_owned(), *requests)).collect()
    }

    #[test]
    fn requests_with_all_tokens_of_a_key_are_counted_together() {
        let tokens = TokensInUse::default();
        let (one, other) = (verified(json!({"jti": "1"})), verified(json!({"jti": "2"})));
        std::thread::scope(|scope| {
            for token in [&one, &other, &one] {
                scope.spawn(|| (0..100).for_each(|_| tokens.request(token, NOW_DATE.into())));
            }
        });
        assert_eq!(by_key(&tokens), [("idp".to_owned(), 300)]);
        let (first, again) = (tokens.requests_by_key(), tokens.requests_by_key());
        assert!(Arc::ptr_eq(&first[0].0, &again[0].0), "found again by its place");
    }

    #[test]
    fn a_token_that_metagate_issued_counts_for_the_entry_that_verifies_it() {
        let tokens = TokensInUse::default();
        let token = verified(json!({"jti": "issued"})).derived_from("corp", origin());
        assert_eq!(token.entry(), "corp");
        tokens.verified(&token, NOW_DATE);
        tokens.request(&token, NOW_DATE.into());
        assert_eq!(by_key(&tokens), [("idp".to_owned(), 1)]);
        assert_eq!(*tokens.current(NOW_DATE)[0].entry, *"idp");
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_the_oldest_give_way() {
        let tokens = TokensInUse::default();
        let entry = |number: usize| {
            // A token's own entry is always the same one in tests; derived twice, it is the first one's.
            let token = verified(json!({})).derived_from(&number.to_string(), origin());
            token.derived_from("", origin())
        };
        for number in 0..=MAX_KEYS {
            let time = NOW_DATE.plus(if number == 1 { 0 } else { 1 + number as u64 });
            tokens.request(&entry(number), time.into());
        }
        let mut kept: Vec<_> = by_key(&tokens).into_iter().map(|(name, _)| name).collect();
        kept.sort_by_key(|name| name.parse::<usize>().unwrap());
        let expected = (0..=MAX_KEYS).filter(|number| *number != 1).map(|number| number.to_string());
        assert_eq!(kept, expected.collect::<Vec<_>>());
    }
}
