//! The verified tokens that were used lately, for operators: which ones end soon, never end, or were signed by a key that
//! is about to go.
//!
//! A token is recorded when it is verified. That is when it enters the token cache, so a token in use is recorded again
//! every `tokenCache.maxTtl` at the latest. No token is kept: only its fingerprint and a few of its claims. At most
//! [`MAX_TOKENS`] are kept; the ones not seen for the longest time give way.
//!
//! A request with a verified token increments the counter of its key, which the token remembers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::claims::{KeyUse, TokenClass, VerifiedToken};
use crate::numeric_date::NumericDate;

mod keys;

use keys::Keys;

/// How many tokens are kept.
const MAX_TOKENS: usize = 4_096;
/// How many give way at once, so that finding them costs little for each.
const EVICTED: usize = MAX_TOKENS / 8;
/// A token that was not verified for so long is not in use any more.
const IN_USE: Duration = Duration::from_secs(3_600);
/// A token that was issued for less than this is renewed all the time: that it ends soon says nothing.
const LONG_LIVED: u64 = 30 * 24 * 3_600;

/// The tokens that were verified lately, and the keys that verified them.
#[derive(Debug, Default)]
pub struct TokensInUse {
    tokens: Mutex<HashMap<Box<str>, UsedToken>>,
    keys: Keys,
}

/// A token, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedToken {
    /// See [`crate::jose::Fingerprint::short`].
    pub fingerprint: Box<str>,
    /// The name of the issuer entry whose key verified it.
    pub entry: Arc<str>,
    pub principal: Box<str>,
    pub class: TokenClass,
    /// Whether a program uses it, and not a person who signs in again when it ends.
    pub is_of_program: bool,
    /// See [`VerifiedToken::signed_with`].
    pub kid: Option<Box<str>>,
    /// When it was issued, if it says so.
    pub issued: Option<NumericDate>,
    /// When it ends; `None` if never.
    pub expires: Option<NumericDate>,
    /// When it was last verified.
    pub last_verified: NumericDate,
}

impl TokensInUse {
    /// Records a token that was verified at `now`.
    pub fn verified(&self, token: &VerifiedToken, now: NumericDate) {
        let fingerprint = token.fingerprint().short();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tokens.get_mut(fingerprint) {
            known.last_verified = now;
            return;
        }
        if tokens.len() >= MAX_TOKENS {
            evict(&mut tokens);
        }
        let used = UsedToken {
            fingerprint: fingerprint.into(),
            entry: token.verified_by().into(),
            principal: token.principal().into(),
            class: token.class(),
            is_of_program: token.is_of_program(),
            kid: token.signed_with().map(Into::into),
            issued: token.issued_at(),
            expires: token.expires(),
            last_verified: now,
        };
        tokens.insert(fingerprint.into(), used);
    }

    /// Counts a request at `time` with a verified token for the key of that.
    pub fn request(&self, token: &VerifiedToken, time: SystemTime) {
        token.key_use(|token| self.keys.find(token, time.into())).count();
    }

    /// The requests since the start with tokens of each key: at most 256 keys.
    pub fn requests_by_key(&self) -> Vec<(Arc<KeyUse>, u64)> {
        self.keys.requests()
    }

    /// Those that were verified within [`IN_USE`] before `now` and have not ended, in no order.
    pub fn current(&self, now: NumericDate) -> Vec<UsedToken> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = |token: &&UsedToken| {
            token.last_verified.plus(IN_USE.as_secs()) > now && token.expires.is_none_or(|end| end > now)
        };
        tokens.values().filter(is_current).cloned().collect()
    }
}

impl UsedToken {
    /// Whether somebody has to replace it when it ends: it was issued for a month or more.
    pub fn is_long_lived(&self) -> bool {
        let until = |issued: NumericDate| issued.plus(LONG_LIVED);
        self.expires.is_none_or(|end| self.issued.is_some_and(|issued| end >= until(issued)))
    }
}

