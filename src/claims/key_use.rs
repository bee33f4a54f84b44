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
        let (entry, kid) = (token.verified_by().into(), token.signed_with().map(Into::into));
        Self { entry, kid, requests: Sharded::default() }
    }

    /// Whether it is the key of this token.
    pub fn is_of(&self, token: &VerifiedToken) -> bool {
        *self.entry == *token.verified_by() && self.kid() == token.signed_with()
    }

    /// The name of its issuer entry.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// Its kid; `None` if neither the key nor its tokens have one.
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
}
