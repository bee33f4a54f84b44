//! How many requests had a token of one key. A verified token keeps the counter of its key, so counting a request needs
//! neither a lock nor a look-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::VerifiedToken;
use crate::sharded::Sharded;

/// A key that verified tokens, and the number of requests with them.
#[derive(Debug)]
pub struct KeyUse {
    entry: Box<str>,
    kid: Option<Box<str>>,
    requests: Sharded<AtomicU64>,
}

impl KeyUse {
    /// The key of this token, without requests.
    pub fn of(token: &VerifiedToken) -> Self {
        let (entry, kid) = (token.verified_by().into(), token.key_kid().map(Into::into));
        Self { entry, kid, requests: Sharded::default() }
    }

    /// Whether it is the key of this token.
    pub fn is_of(&self, token: &VerifiedToken) -> bool {
        *self.entry == *token.verified_by() && self.kid() == token.key_kid()
    }

    /// The name of its issuer entry.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// Its kid, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Counts one request.
    pub fn count(&self) {
        self.requests.own().fetch_add(1, Ordering::Relaxed);
    }

    /// The requests since the start.
    pub fn requests(&self) -> u64 {
        self.requests.all().map(|requests| requests.load(Ordering::Relaxed)).sum()
    }
}

impl VerifiedToken {
    /// The counter of its key. `find` finds it the first time.
    pub fn key_use(&self, find: impl FnOnce(&Self) -> Arc<KeyUse>) -> &KeyUse {
        self.sightings.key_use.get_or_init(|| find(self))
    }

    /// The kid of the key that verified it: the key's own, or else the one in its header, for a key without one.
    pub fn signed_with(&self) -> Option<&str> {
        self.key_id.as_deref().or(self.kid())
    }

    /// The kid of the key that verified it, if the key has one. Unlike that of a header, an issuer cannot make any number of
    /// them: each is in its key set.
    fn key_kid(&self) -> Option<&str> {
        self.signed_with().filter(|_| self.key_has_id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::claims;
    use crate::jose::{Algorithm, UnverifiedToken, VerificationKey};
    use crate::numeric_date::NumericDate;
    use crate::test_support::{HMAC, MAX_BYTES, NOW, good_claims, open_rules};

    fn verified(kid: Option<&str>, key: &VerificationKey) -> VerifiedToken {
        let token = HMAC.token(Algorithm::HS256, kid, &good_claims());
        let signed = UnverifiedToken::parse(&token, MAX_BYTES).unwrap().verify(key).unwrap();
        claims::validate(signed, "idp", &open_rules(), NumericDate::from_secs(NOW)).unwrap()
    }

    #[test]
    fn tokens_of_a_key_without_a_kid_are_counted_together_whatever_kid_they_claim() {
        let key = KeyUse::of(&verified(Some("1"), &HMAC.verifier()));
        assert_eq!((key.entry(), key.kid()), ("idp", None));
        assert!(
            [None, Some("1"), Some("2")].into_iter().all(|kid| key.is_of(&verified(kid, &HMAC.verifier())))
        );
    }

    #[test]
    fn a_key_has_its_own_kid() {
        let named = HMAC.verifier().named("k").unwrap();
        let key = KeyUse::of(&verified(None, &named));
        assert_eq!(key.kid(), Some("k"));
        assert!(key.is_of(&verified(Some("k"), &named)));
        assert!(!key.is_of(&verified(Some("k"), &HMAC.verifier())));
    }
}