/// Removes the ones not verified for the longest time.
fn evict(tokens: &mut HashMap<Box<str>, UsedToken>) {
    let mut times: Vec<_> = tokens.values().map(|token| token.last_verified).collect();
    let at = EVICTED.min(times.len()).saturating_sub(1);
    let (_, last, _) = times.select_nth_unstable(at);
    let (last, mut left) = (*last, EVICTED);
    tokens.retain(|_, token| {
        let goes = left > 0 && token.last_verified <= last;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::claims::{MappedUser, Mapping};
    use crate::test_support::{NOW, verified};

    const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);

    fn token(number: usize, end: i64) -> VerifiedToken {
        verified(json!({"jti": number.to_string(), "iat": NOW - 10, "exp": end}))
    }

    #[test]
    fn a_token_is_in_use_for_an_hour_after_its_last_verification() {
        let tokens = TokensInUse::default();
        let token = token(1, NOW + 100_000);
        tokens.verified(&token, NOW_DATE);
        let after = |seconds| tokens.current(NOW_DATE.plus(seconds)).len();
        assert_eq!((after(0), after(3_599), after(3_600)), (1, 1, 0));
        tokens.verified(&token, NOW_DATE.plus(3_000));
        assert_eq!((after(3_600), after(6_600)), (1, 0));
        let [used] = &tokens.current(NOW_DATE.plus(3_000))[..] else { unreachable!() };
        assert_eq!(*used.fingerprint, *token.fingerprint().short());
        assert_eq!((used.last_verified, used.expires), (NOW_DATE.plus(3_000), token.expires()));
    }

    #[test]
    fn an_ended_token_is_not_in_use() {
        let tokens = TokensInUse::default();
        tokens.verified(&token(1, NOW + 10), NOW_DATE);
        assert_eq!(tokens.current(NOW_DATE.plus(9)).len(), 1);
        assert_eq!(tokens.current(NOW_DATE.plus(10)).len(), 0);
    }

    #[test]
    fn only_so_many_are_kept_and_the_oldest_give_way() {
        let tokens = TokensInUse::default();
        for number in 0..=MAX_TOKENS {
            tokens.verified(&token(number, NOW + 100_000), NOW_DATE.plus(number as u64 / 8));
        }
        let kept = tokens.current(NOW_DATE.plus(MAX_TOKENS as u64 / 8));
        assert_eq!(kept.len(), MAX_TOKENS - EVICTED + 1);
        let oldest = kept.iter().map(|token| token.last_verified).min().unwrap();
        assert_eq!(oldest, NOW_DATE.plus(EVICTED as u64 / 8));
    }

    #[test]
    fn tokens_of_programs_are_told_from_those_of_people() {
        let is_of_program = |token: VerifiedToken| {
            let tokens = TokensInUse::default();
            tokens.verified(&token, NOW_DATE);
            tokens.current(NOW_DATE)[0].is_of_program
        };
        let person = || verified(json!({"exp": NOW + 100}));
        let user = MappedUser { index: 0, entry: "ci".into(), user: "ingestion-bot".into(), email: None };
        assert!(!is_of_program(person()));
        assert!(is_of_program(person().mapped(Mapping::User(Arc::new(user)))));
    }

    #[test]
    fn long_lived_tokens_have_to_be_replaced_by_somebody() {
        let is_long_lived = |claims| {
            let tokens = TokensInUse::default();
            tokens.verified(&verified(claims), NOW_DATE);
            tokens.current(NOW_DATE)[0].is_long_lived()
        };
        let month = 30 * 24 * 3_600;
        assert!(is_long_lived(json!({"iat": NOW - month, "exp": NOW + 100})));
        assert!(!is_long_lived(json!({"iat": NOW - 100, "exp": NOW + 3_600})));
        assert!(!is_long_lived(json!({"exp": NOW + 3_600})), "unknown");
    }
}
